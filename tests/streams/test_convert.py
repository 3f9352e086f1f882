"""The shapes of connectors and those of the rules, there and back; messages of a good size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from connectors.base import (
    Batch,
    Change,
    FieldsChanged,
    Heartbeat,
    Identifier,
    Marked,
    Op,
    Outcome,
    Pair,
    Record,
    Result,
    Truncated,
    WriteOp,
)
from rules import events
from rules.events import Captured, Command, Row
from rules.version import Version
from streams.convert import (
    ROWS,
    WEIGHT,
    answer_of,
    cut,
    deferred,
    events_of,
    row_of_absence,
    row_of_change,
    row_of_record,
    write_of,
)

V = Version(7, 3)


def test_a_change_keeps_all_that_it_says() -> None:
    change = Change(Op.MERGE, "2", {"a": 1}, V, 12.5, old_id="1", into="3", token="t")
    assert row_of_change(change) == Row("2", {"a": 1}, V, "merge", "1", "3", "t", 12.5)
    assert type(row_of_change(change).op) is str
    assert row_of_change(Change(Op.UPSERT, "2", {}, V, 1.0)).op == "upsert"
    assert row_of_change(Change(Op.DELETE, "2", {}, V, 1.0)).op == "delete"


def test_a_record_keeps_its_pairs_and_where_it_was_merged_into() -> None:
    record = Record("2", {"a": None}, V, (Pair("s", "shop", "customers", "9"),))
    assert row_of_record(record) == Row("2", {"a": None}, V, pairs=(("s", "shop", "customers", "9"),))
    assert row_of_record(Record("2", {}, V, into="3")) == Row("2", {}, V, "merge", into="3")
    assert row_of_record(Record("2", {}, V)).committed_at == 0.0


def test_an_absence_is_a_deletion() -> None:
    assert row_of_absence("2", V) == Row("2", {}, V, "delete")


def test_each_item_of_the_log_is_a_message_of_its_account() -> None:
    change = Change(Op.UPSERT, "2", {}, V, 1.0)
    assert list(events_of("crm", Batch("people", (change,), "c"))) == [
        Captured("crm", "people", (row_of_change(change),))
    ]
    assert list(events_of("crm", Marked("m", "c"))) == [events.Marked("crm", "m")]
    assert list(events_of("crm", Truncated("people", "c"))) == [events.Truncated("crm", "people")]
    fields = (("id", "bigint"),)
    assert list(events_of("crm", FieldsChanged("people", fields, "c"))) == [
        events.FieldsChanged("crm", "people", fields)
    ]
    assert list(events_of("crm", Heartbeat("c", 1.0))) == []


@given(st.lists(st.integers(0, WEIGHT * 2), max_size=30), st.integers(0, ROWS * 3))
def test_pieces_hold_every_row_in_order_and_are_neither_long_nor_heavy(heavy: list[int], light: int) -> None:
    rows = [Row(str(number), {"a": "x" * weight}, V) for number, weight in enumerate(heavy)]
    rows += [Row(f"l{number}", {"a": ["x", number]}, V) for number in range(light)]
    pieces = list(cut(iter(rows)))
    assert [row for piece in pieces for row in piece] == rows
    for piece in pieces:
        assert 0 < len(piece) <= ROWS
        weight = sum(len(row.values["a"]) for row in piece if isinstance(row.values["a"], str))
        assert weight <= WEIGHT or len(piece) == 1


def test_text_within_lists_has_weight_too() -> None:
    rows = [Row(str(number), {"a": ["x" * (WEIGHT // 2), ["y" * (WEIGHT // 4)]]}, V) for number in range(3)]
    assert [len(piece) for piece in cut(rows)] == [1, 1, 1]


def test_a_command_becomes_the_write_that_it_asks_for() -> None:
    command = Command(
        "s", "l", 3, "s/l/birth/3/x", "create", None, {"a": 1}, {"b": 2}, (("email", "email", "x@y.z"),), ("s", "shop", "o", "9")
    )  # fmt: skip
    write = write_of(command)
    assert (write.token, write.link, write.sequence, write.op) == ("s/l/birth/3/x", "s/l/birth", 3, WriteOp.CREATE)
    assert (write.id, write.values, write.expect) == (None, {"a": 1}, {"b": 2})
    assert write.identifiers == (Identifier("email", "email", "x@y.z"),)
    assert write.pair == Pair("s", "shop", "o", "9")
    bare = write_of(Command("s", "l", 3, "t", "delete", "5", {}, {}))
    assert (bare.op, bare.id, bare.identifiers, bare.pair) == (WriteOp.DELETE, "5", (), None)


def test_an_answer_belongs_to_its_command_and_holds_the_record_as_stored() -> None:
    command = Command("s", "l", 3, "t", "update", "5", {}, {})
    answer = answer_of(command, Result("t", Outcome.APPLIED, "6", Record("6", {"a": 1}, V)))
    assert (answer.sync, answer.link, answer.sequence) == ("s", "l", 3)
    assert (answer.outcome, answer.id, answer.values, answer.version) == ("applied", "6", {"a": 1}, V)
    assert type(answer.outcome) is str
    refused = answer_of(command, Result("t", Outcome.REJECTED, None, None, "duplicate", "email", "taken", "7"))
    assert (refused.id, refused.values, refused.version) == ("5", None, None)
    assert (refused.category, refused.field, refused.message, refused.other) == ("duplicate", "email", "taken", "7")


def test_a_deferred_command_says_why() -> None:
    answer = deferred(Command("s", "l", 3, "t", "update", "5", {}, {}), "unavailable", "down")
    assert (answer.outcome, answer.category, answer.message, answer.id) == ("deferred", "unavailable", "down", "5")
