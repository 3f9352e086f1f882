"""The feed of one input: order, holes, bounds; and the gate."""

from __future__ import annotations

import asyncio
import itertools
from types import SimpleNamespace
from typing import Any, cast

from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streams import pump
from streams.pump import HIGH_MESSAGES, LOW_MESSAGES, Feed, Gate

TOPIC = TP("changes", 0)


class Source:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.sought: list[int] = []
        self.held = False

    def seek(self, tp: TP, offset: int) -> None:
        self.sought.append(offset)

    def hold(self, tp: TP) -> None:
        self.held = True

    def release(self, tp: TP) -> None:
        self.held = False


def event(offset: int, value: bytes = b"x") -> Any:
    """As Faust hands it over."""
    message = SimpleNamespace(offset=offset, timestamp=1.0, key=b"a", value=value, tp=TOPIC)
    return SimpleNamespace(message=message, ack=lambda: None)


def queued(feed: Feed) -> list[int]:
    """The offsets in the queue."""
    found = itertools.takewhile(lambda message: message is not None, map(feed.queued, itertools.count()))
    return [message.offset for message in found if message is not None]


def test_what_comes_in_order_is_queued() -> None:
    feed = Feed(TOPIC, 4, Source())
    for offset in (5, 6, 7):
        feed.offer(event(offset))
    assert queued(feed) == [5, 6, 7]


def test_what_the_state_holds_already_is_dropped() -> None:
    feed = Feed(TOPIC, 4, source := Source())
    for offset in (3, 4, 5, 5, 4, 6):
        feed.offer(event(offset))
    assert queued(feed) == [5, 6]
    assert source.sought == []


def test_a_hole_is_read_again_once_and_what_is_beyond_it_is_dropped() -> None:
    feed = Feed(TOPIC, 4, source := Source())
    for offset in (5, 7, 8, 9):
        feed.offer(event(offset))
    assert source.sought == [6]
    assert queued(feed) == [5]
    for offset in (6, 7, 8, 9):
        feed.offer(event(offset))
    assert queued(feed) == [5, 6, 7, 8, 9]


def test_a_hole_that_stays_is_read_again_after_a_while(monkeypatch: Any) -> None:
    now = 100.0
    monkeypatch.setattr(pump, "time", SimpleNamespace(monotonic=lambda: now))
    feed = Feed(TOPIC, 4, source := Source())
    feed.offer(event(9))
    now += 1
    feed.offer(event(10))
    assert source.sought == [5]
    now += 1.5  # Faust has undone our seek
    feed.offer(event(11))
    assert source.sought == [5, 5]


@given(st.lists(st.integers(0, 30), max_size=200))
def test_whatever_comes_the_queue_has_neither_holes_nor_repetitions(offsets: list[int]) -> None:
    feed = Feed(TOPIC, 9, Source())
    for offset in offsets:
        feed.offer(event(offset))
    assert queued(feed) == list(range(10, feed.next))


def test_a_new_assignment_reads_on_where_the_queue_ends() -> None:
    feed = Feed(TOPIC, 4, source := Source())
    feed.offer(event(5))
    feed.restart()
    feed.restart()
    assert source.sought == [6, 6]


def test_a_feed_that_stands_still_though_its_log_goes_on_reads_again() -> None:
    feed = Feed(TOPIC, 4, source := Source())
    feed.watch(5)
    feed.watch(5)
    assert source.sought == []  # there is nothing to read
    feed.watch(6)
    assert source.sought == []  # it may be on its way
    feed.watch(7)
    assert source.sought == [5]


def test_a_partition_with_much_queued_is_not_fetched_until_it_has_little() -> None:
    feed = Feed(TOPIC, -1, source := Source())
    for offset in range(HIGH_MESSAGES):
        feed.offer(event(offset))
    assert source.held
    while len(queued(feed)) > LOW_MESSAGES:
        assert source.held
        feed.take()
    assert not source.held


def test_large_messages_count_by_their_bytes() -> None:
    feed = Feed(TOPIC, -1, source := Source())
    held = []
    for offset, size in enumerate((pump.HIGH_BYTES - 1, 1)):
        feed.offer(event(offset, b"x" * size))
        held.append(source.held)
    feed.take()
    assert [*held, source.held] == [False, True, False]


async def test_who_waits_for_a_position_goes_on_when_the_state_holds_it() -> None:
    feed = Feed(TOPIC, 4, Source())
    await feed.reached(4)
    waiting = [asyncio.ensure_future(feed.reached(offset)) for offset in (5, 6)]
    await asyncio.sleep(0)
    feed.moved(5)
    await asyncio.wait_for(waiting[0], 1)
    assert not waiting[1].done()
    feed.moved(9)
    await asyncio.wait_for(waiting[1], 1)


async def test_a_message_is_found_by_its_offset_as_soon_as_it_comes() -> None:
    feed = Feed(TOPIC, 4, Source())
    found = asyncio.ensure_future(feed.at(6))
    await asyncio.sleep(0)
    feed.offer(event(5))
    await asyncio.sleep(0)
    assert not found.done()
    feed.offer(event(6))
    assert (await asyncio.wait_for(found, 1)).offset == 6
    assert queued(feed) == [5, 6]


async def test_a_closed_gate_waits_for_who_is_inside_and_lets_nobody_in() -> None:
    gate, order = Gate(), list[str]()
    inside = asyncio.Event()

    async def work(name: str, until: asyncio.Event) -> None:
        async with gate:
            order.append(name)
            await until.wait()

    gate.open()
    first = asyncio.ensure_future(work("first", inside))
    await asyncio.sleep(0)
    assert not await gate.close(0.01)
    second = asyncio.ensure_future(work("second", inside))
    await asyncio.sleep(0)
    assert order == ["first"]
    inside.set()
    await first
    assert await gate.close(1)
    assert order == ["first"]
    gate.open()
    await asyncio.wait_for(second, 1)
    assert order == ["first", "second"]


def test_an_input_without_key_or_value_is_read_as_empty() -> None:
    feed = Feed(TOPIC, -1, Source())
    bare = event(0)
    bare.message.key = bare.message.value = None
    feed.offer(bare)
    message = feed.queued(0)
    assert message is not None
    assert (message.key, message.value) == (b"", b"")
    assert cast(Any, message.event) is bare
