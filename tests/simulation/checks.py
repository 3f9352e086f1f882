"""What must hold when a history has come to rest (semantics section 9), besides what the reference model predicts."""

from __future__ import annotations

from typing import Any

import msgspec

from rules.decide import Decision, index_changes
from rules.events import Commands, ReadDone, ReadRequest, StatusRow
from rules.state import Link, decode_link, parts
from tests.simulation.agreement import allowed_sides, check_agreement
from tests.simulation.connection import Connection, Message
from tests.simulation.world import Simulation

WITHOUT_COUNTERPART = ("deleted", "merged", "missing_required", "invalid_value", "duplicate", "association")


def check(world: Simulation) -> None:
    """All of it."""
    for connection in world.connections.values():
        check_counts(connection)
        check_indexes(connection)
        check_nothing_open(world, connection)
    for name in world.document["syncs"]:
        check_rows(world, name)
        check_agreement(world, name)
    for machine in world.machines:
        assert not machine.wrong, machine.wrong


def check_counts(connection: Connection) -> None:
    """The counts that a sync shows are those of its rows."""
    for name, row in connection.syncs.items():
        if row.state is None:
            continue
        raw = msgspec.msgpack.decode(connection.view.entries[b"S" + name.encode()])
        shown = [one.status for one in connection.rows(name).values()]
        counts = {status: shown.count(status) for status in set(shown)}
        kept = {status: count for status, count in raw.get("counts", {}).items() if count}
        assert kept == counts, f"{name} counts {kept}, its rows are {counts}"


def check_indexes(connection: Connection) -> None:
    """The indexes are those that recovery would make out of the state, and the changelog holds all of the state."""
    expected: set[bytes] = set()
    kept: set[bytes] = set()
    for key, raw in connection.view.entries.items():
        if key[:1] in b"CSRL":
            assert connection.changelog.get(key) == raw, f"the changelog lacks {key!r}"
            if key[:1] in b"RL":
                expected.update(index_changes(key, None, raw))
        else:
            kept.add(key)
    assert kept == expected, (sorted(kept - expected), sorted(expected - kept))
    assert len(connection.changelog) + len(kept) == len(connection.view.entries)


def links(connection: Connection, sync: str) -> dict[str, Link]:
    """The links of a sync."""
    head = b"L" + sync.encode() + b"\0"
    return {parts(key)[1]: decode_link(raw) for key, raw in connection.view.scan(head)}


def check_rows(world: Simulation, sync: str) -> None:
    """Every record stands in exactly one row of each sync that uses its object, as the app holds it; every row has a record."""
    config, rows = world.document["syncs"][sync], world.connection_of(sync).rows(sync)
    for account, object_name in config["between"].items():
        machine = world.accounts[account].machines[object_name]
        shown = [row.sides[account] for row in rows.values() if account in row.sides]
        alive = sorted(side.id for side in shown if side.id in machine.records)
        assert alive == sorted(machine.records), f"{sync}: {account} has {sorted(machine.records)}, shown are {alive}"
        for side in shown:
            for field, value in side.fields.items() if side.id in machine.records else ():
                assert machine.records[side.id][field] == value, f"{sync}: {account}:{side.id}.{field} is shown stale"
    for key, row in rows.items():
        check_row(world, config, sync, key, row)


def check_row(world: Simulation, config: dict[str, Any], sync: str, key: str, row: StatusRow) -> None:
    """One row: it shows a record, and says why it is not in sync, and what to do."""
    there = [
        side.id in world.accounts[account].machines[config["between"][account]].records
        for account, side in row.sides.items()
    ]
    assert any(there), f"{sync}: {key} shows no record that is there"
    if not all(there):
        assert row.status == "failing", (key, row)
        assert row.category in WITHOUT_COUNTERPART, (key, row)
    if row.status in ("failing", "excluded"):
        assert row.message, row
        assert row.remedy, row
    assert row.status != "pending", row
    assert row.category not in ("schema", "unavailable", "rate_limited"), row
    assert row.category != "loop" or world.setting.robots, row
    assert row.category != "unknown" or lacks_tokens(world, config), row


def lacks_tokens(world: Simulation, config: dict[str, Any]) -> bool:
    """Whether a create of the sync may be lost without a trace."""
    return any(
        not world.accounts[account].machines[name].object.capabilities.tokens
        for account, name in config["between"].items()
    )


def check_nothing_open(world: Simulation, connection: Connection) -> None:
    """Nothing is on its way, nothing waits, no work is left, no mark is unanswered."""
    for kind in b"fwhbc":
        left = list(connection.view.scan(bytes([kind])))
        assert not left, left
    for name, home in world.homes.items():
        if world.connections[home] is not connection:
            continue
        row = connection.syncs[name]
        assert row.state == "live", row
        assert row.accounts == {}, row
        for link_id, link in links(connection, name).items():
            lost = link.flight is not None and link.category == "unknown"
            assert lost or (link.flight is None and link.waits is None and link.number == 0), (link_id, link)


class FirstReads:
    """Nothing is created before both objects of a sync have been read in full for the first time (section 3)."""

    def __init__(self) -> None:
        self._awaited: dict[str, dict[str, str]] = {}  # by sync and account: the read that is not done yet
        self._ready: set[str] = set()

    def forget(self) -> None:
        """All state is lost: every sync begins anew."""
        self._ready.clear()
        self._awaited.clear()

    def __call__(self, world: Simulation, connection: Connection, message: Message, decision: Decision) -> None:
        event = message.event
        if isinstance(event, ReadDone):
            for name, awaited in self._awaited.items():
                if awaited.get(event.account) == event.read:
                    del awaited[event.account]
                    if not awaited:
                        self._ready.add(name)
        self._ready -= {row.sync for row in decision.syncs if row.state is None}  # deleted: it begins anew
        for order in decision.orders:
            if isinstance(order, ReadRequest):
                self._awaited.setdefault(order.sync, {})[order.account] = order.read
            for command in order.commands if isinstance(order, Commands) else ():
                early = command.op == "create" and command.sync not in self._ready
                assert not early, f"created before both reads were complete: {command}"


def check_decision(world: Simulation, connection: Connection, message: Message, decision: Decision) -> None:
    """What must hold for every single decision."""
    for order in decision.orders:
        if isinstance(order, Commands):
            check_command(world, connection, order)


def check_command(world: Simulation, connection: Connection, order: Commands) -> None:
    """A command, when it is decided: it writes no side and no field against a direction, compares what it replaces, and writes something.

    One that is sent again, since it may have been done, is as it was.
    """
    for command in order.commands:
        if command.token in world.tokens:
            continue
        world.tokens.add(command.token)
        config = connection.document["syncs"].get(command.sync)
        assert config is not None, f"a command of a sync that is not there: {command}"
        assert config["direction"] in ("both", f"to {order.account}"), command
        if command.op == "update":
            fields = {
                entry[order.account]
                for entry in config["mapping"]
                if order.account in entry and order.account in allowed_sides(config, entry)
            }
            assert set(command.values) <= fields, command
            assert command.values, command
            assert set(command.values) <= set(command.expect), command
            assert any(command.expect[field] != value for field, value in command.values.items()), command
        assert command.op != "delete" or config["deletes"] == "propagate", command
