"""Conversion between types, and when two values are the same (semantics, section 4)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.catalog import FieldType, Kind, Value
from rules.values import (
    InconvertibleError,
    InvalidValueError,
    conversion,
    describe,
    fits,
    invertible,
    is_empty,
)
from tests.rules.value_strategies import scalar_types, type_pairs, types, values_of

TEXT, INTEGER, DECIMAL, BOOLEAN = (FieldType(kind) for kind in (Kind.TEXT, Kind.INTEGER, Kind.DECIMAL, Kind.BOOLEAN))
DATE, UUID, JSON, BYTES = (FieldType(kind) for kind in (Kind.DATE, Kind.UUID, Kind.JSON, Kind.BYTES))
REFERENCE = FieldType(Kind.REFERENCE)
TIMESTAMP, LOCAL_TIMESTAMP = FieldType(Kind.TIMESTAMP), FieldType(Kind.TIMESTAMP, zone=False)
TIME, LOCAL_TIME = FieldType(Kind.TIME), FieldType(Kind.TIME, zone=False)
TIER = FieldType(Kind.ENUM, options=("gold", "silver"))
TEXTS = FieldType(Kind.LIST, item=TEXT)


def text(length: int) -> FieldType:
    return FieldType(Kind.TEXT, max_length=length)


def decimal(precision: int | None, scale: int | None) -> FieldType:
    return FieldType(Kind.DECIMAL, precision=precision, scale=scale)


def of(item: FieldType) -> FieldType:
    return FieldType(Kind.LIST, item=item)


def _converts(source: FieldType, target: FieldType) -> bool:
    try:
        conversion(source, target)
    except InconvertibleError:
        return False
    return True


CONVERTIBLE = type_pairs(_converts)
BOTH_WAYS = type_pairs(lambda source, target: _converts(source, target) and _converts(target, source))


# ---------------------------------------------------------------- empty


@pytest.mark.parametrize("value", [None, "", "  ", "\t\n", " ", []])
def test_null_blank_text_and_an_empty_list_are_empty(value: Value) -> None:
    assert is_empty(value)


@pytest.mark.parametrize("value", [0, False, "0", "x", [None], [""]])
def test_zero_and_false_are_values(value: Value) -> None:
    assert not is_empty(value)


@given(CONVERTIBLE)
def test_empty_stays_empty_whatever_the_types(pair: tuple[FieldType, FieldType]) -> None:
    source, target = pair
    convert = conversion(source, target)
    empties: tuple[Value, ...] = (None, []) if Kind.LIST in (source.kind, target.kind) else (None, "", "   ")
    for empty in empties:
        assert is_empty(convert.forward(empty))
        assert is_empty(convert.back(empty))
        assert convert.same(empty, None)
        assert convert.same(None, empty)


def test_blank_text_stays_as_it_is_between_texts_and_is_null_elsewhere() -> None:
    assert conversion(TEXT, text(3)).forward("  ") == "  "
    assert conversion(TEXT, text(3)).forward("     ") == "   "
    assert conversion(TEXT, INTEGER).forward("  ") is None
    assert conversion(TEXT, TIER).forward("") is None


# ---------------------------------------------------------------- what converts into what

CONVERTED: list[tuple[FieldType, FieldType, Value, Value]] = [
    (TEXT, INTEGER, " 42 ", 42),
    (TEXT, INTEGER, "-7", -7),
    (TEXT, INTEGER, "+7", 7),
    (TEXT, DECIMAL, "012.50", "12.5"),
    (TEXT, DECIMAL, "1e3", "1000"),
    (TEXT, DECIMAL, "NaN", "NaN"),
    (TEXT, BOOLEAN, "Yes", True),
    (TEXT, BOOLEAN, "off", False),
    (TEXT, BOOLEAN, "0", False),
    (TEXT, DATE, "2026-11-24", "2026-11-24"),
    (TEXT, TIMESTAMP, "2026-11-24 18:30:00+02:00", "2026-11-24T16:30:00Z"),
    (TEXT, TIMESTAMP, "2026-11-24", "2026-11-24T00:00:00Z"),
    (TEXT, LOCAL_TIMESTAMP, "2026-11-24T18:30", "2026-11-24T18:30:00"),
    (TEXT, TIME, "18:30", "18:30:00+00:00"),
    (TEXT, UUID, "6F1E1C1E8D5B4B0E9B7A3F6D2C1A0B9E", "6f1e1c1e-8d5b-4b0e-9b7a-3f6d2c1a0b9e"),
    (TEXT, JSON, '{"b": 1.0, "a": []}', '{"a":[],"b":1}'),
    (TEXT, TIER, "gold", "gold"),
    (TEXT, REFERENCE, "17", "17"),
    (INTEGER, TEXT, 42, "42"),
    (INTEGER, DECIMAL, 42, "42"),
    (INTEGER, BOOLEAN, 1, True),
    (INTEGER, BOOLEAN, 0, False),
    (INTEGER, FieldType(Kind.ENUM, options=("1", "2")), 2, "2"),
    (DECIMAL, INTEGER, "12.5", 13),
    (DECIMAL, INTEGER, "-12.5", -13),
    (DECIMAL, BOOLEAN, "1", True),
    (DECIMAL, TEXT, "12.5", "12.5"),
    (BOOLEAN, TEXT, False, "false"),
    (BOOLEAN, INTEGER, True, 1),
    (BOOLEAN, DECIMAL, False, "0"),
    (DATE, TIMESTAMP, "2026-11-24", "2026-11-24T00:00:00Z"),
    (DATE, LOCAL_TIMESTAMP, "2026-11-24", "2026-11-24T00:00:00"),
    (TIMESTAMP, DATE, "2026-11-24T23:59:59.9Z", "2026-11-24"),
    (TIMESTAMP, LOCAL_TIMESTAMP, "2026-11-24T18:30:00Z", "2026-11-24T18:30:00"),
    (TIME, LOCAL_TIME, "18:30:00+02:00", "16:30:00"),
    (LOCAL_TIME, TIME, "18:30:00", "18:30:00+00:00"),
    (of(INTEGER), of(TEXT), [1, 2], ["1", "2"]),
    (of(TEXT), FieldType(Kind.LIST, options=("a", "b")), ["b"], ["b"]),
]


@pytest.mark.parametrize(("source", "target", "value", "expected"), CONVERTED)
def test_a_value_takes_the_form_of_the_other_type(
    source: FieldType, target: FieldType, value: Value, expected: Value
) -> None:
    convert = conversion(source, target)
    converted = convert.forward(value)
    assert converted == expected
    assert type(converted) is type(expected)
    assert conversion(target, source).back(value) == expected
    assert convert.same(value, expected)


REFUSED: list[tuple[FieldType, FieldType, Value, str]] = [
    (TEXT, INTEGER, "abc", "'abc' is not a whole number; allowed: a whole number, such as 42"),
    (TEXT, INTEGER, "5.0", "'5.0' is not a whole number; allowed: a whole number, such as 42"),
    (TEXT, INTEGER, "٤٢", "'٤٢' is not a whole number; allowed: a whole number, such as 42"),
    (TEXT, DECIMAL, "inf", "'inf' is not a number; allowed: a number with a point for decimals, such as 12.5"),
    (TEXT, DECIMAL, "1,5", "'1,5' is not a number; allowed: a number with a point for decimals, such as 12.5"),
    (TEXT, BOOLEAN, "maybe", "'maybe' is neither true nor false; allowed: true or false (also yes/no, on/off, 1/0)"),
    (TEXT, DATE, "24.11.2026", "'24.11.2026' is not a date; allowed: a date as 2026-11-24"),
    (TEXT, DATE, "2026-02-30", "'2026-02-30' is no day of the calendar; allowed: a date as 2026-11-24"),
    (TEXT, UUID, "x", "'x' is not a UUID; allowed: a UUID as 6f1e1c1e-8d5b-4b0e-9b7a-3f6d2c1a0b9e"),
    (TEXT, TIER, "bronze", "'bronze' is not an option; allowed: one of gold, silver"),
    (TEXT, TIER, "Gold", "'Gold' is not an option; allowed: one of gold, silver"),
    (TEXT, text(3), "abcd", "'abcd' has 4 characters; allowed: a text of at most 3 characters"),
    (INTEGER, BOOLEAN, 2, "2 is neither true nor false; allowed: 0 or 1"),
    (INTEGER, FieldType(Kind.INTEGER, bits=16), 40000, "40000 is out of range; allowed: a whole number from -32768 to 32767"),
    (TEXT, FieldType(Kind.INTEGER, bits=32), "3000000000", "3000000000 is out of range; allowed: a whole number from -2147483648 to 2147483647"),
    (DECIMAL, INTEGER, "NaN", "'NaN' is not a whole number; allowed: a whole number, such as 42"),
    (DECIMAL, INTEGER, "9" * 30, f"{'9' * 30} is out of range; allowed: a whole number from -9223372036854775808 to 9223372036854775807"),
    (DECIMAL, decimal(5, 2), "1000", "'1000' has too many digits; allowed: a number of at most 3 digits before the point and 2 after it"),
    (DECIMAL, decimal(5, 2), "999.995", "'999.995' has too many digits; allowed: a number of at most 3 digits before the point and 2 after it"),
    (DECIMAL, decimal(5, 2), "Infinity", "'Infinity' has too many digits; allowed: a number of at most 3 digits before the point and 2 after it"),
    (of(TEXT), of(INTEGER), ["1", "x"], "'x' is not a whole number; allowed: a whole number, such as 42"),
    (of(TEXT), of(INTEGER), "1", "'1' is not a list; allowed: a list"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "target", "value", "message"), REFUSED)
def test_what_cannot_be_converted_or_does_not_fit_is_refused_by_name(
    source: FieldType, target: FieldType, value: Value, message: str
) -> None:
    with pytest.raises(InvalidValueError) as refused:
        conversion(source, target).forward(value)
    assert str(refused.value) == message
    assert message == f"{refused.value.reason}; allowed: {refused.value.allowed}"


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (BOOLEAN, DATE, "boolean cannot be converted to date"),
        (FieldType(Kind.DATE, native="date"), FieldType(Kind.INTEGER, native="int4"), "date (date) cannot be converted to integer (int4)"),
        (TEXT, TEXTS, "text cannot be converted to list"),
        (TEXTS, TEXT, "list cannot be converted to text"),
        (BYTES, TEXT, "bytes cannot be converted to text"),
        (TIMESTAMP, TIME, "timestamp cannot be converted to time"),
        (UUID, INTEGER, "uuid cannot be converted to integer"),
        (of(DATE), of(BOOLEAN), "date cannot be converted to boolean"),
        (TIER, INTEGER, "no option of enum (gold, silver) can be converted to integer: a whole number from -9223372036854775808 to 9223372036854775807"),
        (TIER, FieldType(Kind.ENUM, options=("a",)), "no option of enum (gold, silver) can be converted to enum: one of a"),
    ],
)  # fmt: skip
def test_types_that_never_convert_are_refused_when_compiled(source: FieldType, target: FieldType, message: str) -> None:
    with pytest.raises(InconvertibleError) as refused:
        conversion(source, target)
    assert str(refused.value) == message


# ---------------------------------------------------------------- precision and length


def test_a_number_is_rounded_to_the_scale_of_its_target_half_away_from_zero() -> None:
    convert = conversion(decimal(None, None), decimal(10, 2))
    assert convert.forward("1.005") == "1.01"
    assert convert.forward("-1.005") == "-1.01"
    assert convert.forward("1.004") == "1"
    assert convert.forward("NaN") == "NaN"


def test_a_negative_scale_rounds_before_the_point() -> None:
    assert conversion(DECIMAL, decimal(3, -2)).forward("12345") == "12300"
    assert conversion(DECIMAL, decimal(3, -2)).forward("49.9") == "0"


def test_a_scale_beyond_the_precision_leaves_room_for_small_numbers_only() -> None:
    convert = conversion(DECIMAL, decimal(3, 5))
    assert convert.forward("0.00999") == "0.00999"
    with pytest.raises(InvalidValueError):
        convert.forward("0.01")


def test_a_precision_without_a_scale_counts_significant_digits() -> None:
    convert = conversion(DECIMAL, decimal(6, None))
    assert convert.forward("123456.789") == "123457"
    assert convert.forward("0.0001234567") == "0.000123457"
    assert convert.same("0.1234567", "0.123457")


def test_the_fraction_of_a_second_is_rounded_and_carries() -> None:
    convert = conversion(FieldType(Kind.TIMESTAMP, scale=6), FieldType(Kind.TIMESTAMP, scale=0))
    assert convert.forward("2026-12-31T23:59:59.5Z") == "2027-01-01T00:00:00Z"
    assert convert.forward("2026-12-31T23:59:59.499999Z") == "2026-12-31T23:59:59Z"
    times = conversion(FieldType(Kind.TIME, scale=6, zone=False), FieldType(Kind.TIME, scale=2, zone=False))
    assert times.forward("10:00:00.129") == "10:00:00.13"
    assert times.forward("23:59:59.999") == "24:00:00"


def test_a_time_that_was_cut_and_one_that_was_rounded_are_both_the_same() -> None:
    fine, coarse = FieldType(Kind.TIMESTAMP, scale=6), FieldType(Kind.TIMESTAMP, scale=3)
    moment = "2026-11-24T18:30:00.123789Z"
    for stored, is_same in (
        ("2026-11-24T18:30:00.123Z", True),
        ("2026-11-24T18:30:00.124Z", True),
        ("2026-11-24T18:30:00.125Z", False),
    ):
        assert conversion(fine, coarse).same(moment, stored) is is_same
        assert conversion(coarse, fine).same(stored, moment) is is_same


@pytest.mark.parametrize(
    ("texts", "value"), [("true yes on t y 1 TRUE Yes", True), ("false no off f n 0 False NO", False)]
)
def test_the_words_for_true_and_false(texts: str, value: bool) -> None:
    for written in texts.split():
        assert conversion(TEXT, BOOLEAN).forward(written) is value


def test_a_text_cut_at_the_length_of_its_field_is_the_same() -> None:
    convert = conversion(text(30), text(5))
    assert convert.same("Lovelace", "Lovel")
    assert not convert.same("Lovelace", "Love")
    assert not convert.same("Lovel", "Lovelace")


def test_moments_outside_the_calendar_are_left_as_their_app_writes_them() -> None:
    convert = conversion(FieldType(Kind.TIMESTAMP, scale=6), FieldType(Kind.TIMESTAMP, scale=0))
    assert convert.forward("infinity") == "infinity"
    assert convert.forward("10000-01-01T00:00:00.75Z") == "10000-01-01T00:00:00Z"


def test_a_time_in_another_zone_is_the_same_moment() -> None:
    assert conversion(TIME, TIME).same("18:30:00+02:00", "16:30:00+00:00")
    assert not conversion(TIME, TIME).same("18:30:00+02:00", "18:30:00+00:00")


def test_another_order_of_options_is_no_difference_but_another_order_of_texts_is() -> None:
    tags = FieldType(Kind.LIST, item=FieldType(Kind.ENUM, options=("a", "b", "c")))
    assert conversion(tags, tags).same(["a", "b"], ["b", "a"])
    assert not conversion(tags, tags).same(["a", "b"], ["a", "c"])
    assert not conversion(tags, tags).same(["a", "a"], ["a"])
    assert not conversion(TEXTS, TEXTS).same(["a", "b"], ["b", "a"])


def test_true_and_one_compare_as_their_types_say() -> None:
    assert conversion(BOOLEAN, INTEGER).same(True, 1)
    assert not conversion(BOOLEAN, INTEGER).same(True, 0)
    assert conversion(TEXT, BOOLEAN).same("yes", True)


def test_a_value_of_the_wrong_type_is_refused_and_compared_without_harm() -> None:
    for source, target, wrong in ((INTEGER, TEXT, "x"), (TEXT, INTEGER, 5), (BOOLEAN, TEXT, 1), (DATE, TIMESTAMP, 5)):
        with pytest.raises(InvalidValueError):
            conversion(source, target).forward(wrong)
        assert not conversion(source, target).same(wrong, "z")


# ---------------------------------------------------------------- properties


@given(st.data(), CONVERTIBLE)
def test_what_was_converted_and_fits_is_the_same_as_before(
    data: st.DataObject, pair: tuple[FieldType, FieldType]
) -> None:
    convert = conversion(*pair)
    value = data.draw(values_of(pair[0]))
    try:
        converted = convert.forward(value)
    except InvalidValueError:
        return
    assert convert.same(value, converted), (value, converted)


@given(st.data(), CONVERTIBLE)
def test_what_was_written_passes_back_and_forth_without_changing_again(
    data: st.DataObject, pair: tuple[FieldType, FieldType]
) -> None:
    """The no-ping-pong property: after one crossing each side's form is stable."""
    convert = conversion(*pair)
    try:
        there = convert.forward(data.draw(values_of(pair[0])))
        back = convert.back(there)
        again = convert.forward(back)
    except InvalidValueError:
        return
    assert convert.same(back, there)
    assert again == there or convert.same(back, again)


