"""Batches of records: read, create, update, upsert, archive.

Responsible for sizes, for what fails together and what alone, and for the order of results. Must not know what one write does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import records
from .definitions import ObjectType
from .errors import Json, RefusedError, entry, invalid, not_said
from .objects import archive_one, flag, known_query
from .portal import Portal, Request, Response, fields
from .times import iso
from .views import readable, shown, written

MOST = 100


def inputs_of(body: Any, most: int = MOST, optional: tuple[str, ...] = ()) -> list[Any]:
    """The inputs of a batch, from one to as many as may be."""
    inputs = fields(body, ("inputs",), optional)["inputs"]
    if not isinstance(inputs, list) or not inputs:
        raise invalid("inputs is a list that is not empty")
    if len(inputs) > most:
        raise invalid(f"The maximum number of inputs supported in a batch request is {most}; received {len(inputs)}")
    return inputs


def complete(portal: Portal, results: list[Json], errors: list[Json], status: int = 200) -> Response:
    """The answer to a batch."""
    now = iso(portal.now())
    body: Json = {"status": "COMPLETE", "results": portal.mixed(results), "startedAt": now, "completedAt": now}
    if errors:
        body |= {"numErrors": len(errors), "errors": errors}
        status = portal.knobs.partial_status if portal.knobs.partial_status != 200 else status
    return Response(status, body)


def _no_repeats(portal: Portal, ids: list[str]) -> None:
    if portal.knobs.repeated_id == "refuse" and len(set(ids)) < len(ids):
        repeated = sorted({id for id in ids if ids.count(id) > 1})
        raise invalid(f"Duplicate IDs found in batch input: {', '.join(repeated)}", "DUPLICATE_ID", id=repeated)


def read(portal: Portal, request: Request) -> Response:
    """POST batch/read. What is not there is not in the results, and named in `errors`."""
    known_query(request, "archived")
    kind = portal.catalog.type(request.path["type"])
    inputs = inputs_of(request.body, MOST, ("properties", "propertiesWithHistory", "idProperty"))
    ids = [fields(each, ("id",))["id"] for each in inputs]
    if not all(isinstance(id, str) for id in ids):
        raise invalid("An id is a string")
    _no_repeats(portal, ids)
    id_property = request.body.get("idProperty", "")
    records.check_id_property(portal, kind, id_property)
    names = readable(portal, kind, request.body.get("properties", []), request.actor)
    with_history = readable(portal, kind, request.body.get("propertiesWithHistory", []), request.actor)
    archived = flag(request, "archived")
    found, missing = {}, []
    for id in ids:
        row = records.find(portal, kind, id, id_property, archived=archived)
        if row is None:
            missing.append(id)
        else:
            found[row.id] = row
    results = [shown(portal, row, names, with_history) for row in found.values()]
    if not missing:
        return complete(portal, results, [])
    lost = RefusedError(
        404,
        "OBJECT_NOT_FOUND",
        "Could not get some objects, they may be deleted or not exist",
        context={"ids": missing},
    )
    return complete(portal, results, [entry(lost)])


Write = Callable[[Json, str | None], Json]


def _each(portal: Portal, inputs: list[Any], write: Write, status: int) -> Response:
    """All or nothing, unless every input has a trace id of its own: then each for itself."""
    traces = [each.get("objectWriteTraceId") if isinstance(each, dict) else None for each in inputs]
    alone = all(isinstance(trace, str) and trace for trace in traces) and len(set(traces)) == len(traces)
    results, errors = [], []
    for each, trace in zip(inputs, traces, strict=True):
        if not alone:
            results.append(write(each, trace))
            continue
        try:
            with portal.store.savepoint():
                results.append(write(each, trace))
        except RefusedError as error:
            errors.append(entry(error, trace))
    return complete(portal, results, errors, status)


def create(portal: Portal, request: Request) -> Response:
    """POST batch/create."""
    kind = portal.catalog.type(request.path["type"])

    def one(each: Json, trace: str | None) -> Json:
        given = fields(each, ("properties",), ("objectWriteTraceId",))["properties"]
        return written(portal, records.create(portal, kind, given, request.actor), given, trace)

    return _each(portal, inputs_of(request.body), one, 201)


def update(portal: Portal, request: Request) -> Response:
    """POST batch/update."""
    kind = portal.catalog.type(request.path["type"])
    inputs = inputs_of(request.body)
    _no_repeats(portal, [str(each.get("id")) for each in inputs if isinstance(each, dict)])

    def one(each: Json, trace: str | None) -> Json:
        fields(each, ("id", "properties"), ("idProperty", "objectWriteTraceId"))
        records.check_id_property(portal, kind, each.get("idProperty", ""))
        row = records.find_to_write(portal, kind, each["id"], each.get("idProperty", ""))
        return written(
            portal, records.update(portal, row, each["properties"], request.actor), each["properties"], trace
        )

    return _each(portal, inputs, one, 200)


def upsert(portal: Portal, request: Request) -> Response:
    """POST batch/upsert. By email it is not partial: what it does not name is blanked."""
    kind = portal.catalog.type(request.path["type"])
    inputs = inputs_of(request.body)
    _no_repeats(portal, [str(each.get("id")).lower() for each in inputs if isinstance(each, dict)])
    if len({str(each.get("idProperty")) for each in inputs if isinstance(each, dict)}) > 1:
        raise not_said("an upsert by several properties in one batch")

    def one(each: Json, trace: str | None) -> Json:
        fields(each, ("id", "idProperty", "properties"), ("objectWriteTraceId",))
        return _upsert_one(portal, kind, each, trace, request)

    return _each(portal, inputs, one, 200)


def _upsert_one(portal: Portal, kind: ObjectType, each: Json, trace: str | None, request: Request) -> Json:
    by, given = each["idProperty"], each["properties"]
    if by == "hs_object_id":
        raise invalid("idProperty is email or a unique property", "INVALID_ID_PROPERTY", propertyName=by)
    records.check_id_property(portal, kind, by)
    if not isinstance(given, dict) or not isinstance(each["id"], str):
        raise invalid("properties is a JSON object of strings, and id is a string")
    row = records.find(portal, kind, each["id"], by)
    if row is None:
        row = records.create(portal, kind, {**given, by: given.get(by, each["id"])}, request.actor)
        return {**written(portal, row, given, trace), "new": True}
    if by == "email" and portal.knobs.upsert_by_email == "refuse":
        raise invalid("Partial upserts are not supported when using email as the idProperty", "PARTIAL_UPSERT")
    if by == "email":
        given = {"email": row.properties["email"], **given}
    row = records.update(portal, row, given, request.actor, blank=by == "email")
    return {**written(portal, row, given, trace), "new": False}


def archive(portal: Portal, request: Request) -> Response:
    """POST batch/archive: all or nothing."""
    kind = portal.catalog.type(request.path["type"])
    ids = [fields(each, ("id",))["id"] for each in inputs_of(request.body)]
    _no_repeats(portal, ids)
    for id in ids:
        archive_one(portal, kind, id, request)
    return Response(204)
