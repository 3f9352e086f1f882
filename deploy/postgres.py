"""A real PostgreSQL from wheels: no Docker, no system package, no root, and as root all the same.

Responsible for its files, its settings and its start on the loopback address. Must not know what is stored in it.

Its folder is `home/postgres-VERSION`: `data`, `password` (mode 0600), `server.log`, `ports.json`. Where the user it
runs as cannot reach that folder (see `reach.py`), the file `elsewhere` there says where the data are.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from deploy import reach
from deploy.errors import StartFailedError
from deploy.ports import LOOPBACK
from deploy.postgres_binaries import binaries
from deploy.process import Command, Identity, StopStep
from deploy.server import EmbeddedServer

USER = "postgres"

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_replication_slots": "64",
    "max_wal_senders": "64",
    "max_connections": "200",
    "fsync": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %d ",
}

# Fast first: sessions are ended and all is written. It waits for replication clients to have received everything, and
# one that hangs would hold it up: then at once, and the next start recovers from the log.
_STOP = (StopStep(signal.SIGINT, 5.0), StopStep(signal.SIGQUIT, 10.0))


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL as long as this process lives: `async with EmbeddedPostgres(home) as server: ... server.url("crm")`.

    `settings`: server settings on top of ours, for example {"wal_level": "replica"}.
    """

    port_names = ("server",)

    def __init__(self, home: Path, *, version: int = 16, settings: Mapping[str, str] | None = None) -> None:
        self.title = f"PostgreSQL {version}"
        super().__init__(home / f"postgres-{version}")
        self.version = version
        self._settings = {**_SETTINGS, **(settings or {})}
        self._identity: Identity | None = None
        self._programs = Path()
        self._password = ""

    def url(self, database: str = "postgres") -> str:
        """`postgresql://USER:PASSWORD@127.0.0.1:PORT/DATABASE`, of a superuser."""
        return f"postgresql://{USER}:{self._password}@{LOOPBACK}:{self._port('server')}/{quote(database, safe='')}"

    async def create_database(self, name: str) -> str:
        """Make the database unless it is there; its URL."""
        async with await psycopg.AsyncConnection.connect(self.url(), autocommit=True) as connection:
            found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if await found.fetchone() is None:
                await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def discard(self) -> None:
        """Delete all its data, also those that are not below the home. It must not run."""
        if self.is_running:
            raise RuntimeError(f"{self.title} still runs; stop it before its data are deleted")
        elsewhere = self._elsewhere()
        if elsewhere is not None:
            shutil.rmtree(elsewhere, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---------------------------------------------------------------- what EmbeddedServer asks for

    async def _prepare(self) -> None:
        self._identity = reach.identity_for_server((self._elsewhere() or self.folder) / "data")
        self._programs = await self._reachable_programs()
        self._password = self._read_password()
        data = await self._data()
        if not (data / "PG_VERSION").exists():
            await self._initialise(data)

    def _command(self, lock: int) -> Command:
        settings = {**self._settings, "port": str(self._port("server"))}
        data = self._elsewhere() or self.folder
        return Command(
            (
                str(self._programs / "bin" / "postgres"),
                *("-D", str(data / "data")),
                *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
            ),
            env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
            cwd=data if self._identity is None else Path("/"),
            output=self.folder / "server.log",
            stop=_STOP,
            identity=self._identity,
            keep_open=(lock,),
        )

    async def _answers(self) -> bool:
        try:
            async with await psycopg.AsyncConnection.connect(self.url(), connect_timeout=5) as connection:
                await connection.execute("SELECT 1")
        except psycopg.OperationalError:  # not yet; or another server on its port, which does not know the password
            return False
        return True

    def _log_files(self) -> tuple[Path, ...]:
        return (self.folder / "server.log",)

    # ---------------------------------------------------------------- files

    async def _reachable_programs(self) -> Path:
        """The programs, or a copy of them where the user that runs them cannot reach them."""
        found = await binaries(self.version)
        server = found.prefix / "bin" / "postgres"
        if self._identity is None or await reach.can_run(self._identity, str(server), "--version"):
            return found.prefix
        copy = reach.copy_of(self._identity, found.prefix, found.siblings, found.label)
        if not await reach.can_run(self._identity, str(copy / "bin" / "postgres"), "--version"):
            raise StartFailedError(
                f"The user {self._identity.name} cannot execute PostgreSQL, neither {server} nor a copy in {copy}.",
                "May programs be executed there (mount option noexec)? Is a library missing? Try it as that user, or "
                "run Tandem as an ordinary user.",
            )
        return copy

    def _read_password(self) -> str:
        """The password of this server, made once; only its owner may read it."""
        file = self.folder / "password"
        if not file.exists():
            new = self.folder / "password.new"
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                stream.write(secrets.token_hex(24))
            new.rename(file)
        return file.read_text()

    def _elsewhere(self) -> Path | None:
        note = self.folder / "elsewhere"
        return Path(note.read_text().strip()) if note.exists() else None

    async def _data(self) -> Path:
        """The data folder; noted in the home if it had to be elsewhere."""
        noted = self._elsewhere()
        if noted is not None:
            return noted / "data"
        if self._identity is not None and not (self.folder / "data").exists():
            self.folder.chmod(0o755)  # ours, whatever the umask; what is secret in it has a mode of its own
            if not await reach.can_enter(self._identity, self.folder):
                place = reach.data_place(self._identity, self.folder)
                (self.folder / "elsewhere").write_text(f"{place}\n")
                return place / "data"
        return self.folder / "data"

    async def _initialise(self, data: Path) -> None:
        """Make the data folder beside its place and rename it, so that an interruption leaves nothing half."""
        new = data.with_name("data.new")
        password = data.with_name("initial-password")
        shutil.rmtree(new, ignore_errors=True)
        password.unlink(missing_ok=True)
        try:
            new.mkdir(mode=0o700)
            with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                stream.write(self._password)
            if self._identity is not None:
                for path in (new, password):
                    os.chown(path, self._identity.uid, self._identity.gid)
            status = await reach.run_as(self._identity, self._initdb(new, password), self.folder / "server.log")
        finally:
            password.unlink(missing_ok=True)
        if status != 0:
            raise StartFailedError(
                f"{self.title} could not make its data folder, status {status}. The end of its log:\n{self._tail({})}",
                f"Is there room on the disk of {data.parent}, and may the user it runs as write there?",
            )
        new.rename(data)

    def _initdb(self, data: Path, password: Path) -> tuple[str, ...]:
        return (
            str(self._programs / "bin" / "initdb"),
            *("--pgdata", str(data), "--username", USER, "--pwfile", str(password)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-instructions"),
        )
