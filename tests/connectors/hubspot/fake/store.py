"""The SQLite file that holds all state, so that the fake may be killed and read by SQL.

Responsible for the connection, transactions and counters. Must not know what the rows mean.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

FILE = "hubspot.sqlite"


class Store:
    """One connection. Every call of the API is one transaction; one input of a batch may be a savepoint in it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE
        self._db = sqlite3.connect(self.path, isolation_level=None)
        # Survives the end of the process at any moment; not that of the machine, and it need not.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA cache_size = -65536")
        self._db.executescript(resources.files(__package__ or "").joinpath("schema.sql").read_text(encoding="utf-8"))
        self._db.execute("ANALYZE")  # makes the table of statistics
        self.estimate("entry_listed", "20000 2000 1")
        self.estimate("entry_modified", "20000 2000 20 1")

    def close(self) -> None:
        """Ends the connection."""
        self._db.close()

    def run(self, statement: str, *values: Any) -> int:
        """Executes; how many rows it touched."""
        return self._db.execute(statement, values).rowcount

    def many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Executes once for each row."""
        self._db.executemany(statement, rows)

    def all(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows."""
        return self._db.execute(statement, values).fetchall()

    def one(self, statement: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row, or None."""
        found: tuple[Any, ...] | None = self._db.execute(statement, values).fetchone()
        return found

    def value(self, statement: str, *values: Any) -> Any:
        """The first column of the first row, or None."""
        found = self.one(statement, *values)
        return None if found is None else found[0]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """All or nothing, within a transaction."""
        self._db.execute("SAVEPOINT input")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK TO input")
            self._db.execute("RELEASE input")
            raise
        self._db.execute("RELEASE input")

    def next(self, counter: str, first: int = 1) -> int:
        """The next number of a counter."""
        return int(
            self.value(
                "INSERT INTO counter VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET value = value + 1 RETURNING value",
                counter,
                first,
            )
        )

    def estimate(self, index: str, statistics: str) -> None:
        """Tells the planner how selective an index of search is; it would take the first that fits."""
        self.run("DELETE FROM sqlite_stat1 WHERE idx = ?", index)
        self.run("INSERT INTO sqlite_stat1 VALUES ('entry', ?, ?)", index, statistics)
        self.run("ANALYZE sqlite_schema")

    def tables(self) -> list[str]:
        """Names of all tables."""
        return [
            name
            for (name,) in self.all("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        ]
