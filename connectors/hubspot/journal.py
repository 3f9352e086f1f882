"""The Webhooks Journal: HubSpot's own feed of what changed, pulled file by file, where a project app's credentials permit it.

Responsible for subscriptions, for the offset, and for which records an event names. Their values are read from the store as ever, so an event that comes
twice, late or out of order does no harm. Must not know what is told. What the journal misses the other rounds find.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import msgspec

from connectors.hubspot.client import Client, RefusedError
from connectors.hubspot.errors import Json
from connectors.hubspot.finding import Finder
from connectors.hubspot.settings import HubSpotSettings
from connectors.hubspot.standard import API

SCOPES = ("developer.webhooks_journal.read", "developer.webhooks_journal.subscriptions.write")
ACTIONS = {
    "OBJECT": ["CREATE", "UPDATE", "DELETE", "MERGE", "RESTORE"],
    "ASSOCIATION": ["ASSOCIATION_ADDED", "ASSOCIATION_REMOVED"],
    "GDPR_PRIVACY_DELETION": ["GDPR_DELETE"],
}
NOTE = "t\tjournal"  # the note of the offset


class JournalGapError(Exception):
    """The journal no longer reaches back to where we were: everything has to be looked at."""


class File(msgspec.Struct, frozen=True):
    """A file of events: by the type id of the object, the ids of records that it names."""

    offset: str
    named: Mapping[str, tuple[str, ...]]


class Journal:
    """The journal of one app, as far as it concerns one portal."""

    def __init__(self, settings: HubSpotSettings, finders: Iterable[Finder], portal: str) -> None:
        self._finders, self._portal = list(finders), portal
        scopes = {*SCOPES, *(finder.shape.standard.read for finder in self._finders)}
        grant = {"grant_type": "client_credentials", "scope": " ".join(sorted(scopes))}
        self._client = Client(settings, grant)
        self.offset: str | None = None

    async def close(self) -> None:
        """Closes connections."""
        await self._client.close()

    async def subscribe(self) -> None:
        """Makes the subscriptions that are missing."""
        path = f"/webhooks-journal/subscriptions/{API}"
        there = (await self._client.get(path, "reading the journal's subscriptions")).body.get("results") or []
        for wanted in subscriptions(self._finders, self._portal):
            if not any(covers(one, wanted) for one in there):
                await self._client.write("POST", path, "subscribing to the journal", wanted)

    async def begin(self, offset: str | None) -> None:
        """Goes on behind an offset; None: from now on."""
        self.offset = offset
        if offset is None:
            # Without any file yet the first one to come is the earliest.
            found = await self._pointer("latest")
            self.offset = None if found is None else str(found["currentOffset"])

    async def files(self) -> AsyncIterator[File]:
        """What there is behind the offset. Raises `JournalGapError`."""
        refused = False
        while True:
            try:
                found = await self._pointer("earliest" if self.offset is None else f"offset/{self.offset}/next")
            except RefusedError as error:
                raise JournalGapError(f"the journal has no offset {self.offset}") from error
            if found is None:
                return
            try:
                content = await self._client.fetch(str(found["url"]), "reading a file of the journal")
            except RefusedError:
                if refused:
                    raise
                refused = True
                continue  # its address has expired: another is asked for, once
            refused = False
            events = content.get("journalEvents") or ()
            self.offset = str(found["currentOffset"])
            yield File(self.offset, named(events, self._portal))

    async def _pointer(self, place: str) -> Json | None:
        answer = await self._client.get(f"/webhooks-journal/journal/{API}/{place}", "reading the journal")
        return None if answer.status == 204 or "url" not in answer.body else answer.body


def subscriptions(finders: Iterable[Finder], portal: str) -> list[Json]:
    """All that is to be told of these objects. Properties have to be named: leaving them out is not said to mean all."""
    found: list[Json] = []
    for finder in finders:
        about = {"portalId": int(portal), "objectTypeId": finder.shape.type_id}
        silent = (finder.shape.standard.modified, finder.shape.standard.created, "hs_object_id")
        properties = [name for name in finder.fields.asked if name not in silent]
        found.append({**about, "subscriptionType": "OBJECT", "actions": ACTIONS["OBJECT"], "properties": properties})
        if finder.fields.relations:
            found.append({**about, "subscriptionType": "ASSOCIATION", "actions": ACTIONS["ASSOCIATION"]})
        if finder.shape.standard.name == "contacts":
            kind = "GDPR_PRIVACY_DELETION"
            found.append({"portalId": int(portal), "subscriptionType": kind, "actions": ACTIONS[kind]})
    return found


def covers(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a subscription that is there tells all that another would."""
    return (
        there.get("subscriptionType") == wanted["subscriptionType"]
        and there.get("objectTypeId") == wanted.get("objectTypeId")
        and str(there.get("portalId", wanted["portalId"])) == str(wanted["portalId"])
        and set(wanted["actions"]) <= set(there.get("actions") or ())
        and set(wanted.get("properties", ())) <= set(there.get("properties") or ())
    )


def named(events: Iterable[Mapping[str, Any]], portal: str) -> dict[str, tuple[str, ...]]:
    """The records that events name, by type id; of this portal alone, since an app may be in several."""
    found: dict[str, dict[str, None]] = {}
    for event in events:
        if str(event.get("portalId", portal)) != portal:
            continue
        ids: list[tuple[object, object]] = [
            (event.get("objectTypeId"), event.get("objectId")),
            (event.get("objectTypeId"), event.get("primaryObjectId")),
            (event.get("objectTypeId"), event.get("newObjectId")),
            *((event.get("objectTypeId"), one) for one in event.get("mergedObjectIds") or ()),
            (event.get("fromObjectTypeId"), event.get("fromObjectId")),
            (event.get("toObjectTypeId"), event.get("toObjectId")),
        ]
        for type_id, record_id in ids:
            if type_id is not None and record_id is not None:
                found.setdefault(str(type_id), {})[str(record_id)] = None
    return {type_id: tuple(ids) for type_id, ids in found.items()}
