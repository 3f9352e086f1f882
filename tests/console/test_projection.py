"""The projection over a real Kafka: what the topics hold is what the read model holds, after any interruption."""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
import struct
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

import schemas
from console.readmodel.projection import Projection
from console.readmodel.reader import Reader, RecordFilter
from console.readmodel.tables import remove
from console.times import parse_span
from deploy.kafka import EmbeddedKafka
from rules.events import DeadLetter, HistoryRow, StatusRow, SyncRow, Tick
from schemas import History, Message
from streams.broker import Broker
from streams.config import send_letters
from streams.topics import CHANGE_BYTES, MARKER, MESSAGE_BYTES, Topics, ensure_topics, status_key
from tests.console.samples import CONFIGURATION, FAILING, NOW, PAIR, PENDING, SYNC

pytestmark = pytest.mark.e2e
PARTITION = 3


class Engine:
    """Sends what workers send."""

    def __init__(self, broker: Broker, topics: Topics, producer: AIOKafkaProducer) -> None:
        self.broker, self.topics, self.producer = broker, topics, producer

    async def send(self, topic: str, key: bytes, value: bytes | Message | None, partition: int = PARTITION) -> None:
        data = value if value is None or isinstance(value, bytes) else schemas.encode(value)
        await self.producer.send_and_wait(topic, data, key, partition=partition)

    async def status(self, *rows: StatusRow | SyncRow) -> None:
        for row in rows:
            key = status_key(row.sync, row.key if isinstance(row, StatusRow) else "")
            await self.send(self.topics.statuses, key, row)

    async def publish(self) -> None:
        for fingerprint, schema in schemas.published().items():
            await self.send(self.topics.config, b"schema/" + fingerprint.encode(), schema, 0)
        await self.send(self.topics.config, b"installation", json.dumps(CONFIGURATION).encode(), 0)


@pytest.fixture
async def engine(kafka: EmbeddedKafka) -> AsyncIterator[Engine]:
    broker = Broker((kafka.bootstrap,))
    topics = await ensure_topics(broker, f"t{secrets.token_hex(4)}", retention=timedelta(days=30))
    async with AIOKafkaProducer(**broker.client(), max_request_size=MESSAGE_BYTES) as producer:
        engine = Engine(broker, topics, producer)
        await engine.publish()
        yield engine


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "read-model.db"


def projection(engine: Engine, path: Path) -> Projection:
    return Projection(engine.broker, engine.topics.installation, path)


def keys(path: Path) -> list[str]:
    reader = Reader.open(path)
    assert reader is not None
    try:
        return sorted(row.key for row in reader.records(RecordFilter(), ["contacts"]))
    finally:
        reader.close()


def dump(path: Path) -> list[str]:
    """All that the file says of the topics; when it was current, and marks and offsets of `config`, are its own."""
    connection = sqlite3.connect(path)
    try:
        lines = [line for line in connection.iterdump() if line.startswith("INSERT")]
    finally:
        connection.close()
    own = ("INSERT INTO \"meta\" VALUES('as_of'", 'INSERT INTO "marks"')
    return sorted(line for line in lines if not line.startswith(own))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - another task makes it so
            await asyncio.sleep(0.02)


async def test_all_topics_come_in_and_a_deleted_file_is_filled_with_the_same(engine: Engine, path: Path) -> None:
    history = History("crm~shop", (HistoryRow("contacts", "l1", "linked", "page crm", NOW),))
    await engine.status(msgspec.structs.replace(PAIR, status="pending"), PAIR, FAILING, PENDING, SYNC)
    await engine.send(engine.topics.statuses, status_key("contacts", PENDING.key), None)
    await engine.send(engine.topics.history, b"crm~shop", history)
    await engine.send(engine.topics.dead_letters, b"crm", DeadLetter("d1", NOW, "crm", "unknown", "no such thing"))
    await projection(engine, path).catch_up()
    first = dump(path)
    assert keys(path) == ["l1", "l2"]
    assert len([line for line in first if "dead_letters" in line and "no such thing" in line]) == 1
    assert len([line for line in first if '"history"' in line]) == 1
    remove(path)
    await projection(engine, path).catch_up()
    assert dump(path) == first


async def test_a_dead_letter_that_was_discarded_stays_so_though_it_is_told_again(engine: Engine, path: Path) -> None:
    letter = DeadLetter("d1", NOW, "crm", "unknown", "no such thing")
    await send_letters(engine.broker, engine.topics, [letter])
    marked = msgspec.structs.replace(letter, discarded_at=NOW + 5, discarded_by="ann@desk")
    await send_letters(engine.broker, engine.topics, [marked, letter])
    await projection(engine, path).catch_up()
    await send_letters(engine.broker, engine.topics, [letter])  # a worker that was killed sends its outputs again
    await projection(engine, path).catch_up()
    reader = Reader.open(path)
    assert reader is not None
    assert list(reader.letters()) == []
    (row,) = reader.letters(discarded=True)
    assert (row.letter.discarded_by, row.letter.message) == ("ann@desk", "no such thing")
    reader.close()


