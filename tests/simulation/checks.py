"""What must hold when a history has come to rest (semantics section 9)."""

from __future__ import annotations

from typing import Any

from rules.decide import index_changes
from rules.state import Image, Link, decode_image, decode_link, parts
from rules.values import is_empty
from tests.simulation.history import History
from tests.simulation.memory import Place
from tests.simulation.setting import Machine, stored


def check(world: History) -> None:
    """All of it."""
    world.check_counts()
    check_indexes(world)
    check_rows(world)
    check_nothing_open(world)
    for name in world.document["syncs"]:
        check_agreement(world, name)
        check_directions(world, name)
    check_creations(world)
    check_commands(world)
    check_edits(world)


def entries(world: History, kind: bytes) -> list[tuple[bytes, bytes]]:
    """State entries of a kind."""
    return [(key, raw) for key, raw in world.view.entries.items() if key[:1] == kind]


def links(world: History, sync: str) -> dict[str, Link]:
    """The links of a sync."""
    return {parts(key)[1]: decode_link(raw) for key, raw in entries(world, b"L") if parts(key)[0] == sync}


def images(world: History) -> dict[tuple[str, str, str], Image]:
    """All images."""
    found = {}
    for key, raw in entries(world, b"R"):
        account, object_name, record_id = parts(key)
        found[account, object_name, record_id] = decode_image(raw)
    return found


def check_indexes(world: History) -> None:
    """The indexes are those that recovery would make out of the state."""
    expected: set[bytes] = set()
    for key, raw in world.view.entries.items():
        if key[:1] in b"RL":
            expected |= set(index_changes(key, None, raw))
    kept = {key for key in world.view.entries if key[:1] not in b"CSRL"}
    assert kept == expected, (sorted(kept - expected), sorted(expected - kept))


def check_rows(world: History) -> None:
    """Every record stands in exactly one row of each sync that uses its object, as the app holds it; every row has a record."""
    for sync, config in world.document["syncs"].items():
        for account, object_name in config["between"].items():
            app = world.apps[account, object_name]
            shown = [row.sides[account] for row in world.rows(sync).values() if account in row.sides]
            alive = [side for side in shown if side.id in app.records]
            assert sorted(side.id for side in alive) == sorted(app.records), (
                f"{sync}: {account} has {sorted(app.records)}, shown are {sorted(side.id for side in alive)}"
            )
            for side in alive:
                for field, value in side.fields.items():
                    assert app.records[side.id][field] == value, f"{sync}: {account}:{side.id}.{field} is shown stale"
        for key, row in world.rows(sync).items():
            there = [side.id in world.apps[one, config["between"][one]].records for one, side in row.sides.items()]
            assert any(there), f"{sync}: {key} shows no record that is there"
            if not all(there):
                assert (row.status, row.category) in (
                    ("failing", "deleted"),
                    ("failing", "merged"),
                    ("failing", "missing_required"),
                    ("failing", "invalid_value"),
                    ("failing", "duplicate"),
                ), (key, row)
            if row.status in ("failing", "excluded"):
                assert row.message and row.remedy, row
            assert row.status != "pending", row
            assert row.category not in ("unknown", "schema", "loop"), row


def check_nothing_open(world: History) -> None:
    """Nothing is on its way, nothing waits, no work is left."""
    for kind in (b"f", b"w", b"h", b"b", b"c"):
        assert not entries(world, kind), entries(world, kind)
    for name in world.document["syncs"]:
        row = world.syncs[name]
        assert row.state == "live", row
        assert row.accounts == {}
        for link_id, link in links(world, name).items():
            assert link.flight is None and link.waits is None and link.number == 0, (link_id, link)


def same(one: Any, other: Any) -> bool:
    """Equal, but for the forms in which apps keep texts, and the case of email addresses."""
    if is_empty(one) and is_empty(other):
        return True
    left, right = (str(stored({"": value})[""]).casefold() for value in (one, other))
    return left == right


def check_agreement(world: History, sync: str) -> None:
    """Linked records that are in sync agree on every mapped field as the rules say."""
    config = world.document["syncs"][sync]
    for key, row in world.rows(sync).items():
        if row.status == "in_sync":
            assert len(row.sides) == 2, row
            for entry in config["mapping"]:
                if entry.get("enabled", True) and "association" not in entry:
                    assert_agrees(world, sync, entry, {one: side.id for one, side in row.sides.items()}, key)


