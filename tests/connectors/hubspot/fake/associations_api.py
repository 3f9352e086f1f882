"""The calls about associations.

Responsible for bodies and sizes. What the research page does not size is 100.
"""

from __future__ import annotations

from typing import Any

from . import associations, records
from .batches import MOST, complete, inputs_of
from .definitions import ObjectType
from .errors import Json, RefusedError, entry, invalid, not_found
from .objects import known_query
from .portal import Portal, Request, Response, cursor, fields, number
from .records import Row

READ_MOST, CREATE_MOST, PAGE = 1_000, 2_000, 500


def _kinds(portal: Portal, request: Request) -> tuple[ObjectType, ObjectType]:
    return portal.catalog.type(request.path["from"]), portal.catalog.type(request.path["to"])


def _keys(given: Any) -> set[associations.Key]:
    if not isinstance(given, list) or not given:
        raise invalid("The types are a list that is not empty")
    keys = set()
    for each in given:
        fields(each, ("associationCategory", "associationTypeId"))
        if each["associationCategory"] not in associations.CATEGORIES or not isinstance(each["associationTypeId"], int):
            raise invalid(f"Not an association type: {each}", "INVALID_ASSOCIATION_TYPE")
        keys.add((each["associationCategory"], each["associationTypeId"]))
    return keys


def _ends(portal: Portal, request: Request, origin: Any, target: Any) -> tuple[Row, Row]:
    one, other = _kinds(portal, request)
    return records.find_to_write(portal, one, origin), records.find_to_write(portal, other, target)


def _associated(portal: Portal, origin: Row, target: Row, keys: set[associations.Key]) -> Json:
    known = associations.types(portal, origin.kind, target.kind)
    return {
        "fromObjectTypeId": origin.kind.id,
        "fromObjectId": str(origin.id),
        "toObjectTypeId": target.kind.id,
        "toObjectId": str(target.id),
        "labels": [known[key].label for key in sorted(keys) if known[key].label],
    }


def put(portal: Portal, request: Request) -> Response:
    """PUT a pair: the types of the body replace what is between the two."""
    origin, target = _ends(portal, request, request.path["id"], request.path["toId"])
    keys = associations.replace(portal, origin, target, _keys(request.body), request.actor)
    return Response(201, _associated(portal, origin, target, keys))


def put_default(portal: Portal, request: Request) -> Response:
    """PUT a pair, unlabelled; labels that are there stay."""
    origin, target = _ends(portal, request, request.path["id"], request.path["toId"])
    return Response(200, _default(portal, origin, target, request))


def _default(portal: Portal, origin: Row, target: Row, request: Request) -> Json:
    before = associations.between(portal, origin.id, target.id, target.kind)
    keys = associations.replace(portal, origin, target, before, request.actor)
    return _associated(portal, origin, target, keys)


def delete(portal: Portal, request: Request) -> Response:
    """DELETE a pair with all its labels."""
    origin, target = _ends(portal, request, request.path["id"], request.path["toId"])
    associations.remove(portal, origin, target, None, request.actor)
    return Response(204)


def listed(portal: Portal, request: Request) -> Response:
    """GET what a record is associated with: 500 at a time."""
    known_query(request, "limit", "after")
    origin, to = _kinds(portal, request)
    row = records.find(portal, origin, request.path["id"])
    if row is None:
        raise not_found(f"resource not found: {origin.singular} {request.path['id']}", request.path["id"])
    found, after = associations.page(
        portal, row, to, cursor(request.word("after")), number(request.word("limit"), PAGE, PAGE)
    )
    return Response(200, {"results": found, **_paging(after)})


def _paging(after: int | None) -> Json:
    return {} if after is None else {"paging": {"next": {"after": str(after)}}}


def batch_read(portal: Portal, request: Request) -> Response:
    """POST batch/read: a record without associations is not in the results."""
    origin, to = _kinds(portal, request)
    inputs = inputs_of(request.body, READ_MOST)
    ids = [fields(each, ("id",), ("after",))["id"] for each in inputs]
    if len(set(ids)) < len(ids):
        raise invalid("Duplicate IDs found in batch input", "DUPLICATE_ID")
    results, missing = [], []
    for each in inputs:
        row = records.find(portal, origin, each["id"])
        if row is None:
            missing.append(each["id"])
            continue
        found, after = associations.page(portal, row, to, cursor(each.get("after")), PAGE)
        if found:
            results.append({"from": {"id": str(row.id)}, "to": found, **_paging(after)})
    lost = RefusedError(404, "OBJECT_NOT_FOUND", "Some objects do not exist", context={"ids": missing})
    return complete(portal, results, [entry(lost)] if missing else [])


def _each(portal: Portal, request: Request, inputs: list[Any], act: Any, status: int) -> Response:
    """Each input for itself; what failed is told by the ids of both ends."""
    results, errors = [], []
    for each in inputs:
        try:
            with portal.store.savepoint():
                results.append(act(each))
        except RefusedError as error:
            for name, end in (("fromObjectId", each.get("from")), ("toObjectId", each.get("to"))):
                if isinstance(end, dict):
                    error.context[name] = [str(end.get("id"))]
            errors.append(entry(error))
    return complete(portal, results, errors, status)


def _pair(portal: Portal, request: Request, each: Any) -> tuple[Row, Row]:
    origin, target = fields(each["from"], ("id",))["id"], fields(each["to"], ("id",))["id"]
    return _ends(portal, request, origin, target)


def batch_create(portal: Portal, request: Request) -> Response:
    """POST batch/create: the types of an input replace what is between its two records."""

    def act(each: Any) -> Json:
        fields(each, ("from", "to", "types"))
        origin, target = _pair(portal, request, each)
        return _associated(
            portal, origin, target, associations.replace(portal, origin, target, _keys(each["types"]), request.actor)
        )

    return _each(portal, request, _objects(inputs_of(request.body, CREATE_MOST)), act, 201)


def batch_default(portal: Portal, request: Request) -> Response:
    """POST batch/associate/default."""

    def act(each: Any) -> Json:
        fields(each, ("from", "to"))
        origin, target = _pair(portal, request, each)
        return _default(portal, origin, target, request)

    return _each(portal, request, _objects(inputs_of(request.body, MOST)), act, 200)


def batch_archive(portal: Portal, request: Request) -> Response:
    """POST batch/archive: pairs with all their labels; `to` is a list. All or nothing."""
    for each in _objects(inputs_of(request.body, MOST)):
        fields(each, ("from", "to"))
        if not isinstance(each["to"], list):
            raise invalid("to is a list")
        for target in each["to"]:
            origin, other = _pair(portal, request, {"from": each["from"], "to": target})
            associations.remove(portal, origin, other, None, request.actor)
    return Response(204)


def batch_labels_archive(portal: Portal, request: Request) -> Response:
    """POST batch/labels/archive: some types of pairs; the unlabelled one takes all with it. All or nothing."""
    for each in _objects(inputs_of(request.body, MOST)):
        fields(each, ("from", "to", "types"))
        origin, target = _pair(portal, request, each)
        associations.remove(portal, origin, target, _keys(each["types"]), request.actor)
    return Response(204)


def _objects(inputs: list[Any]) -> list[Any]:
    for each in inputs:
        fields(each, (), ("from", "to", "types"))
    return inputs


def labels(portal: Portal, request: Request) -> Response:
    """GET labels: all types of one direction."""
    return Response(
        200, {"results": [each.shown() for each in associations.types(portal, *_kinds(portal, request)).values()]}
    )
