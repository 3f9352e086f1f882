"""The columns of a record, for tables and files: which there are, and a record's value in each.

Responsible for their names: `sync`, `status`, `category`, `message`, `remedy`, `since`, then per account `ACCOUNT.id`
and `ACCOUNT.FIELD`. Pure. Must not know where a record goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from console.errors import WrongUseError, did_you_mean

FIXED = ("sync", "status", "category", "message", "remedy", "since")
Json = Mapping[str, Any]


def columns_of(configuration: Json, syncs: Sequence[str], between: Mapping[str, Sequence[str]]) -> list[str]:
    """All columns that records of these syncs have: the fields in the order of the mapping."""
    applied = (configuration.get("document") or {}).get("syncs") or {}
    per_account: dict[str, dict[str, None]] = {}
    for sync in syncs:
        for account in between[sync]:
            fields = per_account.setdefault(account, {"id": None})
            for entry in applied.get(sync, {}).get("mapping") or ():
                field = field_in(entry, between[sync], account)
                if field is not None and entry.get("enabled", True):
                    fields[field] = None
    return [*FIXED, *(f"{account}.{field}" for account, fields in per_account.items() for field in fields)]


def field_in(entry: Json, accounts: Sequence[str], account: str) -> str | None:
    """The account's field in an entry of a mapping, in its long form or its short one (`name: firm_name`)."""
    if not any(name in entry for name in accounts):
        first, second = next(((key, value) for key, value in entry.items() if isinstance(value, str)), (None, None))
        return first if account == accounts[0] else second
    field = entry.get(account)
    return field if isinstance(field, str) else None


def chosen(given: str, known: Sequence[str]) -> list[str]:
    """The columns named in `a,b,c`. A field may be named alone: then it is meant on every side that has it."""
    found: dict[str, None] = {}
    for name in (part.strip() for part in given.split(",")):
        if not name:
            continue
        if name in known:
            found[name] = None
            continue
        sides = [column for column in known if column not in FIXED and column.partition(".")[2] == name]
        if not sides:
            raise WrongUseError(
                f"There is no column {name}.", did_you_mean(name, [*known, *(k.partition(".")[2] for k in known[6:])])
            )
        found |= dict.fromkeys(sides)
    if not found:
        raise WrongUseError(
            "--columns names no column.", "Write them with commas between: --columns status,crm.email,shop.email"
        )
    return list(found)


def value_in(record: Json, column: str) -> Any:
    """The record's value in a column; None where it has no such side or field."""
    if column in FIXED:
        return record[column]
    account, _, field = column.partition(".")
    side = record.get(account)
    if side is None:
        return None
    return side["id"] if field == "id" else side["fields"].get(field)


def only(record: Json, columns: Sequence[str]) -> dict[str, Any]:
    """The record in its JSON shape, its sides holding the chosen fields alone."""
    found = dict(record)
    for account, side in record.items():
        if account not in FIXED and side is not None:
            fields = {name: value for name, value in side["fields"].items() if f"{account}.{name}" in columns}
            found[account] = {"id": side["id"], "fields": fields}
    return found
