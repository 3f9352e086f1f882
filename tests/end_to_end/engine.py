"""A running Tandem with two PostgreSQL databases, driven as a person drives it: a file, commands, SQL.

Nothing here looks into the pipeline: what a test sees is what `tandem` prints and what the databases hold.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from tests.end_to_end.commands import COMMANDS

TANDEM = str(Path(sys.executable).with_name("tandem"))
PATIENCE = 60.0  # seconds that a condition may take before the test fails; no test depends on less


class CommandError(AssertionError):
    """A command ended with a status that the test did not expect."""


def until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """The first true answer of the condition."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"within {patience:.0f} s it was never true that {what}")


class Database:
    """A database of the test, spoken to by SQL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)

    def run(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Runs one statement; the rows that it returns."""
        cursor = self.connection.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []

    def value(self, statement: str, *values: Any) -> Any:
        """The one value that a query returns, or None."""
        rows = self.run(statement, *values)
        return next(iter(rows[0].values())) if rows else None

    def close(self) -> None:
        """Ends the session."""
        self.connection.close()


class Engine:
    """`tandem` with one file and one home."""

    def __init__(self, folder: Path, broker: str | None, name: str, urls: dict[str, str]) -> None:
        self.folder, self.broker, self.name = folder, broker, name
        self.home = folder / "home"
        self.urls = urls
        self.databases = {account: Database(url) for account, url in urls.items()}
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "up.log"

    # ------------------------------------------------------------ the file

    def configure(self, syncs: dict[str, Any], objects: dict[str, dict[str, Any]] | None = None) -> None:
        """Writes sync.yaml."""
        accounts = {
            account: {
                "connector": "postgres",
                "url": f"${{{account.upper()}_URL}}",
                **({"objects": objects[account]} if objects and account in objects else {}),
            }
            for account in self.urls
        }
        document = {"name": self.name, "accounts": accounts, "syncs": syncs}
        if self.broker is not None:
            document["broker"] = self.broker
        (self.folder / "sync.yaml").write_text(json.dumps(document, indent=2))  # JSON is YAML, too

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every command: it holds the secrets."""
        return os.environ | {f"{account.upper()}_URL": url for account, url in self.urls.items()}

    # ------------------------------------------------------------ commands

    def run(self, *arguments: str, status: int = 0, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        words = ["--file", str(self.folder / "sync.yaml"), "--home", str(self.home), *arguments]
        done = COMMANDS.run(words, self.environment, timeout)
        if done.returncode != status:
            raise CommandError(f"{arguments}: status {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.tail()}")
        return done

    def json(self, *arguments: str, timeout: float = 120) -> Any:
        """The JSON document that a command prints."""
        return json.loads(self.run(*arguments, "--json", timeout=timeout).stdout)

    def wait(self, *arguments: str, timeout: float = 90) -> None:
        """`tandem wait`."""
        self.run("wait", *arguments, "--timeout", str(timeout), timeout=timeout + 30)

    def records(self, *arguments: str) -> list[dict[str, Any]]:
        """The rows of `tandem records`."""
        found: list[dict[str, Any]] = self.json("records", *arguments)["records"]
        return found

    def status(self, sync: str) -> dict[str, Any]:
        """The row of a sync."""
        found: dict[str, Any] = next(row for row in self.json("status")["syncs"] if row["sync"] == sync)
        return found

    # ------------------------------------------------------------ the running engine

    def up(self, *arguments: str, workers: int = 2, environment: dict[str, str] | None = None) -> None:
        """Starts `tandem up` and returns at once; `wait` waits for it."""
        assert self.process is None
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(TANDEM, "--file", str(self.folder / "sync.yaml"), "--home", str(self.home)),
                    *("up", "--workers", str(workers), *arguments),
                ],
                env=self.environment | (environment or {}),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def down(self, number: signal.Signals = signal.SIGINT, patience: float = 30) -> int:
        """Ends `tandem up`; its status."""
        assert self.process is not None
        process, self.process = self.process, None
        process.send_signal(number)
        return process.wait(patience)

    def described(self) -> dict[str, Any]:
        """What the running `up` says of itself."""
        return until(self._described, "up has described itself")  # type: ignore[no-any-return]

    def _described(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((self.home / "up.json").read_text())
        except (OSError, ValueError):
            return None
        return found

    def workers(self) -> list[int]:
        """The process ids of the workers that run now."""
        return [pid for pid in (one.get("pid") for one in self.described().get("workers", ())) if pid and alive(pid)]

    def partitions(self) -> list[set[int]]:
        """Per worker the partitions that it works on now, as it says in its log."""
        found = []
        for file in sorted((self.home / "logs").glob("worker-*.log")):
            said = [json.loads(line) for line in file.read_text().splitlines() if '"worker_live"' in line]
            found.append(set(json.loads(said[-1]["message"].partition("partitions ")[2])) if said else set())
        return found

    def tail(self, lines: int = 40) -> str:
        """The end of the log of `up` and of its workers."""
        files = [self.log, *sorted((self.home / "logs").glob("*"))]
        ends = {file.name: file.read_text(errors="replace").splitlines()[-lines:] for file in files if file.exists()}
        return "\n".join(line for name, end in ends.items() for line in (f"--- {name}", *end))

    def close(self) -> None:
        """Ends what runs and gives everything back: no process, slot or publication stays."""
        if self.process is not None:
            self.down(signal.SIGTERM)
        for database in self.databases.values():
            database.close()


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def table(database: Database, name: str, columns: Sequence[str], order: str) -> list[tuple[Any, ...]]:
    """The rows of a table, for comparison."""
    query = sql.SQL("SELECT {} FROM {} ORDER BY {}").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(name), sql.Identifier(order)
    )
    with database.connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        return cursor.execute(query).fetchall()


def drop_slots(url: str, database: str) -> None:
    """Ends the sessions of a database and drops its replication slots."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,))
        names = connection.execute("SELECT slot_name FROM pg_replication_slots WHERE database = %s", (database,))
        for (slot,) in names.fetchall():
            until(partial(_dropped, connection, slot), f"slot {slot} can be dropped")


def _dropped(connection: psycopg.Connection[Any], slot: str) -> bool:
    try:
        connection.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
    except psycopg.errors.ObjectInUse:
        return False
    return True
