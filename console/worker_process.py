"""The process of one worker: takes what its supervisor hands it through a pipe, and runs the streams.

Responsible for putting together the parts that `streams.worker` asks for: the rules, the connectors with their secrets,
metrics. Must not know who started it, nor restart anything.

Secrets stay out of arguments and of files of ours: the broker's login comes through the pipe, the accounts' are taken
from this process's environment and file when an account is opened.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from connectors.registry import find
from console.logs import log_to
from console.target import environment_of, installed_connectors
from rules.config import BrokerConfig, Installation, load_document
from rules.decide import decide, index_changes
from streams import metrics
from streams.broker import Broker
from streams.capture import capture_factory
from streams.config import ConfigStore
from streams.lanes import lanes_factory
from streams.owned import Parts
from streams.topics import Topics
from streams.worker import WorkerSettings, run_worker

log = logging.getLogger(__name__)


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

    def settings(self) -> WorkerSettings:
        """What the streams are started with."""
        return WorkerSettings(
            broker=Broker.of(BrokerConfig.model_validate(self.broker)),
            installation=self.installation,
            folder=Path(self.folder),
            retention=timedelta(seconds=self.retention_s),
        )


def broker_words(broker: BrokerConfig) -> dict[str, Any]:
    """The broker as `WorkerStart` carries it, its password in clear: for the pipe alone."""
    words = broker.model_dump(mode="python", exclude_none=True)
    if broker.sasl is not None:
        words["sasl"]["password"] = broker.sasl.password.get_secret_value()
    return words


def parts_of(file: Path) -> Parts:
    """The parts of a worker, whose accounts' secrets are looked for in the environment, .env and file of this process."""
    connectors = installed_connectors()

    def resolve(document: Mapping[str, Any]) -> Installation:
        text = file.read_text(encoding="utf-8") if file.exists() else None
        return load_document(document, environment_of(file), connectors, text=text, filename=str(file))

    return Parts(decide, index_changes, capture_factory(resolve, find), lanes_factory(resolve, find), metrics)


def main() -> None:
    """`python -m console.worker_process FD`: FD is the pipe that `WorkerStart` comes through, as JSON."""
    with os.fdopen(int(sys.argv[1]), "rb") as pipe:
        start = msgspec.json.decode(pipe.read(), type=WorkerStart)
    # Faust reads the command line, too.
    sys.argv[1:] = []
    log_to(Path(start.log_file), start.log_level)
    log.info("worker %s starts", start.number, extra={"action": "worker_started"})

    def parts(_: Topics, __: ConfigStore) -> Parts:
        return parts_of(Path(start.file))

    run_worker(start.settings(), parts)
    log.info("worker %s has ended", start.number, extra={"action": "worker_ended"})


if __name__ == "__main__":
    main()
