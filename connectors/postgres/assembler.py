"""From the messages of the log to what the engine takes: batches, marks, truncations, changed fields, heartbeats.

Pure: messages in, events out. All that depends on the order of messages is here; it must not know what becomes of a batch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

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
from connectors.postgres.mapping import Codec
from connectors.postgres.names import MARK_PREFIX, MESSAGE_PREFIX, format_lsn
from connectors.postgres.pgoutput import Layout, Relation, Values, key_text
from connectors.postgres.tables import Pairing, Table
from rules.catalog import Value, join_id
from rules.version import Version

BATCH = 500  # rows: what a batch holds at most
_HALF, _FULL = 1 << 31, 1 << 32


class Said(msgspec.Struct, frozen=True):
    """A message of ours in the log: a mark, the beginning of our own transaction, or the tokens of its rows."""

    installation: str
    account: str
    mark: str = ""
    tokens: list[tuple[str, str, str]] | None = None  # object, id, token


class Touched(msgspec.Struct, frozen=True):
    """Records whose pairs have changed: what they are now is to be read. `ids` None: all of the object's.

    `writers`: the transactions that the read must see, or it would tell of before. `before`: the cursor that batches may carry ahead of the last.
    """

    object: str
    ids: tuple[str, ...] | None
    writers: frozenset[int]
    before: str
    cursor: str


class Unfilled(msgspec.Struct, frozen=True):
    """A batch with new records, whose pairs the log tells apart: what they refer to is to be read. The read must see `writers`."""

    batch: Batch
    ids: frozenset[str]
    writers: frozenset[int]


Fields = tuple[tuple[str, str], ...] | None  # name, native type; None: there is no such object
Event = Captured | Touched | Unfilled


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
        self._told_fields: dict[str, Fields] = {}
        self._xid_near = next_xid
        self._groups: dict[str, list[Change]] = {}
        self._ready: list[Event] = []
        # Tables of pairs, by oid: whose records they touch, and by what column; how their rows are laid out.
        self.pairings: dict[int, list[tuple[str, Pairing]]] = {}
        for table in tables.values():
            for pairing in table.pairings:
                self.pairings.setdefault(pairing.oid, []).append((table.object, pairing))
        self._layouts: dict[int, Layout] = {}
        self._touched: dict[str, dict[str, None]] = {}
        self._fresh: dict[str, set[str]] = {}
        self._writers: dict[str, set[int]] = {}  # of both
        self.count = 0  # rows that wait in the groups
        self.end = 0  # behind the last complete transaction
        self.told = 0  # the cursor of the last event
        self.open = False  # within a transaction
        self._position = self._xid = self._step = 0
        self._committed_at = 0.0
        self._own: list[tuple[str, Change]] | None = None
        # What our own transaction made the records refer to: nobody else changes their pairs meanwhile, so the log says it all.
        self._own_pairs: dict[tuple[str, str], tuple[dict[str, Value], Version]] = {}
        self._own_open: dict[tuple[str, str], set[str]] = {}  # fields of which it does not
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
                for name, _ in self.pairings.get(oid, ()) if oid in self._layouts else ():
                    self._release_own()
                    self._flush()
                    position = format_lsn(self.told)
                    self._ready.append(Touched(name, None, frozenset((self._xid,)), position, position))
                if oid in self._followed:
                    self._release_own()
                    self._flush()
                    self._ready.append(Truncated(self._followed[oid].table.object, format_lsn(self.end)))
        # Origin and type messages say nothing that we need.

    def _row(self, data: bytes) -> None:
        oid = pgoutput.relation_of(data)
        followed = self._followed.get(oid)
        step = self._step
        self._step = step + 1
        if oid in self._layouts:
            self._touch(oid, data, Version(self._position, self._xid, None, step))
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
            if data[0] == pgoutput.INSERT and table.pairings and self._own is not None:
                new |= {pairing.field.name: None for pairing in table.pairings}
            elif data[0] == pgoutput.INSERT and table.pairings:
                self._fresh.setdefault(table.object, set()).add(record_id)
                self._writers.setdefault(table.object, set()).add(self._xid)
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

    def _touch(self, oid: int, data: bytes, version: Version) -> None:
        """A pair was made, changed or removed: the record that it is of, and was of, is touched."""
        rows = pgoutput.parse_row(data, self._layouts[oid])
        for name, pairing in self.pairings[oid]:
            for row in rows:
                value = None if row is None else row.get(pairing.own)
                if row is None or value is None:
                    continue
                record_id = join_id([key_text(value)])
                if self._own is None:
                    self._is_touched(name, record_id)
                else:
                    self._note_own((name, record_id), pairing, row, version)

    def _is_touched(self, name: str, record_id: str) -> None:
        self._touched.setdefault(name, {})[record_id] = None
        self._writers.setdefault(name, set()).add(self._xid)
        self.count += 1

    def _note_own(self, record: tuple[str, str], pairing: Pairing, row: Values, version: Version) -> None:
        """A pair that is marked says all; one that is not leaves open whether it was, unless the mark goes to another."""
        field, open_ = pairing.field.name, self._own_open.setdefault(record, set())
        if row.get(pairing.primary) is True:
            fields, _ = self._own_pairs.get(record, ({}, version))
            fields[field] = row.get(pairing.other)
            self._own_pairs[record] = (fields, version)
            open_.discard(field)
        else:
            open_.add(field)

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
            evolve = msgspec.structs.replace
            for name, change in self._own:
                token = self._tokens.get((name, change.id))
                paired = self._own_pairs.pop((name, change.id), None)
                if paired is not None and change.op is not Op.DELETE:
                    change = evolve(change, values={**change.values, **paired[0]})
                self._add(name, change if token is None else evolve(change, token=token))
            for (name, record_id), (values, version) in self._own_pairs.items():
                token = self._tokens.get((name, record_id))
                self._add(name, Change(Op.UPSERT, record_id, values, version, self._committed_at, token=token))
            for (name, record_id), fields in self._own_open.items():
                if fields:
                    self._is_touched(name, record_id)
            self._own, self._tokens, self._own_pairs, self._own_open = None, {}, {}, {}

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

    def pairs(self, relation: Relation, codecs: Mapping[int, Codec]) -> None:
        """A table of pairs is described."""
        known = frozenset(column.name for column in relation.columns if column.in_identity)
        found = [pairing for _, pairing in self.pairings[relation.oid]]
        own = {pairing.own for pairing in found}
        if not own <= known:
            lacking = ", ".join(sorted(own - known))
            raise CursorExpiredError(f"the log no longer tells {lacking} of a row of {relation.name} that is gone")
        wanted = own.union(*((pairing.other, pairing.primary) for pairing in found))
        skip = frozenset(column.name for column in relation.columns) - wanted
        self._layouts[relation.oid] = pgoutput.layout(relation, codecs, tuple(sorted(own)), skip)

    def begin(self, position: int, fields: Mapping[str, Fields]) -> None:
        """Where the log begins, and the fields as they are: what has changed while nobody read the log is known from here on."""
        self.end = self.told = position
        for name, now in fields.items():
            self._tell_fields(name, now)

    def _tell_fields(self, name: str, fields: Fields) -> None:
        if name not in self._told_fields or self._told_fields[name] != fields:
            self._told_fields[name] = fields
            self._ready.append(FieldsChanged(name, fields, format_lsn(self.end)))

    def relation(self, relation: Relation, codecs: Mapping[int, Codec], fields: Fields | None) -> None:
        """A table is described: rows after it are laid out so. `fields`: as they are now, where it `alters` it."""
        table = self.tables[relation.oid]
        if not {column.name for column in relation.columns}.issuperset(table.key):
            raise CursorExpiredError(f"the key of {table.native} is another one than was discovered")
        first = relation.oid not in self._followed
        layout = pgoutput.layout(relation, codecs, table.key, table.skip)
        self._followed[relation.oid] = Followed(table, layout)
        if fields is None:
            return
        self._release_own()
        self._flush()
        if not first:  # else the log may be behind what was discovered, and come to that yet
            self._told_shapes[relation.oid] = _shape(relation, table)
        renamed = (relation.schema, relation.name) != (table.schema, table.name)
        self._tell_fields(table.object, None if renamed and not first else fields)

    # ------------------------------------------------------------ out

    def _flush(self) -> None:
        """Turns the groups into batches. Only the last may say that all complete transactions are through."""
        groups, self._groups, self.count = self._groups, {}, 0
        # Of our own transaction what it touched waits for its rows, which have the tokens.
        touched = {} if self._own is not None else self._touched
        last = len(groups) + len(touched) - 1
        before = format_lsn(self.told)
        for index, (name, changes) in enumerate(groups.items()):
            if index == last:
                self.told = self.end
            batch = Batch(name, tuple(changes), format_lsn(self.told))
            fresh = self._fresh.pop(name, None)
            writers = frozenset(self._writers.get(name, ()))
            self._ready.append(batch if fresh is None else Unfilled(batch, frozenset(fresh), writers))
        for index, (name, ids) in enumerate(touched.items(), len(groups)):
            if index == last:
                self.told = self.end
            writers = frozenset(self._writers.get(name, ()))
            self._ready.append(Touched(name, tuple(ids), writers, before, format_lsn(self.told)))
        if self._own is None:
            self._touched, self._writers = {}, {}

    def heartbeat(self, looked_through: int) -> Heartbeat | None:
        """Where the log stands for us, if that is further than last told and no transaction is half through."""
        position = max(looked_through, self.end)
        if self.open or position <= self.told:
            return None
        self.told = position
        return Heartbeat(format_lsn(position), time.time())

    def lose(self, table: Table) -> FieldsChanged:
        """A table is no longer there: nothing more is told of it."""
        self.tables.pop(table.oid, None)
        self._followed.pop(table.oid, None)
        for oid, found in self.pairings.items():
            self.pairings[oid] = [(name, pairing) for name, pairing in found if name != table.object]
        self._told_fields[table.object] = None
        return FieldsChanged(table.object, None, format_lsn(self.told))

    def take(self) -> list[Event]:
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
