"""The schema `tandem` in an account: what we remember there of our own writes.

`ledger`: per link the last command that was written, with both references of the pair. `fence`: per partition of
commands its owner's epoch and the offset up to which commands are written. Both move in the transaction of the writes.

Responsible for the statements over these two tables. It must not know the application's tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg

from connectors.base import Fence, Write
from connectors.postgres.client import Connection
from connectors.postgres.mapping import text_array
from connectors.postgres.names import SCHEMA, quote

# What is selective leads the indexes: on a table without statistics the server would else read all of an account.
CREATE = f"""\
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {SCHEMA}.ledger (
    installation text NOT NULL,
    account text NOT NULL,
    link text NOT NULL,
    sequence bigint NOT NULL,
    token text NOT NULL,
    op text NOT NULL,
    object text NOT NULL,
    id text,
    sync text,
    pair_account text,
    pair_object text,
    pair_id text,
    position pg_lsn NOT NULL DEFAULT pg_current_wal_insert_lsn(),
    writer xid8 NOT NULL DEFAULT pg_current_xact_id(),
    updated timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (link, installation, account)
);
CREATE INDEX IF NOT EXISTS ledger_record ON {SCHEMA}.ledger (id, object, installation, account);
CREATE TABLE IF NOT EXISTS {SCHEMA}.fence (
    installation text NOT NULL,
    account text NOT NULL,
    name text NOT NULL,
    epoch bigint NOT NULL,
    "offset" bigint NOT NULL,
    written_by bigint NOT NULL,
    PRIMARY KEY (installation, account, name)
);"""


def statements(role: str) -> str:
    """What an administrator runs where our role may not make the schema itself."""
    who = quote(role)
    return (
        f"{CREATE}\n"
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO {who};\n"
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {SCHEMA}.ledger, {SCHEMA}.fence TO {who};"
    )


_THERE = """
SELECT bool_and(to_regclass(name) IS NOT NULL AND has_schema_privilege('tandem', 'USAGE')
                AND has_table_privilege(to_regclass(name), 'SELECT') AND has_table_privilege(to_regclass(name), 'INSERT')
                AND has_table_privilege(to_regclass(name), 'UPDATE'))
FROM unnest(ARRAY['tandem.ledger', 'tandem.fence']) name
WHERE EXISTS (SELECT FROM pg_namespace WHERE nspname = 'tandem')"""


async def is_there(connection: Connection) -> bool:
    """Whether the ledger is there and may be used."""
    try:
        row = await (await connection.execute(_THERE)).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return False
    return row is not None and bool(row[0])


async def may_create(connection: Connection) -> bool:
    """Whether the role may make the schema."""
    query = """
        SELECT has_database_privilege(current_database(), 'CREATE')
            OR EXISTS (SELECT FROM pg_namespace WHERE nspname = 'tandem' AND pg_has_role(nspowner, 'USAGE'))"""
    row = await (await connection.execute(query)).fetchone()
    return row is not None and bool(row[0])


async def create(connection: Connection) -> bool:
    """Makes the ledger where the role may; returns whether it is there now."""
    if await is_there(connection):
        return True
    if not await may_create(connection):
        return False
    # Two accounts in one database may be prepared at once; CREATE … IF NOT EXISTS alone would fail for one of them.
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('tandem.ledger'))")
        for statement in CREATE.split(";"):
            if statement.strip():
                await connection.execute(statement)
    return True


# ---------------------------------------------------------------- statements of the writer


class Entry(msgspec.Struct, frozen=True):
    """The last command written for a link."""

    sequence: int
    token: str
    op: str
    id: str | None


FENCE_MAKE = (
    'INSERT INTO tandem.fence (installation, account, name, epoch, "offset", written_by) VALUES ($1, $2, $3, -1, -1, -1) '
    "ON CONFLICT DO NOTHING"
)
FENCE_LOCK = 'SELECT epoch, "offset", written_by FROM tandem.fence WHERE installation = $1 AND account = $2 AND name = $3 FOR UPDATE'
FENCE_MOVE = (
    'UPDATE tandem.fence SET epoch = $4, "offset" = $5, written_by = $6 '
    "WHERE installation = $1 AND account = $2 AND name = $3"
)
LOOK_UP = (
    "SELECT link, sequence, token, op, id FROM tandem.ledger "
    "WHERE installation = $1 AND account = $2 AND link = ANY($3::text[])"
)
# An entry that is not older than ours came in between, from a writer that no fence holds off: the division by zero
# undoes the transaction, writes included.
RECORD = """
WITH entered AS (
    INSERT INTO tandem.ledger AS l
        (installation, account, object, link, sequence, token, op, id, sync, pair_account, pair_object, pair_id)
    SELECT $1, $2, $3, r.link, r.sequence::bigint, r.token, r.op, r.id, r.sync, r.pair_account, r.pair_object, r.pair_id
    FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[])
         AS r(link, sequence, token, op, id, sync, pair_account, pair_object, pair_id)
    ON CONFLICT (link, installation, account) DO UPDATE SET
        sequence = excluded.sequence, token = excluded.token, op = excluded.op, object = excluded.object, id = excluded.id,
        sync = coalesce(excluded.sync, l.sync), pair_account = coalesce(excluded.pair_account, l.pair_account),
        pair_object = coalesce(excluded.pair_object, l.pair_object), pair_id = coalesce(excluded.pair_id, l.pair_id),
        position = excluded.position, writer = excluded.writer, updated = excluded.updated
    WHERE l.sequence < excluded.sequence
    RETURNING 1)
SELECT 1 / (count(*) = $13)::int FROM entered"""


def record_parameters(
    installation: str, account: str, name: str, written: Sequence[tuple[Write, str | None]]
) -> list[Any]:
    """The parameters of `RECORD`: writes with the ids of their records."""
    pairs = [write.pair for write, _ in written]
    return [
        installation,
        account,
        name,
        text_array([write.link for write, _ in written]),
        text_array([str(write.sequence) for write, _ in written]),
        text_array([write.token for write, _ in written]),
        text_array([write.op.value for write, _ in written]),
        text_array([record_id for _, record_id in written]),
        text_array([None if pair is None else pair.sync for pair in pairs]),
        text_array([None if pair is None else pair.account for pair in pairs]),
        text_array([None if pair is None else pair.object for pair in pairs]),
        text_array([None if pair is None else pair.id for pair in pairs]),
        len(written),
    ]


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """The row of a fence: the highest epoch seen, the highest offset written, and the epoch of who wrote that."""

    epoch: int
    offset: int
    written_by: int

    def is_behind(self, fence: Fence) -> bool:
        """Whether the message at the fence's offset has been written before, and by another owner.

        The same owner may come again with the same message, for what it could not do the first time: another part of
        the message, a row that was locked. What it has written is in the ledger, and answered from there.
        """
        return fence.offset < self.offset or (fence.offset == self.offset and fence.epoch != self.written_by)

    def moved(self, fence: Fence) -> Kept:
        """The row after the writes."""
        if self.is_behind(fence):
            return Kept(fence.epoch, self.offset, self.written_by)
        return Kept(fence.epoch, fence.offset, fence.epoch)
