"""One broker and one PostgreSQL for all end-to-end tests; databases, topics and home of each test are its own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from deploy.kafka import EmbeddedKafka
from deploy.postgres import EmbeddedPostgres
from tests.conftest import in_a_thread
from tests.end_to_end.engine import Engine, drop_slots
from tests.end_to_end.schemas import CRM, SHOP

Make = Callable[..., Engine]


@pytest.fixture
def engines(tmp_path: Path, kafka: EmbeddedKafka, postgres: EmbeddedPostgres) -> Iterator[Make]:
    """Makes engines between a CRM and a shop (or other accounts with their own DDL)."""
    made: list[Engine] = []
    names: list[str] = []

    def make(ddl: dict[str, str] | None = None) -> Engine:
        mark = secrets.token_hex(4)
        urls: dict[str, str] = {}
        for account, statements in (ddl or {"crm": CRM, "shop": SHOP}).items():
            name = f"{account}_{mark}"
            names.append(name)
            urls[account] = in_a_thread(postgres.create_database(name))
            with psycopg.connect(urls[account], autocommit=True) as connection:
                connection.execute(statements)
        folder = tmp_path / mark
        folder.mkdir()
        engine = Engine(folder, kafka.url, f"t{mark}", urls)
        made.append(engine)
        return engine

    yield make
    for engine in made:
        engine.close()
    for name in names:
        drop_slots(postgres.url(), name)
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def engine(engines: Make) -> Engine:
    """One engine between a CRM and a shop."""
    return engines()