@pytest.mark.parametrize(("retention", "kept"), [("1h", ["now"]), ("30d", ["now", "ten days ago"])])
async def test_history_and_dead_letters_are_kept_as_long_as_the_file_says(
    engine: Engine, path: Path, retention: str, kept: list[str]
) -> None:
    document = {**CONFIGURATION["document"], "retention": retention}
    await engine.send(
        engine.topics.config, b"installation", json.dumps({**CONFIGURATION, "document": document}).encode(), 0
    )
    topics = await ensure_topics(
        engine.broker, engine.topics.installation, retention=timedelta(seconds=parse_span(retention))
    )
    async with asyncio.timeout(20):  # brokers learn of it a moment later
        while await kept_for(engine.broker, [topics.history, topics.dead_letters]) != {parse_span(retention) * 1000}:
            pass
    now = time.time()
    decisions = tuple(
        HistoryRow("contacts", "l1", "linked", "page crm", at, (), note)
        for note, at in (("ten days ago", now - 864_000), ("now", now))
    )
    await engine.send(topics.history, b"crm~shop", History("crm~shop", decisions))
    await send_letters(
        engine.broker, topics, [DeadLetter(row.note, row.at, "crm", "unknown", "no") for row in decisions]
    )
    await projection(engine, path).catch_up()
    reader = Reader.open(path)
    assert reader is not None
    assert [row.note for row in reader.history("contacts")] == kept
    assert [row.letter.id for row in reader.letters()] == kept
    reader.close()


async def kept_for(broker: Broker, topics: list[str]) -> set[float]:
    """How long the broker keeps what is in the topics, in milliseconds."""
    admin = AIOKafkaAdminClient(**broker.client())
    await admin.start()
    try:
        asked = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
        found: set[float] = set()
        for answer in await admin.describe_configs(asked):
            for _, _, _, _, entries in answer.resources:
                found |= {float(entry[1]) for entry in entries if entry[0] == "retention.ms"}
        return found
    finally:
        await admin.close()


async def test_it_goes_on_where_it_was_and_says_when_it_was_current(engine: Engine, path: Path) -> None:
    await engine.status(PAIR)
    await projection(engine, path).catch_up()
    await engine.status(FAILING)
    before = time.time()
    await projection(engine, path).catch_up()
    assert keys(path) == ["l1", "l2"]
    reader = Reader.open(path)
    assert reader is not None
    assert float(reader.meta("as_of") or 0) >= before
    reader.close()


async def test_a_file_taken_away_while_it_runs_is_filled_anew(engine: Engine, path: Path) -> None:
    await engine.status(PAIR, FAILING)
    running = asyncio.create_task(projection(engine, path).run())
    try:
        await until(lambda: path.exists() and Reader.open(path) is not None and keys(path) == ["l1", "l2"])
        remove(path)
        await until(lambda: path.exists() and Reader.open(path) is not None and keys(path) == ["l1", "l2"])
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_topics_that_begin_anew_are_noticed(engine: Engine, path: Path) -> None:
    """Another installation's file, whose offsets are beyond what these topics hold."""
    await engine.status(PAIR, FAILING)
    await projection(engine, path).catch_up()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE offsets SET next = next + 1000 WHERE topic LIKE '%statuses' AND next > 0")
    connection.execute("DELETE FROM records")
    connection.commit()
    connection.close()
    await projection(engine, path).catch_up()
    assert keys(path) == ["l1", "l2"]


@pytest.mark.parametrize(
    "raw",
    [b"no message at all", b"\xc3\x01" + struct.pack("<Q", 12345) + b"unknown schema", b"large" * (CHANGE_BYTES // 5)],
    ids=["text", "schema", "large"],
)
async def test_what_cannot_be_decoded_goes_to_the_dead_letters_and_it_goes_on(
    engine: Engine, path: Path, raw: bytes
) -> None:
    await engine.send(engine.topics.statuses, b"contacts|l1", raw)
    await engine.send(engine.topics.statuses, b"contacts|l7", Tick("contacts", "of no place here"))
    await engine.status(FAILING)
    await projection(engine, path).catch_up()
    assert keys(path) == ["l2"]
    await projection(engine, path).catch_up()
    connection = sqlite3.connect(path)
    letters = connection.execute("SELECT id, row FROM dead_letters ORDER BY id").fetchall()
    connection.close()
    where = f"{engine.topics.statuses}/{PARTITION}"
    assert [letter for letter, _ in letters] == [f"{where}/0", f"{where}/1"]
    assert json.loads(letters[0][1])["offset"] == 0
    assert json.loads(letters[0][1])["topic"] == engine.topics.statuses


async def test_the_markers_of_partition_owners_are_no_rows(engine: Engine, path: Path) -> None:
    await engine.send(engine.topics.statuses, MARKER, b"7")
    await engine.send(engine.topics.history, MARKER, b"7")
    await engine.status(PAIR)
    await projection(engine, path).catch_up()
    assert keys(path) == ["l1"]
    assert not [line for line in dump(path) if "dead_letters" in line and "INSERT" in line]
