"""The streaming replication protocol over a connection of psycopg's `pq` layer, on the event loop.

Responsible for: starting the stream, handing out what has arrived without ever blocking, keepalives, and reporting
positions. It must not know what the messages mean, nor decide what is confirmed.

Not psycopg2, which has this protocol: it reports positions as flushed that nobody has confirmed whenever the server says
in a keepalive that it has nothing for us, and it connects in a blocking call. libpq has all that is needed.

Source: "Streaming Replication Protocol" of the PostgreSQL documentation.
"""

from __future__ import annotations

import asyncio
import time
from struct import Struct
from typing import NoReturn

import psycopg
from psycopg import pq

from connectors.base import FatalError, RetriableError
from connectors.postgres.client import conninfo, is_passing, refused
from connectors.postgres.names import format_lsn, literal, quote
from connectors.postgres.pgoutput import EPOCH

# The server gives up on a reader that has been silent for this long (SIGSTOP, a dead machine), and frees its slot.
SENDER_TIMEOUT = 15.0
# How often a position is reported when nothing asks for it.
STATUS_INTERVAL = 2.0

_KEEPALIVE = Struct(">cQqB").unpack_from  # type, end of log, clock, reply wanted
_STATUS = Struct(">cQQQqB").pack  # type, written, flushed, applied, clock, reply wanted
_DATA = ord("w")
_HEADER = 25  # bytes before the payload of a data message


class StreamBrokenError(Exception):
    """The server ended the stream. `sqlstate` is None where the connection broke."""

    def __init__(self, message: str, sqlstate: str | None) -> None:
        super().__init__(message)
        self.message, self.sqlstate = message, sqlstate


class Replication:
    """One running stream. `wal_end`: up to where the server has looked through its log for us."""

    def __init__(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        self._connection = connection
        self._pg = connection.pgconn
        self._get = self._pg.get_copy_data
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.flushed = 0
        self.wal_end = 0

    @classmethod
    async def start(cls, url: str, name: str, slot: str, publication: str, position: int) -> Replication:
        """Connects, and streams from `position` on (0: from what the slot has confirmed)."""
        timeout = f"-c wal_sender_timeout={int(SENDER_TIMEOUT)}s"
        info = conninfo(url, application_name=name, replication="database", options=timeout)
        try:
            connection = await psycopg.AsyncConnection.connect(info, autocommit=True)
        except psycopg.OperationalError as error:
            await refused(info, url, error)
        self = cls(connection)
        try:
            await self._begin(
                f"START_REPLICATION SLOT {quote(slot)} LOGICAL {format_lsn(position)} "
                f"(proto_version '1', publication_names {literal(quote(publication))}, messages 'true')"
            )
        except BaseException:
            await self.close()
            raise
        return self

    async def _begin(self, command: str) -> None:
        self._pg.send_query(command.encode())
        while self._pg.flush():
            await self.wait(1.0)
        while self._pg.is_busy():
            await self.wait(None)
            self._receive()
        result = self._pg.get_result()
        if result is None or result.status != pq.ExecStatus.COPY_BOTH:
            self._raise(result)
        self._keep_alive()

    def _raise(self, result: pq.abc.PGresult | None) -> NoReturn:
        if result is None or result.status != pq.ExecStatus.FATAL_ERROR:
            raise StreamBrokenError("the server ended the stream", None)
        field = result.error_field
        message = (field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(errors="replace")
        sqlstate = field(pq.DiagnosticField.SQLSTATE)
        raise StreamBrokenError(message, sqlstate.decode() if sqlstate else None)

    def _receive(self) -> None:
        try:
            self._pg.consume_input()
        except psycopg.OperationalError as error:
            raise StreamBrokenError(str(error).strip(), None) from error

    def read(self) -> bytes | None:
        """The payload of the next message that has arrived; None: nothing has. Keepalives are dealt with in passing."""
        received = False
        while True:
            try:
                size, data = self._get(1)
            except psycopg.OperationalError as error:
                raise StreamBrokenError(str(error).strip(), None) from error
            if size > 0:
                if data[0] == _DATA:
                    return data[_HEADER:].tobytes()
                _, end, _, wants_reply = _KEEPALIVE(data)
                self.wal_end = max(self.wal_end, end)
                if wants_reply:
                    self.report()
            elif size < 0:
                self._raise(self._pg.get_result())
            elif received:
                return None
            else:
                self._receive()
                received = True

    async def wait(self, timeout: float | None) -> None:
        """Returns when something has arrived, or the time is over."""
        future: asyncio.Future[None] = self._loop.create_future()
        socket = self._pg.socket

        def wake() -> None:
            if not future.done():
                future.set_result(None)

        self._loop.add_reader(socket, wake)
        timer = None if timeout is None else self._loop.call_later(timeout, wake)
        try:
            await future
        finally:
            self._loop.remove_reader(socket)
            if timer is not None:
                timer.cancel()

    def report(self) -> None:
        """Tells the server what is flushed. Written is what it has looked through, or it would ask again and again."""
        clock = int((time.time() - EPOCH) * 1_000_000)
        written = max(self.wal_end, self.flushed)
        try:
            self._pg.put_copy_data(_STATUS(b"r", written, self.flushed, self.flushed, clock, 0))
            self._pg.flush()
        except psycopg.OperationalError:
            # The stream is broken; who reads from it is told so, with the reason.
            return

    def confirm(self, position: int) -> None:
        """Reports `position` as flushed: the server may forget what is before it."""
        if position > self.flushed:
            self.flushed = position
            self.report()

    def _keep_alive(self) -> None:
        """Reports at intervals also while nobody reads: a consumer that is busy is not dead."""
        self.report()
        self._timer = self._loop.call_later(STATUS_INTERVAL, self._keep_alive)

    async def close(self) -> None:
        """Ends the stream; the slot stays."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._pg.finish()
        await self._connection.close()


def broken(error: StreamBrokenError) -> FatalError | RetriableError:
    """What a broken stream means where the slot itself is well."""
    if is_passing(error.sqlstate):
        return RetriableError(f"the change log broke off: {error.message}")
    return FatalError(f"the change log cannot be read: {error.message}")
