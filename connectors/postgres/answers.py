"""Answers to writes while a batch is under way, and the results that they become. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import psycopg

from connectors.base import Outcome, Record, Result, Write
from connectors.postgres.refusal import refusal
from rules.catalog import Value
from rules.version import Version

RETRY_AFTER = 0.2  # seconds


class Answer(msgspec.Struct, eq=False):
    """An answer that still lacks its version: `values` were read under our lock, `record` is an image of its own."""

    outcome: Outcome
    id: str | None = None
    values: dict[str, Value] | None = None
    record: Record | None = None
    category: str | None = None
    field: str | None = None
    message: str | None = None
    other: str | None = None
    entered: bool = False  # to be entered in the ledger


def result(write: Write, answer: Answer, version: Version | None) -> Result:
    """The result, once it is known at which version the locked rows stood."""
    record = answer.record
    if answer.values is not None and version is not None and answer.id is not None:
        record = Record(answer.id, answer.values, version)
    return Result(
        write.token,
        answer.outcome,
        answer.id,
        record,
        answer.category,
        answer.field,
        answer.message,
        answer.other,
        RETRY_AFTER if answer.outcome is Outcome.RETRY else 0.0,
    )


def absent(write: Write, message: str) -> Result:
    """The result where there is no table to write to."""
    return Result(write.token, Outcome.REJECTED, write.id, category="schema", message=message)


def refused(writes: Sequence[tuple[int, Write]], error: psycopg.Error) -> dict[int, Result]:
    """The results where the batch as a whole was refused: nothing of it was written."""
    what = refusal(error)
    wait = RETRY_AFTER if what.outcome is Outcome.RETRY else 0.0
    return {
        place: Result(
            write.token, what.outcome, write.id, None, what.category, what.column, what.message, retry_after=wait
        )
        for place, write in writes
    }
