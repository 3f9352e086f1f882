"""The fence, the topics and the configuration topic, on a real Kafka."""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

import schemas
from rules.catalog import Catalog, Field, FieldType, Kind, Object
from rules.events import Captured, Clock, DeadLetter, Order, Row
from rules.version import Version
from streams.broker import Broker
from streams.config import ConfigStore, publish, send_orders
from streams.errors import LayoutError, OversizedError, RefusedError
from streams.fence import Writer, take_epoch
from streams.owned import Sink
from streams.protocols import Configuration
from streams.pump import Gate
from streams.topics import (
    CHANGE_BYTES,
    MARKER,
    Topics,
    connection_name,
    ensure_topics,
    parse_status_key,
    partition_of,
    status_key,
)

MONTH = timedelta(days=30)


@pytest.fixture
def name() -> str:
    return f"k{secrets.token_hex(4)}"


async def values(broker: Broker, topic: str, partition: int = 0) -> list[tuple[bytes | None, bytes | None]]:
    """Keys and values of a partition."""
    consumer = AIOKafkaConsumer(**broker.client(), enable_auto_commit=False, fetch_max_wait_ms=50)
    await consumer.start()
    try:
        tp = TopicPartition(topic, partition)
        consumer.assign([tp])
        await consumer.seek_to_beginning(tp)
        end, found = (await consumer.end_offsets([tp]))[tp], list[tuple[bytes | None, bytes | None]]()
        while await consumer.position(tp) < end:
            for messages in (await consumer.getmany(timeout_ms=200)).values():
                found += [(message.key, message.value) for message in messages]
        return found
    finally:
        await consumer.stop()


