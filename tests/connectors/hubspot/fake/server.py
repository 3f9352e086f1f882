"""The fake as a process: uvicorn around the application.

Responsible for sockets and for cutting connections. Must not know HubSpot.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from . import faults
from .app import App, Scope
from .portal import Portal

_CONNECTIONS: dict[tuple[str, int], asyncio.Transport] = {}


class _Protocol(H11Protocol):
    """Remembers connections by the caller's address, so that one can be cut."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _CONNECTIONS[transport.get_extra_info("peername")[:2]] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        _CONNECTIONS.pop(self.transport.get_extra_info("peername")[:2], None)
        super().connection_lost(exc)


class _Server(uvicorn.Server):
    """Says when it is ready, and ends in order at SIGINT and SIGTERM without handing them on when it has."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[int], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets
        self._ready(sockets[0].getsockname()[1])


def cut(scope: Scope) -> None:
    """Ends the connection of a call at once."""
    _CONNECTIONS[tuple(scope["client"])].abort()


def listen(port: int) -> socket.socket:
    """A socket on loopback; port 0 takes a free one."""
    # The protocol must be named: asyncio sends small packets at once (TCP_NODELAY) only on sockets that are known to be TCP, and an answer
    # would otherwise wait 40 ms for the caller's acknowledgement of its head.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
    except OSError:
        listening.close()
        raise
    listening.listen(256)
    return listening


def serve(folder: Path, port: int, knobs: Mapping[str, Any], ordered: list[str], ready: Callable[[int], None]) -> None:
    """Runs until it is told to end (SIGINT, SIGTERM). `ready` is told the port."""
    listening = listen(port)
    portal = Portal(folder, knobs)
    for text in ordered:
        faults.order(portal, faults.parse(text))
    config = uvicorn.Config(
        App(portal, cut),
        http=_Protocol,
        ws="none",
        h11_max_incomplete_event_size=1_000_000,  # a URL that is too long is refused by the fake, not by the parser
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        proxy_headers=False,
        timeout_keep_alive=60,
    )
    try:
        asyncio.run(_Server(config, ready).serve(sockets=[listening]))
    finally:
        listening.close()
        portal.store.close()
