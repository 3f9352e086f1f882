"""Messages of every kind, with whatever their fields can hold."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from rules import events as e
from rules.version import Snapshot, Version
from schemas import History, Message, Noted

LONG = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(max_size=8)
SECONDS = st.floats(0, 4e9)
SCALAR = st.none() | st.booleans() | LONG | TEXT
VALUE: st.SearchStrategy[Any] = SCALAR | st.lists(
    st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=2), max_leaves=4), max_size=3
)
VALUES = st.dictionaries(TEXT, VALUE, max_size=4)
NAMES = st.none() | TEXT
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
PAIR = st.tuples(TEXT, TEXT, TEXT, TEXT)
VERSION = st.builds(
    Version,
    LONG,
    st.none() | LONG,
    st.none() | st.builds(Snapshot, LONG, LONG, st.lists(LONG, max_size=2).map(tuple)),
    st.integers(0, 99),
)
COUNTS = st.dictionaries(TEXT, st.integers(0, 2**40), max_size=3)


def rows(kind: type, *fields: Any, **named: Any) -> Any:
    """Some structs of a kind."""
    return st.lists(st.builds(kind, *fields, **named), max_size=4).map(tuple)


ROWS = rows(e.Row, TEXT, VALUES, VERSION, TEXT, NAMES, NAMES, NAMES, SECONDS, st.lists(PAIR, max_size=2).map(tuple))
IDENTIFIERS = st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=2).map(tuple)
COMMANDS = rows(e.Command, TEXT, TEXT, LONG, TEXT, TEXT, NAMES, VALUES, VALUES, IDENTIFIERS, st.none() | PAIR, SECONDS)
ANSWERS = rows(
    e.Answer, TEXT, TEXT, LONG, TEXT, NAMES, st.none() | VALUES, st.none() | VERSION, NAMES, NAMES, NAMES, NAMES
)
CHANGES = rows(e.FieldChange, TEXT, TEXT, VALUE, VALUE, TEXT, VALUE, TEXT, TEXT)
SIDES = st.dictionaries(TEXT, st.builds(e.Side, TEXT, VALUES, st.dictionaries(TEXT, TEXT, max_size=2)), max_size=2)

CHANGE_EVENTS: st.SearchStrategy[Any] = st.one_of(
    st.builds(e.Captured, TEXT, TEXT, ROWS, NAMES),
    st.builds(e.ReadDone, TEXT, TEXT, TEXT),
    st.builds(e.LogStarted, TEXT),
    st.builds(e.Truncated, TEXT, TEXT),
    st.builds(e.FieldsChanged, TEXT, TEXT, st.none() | st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple)),
    st.builds(e.Marked, TEXT, TEXT),
    st.builds(e.AccountState, TEXT, st.booleans(), TEXT, st.booleans()),
    st.builds(
        Noted,
        TEXT,
        st.dictionaries(TEXT, NAMES, max_size=3).map(lambda found: tuple(found.items())),
        NAMES,
        st.booleans(),
    ),
)
WRITTEN_BY_HAND: st.SearchStrategy[Message] = st.one_of(
    st.builds(e.Captured, TEXT, TEXT, ROWS, NAMES),
    st.builds(e.Results, TEXT, TEXT, ANSWERS),
    st.builds(e.Commands, TEXT, TEXT, TEXT, COMMANDS),
    st.builds(e.StatusRow, TEXT, TEXT, NAMES, NAMES, NAMES, NAMES, SECONDS, SIDES, TEXTS),
)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    CHANGE_EVENTS,
    WRITTEN_BY_HAND,
    st.builds(e.Order, TEXT, TEXT, NAMES, TEXTS, st.dictionaries(TEXT, TEXT, max_size=2)),
    st.builds(e.Tick, TEXT, TEXT),
    st.builds(e.Clock),
    st.builds(e.ReadRequest, TEXT, TEXT, TEXT, TEXT, TEXT),
    st.builds(e.ReadRecords, TEXT, TEXT, TEXT, TEXTS),
    st.builds(e.SetMark, TEXT, TEXT),
    st.builds(
        e.SyncRow,
        sync=TEXT,
        connection=TEXT,
        state=NAMES,
        reason=TEXT,
        counts=COUNTS,
        read=COUNTS,
        matched=LONG,
        created=LONG,
        remaining=LONG,
        version=LONG,
        oldest=SECONDS,
        accounts=st.dictionaries(TEXT, TEXT, max_size=2),
        conflicts=LONG,
        answered=COUNTS,
    ),
    st.builds(History, TEXT, rows(e.HistoryRow, TEXT, TEXT, TEXT, TEXT, SECONDS, CHANGES, TEXT, TEXTS)),
    st.builds(
        e.DeadLetter,
        id=TEXT,
        at=SECONDS,
        account=TEXT,
        category=TEXT,
        message=TEXT,
        sync=NAMES,
        key=NAMES,
        object=NAMES,
        command=NAMES,
        topic=NAMES,
        partition=st.none() | st.integers(0, 99),
        offset=st.none() | LONG,
        raw=st.none() | st.binary(max_size=9),
        discarded_at=SECONDS,
        discarded_by=NAMES,
    ),
)
