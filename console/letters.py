"""Dead letters: what is asked of them, how they are shown, and how one is marked as dealt with.

Responsible for their shape in JSON, and for the message that discards one. Must not know how they are printed.

A dead letter is discarded by another message with its id in the same topic, which says who did so and when: so every
console hides it, also one whose read model is filled anew, and the first message stays.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import socket
from typing import Any

import msgspec

from console.kafka import silence, telling, topics_of
from console.readmodel.reader import LetterRow
from console.target import Target
from console.times import iso
from rules.events import DeadLetter
from streams.config import send_letters

Json = dict[str, Any]


class LetterFilter(msgspec.Struct, frozen=True):
    """Which dead letters. Times are seconds since 1970; None: any. `discarded`: also those that were dealt with."""

    sync: str | None = None
    category: str | None = None
    since: float | None = None
    until: float | None = None
    discarded: bool = False


def letter_in_words(row: LetterRow) -> Json:
    """A dead letter in the shape of `tandem dead-letters list --json`."""
    letter = row.letter
    return {
        "id": letter.id,
        "at": iso(letter.at),
        "account": letter.account or None,
        "sync": letter.sync,
        "record": letter.key,
        "category": letter.category,
        "message": letter.message,
        "status": row.status,
        "discarded": {"at": iso(letter.discarded_at), "by": letter.discarded_by} if letter.discarded_at else None,
    }


def letter_in_full(row: LetterRow) -> Json:
    """The same with the command, or the message that cannot be read and where it lies."""
    letter = row.letter
    place = None
    if letter.topic is not None:
        place = {"topic": letter.topic, "partition": letter.partition, "offset": letter.offset}
    return letter_in_words(row) | {
        "object": letter.object,
        "command": json.loads(letter.command) if letter.command else None,
        "from": place,
        "raw": None if letter.raw is None else letter.raw.hex(),
    }


def who() -> str:
    """Who runs this command, for the record: user and machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def discard(target: Target, letters: list[DeadLetter], by: str, at: float) -> None:
    """Marks dead letters as dealt with; returns when that is stored."""

    async def send() -> None:
        silence()
        broker = target.broker()
        with telling(broker):
            topics = await topics_of(broker, target.name)
            marked = [msgspec.structs.replace(letter, discarded_at=at, discarded_by=by) for letter in letters]
            await send_letters(broker, topics, marked)

    asyncio.run(send())
