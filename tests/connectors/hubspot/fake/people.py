"""What people do at HubSpot's screen and no program can: restore, merge rules, pipelines, owners, labels, custom objects.

Responsible for these deeds. They are neither limited nor counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import orjson

from . import associations, merges, records, standard
from .definitions import ObjectType, Option, Property
from .errors import Json, invalid, not_found
from .portal import PERSON, Portal, fields


def _rows(portal: Portal, body: Any) -> tuple[ObjectType, list[records.Row]]:
    given = fields(body, ("type", "ids"))
    kind = kind_of(portal, given["type"])
    rows = [records.load(portal, kind, int(id)) for id in given["ids"]]
    if None in rows:
        raise not_found(f"Not all of these {kind.name} are there")
    return kind, [row for row in rows if row is not None]


def kind_of(portal: Portal, word: str) -> ObjectType:
    """A type by its id or any name: people are not as strict as paths."""
    for kind in portal.catalog.types.values():
        if word in (kind.name, kind.id):
            return kind
    raise not_found(f"There is no type {word}")


def restore(portal: Portal, body: Any) -> Json:
    """Takes records out of the recycle bin: {type, ids}."""
    kind, rows = _rows(portal, body)
    for row in rows:
        if row.archived is None:
            raise not_found(f"{kind.singular} {row.id} is not archived")
        records.restore(portal, row, PERSON)
    return {"restored": len(rows)}


def touch(portal: Portal, body: Any) -> Json:
    """Moves only the modified date, as a calculated activity does: {type, ids}."""
    _, rows = _rows(portal, body)
    for row in rows:
        records.touch(portal, row)
    return {"touched": len(rows)}


def purge(portal: Portal, body: Any) -> Json:
    """Ninety days have passed: archived records are gone for good: {type, ids}."""
    _, rows = _rows(portal, body)
    for row in rows:
        if row.archived is None:
            raise not_found(f"{row.kind.singular} {row.id} is not archived")
        merges.erase(portal, row)
    return {"purged": len(rows)}


def set_values(portal: Portal, body: Any) -> Json:
    """Sets any values of a record, calculated ones too, and moves its date: {type, id, values}. Nothing is checked."""
    given = fields(body, ("type", "id", "values"))
    _, rows = _rows(portal, {"type": given["type"], "ids": [given["id"]]})
    records.overwrite(portal, rows[0], given["values"], PERSON)
    return {"id": str(rows[0].id)}


def additional_emails(portal: Portal, body: Any) -> Json:
    """Gives a contact additional addresses, which no other contact may have: {id, emails}."""
    given = fields(body, ("id", "emails"))
    values = {"hs_additional_emails": ";".join(given["emails"])}
    return set_values(portal, {"type": "contacts", "id": given["id"], "values": values})


def pipeline(portal: Portal, body: Any) -> Json:
    """Makes or edits a pipeline: {type, id, label, stages: [{id, label, metadata}]}. All its records' dates move."""
    given = fields(body, ("type", "id"), ("label", "stages"))
    kind, now = kind_of(portal, given["type"]), portal.now()
    if not kind.pipeline:
        raise not_found(f"{kind.name} have no pipelines")
    old = portal.catalog.pipelines(kind.id).get(given["id"], {"created": now, "label": given["id"], "stages": []})
    stages = [
        {"metadata": {}, **fields(each, ("id", "label"), ("metadata",))} for each in given.get("stages", old["stages"])
    ]
    rows = [row for row in _all(portal, kind) if row.properties.get(kind.pipeline) == given["id"]]
    lost = {row.properties[kind.stage] for row in rows} - {each["id"] for each in stages}
    if lost:
        raise invalid(f"The stages {', '.join(sorted(lost))} are in use", "STAGE_IN_USE")
    new = {
        "id": given["id"],
        "label": given.get("label", old["label"]),
        "stages": stages,
        "created": old["created"],
        "updated": now,
    }
    portal.catalog.keep_pipeline(kind.id, new)
    portal.store.run(
        "INSERT INTO pipeline_audit(object, id, at, action) VALUES (?, ?, ?, 'UPDATE')", kind.id, given["id"], now
    )
    for row in rows:
        records.touch(portal, row)
    return {"moved": len(rows)}


def _all(portal: Portal, kind: ObjectType) -> list[records.Row]:
    ids = portal.store.all("SELECT id FROM record WHERE object = ? AND archived IS NULL ORDER BY id", kind.id)
    return [row for (id,) in ids if (row := records.load(portal, kind, id))]


def owner(portal: Portal, body: Any) -> Json:
    """Makes an owner, or changes one: {id?, email, firstName, lastName, type, archived}."""
    given = fields(body, (), ("id", "email", "firstName", "lastName", "type", "archived"))
    id = int(given["id"]) if "id" in given else portal.store.next("owner", 601)
    old = portal.store.value("SELECT definition FROM owner WHERE id = ?", id)
    kept = (
        orjson.loads(old)
        if old
        else {"email": "", "firstName": "", "lastName": "", "type": "PERSON", "userId": 9000 + id}
    )
    kept |= {key: value for key, value in given.items() if key not in ("id", "archived")}
    portal.store.run(
        "INSERT OR REPLACE INTO owner VALUES (?, ?, ?)", id, orjson.dumps(kept).decode(), bool(given.get("archived"))
    )
    return {"id": str(id)}


