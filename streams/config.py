"""The applied configuration and the schemas, as every worker and the console see them: the compacted topic `config`.

Responsible for reading it as it grows, and for writing a new version. Must not know what is in a configuration.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Self

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

import schemas
from rules.events import DeadLetter, Event
from schemas import UndecodableError
from streams.broker import Broker
from streams.protocols import Configuration
from streams.topics import MESSAGE_BYTES, Topics

INSTALLATION = b"installation"
SCHEMA = b"schema/"


Unreadable = Callable[[int, bytes | None, str], None]
"""(offset, value, why): told of an entry of `config` that is none."""


class ConfigStore:
    """What `config` holds. `async with ConfigStore(...)`: has read all that was there when it begins; then goes on
    reading.

    An entry that cannot be read changes nothing, and is told to `unreadable`.
    """

    def __init__(self, broker: Broker, topics: Topics, unreadable: Unreadable | None = None) -> None:
        self._broker, self._topics, self._tp = broker, topics, TopicPartition(topics.config, 0)
        self._unreadable = unreadable
        self._consumer: AIOKafkaConsumer | None = None
        self._current: Configuration | None = None
        self._position = 0
        self._schemas: set[str] = set()
        self._grown = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(
            **self._broker.client(), enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=100
        )
        await self._consumer.start()
        self._consumer.assign([self._tp])
        self._task = asyncio.create_task(self._read(), name="config")
        await self.caught_up()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        assert self._consumer is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._consumer.stop()

    @property
    def reading(self) -> asyncio.Task[None]:
        """Ends only by an error, and then whoever owns the store ends the process."""
        assert self._task is not None
        return self._task

    @property
    def current(self) -> Configuration | None:
        """The newest that has come by; None: nothing has been applied yet."""
        return self._current

    async def wait_for(self, version: int) -> Configuration:
        """Returns the current one as soon as its version is at least `version`."""
        async with self._grown:
            await self._grown.wait_for(lambda: self._current is not None and self._current.version >= version)
        assert self._current is not None
        return self._current

    async def changes(self) -> AsyncIterator[Configuration]:
        """The current one (if any), then each newer one; skips those that are overtaken while the caller is busy."""
        seen = 0
        while True:
            current = await self.wait_for(seen + 1)
            seen = current.version
            yield current

    async def caught_up(self) -> None:
        """Returns when all has been read that is in the topic now."""
        assert self._consumer is not None
        ends = await self._consumer.end_offsets([self._tp])
        async with self._grown:
            await self._grown.wait_for(lambda: self._position >= ends[self._tp])

    async def has_schema(self, fingerprint: bytes) -> bool:
        """Whether a writer's schema is, or has now come to be, known. Schemas are in `config` before their first use,
        so one that is not there, when all of it has been read, is no schema of ours."""
        if not schemas.is_known(fingerprint):
            await self.caught_up()
        return schemas.is_known(fingerprint)

    async def publish_schemas(self) -> None:
        """Makes our schemas known to every reader, before the first message that needs them."""
        missing = [key for key in schemas.published() if key not in self._schemas]
        if missing:
            async with _producer(self._broker) as producer:
                await _publish_schemas(producer, self._topics, missing)

    async def _read(self) -> None:
        assert self._consumer is not None
        while True:
            batches = await self._consumer.getmany(timeout_ms=1000)
            for message in batches.get(self._tp, ()):
                try:
                    self._take(message.key or b"", message.value)
                except (msgspec.DecodeError, UndecodableError, ValueError) as error:
                    if self._unreadable is not None:
                        self._unreadable(message.offset, message.value, str(error))
            position = await self._consumer.position(self._tp)
            if position > self._position:
                async with self._grown:
                    self._position = position
                    self._grown.notify_all()

    def _take(self, key: bytes, value: bytes | None) -> None:
        if key.startswith(SCHEMA) and value is not None:
            fingerprint = key.removeprefix(SCHEMA).decode()
            schemas.add(fingerprint, value)
            self._schemas.add(fingerprint)
        elif key == INSTALLATION and value is not None:
            self._current = msgspec.json.decode(value, type=Configuration)
        else:
            raise ValueError(f"{self._tp.topic} has no entries with the key {key!r}")


def _producer(broker: Broker) -> AIOKafkaProducer:
    # A configuration holds the description of all objects in use: hundreds of fields each, with their options.
    return AIOKafkaProducer(**broker.client(), enable_idempotence=True, linger_ms=0, max_request_size=MESSAGE_BYTES)


async def _publish_schemas(producer: AIOKafkaProducer, topics: Topics, fingerprints: Iterable[str]) -> None:
    known = schemas.published()
    sent = [await producer.send(topics.config, known[key], SCHEMA + key.encode(), partition=0) for key in fingerprints]
    await asyncio.gather(*sent)


async def publish(
    broker: Broker, topics: Topics, configuration: Configuration, orders: Iterable[tuple[str, Event]] = ()
) -> None:
    """Makes the configuration the current one, then sends each order into the inbox of its connection; returns when
    all is stored.

    Interrupted in between, the orders are missing: whoever applies sends them again, also where the configuration is
    the same.
    """
    async with _producer(broker) as producer:
        await producer.send_and_wait(topics.config, msgspec.json.encode(configuration), INSTALLATION, partition=0)
        await _send(producer, topics, orders)


async def send_orders(broker: Broker, topics: Topics, orders: Iterable[tuple[str, Event]]) -> None:
    """Sends events into the inboxes of connections; returns when they are stored."""
    async with _producer(broker) as producer:
        await _send(producer, topics, orders)


async def send_letters(broker: Broker, topics: Topics, letters: Iterable[DeadLetter]) -> None:
    """Sends dead letters, where those of their account lie; returns when they are stored."""
    async with _producer(broker) as producer:
        encoded = [(letter.account, schemas.encode(letter)) for letter in letters]
        await _publish_schemas(producer, topics, {schemas.fingerprint_in(data) for _, data in encoded})
        sent = [
            await producer.send(topics.dead_letters, data, account.encode(), partition=topics.partition_of(account))
            for account, data in encoded
        ]
        await asyncio.gather(*sent)


async def _send(producer: AIOKafkaProducer, topics: Topics, orders: Iterable[tuple[str, Event]]) -> None:
    encoded = [(connection, schemas.encode(event)) for connection, event in orders]
    # The workers may be of another version than we are.
    await _publish_schemas(producer, topics, {schemas.fingerprint_in(data) for _, data in encoded})
    sent = [
        await producer.send(topics.inbox, data, connection.encode(), partition=topics.partition_of(connection))
        for connection, data in encoded
    ]
    await asyncio.gather(*sent)
