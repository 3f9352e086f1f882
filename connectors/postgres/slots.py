"""What capture needs in the server: the publication, the slot, their upkeep and removal.

Responsible for: making them so that the log has no gap, telling whether they still reach back, and dropping them. It
must not read the log, nor rows.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg

from connectors.base import CursorExpiredError, FatalError, RetriableError
from connectors.postgres.client import Connection, translate
from connectors.postgres.mapping import text_array
from connectors.postgres.names import format_lsn, parse_lsn, quote
from connectors.postgres.tables import Table

# How long `prepare` waits for transactions that were open before: their end is what makes the log complete.
PATIENCE = 30.0
_PAUSE = 0.05


class SlotState(msgspec.Struct, frozen=True):
    """A slot as the server shows it."""

    name: str
    lost: str | None  # why it is of no use any more
    active_pid: int | None
    confirmed: int  # the position up to which we have confirmed


_SLOT = """
SELECT slot_name, plugin, slot_type, database, active_pid, confirmed_flush_lsn::text AS confirmed, wal_status,
       to_jsonb(s)->>'conflicting' AS conflicting, to_jsonb(s)->>'invalidation_reason' AS reason,
       database = current_database() AS here
FROM pg_replication_slots s WHERE slot_name = $1
"""


async def slot_state(connection: Connection, name: str) -> SlotState | None:
    """The slot of that name, or None. Another program's slot under this name is refused."""
    row = await (await connection.execute(_SLOT, [name])).fetchone()
    if row is None:
        return None
    _, plugin, kind, database, active_pid, confirmed, wal_status, conflicting, reason, here = row
    if kind != "logical" or plugin != "pgoutput" or not here:
        raise FatalError(
            f"the replication slot {name} exists, but is a {kind} slot of {plugin or 'no plugin'} in database {database}",
            "it is not ours: drop it, or give this installation another `name`",
        )
    lost = None
    if wal_status == "lost":
        lost = f"the server removed log that the slot still needed ({reason or 'max_slot_wal_keep_size'})"
    elif conflicting == "true" or reason:
        lost = f"the server invalidated it ({reason or 'conflict'})"
    elif confirmed is None:
        lost = "it was never completed"
    return SlotState(name, lost, active_pid, parse_lsn(confirmed or "0/0"))


async def start(connection: Connection, name: str, cursor: str | None) -> int:
    """Where to start reading, if the log still reaches back to there."""
    state = await slot_state(connection, name)
    if state is None:
        raise CursorExpiredError(f"there is no replication slot {name}")
    if state.lost is not None:
        raise CursorExpiredError(f"the replication slot {name} is lost: {state.lost}")
    if cursor is None:
        return state.confirmed
    position = parse_lsn(cursor)
    if position < state.confirmed:
        # Only we confirm, and only what is stored: whoever comes with less has lost what he had.
        raise CursorExpiredError(f"the log is confirmed up to {format_lsn(state.confirmed)}, past the cursor {cursor}")
    return position


# ---------------------------------------------------------------- publication


class Published(msgspec.Struct, frozen=True):
    """A table in a publication; `columns` None: all."""

    schema: str
    table: str
    columns: tuple[str, ...] | None


async def published(connection: Connection, publication: str) -> list[Published] | None:
    """What the publication holds, or None where there is none."""
    row = await (
        await connection.execute("SELECT puballtables FROM pg_publication WHERE pubname = $1", [publication])
    ).fetchone()
    if row is None:
        return None
    if connection.info.server_version < 150000:
        query = "SELECT schemaname, tablename, NULL FROM pg_publication_tables WHERE pubname = $1"
    else:
        # A table without a column list has prattrs null; pg_publication_tables would show all columns of today.
        query = """
            SELECT t.schemaname, t.tablename, CASE WHEN r.prattrs IS NOT NULL THEN to_json(t.attnames)::text END
            FROM pg_publication_tables t JOIN pg_publication p ON p.pubname = t.pubname
            LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid
              AND r.prrelid = format('%I.%I', t.schemaname, t.tablename)::regclass
            WHERE t.pubname = $1"""
    rows = await (await connection.execute(query, [publication])).fetchall()
    return [
        Published(schema, table, None if columns is None else tuple(json.loads(columns)))
        for schema, table, columns in rows
    ]


def wanted(tables: Sequence[Table], version: int) -> list[Published]:
    """What our publication must hold: all columns, or where some are excluded those that we read (from 15 on)."""
    return [
        Published(
            table.schema,
            table.name,
            tuple(column.name for column in table.columns) if table.exclude and version >= 150000 else None,
        )
        for table in tables
    ]


