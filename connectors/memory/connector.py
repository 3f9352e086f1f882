"""The connector of apps in memory.

Guarantees: the log and reads share one order (a position per commit); creates leave their token and their pair in the
ledger; updates and deletes compare and set; a batch of writes is one transaction, fenced. Deletions and merges are seen
in the log. Limits: none but the knobs.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import ClassVar

import msgspec
from pydantic import BaseModel

from connectors.base import (
    Batch,
    Captured,
    Change,
    Context,
    CursorExpiredError,
    FatalError,
    Fence,
    FieldsChanged,
    Health,
    Heartbeat,
    Identifier,
    Marked,
    Op,
    Outcome,
    Page,
    Problem,
    Record,
    Result,
    RetriableError,
    Truncated,
    Write,
    WriteOp,
)
from connectors.memory.app import App, Done, Entry, Ledger, Slot, find_app
from connectors.memory.settings import MemoryObjectSettings, MemorySettings
from connectors.memory.table import RefusedError, Row, Table
from rules.catalog import Catalog, Object, Value
from rules.version import Version

BATCH = 500  # changes


class MemoryConnector:
    """One account of an app in memory."""

    Settings: ClassVar[type[BaseModel]] = MemorySettings
    ObjectSettings: ClassVar[type[BaseModel]] = MemoryObjectSettings

    def __init__(self, settings: BaseModel, context: Context) -> None:
        assert isinstance(settings, MemorySettings)
        self._settings = settings
        self._context = context
        self._slot_name = f"{context.installation}/{context.account}"
        uses = {use.name: MemoryObjectSettings.model_validate(use.settings) for use in context.objects}
        self._tables = {name: use.table or name for name, use in uses.items()}
        self._names = {table: name for name, table in self._tables.items()}
        self._excluded = {name: frozenset(use.exclude) for name, use in uses.items()}
        self._merged = {name: use.merged_into for name, use in uses.items() if use.merged_into}
        self._connected: App | None = None
        self._generation = -1

    async def open(self) -> None:
        """Connects."""
        app = find_app(self._settings.app)
        if app is None:
            raise FatalError(f"there is no app {self._settings.app} in this process", "make it with `make_app` first")
        self._connected, self._generation = app, app.generation
        await self._enter("open")

    async def close(self) -> None:
        """Leaves the slot free."""
        if self._connected is not None and (slot := self._connected.slots.get(self._slot_name)):
            self._leave(slot)
        self._connected = None

    async def check(self) -> Health:
        """Whether the objects are there."""
        app = await self._enter("check")
        missing = [name for name, table in self._tables.items() if table not in app.tables]
        return Health("memory", tuple(Problem(f"there is no object {name}", "mend `table`") for name in missing))

    async def discover(self) -> Catalog:
        """All tables, under the names that sync.yaml gives them."""
        app = await self._enter("discover")
        return Catalog({found.name: found for found in map(self._described, app.tables.values())})

    # ---------------------------------------------------------------- capture

    async def position(self) -> str | None:
        """Where our slot stands."""
        app = await self._enter("position")
        slot = app.slots.get(self._slot_name)
        return None if slot is None or slot.lost else str(slot.confirmed)

    async def prepare(self) -> str:
        """A slot that publishes our objects; one that stands ready stays where it is."""
        app = await self._enter("prepare")
        slot = app.slots.get(self._slot_name)
        if slot is None or slot.lost:
            slot = app.slots[self._slot_name] = Slot(app.position, {})
        slot.objects = {table: slot.objects.get(table, app.position) for table in self._names}
        return str(slot.confirmed)

    async def release(self) -> None:
        """Drops our slot."""
        app = await self._enter("release")
        app.slots.pop(self._slot_name, None)
        app.forget_log()

    async def changes(self, cursor: str | None) -> AsyncIterator[Captured]:
        """The log. One stream at a time holds the slot."""
        app = await self._enter("changes")
        slot = self._live_slot(app)
        if slot.holder not in (None, self):
            raise RetriableError(f"the slot {self._slot_name} is in use by another process", retry_after=0.05)
        position = slot.confirmed if cursor is None else int(cursor)
        if position < slot.confirmed:
            raise CursorExpiredError(f"the log begins at {slot.confirmed}, behind {position}")
        slot.holder = self
        try:
            while True:
                readable = max(position, app.readable)
                for item in self._items(app, slot, position, readable):
                    yield item
                position = readable
                if not await app.grown.wait(self._settings.heartbeat):
                    yield Heartbeat(str(position), app.clock())
                self._usable()
                if self._live_slot(app) is not slot:
                    raise CursorExpiredError("the slot has been replaced")
        finally:
            self._leave(slot)

    async def confirm(self, cursor: str) -> None:
        """The log up to there may be forgotten."""
        app = await self._enter("confirm")
        slot = self._live_slot(app)
        slot.confirmed = max(slot.confirmed, int(cursor))
        app.forget_log()

    async def mark(self, mark: str) -> None:
        """A mark in the log, for our slot."""
        (await self._enter("mark")).mark(self._slot_name, mark)

    async def snapshot(self, object: str, resume: str | None) -> AsyncIterator[Page]:
        """Pages in the order of the key; `resume` is the id of a page's last record."""
        last = resume
        while True:
            app = await self._enter("snapshot")
            table = self._table(app, object)
            ids = table.after(last, self._settings.page_size + 1)
            more, ids = len(ids) > self._settings.page_size, ids[: self._settings.page_size]
            last = ids[-1] if more else None
            yield Page(object, tuple(self._record(app, object, record_id) for record_id in ids), last)
            if last is None:
                return

    async def read(self, object: str, ids: Sequence[str]) -> list[Record]:
        """The records that are there."""
        app = await self._enter("read")
        rows = self._table(app, object).rows
        return [self._record(app, object, record_id) for record_id in ids if record_id in rows]

    async def find(self, object: str, identifiers: Sequence[Identifier]) -> list[Record]:
        """The records that match, the oldest first."""
        app = await self._enter("find")
        return [self._record(app, object, found) for found in _found(self._table(app, object), identifiers)]

    # ---------------------------------------------------------------- delivery

    async def apply(self, object: str, writes: Sequence[Write], fence: Fence | None) -> list[Result]:
        """One transaction of writes, with the fence in it."""
        app = await self._enter("apply")
        table = self._tables.get(object, object)
        if app.knobs.lose_writes:
            app.knobs.lose_writes -= 1
            return [Result(write.token, Outcome.UNKNOWN) for write in writes]
        behind = self._ledger(app).pass_fence(fence)
        with app.transaction():
            results = [self._answer(app, object, table, write, behind=behind) for write in writes]
        await app.gates.enter("answer")
        if app.knobs.lose_answers:
            app.knobs.lose_answers -= 1
            return [Result(write.token, Outcome.UNKNOWN) for write in writes]
        return results

    def _answer(self, app: App, object: str, table: str, write: Write, *, behind: bool) -> Result:
        """What becomes of one write. `behind`: another owner has written its message, so it is looked up only."""
        done = self._ledger(app).links.get(write.link)
        if done is not None and write.sequence <= done.sequence:
            outcome = Outcome.APPLIED if write.token == done.token else Outcome.CONFLICT
            return Result(write.token, outcome, done.id, self._standing(app, object, done.id))
        if behind:
            return Result(write.token, Outcome.RETRY, write.id, message="another owner has dealt with its message")
        if app.knobs.busy or (table, write.id) in app.knobs.locked:
            app.knobs.busy = max(0, app.knobs.busy - 1)
            return Result(write.token, Outcome.RETRY, write.id, message="the record is locked")
        try:
            self._check(app, object, table, write)
            if write.op is WriteOp.CREATE:
                return self._create(app, object, table, write, done)
            return self._replace(app, object, table, write)
        except RefusedError as error:
            return Result(
                write.token, Outcome.REJECTED, write.id,
                category=error.category, field=error.field, message=error.message, other=error.other,
            )  # fmt: skip

    def _check(self, app: App, object: str, table: str, write: Write) -> None:
        if table not in app.tables:
            raise RefusedError("schema", f"there is no object {object}")
        read_only = [name for name in write.values if (f := app.tables[table].fields.get(name)) and f.read_only]
        if read_only:
            raise RefusedError("invalid_value", f"{read_only[0]} is written by the app alone", field=read_only[0])
        refusal = app.knobs.refuse(object, write) if app.knobs.refuse is not None else None
        if refusal is not None:
            raise refusal

    def _create(self, app: App, object: str, table: str, write: Write, done: Done | None) -> Result:
        earlier = self._standing(app, object, done.id) if done is not None and done.created else None
        if earlier is not None:
            return Result(write.token, Outcome.EXISTS, earlier.id, earlier)
        found = _found(app.tables[table], write.identifiers)
        if found:
            return Result(write.token, Outcome.EXISTS, found[0], self._standing(app, object, found[0]))
        record_id, version = app.create(table, write.values, write.token)
        return self._applied(app, object, table, write, record_id, version)

    def _replace(self, app: App, object: str, table: str, write: Write) -> Result:
        """An update or a deletion: compares, then sets."""
        row = app.tables[table].rows.get(write.id or "")
        if write.id is None or row is None:
            return Result(write.token, Outcome.MISSING, write.id)
        if write.op is WriteOp.UPDATE and _holds(row, write.values):
            self._remember(app, table, write, write.id)
            return Result(write.token, Outcome.UNCHANGED, write.id, self._standing(app, object, write.id))
        if not _holds(row, write.expect):
            return Result(write.token, Outcome.CONFLICT, write.id, self._standing(app, object, write.id))
        if write.op is WriteOp.DELETE:
            app.remove(table, write.id, write.token)
            self._ledger(app).links[write.link] = Done(write.sequence, write.token, write.id)
            return Result(write.token, Outcome.APPLIED, write.id)
        record_id, version = app.change(table, write.id, write.values, write.token)
        return self._applied(app, object, table, write, record_id, version)

    def _applied(self, app: App, object: str, table: str, write: Write, record_id: str, version: Version) -> Result:
        self._remember(app, table, write, record_id)
        record = msgspec.structs.replace(self._record(app, object, record_id), version=version)
        return Result(write.token, Outcome.APPLIED, record_id, record)

    def _remember(self, app: App, table: str, write: Write, record_id: str) -> None:
        ledger = self._ledger(app)
        ledger.links[write.link] = Done(write.sequence, write.token, record_id, write.op is WriteOp.CREATE)
        if write.pair is not None:
            ledger.pairs.setdefault((table, record_id), {})[write.pair.sync] = write.pair

    # ---------------------------------------------------------------- within

    async def _enter(self, call: str) -> App:
        """The app, where the call goes through."""
        if self._connected is None:
            raise RuntimeError("the connector is not open")
        await self._connected.gates.enter(call)
        return self._usable()

    def _usable(self) -> App:
        app = self._connected
        if app is None:
            raise RuntimeError("the connector is not open")
        if app.knobs.down is not None:
            raise copy.copy(app.knobs.down)
        if self._generation != app.generation:
            raise RetriableError("the app has closed the connection", retry_after=0.0)
        return app

    def _ledger(self, app: App) -> Ledger:
        """What lies in the account for us."""
        return app.ledgers[self._slot_name]

    def _live_slot(self, app: App) -> Slot:
        slot = app.slots.get(self._slot_name)
        if slot is None or slot.lost:
            raise CursorExpiredError(f"the slot {self._slot_name} is lost")
        return slot

    def _leave(self, slot: Slot) -> None:
        if slot.holder is self:
            slot.holder = None

    def _items(self, app: App, slot: Slot, position: int, readable: int) -> Iterator[Captured]:
        """What the log holds for us between two positions. A batch ends where the object changes, or where it is full.

        Only the last item of a commit carries its position as cursor: who starts anew in between reads all of it again.
        """
        entries = app.entries(position)
        changes: list[Change] = []
        object, cursor = "", position
        for index, entry in enumerate(entries):
            if not (entry.object == self._slot_name if isinstance(entry.what, str) else self._publishes(slot, entry)):
                continue
            if changes and (not isinstance(entry.what, Change) or entry.object != object or len(changes) >= BATCH):
                yield self._batch(object, changes, cursor)
                changes = []
            ends_commit = index + 1 == len(entries) or entries[index + 1].position != entry.position
            cursor = entry.position if ends_commit else entry.position - 1
            if isinstance(entry.what, Change):
                object = entry.object
                changes.append(entry.what)
            else:
                yield self._special(entry, cursor)
        if changes:
            yield self._batch(object, changes, cursor)
        if cursor < readable:
            yield Heartbeat(str(readable), app.clock())

    def _publishes(self, slot: Slot, entry: Entry) -> bool:
        return entry.object in self._names and entry.position > slot.objects.get(entry.object, entry.position)

    def _batch(self, table: str, changes: list[Change], cursor: int) -> Batch:
        name = self._names[table]
        hidden, merged = self._excluded[name], self._merged.get(name)
        if merged:
            changes = [_told_as_merged(change, merged) for change in changes]
        if hidden:
            changes = [msgspec.structs.replace(one, values=_without(one.values, hidden)) for one in changes]
        return Batch(name, tuple(changes), str(cursor))

    def _special(self, entry: Entry, cursor: int) -> Captured:
        if isinstance(entry.what, str):
            return Marked(entry.what, str(cursor))
        name = self._names[entry.object]
        if entry.truncated:
            return Truncated(name, str(cursor))
        assert not isinstance(entry.what, Change)
        return FieldsChanged(name, entry.what, str(cursor))

    def _table(self, app: App, object: str) -> Table:
        table = app.tables.get(self._tables.get(object, object))
        if table is None:
            raise FatalError(f"there is no object {object}", "mend `table` in sync.yaml")
        return table

    def _described(self, table: Table) -> Object:
        name = self._names.get(table.definition.name, table.definition.name)
        hidden = self._excluded.get(name, frozenset())
        fields = tuple(
            msgspec.structs.replace(field, references=self._names.get(field.references or "", field.references))
            for field in table.definition.fields
            if field.name not in hidden
        )
        return msgspec.structs.replace(
            table.definition, name=name, fields=fields, native=table.definition.native or table.definition.name
        )

    def _record(self, app: App, object: str, record_id: str) -> Record:
        name = self._tables.get(object, object)
        row = app.tables[name].rows[record_id]
        hidden = self._excluded.get(object)
        pairs = self._ledger(app).pairs.get((name, record_id), {})
        into = row.get(self._merged.get(object, ""))
        return Record(
            record_id,
            _without(row, hidden) if hidden else dict(row),
            Version(app.position),
            tuple(pairs.values()),
            None if into is None else str(into),
        )

    def _standing(self, app: App, object: str, record_id: str | None) -> Record | None:
        rows = app.tables[self._tables.get(object, object)].rows
        return self._record(app, object, record_id) if record_id in rows and record_id is not None else None


def _found(table: Table, identifiers: Sequence[Identifier]) -> list[str]:
    """The ids that match any identifier, in the order of the key."""
    found: set[str] = set()
    for one in identifiers:
        found |= table.find(one.field, one.type, one.value)
    return table.sort(found)


def _told_as_merged(change: Change, field: str) -> Change:
    """A change that sets the field which names a survivor is a merge."""
    into = change.values.get(field)
    if into is None or change.op is not Op.UPSERT:
        return change
    return msgspec.structs.replace(change, op=Op.MERGE, into=str(into))


def _holds(row: Row, values: dict[str, Value]) -> bool:
    return all(name in row and row[name] == value for name, value in values.items())


def _without(row: Row, hidden: frozenset[str]) -> Row:
    return {name: value for name, value in row.items() if name not in hidden}
