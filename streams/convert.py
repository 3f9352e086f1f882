"""The shapes of a connector (`connectors.base`) into those of the rules (`rules.events`), and back.

Responsible for the translation alone, and for messages of a size that a broker takes. Must not know Kafka, accounts or
the order of things. Runs for every record that passes: no call per field but where a value has to be measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from connectors import base
from rules.catalog import Value
from rules.events import Answer, Captured, Command, FieldsChanged, Marked, Row, Truncated
from rules.version import Version
from schemas import Noted

ROWS = 500  # of a message at most: the next live change waits for no more than one message to be made
WEIGHT = 400_000  # characters of text in a message at most, so that it stays below the broker's 1 MB also in UTF-8

_UPSERT = base.Op.UPSERT
_WRITES = {"create": base.WriteOp.CREATE, "update": base.WriteOp.UPDATE, "delete": base.WriteOp.DELETE}


# ---------------------------------------------------------------- from the account


def row_of_record(record: base.Record) -> Row:
    """A record as it was read."""
    pairs = tuple([(pair.sync, pair.account, pair.object, pair.id) for pair in record.pairs]) if record.pairs else ()
    if record.into is not None:
        return Row(record.id, record.values, record.version, "merge", into=record.into, pairs=pairs)
    return Row(record.id, record.values, record.version, pairs=pairs)


def row_of_change(change: base.Change) -> Row:
    """A change out of the log."""
    op = "upsert" if change.op is _UPSERT else change.op.value
    return Row(
        change.id, change.values, change.version, op, change.old_id, change.into, change.token, change.committed_at
    )


def row_of_absence(id: str, version: Version) -> Row:
    """A record that was looked for and is not there. `version`: of the newest that the account had surely committed."""
    return Row(id, {}, version, "delete")


def cut(rows: Iterable[Row]) -> Iterator[tuple[Row, ...]]:
    """The rows in their order, in pieces that make messages of a good size. No rows: no piece."""
    piece: list[Row] = []
    weight = 0
    for row in rows:
        own = _weight(row.values.values())
        if piece and (len(piece) >= ROWS or weight + own > WEIGHT):
            yield tuple(piece)
            piece, weight = [], 0
        piece.append(row)
        weight += own
    if piece:
        yield tuple(piece)


def _weight(values: Iterable[Value]) -> int:
    """The characters of text in the values."""
    weight = 0
    for value in values:
        if value.__class__ is str:
            weight += len(value)
        elif value.__class__ is list:
            weight += _weight(value)
    return weight


LogEvent = Captured | Marked | FieldsChanged | Truncated


def events_of(account: str, item: base.Captured) -> Iterator[LogEvent]:
    """What came out of the log as messages, in order; none for a heartbeat."""
    match item:
        case base.Batch():
            for rows in cut(map(row_of_change, item.changes)):
                yield Captured(account, item.object, rows)
        case base.Marked():
            yield Marked(account, item.mark)
        case base.FieldsChanged():
            yield FieldsChanged(account, item.object, item.fields)
        case base.Truncated():
            yield Truncated(account, item.object)
        case base.Heartbeat():
            return
        case _:
            assert_never(item)


NOTES = 500  # of a message at most


def notes_of(account: str, item: base.Captured) -> Iterator[Noted]:
    """What an item notes, in messages of a good size. The last one moves the cursor: none does before all is noted."""
    if not isinstance(item, base.Batch | base.Heartbeat) or item.notes is None:
        return
    pieces: list[list[tuple[str, str | None]]] = [[]]
    weight = 0
    for key, note in item.notes.items():
        own = len(key) + len(note or "")
        if own > WEIGHT:
            raise base.FatalError(
                f"its connector notes {own} characters under {key[:40]!r}", "ask its author: a note is short"
            )
        if pieces[-1] and (len(pieces[-1]) >= NOTES or weight + own > WEIGHT):
            pieces.append([])
            weight = 0
        pieces[-1].append((key, note))
        weight += own
    for piece in pieces[:-1]:
        yield Noted(account, tuple(piece))
    if pieces[-1] or item.cursor:
        yield Noted(account, tuple(pieces[-1]), item.cursor or None)


# ---------------------------------------------------------------- to the account


def write_of(command: Command) -> base.Write:
    """A command as the connector takes it. Its link is named with its birth (the token is
    `sync/link/birth/sequence/digest`): two syncs may have links of one name, and a link made anew after the state was
    lost must not meet the sequences of the earlier one."""
    return base.Write(
        command.token,
        command.token.rsplit("/", 2)[0],
        command.sequence,
        _WRITES[command.op],
        command.id,
        command.values,
        command.expect,
        tuple([base.Identifier(*one) for one in command.identifiers]) if command.identifiers else (),
        None if command.pair is None else base.Pair(*command.pair),
    )


def answer_of(command: Command, result: base.Result) -> Answer:
    """What became of a command."""
    record = result.record
    return Answer(
        command.sync,
        command.link,
        command.sequence,
        result.outcome.value,
        result.id if result.id is not None else command.id,
        None if record is None else record.values,
        None if record is None else record.version,
        result.category,
        result.field,
        result.message,
        result.other,
    )


def deferred(command: Command, category: str, message: str) -> Answer:
    """The answer to a command that was not done: the account is down or throttles."""
    return Answer(
        command.sync, command.link, command.sequence, "deferred", command.id, category=category, message=message
    )


def unknown(command: Command) -> base.Result:
    """The answer to a command that was sent and never answered."""
    return base.Result(command.token, base.Outcome.UNKNOWN, command.id, message="the account did not answer")
