"""What a supervisor hands to a worker's process.

Responsible for the shape of it on both ends of the pipe. Must not import what a worker runs: the supervisor stays
small.
"""

from __future__ import annotations

from typing import Any

import msgspec

from rules.config import BrokerConfig
from streams.broker import Broker


class WorkerStart(msgspec.Struct, frozen=True):
    """What a supervisor hands to a worker. `broker`: as in sync.yaml, resolved. `file`: where written-out secrets are found."""

    number: int
    installation: str
    broker: dict[str, Any]
    folder: str
    file: str
    log_file: str
    log_level: str
    retention_s: float

    @classmethod
    def decode(cls, data: bytes) -> WorkerStart:
        """What came through the pipe."""
        return msgspec.json.decode(data, type=cls)

    def reach(self) -> Broker:
        """How the worker reaches Kafka."""
        return Broker.of(BrokerConfig.model_validate(self.broker))


def broker_words(broker: BrokerConfig) -> dict[str, Any]:
    """The broker as `WorkerStart` carries it, its password in clear: for the pipe alone."""
    words = broker.model_dump(mode="python", exclude_none=True)
    if broker.sasl is not None:
        words["sasl"]["password"] = broker.sasl.password.get_secret_value()
    return words
