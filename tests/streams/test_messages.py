"""What becomes of messages that cannot be read, that must wait, that are large, or that are gone; on a real Kafka,
with a worker of the twins."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from rules.events import Captured, Clock, Commands, DeadLetter, Order, Row
from rules.version import Version
from schemas import encode, encode_change, fingerprint_in, published
from schemas.registry import MAGIC, fingerprint_of
from streams.errors import OversizedError
from streams.topics import UNIT_BYTES
from tests.streams.pipeline import Pipeline
from tests.streams.verdict import decoded

Pipelines = Callable[..., Pipeline]


def bad(pipeline: Pipeline) -> dict[tuple[str, str], list[bytes]]:
    """Bytes that are no message, by topic and key: random, cut short, with something behind, of nobody's schema, of
    another topic."""
    topics = pipeline.topics
    change = encode_change(Captured("a", "contacts", (Row("1", {"seq": 0}, Version(1)),)), config=1)
    nobodys = MAGIC + b"nobodys!" + b"\0" * 10
    of_another_account = next(
        name for name in map(str, range(99)) if topics.partition_of(name) != topics.partition_of("a")
    )
    return {
        (topics.changes, "a"): [
            b"",
            b"\xff" * 20,
            nobodys,
            change[:14],
            encode(Clock()),
            encode_change(Captured(of_another_account, "contacts", ()), config=1),
        ],
        (topics.inbox, "a~a2"): [
            b"",
            b"\xff" * 20,
            nobodys,
            change[:-1],
            change + b"\0",
            encode(Commands("", "a2", "c", ())),
        ],
        (topics.commands, "a2"): [
            b"",
            b"\xff" * 20,
            nobodys,
            encode(Clock()),
            encode(Commands("a~a2", "a2", "c", ()))[:-2],
        ],
        (topics.config, ""): [b"\xff" * 20],
        (topics.config, "installation"): [b"{}"],
        (topics.config, "schema/0011223344556677"): [b"[]"],
    }


async def test_bytes_that_are_no_message_become_dead_letters_and_the_pipeline_goes_on(pipeline: Pipelines) -> None:
    async with pipeline("a") as running:
        running.start("x")
        places = set[tuple[str, int, int]]()
        for (topic, key), messages in bad(running).items():
            for data in messages:
                offset = await running.put(topic, key, data)
                places.add((topic, 0 if topic == running.topics.config else running.topics.partition_of(key), offset))
            await running.edit("a", "1")
        await running.settled()

        async def letters() -> list[DeadLetter]:
            return [letter for letter in await running.letters() if letter.category == "undecodable"]

        await running.eventually(lambda found: len(found) >= len(places), letters)
        found = await letters()
        assert {(letter.topic, letter.partition, letter.offset) for letter in found} == places
        assert len(found) == len(places)
        assert all(letter.message and letter.raw is not None for letter in found)
        assert (await running.verdict()).clean
        # What the messages may have said is read again: those of `changes` and of the inbox.
        state = await running.state()
        assert running.state_key("a", "resync") in state


async def test_a_message_of_a_schema_that_has_just_come_waits_for_it(pipeline: Pipelines) -> None:
    async with pipeline("a") as running:
        running.start("x")
        await running.edit("a", "1")
        await running.settled()
        # A newer version's Clock, with a field more.
        schema = json.dumps({"type": "record", "name": "tandem.Clock", "fields": [{"name": "zone", "type": "string"}]})
        canonical = '{"name":"tandem.Clock","type":"record","fields":[{"name":"zone","type":"string"}]}'
        fingerprint = fingerprint_of(canonical)
        await running.put(running.topics.config, f"schema/{fingerprint.hex()}", schema.encode())
        await running.put(running.topics.inbox, "a~a2", MAGIC + fingerprint + b"\x04UT")
        await running.edit("a", "1")
        await running.settled()
        assert await running.letters() == []


async def test_our_schemas_are_published_before_their_first_use(pipeline: Pipelines) -> None:
    async with pipeline("a") as running:
        running.start("x")
        await running.edit("a", "1")
        await running.settled()
        keys = {message.key for message in await running.everything(running.topics.config)}
        assert {f"schema/{fingerprint}".encode() for fingerprint in published()} < keys
        used = {
            fingerprint_in(message.value)
            for topic in (
                running.topics.inbox,
                running.topics.commands,
                running.topics.statuses,
                running.topics.history,
            )
            for message in await running.everything(topic)
        }
        assert used < set(published())


async def test_a_change_of_a_newer_configuration_waits_for_it_and_the_other_partitions_go_on(
    pipeline: Pipelines,
) -> None:
    async with pipeline(*"abcd") as running:
        running.start("x")
        other = next(
            account for account in "bcd" if running.topics.partition_of(account) != running.topics.partition_of("a")
        )
        await running.edit("a", "1", config=2)
        await running.edit(other, "1")
        await running.until_settled(other, "1")
        assert running.state_key("a", "1") not in await running.state()
        await running.configure(2)
        await running.settled()


async def test_what_exceeds_a_record_batch_is_carried_out_in_several_units(pipeline: Pipelines) -> None:
    async with pipeline("a") as running:
        size = 3 << 20
        for record in range(7):
            await running.edit("a", f"{record}", values={"blob": "x" * size})
        assert 7 * size > UNIT_BYTES // 2
        running.start("x")
        await running.settled()
        assert (await running.verdict()).clean
        blobs = [value for (_, key), value in (await running.state()).items() if b"\0b" in key]
        assert [len(blob) for blob in blobs] == [size] * 7


async def test_one_decision_that_exceeds_a_record_batch_ends_the_worker_and_says_so(pipeline: Pipelines) -> None:
    async with pipeline("a") as running:
        await running.order("a", Order("o1", "overflow"))
        running.start("x")
        assert await running.ended("x") == 70
        assert OversizedError.__name__ in running.log("x")


async def test_inputs_that_are_gone_are_read_in_full_again(pipeline: Pipelines) -> None:
    async with pipeline("a") as running:
        running.start("x")
        await running.edit("a", "1")
        await running.settled()
        await running.stop("x")
        topics = running.topics
        for topic, name in ((topics.changes, "a"), (topics.inbox, "a~a2"), (topics.commands, "a2")):
            end = await running.put(topic, name, b"never read") + 1
            await running.put(topic, name, b"never read")
            admin = AIOKafkaAdminClient(**running.broker.client())
            await admin.start()
            try:
                await admin.delete_records({TopicPartition(topic, topics.partition_of(name)): RecordsToDelete(end + 1)})
            finally:
                await admin.close()
        running.start("x")
        await running.edit("a", "1")
        await running.settled()
        assert await running.letters() == []
        orders = [
            event
            for message in await running.everything(topics.inbox)
            if isinstance(event := decoded(message.value), Order)
        ]
        assert [(order.action, order.sync) for order in orders] == [
            ("resync", "a")
        ] * 2  # for changes, and for the inbox
        assert len({order.id for order in orders}) == 2


async def test_the_housekeeper_deletes_what_is_both_old_and_consumed(pipeline: Pipelines) -> None:
    async with pipeline("a") as running:
        tp = TopicPartition(running.topics.changes, running.topics.partition_of("a"))
        for record in range(5):
            await running.edit("a", f"{record}")
        housekeeper, now = running.housekeeper({tp: 2}), time.time()
        kept_by_age = await housekeeper(timedelta(hours=1), now)
        assert kept_by_age == {}
        assert await housekeeper(timedelta(hours=1), now + 7200) == {tp: 3}  # 3 and 4 are not consumed
        assert await running.begins(tp) == 3
