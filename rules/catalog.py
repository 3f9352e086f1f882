"""What an app's objects look like, as far as the rules care: values, field types, objects and their catalog.

A **value** is None, a bool, an int, a text or a list of values; its type is that of its field. The other types travel as canonical
texts, so that a value is exact, compares with `==`, and needs no tag in a topic, in the state or in JSON:

| kind      | canonical form                                                                                         |
|-----------|--------------------------------------------------------------------------------------------------------|
| decimal   | plain digits, no exponent, no trailing zeros after the point, no leading `+`: `-12.5`, `0`; or `NaN`, `Infinity`, `-Infinity` |
| date      | `2026-11-24`                                                                                           |
| time      | `18:30:00` or `18:30:00.25`, with `+02:00` where the type has a zone; fraction without trailing zeros    |
| timestamp | with zone: UTC, `2026-11-24T18:30:00Z` or `…00.25Z`; without zone: the same without `Z`                  |
| uuid      | lower case with hyphens                                                                                |
| json      | compact text with sorted keys                                                                          |
| bytes     | base64                                                                                                 |
| text, enum, reference | as they are. A reference is the id of the record that it points at                          |
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

Scalar = bool | int | str | None
Value = Scalar | list[Any]  # of values; msgspec knows no recursive aliases


class Kind(StrEnum):
    """The kinds of values. An integer outside 64 bits is a decimal."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    ENUM = "enum"
    LIST = "list"
    REFERENCE = "reference"
    UUID = "uuid"
    JSON = "json"
    BYTES = "bytes"


class FieldType(msgspec.Struct, frozen=True, omit_defaults=True):
    """The type of a field: its kind, and what of it bounds the values that fit."""

    kind: Kind
    native: str = ""  # the app's own name of the type, for messages: "numeric(10,2)"
    options: tuple[str, ...] | None = None  # enum, or a list of enum: the allowed values
    max_length: int | None = None  # text: characters
    bits: int | None = None  # integer: 16, 32, 64
    precision: int | None = None  # decimal: digits in all
    scale: int | None = None  # decimal: digits after the point; time, timestamp: digits of the second's fraction
    zone: bool = True  # time, timestamp: with time zone
    item: FieldType | None = None  # list: of what


class Field(msgspec.Struct, frozen=True, omit_defaults=True):
    """A field of an object."""

    name: str
    type: FieldType
    nullable: bool = True  # may hold an empty value
    required: bool = False  # must be given when a record is created: not nullable, no default
    read_only: bool = False  # generated, computed, identity always: never written
    unique: bool = False  # alone under a unique rule of the app
    references: str | None = None  # the object that a reference points at
    references_field: str | None = None  # the field of that object which the reference holds; None: its id
    description: str = ""


class Capabilities(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the connector can do with an object; the engine makes up for what is missing.

    The defaults are those of an app with a log and transactions. Everything else says what it cannot do, and the contract
    suite of the connectors tests it as declared.
    """

    capture: str = "log"  # log: each change, in order; token, watermark, scan: the last state, not what lay between
    sees_within: float = 0.0  # seconds until a change has come by; 0: as soon as it is committed
    sees_deletions: bool = True  # what is captured tells of each, and of a changed id
    deletions_within: float = 0.0  # the same for deletions, where they are found by another way; 0: as other changes
    whole: bool = True  # each image holds every field; False: those that syncs name, and perhaps others
    ordered: bool = True  # versions tell which of two images of a record is the newer, whichever way they came
    common_order: bool = True  # versions of different records compare, too: what is read later has a newer one
    compare_and_set: bool = True  # False: read, compared, then written: an edit in between may be overwritten
    tokens: bool = True  # a create leaves its token (ledger, external id): sent again, it makes no second record
    echoes: bool = True  # each write of ours comes by in the log with its token; False: it is recognised by its content
    fenced: bool = True  # fences and sequences are kept in the account: what was written before is not written again
    pairs: bool = True  # the account remembers whose counterpart a record is
    creatable: bool = True
    updatable: bool = True
    deletable: bool = True
    batch_size: int = 500
    limits: tuple[str, ...] = ()  # rate limits, in words for people; the connector itself keeps them

    @property
    def tells_ours(self) -> bool:
        """Whether a change that comes by says that it is a write of ours."""
        return self.tokens and self.echoes


class Object(msgspec.Struct, frozen=True, omit_defaults=True):
    """A kind of record in an account."""

    name: str
    fields: tuple[Field, ...]
    key: tuple[str, ...]  # the fields that make the id, in order; values joined by ',' with '%' and ',' as %25 and %2C
    created: str | None = None  # a field that holds the record's creation time, where the connector declares one
    unique: tuple[tuple[str, ...], ...] = ()  # unique rules over fields, the key not included
    capabilities: Capabilities = Capabilities()
    native: str = ""  # the app's own name: "public.contacts"
    problems: tuple[
        str, ...
    ] = ()  # why it cannot be synced, and how to mend it ("has no primary key: …"); empty: it can

    def field(self, name: str) -> Field | None:
        """The field of that name."""
        return next((field for field in self.fields if field.name == name), None)


class Catalog(msgspec.Struct, frozen=True):
    """The objects of an account, by name."""

    objects: dict[str, Object]


def join_id(parts: list[str]) -> str:
    """One id out of a key's values: joined by ',', with '%' and ',' inside a value as %25 and %2C (contract)."""
    if len(parts) == 1 and "%" not in parts[0] and "," not in parts[0]:
        return parts[0]
    return ",".join(part.replace("%", "%25").replace(",", "%2C") for part in parts)


def split_id(record_id: str) -> list[str]:
    """The key's values in an id; the inverse of `join_id`."""
    if "," not in record_id and "%" not in record_id:
        return [record_id]
    return [part.replace("%2C", ",").replace("%25", "%") for part in record_id.split(",")]
