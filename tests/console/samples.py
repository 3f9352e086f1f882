"""Rows as the engine sends them, for the tests of the read model and the commands that look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from console.readmodel.writer import ReadModelWriter, Rows
from rules.catalog import Value
from rules.events import HistoryRow, Side, StatusRow, SyncRow

ORIGIN = "tandem@cluster"
NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z

CONFIGURATION: dict[str, Any] = {
    "version": 3,
    "name": "acme",
    "document": {
        "retention": "36500d",  # the rows are of a fixed time
        "accounts": {"shop": {"connector": "postgres"}, "crm": {"connector": "postgres"}},
        "syncs": {
            "contacts": {
                "between": {"shop": "customers", "crm": "contacts"},
                "kind": "contact",
                "default": "crm",
                "mapping": [
                    {"shop": "email", "crm": "mail", "identifier": "email"},
                    {"level": "tier"},
                    {"shop": "source", "value": "tandem"},
                    {"shop": "remarks", "crm": "notes", "enabled": False},
                ],
            },
            "companies": {"between": {"crm": "companies", "shop": "firms"}, "mapping": [{"name": "firm_name"}]},
        },
    },
    "off": ["companies"],
    "catalogs": {
        "crm": {"objects": {"contacts": {"name": "contacts", "key": ["id"], "fields": [
            {"name": "mail", "type": {"kind": "text"}}, {"name": "tier", "type": {"kind": "enum"}}]}}},
        "shop": {"objects": {"customers": {"name": "customers", "key": ["id"], "fields": [
            {"name": "email", "type": {"kind": "text"}}, {"name": "level", "type": {"kind": "integer"}}]}}},
    },
}  # fmt: skip


def contact(
    key: str,
    status: str = "in_sync",
    *,
    crm: dict[str, Value] | None = None,
    shop: dict[str, Value] | None = None,
    since: float = NOW,
    gone: tuple[str, ...] = (),
    **why: str,
) -> StatusRow:
    """A record of the sync `contacts`: each side that is given has `id` among its fields here."""
    sides = {
        account: Side(str(fields["id"]), {name: value for name, value in fields.items() if name != "id"})
        for account, fields in (("crm", crm), ("shop", shop))
        if fields is not None
    }
    return StatusRow("contacts", key, status, since=since, sides=sides, gone=gone, **why)


PAIR = contact(
    "l1", crm={"id": "17", "mail": "ana@x.es", "tier": "gold"}, shop={"id": "4", "email": "ana@x.es", "level": 1}
)
FAILING = contact(
    "l2",
    "failing",
    crm={"id": "4", "mail": "ÉLODIE@x.fr", "tier": None},
    since=NOW + 60,
    category="invalid_value",
    message="level cannot be 'iron'",
    remedy="Choose gold or silver in crm.",
)
EXCLUDED = contact("u/shop/9", "excluded", shop={"id": "9", "email": None, "level": 2}, category="no_identifier")
PENDING = contact("u/crm/18", "pending", crm={"id": "18", "mail": "new@x.es", "tier": "silver"}, since=NOW + 120)
SYNC = SyncRow(
    "contacts",
    "crm~shop",
    "live",
    counts={"in_sync": 1, "failing": 1, "excluded": 1, "pending": 1},
    read={"crm": 3, "shop": 2},
    matched=1,
    version=3,
    oldest=NOW + 119,
    answered={"m1": 7},
)


def rows(*records: StatusRow, syncs: tuple[SyncRow, ...] = (SYNC,), history: tuple[HistoryRow, ...] = ()) -> Rows:
    """What a fetch brought."""
    return Rows(
        records={(record.sync, record.key): record for record in records},
        syncs={row.sync: row for row in syncs},
        history=list(history),
        meta={"configuration": json.dumps(CONFIGURATION), "as_of": repr(NOW + 125)},
    )


def fill(path: Path, *records: StatusRow) -> None:
    """A read model with these records, or the four kinds there are."""
    writer = ReadModelWriter(path, ORIGIN)
    writer.store(rows(*(records or (PAIR, FAILING, EXCLUDED, PENDING))), NOW + 125)
    writer.close()
