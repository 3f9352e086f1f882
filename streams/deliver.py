"""commands -> accounts: hands commands to the lanes of their account, and errands to capture; the position moves on
in order.

Responsible for order, results and positions of one partition of `commands`. Must not know connectors: the lanes write
(`streams.lanes`).

Lanes finish out of order. A message is done when its results are stored in the inbox; the position moves over what is
done without a gap. So one slow account delays no result of another, and a crash hands over again only what was not
stored. Errands become state together with the position.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from rules.events import AccountOrder, Commands, ReadRecords, ReadRequest, Results, SetMark
from schemas import Message as Anything
from schemas import UndecodableError, UnknownSchemaError, decode, encode
from streams import errands, faults
from streams.ending import watched
from streams.letters import letter_of, refused
from streams.overlay import Overlay
from streams.protocols import Lanes
from streams.pump import Message
from streams.stage import Workplace
from streams.topics import Topics
from streams.unit import Change, Output, Unit, commit, send_all

NAME = "deliver"
# Messages in the lanes at a time. Lanes that are further behind than they should be answer `deferred`.
WINDOW = 512
ORDERS = (Commands, ReadRequest, ReadRecords, SetMark)


class _Item:
    """A message in the lanes. `change`: what it adds to the state once it is done; None: not done."""

    __slots__ = ("account", "change", "task")

    def __init__(self, account: str | None = None, change: Change | None = None) -> None:
        self.account, self.change = account, change
        self.task: asyncio.Task[None] | None = None


class Deliver:
    """Delivery of one partition. `wake(account)`: the account's errands have changed."""

    def __init__(self, topics: Topics, place: Workplace, lanes: Lanes, wake: Callable[[str], None]) -> None:
        self._topics, self._place, self._lanes, self._wake = topics, place, lanes, wake
        self._items: deque[_Item] = deque()  # of the messages at the front of the feed, in order
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled. An error out of it ends the process."""
        submitting = watched(self._submit_all(), f"submit {self._place.feed.tp.partition}")
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                async with self._place.gate:
                    await self._advance()
        finally:
            for task in (submitting, *(item.task for item in self._items)):
                if task is not None:
                    task.cancel()

    # ---------------------------------------------------------------- into the lanes

    async def _submit_all(self) -> None:
        room = self._room = asyncio.Semaphore(WINDOW)
        submitted = self._place.feed.position
        while True:
            await room.acquire()
            message = await self._place.feed.at(submitted + 1)
            order = await self._order(message)
            async with self._place.gate:
                self._items.append(self._begin(message, order))
                submitted = message.offset
            if self._items[0].change is not None:
                self._changed.set()

    async def _order(self, message: Message) -> AccountOrder | str | None:
        """The order; a text: why it is none; None: an owner's marker."""
        if message.key.startswith(b"\0"):
            return None
        try:
            return self._account_order(decode(message.value), message)
        except UndecodableError as error:
            return str(error)
        except UnknownSchemaError as error:
            if await self._place.schemas.has_schema(error.fingerprint):
                return await self._order(message)
            return str(error)

    def _account_order(self, found: Anything, message: Message) -> AccountOrder:
        if not isinstance(found, ORDERS):
            raise UndecodableError(f"a {type(found).__name__} has no place among commands")
        if self._topics.partition_of(found.account) != message.event.message.tp.partition:
            raise UndecodableError(f"the commands for {found.account!r} are in another partition")
        return found

    def _begin(self, message: Message, order: AccountOrder | str | None) -> _Item:
        match order:
            case Commands():
                item = _Item()
                results = self._lanes.submit(message.offset, order)
                item.task = watched(self._answer(item, order.connection, results), f"deliver {message.offset}")
                return item
            case ReadRequest() | ReadRecords() | SetMark():
                return _Item(order.account, Change(late=[errands.requested(order, message.offset)]))
            case None:
                return _Item(change=Change(rows=0))
            case why:
                # What the commands were is lost; the rules send again what has no result.
                tp = message.event.message.tp
                place = (tp.topic, tp.partition, message.offset)
                letter = letter_of(*place, message.timestamp, message.key, message.value, why)
                return _Item(change=refused(letter, (), self._topics))

    async def _answer(self, item: _Item, connection: str, results: asyncio.Future[Results]) -> None:
        """Stores the results in the inbox as soon as they are there, whatever lies before them in the partition."""
        found = await results
        faults.passed(NAME, 1)
        await send_all([Output(self._topics.inbox, connection.encode(), encode(found))], self._place.backing.send)
        faults.passed(NAME, 2)
        item.change = Change()
        self._changed.set()

    # ---------------------------------------------------------------- out of the lanes

    async def _advance(self) -> None:
        """Moves the position over what is done, and takes errands into the state."""
        feed, backing = self._place.feed, self._place.backing
        unit, woken = Unit(Overlay(backing.database)), set[str]()
        for item in self._items:
            if item.change is None:
                break
            unit.add(item.change)
            if item.account is not None:
                woken.add(item.account)
        if not unit.inputs:
            return
        position = feed.position + unit.inputs
        await commit(unit, NAME, feed.tp.topic, position, backing)
        for _ in range(unit.inputs):
            self._items.popleft()
            feed.take().event.ack()
            self._room.release()
        feed.moved(position)
        faults.passed(NAME, 5)
        self._place.done(unit)
        for account in woken:
            self._wake(account)
