"""An account in memory, a partition of `changes`, and the capture service between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from connectors.memory import forget_app, make_app
from rules.events import AccountState
from streams.accounts import Accounts, Classes
from streams.capture import AccountCapture, CaptureTimes
from tests.streams.twins import (
    FAST,
    Changes,
    Source,
    State,
    configuration,
    ended,
    eventually,
    memory,
    people,
    resolve,
    within,
)

BETWEEN = {"crm": "people", "shop": "customers"}
TIMES = CaptureTimes(pacing=FAST, report_after=0.0, settle=0.01)


class World:
    """What lives on when the service ends, and the service."""

    def __init__(self) -> None:
        self.app = make_app("crm", people(), people("firms"))
        self.source = Source(configuration(1, {"contacts": BETWEEN}))
        self.changes = Changes()
        self.state = State(self.changes)
        self.service = self.made()
        self.task: asyncio.Task[None] | None = None

    def made(self, times: CaptureTimes = TIMES, classes: Classes = memory) -> AccountCapture:
        """A service, not running."""
        return AccountCapture("crm", self.changes, self.state, Accounts(self.source, resolve, classes), times)

    def start(self) -> None:
        """It runs."""
        self.task = asyncio.create_task(self.service.run())

    async def restart(self) -> None:
        """The partition leaves, and comes back."""
        assert self.task is not None
        await ended(self.task)
        self.service = self.made()
        self.start()

    async def established(self) -> None:
        """Returns when the log stands ready and flows."""
        await self.until(lambda log: any(state.up for state in log.events(AccountState)))

    async def until(self, condition: Callable[[Changes], object]) -> None:
        """Returns when `changes` satisfies the condition; fails when the service ends before."""
        assert self.task is not None
        waiting = asyncio.ensure_future(within(10, self.changes.until(lambda log: bool(condition(log)))))
        await asyncio.wait([waiting, self.task], return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            self.task.result()
            raise AssertionError("the service has ended")
        waiting.result()

    async def confirmed(self, position: int) -> None:
        """Returns when the account has been told that all up to there is stored."""
        await eventually(lambda: self.app.slots["test/crm"].confirmed >= position)


@asynccontextmanager
async def capture_world() -> AsyncIterator[World]:
    """A world that ends without a task left over."""
    one = World()
    try:
        yield one
        if one.task is not None:
            await within(5, ended(one.task))
        assert asyncio.all_tasks() == {asyncio.current_task()}
    finally:
        forget_app("crm")
