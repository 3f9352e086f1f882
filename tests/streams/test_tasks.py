"""Tasks that live and end together, and what an account's errors mean for us."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import ConnectorError, CursorExpiredError, FatalError, RetriableError
from streams.tasks import acknowledged, closing, for_ever, together
from streams.troubles import Backoff, Pacing, trouble_of
from tests.streams.twins import ended, within


async def fails(error: Exception) -> None:
    raise error


async def ends() -> None:
    return


async def fails_when_ended(error: Exception) -> None:
    try:
        await for_ever()
    finally:
        raise error


async def test_the_first_to_end_ends_the_others() -> None:
    ended_too = asyncio.Event()

    async def other() -> None:
        try:
            await for_ever()
        finally:
            ended_too.set()

    await within(5, together(ends(), other()))
    assert ended_too.is_set()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_went_wrong_is_raised() -> None:
    with pytest.raises(RetriableError):
        await together(fails(RetriableError("down")), for_ever())


async def test_a_fault_of_ours_counts_before_the_trouble_of_an_account() -> None:
    with pytest.raises(ZeroDivisionError):
        await together(fails(RetriableError("down")), fails_when_ended(ZeroDivisionError()))


async def test_trouble_met_while_ending_does_not_count() -> None:
    await together(ends(), fails_when_ended(RetriableError("down")))


async def test_cancelling_the_whole_ends_the_parts() -> None:
    whole = asyncio.create_task(together(for_ever(), for_ever()))
    await asyncio.sleep(0)
    await within(5, ended(whole))
    assert whole.cancelled()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_waiting_for_an_acknowledgement_does_not_cancel_it() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(acknowledged(future))
    await asyncio.sleep(0)
    await within(5, ended(waiting))
    assert not future.done()
    future.set_result(7)
    assert await acknowledged(future) == 7


async def test_a_generator_is_ended_when_its_reader_leaves_it() -> None:
    left = False

    async def numbers() -> AsyncIterator[int]:
        nonlocal left
        try:
            yield 1
            yield 2
        finally:
            left = True

    async with closing(numbers()) as items:
        assert await anext(items) == 1
    assert left


@given(st.lists(st.floats(0, 1), max_size=40), st.floats(0, 5))
def test_a_wait_is_between_half_and_the_whole_of_a_delay_that_doubles_up_to_a_bound(
    jitter: list[float], asked: float
) -> None:
    values = iter([*jitter, 0.0, 0.0])
    backoff = Backoff(Pacing(0.5, 60.0), lambda: next(values))
    for failures, _ in enumerate(jitter):
        delay = min(60.0, 0.5 * 2.0**failures)
        assert delay / 2 <= backoff.next() <= delay
    assert backoff.next(asked) >= asked
    backoff.reset()
    assert backoff.next() == 0.25


@pytest.mark.parametrize(
    ("error", "category", "reason", "throttled"),
    [
        (FatalError("no right", "GRANT"), "permission", "permission: no right (GRANT)", False),
        (RetriableError("down"), "unavailable", "down", False),
        (RetriableError("slow down", throttled=True), "rate_limited", "slow down", True),
        (CursorExpiredError("lost"), "unavailable", "lost", False),
    ],
)
def test_an_error_says_why_the_account_cannot_be_worked_with(
    error: ConnectorError, category: str, reason: str, throttled: bool
) -> None:
    trouble = trouble_of(error)
    assert (trouble.category, trouble.reason, trouble.throttled) == (category, reason, throttled)
