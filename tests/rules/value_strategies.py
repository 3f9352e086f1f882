"""Field types and values of them, for property tests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from rules.canonical import (
    canonical_bytes,
    canonical_json,
    canonical_time,
    canonical_timestamp,
    plain_decimal,
    shorten_fraction,
)
from rules.catalog import FieldType, Kind, Value

OPTIONS = ("gold", "silver", "bronze", "1", "true")
SCALAR_KINDS = tuple(kind for kind in Kind if kind is not Kind.LIST)


@st.composite
def scalar_types(draw: st.DrawFn, kinds: tuple[Kind, ...] = SCALAR_KINDS) -> FieldType:
    """Any type but a list, with or without bounds."""
    kind = draw(st.sampled_from(kinds))
    match kind:
        case Kind.TEXT:
            return FieldType(kind, max_length=draw(st.none() | st.integers(1, 12)))
        case Kind.INTEGER:
            return FieldType(kind, bits=draw(st.sampled_from((None, 16, 32, 64))))
        case Kind.DECIMAL:
            scale = draw(st.none() | st.integers(0, 6))
            return FieldType(kind, precision=None if scale is None else scale + draw(st.integers(1, 12)), scale=scale)
        case Kind.TIME | Kind.TIMESTAMP:
            return FieldType(kind, scale=draw(st.none() | st.integers(0, 6)), zone=draw(st.booleans()))
        case Kind.ENUM:
            return FieldType(kind, options=tuple(draw(st.lists(st.sampled_from(OPTIONS), min_size=1, unique=True))))
        case _:
            return FieldType(kind)


def types() -> SearchStrategy[FieldType]:
    """Any type."""
    return scalar_types() | scalar_types().map(lambda item: FieldType(Kind.LIST, item=item))


def type_pairs(converts: Callable[[FieldType, FieldType], bool]) -> SearchStrategy[tuple[FieldType, FieldType]]:
    """Two types of which the first converts to the second. Which kinds do is found out first, so that hardly any pair is drawn in vain."""

    def plain(kind: Kind) -> FieldType:
        return FieldType(kind, options=OPTIONS if kind is Kind.ENUM else ())

    shapes = [(kind, listed) for kind in SCALAR_KINDS for listed in (False, True)]
    samples = {shape: FieldType(Kind.LIST, item=plain(shape[0])) if shape[1] else plain(shape[0]) for shape in shapes}
    able = [(one, other) for one in shapes for other in shapes if converts(samples[one], samples[other])]

    def of(shape: tuple[Kind, bool]) -> SearchStrategy[FieldType]:
        scalars = scalar_types((shape[0],))
        return scalars.map(lambda item: FieldType(Kind.LIST, item=item)) if shape[1] else scalars

    pairs = st.sampled_from(able).flatmap(lambda pair: st.tuples(of(pair[0]), of(pair[1])))
    return pairs.filter(lambda pair: converts(*pair))


def values_of(type_: FieldType, *, numbers_only: bool = False) -> SearchStrategy[Value]:
    """Canonical values that fit a type, empty ones not included. `numbers_only`: no NaN among the decimals."""
    match type_.kind:
        case Kind.TEXT:
            texts = st.text(min_size=1, max_size=min(type_.max_length or 30, 30)) | _telling_texts(type_.max_length)
            return texts.filter(lambda text: not text.isspace())
        case Kind.INTEGER:
            half = 1 << ((type_.bits or 64) - 1)
            return st.integers(-half, half - 1)
        case Kind.DECIMAL:
            return _decimals(type_) if numbers_only else _decimals(type_) | st.just("NaN")
        case Kind.BOOLEAN:
            return st.booleans()
        case Kind.DATE:
            return st.dates().map(date.isoformat)
        case Kind.TIME:
            return _times(type_)
        case Kind.TIMESTAMP:
            return _timestamps(type_)
        case Kind.ENUM:
            return st.sampled_from(type_.options or OPTIONS)
        case Kind.LIST:
            item = type_.item or FieldType(Kind.TEXT)
            return st.lists(values_of(item), min_size=1, max_size=4).map(list)
        case Kind.REFERENCE:
            return st.integers(1, 10**9).map(str) | st.uuids().map(str)
        case Kind.UUID:
            return st.uuids().map(str)
        case Kind.JSON:
            return st.sampled_from(('{"b":1,"a":[1,2.50]}', "[]", '"x"', "1.0", "null", '{"é":"\\u00e9"}')).map(
                canonical_json
            )
        case Kind.BYTES:
            return st.binary(min_size=1, max_size=12).map(canonical_bytes)


def _telling_texts(longest: int | None) -> SearchStrategy[str]:
    """Texts that other kinds can read."""
    read = (
        st.integers(-(10**6), 10**6).map(str)
        | st.decimals(-999, 999, places=2).map(str)
        | st.sampled_from(("yes", "F", "true"))
    )
    return read.map(lambda text: text[: longest or None])


def _decimals(type_: FieldType) -> SearchStrategy[str]:
    if type_.precision is None or type_.scale is None:
        return st.decimals(-(10**12), 10**12, allow_nan=False, places=4).map(plain_decimal)
    scale = type_.scale
    most = 10**type_.precision - 1
    return st.integers(-most, most).map(lambda units: plain_decimal(Decimal(units).scaleb(-scale)))


def _times(type_: FieldType) -> SearchStrategy[str]:
    zones = st.integers(-14 * 4, 14 * 4).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))

    def written(parts: tuple[time, timezone]) -> str:
        moment, zone = parts
        text = moment.isoformat() + (datetime(2000, 1, 1, tzinfo=zone).isoformat()[-6:] if type_.zone else "")
        return shorten_fraction(
            canonical_time(text, type_.zone), 9 if type_.scale is None else type_.scale, rounding=False
        )

    return st.tuples(st.times(), zones).map(written)


def _timestamps(type_: FieldType) -> SearchStrategy[str]:
    def written(moment: datetime) -> str:
        text = canonical_timestamp(moment.replace(tzinfo=UTC).isoformat(), type_.zone)
        return shorten_fraction(text, 9 if type_.scale is None else type_.scale, rounding=False)

    return st.datetimes().map(written)
