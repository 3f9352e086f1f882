"""Capture is killed between any two of its steps, and started again: nothing is lost, order is kept, reads end.

A step is a call of the connector, an item out of its log or its read, a message into `changes`, or its acknowledgement.
Killed means that nothing happens any more, also no cleaning up; the account notices that its client is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from connectors.base import Captured as LogItem
from connectors.base import Connector, Fence, Page, Record, Result, Write
from connectors.memory import MemoryConnector
from rules.events import LogStarted, ReadDone, ReadRecords, ReadRequest, SetMark
from streams.accounts import Accounts
from streams.capture import AccountCapture
from tests.streams.capture_world import TIMES, World, capture_world
from tests.streams.twins import ended, eventually, resolve, within


class KilledError(BaseException):
    """The process is gone."""


class Life:
    """How many steps a process has left."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise KilledError

    @property
    def over(self) -> bool:
        return self.steps < 0


def mortal(life: Life) -> type[Connector]:
    """A connector of a process that may be killed."""

    class Mortal(MemoryConnector):
        async def open(self) -> None:
            life.step()
            await super().open()

        async def close(self) -> None:
            if not life.over:  # else nobody is there to close anything
                await super().close()

        async def position(self) -> str | None:
            life.step()
            return await super().position()

        async def prepare(self) -> str:
            life.step()
            made = await super().prepare()
            life.step()
            return made

        async def changes(self, cursor: str | None) -> AsyncIterator[LogItem]:
            async for item in super().changes(cursor):
                life.step()
                yield item

        async def confirm(self, cursor: str) -> None:
            life.step()
            await super().confirm(cursor)
            life.step()

        async def mark(self, mark: str) -> None:
            life.step()
            await super().mark(mark)

        async def snapshot(self, object: str, resume: str | None) -> AsyncIterator[Page]:
            async for page in super().snapshot(object, resume):
                life.step()
                yield page

        async def read(self, object: str, ids: Sequence[str]) -> list[Record]:
            life.step()
            return await super().read(object, ids)

        async def apply(self, object: str, writes: Sequence[Write], fence: Fence | None) -> list[Result]:
            raise AssertionError("capture writes nothing")

    return Mortal


class MortalSink:
    """The writer of a process that may be killed: before a message is taken, or before its acknowledgement is seen."""

    def __init__(self, world: World, life: Life) -> None:
        self._changes, self._life = world.changes, life
        self.marker = world.changes.marker

    async def send(self, *args: Any, **options: Any) -> asyncio.Future[int]:
        self._life.step()
        sent = await self._changes.send(*args, **options)
        self._life.step()
        return sent


async def live(world: World, life: Life) -> bool:
    """One life of the service; whether it was killed before all was done."""
    sink = MortalSink(world, life)
    accounts = Accounts(world.source, resolve, lambda _: mortal(life))
    service = AccountCapture("crm", sink, world.state, accounts, TIMES)
    task = asyncio.create_task(service.run())
    done = asyncio.ensure_future(world.changes.until(lambda _: is_done(world)))
    await asyncio.wait([task, done], return_when=asyncio.FIRST_COMPLETED)
    killed = task.done()
    if killed:
        done.cancel()
        assert isinstance(task.exception(), KilledError)
    else:
        await ended(task)
    world.app.drop_connections()
    return killed


def is_done(world: World) -> bool:
    """All errands are carried out, and all changes are in `changes`."""
    world.state.route()
    return not world.state.errands and len(first_occurrences(world)) == 4


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with capture_world() as one:
        yield one


async def run_with_a_crash_after(world: World, steps: int) -> bool:
    """One run of a capture that is killed after so many steps and then started again; whether it came to that."""
    old = [world.app.insert("people", name=f"old {number}") for number in range(7)]
    world.state.order(ReadRequest("crm~shop", "crm", "people", "contacts", "contacts#1"))
    world.state.order(ReadRecords("crm~shop", "crm", "people", (old[0], "77")))
    world.state.order(SetMark("crm", "m1"))
    killed = await live_with_edits(world, steps, old[0])
    assert [row.id for row in world.changes.rows(read="contacts#1")][-1] == old[-1]
    assert set(old) <= {row.id for row in world.changes.rows(read="contacts#1")}
    assert ReadDone("crm", "people", "contacts#1") in world.changes.events(ReadDone)
    assert first_occurrences(world) == ["a", "b", "c", "d"]
    assert isinstance(world.changes.log[0].event, LogStarted)
    return killed


async def live_with_edits(world: World, steps: int, one: str) -> bool:
    """Lives until all is done; once the log stands, four edits are made, whoever is alive."""
    edits = asyncio.ensure_future(edit_when_the_log_stands(world, one))
    killed: bool = await within(10, live(world, Life(steps)))
    if killed:
        await within(10, live(world, Life(steps * 7 % 31)))  # and once more, elsewhere
        assert not await within(10, live(world, Life(10_000)))
    await edits
    return killed


async def edit_when_the_log_stands(world: World, one: str) -> None:
    app = world.app
    await eventually(lambda: "test/crm" in app.slots)
    for name in ("a", "b", "c", "d"):
        app.update("people", one, name=name)


def first_occurrences(world: World) -> list[object]:
    """The names in the order in which they first came out of the log."""
    return list(dict.fromkeys(row.values["name"] for row in world.changes.rows() if row.committed_at))


async def test_nothing_is_lost_wherever_capture_is_killed() -> None:
    steps = 0
    while True:
        async with capture_world() as world:
            if not await run_with_a_crash_after(world, steps):
                break
        steps += 1
    assert steps > 30