def publication_sql(name: str, tables: Sequence[Table], version: int, *, exists: bool) -> str:
    """The statement that makes the publication, or sets its tables."""
    parts = []
    for table, entry in zip(tables, wanted(tables, version), strict=True):
        columns = "" if entry.columns is None else f" ({', '.join(map(quote, entry.columns))})"
        parts.append(f"{table.source}{columns}")
    listed = f"TABLE {', '.join(parts)}" if parts else ""
    if exists:
        return f"ALTER PUBLICATION {quote(name)} SET {listed}"
    options = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
    if version >= 180000:
        options += ", publish_generated_columns = stored"
    return f"CREATE PUBLICATION {quote(name)} {f'FOR {listed}' if listed else ''} WITH ({options})"


async def ensure_publication(connection: Connection, name: str, tables: Sequence[Table]) -> tuple[bool, bool]:
    """Makes the publication hold just these tables. Returns whether it was made anew, and whether a table was added."""
    version = connection.info.server_version
    now = await published(connection, name)
    if now is None:
        await connection.execute(publication_sql(name, tables, version, exists=False))
        return True, bool(tables)
    then = wanted(tables, version)
    if _same(now, then):
        return False, False
    if then:
        await connection.execute(publication_sql(name, tables, version, exists=True))
    elif now:
        gone = ", ".join(f"{quote(entry.schema)}.{quote(entry.table)}" for entry in now)
        await connection.execute(f"ALTER PUBLICATION {quote(name)} DROP TABLE {gone}")
    before = {(entry.schema, entry.table): entry.columns for entry in now}
    # A column that comes back into the list is as new as a table: earlier transactions did not log it for us.
    added = any(before.get((entry.schema, entry.table), ()) != entry.columns for entry in then)
    return False, added


def _same(now: Sequence[Published], then: Sequence[Published]) -> bool:
    def comparable(entries: Sequence[Published]) -> set[tuple[str, str, frozenset[str] | None]]:
        return {(e.schema, e.table, None if e.columns is None else frozenset(e.columns)) for e in entries}

    return comparable(now) == comparable(then)


def missing_from(now: Sequence[Published] | None, tables: Sequence[Table]) -> list[Table]:
    """The tables that a publication lacks."""
    held = {(entry.schema, entry.table) for entry in now or ()}
    return [table for table in tables if (table.schema, table.name) not in held]


# ---------------------------------------------------------------- waiting, slot


async def open_transactions(connection: Connection) -> str:
    """Who keeps us waiting, for a message."""
    query = """
        SELECT pid, usename, coalesce(application_name, ''), extract(epoch FROM now() - xact_start)::int
        FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 3"""
    rows = await (await connection.execute(query)).fetchall()
    found = [
        f"process {pid} of {user} ({application or 'no name'}), open for {age} s"
        for pid, user, application, age in rows
    ]
    prepared = await (await connection.execute("SELECT gid FROM pg_prepared_xacts LIMIT 3")).fetchall()
    found += [f"prepared transaction {gid}" for (gid,) in prepared]
    return "; ".join(found) or "none that is visible to this role"


