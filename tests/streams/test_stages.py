"""Route, reconcile, deliver and the unit of work without Kafka: what is decided, in which order effects happen, what
ends a unit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from faust.types import TP

from rules.events import (
    Captured,
    Commands,
    Marked,
    Order,
    ReadRequest,
    Row,
    SetMark,
    StatusRow,
    SyncRow,
    Truncated,
)
from rules.version import Version
from schemas import ChangeEvent, UndecodableError, decode, encode, encode_change
from streams import errands, keys
from streams.disk import Disk
from streams.fence import Entry
from streams.overlay import Overlay
from streams.pump import Feed, Gate, Message
from streams.reconcile import Reconcile
from streams.route import Route
from streams.stage import NotYetError, Runner, Workplace
from streams.topics import MARKER, UNIT_BYTES, Topics
from streams.unit import TARGET_BYTES, TARGET_ROWS, Change, Output, Unit, commit
from tests.streams import counting
from tests.streams.partition import TOPICS, Backing, Config, message
from tests.streams.test_feed import Source

# ---------------------------------------------------------------- route


def routed(backing: Backing, event: ChangeEvent, **head: Any) -> Change:
    """What route makes of a change."""
    data = encode_change(event, **{"config": 1, **head})
    return Route(TOPICS, Config()).decide(
        Message(message(TOPICS.changes, event.account, data)), Overlay(backing.database)
    )


def receivers(change: Change) -> list[str]:
    """The inboxes that get something."""
    assert {output.topic for output in change.outputs} <= {TOPICS.inbox}
    return sorted(output.key.decode() for output in change.outputs)


CAPTURED = Captured("crm", "contacts", (Row("1", {}, Version(1)),))


def test_a_change_goes_to_every_connection_that_uses_its_object_and_to_no_other(backing: Backing) -> None:
    assert receivers(routed(backing, CAPTURED)) == ["crm~news", "crm~shop"]
    assert receivers(routed(backing, Captured("crm", "companies", ()))) == ["crm~shop"]
    assert receivers(routed(backing, Captured("crm", "deals", ()))) == []
    assert receivers(routed(backing, Truncated("shop", "firms"))) == ["crm~shop"]


def test_what_concerns_an_account_goes_to_all_its_connections(backing: Backing) -> None:
    assert receivers(routed(backing, Marked("crm", "m"))) == ["crm~news", "crm~shop"]
    assert receivers(routed(backing, Marked("shop", "m"))) == ["crm~shop"]


def test_the_bytes_go_on_as_they_are(backing: Backing) -> None:
    (output, _) = routed(backing, CAPTURED).outputs
    assert output.value == encode_change(CAPTURED, config=1)


def test_a_page_goes_only_to_who_asked_for_the_read_and_only_while_it_is_the_current_one(backing: Backing) -> None:
    page = Captured("crm", "contacts", CAPTURED.rows, "r1")
    assert receivers(routed(backing, page, to="crm~shop")) == []
    order = ReadRequest("crm~shop", "crm", "contacts", "contacts", "r1")
    for key, value in errands.requested(order, 3)(backing.database()).items():
        backing.database()[key] = value
    assert receivers(routed(backing, page, to="crm~shop")) == ["crm~shop"]
    other = Captured("crm", "contacts", CAPTURED.rows, "r0")
    assert receivers(routed(backing, other, to="crm~shop")) == []


def test_a_change_of_a_newer_configuration_waits_for_it(backing: Backing) -> None:
    with pytest.raises(NotYetError):
        routed(backing, CAPTURED, config=2)


def test_a_change_in_the_wrong_partition_is_refused(backing: Backing) -> None:
    stage = Route(Topics("test", 8), Config())
    with pytest.raises(UndecodableError, match="another partition"):
        stage.decide(
            Message(message("test.changes", "crm", encode_change(CAPTURED, config=1))), Overlay(backing.database)
        )


def test_what_cannot_be_read_is_a_dead_letter_and_the_accounts_syncs_are_read_again(backing: Backing) -> None:
    stage = Route(TOPICS, Config())
    change = stage.refuse(Message(message(TOPICS.changes, "shop", b"?", 5)), "why")
    assert [(letter.id, letter.account, letter.message, letter.raw) for letter in change.letters] == [
        ("test.changes/0/5", "shop", "why", b"?")
    ]
    orders = {output.key: decode(output.value or b"") for output in change.outputs if output.topic == TOPICS.inbox}
    assert orders == {b"crm~shop": Order("test.changes/0/5/companies", "resync", "companies")}
    assert len(change.outputs) == 3  # the letter, and a sync each


# ---------------------------------------------------------------- reconcile


def test_each_part_of_a_decision_goes_to_its_place(backing: Backing) -> None:
    stage = Reconcile(TOPICS, Config(), counting.decide)
    event = Captured("crm", "contacts", (Row("1", {"seq": 0}, Version(1)),))
    change = stage.decide(Message(message(TOPICS.inbox, "crm~shop", encode(event))), Overlay(backing.database))
    prefix = keys.connection("crm~shop")
    assert list(change.entries) == [prefix + b"l1"]
    assert list(change.indexes) == [prefix + b"i00000001l1"]
    (output,) = change.outputs
    assert (output.topic, output.key, type(decode(output.value or b""))) == (TOPICS.commands, b"shop", Commands)
    assert [row.key for row in change.statuses.values() if isinstance(row, StatusRow)] == ["1"]
    assert [connection for connection, _ in change.history] == ["crm~shop"]


@pytest.mark.parametrize("found", [SetMark("crm", "m"), Commands("crm~shop", "crm", "contacts", ())])
def test_what_has_no_place_in_an_inbox_is_refused(backing: Backing, found: Any) -> None:
    stage = Reconcile(TOPICS, Config(), counting.decide)
    with pytest.raises(UndecodableError, match="no place"):
        stage.decide(Message(message(TOPICS.inbox, "crm~shop", encode(found))), Overlay(backing.database))


# ---------------------------------------------------------------- units


def unit_of(backing: Backing, *changes: Change) -> Unit:
    """A unit of these inputs."""
    unit = Unit(Overlay(backing.database))
    for change in changes:
        assert unit.admits(change)
        unit.add(change)
    return unit


async def test_outputs_then_changelog_then_disk(backing: Backing) -> None:
    status = StatusRow("s", "1", "in_sync")
    change = Change(
        entries={b"k": b"v"}, indexes={b"i": b"w"}, outputs=[Output("out", b"o", b"")], statuses={b"s|1": status}
    )
    release = backing.hold[TOPICS.statuses] = asyncio.Event()
    running = asyncio.ensure_future(commit(unit_of(backing, change), "route", TOPICS.changes, 7, backing))
    for _ in range(10):
        await asyncio.sleep(0)
    assert backing.log == [("out", b"o")]
    assert backing.database().get(b"k") is None
    release.set()
    await running
    assert backing.log[1:] == [(TOPICS.statuses, [b"s|1"]), (TOPICS.state, [b"k", keys.position(TOPICS.changes)])]
    assert [backing.database().get(key) for key in (b"k", b"i", keys.position(TOPICS.changes))] == [b"v", b"w", b"7"]
    assert backing.database().get(Disk.offset_key) == b"1"


async def test_stages_of_a_partition_write_one_after_the_other(backing: Backing) -> None:
    release = backing.hold[TOPICS.state] = asyncio.Event()
    commits = [
        asyncio.ensure_future(commit(unit_of(backing, Change(entries={name.encode(): b""})), name, name, 1, backing))
        for name in ("one", "two")
    ]
    for _ in range(10):
        await asyncio.sleep(0)
    release.set()
    await asyncio.gather(*commits)
    assert [names for _, names in backing.log] == [[b"one", b"p/one"], [b"two", b"p/two"]]


def test_a_later_input_of_a_unit_sees_what_an_earlier_one_changes(backing: Backing) -> None:
    unit = unit_of(backing, Change(entries={b"k": b"1"}, indexes={b"i": b"x"}))
    assert unit.overlay.get(b"k") == b"1"
    unit.add(Change(entries={b"k": None}))
    assert (unit.overlay.get(b"k"), unit.overlay.get(b"i")) == (None, b"x")
    assert unit.entries == {b"k": None}


def test_of_several_statuses_of_a_record_only_the_last_is_sent(backing: Backing) -> None:
    rows = [StatusRow("s", "1", "pending"), StatusRow("s", "1", "in_sync"), StatusRow("s", "1", None)]
    unit = unit_of(backing, *(Change(statuses={b"s|1": row}) for row in rows))
    assert unit.statuses == {b"s|1": rows[-1]}


async def test_a_record_that_is_gone_becomes_a_tombstone(backing: Backing) -> None:
    kept = list[Entry]()
    append = backing.append

    async def keeping(topic: str, entries: Sequence[Entry]) -> int:
        if topic == TOPICS.statuses:
            kept.extend(entries)
        return await append(topic, entries)

    backing.append = keeping  # type: ignore[method-assign]
    rows: dict[bytes, StatusRow | SyncRow] = {
        b"s|1": StatusRow("s", "1", None),
        b"s|": SyncRow("s", "a~b", None),
        b"s|2": StatusRow("s", "2", "in_sync"),
    }
    await commit(unit_of(backing, Change(statuses=rows)), "reconcile", TOPICS.inbox, 1, backing)
    assert [(key, value is None) for key, value in kept] == [(b"s|1", True), (b"s|", True), (b"s|2", False)]


def test_a_unit_ends_where_it_is_full_or_the_record_batch_would_be(backing: Backing) -> None:
    assert not unit_of(backing, Change(rows=TARGET_ROWS - 1)).full
    assert unit_of(backing, Change(rows=TARGET_ROWS)).full
    assert unit_of(backing, Change(entries={b"k": b"x" * TARGET_BYTES})).full
    assert unit_of(backing, Change(outputs=[Output("out", b"", b"x" * TARGET_BYTES)])).full
    half = Change(entries={b"k": b"x" * (UNIT_BYTES // 4)})
    unit = unit_of(backing, half)
    assert not unit.admits(Change(entries={b"l": b"x" * (UNIT_BYTES // 4)}))
    assert Unit(Overlay(backing.database)).admits(
        Change(entries={b"k": b"x" * UNIT_BYTES})
    )  # refused when it is written


class Counted:
    """A stage that notes what it is given."""

    name = "counted"

    def __init__(self, decide: Callable[[Message], Change]) -> None:
        self._decide = decide

    def decide(self, message: Message, overlay: Overlay) -> Change:
        return self._decide(message)

    def refuse(self, message: Message, why: str) -> Change:
        return Change(entries={b"refused": why.encode()})


async def run_until(runner: Any, holds: Callable[[], bool]) -> None:
    """Runs until the condition holds."""
    task = asyncio.ensure_future(runner.run())
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0)
            if task.done():
                task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def runner_of(
    backing: Backing, stage: Any, *inputs: tuple[bytes, bytes], config: Config | None = None
) -> tuple[Runner, Feed]:
    """A runner over messages (key, value)."""
    feed, gate = Feed(TP(TOPICS.changes, 0), -1, Source()), Gate()
    for offset, (key, value) in enumerate(inputs):
        feed.offer(message(TOPICS.changes, key, value, offset))
    gate.open()
    return Runner(stage, Workplace(feed, backing, gate, config or Config(), lambda unit: None)), feed


async def test_what_is_queued_becomes_one_unit(backing: Backing) -> None:
    stage = Counted(lambda message: Change(entries={b"k%d" % message.offset: b""}))
    runner, feed = runner_of(backing, stage, *[(b"a", b"")] * 5)
    await run_until(runner, lambda: feed.position == 4)
    assert len(backing.log) == 1
    assert backing.database().get(keys.position(TOPICS.changes)) == b"4"


async def until(holds: Callable[[], bool]) -> None:
    """Lets others run until the condition holds."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what is watched has no event
            await asyncio.sleep(0)


