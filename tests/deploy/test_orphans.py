"""Kafka and PostgreSQL end with the process that started them, and start again on what they held."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.kafka import EmbeddedKafka
from deploy.postgres import EmbeddedPostgres
from tests.deploy.watching import DEADLINE, gone

pytestmark = pytest.mark.e2e

PARENT = Path(__file__).with_name("parent_of_servers.py")


class Family:
    """The parent, its servers, and every process that came of them."""

    def __init__(self, home: Path) -> None:
        self.parent = subprocess.Popen(
            [sys.executable, str(PARENT), str(home)], stdout=subprocess.PIPE, start_new_session=True
        )
        assert self.parent.stdout is not None
        told = json.loads(self.parent.stdout.readline())
        self.kafka: str = told["kafka"]
        self.postgres: str = told["postgres"]
        self.pids = [process.pid for process in psutil.Process(self.parent.pid).children(recursive=True)]
        assert set(told["pids"]) < set(self.pids)

    def close(self) -> None:
        if self.parent.poll() is None:
            self.parent.kill()
            self.parent.wait()
        assert gone(self.pids)
        assert self.parent.stdout is not None
        self.parent.stdout.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    EmbeddedPostgres(tmp_path).discard()


@pytest.fixture
def family(home: Path) -> Iterator[Family]:
    started = Family(home)
    yield started
    started.close()


async def fill(family: Family) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=family.kafka)
    await admin.start()
    await admin.create_topics([NewTopic("kept", num_partitions=1, replication_factor=1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=family.kafka, acks="all")
    await producer.start()
    await producer.send_and_wait("kept", b"acknowledged")
    await producer.stop()
    with psycopg.connect(family.postgres) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'committed' AS value")


async def read(kafka: str) -> bytes | None:
    consumer = AIOKafkaConsumer("kept", bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        value: bytes | None = (await consumer.getone()).value
    finally:
        await consumer.stop()
    return value


async def test_kill_9_of_the_parent_leaves_nothing_and_the_next_start_finds_everything(
    family: Family, home: Path
) -> None:
    await fill(family)
    os.kill(family.parent.pid, signal.SIGKILL)
    # At once, while the old servers are still closing: the new start waits for them.
    async with EmbeddedKafka(home) as kafka, EmbeddedPostgres(home) as postgres:
        assert gone(family.pids)
        assert kafka.bootstrap == family.kafka
        assert await read(kafka.bootstrap) == b"acknowledged"
        with psycopg.connect(postgres.url()) as connection:
            assert connection.execute("SELECT value FROM kept").fetchall() == [("committed",)]


async def test_ctrl_c_in_the_terminal_stops_both_in_order(family: Family, home: Path) -> None:
    await fill(family)
    os.killpg(family.parent.pid, signal.SIGINT)
    assert family.parent.wait(DEADLINE) == 0
    assert gone(family.pids)
    assert family.parent.stdout is not None
    assert family.parent.stdout.read() == b"stopped\n"
    # In order means that neither had to recover.
    assert "database system is shut down" in (home / "postgres-16" / "server.log").read_text()
    assert (home / "kafka" / "data" / ".kafka_cleanshutdown").exists()