async def wait_for_writers(connection: Connection) -> None:
    """Returns when every transaction that ran at the call is over.

    A table just added to a publication is missing in the stream of transactions that had written it before, though they
    commit later. Only when they are over is every later commit in the stream, and every earlier one seen by a new read.
    """
    row = await (await connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")).fetchone()
    assert row is not None
    bound = row[0]
    until = time.monotonic() + PATIENCE
    while True:
        row = await (
            await connection.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        ).fetchone()
        assert row is not None
        if row[0] >= bound:
            return
        if time.monotonic() > until:
            raise RetriableError(
                f"transactions that began before capture was set up are still open: {await open_transactions(connection)}",
                "end them; capture starts when they are over",
                retry_after=5.0,
            )
        await asyncio.sleep(_PAUSE)


async def create_slot(connection: Connection, name: str) -> int:
    """Makes the slot and returns its first position. It waits for transactions that are open."""
    try:
        await connection.execute(f"SET statement_timeout = {int(PATIENCE * 1000)}")
        # A slot that a broken attempt left behind would have no use; ours is persistent and survives a restart.
        cursor = await connection.execute(
            "SELECT lsn::text FROM pg_create_logical_replication_slot($1, 'pgoutput')", [name]
        )
        row = await cursor.fetchone()
    except psycopg.errors.QueryCanceled as error:
        raise RetriableError(
            f"the replication slot waits for open transactions: {await open_transactions(connection)}",
            "end them; capture starts when they are over",
            retry_after=5.0,
        ) from error
    except psycopg.errors.ConfigurationLimitExceeded as error:
        raise FatalError(
            "the server has no replication slot left",
            "raise max_replication_slots and restart it, or drop slots that nobody uses",
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        remedy = f"ALTER ROLE {quote(connection.info.user)} REPLICATION;"
        raise FatalError("the role may not make a replication slot", remedy) from error
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        raise FatalError(
            f"the server cannot decode its log: {error.diag.message_primary}",
            "set wal_level = logical in postgresql.conf and restart the server",
        ) from error
    finally:
        if not connection.closed:
            await connection.execute("RESET statement_timeout")
    assert row is not None
    return parse_lsn(row[0])


async def drop_slot(connection: Connection, name: str, patience: float = 10.0) -> None:
    """Drops the slot if there is one; waits a little for a reader of ours that is just going."""
    until = time.monotonic() + patience
    while True:
        try:
            await connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1", [name]
            )
            return
        except psycopg.errors.ObjectInUse as error:
            if time.monotonic() > until:
                raise translate(error, f"dropping the slot {name}") from error
            await asyncio.sleep(_PAUSE)


async def drop_publication(connection: Connection, name: str) -> None:
    """Drops the publication if there is one."""
    await connection.execute(f"DROP PUBLICATION IF EXISTS {quote(name)}")


async def orphans(connection: Connection, prefix: str, own: str) -> list[tuple[str, int]]:
    """Slots of Tandem in this database, but for our own, that nobody reads; with the bytes of log they hold back."""
    query = """
        SELECT slot_name::text, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint
        FROM pg_replication_slots
        WHERE left(slot_name, $1) = $2 AND slot_name <> $3 AND NOT active AND database = current_database()"""
    rows: list[Any] = await (await connection.execute(query, [len(prefix), prefix, own])).fetchall()
    return [(name, size) for name, size in rows]


async def carries_generated(connection: Connection, publication: str) -> bool:
    """Whether a publication made by others carries stored generated columns (from 18 on)."""
    query = "SELECT pubgencols = 's' FROM pg_publication WHERE pubname = $1"
    row = await (await connection.execute(query, [publication])).fetchone()
    return row is not None and bool(row[0])


async def not_owned(connection: Connection, tables: Sequence[Table]) -> list[Table]:
    """The tables that the role does not own, which it therefore cannot publish."""
    query = "SELECT oid::bigint FROM pg_class WHERE oid = ANY($1::oid[]) AND NOT pg_has_role(relowner, 'USAGE')"
    rows = await (await connection.execute(query, [[table.oid for table in tables]])).fetchall()
    foreign = {oid for (oid,) in rows}
    return [table for table in tables if table.oid in foreign]


async def unpublished(connection: Connection, publication: str, tables: Sequence[Table]) -> list[Table]:
    """The tables that are not there any more under their name, or not in the publication."""
    query = """
        SELECT c.oid::bigint FROM pg_publication_tables p
        JOIN pg_namespace n ON n.nspname = p.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
        WHERE p.pubname = $1"""
    rows = await (await connection.execute(query, [publication])).fetchall()
    there = {oid for (oid,) in rows}
    return [table for table in tables if table.oid not in there]


async def existing(connection: Connection, tables: Sequence[Table]) -> set[str]:
    """The native names of those tables under whose name there is one."""
    query = "SELECT name FROM unnest($1::text[], $2::text[]) r(name, quoted) WHERE to_regclass(quoted) IS NOT NULL"
    parameters = [text_array([table.native for table in tables]), text_array([table.sql for table in tables])]
    return {name for (name,) in await (await connection.execute(query, parameters)).fetchall()}


async def in_use(connection: Connection, state: SlotState, name: str) -> FatalError | RetriableError:
    """What it means that somebody else reads our slot: a predecessor on its way out, or another installation."""
    query = """
        SELECT a.pid, a.application_name, coalesce(a.client_addr::text, 'a local socket')
        FROM pg_stat_activity a WHERE a.pid = $1"""
    row = await (await connection.execute(query, [state.active_pid])).fetchone()
    if row is None:
        return RetriableError(f"the replication slot {state.name} was in use a moment ago", retry_after=0.2)
    pid, application, client = row
    message = f"the replication slot {state.name} is in use by process {pid} ({application or 'no name'}) from {client}"
    if application == name:
        # Our own name: a worker that died or was stopped. The server lets go of it when it has been silent for a while.
        return RetriableError(
            message, "it is freed when that reader ends, or has been silent for a while", retry_after=0.5
        )
    return FatalError(message, "stop that reader, or give this installation another `name`")


async def unlisted(connection: Connection, publication: str, tables: Sequence[Table]) -> bool:
    """Whether a table that is published by a list of columns has got a column which that lacks and we would read."""
    entries = {(entry.schema, entry.table): entry.columns for entry in await published(connection, publication) or ()}
    query = """
        SELECT attname FROM pg_attribute
        WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
          AND has_column_privilege(attrelid, attnum, 'SELECT')"""
    for table in tables:
        columns = entries.get((table.schema, table.name))
        if columns is not None:
            names = await (await connection.execute(query, [table.oid])).fetchall()
            if any(name not in columns and name not in table.exclude for (name,) in names):
                return True
    return False
