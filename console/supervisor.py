"""Keeps workers running: starts them, starts them again when they end, and ends them in order.

Responsible for processes and for what their exit statuses ask for. Must not know what a worker does, nor print.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from console.errors import FailedError
from console.handover import WorkerStart
from console.home import WorkerEntry
from deploy.process import Command, Process, StopStep
from streams.ending import LAYOUT, REFUSED

GRACE_S = 8.0  # that a worker has to close in order
STEADY_S = 60.0  # after which an end is no longer one of a series
PAUSES_S = (0.2, 1.0, 2.0, 5.0, 10.0)  # before the next start, by how many ends came in a row
TOLD_AFTER = 20  # ends in a row
LOOK_S = 0.1


class Workers:
    """The workers of one supervisor."""

    def __init__(
        self,
        starts: Sequence[WorkerStart],
        tell: Callable[[str], None],
        changed: Callable[[tuple[WorkerEntry, ...]], None],
    ) -> None:
        self._starts = starts
        self._tell = tell
        self._changed = changed
        self._entries: dict[int, WorkerEntry] = {}

    async def run(self) -> None:
        """Keeps all of them running until cancelled; then ends them. Raises `FailedError` where no new start can help."""
        async with asyncio.TaskGroup() as group:
            for start in self._starts:
                group.create_task(self._keep(start), name=f"worker {start.number}")

    async def _keep(self, start: WorkerStart) -> None:
        ends = 0
        while True:
            began = time.monotonic()
            status = await self._live(start)
            if status == LAYOUT:
                raise FailedError(f"Worker {start.number} cannot run here.", last_message(Path(start.log_file)))
            ends = 1 if time.monotonic() - began > STEADY_S else ends + 1
            pause = 0.0 if status == REFUSED else PAUSES_S[min(ends, len(PAUSES_S)) - 1]
            if ends <= len(PAUSES_S) or ends % TOLD_AFTER == 0:
                times = f", {ends} times in a row" if ends > 1 else ""
                self._tell(f"worker {start.number} ended ({_ending(status)}){times}; it is started again")
            if ends == len(PAUSES_S):
                self._tell(f"worker {start.number} does not stay up: {last_message(Path(start.log_file))}")
            await asyncio.sleep(pause)

    async def _live(self, start: WorkerStart) -> int:
        """One life of a worker: its exit status."""
        metrics = Path(start.folder) / "metrics"
        metrics.unlink(missing_ok=True)
        process = await launch(start)
        looking = asyncio.create_task(self._announce(start.number, process, metrics))
        try:
            return await process.wait()
        finally:
            looking.cancel()
            await process.stop()
            self._entries.pop(start.number, None)
            self._changed(tuple(self._entries.values()))

    async def _announce(self, number: int, process: Process, metrics: Path) -> None:
        """Tells of the process at once, and of its metrics as soon as it serves them."""
        self._entries[number] = WorkerEntry(number, process.pid)
        self._changed(tuple(self._entries.values()))
        while not metrics.exists():  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(LOOK_S)
        self._entries[number] = WorkerEntry(number, process.pid, metrics.read_text().strip())
        self._changed(tuple(self._entries.values()))


async def launch(start: WorkerStart) -> Process:
    """Starts a worker's process; what it must know, secrets included, goes through a pipe that only it holds."""
    folder, log_file = Path(start.folder), Path(start.log_file)
    folder.mkdir(parents=True, exist_ok=True)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(msgspec.json.encode(start))
        command = Command(
            argv=(sys.executable, "-m", "console.worker_process", str(reading)),
            output=log_file.with_suffix(".out"),
            stop=(StopStep(signal.SIGTERM, GRACE_S),),
            keep_open=(reading,),
        )
        return await Process.start(command)
    finally:
        os.close(reading)


def _ending(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return "another one had its place" if status == REFUSED else f"status {status}"


def last_message(log_file: Path) -> str:
    """What a worker logged last, and where the rest is."""
    message = ""
    if log_file.exists():
        for line in reversed(log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-50:]):
            try:
                said = msgspec.json.decode(line, type=dict[str, object])
            except msgspec.DecodeError:
                continue
            if said.get("level") in ("critical", "error"):
                message = str(said.get("message"))
                break
    return f"{message}. Its log is {log_file}." if message else f"Its log is {log_file}."
