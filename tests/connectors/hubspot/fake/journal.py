"""The Webhooks Journal: what happened, in files that are pulled by offset.

Responsible for which events a subscription gets and when they are in a file. Must not know HTTP.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import orjson

from .errors import Json, RefusedError
from .portal import Actor, Portal

TYPES = {
    "OBJECT": {"CREATE", "UPDATE", "DELETE", "MERGE", "RESTORE"},
    "ASSOCIATION": {"ASSOCIATION_ADDED", "ASSOCIATION_REMOVED"},
    "GDPR_PRIVACY_DELETION": {"GDPR_DELETE"},
}
SILENT = frozenset({"hs_lastmodifieddate", "lastmodifieddate", "num_unique_conversion_events"})


def emit(portal: Portal, type: str, action: str, objects: Iterable[str], event: Json, actor: Actor) -> None:
    """Tells every subscription that asked for it. `objects`: the types that the event is about."""
    about = set(objects)
    for app, text in portal.store.all("SELECT app, definition FROM subscription ORDER BY id"):
        asked = orjson.loads(text)
        if asked["subscriptionType"] != type or action not in asked["actions"]:
            continue
        if type != "GDPR_PRIVACY_DELETION" and asked["objectTypeId"] not in about:
            continue
        told = _chosen(event, asked.get("properties", []), action)
        if told is None:
            continue
        now = portal.now()
        full = {
            "type": type,
            "action": action,
            "portalId": portal.knobs.portal_id,
            "occurredAt": now,
            "changeSource": "CRM_UI" if actor.is_person else "INTEGRATION",
            "sourceId": actor.app,
            **told,
        }
        portal.store.run(
            "INSERT INTO journal_event(at, app, event) VALUES (?, ?, ?)", now, app, orjson.dumps(full).decode()
        )


def _chosen(event: Json, asked: list[str], action: str) -> Json | None:
    """The event with the properties that were asked for. None: an update of none of them."""
    if "properties" not in event:
        return event
    properties = {name: value for name, value in event["properties"].items() if name in asked and name not in SILENT}
    if action == "UPDATE" and not properties:
        return None
    return {**event, "properties": properties}


def publish(portal: Portal, app: str) -> None:
    """Puts events that are due into files, and drops files whose time is over."""
    now, knobs = portal.now(), portal.knobs
    due = portal.store.all(
        "SELECT seq, event FROM journal_event WHERE app = ? AND at <= ? ORDER BY seq",
        app,
        now - int(knobs.journal_delay * 1000),
    )
    for start in range(0, len(due), knobs.journal_file_events):
        events = [orjson.loads(text) for _, text in due[start : start + knobs.journal_file_events]]
        portal.store.run(
            "INSERT INTO journal_file(app, offset, published, events) VALUES (?, ?, ?, ?)",
            app,
            str(uuid.uuid4()),
            now,
            orjson.dumps(events).decode(),
        )
    if due:
        portal.store.run("DELETE FROM journal_event WHERE app = ? AND seq <= ?", app, due[-1][0])
    portal.store.run("DELETE FROM journal_file WHERE published < ?", now - int(knobs.journal_retention * 1000))


def file_after(portal: Portal, app: str, offset: str, count: int = 1) -> list[str]:
    """Offsets of the files behind one. An offset that is not there (any more) is refused."""
    place = portal.store.value("SELECT seq FROM journal_file WHERE app = ? AND offset = ?", app, offset)
    if place is None:
        raise RefusedError(404, "OBJECT_NOT_FOUND", f"There is no offset {offset}; files are kept for three days")
    rows = portal.store.all(
        "SELECT offset FROM journal_file WHERE app = ? AND seq > ? ORDER BY seq LIMIT ?", app, place, count
    )
    return [row[0] for row in rows]


def content(portal: Portal, offset: str) -> Json | None:
    """A file."""
    found: tuple[Any, ...] | None = portal.store.one(
        "SELECT published, events FROM journal_file WHERE offset = ?", offset
    )
    if found is None:
        return None
    return {"offset": offset, "journalEvents": orjson.loads(found[1]), "publishedAt": found[0]}
