"""What becomes of a message that cannot be read: a dead letter, and an order to read again what it may have said.

Responsible for both. Must not know who read the message, or what a connection does when it reads again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rules.events import DeadLetter, Order
from schemas import encode
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
