"""A worker with the counting twins, as a process: `python -m tests.streams.worker BROKER INSTALLATION FOLDER`. For
tests alone.

TANDEM_TWIN names a guard that is taken out (`tests.streams.guards`), so that a test can show what the guard is for.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

from rules.config import BrokerConfig
from streams.broker import Broker
from streams.owned import Parts
from streams.worker import WorkerSettings, run_worker
from tests.streams import counting, guards

PARTITIONS = 4


def main() -> None:
    """Runs until SIGTERM."""
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(message)s")
    broker, installation, folder = sys.argv[1:]
    guards.plant()
    settings = WorkerSettings(
        Broker.of(BrokerConfig.model_validate(json.loads(broker))),
        installation,
        Path(folder),
        partitions=PARTITIONS,
        session=float(os.environ.get("SESSION", "2")),
        metrics_port=None,
        renew=float(os.environ.get("RENEW", "3600")),
    )
    run_worker(
        settings,
        lambda topics, config: Parts(
            counting.decide, counting.index_changes, counting.Capture, counting.lanes, counting.Metrics()
        ),
    )


if __name__ == "__main__":
    main()
