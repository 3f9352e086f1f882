"""PostgreSQL's texts to canonical values and back, without a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.postgres.mapping import (
    PgType,
    build_codecs,
    canonical_decimal,
    dump_array,
    field_type,
    load_array,
    text_array,
)
from rules.catalog import Kind, Value

TYPES = {
    row.oid: row
    for row in (
        PgType(1700, "numeric", "pg_catalog", "b", 0, -1, 0, ",", "numeric"),
        PgType(1231, "_numeric", "pg_catalog", "b", 0, -1, 1700, ",", "numeric[]"),
        PgType(1043, "varchar", "pg_catalog", "b", 0, -1, 0, ",", "character varying"),
        PgType(1042, "bpchar", "pg_catalog", "b", 0, -1, 0, ",", "bpchar"),
        PgType(16, "bool", "pg_catalog", "b", 0, -1, 0, ",", "boolean"),
        PgType(1184, "timestamptz", "pg_catalog", "b", 0, -1, 0, ",", "timestamp with time zone"),
        PgType(1266, "timetz", "pg_catalog", "b", 0, -1, 0, ",", "time with time zone"),
        PgType(17, "bytea", "pg_catalog", "b", 0, -1, 0, ",", "bytea"),
        PgType(790, "money", "pg_catalog", "b", 0, -1, 0, ",", "money"),
        PgType(603, "box", "pg_catalog", "b", 0, -1, 0, ";", "box"),
        PgType(90000, "short", "public", "d", 1043, 7, 0, ",", "short"),
        PgType(90001, "shorter", "public", "d", 90000, -1, 0, ",", "shorter"),
        PgType(90002, "mood", "public", "e", 0, -1, 0, ",", "mood", ("good", "bad")),
        PgType(90003, "numeric", "public", "c", 0, -1, 0, ",", "public.numeric"),
    )
}
CODECS = build_codecs(TYPES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[
            ("1.50", "1.5"),
            ("100", "100"),
            ("0.00", "0"),
            ("-0", "0"),
            ("1e+20", "1" + "0" * 20),
            ("1e-07", "0.0000001"),
        ],
        *[("-1.5e-05", "-0.000015"), ("NaN", "NaN"), ("-Infinity", "-Infinity"), ("10.", "10")],
    ],
)
def test_decimals_are_plain_digits(text: str, expected: str) -> None:
    assert canonical_decimal(text) == expected


@pytest.mark.parametrize(
    ("oid", "text", "value"),
    [
        (1184, "2026-11-24 18:30:00+00", "2026-11-24T18:30:00Z"),
        (1184, "2026-11-24 18:30:00.25+00", "2026-11-24T18:30:00.25Z"),
        (1184, "0044-03-15 12:00:00+00 BC", "0044-03-15 12:00:00+00 BC"),
        (1184, "-infinity", "-infinity"),
        (1266, "18:30:00+02", "18:30:00+02:00"),
        (1266, "18:30:00-03:30", "18:30:00-03:30"),
        (17, "\\x00ff", "AP8="),
        (790, "-$1,234.50", "-1234.5"),
        (16, "t", True),
        (1042, "ab   ", "ab"),
        (1231, "{1.50,NULL,-2}", ["1.5", None, "-2"]),
    ],
)
def test_the_log_and_reads_give_the_same_value(oid: int, text: str, value: Value) -> None:
    codec = CODECS[oid]
    assert codec.load(text) == value
    assert codec.decode(text.encode()) == value


def test_a_domain_is_its_base_with_its_own_length() -> None:
    type_ = field_type(CODECS[90001], -1, "shorter")
    assert (type_.kind, type_.max_length, type_.native) == (Kind.TEXT, 3, "shorter")
    # Never the domain's own name: an explicit cast to it would cut a text that is too long.
    assert CODECS[90001].cast == "character varying"


def test_a_type_of_somebody_elses_with_a_known_name_is_a_text() -> None:
    assert CODECS[90003].kind is Kind.TEXT
    assert CODECS[90002].options == ("good", "bad")


@pytest.mark.parametrize(("modifier", "precision", "scale"), [(655366, 10, 2), (((3 << 16) | (-2 & 0x7FF)) + 4, 3, -2)])
def test_the_scale_of_a_numeric_may_be_negative(modifier: int, precision: int, scale: int) -> None:
    type_ = field_type(CODECS[1700], modifier, "numeric")
    assert (type_.precision, type_.scale) == (precision, scale)


@pytest.mark.parametrize(
    ("oid", "value"), [(16, 1), (16, "t"), (1043, ["a"]), (1231, "{1}"), (17, "no base64!"), (1700, [1])]
)
def test_a_value_of_another_kind_is_not_sent(oid: int, value: Value) -> None:
    with pytest.raises((TypeError, ValueError)):
        CODECS[oid].dump(value)


def test_bounds_of_an_array_are_dropped_and_dimensions_nest() -> None:
    assert load_array("[0:1]={a,b}", str) == ["a", "b"]
    assert load_array('{{a,"b c"},{NULL,"NULL"}}', str) == [["a", "b c"], [None, "NULL"]]


texts = st.one_of(st.none(), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8))


@given(st.lists(texts, max_size=6))
def test_any_texts_survive_an_array_literal(values: list[str | None]) -> None:
    assert load_array(text_array(values), str) == values
    assert load_array(dump_array(values), str) == values
