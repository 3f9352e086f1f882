"""Processes that cannot outlive us: each is started through a guardian that ends it when we are gone.

Responsible for starting a process, watching it and stopping it in order, for the embedded servers and for workers
alike. Must not know what a process does. The mechanism is told in `guardian.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import StartFailedError

GUARDIAN = Path(__file__).with_name("guardian.py")


@dataclass(frozen=True, slots=True)
class StopStep:
    """A signal, and how many seconds it has to work before the next step, at last SIGKILL."""

    signal: signal.Signals
    grace: float


@dataclass(frozen=True, slots=True)
class Identity:
    """The user that a process runs as; only root can choose one."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Command:
    """What to start and how to end it.

    `env`: None is ours. `output`: a file that both its streams are appended to; None is our own streams.
    `keep_open`: descriptors it inherits (a lock that lasts as long as it lives).
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    output: Path | None = None
    stop: tuple[StopStep, ...] = (StopStep(signal.SIGTERM, 10.0),)
    identity: Identity | None = None
    keep_open: tuple[int, ...] = ()

    def as_json(self) -> bytes:
        identity = self.identity
        words = {
            "argv": list(self.argv),
            "env": None if self.env is None else dict(self.env),
            "cwd": None if self.cwd is None else str(self.cwd),
            "output": None if self.output is None else str(self.output),
            "stop": [(int(step.signal), step.grace) for step in self.stop],
            "identity": None
            if identity is None
            else {"user": identity.uid, "group": identity.gid, "extra_groups": [identity.gid]},
            "keep_open": list(self.keep_open),
        }
        return json.dumps(words).encode() + b"\n"


class _Latch:
    """An event that threads set once and that any number of event loops may await."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_set = False
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    @property
    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        with self._lock:
            self._is_set = True
            waiters, self._waiters = self._waiters, []
        for loop, future in waiters:
            with contextlib.suppress(RuntimeError):  # its loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_wake, future)

    async def wait(self) -> None:
        with self._lock:
            if self._is_set:
                return
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()
            self._waiters.append((loop, future))
        await future


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


class Process:
    """A running process. It may be started in one event loop and stopped in another, or from none (`kill`)."""

    def __init__(self, guardian: subprocess.Popen[bytes], orders: int, reports: int) -> None:
        self._guardian = guardian
        self._orders: int | None = orders
        self._started = _Latch()
        self._ended = _Latch()
        self._pid: int | None = None
        self._error: str | None = None
        self._status: int | None = None
        # A thread of its own, not the loop's: the loop may end before the process does, and another may take over.
        threading.Thread(target=self._listen, args=(reports,), name="process-watch", daemon=True).start()

    @classmethod
    async def start(cls, command: Command) -> Process:
        """Start it; returns when it runs. StartFailedError if it cannot be executed."""
        orders_read, orders = os.pipe()
        reports, reports_write = os.pipe()
        try:
            guardian = subprocess.Popen(  # noqa: ASYNC220 - a vfork of a few milliseconds
                [sys.executable, "-I", "-S", str(GUARDIAN), str(orders_read), str(reports_write), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                pass_fds=(orders_read, reports_write, *command.keep_open),
                start_new_session=True,
            )
        except BaseException:
            os.close(orders)
            os.close(reports)
            raise
        finally:
            os.close(orders_read)
            os.close(reports_write)
        process = cls(guardian, orders, reports)
        try:
            with contextlib.suppress(BrokenPipeError):  # it died at once: `_started` says so
                _write_all(orders, command.as_json())
            await process._started.wait()
        except BaseException:
            process._give_up()
            raise
        if process._pid is None:
            process._give_up()
            reason = process._error or "its guardian ended before it ran"
            raise StartFailedError(
                f"{command.argv[0]} could not be started: {reason}",
                "Is the file there, and may this user execute it? Is there room for another process?",
            )
        return process

    @property
    def pid(self) -> int:
        if self._pid is None:
            raise RuntimeError("a process that was not started has no pid")
        return self._pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; afterwards its exit status, or minus the signal that ended it."""
        return self._status if self._ended.is_set else None

    async def wait(self) -> int:
        """Wait for its end, whoever brings it about."""
        await self._ended.wait()
        return self._status if self._status is not None else -signal.SIGKILL

    async def stop(self) -> int:
        """End it in the steps of its command; returns when it is gone. Harmless if it is gone already."""
        self._give_up()
        return await self.wait()

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal unless it has ended."""
        if not self._ended.is_set:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _give_up(self) -> None:
        orders, self._orders = self._orders, None
        if orders is not None:
            os.close(orders)

    def _listen(self, reports: int) -> None:
        with os.fdopen(reports, "rb") as lines:
            for line in lines:
                words = json.loads(line)
                self._error = words.get("error", self._error)
                self._status = words.get("status", self._status)
                if "pid" in words:
                    self._pid = words["pid"]
                    self._started.set()
        self._guardian.wait()
        self._started.set()
        self._ended.set()
