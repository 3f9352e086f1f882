"""Random histories against the pure rules: `python -m tests.simulation [--seconds 60] [--seed 7]`.

Without a seed they begin with one drawn at random; each prints what it takes to see it again.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback

from tests.simulation.run import play


def main() -> int:
    """Plays until the time is up, or something does not hold."""
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, help="the first seed; the others follow it")
    arguments = parser.parse_args()
    first = random.SystemRandom().randrange(10**9) if arguments.seed is None else arguments.seed
    print(f"simulate: from seed {first} for {arguments.seconds:g} s", flush=True)
    began, seed, steps, events = time.monotonic(), first, 0, 0
    while time.monotonic() - began < arguments.seconds:
        try:
            world = play(seed)
        except Exception:  # noqa: BLE001 - whatever it is, the seed is what one needs to know
            traceback.print_exc()
            print(f"simulate: seed {seed} does not hold: make simulate SEED={seed} SECONDS=1")
            return 1
        steps, events, seed = steps + world.steps, events + world.offset, seed + 1
    took = time.monotonic() - began
    print(
        f"simulate: {seed - first} histories from seed {first}, {steps} steps and {events} decisions in {took:.0f} s "
        f"({steps / took:.0f} steps/s); all hold"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
