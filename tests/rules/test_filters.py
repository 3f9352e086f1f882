"""Filters: who may enter (semantics, section 1)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from rules.catalog import FieldType, Kind, Value
from rules.filters import AllOf, AnyOf, Condition, Filter, FilterError, Op, compile_filters, filter_problems
from tests.rules.value_strategies import scalar_types, values_of

_FILTERS: TypeAdapter[tuple[Condition | AnyOf | AllOf, ...]] = TypeAdapter(tuple[Filter, ...])

TYPES = {
    "text": FieldType(Kind.TEXT),
    "number": FieldType(Kind.DECIMAL),
    "count": FieldType(Kind.INTEGER),
    "day": FieldType(Kind.DATE),
    "moment": FieldType(Kind.TIMESTAMP),
    "hour": FieldType(Kind.TIME),
    "flag": FieldType(Kind.BOOLEAN),
    "tier": FieldType(Kind.ENUM, options=("gold", "silver", "bronze")),
    "tags": FieldType(Kind.LIST, item=FieldType(Kind.TEXT)),
    "numbers": FieldType(Kind.LIST, item=FieldType(Kind.INTEGER)),
    "choices": FieldType(Kind.LIST, options=("a", "b")),
    "blob": FieldType(Kind.JSON),
}


def holds(field: str, op: str, value: Any, record: Value) -> bool:
    raw = {"field": field, "op": op} | ({} if value is None else {"value": value})
    return compile_filters(_FILTERS.validate_python([raw]), TYPES)({field: record})


HOLD = [
    ("text", "eq", "ES", "ES", True),
    ("text", "eq", "ES", "es", False),
    ("text", "eq", "ES", "ES ", False),
    ("text", "eq", 5, "5", True),
    ("text", "ne", "ES", "FR", True),
    ("text", "ne", "ES", "ES", False),
    ("text", "lt", "b", "a", True),
    ("text", "in", ["ES", "FR"], "FR", True),
    ("text", "in", ["ES", "FR"], "DE", False),
    ("text", "not_in", ["ES", "FR"], "DE", True),
    ("text", "not_in", ["ES", "FR"], "ES", False),
    ("text", "contains", "b", "abc", True),
    ("text", "contains", "B", "abc", False),
    ("text", "contains", 5, "a5b", True),
    ("text", "contains", True, "it is true", True),
    ("text", "contains", False, "it is true", False),
    ("choices", "contains", "a", ["b", "a"], True),
    ("text", "starts_with", "ab", "abc", True),
    ("text", "starts_with", "bc", "abc", False),
    ("text", "ends_with", "bc", "abc", True),
    ("text", "ends_with", "ab", "abc", False),
    ("number", "eq", "12.50", "12.5", True),
    ("number", "gt", 9, "10", True),
    ("number", "gt", "9.5", "10", True),
    ("number", "lt", 9, "10", False),
    ("number", "gt", "1e6", "NaN", True),
    ("number", "ge", "10.0", "10", True),
    ("number", "le", "10.0", "10", True),
    ("number", "lt", 0, "-Infinity", True),
    ("count", "lt", "10", 9, True),
    ("count", "eq", 1, 1, True),
    ("count", "gt", 1, True, False),
    ("day", "ge", "2026-01-01", "2026-01-01", True),
    ("day", "lt", "2026-01-01", "10000-01-01", False),
    ("day", "lt", "2026-01-01", "0044-03-15 BC", True),
    ("day", "gt", "2026-01-01", "infinity", True),
    ("day", "gt", "2026-01-01", "someday", False),
    ("moment", "gt", "2026-11-24T18:30:00+02:00", "2026-11-24T16:30:00.25Z", True),
    ("moment", "gt", "2026-11-24T16:30:00.25Z", "2026-11-24T16:30:00Z", False),
    ("moment", "ge", "2026-11-24", "2026-11-24T00:00:00Z", True),
    ("hour", "lt", "12:00", "12:30:00+02:00", True),
    ("flag", "eq", True, True, True),
    ("flag", "eq", True, False, False),
    ("flag", "eq", False, False, True),
    ("tier", "gt", "gold", "silver", True),
    ("tier", "lt", "gold", "bronze", False),
    ("tags", "contains", "a", ["a", "b"], True),
    ("tags", "contains", "a", ["ab"], False),
    ("numbers", "contains", "2", [1, 2], True),
]


@pytest.mark.parametrize(("field", "op", "value", "record", "expected"), HOLD)
def test_a_value_is_compared_as_its_type_says(field: str, op: str, value: Any, record: Value, expected: bool) -> None:
    assert holds(field, op, value, record) is expected


@pytest.mark.parametrize("empty", [None, "", "  ", []])
@pytest.mark.parametrize("op", [op for op in Op if op not in (Op.IS_EMPTY, Op.IS_NOT_EMPTY)])
def test_a_comparison_with_an_empty_value_is_false_but_ne_and_not_in_hold(op: Op, empty: Value) -> None:
    value = ["x"] if op in (Op.IN, Op.NOT_IN) else "x"
    assert holds("text", op, value, empty) is (op in (Op.NE, Op.NOT_IN))


@pytest.mark.parametrize(
    ("value", "is_empty"), [(None, True), ("", True), (" ", True), ([], True), ("x", False), (0, False), (False, False)]
)
def test_is_empty_holds_for_nothing_but_empty(value: Value, is_empty: bool) -> None:
    assert holds("text", "is_empty", None, value) is is_empty
    assert holds("text", "is_not_empty", None, value) is not is_empty


def test_a_field_that_the_record_lacks_is_empty() -> None:
    test = compile_filters(_FILTERS.validate_python([{"field": "text", "op": "ne", "value": "x"}]), TYPES)
    assert test({})


def test_conditions_of_a_side_must_all_hold_and_any_and_all_nest() -> None:
    test = compile_filters(
        _FILTERS.validate_python(
            [
                {"field": "flag", "op": "eq", "value": True},
                {"any": [
                    {"field": "tier", "op": "eq", "value": "gold"},
                    {"all": [{"field": "number", "op": "ge", "value": 100}, {"field": "text", "op": "is_not_empty"}]},
                ]},
            ]
        ),
        TYPES,
    )  # fmt: skip
    assert test({"flag": True, "tier": "gold"})
    assert not test({"flag": False, "tier": "gold"})
    assert test({"flag": True, "number": "100", "text": "x"})
    assert not test({"flag": True, "number": "100"})
    assert not test({"flag": True, "number": "99", "text": "x"})


def test_no_filter_lets_everything_in() -> None:
    assert compile_filters((), TYPES)({})


@pytest.mark.parametrize(
    ("raw", "message", "remedy", "path"),
    [
        ({"field": "txt", "op": "eq", "value": "a"}, "there is no field 'txt'", "name one of " + ", ".join(TYPES), ("field",)),
        ({"field": "count", "op": "eq", "value": "a"}, "'a' is not a whole number", "write a whole number, such as 42", ("value",)),
        ({"field": "tier", "op": "in", "value": ["gold", "tin"]}, "'tin' is not an option", "write one of gold, silver, bronze", ("value",)),
        ({"field": "day", "op": "gt", "value": "soon"}, "'soon' is not a date", "write a date as 2026-11-24", ("value",)),
        ({"field": "tags", "op": "eq", "value": "a"}, "'eq' cannot compare 'tags', which is a list",
         "use contains, is_empty or is_not_empty", ("op",)),
        ({"field": "tags", "op": "starts_with", "value": "a"}, "'starts_with' cannot compare 'tags', which is a list",
         "use contains, is_empty or is_not_empty", ("op",)),
        ({"field": "flag", "op": "lt", "value": True}, "'lt' cannot compare 'flag', which is a boolean",
         "use eq or in, is_empty or is_not_empty", ("op",)),
        ({"field": "count", "op": "contains", "value": 1}, "'contains' cannot compare 'count', which is an integer",
         "use eq, is_empty or is_not_empty", ("op",)),
    ],
)  # fmt: skip
def test_a_condition_that_does_not_suit_its_field_is_refused(
    raw: dict[str, Any], message: str, remedy: str, path: tuple[str, ...]
) -> None:
    filters = _FILTERS.validate_python([{"any": [{"field": "text", "op": "is_empty"}, raw]}])
    (problem,) = filter_problems(filters, TYPES)
    assert (problem.message, problem.remedy, problem.path) == (message, remedy, (0, "any", 1, *path))
    with pytest.raises(FilterError):
        compile_filters(filters, TYPES)


@pytest.mark.parametrize(
    "raw",
    [
        {"field": "text", "op": "eq"}, {"field": "text", "op": "eq", "value": ""}, {"field": "text", "op": "in", "value": "a"},
        {"field": "text", "op": "in", "value": []}, {"field": "text", "op": "in", "value": ["a", ""]}, {"field": "text", "op": "eq", "value": ["a"]},
        {"field": "text", "op": "is_empty", "value": 1}, {"field": "text", "op": "is", "value": 1}, {"op": "eq", "value": 1},
        {"any": []}, {"any": [{"op": "eq"}]}, {"any": [{"field": "text", "op": "is_empty"}], "field": "text"},
        {"all": [{"field": "text", "op": "is_empty"}], "op": "eq"}, {"any": [], "all": []}, {"field": "text", "op": "eq", "value": {"a": 1}}, "x", None,
    ],
)  # fmt: skip
def test_what_is_no_condition_is_refused(raw: Any) -> None:
    with pytest.raises(ValidationError):
        _FILTERS.validate_python([raw])


def test_all_conditions_that_do_not_suit_are_found_however_deep() -> None:
    wrong = {"field": "nowhere", "op": "is_empty"}
    filters = _FILTERS.validate_python([wrong, {"all": [wrong, {"any": [wrong]}]}])
    assert [problem.path for problem in filter_problems(filters, TYPES)] == [
        (0, "field"), (1, "all", 0, "field"), (1, "all", 1, "any", 0, "field")
    ]  # fmt: skip


def test_a_value_of_a_choice_that_its_list_does_not_have_is_refused() -> None:
    (problem,) = filter_problems([Condition(field="choices", op=Op.CONTAINS, value="c")], TYPES)
    assert (problem.message, problem.remedy) == ("'c' is not an option", "write one of a, b")


def test_a_number_with_a_point_is_kept_as_it_is_written() -> None:
    (condition,) = _FILTERS.validate_python([{"field": "number", "op": "eq", "value": 1.5}])
    assert isinstance(condition, Condition)
    assert condition.value == "1.5"


# ---------------------------------------------------------------- properties

_ORDERED = (Kind.TEXT, Kind.INTEGER, Kind.DECIMAL, Kind.DATE, Kind.TIMESTAMP, Kind.ENUM, Kind.TIME)


@given(st.data(), scalar_types(_ORDERED))
def test_exactly_one_of_less_equal_and_greater_holds(data: st.DataObject, type_: FieldType) -> None:
    values = values_of(type_, numbers_only=True)
    bound: Any = data.draw(values)
    value = data.draw(values)

    def test(op: Op) -> bool:
        return compile_filters([Condition(field="f", op=op, value=bound)], {"f": type_})({"f": value})

    # Two texts of one time of day in different zones are in one place of the order, but not equal.
    is_less, is_greater = test(Op.LT), test(Op.GT)
    assert not (is_less and is_greater)
    assert test(Op.LE) is not is_greater
    assert test(Op.GE) is not is_less
    if type_.kind is not Kind.TIME:
        assert test(Op.EQ) is (not is_less and not is_greater)


@given(st.data(), scalar_types(tuple(kind for kind in Kind if kind not in (Kind.LIST, Kind.BYTES))))
def test_ne_is_the_opposite_of_eq_and_in_of_not_in(data: st.DataObject, type_: FieldType) -> None:
    bound: Any = data.draw(values_of(type_))
    value = data.draw(values_of(type_) | st.none() | st.just(bound))

    def test(op: Op, against: Any) -> bool:
        return compile_filters([Condition(field="f", op=op, value=against)], {"f": type_})({"f": value})

    assert test(Op.EQ, bound) is not test(Op.NE, bound)
    assert test(Op.EQ, bound) is test(Op.IN, (bound,))
    assert test(Op.IN, (bound,)) is not test(Op.NOT_IN, (bound,))
    assert test(Op.EQ, bound) is (value == bound)


_CONDITIONS = st.builds(
    lambda field, empty: Condition(field=field, op=Op.IS_EMPTY if empty else Op.IS_NOT_EMPTY),
    st.sampled_from("abc"),
    st.booleans(),
)
_TREES = st.recursive(
    _CONDITIONS,
    lambda inner: (
        st.builds(lambda parts: AnyOf(any=tuple(parts)), st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda parts: AllOf(all=tuple(parts)), st.lists(inner, min_size=1, max_size=3))
    ),
    max_leaves=8,
)


@given(_TREES, st.dictionaries(st.sampled_from("abc"), st.just("x")))
def test_any_and_all_mean_what_they_say(tree: Condition | AnyOf | AllOf, record: dict[str, Value]) -> None:
    def expected(one: Condition | AnyOf | AllOf) -> bool:
        if isinstance(one, AnyOf):
            return any(expected(part) for part in one.any)
        if isinstance(one, AllOf):
            return all(expected(part) for part in one.all)
        return (one.field not in record) is (one.op is Op.IS_EMPTY)

    types = dict.fromkeys("abc", FieldType(Kind.TEXT))
    assert compile_filters([tree], types)(record) is expected(tree)
    assert compile_filters([tree, tree], types)(record) is expected(tree)


@given(st.data(), scalar_types(_ORDERED), st.sampled_from(tuple(Op)))
def test_a_value_of_the_wrong_type_never_breaks_a_filter(data: st.DataObject, type_: FieldType, op: Op) -> None:
    value: Any = data.draw(values_of(type_))
    if op in (Op.IN, Op.NOT_IN):
        value = (value,)
    elif op in (Op.IS_EMPTY, Op.IS_NOT_EMPTY):
        value = None
    filters = [Condition(field="f", op=op, value=value)]
    if filter_problems(filters, {"f": type_}):
        return
    test = compile_filters(filters, {"f": type_})
    for strange in (True, -1, "x", "\ud800", ["x"], [None], "NaN", "infinity", "9" * 5000):
        assert test({"f": strange}) in (True, False)
