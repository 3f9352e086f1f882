"""The contract of a connector, as cases that run against a `Bench`. Connector-neutral; a failure is an AssertionError.

    @pytest.mark.parametrize("name", cases_for(MyBench))
    async def test_it_keeps_the_contract(name): await CASES[name].run(MyBench(...))

`CASES` holds them all by name; `cases_for` leaves out those that need what the app does not offer, and those about what
is missing where nothing is (`Bench.offers`). Each is shown to fail by a twin with its fault planted (`faults.py`).
"""

from __future__ import annotations

from tests.connectors import cases_again, cases_log, cases_pairs, cases_reading, cases_writing
from tests.connectors.bench import Bench
from tests.connectors.contract_tools import (
    CASES,
    Log,
    all_pages,
    applied,
    changes_of,
    create,
    exactly,
    following,
    one,
    only,
    opened,
    update,
    write,
)

__all__ = [
    "CASES",
    "Log",
    "all_pages",
    "applied",
    "cases_again",
    "cases_for",
    "cases_log",
    "cases_pairs",
    "cases_reading",
    "cases_writing",
    "changes_of",
    "create",
    "exactly",
    "following",
    "one",
    "only",
    "opened",
    "update",
    "write",
]


def cases_for(bench: type[Bench]) -> list[str]:
    """The names of the cases that a connector has to pass."""
    return sorted(name for name, entry in CASES.items() if entry.fits(bench.offers()))
