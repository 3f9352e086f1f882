"""What a refused row means: from a SQLSTATE and its diagnostics to an outcome and a category. Pure.

Source: "PostgreSQL Error Codes" of the documentation; semantics, section 8, for the categories.
"""

from __future__ import annotations

import msgspec
import psycopg

from connectors.base import Outcome

_CATEGORIES = {
    "23505": "duplicate",  # unique_violation
    "23P01": "duplicate",  # exclusion_violation
    "23502": "missing_required",  # not_null_violation
    "23514": "invalid_value",  # check_violation
    "23503": "association",  # foreign_key_violation
    "23001": "association",  # restrict_violation
    "42501": "permission",
    "42703": "schema",  # undefined_column
    "42P01": "schema",  # undefined_table
    "42804": "schema",  # datatype_mismatch
    "42704": "schema",  # undefined_object (a type)
    "428C9": "schema",  # generated_always
    "44000": "permission",  # with_check_option_violation
}
# Not done and nothing written, and the same may succeed a moment later.
_RETRY = frozenset(
    {
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "55P03",  # lock_not_available (lock_timeout)
        "57014",  # query_canceled (statement_timeout)
        "53200",  # out_of_memory
        "53100",  # disk_full
    }
)
# The connection is gone, or about to be: says nothing about the row.
_CONNECTION = ("08", "57P", "25006", "25P03")  # … or it leads to a standby, or was idle for too long


# The table is not what it was when it was discovered (the last: a prepared statement whose result has other types).
_STALE = ("42703", "42P01", "42704", "42804", "42846", "42883", "0A000")


def is_stale(error: psycopg.Error) -> bool:
    """Whether the table must be looked at anew. An error inside of a function is a trigger's own, not ours."""
    return error.sqlstate in _STALE and not error.diag.context


class Refusal(msgspec.Struct, frozen=True):
    """How a row was refused."""

    outcome: Outcome
    category: str | None
    message: str
    detail: str | None = None
    column: str | None = None
    constraint: str | None = None
    sqlstate: str = ""
    schema: str | None = None
    table: str | None = None


def is_connection(error: psycopg.Error) -> bool:
    """Whether the error is the connection's, not the statement's."""
    return error.sqlstate is None or error.sqlstate.startswith(_CONNECTION)


def concerns_all(error: psycopg.Error) -> bool:
    """Whether the same would happen to every row, so that dividing the batch is of no use."""
    state = error.sqlstate or ""
    if state.startswith("42"):
        return not error.diag.context  # inside of a function it is a trigger's, and of this row perhaps
    return state in ("40001", "40P01", "53200", "53100")


def refusal(error: psycopg.Error) -> Refusal:
    """What the error of a single row means."""
    state = error.sqlstate or ""
    diagnostics = error.diag
    message = diagnostics.message_primary or str(error).strip()
    detail = diagnostics.message_detail
    if state not in ("23505", "23503", "23001", "23P01"):
        detail = None  # of a check or a missing value it quotes the whole row, with columns that we may not read
    if state in _RETRY:
        return Refusal(Outcome.RETRY, None, message, sqlstate=state)
    category = _CATEGORIES.get(state) or ("invalid_value" if state[:2] in ("22", "54") else "unknown")
    return Refusal(
        Outcome.REJECTED,
        category,
        message,
        detail,
        diagnostics.column_name,
        diagnostics.constraint_name,
        state,
        diagnostics.schema_name,
        diagnostics.table_name,
    )
