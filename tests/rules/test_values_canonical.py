"""Canonical forms: one text per value."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.canonical import (
    InvalidValueError,
    canonical_bytes,
    canonical_date,
    canonical_decimal,
    canonical_json,
    canonical_time,
    canonical_timestamp,
    canonical_uuid,
    round_decimal,
    shown,
)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("12.50", "12.5"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("+5", "5"),
        ("007", "7"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1E3", "1000"),
        ("1e-3", "0.001"),
        ("100", "100"),
        ("  1 ", "1"),
        ("123456789012345678901234567890.12345678901234567890", "123456789012345678901234567890.1234567890123456789"),
        ("nan", "NaN"),
        ("Infinity", "Infinity"),
        ("-inf", "-Infinity"),
    ],
)
def test_a_number_has_one_form(written: str, canonical: str) -> None:
    assert canonical_decimal(written) == canonical
    assert canonical_decimal(canonical) == canonical


@pytest.mark.parametrize(
    "written", ["", "x", "1,5", "1_000", "0x1F", "1e999999999", "--1", "1e", "٣", "1.2.3", "infinite"]
)
def test_what_is_no_number_is_refused(written: str) -> None:
    with pytest.raises(InvalidValueError):
        canonical_decimal(written)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20))
def test_equal_numbers_have_equal_texts(number: Decimal) -> None:
    text = canonical_decimal(str(number))
    assert Decimal(text) == number
    assert canonical_decimal(text) == text
    assert canonical_decimal(format(number, "e")) == text or Decimal(format(number, "e")) != number


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12), st.integers(-4, 8))
def test_rounding_moves_a_number_by_half_a_unit_at_most(number: Decimal, scale: int) -> None:
    rounded = round_decimal(canonical_decimal(str(number)), scale)
    assert abs(Decimal(rounded) - number) <= Decimal(5).scaleb(-scale - 1)
    assert round_decimal(rounded, scale) == rounded


@pytest.mark.parametrize(
    ("written", "zone", "canonical"),
    [
        ("2026-11-24T18:30:00Z", True, "2026-11-24T18:30:00Z"),
        ("2026-11-24 18:30:00.250+00", True, "2026-11-24T18:30:00.25Z"),
        ("2026-11-24T18:30:00.123456789Z", True, "2026-11-24T18:30:00.123456789Z"),
        ("2026-11-24T01:30:00+05:45", True, "2026-11-23T19:45:00Z"),
        ("2026-11-24t18:30z", True, "2026-11-24T18:30:00Z"),
        ("2026-11-24 18:30:00", True, "2026-11-24T18:30:00Z"),
        ("2026-11-24 18:30:00", False, "2026-11-24T18:30:00"),
        ("2026-11-24T18:30:00-0200", False, "2026-11-24T20:30:00"),
        ("0001-01-01 00:00:00", False, "0001-01-01T00:00:00"),
    ],
)
def test_a_moment_has_one_form(written: str, zone: bool, canonical: str) -> None:
    assert canonical_timestamp(written, zone) == canonical
    assert canonical_timestamp(canonical, zone) == canonical


@pytest.mark.parametrize(
    "written",
    ["", "2026-11-24", "2026-13-01T00:00:00Z", "2026-11-24T25:00:00Z", "2026-11-24T18:30:00+99:00", "0001-01-01T00:00:00+01:00", "20261124T183000Z"],
)  # fmt: skip
def test_what_is_no_moment_is_refused(written: str) -> None:
    with pytest.raises(InvalidValueError):
        canonical_timestamp(written)


@given(
    st.datetimes(datetime.fromisoformat("0002-01-01"), datetime.fromisoformat("9998-01-01")),
    st.integers(-14 * 60, 14 * 60),
)
def test_one_moment_has_the_same_text_in_every_zone(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert canonical_timestamp(aware.isoformat()) == canonical_timestamp(aware.astimezone(UTC).isoformat())


@pytest.mark.parametrize(
    ("written", "zone", "canonical"),
    [
        ("18:30", False, "18:30:00"),
        ("18:30:00.250", False, "18:30:00.25"),
        ("18:30:00+02:00", False, "16:30:00"),
        ("01:00:00+02:00", False, "23:00:00"),
        ("18:30:00+02", True, "18:30:00+02:00"),
        ("18:30:00Z", True, "18:30:00+00:00"),
        ("18:30:00-03:30", True, "18:30:00-03:30"),
        ("18:30:00+00:19:32", True, "18:30:00+00:19:32"),
        ("24:00:00", False, "24:00:00"),
    ],
)
def test_a_time_of_day_has_one_form(written: str, zone: bool, canonical: str) -> None:
    assert canonical_time(written, zone) == canonical
    assert canonical_time(canonical, zone) == canonical


@pytest.mark.parametrize("written", ["", "25:00", "24:00:01", "18", "18:60", "half past six"])
def test_what_is_no_time_is_refused(written: str) -> None:
    with pytest.raises(InvalidValueError):
        canonical_time(written)


def test_a_date_is_read_strictly() -> None:
    assert canonical_date(" 2026-11-24 ") == "2026-11-24"
    for wrong in ("2026-2-1", "20261124", "2026-02-30", "2026-W48-2", "24/11/2026"):
        with pytest.raises(InvalidValueError):
            canonical_date(wrong)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ('{"b": 1, "a": [1.50, 1e2, -0]}', '{"a":[1.5,100,0],"b":1}'),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ('{"a": 1, "a": 2}', '{"a":2}'),
        ('"é"', '"é"'),
        ('"\\ud800"', '"\\ud800"'),
        ("[true, null, {}]", "[true,null,{}]"),
        ("1e999999999", "1e999999999"),
    ],
)
def test_json_has_one_form_and_loses_no_digit(written: str, canonical: str) -> None:
    assert canonical_json(written) == canonical
    assert canonical_json(canonical) == canonical


@pytest.mark.parametrize("written", ["", "x", "NaN", "[Infinity]", "{a: 1}", "[" * 100_000])
def test_what_is_no_json_is_refused(written: str) -> None:
    with pytest.raises(InvalidValueError):
        canonical_json(written)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(_JSON)
def test_json_keeps_its_meaning(value: object) -> None:
    text = canonical_json(json.dumps(value))
    assert json.loads(text) == value
    assert canonical_json(text) == text


def test_the_other_forms() -> None:
    assert canonical_uuid("{6F1E1C1E-8D5B-4B0E-9B7A-3F6D2C1A0B9E}") == "6f1e1c1e-8d5b-4b0e-9b7a-3f6d2c1a0b9e"
    assert canonical_bytes(b"\x00\xff") == "AP8="
    with pytest.raises(InvalidValueError):
        canonical_uuid("6f1e")


def test_a_message_quotes_a_value_and_cuts_a_long_one() -> None:
    assert shown(None) == "empty"
    assert shown("a") == "'a'"
    assert shown(True) == "true"
    assert len(shown("x" * 1000)) < 70
