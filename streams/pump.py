"""The feed of one input of one partition: what comes is brought into the order of its offsets without a hole, and
drained into units of work.

Responsible for positions, holes, and how much is queued. Must not know what is done with a message.

The position in the state is the only truth about what was read. Faust drops the message that a rebalance interrupts
and counts it as acknowledged, so what comes may begin beyond the position, or have a hole: inputs have no compaction
and no transactions, so an offset beyond the next one is a hole, and is read again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, Protocol

from faust.types import TP, EventT

# How much may be queued before no more is fetched of this partition, and how little before it is again.
HIGH_BYTES, LOW_BYTES = 2 << 20, 1 << 20
HIGH_MESSAGES, LOW_MESSAGES = 1000, 500
# A seek may be undone by one of Faust's own, which goes to the group's committed offset.
SEEK_AGAIN_SECONDS = 2.0


class Source(Protocol):
    """The consumer, as far as a feed needs it."""

    def seek(self, tp: TP, offset: int) -> None:
        """Read on from here."""

    def hold(self, tp: TP) -> None:
        """Fetch no more of the partition for now."""

    def release(self, tp: TP) -> None:
        """Fetch it again."""


class Message:
    """An input: the bytes, and what Kafka says of them."""

    __slots__ = ("event", "key", "offset", "timestamp", "value")

    def __init__(self, event: EventT[Any]) -> None:
        message = event.message
        self.event, self.offset, self.timestamp = event, message.offset, message.timestamp
        self.key: bytes = message.key or b""
        self.value: bytes = message.value or b""


class Feed:
    """The messages of one topic partition from `position + 1` on, each once and in order."""

    def __init__(self, tp: TP, position: int, source: Source) -> None:
        self.tp, self.position = tp, position
        self.next = position + 1  # the offset that may be queued next
        self._source = source
        self._queue: deque[Message] = deque()
        self._bytes = 0
        self._held = False
        self._sought: tuple[int, float] = (-1, 0.0)
        self._stuck = -1
        self._arrived = asyncio.Event()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    # ---------------------------------------------------------------- in

    def offer(self, event: EventT[Any]) -> None:
        """A message that Faust hands over: queued, or seen before, or beyond a hole."""
        offset = event.message.offset
        if offset > self.next:
            self.fill(self.next)
        if offset != self.next:
            return
        message = Message(event)
        self.next += 1
        self._queue.append(message)
        self._bytes += len(message.value)
        self._arrived.set()
        if self._bytes >= HIGH_BYTES or len(self._queue) >= HIGH_MESSAGES:
            self._held = True
            self._source.hold(self.tp)

    def fill(self, offset: int) -> None:
        """What is missing from `offset` on is read again; once, and once more if nothing comes."""
        now = time.monotonic()
        if self._sought[0] != offset or now - self._sought[1] > SEEK_AGAIN_SECONDS:
            self._sought = (offset, now)
            self._source.seek(self.tp, offset)

    def restart(self) -> None:
        """The assignment is new: Faust has sought where the group has committed, so seek where the queue ends."""
        self._sought = (-1, 0.0)
        self.fill(self.next)

    def watch(self, end: int) -> None:
        """Called now and then: reads again what should have come. `end`: of the log, as the consumer knows it."""
        stuck = not self._queue and end > self.next
        if stuck and self._stuck == self.next:
            self.fill(self.next)
        self._stuck = self.next if stuck else -1

    # ---------------------------------------------------------------- out

    async def some(self) -> None:
        """Returns when at least one message is queued."""
        while not self._queue:
            self._arrived.clear()
            await self._arrived.wait()

    def queued(self, index: int) -> Message | None:
        """The message behind so many others that are queued, if there is one; it stays."""
        return self._queue[index] if index < len(self._queue) else None

    async def at(self, offset: int) -> Message:
        """The message with the offset, as soon as it is queued; it stays. `offset` is beyond the position."""
        while offset >= self.next:
            self._arrived.clear()
            await self._arrived.wait()
        return self._queue[offset - self.position - 1]

    def take(self) -> Message:
        """The oldest, out of the queue."""
        message = self._queue.popleft()
        self._bytes -= len(message.value)
        if self._held and self._bytes <= LOW_BYTES and len(self._queue) <= LOW_MESSAGES:
            self._held = False
            self._source.release(self.tp)
        return message

    # ---------------------------------------------------------------- done

    def moved(self, position: int) -> None:
        """The state holds the inputs up to `position`."""
        self.position = position
        if self._waiting:
            for _, future in (reached := [entry for entry in self._waiting if entry[0] <= position]):
                if not future.done():
                    future.set_result(None)
            self._waiting = [entry for entry in self._waiting if entry not in reached]

    async def reached(self, position: int) -> None:
        """Returns when the state holds the inputs up to `position`."""
        if position <= self.position:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((position, future))
        await future


class Gate:
    """Open while the assignment stands. Who works passes it, and leaves it before the assignment changes."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._inside = self.closings = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def is_open(self) -> bool:
        """Whether work may begin."""
        return self._open.is_set()

    def open(self) -> None:
        """Lets work begin."""
        self._open.set()

    async def close(self, seconds: float) -> bool:
        """Lets no more work begin; whether all that had begun has ended within the time."""
        self._open.clear()
        self.closings += 1
        try:
            # Not `wait_for`: on Python 3.11 it swallows a cancellation that meets its result.
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    async def __aenter__(self) -> None:
        while not self._open.is_set():
            await self._open.wait()
        self._inside += 1
        self._empty.clear()

    async def __aexit__(self, *_: object) -> None:
        self._inside -= 1
        if not self._inside:
            self._empty.set()