def directions(config: dict[str, Any], entry: dict[str, Any]) -> set[str]:
    """The accounts that a mapping may write."""
    allowed = set(config["between"])
    for direction in (config["direction"], entry.get("direction", "both")):
        if direction != "both":
            allowed &= {direction.removeprefix("to ")}
    return allowed


def assert_agrees(world: History, sync: str, entry: dict[str, Any], ids: dict[str, str], key: str) -> None:
    """One field of one pair."""
    config = world.document["syncs"][sync]
    values = {one: world.apps[one, config["between"][one]].records[ids[one]][entry[one]] for one in ids}
    one, other = values
    if same(values[one], values[other]):
        return
    allowed = directions(config, entry)
    if not allowed:
        return
    if len(allowed) == 1:
        (target,) = allowed
        (source,) = set(values) - allowed
        app = world.apps[target, config["between"][target]]
        assert isinstance(app, Machine)
        kept = is_empty(values[source])  # cleared with `keep`; or filled at linking by nobody
        by_another = app.writers.get((ids[target], entry[target])) != sync
        at_linking = config["default"] == target  # it wins there, and may not be written back
        assert kept or by_another or at_linking, (sync, key, entry, values, "the source was not written")
        return
    empty = [account for account in values if is_empty(values[account])]
    assert empty, (key, entry, values)
    filled = next(account for account in values if account not in empty)
    field = world.apps[filled, config["between"][filled]].object.field(entry[filled])
    assert config["empty"] == "keep" or (field is not None and not field.nullable), (key, entry, values, "not cleared")


def check_directions(world: History, sync: str) -> None:
    """No field was ever written against a direction."""
    config = world.document["syncs"][sync]
    for account, object_name in config["between"].items():
        app = world.apps[account, object_name]
        assert isinstance(app, Machine)
        allowed = {entry[account] for entry in config["mapping"] if account in directions(config, entry)}
        for command in app.commanded:
            if command.sync == sync:
                assert config["direction"] in ("both", f"to {account}"), command
                if command.op == "update":
                    assert set(command.values) <= allowed, command
                assert command.op != "delete" or config["deletes"] == "propagate", command


def check_creations(world: History) -> None:
    """Nothing was created twice, nor copied back to where it came from."""
    for app in world.machines:
        assert not app.wrong, app.wrong


def check_commands(world: History) -> None:
    """Every update compares what it replaces; every create and update writes something."""
    for app in world.machines:
        for command in app.commanded:
            if command.op == "update":
                assert command.values and set(command.values) <= set(command.expect), command


def pairs_in_sync(world: History) -> set[tuple[str, Place, Place]]:
    """The pairs that are in sync: sync, and both records."""
    found = set()
    for (sync, _), row in world.statuses.items():
        if row.status == "in_sync":
            first, second = (
                (account, object_name, row.sides[account].id)
                for account, object_name in world.document["syncs"][sync]["between"].items()
            )
            found.add((sync, first, second))
    return found


def check_edits(world: History) -> None:
    """An edit of one side since the last rest is what both sides hold now; of edits on both sides one is. None was lost unseen."""
    memory, now = world.memory, pairs_in_sync(world)
    for sync, *places in memory.pairs & now:
        config = world.document["syncs"][sync]
        if memory.rules_edited or "leads" in world.document["syncs"] or set(places) & memory.upset:
            continue
        for entry in config["mapping"]:
            if len(directions(config, entry)) < 2 or not entry.get("enabled", True) or "association" in entry:
                continue
            found = [
                memory.edits[place, entry[place[0]]] for place in places if (place, entry[place[0]]) in memory.edits
            ]
            edits = [last for _, last in found]
            if not edits or any(is_empty(last) or same(first, last) for first, last in found):
                continue
            for account, object_name, record_id in places:
                held = world.apps[account, object_name].records[record_id][entry[account]]
                assert any(same(held, value) for value in edits), (sync, places, entry, held, edits, "an edit was lost")
    memory.rest(now)
