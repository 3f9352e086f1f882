"""Properties and their groups: read, define, change, archive, revive.

Responsible for the calls of /crm/properties/{v}/{type}. Must not know records, except whether a property is in use.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from .batches import complete, inputs_of
from .definitions import ObjectType, Option, Property
from .errors import Json, RefusedError, entry, invalid, not_found, not_said
from .objects import flag, known_query
from .portal import Portal, Request, Response, fields

FIELD_TYPES = {
    "string": ("text", "textarea", "html", "phonenumber"),
    "number": ("number",),
    "date": ("date",),
    "datetime": ("date",),
    "enumeration": ("select", "radio", "checkbox", "booleancheckbox"),
    "bool": ("booleancheckbox",),
}
SENSITIVITIES = ("non_sensitive", "sensitive", "highly_sensitive")
UNIQUE_MOST = 10
SETTABLE = ("label", "description", "groupName", "options", "hidden", "fieldType", "type", "formField", "displayOrder")


def listed(portal: Portal, request: Request) -> Response:
    """GET all: without archived ones, and by default without sensitive ones."""
    known_query(request, "archived", "dataSensitivity")
    kind, sensitivity = _kind(portal, request), _sensitivity(request.word("dataSensitivity"))
    found = [
        each
        for each in portal.catalog.properties(kind.id).values()
        if (each.archived is not None) == flag(request, "archived")
    ]
    return Response(200, {"results": [_shown(portal, kind, each) for each in found if each.sensitivity == sensitivity]})


def get(portal: Portal, request: Request) -> Response:
    """GET one."""
    known_query(request, "archived", "dataSensitivity")
    kind = _kind(portal, request)
    return Response(200, _shown(portal, kind, _one(portal, kind, request.path["name"], flag(request, "archived"))))


def create(portal: Portal, request: Request) -> Response:
    """POST one. The name of an archived one revives it as it was."""
    return Response(201, _create(portal, _kind(portal, request), request.body))


def change(portal: Portal, request: Request) -> Response:
    """PATCH one. `options` replaces all options."""
    kind = _kind(portal, request)
    old = _one(portal, kind, request.path["name"])
    body = fields(request.body, (), (*SETTABLE, "hasUniqueValue"))
    if "hasUniqueValue" in body and body["hasUniqueValue"] != old.unique:
        raise invalid("hasUniqueValue cannot be changed", "CANNOT_CHANGE_UNIQUENESS", propertyName=old.name)
    if old.standard and not request.actor.is_person:
        raise invalid(f"The definition of {old.name} is read-only", "READ_ONLY_DEFINITION", propertyName=old.name)
    new = _with(old, body, portal.now(), created=old.created)
    _check(portal, kind, new)
    portal.catalog.keep(kind.id, new)
    return Response(200, new.shown())


def archive(portal: Portal, request: Request) -> Response:
    """DELETE one; not if it is in use."""
    kind = _kind(portal, request)
    _archive(portal, kind, request.path["name"])
    return Response(204)


def batch_read(portal: Portal, request: Request) -> Response:
    """POST batch/read."""
    kind = _kind(portal, request)
    inputs = inputs_of(request.body, optional=("archived", "dataSensitivity"))
    sensitivity = _sensitivity(request.body.get("dataSensitivity", ""))
    results, errors = [], []
    for each in inputs:
        name = fields(each, ("name",))["name"]
        found = portal.catalog.properties(kind.id).get(name)
        if (
            found is None
            or (found.archived is not None) != bool(request.body.get("archived"))
            or found.sensitivity != sensitivity
        ):
            errors.append(entry(not_found(f"{kind.name} have no property {name}", name)))
        else:
            results.append(_shown(portal, kind, found))
    return complete(portal, results, errors)


def batch_create(portal: Portal, request: Request) -> Response:
    """POST batch/create: all or nothing."""
    kind = _kind(portal, request)
    return complete(portal, [_create(portal, kind, each) for each in inputs_of(request.body)], [], 201)


def batch_archive(portal: Portal, request: Request) -> Response:
    """POST batch/archive: all or nothing."""
    kind = _kind(portal, request)
    for each in inputs_of(request.body):
        _archive(portal, kind, fields(each, ("name",))["name"])
    return Response(204)


def groups(portal: Portal, request: Request) -> Response:
    """GET groups."""
    kind = _kind(portal, request)
    rows = portal.store.all("SELECT name, label FROM property_group WHERE object = ? ORDER BY name", kind.id)
    return Response(200, {"results": [{"name": name, "label": label, "archived": False} for name, label in rows]})


def create_group(portal: Portal, request: Request) -> Response:
    """POST groups."""
    kind = _kind(portal, request)
    body = fields(request.body, ("name", "label"), ("displayOrder",))
    if portal.store.value("SELECT 1 FROM property_group WHERE object = ? AND name = ?", kind.id, body["name"]):
        raise _exists(f"A group named '{body['name']}' already exists.")
    portal.store.run("INSERT INTO property_group VALUES (?, ?, ?)", kind.id, body["name"], body["label"])
    return Response(201, {"name": body["name"], "label": body["label"], "archived": False})


def _kind(portal: Portal, request: Request) -> ObjectType:
    return portal.catalog.type(request.path["type"])


def _shown(portal: Portal, kind: ObjectType, definition: Property) -> Json:
    return (definition if definition.archived is not None else portal.catalog.property(kind, definition.name)).shown()


def _sensitivity(word: str) -> str:
    if word and word not in SENSITIVITIES:
        raise invalid(f"dataSensitivity is one of {', '.join(SENSITIVITIES)}")
    return word or "non_sensitive"


def _one(portal: Portal, kind: ObjectType, name: str, archived: bool = False) -> Property:
    found = portal.catalog.properties(kind.id).get(name)
    if found is None or (found.archived is not None) != archived:
        raise not_found(f"{kind.name} have no {'archived ' if archived else ''}property {name}", name)
    return found


def _exists(message: str) -> RefusedError:
    return RefusedError(409, "OBJECT_ALREADY_EXISTS", message)


def _create(portal: Portal, kind: ObjectType, given: Any) -> Json:
    body = fields(
        given, ("name", "label", "type", "fieldType", "groupName"), (*SETTABLE, "hasUniqueValue", "dataSensitivity")
    )
    old = portal.catalog.properties(kind.id).get(body["name"])
    if old is not None and old.archived is None:
        raise _exists(f"A property named '{body['name']}' already exists.")
    if old is not None:  # comes back as it was, options and age included
        new = msgspec.structs.replace(old, archived=None, updated=portal.now())
    else:
        blank = Property(body["name"], "", "string", "text", "", unique=bool(body.get("hasUniqueValue")))
        blank = msgspec.structs.replace(blank, sensitivity=_sensitivity(body.get("dataSensitivity", "")))
        new = _with(blank, body, portal.now(), created=portal.now())
    _check(portal, kind, new)
    portal.catalog.keep(kind.id, new)
    return new.shown()


def _with(old: Property, body: Json, now: int, *, created: int) -> Property:
    options = old.options
    if "options" in body:
        if not isinstance(body["options"], list):
            raise invalid("options is a list", "INVALID_OPTIONS", propertyName=old.name)
        checked = [
            fields(each, ("label", "value"), ("hidden", "displayOrder", "description")) for each in body["options"]
        ]
        checked.sort(key=lambda each: each.get("displayOrder", 0))
        options = tuple(Option(each["value"], each["label"], bool(each.get("hidden"))) for each in checked)
    return msgspec.structs.replace(
        old,
        label=body.get("label", old.label),
        description=body.get("description", old.description),
        group=body.get("groupName", old.group),
        hidden=bool(body.get("hidden", old.hidden)),
        type=body.get("type", old.type),
        field_type=body.get("fieldType", old.field_type),
        options=options,
        created=created,
        updated=now,
    )


def _check(portal: Portal, kind: ObjectType, new: Property) -> None:
    def wrong(message: str) -> RefusedError:
        return invalid(message, "INVALID_PROPERTY_DEFINITION", propertyName=new.name)

    if not re.fullmatch(r"[a-z][a-z0-9_]{0,99}", new.name):
        raise wrong("A name begins with a lowercase letter and has lowercase letters, digits and underscores")
    if new.field_type not in FIELD_TYPES.get(new.type, ()):
        raise wrong(f"A property of type {new.type} has no fieldType {new.field_type}")
    if not portal.store.value("SELECT 1 FROM property_group WHERE object = ? AND name = ?", kind.id, new.group):
        raise wrong(f"{kind.name} have no property group {new.group}")
    values = [option.value for option in new.options]
    if new.type == "enumeration" and not new.reference and kind.id and not values and not new.standard:
        raise wrong("An enumeration has options")
    if len(set(values)) < len(values) or (values and new.type != "enumeration"):
        raise wrong("Options are of an enumeration, each with a value of its own")
    if new.unique and new.type not in ("string", "number"):
        raise not_said(f"unique values of type {new.type}")
    taken = [name for name in portal.catalog.unique[kind.id] if name != new.name]
    if new.unique and len(taken) >= UNIQUE_MOST:
        raise invalid(
            f"{kind.name} have {UNIQUE_MOST} unique properties already",
            "TOO_MANY_UNIQUE_PROPERTIES",
            propertyName=new.name,
        )


def _archive(portal: Portal, kind: ObjectType, name: str) -> None:
    old = _one(portal, kind, name)
    if old.standard:
        raise invalid(f"{name} is defined by HubSpot and cannot be archived", "READ_ONLY_DEFINITION", propertyName=name)
    ruled = portal.store.value(
        "SELECT 1 FROM rule WHERE object = ? AND (property = ? OR when_property = ?)", kind.id, name, name
    )
    if old.in_use or ruled:
        raise RefusedError(
            400,
            "VALIDATION_ERROR",
            f"{name} is in use",
            errors=[
                {"message": "in use", "code": "CANNOT_DELETE_PROPERTY_IN_USE", "context": {"propertyName": [name]}}
            ],
        )
    portal.catalog.keep(kind.id, msgspec.structs.replace(old, archived=portal.now()))
