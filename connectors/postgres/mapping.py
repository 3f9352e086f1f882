"""PostgreSQL's types and their texts, to canonical values (`rules.catalog`) and back.

Responsible for: which kind a type is, and for each type one `Codec` that turns the server's text form into a canonical value and a canonical
value into a text that the server's input function takes. The same codec serves the log and every read, so both give equal values. It must
not know connections, tables or SQL statements.

The texts depend on session settings, which `client.SESSION` fixes: time zone UTC, ISO dates, C money, shortest floats, hex bytea.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from rules.canonical import InvalidValueError, canonical_json
from rules.catalog import FieldType, Kind, Value


class PgType(msgspec.Struct, frozen=True):
    """A row of pg_type as far as it matters here."""

    oid: int
    name: str  # pg_type.typname
    schema: str
    type: str  # typtype: b base, d domain, e enum, c composite, r range, m multirange
    base: int  # of a domain
    base_mod: int  # the modifier that a domain puts on its base
    element: int  # of an array, else 0
    delimiter: str
    cast: str  # format_type(oid, -1): names the type in a cast, without length
    labels: tuple[str, ...] = ()


class Codec(msgspec.Struct, frozen=True):
    """How the values of one type travel. `load`: the server's text to the canonical value; `dump`: the inverse; `decode`: from the log's bytes.

    `plain`: what the driver loads is the canonical value already (see `client`); all others it loads as text.
    `cast`: the type to cast a text parameter to; never with a length, because an explicit cast would cut silently.
    """

    kind: Kind
    cast: str
    load: Callable[[str], Value]
    dump: Callable[[Value], str]
    decode: Callable[[bytes], Value]
    plain: bool = False
    bits: int | None = None
    options: tuple[str, ...] | None = None
    zone: bool = True
    item: Codec | None = None
    oid: int = 0  # of the base type, domains resolved
    modifier: int = -1  # that a domain puts on its base


# ---------------------------------------------------------------- scalars


def canonical_decimal(text: str) -> str:
    """Plain digits: no exponent, no trailing zeros after the point; NaN, Infinity and -Infinity as they are."""
    if "e" in text or "E" in text:
        text = format(Decimal(text), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _load_timestamptz(text: str) -> str:
    if text.endswith("+00"):
        return text[:-3].replace(" ", "T") + "Z"
    return text  # infinity, BC: kept as the server writes them


def _load_timestamp(text: str) -> str:
    return text if text.endswith("BC") else text.replace(" ", "T")


_SHORT_ZONE = re.compile(r"[+-]\d\d$")


def _load_timetz(text: str) -> str:
    return text + ":00" if _SHORT_ZONE.search(text) else text


def _load_bool(text: str) -> bool:
    return text in ("t", "true")


def _dump_bool(value: Value) -> str:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is not true or false")
    return "t" if value else "f"


def _dump_int(value: Value) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"{value!r} is not an integer")
    return str(value)


def _dump_text(value: Value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise TypeError("a list does not fit a single value")


def _load_bytes(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text[2:])).decode()


def _dump_bytes(value: Value) -> str:
    try:
        return "\\x" + base64.b64decode(_dump_text(value), validate=True).hex()
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error


def _load_padded(text: str) -> str:
    return text.rstrip(" ")


def _load_json(text: str) -> str:
    try:
        return canonical_json(text)
    except InvalidValueError:
        return text  # nested deeper than Python goes: as it is, which is exact though not canonical


def _load_money(text: str) -> str:
    return canonical_decimal(text.replace("$", "").replace(",", ""))


# ---------------------------------------------------------------- arrays

_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^",{}]+)|([{},])', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def load_array(text: str, load: Callable[[str], Value]) -> list[Value]:
    """The elements of an array literal; one with several dimensions gives nested lists. Lower bounds other than 1 are dropped."""
    if text.startswith("["):
        text = text[text.index("=") + 1 :]
    if text == "{}":
        return []
    if '"' not in text and "{" not in text[1:]:
        return [None if part == "NULL" else load(part) for part in text[1:-1].split(",")]
    root: list[Value] = []
    stack = [root]
    for quoted, bare, mark in _ELEMENT.findall(text):
        if mark == "{":
            inner: list[Value] = []
            stack[-1].append(inner)
            stack.append(inner)
        elif mark == "}":
            stack.pop()
        elif bare:
            stack[-1].append(None if bare == "NULL" else load(bare))
        elif mark != ",":
            stack[-1].append(load(_ESCAPED.sub(r"\1", quoted) if "\\" in quoted else quoted))
    first = root[0]
    assert isinstance(first, list)
    return first


def dump_array(values: Iterable[Value], dump: Callable[[Value], str] = _dump_text) -> str:
    """An array literal; None is NULL, lists nest."""
    parts = []
    for value in values:
        if value is None:
            parts.append("NULL")
        elif isinstance(value, list):
            parts.append(dump_array(value, dump))
        else:
            parts.append('"' + dump(value).replace("\\", "\\\\").replace('"', '\\"') + '"')
    return "{" + ",".join(parts) + "}"


def text_array(texts: Iterable[str | None]) -> str:
    """A literal for a parameter of type text[]: the fast form of `dump_array` for the columns of a batch."""
    return (
        "{"
        + ",".join(
            ["NULL" if text is None else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' for text in texts]
        )
        + "}"
    )


# ---------------------------------------------------------------- codecs


def _identity(text: str) -> Value:
    return text


def _codec(
    kind: Kind,
    cast: str,
    load: Callable[[str], Value] = _identity,
    dump: Callable[[Value], str] = _dump_text,
    **more: Any,
) -> Codec:
    decode: Callable[[bytes], Value]
    if load is _identity:
        decode = bytes.decode
    elif load is int:
        decode = int
    elif load is _load_bool:
        decode = b"t".__eq__
    else:

        def decode(raw: bytes, load: Callable[[str], Value] = load) -> Value:
            return load(raw.decode())

    return Codec(kind, cast, load, dump, decode, **more)


_SCALARS: dict[str, Codec] = {
    "int2": _codec(Kind.INTEGER, "smallint", int, _dump_int, plain=True, bits=16),
    "int4": _codec(Kind.INTEGER, "integer", int, _dump_int, plain=True, bits=32),
    "int8": _codec(Kind.INTEGER, "bigint", int, _dump_int, plain=True, bits=64),
    "oid": _codec(Kind.INTEGER, "oid", int, _dump_int, plain=True, bits=64),
    "numeric": _codec(Kind.DECIMAL, "numeric", canonical_decimal),
    # bits on a decimal say that it is a binary float: the server keeps the nearest value, not every digit.
    "float4": _codec(Kind.DECIMAL, "real", canonical_decimal, bits=32),
    "float8": _codec(Kind.DECIMAL, "double precision", canonical_decimal, bits=64),
    "money": _codec(Kind.DECIMAL, "money", _load_money),
    "bool": _codec(Kind.BOOLEAN, "boolean", _load_bool, _dump_bool, plain=True),
    "text": _codec(Kind.TEXT, "text", plain=True),
    "varchar": _codec(Kind.TEXT, "character varying", plain=True),
    "bpchar": _codec(Kind.TEXT, "bpchar", _load_padded),
    "bit": _codec(Kind.TEXT, "bit varying"),
    "date": _codec(Kind.DATE, "date"),
    "time": _codec(Kind.TIME, "time", zone=False),
    "timetz": _codec(Kind.TIME, "time with time zone", _load_timetz),
    "timestamp": _codec(Kind.TIMESTAMP, "timestamp", _load_timestamp, zone=False),
    "timestamptz": _codec(Kind.TIMESTAMP, "timestamp with time zone", _load_timestamptz),
    "uuid": _codec(Kind.UUID, "uuid"),
    "json": _codec(Kind.JSON, "json", _load_json),
    "jsonb": _codec(Kind.JSON, "jsonb", _load_json),
    "bytea": _codec(Kind.BYTES, "bytea", _load_bytes, _dump_bytes),
}


def build_codecs(types: Mapping[int, PgType]) -> dict[int, Codec]:
    """A codec for every type. What has no kind of its own (interval, inet, ranges, composites …) travels as the server's own text."""
    done: dict[int, Codec] = {}

    def codec(oid: int) -> Codec:
        if oid not in done:
            done[oid] = make(types[oid])
        return done[oid]

    def make(row: PgType) -> Codec:
        if row.type == "d":
            base = codec(row.base)
            modifier = row.base_mod if row.base_mod != -1 else base.modifier
            return msgspec.structs.replace(base, modifier=modifier)
        if row.type == "e":
            return _codec(Kind.ENUM, row.cast, options=row.labels, oid=row.oid)
        if row.element and row.delimiter == "," and row.element in types:
            return _list_codec(codec(row.element), row)
        if row.schema == "pg_catalog" and row.name in _SCALARS:
            return msgspec.structs.replace(_SCALARS[row.name], oid=row.oid)
        return _codec(Kind.TEXT, row.cast, oid=row.oid)

    for oid in types:
        codec(oid)
    return done


