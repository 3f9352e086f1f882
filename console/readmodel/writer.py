"""Writes what came by in the topics into the read model, with the offsets up to which it came, in one transaction.

Responsible for what becomes of a row of a topic. Must not know Kafka: it is given events and offsets. Whatever is
written twice (a worker that was killed sends its outputs again) gives the same content as once, and rows that a later
one of the same batch replaces are never written.
"""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from console.readmodel import tables
from rules.events import DeadLetter, HistoryRow, Side, StatusRow, SyncRow

MARKS_KEPT_S = 24 * 3600.0  # an answered mark is of use while the `wait` that set it runs

UPSERT_RECORD = """
INSERT INTO records
  (sync, key, status, category, message, remedy, since, account_a, id_a, account_b, id_b, sides, search, origins, gone)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (sync, key) DO UPDATE SET
  status = excluded.status, category = excluded.category, message = excluded.message, remedy = excluded.remedy, since =
  excluded.since, account_a = excluded.account_a, id_a = excluded.id_a, account_b = excluded.account_b, id_b =
  excluded.id_b, sides = excluded.sides, search = excluded.search, origins = excluded.origins, gone = excluded.gone
"""
UPSERT_SYNC = (
    "INSERT INTO syncs VALUES (?, ?, ?) ON CONFLICT (sync) DO UPDATE SET state = excluded.state, row = excluded.row"
)
UPSERT_DEAD_LETTER = """
INSERT INTO dead_letters (id, at, account, sync, key, category, message, row, discarded_at, discarded_by)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
  discarded_at = excluded.discarded_at, discarded_by = excluded.discarded_by
WHERE excluded.discarded_at > dead_letters.discarded_at
"""
UPSERT_META = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
UPSERT_OFFSET = """
INSERT INTO offsets VALUES (?, ?, ?) ON CONFLICT (topic, partition) DO UPDATE SET next = excluded.next
"""

Position = tuple[str, int]  # topic, partition


class Rows(msgspec.Struct):
    """What came by and is to be written together. None: the row was taken back."""

    records: dict[tuple[str, str], StatusRow | None] = {}
    syncs: dict[str, SyncRow | None] = {}
    history: list[HistoryRow] = []
    dead_letters: dict[str, DeadLetter] = {}
    meta: dict[str, str] = {}
    offsets: dict[Position, int] = {}  # the next offset to read


class ReadModelWriter:
    """The one writer of a read model file (whoever opens it holds the home's lock)."""

    def __init__(self, path: Path, origin: str) -> None:
        self._path = path
        self._connection = tables.open_for_writing(path, origin)

    def close(self) -> None:
        """Leaves one file behind, without a write-ahead log."""
        self._connection.close()

    def drop(self) -> None:
        """Takes the file away: it tells of topics that are no more."""
        self._connection.close()
        tables.remove(self._path)

    def is_there(self) -> bool:
        """False when the file was taken away: whoever did so wants it to be filled anew."""
        return self._path.exists()

    def offsets(self) -> dict[Position, int]:
        """The next offset of each partition that has been read."""
        return {
            (topic, partition): offset
            for topic, partition, offset in self._connection.execute("SELECT topic, partition, next FROM offsets")
        }

    def store(self, rows: Rows, now: float) -> None:
        """Writes all of it, or nothing. `now`: seconds since 1970, by which old marks are forgotten."""
        with self._transaction() as connection:
            _store_records(connection, rows.records)
            _store_syncs(connection, rows.syncs, now)
            connection.executemany(
                "INSERT OR IGNORE INTO history VALUES (?, ?, ?, ?, ?)", map(_history_parameters, rows.history)
            )
            connection.executemany(UPSERT_DEAD_LETTER, map(_dead_letter_parameters, rows.dead_letters.values()))
            connection.executemany(UPSERT_META, rows.meta.items())
            connection.executemany(UPSERT_OFFSET, ((*where, offset) for where, offset in rows.offsets.items()))

    def trim(self, before: float) -> None:
        """Forgets history and dead letters from before that time, as their topics do."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM history WHERE at < ?", (before,))
            connection.execute("DELETE FROM dead_letters WHERE at < ?", (before,))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _store_records(connection: sqlite3.Connection, records: dict[tuple[str, str], StatusRow | None]) -> None:
    gone = [key for key, row in records.items() if row is None]
    if gone:
        connection.executemany("DELETE FROM records WHERE sync = ? AND key = ?", gone)
    connection.executemany(UPSERT_RECORD, (_record_parameters(row) for row in records.values() if row is not None))


def _store_syncs(connection: sqlite3.Connection, syncs: dict[str, SyncRow | None], now: float) -> None:
    for sync, row in syncs.items():
        if row is None:
            connection.execute("DELETE FROM syncs WHERE sync = ?", (sync,))
            connection.execute("DELETE FROM marks WHERE sync = ?", (sync,))
            continue
        connection.execute(UPSERT_SYNC, (sync, row.state, msgspec.json.encode(row).decode()))
        connection.executemany(
            "INSERT OR IGNORE INTO marks VALUES (?, ?, ?, ?)",
            ((sync, mark, commands, now) for mark, commands in row.answered.items()),
        )
    if syncs:
        connection.execute("DELETE FROM marks WHERE at < ?", (now - MARKS_KEPT_S,))


def _record_parameters(row: StatusRow) -> tuple[object, ...]:
    sides = sorted(row.sides.items())
    (account_a, id_a), (account_b, id_b) = _identity(sides, 0), _identity(sides, 1)
    return (
        row.sync,
        row.key,
        row.status,
        row.category,
        row.message,
        row.remedy,
        row.since,
        account_a,
        id_a,
        account_b,
        id_b,
        msgspec.json.encode({account: {"id": side.id, "fields": side.fields} for account, side in sides}).decode(),
        searchable(side for _, side in sides),
        msgspec.json.encode({account: side.origins for account, side in sides if side.origins}).decode(),
        msgspec.json.encode(row.gone).decode(),
    )


def _identity(sides: list[tuple[str, Side]], index: int) -> tuple[str | None, str | None]:
    return (sides[index][0], sides[index][1].id) if index < len(sides) else (None, None)


def searchable(sides: Iterable[Side]) -> str:
    """What a search looks through: ids and values, folded, one a line."""
    parts: list[str] = []
    for side in sides:
        parts.append(side.id)
        for value in side.fields.values():
            if isinstance(value, str):
                parts.append(value)
            elif isinstance(value, list):
                parts.extend(str(item) for item in value)
            elif value is not None and not isinstance(value, bool):
                parts.append(str(value))
    return "\n".join(parts).casefold()


def _history_parameters(row: HistoryRow) -> tuple[object, ...]:
    encoded = msgspec.json.encode(row)
    return row.sync, row.key, row.at, zlib.crc32(encoded), encoded.decode()


def _dead_letter_parameters(letter: DeadLetter) -> tuple[object, ...]:
    return (
        letter.id,
        letter.at,
        letter.account,
        letter.sync,
        letter.key,
        letter.category,
        letter.message,
        msgspec.json.encode(letter).decode(),
        letter.discarded_at,
        letter.discarded_by,
    )
