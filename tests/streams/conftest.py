"""Pipelines for the tests of the streams: each with topics and folders of its own, on the Kafka that all tests
share."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rocksdict import Rdict

from deploy.kafka import EmbeddedKafka
from streams.broker import Broker
from streams.disk import options
from tests.streams.partition import Backing
from tests.streams.pipeline import Pipeline


@pytest.fixture
def pipeline(kafka: EmbeddedKafka, tmp_path: Path) -> Callable[..., Pipeline]:
    """`async with pipeline(): ...`; the accounts may be named."""

    def new(*accounts: str) -> Pipeline:
        name = f"s{secrets.token_hex(4)}"
        return Pipeline(kafka.bootstrap, name, tmp_path / name, accounts or ("a", "b"))

    return new


@pytest.fixture
def broker(kafka: EmbeddedKafka) -> Broker:
    """The shared Kafka."""
    return Broker((kafka.bootstrap,))


@pytest.fixture
def backing(tmp_path: Path) -> Iterator[Backing]:
    """The state and the producers of a partition, without Kafka."""
    database = Rdict(str(tmp_path / "state"), options=options())
    yield Backing(database)
    database.close()
