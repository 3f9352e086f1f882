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

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

import schemas
from console.readmodel.writer import ReadModelWriter, Rows
from console.times import parse_span
from rules.events import DeadLetter, StatusRow, SyncRow
from schemas import History, SchemaError, UndecodableError, UnknownSchemaError
from streams.broker import Broker
from streams.config import INSTALLATION, SCHEMA
from streams.protocols import Configuration
from streams.topics import MARKER, MESSAGE_BYTES, Topics, parse_status_key

PAUSE_S = 0.05  # between two fetches of a few rows: what comes meanwhile shares a transaction
SMALL = 200  # messages of a fetch, below which the pause is worth it
IDLE_S = 1.0  # how often a quiet projection notes that it is current
ROWS_PER_TRANSACTION = 20_000
TRIM_EVERY_S = 3600.0
CLIENT = "tandem-read-model"

log = logging.getLogger(__name__)


class Projection:
    """Reads the topics of an installation into the read model at `path`."""

    def __init__(
        self, broker: Broker, installation: str, path: Path, on_rows: Callable[[Rows], None] | None = None
    ) -> None:
        self._broker = broker
        self._topics = Topics(installation)
        self._path = path
        self._projected = (
            self._topics.config,
            self._topics.statuses,
            self._topics.history,
            self._topics.dead_letters,
        )
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
        while not await self._follow(until_current=True):
            log.info("the read model is filled anew", extra={"action": "read_model_dropped"})

    async def _follow(self, *, until_current: bool) -> bool:
        """One life of a consumer and a writer; True when it ends because the read model is current."""
        cluster, partitions = await _layout(self._broker, self._projected)
        writer = ReadModelWriter(self._path, f"{self._topics.installation}@{cluster}")
        try:
            consumer = AIOKafkaConsumer(
                **self._broker.client(),
                client_id=CLIENT,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                max_poll_records=5000,
                fetch_max_wait_ms=500,
            )
            try:
                await consumer.start()
                if await self._assign(consumer, writer, partitions):
                    return await self._read(consumer, writer, until_current)
                return False
            finally:
                await consumer.stop()
        finally:
            writer.close()
            if self._producer is not None:
                await self._producer.stop()
                self._producer = None

    async def _assign(
        self, consumer: AIOKafkaConsumer, writer: ReadModelWriter, partitions: list[TopicPartition]
    ) -> bool:
        """Takes all partitions at the stored offsets. False where the topics are younger: the file was dropped."""
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
        # The configuration topic always from its beginning: it is short, and all else is written in its schemas.
        consumer.seek(TopicPartition(self._topics.config, 0), 0)
        return True

    async def _read_config(self, consumer: AIOKafkaConsumer, rows: Rows) -> None:
        """Reads the configuration topic up to its end."""
        tp = TopicPartition(self._topics.config, 0)
        end = (await consumer.end_offsets([tp]))[tp]
        while await consumer.position(tp) < end:
            for message in (await consumer.getmany(tp, timeout_ms=1000)).get(tp, ()):
                await self._add(consumer, rows, message)
                rows.offsets[tp.topic, tp.partition] = message.offset + 1

    async def _read(self, consumer: AIOKafkaConsumer, writer: ReadModelWriter, until_current: bool) -> bool:
        """Goes on until it is current, or for good; False when the file was taken away."""
        stored_at = 0.0
        first = Rows()
        await self._read_config(consumer, first)
        await self._store(writer, first)
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
            await self._trim(writer, now, ends=current and until_current)
            if current and until_current:
                return True
            if count < SMALL:
                await asyncio.sleep(PAUSE_S)
        return False

    async def _store(self, writer: ReadModelWriter, rows: Rows) -> None:
        await asyncio.to_thread(writer.store, rows, time.time())
        self._on_rows(rows)

    async def _trim(self, writer: ReadModelWriter, now: float, *, ends: bool) -> None:
        if self._retention_s is not None and (ends or now - self._trimmed_at > TRIM_EVERY_S):
            self._trimmed_at = now
            await asyncio.to_thread(writer.trim, now - self._retention_s)

    def _latest(self, topic: str, messages: list[ConsumerRecord]) -> Iterable[ConsumerRecord]:
        """Of a compacted topic the last message of each key, else all."""
        if topic != self._topics.statuses:
            return messages
        return {message.key: message for message in messages}.values()

    async def _add(self, consumer: AIOKafkaConsumer, rows: Rows, message: ConsumerRecord) -> None:
        """Adds what the message says; one that cannot be decoded goes to the dead letters."""
        try:
            try:
                self._decode(rows, message)
            except UnknownSchemaError:
                # A schema is in `config` before its first use, so it is there by now, or it is none of ours.
                await self._read_config(consumer, rows)
                self._decode(rows, message)
        except SchemaError as error:
            await self._send_dead_letter(message, str(error))

    def _decode(self, rows: Rows, message: ConsumerRecord) -> None:
        if message.topic == self._topics.config:
            self._decode_config(rows, message.key or b"", message.value)
            return
        if message.key is not None and message.key.startswith(MARKER[:1]):
            return  # the marker of a partition's new owner
        if message.value is None:
            sync, key = parse_status_key(message.key or b"")
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
                before = rows.dead_letters.get(letter.id)  # who tells of one again does not know that it was discarded
                if before is None or letter.discarded_at > before.discarded_at:
                    rows.dead_letters[letter.id] = letter
            case other:
                raise UndecodableError(f"a {type(other).__name__} has no place in {message.topic}")

    def _decode_config(self, rows: Rows, key: bytes, value: bytes | None) -> None:
        try:
            if key == INSTALLATION and value is not None:
                document = msgspec.json.decode(value, type=Configuration).document
                retention_s = parse_span(str(document.get("retention", "30d")))
                if retention_s != self._retention_s:
                    self._retention_s, self._trimmed_at = retention_s, 0.0
                rows.meta["configuration"] = value.decode()
            elif key.startswith(SCHEMA) and value is not None:
                schemas.add(key.removeprefix(SCHEMA).decode(), value)
            else:
                raise UndecodableError(f"{self._topics.config} has no entries with the key {key!r}")
        except (msgspec.DecodeError, ValueError) as error:
            raise UndecodableError(str(error)) from error

    async def _send_dead_letter(self, message: ConsumerRecord, reason: str) -> None:
        """Into the topic, since others look there too. Its id is the place, so that it counts once."""
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                **self._broker.client(), client_id=CLIENT, acks="all", max_request_size=MESSAGE_BYTES
            )
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
        data = schemas.encode(letter)
        fingerprint = schemas.fingerprint_in(data)
        schema = schemas.published()[fingerprint]
        await self._producer.send_and_wait(self._topics.config, schema, SCHEMA + fingerprint.encode(), partition=0)
        await self._producer.send_and_wait(self._topics.dead_letters, data, b"", partition=message.partition)


async def _is_current(consumer: AIOKafkaConsumer) -> bool:
    for tp in consumer.assignment():
        highwater = consumer.highwater(tp)
        if highwater is None or await consumer.position(tp) < highwater:
            return False
    return True


async def _layout(broker: Broker, topics: tuple[str, ...]) -> tuple[str, list[TopicPartition]]:
    """The cluster's id and all partitions of the topics, as soon as all topics are there."""
    admin = AIOKafkaAdminClient(**broker.client(), client_id=CLIENT)
    await admin.start()
    try:
        while not set(topics) <= set(await admin.list_topics()):  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0.2)
        described = await admin.describe_topics(list(topics))
        partitions = [
            TopicPartition(topic["topic"], number) for topic in described for number in range(len(topic["partitions"]))
        ]
        return str((await admin.describe_cluster())["cluster_id"]), partitions
    finally:
        await admin.close()
