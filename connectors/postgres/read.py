"""Reading records: pages of a full read, single records, records by identifier.

Responsible for: select lists, the order of the key, the version that an image read without a lock carries, and the pairs
that the ledger adds. It must not write, nor decide what a record is for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import msgspec
import psycopg

from connectors.base import Page, Pair, Record
from connectors.postgres import pairs
from connectors.postgres.client import Connection, translated
from connectors.postgres.mapping import text_array
from connectors.postgres.names import quote
from connectors.postgres.pgoutput import key_text
from connectors.postgres.tables import Column, Table
from rules.catalog import Value, join_id, split_id
from rules.version import Snapshot, Version

PAGE = 1000  # rows
_PAGE_BYTES = 8 << 20

Row = Sequence[Any]


class Shape:
    """How the rows of a table are selected and become records; made once per discovery."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.names = tuple(column.name for column in table.fields)
        self.columns = {column.name: column for column in table.fields}
        self.paired = {pairing.field.name: pairing for pairing in table.pairings}
        self.keys = table.keys()
        self._integer_key = len(self.keys) == 1 and self.keys[0].codec.load is int
        self._convert = tuple((column.name, column.codec.load) for column in table.fields if not column.codec.plain)
        self._single_key = table.key[0] if len(table.key) == 1 else None
        plain = [f"t.{quote(column.name)}" for column in table.columns]
        self.select = ", ".join([*plain, *(pairs.expression(one, table.key[0]) for one in table.pairings)])
        self.key_sql = ", ".join(f"t.{quote(name)}" for name in table.key)

    def values(self, row: Row) -> dict[str, Value]:
        """Canonical values of a selected row."""
        values: dict[str, Value] = dict(zip(self.names, row, strict=True))
        for name, load in self._convert:
            text = values[name]
            if text is not None:
                values[name] = load(text)  # type: ignore[arg-type]  # loaded as text
        return values

    def references(self, row: Row) -> dict[str, Value]:
        """Canonical values of a row of `pairs.shown_sql`, without its number."""
        columns = [pairing.field for pairing in self.table.pairings]
        return {
            one.name: value if value is None or one.codec.plain else one.codec.load(value)
            for one, value in zip(columns, row, strict=True)
        }

    def id_of(self, values: dict[str, Value]) -> str:
        """The record's id."""
        if self._single_key is not None:
            value = values[self._single_key]
            return str(value) if type(value) is int else join_id([key_text(value)])
        return join_id([key_text(values[name]) for name in self.table.key])

    def key_texts(self, record_id: str) -> list[str] | None:
        """The key of an id as texts for the server; None where no row can have it."""
        if self._integer_key and record_id.isdecimal() and len(record_id) < 19:
            return [record_id]
        parts = split_id(record_id)
        if len(parts) != len(self.keys):
            return None
        texts = [key_input(column, part) for column, part in zip(self.keys, parts, strict=True)]
        return None if None in texts else texts  # type: ignore[return-value]


def key_input(column: Column, part: str) -> str | None:
    """A part of an id as the server's input takes it; None where it is no value of the column's type."""
    if "\0" in part:
        return None
    try:
        if column.type.bits is not None and column.codec.load is int:
            return part if -(1 << 63) <= int(part) < (1 << 63) else None
        return column.codec.dump(part == "true" if column.codec.cast == "boolean" else part)
    except (TypeError, ValueError):
        return None


def keys_sql(shape: Shape, first: int = 0) -> str:
    """`unnest` of a batch of keys as a table `k` with the columns k1, k2 … of the key's types, to join with."""
    count = len(shape.keys)
    arrays = ", ".join(f"${first + index + 1}::text[]" for index in range(count))
    columns = ", ".join(f"k{index}" for index in range(count))
    casts = ", ".join(f"k{index}::{column.codec.cast} AS k{index}" for index, column in enumerate(shape.keys))
    return f"(SELECT {casts} FROM unnest({arrays}) AS r({columns})) k"  # noqa: S608


def keys_join(shape: Shape) -> str:
    """The condition that joins table `t` with `k`."""
    return " AND ".join(f"t.{quote(column.name)} = k.k{index}" for index, column in enumerate(shape.keys))


def key_arrays(shape: Shape, keys: Sequence[Sequence[str]]) -> list[str]:
    """The parameters of `keys_sql`."""
    return [text_array([key[index] for key in keys]) for index in range(len(shape.keys))]


# ---------------------------------------------------------------- images

_POSITION = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


def parse_snapshot(text: str) -> Snapshot:
    """PostgreSQL's pg_snapshot: `xmin:xmax:running,running`."""
    xmin, xmax, running = text.split(":")
    return Snapshot(int(xmin), int(xmax), tuple(map(int, running.split(","))) if running else ())


async def image(
    connection: Connection, query: str, parameters: Sequence[Any], *, prepare: bool = True
) -> tuple[list[Row], Version]:
    """Rows read without a lock, with what the read could see.

    The position is read before the snapshot is taken, the snapshot is that of the rows. The transaction stays open, so
    that the caller can add to the image; `COMMIT` ends it.
    """
    # Not in the pipeline: statements without a sync between them share a transaction, and with it the snapshot.
    place = await (await connection.execute(_POSITION)).fetchone()
    async with connection.pipeline():
        await connection.execute(_BEGIN)
        seen = await connection.execute("SELECT pg_current_snapshot()::text")
        rows = await connection.execute(query, parameters, prepare=prepare)
    sees = await seen.fetchone()
    assert place is not None
    assert sees is not None
    return list(await rows.fetchall()), Version(int(place[0]), None, parse_snapshot(sees[0]))


class Ledger(msgspec.Struct, frozen=True):
    """Whose pairs to look up; `there` False: the account has no ledger."""

    installation: str
    account: str
    there: bool


