"""The mutants live with the rules: each still applies, and the page says what became of it. Whether they are caught is for `make mutants`."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.mutants.__main__ import PAGE, conclude
from tests.mutants.catalogue import ALL, LEAST, LEAST_OF_THOSE, NONE_LEFT
from tests.mutants.judging import ROOT, TESTS, Verdict
from tests.mutants.mutant import Mutant
from tests.mutants.page import listed, page
from tests.mutants.planting import DoesNotApplyError, planted

SOURCE = '''"""Arithmetic."""


def add(a: int, b: int) -> int:
    return a + b


class Sum:
    def of(self, a: int, b: int) -> int:
        return a + b
'''


def mutant(function: str, before: str, after: str) -> Mutant:
    return Mutant("it is wrong", 4, "sum.py", function, before, after, ("merge",))


def test_every_mutant_applies_to_the_rules_as_they_are_and_compiles() -> None:
    faults = []
    for one in ALL:
        try:
            planted(one, (ROOT / "rules" / one.file).read_text())
        except DoesNotApplyError as error:
            faults.append(f"{one.name}: {error}")
    assert not faults, "the rules have moved on: fit these to them, in tests/mutants\n" + "\n".join(faults)


def test_there_are_enough_of_every_section_and_each_has_a_name_of_its_own() -> None:
    sections = Counter(one.section for one in ALL)
    assert len(ALL) >= LEAST
    assert set(sections) >= set(range(1, 9))
    assert all(sections[section] >= LEAST_OF_THOSE for section in NONE_LEFT)
    assert len({one.name for one in ALL}) == len(ALL)
    assert len({(one.file, one.function, one.before, one.after) for one in ALL}) == len(ALL)


def test_the_tests_that_are_likely_to_notice_exist() -> None:
    assert {name for one in ALL for name in one.likely} <= set(TESTS)


def test_the_page_lists_every_mutant_and_a_reason_for_each_that_lives() -> None:
    text = PAGE.read_text()
    assert listed(text) == [(one.section, one.name) for one in ALL], "`make mutants` writes it"
    assert "a test is missing" not in text


def test_a_mutant_is_planted_in_the_named_function_alone() -> None:
    changed = planted(mutant("Sum.of", "a + b", "a - b"), SOURCE)
    assert changed == SOURCE[: SOURCE.rindex("a + b")] + "a - b\n"


@pytest.mark.parametrize(
    ("function", "before", "after", "why"),
    [
        ("subtract", "a + b", "a - b", "there is no subtract"),
        ("Sum.add", "a + b", "a - b", r"there is no Sum\.add"),
        ("add", "a * b", "a - b", "there is no 'a \\* b'"),
        ("<module>", "a + b", "a - b", "there are 2 of"),
        ("add", "a + b", "a +", "does not compile"),
        ("add", "a + b", "a  +  b", "changes nothing"),
    ],
)
def test_a_mutant_that_does_not_fit_is_refused(function: str, before: str, after: str, why: str) -> None:
    with pytest.raises(DoesNotApplyError, match=why):
        planted(mutant(function, before, after), SOURCE)


CAUGHT, ALIVE, BROKEN = Verdict("test_merge.py: test_that_it_is_right"), Verdict(), Verdict(broken="it does not apply")


@pytest.mark.parametrize(
    ("section", "others", "verdict", "status"),
    [
        (4, 19, CAUGHT, 0),
        (5, 19, ALIVE, 0),
        (5, 5, ALIVE, 1),
        (4, 19, ALIVE, 1),
        (6, 99, ALIVE, 1),
        (5, 99, BROKEN, 1),
    ],
)
def test_nine_in_ten_are_enough_but_for_sections_4_and_6_and_what_could_not_be_judged(
    section: int, others: int, verdict: Verdict, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    one = Mutant("this one", section, "merge.py", "merge", "", "", ())
    rest = [Mutant(f"another {number}", 2, "merge.py", "merge", "", "", ()) for number in range(others)]
    verdicts = {other.name: CAUGHT for other in rest} | {one.name: verdict}
    assert conclude([one, *rest], verdicts, 60.0) == status
    assert f"of {others + 1} caught" in capsys.readouterr().out


def test_the_page_says_by_what_each_was_caught() -> None:
    names = ("a test sees it", "the simulation sees it", "nobody sees it")
    mutants = [Mutant(name, 5, "merge.py", "merge", "", "", (), "it is slow only") for name in names]
    text = page(mutants, dict(zip(names, (CAUGHT.by, "seed 17", ""), strict=True)))
    assert "| a test sees it | `merge.py: merge` | `test_merge.py`: that it is right |" in text
    assert "| the simulation sees it | `merge.py: merge` | the simulation, seed 17 |" in text
    assert "| 5 | nobody sees it | `merge.py: merge` | it is slow only |" in text
    assert listed(text) == [(5, name) for name in names]
