"""A server's folder belongs to one process at a time.

Responsible for who may start a server on a folder, and for waiting until the server of a process that died is gone.
Must not know which server it is.

Two locks, both `flock`, which the kernel drops with the last process that holds them, so nothing is left behind by a
crash: `owner.lock` is held by the process that started the server, `server.lock` by the server itself and its guardian.
So a second start is refused at once while the owner lives, and waits a little where the owner was killed and the server
is still closing.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from pathlib import Path

from deploy.errors import InUseError, StartFailedError

# A killed owner's server has this long to close; it is the sum of the longest stop steps, and some air.
CLOSING_SECONDS = 45.0
# A process that was just killed holds its locks until the kernel has taken it down.
_DYING_SECONDS = 0.5
_POLL_SECONDS = 0.05


class Claim:
    """The right to run the server of one folder."""

    def __init__(self, folder: Path, server: str) -> None:
        self._folder = folder
        self._server = server
        self._owner: int | None = None
        self._guard: int | None = None

    async def take(self) -> int:
        """Take it; returns the descriptor that the server must keep open. InUseError if another process has it."""
        owner = self._open("owner.lock")
        try:
            if not await _locked_within(owner, _DYING_SECONDS):
                raise InUseError(
                    f"{self._server} in {self._folder} is in use by {_who(owner)}.",
                    "Stop that one first (Ctrl-C in its terminal), or choose another home with --home.",
                )
            os.ftruncate(owner, 0)
            os.pwrite(owner, f"{os.getpid()}\n".encode(), 0)
            guard = self._open("server.lock")
            try:
                await self._until_closed(guard)
            except BaseException:
                os.close(guard)
                raise
        except BaseException:
            os.close(owner)
            raise
        self._owner, self._guard = owner, guard
        return guard

    def hand_over(self) -> None:
        """The server runs and holds its lock itself: it now lasts exactly as long as the server."""
        if self._guard is not None:
            os.close(self._guard)
            self._guard = None

    def release(self) -> None:
        """Give the folder free. Harmless if it was not taken."""
        self.hand_over()
        if self._owner is not None:
            os.close(self._owner)
            self._owner = None

    def _open(self, name: str) -> int:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartFailedError(
                f"{self._server} cannot use the folder {self._folder}: {error.strerror}.",
                "If another user made it (root, say), run Tandem as that user, or choose another home with --home.",
            ) from error

    async def _until_closed(self, guard: int) -> None:
        if not await _locked_within(guard, CLOSING_SECONDS):
            raise InUseError(
                f"{self._server} in {self._folder} still runs, though the process that started it is gone.",
                f"It was asked to close {CLOSING_SECONDS:.0f} s ago. Find it in the list of processes and end it.",
            )


async def _locked_within(descriptor: int, seconds: float) -> bool:
    """Whether we got the lock in time. Polled, since a `flock` that waits cannot be cancelled."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        else:
            return True


def _who(owner: int) -> str:
    pid = os.pread(owner, 32, 0).decode(errors="replace").strip()
    if pid == str(os.getpid()):
        return "this very process"
    return f"process {pid}" if pid else "another process"
