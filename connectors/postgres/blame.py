"""Which field, and which other record, a refusal is about: the server's error names a constraint or a type at best.

Asked only for rows that were refused, one at a time. It must not decide what the refusal means (see `refusal`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import psycopg

from connectors.base import Outcome
from connectors.postgres.client import Connection
from connectors.postgres.names import quote
from connectors.postgres.read import Shape
from connectors.postgres.refusal import Refusal
from connectors.postgres.statements import Job
from rules.catalog import Value


class Blame(msgspec.Struct, frozen=True):
    """What a refusal is about."""

    field: str | None = None
    other: str | None = None
    message: str | None = None  # where it can be said better than the server did


# A unique rule may be an index without a constraint.
_CONSTRAINT = """
SELECT (SELECT json_agg(a.attname ORDER BY c.place)::text FROM unnest(k.conkey) WITH ORDINALITY c(number, place)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.number)
FROM pg_constraint k WHERE k.conrelid = $1::oid AND k.conname = $2
UNION ALL
SELECT (SELECT json_agg(a.attname ORDER BY c.place)::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY c(number, place)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = c.number WHERE c.place <= i.indnkeyatts)
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = $1::oid AND x.relname = $2 LIMIT 1"""


async def blame(
    connection: Connection, shape: Shape, job: Job, refusal: Refusal, stored: Mapping[str, Value] | None
) -> Blame:
    """What the refusal of this write is about. Runs in the transaction of the writes, after its savepoint was restored."""
    if refusal.outcome is Outcome.RETRY:
        return Blame()
    if refusal.sqlstate.startswith("22") or refusal.sqlstate == "23514":
        found = await _misfit(connection, shape, job)
        if found is not None:
            return found
    for name, pairing in shape.paired.items():
        if name in job.pairs and (pairing.schema, pairing.name) == (refusal.schema, refusal.table):
            missing = refusal.category == "association"
            return Blame(name, job.pairs[name] if missing else None)
    if refusal.column is not None:
        return Blame(refusal.column)
    if refusal.constraint is None:
        return Blame()
    row = await (await connection.execute(_CONSTRAINT, [shape.table.oid, refusal.constraint])).fetchone()
    columns: list[str] = json.loads(row[0] or "[]") if row is not None else []
    given = [name for name in columns if name in job.texts]
    field = given[0] if given else (columns[0] if columns else None)
    other = None
    if refusal.category == "duplicate" and columns:
        other = await _holder(connection, shape, job, columns, stored)
    elif refusal.category == "association" and len(given) == 1:
        other = job.texts[given[0]]
    message = None
    if refusal.detail and not shape.table.skip.intersection(columns):
        message = f"{refusal.message}: {refusal.detail}"
    return Blame(field, other, message)


async def _misfit(connection: Connection, shape: Shape, job: Job) -> Blame | None:
    """The first value that its column's type refuses: each is tried alone, since the server does not name the column."""
    for name, text in job.texts.items():
        column = shape.columns.get(name)
        if text is None or column is None:
            continue
        longest = column.type.max_length
        if longest is not None and len(text.rstrip(" ")) > longest:
            return Blame(name, None, f"{name} holds at most {longest} characters, the value has {len(text)}")
        # Named with its length an explicit cast cuts texts, which are measured above, and is exact for all others.
        try:
            async with connection.transaction():
                await connection.execute(f"SELECT $1::text::{column.native}", [text])
        except psycopg.DatabaseError as error:
            return Blame(name, None, f"{name}: {error.diag.message_primary}")
    return None


async def _holder(
    connection: Connection, shape: Shape, job: Job, columns: list[str], stored: Mapping[str, Value] | None
) -> str | None:
    """The id of the record that already holds the values of a unique rule."""
    conditions, parameters = [], []
    for name in columns:
        column = shape.columns.get(name)
        if column is None:
            return None
        text = job.texts.get(name)
        if name not in job.texts and stored is not None and (value := stored.get(name)) is not None:
            text = column.codec.dump(value)
        if text is None:
            return None
        parameters.append(text)
        conditions.append(f"t.{quote(name)} = ${len(parameters)}::text::{column.codec.cast}")
    query = f"SELECT {shape.select} FROM {shape.table.source} t WHERE {' AND '.join(conditions)} LIMIT 1"  # noqa: S608
    row: Any = await (await connection.execute(query, parameters)).fetchone()
    return None if row is None else shape.id_of(shape.values(row))
