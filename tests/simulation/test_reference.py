"""The reference model says what the page says, line by line of the tables of section 4; and where a rule is broken it says so."""

from __future__ import annotations

from typing import Any

import pytest

import rules.entry
import rules.matching
import rules.merge
from rules.catalog import Value
from rules.matching import Found
from tests.simulation.counts import Counts
from tests.simulation.reference import shares
from tests.simulation.reference_values import AGREES, Outcome, SideOfField, Write, predict
from tests.simulation.run import play

NAME = {"crm": "name", "shop": "full_name"}
GRADE = {"crm": "grade", "shop": "rank", "values": {"low": "1", "high": "2"}}


def side(before: Value, *writes: Write, writable: bool = True, **more: Any) -> SideOfField:
    """One side, which held `before` when all was at rest."""
    return SideOfField(before, writes, writable, **more)


def person(at: int, value: Value) -> Write:
    """Somebody writes."""
    return Write(at, value, own=False)


def sync(at: int, value: Value) -> Write:
    """The sync writes."""
    return Write(at, value, own=True)


def foretell(left: SideOfField, right: SideOfField, *, keeps: bool = True, entry: dict[str, Any] = NAME) -> Any:
    """What must be, side 0 being the default side."""
    outcome = predict(entry, (left, right), 0, keeps_empty=keeps)
    return None if outcome is None else outcome.allowed


def test_changed_on_one_side_is_written_to_the_other() -> None:
    assert foretell(side("a", person(1, "b")), side("a")) == (("b", AGREES),)
    assert foretell(side("a"), side("a", person(1, "b"))) == ((AGREES, "b"),)


def test_changed_on_both_and_equal_stays() -> None:
    assert foretell(side("a", person(1, "b")), side("a", person(2, "b"))) == (("b", "b"),)


def test_of_edits_that_did_not_know_of_each_other_the_default_side_wins() -> None:
    assert foretell(side("a", person(1, "b")), side("a", person(2, "c"))) == (("b", AGREES),)


def test_an_edit_made_when_the_other_had_been_stored_there_is_the_later_one() -> None:
    right = side("a", sync(2, "b"), person(3, "c"))
    assert foretell(side("a", person(1, "b")), right) == ((AGREES, "c"),)


def test_a_cleared_value_clears_nothing_unless_the_sync_propagates_it() -> None:
    assert foretell(side("a", person(1, None)), side("a")) == ((None, "a"),)
    assert foretell(side("a", person(1, None)), side("a"), keeps=False) == ((None, AGREES),)
    assert foretell(side("a", person(1, None)), side("a", nullable=False), keeps=False) == ((None, "a"),)


def test_in_a_conflict_an_empty_default_side_is_filled() -> None:
    assert foretell(side("a", person(1, None)), side("a", person(2, "c")), keeps=False) == ((AGREES, "c"),)


def test_one_way_a_changed_source_is_written_over_an_edit_of_the_target() -> None:
    source = side("a", person(2, "b"), writable=False)
    assert foretell(source, side("a", person(1, "c"), sync(3, "b"))) == (("b", AGREES),)
    assert foretell(source, side("a", sync(3, "b"), person(4, "c"))) == (("b", "c"),)
    assert foretell(side("a", writable=False), side("a", person(1, "c"))) == (("a", "c"),)


def test_what_cannot_be_converted_fails_that_field() -> None:
    outcome = predict(GRADE, (side("low", person(1, "odd")), side("1")), 0, keeps_empty=True)
    assert outcome == Outcome((("odd", "1"),), fails=True)


def test_what_timing_decides_that_nobody_can_see_is_left_open() -> None:
    assert foretell(side("a", person(1, "b"), person(2, "a")), side("a", person(3, "c"))) is None


def test_a_rule_that_is_broken_on_purpose_is_noticed_by_the_model_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `empty: keep` a cleared value clears the other side: both sides agree then, and no invariant is hurt."""
    monkeypatch.setattr(rules.merge, "_says_nothing", lambda mapping, source, pair: False)
    with pytest.raises(AssertionError, match="they must hold one of"):
        _play_all(60)


def test_the_model_leaves_little_open() -> None:
    """Of ordinary histories; it would pass over whatever it leaves open."""
    counts = Counts()
    for seed in range(3000, 3060):
        play(seed, counts)
    open_share = shares(counts)
    assert open_share["records left open"] < 0.25
    assert open_share["records left open"] + open_share["records of which one of two outcomes was foretold"] < 0.40
    assert open_share["fields left open"] < 0.05


def test_an_empty_place_that_nobody_takes_is_noticed_though_much_has_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    """No invariant is hurt: the record that answers to one whose counterpart was deleted says that it is a duplicate."""
    intact = rules.matching.best_candidate

    def not_orphaned(*arguments: Any, **named: Any) -> Any:
        found = intact(*arguments, **named)
        return None if found is not None and found.found is Found.ORPHANED else found

    monkeypatch.setattr(rules.entry, "best_candidate", not_orphaned)
    with pytest.raises(AssertionError, match="must be one of"):
        _play_all(20)


def _play_all(count: int) -> None:
    for seed in range(count):
        play(seed)
