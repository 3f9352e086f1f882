"""What stands in for Kafka and the spine in the tests of capture and delivery: the sink and route, the state, the
inbox.

They keep the promises of `streams.protocols`, no more; tests wait on their conditions, never for a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from connectors.base import Connector, Remembered
from connectors.memory import MemoryConnector
from rules.catalog import Capabilities, Catalog, Field, FieldType, Kind, Object
from rules.config import AccountConfig, Installation
from rules.events import AccountState, Captured, Event, LogStarted, Marked, ReadDone, ReadRequest, Row, SetMark
from schemas import ChangeEvent, Noted
from streams.protocols import Configuration, Errand
from streams.troubles import Pacing

FAST = Pacing(first=0.001, longest=0.01)


def people(name: str = "people", **capabilities: Any) -> Object:
    """An object with an id of the app's own, a unique email and a name."""
    return Object(
        name,
        (
            Field("id", FieldType(Kind.INTEGER), nullable=False, read_only=True),
            Field("email", FieldType(Kind.TEXT, max_length=100), unique=True),
            Field("name", FieldType(Kind.TEXT)),
        ),
        key=("id",),
        capabilities=Capabilities(**capabilities),
    )


def configuration(
    version: int,
    syncs: dict[str, dict[str, str]],
    off: set[str] | None = None,
    catalogs: dict[str, Catalog] | None = None,
) -> Configuration:
    """Accounts in memory; `syncs`: name -> between. The app of an account has the account's name."""
    accounts = {account for between in syncs.values() for account in between}
    document = {
        "name": "test",
        "accounts": {
            account: {"connector": "memory", "app": account, "heartbeat": 0.01, "page_size": 3} for account in accounts
        },
        "syncs": {name: {"between": between} for name, between in syncs.items()},
    }
    return Configuration(version, "test", document, frozenset(off or ()), catalogs or {})


def resolve(document: Any) -> Installation:
    """Nothing here is secret."""
    accounts = {name: AccountConfig.model_validate(said) for name, said in document["accounts"].items()}
    return Installation(accounts=accounts)


def memory(_: str) -> type[Connector]:
    """The only connector of these tests."""
    return MemoryConnector


class Source:
    """The configuration in force (`ConfigSource`)."""

    def __init__(self, first: Configuration | None = None) -> None:
        self.current = first
        self._changed = asyncio.Condition()

    async def apply(self, new: Configuration) -> None:
        """Another one."""
        async with self._changed:
            self.current = new
            self._changed.notify_all()

    async def wait_for(self, version: int) -> Configuration:
        async with self._changed:
            await self._changed.wait_for(lambda: self.current is not None and self.current.version >= version)
        assert self.current is not None
        return self.current

    async def changes(self) -> AsyncIterator[Configuration]:
        seen = 0
        while True:
            current = await self.wait_for(seen + 1)
            seen = current.version
            yield current


class Message(msgspec.Struct, frozen=True):
    """A message in `changes`."""

    event: ChangeEvent
    config: int
    to: str | None
    errand: str | None
    resume: str | None


class Changes:
    """A partition of `changes`, and its writer (`ChangesSink`). It survives those who write.

    `held`: messages are taken, and acknowledged only by `acknowledge`. `room`: how many may be in flight.
    """

    def __init__(self, room: int = 1000) -> None:
        self.log: list[Message] = []
        self.marker = -1
        self.held = False
        self.room = room
        self.most_in_flight = 0
        self._unacknowledged: list[tuple[int, asyncio.Future[int]]] = []
        self._moved = asyncio.Condition()

    async def send(
        self,
        account: str,
        event: ChangeEvent,
        *,
        config: int,
        to: str | None = None,
        errand: str | None = None,
        resume: str | None = None,
    ) -> asyncio.Future[int]:
        assert event.account == account
        async with self._moved:
            await self._moved.wait_for(lambda: len(self._unacknowledged) < self.room)
            future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            self.log.append(Message(event, config, to, errand, resume))
            self._unacknowledged.append((len(self.log) - 1, future))
            self.most_in_flight = max(self.most_in_flight, len(self._unacknowledged))
            self._moved.notify_all()
        if not self.held:
            await self.acknowledge()
        return future

    async def acknowledge(self, count: int | None = None) -> None:
        """The oldest so many, or all."""
        async with self._moved:
            done = self._unacknowledged[:count]
            self._unacknowledged = self._unacknowledged[len(done) :]
            for offset, future in done:
                if not future.done():
                    future.set_result(offset)
            self._moved.notify_all()

    async def until(self, condition: Callable[[Changes], bool]) -> None:
        """Returns when the log satisfies the condition."""
        async with self._moved:
            await self._moved.wait_for(lambda: condition(self))

    def events(self, kind: type[Any]) -> list[Any]:
        """The events of a kind, in order."""
        return [message.event for message in self.log if isinstance(message.event, kind)]

    def rows(self, *, read: str | None = None) -> list[Row]:
        """All rows out of the log, or of a read."""
        return [row for event in self.events(Captured) if event.read == read for row in event.rows]


