"""The partitions that this worker owns, as they come and go.

Responsible for the order in which partitions are taken over, recovered, worked on, paused and given up while the
group rebalances. Must not know Faust: `streams.table` and `streams.app` tell it what happens.

A rebalance may interrupt a take-over at any point, and the next assignment may be another: each step takes the
partitions that are to be ours, and is the same when it is done twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Set

from faust.types import TP, EventT

from streams.ending import cancelled
from streams.owned import Bounds, OwnedPartition, Shared
from streams.recovery import Recovery

log = logging.getLogger(__name__)

# Work that has begun is let end before partitions move, so that their new owner refuses nobody. What takes longer is
# refused, and comes again.
PAUSE_SECONDS = 3.0


class InterruptedTakeoverError(Exception):
    """The group rebalances again: partitions that were being taken over may not be ours."""


class Host:
    """The owned partitions by number."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._recovery = Recovery(shared.broker, shared.topics.state, shared.disk, shared.parts.index_changes)
        self._owned: dict[int, OwnedPartition] = {}
        self._open: set[int] = set()
        self._acquiring: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()

    @property
    def working(self) -> tuple[int, ...]:
        """The partitions that are worked on."""
        return tuple(sorted(self._open))

    def offer(self, event: EventT[bytes]) -> None:
        """A message from an agent; of a partition that is not ours (any more): buffered before it left, and dropped."""
        if (owned := self._owned.get(event.message.partition)) is not None:
            owned.offer(event)

    async def acquire(self, partitions: Set[int]) -> None:
        """Takes over those that are new, and recovers their state. Raises InterruptedTakeoverError when `pause` comes
        between."""
        task = self._acquiring = asyncio.create_task(self._acquire(partitions), name="acquire")
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                await cancelled(task)
                raise
            raise InterruptedTakeoverError from None

    async def _acquire(self, partitions: Set[int]) -> None:
        async with self._changing:
            await self._drop(self._owned.keys() - partitions)
            new = {number: OwnedPartition(number, self._shared) for number in partitions - self._owned.keys()}
            try:
                taken = await asyncio.gather(*(owned.take_over() for owned in new.values()))
                markers = dict(zip(new, taken, strict=True))
                await self._recovery.run(markers)
            except BaseException:
                await asyncio.gather(*(owned.close() for owned in new.values()), return_exceptions=True)
                raise
            self._owned |= new

    async def begin(self, bounds: Mapping[TP, Bounds]) -> None:
        """Works on all that are owned. `bounds`: of the logs of their inputs."""
        inputs = self._shared.topics.inputs
        async with self._changing:
            if not all(TP(topic, number) in bounds for number in self._owned for topic in inputs):
                return  # the assignment has changed since; its own recovery comes
            for number, owned in self._owned.items():
                if number not in self._open:
                    await owned.open({topic: bounds[TP(topic, number)] for topic in inputs})
                    self._open.add(number)
                owned.resume()
        log.info("working on partitions %s", list(self.working), extra={"action": "worker_live"})

    async def pause(self) -> None:
        """The assignment may change: nothing more begins."""
        if self._acquiring is not None:
            await cancelled(self._acquiring)
        await asyncio.gather(*(owned.pause(PAUSE_SECONDS) for owned in self._owned.values()))

    async def keep(self, partitions: Set[int]) -> None:
        """Gives up all but these, before their databases are closed."""
        async with self._changing:
            await self._drop(self._owned.keys() - partitions)

    async def _drop(self, partitions: Set[int]) -> None:
        gone = [self._owned.pop(number) for number in partitions]
        self._open -= partitions
        await asyncio.gather(*(owned.close() for owned in gone))

    def watch(self, ends: dict[TP, int]) -> None:
        """Called now and then, with the ends of the inputs' logs: see `Feed.watch`."""
        for number in self._open:
            self._owned[number].watch(ends)

    async def renew(self) -> None:
        """Takes new epochs for all partitions."""
        async with self._changing:
            for owned in self._owned.values():
                await owned.renew()

    def positions(self) -> dict[TP, int]:
        """Of each input: the last offset that the state holds."""
        return {feed.tp: feed.position for number in self._open for feed in self._owned[number].feeds.values()}
