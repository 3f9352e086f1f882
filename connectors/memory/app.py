"""An app in the memory of this process: tables that people edit, a change log, slots, a ledger; and how it fails.

Responsible for what lies in the account itself, and survives whoever is connected to it. Must not know connectors'
calls, Kafka or syncs. Not for use from several threads.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from connectors.base import Change, ConnectorError, Fence, FencedError, Op, Pair, Write
from connectors.memory.gates import Bell, Gates
from connectors.memory.table import RefusedError, Row, Table
from rules.catalog import Kind, Object, Value
from rules.version import Version


class Knobs(msgspec.Struct):
    """How the app misbehaves. Use `App.fail` and `App.hold_log` for the first two, they wake who waits."""

    down: ConnectorError | None = None  # raised by every call, and by a stream under way
    log_until: int | None = (
        None  # the log is not readable beyond this position yet; what is committed shows in reads all the same
    )
    lose_answers: int = 0  # so many of the next batches of writes are done, and their answers lost
    lose_writes: int = 0  # so many are lost before they are done
    busy: int = 0  # so many of the next writes are not done and answered `retry`
    locked: frozenset[tuple[str, str]] = frozenset()  # (object, id): writes of these are answered `retry`
    refuse: Callable[[str, Write], RefusedError | None] | None = None  # the app's own rules, by object
    stores: Callable[[str, Row], Row] | None = None  # the app's own form of what is written
    unlogged: frozenset[tuple[str, str]] = (
        frozenset()
    )  # (object, field) left out of logged updates that do not change them (TOAST)


class Slot(msgspec.Struct):
    """An installation's place in the log. `objects`: which it publishes, from which position on."""

    confirmed: int
    objects: dict[str, int]
    lost: bool = False
    holder: object | None = None


class Entry(msgspec.Struct, frozen=True):
    """One entry of the log. `what`: a change, a mark (of slot `object`), new fields, or None (gone, or `truncated`)."""

    position: int
    object: str
    what: Change | str | tuple[tuple[str, str], ...] | None
    committed_at: float
    truncated: bool = False


