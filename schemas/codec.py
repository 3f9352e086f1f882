"""Messages as bytes, and back.

Responsible for the framing, and for telling what is bad data (`UndecodableError`) from what is only not known yet
(`UnknownSchemaError`). Must not know topics or Kafka.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

from fastavro import schemaless_reader, schemaless_writer

from rules.events import Captured, Commands, Results, StatusRow
from schemas.batches import READ, Batch, Read, write_captured, write_commands, write_results, write_status
from schemas.datums import UNPACK, Datum, head_of, pack, pack_change
from schemas.messages import ChangeEvent, Head, Message, UndecodableError
from schemas.registry import FRAME, Schema, known, own, record_name

# What fastavro and the unpacking raise on bytes that are no message.
_BAD_DATA = (EOFError, ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError, RecursionError)
_BAD_BYTES = (*_BAD_DATA, struct.error)


def encode(message: Message) -> bytes:
    """The message in single-object encoding."""
    name = record_name(type(message))
    match message:
        case Captured():
            return write_captured(own()[name].frame, message, head_of(message, 0, None, None, None))
        case Commands():
            return write_commands(own()[name].frame, message)
        case Results():
            return write_results(own()[name].frame, message)
        case StatusRow():
            return write_status(own()[name].frame, message)
        case _:
            return _write(name, pack(message))


def encode_change(
    event: ChangeEvent, *, config: int, to: str | None = None, errand: str | None = None, resume: str | None = None
) -> bytes:
    """A change message: the event behind the head that route reads."""
    name, front = record_name(type(event)), head_of(event, config, to, errand, resume)
    if isinstance(event, Captured):
        return write_captured(own()[name].frame, event, front)
    return _write(name, pack_change(event, front))


def _write(name: str, datum: Datum) -> bytes:
    ours = own()[name]
    out = BytesIO()
    out.write(ours.frame)
    schemaless_writer(out, ours.schema, datum)
    return out.getvalue()


def decode(data: bytes) -> Message:
    """The message that the bytes hold, by their writer's schema. Raises `UnknownSchemaError`, `UndecodableError`."""
    schema = known(data)
    unpack = UNPACK.get(schema.name)
    if unpack is None:
        raise UndecodableError(f"a {schema.name} is no message of this version of Tandem")
    if schema.reader is None and (read := READ.get(schema.name)) is not None:
        return _read_batch(data, read)
    datum, rest = _read(data, schema.writer, schema.reader)
    if rest:
        raise UndecodableError(f"{rest} bytes too many behind a {schema.name}")
    try:
        return unpack(datum)
    except _BAD_DATA as error:
        raise UndecodableError(f"no {schema.name}: {error!r}") from error


def _read_batch(data: bytes, read: Read[Batch]) -> Message:
    try:
        message, end = read(data, FRAME)
    except _BAD_BYTES as error:
        raise UndecodableError(f"the bytes do not decode: {error!r}") from error
    if end != len(data):
        raise UndecodableError(f"{len(data) - end} bytes too many behind a {record_name(type(message))}")
    return message


def head(data: bytes) -> Head:
    """The head of a change message, without its rows. Raises `UnknownSchemaError`, `UndecodableError`."""
    schema = known(data)
    if schema.head is None:
        raise UndecodableError(f"a {schema.name} is no change message")
    return Head(**_read(data, schema.head, None)[0])


def _read(data: bytes, writer: Schema, reader: Schema | None) -> tuple[Any, int]:
    """The datum, and how many bytes are left behind it."""
    source = BytesIO(data)
    source.seek(FRAME)
    try:
        datum = schemaless_reader(source, writer, reader)
    except _BAD_BYTES as error:
        raise UndecodableError(f"the bytes do not decode: {error!r}") from error
    return datum, len(data) - source.tell()
