"""Merges and GDPR deletions: how records cease without being archived.

Responsible for what remains of them. Must not know HTTP beyond its two calls.
"""

from __future__ import annotations

import orjson

from . import associations, journal, records
from .errors import invalid, not_found, not_said
from .portal import Portal, Request, Response, fields
from .records import Row
from .views import shown


def merge(portal: Portal, request: Request) -> Response:
    """POST merge. The result has a new id, or the primary's where the account keeps it; the old ids lead to it."""
    kind = portal.catalog.type(request.path["type"])
    body = fields(request.body, ("primaryObjectId", "objectIdToMerge"))
    primary = records.find_to_write(portal, kind, body["primaryObjectId"])
    secondary = records.find_to_write(portal, kind, body["objectIdToMerge"])
    if primary.id == secondary.id:
        raise invalid("A record is not merged with itself", "INVALID_MERGE")
    now = max(portal.now(), primary.updated)
    if portal.knobs.merge_keeps_id:
        result, gone = primary, [secondary]
    else:
        result = Row(portal.store.next("record"), kind, dict(primary.properties), now, now)
        gone = [primary, secondary]
    result.updated = now
    moved = _values(result, primary, secondary)
    merged = [
        id for row in (primary, secondary) for id in row.properties.get("hs_merged_object_ids", "").split(";") if id
    ]
    result.properties["hs_merged_object_ids"] = ";".join(dict.fromkeys([*merged, *(str(row.id) for row in gone)]))
    portal.store.run("DELETE FROM unique_value WHERE id IN (?, ?)", primary.id, secondary.id)
    _keep(portal, result)
    for row in gone:
        _dissolve(portal, row, result)
    records.remember(portal, result, result.properties, request.actor)
    event = {
        "objectTypeId": kind.id,
        "objectId": result.id,
        "primaryObjectId": primary.id,
        "mergedObjectIds": [secondary.id],
        "newObjectId": result.id,
        "numberOfPropertiesMoved": moved,
    }
    journal.emit(portal, "OBJECT", "MERGE", [kind.id], event, request.actor)
    return Response(200, shown(portal, result, ["hs_object_id", "hs_merged_object_ids", kind.created, kind.modified]))


def _values(result: Row, primary: Row, secondary: Row) -> int:
    """The primary's values stay; the secondary's addresses become additional ones. How many properties moved."""
    if result.kind.name != "contacts":
        return 0
    lists = [row.properties.get("hs_additional_emails", "").split(";") for row in (primary, secondary)]
    emails = [*lists[0], secondary.properties.get("email", ""), *lists[1]]
    kept = ";".join(dict.fromkeys(email for email in emails if email and email != primary.properties.get("email")))
    if not kept:
        return 0
    result.properties["hs_additional_emails"] = kept
    return 1


def _keep(portal: Portal, result: Row) -> None:
    portal.store.run(
        "INSERT INTO record VALUES (?, ?, ?, ?, ?, NULL)"
        " ON CONFLICT(id) DO UPDATE SET properties = excluded.properties, updated = excluded.updated",
        result.id,
        result.kind.id,
        orjson.dumps(result.properties).decode(),
        result.created,
        result.updated,
    )
    records.hold(portal, result, records.unique_values(portal, result.kind, result.properties))
    records.see_in_search(portal, result)


def _dissolve(portal: Portal, row: Row, result: Row) -> None:
    associations.move(portal, row, result)
    portal.store.run("DELETE FROM record WHERE id = ?", row.id)
    records.forget_in_search(portal, row)
    portal.store.run("UPDATE alias SET id = ? WHERE object = ? AND id = ?", result.id, row.kind.id, row.id)
    portal.store.run("INSERT OR REPLACE INTO alias VALUES (?, ?, ?)", row.kind.id, row.id, result.id)


def gdpr_delete(portal: Portal, request: Request) -> Response:
    """POST gdpr-delete: no trace remains. An address that no contact has goes to the blocklist."""
    kind = portal.catalog.type(request.path["type"])
    if kind.name != "contacts":
        raise not_said(f"a GDPR deletion of {kind.name}")
    body = fields(request.body, ("objectId",), ("idProperty",))
    by = body.get("idProperty", "")
    records.check_id_property(portal, kind, by)
    row = records.find(portal, kind, body["objectId"], by) or records.find(
        portal, kind, body["objectId"], by, archived=True
    )
    if row is None and by == "email":
        portal.store.run("INSERT OR IGNORE INTO blocklist VALUES (?)", body["objectId"].lower())
        return Response(204)
    if row is None:
        raise not_found(f"contact {body['objectId']} does not exist", body["objectId"])
    erase(portal, row)
    event = {"objectTypeId": kind.id, "objectId": row.id}
    journal.emit(portal, "GDPR_PRIVACY_DELETION", "GDPR_DELETE", [kind.id], event, request.actor)
    return Response(204)


def erase(portal: Portal, row: Row) -> None:
    """Removes a record and all that was known of it."""
    associations.forget(portal, row.id)
    for table in ("record", "unique_value", "history", "alias"):
        portal.store.run(f"DELETE FROM {table} WHERE id = ?", row.id)
    records.forget_in_search(portal, row)
