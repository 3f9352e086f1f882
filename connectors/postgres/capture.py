"""From the messages of the log to what the engine takes: batches, marks, truncations, changed fields, heartbeats.

`Assembler` is pure (messages in, events out) and holds all that depends on the order of messages; `capture` is the loop
around it that reads, waits and asks the catalogs. Neither knows what becomes of a batch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Protocol

import msgspec

from connectors.base import (
    Batch,
    Captured,
    Change,
    Context,
    CursorExpiredError,
    FieldsChanged,
    Heartbeat,
    Marked,
    Op,
    Truncated,
)
from connectors.postgres import pgoutput
from connectors.postgres.catalog import Table
from connectors.postgres.mapping import Codec
from connectors.postgres.names import MARK_PREFIX, MESSAGE_PREFIX, format_lsn
from connectors.postgres.pgoutput import Layout, Relation, key_text
from connectors.postgres.replication import Replication
from rules.catalog import join_id
from rules.version import Version

BATCH = 500  # rows: what a batch holds at most
# How many messages are taken in one go, before others on the event loop get their turn (some milliseconds).
_SLICE = 500
_HEARTBEAT = 1.0  # seconds between heartbeats on a quiet log
CHECK = 5.0  # seconds between looks whether our tables are still those of the publication

_HALF, _FULL = 1 << 31, 1 << 32


class Said(msgspec.Struct, frozen=True):
    """A message of ours in the log: a mark, the beginning of our own transaction, or the tokens of its rows."""

    installation: str
    account: str
    mark: str = ""
    tokens: list[tuple[str, str, str]] | None = None  # object, id, token


class Followed(msgspec.Struct):
    """A table of ours that the log has described, and how to decode its rows."""

    table: Table
    layout: Layout


class Assembler:
    """Turns messages into events. Rows are grouped per object as they come, in the order of commits, until `take`.

    A transaction that begins with our mark is held back until its commit, because the tokens of its rows come last.
    """

    def __init__(self, context: Context, tables: dict[int, Table], next_xid: int) -> None:
        self._context = context
        self.tables = tables  # by oid
        self._followed: dict[int, Followed] = {}
        self._told_shapes = {oid: _shape_of_table(table) for oid, table in tables.items()}
        self._xid_near = next_xid
        self._groups: dict[str, list[Change]] = {}
        self._ready: list[Captured] = []
        self.count = 0  # rows that wait in the groups
        self.end = 0  # behind the last complete transaction
        self.told = 0  # the cursor of the last event
        self.open = False  # within a transaction
        self._position = self._xid = self._step = 0
        self._committed_at = 0.0
        self._own: list[tuple[str, Change]] | None = None
        self._tokens: dict[tuple[str, str], str] = {}
        self._marks: list[str] = []

    # ------------------------------------------------------------ messages

    def feed(self, data: bytes) -> None:
        """Takes any message but that of a relation (see `relation`)."""
        kind = data[0]
        if kind in (pgoutput.INSERT, pgoutput.UPDATE, pgoutput.DELETE):
            self._row(data)
        elif kind == pgoutput.BEGIN:
            self._position, self._committed_at, xid = pgoutput.parse_begin(data)
            self._xid = self._extend(xid)
            self._step, self.open = 0, True
        elif kind == pgoutput.COMMIT:
            self._commit(pgoutput.parse_commit(data))
        elif kind == pgoutput.MESSAGE:
            self._message(*pgoutput.parse_message(data))
        elif kind == pgoutput.TRUNCATE:
            for oid in pgoutput.parse_truncate(data):
                if oid in self._followed:
                    self._release_own()
                    self._flush()
                    self._ready.append(Truncated(self._followed[oid].table.object, format_lsn(self.end)))
        # Origin and type messages say nothing that we need.

    def _row(self, data: bytes) -> None:
        followed = self._followed.get(pgoutput.relation_of(data))
        step = self._step
        self._step = step + 1
        if followed is None:
            return
        table, how = followed.table, followed.layout
        old, new = pgoutput.parse_row(data, how)
        version = Version(self._position, self._xid, None, step)
        old_id = into = None
        if new is None:
            assert old is not None
            change = Change(Op.DELETE, how.id_of(old), {}, version, self._committed_at)
        else:
            record_id = how.id_of(new)
            if old is not None:
                old_id = how.id_of(old)
                if old_id == record_id:
                    old_id = None
            op = Op.UPSERT
            if table.merged_into is not None:
                survivor = new.get(table.merged_into)
                if survivor is not None:
                    op, into = Op.MERGE, join_id([key_text(survivor)])
            change = Change(op, record_id, new, version, self._committed_at, old_id, into)
        if self._own is not None:
            self._own.append((table.object, change))
        else:
            self._add(table.object, change)

    def _add(self, name: str, change: Change) -> None:
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = []
        group.append(change)
        self.count += 1

    def _message(self, transactional: bool, prefix: str, content: bytes) -> None:
        if not transactional or prefix not in (MESSAGE_PREFIX, MARK_PREFIX):
            return
        try:
            said = msgspec.json.decode(content, type=Said)
        except msgspec.DecodeError:
            return  # somebody else's, under our prefix
        if (said.installation, said.account) != (self._context.installation, self._context.account):
            return
        if prefix == MARK_PREFIX:
            self._marks.append(said.mark)
        elif said.tokens is None:
            self._own = []
        else:
            self._tokens.update({(name, record_id): token for name, record_id, token in said.tokens})

    def _commit(self, end: int) -> None:
        self._release_own()
        self.end = max(self.end, end)
        self.open = False
        if self._marks:
            self._flush()
            self._ready += [Marked(mark, format_lsn(self.end)) for mark in self._marks]
            self.told = self.end
            self._marks = []

    def _release_own(self) -> None:
        """Gives the rows of our own transaction their tokens, as far as they have come."""
        if self._own is not None:
            for name, change in self._own:
                token = self._tokens.get((name, change.id))
                self._add(name, change if token is None else msgspec.structs.replace(change, token=token))
            self._own, self._tokens = None, {}

    def _extend(self, xid: int) -> int:
        """A transaction's number in 64 bits: of the candidates the one near those that we have seen."""
        near = self._xid_near
        full = (near & ~(_FULL - 1)) | xid
        if full > near + _HALF:
            full -= _FULL
        elif full < near - _HALF:
            full += _FULL
        self._xid_near = max(near, full)
        return full

    # ------------------------------------------------------------ relations

    def alters(self, relation: Relation) -> bool:
        """Whether the description tells of other fields than those last told (at first: those discovered)."""
        return _shape(relation, self.tables[relation.oid]) != self._told_shapes[relation.oid]

    def relation(self, relation: Relation, codecs: Mapping[int, Codec], natives: Mapping[str, str] | None) -> None:
        """A table is described: rows after it are laid out so. `natives`: the types' names, where it `alters` it."""
        table = self.tables[relation.oid]
        if not {column.name for column in relation.columns}.issuperset(table.key):
            raise CursorExpiredError(f"the key of {table.native} is another one than was discovered")
        first = relation.oid not in self._followed
        layout = pgoutput.layout(relation, codecs, table.key, table.skip)
        self._followed[relation.oid] = Followed(table, layout)
        if natives is None:
            return
        self._release_own()
        self._flush()
        if first:
            # The log is behind what was discovered: what holds now is told, once, ahead of the older rows.
            fields = tuple((column.name, column.native) for column in table.columns)
        else:
            fields = tuple((c.name, natives[c.name]) for c in relation.columns if c.name not in table.skip)
            self._told_shapes[relation.oid] = _shape(relation, table)
        renamed = (relation.schema, relation.name) != (table.schema, table.name)
        told = None if renamed and not first else fields
        self._ready.append(FieldsChanged(table.object, told, format_lsn(self.end)))

    # ------------------------------------------------------------ out

    def _flush(self) -> None:
        """Turns the groups into batches. Only the last may say that all complete transactions are through."""
        groups, self._groups, self.count = self._groups, {}, 0
        last = len(groups) - 1
        for index, (name, changes) in enumerate(groups.items()):
            if index == last:
                self.told = self.end
            self._ready.append(Batch(name, tuple(changes), format_lsn(self.told)))

    def heartbeat(self, looked_through: int) -> Heartbeat | None:
        """Where the log stands for us, if that is further than last told and no transaction is half through."""
        position = max(looked_through, self.end)
        if self.open or position <= self.told:
            return None
        self.told = position
        return Heartbeat(format_lsn(position), time.time())

    def take(self) -> list[Captured]:
        """All events so far."""
        self._flush()
        ready, self._ready = self._ready, []
        return ready