class Done(msgspec.Struct, frozen=True, array_like=True):
    """The last write of a link that was done."""

    sequence: int
    token: str
    id: str | None
    created: bool = False


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A fence: the highest epoch seen, the highest offset written, and the epoch of who wrote that."""

    epoch: int = -1
    offset: int = -1
    written_by: int = -1


class Ledger:
    """What an installation keeps in the account.

    How far each partition of commands is delivered, what was done last for each link, whose counterparts a record has.
    """

    def __init__(self) -> None:
        self.fences: dict[str, Kept] = {}
        self.links: dict[str, Done] = {}
        self.pairs: dict[tuple[str, str], dict[str, Pair]] = {}

    def pass_fence(self, fence: Fence | None) -> bool:
        """Moves the fence; whether another owner has written the message before. Raises `FencedError` where a newer
        owner has been here. The same owner may come again with a message, for what it could not do the first time."""
        if fence is None:
            return False
        kept = self.fences.get(fence.name, Kept())
        if fence.epoch < kept.epoch:
            raise FencedError(f"{fence.name} has a newer owner (epoch {kept.epoch}, ours is {fence.epoch})")
        behind = fence.offset < kept.offset or (fence.offset == kept.offset and fence.epoch != kept.written_by)
        written = (kept.offset, kept.written_by) if behind else (fence.offset, fence.epoch)
        self.fences[fence.name] = Kept(fence.epoch, *written)
        return behind


class App:
    """One app. What people do is a transaction of its own each time, unless within `transaction()`."""

    def __init__(self, name: str, *objects: Object) -> None:
        self.name = name
        self.tables = {definition.name: Table(definition) for definition in objects}
        self.position = 0  # of the last commit
        self.log: list[Entry] = []
        self.grown = Bell()
        self.slots: dict[str, Slot] = {}
        self.ledgers: defaultdict[str, Ledger] = defaultdict(Ledger)  # by installation and account, as slots
        self.knobs = Knobs()
        self.gates = Gates()
        self.generation = 0  # of connections: `drop_connections` ends those before
        self.clock: Callable[[], float] = time.time
        self._open: list[Entry] | None = None

    # ---------------------------------------------------------------- what people do

    def insert(self, object: str, *, token: str | None = None, **values: Value) -> str:
        """A new record; its id."""
        return self.create(object, values, token)[0]

    def update(self, object: str, record_id: str, **values: Value) -> str:
        """Sets values; the id, which may have changed with them."""
        return self.change(object, record_id, values, None)[0]

    def delete(self, object: str, record_id: str) -> None:
        """Removes a record."""
        self.remove(object, record_id, None)

    def merge(self, object: str, loser: str, survivor: str) -> None:
        """Merges a record into another: it goes, and the log says where."""
        self.tables[object].delete(loser)
        self._record(object, Op.MERGE, loser, {}, into=survivor)

    def truncate(self, object: str) -> None:
        """Removes all records at one stroke."""
        self.tables[object].clear()
        self._append(object, None, truncated=True)

    def alter(self, definition: Object) -> None:
        """Gives an object other fields: new ones are empty."""
        old, new = self.tables[definition.name], Table(definition)
        for row in old.rows.values():
            new.insert({name: value for name, value in row.items() if name in new.fields})
        self.tables[definition.name] = new
        self._append(definition.name, tuple((field.name, field.type.native) for field in definition.fields))

    def drop(self, object: str) -> None:
        """Removes an object and its records."""
        del self.tables[object]
        self._append(object, None)

    def rows(self, object: str) -> dict[str, Row]:
        """All records by id."""
        return {record_id: dict(row) for record_id, row in self.tables[object].rows.items()}

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is done within is committed at one position of the log."""
        self._open = []
        try:
            yield
        finally:
            entries, self._open = self._open, None
            if entries:
                self.position += 1
                self.log += entries
                self.grown.ring()

    # ---------------------------------------------------------------- how it fails

    def fail(self, error: ConnectorError) -> None:
        """Every call, and every stream under way, raises it until `recover`."""
        self.knobs.down = error
        self.grown.ring()

    def recover(self) -> None:
        """Calls go through again; connections must be made anew."""
        self.knobs.down = None
        self.drop_connections()

    def drop_connections(self) -> None:
        """The server has noticed that clients are gone, or was restarted: slots are free, connections useless."""
        self.generation += 1
        for slot in self.slots.values():
            slot.holder = None
        self.grown.ring()

    def lose_slots(self) -> None:
        """The log no longer reaches back to where anybody is."""
        for slot in self.slots.values():
            slot.lost, slot.holder = True, None
        self.grown.ring()

    def hold_log(self) -> None:
        """Commits from now on show in reads, and not yet in the log."""
        self.knobs.log_until = self.position

    def release_log(self) -> None:
        """The log is readable to its end again."""
        self.knobs.log_until = None
        self.grown.ring()

    # ---------------------------------------------------------------- what the connector does as well

    def create(self, object: str, values: Row, token: str | None) -> tuple[str, Version]:
        """A new record: its id, and the version of the write."""
        table = self.tables[object]
        values = self._stored(object, values)
        self._check_references(table, values)
        record_id = table.insert(values)
        return record_id, self._record(object, Op.UPSERT, record_id, dict(table.rows[record_id]), token=token)

    def change(self, object: str, record_id: str, values: Row, token: str | None) -> tuple[str, Version]:
        """Sets values of a record that is there: its id after it, and the version of the write."""
        table = self.tables[object]
        values = self._stored(object, values)
        self._check_references(table, values)
        before = table.rows[record_id]
        new_id = table.update(record_id, values)
        logged = {
            name: value
            for name, value in table.rows[new_id].items()
            if (object, name) not in self.knobs.unlogged or before[name] != value
        }
        old_id = record_id if new_id != record_id else None
        if old_id is not None:
            self._move_pairs(object, old_id, new_id)
        return new_id, self._record(object, Op.UPSERT, new_id, logged, old_id=old_id, token=token)

    def remove(self, object: str, record_id: str, token: str | None) -> Version:
        """Removes a record that is there: the version of the write."""
        self._check_referrers(object, record_id)
        self.tables[object].delete(record_id)
        self._move_pairs(object, record_id, None)
        return self._record(object, Op.DELETE, record_id, {}, token=token)

    def mark(self, slot: str, mark: str) -> None:
        """A mark for one slot, behind all that is committed."""
        self._append(slot, mark)

    @property
    def readable(self) -> int:
        """The position up to which the log can be read."""
        return self.position if self.knobs.log_until is None else self.knobs.log_until

    def entries(self, after: int) -> list[Entry]:
        """The readable log behind a position."""
        start = bisect_right(self.log, after, key=_position)
        return self.log[start : bisect_right(self.log, self.readable, key=_position)]

    def forget_log(self) -> None:
        """Drops what all slots have confirmed, now and then."""
        confirmed = min((slot.confirmed for slot in self.slots.values() if not slot.lost), default=self.position)
        done = bisect_right(self.log, confirmed, key=_position)
        if done > len(self.log) // 2:
            del self.log[:done]

    # ---------------------------------------------------------------- within

    def _stored(self, object: str, values: Row) -> Row:
        return values if self.knobs.stores is None else self.knobs.stores(object, values)

    def _move_pairs(self, object: str, record_id: str, new_id: str | None) -> None:
        for ledger in self.ledgers.values():
            pairs = ledger.pairs.pop((object, record_id), None)
            if pairs is not None and new_id is not None:
                ledger.pairs[object, new_id] = pairs

    def _record(
        self, object: str, op: Op, record_id: str, values: Row, *,
        old_id: str | None = None, into: str | None = None, token: str | None = None,
    ) -> Version:  # fmt: skip
        version = Version(self.position + 1, step=len(self._open or ()))
        change = Change(op, record_id, values, version, self.clock(), old_id=old_id, into=into, token=token)
        self._append(object, change)
        return version

    def _append(
        self, object: str, what: Change | str | tuple[tuple[str, str], ...] | None, *, truncated: bool = False
    ) -> None:
        entry = Entry(self.position + 1, object, what, self.clock(), truncated)
        if self._open is not None:
            self._open.append(entry)
            return
        self.position += 1
        self.log.append(entry)
        self.grown.ring()

    def _check_references(self, table: Table, values: Row) -> None:
        for name, value in values.items():
            field = table.fields.get(name)
            target = self.tables.get(field.references) if field is not None and field.references else None
            if target is None or value is None:
                continue
            for one in value if isinstance(value, list) else [value]:
                if str(one) not in target.rows:
                    raise RefusedError(
                        "association", f"{name} points at {one}, which is not there", field=name, other=str(one)
                    )

    def _check_referrers(self, object: str, record_id: str) -> None:
        for table in self.tables.values():
            for field in table.definition.fields:
                if field.references == object and field.type.kind is not Kind.LIST:
                    found = table.find(field.name, "exact", record_id)
                    if found:
                        raise RefusedError(
                            "association", f"{table.definition.name} refer to it", field=field.name, other=min(found)
                        )


def _position(entry: Entry) -> int:
    return entry.position


_apps: dict[str, App] = {}


def make_app(name: str, *objects: Object) -> App:
    """An empty app under a name of its own in this process."""
    if name in _apps:
        raise ValueError(f"there is an app of the name {name} already; forget it first")
    _apps[name] = App(name, *objects)
    return _apps[name]


def find_app(name: str) -> App | None:
    """The app of that name."""
    return _apps.get(name)


def forget_app(name: str) -> None:
    """The app is gone, with all that it holds."""
    _apps.pop(name, None)
