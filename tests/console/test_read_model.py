"""What is written is what is found, however often and in whatever portions it is written."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from console.readmodel import tables
from console.readmodel.reader import Reader, RecordFilter
from console.readmodel.writer import ReadModelWriter, Rows
from rules.events import DeadLetter, FieldChange, HistoryRow
from tests.console.samples import EXCLUDED, FAILING, NOW, ORIGIN, PAIR, PENDING, SYNC, contact, fill, rows

CHANGED = HistoryRow("contacts", "l1", "updated", "log crm:17@9", NOW, (FieldChange("shop", "level", 2, 1, "changed"),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "read-model.db"


def dump(path: Path) -> list[str]:
    """All that the file says, without how it lies on the disk."""
    connection = sqlite3.connect(path)
    try:
        return sorted(line for line in connection.iterdump() if line.startswith("INSERT"))
    finally:
        connection.close()


def reading(path: Path) -> Reader:
    reader = Reader.open(path)
    assert reader is not None
    return reader


def test_what_is_written_twice_is_there_once(path: Path) -> None:
    batch = rows(PAIR, FAILING, history=(CHANGED, CHANGED))
    writer = ReadModelWriter(path, ORIGIN)
    writer.store(batch, NOW)
    writer.store(batch, NOW)
    writer.close()
    reader = reading(path)
    assert reader.count(RecordFilter(), ["contacts"]) == 2
    assert [row.cause for row in reader.history_of("contacts", ["l1"])] == ["log crm:17@9"]
    reader.close()


def test_one_batch_or_many_give_the_same_file(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    whole, parts = ReadModelWriter(path, ORIGIN), ReadModelWriter(other, ORIGIN)
    earlier = msgspec.structs.replace(PAIR, status="pending")
    whole.store(rows(PAIR, FAILING, history=(CHANGED,)), NOW)
    parts.store(rows(earlier), NOW)
    parts.store(rows(FAILING, history=(CHANGED,)), NOW)
    parts.store(rows(PAIR), NOW)
    whole.close()
    parts.close()
    assert dump(path) == dump(other)


def test_a_tombstone_takes_the_record_away(path: Path) -> None:
    fill(path, PAIR, FAILING)
    writer = ReadModelWriter(path, ORIGIN)
    writer.store(Rows(records={("contacts", "l1"): None}), NOW)
    writer.close()
    reader = reading(path)
    assert [row.key for row in reader.records(RecordFilter(), ["contacts"])] == ["l2"]
    reader.close()


def test_a_deleted_sync_takes_its_marks_along(path: Path) -> None:
    fill(path)
    writer = ReadModelWriter(path, ORIGIN)
    writer.store(Rows(syncs={"contacts": None}), NOW)
    writer.close()
    reader = reading(path)
    assert (reader.syncs(), reader.answered("m1")) == ({}, {})
    reader.close()


def test_offsets_come_back_with_the_rows_they_belong_to(path: Path) -> None:
    writer = ReadModelWriter(path, ORIGIN)
    writer.store(Rows(offsets={("acme.statuses", 3): 12, ("acme.history", 0): 1}), NOW)
    writer.store(Rows(offsets={("acme.statuses", 3): 40}), NOW)
    writer.close()
    again = ReadModelWriter(path, ORIGIN)
    assert again.offsets() == {("acme.statuses", 3): 40, ("acme.history", 0): 1}
    again.close()


def test_a_batch_that_cannot_be_written_leaves_nothing_behind(path: Path) -> None:
    writer = ReadModelWriter(path, ORIGIN)
    broken = rows(PAIR)
    broken.dead_letters = {"x": DeadLetter("x", NOW, "crm", None, "no category")}  # type: ignore[arg-type]
    broken.offsets = {("acme.statuses", 0): 5}
    with pytest.raises(sqlite3.IntegrityError):
        writer.store(broken, NOW)
    assert writer.offsets() == {}
    writer.store(rows(PAIR), NOW)
    writer.close()
    reader = reading(path)
    assert reader.count(RecordFilter(), ["contacts"]) == 1
    reader.close()


@pytest.mark.parametrize("spoil", ["version", "origin", "bytes"])
def test_a_file_of_another_version_or_cluster_or_none_at_all_is_filled_anew(path: Path, spoil: str) -> None:
    fill(path)
    if spoil == "version":
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version = {tables.VERSION + 1}")
        connection.close()
        assert Reader.open(path) is None
    elif spoil == "bytes":
        path.write_bytes(b"this is no database" * 1000)
        assert Reader.open(path) is None
    writer = ReadModelWriter(path, "tandem@another" if spoil == "origin" else ORIGIN)
    assert writer.offsets() == {}
    writer.close()
    reader = reading(path)
    assert reader.count(RecordFilter(), ["contacts"]) == 0
    reader.close()


def test_a_file_taken_away_under_the_writer_is_noticed(path: Path) -> None:
    writer = ReadModelWriter(path, ORIGIN)
    assert writer.is_there()
    tables.remove(path)
    assert not writer.is_there()
    writer.close()


def test_it_is_read_while_it_is_written(path: Path) -> None:
    writer = ReadModelWriter(path, ORIGIN)
    writer.store(rows(PAIR), NOW)
    reader = reading(path)
    walk = reader.records(RecordFilter(), ["contacts"])
    assert next(walk).key == "l1"
    writer.store(rows(FAILING), NOW)
    assert list(walk) == []
    assert reader.count(RecordFilter(), ["contacts"]) == 2
    reader.close()
    writer.close()


def test_what_needs_a_person_comes_first_and_the_latest_of_it(path: Path) -> None:
    older = contact("l0", "failing", crm={"id": "1"}, since=NOW, category="loop")
    fill(path, PAIR, EXCLUDED, older, PENDING, FAILING)
    reader = reading(path)
    assert [row.key for row in reader.records(RecordFilter(), ["contacts"])] == [
        "l2",
        "l0",
        "u/crm/18",
        "u/shop/9",
        "l1",
    ]
    assert [row.key for row in reader.records(RecordFilter(), ["contacts"], limit=3)] == ["l2", "l0", "u/crm/18"]
    reader.close()


@pytest.mark.parametrize(
    ("wanted", "keys"),
    [
        (RecordFilter(status="failing"), ["l2"]),
        (RecordFilter(status="in_sync"), ["l1"]),
        (RecordFilter(status="nonsense"), []),
        (RecordFilter(category="no_identifier"), ["u/shop/9"]),
        (RecordFilter(since=NOW + 60), ["l2", "u/crm/18"]),
        (RecordFilter(since=NOW + 60, until=NOW + 100), ["l2"]),
        (RecordFilter(search="élodie@"), ["l2"]),
        (RecordFilter(search="ANA@X"), ["l1"]),
        (RecordFilter(search="18"), ["u/crm/18"]),
        (RecordFilter(search="tier"), []),  # the name of a field is no value
        (RecordFilter(search="_"), []),  # nor is it a pattern
    ],
)
def test_records_are_filtered_by_what_they_are_and_hold(path: Path, wanted: RecordFilter, keys: list[str]) -> None:
    fill(path)
    reader = reading(path)
    assert sorted(row.key for row in reader.records(wanted, ["contacts"])) == sorted(keys)
    assert reader.count(wanted, ["contacts"]) == len(keys)
    reader.close()


def test_what_is_not_in_sync_is_found_without_reading_the_rest(path: Path) -> None:
    fill(path)
    reader = reading(path)
    seen: list[str] = []
    reader._connection.set_trace_callback(seen.append)
    list(reader.records(RecordFilter(), ["contacts"]))
    reader._connection.set_trace_callback(None)
    plans = [row[3] for sql in seen for row in reader._connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
    searches = [plan for plan in plans if "records" in plan]
    assert len([plan for plan in searches if "records_open (sync=? AND status=?)" in plan]) == 3
    assert len([plan for plan in searches if "records_key (sync=?)" in plan]) == 1
    assert not [plan for plan in searches if plan.startswith("SCAN")]
    reader.close()


def test_old_history_and_dead_letters_are_forgotten(path: Path) -> None:
    writer = ReadModelWriter(path, ORIGIN)
    later = msgspec.structs.replace(CHANGED, at=NOW + 100)
    batch = rows(PAIR, history=(CHANGED, later))
    batch.dead_letters = {str(at): DeadLetter(str(at), at, "crm", "unknown", "no") for at in (NOW, NOW + 100)}
    writer.store(batch, NOW)
    writer.trim(NOW + 50)
    writer.close()
    assert len(list(reading(path).history("contacts"))) == 1
    assert [line for line in dump(path) if "dead_letters" in line and str(NOW) in line] == []


def test_a_mark_stays_answered_when_later_rows_no_longer_name_it(path: Path) -> None:
    writer = ReadModelWriter(path, ORIGIN)
    writer.store(rows(), NOW)
    writer.store(rows(syncs=(msgspec.structs.replace(SYNC, answered={"m2": 9}),)), NOW + 1)
    writer.close()
    reader = reading(path)
    assert (reader.answered("m1"), reader.answered("m2")) == ({"contacts": 7}, {"contacts": 9})
    reader.close()
