"""Work in slices (section 9): what a log that tells an event twice makes of it."""

from __future__ import annotations

import pytest

import rules.work
from rules.events import Tick
from tests.rules.world import people


def test_a_tick_that_comes_twice_is_dropped_so_that_there_is_one_chain_of_ticks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rules.work, "SLICE", 1)
    world = people()
    for number in range(5):
        world.left.create(email=f"{number}@x.io", name="Ann")
    world.start()
    before = world.written()
    world.order("retry")
    repeated = 0
    while world.inbox or world.deliver():
        event = world.inbox.popleft()
        went_on = world.decide(event)
        if isinstance(event, Tick):
            again = world.think_of(event)
            assert (again.state, again.ticks, again.orders) == ({}, [], [])
            repeated += bool(went_on.ticks)
    assert repeated >= 5, "the work went on from tick to tick"
    assert world.written() == before
