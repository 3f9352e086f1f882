"""The Avro schemas: ours from `schemas/avro`, and writers' schemas that came by in `config`.

Responsible for loading them, for their fingerprints, and for which schema a message is read with. Must not know what
a message means.

A message is framed as Avro's single-object encoding: C3 01, the CRC-64-AVRO of the writer's schema (little-endian),
the datum.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from fastavro.schema import fingerprint, load_schema, parse_schema, to_parsing_canonical_form

from schemas.messages import CHANGE_EVENTS, Head, Message, UndecodableError, UnknownSchemaError

FOLDER = Path(__file__).parent / "avro"
RELEASED = Path(__file__).parent / "released"
MAGIC = b"\xc3\x01"
FRAME = 10  # bytes in front of the datum
HEAD_FIELDS = tuple(field.name for field in msgspec.structs.fields(Head))

Schema = dict[str, Any]


class Known(msgspec.Struct, frozen=True):
    """A writer's schema: its record's name, and what it takes to read a message (`reader` None: written by our own
    schema)."""

    name: str
    writer: Schema
    reader: Schema | None
    head: Schema | None  # the first fields of a change message, which read alone


class Own(msgspec.Struct, frozen=True):
    """One of our schemas, to write with."""

    schema: Schema
    frame: bytes
    canonical: str


def record_name(message_type: type[Message]) -> str:
    """The name of the record that a message becomes."""
    return message_type.__name__


def fingerprint_of(canonical: str) -> bytes:
    """The fingerprint as it stands in a message."""
    # fastavro prints the bytes in the order in which the encoding wants them.
    return bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))


@cache
def own() -> dict[str, Own]:
    """Our schemas by record name; only those that are messages of their own."""
    found = {}
    for name in (record_name(message_type) for message_type in Message.__args__):
        schema: Any = load_schema(str(FOLDER / f"tandem.{name}.avsc"))
        canonical = to_parsing_canonical_form(schema)
        found[name] = Own(schema, MAGIC + fingerprint_of(canonical), canonical)
    return found


@cache
def _known() -> dict[bytes, Known]:
    return {ours.frame[2:]: Known(name, ours.schema, None, _head(name, ours.schema)) for name, ours in own().items()}


def _head(name: str, schema: Schema) -> Schema | None:
    """The head as a record of its own: Avro writes fields one after the other, so that a prefix of the fields reads a
    prefix of the bytes."""
    if name not in {record_name(event) for event in CHANGE_EVENTS}:
        return None
    fields = schema["fields"][: len(HEAD_FIELDS)]
    if tuple(field["name"] for field in fields) != HEAD_FIELDS:
        raise ValueError(f"the head of {name} must be its first fields")
    head = {"type": "record", "name": f"{name}Head", "namespace": "tandem", "fields": fields}
    return parse_schema(json.loads(json.dumps(head)))  # type: ignore[return-value]


def add(fingerprint_hex: str, schema: bytes) -> None:
    """Makes a writer's schema known. Raises `UndecodableError` where it is none, or not the one that the fingerprint
    names."""
    key = bytes.fromhex(fingerprint_hex)
    if key in _known():
        return
    try:
        parsed: Any = parse_schema(json.loads(schema))
        name = parsed["name"].rpartition(".")[2]
        if fingerprint_of(to_parsing_canonical_form(parsed)) != key:
            raise UndecodableError(f"a schema that is not the one with the fingerprint {fingerprint_hex}")
        ours = own().get(name)
        _known()[key] = Known(name, parsed, ours.schema if ours else None, _head(name, parsed))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UndecodableError(f"no schema: {error}") from error


def known(data: bytes) -> Known:
    """The schema that the message was written with."""
    if data[:2] != MAGIC or len(data) < FRAME:
        raise UndecodableError("not framed as a message")
    found = _known().get(data[2:FRAME])
    if found is None:
        raise UnknownSchemaError(data[2:FRAME])
    return found


def fingerprint_in(data: bytes) -> str:
    """The fingerprint (hexadecimal) of the schema that a message was written with."""
    return data[2:FRAME].hex()


def is_known(fingerprint_bytes: bytes) -> bool:
    """Whether messages with this fingerprint can be read."""
    return fingerprint_bytes in _known()


def published() -> dict[str, bytes]:
    """Our schemas by fingerprint (hexadecimal), self-contained, as they are published to `config`."""
    return {ours.frame[2:].hex(): ours.canonical.encode() for ours in own().values()}
