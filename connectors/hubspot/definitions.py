"""What an account's objects look like: their definitions, read from HubSpot and kept for a while.

Responsible for which calls it takes. What a definition means is in `mapping`. Must not know records.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping

import msgspec

from connectors.base import Context, FatalError, ObjectUse
from connectors.hubspot.client import Client, RefusedError, UnknownOutcomeError
from connectors.hubspot.errors import Json
from connectors.hubspot.limits import Use
from connectors.hubspot.mapping import PIPELINES, Property, Seen, Shape, properties_of, stages_of
from connectors.hubspot.settings import HubSpotObjectSettings, HubSpotSettings
from connectors.hubspot.standard import API, BY_TYPE_ID, RELATIONS, STANDARD, SYNC_ID, Relation, Standard, custom
from connectors.hubspot.values import Owners
from rules.catalog import Capabilities, Catalog, Object

FRESH = 300.0  # seconds for which definitions are taken to hold
SYNC_ID_DEFINITION = {
    "name": SYNC_ID,
    "label": "Tandem sync id",
    "description": "Set by Tandem on the records that it creates. Leave it alone.",
    "type": "string",
    "fieldType": "text",
    "hasUniqueValue": True,
    "hidden": True,
    "formField": False,
}


class Definitions:
    """The definitions of one account."""

    def __init__(self, client: Client, settings: HubSpotSettings, context: Context) -> None:
        self._client, self._settings, self._context = client, settings, context
        self._shapes: dict[str, tuple[Shape, float]] = {}
        self._owners: tuple[Owners, float] | None = None
        self._schemas: tuple[list[Json], float] | None = None
        uses = {use.name: HubSpotObjectSettings.model_validate(dict(use.settings)) for use in context.objects}
        self._types = {name: use.type or name for name, use in uses.items()}
        self._excluded = {name: frozenset(use.exclude) for name, use in uses.items()}
        self._lock = asyncio.Lock()
        self._without_sync_id: set[str] = set()  # type ids of which our property could not be made

    def forget(self, name: str) -> None:
        """What is known of the object may be out of date."""
        self._shapes.pop(name, None)
        self._schemas = None

    async def shape(self, name: str) -> Shape:
        """An object. Raises `FatalError` where there is none of the name, or the token may not see it."""
        async with self._lock:
            known = self._shapes.get(name)
            if known is None or time.monotonic() - known[1] > FRESH:
                standard, required = await self._standard(name)
                known = self._shapes[name] = await self._load(name, standard, required), time.monotonic()
            return known[0]

    async def owners(self, *, anew: bool = False) -> Owners:
        """Who owns records, leavers too."""
        if anew or self._owners is None or time.monotonic() - self._owners[1] > FRESH:
            present = await self._pages(f"/crm/owners/{API}", "reading owners", {"limit": 100})
            left = await self._pages(f"/crm/owners/{API}", "reading owners", {"limit": 100, "archived": "true"})
            by_id = {str(one["id"]): str(one.get("email") or one["id"]) for one in (*left, *present)}
            by_email = {str(one["email"]).lower(): str(one["id"]) for one in present if one.get("email")}
            self._owners = Owners(by_email, by_id, self._settings.owners), time.monotonic()
        return self._owners[0]

    async def owners_for(self, shape: Shape, names: Iterable[str], *, anew: bool = False) -> Owners:
        """The owners, where any of the properties holds one."""
        if any((one := shape.properties.get(name)) is not None and one.codec.owner for name in names):
            return await self.owners(anew=anew)
        return Owners()

    def fields(self, shape: Shape, more: Collection[str] = ()) -> Fields:
        """What is read of an object. `more`: besides what syncs name."""
        named = use_of(self._context, shape.name).fields
        return fields_read(shape, None if named is None else named.union(more))

    async def anew(self, shape: Shape, more: Collection[str] = ()) -> tuple[Shape, Fields]:
        """The object as it is defined now, and what is read of it."""
        self.forget(shape.name)
        fresh = await self.shape(shape.name)
        return fresh, self.fields(fresh, more)

    async def target(self, relation: Relation) -> Standard:
        """The object at the other end of an association."""
        return STANDARD[relation.target]

    async def catalog(self) -> Catalog:
        """All objects that the account has. One that the token may not see says so."""
        named = set(self._types.values())
        names = [*self._types, *(name for name, one in STANDARD.items() if not {name, one.type_id} & named)]
        try:
            schemas = await self._custom()
        except FatalError:
            schemas = []  # a token without the scope for custom objects sees none
        names += [
            str(one["name"]) for one in schemas if not {str(one["name"]), str(one["objectTypeId"])} & {*named, *names}
        ]
        return Catalog({name: await self._described(name) for name in names})

    async def _described(self, name: str) -> Object:
        try:
            return (await self.shape(name)).object()
        except FatalError as error:
            nothing = Capabilities(capture="watermark", creatable=False, updatable=False, deletable=False)
            return Object(
                name, (), (), capabilities=nothing, problems=(f"cannot be read: {error.message}; {error.remedy}",)
            )

    # ---------------------------------------------------------------- calls

    async def _standard(self, name: str) -> tuple[Standard, tuple[str, ...]]:
        """The kind of object behind a name, and the properties that a record of it needs."""
        type_ = self._types.get(name, name)
        standard = STANDARD.get(BY_TYPE_ID.get(type_, type_))
        if standard is not None:
            return standard, ()
        for schema in await self._custom():
            if type_ in (schema.get("objectTypeId"), schema.get("name"), schema.get("fullyQualifiedName")):
                required = tuple(map(str, schema.get("requiredProperties") or ()))
                return custom(str(schema["name"]), str(schema["objectTypeId"])), required
        raise FatalError(f"HubSpot has no object {type_}", "see `tandem discover` for those that there are")

    async def _custom(self) -> list[Json]:
        if self._schemas is None or time.monotonic() - self._schemas[1] > FRESH:
            answer = await self._client.get(f"/crm-object-schemas/{API}/schemas", "reading the custom objects")
            self._schemas = list(answer.body.get("results") or ()), time.monotonic()
        return self._schemas[0]

    async def _load(self, name: str, standard: Standard, required: tuple[str, ...]) -> Shape:
        doing = f"reading the properties of {name}"
        definitions = (await self._client.get(f"/crm/properties/{API}/{standard.type_id}", doing)).body.get(
            "results"
        ) or []
        pipelines: list[Json] = []
        if standard.name in PIPELINES:
            answer = await self._client.get(
                f"/crm/pipelines/{API}/{standard.type_id}", f"reading the pipelines of {name}"
            )
            pipelines = list(answer.body.get("results") or ())
        properties = properties_of(definitions, standard, pipelines, required)
        excluded = self._excluded.get(name, frozenset())
        relations = tuple(one for one in RELATIONS.get(standard.name, ()) if one.field not in excluded)
        ours = next((one for one in definitions if one.get("name") == SYNC_ID and not one.get("archived")), None)
        return Shape(
            name,
            standard,
            _without(properties, excluded.union(one.field for one in relations)),
            relations,
            stages_of(pipelines),
            tokens=bool(ours and ours.get("hasUniqueValue")),
            seen=Seen(self._settings.index_lag + 10, self._settings.archived_every + 10),
            named={self._hubspots(type_): own for own, type_ in self._types.items()},
        )

    def _hubspots(self, type_: str) -> str:
        return BY_TYPE_ID.get(type_, type_)

    async def make_sync_id(self, shape: Shape) -> Shape:
        """Makes our unique property, where it is missing and the token may."""
        if shape.tokens or shape.type_id in self._without_sync_id:
            return shape
        doing = f"making the property {SYNC_ID} of {shape.name}"
        path = f"/crm/properties/{API}/{shape.type_id}"
        try:
            groups = (await self._client.get(f"{path}/groups", doing)).body.get("results") or [{}]
            group = str(groups[0].get("name") or f"{shape.standard.name.removesuffix('s')}information")
            await self._client.write("POST", path, doing, {**SYNC_ID_DEFINITION, "groupName": group})
        except UnknownOutcomeError:
            return shape  # the next to come sees whether it was made
        except FatalError:
            # No scope for definitions: creates are then looked for by identifier.
            self._without_sync_id.add(shape.type_id)
            return shape
        except RefusedError as error:
            if "OBJECT_ALREADY_EXISTS" not in (error.refusal.code, error.refusal.category):
                # Ten unique properties are there already, or the definitions are locked.
                self._without_sync_id.add(shape.type_id)
                return shape
        self.forget(shape.name)
        return await self.shape(shape.name)

    async def _pages(self, path: str, doing: str, params: Mapping[str, object]) -> list[Json]:
        found: list[Json] = []
        after: str | None = None
        while True:
            more = {} if after is None else {"after": after}
            body = (await self._client.get(path, doing, {**params, **more}, Use.LIVE)).body
            found += body.get("results") or []
            after = next_page(body)
            if after is None:
                return found


def next_page(body: Json) -> str | None:
    """Where the next page begins."""
    after = ((body.get("paging") or {}).get("next") or {}).get("after")
    return None if after is None else str(after)


def use_of(context: Context, name: str) -> ObjectUse:
    """What the installation says of an object."""
    return next((use for use in context.objects if use.name == name), ObjectUse(name))


def _without(properties: Mapping[str, Property], excluded: frozenset[str]) -> dict[str, Property]:
    return {name: one for name, one in properties.items() if name not in excluded}


class Fields(msgspec.Struct, frozen=True):
    """What is read of an object: properties by name, associations, and the properties that HubSpot is asked for."""

    names: tuple[str, ...]
    relations: tuple[str, ...]
    asked: tuple[str, ...]
    missing: tuple[str, ...] = ()  # named, and no longer there: empty in every image


def fields_read(shape: Shape, wanted: frozenset[str] | None) -> Fields:
    """Of the fields that a sync names (None: all), with what belongs to them and what tells merges and our own creates."""
    names = [name for name in shape.properties if wanted is None or name in wanted]
    partners = shape.partners(names)
    names += [name for name in shape.properties if name in partners and name not in names]
    relations = tuple(one.field for one in shape.relations if wanted is None or one.field in wanted)
    own = [name for name in names if name not in (shape.standard.created, "hs_object_id")]
    asked = dict.fromkeys(own)
    if shape.standard.merges:
        asked["hs_merged_object_ids"] = None
    if shape.tokens:
        asked[SYNC_ID] = None
    there = {*names, *relations, shape.standard.created, "hs_object_id"}
    return Fields(tuple(names), relations, tuple(asked), tuple(sorted((wanted or frozenset()) - there)))
