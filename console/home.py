"""The home folder: where the embedded broker, the workers' state and the read model lie, and who is running on it.

Responsible for names inside the folder and for the one-at-a-time of each role. Must not know what a role does.

A role (`up`, `broker`) holds a lock for as long as it lives and describes itself in a file beside it; the kernel drops
the lock with the process, so that what a crash left behind is never taken for something running.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Self

import msgspec

from console.errors import FailedError


class WorkerEntry(msgspec.Struct, frozen=True):
    """A worker of `up`."""

    number: int
    pid: int
    metrics: str | None = None


class Running(msgspec.Struct, frozen=True):
    """What a running role says of itself. `ready`: the configuration of its file is applied."""

    pid: int
    since: float
    installation: str
    broker: str
    ready: bool = False
    workers: tuple[WorkerEntry, ...] = ()
    console: str | None = None
    file: str = ""
    embedded: bool = False  # the broker is its own: it wants no login


class Home:
    """The folder of `--home`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @property
    def read_model(self) -> Path:
        """The SQLite file of the read model."""
        return self.path / "read-model.db"

    @property
    def kafka(self) -> Path:
        """The embedded broker's folder."""
        return self.path / "kafka"

    @property
    def logs(self) -> Path:
        """Where processes and unexpected errors write."""
        return self.path / "logs"

    def worker(self, number: int) -> Path:
        """The state folder of a worker: never shared."""
        return self.path / "workers" / str(number)

    def running(self, role: str = "up") -> Running | None:
        """What runs on this home now in the role, if anything; None too while it has not yet described itself."""
        if not is_locked(self.path / f"{role}.lock"):
            return None
        try:
            return msgspec.json.decode((self.path / f"{role}.json").read_bytes(), type=Running)
        except (OSError, msgspec.DecodeError):
            return None

    def is_taken(self, role: str = "up") -> bool:
        """Whether a process holds the role, be it described or still starting."""
        return is_locked(self.path / f"{role}.lock")


class Role:
    """Holds a role on a home from `__enter__` to `__exit__`. Refused while another process holds it."""

    def __init__(self, home: Home, name: str, what: str) -> None:
        self._home, self._name, self._what = home, name, what
        self._lock: int | None = None

    def __enter__(self) -> Self:
        self._home.path.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._home.path / f"{self._name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not _take(lock):
            os.close(lock)
            raise self._refusal()
        self._lock = lock
        (self._home.path / f"{self._name}.json").unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        (self._home.path / f"{self._name}.json").unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def describe(self, running: Running) -> None:
        """Replaces the description at one stroke."""
        path = self._home.path / f"{self._name}.json"
        draft = path.with_suffix(".json.new")
        draft.write_bytes(msgspec.json.encode(running))
        draft.replace(path)

    def _refusal(self) -> FailedError:
        other = self._home.running(self._name)
        who = f" (process {other.pid}, for {_span(time.time() - other.since)})" if other else ""
        return FailedError(
            f"{self._what} already runs on {self._home.path}{who}.",
            "End that one first (Ctrl-C in its terminal), or choose another folder with --home.",
        )


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock. Asks with a shared lock, for a moment: see `_take`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _take(lock: int) -> bool:
    """The exclusive lock; tries for a second, since whoever asks whether it is held holds it for a moment."""
    deadline = time.monotonic() + 1.0
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