_PAIRS = """
SELECT id, sync, pair_account, pair_object, pair_id FROM tandem.ledger
WHERE installation = $1 AND account = $2 AND object = $3 AND id = ANY($4::text[]) AND pair_id IS NOT NULL
ORDER BY id, link"""


async def remembered(
    connection: Connection, ledger: Ledger, name: str, ids: Sequence[str]
) -> dict[str, tuple[Pair, ...]]:
    """What the ledger remembers of the records."""
    if not ledger.there or not ids:
        return {}
    cursor = await connection.execute(
        _PAIRS, [ledger.installation, ledger.account, name, text_array(ids)], prepare=True
    )
    result: dict[str, tuple[Pair, ...]] = {}
    for record_id, sync, account, other, other_id in await cursor.fetchall():
        result[record_id] = (*result.get(record_id, ()), Pair(sync, account, other, other_id))
    return result


async def records(
    connection: Connection,
    shape: Shape,
    ledger: Ledger,
    query: str,
    parameters: Sequence[Any],
    *,
    prepare: bool = True,
) -> list[Record]:
    """The records that a query over the select list finds, as an image, with their pairs."""
    return (await _imaged(connection, shape, ledger, query, parameters, prepare=prepare))[0]


async def _imaged(
    connection: Connection,
    shape: Shape,
    ledger: Ledger,
    query: str,
    parameters: Sequence[Any],
    *,
    prepare: bool = True,
) -> tuple[list[Record], Version]:
    rows, version = await image(connection, query, parameters, prepare=prepare)
    found = [(shape.id_of(values), values) for values in map(shape.values, rows)]
    known = await remembered(connection, ledger, shape.table.object, [record_id for record_id, _ in found])
    await connection.execute("COMMIT")
    merged = shape.table.merged_into
    return [
        Record(record_id, values, version, known.get(record_id, ()), _survivor(values, merged))
        for record_id, values in found
    ], version


def _survivor(values: dict[str, Value], merged_into: str | None) -> str | None:
    survivor = None if merged_into is None else values.get(merged_into)
    return None if survivor is None else join_id([key_text(survivor)])


async def read(connection: Connection, shape: Shape, ledger: Ledger, ids: Sequence[str]) -> list[Record]:
    """The records of these ids, as far as they are there."""
    keys = [key for record_id in ids if (key := shape.key_texts(record_id)) is not None]
    if not keys:
        return []
    query = f"SELECT {shape.select} FROM {shape.table.source} t JOIN {keys_sql(shape)} ON {keys_join(shape)}"  # noqa: S608
    try:
        return await records(connection, shape, ledger, query, key_arrays(shape, keys))
    except psycopg.DataError:
        # An id that is no value of the key's type (a uuid that is none): nothing is there under it.
        await connection.execute("ROLLBACK")
        if len(keys) == 1:
            return []
        half = len(ids) // 2
        first = await read(connection, shape, ledger, ids[:half])
        return first + await read(connection, shape, ledger, ids[half:])


async def read_as_of(
    connection: Connection, shape: Shape, ledger: Ledger, ids: Sequence[str]
) -> tuple[list[Record], Version]:
    """The records of ids that are known to be of the key's type, and what the read could see, though it find none."""
    keys = [key for record_id in ids if (key := shape.key_texts(record_id)) is not None]
    query = f"SELECT {shape.select} FROM {shape.table.source} t JOIN {keys_sql(shape)} ON {keys_join(shape)}"  # noqa: S608
    return await _imaged(connection, shape, ledger, query, key_arrays(shape, keys))


# ---------------------------------------------------------------- the full read


async def page_size(connection: Connection, table: Table) -> int:
    """Rows per page, fewer where rows are large."""
    query = "SELECT pg_table_size($1::oid) / greatest(reltuples, 1) FROM pg_class WHERE oid = $1::oid"
    row = await (await connection.execute(query, [table.oid])).fetchone()
    width = float(row[0]) if row is not None and table.rows > 0 else 0.0
    return max(10, min(PAGE, int(_PAGE_BYTES / width))) if width else PAGE


async def page(connection: Connection, shape: Shape, ledger: Ledger, resume: str | None, size: int) -> Page:
    """The page after `resume`, which is the id of the last record of the page before."""
    after, parameters = "", []
    if resume is not None:
        key = shape.key_texts(resume)
        assert key is not None
        bounds = ", ".join(f"${place}::text::{column.codec.cast}" for place, column in enumerate(shape.keys, 1))
        after, parameters = f"WHERE ({shape.key_sql}) > ({bounds})", key
    query = f"SELECT {shape.select} FROM {shape.table.source} t {after} ORDER BY {shape.key_sql} LIMIT {size}"  # noqa: S608
    found = await records(connection, shape, ledger, query, parameters)
    return Page(shape.table.object, tuple(found), found[-1].id if len(found) == size else None)


async def pages(
    connect: Callable[[], Any], shape: Shape, ledger: Ledger, resume: str | None
) -> AsyncGenerator[Page, None]:
    """All pages after `resume`; the next is fetched while the consumer works on one."""
    connection: Connection = await connect()
    fetch: asyncio.Task[Page] | None = None
    try:
        with translated(f"reading {shape.table.native}"):
            size = await page_size(connection, shape.table)
            fetch = asyncio.create_task(page(connection, shape, ledger, resume, size))
            while fetch is not None:
                current = await fetch
                following = current.resume
                fetch = None
                if following is not None:
                    fetch = asyncio.create_task(page(connection, shape, ledger, following, size))
                yield current
    finally:
        if fetch is not None:
            fetch.cancel()
            await asyncio.gather(fetch, return_exceptions=True)
        await connection.close()
