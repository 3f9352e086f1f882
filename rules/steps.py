"""From the values of one kind to those of another, and what fits a type.

Responsible for the single steps out of which `rules.values` makes conversions: kind to kind, rounding, bounds. Must
not know value maps, comparisons or both directions at once.
"""

from __future__ import annotations

from collections.abc import Callable

from rules.canonical import (
    DECIMAL,
    INTEGER,
    NOT_FINITE,
    InvalidValueError,
    canonical_date,
    canonical_decimal,
    canonical_json,
    canonical_time,
    canonical_timestamp,
    canonical_uuid,
    round_decimal,
    round_significant,
    shorten_fraction,
    shown,
)
from rules.catalog import FieldType, Kind, Scalar, Value

Step = Callable[[Value], Value]


def describe(type_: FieldType) -> str:
    """What a type allows, for people."""
    if type_.options is not None:
        options = ", ".join(type_.options[:20]) + (", …" if len(type_.options) > 20 else "")
        return f"a list of {options}" if type_.kind is Kind.LIST else f"one of {options}"
    match type_.kind:
        case Kind.TEXT:
            return f"a text of at most {type_.max_length} characters" if type_.max_length is not None else "a text"
        case Kind.INTEGER:
            low, high = _bounds(type_)
            return f"a whole number from {low} to {high}"
        case Kind.DECIMAL if type_.precision is not None and type_.scale is not None:
            whole, fraction = type_.precision - type_.scale, max(type_.scale, 0)
            return f"a number of at most {whole} digits before the point and {fraction} after it"
        case Kind.LIST:
            return "a list of " + describe(type_.item or FieldType(Kind.TEXT))
        case _:
            return _DESCRIPTIONS[type_.kind]


def noun(type_: FieldType) -> str:
    """The kind of a type with its article."""
    return _NOUNS.get(type_.kind, f"a {type_.kind}")


_NOUNS = {
    Kind.INTEGER: "an integer",
    Kind.ENUM: "an enumeration",
    Kind.UUID: "a UUID",
    Kind.JSON: "JSON",
    Kind.BYTES: "bytes",
}
_DESCRIPTIONS = {
    Kind.DECIMAL: DECIMAL,
    Kind.BOOLEAN: "true or false",
    Kind.DATE: "a date as 2026-11-24",
    Kind.TIME: "a time as 18:30:00",
    Kind.TIMESTAMP: "a date and time as 2026-11-24T18:30:00Z",
    Kind.ENUM: "an option",
    Kind.REFERENCE: "the id of a record",
    Kind.UUID: "a UUID",
    Kind.JSON: "JSON",
    Kind.BYTES: "bytes",
}


# ---------------------------------------------------------------- from kind to kind


def same_value(value: Value) -> Value:
    return value


def as_text(value: Value) -> str:
    if not isinstance(value, str):
        raise InvalidValueError(f"{shown(value)} is not a text")
    return value


