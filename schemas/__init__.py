"""The messages of all topics as bytes: Avro, single-object encoding.

Responsible for `encode`, `decode`, and what readers and writers must know of each other's schemas. Must not know Kafka.

    encode(message) -> bytes                                         any message
    encode_change(event, *, config, to, errand, resume) -> bytes     what goes into `changes`
    decode(data) -> Message                                          UnknownSchemaError | UndecodableError
    head(data) -> Head                                               of a change message, without its rows
    published() -> {fingerprint: schema}, add(fingerprint, schema)   for the topic `config`
"""

from schemas.codec import decode, encode, encode_change, head
from schemas.messages import (
    ChangeEvent,
    Head,
    History,
    Message,
    Noted,
    SchemaError,
    UndecodableError,
    UnknownSchemaError,
)
from schemas.registry import add, fingerprint_in, is_known, published

__all__ = [
    "ChangeEvent",
    "Head",
    "History",
    "Message",
    "Noted",
    "SchemaError",
    "UndecodableError",
    "UnknownSchemaError",
    "add",
    "decode",
    "encode",
    "encode_change",
    "fingerprint_in",
    "head",
    "is_known",
    "published",
]
