"""The contract suite itself: every case of it fails for a twin with its fault planted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connectors.memory import PolledConnector, forget_app
from connectors.postgres import PostgresConnector, slots
from tests.connectors.bench import Bench
from tests.connectors.contract import CASES, cases_for
from tests.connectors.faults import FAULTS
from tests.connectors.memory_bench import PolledBench
from tests.connectors.postgres_bench import PostgresBench

ADDED = "an_object_that_is_added_misses_no_transaction_that_was_open"


def test_every_case_has_a_fault_that_it_notices() -> None:
    assert {ADDED, *(case for case, _ in FAULTS.values())} == CASES.keys()


WITH_A_LOG = [fault for fault, (case, _) in FAULTS.items() if case in cases_for(PostgresBench)]
WITHOUT = [fault for fault in FAULTS if fault not in WITH_A_LOG]


@pytest.mark.parametrize("fault", WITH_A_LOG)
async def test_the_case_fails_for_a_connector_that(fault: str, new_database: Callable[[int], str]) -> None:
    case, plant = FAULTS[fault]
    bench = PostgresBench(new_database(16), plant(PostgresConnector))
    await bench.make()
    await fails(case, bench)


@pytest.mark.parametrize("fault", WITHOUT)
async def test_the_case_fails_for_a_connector_without_a_log_that(fault: str) -> None:
    case, plant = FAULTS[fault]
    try:
        await fails(case, PolledBench("faults", plant(PolledConnector)))
    finally:
        forget_app("faults")


async def fails(case: str, bench: Bench) -> None:
    """An assertion of the case, and nothing else: a twin that breaks in another way would prove nothing."""
    bench.patience = 2.0
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await CASES[case].run(bench)


async def test_the_case_fails_for_a_connector_that_does_not_wait_for_open_transactions(
    new_database: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(*_: object) -> None:
        """Not waiting for anybody."""

    monkeypatch.setattr(slots, "wait_for_writers", at_once)
    bench = PostgresBench(new_database(16))
    await bench.make()
    with pytest.raises(AssertionError):
        await CASES[ADDED].run(bench)
