"""Keeps the read model up with the topics: statuses, history, dead letters and the applied configuration.

Responsible for reading all their partitions and for what a message adds to the rows that the writer stores. Must not
know who asks the read model.

A plain consumer without a group: its offsets lie in the read model, so that rows and offsets move together, and a file
that was deleted is filled anew. Of several messages with one key only the last that came with a fetch is decoded, so
that a burst costs less per record, not more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

import schemas
from console.broker import Broker
from console.readmodel.writer import ReadModelWriter, Rows
from console.topics import TopicNames
from rules.events import DeadLetter, StatusRow, SyncRow
from schemas import History, UndecodableError, UnknownSchemaError

PAUSE_S = 0.05  # between two fetches of a few rows: what comes meanwhile shares a transaction
SMALL = 200  # messages of a fetch, below which the pause is worth it
IDLE_S = 1.0  # how often a quiet projection notes that it is current
ROWS_PER_TRANSACTION = 20_000
TRIM_EVERY_S = 3600.0

log = logging.getLogger(__name__)


class Projection:
    """Reads the topics of an installation into the read model at `path`."""

    def __init__(
        self, broker: Broker, installation: str, path: Path, on_rows: Callable[[Rows], None] | None = None
    ) -> None:
        self._broker = broker
        self._topics = TopicNames(installation)
        self._path = path
        self._on_rows = on_rows or (lambda _: None)
        self._producer: AIOKafkaProducer | None = None
        self._retention_s: float | None = None
        self._trimmed_at = 0.0

    async def run(self) -> None:
        """Follows the topics until cancelled; starts over where the broker or the file went away."""
        while True:
            try:
                await self._follow(until_current=False)
            except KafkaError as error:
                log.warning("the read model waits for the broker: %s", error)
                await asyncio.sleep(1.0)

    async def catch_up(self) -> None:
        """Reads up to where the topics end now. Raises `KafkaError` where the broker does not answer."""
        await self._follow(until_current=True)

    async def _follow(self, *, until_current: bool) -> None:
        """One life of a consumer and a writer."""
        writer = ReadModelWriter(self._path, f"{self._topics.installation}@{await _cluster_id(self._broker)}")
        try:
            consumer = AIOKafkaConsumer(
                **self._broker.client_options("tandem-read-model"),
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                max_poll_records=5000,
                fetch_max_wait_ms=500,
            )
            await consumer.start()
            try:
                if await self._assign(consumer, writer):
                    await self._read(consumer, writer, until_current)
            finally:
                await consumer.stop()
        finally:
            writer.close()
            if self._producer is not None:
                await self._producer.stop()
                self._producer = None

    async def _assign(self, consumer: AIOKafkaConsumer, writer: ReadModelWriter) -> bool:
        """Takes all partitions at the offsets that were stored. False where the topics are younger: the file was dropped."""
        partitions = await _partitions(consumer, self._topics.projected)
        consumer.assign(partitions)
        offsets = writer.offsets()
        ends = await consumer.end_offsets(partitions)
        if any(offsets.get((tp.topic, tp.partition), 0) > end for tp, end in ends.items()):
            writer.drop()
            return False
        for tp in partitions:
            offset = offsets.get((tp.topic, tp.partition))
            if offset is not None:
                consumer.seek(tp, offset)
        # The schemas first: the configuration topic is short, and everything else is written in them.
        await self._read_config(consumer, TopicPartition(self._topics.config, 0), ends)
        return True

    async def _read_config(
        self, consumer: AIOKafkaConsumer, tp: TopicPartition, ends: dict[TopicPartition, int]
    ) -> None:
        """Learns all schemas, whatever of the topic the read model has seen before."""
        consumer.seek(tp, 0)
        while await consumer.position(tp) < ends[tp]:
            for message in (await consumer.getmany(tp, timeout_ms=1000)).get(tp, ()):
                _learn_schema(message)
        consumer.seek(tp, 0)

    async def _read(self, consumer: AIOKafkaConsumer, writer: ReadModelWriter, until_current: bool) -> None:
        stored_at = 0.0
        while writer.is_there():
            fetched = await consumer.getmany(timeout_ms=int(IDLE_S * 1000))
            count = sum(map(len, fetched.values()))
            rows = Rows()
            for tp, messages in sorted(fetched.items(), key=lambda item: item[0].topic != self._topics.config):
                for message in self._latest(tp.topic, messages):
                    await self._add(consumer, rows, message)
                    if len(rows.history) >= ROWS_PER_TRANSACTION:
                        await self._store(writer, rows)  # without the offset: history that comes twice counts once
                        rows = Rows()
                rows.offsets[tp.topic, tp.partition] = messages[-1].offset + 1
            current = await _is_current(consumer)
            now = time.time()
            if current:
                rows.meta["as_of"] = repr(now)
            if count or (current and now - stored_at >= IDLE_S):
                await self._store(writer, rows)
                stored_at = now
            if current and until_current:
                return
            if count < SMALL:
                await asyncio.sleep(PAUSE_S)
            await self._trim(writer, now)

    async def _store(self, writer: ReadModelWriter, rows: Rows) -> None:
        await asyncio.to_thread(writer.store, rows, time.time())
        self._on_rows(rows)

    async def _trim(self, writer: ReadModelWriter, now: float) -> None:
        if self._retention_s is not None and now - self._trimmed_at > TRIM_EVERY_S:
            self._trimmed_at = now
            await asyncio.to_thread(writer.trim, now - self._retention_s)

    def _latest(self, topic: str, messages: list[ConsumerRecord]) -> Iterable[ConsumerRecord]:
        """Of a compacted topic the last message of each key, else all."""
        if topic != self._topics.statuses:
            return messages
        return {message.key: message for message in messages}.values()

    async def _add(self, consumer: AIOKafkaConsumer, rows: Rows, message: ConsumerRecord) -> None:
        """Adds what the message says; one that cannot be decoded goes to the dead letters."""
        while True:
            try:
                self._decode(rows, message)
            except UnknownSchemaError as error:
                log.warning("%s; the read model waits for it", error)
                tp = TopicPartition(self._topics.config, 0)
                for published in (await consumer.getmany(tp, timeout_ms=1000)).get(tp, ()):
                    self._decode(rows, published)
                    rows.offsets[tp.topic, tp.partition] = published.offset + 1
            except UndecodableError as error:
                await self._send_dead_letter(message, str(error))
                return
            else:
                return

    def _decode(self, rows: Rows, message: ConsumerRecord) -> None:
        if message.topic == self._topics.config:
            if message.key == b"installation" and message.value is not None:
                rows.meta["configuration"] = message.value.decode()
            else:
                _learn_schema(message)
            return
        if message.value is None:
            sync, _, key = (message.key or b"").decode().partition("|")
            if key:
                rows.records[sync, key] = None
            else:
                rows.syncs[sync] = None
            return
        match schemas.decode(message.value):
            case StatusRow() as row:
                rows.records[row.sync, row.key] = row if row.status is not None else None
            case SyncRow() as row:
                rows.syncs[row.sync] = row if row.state is not None else None
            case History(rows=decisions):
                rows.history.extend(decisions)
            case DeadLetter() as letter:
                rows.dead_letters[letter.id] = letter
            case other:
                raise UndecodableError(f"a {type(other).__name__} has no place in {message.topic}")

    async def _send_dead_letter(self, message: ConsumerRecord, reason: str) -> None:
        """Into the topic, since others look there too. Its id is the place, so that it counts once."""
        if self._producer is None:
            self._producer = AIOKafkaProducer(**self._broker.client_options("tandem-read-model"), acks="all")
            await self._producer.start()
        letter = DeadLetter(
            id=f"{message.topic}/{message.partition}/{message.offset}",
            at=message.timestamp / 1000,
            account="",
            category="unknown",
            message=f"The message cannot be decoded: {reason}.",
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            raw=message.value,
        )
        await self._producer.send_and_wait(
            self._topics.dead_letters, schemas.encode(letter), key=b"", partition=message.partition
        )


def _learn_schema(message: ConsumerRecord) -> None:
    kind, _, fingerprint = (message.key or b"").decode(errors="replace").partition("/")
    if kind == "schema" and message.value is not None:
        schemas.add(fingerprint, message.value)


async def _is_current(consumer: AIOKafkaConsumer) -> bool:
    for tp in consumer.assignment():
        highwater = consumer.highwater(tp)
        if highwater is None or await consumer.position(tp) < highwater:
            return False
    return True


async def _partitions(consumer: AIOKafkaConsumer, topics: tuple[str, ...]) -> list[TopicPartition]:
    """All partitions of the topics, as soon as all topics are there."""
    while True:
        known = {topic: consumer.partitions_for_topic(topic) for topic in topics}
        if all(known.values()):
            return [
                TopicPartition(topic, number) for topic, numbers in known.items() for number in sorted(numbers or ())
            ]
        await asyncio.sleep(0.2)
        await consumer.topics()  # asks the broker anew


async def _cluster_id(broker: Broker) -> str:
    admin = AIOKafkaAdminClient(**broker.client_options("tandem-read-model"))
    await admin.start()
    try:
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()
