"""Random histories against the pure rules: `python -m tests.simulation [--seconds 60 | --steps 1000000] [--seed 7]`.

Without a seed they begin with one drawn at random; each prints what it takes to see it again.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback

from tests.simulation.counts import Counts
from tests.simulation.run import play


def main() -> int:
    """Plays until the budget is spent, or something does not hold."""
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--steps", type=int, help="so many steps, however long they take")
    parser.add_argument("--seed", type=int, help="the first seed; the others follow it")
    arguments = parser.parse_args()
    first = random.SystemRandom().randrange(10**9) if arguments.seed is None else arguments.seed
    budget = f"{arguments.seconds:g} s" if arguments.steps is None else f"{arguments.steps} steps"
    print(f"simulate: from seed {first} for {budget}", flush=True)
    counts, began, seed, steps, decisions = Counts(), time.monotonic(), first, 0, 0
    while steps < arguments.steps if arguments.steps is not None else time.monotonic() - began < arguments.seconds:
        try:
            world = play(seed, counts)
        except Exception:  # noqa: BLE001 - whatever it is, the seed is what one needs to know
            traceback.print_exc()
            print(f"simulate: seed {seed} does not hold: make simulate SEED={seed} SECONDS=1")
            return 1
        steps, seed = steps + world.steps, seed + 1
        decisions += sum(connection.decisions for connection in world.connections.values())
    took = time.monotonic() - began
    print(
        f"simulate: {seed - first} histories from seed {first}, {steps} steps and {decisions} decisions in {took:.0f} s "
        f"({steps / took:.0f} steps/s); all hold"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
