"""The tables of the read model, and how a file of them is opened.

Responsible for the schema and its version. Must not know where rows come from or who asks.

Nothing here is worth keeping: every table follows from the topics, so a file of another version, installation or Kafka
cluster is dropped and filled anew rather than converted.

Why these indexes (measured with 200,000 records; `bench` repeats it): a record is found by its key on every write, and
by the id of either side from the command line. What is not in sync is listed by status and category and is few, hence
the partial index; lists of all records follow the key. A search reads the table: 200,000 texts take less than a second,
and a full-text index would double the cost of every write. The history is asked for per record, or by time.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

VERSION = 2  # of these tables: raise it with every change, and files of earlier versions are rebuilt

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE offsets (
  topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE syncs (sync TEXT PRIMARY KEY, state TEXT NOT NULL, row TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE marks (
  sync TEXT NOT NULL, mark TEXT NOT NULL, commands INTEGER NOT NULL, at REAL NOT NULL, PRIMARY KEY (mark, sync)
) WITHOUT ROWID;
CREATE TABLE records (
  sync TEXT NOT NULL, key TEXT NOT NULL, status TEXT NOT NULL, category TEXT, message TEXT, remedy TEXT, since REAL NOT
  NULL, account_a TEXT, id_a TEXT, account_b TEXT, id_b TEXT, sides TEXT NOT NULL, search TEXT NOT NULL, origins TEXT NOT NULL, gone TEXT NOT NULL);
CREATE UNIQUE INDEX records_key ON records (sync, key);
CREATE INDEX records_a ON records (id_a, sync);
CREATE INDEX records_b ON records (id_b, sync) WHERE id_b IS NOT NULL;
CREATE INDEX records_open ON records (sync, status, category, since) WHERE status <> 'in_sync';
CREATE TABLE history (
  sync TEXT NOT NULL, key TEXT NOT NULL, at REAL NOT NULL, digest INTEGER NOT NULL, row TEXT NOT NULL);
CREATE UNIQUE INDEX history_key ON history (sync, key, at, digest);
CREATE INDEX history_at ON history (at);
CREATE TABLE dead_letters (
  id TEXT PRIMARY KEY, at REAL NOT NULL, account TEXT NOT NULL, sync TEXT, key TEXT,
  category TEXT NOT NULL, message TEXT NOT NULL, row TEXT NOT NULL, discarded_at REAL NOT NULL, discarded_by TEXT
) WITHOUT ROWID;
"""


def remove(path: Path) -> None:
    """Drops a read model with the files that SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def open_for_writing(path: Path, origin: str) -> sqlite3.Connection:
    """The read model at `path`; empty where there was none, or one of another version or `origin`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not _is_ours(path, origin):
        remove(path)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    # Without a sync per transaction a power cut may take the last rows together with their offsets: they are read
    # again.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA cache_size = -32768")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        connection.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute("INSERT INTO meta VALUES ('origin', ?)", (origin,))
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection | None:
    """The read model at `path`, or None where there is none of this version (the engine has not come so far yet)."""
    if not path.exists():
        return None
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA query_only = ON")
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            connection.close()
            return None
    except sqlite3.DatabaseError:
        return None
    return connection


def _is_ours(path: Path, origin: str) -> bool:
    try:
        connection = sqlite3.connect(path)
        try:
            if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                return False
            found = connection.execute("SELECT value FROM meta WHERE name = 'origin'").fetchone()
            return found is not None and found[0] == origin
        finally:
            connection.close()
    except sqlite3.DatabaseError:  # not a database, or a broken one
        return False
