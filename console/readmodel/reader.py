"""Questions to the read model, as SQL.

Responsible for the queries alone: rows in, rows out. Must not know what the answers look like to people
(`console.service` does).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from console.readmodel import tables
from rules.events import DeadLetter, HistoryRow, SyncRow

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
    origins: dict[str, dict[str, str]] = {}  # account, field: the event that told of its value; see `rules.events.Side`
    gone: tuple[str, ...] = ()  # the accounts whose record was deleted


class LetterRow(msgspec.Struct, frozen=True):
    """A dead letter, with how the record that it is about stands now (None: there is no such record)."""

    letter: DeadLetter
    status: str | None


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
                    f"SELECT {_COLUMNS} FROM records"  # noqa: S608
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
                f"SELECT account_{side}, {_COLUMNS} FROM records"  # noqa: S608
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

    def record(self, sync: str, key: str) -> RecordRow | None:
        """The record of that key."""
        sql = f"SELECT {_COLUMNS} FROM records WHERE sync = ? AND key = ?"  # noqa: S608
        row = self._connection.execute(sql, (sync, key)).fetchone()
        return None if row is None else _record(row)

    def history_of(
        self, sync: str, keys: Iterable[str], since: float | None = None, until: float | None = None
    ) -> list[HistoryRow]:
        """The decisions about a record under any of the names that it has had, the earliest first."""
        found: list[tuple[float, int, str]] = []
        for key in dict.fromkeys(keys):
            sql = (
                "SELECT at, rowid, row FROM history"
                " WHERE sync = ? AND key = ? AND at BETWEEN ? AND ? ORDER BY at, rowid"
            )
            found += self._connection.execute(sql, (sync, key, _low(since), _high(until)))
        return [msgspec.json.decode(text, type=HistoryRow) for _, _, text in sorted(found)]

    def history(
        self, sync: str | None, since: float | None = None, until: float | None = None, limit: int | None = None
    ) -> Iterator[HistoryRow]:
        """The decisions of a sync, or of all, the latest first."""
        # `+sync`: by time, not by the index of the records, which would have to be sorted.
        of, values = ("", ()) if sync is None else (" AND +sync = ?", (sync,))
        sql = f"SELECT row FROM history WHERE at BETWEEN ? AND ?{of} ORDER BY at DESC, rowid DESC LIMIT ?"  # noqa: S608
        left = -1 if limit is None else limit
        for (text,) in self._connection.execute(sql, (_low(since), _high(until), *values, left)):
            yield msgspec.json.decode(text, type=HistoryRow)

    def letters(
        self,
        sync: str | None = None,
        category: str | None = None,
        since: float | None = None,
        until: float | None = None,
        *,
        discarded: bool = False,
        key: str | None = None,
        beginning: str | None = None,
    ) -> Iterator[LetterRow]:
        """Dead letters, the latest first. `discarded`: also those that were dealt with. `beginning`: of their ids."""
        wanted = "at BETWEEN ? AND ?"
        values: list[object] = [_low(since), _high(until)]
        for part, value in (("l.sync = ?", sync), ("l.category = ?", category), ("l.key = ?", key)):
            if value is not None:
                wanted, values = f"{wanted} AND {part}", [*values, value]
        if beginning is not None:
            wanted, values = f"{wanted} AND substr(l.id, 1, ?) = ?", [*values, len(beginning), beginning]
        if not discarded:
            wanted += " AND l.discarded_at = 0"
        sql = (
            "SELECT l.row, l.discarded_at, l.discarded_by, r.status FROM dead_letters l"  # noqa: S608
            f" LEFT JOIN records r ON r.sync = l.sync AND r.key = l.key WHERE {wanted} ORDER BY at DESC, l.id"
        )
        for text, at, by, status in self._connection.execute(sql, values):
            letter = msgspec.json.decode(text, type=DeadLetter)
            yield LetterRow(msgspec.structs.replace(letter, discarded_at=at, discarded_by=by), status)


_COLUMNS = "sync, key, status, category, message, remedy, since, sides, origins, gone"


def _low(since: float | None) -> float:
    return -1.0 if since is None else since


def _high(until: float | None) -> float:
    return 1e12 if until is None else until


def _record(row: tuple[Any, ...]) -> RecordRow:
    sync, key, status, category, message, remedy, since, sides, origins, gone = row
    return RecordRow(
        sync,
        key,
        status,
        category,
        message,
        remedy,
        since,
        msgspec.json.decode(sides),
        msgspec.json.decode(origins) if origins != "{}" else {},
        tuple(msgspec.json.decode(gone)) if gone != "[]" else (),
    )


def _statuses(wanted: RecordFilter) -> tuple[str, ...]:
    return tuple(status for status in STATUSES if wanted.status in (None, status))


def _has(status: str) -> str:
    # A literal, not a parameter: only so does SQLite see that the partial index applies. And said twice, as the index
    # says it.
    return " AND status = 'in_sync'" if status == "in_sync" else f" AND status = '{status}' AND status <> 'in_sync'"
