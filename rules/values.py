"""Conversion between the field types of two accounts (semantics, section 4), and when two values are the same.

Responsible for what converts into what, what fits, and value maps. Must not know records, mappings or directions. A
conversion is compiled once per mapping; one between like types costs a call that returns its argument.

The choices, where semantics leaves one:

- **Writing** (`forward`, `back`): a number is rounded to the target's scale, a time to its fraction, half up, as
  databases do; a text that is too long, a number with too many digits, an option that does not exist are refused
  with `InvalidValueError`. Nothing is cut off.
- **Comparing** (`same`): as if each side had stored the other's value in its own type: there a text is cut at the
  length, and a time may have been cut where we would round. Another order of options is no difference.
- A type without a zone holds UTC; a date is the day in UTC, and as a time stamp its midnight.
- A text reads strictly as a number, date, UUID or JSON; as a boolean it may be true/false, yes/no, on/off, t/f,
  y/n, 1/0 in any case.
- A list converts to a list only, element by element; bytes to bytes only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rules.canonical import (
    InvalidValueError,
    canonical_bytes,
    canonical_date,
    canonical_decimal,
    canonical_json,
    canonical_time,
    canonical_timestamp,
    canonical_uuid,
    shorten_fraction,
    shown,
)
from rules.catalog import FieldType, Kind, Scalar, Value
from rules.steps import Step, as_text, change_of_kind, describe, limit_of, noun, rounded_to, same_value, text_of

__all__ = [
    "Conversion",
    "InconvertibleError",
    "InvalidValueError",
    "canonical_bytes",
    "canonical_date",
    "canonical_decimal",
    "canonical_json",
    "canonical_time",
    "canonical_timestamp",
    "canonical_uuid",
    "conversion",
    "describe",
    "fits",
    "invertible",
    "is_empty",
    "noun",
]

ValueMap = Mapping[Any, Scalar] | Iterable[tuple[Scalar, Scalar]]


class InconvertibleError(Exception):
    """Two types of which no value converts, or (`in_values`) a value map that does not suit them. The message is for people."""

    def __init__(self, message: str, *, in_values: bool = False) -> None:
        super().__init__(message)
        self.in_values = in_values


@dataclass(frozen=True, slots=True)
class Conversion:
    """Of values of one field into those of another, and back.

    `forward`, `back`: the value to write; raise `InvalidValueError`. `same`: whether the two agree; never raises.
    """

    forward: Step
    back: Step
    same: Callable[[Value, Value], bool]
    identity: bool  # both ways return their argument


def is_empty(value: Value) -> bool:
    """Null, blank text, an empty list. 0 and false are values."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    return value == [] and isinstance(value, list)


def invertible(values: ValueMap) -> bool:
    """Whether a value map can be read both ways: no value stands twice on either side."""
    pairs = _pairs(values)
    return len({_key(a) for a, _ in pairs}) == len(pairs) == len({_key(b) for _, b in pairs})


def conversion(source: FieldType, target: FieldType, values: ValueMap | None = None) -> Conversion:
    """The conversion from `source` to `target`; raises `InconvertibleError` where there can be none.

    `values`: pairs of (source's value, target's value), as texts or as the numbers and booleans that YAML reads.
    """
    if values is not None:
        return _mapped(source, target, _pairs(values))
    forward, back = _step(source, target), _step(target, source)
    _require_an_option(source, target, forward)
    identity = forward is same_value and back is same_value
    is_plain = identity and source.kind not in (Kind.LIST, Kind.TIME)
    return Conversion(forward, back, _equal if is_plain else _comparison(source, target), identity)


def fits(type_: FieldType) -> Step:
    """Checks a value that a person wrote (a constant, a filter's value) against a type; gives it in canonical form."""
    if type_.kind is Kind.LIST:
        return _elementwise(fits(_item(type_)))
    written = _step(FieldType(Kind.TEXT), type_) if type_.kind is not Kind.BYTES else same_value

    def check(value: Value) -> Value:
        if isinstance(value, list):
            raise InvalidValueError(f"{shown(value)} is a list", describe(type_))
        return None if value is None else written(text_of(value))

    return check


