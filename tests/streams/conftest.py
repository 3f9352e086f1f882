"""Pipelines for the tests of the streams: each with topics and folders of its own, on the Kafka that all tests
share."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.kafka import EmbeddedKafka
from streams.broker import Broker
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
