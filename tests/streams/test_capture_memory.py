"""Capture of an app that keeps no place for us: what its connector notes is kept with the changes, and found again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

import pytest
from pydantic import BaseModel

from connectors.base import Connector, Remembered, RetriableError
from connectors.memory import App, PolledConnector
from connectors.memory.polled import PolledSettings
from rules.events import AccountState, Captured, LogStarted, Marked, ReadDone, ReadRequest, SetMark
from schemas import Noted
from tests.streams.capture_world import BETWEEN, TIMES, World, capture_world
from tests.streams.twins import configuration, ended, eventually, within


class OftenSettings(PolledSettings):
    every: float = 0.01


class Often(PolledConnector):
    Settings: ClassVar[type[BaseModel]] = OftenSettings


def polled(_: str) -> type[Connector]:
    return Often


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with capture_world() as one:
        one.service = one.made(TIMES, polled)
        yield one


@pytest.fixture
def app(world: World) -> App:
    return world.app


async def restarted(world: World) -> None:
    """The partition leaves, and comes back to another worker."""
    assert world.task is not None
    await ended(world.task)
    world.service = world.made(TIMES, polled)
    world.start()


def told(world: World) -> list[tuple[str, str]]:
    return [(row.op, row.id) for row in world.changes.rows()]


async def begun(world: World) -> None:
    """Returns when the beginning is noted."""
    await world.until(lambda log: any(event.cursor for event in log.events(Noted)))


async def test_the_log_is_announced_then_what_is_there_is_noted_and_then_it_is_read(world: World, app: App) -> None:
    app.insert("people", name="there")
    world.state.order(ReadRequest("crm~shop", "crm", "people", "contacts", "r1"))
    world.changes.held = True
    world.start()
    await world.until(lambda log: log.events(LogStarted))
    assert not world.changes.events(Noted)
    await world.changes.acknowledge()
    await world.until(lambda log: any(event.cursor for event in log.events(Noted)))
    # The notes are on their way, and not stored: a record that was read now could go without anybody noticing.
    assert world.app.gates.calls["snapshot"] == 1
    assert not world.changes.events(Captured)
    world.changes.held = False
    await world.changes.acknowledge()
    await world.until(lambda log: log.events(ReadDone))
    assert told(world) == []
    assert [row.id for row in world.changes.rows(read="r1")] == ["1"]
    assert set(world.state.kept("crm").notes) == {"people", "people\t1"}


async def test_what_happened_while_nobody_captured_is_told_and_nothing_else(world: World, app: App) -> None:
    ids = [app.insert("people", name=name) for name in ("same", "edited", "deleted")]
    world.start()
    await begun(world)
    assert world.task is not None
    await ended(world.task)
    app.update("people", ids[1], name="anew")
    app.delete("people", ids[2])
    world.service = world.made(TIMES, polled)
    world.start()
    await world.until(lambda log: len(log.rows()) == 2)
    assert sorted(told(world)) == [("delete", ids[2]), ("upsert", ids[1])]
    assert len(world.changes.events(LogStarted)) == 1


async def test_what_is_not_noted_is_told_again_after_a_crash(world: World, app: App) -> None:
    world.start()
    await begun(world)
    await world.established()
    world.changes.held = True
    app.insert("people", name="new")
    await world.until(lambda log: log.rows())
    # The change is stored, its note is not: nothing but the message that was acknowledged is left.
    del world.changes.log[next(n for n, one in enumerate(world.changes.log) if one.event in log_rows(world)) + 1 :]
    world.changes.held = False
    await world.changes.acknowledge()
    world.state.position = min(world.state.position, len(world.changes.log) - 1)
    world.state.memory["crm"] = Remembered("1", {"people": world.state.kept("crm").notes["people"]})
    await restarted(world)
    await world.until(lambda log: len(log.rows()) == 2)
    assert told(world) == [("upsert", "1"), ("upsert", "1")]


def log_rows(world: World) -> list[Captured]:
    found: list[Captured] = [event for event in world.changes.events(Captured) if event.rows]
    return found


async def test_a_quiet_account_notes_nothing(world: World, app: App) -> None:
    world.start()
    await begun(world)
    await world.established()
    notes = len(world.changes.events(Noted))
    looks = app.gates.calls["stamp"]
    await eventually(lambda: app.gates.calls["stamp"] > looks + 5)
    assert len(world.changes.events(Noted)) == notes


async def test_a_mark_comes_by_behind_what_was_there_when_it_was_set(world: World, app: App) -> None:
    world.start()
    await begun(world)
    app.insert("people", name="before")
    world.state.order(SetMark("crm", "m"))
    world.service.wake()
    await world.until(lambda log: log.events(Marked))
    order = [type(message.event) for message in world.changes.log]
    assert order.index(Captured) < order.index(Marked)


async def test_a_mark_that_had_not_come_by_when_the_account_failed_is_set_again(world: World, app: App) -> None:
    """It lived in the connector alone; a full read ends with one, and would never end."""
    world.start()
    await begun(world)
    await world.established()
    app.gates.close("stamp")
    await app.gates.called("stamp", app.gates.calls["stamp"] + 1)
    world.state.order(SetMark("crm", "m"))
    world.service.wake()
    await eventually(lambda: world.service._errands._carried_out)
    app.fail(RetriableError("gone", retry_after=0.0))
    app.gates.open("stamp")
    await world.until(lambda log: any(not one.up for one in log.events(AccountState)))
    assert not world.changes.events(Marked)
    app.recover()
    await world.until(lambda log: log.events(Marked))


async def test_an_account_that_is_off_is_forgotten_and_begins_anew(world: World, app: App) -> None:
    app.insert("people", name="there")
    world.start()
    await begun(world)
    await world.source.apply(configuration(2, {"contacts": BETWEEN}, off={"contacts"}))
    await world.until(lambda log: any(event.anew for event in log.events(Noted)))
    assert world.state.kept("crm") == Remembered()
    await world.source.apply(configuration(3, {"contacts": BETWEEN}))
    await world.until(lambda log: len(log.events(LogStarted)) == 2)
    await eventually(lambda: world.state.kept("crm").cursor)


async def test_an_account_that_has_left_is_given_up_only_when_it_is_forgotten(world: World, app: App) -> None:
    """Should it come back, another service begins at once, which does not know what this one has sent."""
    app.insert("people", name="there")
    world.start()
    await begun(world)
    await world.source.apply(configuration(2, {"others": {"books": "people", "shop": "customers"}}))
    assert world.task is not None
    await within(10, world.task)
    assert world.changes.events(Noted)[-1].anew
    assert world.state.memory["crm"] == Remembered(), "route has taken it in"


async def test_a_memory_that_is_lost_is_a_log_that_begins_anew(world: World, app: App) -> None:
    world.start()
    await begun(world)
    await world.established()
    assert world.task is not None
    await ended(world.task)
    world.state.kept("crm")
    world.state.memory.clear()  # the state was lost, and all of it with the topics' end
    world.service = world.made(TIMES, polled)
    world.start()
    await world.until(lambda log: len(log.events(LogStarted)) == 2)
    assert len(world.changes.events(AccountState)) >= 1


async def test_an_object_that_is_added_is_noted_before_it_is_read(world: World, app: App) -> None:
    world.start()
    await begun(world)
    app.insert("firms", name="there")
    both = {"contacts": BETWEEN, "firms": {"crm": "firms", "shop": "customers"}}
    await world.source.apply(configuration(2, both))
    await eventually(lambda: "firms\t1" in world.state.kept("crm").notes)
    app.delete("firms", "1")
    await world.until(lambda log: log.rows())
    assert told(world) == [("delete", "1")]
    assert len(world.changes.events(LogStarted)) == 1
