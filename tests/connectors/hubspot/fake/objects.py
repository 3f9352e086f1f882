"""One record at a time: read, list, create, change, archive.

Responsible for the calls of /crm/objects/{v}/{type} and /{id}. Must not know rates or tokens.
"""

from __future__ import annotations

import orjson

from . import associations, records, tokens
from .definitions import ObjectType
from .errors import Json, invalid, not_found
from .portal import Portal, Request, Response, cursor, fields, number
from .views import readable, shown, written

READ = ("properties", "propertiesWithHistory", "associations", "archived", "idProperty")


def known_query(request: Request, *names: str) -> None:
    """Refuses query parameters that the research page does not mention."""
    strange = sorted(set(request.query) - set(names))
    if strange:
        raise invalid(f"Not in this fake: the query parameter {', '.join(strange)}")


def flag(request: Request, name: str) -> bool:
    """A query parameter that is true or false."""
    text = request.word(name, "false")
    if text not in ("true", "false"):
        raise invalid(f"{name} is true or false")
    return text == "true"


def _asked(portal: Portal, kind: ObjectType, request: Request) -> tuple[list[str], list[str]]:
    names = readable(portal, kind, request.words("properties"), request.actor)
    return names, readable(portal, kind, request.words("propertiesWithHistory"), request.actor)


def get(portal: Portal, request: Request) -> Response:
    """GET one. An id that was merged away gives the survivor, under the survivor's id."""
    known_query(request, *READ)
    kind, id_property = portal.catalog.type(request.path["type"]), request.word("idProperty")
    records.check_id_property(portal, kind, id_property)
    names, with_history = _asked(portal, kind, request)
    row = records.find(portal, kind, request.path["id"], id_property, archived=flag(request, "archived"))
    if row is None:
        raise not_found(f"resource not found: {kind.singular} {request.path['id']}", request.path["id"])
    answer = shown(portal, row, names, with_history)
    _associated(portal, request, [answer])
    return Response(200, answer)


def listed(portal: Portal, request: Request) -> Response:
    """GET many, in the order of ids. `after` is the id of the first record of the next page."""
    known_query(request, *READ[:-1], "limit", "after")
    kind = portal.catalog.type(request.path["type"])
    limit, after = number(request.word("limit"), 10, 100), cursor(request.word("after"))
    names, with_history = _asked(portal, kind, request)
    rows = portal.store.all(
        "SELECT id, properties, created, updated, archived FROM record"
        " WHERE object = ? AND (archived IS NOT NULL) = ? AND id >= ? ORDER BY id LIMIT ?",
        kind.id,
        flag(request, "archived"),
        after,
        limit + 1,
    )
    found = [records.Row(row[0], kind, orjson.loads(row[1]), *row[2:]) for row in rows]
    answer: Json = {"results": [shown(portal, row, names, with_history) for row in found[:limit]]}
    if len(found) > limit:
        answer["paging"] = {"next": {"after": str(found[limit].id), "link": f"{request.base}{request.url}"}}
    _associated(portal, request, answer["results"])
    return Response(200, answer)


def _associated(portal: Portal, request: Request, shown_records: list[Json]) -> None:
    if request.words("associations"):
        kinds = [portal.catalog.type(word) for word in request.words("associations")]
        tokens.need(request.actor, [tokens.for_object(kind, "read") for kind in kinds])
        associations.add_to(portal, shown_records, portal.catalog.type(request.path["type"]), kinds, 500)


def create(portal: Portal, request: Request) -> Response:
    """POST one."""
    kind = portal.catalog.type(request.path["type"])
    body = fields(request.body, ("properties",), ("objectWriteTraceId",))
    row = records.create(portal, kind, body["properties"], request.actor)
    return Response(201, written(portal, row, body["properties"], body.get("objectWriteTraceId")))


def change(portal: Portal, request: Request) -> Response:
    """PATCH one."""
    known_query(request, "idProperty")
    kind, id_property = portal.catalog.type(request.path["type"]), request.word("idProperty")
    body = fields(request.body, ("properties",), ("objectWriteTraceId",))
    records.check_id_property(portal, kind, id_property)
    row = records.find_to_write(portal, kind, request.path["id"], id_property)
    row = records.update(portal, row, body["properties"], request.actor)
    return Response(200, written(portal, row, body["properties"], body.get("objectWriteTraceId")))


def archive(portal: Portal, request: Request) -> Response:
    """DELETE one."""
    kind = portal.catalog.type(request.path["type"])
    archive_one(portal, kind, request.path["id"], request)
    return Response(204)


def archive_one(portal: Portal, kind: ObjectType, id: str, request: Request) -> None:
    """Archives a record; what is not there is refused or passed over, as the knob says."""
    row = records.find(portal, kind, id)
    if row is None and portal.knobs.archive_missing == "accept":
        return
    records.archive(portal, records.find_to_write(portal, kind, id), request.actor)
