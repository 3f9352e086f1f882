"""Linked records that are in sync agree on every mapped field as the rules say (semantics section 9, promise 2)."""

from __future__ import annotations

from typing import Any

from rules.catalog import Value
from tests.simulation.world import Simulation

Config = dict[str, Any]


def is_empty(value: Value) -> bool:
    """Null, blank text, an empty list."""
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def same(entry: Config, one: Value, other: Value) -> bool:
    """Equal, but for the forms in which apps keep texts, and those in which identifiers count as equal. In the order of `between`."""
    if is_empty(one) and is_empty(other):
        return True
    if "values" in entry:
        return one in entry["values"] and bool(entry["values"][one] == other)
    if is_empty(one) or is_empty(other):
        return False
    left, right = (" ".join(str(value).split()) for value in (one, other))
    kind = entry.get("identifier")
    return left == right or (kind is not None and normal(kind, left) == normal(kind, right) is not None)


def normal(kind: str, value: Value) -> str | None:
    """An identifier as it is compared (section 2), as far as the values of these histories need it; None where it is unusable."""
    text = str(value).strip()
    if is_empty(value):
        return None
    match kind:
        case "email":
            return text.casefold() if "@" in text and " " not in text else None
        case "domain":
            host = text.casefold().removeprefix("https://").removeprefix("www.").partition("/")[0]
            return host if "." in host else None
        case "name":
            return " ".join(text.split()).casefold()
        case _:
            return text


def allowed_sides(config: Config, entry: Config) -> set[str]:
    """The accounts that a mapping may write."""
    allowed = set(config["between"])
    for direction in (config["direction"], entry.get("direction", "both")):
        if direction != "both":
            allowed &= {direction.removeprefix("to ")}
    return allowed


def is_field(entry: Config) -> bool:
    """Whether an entry of a mapping pairs two fields whose values agree at rest."""
    return entry.get("enabled", True) and "association" not in entry and "value" not in entry


def check_agreement(world: Simulation, sync: str) -> None:
    """All of a sync's records that are in sync."""
    config = world.document["syncs"][sync]
    for key, row in world.connection_of(sync).rows(sync).items():
        if row.status != "in_sync":
            continue
        assert len(row.sides) == 2, row
        for entry in config["mapping"]:
            if is_field(entry):
                _check_field(world, sync, entry, {one: side.id for one, side in row.sides.items()}, key)


def _check_field(world: Simulation, sync: str, entry: Config, ids: dict[str, str], key: str) -> None:
    config = world.document["syncs"][sync]
    machines = {account: world.accounts[account].machines[config["between"][account]] for account in ids}
    one, other = config["between"]
    values = {account: machines[account].records[ids[account]][entry[account]] for account in ids}
    if same(entry, values[one], values[other]) or sync in world.bent:
        return
    allowed = allowed_sides(config, entry)
    if len(allowed) < 2:
        return  # an edit of the target stays until the source changes: the reference model tells which
    empty = [account for account in values if is_empty(values[account])]
    assert empty, (sync, key, entry, values)
    filled = next(account for account in values if account not in empty)
    field = machines[filled].object.field(entry[filled])
    kept = config["empty"] == "keep"
    assert kept or (field is not None and not field.nullable), (sync, key, entry, values, "not cleared")
