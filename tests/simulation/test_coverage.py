"""A run says what it has met, and one that is long enough fails where it has not met something."""

from __future__ import annotations

import pytest

from tests.simulation import coverage
from tests.simulation.__main__ import main, met
from tests.simulation.counts import Counts


def _all_but(name: str) -> Counts:
    counts = Counts()
    for one in coverage.names():
        counts.meet(one, 0 if one == name else 3)
    return counts


@pytest.mark.parametrize("name", [coverage.names()[0], "crash: reconcile, changelog written, disk not", "4: loop"])
def test_a_line_that_a_long_run_never_met_makes_it_fail(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert not met(_all_but(name), coverage.ENOUGH)
    assert f"never met: {name}" in capsys.readouterr().out


def test_a_run_that_met_all_is_good() -> None:
    assert met(_all_but(""), coverage.ENOUGH)


def test_a_short_run_only_says_what_it_has_not_met(capsys: pytest.CaptureFixture[str]) -> None:
    assert met(_all_but("4: loop"), coverage.ENOUGH - 1)
    assert "not yet met" in capsys.readouterr().out


def test_every_name_is_declared_once() -> None:
    assert len(coverage.names()) == len(set(coverage.names()))


def test_the_program_fails_for_a_zero_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--steps", "500", "--seed", "1"]) == 0
    monkeypatch.setattr(coverage, "ENOUGH", 500)
    assert main(["--steps", "500", "--seed", "1"]) == 1
    assert "all hold" in capsys.readouterr().out