# ---------------------------------------------------------------- both together


def _item(type_: FieldType) -> FieldType:
    """What a list holds. Options of the list are those of its items."""
    if type_.item is not None:
        return type_.item
    return FieldType(Kind.ENUM, options=type_.options) if type_.options is not None else FieldType(Kind.TEXT)


def _elementwise(step: Step) -> Step:
    def convert(value: Value) -> Value:
        if value is None:
            return None
        if not isinstance(value, list):
            raise InvalidValueError(f"{shown(value)} is not a list", "a list")
        return [step(item) for item in value]

    return convert


def _step(source: FieldType, target: FieldType) -> Step:
    """A value of `source` as it is written to `target`."""
    if source.kind is Kind.LIST and target.kind is Kind.LIST:
        item = _step(_item(source), _item(target))
        return same_value if item is same_value else _elementwise(item)
    change = change_of_kind(source, target)
    if change is None:
        raise InconvertibleError(f"{_named(source)} cannot be converted to {_named(target)}")
    limit = limit_of(source, target)
    if change is same_value and limit is None:
        return same_value
    keeps_blanks, longest = target.kind is Kind.TEXT, target.max_length
    limited = limit or same_value

    def convert(value: Value) -> Value:
        if is_empty(value):
            return value[:longest] if keeps_blanks and isinstance(value, str) else None
        return limited(change(value))

    return convert


def _named(type_: FieldType) -> str:
    return f"{type_.kind} ({type_.native})" if type_.native else str(type_.kind)


def _require_an_option(source: FieldType, target: FieldType, forward: Step) -> None:
    """Refuses an enumeration of which not one option can be converted."""
    options = source.options
    if not options or source.kind is not Kind.ENUM:
        return
    for option in options:
        try:
            forward(option)
        except InvalidValueError:
            continue
        return
    some = ", ".join(options[:10])
    raise InconvertibleError(
        f"no option of {_named(source)} ({some}) can be converted to {_named(target)}: {describe(target)}"
    )


# ---------------------------------------------------------------- comparison


def _equal(a: Value, b: Value) -> bool:
    """Values of like types."""
    return a == b or (is_empty(a) and is_empty(b))


def _stored(source: FieldType, target: FieldType, *, rounding: bool) -> Step:
    """A value of `source` as `target` would hold it if its app cut what does not fit."""
    change = change_of_kind(source, target) or same_value

    def store(value: Value) -> Value:
        held = change(value)
        match target.kind:
            case Kind.TEXT if target.max_length is not None:
                return as_text(held)[: target.max_length]
            case Kind.DECIMAL:
                return rounded_to(as_text(held), target)
            case Kind.TIME | Kind.TIMESTAMP if target.scale is not None:
                return shorten_fraction(as_text(held), target.scale, rounding=rounding)
            case _:
                return held

    return store


def _comparison(source: FieldType, target: FieldType) -> Callable[[Value, Value], bool]:
    if source.kind is Kind.LIST and target.kind is Kind.LIST:
        return _list_comparison(_item(source), _item(target))
    ways = [(_stored(source, target, rounding=True), _stored(target, source, rounding=True))]
    if Kind.TIME in (source.kind, target.kind) or Kind.TIMESTAMP in (source.kind, target.kind):
        ways.append((_stored(source, target, rounding=False), _stored(target, source, rounding=False)))
    zoned = source.kind is target.kind is Kind.TIME and source.zone and target.zone

    def same(a: Value, b: Value) -> bool:
        if a == b:
            return True
        if is_empty(a) or is_empty(b):
            return is_empty(a) and is_empty(b)
        if zoned and _gives(_in_utc, a, _in_utc, b):
            return True
        return any(_gives(there, a, same_value, b) or _gives(same_value, a, back, b) for there, back in ways)

    return same


def _in_utc(value: Value) -> Value:
    return canonical_time(as_text(value), zone=False)


