"""What the embedded servers have in common: claim the folder, pick ports, start, wait until it answers, stop.

Responsible for the order of these steps and for explaining a start that failed. Must not know a server's own protocol,
files or settings: the subclass says how to start it and asks whether it answers.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from deploy import ports
from deploy.claim import Claim
from deploy.errors import ServerEndedError, StartFailedError
from deploy.process import Command, Process

log = logging.getLogger(__name__)

START_SECONDS = 90.0
_POLL_SECONDS = 0.05
# Somebody may take a port between our look and the server's; more than a few times in a row is another trouble.
_PORT_ATTEMPTS = 3
_TAIL_LINES = 6
_TROUBLE_LINES = 6
_TROUBLE = re.compile(r"\b(ERROR|FATAL|PANIC)\b|\berror: |^(Caused by: |Exception |[\w.$]+(Exception|Error)\b)")
_STACK_FRAME = re.compile(r"\s+(at |\.\.\. \d+ more)")


class EmbeddedServer(ABC):
    """A server that lives as long as the process that started it, with its data in one folder."""

    title: str
    port_names: tuple[str, ...]

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._claim = Claim(self.folder, self.title)
        self._process: Process | None = None
        self._ports: dict[str, int] = {}

    # ---------------------------------------------------------------- what a server says of itself

    @abstractmethod
    async def _prepare(self) -> None:
        """Fetch, unpack, initialise: what must be there before the first start."""

    @abstractmethod
    def _command(self, lock: int) -> Command:
        """How to start it on the ports picked. The process keeps `lock` open."""

    @abstractmethod
    async def _answers(self) -> bool:
        """Whether this very server, not another on its port, answers a request."""

    @abstractmethod
    def _log_files(self) -> tuple[Path, ...]:
        """Where it says what is wrong."""

    # ---------------------------------------------------------------- start and stop

    async def start(self) -> Self:
        """Start it and return when it answers. Starting it twice is an error of the caller: InUseError."""
        lock = await self._claim.take()
        try:
            started = time.monotonic()
            await self._prepare()
            for attempt in range(1, _PORT_ATTEMPTS + 1):
                self._ports = ports.pick(self.folder / "ports.json", self.port_names)
                if await self._launch(lock, last=attempt == _PORT_ATTEMPTS):
                    break
            self._claim.hand_over()
        except BaseException:
            await self._end()
            raise
        log.info("%s is up after %.1f s", self.title, time.monotonic() - started, extra={"action": "server_started"})
        return self

    async def stop(self) -> None:
        """End it in order and give the folder free. Harmless if it does not run."""
        await self._end()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        """Of the server itself."""
        return self._running.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def watch(self) -> NoReturn:
        """Wait for the server to end by itself; then raise ServerEndedError with the end of its log."""
        process = self._running
        status = await process.wait()
        raise ServerEndedError(
            f"{self.title} ended by itself, status {status}.\n{self._tail({})}",
            f"Start it again: its data in {self.folder} are kept.",
        )

    @property
    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError(f"{self.title} was not started")
        return self._process

    def _port(self, name: str) -> int:
        if name not in self._ports:
            raise RuntimeError(f"{self.title} was not started, so it has no address yet")
        return self._ports[name]

    async def _launch(self, lock: int, *, last: bool) -> bool:
        """Start the process and wait until it answers; False if somebody took a port of it meanwhile."""
        log_ends = {file: file.stat().st_size for file in self._log_files() if file.exists()}
        self._process = process = await Process.start(self._command(lock))
        deadline = time.monotonic() + START_SECONDS
        over = asyncio.create_task(process.wait())
        try:
            while not over.done() and time.monotonic() < deadline:
                if await self._answers():
                    return True
                await asyncio.wait({over}, timeout=_POLL_SECONDS)
        finally:
            over.cancel()
        ended = process.returncode is not None
        status = await process.stop()
        if ended and not last and not all(ports.is_free(port) for port in self._ports.values()):
            return False
        what = f"ended with status {status}" if ended else f"did not answer within {START_SECONDS:.0f} s"
        raise StartFailedError(
            f"{self.title} did not start: it {what}. The end of its log:\n{self._tail(log_ends)}",
            f"Its files are in {self.folder}. If the cause is there, mend it; a home whose data may go can be deleted.",
        )

    async def _end(self) -> None:
        try:
            if self._process is not None:
                await self._process.stop()
        finally:
            # On a cancelled stop the guardian goes on with it; `server.lock` keeps others out until it is done.
            self._claim.release()

    def _tail(self, begins: dict[Path, int]) -> str:
        """The last lines of each log, of this start only where `begins` says where it begins."""
        tails = []
        for file in self._log_files():
            if not file.exists():
                continue
            with file.open("rb") as stream:
                size = stream.seek(0, 2)
                begin = begins.get(file, 0)
                stream.seek(max(begin if begin <= size else 0, size - 64_000))
                lines = stream.read().decode(errors="replace").splitlines()
            tails += [f"  {line}" for line in _telling(lines)]
        return "\n".join(tails) or "  (it is empty)"


def _telling(lines: list[str]) -> list[str]:
    """What a person needs of a log: where the trouble began, which may be far above the end, and the end."""
    words = [line for line in lines if not _STACK_FRAME.match(line)]
    trouble = [index for index, line in enumerate(words) if _TROUBLE.search(line)][:_TROUBLE_LINES]
    end = range(max(len(words) - _TAIL_LINES, 0), len(words))
    return [words[index] for index in sorted({*trouble, *end})]
