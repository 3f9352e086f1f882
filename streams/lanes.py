"""Delivery for one partition of `commands`: a lane per account, so that a slow account holds no other up.

Responsible for starting and ending lanes, and for their clock. Must not know Kafka; positions and results are the
caller's (`streams.protocols.Lanes`).
"""

from __future__ import annotations

import asyncio
import time

from connectors import registry
from rules.events import Commands, Results
from streams.accounts import Accounts, Classes, Resolve
from streams.lane import Job, Lane, LaneTimes
from streams.protocols import ConfigSource, Configuration, FenceBase, InboxSink, LanesFactory

TICK = 0.5  # seconds


class AccountLanes:
    """The lanes of one partition, made as commands come."""

    def __init__(self, base: FenceBase, inbox: InboxSink, accounts: Accounts, times: LaneTimes | None = None) -> None:
        self._base, self._inbox, self._accounts, self._times = base, inbox, accounts, times or LaneTimes()
        self._lanes: dict[str, tuple[Lane, asyncio.Task[None]]] = {}
        self._clock: asyncio.Task[None] | None = None

    def submit(self, offset: int, commands: Commands) -> asyncio.Future[Results]:
        """See `streams.protocols.Lanes`."""
        lane, task = self._lanes.get(commands.account) or self._start(commands.account)
        job = Job(offset, commands, asyncio.get_running_loop().create_future(), time.monotonic())
        lane.submit(job)
        if task.done():
            lane.ended(task)
        return job.results

    def idle(self) -> bool:
        """Whether no answer is awaited."""
        return all(lane.idle() for lane, _ in self._lanes.values())

    async def stop(self) -> None:
        """Ends all lanes; what was not answered is cancelled."""
        tasks = [task for _, task in self._lanes.values()]
        if self._clock is not None:
            tasks.append(self._clock)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._lanes.clear()

    def _start(self, account: str) -> tuple[Lane, asyncio.Task[None]]:
        lane = Lane(account, self._base, self._inbox, self._accounts, self._times)
        task = asyncio.create_task(lane.run(), name=f"lane {account}")
        task.add_done_callback(lane.ended)
        self._lanes[account] = lane, task
        if self._clock is None:
            self._clock = asyncio.create_task(self._tick(), name="lanes")
        return lane, task

    async def _tick(self) -> None:
        """What is overdue is answered, also while a lane waits for its account; news of the configuration reach it."""
        seen: Configuration | None = self._accounts.source.current
        while True:
            await asyncio.sleep(min(TICK, self._times.overdue))
            current = self._accounts.source.current
            for lane, _ in self._lanes.values():
                lane.defer_overdue(time.monotonic())
                if current is not seen:
                    lane.nudge()
            seen = current


def lanes_factory(resolve: Resolve, classes: Classes = registry.find) -> LanesFactory:
    """What makes the lanes of a partition, with the connectors and secrets of this machine."""

    def make(base: FenceBase, inbox: InboxSink, config: ConfigSource) -> AccountLanes:
        return AccountLanes(base, inbox, Accounts(config, resolve, classes))

    return make