def _gives(step_a: Step, a: Value, step_b: Step, b: Value) -> bool:
    try:
        return step_a(a) == step_b(b)
    except InvalidValueError:
        return False


def _list_comparison(source: FieldType, target: FieldType) -> Callable[[Value, Value], bool]:
    """Element by element; of options the order is no difference."""
    item = _comparison(source, target)
    unordered = source.kind is Kind.ENUM or target.kind is Kind.ENUM

    def same(a: Value, b: Value) -> bool:
        if a == b:
            return True
        if is_empty(a) or is_empty(b):
            return is_empty(a) and is_empty(b)
        if not isinstance(a, list) or not isinstance(b, list) or len(a) != len(b):
            return False
        if unordered:
            a, b = sorted(a, key=str), sorted(b, key=str)
        return all(map(item, a, b))

    return same


# ---------------------------------------------------------------- value maps


def _pairs(values: ValueMap) -> list[tuple[Scalar, Scalar]]:
    return list(values.items()) if isinstance(values, Mapping) else list(values)


def _key(value: Scalar) -> tuple[bool, Scalar]:
    """True and 1 are two values."""
    return isinstance(value, bool), value


def _mapped(source: FieldType, target: FieldType, pairs: list[tuple[Scalar, Scalar]]) -> Conversion:
    if source.kind is Kind.LIST and target.kind is Kind.LIST:
        item = _mapped(_item(source), _item(target), pairs)
        return Conversion(_elementwise(item.forward), _elementwise(item.back), _mapped_lists(item), False)
    if Kind.LIST in (source.kind, target.kind):
        raise InconvertibleError(f"{_named(source)} cannot be converted to {_named(target)}")
    typed = [(_typed(source, a), _typed(target, b)) for a, b in pairs]
    together = frozenset((_key(a), _key(b)) for a, b in typed)

    def same(a: Value, b: Value) -> bool:
        if isinstance(a, list) or isinstance(b, list):
            return False
        if is_empty(a) or is_empty(b):
            return is_empty(a) and is_empty(b)
        return (_key(a), _key(b)) in together

    return Conversion(_lookup(typed), _lookup([(b, a) for a, b in typed]), same, False)


def _typed(type_: FieldType, value: Scalar) -> Scalar:
    """A value as the file writes it, in the form that the field holds."""
    try:
        held = fits(type_)(value)
    except InvalidValueError as error:
        raise InconvertibleError(
            f"values: {error.reason}; allowed: {error.allowed or describe(type_)}", in_values=True
        ) from None
    if is_empty(held) or isinstance(held, list):
        raise InconvertibleError("values: an empty value cannot be mapped", in_values=True)
    return held


def _lookup(pairs: list[tuple[Scalar, Scalar]]) -> Step:
    table: dict[tuple[bool, Scalar], Scalar] = {}
    ambiguous: set[tuple[bool, Scalar]] = set()
    for key, value in pairs:
        if table.setdefault(_key(key), value) != value:
            ambiguous.add(_key(key))
    allowed = "one of " + ", ".join(text_of(key) for (_, key) in table)

    def look_up(value: Value) -> Value:
        if is_empty(value):
            return None
        if isinstance(value, list):
            raise InvalidValueError(f"{shown(value)} is a list", allowed)
        key = _key(value)
        if key in ambiguous:
            raise InvalidValueError(f"{shown(value)} stands for several values in `values`", allowed)
        if key not in table:
            raise InvalidValueError(f"{shown(value)} is not in `values`", allowed)
        return table[key]

    return look_up


def _mapped_lists(item: Conversion) -> Callable[[Value, Value], bool]:
    def same(a: Value, b: Value) -> bool:
        if is_empty(a) or is_empty(b):
            return is_empty(a) and is_empty(b)
        if not isinstance(a, list) or not isinstance(b, list) or len(a) != len(b):
            return False
        rest = list(b)
        for value in a:
            match = next((index for index, other in enumerate(rest) if item.same(value, other)), None)
            if match is None:
                return False
            del rest[match]
        return True

    return same