@given(st.data(), types())
def test_a_type_converts_to_itself_unchanged(data: st.DataObject, type_: FieldType) -> None:
    convert = conversion(type_, type_)
    value = data.draw(values_of(type_))
    assert convert.identity
    assert convert.forward(value) is value
    assert convert.back(value) is value
    assert convert.same(value, value)


@given(st.data(), BOTH_WAYS)
def test_comparing_is_the_same_from_either_side_and_never_fails(
    data: st.DataObject, pair: tuple[FieldType, FieldType]
) -> None:
    source, target = pair
    there, back = conversion(source, target), conversion(target, source)
    nothing: list[Value] = [None, "", []]
    anything = values_of(source) | values_of(target) | st.sampled_from(nothing)
    a, b = data.draw(anything), data.draw(anything)
    assert there.same(a, b) == back.same(b, a)


@given(
    st.data(), scalar_types((Kind.TEXT, Kind.INTEGER, Kind.DECIMAL, Kind.BOOLEAN, Kind.DATE, Kind.TIMESTAMP, Kind.UUID))
)
def test_a_value_survives_as_text(data: st.DataObject, type_: FieldType) -> None:
    value = data.draw(values_of(type_))
    convert = conversion(type_, TEXT)
    assert convert.back(convert.forward(value)) == value


