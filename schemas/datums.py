"""Messages as Avro datums (dictionaries and lists), and back.

Responsible for how each shape of `rules.events` is laid out. Must not know bytes, fingerprints or Kafka.

A batch names its fields once: `shapes` holds each set of field names that occurs in it, and a row points at its shape
and lists only values. So a full image, a change of three fields and a deletion need no marker for what is absent, and
a record costs no field name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, assert_never

import msgspec

from rules.catalog import Value
from rules.events import (
    AccountState,
    Answer,
    Captured,
    Clock,
    Command,
    Commands,
    DeadLetter,
    FieldChange,
    FieldsChanged,
    HistoryRow,
    LogStarted,
    Marked,
    Order,
    ReadDone,
    ReadRecords,
    ReadRequest,
    Results,
    Row,
    SetMark,
    Side,
    StatusRow,
    SyncRow,
    Tick,
    Truncated,
)
from rules.version import Snapshot, Version
from schemas.messages import ChangeEvent, Head, History, Message, Noted

Datum = dict[str, Any]
Shapes = dict[tuple[str, ...], int]

# ---------------------------------------------------------------- values


def pack_value(value: Value) -> Any:
    """A value as the union of the schemas has it: a list inside a list needs a name."""
    if type(value) is list:
        return [{"items": pack_value(item)} if type(item) is list else item for item in value]
    return value


def unpack_value(value: Any) -> Value:
    """The inverse of `pack_value`."""
    if type(value) is list and dict in map(type, value):
        return [unpack_value(item["items"]) if type(item) is dict else item for item in value]
    return value  # type: ignore[no-any-return]


def pack_values(values: dict[str, Value], shapes: Shapes) -> tuple[int, list[Any]]:
    """The index of the shape, which is added where it is new, and the values in its order."""
    names = tuple(values)
    shape = shapes.get(names)
    if shape is None:
        shape = shapes[names] = len(shapes)
    row: list[Any] = list(values.values())
    if list in map(type, row):
        row = [pack_value(value) for value in row]
    return shape, row


def unpack_values(names: list[str], row: list[Any]) -> dict[str, Value]:
    """The inverse of `pack_values`."""
    if list in map(type, row):
        row = [unpack_value(value) for value in row]
    return dict(zip(names, row, strict=True))


def _pack_version(version: Version) -> Datum:
    seen = version.seen
    return {
        "position": version.position,
        "writer": version.writer,
        "seen": None if seen is None else {"xmin": seen.xmin, "xmax": seen.xmax, "running": seen.running},
        "step": version.step,
    }


def _unpack_version(datum: Datum) -> Version:
    seen = datum["seen"]
    return Version(
        datum["position"],
        datum["writer"],
        None if seen is None else Snapshot(seen["xmin"], seen["xmax"], tuple(seen["running"])),
        datum["step"],
    )


def _pack_references(references: Iterable[tuple[str, str, str, str]]) -> list[Datum]:
    return [{"sync": sync, "account": account, "object": of, "id": id} for sync, account, of, id in references]


def _unpack_reference(datum: Datum) -> tuple[str, str, str, str]:
    return datum["sync"], datum["account"], datum["object"], datum["id"]


# ---------------------------------------------------------------- what an account reports


def _pack_row(row: Row, shapes: Shapes) -> Datum:
    shape, values = pack_values(row.values, shapes)
    return {
        "id": row.id,
        "op": row.op,
        "shape": shape,
        "values": values,
        "version": _pack_version(row.version),
        "old_id": row.old_id,
        "into": row.into,
        "token": row.token,
        "committed_at": row.committed_at,
        "pairs": _pack_references(row.pairs) if row.pairs else (),
    }


def _unpack_row(datum: Datum, shapes: list[list[str]]) -> Row:
    pairs = datum["pairs"]
    return Row(
        datum["id"],
        unpack_values(shapes[datum["shape"]], datum["values"]),
        _unpack_version(datum["version"]),
        datum["op"],
        datum["old_id"],
        datum["into"],
        datum["token"],
        datum["committed_at"],
        tuple(map(_unpack_reference, pairs)) if pairs else (),
    )


def pack_change(event: ChangeEvent, head: Head) -> Datum:
    """A change message: the head's fields, then the event's own."""
    datum: Datum = msgspec.structs.asdict(head)
    match event:
        case Captured():
            shapes: Shapes = {}
            datum["rows"] = [_pack_row(row, shapes) for row in event.rows]
            datum["shapes"] = list(shapes)
        case FieldsChanged():
            fields = event.fields
            # Never a tuple in a union: fastavro takes it for a branch's name and a value.
            datum["fields"] = None if fields is None else [{"name": name, "type": native} for name, native in fields]
        case Marked():
            datum["mark"] = event.mark
        case AccountState():
            datum |= {"up": event.up, "reason": event.reason, "throttled": event.throttled}
        case Noted():
            datum |= {"notes": dict(event.notes), "cursor": event.cursor, "anew": event.anew}
        case ReadDone() | LogStarted() | Truncated():
            pass
        case _:
            assert_never(event)
    return datum


def head_of(event: ChangeEvent, config: int, to: str | None, errand: str | None, resume: str | None) -> Head:
    """The head of a change message."""
    return Head(config, event.account, getattr(event, "object", None), to, errand, resume, getattr(event, "read", None))


def _unpack_captured(datum: Datum) -> Captured:
    shapes = datum["shapes"]
    rows = tuple([_unpack_row(row, shapes) for row in datum["rows"]])
    return Captured(datum["account"], datum["object"], rows, datum["read"])


def _unpack_fields_changed(datum: Datum) -> FieldsChanged:
    fields = datum["fields"]
    named = None if fields is None else tuple((field["name"], field["type"]) for field in fields)
    return FieldsChanged(datum["account"], datum["object"], named)


# ---------------------------------------------------------------- commands and their results


def _pack_command(command: Command, shapes: Shapes) -> Datum:
    shape, values = pack_values(command.values, shapes)
    expect_shape, expect = pack_values(command.expect, shapes)
    return {
        "sync": command.sync,
        "link": command.link,
        "sequence": command.sequence,
        "token": command.token,
        "op": command.op,
        "id": command.id,
        "shape": shape,
        "values": values,
        "expect_shape": expect_shape,
        "expect": expect,
        "identifiers": [{"field": field, "type": type, "value": value} for field, type, value in command.identifiers],
        "pair": None if command.pair is None else _pack_references((command.pair,))[0],
        "committed_at": command.committed_at,
    }


def _unpack_command(datum: Datum, shapes: list[list[str]]) -> Command:
    pair = datum["pair"]
    return Command(
        datum["sync"],
        datum["link"],
        datum["sequence"],
        datum["token"],
        datum["op"],
        datum["id"],
        unpack_values(shapes[datum["shape"]], datum["values"]),
        unpack_values(shapes[datum["expect_shape"]], datum["expect"]),
        tuple((found["field"], found["type"], found["value"]) for found in datum["identifiers"]),
        None if pair is None else _unpack_reference(pair),
        datum["committed_at"],
    )


def _pack_answer(answer: Answer, shapes: Shapes) -> Datum:
    shape, values = (None, []) if answer.values is None else pack_values(answer.values, shapes)
    return {
        "sync": answer.sync,
        "link": answer.link,
        "sequence": answer.sequence,
        "outcome": answer.outcome,
        "id": answer.id,
        "shape": shape,
        "values": values,
        "version": None if answer.version is None else _pack_version(answer.version),
        "category": answer.category,
        "field": answer.field,
        "message": answer.message,
        "other": answer.other,
    }


def _unpack_answer(datum: Datum, shapes: list[list[str]]) -> Answer:
    shape, version = datum["shape"], datum["version"]
    return Answer(
        datum["sync"],
        datum["link"],
        datum["sequence"],
        datum["outcome"],
        datum["id"],
        None if shape is None else unpack_values(shapes[shape], datum["values"]),
        None if version is None else _unpack_version(version),
        datum["category"],
        datum["field"],
        datum["message"],
        datum["other"],
    )


def _unpack_commands(datum: Datum) -> Commands:
    shapes = datum["shapes"]
    commands = tuple([_unpack_command(command, shapes) for command in datum["commands"]])
    return Commands(datum["connection"], datum["account"], datum["object"], commands)


def _unpack_results(datum: Datum) -> Results:
    shapes = datum["shapes"]
    answers = tuple([_unpack_answer(answer, shapes) for answer in datum["answers"]])
    return Results(datum["account"], datum["object"], answers)


# ---------------------------------------------------------------- statuses and history


# What is shown to people, and never computed with, travels as JSON: a value of an Avro union costs ten times as much.
_json = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, Value]).decode
_origins = msgspec.json.Decoder(dict[str, str]).decode
_changes = msgspec.json.Decoder(tuple[FieldChange, ...]).decode


def _pack_status(row: StatusRow) -> Datum:
    return {
        "sync": row.sync,
        "key": row.key,
        "status": row.status,
        "category": row.category,
        "message": row.message,
        "remedy": row.remedy,
        "since": row.since,
        "sides": {
            account: {
                "id": side.id,
                "fields": _json(side.fields).decode(),
                "origins": _json(side.origins).decode() if side.origins else "{}",
            }
            for account, side in row.sides.items()
        },
        "gone": row.gone,
    }


def _unpack_status(datum: Datum) -> StatusRow:
    datum["sides"] = {
        account: Side(side["id"], _fields(side["fields"]), _origins(side["origins"]))
        for account, side in datum["sides"].items()
    }
    return StatusRow(**datum | {"gone": tuple(datum["gone"])})


def _pack_history_row(row: HistoryRow) -> Datum:
    return {
        "sync": row.sync,
        "key": row.key,
        "action": row.action,
        "cause": row.cause,
        "at": row.at,
        "changes": _json(row.changes).decode() if row.changes else "[]",
        "note": row.note,
        "records": row.records,
    }


def _unpack_history_row(datum: Datum) -> HistoryRow:
    return HistoryRow(**{**datum, "changes": _changes(datum["changes"]), "records": tuple(datum["records"])})


# ---------------------------------------------------------------- the union


def pack(message: Message) -> Datum:
    """The datum of any message; of a change message with an empty head."""
    match message:
        case (
            Captured() | ReadDone() | LogStarted() | Truncated() | FieldsChanged() | Marked() | AccountState() | Noted()
        ):
            return pack_change(message, head_of(message, 0, None, None, None))
        case Commands():
            shapes: Shapes = {}
            commands = [_pack_command(command, shapes) for command in message.commands]
            return {
                "connection": message.connection,
                "account": message.account,
                "object": message.object,
                "shapes": list(shapes),
                "commands": commands,
            }
        case Results():
            shapes = {}
            answers = [_pack_answer(answer, shapes) for answer in message.answers]
            return {"account": message.account, "object": message.object, "shapes": list(shapes), "answers": answers}
        case StatusRow():
            return _pack_status(message)
        case History():
            return {"connection": message.connection, "rows": list(map(_pack_history_row, message.rows))}
        case Order() | Tick() | Clock() | ReadRequest() | ReadRecords() | SetMark() | SyncRow() | DeadLetter():
            return msgspec.structs.asdict(message)
        case _:
            assert_never(message)


UNPACK: dict[str, Callable[[Datum], Message]] = {
    "Captured": _unpack_captured,
    "ReadDone": lambda datum: ReadDone(datum["account"], datum["object"], datum["read"]),
    "LogStarted": lambda datum: LogStarted(datum["account"]),
    "Truncated": lambda datum: Truncated(datum["account"], datum["object"]),
    "FieldsChanged": _unpack_fields_changed,
    "Marked": lambda datum: Marked(datum["account"], datum["mark"]),
    "AccountState": lambda datum: AccountState(datum["account"], datum["up"], datum["reason"], datum["throttled"]),
    "Noted": lambda datum: Noted(datum["account"], tuple(datum["notes"].items()), datum["cursor"], datum["anew"]),
    "Results": _unpack_results,
    "Order": lambda datum: Order(**datum | {"records": tuple(datum["records"])}),
    "Tick": lambda datum: Tick(**datum),
    "Clock": lambda _: Clock(),
    "Commands": _unpack_commands,
    "ReadRequest": lambda datum: ReadRequest(**datum),
    "ReadRecords": lambda datum: ReadRecords(**datum | {"ids": tuple(datum["ids"])}),
    "SetMark": lambda datum: SetMark(**datum),
    "StatusRow": _unpack_status,
    "SyncRow": lambda datum: SyncRow(**datum),
    "History": lambda datum: History(datum["connection"], tuple(map(_unpack_history_row, datum["rows"]))),
    "DeadLetter": lambda datum: DeadLetter(**datum),
}
"""By the record's name: the message out of its datum. Raises KeyError, IndexError, TypeError or ValueError where the
datum is none."""
