"""Waiting for processes and conditions, with a deadline: what the tests of this folder share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import psutil

DEADLINE = 30.0


def until(condition: Callable[[], bool], seconds: float = DEADLINE) -> bool:
    """Whether it came true in time; looked at often, since these conditions come true within milliseconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def is_alive(pid: int) -> bool:
    """A zombie, dead but not yet reaped by whoever inherited it, is not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def gone(pids: Iterable[int]) -> bool:
    """Whether all of them are gone in time."""
    watched = list(pids)
    return until(lambda: not any(is_alive(pid) for pid in watched))
