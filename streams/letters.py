"""What becomes of a message that cannot be read, or that no message can hold: a dead letter, and an order to read again
what it may have said.

Responsible for both. Must not know who read the message, or what a connection does when it reads again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from rules.catalog import Value
from rules.events import Captured, DeadLetter, Order, Row
from schemas import ChangeEvent, encode
from streams.protocols import Configuration
from streams.topics import Topics, connection_name
from streams.unit import Change, Output

UNDECODABLE = "undecodable"


def letter_of(
    topic: str, partition: int, offset: int, at: float, key: bytes, value: bytes | None, why: str
) -> DeadLetter:
    """The dead letter of a message; its id is the message's place, so that it is the same when the message is read
    again."""
    return DeadLetter(
        id=f"{topic}/{partition}/{offset}",
        at=at,
        account=key.decode(errors="replace"),
        category=UNDECODABLE,
        message=why,
        topic=topic,
        partition=partition,
        offset=offset,
        raw=value,
    )


def output_of(letter: DeadLetter, topics: Topics) -> Output:
    """The dead letter as a message."""
    return Output(topics.dead_letters, letter.account.encode(), encode(letter))


def refused(letter: DeadLetter, orders: Iterable[Output], topics: Topics) -> Change:
    """What a message that cannot be read changes."""
    return Change(outputs=[output_of(letter, topics), *orders], letters=[letter])


def read_again(
    cause: str,
    topics: Topics,
    configuration: Configuration | None,
    *,
    account: str | None = None,
    connection: str | None = None,
) -> Iterator[Output]:
    """Orders to read in full again, for each sync of the account, or of the connection. `cause` makes them the same
    on every replay."""
    for sync, definition in configuration.document["syncs"].items() if configuration else ():
        of = connection_name(definition["between"])
        if account in definition["between"] or of == connection:
            order = Order(f"{cause}/{sync}", "resync", sync)
            yield Output(topics.inbox, of.encode(), encode(order))


def shortened(event: ChangeEvent, at: float, limit: int) -> tuple[ChangeEvent, list[DeadLetter]]:
    """The event without the values that make it too large, the largest first; and a dead letter for each record that
    lost any."""
    if not isinstance(event, Captured):
        return event, []
    sizes = sorted(((_size(value), place) for place, value in _places(event)), reverse=True)
    excess, dropped = sum(size for size, _ in sizes) - limit // 2, set[tuple[int, str]]()
    for size, place in sizes:
        if excess <= 0:
            break
        dropped.add(place)
        excess -= size
    rows = tuple(
        msgspec.structs.replace(row, values={name: v for name, v in row.values.items() if (index, name) not in dropped})
        for index, row in enumerate(event.rows)
    )
    letters = [
        _oversized(event, row, sorted(name for at_row, name in dropped if at_row == index), at)
        for index, row in enumerate(event.rows)
        if any(at_row == index for at_row, _ in dropped)
    ]
    return msgspec.structs.replace(event, rows=rows), letters


def _oversized(event: Captured, row: Row, fields: list[str], at: float) -> DeadLetter:
    return DeadLetter(
        id=f"{event.account}/{event.object}/{row.id}/{row.version.position}",
        at=at,
        account=event.account,
        category="invalid_value",
        message=f"{', '.join(fields)} of {event.account}:{row.id} is too large to be synced, and was left out;"
        " leave the field out of the mapping, or shorten its value",
        object=event.object,
    )


def _places(event: Captured) -> Iterator[tuple[tuple[int, str], Value]]:
    return (((index, name), value) for index, row in enumerate(event.rows) for name, value in row.values.items())


def _size(value: Value) -> int:
    """Bytes of a value, about."""
    if isinstance(value, str):
        return len(value.encode(errors="replace"))
    return sum(map(_size, value)) if isinstance(value, list) else 8
