"""The embedded Kafka: a real one, that starts again on its data."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from deploy.errors import InUseError, ServerEndedError, StartFailedError
from deploy.kafka import EmbeddedKafka
from deploy.ports import LOOPBACK
from tests.deploy.watching import gone

pytestmark = pytest.mark.e2e


async def create_topic(server: EmbeddedKafka, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=server.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=2, replication_factor=1)])
    finally:
        await admin.close()


async def write(server: EmbeddedKafka, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=server.bootstrap, acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(topic, value, partition=1)
    finally:
        await producer.stop()


async def read(server: EmbeddedKafka, topic: str, count: int) -> list[bytes]:
    """Through a group, so that the offsets topic and the coordinator are used as well."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=server.bootstrap, group_id=f"readers-of-{topic}", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def topics(server: EmbeddedKafka) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=server.bootstrap)
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()


async def test_a_message_goes_through_it(kafka: EmbeddedKafka) -> None:
    assert kafka.url == f"kafka://{kafka.bootstrap}"
    await create_topic(kafka, "deploy-through")
    await write(kafka, "deploy-through", b"hello")
    assert await read(kafka, "deploy-through", 1) == [b"hello"]


async def test_a_topic_that_nobody_declared_does_not_come_into_being(kafka: EmbeddedKafka) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, request_timeout_ms=500)
    await producer.start()
    with pytest.raises(KafkaError):
        await producer.send_and_wait("deploy-typing-error", b"hello")
    await producer.stop()
    assert "deploy-typing-error" not in await topics(kafka)


async def test_a_second_start_on_the_same_home_is_refused_while_the_first_runs(
    kafka: EmbeddedKafka, servers_home: Path
) -> None:
    with pytest.raises(InUseError, match="in use"):
        await EmbeddedKafka(servers_home).start()
    assert await topics(kafka) is not None


async def test_it_starts_again_on_its_data_after_a_stop_and_after_a_kill(tmp_path: Path) -> None:
    server = EmbeddedKafka(tmp_path)
    async with server:
        first_url, first_pid = server.url, server.pid
        await create_topic(server, "kept")
        await write(server, "kept", b"before the stop")
    assert gone([first_pid])

    async with server:
        assert server.url == first_url
        await write(server, "kept", b"before the kill")
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(ServerEndedError, match="status -9"):
            await server.watch()

    with socket.create_server((LOOPBACK, int(first_url.rpartition(":")[2]))):  # its port is another's meanwhile
        async with EmbeddedKafka(tmp_path) as again:
            assert again.url != first_url
            assert await read(again, "kept", 2) == [b"before the stop", b"before the kill"]


async def test_a_setting_that_is_wrong_is_named_before_anything_is_made(tmp_path: Path) -> None:
    server = EmbeddedKafka(tmp_path, settings={"num.io.threads": "many"})
    with pytest.raises(StartFailedError, match=r"num\.io\.threads") as failed:
        await server.start()
    assert str(tmp_path) in failed.value.remedy
    assert not (tmp_path / "kafka" / "data").exists()  # it failed before there were any


async def test_a_server_that_ends_at_once_says_why_and_leaves_nothing_running(tmp_path: Path) -> None:
    server = EmbeddedKafka(tmp_path, settings={"metric.reporters": "no.such.Reporter"})
    with pytest.raises(StartFailedError, match=r"no\.such\.Reporter"):
        await server.start()
    assert gone([server.pid])
    async with EmbeddedKafka(tmp_path) as mended:  # the claim was given back
        assert mended.is_running


async def test_an_address_is_not_given_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not started"):
        _ = EmbeddedKafka(tmp_path).url
