"""A partition that this worker owns: its writers, its state, and who works on it.

Responsible for starting and ending the three stages, the lanes, capture and the clock of one partition, in the right
order. Must not know how it came to be ours (`streams.table`), nor what is decided.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence

import msgspec
from aiokafka import AIOKafkaProducer
from faust.types import TP, EventT
from rocksdict import Rdict

import schemas
from rules.events import Event
from schemas import ChangeEvent
from streams import keys
from streams.broker import Broker
from streams.clock import Clocks
from streams.config import ConfigStore
from streams.deliver import Deliver
from streams.disk import Disk
from streams.ending import cancelled, watched
from streams.errands import PartitionErrands
from streams.errors import RefusedError
from streams.fence import Entry, Writer
from streams.letters import output_of, read_again, shortened
from streams.protocols import AccountService, CaptureFactory, FenceBase, Lanes, LanesFactory, Metrics
from streams.pump import Feed, Gate, Source
from streams.reconcile import Decide, Reconcile
from streams.recovery import IndexChanges
from streams.route import Route
from streams.stage import Runner, Workplace
from streams.topics import CHANGE_BYTES, Topics, connection_name
from streams.unit import Output, Unit, send_all, write


class Parts(msgspec.Struct, frozen=True):
    """What a worker is made of besides the streams: the rules, capture, lanes, metrics."""

    decide: Decide
    index_changes: IndexChanges
    capture: CaptureFactory
    lanes: LanesFactory
    metrics: Metrics


class Shared(msgspec.Struct, frozen=True):
    """What all partitions of a worker share. `producer`: the plain one, whose messages may come late or twice."""

    broker: Broker
    topics: Topics
    config: ConfigStore
    disk: Disk
    producer: AIOKafkaProducer
    source: Source
    parts: Parts


class Bounds(msgspec.Struct, frozen=True):
    """The log of an input: its first offset, and the one that its next message will have."""

    start: int
    end: int


class Inbox:
    """`protocols.InboxSink`, by the plain producer."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def send(self, connection: str, event: Event) -> None:
        """Returns when the broker has acknowledged."""
        await self.offset_of(connection, event)

    async def offset_of(self, connection: str, event: Event) -> int:
        """The same; where in the inbox's partition it is."""
        output = Output(self._shared.topics.inbox, connection.encode(), schemas.encode(event))
        written = await (await send_plain(self._shared, output))
        return int(written.offset)  # type: ignore[attr-defined]


async def send_plain(shared: Shared, output: Output) -> Awaitable[object]:
    """Hands a message to the plain producer: keys are names, which say the partition."""
    partition = shared.topics.partition_of(output.key.decode(errors="replace"))
    sent: Awaitable[object] = await shared.producer.send(output.topic, output.value, output.key, partition=partition)
    return sent


class Sink:
    """`protocols.ChangesSink`: a writer of its own, so that a page in flight does not delay the state's."""

    def __init__(self, shared: Shared, partition: int, gate: Gate) -> None:
        topics = shared.topics
        self._shared, self._topic, self._gate = shared, topics.changes, gate
        self.writer = Writer(shared.broker, f"{topics.changes}-{partition}", partition, (topics.changes,))

    @property
    def marker(self) -> int:
        """The offset of our marker."""
        return self.writer.markers[self._topic]

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
        """Takes the event into the log, in the order of the calls; without values that no message can hold."""
        data = schemas.encode_change(event, config=config, to=to, errand=errand, resume=resume)
        if len(data) > CHANGE_BYTES:
            event, letters = shortened(event, time.time(), CHANGE_BYTES)
            await send_all((output_of(letter, self._shared.topics) for letter in letters), self._send_plain)
            data = schemas.encode_change(event, config=config, to=to, errand=errand, resume=resume)
        async with self._gate:
            return await self.writer.send(self._topic, account.encode(), data)

    async def _send_plain(self, output: Output) -> Awaitable[object]:
        return await send_plain(self._shared, output)