def _list_codec(item: Codec, row: PgType) -> Codec:
    def load(text: str) -> Value:
        return load_array(text, item.load)

    def dump(value: Value) -> str:
        if not isinstance(value, list):
            raise TypeError(f"{value!r} is not a list")
        return dump_array(value, item.dump)

    cast = f"{item.cast}[]"
    return _codec(Kind.LIST, cast, load, dump, options=item.options, item=item, oid=row.oid, modifier=item.modifier)


def field_type(codec: Codec, modifier: int, native: str) -> FieldType:
    """What of the type bounds its values. `modifier`: the column's; a domain's own is in the codec."""
    if modifier == -1:
        modifier = codec.modifier
    if codec.kind is Kind.LIST:
        assert codec.item is not None
        item = field_type(codec.item, modifier, native.removesuffix("[]"))
        return FieldType(Kind.LIST, native, options=codec.options, item=item)
    result = FieldType(codec.kind, native, options=codec.options, bits=codec.bits, zone=codec.zone)
    if codec.kind in (Kind.TIME, Kind.TIMESTAMP):
        return msgspec.structs.replace(result, scale=6 if modifier == -1 else modifier)
    if codec.cast == "money":
        return msgspec.structs.replace(result, precision=19, scale=2)
    if modifier == -1:
        return result
    if codec.cast == "numeric":
        scale = (modifier - 4) & 0x7FF
        if scale & 0x400:  # from 15 a scale may be negative, in 11 bits
            scale -= 0x800
        return msgspec.structs.replace(result, precision=((modifier - 4) >> 16) & 0xFFFF, scale=scale)
    if codec.cast in ("character varying", "bpchar"):
        return msgspec.structs.replace(result, max_length=modifier - 4)
    if codec.cast == "bit varying":
        return msgspec.structs.replace(result, max_length=modifier)
    return result
