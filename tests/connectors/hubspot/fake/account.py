"""The account as a whole, and its owners.

Must not know records.
"""

from __future__ import annotations

import orjson

from .errors import Json
from .objects import flag, known_query
from .portal import Portal, Request, Response, cursor, number
from .times import iso, utc_offset


def details(portal: Portal, request: Request) -> Response:
    """GET /account-info/{v}/details."""
    knobs, catalog = portal.knobs, portal.catalog
    return Response(
        200,
        {
            "portalId": knobs.portal_id,
            "accountType": "DEVELOPER_TEST",
            "timeZone": knobs.time_zone,
            "companyCurrency": catalog.home_currency,
            "additionalCurrencies": [code for code in catalog.rates if code != catalog.home_currency],
            "utcOffset": utc_offset(portal.now(), knobs.time_zone),
            "utcOffsetMilliseconds": _milliseconds(utc_offset(portal.now(), knobs.time_zone)),
        },
    )


def _milliseconds(offset: str) -> int:
    sign = -1 if offset[0] == "-" else 1
    return sign * (int(offset[1:3]) * 60 + int(offset[4:6])) * 60_000


def owners(portal: Portal, request: Request) -> Response:
    """GET /crm/owners/{v}: people and queues, in the order of ids; with `archived=true` those who left."""
    known_query(request, "archived", "limit", "after", "email")
    limit, after = number(request.word("limit"), 100, 100), cursor(request.word("after"))
    rows = portal.store.all(
        "SELECT id, definition, archived FROM owner WHERE archived = ? AND id >= ? AND (? = '' OR definition ->> 'email' = ?)"
        " ORDER BY id LIMIT ?",
        flag(request, "archived"),
        after,
        request.word("email"),
        request.word("email"),
        limit + 1,
    )
    answer: Json = {"results": [_owner(*row) for row in rows[:limit]]}
    if len(rows) > limit:
        answer["paging"] = {"next": {"after": str(rows[limit][0])}}
    return Response(200, answer)


def _owner(id: int, definition: str, archived: int) -> Json:
    kept = orjson.loads(definition)
    user = kept.pop("userId", 0)
    shown: Json = {
        "id": str(id),
        **kept,
        "archived": bool(archived),
        "createdAt": iso(1_600_000_000_000),
        "updatedAt": iso(1_600_000_000_000),
    }
    if user:
        shown["userIdIncludingInactive"] = user
        if not archived:
            shown["userId"] = user
    return shown