class OwnedPartition:
    """One partition of all topics. `open` when its state is recovered; `close` when it has left, or before the
    process ends."""

    def __init__(self, partition: int, shared: Shared) -> None:
        topics = shared.topics
        self.partition, self.topics, self._shared = partition, topics, shared
        self.lock = asyncio.Lock()
        self.offset_key = shared.disk.offset_key
        self.gate = Gate()
        written = (topics.state, topics.statuses, topics.history)
        self.writer = Writer(shared.broker, f"{topics.state}-{partition}", partition, written)
        self._sink = Sink(shared, partition, self.gate)
        self.feeds: dict[str, Feed] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._lanes: Lanes | None = None
        self._services: dict[str, tuple[AccountService, asyncio.Task[None]]] = {}

    # ---------------------------------------------------------------- what units are carried out on

    def database(self) -> Rdict:
        """The partition's database; not to be kept."""
        database = self._shared.disk.database(self.partition)
        if database is None:
            raise RefusedError(f"the state of partition {self.partition} has left this worker")
        return database

    async def append(self, topic: str, entries: Sequence[Entry]) -> int:
        """Writes one record batch by the partition's writer; the offset of its last entry."""
        return await self.writer.append(topic, entries)

    async def send(self, output: Output) -> Awaitable[object]:
        """Hands a message to the plain producer."""
        return await send_plain(self._shared, output)

    # ---------------------------------------------------------------- begin

    async def take_over(self) -> int:
        """Takes the epochs and writes the markers; the offset of the marker in the changelog."""
        await asyncio.gather(self.writer.take_over(), self._sink.writer.take_over())
        return self.writer.markers[self.topics.state]

    async def renew(self) -> None:
        """Takes new epochs before Kafka forgets the old ones. Nobody writes meanwhile. Not while a rebalance has
        closed the gate, and not opening it where one does meanwhile."""
        if not self.gate.is_open:
            return
        turn = self.gate.closings + 1
        if await self.gate.close(60):
            await self.take_over()
        if self.gate.closings == turn:
            self.gate.open()

    async def open(self, bounds: dict[str, Bounds]) -> None:
        """Begins to work, from where the state ends. The gate is still closed."""
        topics, shared = self.topics, self._shared
        for topic in topics.inputs:
            position = await self._position(topic, bounds[topic])
            self.feeds[topic] = Feed(TP(topic, self.partition), position, shared.source)
        fence = await self._fence(bounds[self.topics.commands])
        parts, config, inbox = shared.parts, shared.config, Inbox(shared)
        lanes = self._lanes = parts.lanes(fence, inbox, config)
        place = {topic: Workplace(feed, self, self.gate, config, self._done) for topic, feed in self.feeds.items()}
        running = {
            "route": Runner(Route(topics, config), place[topics.changes]).run(),
            "reconcile": Runner(Reconcile(topics, config, parts.decide), place[topics.inbox]).run(),
            "deliver": Deliver(topics, place[topics.commands], lanes, self._wake).run(),
            "capture": self._capture(),
            "clock": Clocks(topics, self.partition, config, inbox, self.feeds[topics.inbox]).run(),
        }
        self._tasks = [watched(coroutine, f"{name} {self.partition}") for name, coroutine in running.items()]

    async def _position(self, topic: str, bounds: Bounds) -> int:
        """The last input that the state holds. One outside the log (retention, a restored disk, a topic made anew) is
        no hole to wait for: all is read again in full, and then on from where the log begins."""
        stored = self.database().get(keys.position(topic))
        position = -1 if stored is None else int(stored)
        if bounds.start <= position + 1 <= bounds.end:
            return position
        configuration, partition_of = self._shared.config.current, self.topics.partition_of
        cause = f"{topic}/{self.partition}/{position}-{bounds.start}"
        again: list[Output] = []
        if topic != self.topics.commands and configuration is not None:  # commands without a result are sent again
            ours = (account for account in configuration.accounts if partition_of(account) == self.partition)
            if topic == self.topics.changes:
                for account in ours:
                    again += read_again(cause, self.topics, configuration, account=account)
            else:
                for connection in configuration.connections:
                    if partition_of(connection) == self.partition:
                        again += read_again(cause, self.topics, configuration, connection=connection)
        await send_all(again, self.send)
        async with self.lock:
            await write({keys.position(topic): b"%d" % (bounds.start - 1)}, {}, self)
        return bounds.start - 1

    async def _fence(self, commands: Bounds) -> FenceBase:
        """What deliveries are fenced with: higher than any owner's before, also where the state was lost meanwhile."""
        stored, now = self.database().get(keys.FENCE), time.time_ns() // 1_000_000
        birth, epoch = msgspec.json.decode(stored, type=tuple[int, int]) if stored else (now, 0)
        epoch = max(epoch + 1, now)
        async with self.lock:
            await write({keys.FENCE: msgspec.json.encode((birth, epoch))}, {}, self)
        return FenceBase(f"{self.topics.installation}/commands-{self.partition}@{birth}", epoch, commands.end)

    def resume(self) -> None:
        """The assignment stands (again): reads on, and works."""
        for feed in self.feeds.values():
            feed.restart()
        self.gate.open()

    # ---------------------------------------------------------------- work

    def offer(self, event: EventT[bytes]) -> None:
        """A message of an input, from its agent."""
        if (feed := self.feeds.get(event.message.topic)) is not None:
            feed.offer(event)

    def watch(self, ends: dict[TP, int]) -> None:
        """Reads again what should have come: a feed that is empty though its log goes on. `ends`: as the consumer
        knows them."""
        for feed in self.feeds.values():
            feed.watch(ends.get(feed.tp, 0))

    def _done(self, unit: Unit) -> None:
        metrics = self._shared.parts.metrics
        for row in unit.syncs:
            metrics.observe_sync(row)
        for letter in unit.letters:
            metrics.count_dead_letter(letter)

    def _wake(self, account: str) -> None:
        if account in self._services:
            self._services[account][0].wake()

    async def _capture(self) -> None:
        """A service for each account of this partition; one that has ended begins again when the account comes back."""
        shared = self._shared
        errands = PartitionErrands(self.database, self.feeds[self.topics.changes].reached)
        async for configuration in shared.config.changes():
            for account in configuration.accounts:
                running = self._services.get(account)
                if self.topics.partition_of(account) != self.partition or (running and not running[1].done()):
                    continue
                service = shared.parts.capture(account, self._sink, errands, shared.config)
                self._services[account] = service, watched(service.run(), f"capture {account}")

    # ---------------------------------------------------------------- end

    async def pause(self, seconds: float) -> None:
        """The assignment may change: nothing more begins, and what had begun ends, where it does in time."""
        await self.gate.close(seconds)

    async def close(self) -> None:
        """Ends all work and gives everything back."""
        await cancelled(*self._tasks, *(task for _, task in self._services.values()))
        if self._lanes is not None:
            await self._lanes.stop()
        await asyncio.gather(self.writer.close(), self._sink.writer.close())
        self._shared.parts.metrics.forget_syncs(self._syncs())

    def _syncs(self) -> list[str]:
        """The syncs that are decided here."""
        configuration = self._shared.config.current
        return [
            sync
            for sync, definition in (configuration.document["syncs"].items() if configuration is not None else ())
            if self.topics.partition_of(connection_name(definition["between"])) == self.partition
        ]
