"""Random histories against the pure rules: `python -m tests.simulation [--seconds 60 | --steps 1000000] [--seed 7]`.

Without a seed they begin with one drawn at random; each prints what it takes to see it again. In the end it prints how often each event, each line of
the semantics and each point at which something may crash was met. A run of `coverage.ENOUGH` steps or more fails if one was not.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback

from tests.simulation import coverage
from tests.simulation.counts import Counts
from tests.simulation.reference import shares
from tests.simulation.run import play


def main(words: list[str] | None = None) -> int:
    """Plays until the budget is spent, or something does not hold; 0 if all held and all was met."""
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--steps", type=int, help="so many steps, however long they take")
    parser.add_argument("--seed", type=int, help="the first seed; the others follow it")
    parser.add_argument("--go-on", action="store_true", help="count the histories that do not hold, and go on")
    arguments = parser.parse_args(words)
    first = random.SystemRandom().randrange(10**9) if arguments.seed is None else arguments.seed
    budget = f"{arguments.seconds:g} s" if arguments.steps is None else f"{arguments.steps} steps"
    print(f"simulate: from seed {first} for {budget}", flush=True)
    counts, began, busy = Counts(), time.monotonic(), time.process_time()
    seed, steps, decisions = first, 0, 0
    failed: list[int] = []
    while steps < arguments.steps if arguments.steps is not None else time.monotonic() - began < arguments.seconds:
        try:
            world = play(seed, counts)
        except Exception:  # noqa: BLE001 - whatever it is, the seed is what one needs to know
            traceback.print_exc()
            print(f"simulate: seed {seed} does not hold: make simulate SEED={seed} SECONDS=1", flush=True)
            failed.append(seed)
            if not arguments.go_on:
                break
        else:
            steps += world.steps
            decisions += sum(connection.decisions for connection in world.connections.values())
        seed += 1
    took, busy = time.monotonic() - began, time.process_time() - busy
    print(coverage.table(counts))
    print(
        f"simulate: {seed - first} histories from seed {first}, {steps} steps and {decisions} decisions in {took:.0f} s "
        f"({steps / took:.0f} steps/s; {steps / busy:.0f} per second of processor time); "
        + (f"{len(failed)} do not hold: {failed}" if failed else "all hold")
    )
    told = ", ".join(f"{name}: {share:.1%}" for name, share in shares(counts).items())
    print(f"simulate: the reference model: {told}")
    complete = met(counts, steps)
    return 0 if complete and not failed else 1


def met(counts: Counts, steps: int) -> bool:
    """Whether all that must be met was met, as far as the run was long enough to say so."""
    missing = coverage.missing(counts)
    if not missing:
        print(f"simulate: all of {len(coverage.names())} lines were met")
        return True
    enough = steps >= coverage.ENOUGH
    words = "never met" if enough else f"not yet met (a run of {coverage.ENOUGH} steps must meet them)"
    print(f"simulate: {len(missing)} of {len(coverage.names())} lines {words}: " + "; ".join(missing))
    return not enough


if __name__ == "__main__":
    sys.exit(main())
