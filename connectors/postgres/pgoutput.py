"""The messages of PostgreSQL's logical decoding plugin `pgoutput`, protocol version 1: bytes in, rows out.

Pure: no socket, no query. It knows layouts and codecs, but neither slots nor what a row means to us. The decoding
of a row is the hottest loop of the connector: some microseconds a row, so it is written plainly and long.

Source: "Logical Replication Message Formats" of the PostgreSQL documentation; the layouts are the same from 14 to 18.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct

import msgspec

from connectors.postgres.mapping import Codec
from rules.catalog import Value, join_id

# The first byte of a message.
BEGIN, COMMIT, RELATION, INSERT, UPDATE, DELETE, TRUNCATE, MESSAGE = b"BCRIUDTM"

# pgoutput counts microseconds since 2000-01-01.
EPOCH = 946_684_800

_BEGIN = Struct(">Qqi").unpack_from  # final LSN, commit time, transaction
_COMMIT = Struct(">BQQq").unpack_from  # flags, commit LSN, end LSN, commit time
_COLUMN_TYPE = Struct(">Ii").unpack_from  # type, modifier
_MESSAGE = Struct(">BQ").unpack_from  # flags (1: transactional), LSN
_UINT32 = Struct(">I").unpack_from
_UINT16 = Struct(">H").unpack_from

# How a column's value comes (the byte before it).
_NULL, _UNCHANGED, _TEXT = b"nut"
_KEY, _OLD, _NEW = b"KON"

Decoder = Callable[[bytes], Value]
Values = dict[str, Value]


class LogColumn(msgspec.Struct, frozen=True):
    """A column as a relation message describes it."""

    name: str
    type_oid: int
    modifier: int
    in_identity: bool


class Relation(msgspec.Struct, frozen=True):
    """A table as the log describes it ahead of its first row, and anew after it was altered."""

    oid: int
    schema: str
    name: str
    identity: str  # d default, n nothing, f full, i index
    columns: tuple[LogColumn, ...]


class Layout(msgspec.Struct, frozen=True):
    """How to decode the rows of one relation: per column its name and decoder; a name of None is skipped (excluded)."""

    columns: tuple[tuple[str | None, Decoder], ...]
    key: tuple[str, ...]
    single: str | None  # the key's only column

    def id_of(self, values: Mapping[str, Value]) -> str:
        """The record's id."""
        if self.single is not None:
            value = values[self.single]
            if type(value) is int:
                return str(value)
            return join_id([key_text(value)])
        return join_id([key_text(values[name]) for name in self.key])


def key_text(value: Value) -> str:
    """A key's canonical value as it stands in an id."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def layout(relation: Relation, codecs: Mapping[int, Codec], key: tuple[str, ...], skip: frozenset[str]) -> Layout:
    """The layout for rows of `relation`; `codecs` knows all of its types."""
    columns = tuple(
        (None if column.name in skip else column.name, codecs[column.type_oid].decode) for column in relation.columns
    )
    return Layout(columns, key, key[0] if len(key) == 1 else None)


def parse_begin(data: bytes) -> tuple[int, float, int]:
    """Commit position, commit time in seconds since 1970, transaction (32 bits)."""
    position, time, xid = _BEGIN(data, 1)
    return position, time / 1_000_000 + EPOCH, xid & 0xFFFFFFFF


def parse_commit(data: bytes) -> int:
    """The position behind the transaction."""
    end: int = _COMMIT(data, 1)[2]
    return end


def parse_message(data: bytes) -> tuple[bool, str, bytes]:
    """Of pg_logical_emit_message: whether transactional, the prefix, the content."""
    flags, _ = _MESSAGE(data, 1)
    end = data.index(b"\0", 10)
    return bool(flags & 1), data[10:end].decode(), data[end + 5 :]


def parse_truncate(data: bytes) -> tuple[int, ...]:
    """The relations that were emptied."""
    (count,) = _UINT32(data, 1)
    return tuple(_UINT32(data, 6 + 4 * index)[0] for index in range(count))


def parse_relation(data: bytes) -> Relation:
    """The description of a table."""
    (oid,) = _UINT32(data, 1)
    schema, at = _text(data, 5)
    name, at = _text(data, at)
    identity = chr(data[at])
    (count,) = _UINT16(data, at + 1)
    at += 3
    columns = []
    for _ in range(count):
        flags = data[at]
        column, at = _text(data, at + 1)
        type_oid, modifier = _COLUMN_TYPE(data, at)
        at += 8
        columns.append(LogColumn(column, type_oid, modifier, bool(flags & 1)))
    return Relation(oid, schema or "pg_catalog", name, identity, tuple(columns))


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at)
    return data[at:end].decode(), end + 1


def relation_of(data: bytes) -> int:
    """The relation of an insert, update or delete."""
    oid: int = _UINT32(data, 1)[0]
    return oid


def parse_row(data: bytes, how: Layout) -> tuple[Values | None, Values | None]:
    """The old and the new values of an insert, update or delete; old is None where the log does not tell.

    Columns that the log reports as unchanged are taken from the old row where that has them (REPLICA IDENTITY FULL, or a
    key in TOAST), else they are missing.
    """
    mark = data[5]
    old: Values | None = None
    at = 6
    if mark != _NEW:
        old, at = _tuple(data, at, how)
        if at == len(data):
            return old, None
        at += 1
        if mark == _KEY:
            # Of a key tuple all other columns are null, which says nothing.
            old = {name: old[name] for name in how.key}
    new, _ = _tuple(data, at, how)
    if old is not None and len(new) < len(how.columns):
        new = {**old, **new}
    return old, new


def _tuple(data: bytes, at: int, how: Layout) -> tuple[Values, int]:
    # The number of columns (2 bytes) is that of the relation.
    at += 2
    values: Values = {}
    uint32 = _UINT32
    for name, decode in how.columns:
        kind = data[at]
        if kind == _TEXT:
            start = at + 5
            at = start + uint32(data, at + 1)[0]
            if name is not None:
                values[name] = decode(data[start:at])
        elif kind == _NULL:
            at += 1
            if name is not None:
                values[name] = None
        else:  # unchanged: neither sent nor null
            at += 1
    return values, at
