"""Connections to a PostgreSQL server, and the one place where its errors become ours.

Responsible for: session settings, reconnecting, telling an unreachable server from a wrong password, and which errors a retry can cure. It must
not know objects, values or what a statement is for. No message text is read to decide: only SQLSTATEs.
"""

from __future__ import annotations

import asyncio
import os
import re
import select
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NoReturn

import psycopg
from psycopg import pq
from psycopg.abc import AdaptContext
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.string import TextLoader

from connectors.base import ConnectorError, FatalError, RetriableError

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

# Everything that the text form of a value depends on, whatever the role, the database or the server is set to.
SESSION = (
    "-c timezone=UTC -c datestyle=ISO,YMD -c intervalstyle=postgres -c extra_float_digits=1 -c bytea_output=hex -c lc_monetary=C "
    "-c default_transaction_isolation=read\\ committed -c standard_conforming_strings=on "
    # Compiling a plan costs more than our short statements; a client that vanished must not keep its row locks.
    "-c jit=off -c idle_in_transaction_session_timeout=60s"
)
_KEEPALIVE = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}

# SQLSTATEs after which the same call may succeed by itself: the connection (08), resources (53), the server going down, coming up or
# interrupting (57), a lock or an object in use (55), serialization and deadlock (40), the system below (58), an internal error (XX).
_PASSING = ("08", "53", "57", "55", "40", "58", "XX", "25006")
_REMEDIES = {
    "28P01": "check the password in the account's url",
    "28000": "check the user in the account's url, and that pg_hba.conf lets it in from here (for replication connections too)",
    "3D000": "check the name of the database in the account's url, or create it",
    "42501": "grant the role of the account's url what the message names",
    "53300": "raise max_connections (or max_wal_senders), or close other connections",
}


def conninfo(url: str, **more: str) -> str:
    """The account's url with our session settings; what the url sets itself stays, our `options` come last."""
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise FatalError(
            "the url is not one that PostgreSQL understands", "write postgresql://user:password@host:5432/database"
        ) from error
    options = " ".join(part for part in (str(given.get("options") or ""), SESSION, more.pop("options", "")) if part)
    return make_conninfo(**{**_KEEPALIVE, **given, **more, "options": options, "client_encoding": "UTF8"})


def address(url: str) -> str:
    """Where the url points, without anything secret, for messages."""
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "the account's url"
    host = given.get("host") or given.get("hostaddr") or "the local socket"
    return f"{host}:{given.get('port') or 5432}/{given.get('dbname') or ''}"


# ---------------------------------------------------------------- errors


def is_passing(sqlstate: str | None) -> bool:
    """Whether a retry may help. No SQLSTATE means that the connection broke."""
    return sqlstate is None or sqlstate.startswith(_PASSING)


def translate(error: psycopg.Error, doing: str) -> ConnectorError:
    """An error of the account as a whole, named by how one recovers."""
    message = f"{doing}: {error.diag.message_primary or str(error).strip() or type(error).__name__}"
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | psycopg.InternalError) and is_passing(
        error.sqlstate
    ):
        return RetriableError(message, _REMEDIES.get(error.sqlstate or "", ""))
    if error.sqlstate is not None and is_passing(error.sqlstate):
        return RetriableError(message, _REMEDIES.get(error.sqlstate, ""))
    return FatalError(message, _REMEDIES.get(error.sqlstate or "", ""))


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turns the driver's errors into ours; `doing` opens the message: "reading public.contacts"."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, doing) from error


def _refusal(info: str) -> str | None:
    """The SQLSTATE with which the server refuses a connection; None where no server answers (or where it now lets us in).

    libpq gives no code for a failed connection, only a text in the server's language. Its trace of the messages has the code: the attempt is
    made once more with the trace going to memory.
    """
    if sys.platform != "linux":
        return "28000" if pq.PGconn.ping(info.encode()) == pq.Ping.OK else None
    trace = os.memfd_create("tandem-connect")
    connection = pq.PGconn.connect_start(info.encode())
    try:
        if connection.status != pq.ConnStatus.BAD:
            connection.trace(trace)
            while (state := connection.connect_poll()) in (pq.PollingStatus.READING, pq.PollingStatus.WRITING):
                sockets = [connection.socket]
                reading = state == pq.PollingStatus.READING
                if not any(select.select(sockets if reading else [], [] if reading else sockets, [], 10)):
                    return None
            connection.untrace()
        os.lseek(trace, 0, os.SEEK_SET)
        codes = re.findall(rb'\tErrorResponse\t.*? C "([0-9A-Z]{5})"', os.read(trace, 1 << 20))
        return codes[-1].decode() if codes else None
    finally:
        connection.finish()
        os.close(trace)


async def refused(info: str, url: str, error: Exception) -> NoReturn:
    """Raises what a failed attempt to connect means."""
    code = await asyncio.to_thread(_refusal, info)
    text = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
    if code is None:
        raise RetriableError(
            f"{address(url)} cannot be reached: {text}", "check host and port, that the server runs, and the way there"
        )
    message = f"{address(url)} refuses the connection: {text}"
    if is_passing(code):
        raise RetriableError(message, _REMEDIES.get(code, "")) from error
    raise FatalError(message, _REMEDIES.get(code, "check user, password and database in the account's url")) from error


# ---------------------------------------------------------------- connections

_PLAIN = ("int2", "int4", "int8", "oid", "bool", "text", "varchar", "name")


class _Texts(AdaptContext):
    """How results are loaded: all but the plainest types as the server's own texts, the same that the log has.

    Casting to text in the query would not do: of some types (inet) the cast says something else than the output.
    """

    def __init__(self) -> None:
        self._adapters = AdaptersMap(psycopg.adapters)
        for info in psycopg.adapters.types:
            for oid in (info.oid, info.array_oid):
                if oid and (info.name not in _PLAIN or oid == info.array_oid):
                    self._adapters.register_loader(oid, TextLoader)

    @property
    def adapters(self) -> AdaptersMap:
        return self._adapters

    @property
    def connection(self) -> None:
        return None


_TEXTS = _Texts()


async def connect(url: str, name: str, options: str = "") -> Connection:
    """A new connection in autocommit mode; `name` is what the server's pg_stat_activity shows."""
    info = conninfo(url, application_name=name, options=options)
    try:
        return await psycopg.AsyncConnection.connect(
            info, autocommit=True, cursor_factory=psycopg.AsyncRawCursor, context=_TEXTS
        )
    except psycopg.OperationalError as error:
        await refused(info, url, error)


class Client:
    """One connection for calls that come one at a time; made when first needed, and anew after it broke."""

    def __init__(self, url: str, name: str, options: str = "") -> None:
        self.url, self.name, self.options = url, name, options
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def session(self, doing: str) -> AsyncIterator[Connection]:
        """The connection, for this caller alone. An error in between is translated, and the connection is left as it was found or given up."""
        async with self._lock:
            if self._connection is None or self._connection.closed:
                self._connection = await connect(self.url, self.name, self.options)
            connection = self._connection
            try:
                with translated(doing):
                    yield connection
            except BaseException:
                # A statement may still run, or a transaction be open: the next caller gets a clean connection.
                await self._discard()
                raise
            if connection.info.transaction_status != pq.TransactionStatus.IDLE:
                await self._discard()

    async def _discard(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    async def close(self) -> None:
        """Closes the connection; the next call would open another."""
        async with self._lock:
            await self._discard()
