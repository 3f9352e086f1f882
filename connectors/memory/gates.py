"""Conditions to wait on, and gates that hold calls up: how tests and simulations steer who does what when.

Responsible for that alone. Must not know what passes the gates.
"""

from __future__ import annotations

import asyncio
from collections import Counter


class Bell:
    """Wakes all who wait."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """Wakes those who wait now."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done() and not future.get_loop().is_closed():
                future.set_result(None)

    async def wait(self, timeout: float | None = None) -> bool:
        """Whether it rang before the time was over."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            # Not `wait_for`: up to Python 3.11 it swallows a cancellation that meets the ring (python/cpython#86296).
            async with asyncio.timeout(timeout):
                await future
            return True
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(future)


class Gates:
    """Counts the calls of connectors, and holds them up at a gate that is closed: the conditions on which tests wait.

    Each call of the connector passes the gate of its name; `apply` passes `answer` too, after its writes are done.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._closed: set[str] = set()
        self._let: Counter[str] = Counter()
        self._bell = Bell()

    def close(self, call: str) -> None:
        """From now on nobody passes."""
        self._closed.add(call)

    def open(self, call: str) -> None:
        """All who wait pass."""
        self._closed.discard(call)
        self._bell.ring()

    def let(self, call: str, times: int = 1) -> None:
        """So many pass a gate that stays closed."""
        self._let[call] += times
        self._bell.ring()

    async def called(self, call: str, times: int = 1) -> None:
        """Returns when the call has been made so many times in all; it may still be held up."""
        while self.calls[call] < times:
            await self._bell.wait()

    async def enter(self, call: str) -> None:
        """For the connector: counts, and waits where the gate is closed."""
        self.calls[call] += 1
        self._bell.ring()
        await asyncio.sleep(0)  # others get their turn, as in every call that goes over a network
        while call in self._closed:
            if self._let[call]:
                self._let[call] -= 1
                return
            await self._bell.wait()
