"""The mutation check: `python -m tests.mutants [--only 6 | --only restore] [--jobs 2]`.

Prints a line a mutant; fails if one does not apply, if one of sections 4 and 6 survives, or if fewer than nine in ten are caught. Of a run of
all it writes `docs/explanation/mutants.md`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.catalogue import ALL, NONE_LEFT, SHARE
from tests.mutants.judging import ROOT, SIMULATED, UnfitError, Verdict, Workplace
from tests.mutants.mutant import Mutant
from tests.mutants.page import page

PAGE = ROOT / "docs" / "explanation" / "mutants.md"


def main(words: list[str] | None = None) -> int:
    """Judges the mutants that are asked for; 0 if enough are caught."""
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="a section, or a part of a mutant's name")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("--simulated", type=float, default=SIMULATED, help="seconds of simulation for one, at most")
    arguments = parser.parse_args(words)
    chosen = [one for one in ALL if not arguments.only or any(_is_meant(one, word) for word in arguments.only)]
    if not chosen:
        print("mutants: none is meant by that")
        return 2
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as home:
        places = [Workplace(Path(home) / str(number), arguments.simulated) for number in range(arguments.jobs)]
        try:
            print(f"mutants: {len(chosen)}; the tests hold without any of them: {places[0].prove_fit()}", flush=True)
        except UnfitError as error:
            print(f"mutants: {error}")
            return 2
        verdicts = dict(_judged(chosen, places))
        unsound = sorted({seed for place in places for seed in place.unsound})
    status = conclude(chosen, verdicts, time.monotonic() - began)
    if unsound:
        print(f"mutants: seeds of the simulation that do not hold, even without any mutant: {unsound}")
        status = 1
    if len(chosen) == len(ALL) and not any(verdict.broken for verdict in verdicts.values()):
        PAGE.write_text(page(ALL, {name: verdict.by for name, verdict in verdicts.items()}))
    return status


def _is_meant(mutant: Mutant, word: str) -> bool:
    return mutant.section == int(word) if word.isdigit() else word in mutant.name


def _judged(chosen: Sequence[Mutant], places: Sequence[Workplace]) -> Iterator[tuple[str, Verdict]]:
    """Each with what became of it, in their order."""
    free: SimpleQueue[Workplace] = SimpleQueue()
    for place in places:
        free.put(place)

    def judge(mutant: Mutant) -> Verdict:
        place = free.get()
        try:
            return place.judge(mutant)
        finally:
            free.put(place)

    with ThreadPoolExecutor(len(places)) as pool:
        tasks: list[tuple[Mutant, Future[Verdict]]] = [(one, pool.submit(judge, one)) for one in chosen]
        try:
            for mutant, task in tasks:
                verdict = task.result()
                print(_line(mutant, verdict), flush=True)
                yield mutant.name, verdict
        except BaseException:  # whoever interrupts does not wait for the rest
            pool.shutdown(wait=False, cancel_futures=True)
            for place in places:
                place.end()
            raise


def _line(mutant: Mutant, verdict: Verdict) -> str:
    head = f"{mutant.section}  {mutant.name}"
    if verdict.broken:
        return f"BROKEN    {head}\n          {verdict.broken}"
    if not verdict.by:
        return f"SURVIVED  {head} ({mutant.place}, {verdict.seconds:.0f} s)"
    return f"caught    {head}: {verdict.by} ({verdict.seconds:.0f} s)"


def conclude(chosen: Sequence[Mutant], verdicts: dict[str, Verdict], seconds: float) -> int:
    """The closing line; 0 if enough are caught."""
    broken = [one for one in chosen if verdicts[one.name].broken]
    alive = [one for one in chosen if not verdicts[one.name].by and not verdicts[one.name].broken]
    caught = len(chosen) - len(broken) - len(alive)
    never = [one for one in alive if one.section in NONE_LEFT]
    unexplained = [one for one in alive if not one.lives]
    faults = []
    if broken:
        faults.append(f"{len(broken)} could not be judged")
    if never:
        faults.append(f"{len(never)} of sections {' and '.join(map(str, NONE_LEFT))} survived")
    if caught < SHARE * len(chosen):
        faults.append(f"fewer than {SHARE:.0%} were caught")
    print(
        f"mutants: {caught} of {len(chosen)} caught ({caught / len(chosen):.1%}), {len(alive)} survived, {len(unexplained)} of them "
        f"without a reason, in {seconds / 60:.1f} min; " + ("; ".join(faults) or "enough")
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
