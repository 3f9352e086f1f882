"""Counts what decisions show: events, history, statuses. It reads what anybody could read from the topics, nothing from inside the rules."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from rules.decide import Decision
from rules.events import (
    AccountState,
    Captured,
    Commands,
    Event,
    FieldChange,
    HistoryRow,
    Order,
    Results,
    StatusRow,
    SyncRow,
    Tick,
)
from tests.simulation.agreement import is_empty, is_field, normal, same
from tests.simulation.connection import Connection, Message
from tests.simulation.world import Simulation

Config = dict[str, Any]
_BY = re.compile(r"^(\S+):(\S+) with (\S+?):([^\s,:]+)(?:, by (email|domain|name|sku|exact) )?")
RULES = {
    "fill": "4: linking: one side empty, filled",
    "default_wins": "4: linking: differ, the default side wins",
    "direction": "4: linking: differ, the direction forbids: nothing",
    "changed": "4: afterwards: changed on one side",
    "conflict": "4: afterwards: changed on both, differ: conflict",
    "conflict_empty": "4: afterwards: conflict, the default side's value is empty",
    "overwritten": "4: one way: the source is written over an edit of the target",
}
SAME_SYNC, OTHER_SYNC = ("boss", "chief"), ("people", "customer")


class Watcher:
    """Looks at each decision, before it has any effect. `meet` counts."""

    def __init__(self, world: Simulation) -> None:
        self.world, self.meet = world, world.counts.meet
        self._documents: dict[str, Config] = {}
        self._added_again: set[str] = set()
        self._restoring: set[tuple[str, str]] = set()
        for config in world.document["syncs"].values():
            self.meet(f"2: kind {config['kind']}")
        if len(world.connections) > 2:
            self.meet("fate: a hub with three spokes")
        for account in world.accounts.values():
            self._note_account(next(iter(account.machines.values())).object.capabilities, account.way)

    def _note_account(self, can: Any, way: str) -> None:
        for name, there in (
            ("that keeps no order", way == "token"),
            ("that is scanned", way == "scan"),
            ("that is scanned, with a ledger", way == "scan" and can.tokens),
            ("without tokens", not can.tokens),
            ("that cannot compare and set", not can.compare_and_set),
        ):
            if there:
                self.meet(f"fate: an account {name}")

    def __call__(self, world: Simulation, connection: Connection, message: Message, decision: Decision) -> None:
        self._event(connection, message.event)
        for row in decision.history:
            self._history(connection, message.event, row)
        for status in decision.statuses:
            self._status(connection, message.event, status)
        for sync in decision.syncs:
            self._sync(connection, sync)
        for order in decision.orders:
            for command in order.commands if isinstance(order, Commands) else ():
                if command.op == "create" and self._state(connection, command.sync) == "initial":
                    self.meet("3: created after both reads")

    def _state(self, connection: Connection, sync: str) -> str | None:
        row = connection.syncs.get(sync)
        return None if row is None else row.state

    # ---------------------------------------------------------------- events

    def _event(self, connection: Connection, event: Event) -> None:
        match event:
            case Captured():
                self._captured(connection, event)
            case Results():
                self.meet("event: Results")
                for answer in event.answers:
                    self.meet(f"answer: {answer.outcome}")
            case AccountState():
                self.meet(f"event: AccountState {'up' if event.up else 'throttled' if event.throttled else 'down'}")
            case Order():
                self.meet(f"event: order {event.action}")
                if event.action == "resync":
                    self.meet("7: resync")
                if event.action == "apply":
                    self._applied(connection)
            case _:
                self.meet(f"event: {type(event).__name__}")

    def _captured(self, connection: Connection, event: Captured) -> None:
        logged = any(row.committed_at for row in event.rows)
        self.meet(f"event: {'page of a full read' if event.read else 'log' if logged else 'records read on demand'}")
        for row in event.rows:
            self.meet(f"event: {'another id' if row.old_id else row.op}")
        if logged and any(row.state == "initial" for row in connection.syncs.values()):
            self.meet("3: a change is told during the reads")

    def _applied(self, connection: Connection) -> None:
        """What of the rules is otherwise than before."""
        before, now = self._documents.get(connection.name, {}), connection.document["syncs"]
        self._documents[connection.name] = now
        for name in before.keys() - now.keys():
            self._added_again.add(name)
        for name in before.keys() & now.keys():
            for key, line in (
                ("filters", "a filter is edited"),
                ("direction", "the direction is edited"),
                ("default", "the default is edited"),
                ("empty", "the policy of empty values is edited"),
            ):
                if before[name].get(key) != now[name].get(key):
                    self.meet(f"7: {line}")
            for old, new in zip(before[name]["mapping"], now[name]["mapping"], strict=True):
                if old.get("enabled", True) and not new.get("enabled", True):
                    self.meet("7: a removed mapping is forgotten")

    # ---------------------------------------------------------------- history

    def _history(self, connection: Connection, event: Event, row: HistoryRow) -> None:
        config = connection.document["syncs"].get(row.sync)
        if config is None:
            return
        for change in row.changes:
            self._change(config, event, row, change)
        found = _ACTIONS.get(row.action)
        if found is not None:
            found(self, connection, config, event, row)

    def _change(self, config: Config, event: Event, row: HistoryRow, change: FieldChange) -> None:
        line = RULES.get(change.rule)
        if line is not None:
            self.meet(line)
        if change.rule == "changed" and is_empty(change.after):
            self.meet("4: afterwards: cleared, propagate")
        if change.rule == "skipped_empty":
            kept = config["empty"] == "keep"
            self.meet(
                "4: afterwards: cleared, keep" if kept else "4: a target that cannot hold an empty value is left alone"
            )
        if change.rule in ("fill", "default_wins") and isinstance(event, Tick) and event.work.startswith("rules links"):
            self.meet("7: a new mapping is filled")
        if row.action not in ("create", "update", "conflict"):
            return
        entry: Config = next((one for one in config["mapping"] if one.get(change.account) == change.field), {})
        if "direction" in entry and config["direction"] == "both":
            self.meet("4: a mapping narrower than its sync")
        if change.field in ("rank", "grade"):
            self.meet("4: a value map")
        if change.field in ("size", "staff"):
            self.meet("4: an integer out of a text")
        if change.after == "made by a sync":
            self.meet("4: a constant in a created record")
        if change.field in (*SAME_SYNC, *OTHER_SYNC) and not is_empty(change.after):
            self.meet("5: a reference is translated")
            self.meet(
                "5: to a record of the same sync" if change.field in SAME_SYNC else "5: to a record of another sync"
            )

    def _linked(self, connection: Connection, config: Config, event: Event, row: HistoryRow) -> None:
        if self._state(connection, row.sync) == "initial":
            self.meet("3: matched during the first sync")
        if "takes the place" in row.note:
            self.meet("6: a new record takes the place")
        if "was there already" in row.note:
            self.meet("2: a record with the identifier was there already")
            if (row.sync, row.key) in self._restoring:
                self.meet("6: restored: a record with its identifier is there")
        found = _BY.match(row.note)
        if found is None:
            return
        ids = {found[1]: found[2], found[3]: found[4]}
        if found[5] is not None:
            self.meet(f"2: by {found[5]}")
            self._by_identifier(connection, config, row.sync, ids, found[5])
        elif "what is known" in row.note or "another sync" in row.note:
            by_sync = self._is_linked_elsewhere(connection, row.sync, config, ids)
            self.meet(f"2: a pair already known: {'by another sync' if by_sync else 'by an account'}")
            if row.sync in self._added_again and not by_sync:
                self.meet("7: added again, its pairs are known")
        self._equal_fields(config, ids)

    def _is_linked_elsewhere(self, connection: Connection, sync: str, config: Config, ids: dict[str, str]) -> bool:
        return any(
            name != sync and {account: side.id for account, side in row.sides.items()} == ids
            for (name, _), row in connection.statuses.items()
            if connection.document["syncs"].get(name, {}).get("between", {}).items() == config["between"].items()
        )

    def _by_identifier(self, connection: Connection, config: Config, sync: str, ids: dict[str, str], kind: str) -> None:
        entries = [entry for entry in config["mapping"] if "identifier" in entry]
        entry = next(one for one in entries if one["identifier"] == kind)
        held = {account: self._held(config, account, record_id) for account, record_id in ids.items()}
        if not all(held.values()):
            return
        (one, left), (other, right) = held.items()
        if left[entry[one]] != right[entry[other]]:
            self.meet("2: equal after normalisation only")
        first = entries[0]
        if entry is not first and not is_empty(left[first[one]]) and not is_empty(right[first[other]]):
            self.meet("2: by a later identifier, the first differs")
        for account, record_id in ids.items():
            before = connection.statuses.get((sync, f"{account}:{record_id}"))
            if before is not None and before.category == "filter":
                self.meet("2: a candidate that its own filters keep out")
            wanted = normal(kind, held[account][entry[account]])
            records = self.world.accounts[account].machines[config["between"][account]].records
            alike = [int(each) for each, record in records.items() if normal(kind, record[entry[account]]) == wanted]
            if len(alike) > 1 and int(record_id) == min(alike):
                self.meet("2: several candidates: the oldest")

    def _equal_fields(self, config: Config, ids: dict[str, str]) -> None:
        one, other = config["between"]
        left, right = (self._held(config, account, ids.get(account, "")) for account in (one, other))
        if (
            left
            and right
            and any(
                not is_empty(left[entry[one]]) and same(entry, left[entry[one]], right[entry[other]])
                for entry in config["mapping"]
                if is_field(entry)
            )
        ):
            self.meet("4: linking: equal, nothing")

    def _held(self, config: Config, account: str, record_id: str) -> dict[str, Any]:
        return self.world.accounts[account].machines[config["between"][account]].records.get(record_id, {})

    def _deleted(self, connection: Connection, config: Config, event: Event, row: HistoryRow) -> None:
        if isinstance(event, Tick) and event.work.startswith("stage"):
            self.meet("3: a linked record that the read does not find")

    def _delete(self, connection: Connection, config: Config, event: Event, row: HistoryRow) -> None:
        if isinstance(event, Tick) and event.work.startswith(("confirm", "stage")):
            self.meet("3: confirm carries the deletions on")

    def _forgotten(self, connection: Connection, config: Config, event: Event, row: HistoryRow) -> None:
        if "no record of it is left" in row.note:
            self.meet("6: deleted on both sides: forgotten")

    def _merged(self, connection: Connection, config: Config, event: Event, row: HistoryRow) -> None:
        self.meet("6: merged: the link moves to the survivor")

    def _restore(self, connection: Connection, config: Config, event: Event, row: HistoryRow) -> None:
        self._restoring.add((row.sync, row.key))

    def _restored(self, connection: Connection, config: Config, event: Event, row: HistoryRow) -> None:
        self._restoring.discard((row.sync, row.key))
        self.meet("6: restored under a new id")

    def _refused(self, connection: Connection, config: Config, event: Event, row: HistoryRow) -> None:
        if "direction does not write" in row.note:
            self.meet("6: restore into the source of a one-way sync is refused")

    # ---------------------------------------------------------------- statuses

    def _status(self, connection: Connection, event: Event, row: StatusRow) -> None:
        before = connection.statuses.get((row.sync, row.key))
        was = (None, None) if before is None else (before.status, before.category)
        message, previous = row.message or "", "" if before is None else before.message or ""
        if row.status is not None:
            self.meet(f"8: {row.status}")
        if row.category is not None and row.status in ("failing", "pending"):
            self.meet(f"8: {row.category}")
        if row.status == "excluded":
            self.meet(f"1: excluded: {row.category}")
        elif was[0] == "excluded" and row.status is not None:
            self.meet("1: an excluded record enters later")
        if row.category == "duplicate" and " both claim " in message:
            self.meet("2: failing duplicate, naming both")
        if was == ("failing", "duplicate") and row.category != "duplicate":
            self.meet("2: a duplicate is judged again and goes on")
        if was[0] == "failing" and row.status == "in_sync":
            self.meet("8: failing, then in sync again")
        if row.status == "in_sync" and message.startswith("awaits"):
            self.meet("5: the counterpart is awaited, the record in sync")
        if previous.startswith("awaits") and not message.startswith("awaits"):
            self.meet("5: an association follows")
        if row.category == "missing_required" and "must refer to" in message:
            pending = row.status == "pending"
            self.meet(
                f"5: required, and {'its counterpart on the way: pending' if pending else 'none: failing missing_required'}"
            )
        if row.category == "deleted":
            self.meet("6: deleted: failing, the counterpart is left alone")
            if "edited meanwhile" in message:
                self.meet("6: a deletion meets an edit: the counterpart stays")
        if was[1] == "deleted" and row.status in ("in_sync", "pending") and before is not None:
            self._came_back(connection, before, row)
        if row.category == "merged":
            self.meet("6: failing merged")
        if row.category == "loop":
            self.meet("4: loop")

    def _came_back(self, connection: Connection, before: StatusRow, row: StatusRow) -> None:
        ids = {account: side.id for account, side in row.sides.items()}
        if len(ids) == 2 and ids == {account: side.id for account, side in before.sides.items()}:
            self.meet("6: a deleted record comes back under its old id")

    def _sync(self, connection: Connection, row: SyncRow) -> None:
        was = self._state(connection, row.sync)
        if row.state == "off":
            self.meet("7: off")
        elif was == "off" and row.state is not None:
            self.meet("7: on")
        if row.state == "stopped":
            empty = "reads empty" in row.reason
            self.meet(
                "3: an object that reads empty stops the sync" if empty else "6: more than max_deletes stop the sync"
            )


_ACTIONS: dict[str, Callable[[Watcher, Connection, Config, Event, HistoryRow], None]] = {
    "linked": Watcher._linked,
    "deleted": Watcher._deleted,
    "delete": Watcher._delete,
    "forgotten": Watcher._forgotten,
    "merged": Watcher._merged,
    "restore": Watcher._restore,
    "restored": Watcher._restored,
    "refused": Watcher._refused,
}
