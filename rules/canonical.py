"""Canonical forms of values (`rules.catalog`): one text per value, so that equal values are equal texts.

Responsible for reading the usual spellings strictly and writing the canonical one; connectors and conversions share
it. Must not know fields, mappings or connectors.

Dates and timestamps outside the years 1 to 9999, and `infinity`, have no usual spelling: conversions between like
types leave them as their app wrote them.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any
from uuid import UUID


class InvalidValueError(Exception):
    """A value that cannot be converted or does not fit: what is wrong (`reason`), and what would do (`allowed`)."""

    def __init__(self, reason: str, allowed: str = "") -> None:
        super().__init__(f"{reason}; allowed: {allowed}" if allowed else reason)
        self.reason, self.allowed = reason, allowed


def shown(value: object, limit: int = 60) -> str:
    """A value as messages quote it."""
    if value is None:
        return "empty"
    text = f"'{value}'" if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= limit else text[:limit] + "…"


# ---------------------------------------------------------------- numbers

INTEGER = "a whole number, such as 42"
DECIMAL = "a number with a point for decimals, such as 12.5"

# The digits PostgreSQL's numeric can hold, the widest of the apps: an exponent beyond is an attack, not a number.
_WIDEST = 150_000
_EXACT = Context(prec=2 * _WIDEST, rounding=ROUND_HALF_UP)
_CANONICAL_DECIMAL = re.compile(r"(?!-0$)-?(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?")
_ANY_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?")
_SPECIAL_DECIMALS = {
    "nan": "NaN",
    "inf": "Infinity",
    "infinity": "Infinity",
    "+inf": "Infinity",
    "+infinity": "Infinity",
    "-inf": "-Infinity",
    "-infinity": "-Infinity",
}
NOT_FINITE = frozenset(("NaN", "Infinity", "-Infinity"))


def canonical_decimal(text: str) -> str:
    """The canonical form of a decimal: `-012.50` → `-12.5`, `1E3` → `1000`, `inf` → `Infinity`."""
    if _CANONICAL_DECIMAL.fullmatch(text):
        return text
    text = text.strip()
    if _ANY_DECIMAL.fullmatch(text):
        number = Decimal(text)
        _, digits, exponent = number.as_tuple()
        assert isinstance(exponent, int)
        if abs(exponent) + len(digits) <= _WIDEST:
            return plain_decimal(number)
    elif special := _SPECIAL_DECIMALS.get(text.lower()):
        return special
    raise InvalidValueError(f"{shown(text)} is not a number", DECIMAL)


def plain_decimal(number: Decimal) -> str:
    """The canonical form of a finite number."""
    plain = format(number, "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain == "-0" else plain


def round_decimal(canonical: str, scale: int) -> str:
    """Rounded half away from zero to `scale` digits after the point (negative: before it), as SQL databases do."""
    if canonical in NOT_FINITE:
        return canonical
    if scale >= 0 and len(canonical.partition(".")[2]) <= scale:
        return canonical
    return plain_decimal(Decimal(canonical).quantize(Decimal(1).scaleb(-scale, _EXACT), context=_EXACT))


def round_significant(canonical: str, digits: int) -> str:
    """Rounded to so many significant digits, as a floating-point number of that precision holds it."""
    if canonical in NOT_FINITE or len(canonical) <= digits:
        return canonical
    return plain_decimal(Context(prec=digits, rounding=ROUND_HALF_UP).plus(Decimal(canonical)))


# ---------------------------------------------------------------- dates and times

DATE = "a date as 2026-11-24"
TIME = "a time as 18:30:00"
TIMESTAMP = "a date and time as 2026-11-24T18:30:00Z"

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_CLOCK = r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?"
_OFFSET = r"\s?(?:([Zz])|([+-])([0-9]{2})(?::?([0-9]{2})(?::?([0-9]{2}))?)?)?"
_TIME = re.compile(_CLOCK + _OFFSET)
_TIMESTAMP = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]" + _CLOCK + _OFFSET)


def canonical_date(text: str) -> str:
    """The canonical form of a date; strict: `2026-11-24`."""
    text = text.strip()
    match = _DATE.fullmatch(text)
    if match:
        try:
            return date(int(match[1]), int(match[2]), int(match[3])).isoformat()
        except ValueError:
            raise InvalidValueError(f"{shown(text)} is no day of the calendar", DATE) from None
    raise InvalidValueError(f"{shown(text)} is not a date", DATE)


def canonical_timestamp(text: str, zone: bool = True) -> str:
    """The canonical form of an ISO 8601 date and time; UTC without an offset, and in a type without a zone."""
    text = text.strip()
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise InvalidValueError(f"{shown(text)} is not a date and time", TIMESTAMP)
    day, hour, minute, second, fraction, _, sign, *offset = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{hour}:{minute}:{second or '00'}")
        if sign:
            moment -= _offset(sign, offset)
    except (ValueError, OverflowError):
        raise InvalidValueError(f"{shown(text)} is no moment of the calendar", TIMESTAMP) from None
    return moment.isoformat() + _fraction(fraction) + ("Z" if zone else "")


def canonical_time(text: str, zone: bool = False) -> str:
    """The canonical form of a time of day. A type with zone keeps the offset (none: `+00:00`), another holds UTC."""
    text = text.strip()
    match = _TIME.fullmatch(text)
    if match is None:
        raise InvalidValueError(f"{shown(text)} is not a time of day", TIME)
    hour, minute, second, fraction, _, sign, *offset = match.groups()
    clock, end = f"{hour}:{minute}:{second or '00'}", _fraction(fraction)
    if clock == "24:00:00" and not end:  # midnight at the end of a day, which PostgreSQL knows
        return clock + ("+00:00" if zone else "")
    try:
        moment = datetime.fromisoformat(f"2000-01-02T{clock}")
        shift = _offset(sign, offset) if sign else timedelta(0)
    except ValueError:
        raise InvalidValueError(f"{shown(text)} is no time of the day", TIME) from None
    if not zone:
        return (moment - shift).time().isoformat() + end
    return clock + end + _written(shift)


def _offset(sign: str, parts: list[str | None]) -> timedelta:
    hours, minutes, seconds = (int(part or 0) for part in parts)
    if hours > 18 or minutes > 59 or seconds > 59:
        raise ValueError("no such offset")
    shift = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return -shift if sign == "-" else shift


def _written(shift: timedelta) -> str:
    sign, total = ("-" if shift < timedelta(0) else "+"), int(abs(shift).total_seconds())
    text = f"{sign}{total // 3600:02}:{total // 60 % 60:02}"
    return text + f":{total % 60:02}" if total % 60 else text


def _fraction(digits: str | None) -> str:
    digits = (digits or "").rstrip("0")
    return "." + digits if digits else ""


_PARTS = re.compile(r"(.*?[0-9]{2}:[0-9]{2}:[0-9]{2})\.([0-9]+)(.*)", re.DOTALL)


def shorten_fraction(canonical: str, digits: int, *, rounding: bool) -> str:
    """A time or timestamp with at most so many digits of the second's fraction, rounded half up or cut."""
    match = _PARTS.fullmatch(canonical)
    if match is None or len(match[2]) <= digits:
        return canonical
    whole, fraction, end = match[1], match[2], match[3]
    kept = fraction[:digits]
    if rounding and fraction[digits] >= "5":
        carried = str(int("1" + kept) + 1)
        if carried[0] == "2":
            try:
                whole = _next_second(whole)
            except (ValueError, OverflowError):
                carried = "1" + kept  # beyond the calendar: cut
        kept = carried[1:]
    return whole + _fraction(kept) + end