# ---------------------------------------------------------------- value maps


def test_a_value_map_is_read_both_ways_in_the_types_of_its_fields() -> None:
    convert = conversion(TIER, INTEGER, [("gold", "1"), ("silver", 2)])
    assert convert.forward("gold") == 1
    assert convert.back(2) == "silver"
    assert convert.same("gold", 1)
    assert not convert.same("gold", 2)
    assert not convert.identity
    assert convert.forward(None) is None


def test_a_value_map_never_takes_equal_looking_values_for_the_same() -> None:
    swapped = conversion(INTEGER, INTEGER, {1: 2, 2: 1})
    assert not swapped.same(1, 1)
    assert swapped.same(1, 2)


def test_a_value_that_the_map_does_not_name_is_refused_naming_those_it_does() -> None:
    with pytest.raises(InvalidValueError) as refused:
        conversion(TEXT, INTEGER, {"gold": 1, "silver": 2}).forward("bronze")
    assert str(refused.value) == "'bronze' is not in `values`; allowed: one of gold, silver"


def test_a_value_map_of_a_list_holds_for_each_element() -> None:
    convert = conversion(of(TIER), of(INTEGER), {"gold": 1, "silver": 2})
    assert convert.forward(["silver", "gold"]) == [2, 1]
    assert convert.same(["silver", "gold"], [1, 2])
    assert not convert.same(["silver"], [1])


