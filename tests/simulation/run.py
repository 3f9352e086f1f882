"""Plays histories: rounds of random steps, each followed by rest and the checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import rules.aftermath
import rules.initial
import rules.work
from tests.simulation.checks import check
from tests.simulation.history import History

ROUNDS, STEPS = 4, 150


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


def play(seed: int, rounds: int = ROUNDS, steps: int = STEPS) -> History:
    """One history. Raises AssertionError where something does not hold."""
    world = History(seed)
    with slices(world.rng.choice([1, 3, 400])):
        _play(world, seed, rounds, steps)
    return world


def _play(world: History, seed: int, rounds: int, steps: int) -> None:
    for account in world.accounts:
        world.lose_log(account)
    for _ in range(world.rng.randrange(12)):
        world.person()
    world.apply()
    try:
        for number in range(rounds):
            for _ in range(steps):
                world.step()
            world.calm()
            check(world)
            if number == rounds - 1:
                check_second_run(world)
                check_nothing_stuck(world)
    except Exception as error:
        error.add_note(f"seed {seed}, after {world.steps} steps:\n" + "\n".join(world.trace[-60:]))
        raise


def check_second_run(world: History) -> None:
    """A second run on agreeing data makes no write."""
    check_unchanged_by(world, "resync")


def check_nothing_stuck(world: History) -> None:
    """What could go on by itself has done so: to try everything again changes nothing.

    But for what the app's own unique rule refused: the record in the way may have made room just before the refusal was heard of.
    """
    if not any(app.unique for app in world.machines):
        check_unchanged_by(world, "retry")


def check_unchanged_by(world: History, action: str) -> None:
    """An order for all syncs, carried through, changes no record and no status."""
    written = world.written()
    before = {key: (row.status, row.category) for key, row in world.statuses.items()}
    for name in world.document["syncs"]:
        world.order(action, name)
    world.calm()
    check(world)
    after = {key: (row.status, row.category) for key, row in world.statuses.items()}
    changed = {
        key: (before.get(key), after.get(key)) for key in {**before, **after} if before.get(key) != after.get(key)
    }
    assert not changed, f"{action} changed {changed}"
    assert world.written() == written, f"{action} wrote"
