"""One broker and one PostgreSQL for all end-to-end tests; databases, topics and home of each test are its own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from deploy.kafka import EmbeddedKafka
from deploy.postgres import EmbeddedPostgres
from tests.conftest import in_a_thread
from tests.end_to_end.engine import Engine, drop_slots
from tests.end_to_end.schemas import CRM, SHOP
from tests.end_to_end.stage import DDL, OBJECTS, SYNCS, Stage

Make = Callable[..., Engine]


@contextmanager
def engines_in(tmp_path: Path, broker: str | None, postgres: EmbeddedPostgres) -> Iterator[Make]:
    """Makes engines between a CRM and a shop (or other accounts with their own DDL); takes all of them away again."""
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
        engine = Engine(folder, broker, f"t{mark}", urls)
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
def engines(tmp_path: Path, kafka: EmbeddedKafka, postgres: EmbeddedPostgres) -> Iterator[Make]:
    """Makes engines between a CRM and a shop (or other accounts with their own DDL)."""
    with engines_in(tmp_path, kafka.url, postgres) as make:
        yield make


@pytest.fixture
def engine(engines: Make) -> Engine:
    """One engine between a CRM and a shop."""
    return engines()


@pytest.fixture(scope="package")
def stage(
    tmp_path_factory: pytest.TempPathFactory, kafka: EmbeddedKafka, postgres: EmbeddedPostgres
) -> Iterator[Stage]:
    """The engine that the scenarios share: five accounts, four of them around the CRM, and two workers."""
    with engines_in(tmp_path_factory.mktemp("stage"), kafka.url, postgres) as make:
        engine = make(DDL)
        engine.urls["west"] = engine.urls["south"]  # two accounts in one database
        stage = Stage(engine)
        engine.configure(SYNCS, OBJECTS)
        engine.up()
        engine.wait()
        yield stage
