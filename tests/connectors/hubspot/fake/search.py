"""Search: the request checked and turned into SQL over what the index has seen.

Responsible for the limits and the meaning of a query. Must not know tokens or rates.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import orjson

from .definitions import ObjectType, Property
from .errors import Json, RefusedError, invalid, not_said
from .portal import Portal, Request, Response, cursor, fields, number, whole
from .records import Row
from .times import day, moment
from .views import readable, shown

OPERATORS = {
    "EQ": "=",
    "NEQ": "<>",
    "LT": "<",
    "LTE": "<=",
    "GT": ">",
    "GTE": ">=",
    "BETWEEN": "BETWEEN",
    "IN": "IN",
    "NOT_IN": "NOT IN",
    "HAS_PROPERTY": "IS NOT NULL",
    "NOT_HAS_PROPERTY": "IS NULL",
}
MODIFIED = ("lastmodifieddate", "hs_lastmodifieddate")


class Column(msgspec.Struct, frozen=True):
    """Where a property is in the index, and how its values compare."""

    sql: str
    form: str  # int, moment, number, date, datetime, text, tokens or none


def column(kind: ObjectType, name: str, definition: Property | None) -> Column:
    """The column of a property. The modified date of other types is accepted, and no record has one."""
    if name == "hs_object_id":
        return Column("id", "int")
    if name == kind.modified:
        return Column("updated", "moment")
    if name in MODIFIED:
        return Column("NULL", "none")
    if name == kind.created:
        return Column("created", "moment")
    assert definition is not None
    text = f"json_extract(properties, '$.\"{name}\"')"
    if definition.type == "number":
        return Column(f"CAST({text} AS REAL)", "number")
    if definition.multiple:
        return Column(text, "tokens")
    return Column(text, {"date": "date", "datetime": "datetime"}.get(definition.type, "text"))


def _compared(form: str, name: str, value: Any) -> Any:
    if not isinstance(value, str) or value == "":
        raise invalid(f"A filter of {name} needs a value, which is a string", "INVALID_FILTER", propertyName=name)
    if form == "text":
        return value
    found: Any = None
    if form in ("moment", "none"):
        found = moment(value)
    elif form == "int":
        found = whole(value)
    elif form == "number":
        found = float(value) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value) else None
    elif form == "date":
        found = day(value)
    elif form == "datetime":
        found = None if (ms := moment(value)) is None else ms
    elif form == "tokens":
        found = value
    if found is None:
        raise invalid(f"{value} is not a value that {name} can be compared with", "INVALID_FILTER", propertyName=name)
    return found


def condition(kind: ObjectType, filter: Json, definition: Property | None) -> tuple[str, list[Any]]:
    """One filter as SQL with its values."""
    fields(filter, ("propertyName", "operator"), ("value", "highValue", "values"))
    name, operator = filter["propertyName"], filter["operator"]
    if operator not in OPERATORS:
        raise not_said(f"the operator {operator}")
    where = column(kind, name, definition)
    sql = where.sql
    if where.form == "datetime":  # kept as text in one form; seconds make no difference
        sql = f"CAST(round((julianday({sql}) - 2440587.5) * 86400000) AS INTEGER)"
    if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        return f"{where.sql} {OPERATORS[operator]}", []
    if operator in ("IN", "NOT_IN"):
        if not isinstance(filter.get("values"), list) or not filter["values"]:
            raise invalid(f"{operator} needs values", "INVALID_FILTER", propertyName=name)
        values = [_compared(where.form, name, value) for value in filter["values"]]
        if where.form == "tokens":
            each = [_token(sql) for _ in values]
            joined = " OR ".join(each)
            return f"({joined})" if operator == "IN" else f"({sql} IS NOT NULL AND NOT ({joined}))", values
        return f"{sql} {OPERATORS[operator]} ({', '.join('?' * len(values))})", values
    low = _compared(where.form, name, filter.get("value"))
    if operator == "BETWEEN":
        return f"{sql} BETWEEN ? AND ?", [low, _compared(where.form, name, filter.get("highValue"))]
    if where.form == "tokens":
        if operator not in ("EQ", "NEQ"):
            raise not_said(f"{operator} of a multi-select")
        return (_token(sql) if operator == "EQ" else f"({sql} IS NOT NULL AND NOT {_token(sql)})"), [low]
    return f"{sql} {OPERATORS[operator]} ?", [low]


def _token(sql: str) -> str:
    return f"(';' || {sql} || ';') LIKE ('%;' || ? || ';%')"


def where(portal: Portal, kind: ObjectType, groups: Any) -> tuple[str, list[Any]]:
    """All filter groups as SQL."""
    if not isinstance(groups, list) or len(groups) > 5:
        raise invalid("A search has a list of at most 5 filterGroups", "INVALID_FILTER_GROUPS")
    parts, values, count = [], [], 0
    for group in groups:
        filters = fields(group, ("filters",))["filters"]
        count += len(filters)
        if not isinstance(filters, list) or len(filters) > 6 or count > 18:
            raise invalid("At most 6 filters in a group and 18 in all", "INVALID_FILTERS")
        clauses = []
        for filter in filters:
            clause, given = condition(kind, filter, _defined(portal, kind, filter))
            clauses.append(clause)
            values += given
        parts.append("(" + " AND ".join(clauses) + ")")
    return (" OR ".join(parts) if parts else "1"), values


def _defined(portal: Portal, kind: ObjectType, filter: Any) -> Property | None:
    name = filter.get("propertyName") if isinstance(filter, dict) else None
    if not isinstance(name, str):
        raise invalid("A filter is an object with a propertyName", "INVALID_FILTER")
    return None if name in MODIFIED else portal.catalog.property(kind, name)


def order(portal: Portal, kind: ObjectType, sorts: Any) -> str:
    """The order. What no sort decides is decided by chance, but the same way for each page."""
    chance = f"(id * 2654435761 + {portal.knobs.seed}) % 4294967296"
    if not isinstance(sorts, list) or len(sorts) > 1:
        raise invalid("A search has one sort at most", "INVALID_SORT")
    if not sorts:
        return chance
    fields(sorts[0], ("propertyName",), ("direction",))
    direction = sorts[0].get("direction", "ASCENDING")
    if direction not in ("ASCENDING", "DESCENDING"):
        raise invalid("The direction of a sort is ASCENDING or DESCENDING", "INVALID_SORT")
    sql = column(kind, sorts[0]["propertyName"], _defined(portal, kind, sorts[0])).sql
    down = " DESC" if direction == "DESCENDING" else ""
    return f"{sql}{down}" if sql == "id" else f"{sql}{down}, {chance}"


def search(portal: Portal, request: Request) -> Response:
    """POST /crm/objects/{v}/{type}/search."""
    kind = portal.catalog.type(request.path["type"])
    body = fields(request.body, (), ("filterGroups", "sorts", "properties", "limit", "after"))
    if len(orjson.dumps(body)) > portal.knobs.search_body_cap:
        raise invalid(f"The body of a search has at most {portal.knobs.search_body_cap} characters", "QUERY_TOO_LONG")
    limit = number(str(body.get("limit", "")), 10, 200)
    start, cap = cursor(body.get("after")), portal.knobs.search_cap
    if start + limit > cap and start:
        message = f"A query reaches {cap} results at most; {start} and the {limit} behind it are beyond"
        raise RefusedError(400, "VALIDATION_ERROR", message)
    names = readable(portal, kind, body.get("properties", []), request.actor)
    clause, values = where(portal, kind, body.get("filterGroups", []))
    matching = f"FROM entry WHERE object = '{kind.id}' AND properties IS NOT NULL AND ({clause})"
    total = portal.store.value(f"SELECT count(*) {matching}", *values)
    rows = portal.store.all(
        f"SELECT id, properties, created, updated {matching} ORDER BY {order(portal, kind, body.get('sorts', []))} LIMIT ? OFFSET ?",
        *values,
        limit,
        start,
    )
    found = [Row(id, kind, orjson.loads(text), created, updated) for id, text, created, updated in rows]
    answer: Json = {"total": total, "results": [shown(portal, row, names) for row in found]}
    if start + limit < total:
        answer["paging"] = {"next": {"after": str(start + limit)}}
    return Response(200, answer)