def text_of(value: Scalar) -> str:
    """A scalar as text: booleans as YAML and JSON write them."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


_BOOLEANS = {"true": True, "yes": True, "on": True, "t": True, "y": True, "1": True} | {
    "false": False,
    "no": False,
    "off": False,
    "f": False,
    "n": False,
    "0": False,
}


def _text_to_boolean(value: Value) -> bool:
    found = _BOOLEANS.get(as_text(value).strip().lower())
    if found is None:
        raise InvalidValueError(f"{shown(value)} is neither true nor false", "true or false (also yes/no, on/off, 1/0)")
    return found


def _number_to_boolean(value: Value) -> bool:
    if value in (0, "0"):
        return False
    if value in (1, "1"):
        return True
    raise InvalidValueError(f"{shown(value)} is neither true nor false", "0 or 1")


def _text_to_integer(value: Value) -> int:
    text = as_text(value).strip()
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
        raise InvalidValueError(f"{shown(value)} is not a whole number", INTEGER)
    return int(text)


def _decimal_to_integer(value: Value) -> int:
    text = as_text(value)
    if text in NOT_FINITE or len(text) > 400:
        raise InvalidValueError(f"{shown(value)} is not a whole number", INTEGER)
    return int(round_decimal(text, 0))


def _text_to_decimal(value: Value) -> str:
    text = as_text(value)
    if text in NOT_FINITE:
        return text
    number = canonical_decimal(text)
    if number in NOT_FINITE:
        raise InvalidValueError(f"{shown(value)} is not a number", DECIMAL)
    return number


def _boolean_to_integer(value: Value) -> int:
    return int(_boolean(value))


def _boolean(value: Value) -> bool:
    if not isinstance(value, bool):
        raise InvalidValueError(f"{shown(value)} is neither true nor false", "true or false")
    return value


def _integer(value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidValueError(f"{shown(value)} is not a whole number", INTEGER)
    return value


_TEXTS = (Kind.TEXT, Kind.ENUM, Kind.REFERENCE)  # they hold a text as it is
_FROM_TEXT: dict[Kind, Step] = {
    Kind.INTEGER: _text_to_integer,
    Kind.DECIMAL: _text_to_decimal,
    Kind.BOOLEAN: _text_to_boolean,
    Kind.DATE: lambda value: canonical_date(as_text(value)),
    Kind.UUID: lambda value: canonical_uuid(as_text(value)),
    Kind.JSON: lambda value: canonical_json(as_text(value)),
}
_TO_TEXT: dict[Kind, Step] = {
    Kind.INTEGER: lambda value: str(_integer(value)),
    Kind.BOOLEAN: lambda value: text_of(_boolean(value)),
    Kind.DECIMAL: as_text,
    Kind.DATE: as_text,
    Kind.TIME: as_text,
    Kind.TIMESTAMP: as_text,
    Kind.UUID: as_text,
    Kind.JSON: as_text,
}
_BETWEEN: dict[tuple[Kind, Kind], Step] = {
    (Kind.INTEGER, Kind.DECIMAL): lambda value: str(_integer(value)),
    (Kind.DECIMAL, Kind.INTEGER): _decimal_to_integer,
    (Kind.INTEGER, Kind.BOOLEAN): lambda value: _number_to_boolean(_integer(value)),
    (Kind.BOOLEAN, Kind.INTEGER): _boolean_to_integer,
    (Kind.DECIMAL, Kind.BOOLEAN): lambda value: _number_to_boolean(as_text(value)),
    (Kind.BOOLEAN, Kind.DECIMAL): lambda value: str(_boolean_to_integer(value)),
}


def change_of_kind(source: FieldType, target: FieldType) -> Step | None:
    """From kind to kind, whatever the bounds; None where no value converts."""
    if source.kind in _TEXTS and target.kind in _TEXTS:
        return same_value
    if target.kind is Kind.TIMESTAMP:
        return _to_timestamp(source, target.zone)
    if target.kind is Kind.TIME:
        return _to_time(source, target.zone)
    if source.kind is Kind.TIMESTAMP and target.kind is Kind.DATE:
        return lambda value: canonical_date(as_text(value)[:10])
    if source.kind is target.kind:
        return same_value
    if source.kind in _TEXTS:
        return _FROM_TEXT.get(target.kind)
    if target.kind in _TEXTS:
        return _TO_TEXT.get(source.kind)
    return _BETWEEN.get((source.kind, target.kind))


def _to_time(source: FieldType, zone: bool) -> Step | None:
    if source.kind is Kind.TIME and source.zone == zone:
        return same_value
    if source.kind is Kind.TIME or source.kind in _TEXTS:
        return lambda value: canonical_time(as_text(value), zone)
    return None


def _to_timestamp(source: FieldType, zone: bool) -> Step | None:
    if source.kind is Kind.TIMESTAMP:
        return same_value if source.zone == zone else lambda value: canonical_timestamp(as_text(value), zone)
    if source.kind is Kind.DATE:
        end = "T00:00:00Z" if zone else "T00:00:00"
        return lambda value: canonical_date(as_text(value)) + end
    if source.kind in _TEXTS:

        def read(value: Value) -> str:
            text = as_text(value)
            return canonical_timestamp(text + "T00:00:00" if len(text.strip()) == 10 else text, zone)

        return read
    return None


# ---------------------------------------------------------------- what fits


def _bounds(type_: FieldType) -> tuple[int, int]:
    half = 1 << ((type_.bits or 64) - 1)
    return -half, half - 1


def limit_of(source: FieldType, target: FieldType) -> Step | None:
    """Rounds to what the target holds and refuses what does not fit; None where all that the source holds fits."""
    match target.kind:
        case Kind.TEXT:
            return _limit_text(source, target)
        case Kind.INTEGER:
            return _limit_integer(source, target)
        case Kind.DECIMAL:
            return _limit_decimal(source, target)
        case Kind.ENUM:
            return _limit_options(source, target)
        case Kind.TIME | Kind.TIMESTAMP:
            return _limit_fraction(source, target)
        case _:
            return None


def _limit_fraction(source: FieldType, target: FieldType) -> Step | None:
    digits = target.scale
    if digits is None or (source.kind is target.kind and source.scale is not None and source.scale <= digits):
        return None
    return lambda value: shorten_fraction(as_text(value), digits, rounding=True)


def _limit_text(source: FieldType, target: FieldType) -> Step | None:
    longest = target.max_length
    if longest is None or (source.kind is Kind.TEXT and source.max_length is not None and source.max_length <= longest):
        return None

    def check(value: Value) -> Value:
        if len(as_text(value)) > longest:
            raise InvalidValueError(f"{shown(value)} has {len(as_text(value))} characters", describe(target))
        return value

    return check


def _limit_integer(source: FieldType, target: FieldType) -> Step | None:
    if source.kind is Kind.BOOLEAN or (source.kind is Kind.INTEGER and (source.bits or 64) <= (target.bits or 64)):
        return None
    low, high = _bounds(target)

    def check(value: Value) -> Value:
        if not low <= _integer(value) <= high:
            raise InvalidValueError(f"{value} is out of range", describe(target))
        return value

    return check


def _limit_decimal(source: FieldType, target: FieldType) -> Step | None:
    precision, scale = target.precision, target.scale
    if precision is None and scale is None:
        return None
    if source.kind is Kind.DECIMAL and (source.precision, source.scale) == (precision, scale):
        return None

    def check(value: Value) -> Value:
        rounded = rounded_to(as_text(value), target)
        if precision is not None and scale is not None and not _has_room(rounded, precision - scale):
            raise InvalidValueError(f"{shown(value)} has too many digits", describe(target))
        return rounded

    return check


def rounded_to(canonical: str, target: FieldType) -> str:
    if target.scale is not None:
        return round_decimal(canonical, target.scale)
    return round_significant(canonical, target.precision) if target.precision is not None else canonical


def _has_room(canonical: str, digits: int) -> bool:
    """Whether at most so many digits stand before the point; NaN has room anywhere, infinity only without bounds."""
    if canonical in NOT_FINITE:
        return canonical == "NaN"
    whole, _, fraction = canonical.lstrip("-").partition(".")
    if digits > 0:
        return whole == "0" or len(whole) <= digits
    return whole == "0" and len(fraction) - len(fraction.lstrip("0")) >= -digits


def _limit_options(source: FieldType, target: FieldType) -> Step | None:
    if target.options is None or (source.options is not None and set(source.options) <= set(target.options)):
        return None
    options = frozenset(target.options)

    def check(value: Value) -> Value:
        if value not in options:
            raise InvalidValueError(f"{shown(value)} is not an option", describe(target))
        return value

    return check