async def settings_of(broker: Broker, topic: str) -> dict[str, str]:
    """The settings of a topic as the broker has them."""
    admin = AIOKafkaAdminClient(**broker.client())
    await admin.start()
    try:
        (reply,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        ((_, _, _, _, entries),) = reply.resources
        return {entry[0]: entry[1] for entry in entries}
    finally:
        await admin.close()


# ---------------------------------------------------------------- fence


async def test_each_take_over_has_a_higher_epoch_of_the_same_producer(broker: Broker, name: str) -> None:
    taken = [await take_epoch(broker, name) for _ in range(3)]
    assert len({producer for producer, _ in taken}) == 1
    epochs = [epoch for _, epoch in taken]
    assert epochs == sorted(set(epochs))


async def test_an_earlier_owner_is_refused_in_every_topic_of_the_partition(broker: Broker, name: str) -> None:
    topics = await ensure_topics(broker, name, partitions=2, retention=MONTH)
    written = (topics.state, topics.statuses)
    first = await Writer(broker, f"{name}-1", 1, written).take_over()
    await first.append(topics.state, [(b"k", b"first")])
    second = await Writer(broker, f"{name}-1", 1, written).take_over()
    for topic in written:
        with pytest.raises(RefusedError):
            await first.append(topic, [(b"k", b"late")])
    await second.append(topics.state, [(b"k", b"second")])
    found = await values(broker, topics.state, 1)
    assert [key for key, _ in found] == [MARKER, b"k", MARKER, b"k"]
    assert second.markers[topics.state] == 2
    await asyncio.gather(first.close(), second.close())


async def test_an_owner_that_takes_over_anew_goes_on(broker: Broker, name: str) -> None:
    topics = await ensure_topics(broker, name, partitions=1, retention=MONTH)
    writer = await Writer(broker, name, 0, (topics.changes,)).take_over()
    before = writer.epoch
    for number in range(3):
        await (await writer.send(topics.changes, b"a", b"%d" % number))
    await writer.take_over()
    assert writer.epoch > before
    assert await (await writer.send(topics.changes, b"a", b"3")) == 5
    await writer.close()


async def test_what_is_sent_keeps_its_order_and_a_refused_send_fails_its_future(broker: Broker, name: str) -> None:
    topics = await ensure_topics(broker, name, partitions=1, retention=MONTH)
    writer = await Writer(broker, name, 0, (topics.changes,)).take_over()
    sent = [await writer.send(topics.changes, b"a", b"%d" % number) for number in range(200)]
    assert await asyncio.gather(*sent) == list(range(1, 201))
    other = await Writer(broker, name, 0, (topics.changes,)).take_over()
    late = await writer.send(topics.changes, b"a", b"late")
    with pytest.raises(RefusedError):
        await late
    await asyncio.gather(writer.close(), other.close())


async def test_entries_are_one_record_batch_or_none(broker: Broker, name: str) -> None:
    topics = await ensure_topics(broker, name, partitions=1, retention=MONTH)
    writer = await Writer(broker, name, 0, (topics.state,)).take_over()
    with pytest.raises(OversizedError):
        await writer.append(topics.state, [(b"%d" % number, b"x" * (7 << 20)) for number in range(6)])
    assert await writer.append(topics.state, [(b"%d" % number, b"x" * (7 << 20)) for number in range(4)]) == 4
    assert len(await values(broker, topics.state)) == 5
    await writer.close()


async def test_a_value_that_no_message_can_hold_is_left_out_and_told(broker: Broker, name: str) -> None:
    topics = await ensure_topics(broker, name, partitions=1, retention=MONTH)
    gate = Gate()
    gate.open()
    async with AIOKafkaProducer(**broker.client()) as producer:
        sink = Sink(cast(Any, SimpleNamespace(broker=broker, topics=topics, producer=producer)), 0, gate)
        await sink.writer.take_over()
        large, text = "x" * CHANGE_BYTES, "y" * 1000
        row = Row("17", {"scan": large, "note": text, "tags": [large, 1]}, Version(4711))
        await (await sink.send("crm", Captured("crm", "files", (row, Row("18", {"note": text}, Version(1)))), config=1))
        await sink.writer.close()
    (_, (_, data)) = await values(broker, topics.changes)
    found = schemas.decode(data or b"")
    assert isinstance(found, Captured)
    assert [row.values for row in found.rows] == [{"note": text}, {"note": text}]
    ((_, letter),) = await values(broker, topics.dead_letters)
    told = schemas.decode(letter or b"")
    assert isinstance(told, DeadLetter)
    assert (told.id, told.category, told.object) == ("crm/files/17/4711", "invalid_value", "files")
    assert "scan, tags of crm:17" in told.message


async def test_the_time_of_an_input_is_the_brokers(broker: Broker, name: str) -> None:
    topics = await ensure_topics(broker, name, partitions=1, retention=MONTH)
    async with AIOKafkaProducer(**broker.client()) as producer:
        written = await producer.send_and_wait(topics.inbox, b"", b"a~b", partition=0, timestamp_ms=1000)
    assert abs(written.timestamp / 1000 - time.time()) < 60


# ---------------------------------------------------------------- topics


def test_the_partition_of_a_name_never_changes() -> None:
    assert [partition_of(name, 8) for name in ("crm", "shop", "crm~shop", "größe")] == [2, 2, 7, 1]


def test_a_connection_has_one_name() -> None:
    assert connection_name(("shop", "crm")) == connection_name(("crm", "shop")) == "crm~shop"


@pytest.mark.parametrize(("sync", "key"), [("contacts", "crm:17"), ("a|b", "x|y"), ("50%", ""), ("%7C|", "|")])
def test_the_key_of_a_status_says_sync_and_record(sync: str, key: str) -> None:
    assert parse_status_key(status_key(sync, key)) == (sync, key)


async def test_unread_messages_are_never_deleted_by_kafka(broker: Broker, name: str) -> None:
    topics = await ensure_topics(broker, name, partitions=3, retention=timedelta(days=2))
    for topic in topics.inputs:
        found = await settings_of(broker, topic)
        assert (found["cleanup.policy"], found["retention.ms"], found["retention.bytes"]) == ("delete", "-1", "-1")
    assert (await settings_of(broker, topics.inbox))["message.timestamp.type"] == "LogAppendTime"
    assert (await settings_of(broker, topics.history))["retention.ms"] == str(2 * 86_400_000)
    assert (await settings_of(broker, topics.state))["cleanup.policy"] == "compact"


async def test_topics_that_exist_keep_their_partitions_and_get_our_settings(broker: Broker, name: str) -> None:
    await ensure_topics(broker, name, partitions=3, retention=MONTH)
    topics = await ensure_topics(broker, name, partitions=8, retention=timedelta(days=1))
    assert topics.partitions == 3
    ends = time.monotonic() + 10
    while (await settings_of(broker, topics.history))["retention.ms"] != str(86_400_000):
        assert time.monotonic() < ends
        await asyncio.sleep(0.05)


async def test_topics_with_different_numbers_of_partitions_are_refused(broker: Broker, name: str) -> None:
    admin = AIOKafkaAdminClient(**broker.client())
    await admin.start()
    await admin.create_topics([NewTopic(f"{name}.inbox", 2, 1), NewTopic(f"{name}.changes", 3, 1)])
    await admin.close()
    with pytest.raises(LayoutError, match="equally many partitions"):
        await ensure_topics(broker, name, retention=MONTH)


# ---------------------------------------------------------------- configuration


def configuration(version: int) -> Configuration:
    return Configuration(version, "test", {"syncs": {"s": {"between": {"b": "y", "a": "x"}}}}, frozenset({"s"}))


async def test_the_newest_configuration_is_the_current_one_and_who_waits_gets_it(broker: Broker, name: str) -> None:
    topics = await ensure_topics(broker, name, retention=MONTH)
    async with ConfigStore(broker, topics) as early:
        assert early.current is None
        waiting = asyncio.ensure_future(early.wait_for(2))
        seen = list[int]()

        async def follow() -> None:
            async for current in early.changes():
                seen.append(current.version)

        following = asyncio.ensure_future(follow())
        for version in (1, 2, 3):
            await publish(broker, topics, configuration(version))
        assert (await asyncio.wait_for(waiting, 10)).version >= 2
        assert await asyncio.wait_for(early.wait_for(3), 10) == configuration(3)
        await asyncio.wait_for(early.caught_up(), 10)
        async with ConfigStore(broker, topics) as late:
            assert late.current == configuration(3)
        await asyncio.sleep(0)
        following.cancel()
        assert seen == sorted(set(seen))
        assert seen[-1] == 3


def test_a_configuration_knows_its_accounts_objects_and_connections() -> None:
    found = configuration(1)
    assert (found.accounts, found.connections) == (("a", "b"), ("a~b",))
    assert found.objects("a", running=False) == ("x",)
    assert found.objects("a") == ()


async def test_orders_come_behind_the_configuration_and_their_schemas(broker: Broker, name: str) -> None:
    topics: Topics = await ensure_topics(broker, name, partitions=4, retention=MONTH)
    order = Order("o1", "apply", arguments={"version": "1"})
    await publish(broker, topics, configuration(1), [("a~b", order)])
    await send_orders(broker, topics, [("a~b", Clock())])
    inbox = await values(broker, topics.inbox, topics.partition_of("a~b"))
    assert [(key, schemas.decode(value or b"")) for key, value in inbox] == [(b"a~b", order), (b"a~b", Clock())]
    fingerprints = {schemas.fingerprint_in(value or b"") for _, value in inbox}
    assert {f"schema/{found}".encode() for found in fingerprints} <= {
        key for key, _ in await values(broker, topics.config)
    }


async def test_a_configuration_is_as_large_as_the_objects_of_its_accounts_are(broker: Broker, name: str) -> None:
    """A portal has hundreds of properties an object, and their options: more than what Kafka takes of its own accord."""
    topics = await ensure_topics(broker, name, retention=MONTH)
    fields = tuple(
        Field(f"property_{number}", FieldType(Kind.TEXT, "text"), description="x" * 1000) for number in range(2000)
    )
    catalog = Catalog({"x": Object("x", fields, key=("property_0",))})
    large = msgspec.structs.replace(configuration(1), catalogs={"a": catalog})
    document = msgspec.json.encode(large.catalogs).decode()
    assert len(document) > 2 << 20
    order = Order("o", "apply", arguments={"version": "1", "document": document})
    await publish(broker, topics, large, [("a~b", order)])
    async with ConfigStore(broker, topics) as store:
        assert store.current == large
    inbox = await values(broker, topics.inbox, topics.partition_of("a~b"))
    assert [schemas.decode(value or b"") for _, value in inbox] == [order]


async def test_an_entry_of_the_configuration_topic_that_is_none_is_told_and_changes_nothing(
    broker: Broker, name: str
) -> None:
    topics = await ensure_topics(broker, name, retention=MONTH)
    await publish(broker, topics, configuration(1))
    writer = await Writer(broker, name, 0, (topics.config,)).take_over()
    await writer.append(topics.config, [(b"installation", b"{"), (b"schema/00", b"[]"), (b"else", b"")])
    told = list[tuple[int, bytes | None, str]]()
    async with ConfigStore(broker, topics, lambda *entry: told.append(entry)) as store:
        assert store.current == configuration(1)
    assert [offset for offset, _, _ in told] == [1, 2, 3, 4]  # the marker is none either
    await writer.close()
