"""Who watches that no unseen edit is overwritten sees it where an app, or a connector, only pretends to compare and set."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from rules.events import Command
from tests.simulation.apps import Machine
from tests.simulation.counts import Counts
from tests.simulation.deeds import Values
from tests.simulation.run import play


def test_an_app_that_sets_without_comparing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def blindly(self: Machine, command: Command, held: Values | None) -> Command:
        return replace(command, expect={one: (held or {}).get(one) for one in command.expect})

    monkeypatch.setattr(Machine, "_after_reading", blindly)
    with pytest.raises(AssertionError, match="which nobody had told"):
        _play_all(30)


def test_an_edit_is_lost_only_in_the_window_that_is_declared() -> None:
    counts = Counts()
    for seed in range(3100, 3130):
        play(seed, counts)
    assert counts.met["4: an edit that was told is overwritten"]
    assert (
        counts.met["4: an edit between reading and writing is lost"]
        <= counts.met["fate: an edit between reading and writing"]
    )


def _play_all(count: int) -> None:
    for seed in range(count):
        play(seed)
