"""State that is lost entirely: what the accounts remember brings the pairs back; where they remember nothing, it shows."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from rules.events import Row
from tests.simulation.apps import Machine
from tests.simulation.counts import Counts
from tests.simulation.run import REBUILT, play

SEEDS = range(0, 20 * REBUILT, REBUILT)


def _play_all(counts: Counts) -> None:
    for seed in SEEDS:
        play(seed, counts)


def test_lost_state_is_rebuilt_without_a_duplicate_or_a_deletion() -> None:
    counts = Counts()
    _play_all(counts)
    assert counts.met["9: a pair is found again by the ledger alone"]
    assert counts.met["9: a pair is found again by identifier or ledger"]


def test_ledgers_that_do_not_tell_their_pairs_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    intact = Machine.page

    def forgetful(self: Machine, ids: Iterable[str]) -> tuple[Row, ...]:
        return tuple(replace(row, pairs=()) for row in intact(self, ids))

    monkeypatch.setattr(Machine, "page", forgetful)
    with pytest.raises(AssertionError, match=r"before the state was lost|again, by|copied back"):
        _play_all(Counts())
