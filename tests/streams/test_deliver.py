"""Deliver without Kafka: results as they come, the position in order, errands into the state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from faust.types import TP

from rules.events import Answer, Clock, Command, Commands, ReadDone, ReadRequest, Results
from schemas import decode, encode
from streams import errands, keys
from streams.deliver import Deliver
from streams.pump import Feed, Gate
from streams.stage import Workplace
from tests.streams.partition import TOPICS, Backing, Config, message
from tests.streams.test_feed import Source


class Lanes:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.given: dict[int, asyncio.Future[Results]] = {}

    def submit(self, offset: int, commands: Commands) -> asyncio.Future[Results]:
        self.given[offset] = asyncio.get_running_loop().create_future()
        return self.given[offset]

    def answer(self, offset: int) -> None:
        self.given[offset].set_result(Results("crm", "contacts", (Answer("s", f"l{offset}", 1, "applied"),)))

    def idle(self) -> bool:
        return not self.given

    async def stop(self) -> None:
        raise NotImplementedError


COMMANDS = encode(Commands("crm~shop", "crm", "contacts", (Command("s", "l", 1, "t", "update", "1", {}, {}),)))


class Delivery:
    """Deliver over some messages of `commands`."""

    def __init__(self, backing: Backing, *values: bytes) -> None:
        self.lanes, self.woken = Lanes(), list[str]()
        self.feed, self.gate = Feed(TP(TOPICS.commands, 0), -1, Source()), Gate()
        self.offset = 0
        self.backing = backing
        place = Workplace(self.feed, backing, self.gate, Config(), lambda unit: None)
        self.deliver = Deliver(TOPICS, place, self.lanes, self.woken.append)
        self.offer(*values)
        self.gate.open()

    def offer(self, *values: bytes) -> None:
        for value in values:
            self.feed.offer(message(TOPICS.commands, "crm", value, self.offset))
            self.offset += 1

    async def __aenter__(self) -> Delivery:
        self._task = asyncio.ensure_future(self.deliver.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():  # noqa: ASYNC110 - the condition has no event of its own
                await asyncio.sleep(0)

    @property
    def answered(self) -> list[str]:
        """The links whose results are in the inbox."""
        found = [decode(output.value or b"") for output in self.backing.sent if output.topic == TOPICS.inbox]
        return [answer.link for results in found if isinstance(results, Results) for answer in results.answers]


async def test_results_are_stored_as_they_come_and_the_position_moves_in_order(backing: Backing) -> None:
    async with Delivery(backing, COMMANDS, COMMANDS, COMMANDS) as delivery:
        await delivery.until(lambda: len(delivery.lanes.given) == 3)
        for count, offset in enumerate((2, 1), start=1):
            delivery.lanes.answer(offset)
            await delivery.until(lambda count=count: len(delivery.answered) == count)  # type: ignore[misc]
        assert delivery.answered == ["l2", "l1"]
        for _ in range(20):
            await asyncio.sleep(0)
        assert delivery.feed.position == -1
        delivery.lanes.answer(0)
        await delivery.until(lambda: delivery.feed.position == 2)


async def test_the_position_does_not_move_before_the_results_are_stored(backing: Backing) -> None:
    release = backing.hold[TOPICS.inbox] = asyncio.Event()
    async with Delivery(backing, COMMANDS) as delivery:
        await delivery.until(lambda: len(delivery.lanes.given) == 1)
        delivery.lanes.answer(0)
        await delivery.until(lambda: len(delivery.answered) == 1)
        for _ in range(20):
            await asyncio.sleep(0)
        assert delivery.feed.position == -1
        release.set()
        await delivery.until(lambda: delivery.feed.position == 0)


async def test_an_errand_is_in_the_state_before_capture_is_woken_and_with_its_position(backing: Backing) -> None:
    order = ReadRequest("crm~shop", "crm", "contacts", "contacts", "r1")
    async with Delivery(backing, encode(order), COMMANDS) as delivery:
        await delivery.until(lambda: delivery.woken == ["crm"])
        assert errands.is_current(backing.database(), "crm", "r1")
        assert backing.database().get(keys.position(TOPICS.commands)) == b"0"
        assert [key for _, names in backing.log for key in names] == [
            keys.errands("crm") + b"read/contacts/contacts",
            keys.position(TOPICS.commands),
        ]


@pytest.mark.parametrize(
    "value", [b"?", encode(Clock()), encode(ReadDone("crm", "contacts", "r")), b"\xc3\x01nobodys!!"]
)
async def test_what_is_no_order_to_an_account_is_a_dead_letter_and_the_next_goes_on(
    backing: Backing, value: bytes
) -> None:
    async with Delivery(backing, value, COMMANDS) as delivery:
        await delivery.until(lambda: 1 in delivery.lanes.given)
        delivery.lanes.answer(1)
        await delivery.until(lambda: delivery.feed.position == 1)
        letters = [output for output in backing.sent if output.topic == TOPICS.dead_letters]
        assert [letter.key for letter in letters] == [b"crm"]


async def test_nothing_more_is_handed_to_the_lanes_while_the_gate_is_closed(backing: Backing) -> None:
    async with Delivery(backing, COMMANDS) as delivery:
        await delivery.until(lambda: 0 in delivery.lanes.given)
        assert await delivery.gate.close(1)
        delivery.offer(COMMANDS)
        for _ in range(20):
            await asyncio.sleep(0)
        assert set(delivery.lanes.given) == {0}
        delivery.gate.open()
        await delivery.until(lambda: 1 in delivery.lanes.given)
