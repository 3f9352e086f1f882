"""The PostgreSQL connector passes the contract suite."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.connectors.conftest import versions_in_full
from tests.connectors.contract import CASES, cases_for
from tests.connectors.postgres_bench import PostgresBench

# What differs between versions: the publication's columns, messages, generated columns, the log's layout.
QUICK = (
    "every_type_goes_there_and_back_by_every_way",
    "excluded_fields_are_never_read",
    "inserts_updates_and_deletions_come_by_in_order",
    "a_create_returns_the_record_as_stored_and_comes_by_with_its_token",
    "a_lost_log_is_an_expired_cursor_never_a_gap",
    "a_truncation_is_told_as_such_and_in_its_place",
    "a_mark_comes_by_behind_all_that_was_committed_and_only_to_its_installation",
    "three_of_a_hundred_refused_leave_the_others_written",
)
FULL = versions_in_full()
RUNS = [(version, name) for version in FULL for name in cases_for(PostgresBench)]
RUNS += [(18, name) for name in QUICK if 18 not in FULL]


@pytest.mark.parametrize(("version", "name"), RUNS)
async def test_the_connector_keeps_the_contract(version: int, name: str, new_database: Callable[[int], str]) -> None:
    bench = PostgresBench(new_database(version))
    await bench.make()
    await CASES[name].run(bench)
