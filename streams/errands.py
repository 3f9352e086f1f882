"""Orders to accounts that are not yet carried out, in the state of the partition of their account.

Responsible for how they are stored, replaced, moved on and taken out; written by deliver (a new one) and by route
(what was captured for it), in units of their own, so all of it is worked out late, when nobody else writes. Must not
know how they are carried out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import msgspec
from rocksdict import Rdict

from connectors.base import Remembered
from rules.events import ReadRecords, ReadRequest, SetMark
from schemas import Head
from streams import keys
from streams.memory import recall
from streams.overlay import Database, Entries, scan
from streams.protocols import Errand
from streams.unit import Late

Order = ReadRequest | ReadRecords | SetMark


class _Stored(msgspec.Struct, frozen=True):
    """An errand in the state. `offset`: of the order in `commands`, for its age."""

    offset: int
    order: Order
    resume: str | None = None


_decode = msgspec.msgpack.Decoder(_Stored).decode
_encode = msgspec.msgpack.Encoder().encode


def key_of(order: Order, offset: int) -> str:
    """The errand's key: a newer read of the same sync and object replaces the older."""
    return f"read/{order.sync}/{order.object}" if isinstance(order, ReadRequest) else f"{offset}"


def requested(order: Order, offset: int) -> Late:
    """The order has come. One that comes again after a crash does not begin anew, and one that comes late (a worker
    that was refused has sent it all the same) does not replace a newer one."""
    key = keys.errands(order.account) + key_of(order, offset).encode()

    def late(database: Rdict) -> Entries:
        stored = database.get(key)
        if stored is not None and not _replaces(order, _decode(stored).order):
            return {}
        return {key: _encode(_Stored(offset, order))}

    return late


def _replaces(order: Order, stored: Order) -> bool:
    if isinstance(order, ReadRequest) and isinstance(stored, ReadRequest) and order.connection == stored.connection:
        return _asked_at(order) > _asked_at(stored)
    return order != stored


def _asked_at(order: ReadRequest) -> int:
    """Where in the connection's inbox the read was asked for: the number behind its name (`rules.initial.begin_read`)."""
    return int(order.read.rpartition("#")[2])


def captured(head: Head) -> Late:
    """A message that carries out an errand has come by."""
    key = keys.errands(head.account) + (head.errand or "").encode()

    def late(database: Rdict) -> Entries:
        stored = database.get(key)
        if stored is None:
            return {}
        errand = _decode(stored)
        if isinstance(errand.order, ReadRequest) and errand.order.read != head.read:
            return {}
        if head.resume is None:
            return {key: None}
        return {key: _encode(_Stored(errand.offset, errand.order, head.resume))}

    return late


def marked(account: str, mark: str) -> Late:
    """A mark has come by in the account's log."""

    def late(database: Rdict) -> Entries:
        found = _of(database, account)
        return {key: None for key, errand in found if isinstance(errand.order, SetMark) and errand.order.mark == mark}

    return late


def is_current(database: Rdict, account: str, read: str) -> bool:
    """Whether the full read is (still) one that was asked for."""
    found = _of(database, account)
    return any(isinstance(errand.order, ReadRequest) and errand.order.read == read for _, errand in found)


def _of(database: Rdict, account: str) -> Iterator[tuple[bytes, _Stored]]:
    return ((key, _decode(value)) for key, value in list(scan(database, keys.errands(account))))


class PartitionErrands:
    """`protocols.Errands` of one partition. `reached`: waits until route's position is at an offset."""

    def __init__(self, database: Database, reached: Callable[[int], Awaitable[None]]) -> None:
        self._database, self._reached = database, reached

    def open(self, account: str) -> list[Errand]:
        """What is to be done, oldest first."""
        prefix = len(keys.errands(account))
        found = sorted(_of(self._database(), account), key=lambda entry: entry[1].offset)
        return [Errand(key[prefix:].decode(), errand.order, errand.resume) for key, errand in found]

    async def remembered(self, account: str) -> Remembered:
        """What its capture has noted."""
        return await recall(self._database, account)

    async def routed(self, offset: int) -> None:
        """Returns when route's position in `changes` has reached `offset`."""
        await self._reached(offset)
