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

from connectors.registry import find
from console.handover import WorkerStart
from console.logs import log_to
from console.target import environment_of, installed_connectors
from rules.config import Installation, load_document
from rules.decide import decide, index_changes
from streams import metrics
from streams.capture import capture_factory
from streams.config import ConfigStore
from streams.lanes import lanes_factory
from streams.owned import Parts
from streams.topics import Topics
from streams.worker import WorkerSettings, run_worker

log = logging.getLogger(__name__)


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
        start = WorkerStart.decode(pipe.read())
    # Faust reads the command line, too.
    sys.argv[1:] = []
    log_to(Path(start.log_file), start.log_level)
    log.info("worker %s starts", start.number, extra={"action": "worker_started"})

    def parts(_: Topics, __: ConfigStore) -> Parts:
        return parts_of(Path(start.file))

    settings = WorkerSettings(
        broker=start.reach(),
        installation=start.installation,
        folder=Path(start.folder),
        retention=timedelta(seconds=start.retention_s),
    )
    run_worker(settings, parts)
    log.info("worker %s has ended", start.number, extra={"action": "worker_ended"})


if __name__ == "__main__":
    main()
