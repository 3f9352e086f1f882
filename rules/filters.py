"""Filters: which records of a side enter a sync (semantics, section 1).

Responsible for the conditions as sync.yaml writes them, and for compiling them to a predicate over a record's
values. Must not know syncs or links; whoever asks decides what a filter's answer means.

The choices, where semantics leaves one: texts are compared exactly, upper and lower case and spaces included, as
the app itself would; options in the order of their type; a date or time by the calendar; `contains` asks a text for
a part and a list for an element. A comparison of a value that its field cannot hold is false, as with an empty one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from rules.canonical import canonical_time, shown
from rules.catalog import FieldType, Kind, Scalar, Value
from rules.faults import fault
from rules.values import InvalidValueError, describe, fits, is_empty, noun

Predicate = Callable[[Mapping[str, Value]], bool]


class Op(StrEnum):
    """How a field is compared."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    IN = "in"
    NOT_IN = "not_in"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    IS_EMPTY = "is_empty"
    IS_NOT_EMPTY = "is_not_empty"


WITHOUT_VALUE = frozenset((Op.IS_EMPTY, Op.IS_NOT_EMPTY))
WITH_LIST = frozenset((Op.IN, Op.NOT_IN))


class FilterError(Exception):
    """A condition that does not suit its field. `path` leads to it: (0, "any", 1, "value").

    `unknown`: the field that is compared, where there is none of that name.
    """

    def __init__(self, message: str, remedy: str, path: tuple[str | int, ...], unknown: str | None = None) -> None:
        super().__init__(message)
        self.message, self.remedy, self.path, self.unknown = message, remedy, path, unknown


# ---------------------------------------------------------------- as the file writes them