Shape = tuple[str, str, frozenset[tuple[str, int, int]]]


def _shape(relation: Relation, table: Table) -> Shape:
    columns = ((c.name, c.type_oid, c.modifier) for c in relation.columns if c.name not in table.skip)
    return relation.schema, relation.name, frozenset(columns)


def _shape_of_table(table: Table) -> Shape:
    columns = ((column.name, column.type_oid, column.modifier) for column in table.columns)
    return table.schema, table.name, frozenset(columns)


# ---------------------------------------------------------------- the loop


class Lookup(Protocol):
    """What the loop asks of the catalogs while it runs; the connector supplies it."""

    async def codecs(self, relation: Relation) -> Mapping[int, Codec]:
        """Codecs that cover the relation's types."""

    async def natives(self, relation: Relation) -> dict[str, str]:
        """The names of its columns' types."""

    async def check(self) -> None:
        """Raises CursorExpiredError where a table of ours is no longer the one that the log tells of."""


async def capture(stream: Replication, assembler: Assembler, lookup: Lookup) -> AsyncGenerator[Captured, None]:
    """Events without end. A batch is what arrived while the one before was in hand, so no timer is in its way."""
    told_at = checked_at = time.monotonic()
    while True:
        taken = 0
        while taken < _SLICE and assembler.count < BATCH:
            data = stream.read()
            if data is None:
                if not assembler.open:
                    break
                # The rest of a transaction is on its way: it comes at its commit, as a whole.
                await stream.wait(_HEARTBEAT)
                continue
            taken += 1
            if data[0] != pgoutput.RELATION:
                assembler.feed(data)
                continue
            relation = pgoutput.parse_relation(data)
            if relation.oid in assembler.tables:
                natives = await lookup.natives(relation) if assembler.alters(relation) else None
                assembler.relation(relation, await lookup.codecs(relation), natives)
        events = assembler.take()
        for event in events:
            yield event
        now = time.monotonic()
        if now - checked_at >= CHECK:
            await lookup.check()
            checked_at = now
        if events:
            told_at = now
        elif taken:
            await asyncio.sleep(0)
        else:
            if now - told_at >= _HEARTBEAT and (heartbeat := assembler.heartbeat(stream.wal_end)):
                yield heartbeat
                told_at = now
            await stream.wait(_HEARTBEAT)
