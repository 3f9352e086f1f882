"""The log's messages, byte by byte, and what is made of them, without a server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Batch, Change, Context, CursorExpiredError, FieldsChanged, Heartbeat, Marked, Op, Truncated
from connectors.postgres import pgoutput
from connectors.postgres.assembler import Assembler
from connectors.postgres.mapping import PgType, build_codecs, field_type
from connectors.postgres.names import MARK_PREFIX, MESSAGE_PREFIX, format_lsn, parse_lsn, slot_name
from connectors.postgres.pgoutput import LogColumn, Relation
from connectors.postgres.tables import Column, Table

CODECS = build_codecs(
    {
        23: PgType(23, "int4", "pg_catalog", "b", 0, -1, 0, ",", "integer"),
        25: PgType(25, "text", "pg_catalog", "b", 0, -1, 0, ",", "text"),
        16: PgType(16, "bool", "pg_catalog", "b", 0, -1, 0, ",", "boolean"),
    }
)
ME = {"installation": "acme", "account": "crm"}
UNCHANGED = object()


def column(name: str, oid: int) -> Column:
    kind = field_type(CODECS[oid], -1, "")
    return Column(name, oid, -1, CODECS[oid].cast, CODECS[oid], kind, True, False, False, True)


PEOPLE = Table(
    object="people", oid=100, schema="public", name="people", partitioned=False, key=("id",), unique=(), deferrable=False,
    columns=(column("id", 23), column("name", 25), column("master", 23)), indexed=frozenset(), rows=0,
    exclude=("ssn",), skip=frozenset({"ssn"}), merged_into="master",
)  # fmt: skip
FIRMS = Table(
    object="firms", oid=101, schema="public", name="firms", partitioned=False, key=("id", "name"), unique=(),
    deferrable=False, columns=(column("id", 23), column("name", 25)), indexed=frozenset(), rows=0,
)  # fmt: skip
COLUMNS = {
    100: (LogColumn("id", 23, -1, True), LogColumn("ssn", 25, -1, False), LogColumn("name", 25, -1, False), LogColumn("master", 23, -1, False)),
    101: (LogColumn("id", 23, -1, True), LogColumn("name", 25, -1, True)),
}  # fmt: skip


# ---------------------------------------------------------------- messages, as the server writes them


def begin(position: int, xid: int = 7, at: float = 0.0) -> bytes:
    return pack(">cQqI", b"B", position, int((at - pgoutput.EPOCH) * 1e6), xid)


def commit(end: int) -> bytes:
    return pack(">cBQQq", b"C", 0, end - 10, end, 0)


def text(value: str) -> bytes:
    return value.encode() + b"\0"


def relation(oid: int, columns: Sequence[LogColumn] | None = None, name: str | None = None) -> bytes:
    columns = COLUMNS[oid] if columns is None else columns
    found = name or {100: "people", 101: "firms"}[oid]
    body = b"".join(pack(">B", c.in_identity) + text(c.name) + pack(">Ii", c.type_oid, c.modifier) for c in columns)
    return pack(">cI", b"R", oid) + text("public") + text(found) + b"d" + pack(">H", len(columns)) + body


def row(*values: object) -> bytes:
    parts = []
    for value in values:
        if value is UNCHANGED:
            parts.append(b"u")
        elif value is None:
            parts.append(b"n")
        else:
            raw = str(value).encode()
            parts.append(pack(">cI", b"t", len(raw)) + raw)
    return pack(">H", len(values)) + b"".join(parts)


def insert(oid: int, *values: object) -> bytes:
    return pack(">cIc", b"I", oid, b"N") + row(*values)


def update(oid: int, *values: object, old: bytes = b"") -> bytes:
    return pack(">cI", b"U", oid) + old + b"N" + row(*values)


def delete(oid: int, *values: object) -> bytes:
    return pack(">cIc", b"D", oid, b"K") + row(*values)


def truncate(*oids: int) -> bytes:
    return pack(">cIB", b"T", len(oids), 0) + b"".join(pack(">I", oid) for oid in oids)


def message(prefix: str, said: object, *, transactional: bool = True) -> bytes:
    content = json.dumps(said).encode()
    return pack(">cBQ", b"M", transactional, 0) + text(prefix) + pack(">I", len(content)) + content


def assembler(next_xid: int = 7, **tables: Table) -> Assembler:
    made = Assembler(
        Context("acme", "crm"), {table.oid: table for table in tables.values() or (PEOPLE, FIRMS)}, next_xid
    )
    made.end = made.told = 1
    return made


def feed(into: Assembler, *messages: bytes) -> list[object]:
    for each in messages:
        if each[:1] == b"R":
            described = pgoutput.parse_relation(each)
            if described.oid in into.pairings:
                into.pairs(described, CODECS)
                continue
            hidden = into.tables[described.oid].skip
            fields = tuple((c.name, CODECS[c.type_oid].cast) for c in described.columns if c.name not in hidden)
            into.relation(described, CODECS, fields if into.alters(described) else None)
        else:
            into.feed(each)
    return list(into.take())


def changes(events: Sequence[object]) -> list[Change]:
    return [change for event in events if isinstance(event, Batch) for change in event.changes]


# ---------------------------------------------------------------- rows


def test_rows_are_decoded_without_what_is_excluded_or_unchanged() -> None:
    (batch,) = feed(
        assembler(), begin(50, at=1_800_000_000.5), relation(100), insert(100, 1, "s", "Ann", None),
        update(100, 1, "s", UNCHANGED, None), delete(100, 1, None, None, None), commit(60),
    )  # fmt: skip
    assert isinstance(batch, Batch)
    assert [(c.op, c.id, c.values) for c in batch.changes] == [
        (Op.UPSERT, "1", {"id": 1, "name": "Ann", "master": None}),
        (Op.UPSERT, "1", {"id": 1, "master": None}),
        (Op.DELETE, "1", {}),
    ]
    assert [(c.version.position, c.version.writer, c.version.step) for c in batch.changes] == [
        (50, 7, 0),
        (50, 7, 1),
        (50, 7, 2),
    ]
    assert {c.committed_at for c in batch.changes} == {1_800_000_000.5}
    assert batch.cursor == format_lsn(60)


def test_a_key_tuple_gives_the_old_id_and_a_whole_old_row_the_unchanged_values() -> None:
    keyed = update(100, 2, "s", "Ann", None, old=b"K" + row(1, None, None, None))
    full = update(100, 2, "s", UNCHANGED, None, old=b"O" + row(2, "s", "long", None))
    same_key = update(100, UNCHANGED, "s", "Ann", None, old=b"K" + row(3, None, None, None))
    found = changes(feed(assembler(), begin(50), relation(100), keyed, full, same_key, commit(60)))
    assert [(c.id, c.old_id, c.values["name"]) for c in found] == [
        ("2", "1", "Ann"),
        ("2", None, "long"),
        ("3", None, "Ann"),
    ]


def test_a_composite_key_makes_an_escaped_id() -> None:
    found = changes(
        feed(assembler(), begin(50), relation(101), insert(101, 1, "a,b%"), delete(101, 1, "a,b%"), commit(60))
    )
    assert [c.id for c in found] == ["1,a%2Cb%25", "1,a%2Cb%25"]


def test_a_row_that_names_a_survivor_is_a_merge() -> None:
    (found,) = changes(feed(assembler(), begin(50), relation(100), update(100, 2, "s", "Ann", 1), commit(60)))
    assert (found.op, found.id, found.into) == (Op.MERGE, "2", "1")


def test_tables_that_are_not_ours_are_passed_over() -> None:
    only_people = assembler(people=PEOPLE)
    assert feed(only_people, begin(50), insert(101, 1, "x"), truncate(101), commit(60)) == []


# ---------------------------------------------------------------- order, cursors


def test_groups_keep_the_order_within_an_object_and_only_the_last_moves_the_cursor() -> None:
    events = feed(
        assembler(), begin(50), relation(100), relation(101), insert(100, 1, "s", "a", None), insert(101, 1, "f"), commit(60),
        begin(70), insert(100, 2, "s", "b", None), commit(80),
    )  # fmt: skip
    told = [(e.object, [c.id for c in e.changes], e.cursor) for e in events if isinstance(e, Batch)]
    assert told == [("people", ["1", "2"], format_lsn(1)), ("firms", ["1,f"], format_lsn(80))]


def test_a_batch_within_a_transaction_has_the_cursor_before_it() -> None:
    log = assembler()
    (first,) = feed(log, begin(50), relation(100), insert(100, 1, "s", "a", None))
    assert isinstance(first, Batch)
    assert first.cursor == format_lsn(1)
    assert log.heartbeat(55) is None
    assert feed(log, commit(60)) == []
    beat = log.heartbeat(55)
    assert isinstance(beat, Heartbeat)
    assert beat.cursor == format_lsn(60)
    assert log.heartbeat(60) is None


def test_a_truncation_and_a_mark_stand_where_they_happened() -> None:
    events = feed(
        assembler(), begin(50), relation(100), insert(100, 1, "s", "a", None), truncate(100, 101), insert(100, 2, "s", "b", None),
        commit(60), begin(70), message(MARK_PREFIX, {**ME, "mark": "m"}), commit(80), begin(90), insert(100, 3, "s", "c", None),
        commit(95),
    )  # fmt: skip
    assert [type(event) for event in events] == [Batch, Truncated, Batch, Marked, Batch]
    assert [event.cursor for event in events if isinstance(event, Marked)] == [format_lsn(80)]


@pytest.mark.parametrize(
    "said", [{**ME, "installation": "other", "mark": "m"}, {**ME, "account": "shop", "mark": "m"}, "no object", 5, None]
)
def test_messages_of_others_are_passed_over(said: object) -> None:
    assert feed(assembler(), begin(50), message(MARK_PREFIX, said), message(MESSAGE_PREFIX, said), commit(60)) == []


def test_a_mark_that_is_not_of_a_transaction_is_none() -> None:
    loose = message(MARK_PREFIX, {**ME, "mark": "m"}, transactional=False)
    assert feed(assembler(), loose) == []


# ---------------------------------------------------------------- our own transactions


def test_rows_of_our_own_transaction_wait_for_their_tokens() -> None:
    log = assembler()
    assert feed(log, begin(50), message(MESSAGE_PREFIX, ME), relation(100), insert(100, 1, "s", "a", None)) == []
    tokens = [["people", "1", "t1"], ["firms", "2", "t2"]]
    found = changes(
        feed(log, insert(100, 2, "s", "b", None), message(MESSAGE_PREFIX, {**ME, "tokens": tokens}), commit(60))
    )
    assert [(c.id, c.token) for c in found] == [("1", "t1"), ("2", None)]
    (later,) = changes(feed(log, begin(70), update(100, 1, "s", "b", None), commit(80)))
    assert later.token is None


# ---------------------------------------------------------------- fields


def test_fields_are_told_once_when_they_change_and_before_the_rows() -> None:
    log = assembler()
    more = (*COLUMNS[100], LogColumn("extra", 25, -1, False))
    assert feed(log, begin(50), relation(100), relation(100), commit(60)) == []
    told, batch = feed(
        log, begin(70), relation(100, more), insert(100, 1, "s", "a", None, "x"), relation(100, more), commit(80)
    )
    assert told == FieldsChanged(
        "people", (("id", "integer"), ("name", "text"), ("master", "integer"), ("extra", "text")), format_lsn(60)
    )
    assert changes([batch])[0].values == {"id": 1, "name": "a", "master": None, "extra": "x"}


def test_a_renamed_table_is_gone_and_one_with_another_key_is_read_anew() -> None:
    log = assembler()
    feed(log, begin(50), relation(100), commit(60))
    (told,) = feed(log, begin(70), relation(100, name="persons"), commit(80))
    assert told == FieldsChanged("people", None, format_lsn(60))
    with pytest.raises(CursorExpiredError):
        feed(log, begin(90), relation(100, COLUMNS[100][1:]), commit(95))


# ---------------------------------------------------------------- numbers and names


@given(st.integers(3, (1 << 40)), st.integers(-(1 << 30), 1 << 30))
def test_a_transactions_number_is_extended_to_64_bits(near: int, distance: int) -> None:
    full = max(near + distance, 3)
    log = assembler(near)
    log.feed(begin(50, full & 0xFFFFFFFF))
    feed(log, relation(100), insert(100, 1, "s", "a", None))
    log.feed(begin(50, full & 0xFFFFFFFF))
    feed(log)
    log.feed(insert(100, 1, "s", "a", None))
    (found,) = changes(feed(log))
    assert found.version.writer == full


@given(st.integers(0, (1 << 64) - 1))
def test_positions_survive_their_text(position: int) -> None:
    assert parse_lsn(format_lsn(position)) == position


def test_slots_have_names_of_their_own() -> None:
    assert slot_name("acme", "crm") == "tandem_acme_crm"
    assert slot_name("acme", "crm_eu") == "tandem_acme_crm_eu"
    names = {
        slot_name(installation, account)
        for installation in ("acme", "acme_crm", "Acme", "ácme", "a" * 70, "a" * 71)
        for account in ("crm", "eu", "crm_eu", "CRM", "c.r.m", "b" * 70)
    }
    assert len(names) == 36
    assert all(len(name) <= 63 and name.isascii() and name == name.lower() for name in names)


def test_a_relation_is_read_whole() -> None:
    assert pgoutput.parse_relation(relation(101)) == Relation(101, "public", "firms", "d", COLUMNS[101])
