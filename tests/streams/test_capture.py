"""Capture of one account against the in-memory connector: order, confirmation, trouble, configuration, stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from connectors.base import FatalError, RetriableError
from connectors.memory import App
from rules.events import AccountState, Captured, FieldsChanged, LogStarted, Marked, ReadRequest, SetMark, Truncated
from streams import metrics
from streams.capture import IN_FLIGHT, CaptureTimes
from tests.streams.capture_world import BETWEEN, World, capture_world
from tests.streams.twins import FAST, configuration, ended, eventually, people, within


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with capture_world() as one:
        yield one


@pytest.fixture
def app(world: World) -> App:
    return world.app


def names(world: World) -> list[object]:
    return [row.values["name"] for row in world.changes.rows()]


# ---------------------------------------------------------------- the log


async def test_the_log_is_announced_before_it_is_made(world: World, app: App) -> None:
    world.changes.held = True
    world.start()
    await world.until(lambda log: log.events(LogStarted))
    for _ in range(20):
        await asyncio.sleep(0)
    assert app.gates.calls["prepare"] == 0
    assert app.slots == {}
    world.changes.held = False
    await world.changes.acknowledge()
    await world.established()
    assert "test/crm" in app.slots


async def test_a_log_that_stands_ready_is_not_announced_again(world: World, app: App) -> None:
    world.start()
    await world.established()
    assert world.task is not None
    await ended(world.task)
    app.insert("people", name="meanwhile")
    world.service = world.made()
    world.start()
    await world.until(lambda log: log.rows())
    assert len(world.changes.events(LogStarted)) == 1
    assert names(world) == ["meanwhile"]


async def test_changes_arrive_in_the_order_of_the_account_whatever_their_object(world: World, app: App) -> None:
    await world.source.apply(configuration(2, {"contacts": BETWEEN, "firms": {"crm": "firms", "shop": "customers"}}))
    world.start()
    await world.established()
    for number in range(10):
        app.insert(("people", "firms")[number % 2], name=str(number))
    await world.until(lambda log: len(log.rows()) == 10)
    assert names(world) == [str(number) for number in range(10)]
    assert {event.object for event in world.changes.events(Captured)} == {"people", "firms"}


async def test_nothing_is_confirmed_before_it_is_acknowledged(world: World, app: App) -> None:
    world.start()
    await world.established()
    world.changes.held = True
    before = app.slots["test/crm"].confirmed
    app.insert("people", name="first")
    await world.until(lambda log: len(log.rows()) == 1)
    app.insert("people", name="second")
    await world.until(lambda log: len(log.rows()) == 2)
    await app.gates.called("confirm", 0)
    assert app.slots["test/crm"].confirmed == before
    await world.changes.acknowledge(1)
    await world.confirmed(app.position - 1)
    assert app.slots["test/crm"].confirmed == app.position - 1
    await world.changes.acknowledge()
    await world.confirmed(app.position)


async def test_many_messages_are_in_flight_but_not_more_than_the_bound(world: World, app: App) -> None:
    world.start()
    await world.established()
    world.changes.held = True
    for number in range(IN_FLIGHT * 3):
        app.insert("people", name=str(number))
        await app.gates.called("changes", 1)
        await asyncio.sleep(0)  # a batch of its own for each
        await asyncio.sleep(0)
    await world.until(lambda log: len(log.events(Captured)) > 1)
    world.changes.held = False
    await world.changes.acknowledge()
    await world.until(lambda log: len(log.rows()) == IN_FLIGHT * 3)
    assert 1 < world.changes.most_in_flight <= IN_FLIGHT + 1


async def test_a_large_commit_is_cut_and_confirmed_with_its_last_piece(world: World, app: App) -> None:
    world.start()
    await world.established()
    world.changes.held = True
    before = app.slots["test/crm"].confirmed
    with app.transaction():
        for number in range(1200):
            app.insert("people", name=str(number))
    await world.until(lambda log: len(log.rows()) == 1200)
    assert [len(event.rows) for event in world.changes.events(Captured)] == [500, 500, 200]
    await world.changes.acknowledge(2)
    assert app.slots["test/crm"].confirmed == before
    world.changes.held = False
    await world.changes.acknowledge()
    await world.confirmed(app.position)


async def test_heavy_rows_make_messages_that_a_broker_takes(world: World, app: App) -> None:
    world.start()
    await world.established()
    with app.transaction():
        for _ in range(10):
            app.insert("people", name="x" * 150_000)
    await world.until(lambda log: len(log.rows()) == 10)
    assert [len(event.rows) for event in world.changes.events(Captured)] == [2, 2, 2, 2, 2]


async def test_a_quiet_log_is_confirmed_by_its_heartbeats(world: World, app: App) -> None:
    world.start()
    await world.established()
    app.insert("firms", name="not ours")
    await world.confirmed(app.position)
    assert world.changes.rows() == []


async def test_truncations_new_fields_and_marks_of_the_log_go_on(world: World, app: App) -> None:
    world.start()
    await world.established()
    app.truncate("people")
    app.alter(people())
    world.state.order(SetMark("crm", "m1"))
    world.service.wake()
    await world.until(lambda log: log.events(Marked))
    assert world.changes.events(Truncated) == [Truncated("crm", "people")]
    assert world.changes.events(FieldsChanged)[0].object == "people"
    assert world.changes.events(Marked) == [Marked("crm", "m1")]


async def test_a_lost_log_is_announced_before_a_new_one_is_made(world: World, app: App) -> None:
    world.start()
    await world.established()
    app.insert("people", name="before")
    await world.until(lambda log: log.rows())
    app.lose_slots()
    app.insert("people", name="missed")
    await world.until(lambda log: len(log.events(LogStarted)) == 2)
    await app.gates.called("changes", 2)
    app.insert("people", name="after")
    await world.until(lambda log: len(log.rows()) == 2)
    assert names(world) == ["before", "after"]
    kinds = [type(message.event) for message in world.changes.log]
    assert kinds.index(Captured) < len(kinds) - 1 - kinds[::-1].index(LogStarted)


async def test_a_log_that_was_confirmed_past_us_is_made_anew_though_it_stands(world: World, app: App) -> None:
    """Somebody has confirmed what we do not have: the old log is of no use, whatever the account thinks of it."""
    world.start()
    await world.established()
    old = app.slots["test/crm"]
    assert world.task is not None
    await ended(world.task)
    app.gates.close("changes")
    world.service = world.made()
    world.start()
    await app.gates.called("changes", 2)
    app.insert("people", name="missed")
    old.confirmed = app.position
    app.gates.open("changes")
    await world.until(lambda log: len(log.events(LogStarted)) == 2)
    await eventually(lambda: app.slots.get("test/crm") not in (old, None))
    app.insert("people", name="after")
    await world.until(lambda log: log.rows())
    assert names(world) == ["after"]


async def test_each_message_names_the_configuration_in_force(world: World, app: App) -> None:
    world.start()
    await world.established()
    await world.source.apply(configuration(7, {"contacts": BETWEEN, "others": {"a": "x", "b": "y"}}))
    app.insert("people", name="n")
    await world.until(lambda log: log.rows())
    assert world.changes.log[-1].config == 7
    assert app.gates.calls["changes"] == 1


# ---------------------------------------------------------------- trouble


def states(world: World) -> list[bool]:
    return [state.up for state in world.changes.events(AccountState)]


async def test_an_account_that_is_down_is_told_once_and_again_when_it_is_back(world: World, app: App) -> None:
    world.start()
    await world.established()
    app.fail(RetriableError("down for maintenance", "wait", retry_after=0))
    await app.gates.called("open", 6)
    assert states(world) == [True, False]
    assert world.changes.events(AccountState)[-1].reason == "down for maintenance (wait)"
    assert up_metric() == 0.0
    app.recover()
    app.insert("people", name="missed nothing")
    await world.until(lambda _: states(world) == [True, False, True])
    await world.until(lambda log: log.rows())
    assert names(world) == ["missed nothing"]
    assert up_metric() == 1.0


def up_metric() -> float | None:
    return metrics.REGISTRY.get_sample_value("tandem_account_up", {"account": "crm"})


async def test_a_missing_permission_is_told_at_once_as_one(world: World, app: App) -> None:
    world.service = world.made(CaptureTimes(pacing=FAST, report_after=3600.0))
    app.fail(FatalError("the role may not replicate", "ALTER ROLE … REPLICATION"))
    world.start()
    await world.until(lambda log: log.events(AccountState))
    assert states(world) == [False]
    assert world.changes.events(AccountState)[0].reason.startswith("permission: the role may not replicate")


async def test_trouble_that_is_soon_over_is_not_told(world: World, app: App) -> None:
    world.service = world.made(CaptureTimes(pacing=FAST, report_after=3600.0, settle=0.01))
    world.start()
    await world.established()
    app.fail(RetriableError("a moment", retry_after=0))
    await app.gates.called("open", 4)
    app.recover()
    app.insert("people", name="n")
    await world.until(lambda log: log.rows())
    assert states(world) == [True]


async def test_a_slot_that_another_process_still_holds_is_waited_for(world: World, app: App) -> None:
    world.start()
    await world.established()
    assert world.task is not None
    await ended(world.task)
    other = object()
    app.slots["test/crm"].holder = other
    app.insert("people", name="n")
    world.service = world.made()
    world.start()
    await app.gates.called("changes", 4)
    assert world.changes.rows() == []
    app.slots["test/crm"].holder = None
    await world.until(lambda log: log.rows())
    assert len(world.changes.events(LogStarted)) == 1


async def test_throttling_is_waited_out_and_counted(world: World, app: App) -> None:
    before = metrics.REGISTRY.get_sample_value("tandem_rate_limited_seconds_total", {"account": "crm"}) or 0.0
    app.fail(RetriableError("slow down", retry_after=0.02, throttled=True))
    world.start()
    await app.gates.called("open", 3)
    app.recover()
    await world.established()
    after = metrics.REGISTRY.get_sample_value("tandem_rate_limited_seconds_total", {"account": "crm"})
    assert after is not None
    assert after >= before + 0.04


async def test_a_fault_of_ours_ends_the_service(world: World) -> None:
    class BrokenError(Exception):
        pass

    async def send(*_: object, **__: object) -> asyncio.Future[int]:
        raise BrokenError

    world.changes.send = send  # type: ignore[method-assign]
    world.start()
    assert world.task is not None
    await asyncio.wait([world.task])
    with pytest.raises(BrokenError):
        world.task.result()


# ---------------------------------------------------------------- configuration


async def test_an_account_whose_syncs_are_all_off_lets_go_of_its_slot_and_takes_it_up_again(
    world: World, app: App
) -> None:
    world.start()
    await world.established()
    await world.source.apply(configuration(2, {"contacts": BETWEEN}, off={"contacts"}))
    await eventually(lambda: app.slots == {})
    app.insert("people", name="not captured")
    await world.source.apply(configuration(3, {"contacts": BETWEEN}))
    await world.until(lambda log: len(log.events(LogStarted)) == 2)
    await app.gates.called("changes", 2)
    app.insert("people", name="captured")
    await world.until(lambda log: log.rows())
    assert names(world) == ["captured"]


async def test_an_account_that_left_the_configuration_is_released_and_its_service_ends(world: World, app: App) -> None:
    world.start()
    await world.established()
    app.gates.close("release")
    await world.source.apply(configuration(2, {"contacts": {"shop": "a", "portal": "b"}}))
    await within(5, app.gates.called("release"))
    app.fail(RetriableError("down just then", retry_after=0))
    app.gates.open("release")
    await app.gates.called("open", 4)
    assert world.task is not None
    assert not world.task.done()
    app.recover()
    await within(5, world.task)
    assert app.slots == {}


async def test_an_account_that_comes_back_while_it_is_being_released_is_captured_on(world: World, app: App) -> None:
    world.start()
    await world.established()
    app.gates.close("release")
    await world.source.apply(configuration(2, {"contacts": {"shop": "a", "portal": "b"}}))
    await within(5, app.gates.called("release"))
    await world.source.apply(configuration(3, {"contacts": BETWEEN}))
    app.insert("people", name="n")
    await world.until(lambda log: log.rows())


async def test_a_service_waits_for_the_first_configuration(world: World, app: App) -> None:
    world.source.current = None
    world.start()
    await asyncio.sleep(0)
    assert app.gates.calls["open"] == 0
    await world.source.apply(configuration(1, {"contacts": BETWEEN}))
    await world.established()


async def test_an_object_that_is_added_is_prepared_before_it_is_read(world: World, app: App) -> None:
    world.start()
    await world.established()
    app.insert("firms", name="old")
    world.state.order(ReadRequest("crm~shop", "crm", "firms", "firms", "firms#1"))
    world.service.wake()
    app.insert("people", name="n")
    await world.until(lambda log: log.rows())
    assert app.gates.calls["snapshot"] == 0
    both = {"contacts": BETWEEN, "firms": {"crm": "firms", "shop": "firms"}}
    await world.source.apply(configuration(2, both))
    await world.until(lambda log: log.rows(read="firms#1"))
    assert app.gates.calls["prepare"] == 2
    app.insert("firms", name="new")
    await world.until(lambda log: [row.values["name"] for row in log.rows()] == ["n", "new"])


# ---------------------------------------------------------------- stop


@pytest.mark.parametrize("call", ["open", "position", "prepare", "changes", "confirm", "mark"])
async def test_a_stop_is_prompt_wherever_the_account_hangs(world: World, app: App, call: str) -> None:
    app.gates.close(call)
    world.state.order(SetMark("crm", "m1"))
    world.start()
    await within(5, app.gates.called(call))
    assert world.task is not None
    await within(1, ended(world.task))
    assert world.task.cancelled()
    assert all(slot.holder is None for slot in app.slots.values())


async def test_a_stop_is_prompt_while_kafka_does_not_acknowledge(world: World, app: App) -> None:
    world.start()
    await world.established()
    world.changes.held, world.changes.room = True, 2
    for number in range(5):
        app.insert("people", name=str(number))
        await asyncio.sleep(0)
    await world.until(lambda log: log.rows())
    assert world.task is not None
    await within(1, ended(world.task))
    assert world.task.cancelled()
