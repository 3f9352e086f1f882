"""Shapes that cross a topic and are not the rules' own: a batch of history, the head of a change message, what capture
notes for itself.

Responsible for the closed union of everything that is encoded. Must not know how it is encoded.
"""

from __future__ import annotations

import msgspec

from rules.events import (
    AccountState,
    Captured,
    Clock,
    Commands,
    DeadLetter,
    FieldsChanged,
    HistoryRow,
    LogStarted,
    Marked,
    Order,
    ReadDone,
    ReadRecords,
    ReadRequest,
    Results,
    SetMark,
    StatusRow,
    SyncRow,
    Tick,
    Truncated,
)


class History(msgspec.Struct, frozen=True, tag="history"):
    """Decisions of one connection, in their order."""

    connection: str
    rows: tuple[HistoryRow, ...]


class Noted(msgspec.Struct, frozen=True, tag="noted"):
    """What the capture of an account wants to know later (`connectors.base.Memory`). It goes to no connection.

    `notes`: key and text; None: no longer. `cursor` None: as it was. `anew`: all that was noted before is void.
    """

    account: str
    notes: tuple[tuple[str, str | None], ...] = ()
    cursor: str | None = None
    anew: bool = False


class Head(msgspec.Struct, frozen=True):
    """What a change message says before its rows; read without decoding them.

    `config`: the version of the configuration that it was captured under; 0: none.
    `to`: the one connection that it is meant for; None: each that uses the object (the account, where `object` is
    None).
    `errand`: the key of the errand that it carries out. With `resume` it got that far; without, it is done.
    `read`: as in the event.
    """

    config: int
    account: str
    object: str | None = None
    to: str | None = None
    errand: str | None = None
    resume: str | None = None
    read: str | None = None


ChangeEvent = Captured | ReadDone | LogStarted | Truncated | FieldsChanged | Marked | AccountState | Noted
CHANGE_EVENTS: tuple[type[ChangeEvent], ...] = ChangeEvent.__args__
Message = (
    ChangeEvent
    | Results
    | Order
    | Tick
    | Clock
    | Commands
    | ReadRequest
    | ReadRecords
    | SetMark
    | StatusRow
    | SyncRow
    | History
    | DeadLetter
)


class SchemaError(Exception):
    """A message that cannot be read now."""


class UnknownSchemaError(SchemaError):
    """Infrastructure: the writer's schema has not come by yet; wait for it in `config` (`schemas.add`)."""

    def __init__(self, fingerprint: bytes) -> None:
        super().__init__(f"no schema with the fingerprint {fingerprint.hex()} is known")
        self.fingerprint = fingerprint


class UndecodableError(SchemaError):
    """Data: the bytes are no message of ours. To the dead letters, and on."""
