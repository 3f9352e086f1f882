"""Engines for the tests of commands: on the shared Kafka and PostgreSQL, one for all tests of a module."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import psycopg
import pytest

from deploy.kafka import EmbeddedKafka
from deploy.postgres import EmbeddedPostgres
from tests.conftest import in_a_thread
from tests.end_to_end.engine import Engine, drop_slots

Make = Callable[[dict[str, str]], Engine]


@pytest.fixture(scope="module")
def engine_of(
    tmp_path_factory: pytest.TempPathFactory, kafka: EmbeddedKafka, postgres: EmbeddedPostgres
) -> Iterator[Make]:
    """Makes engines between accounts with the DDL given for each."""
    made: list[Engine] = []
    names: list[str] = []

    def make(ddl: dict[str, str]) -> Engine:
        mark = secrets.token_hex(4)
        urls: dict[str, str] = {}
        for account, statements in ddl.items():
            names.append(f"{account}_{mark}")
            urls[account] = in_a_thread(postgres.create_database(names[-1]))
            with psycopg.connect(urls[account], autocommit=True) as connection:
                connection.execute(statements)
        made.append(Engine(tmp_path_factory.mktemp(mark), kafka.url, f"t{mark}", urls))
        return made[-1]

    yield make
    for engine in made:
        engine.close()
    for name in names:
        drop_slots(postgres.url(), name)
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
