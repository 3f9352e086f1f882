"""What a connector can and cannot do, in words."""

from __future__ import annotations

from console.abilities import in_words
from rules.catalog import Capabilities


def test_a_database_needs_one_line() -> None:
    assert in_words(Capabilities()) == ["captures by log; can create, update, delete; 500 records a batch"]


def test_what_it_cannot_do_is_said_and_so_are_its_limits() -> None:
    able = Capabilities(
        "watermark", 7.5, deletions_within=600.0, compare_and_set=False, tokens=False, deletable=False, batch_size=100,
        limits=("5 a second",),
    )  # fmt: skip
    lines = in_words(able)
    assert lines[0] == "captures by watermark (seen within 7.5 s); can create, update; 100 records a batch"
    assert [line.split(":")[0] for line in lines[1:]] == [
        "sees deletions within 600 s",
        "compares, then writes",
        "a create without an answer is found again by its identifiers alone",
        "5 a second",
    ]


def test_what_can_only_be_read_has_nothing_to_say_of_writes() -> None:
    able = Capabilities(
        "scan", 1.0, sees_deletions=False, compare_and_set=False, tokens=False, creatable=False, updatable=False,
        deletable=False,
    )  # fmt: skip
    first, second = in_words(able)
    assert "only be read" in first
    assert "sees no deletions" in second