def test_a_value_map_treats_empty_values_and_lists_as_what_they_are() -> None:
    convert = conversion(TIER, INTEGER, {"gold": 1})
    assert convert.same(None, "")
    assert not convert.same("gold", None)
    assert not convert.same(None, 1)
    assert not convert.same(["gold"], 1)
    with pytest.raises(InvalidValueError):
        convert.forward(["gold"])
    lists = conversion(of(TIER), of(INTEGER), {"gold": 1})
    assert lists.same([], None)
    assert not lists.same(["gold"], None)
    assert not lists.same(["gold"], [])
    assert not lists.same("gold", [1])
    assert not lists.same(["gold", "gold"], [1])
    with pytest.raises(InconvertibleError):
        conversion(TIER, of(INTEGER), {"gold": 1})


def test_a_one_way_map_may_send_several_values_to_one() -> None:
    values = [("gold", 1), ("platinum", 1), ("silver", 2)]
    assert not invertible(values)
    convert = conversion(TEXT, INTEGER, values)
    assert convert.forward("platinum") == 1
    assert convert.same("gold", 1)
    assert convert.same("platinum", 1)
    with pytest.raises(InvalidValueError) as refused:
        convert.back(1)
    assert str(refused.value) == "1 stands for several values in `values`; allowed: one of 1, 2"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gold": "one"}, "values: 'one' is not a whole number; allowed: a whole number, such as 42"),
        ({"bronze": 1}, "values: 'bronze' is not an option; allowed: one of gold, silver"),
        ({"": 1}, "values: an empty value cannot be mapped"),
    ],
)
def test_a_value_map_that_does_not_suit_its_types_is_refused(values: dict[Any, Any], message: str) -> None:
    with pytest.raises(InconvertibleError) as refused:
        conversion(TIER, INTEGER, values)
    assert str(refused.value) == message


