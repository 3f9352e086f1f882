"""What the rules ask of an account besides writes: full reads, single records, marks; beside its log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from connectors.base import RetriableError
from connectors.memory import App
from rules.events import AccountState, Captured, LogStarted, Marked, ReadDone, ReadRecords, ReadRequest, SetMark
from rules.version import Version
from tests.streams.capture_world import BETWEEN, World, capture_world
from tests.streams.twins import Message, configuration


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with capture_world() as one:
        yield one


@pytest.fixture
def app(world: World) -> App:
    return world.app


def request(read: str, sync: str = "contacts", object: str = "people") -> ReadRequest:
    return ReadRequest("crm~shop", "crm", object, sync, read)


def pages(world: World, read: str) -> list[Message]:
    return [one for one in world.changes.log if isinstance(one.event, Captured) and one.event.read == read]


def fill(app: App, count: int) -> list[str]:
    return [app.insert("people", name=str(number)) for number in range(count)]


# ---------------------------------------------------------------- full reads


async def test_a_full_read_sends_every_record_then_says_that_it_is_done(world: World, app: App) -> None:
    ids = fill(app, 7)
    key = world.state.order(request("contacts#1"))
    world.start()
    await world.until(lambda log: log.events(ReadDone))
    assert [row.id for row in world.changes.rows(read="contacts#1")] == ids
    sent = pages(world, "contacts#1")
    assert [(one.errand, one.resume, one.to) for one in sent] == [
        (key, "3", "crm~shop"),
        (key, "6", "crm~shop"),
        (None, None, "crm~shop"),
    ]
    assert world.changes.log[-1] == Message(ReadDone("crm", "people", "contacts#1"), 1, "crm~shop", key, None)
    assert world.state.open("crm") == []


async def test_an_empty_object_is_done_without_a_page(world: World) -> None:
    world.state.order(request("contacts#1"))
    world.start()
    await world.until(lambda log: log.events(ReadDone))
    assert pages(world, "contacts#1") == []


async def test_a_read_is_done_only_when_every_page_is_acknowledged(world: World, app: App) -> None:
    fill(app, 4)
    world.start()
    await world.established()
    world.changes.held = True
    world.state.order(request("contacts#1"))
    world.service.wake()
    await world.until(lambda log: len(log.rows(read="contacts#1")) == 4)
    await world.changes.acknowledge(1)
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.changes.events(ReadDone) == []
    await world.changes.acknowledge(1)
    await world.until(lambda log: log.events(ReadDone))


async def test_a_read_never_runs_before_the_log_is_established(world: World, app: App) -> None:
    fill(app, 4)
    world.state.order(request("contacts#1"))
    app.gates.close("prepare")
    world.start()
    await app.gates.called("prepare")
    assert app.gates.calls["snapshot"] == 0
    app.gates.open("prepare")
    await world.until(lambda log: log.events(ReadDone))
    kinds = [type(one.event) for one in world.changes.log]
    assert kinds.index(LogStarted) < kinds.index(Captured)


async def test_a_read_waits_until_route_has_passed_the_marker_of_this_owner(world: World, app: App) -> None:
    fill(app, 4)
    world.state.order(request("contacts#1"))
    world.state.lags = True
    world.changes.marker = 0  # the first message here stands for the marker
    world.start()
    await world.established()
    assert app.gates.calls["snapshot"] == 0
    world.state.lags = False
    app.insert("people", name="something moves")
    await world.until(lambda log: log.events(ReadDone))


async def test_a_read_goes_on_behind_the_last_page_that_route_has_seen(world: World, app: App) -> None:
    ids = fill(app, 9)
    app.gates.close("snapshot")
    app.gates.let("snapshot", 2)
    world.state.order(request("contacts#1"))
    world.start()
    await world.until(lambda _: len(pages(world, "contacts#1")) == 2)
    await world.restart()
    app.gates.open("snapshot")
    await world.until(lambda log: log.events(ReadDone))
    assert [row.id for row in world.changes.rows(read="contacts#1")] == ids


async def test_pages_that_route_has_not_seen_are_read_again(world: World, app: App) -> None:
    ids = fill(app, 9)
    app.gates.close("snapshot")
    app.gates.let("snapshot", 2)
    world.state.order(request("contacts#1"))
    world.start()
    await world.until(lambda _: len(pages(world, "contacts#1")) == 2)
    del world.changes.log[-1]  # the process fell before Kafka had it
    await world.restart()
    app.gates.open("snapshot")
    await world.until(lambda log: log.events(ReadDone))
    assert [row.id for row in world.changes.rows(read="contacts#1")] == ids


async def test_a_read_goes_on_where_it_was_when_its_account_was_away(world: World, app: App) -> None:
    ids = fill(app, 9)
    app.gates.close("snapshot")
    app.gates.let("snapshot")
    world.state.order(request("contacts#1"))
    world.start()
    await world.until(lambda _: len(pages(world, "contacts#1")) == 1)
    app.fail(RetriableError("gone", retry_after=0))
    app.gates.open("snapshot")
    await world.until(lambda log: [one.up for one in log.events(AccountState)][-1:] == [False])
    app.recover()
    await world.until(lambda log: log.events(ReadDone))
    assert [row.id for row in world.changes.rows(read="contacts#1")] == ids


async def test_a_read_that_was_interrupted_waits_until_route_has_seen_its_pages(world: World, app: App) -> None:
    ids = fill(app, 9)
    world.start()
    await world.established()
    world.state.lags = True
    world.state.order(request("contacts#1"))
    app.gates.close("snapshot")
    app.gates.let("snapshot", 2)
    world.service.wake()
    await world.until(lambda _: len(pages(world, "contacts#1")) == 2)
    app.fail(RetriableError("gone", retry_after=0))
    app.gates.open("snapshot")
    await world.until(lambda log: [one.up for one in log.events(AccountState)][-1:] == [False])
    app.recover()
    app.insert("people", name="live")
    await world.until(lambda log: log.rows())
    assert len(pages(world, "contacts#1")) == 2
    world.state.lags = False
    app.insert("people", name="something moves")
    await world.until(lambda log: log.events(ReadDone))
    assert [row.id for row in world.changes.rows(read="contacts#1")][: len(ids)] == ids


async def test_only_the_last_piece_of_a_page_says_how_far_the_read_has_got(world: World, app: App) -> None:
    for _ in range(4):
        app.insert("people", name="x" * 150_000)
    key = world.state.order(request("contacts#1"))
    world.start()
    await world.until(lambda log: log.events(ReadDone))
    told = [(len(one.event.rows), one.errand, one.resume) for one in pages(world, "contacts#1")]  # type: ignore[union-attr]
    assert told == [(2, None, None), (1, key, "3"), (1, None, None)]


async def test_a_newer_request_replaces_the_old_one_whose_pages_stop(world: World, app: App) -> None:
    fill(app, 9)
    app.gates.close("snapshot")
    world.state.order(request("contacts#1"))
    world.start()
    await app.gates.called("snapshot")
    world.state.order(request("contacts#2"))
    world.service.wake()
    app.gates.open("snapshot")
    await world.until(lambda log: log.events(ReadDone))
    assert world.changes.events(ReadDone) == [ReadDone("crm", "people", "contacts#2")]
    assert len(world.changes.rows(read="contacts#2")) == 9
    assert len(world.changes.rows(read="contacts#1")) == 0


async def test_the_read_of_a_sync_that_is_gone_stops(world: World, app: App) -> None:
    fill(app, 9)
    app.gates.close("snapshot")
    key = world.state.order(request("contacts#1"))
    world.start()
    await app.gates.called("snapshot")
    del world.state.errands[key]
    world.service.wake()
    app.gates.open("snapshot")
    app.insert("people", name="live")
    await world.until(lambda log: log.rows())
    assert world.changes.events(ReadDone) == []
    assert pages(world, "contacts#1") == []


async def test_two_syncs_read_the_same_object_one_after_the_other(world: World, app: App) -> None:
    fill(app, 4)
    await world.source.apply(configuration(2, {"contacts": BETWEEN, "leads": {"crm": "people", "shop": "leads"}}))
    world.state.order(request("contacts#1"))
    world.state.order(request("leads#1", "leads"))
    world.start()
    await world.until(lambda log: len(log.events(ReadDone)) == 2)
    assert [event.read for event in world.changes.events(ReadDone)] == ["contacts#1", "leads#1"]


async def test_a_read_that_is_done_is_not_begun_again_while_route_is_behind(world: World, app: App) -> None:
    fill(app, 4)
    world.start()
    await world.established()
    world.state.lags = True
    world.state.order(request("contacts#1"))
    world.service.wake()
    await world.until(lambda log: log.events(ReadDone))
    world.state.order(SetMark("crm", "m1"))
    world.service.wake()
    await world.until(lambda log: log.events(Marked))
    assert len(world.changes.events(ReadDone)) == 1
    assert app.gates.calls["snapshot"] == 2


async def test_live_changes_pass_a_read_whose_pages_are_not_acknowledged(world: World, app: App) -> None:
    """A read takes up so much room and no more, so that the next change finds some."""
    fill(app, 60)
    world.start()
    await world.established()
    world.changes.held, world.changes.room = True, 5
    world.state.order(request("contacts#1"))
    world.service.wake()
    await world.until(lambda _: len(pages(world, "contacts#1")) == 4)
    app.insert("people", name="live")
    await world.until(lambda log: log.rows())
    assert len(pages(world, "contacts#1")) == 4
    world.changes.held = False
    await world.changes.acknowledge()
    await world.until(lambda log: log.events(ReadDone))


async def test_a_mark_and_single_records_do_not_wait_for_the_end_of_a_read(world: World, app: App) -> None:
    fill(app, 9)
    app.gates.close("snapshot")
    world.state.order(request("contacts#1"))
    world.start()
    await app.gates.called("snapshot")
    world.state.order(SetMark("crm", "m1"))
    world.state.order(ReadRecords("crm~shop", "crm", "people", ("2",)))
    world.service.wake()
    app.gates.open("snapshot")
    await world.until(lambda log: log.events(Marked) and log.events(ReadDone))
    kinds = [type(one.event) for one in world.changes.log]
    assert kinds.index(Marked) < kinds.index(ReadDone)


# ---------------------------------------------------------------- single records


async def test_records_are_read_as_they_are_and_absent_ones_come_as_deleted(world: World, app: App) -> None:
    first, second = fill(app, 2)
    key = world.state.order(ReadRecords("crm~shop", "crm", "people", (second, "99", first)))
    world.start()
    await world.until(lambda log: log.rows())
    (message,) = pages(world, None)  # type: ignore[arg-type]
    assert (message.errand, message.resume, message.to) == (key, None, "crm~shop")
    assert [(row.id, row.op) for row in message.event.rows] == [  # type: ignore[union-attr]
        (second, "upsert"),
        ("99", "delete"),
        (first, "upsert"),
    ]
    assert {row.version for row in message.event.rows} == {Version(2)}  # type: ignore[union-attr]
    assert world.state.open("crm") == []


async def test_an_absence_alone_is_as_new_as_the_log_was_before(world: World, app: App) -> None:
    world.start()
    await world.established()
    id = app.insert("people", name="seen in the log")
    await world.until(lambda log: log.rows())
    seen = world.changes.rows()[0].version
    app.hold_log()
    app.delete("people", id)
    world.state.order(ReadRecords("crm~shop", "crm", "people", (id,)))
    world.service.wake()
    await world.until(lambda log: len(log.rows()) == 2)
    absence = world.changes.rows()[1]
    assert absence.op == "delete"
    assert absence.version.position == seen.position


async def test_many_records_are_read_in_pieces_of_which_the_last_ends_the_errand(world: World, app: App) -> None:
    ids = fill(app, 1100)
    key = world.state.order(ReadRecords("crm~shop", "crm", "people", tuple(ids)))
    world.start()
    await world.until(lambda log: len(log.rows()) == 1100)
    assert [one.errand for one in world.changes.log if isinstance(one.event, Captured)] == [None, None, key]


# ---------------------------------------------------------------- marks


async def test_a_mark_comes_by_behind_what_was_committed_before_it(world: World, app: App) -> None:
    world.start()
    await world.established()
    app.insert("people", name="before")
    world.state.order(SetMark("crm", "m1"))
    world.service.wake()
    await world.until(lambda log: log.events(Marked))
    kinds = [type(one.event) for one in world.changes.log]
    assert kinds.index(Captured) < kinds.index(Marked)
    assert app.gates.calls["mark"] == 1


async def test_a_mark_is_set_again_in_a_log_that_was_made_anew(world: World, app: App) -> None:
    world.start()
    await world.established()
    app.hold_log()
    world.state.order(SetMark("crm", "m1"))
    world.service.wake()
    await app.gates.called("mark")
    app.lose_slots()
    app.release_log()
    await world.until(lambda log: log.events(Marked))
    assert app.gates.calls["mark"] == 2
