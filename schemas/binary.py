"""Avro's binary encoding of what batches are made of: numbers, texts, optional ones, and values.

Responsible for these bytes, written and read by hand: fastavro matches every value against every branch of its union,
and makes a dictionary of every record, which is four fifths of its time. Must not know a schema; where it is wrong
about one, the tests of `schemas.batches` compare with fastavro.

Readers take the data and an index, and return the value and the next index. They raise IndexError, ValueError or
EOFError where there is no such value. A text beyond the end is noticed at the next byte, or by the caller, who ends
exactly at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import Struct
from typing import Any

from rules.catalog import Value

Add = Callable[[bytes], Any]

NULL = b"\x00"
END = b"\x00"  # of an array
_SOME = b"\x02"  # the second branch of ["null", ...]
_DOUBLE = Struct("<d")
_LONG = 1 << 63

# The union of values: null, boolean, long, string, array; and inside an array: null, boolean, long, string,
# tandem.Items.
_TRUE, _FALSE, _NUMBER, _TEXT, _LIST = b"\x02\x01", b"\x02\x00", b"\x04", b"\x06", b"\x08"


def _zigzag(number: int) -> bytes:
    rest = number << 1 if number >= 0 else (-number << 1) - 1
    out = bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)


_SMALL = tuple(map(_zigzag, range(4096)))
_SHORT_TEXT = tuple(_TEXT + length for length in _SMALL)

# ---------------------------------------------------------------- writing


def number(value: int) -> bytes:
    """A long. Raises ValueError beyond 64 bits."""
    if 0 <= value < 4096:
        return _SMALL[value]
    if not -_LONG <= value < _LONG:
        raise ValueError(f"{value} does not fit into 64 bits")
    return _zigzag(value)


def double(value: float) -> bytes:
    """A double."""
    return _DOUBLE.pack(value)


def text(add: Add, value: str) -> None:
    """A string."""
    raw = value.encode()
    add(number(len(raw)))
    add(raw)


def optional_text(add: Add, value: str | None) -> None:
    """["null", "string"]."""
    if value is None:
        add(NULL)
    else:
        add(_SOME)
        text(add, value)


def optional_number(add: Add, value: int | None) -> None:
    """["null", "long"], or an int."""
    if value is None:
        add(NULL)
    else:
        add(_SOME)
        add(number(value))


def values(add: Add, items: Iterable[Value], count: int) -> None:
    """An array of values. Raises TypeError where one is none."""
    if count:
        add(number(count))
        for value in items:
            kind = value.__class__
            if kind is str:
                raw = value.encode()  # type: ignore[union-attr]
                length = len(raw)
                add(_SHORT_TEXT[length] if length < 4096 else _TEXT + number(length))
                add(raw)
            elif value is None:
                add(NULL)
            elif kind is bool:
                add(_TRUE if value else _FALSE)
            elif kind is int:
                add(_NUMBER)
                add(number(value))  # type: ignore[arg-type]
            elif kind is list:
                add(_LIST)
                values(add, value, len(value))  # type: ignore[arg-type]
            else:
                _other(add, value)
    add(END)


def _other(add: Add, value: object) -> None:
    """A value of a subclass of text or number."""
    if isinstance(value, str):
        add(_TEXT)
        text(add, str(value))
    elif isinstance(value, int):
        add(_NUMBER)
        add(number(int(value)))
    else:
        raise TypeError(f"{value!r} is no value")


# ---------------------------------------------------------------- reading


def read_number(data: bytes, at: int) -> tuple[int, int]:
    """A long."""
    byte = data[at]
    at += 1
    if byte < 128:
        return (byte >> 1) ^ -(byte & 1), at
    found, shift = byte & 127, 7
    while True:
        byte = data[at]
        at += 1
        found |= (byte & 127) << shift
        if byte < 128:
            return (found >> 1) ^ -(found & 1), at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def read_double(data: bytes, at: int) -> tuple[float, int]:
    """A double."""
    if at + 8 > len(data):
        raise EOFError
    return _DOUBLE.unpack_from(data, at)[0], at + 8


def read_text(data: bytes, at: int) -> tuple[str, int]:
    """A string."""
    length, at = read_number(data, at)
    if length < 0:
        raise ValueError("a text of negative length")
    end = at + length
    return data[at:end].decode(), end


def _read_some(data: bytes, at: int) -> bool:
    branch = data[at]
    if branch > 2 or branch == 1:
        raise ValueError("no branch of the union")
    return branch == 2


def read_optional_text(data: bytes, at: int) -> tuple[str | None, int]:
    """["null", "string"]."""
    return read_text(data, at + 1) if _read_some(data, at) else (None, at + 1)


def read_optional_number(data: bytes, at: int) -> tuple[int | None, int]:
    """["null", "long"], or an int."""
    return read_number(data, at + 1) if _read_some(data, at) else (None, at + 1)


def read_count(data: bytes, at: int) -> tuple[int, int]:
    """How many items the next block of an array has; 0: it ends."""
    count, at = read_number(data, at)
    if count < 0:  # the block's size in bytes follows, for who wants to skip it
        _, at = read_number(data, at)
    return abs(count), at


def read_values(data: bytes, at: int) -> tuple[list[Any], int]:
    """An array of values."""
    found: list[Any] = []
    while True:
        count, at = read_count(data, at)
        if not count:
            return found, at
        for _ in range(count):
            branch = data[at]
            at += 1
            if branch == 6:
                length = data[at]
                if length < 128 and not length & 1:
                    at += 1
                    end = at + (length >> 1)
                    found.append(data[at:end].decode())
                    at = end
                else:
                    item, at = read_text(data, at)
                    found.append(item)
            elif branch == 0:
                found.append(None)
            else:
                item, at = _read_other(data, at, branch)
                found.append(item)


def _read_other(data: bytes, at: int, branch: int) -> tuple[Any, int]:
    match branch:
        case 2:
            if data[at] > 1:
                raise ValueError("neither true nor false")
            return data[at] == 1, at + 1
        case 4:
            return read_number(data, at)
        case 8:
            return read_values(data, at)
        case _:
            raise ValueError("no branch of the union")
