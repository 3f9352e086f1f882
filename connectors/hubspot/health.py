"""What `check` finds: whether the token is good, and which scopes it lacks, each by its name.

Responsible for calls that change nothing: a batch without inputs is refused as empty where it is permitted, and for its scope where it is not.
"""

from __future__ import annotations

from collections.abc import Iterable

from connectors.base import Context, FatalError, Health, Problem
from connectors.hubspot.client import Client, RefusedError, UnknownOutcomeError
from connectors.hubspot.definitions import Definitions
from connectors.hubspot.errors import Json
from connectors.hubspot.journal import SCOPES
from connectors.hubspot.mapping import Shape
from connectors.hubspot.settings import HubSpotSettings
from connectors.hubspot.standard import API, STANDARD, SYNC_ID


async def check(client: Client, definitions: Definitions, context: Context, settings: HubSpotSettings) -> Health:
    """All problems at once."""
    try:
        details = (await client.get(f"/account-info/{API}/details", "asking for the account's details")).body
    except FatalError as error:
        return Health("HubSpot", (Problem(error.message, error.remedy),))
    version = f"HubSpot API {API}, portal {details.get('portalId')} ({details.get('accountType') or 'account'})"
    problems: list[Problem] = []
    for use in context.objects:
        try:
            shape = await definitions.shape(use.name)
        except FatalError as error:
            problems.append(Problem(error.message, error.remedy))
            if use.name in STANDARD:  # so that all scopes are granted at once, not one after the other
                type_id = STANDARD[use.name].type_id
                problems += await _records(client, use.name, type_id)
                problems += await _without_sync_id(client, use.name, type_id)
            continue
        problems += await _object(client, definitions, shape, use.fields)
    if settings.journal:
        problems += await _journal(settings)
    return Health(version, tuple(dict.fromkeys(problems)))


async def _journal(settings: HubSpotSettings) -> list[Problem]:
    """Whether the app may read the journal; without it everything is found by looking."""
    app = Client(settings, {"grant_type": "client_credentials", "scope": " ".join(SCOPES)})
    try:
        refused = await _refused(app, "GET", f"/webhooks-journal/subscriptions/{API}", "reading the journal", None)
    finally:
        await app.close()
    if refused is None:
        return []
    message = f"the journal cannot be read ({refused.message}): changes are found by looking alone"
    return [Problem(message, f"give the app the scopes {', '.join(SCOPES)}, or leave out `journal`", fatal=False)]


async def _object(
    client: Client, definitions: Definitions, shape: Shape, wanted: frozenset[str] | None
) -> list[Problem]:
    problems = await _records(client, shape.name, shape.type_id)
    empty: Json = {"inputs": []}
    for relation in shape.relations:
        if wanted is not None and relation.field not in wanted:
            continue
        target = (await definitions.target(relation)).type_id
        path = f"/crm/associations/{API}/{shape.type_id}/{target}/batch/read"
        doing = f"reading the associations of {shape.name} with {relation.target}"
        refused = await _refused(client, "POST", path, doing, empty)
        if refused is not None:
            problems.append(Problem(refused.message, refused.remedy))
    if _owned(shape, wanted) and (
        refused := await _refused(client, "GET", f"/crm/owners/{API}?limit=1", "reading owners", None)
    ):
        problems.append(Problem(refused.message, refused.remedy))
    if not shape.tokens:
        problems += await _without_sync_id(client, shape.name, shape.type_id)
    return problems


async def _records(client: Client, name: str, type_id: str) -> list[Problem]:
    """Whether records may be read and written."""
    problems: list[Problem] = []
    objects = f"/crm/objects/{API}/{type_id}"
    reading = await _refused(client, "GET", f"{objects}?limit=1", f"reading {name}", None)
    writing = await _refused(client, "POST", f"{objects}/batch/update", f"writing {name}", {"inputs": []})
    if reading is not None:
        problems.append(Problem(reading.message, reading.remedy))
    if writing is not None and writing.message not in {one.message for one in problems}:
        problems.append(Problem(f"{writing.message}; nothing can be written to it", writing.remedy, fatal=False))
    return problems


async def _without_sync_id(client: Client, name: str, type_id: str) -> list[Problem]:
    path = f"/crm/properties/{API}/{type_id}/batch/create"
    refused = await _refused(client, "POST", path, f"making the property {SYNC_ID} of {name}", {"inputs": []})
    if refused is None:
        return []
    message = f"{refused.message}: without it a create whose answer is lost is found again by identifier only"
    return [Problem(message, refused.remedy, fatal=False)]


def _owned(shape: Shape, wanted: Iterable[str] | None) -> bool:
    names = shape.properties if wanted is None else wanted
    return any((one := shape.properties.get(name)) is not None and one.codec.owner for name in names)


async def _refused(client: Client, method: str, path: str, doing: str, body: Json | None) -> FatalError | None:
    """Why the call is not permitted; None where it is, whatever else is wrong with it."""
    bare, _, query = path.partition("?")
    params = dict(part.split("=", 1) for part in query.split("&")) if query else None
    try:
        if method == "GET":
            await client.get(bare, doing, params)
        else:
            await client.write(method, bare, doing, body or {})
    except FatalError as error:
        return error
    except (RefusedError, UnknownOutcomeError):
        return None
    return None
