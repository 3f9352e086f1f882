"""Orders and configurations over a real Kafka: safely stored when the command returns, and never two over each other."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

import schemas
from console.applied import Applied, AppliedStore
from console.applying import orders_of, switch
from console.orders import send_marks
from console.tapping import events
from deploy.kafka import EmbeddedKafka
from rules.events import Captured, Order, Row, SetMark
from rules.version import Version
from streams.broker import Broker
from streams.topics import MARKER, Topics, ensure_topics
from tests.console.test_applying import COMPANIES, CONTACTS, applied
from tests.console.test_cli import FILE, TANDEM, refused, tandem

pytestmark = pytest.mark.e2e


@pytest.fixture
def broker(kafka: EmbeddedKafka) -> Broker:
    return Broker((kafka.bootstrap,))


@pytest.fixture
async def topics(broker: Broker) -> Topics:
    return await ensure_topics(broker, f"t{secrets.token_hex(4)}", retention=timedelta(days=30))


@pytest.fixture
async def store(broker: Broker, topics: Topics) -> AsyncIterator[AppliedStore]:
    async with AppliedStore(broker, topics) as store:
        yield store


@pytest.fixture
def folder(tmp_path: Path, kafka: EmbeddedKafka, topics: Topics) -> Path:
    """Where commands are run against this broker."""
    text = FILE.format(crm="postgresql://a", shop="postgresql://b").replace(
        "name: acme", f"name: {topics.installation}"
    )
    (tmp_path / "sync.yaml").write_text(text + f"broker: {kafka.url}\n")
    return tmp_path


async def everything(broker: Broker, topic: str) -> list[tuple[int, bytes | None, bytes]]:
    """All messages of a topic: partition, key, value."""
    async with AIOKafkaConsumer(**broker.client(), enable_auto_commit=False, auto_offset_reset="earliest") as consumer:
        count = 1 if topic.endswith(".config") else 8
        tps = [TopicPartition(topic, number) for number in range(count)]
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        found: list[tuple[int, bytes | None, bytes]] = []
        while any([await consumer.position(tp) < ends[tp] for tp in tps]):
            for messages in (await consumer.getmany(timeout_ms=500)).values():
                found += [(one.partition, one.key, one.value) for one in messages]
        return found


async def orders_in(broker: Broker, topics: Topics) -> list[tuple[str, Order]]:
    """The orders in the inboxes, with their connection."""
    found = []
    for partition, key, value in await everything(broker, topics.inbox):
        order = schemas.decode(value)
        assert isinstance(order, Order)
        assert key is not None
        assert partition == topics.partition_of(key.decode())
        found.append((key.decode(), order))
    return found


def first(_: Applied | None) -> Applied:
    return applied(CONTACTS, COMPANIES)


async def test_a_configuration_is_stored_with_its_orders_and_found_again(
    broker: Broker, topics: Topics, store: AppliedStore
) -> None:
    assert store.current is None
    after = await store.replace(first, orders_of)
    assert [(name, order.action) for name, order in await orders_in(broker, topics)] == [("crm~shop", "apply")]
    async with AppliedStore(broker, topics) as other:
        assert other.current == after


async def test_what_is_the_same_is_not_written_again_but_told_again(
    broker: Broker, topics: Topics, store: AppliedStore
) -> None:
    await store.replace(first, orders_of)
    await store.replace(lambda before: before or applied(), orders_of)
    written = [key for _, key, _ in await everything(broker, topics.config) if key == b"installation"]
    assert len(written) == 1
    assert len(await orders_in(broker, topics)) == 2


async def test_of_two_who_change_it_at_once_neither_undoes_the_other(
    broker: Broker, topics: Topics, store: AppliedStore
) -> None:
    await store.replace(first, orders_of)

    async def off(sync: str) -> None:
        async with AppliedStore(broker, topics) as own:
            await own.replace(lambda before: switch(before, sync, on=False), orders_of)

    await asyncio.gather(off("contacts"), off("companies"))
    await store.refresh()
    assert store.current is not None
    assert store.current.off == {"contacts", "companies"}
    assert store.current.version == 3
    # Whatever comes last: a connection passes over versions that are older than the one it has.
    _, last = max(await orders_in(broker, topics), key=lambda sent: int(sent[1].arguments["version"]))
    assert (last.arguments["version"], sorted(json.loads(last.arguments["document"])["off"])) == (
        "3",
        ["companies", "contacts"],
    )


async def test_who_lost_and_never_came_back_is_written_over(
    broker: Broker, topics: Topics, store: AppliedStore
) -> None:
    """Workers take the last entry for the one in force, so what has lost must not stay the last."""
    await store.replace(first, orders_of)
    lost = switch(store.current, "companies", on=False)
    won = await store.replace(lambda before: switch(before, "contacts", on=False), orders_of)
    async with AIOKafkaProducer(**broker.client()) as producer:
        await producer.send_and_wait(topics.config, msgspec.json.encode(lost), b"installation", partition=0)
    async with AppliedStore(broker, topics) as other:
        assert other.current == won
        after = await other.replace(lambda before: before or won, orders_of)
        assert (after.version, after.off) == (3, frozenset({"contacts"}))
        _, order = (await orders_in(broker, topics))[-1]
        assert order.arguments["version"] == "3"


async def test_an_entry_that_is_none_is_passed_over(broker: Broker, topics: Topics, store: AppliedStore) -> None:
    await store.replace(first, orders_of)
    async with AIOKafkaProducer(**broker.client()) as producer:
        await producer.send_and_wait(topics.config, b"{nonsense", b"installation", partition=0)
    async with AppliedStore(broker, topics) as other:
        assert other.current is not None
        assert other.current.version == 1


async def test_off_and_on_are_stored_when_they_return(
    folder: Path, broker: Broker, topics: Topics, store: AppliedStore
) -> None:
    await store.replace(first, orders_of)
    began = time.monotonic()
    done = await asyncio.to_thread(tandem, folder, "off", "contacts", "--json")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 10
    assert json.loads(done.stdout) == {"sync": "contacts", "state": "off", "changed": True}
    await store.refresh()
    assert store.current is not None
    assert store.current.off == {"contacts"}
    _, order = (await orders_in(broker, topics))[-1]
    assert json.loads(order.arguments["document"])["off"] == ["contacts"]
    assert "contacts was off already" in (await asyncio.to_thread(tandem, folder, "off", "contacts")).stdout
    assert "contacts is on" in (await asyncio.to_thread(tandem, folder, "on", "contacts")).stdout
    said = await asyncio.to_thread(tandem, folder, "on", "contatcs")
    assert "Did you mean contacts?" in refused(said, 2)


async def test_an_installation_that_the_broker_does_not_know_is_told(folder: Path) -> None:
    text = (folder / "sync.yaml").read_text()
    (folder / "sync.yaml").write_text(text.replace("name: t", "name: another-t"))
    said = refused(await asyncio.to_thread(tandem, folder, "off", "contacts"), 1)
    assert "holds nothing of an installation another-t" in said


async def test_status_of_a_cluster_is_read_from_it_where_nothing_runs_here(
    folder: Path, broker: Broker, topics: Topics, store: AppliedStore
) -> None:
    await store.replace(first, orders_of)
    done = await asyncio.to_thread(tandem, folder, "status", "--json")
    assert [sync["sync"] for sync in json.loads(done.stdout)["syncs"]] == ["contacts", "companies"]
    await asyncio.to_thread(tandem, folder, "off", "companies")
    done = await asyncio.to_thread(tandem, folder, "status", "companies", "--json")
    assert json.loads(done.stdout)["syncs"][0]["state"] == "off"


async def test_marks_go_to_the_accounts(broker: Broker, topics: Topics) -> None:
    await send_marks(broker, topics, "m1", ["crm", "shop"])
    found = {
        (partition, key): schemas.decode(value) for partition, key, value in await everything(broker, topics.commands)
    }
    assert found == {(topics.partition_of(name), name.encode()): SetMark(name, "m1") for name in ("crm", "shop")}


# ---------------------------------------------------------------- tap


async def tapped(
    broker: Broker, topics: Topics, *names: str, start: str | int | float = "beginning"
) -> list[dict[str, object]]:
    return [event async for event in events(broker, topics, names, start, follow=False)]


async def test_tap_decodes_what_can_be_and_shows_what_cannot(broker: Broker, topics: Topics) -> None:
    captured = Captured("crm", "contacts", (Row("17", {"mail": "a@x", "data": None}, Version(5)),))
    async with AIOKafkaProducer(**broker.client()) as producer:
        for key, value in (
            (b"crm", schemas.encode_change(captured, config=3, to="crm~shop")),
            (b"crm", b"no message"),
            (MARKER, b"7"),
            (b"crm", None),
        ):
            await producer.send_and_wait(topics.changes, value, key, partition=2)
    one, bad, marker, tombstone = await tapped(broker, topics, "changes")
    assert (one["topic"], one["partition"], one["offset"], one["key"], one["type"]) == (
        "changes",
        2,
        0,
        "crm",
        "captured",
    )
    event, head = one["event"], one["head"]
    assert isinstance(event, dict)
    assert isinstance(head, dict)
    assert event["rows"][0]["id"] == "17"
    assert event["rows"][0]["values"] == {"mail": "a@x", "data": None}
    assert (head["config"], head["to"]) == (3, "crm~shop")
    assert (bad["type"], bad["raw"]) == ("undecodable", "bm8gbWVzc2FnZQ==")
    assert (marker["type"], tombstone["type"]) == ("marker", "tombstone")
    assert json.dumps([one, bad, marker, tombstone])


async def test_tap_begins_where_it_is_told(broker: Broker, topics: Topics) -> None:
    async with AIOKafkaProducer(**broker.client()) as producer:
        for number in range(4):
            at = 1_700_000_000_000 + number * 1000
            order = schemas.encode(SetMark("crm", f"m{number}"))
            await producer.send_and_wait(topics.commands, order, b"crm", partition=1, timestamp_ms=at)

    async def marks(start: str | int | float) -> list[str]:
        return [event["event"]["mark"] for event in await tapped(broker, topics, "commands", start=start)]  # type: ignore[index]

    assert await marks("beginning") == ["m0", "m1", "m2", "m3"]
    assert await marks(2) == ["m2", "m3"]
    assert await marks(1_700_000_002.5) == ["m3"]
    assert await marks(1_700_000_100.0) == []
    assert await marks("end") == []


async def test_tap_follows_until_it_is_interrupted(folder: Path, broker: Broker, topics: Topics) -> None:
    process = subprocess.Popen(  # noqa: ASYNC220 - read in a thread
        [TANDEM, "tap", "--topic", "config"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    reading = asyncio.create_task(asyncio.to_thread(process.stdout.readline))
    async with AIOKafkaProducer(**broker.client()) as producer:
        while not reading.done():  # it prints what comes after it has begun
            await producer.send_and_wait(
                topics.config, msgspec.json.encode(applied(CONTACTS)), b"installation", partition=0
            )
            await asyncio.wait({reading}, timeout=0.2)
    event = json.loads(await reading)
    assert (event["type"], event["event"]["version"]) == ("configuration", 1)
    process.send_signal(signal.SIGINT)
    _, said = await asyncio.to_thread(process.communicate, timeout=20)
    assert (process.returncode, said) == (0, b"")
