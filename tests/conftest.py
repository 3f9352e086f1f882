"""The real servers that tests share: one Kafka and one PostgreSQL a session, started when the first test asks for them.

A test that stops, kills or reconfigures a server starts its own.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest

from deploy.kafka import EmbeddedKafka
from deploy.postgres import EmbeddedPostgres

T = TypeVar("T")


def in_a_thread(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end beside the loops of the tests, which come and go while a server stays."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@pytest.fixture(scope="session")
def servers_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def kafka(servers_home: Path) -> Iterator[EmbeddedKafka]:
    """A running Kafka. Topics of a test need names of their own."""
    server = EmbeddedKafka(servers_home)
    in_a_thread(server.start())
    yield server
    in_a_thread(server.stop())


@pytest.fixture(scope="session")
def postgres(servers_home: Path) -> Iterator[EmbeddedPostgres]:
    """A running PostgreSQL 16."""
    server = EmbeddedPostgres(servers_home)
    in_a_thread(server.start())
    yield server
    in_a_thread(server.stop())
    server.discard()


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of an empty database, gone after the test with its sessions and replication slots."""
    name = f"test_{secrets.token_hex(6)}"
    yield in_a_thread(postgres.create_database(name))
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        slots = "SELECT slot_name, active_pid FROM pg_replication_slots WHERE database = %s"
        for slot, _ in connection.execute(slots, (name,)).fetchall():
            connection.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
