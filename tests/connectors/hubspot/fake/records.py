"""Records as they are kept: create, change, archive, restore, find.

Responsible for what one write does to the store, the search queue, the history and the journal. Must not know batches or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from . import checks, journal, standard
from .definitions import ObjectType
from .errors import Json, RefusedError, invalid, not_found
from .portal import Actor, Portal, whole
from .times import iso
from .values import stored


class Row(msgspec.Struct):
    """A record. Times are milliseconds since 1970."""

    id: int
    kind: ObjectType
    properties: dict[str, str]
    created: int
    updated: int
    archived: int | None = None


def load(portal: Portal, kind: ObjectType, id: int) -> Row | None:
    """A record by its own id, archived or not."""
    found = portal.store.one(
        "SELECT id, properties, created, updated, archived FROM record WHERE id = ? AND object = ?", id, kind.id
    )
    return None if found is None else Row(found[0], kind, orjson.loads(found[1]), *found[2:])


def survivor(portal: Portal, kind: ObjectType, id: int) -> int | None:
    """The id of the record that one was merged into."""
    found: int | None = portal.store.value("SELECT id FROM alias WHERE object = ? AND old = ?", kind.id, id)
    return found


def by_unique(portal: Portal, kind: ObjectType, name: str, value: str) -> int | None:
    """The live record that holds a unique value; of contacts an additional email counts as one."""
    found: int | None = portal.store.value(
        "SELECT id FROM unique_value WHERE object = ? AND property = ? AND value = ?", kind.id, name, value.lower()
    )
    return found


def check_id_property(portal: Portal, kind: ObjectType, name: str) -> None:
    """`idProperty` is email, of contacts, or a unique property."""
    if (
        name not in ("", "hs_object_id")
        and not (name == "email" and kind.name == "contacts")
        and not portal.catalog.property(kind, name).unique
    ):
        raise invalid(f"{name} is not a unique property of {kind.name}", "INVALID_ID_PROPERTY", propertyName=name)


def find(portal: Portal, kind: ObjectType, word: Any, id_property: str = "", *, archived: bool = False) -> Row | None:
    """The record that a read means; the id of one that was merged away leads to the survivor."""
    if not isinstance(word, str):
        raise invalid("An id is a string")
    if id_property not in ("", "hs_object_id"):
        id = by_unique(portal, kind, id_property, word)
    else:
        id = whole(word)
        if id is not None:
            id = survivor(portal, kind, id) or id
    row = load(portal, kind, id) if id is not None else None
    return row if row is not None and (row.archived is not None) == archived else None


def find_to_write(portal: Portal, kind: ObjectType, word: Any, id_property: str = "") -> Row:
    """The live record that a write means."""
    row = find(portal, kind, word, id_property)
    if row is None or (not id_property and str(row.id) != word and portal.knobs.old_id_writes == "refuse"):
        raise not_found(f"{kind.singular} {word} does not exist", word)
    return row


def checked(portal: Portal, kind: ObjectType, given: Any, before: Mapping[str, str], actor: Actor) -> dict[str, str]:
    """The values to store, of what a caller sends."""
    if not isinstance(given, dict):
        raise invalid("properties is a JSON object of strings")
    values = {}
    for name, value in given.items():
        definition = portal.catalog.property(kind, name)
        checks.writable(definition, actor)
        if (
            definition.multiple
            and isinstance(value, str)
            and value.startswith(";")
            and portal.knobs.leading_semicolon == "refuse"
        ):
            raise invalid(f"A value of {name} begins with a semicolon", "INVALID_OPTION", propertyName=name)
        values[name] = stored(definition, value, before.get(name, ""))
        if definition.reference:
            checks.reference(portal, definition, values[name])
    return values


def create(portal: Portal, kind: ObjectType, given: Any, actor: Actor) -> Row:
    """A new record."""
    values = checked(portal, kind, given, {}, actor)
    now = portal.now()
    row = Row(portal.store.next("record", standard.FIRST_ID), kind, {}, now, now)
    return _write(portal, row, values, actor, new=True)


def update(portal: Portal, row: Row, given: Any, actor: Actor, *, blank: bool = False) -> Row:
    """Some values of a record; with `blank` all others that can be written are cleared."""
    values = checked(portal, row.kind, given, row.properties, actor)
    if blank:
        listed = portal.catalog.properties(row.kind.id)
        for name in row.properties:
            definition = listed[name]
            if not definition.calculated and not definition.read_only:
                values.setdefault(name, "")
    row.updated = max(portal.now(), row.updated)
    return _write(portal, row, values, actor, new=False)


def _write(portal: Portal, row: Row, values: dict[str, str], actor: Actor, *, new: bool) -> Row:
    kind, before = row.kind, row.properties
    if standard.FORWARD in values:
        checks.lifecycle(portal, kind, values, before)
    after = {name: value for name, value in {**before, **values}.items() if value}
    checks.stage(portal, kind, values, after)
    checks.money(portal, kind, values, after)
    checks.rules(portal, kind, values, after, new=new)
    checks.blocked(portal, kind, values)
    row.properties = after
    _hold_unique(portal, row, before)
    text = orjson.dumps(after).decode()
    portal.store.run(
        "INSERT INTO record VALUES (?, ?, ?, ?, ?, NULL)"
        " ON CONFLICT(id) DO UPDATE SET properties = excluded.properties, updated = excluded.updated",
        row.id,
        kind.id,
        text,
        row.created,
        row.updated,
    )
    portal.index([(row.id, kind.id, text, row.created, row.updated)])
    remember(portal, row, values, actor)
    event = {"objectTypeId": kind.id, "objectId": row.id, "properties": values}
    journal.emit(portal, "OBJECT", "CREATE" if new else "UPDATE", [kind.id], event, actor)
    return row


def remember(portal: Portal, row: Row, changes: Mapping[str, str], actor: Actor) -> None:
    """Where values come from, for `propertiesWithHistory`."""
    portal.store.run(
        "INSERT INTO history(id, at, source, source_id, changes) VALUES (?, ?, ?, ?, ?)",
        row.id,
        row.updated,
        "CRM_UI" if actor.is_person else "INTEGRATION",
        "userId:9501" if actor.is_person else actor.app,
        orjson.dumps(changes).decode(),
    )


def unique_values(portal: Portal, kind: ObjectType, properties: Mapping[str, str]) -> list[tuple[str, str]]:
    """(property, value) of all that no other record may hold."""
    held = [(name, properties[name].lower()) for name in portal.catalog.unique[kind.id] if name in properties]
    if kind.name == "contacts":
        emails = [properties.get("email", ""), *properties.get("hs_additional_emails", "").split(";")]
        held += [("email", email.lower()) for email in emails if email]
    if kind.name == "companies" and portal.knobs.domain_unique and properties.get("domain"):
        held.append(("domain", properties["domain"].lower()))
    return list(dict.fromkeys(held))


def _hold_unique(portal: Portal, row: Row, before: Mapping[str, str]) -> None:
    old, new = unique_values(portal, row.kind, before), unique_values(portal, row.kind, row.properties)
    if old == new:
        return
    portal.store.run("DELETE FROM unique_value WHERE id = ?", row.id)
    hold(portal, row, new)


def hold(portal: Portal, row: Row, values: list[tuple[str, str]]) -> None:
    """Takes unique values for a record, or refuses with the id of the one that has it."""
    for name, value in values:
        other = by_unique(portal, row.kind, name, value)
        if other is not None and other != row.id:
            message = f"{row.kind.singular.capitalize()} already exists. Existing ID: {other}"
            context = {"propertyName": [name], "existingObjectId": [str(other)]}
            raise RefusedError(portal.knobs.conflict_status, "CONFLICT", message, context=context)
        portal.store.run("INSERT OR REPLACE INTO unique_value VALUES (?, ?, ?, ?)", row.kind.id, name, value, row.id)


def archive(portal: Portal, row: Row, actor: Actor) -> None:
    """Into the recycle bin. The modified date stays; unique values are free again."""
    row.archived = portal.now()
    portal.store.run("UPDATE record SET archived = ? WHERE id = ?", row.archived, row.id)
    forget_in_search(portal, row)
    portal.store.run("DELETE FROM unique_value WHERE id = ?", row.id)
    journal.emit(portal, "OBJECT", "DELETE", [row.kind.id], {"objectTypeId": row.kind.id, "objectId": row.id}, actor)


def restore(portal: Portal, row: Row, actor: Actor) -> None:
    """Out of the recycle bin, with its associations. Only people can."""
    hold(portal, row, unique_values(portal, row.kind, row.properties))
    row.archived = None
    if portal.knobs.restore_moves_date:
        row.updated = max(portal.now(), row.updated)
    portal.store.run("UPDATE record SET archived = NULL, updated = ? WHERE id = ?", row.updated, row.id)
    see_in_search(portal, row)
    journal.emit(portal, "OBJECT", "RESTORE", [row.kind.id], {"objectTypeId": row.kind.id, "objectId": row.id}, actor)


def overwrite(portal: Portal, row: Row, values: Mapping[str, str], actor: Actor) -> None:
    """Sets values unchecked, calculated ones too; unique ones stay unique."""
    before = row.properties
    row.properties = {name: value for name, value in {**before, **values}.items() if value}
    row.updated = max(portal.now(), row.updated)
    _hold_unique(portal, row, before)
    text = orjson.dumps(row.properties).decode()
    portal.store.run("UPDATE record SET properties = ?, updated = ? WHERE id = ?", text, row.updated, row.id)
    see_in_search(portal, row)
    remember(portal, row, values, actor)
    event = {"objectTypeId": row.kind.id, "objectId": row.id, "properties": dict(values)}
    journal.emit(portal, "OBJECT", "UPDATE", [row.kind.id], event, actor)


def touch(portal: Portal, row: Row) -> None:
    """Moves the modified date and nothing else, as a hidden or calculated property does."""
    row.updated = max(portal.now(), row.updated)
    portal.store.run("UPDATE record SET updated = ? WHERE id = ?", row.updated, row.id)
    see_in_search(portal, row)


def see_in_search(portal: Portal, row: Row) -> None:
    """Search is to see the record as it is."""
    portal.index([(row.id, row.kind.id, orjson.dumps(row.properties).decode(), row.created, row.updated)])


def forget_in_search(portal: Portal, row: Row) -> None:
    """Search is to see it no more."""
    portal.index([(row.id, row.kind.id, None, row.created, row.updated)])


def history(portal: Portal, row: Row, name: str) -> list[Json]:
    """The values that a property had, the newest first."""
    rows = portal.store.all(
        "SELECT at, source, source_id, json_extract(changes, ?) FROM history"
        " WHERE id = ? AND json_type(changes, ?) IS NOT NULL ORDER BY seq DESC",
        f'$."{name}"',
        row.id,
        f'$."{name}"',
    )
    return [
        {
            "value": value,
            "timestamp": iso(at),
            "sourceType": source,
            "sourceId": source_id,
            **({"updatedByUserId": 9501} if source == "CRM_UI" else {}),
        }
        for at, source, source_id, value in rows
    ]