def _next_second(whole: str) -> str:
    if "T" in whole:
        return (datetime.fromisoformat(whole) + timedelta(seconds=1)).isoformat()
    later = datetime.fromisoformat(f"2000-01-01T{whole}") + timedelta(seconds=1)
    return "24:00:00" if later.day == 2 else later.time().isoformat()


# ---------------------------------------------------------------- the others


UUID_TEXT = "a UUID as 6f1e1c1e-8d5b-4b0e-9b7a-3f6d2c1a0b9e"


def canonical_uuid(text: str) -> str:
    """Lower case with hyphens."""
    try:
        return str(UUID(text.strip()))
    except ValueError:
        raise InvalidValueError(f"{shown(text)} is not a UUID", UUID_TEXT) from None


def canonical_bytes(data: bytes | bytearray | memoryview) -> str:
    """Base64."""
    return base64.b64encode(data).decode("ascii")


class _Number(str):
    """A number of a JSON text as it is written, since a float would change it."""

    __slots__ = ()


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def canonical_json(text: str) -> str:
    """Compact, keys sorted (of one given twice the last counts, as in jsonb), numbers exact and in decimal form."""
    try:
        parsed = json.loads(text, parse_float=_Number, parse_int=_Number, parse_constant=_no_constant)
        return _compact(parsed)
    except (ValueError, RecursionError):
        raise InvalidValueError(f"{shown(text)} is not JSON", 'JSON, such as {"a": 1}') from None


def _compact(value: Any) -> str:
    if isinstance(value, _Number):
        try:
            return canonical_decimal(str(value))
        except InvalidValueError:
            return str(value).lower()
    if isinstance(value, str):
        # A lone surrogate cannot be written as UTF-8; escaped it can.
        return json.dumps(value, ensure_ascii=any("\ud800" <= character <= "\udfff" for character in value))
    if isinstance(value, dict):
        return "{" + ",".join(f"{_compact(key)}:{_compact(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_compact(item) for item in value) + "]"
    return json.dumps(value)
