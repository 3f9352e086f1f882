"""The messages of all topics as bytes: Avro, single-object encoding.

    encode(message) -> bytes                                   everything but change messages
    encode_change(event, *, config, to, errand, resume) -> bytes   what goes into `changes`
    decode(data) -> Message                                    UnknownSchemaError | UndecodableError
    head(data) -> Head                                         of a change message, without its rows
"""

from schemas.messages import (
    ChangeEvent,
    Head,
    History,
    Message,
    SchemaError,
    UndecodableError,
    UnknownSchemaError,
)

__all__ = [
    "ChangeEvent",
    "Head",
    "History",
    "Message",
    "SchemaError",
    "UndecodableError",
    "UnknownSchemaError",
    "add",
    "decode",
    "encode",
    "encode_change",
    "head",
    "published",
]


def encode(message: Message) -> bytes:
    """The message in single-object encoding."""
    raise NotImplementedError


def encode_change(
    event: ChangeEvent, *, config: int, to: str | None = None, errand: str | None = None, resume: str | None = None
) -> bytes:
    """A change message: the event behind the head that route reads."""
    raise NotImplementedError


def decode(data: bytes) -> Message:
    """The message that the bytes hold, by their writer's schema. Raises `UnknownSchemaError`, `UndecodableError`."""
    raise NotImplementedError


def head(data: bytes) -> Head:
    """The head of a change message. Raises `UnknownSchemaError`, `UndecodableError`."""
    raise NotImplementedError


def published() -> dict[str, bytes]:
    """Our schemas by fingerprint (hexadecimal), as they are published to `config`."""
    raise NotImplementedError


def add(fingerprint: str, schema: bytes) -> None:
    """Makes a writer's schema known (from `config`)."""
    raise NotImplementedError
