"""Read, compare, and only then write: what follows from the record as it is."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from connectors.base import Identifier, Outcome, Record, Write, WriteOp
from connectors.comparing import Finder, judge, matching, refused
from rules.catalog import Value
from rules.version import Version

ANN = Record("1", {"name": "Ann", "age": 1, "mail": None}, Version(1))


def write(op: WriteOp, values: dict[str, Value] | None = None, expect: dict[str, Value] | None = None) -> Write:
    return Write("t", "l", 1, op, "1", values or {}, expect or {})


@pytest.mark.parametrize(
    ("each", "outcome"),
    [
        (write(WriteOp.UPDATE, {"name": "Ann"}, {"name": "stale"}), Outcome.UNCHANGED),
        (write(WriteOp.UPDATE, {"mail": None}), Outcome.UNCHANGED),
        (write(WriteOp.UPDATE, {"name": "Bob"}, {"name": "Anna"}), Outcome.CONFLICT),
        (write(WriteOp.UPDATE, {"name": "Bob"}, {"gone": None}), Outcome.CONFLICT),
        (write(WriteOp.DELETE, {}, {"age": 2}), Outcome.CONFLICT),
        (write(WriteOp.UPDATE, {"name": "Bob"}, {"name": "Ann", "mail": None}), None),
        (write(WriteOp.DELETE, {}, {"age": 1}), None),
    ],
)
def test_a_write_is_judged_by_the_record_as_it_is(each: Write, outcome: Outcome | None) -> None:
    result = judge(each, ANN)
    assert (None if result is None else result.outcome) == outcome
    if result is not None:
        assert (result.token, result.record) == ("t", ANN)
    missing = judge(each, None)
    assert missing is not None
    assert (missing.outcome, missing.id) == (Outcome.MISSING, "1")


def test_records_are_found_by_any_identifier_as_the_rules_compare_them() -> None:
    other = Record("2", {"name": " ANN ", "mail": "A@x.ORG"}, Version(1))
    assert matching([ANN, other], (Identifier("mail", "email", "a@x.org"),)) == [other]
    assert matching([ANN, other], (Identifier("name", "name", "ann"), Identifier("mail", "email", "b"))) == [ANN, other]
    assert matching([ANN], ()) == []


def test_a_batch_looks_at_each_record_once_and_finds_what_it_has_made_itself() -> None:
    looked: list[str] = []

    def records() -> Iterator[Record]:
        for record in (ANN, Record("2", {"name": " ANN ", "mail": "A@x.ORG"}, Version(1))):
            looked.append(record.id)
            yield record

    by_mail = msgspec.structs.replace(write(WriteOp.CREATE), identifiers=(Identifier("mail", "email", "a@x.org"),))
    by_name = msgspec.structs.replace(write(WriteOp.CREATE), identifiers=(Identifier("name", "name", "ann"),))
    new = msgspec.structs.replace(write(WriteOp.CREATE), identifiers=(Identifier("mail", "email", "b@x.org"),))
    finder = Finder([by_mail, by_name, new], records())
    found = [finder.find(each) for each in (by_mail, by_name, new, write(WriteOp.CREATE))]
    assert [None if one is None else one.id for one in found] == ["2", "1", None, None]
    finder.add(Record("3", {"mail": "B@X.org", "name": "Ann"}, Version(2)))
    assert finder.find(new) is not None
    assert finder.find(by_name) == ANN, "the first that was there"
    assert looked == ["1", "2"]
    Finder([write(WriteOp.CREATE)], records())
    assert looked == ["1", "2"], "nothing is looked for"


def test_a_refusal_names_all_that_a_person_needs() -> None:
    result = refused(write(WriteOp.UPDATE), "duplicate", "name", "taken", "7")
    assert (result.outcome, result.category, result.field, result.message, result.other, result.id) == (
        Outcome.REJECTED,
        "duplicate",
        "name",
        "taken",
        "7",
        "1",
    )
