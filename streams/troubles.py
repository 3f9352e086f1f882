"""What an account's errors mean for us: the reason that people see, and when to try again.

Responsible for that alone; whoever meets the error decides what to do meanwhile. Reads types, never texts.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec

from connectors.base import ConnectorError, FatalError, RetriableError


class Trouble(msgspec.Struct, frozen=True):
    """Why an account cannot be worked with. `category`: of semantics section 8."""

    category: str
    reason: str
    retry_after: float = 0.0
    throttled: bool = False


def trouble_of(error: ConnectorError) -> Trouble:
    """What an error of an account says."""
    text = f"{error.message} ({error.remedy})" if error.remedy else error.message
    match error:
        case FatalError():
            return Trouble("permission", f"permission: {text}")
        case RetriableError(throttled=True):
            return Trouble("rate_limited", text, error.retry_after, throttled=True)
        case RetriableError():
            return Trouble("unavailable", text, error.retry_after)
        case _:
            return Trouble("unavailable", text)


class Pacing(msgspec.Struct, frozen=True):
    """How long to wait between attempts, in seconds: doubled each time, never longer than `longest`."""

    first: float = 0.5
    longest: float = 60.0


class Backoff:
    """The waits of one row of attempts. Jitter keeps many workers from coming back at the same moment."""

    def __init__(self, pacing: Pacing, jitter: Callable[[], float] = random.random) -> None:
        self._pacing, self._jitter = pacing, jitter
        self._failures = 0

    def reset(self) -> None:
        """An attempt went well."""
        self._failures = 0

    def next(self, at_least: float = 0.0) -> float:
        """How long to wait now: between half of the delay and all of it, and never less than the account asks for."""
        delay = min(self._pacing.longest, self._pacing.first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return max(at_least, delay * (0.5 + self._jitter() / 2))
