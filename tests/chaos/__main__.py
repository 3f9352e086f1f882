"""`make chaos`: kills and stops workers of a running pipeline, then counts. See `tests.streams.chaos`."""

from __future__ import annotations

import argparse
import time

from tests.streams.chaos import chaos


def main() -> int:
    """Runs and sums up in one line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 10_000)
    given = parser.parse_args()
    return chaos(given.minutes * 60, given.seed)


if __name__ == "__main__":
    raise SystemExit(main())