def label(portal: Portal, body: Any) -> Json:
    """Makes an association label: {from, to, label, inverse?, category?}."""
    given = fields(body, ("from", "to", "label"), ("inverse", "category"))
    origin, target = kind_of(portal, given["from"]), kind_of(portal, given["to"])
    inverse = str(given.get("inverse", given["label"]))
    made = associations.add_label(
        portal.store, origin.id, target.id, given["label"], inverse, str(given.get("category", associations.USER))
    )
    return {"typeId": made.id, "inverseTypeId": made.reverse, "category": made.category}


def rule(portal: Portal, body: Any) -> Json:
    """An administrator's rule: {type, property} required on creation, with {whenProperty, whenValue} when that has this value."""
    given = fields(body, ("type", "property"), ("whenProperty", "whenValue"))
    kind = kind_of(portal, given["type"])
    portal.catalog.property(kind, given["property"])
    when, value = given.get("whenProperty"), given.get("whenValue")
    portal.store.run(
        "INSERT INTO rule(object, property, when_property, when_value) VALUES (?, ?, ?, ?)",
        kind.id,
        given["property"],
        when,
        value,
    )
    return {}


def forget_rules(portal: Portal, body: Any) -> Json:
    """Removes all rules."""
    return {"removed": portal.store.run("DELETE FROM rule")}


def currencies(portal: Portal, body: Any) -> Json:
    """The company's currency, and what one unit of each is worth in it: {home, rates}."""
    given = fields(body, ("home", "rates"))
    portal.store.run("DELETE FROM currency")
    rows = [(code, str(rate), code == given["home"]) for code, rate in {**given["rates"], given["home"]: "1"}.items()]
    portal.store.many("INSERT INTO currency VALUES (?, ?, ?)", rows)
    portal.catalog.reload()
    return {"rates": portal.catalog.rates}


def schema(portal: Portal, body: Any) -> Json:
    """Makes a custom object: {name, singular, display?, pipelines?, properties: [{name, type, fieldType, options?, unique?}]}."""
    given = fields(body, ("name", "singular", "properties"), ("display", "pipelines"))
    id, stages = f"2-{portal.store.next('schema', 4000001)}", bool(given.get("pipelines"))
    kind = ObjectType(
        id,
        given["name"],
        given["singular"],
        named=False,
        modified="hs_lastmodifieddate",
        created="hs_createdate",
        display=given.get("display", ""),
        scope="custom",
        pipeline="hs_pipeline" if stages else "",
        stage="hs_pipeline_stage" if stages else "",
        custom=True,
    )
    portal.catalog.add_type(kind, standard.every_object(kind) + (standard.stages_of(kind) if stages else []))
    for each in given["properties"]:
        define(portal, {"objectType": id, **each})
    associations.unlabelled(portal.store, id, id)
    for other in ("0-1", "0-2", "0-3", "0-5"):
        associations.unlabelled(portal.store, id, other)
    return {"objectTypeId": id}


def define(portal: Portal, body: Any) -> Json:
    """Defines a property, or changes one, as no call can: {objectType, name, type?, fieldType?, options?, unique?, calculated?, readOnly?, …}."""
    known = ("type", "fieldType", "options", "unique", "calculated", "readOnly", "sensitivity", "inUse", "hidden")
    given = fields(body, ("objectType", "name"), known)
    kind, now = kind_of(portal, given["objectType"]), portal.now()
    blank = Property(
        given["name"], standard.label(given["name"]), "string", "text", f"{kind.singular}information", created=now
    )
    old = portal.catalog.properties(kind.id).get(given["name"], blank)
    options = old.options
    if "options" in given:
        options = tuple(Option(value, standard.label(value)) for value in given["options"])
    new = msgspec.structs.replace(
        old,
        type=given.get("type", old.type),
        field_type=given.get("fieldType", old.field_type),
        options=options,
        unique=given.get("unique", old.unique),
        calculated=given.get("calculated", old.calculated),
        read_only=given.get("readOnly", old.read_only),
        sensitivity=given.get("sensitivity", old.sensitivity),
        in_use=given.get("inUse", old.in_use),
        hidden=given.get("hidden", old.hidden),
        updated=now,
    )
    portal.catalog.keep(kind.id, new)
    return new.shown()


CALLS: dict[str, Callable[[Portal, Any], Json]] = {
    "POST /fake/restore": restore,
    "POST /fake/touch": touch,
    "POST /fake/purge": purge,
    "POST /fake/values": set_values,
    "POST /fake/additional-emails": additional_emails,
    "POST /fake/pipelines": pipeline,
    "POST /fake/owners": owner,
    "POST /fake/labels": label,
    "POST /fake/rules": rule,
    "DELETE /fake/rules": forget_rules,
    "POST /fake/currencies": currencies,
    "POST /fake/schemas": schema,
    "POST /fake/properties": define,
}
