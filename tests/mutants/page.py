"""Writes down what caught each mutant: `docs/explanation/mutants.md`. Must not know how they are judged."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tests.mutants.mutant import Mutant

SECTIONS = {
    1: "Entry",
    2: "Matching",
    3: "Initial sync and full reads",
    4: "Values: merge and conflict",
    5: "Associations",
    6: "Deletion, restore, merge",
    7: "Off, on, delete, edit",
    8: "Status",
    9: "What is promised",
}
HEAD = """\
# The mutation check

Do the tests notice when the rules are wrong? `make mutants` plants faults in a copy of `rules/`, one at a time, and looks whether something fails: first
the tests of the rules (`tests/rules/`), then a simulation of at most 60 seconds from a fixed seed (`tests/simulation/`). Each fault is one of meaning,
picked by hand: a sentence that says what Tandem would do wrong, and the section of the semantics that it breaks. They are kept as data in
`tests/mutants/`; where the rules have moved on, so that one no longer fits, the run fails, and so does a test of `make test`.

`make mutants` asks that nine in ten are caught, and all of sections 4 and 6. `python -m tests.mutants --only 6` or `--only "restore"` judges some of them.
This page is written by the run.
"""


def page(mutants: Sequence[Mutant], caught: Mapping[str, str]) -> str:
    """The page. `caught`: of each mutant, by its name, what caught it; empty if nothing did."""
    alive = [one for one in mutants if not caught[one.name]]
    count = len(mutants) - len(alive)
    lines = [HEAD, f"{len(mutants)} mutants, {count} caught, {len(alive)} alive.", "", "## Alive", ""]
    if alive:
        lines += ["| section | what is wrong | where | why nothing notices |", "|---|---|---|---|"]
        lines += [
            f"| {one.section} | {one.name} | `{one.place}` | {one.lives or 'a test is missing'} |" for one in alive
        ]
    else:
        lines.append("None.")
    for section, title in SECTIONS.items():
        lines += ["", f"## Section {section}: {title}", "", "| what is wrong | where | caught by |", "|---|---|---|"]
        lines += [
            f"| {one.name} | `{one.place}` | {_said(caught[one.name])} |" for one in mutants if one.section == section
        ]
    return "\n".join(lines) + "\n"


def _said(by: str) -> str:
    if not by:
        return "nothing"
    test = re.fullmatch(r"(\S+): test_(\w+)", by)
    if test is not None:
        return f"`{test[1]}`: {test[2].replace('_', ' ')}"
    return "the simulation, " + by if by.startswith("seed ") else by


def listed(text: str) -> list[tuple[int, str]]:
    """Section and name of each mutant on a page, those alive apart."""
    found: list[tuple[int, str]] = []
    section = 0
    for line in text.splitlines():
        if heading := re.match(r"## Section (\d+)", line):
            section = int(heading[1])
        elif section and line.startswith("| ") and not line.startswith("| what is wrong"):
            found.append((section, line.split(" | ")[0].removeprefix("| ")))
    return found
