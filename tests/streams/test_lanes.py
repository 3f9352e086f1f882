"""Delivery against the in-memory connector: answers, order, fences, deferral, trouble, other accounts, stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from connectors.base import FatalError, FencedError, Result, RetriableError, Write
from connectors.memory import App, MemoryConnector, RefusedError, forget_app, make_app
from rules.catalog import Catalog
from rules.events import AccountState, Command, Commands, Results
from streams import metrics
from streams.accounts import Accounts
from streams.applying import ApplyTimes, place
from streams.lane import STEPS, LaneTimes, Standing, Step
from streams.lanes import AccountLanes
from streams.protocols import FenceBase
from tests.streams.twins import FAST, Inbox, Source, configuration, eventually, memory, people, resolve, within

BETWEEN = {"crm": "people", "shop": "customers"}
TIMES = LaneTimes(apply=ApplyTimes(pause=0.001), probes=FAST, tell_again=0.0)


class World:
    """Two accounts whose commands lie in one partition, and its lanes."""

    def __init__(self) -> None:
        self.app = make_app("crm", people(), people("firms"))
        self.other = make_app("shop", people("customers"))
        self.source = Source(configuration(1, {"contacts": BETWEEN, "leads": {"crm": "people", "portal": "leads"}}))
        self.inbox = Inbox()
        self.lanes = self.made()
        self.offset = -1
        self.links = 0

    def made(self, times: LaneTimes = TIMES, epoch: int = 1, fresh: int = 0) -> AccountLanes:
        """The lanes of an owner."""
        accounts = Accounts(self.source, resolve, memory)
        return AccountLanes(FenceBase("test/commands-0", epoch, fresh), self.inbox, accounts, times)

    def message(self, commands: Sequence[Command], account: str = "crm", object: str = "people") -> Commands:
        """A message for a connection."""
        return Commands("crm~shop", account, object, tuple(commands))

    def submit(self, commands: Commands, offset: int | None = None) -> asyncio.Future[Results]:
        """The next message of the partition, or one that comes again."""
        if offset is None:
            self.offset += 1
            offset = self.offset
        return self.lanes.submit(offset, commands)

    def create(self, name: str, **more: Any) -> Command:
        """A command of a link of its own."""
        self.links += 1
        link = f"l{self.links}"
        return Command("contacts", link, 1, f"contacts/{link}/1/x", "create", None, {"name": name}, {}, **more)

    def creates(self, *names: str, account: str = "crm", object: str = "people") -> asyncio.Future[Results]:
        """A message that creates records."""
        return self.submit(self.message([self.create(name) for name in names], account, object))

    async def outcomes(self, results: asyncio.Future[Results]) -> list[str]:
        """What became of the commands of a message."""
        return [answer.outcome for answer in (await within(10, results)).answers]

    def names(self) -> list[object]:
        """What the account holds, in the order in which it was created."""
        return [row["name"] for row in self.app.rows("people").values()]


@asynccontextmanager
async def lanes_world() -> AsyncIterator[World]:
    """A world that ends without a task left over."""
    one = World()
    try:
        yield one
        await within(5, one.lanes.stop())
        assert asyncio.all_tasks() == {asyncio.current_task()}
    finally:
        forget_app("crm")
        forget_app("shop")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with lanes_world() as one:
        yield one


@pytest.fixture
def app(world: World) -> App:
    return world.app


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str], int]]:
    """The calls of `apply`, as (object, names written, offset of the fence)."""
    calls: list[tuple[str, list[str], int]] = []
    original = MemoryConnector.apply

    async def apply(self: MemoryConnector, object: str, writes: Sequence[Write], fence: Any) -> list[Result]:
        calls.append((object, [str(write.values.get("name")) for write in writes], fence.offset))
        return await original(self, object, writes, fence)

    monkeypatch.setattr(MemoryConnector, "apply", apply)
    return calls


# ---------------------------------------------------------------- answers


async def test_every_command_has_its_answer_in_order_with_the_record_as_stored(world: World, app: App) -> None:
    app.insert("people", name="there", email="taken@x.org")
    good, bad = world.create("good"), world.create("bad")
    bad.values["email"] = "taken@x.org"
    results = await within(5, world.submit(world.message([good, bad])))
    assert (results.account, results.object) == ("crm", "people")
    first, second = results.answers
    assert (first.sync, first.link, first.sequence, first.outcome, first.id) == ("contacts", "l1", 1, "applied", "2")
    assert first.values is not None
    assert first.values["name"] == "good"
    assert first.version is not None
    assert (second.outcome, second.category, second.field, second.other) == ("rejected", "duplicate", "email", "1")


async def test_updates_deletions_identifiers_and_pairs_reach_the_account(world: World, app: App) -> None:
    id = app.insert("people", name="Ann", email="ann@x.org")
    gone = app.insert("people", name="Bob")
    update = Command("contacts", "u", 1, "t1", "update", id, {"name": "Anna"}, {"name": "Ann"})
    stale = Command("contacts", "v", 1, "t2", "update", id, {"name": "Zoe"}, {"name": "Ann"})
    delete = Command("contacts", "d", 1, "t3", "delete", gone, {}, {"name": "Bob"})
    again = Command(
        "contacts", "c", 1, "t4", "create", None, {"name": "x"}, {}, (("email", "email", "ann@x.org"),),
        ("contacts", "shop", "customers", "7"),
    )  # fmt: skip
    assert await world.outcomes(world.submit(world.message([update, stale, delete, again]))) == [
        "applied",
        "conflict",
        "applied",
        "exists",
    ]
    assert app.rows("people")[id]["name"] == "Anna"


async def test_a_message_without_commands_is_answered(world: World) -> None:
    assert await world.outcomes(world.submit(world.message([]))) == []


# ---------------------------------------------------------------- order and batches


async def test_what_has_queued_is_merged_while_a_batch_is_on_its_way(
    world: World, app: App, applied: list[tuple[str, list[str], int]]
) -> None:
    app.gates.close("apply")
    results = [world.creates("a")]
    await app.gates.called("apply")
    results += [world.creates("b", "c"), world.creates("d"), world.creates("e")]
    app.gates.open("apply")
    for each in results:
        assert set(await world.outcomes(each)) == {"applied"}
    assert applied == [("people", ["a"], place(0, 1)), ("people", ["b", "c", "d", "e"], place(3, 1))]
    assert world.names() == ["a", "b", "c", "d", "e"]


async def test_objects_keep_their_order_within_the_account(
    world: World, app: App, applied: list[tuple[str, list[str], int]]
) -> None:
    app.gates.close("apply")
    results = [world.creates("a")]
    await app.gates.called("apply")
    results += [
        world.creates("f1", object="firms"),
        world.creates("b"),
        world.creates("c"),
        world.creates("f2", object="firms"),
    ]
    app.gates.open("apply")
    for each in results:
        await world.outcomes(each)
    assert [(object, names) for object, names, _ in applied] == [
        ("people", ["a"]),
        ("firms", ["f1"]),
        ("people", ["b", "c"]),
        ("firms", ["f2"]),
    ]
    assert [fence for _, _, fence in applied] == sorted({fence for _, _, fence in applied})


async def test_a_batch_larger_than_the_connector_takes_is_cut(
    world: World, applied: list[tuple[str, list[str], int]]
) -> None:
    catalogs = {"crm": Catalog({"people": people(batch_size=3)})}
    await world.source.apply(configuration(2, {"contacts": BETWEEN}, catalogs=catalogs))
    assert await world.outcomes(world.creates(*"abcdefg")) == ["applied"] * 7
    assert applied == [
        ("people", ["a", "b", "c"], place(0, 3)),
        ("people", ["d", "e", "f"], place(0, 6)),
        ("people", ["g"], place(0, 7)),
    ]


async def test_merging_stops_where_the_batch_is_full(
    world: World, app: App, applied: list[tuple[str, list[str], int]]
) -> None:
    catalogs = {"crm": Catalog({"people": people(batch_size=3)})}
    await world.source.apply(configuration(2, {"contacts": BETWEEN}, catalogs=catalogs))
    app.gates.close("apply")
    results = [world.creates("a")]
    await app.gates.called("apply")
    results += [world.creates("b", "c"), world.creates("d", "e"), world.creates("f")]
    app.gates.open("apply")
    for each in results:
        await world.outcomes(each)
    assert [names for _, names, _ in applied] == [["a"], ["b", "c"], ["d", "e", "f"]]


async def test_a_slow_account_does_not_hold_up_another_of_the_partition(world: World, app: App) -> None:
    app.gates.close("apply")
    slow = world.creates("slow")
    await app.gates.called("apply")
    for number in range(5):
        assert await world.outcomes(world.creates(str(number), account="shop", object="customers")) == ["applied"]
    assert not slow.done()
    assert not world.lanes.idle()
    app.gates.open("apply")
    assert await world.outcomes(slow) == ["applied"]
    await eventually(world.lanes.idle)


# ---------------------------------------------------------------- owners


async def test_a_message_that_comes_again_to_the_next_owner_is_not_written_again(world: World, app: App) -> None:
    message = world.message([world.create("a"), world.create("b")])
    first = await within(5, world.submit(message))
    await world.lanes.stop()
    world.lanes = world.made(epoch=2, fresh=1)
    again = await within(5, world.submit(message, offset=0))
    assert world.names() == ["a", "b"]
    assert [answer.id for answer in again.answers] == [answer.id for answer in first.answers]
    assert {answer.outcome for answer in again.answers} == {"applied"}


async def test_what_an_earlier_owner_may_have_written_is_not_merged_with_what_it_has_not(
    world: World, app: App, applied: list[tuple[str, list[str], int]]
) -> None:
    """Message 0 was written, and a person put the value back; message 1 was not. Merged, both would be written."""
    id = app.insert("people", name="old")
    written = world.message([Command("contacts", "u", 1, "t1", "update", id, {"name": "new"}, {"name": "old"})])
    await within(5, world.submit(written, offset=0))
    await world.lanes.stop()
    app.ledgers["test/crm"].links.clear()  # an app without a ledger per link
    app.update("people", id, name="old")
    world.lanes = world.made(epoch=2, fresh=2)
    app.gates.close("apply")
    again, unwritten, fresh = (
        world.submit(written, offset=0),
        world.submit(world.message([world.create("b")]), offset=1),
        world.submit(world.message([world.create("c")]), offset=2),
    )
    app.gates.open("apply")
    assert await world.outcomes(again) == ["deferred"]
    assert await world.outcomes(unwritten) == ["applied"]
    assert await world.outcomes(fresh) == ["applied"]
    assert world.names() == ["old", "b", "c"]
    assert ["b", "c"] not in [names for _, names, _ in applied]


async def test_a_message_cut_in_two_goes_on_behind_the_part_that_was_written(world: World, app: App) -> None:
    catalogs = {"crm": Catalog({"people": people(batch_size=2)})}
    await world.source.apply(configuration(2, {"contacts": BETWEEN}, catalogs=catalogs))
    message = world.message([world.create(name) for name in "abcd"])
    app.gates.close("apply")
    app.gates.let("apply")
    cut_off = world.submit(message)
    await app.gates.called("apply", 2)
    await world.lanes.stop()
    assert cut_off.cancelled()
    assert world.names() == ["a", "b"]
    app.ledgers["test/crm"].links.clear()
    app.gates.open("apply")
    world.lanes = world.made(epoch=2, fresh=1)
    outcomes = await world.outcomes(world.submit(message, offset=0))
    assert outcomes == ["deferred", "deferred", "applied", "applied"]
    assert world.names() == ["a", "b", "c", "d"]


async def test_a_former_owner_ends(world: World, app: App) -> None:
    newer = world.made(epoch=2)
    await within(5, newer.submit(5, world.message([world.create("a")])))
    failed, waiting = world.creates("zombie"), world.creates("too")
    with pytest.raises(FencedError):
        await within(5, failed)
    with pytest.raises(FencedError):
        await within(5, waiting)
    with pytest.raises(FencedError):
        await within(5, world.creates("later"))
    assert world.names() == ["a"]
    await newer.stop()


# ---------------------------------------------------------------- outcomes that take more than one attempt


async def test_a_lost_answer_is_asked_for_under_the_same_token(world: World, app: App) -> None:
    app.knobs.lose_answers = 1
    assert await world.outcomes(world.creates("a", "b")) == ["applied", "applied"]
    assert world.names() == ["a", "b"]
    assert app.gates.calls["open"] == 2


async def test_a_lost_write_is_done_the_second_time(world: World, app: App) -> None:
    app.knobs.lose_writes = 1
    assert await world.outcomes(world.creates("a")) == ["applied"]
    assert world.names() == ["a"]


async def test_what_stays_unknown_is_answered_so(world: World, app: App) -> None:
    app.knobs.lose_answers = 100
    assert await world.outcomes(world.creates("a")) == ["unknown"]
    assert world.names() == ["a"]
    assert app.gates.calls["apply"] == TIMES.apply.calls


async def test_a_call_that_hangs_has_an_unknown_outcome(world: World, app: App) -> None:
    world.lanes = world.made(LaneTimes(apply=ApplyTimes(answer_within=0.01, calls=2), probes=FAST))
    app.gates.close("answer")
    results = world.creates("a")
    assert await world.outcomes(results) == ["unknown"]
    assert world.names() == ["a"]


async def test_busy_rows_are_tried_again_alone_and_keep_no_other_back(
    world: World, app: App, applied: list[tuple[str, list[str], int]]
) -> None:
    app.knobs.busy = 2
    assert await world.outcomes(world.creates("a", "b", "c")) == ["applied"] * 3
    assert [names for _, names, _ in applied] == [["a", "b", "c"], ["a", "b"]]


async def test_rows_that_stay_busy_are_deferred(world: World, app: App) -> None:
    id = app.insert("people", name="held")
    app.knobs.locked = frozenset({("people", id)})
    held = Command("contacts", "u", 1, "t", "update", id, {"name": "new"}, {})
    results = await within(5, world.submit(world.message([held, world.create("free")])))
    first, second = results.answers
    assert (first.outcome, first.message, second.outcome) == ("deferred", "the record is locked", "applied")
    assert app.gates.calls["apply"] == TIMES.apply.calls
    assert world.inbox.sent == []


async def test_a_connection_that_broke_is_made_anew_unnoticed(world: World, app: App) -> None:
    await world.outcomes(world.creates("a"))
    app.drop_connections()
    assert await world.outcomes(world.creates("b")) == ["applied"]
    assert world.inbox.sent == []


async def test_a_short_throttle_is_waited_out_unnoticed(world: World, app: App) -> None:
    await world.outcomes(world.creates("a"))
    before = metrics.REGISTRY.get_sample_value("tandem_rate_limited_seconds_total", {"account": "crm"}) or 0.0
    app.fail(RetriableError("slow down", retry_after=0.01, throttled=True))
    results = world.creates("b")
    await app.gates.called("open", 2)
    app.recover()
    assert await world.outcomes(results) == ["applied"]
    assert world.inbox.sent == []
    after = metrics.REGISTRY.get_sample_value("tandem_rate_limited_seconds_total", {"account": "crm"})
    assert after is not None
    assert after > before


# ---------------------------------------------------------------- an account that is down


async def test_an_account_that_is_down_defers_and_tells_every_connection_once_until_it_is_back(
    world: World, app: App
) -> None:
    app.fail(RetriableError("down for maintenance", retry_after=0))
    (answer,) = (await within(5, world.creates("a"))).answers
    assert (answer.outcome, answer.category, answer.message) == ("deferred", "unavailable", "down for maintenance")
    await within(5, world.inbox.until(lambda inbox: {to for to, _ in inbox.sent} == {"crm~shop", "crm~portal"}))
    await app.gates.called("open", app.gates.calls["open"] + 3)
    assert world.inbox.states("crm~shop") == [False]
    assert world.inbox.states("crm~portal") == [False]
    assert metrics.REGISTRY.get_sample_value("tandem_account_up", {"account": "crm"}) == 0.0
    app.recover()
    await within(
        5, world.inbox.until(lambda inbox: inbox.states("crm~portal") == inbox.states("crm~shop") == [False, True])
    )
    assert await world.outcomes(world.creates("b")) == ["applied"]
    assert metrics.REGISTRY.get_sample_value("tandem_account_up", {"account": "crm"}) == 1.0


async def test_what_queued_behind_a_failure_is_deferred_at_once_and_what_comes_later_too(
    world: World, app: App
) -> None:
    app.gates.close("apply")
    first = world.creates("a")
    await app.gates.called("apply")
    behind = [world.creates("b"), world.creates("f", object="firms")]
    app.fail(RetriableError("gone", retry_after=3600))
    app.gates.open("apply")
    for each in (first, *behind):
        assert await world.outcomes(each) == ["deferred"]
    later = world.creates("c")
    assert later.done()
    assert await world.outcomes(later) == ["deferred"]
    assert await world.outcomes(world.creates("x", account="shop", object="customers")) == ["applied"]
    assert world.names() == []


async def test_a_connection_that_does_not_seem_to_know_is_told_again(world: World, app: App) -> None:
    app.fail(RetriableError("gone", retry_after=3600))
    await world.outcomes(world.creates("a"))
    await within(5, world.inbox.until(lambda inbox: inbox.states("crm~shop") == [False]))
    world.creates("b")
    await within(5, world.inbox.until(lambda inbox: inbox.states("crm~shop") == [False, False]))
    assert world.inbox.states("crm~portal") == [False]


async def test_a_missing_permission_is_told_as_one(world: World, app: App) -> None:
    app.fail(FatalError("the role may not write", "GRANT …"))
    (answer,) = (await within(5, world.creates("a"))).answers
    assert (answer.outcome, answer.category) == ("deferred", "permission")
    await within(5, world.inbox.until(lambda inbox: inbox.states("crm~shop") == [False]))
    state = next(event for _, event in world.inbox.sent if isinstance(event, AccountState))
    assert state.reason == "permission: the role may not write (GRANT …)"


async def test_a_failure_in_the_middle_of_a_message_keeps_the_answers_before_it(world: World, app: App) -> None:
    catalogs = {"crm": Catalog({"people": people(batch_size=2)})}
    await world.source.apply(configuration(2, {"contacts": BETWEEN}, catalogs=catalogs))
    app.gates.close("apply")
    app.gates.let("apply")
    results = world.creates("a", "b", "c")
    await app.gates.called("apply", 2)
    app.fail(RetriableError("gone", retry_after=3600))
    app.gates.open("apply")
    assert await world.outcomes(results) == ["applied", "applied", "deferred"]


async def test_an_unknown_outcome_of_an_account_that_is_then_down_stays_unknown(world: World, app: App) -> None:
    app.knobs.lose_answers = 1
    app.gates.close("open")
    app.gates.let("open")
    results = world.creates("a")
    await app.gates.called("open", 2)
    app.fail(RetriableError("gone", retry_after=3600))
    app.gates.open("open")
    assert await world.outcomes(results) == ["unknown"]


async def test_another_configuration_is_tried_at_once_and_opens_another_account(world: World, app: App) -> None:
    await world.outcomes(world.creates("a"))
    app.fail(RetriableError("moved", retry_after=3600))
    await world.outcomes(world.creates("b"))
    moved = configuration(2, {"contacts": BETWEEN})
    moved.document["accounts"]["crm"]["app"] = "shop"
    world.other.tables["people"] = type(app.tables["people"])(people())
    await world.source.apply(moved)
    await within(5, world.inbox.until(lambda inbox: inbox.states("crm~shop") == [False, True]))
    assert await world.outcomes(world.creates("c")) == ["applied"]
    assert [row["name"] for row in world.other.rows("people").values()] == ["c"]


async def test_a_configuration_that_moves_an_account_takes_effect_with_the_next_batch(world: World, app: App) -> None:
    await world.outcomes(world.creates("a"))
    moved = configuration(2, {"contacts": BETWEEN})
    moved.document["accounts"]["crm"]["app"] = "shop"
    world.other.tables["people"] = type(app.tables["people"])(people())
    await world.source.apply(moved)
    await world.outcomes(world.creates("b"))
    await world.source.apply(configuration(3, {"contacts": BETWEEN}, off={"contacts"}))
    await world.outcomes(world.creates("c"))
    assert world.names() == ["a", "c"]
    assert [row["name"] for row in world.other.rows("people").values()] == ["b"]


async def test_commands_for_an_account_that_no_sync_uses_are_deferred(world: World) -> None:
    (answer,) = (await within(5, world.creates("a", account="gone"))).answers
    assert (answer.outcome, answer.category) == ("deferred", "permission")


# ---------------------------------------------------------------- an account that is slow


async def test_more_than_may_wait_is_deferred_until_the_lane_has_caught_up(world: World, app: App) -> None:
    world.lanes = world.made(LaneTimes(rows=3, probes=FAST))
    app.gates.close("apply")
    first = world.creates("a")
    await app.gates.called("apply")
    waits = [world.creates("b", "c"), world.creates("d")]
    over = world.creates("e")
    (answer,) = (await within(5, over)).answers
    assert (answer.outcome, answer.category) == ("deferred", "rate_limited")
    await within(5, world.inbox.until(lambda inbox: inbox.states("crm~shop") == [False]))
    app.gates.open("apply")
    for each in (first, *waits):
        assert set(await world.outcomes(each)) == {"applied"}
    await within(5, world.inbox.until(lambda inbox: inbox.states("crm~shop") == [False, True]))
    assert world.names() == ["a", "b", "c", "d"]


async def test_a_single_message_larger_than_may_wait_is_taken_all_the_same(world: World) -> None:
    world.lanes = world.made(LaneTimes(rows=2, probes=FAST))
    assert await world.outcomes(world.creates("a", "b", "c")) == ["applied"] * 3


async def test_what_waits_too_long_behind_a_slow_call_is_deferred_while_it_lasts(world: World, app: App) -> None:
    world.lanes = world.made(LaneTimes(overdue=0.01, probes=FAST))
    app.gates.close("apply")
    first = world.creates("a")
    await app.gates.called("apply")
    assert await world.outcomes(world.creates("b")) == ["deferred"]
    assert not first.done()
    app.gates.open("apply")
    assert await world.outcomes(first) == ["applied"]
    await within(5, world.inbox.until(lambda inbox: inbox.states("crm~shop") == [False, True]))


# ---------------------------------------------------------------- the standings


def test_the_table_of_steps_says_what_moves_a_lane() -> None:
    """From every standing there is a way back to `up`, and a failure leads to `down` from wherever writes are tried."""
    for standing in Standing:
        reached, before = {standing}, set[Standing]()
        while reached != before:
            before = set(reached)
            reached |= {to for (start, _), to in STEPS.items() if start in before}
        assert Standing.UP in reached
    tries = set(Standing) - {Standing.DOWN}
    assert {start for (start, step), to in STEPS.items() if step is Step.FAILED and to is Standing.DOWN} == tries


async def test_an_account_that_answers_but_takes_nothing_is_asked_less_and_less_often(world: World, app: App) -> None:
    """Each time it answers, all that waits is sent; so the pause must not begin anew before a write went through."""
    pauses: list[float] = []
    lane_times = LaneTimes(apply=ApplyTimes(pause=0.001), probes=FAST)
    world.lanes = world.made(lane_times)

    def refuse(object: str, write: Write) -> RefusedError | None:
        raise FatalError("read only")

    app.knobs.refuse = refuse
    await world.outcomes(world.creates("a"))
    lane, _ = world.lanes._lanes["crm"]
    original = lane._backoff.next

    def timed(at_least: float = 0.0) -> float:
        pauses.append(original(at_least))
        return pauses[-1]

    lane._backoff.next = timed  # type: ignore[method-assign]
    for _ in range(6):
        await eventually(lambda: lane.standing is Standing.TRIAL)
        assert await world.outcomes(world.creates("x")) == ["deferred"]
        assert lane.standing is Standing.DOWN
    assert pauses[-1] >= FAST.longest / 2
    app.knobs.refuse = None
    await eventually(lambda: lane.standing is Standing.TRIAL)
    await world.outcomes(world.creates("y"))
    assert lane.standing is Standing.UP
    tried = len(pauses)
    app.fail(RetriableError("gone", retry_after=0))
    await world.outcomes(world.creates("z"))
    await eventually(lambda: len(pauses) > tried)
    assert pauses[tried] <= FAST.first


# ---------------------------------------------------------------- stop


@pytest.mark.parametrize("call", ["open", "apply", "answer"])
async def test_a_stop_is_prompt_wherever_the_account_hangs(world: World, app: App, call: str) -> None:
    app.gates.close(call)
    results = [world.creates("a"), world.creates("b")]
    await within(5, app.gates.called(call))
    await within(1, world.lanes.stop())
    assert [each.cancelled() for each in results] == [True, True]


async def test_a_stop_before_anything_was_delivered_does_nothing(world: World) -> None:
    assert world.lanes.idle()
    await world.lanes.stop()


async def test_a_fault_of_the_inbox_reaches_who_waits_for_answers(world: World, app: App) -> None:
    class BrokenError(Exception):
        pass

    async def send(*_: object) -> None:
        raise BrokenError

    world.inbox.send = send  # type: ignore[method-assign, assignment]
    app.fail(RetriableError("gone", retry_after=0))
    assert await world.outcomes(world.creates("a")) == ["deferred"]
    await eventually(lambda: world.lanes._lanes["crm"][1].done())
    app.recover()
    with pytest.raises(BrokenError):
        world.lanes._lanes["crm"][1].result()


# ---------------------------------------------------------------- metrics


def sample(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


async def test_commands_are_counted_by_what_became_of_them_and_the_way_is_timed(world: World, app: App) -> None:
    labels = {"account": "crm", "object": "people", "op": "create"}
    applied = sample("tandem_commands_total", **labels, outcome="applied")
    deferred = sample("tandem_commands_total", **labels, outcome="deferred")
    timed = sample("tandem_end_to_end_seconds_count", sync="contacts")
    first = world.create("a", committed_at=1.0)
    await within(5, world.submit(world.message([first, world.create("b")])))
    app.fail(RetriableError("gone", retry_after=3600))
    await world.outcomes(world.creates("c"))
    assert sample("tandem_commands_total", **labels, outcome="applied") == applied + 2
    assert sample("tandem_commands_total", **labels, outcome="deferred") == deferred + 1
    assert sample("tandem_end_to_end_seconds_count", sync="contacts") == timed + 1


def test_a_place_grows_with_the_message_and_within_it() -> None:
    places = [
        place(0, 1),
        place(0, 500),
        place(0, 1000),
        place(1, 0),
        place(1, 3),
        place(2**40, 2**30),
        place(2**40 + 1, 0),
    ]
    assert places == sorted(set(places))
    assert places[-1] < 2**63
