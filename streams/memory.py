"""What the capture of an account has noted, in the state of the partition of its account (`connectors.base.Memory`).

Responsible for how it is stored, and made void when the log begins anew. Written by route when a `Noted` comes by, so
that it is in step with `changes`: what is noted has been told. Must not know what the notes mean.

A log that begins anew gets another number, and notes are stored under the number of their log: so all earlier ones are
void at once, however many there are. They are removed with the notes that follow, some at a time.
"""

from __future__ import annotations

import asyncio
from itertools import islice

import msgspec

from connectors.base import Remembered
from schemas import Noted
from streams import keys
from streams.overlay import Database, Entries, Overlay, scan

SWEPT = 500  # void notes removed with each message
PIECE = 10_000  # notes recalled at a time

_NUMBER = 8  # bytes


class _Log(msgspec.Struct, frozen=True, array_like=True):
    """Which log of the account it is, and how far it has been told. None: it has not begun."""

    number: int = 0
    cursor: str | None = None


_decode = msgspec.msgpack.Decoder(_Log).decode
_encode = msgspec.msgpack.Encoder().encode


async def recall(database: Database, account: str) -> Remembered:
    """All that is kept. Others work between two pieces: a million notes take some seconds. What is noted meanwhile may be
    in it or not, so nobody may be noting."""
    log = _log(database().get(keys.memory(account)))
    prefix = _prefix(account, log.number)
    notes: dict[str, str] = {}
    start = prefix
    while True:
        piece = list(islice(scan(database(), prefix, start), PIECE))
        notes.update((key[len(prefix) :].decode(), value.decode()) for key, value in piece)
        if len(piece) < PIECE:
            return Remembered(log.cursor, notes)
        start = piece[-1][0] + b"\0"
        await asyncio.sleep(0)


def begun_anew(overlay: Overlay, account: str) -> Entries:
    """A log begins anew: what was noted is void."""
    key = keys.memory(account)
    stored = overlay.get(key)
    if stored is None:
        return {}  # an app that keeps our place itself
    return {key: _encode(_Log(_log(stored).number + 1))}


def noted(overlay: Overlay, event: Noted) -> Entries:
    """Notes have come by, behind what they are about."""
    log = _log(overlay.get(keys.memory(event.account)))
    if event.anew:
        log = _Log(log.number + 1)
    if event.cursor is not None:
        log = _Log(log.number, event.cursor)
    prefix = _prefix(event.account, log.number)
    entries: Entries = dict.fromkeys(_void(overlay, event.account, prefix))
    entries[keys.memory(event.account)] = _encode(log)
    for key, note in event.notes:
        entries[prefix + key.encode()] = None if note is None else note.encode()
    return entries


def _log(stored: bytes | None) -> _Log:
    return _Log() if stored is None else _decode(stored)


def _prefix(account: str, number: int) -> bytes:
    return keys.memory(account) + number.to_bytes(_NUMBER, "big")


def _void(overlay: Overlay, account: str, prefix: bytes) -> list[bytes]:
    """Some of the notes of earlier logs."""
    found = overlay.scan(keys.memory(account), _prefix(account, 0))
    return [key for key, _ in islice(found, SWEPT) if key < prefix]