class State:
    """The errands in a partition's state, and route that takes them out (`Errands`). `lags`: route stands still."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self.errands: dict[str, Errand] = {}
        self.memory: dict[str, Remembered] = {}
        self.position = -1
        self.lags = False

    def order(self, order: Any) -> str:
        """The rules ask for something; its key."""
        if isinstance(order, ReadRequest):
            key = f"r/{order.account}/{order.sync}/{order.object}"
            self.errands.pop(key, None)
        else:
            key = f"o/{order.account}/{len(self.errands)}/{order}"
        self.errands[key] = Errand(key, order)
        return key

    def open(self, account: str) -> list[Errand]:
        self.route()
        return [errand for errand in self.errands.values() if errand.order.account == account]

    async def remembered(self, account: str) -> Remembered:
        return self.kept(account)

    def kept(self, account: str) -> Remembered:
        """What is noted up to here."""
        self.route()
        return self.memory.get(account, Remembered())

    async def routed(self, offset: int) -> None:
        await self._changes.until(lambda _: self.route() >= offset)

    def route(self) -> int:
        """What route does with the log, up to its end."""
        while not self.lags and self.position + 1 < len(self._changes.log):
            self.position += 1
            self._take(self._changes.log[self.position])
        return self.position

    def _take(self, message: Message) -> None:
        if isinstance(message.event, LogStarted):
            self.memory.pop(message.event.account, None)
        if isinstance(message.event, Noted):
            self._note(message.event)
        if isinstance(message.event, Marked):
            mark = message.event.mark
            done = [
                key for key, one in self.errands.items() if isinstance(one.order, SetMark) and one.order.mark == mark
            ]
            for key in done:
                del self.errands[key]
        errand = self.errands.get(message.errand or "")
        if errand is None:
            return
        event = message.event
        read = event.read if isinstance(event, Captured | ReadDone) else None
        if isinstance(errand.order, ReadRequest) and read != errand.order.read:
            return
        if message.resume is not None:
            self.errands[errand.key] = msgspec.structs.replace(errand, resume=message.resume)
        else:
            del self.errands[errand.key]

    def _note(self, event: Noted) -> None:
        before = Remembered() if event.anew else self.memory.get(event.account, Remembered())
        notes = {key: note for key, note in {**before.notes, **dict(event.notes)}.items() if note is not None}
        self.memory[event.account] = Remembered(event.cursor or before.cursor, notes)


class Inbox:
    """The inboxes of connections (`InboxSink`)."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Event]] = []
        self._moved = asyncio.Condition()

    async def send(self, connection: str, event: Event) -> None:
        async with self._moved:
            self.sent.append((connection, event))
            self._moved.notify_all()

    async def until(self, condition: Callable[[Inbox], bool]) -> None:
        """Returns when what was sent satisfies the condition."""
        async with self._moved:
            await self._moved.wait_for(lambda: condition(self))

    def states(self, connection: str) -> list[bool]:
        """What a connection was told of the account, in order: up or down."""
        return [event.up for to, event in self.sent if to == connection and isinstance(event, AccountState)]


async def ended(task: asyncio.Task[Any]) -> None:
    """Cancels a task and sees it end."""
    task.cancel()
    await asyncio.wait([task])


async def within(seconds: float, awaited: Awaitable[Any]) -> Any:
    """A bound for conditions that a fault would keep from coming true."""
    async with asyncio.timeout(seconds):
        return await awaited


async def eventually(condition: Callable[[], object]) -> None:
    """Lets the others work until the condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # whatever it asks about rings no bell
            await asyncio.sleep(0)
