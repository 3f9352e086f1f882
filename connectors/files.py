"""For apps that are files on this machine: read only while nobody writes them, replaced at one stroke, one at a time.

Responsible for what a file can promise. Must not know what is in it. POSIX only (`flock`, an atomic `rename`).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from connectors.base import FatalError, RetriableError

T = TypeVar("T")
MOMENT = 0.01  # seconds

Stamp = tuple[int, int, int]
"""Which file it is, when it was written, its size: differs whenever it may hold something else."""


@contextmanager
def translated() -> Iterator[None]:
    """What the disk refuses, as trouble of the account: nobody else's work ends by it."""
    try:
        yield
    except OSError as error:
        raise FatalError(
            f"{error.filename or 'the disk'}: {error.strerror}",
            "let the user that Tandem runs as read and write the folder and its files, and make room on the disk",
        ) from error


@contextmanager
def turn(folder: Path) -> Iterator[int]:
    """One instance at a time, in whatever process: the others wait. The number is higher than that of any turn before.

    So what is read or written in a turn has a version by it, and all versions are in one order, whatever clocks do.
    """
    with (folder / ".tandem").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        number = max(time.time_ns(), int(file.read() or 0) + 1)
        file.seek(0)
        file.truncate()
        file.write(str(number))
        file.flush()
        yield number


async def in_turn(folder: Path, work: Callable[[int], T], attempts: int = 5) -> T:
    """Does something in a turn, in a thread; again after a while where somebody is writing the file that it needs."""

    def once() -> T:
        with translated(), turn(folder) as number:
            return work(number)

    while True:
        attempts -= 1
        try:
            return await asyncio.to_thread(once)
        except RetriableError as error:
            if not attempts:
                raise
            await asyncio.sleep(error.retry_after)


def stamp_of(path: Path) -> Stamp:
    """The stamp of a file. One that is missing is on its way to its place, or its disk is gone: never taken for empty."""
    with translated():
        try:
            found = path.stat()
        except FileNotFoundError:
            raise RetriableError(
                f"{path} is not there", "put it back, or mend its name in sync.yaml", retry_after=0.2
            ) from None
    return found.st_ino, found.st_mtime_ns, found.st_size


def read_still(path: Path, settle: float, ours: Stamp | None = None) -> tuple[bytes, Stamp]:
    """The content of a file that has been still for `settle` seconds, or that is as we have left it (`ours`).

    One that is being rewritten holds a part of its records: all others would be taken for deleted. So an empty file is
    one that somebody begins to write; and as Linux shows a file cut short some moments before it shows that it was
    written (seen on ext4), it must look the same a moment later, too.
    """
    stamp = stamp_of(path)
    data = path.read_bytes()
    if stamp != ours and settle:
        time.sleep(min(settle, MOMENT))
    fresh = stamp != ours and abs(time.time() - stamp[1] / 1e9) < settle
    if not data or fresh or stamp != stamp_of(path):
        raise RetriableError(f"{path} is being written" if data else f"{path} is empty", retry_after=settle)
    return data, stamp


def replace(path: Path, data: bytes, stamp: Stamp) -> Stamp:
    """Puts the content in the file's place, where that is still the one with the stamp: who reads meanwhile has the one
    or the other. What somebody writes between the last look and the stroke itself is lost: some microseconds."""
    beside = path.with_name(f".{path.name}.tandem")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.chmod(path.stat().st_mode)
    if stamp_of(path) != stamp:
        beside.unlink()
        raise RetriableError(f"{path} was written by somebody else meanwhile", retry_after=0.05)
    beside.replace(path)
    return stamp_of(path)
