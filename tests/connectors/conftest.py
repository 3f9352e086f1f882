"""Fixtures of the connectors' tests: an empty database with the suite's objects, on the versions asked for.

Version 16 always runs in full, 18 in part; `TANDEM_POSTGRES=14,15,17` (or `all`) runs the whole suite on those.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from deploy.postgres import EmbeddedPostgres
from tests.conftest import in_a_thread


def versions_in_full() -> list[int]:
    """The versions on which everything runs."""
    asked = os.environ.get("TANDEM_POSTGRES", "16")
    return [14, 15, 16, 17, 18] if asked == "all" else sorted(int(part) for part in asked.split(","))


@pytest.fixture(scope="session")
def servers(servers_home: Path) -> Iterator[Callable[[int], EmbeddedPostgres]]:
    """Servers by version, started when first asked for."""
    running: dict[int, EmbeddedPostgres] = {}

    def server(version: int) -> EmbeddedPostgres:
        if version not in running:
            started = EmbeddedPostgres(servers_home / "connectors", version=version)
            in_a_thread(started.start())
            running[version] = started
        return running[version]

    yield server
    for started in running.values():
        in_a_thread(started.stop())
        started.discard()


@pytest.fixture
def new_database(servers: Callable[[int], EmbeddedPostgres]) -> Iterator[Callable[[int], str]]:
    """Makes empty databases; gone after the test with their sessions and slots."""
    made: list[tuple[EmbeddedPostgres, str]] = []

    def make(version: int) -> str:
        server = servers(version)
        name = f"contract_{secrets.token_hex(6)}"
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        made.append((server, name))
        return server.url(name)

    yield make
    for server, name in made:
        remove(server, name)


def remove(server: EmbeddedPostgres, name: str) -> None:
    """Drops a database with all that hangs on it."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,))
        slots = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s"
        connection.execute(slots, (name,))
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