def _as_scalar(value: Any) -> Any:
    """A number with a point is kept as it is written: a float would change it."""
    if isinstance(value, float):
        return str(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise fault(f"a value is a text, a number, true or false, not {shown(value)}", "write one of these")


def _as_value(value: Any) -> Any:
    return tuple(map(_as_scalar, value)) if isinstance(value, (list, tuple)) else _as_scalar(value)


ScalarOrList = Annotated[Scalar | tuple[Scalar, ...], BeforeValidator(_as_value)]


class Condition(BaseModel):
    """One comparison of one field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: str = Field(description="The field of the object that is compared.", min_length=1)
    op: Op = Field(
        description="How: eq, ne, lt, le, gt, ge, in, not_in, contains, starts_with, ends_with, is_empty, is_not_empty."
    )
    value: ScalarOrList = Field(
        default=None, description="With what. A list for `in` and `not_in`; nothing for `is_empty` and `is_not_empty`."
    )

    @model_validator(mode="after")
    def _value_suits_the_op(self) -> Condition:
        op, value = self.op.value, self.value
        if self.op in WITHOUT_VALUE:
            if value is not None:
                raise fault(f"'{op}' takes no value", "remove 'value'", "value")
        elif self.op in WITH_LIST:
            if not isinstance(value, tuple) or not value or any(is_empty(one) for one in value):
                raise fault(f"'{op}' needs a list of values", "write value: [a, b]", "value")
        elif isinstance(value, tuple):
            raise fault(f"'{op}' compares with one value, not with a list", "write one value, or op: in", "value")
        elif is_empty(value):
            raise fault(f"'{op}' needs a value", "write value: …, or op: is_empty for an empty field", "value")
        return self


class AnyOf(BaseModel):
    """At least one of the conditions holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    any: tuple[Filter, ...] = Field(description="Conditions of which at least one must hold.", min_length=1)


class AllOf(BaseModel):
    """All of the conditions hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    all: tuple[Filter, ...] = Field(description="Conditions that must all hold.", min_length=1)


def _form(raw: Any) -> Literal["any_of", "all_of", "condition"]:
    if isinstance(raw, AnyOf) or (isinstance(raw, dict) and "any" in raw):
        return "any_of"
    if isinstance(raw, AllOf) or (isinstance(raw, dict) and "all" in raw):
        return "all_of"
    return "condition"


Filter = Annotated[
    Annotated[Condition, Tag("condition")] | Annotated[AnyOf, Tag("any_of")] | Annotated[AllOf, Tag("all_of")],
    Discriminator(_form),
]
AnyOf.model_rebuild()
AllOf.model_rebuild()


# ---------------------------------------------------------------- compiled


def compile_filters(filters: Sequence[Condition | AnyOf | AllOf], types: Mapping[str, FieldType]) -> Predicate:
    """Whether a record's values meet all of the filters. Raises `FilterError` where one does not suit its field."""
    tests = [_compile(one, types, (index,)) for index, one in enumerate(filters)]
    if not tests:
        return lambda _: True
    if len(tests) == 1:
        return tests[0]
    return lambda values: all(test(values) for test in tests)


def filter_problems(
    filters: Sequence[Condition | AnyOf | AllOf], types: Mapping[str, FieldType], path: tuple[str | int, ...] = ()
) -> list[FilterError]:
    """All conditions that do not suit their fields."""
    problems: list[FilterError] = []
    for index, one in enumerate(filters):
        here = (*path, index)
        if isinstance(one, AnyOf):
            problems += filter_problems(one.any, types, (*here, "any"))
        elif isinstance(one, AllOf):
            problems += filter_problems(one.all, types, (*here, "all"))
        else:
            try:
                _compile_condition(one, types, here)
            except FilterError as problem:
                problems.append(problem)
    return problems


def _compile(one: Condition | AnyOf | AllOf, types: Mapping[str, FieldType], path: tuple[str | int, ...]) -> Predicate:
    if isinstance(one, Condition):
        return _compile_condition(one, types, path)
    word, inner = ("any", one.any) if isinstance(one, AnyOf) else ("all", one.all)
    tests = [_compile(nested, types, (*path, word, index)) for index, nested in enumerate(inner)]
    if word == "any":
        return lambda values: any(test(values) for test in tests)
    return lambda values: all(test(values) for test in tests)


def _compile_condition(condition: Condition, types: Mapping[str, FieldType], path: tuple[str | int, ...]) -> Predicate:
    name, op = condition.field, condition.op
    type_ = types.get(name)
    if type_ is None:
        raise FilterError(f"there is no field '{name}'", "name one of " + ", ".join(types), (*path, "field"), name)
    if op is Op.IS_EMPTY:
        return lambda values: is_empty(values.get(name))
    if op is Op.IS_NOT_EMPTY:
        return lambda values: not is_empty(values.get(name))
    test, if_empty = _test(condition, type_, path), op in (Op.NE, Op.NOT_IN)

    def holds(values: Mapping[str, Value]) -> bool:
        value = values.get(name)
        return if_empty if is_empty(value) else test(value)

    return holds


def _test(condition: Condition, type_: FieldType, path: tuple[str | int, ...]) -> Callable[[Value], bool]:
    """The comparison of a value that is not empty."""
    match condition.op:
        case Op.EQ | Op.NE | Op.IN | Op.NOT_IN:
            return _equality(condition, type_, path)
        case Op.LT | Op.LE | Op.GT | Op.GE:
            return _order(condition, type_, path)
        case Op.CONTAINS if type_.kind is Kind.LIST:
            element = _typed(condition.value, _item(type_), path)
            return lambda value: isinstance(value, list) and element in value
        case _:
            return _part(condition, type_, path)


def _item(type_: FieldType) -> FieldType:
    return type_.item or FieldType(Kind.ENUM if type_.options else Kind.TEXT, options=type_.options)


def _typed(value: Any, type_: FieldType, path: tuple[str | int, ...]) -> Value:
    """The filter's value in the canonical form of the field, so that the two compare."""
    # A text longer than the field, or a number finer than it, may still be compared with.
    bare = FieldType(type_.kind, options=type_.options, zone=type_.zone)
    try:
        return fits(bare)(value)
    except InvalidValueError as error:
        raise FilterError(error.reason, f"write {error.allowed or describe(bare)}", (*path, "value")) from None


def _equality(condition: Condition, type_: FieldType, path: tuple[str | int, ...]) -> Callable[[Value], bool]:
    if type_.kind is Kind.LIST:
        raise _unsuited(condition, type_, path, "contains")
    given = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    wanted = frozenset((isinstance(one, bool), _hashable(_typed(one, type_, path))) for one in given)
    if condition.op in (Op.EQ, Op.IN):
        return lambda value: (isinstance(value, bool), _hashable(value)) in wanted
    return lambda value: (isinstance(value, bool), _hashable(value)) not in wanted


def _hashable(value: Value) -> Scalar | tuple[()]:
    return () if isinstance(value, list) else value


_OUT_OF_ORDER = (TypeError, ValueError, ArithmeticError, InvalidValueError)


def _order(condition: Condition, type_: FieldType, path: tuple[str | int, ...]) -> Callable[[Value], bool]:
    rank = _rank(type_)
    if rank is None:
        raise _unsuited(condition, type_, path, "eq or in")
    try:
        bound = rank(_typed(condition.value, type_, path))
    except _OUT_OF_ORDER:
        raise FilterError(
            f"'{condition.value}' has no place in an order", f"write {describe(type_)}", (*path, "value")
        ) from None
    compare = _COMPARE[condition.op]

    def test(value: Value) -> bool:
        try:
            return bool(compare(rank(value), bound))
        except _OUT_OF_ORDER:
            return False

    return test


_COMPARE: dict[Op, Callable[[Any, Any], Any]] = {
    Op.LT: lambda a, b: a < b,
    Op.LE: lambda a, b: a <= b,
    Op.GT: lambda a, b: a > b,
    Op.GE: lambda a, b: a >= b,
}


def _part(condition: Condition, type_: FieldType, path: tuple[str | int, ...]) -> Callable[[Value], bool]:
    if type_.kind not in (Kind.TEXT, Kind.ENUM, Kind.REFERENCE, Kind.UUID):
        raise _unsuited(condition, type_, path, "contains" if type_.kind is Kind.LIST else "eq")
    part = condition.value
    if not isinstance(part, str):
        part = ("true" if part else "false") if isinstance(part, bool) else str(part)
    match condition.op:
        case Op.CONTAINS:
            return lambda value: isinstance(value, str) and part in value
        case Op.STARTS_WITH:
            return lambda value: isinstance(value, str) and value.startswith(part)
        case _:
            return lambda value: isinstance(value, str) and value.endswith(part)


def _unsuited(condition: Condition, type_: FieldType, path: tuple[str | int, ...], better: str) -> FilterError:
    message = f"'{condition.op.value}' cannot compare '{condition.field}', which is {noun(type_)}"
    return FilterError(message, f"use {better}, is_empty or is_not_empty", (*path, "op"))


# ---------------------------------------------------------------- order


def _rank(type_: FieldType) -> Callable[[Value], Any] | None:
    """What the values of a type are ordered by; None where there is no order."""
    match type_.kind:
        case Kind.ENUM if type_.options is not None:
            places = {option: place for place, option in enumerate(type_.options)}
            return lambda value: places[value] if isinstance(value, str) and value in places else _no_order()
        case Kind.TEXT | Kind.ENUM | Kind.REFERENCE | Kind.UUID:
            return lambda value: value if isinstance(value, str) else _no_order()
        case Kind.INTEGER:
            return lambda value: value if isinstance(value, int) and not isinstance(value, bool) else _no_order()
        case Kind.DECIMAL:
            return _decimal_rank
        case Kind.DATE | Kind.TIMESTAMP:
            return _calendar_rank
        case Kind.TIME:
            return lambda value: canonical_time(value, zone=False) if isinstance(value, str) else _no_order()
        case _:
            return None


def _no_order() -> Any:
    raise TypeError("no place in the order")


def _decimal_rank(value: Value) -> tuple[int, Decimal]:
    """As PostgreSQL orders them: NaN is greater than every other number."""
    number = Decimal(value if isinstance(value, (str, int)) else _no_order())
    return (1, Decimal(0)) if number.is_nan() else (0, number)


_CALENDAR = re.compile(r"([+-]?[0-9]{4,})(-[0-9]{2}-[0-9]{2})(T[0-9:]{8}(?:\.[0-9]+)?)?Z?( BC)?")


def _calendar_rank(value: Value) -> tuple[float, str]:
    """Years as numbers, since apps know some of more than four digits; the rest sorts as text once the Z is off."""
    if value in ("infinity", "-infinity"):
        return (float(str(value)), "")
    match = _CALENDAR.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("not of the calendar")
    year = 1 - int(match[1]) if match[4] else int(match[1])
    return (year, match[2] + (match[3] or ""))
