"""Plays histories: rounds of random actions, each followed by rest and the checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import rules.aftermath
import rules.initial
import rules.work
from tests.simulation.checks import FirstReads, check, check_decision
from tests.simulation.chooser import Seeded
from tests.simulation.counts import Counts
from tests.simulation.rebuilding import check_rebuilt
from tests.simulation.reference import Reference
from tests.simulation.seen import Seen
from tests.simulation.unseen import Unseen
from tests.simulation.watching import Watcher
from tests.simulation.world import Simulation

ROUNDS, STEPS = 4, 150
REBUILT = 3  # every so-manieth history loses its state in the end


@contextmanager
def slices(size: int) -> Iterator[None]:
    """Work in slices of so many: small ones, so that much happens between them."""
    modules = (rules.work, rules.initial, rules.aftermath)
    usual = rules.work.SLICE
    for module in modules:
        module.SLICE = size  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module in modules:
            module.SLICE = usual  # type: ignore[attr-defined]


class Referee:
    """Watches a world: judges every decision, and all there is at rest."""

    def __init__(self, world: Simulation) -> None:
        self.world = world
        self._reference, self._seen = Reference(world), Seen(world)
        world.judges += [FirstReads(), check_decision, Watcher(world)]
        Unseen(world)

    def rest(self) -> None:
        """Lets it come to rest, and checks all."""
        self.world.calm()
        check(self.world)
        self._reference.at_rest()
        self._seen.at_rest()
        self.world.edited.clear()


def play(seed: int, counts: Counts | None = None, rounds: int = ROUNDS, steps: int = STEPS) -> Simulation:
    """One history. Raises AssertionError where something does not hold."""
    chooser = Seeded(seed)
    world = Simulation(chooser, counts or Counts())
    referee = Referee(world)
    with slices(chooser.pick([400, 3, 1])):
        try:
            world.begin()
            for _ in range(rounds):
                for _ in range(steps):
                    world.step()
                referee.rest()
            check_second_run(world)
            check_nothing_stuck(world)
            if seed % REBUILT == 0:
                check_rebuilt(world)
        except Exception as error:
            error.add_note(f"seed {seed}, after {world.steps} steps:\n" + "\n".join(world.told()))
            raise
    return world


def check_second_run(world: Simulation) -> None:
    """A second run on agreeing data makes no write."""
    check_unchanged_by(world, "resync")


def check_nothing_stuck(world: Simulation) -> None:
    """What could go on by itself has done so: to try everything again changes nothing.

    But for what the app's own unique rule refused: the record in the way may have made room just before the refusal was heard of. And for robots: they
    go on where they were stopped.
    """
    if not world.setting.robots and not any(machine.unique for machine in world.machines):
        check_unchanged_by(world, "retry")


def check_unchanged_by(world: Simulation, action: str) -> None:
    """An order for all syncs, carried through, changes no record and no status."""
    written, before = world.written(), _standing(world)
    for name in world.document["syncs"]:
        world.order(action, name)
    world.calm()
    check(world)
    if world.confirmed:
        return  # an object that is empty by now stops a sync that reads it again; a person lets the deletions go on
    after = _standing(world)
    changed = {key: (before.get(key), after.get(key)) for key in before | after if before.get(key) != after.get(key)}
    assert not changed, f"{action} changed {changed}"
    assert world.written() == written or world.setting.robots, f"{action} wrote"


def _standing(world: Simulation) -> dict[tuple[str, str], tuple[str | None, str | None]]:
    return {
        key: (row.status, row.category)
        for connection in world.connections.values()
        for key, row in connection.statuses.items()
    }
