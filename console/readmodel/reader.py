"""Questions to the read model, as SQL.

Responsible for the queries alone: rows in, rows out. Must not know what the answers look like to people
(`console.service` does).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from console.readmodel import tables
from rules.events import SyncRow

STATUSES = ("failing", "pending", "excluded", "in_sync")  # in the order in which people want to see them


class RecordFilter(msgspec.Struct, frozen=True):
    """Which records. Times are seconds since 1970 and meet the time since which a record has its status; None: any."""

    sync: str | None = None
    status: str | None = None
    category: str | None = None
    since: float | None = None
    until: float | None = None
    search: str | None = None

    def conditions(self) -> tuple[str, list[object]]:
        """What must hold besides sync and status, as SQL with its parameters."""
        parts: list[str] = []
        values: list[object] = []
        for part, value in (
            ("category = ?", self.category),
            ("since >= ?", self.since),
            ("since <= ?", self.until),
            ("instr(search, ?) > 0", None if self.search is None else self.search.casefold()),
        ):
            if value is not None:
                parts.append(part)
                values.append(value)
        return "".join(f" AND {part}" for part in parts), values


class RecordRow(msgspec.Struct, frozen=True):
    """A record of a sync as it lies in the read model; `sides` maps account to id and fields."""

    sync: str
    key: str
    status: str
    category: str | None
    message: str | None
    remedy: str | None
    since: float
    sides: dict[str, dict[str, Any]]


class Reader:
    """The read model of a home, read-only."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> Reader | None:
        """None where there is no read model yet."""
        connection = tables.open_for_reading(path)
        return None if connection is None else cls(connection)

    def close(self) -> None:
        """Gives the file back."""
        self._connection.close()

    def meta(self, name: str) -> str | None:
        """A value that is kept for the whole: `configuration` (JSON), `as_of` (seconds since 1970)."""
        found = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def syncs(self) -> dict[str, SyncRow]:
        """The state of every sync that has one."""
        rows = self._connection.execute("SELECT row FROM syncs ORDER BY sync")
        return {row.sync: row for (text,) in rows for row in (msgspec.json.decode(text, type=SyncRow),)}

    def answered(self, mark: str) -> dict[str, int]:
        """The syncs that have answered the mark, with how many commands they had ever issued."""
        return dict(self._connection.execute("SELECT sync, commands FROM marks WHERE mark = ?", (mark,)).fetchall())

    def count(self, wanted: RecordFilter, syncs: list[str]) -> int:
        """How many records there are."""
        extra, values = wanted.conditions()
        total = 0
        for sync in syncs:
            for status in _statuses(wanted):
                sql = f"SELECT count(*) FROM records WHERE sync = ?{_has(status)}{extra}"  # noqa: S608 - only our own texts
                total += self._connection.execute(sql, [sync, *values]).fetchone()[0]
        return total

    def records(self, wanted: RecordFilter, syncs: list[str], limit: int | None = None) -> Iterator[RecordRow]:
        """The records, sync by sync, what needs a person first, the latest first; those in sync in the order of their
        keys.

        Never sorts what may be many, so that the first rows come at once whatever the size.
        """
        left = -1 if limit is None else limit
        extra, values = wanted.conditions()
        for sync in syncs:
            for status in _statuses(wanted):
                order = "key" if status == "in_sync" else "since DESC, key"
                sql = (
                    "SELECT sync, key, status, category, message, remedy, since, sides FROM records"  # noqa: S608
                    f" WHERE sync = ?{_has(status)}{extra} ORDER BY {order} LIMIT ?"
                )
                for row in self._connection.execute(sql, [sync, *values, left]):
                    left -= limit is not None
                    yield _record(row)
                if left == 0:
                    return

    def find(self, sync: str, record_id: str, account: str | None = None) -> list[tuple[str, RecordRow]]:
        """The records that have this id on a side (of that account), with the account whose id it is."""
        found: list[tuple[str, RecordRow]] = []
        for side in ("a", "b"):
            sql = (
                f"SELECT account_{side}, sync, key, status, category, message, remedy, since, sides FROM records"  # noqa: S608
                f" WHERE id_{side} = ? AND sync = ?"
            )
            rows = self._connection.execute(sql, (record_id, sync))
            found.extend((row[0], _record(row[1:])) for row in rows if account in (None, row[0]))
        return found

    def categories(self, sync: str) -> list[tuple[str, int]]:
        """The categories of a sync's failing records, with how many they are, most first."""
        sql = (
            "SELECT coalesce(category, 'unknown'), count(*) FROM records WHERE sync = ? AND status = 'failing'"
            " GROUP BY 1 ORDER BY 2 DESC, 1"
        )
        return self._connection.execute(sql, (sync,)).fetchall()

    def history(self, sync: str, key: str) -> list[dict[str, Any]]:
        """The decisions about a record, the latest first."""
        sql = "SELECT row FROM history WHERE sync = ? AND key = ? ORDER BY at DESC, rowid DESC"
        return [msgspec.json.decode(text) for (text,) in self._connection.execute(sql, (sync, key))]


def _record(row: tuple[Any, ...]) -> RecordRow:
    sync, key, status, category, message, remedy, since, sides = row
    return RecordRow(sync, key, status, category, message, remedy, since, msgspec.json.decode(sides))


def _statuses(wanted: RecordFilter) -> tuple[str, ...]:
    return tuple(status for status in STATUSES if wanted.status in (None, status))


def _has(status: str) -> str:
    # A literal, not a parameter: only so does SQLite see that the partial index applies. And said twice, as the index
    # says it.
    return " AND status = 'in_sync'" if status == "in_sync" else f" AND status = '{status}' AND status <> 'in_sync'"