class Chained:
    """A stage in which each message sees what the one before has left."""

    name = "chained"

    def __init__(self) -> None:
        self.seen: list[bytes | None] = []

    def decide(self, message: Message, overlay: Overlay) -> Change:
        self.seen.append(overlay.get(b"last"))
        return Change(
            entries={b"last": b"%d" % message.offset},
            outputs=[Output("out", b"%d" % message.offset, b"")],
            rows=TARGET_ROWS,  # a unit each
        )

    def refuse(self, message: Message, why: str) -> Change:
        raise AssertionError(why)


async def test_while_a_unit_is_committed_the_next_is_decided_over_it_and_sends_nothing(backing: Backing) -> None:
    held = backing.hold[TOPICS.state] = asyncio.Event()
    stage = Chained()
    runner, feed = runner_of(backing, stage, *[(b"a", b"")] * 4)
    task = asyncio.ensure_future(runner.run())
    await until(lambda: len(stage.seen) == 2)
    for _ in range(50):
        await asyncio.sleep(0)
    assert (stage.seen, feed.position) == ([None, b"0"], -1)  # one ahead and no more
    assert [output.key for output in backing.sent] == [b"0"]
    held.set()
    await until(lambda: feed.position == 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert stage.seen == [None, b"0", b"1", b"2"]  # and each is decided once
    assert [output.key for output in backing.sent] == [b"0", b"1", b"2", b"3"]


async def test_what_was_decided_over_a_unit_that_fails_is_never_seen(backing: Backing) -> None:
    async def fail(topic: str, entries: Sequence[Entry]) -> int:
        await failing.wait()
        raise ConnectionError

    failing = asyncio.Event()
    backing.append = fail  # type: ignore[method-assign]
    stage = Chained()
    runner, feed = runner_of(backing, stage, *[(b"a", b"")] * 2)
    task = asyncio.ensure_future(runner.run())
    await until(lambda: len(stage.seen) == 2)
    failing.set()
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(task, 5)
    assert [output.key for output in backing.sent] == [b"0"]
    assert (feed.position, backing.database().get(b"last")) == (-1, None)


async def test_a_message_that_waits_ends_the_unit_and_comes_again(backing: Backing) -> None:
    ready = False

    async def wait() -> None:
        nonlocal ready
        ready = True

    def decide(found: Message) -> Change:
        if found.offset == 2 and not ready:
            raise NotYetError(wait)
        return Change()

    runner, feed = runner_of(backing, Counted(decide), *[(b"a", b"")] * 4)
    await run_until(runner, lambda: feed.position == 3)
    assert [value for key, value in backing.changelog] == [b"1", b"3"]


async def test_an_owners_marker_moves_the_position_alone(backing: Backing) -> None:
    runner, feed = runner_of(backing, Counted(lambda message: Change(entries={b"k": b""})), (MARKER, b"5"))
    await run_until(runner, lambda: feed.position == 0)
    assert backing.changelog == [(keys.position(TOPICS.changes), b"0")]


async def test_bytes_of_a_schema_that_is_nobodys_are_refused_once_config_has_been_read(backing: Backing) -> None:
    def read(found: Message) -> Change:
        raise AssertionError(decode(found.value))

    runner, feed = runner_of(backing, Counted(read), (b"a", b"\xc3\x01nobodys!"))
    await run_until(runner, lambda: feed.position == 0)
    assert b"fingerprint" in (backing.database().get(b"refused") or b"")