@given(st.dictionaries(st.text("abc", min_size=1, max_size=2), st.integers(0, 3), max_size=5))
def test_an_invertible_map_goes_there_and_back(values: dict[str, int]) -> None:
    assert invertible(values) == (len(set(values.values())) == len(values))
    if invertible(values):
        convert = conversion(TEXT, INTEGER, values)
        for key, value in values.items():
            assert convert.back(convert.forward(key)) == key
            assert convert.same(key, value)


# ---------------------------------------------------------------- what a person writes


@pytest.mark.parametrize(
    ("type_", "written", "held"),
    [
        (INTEGER, "42", 42),
        (INTEGER, 42, 42),
        (TEXT, 42, "42"),
        (TEXT, True, "true"),
        (BOOLEAN, True, True),
        (DECIMAL, 12, "12"),
        (DECIMAL, "12.50", "12.5"),
        (TIMESTAMP, "2026-11-24 10:00", "2026-11-24T10:00:00Z"),
        (TEXTS, ["a", 1], ["a", "1"]),
        (FieldType(Kind.LIST, options=("a", "b")), ["a"], ["a"]),
    ],
)
def test_a_constant_takes_the_form_of_its_field(type_: FieldType, written: Value, held: Value) -> None:
    assert fits(type_)(written) == held


@pytest.mark.parametrize(
    ("type_", "written"),
    [(INTEGER, "x"), (TEXT, ["a"]), (TEXTS, "a"), (text(2), "abc"), (FieldType(Kind.LIST, options=("a",)), ["b"])],
)
def test_a_constant_that_does_not_fit_is_refused(type_: FieldType, written: Value) -> None:
    with pytest.raises(InvalidValueError):
        fits(type_)(written)


@given(types())
def test_every_type_can_be_described(type_: FieldType) -> None:
    assert describe(type_)
