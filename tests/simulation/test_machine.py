"""Hypothesis drives the machine: a fixed budget finds nothing; where a rule is broken on purpose it finds that, and shrinks it to a few steps."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from msgspec.structs import replace

import rules.links
from tests.simulation.machine import PlainMachine, WorldMachine

FIXED = settings(
    max_examples=60,
    stateful_step_count=50,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    print_blob=False,
    phases=(Phase.generate, Phase.shrink),
)


def test_no_sequence_of_drawn_actions_breaks_a_promise() -> None:
    run_state_machine_as_test(WorldMachine, settings=FIXED)


def test_a_broken_rule_is_found_and_shrunk_to_a_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Updates no longer carry what they expect to replace."""
    intact = rules.links._update
    monkeypatch.setattr(rules.links, "_update", lambda side, writes: replace(intact(side, writes), expect={}))
    with pytest.raises(AssertionError, match=r"expect=\{\}"):
        run_state_machine_as_test(PlainMachine, settings=settings(FIXED, max_examples=200, stateful_step_count=20))
    assert len(PlainMachine.taken) <= 6, PlainMachine.taken
