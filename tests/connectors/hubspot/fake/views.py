"""Records as the API gives them.

Responsible for the form of a record and for which properties may be asked for. Must not change anything.
"""

from __future__ import annotations

import zlib
from typing import Any

from . import standard
from .checks import missing_scopes
from .definitions import ObjectType, Property
from .errors import Json, invalid
from .portal import Actor, Portal
from .records import Row, history
from .times import iso, other_form


def readable(portal: Portal, kind: ObjectType, names: Any, actor: Actor) -> list[str]:
    """Names of properties that may be read by this caller."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise invalid("properties is a list of names")
    found = []
    for name in dict.fromkeys(names):
        definition = portal.catalog.properties(kind.id).get(name)
        if definition is None or definition.archived is not None:
            if portal.knobs.unknown_property_read == "ignore":
                continue
            raise invalid(f'Property "{name}" does not exist', "PROPERTY_DOESNT_EXIST", propertyName=name)
        _permitted(definition, kind, actor)
        found.append(name)
    return found


def _permitted(definition: Property, kind: ObjectType, actor: Actor) -> None:
    if actor.is_person:
        return
    needed = ""
    if definition.sensitivity == "sensitive":
        needed = f"crm.objects.{kind.scope}.sensitive.read.v2"
    elif definition.sensitivity == "highly_sensitive":
        needed = f"crm.objects.{kind.scope}.highly_sensitive.read.v2"
    elif kind.name == "emails" and definition.name in standard.EMAIL_BODIES:
        needed = "sales-email-read"
    if needed and needed not in actor.scopes:
        raise missing_scopes([needed])


def value(portal: Portal, row: Row, definition: Property | None, name: str) -> str:
    """A value as text; empty if there is none."""
    if name == "hs_object_id":
        return str(row.id)
    if name == row.kind.modified:
        return _moment(portal, iso(row.updated), row.id, name)
    if name == row.kind.created:
        return _moment(portal, iso(row.created), row.id, name)
    found = row.properties.get(name, "")
    if definition is None or not found:
        return found
    if definition.multiple and portal.knobs.shuffle:
        return ";".join(sorted(found.split(";"), key=lambda part: zlib.crc32(f"{row.id}{part}".encode())))
    if definition.type == "datetime":
        return _moment(portal, found, row.id, name)
    return found


def _moment(portal: Portal, text: str, id: int, name: str) -> str:
    return text if portal.knobs.datetime_forms == "ms" else other_form(text, id + zlib.crc32(name.encode()))


def shown(portal: Portal, row: Row, names: list[str], with_history: list[str] | None = None) -> Json:
    """A record. A property without value is absent. With no names: the id and both dates."""
    listed = portal.catalog.properties(row.kind.id)
    asked = names or ["hs_object_id", row.kind.created, row.kind.modified]
    values = {name: value(portal, row, listed.get(name), name) for name in asked}
    found: Json = {
        "id": str(row.id),
        "properties": {name: text for name, text in values.items() if text},
        "createdAt": iso(row.created),
        "updatedAt": iso(row.updated),
        "archived": row.archived is not None,
    }
    if row.archived is not None:
        found["archivedAt"] = iso(row.archived)
    if with_history:
        found["propertiesWithHistory"] = {name: history(portal, row, name) for name in with_history}
    return found


def written(portal: Portal, row: Row, given: Any, trace: str | None = None) -> Json:
    """A record in the answer to a write: what was written, as it is stored now."""
    listed = row.kind.created, row.kind.modified
    answer = shown(portal, row, list(dict.fromkeys(["hs_object_id", *listed, *given])))
    if trace is not None:
        answer["objectWriteTraceId"] = trace
    return answer
