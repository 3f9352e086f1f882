"""The account as a whole, and its owners.

Must not know records.
"""

from __future__ import annotations

from .portal import Portal, Request, Response
from .times import utc_offset


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
