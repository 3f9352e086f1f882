"""The guards of the streams, each taken out of a worker under test: `TANDEM_TWIN=<name>`. And the faults that no
signal can make.

`TANDEM_DROP=<topic>:<offset>` loses one message between Faust and us, as Faust does when a rebalance interrupts its
hand-over.
"""

from __future__ import annotations

import os
from typing import Any

from aiokafka import AIOKafkaProducer
from faust.types import EventT
from rocksdict import Rdict, WriteBatch

from streams import faults, fence, keys, stage, unit
from streams.app import App
from streams.fence import Entry
from streams.host import Host
from streams.overlay import Entries, Overlay
from streams.owned import OwnedPartition
from streams.pump import Feed
from streams.topics import MARKER, UNIT_BYTES
from streams.unit import Backing, Unit


def take_out(guard: str) -> None:
    """Makes this process one without the guard."""
    {
        "fence": _fence,
        "order": _order,
        "one batch": _one_batch,
        "disk last": _disk_last,
        "seek": _seek,
        "hole": _hole,
        "unchecked": _unchecked,
        "no handle": _no_handle,
        "assignment": _assignment,
    }[guard]()


def drop(place: str) -> None:
    """Loses the message at the place, once."""
    topic, offset = place.rsplit(":", 1)
    offer, left = Host.offer, [(topic, int(offset))]

    def losing(self: Host, event: EventT[bytes]) -> None:
        if (event.message.topic, event.message.offset) in left:
            left.clear()
        else:
            offer(self, event)

    _replace(Host, "offer", losing)


def _replace(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


def _fence() -> None:
    """A writer without an epoch: nobody is refused."""

    async def take_over(self: fence.Writer) -> fence.Writer:
        self._producer = AIOKafkaProducer(
            **self._broker.client(),
            enable_idempotence=True,
            max_batch_size=UNIT_BYTES,
            max_request_size=UNIT_BYTES,
        )
        await self._producer.start()
        for topic in self._topics:
            self.markers[topic] = await self.append(topic, [(MARKER, b"0")])
        return self

    _replace(fence.Writer, "take_over", take_over)


def _order() -> None:
    """The state first, the outputs last."""

    async def commit(found: Unit, name: str, topic: str, position: int, backing: Backing) -> None:
        async with backing.lock:
            await unit.write(found.entries | {keys.position(topic): b"%d" % position}, found.indexes, backing, name)
        await unit.send_all(found.outputs, backing.send)

    _replace(stage, "commit", commit)


def _one_batch() -> None:
    """The entries, and then the position, as two record batches."""

    async def write(entries: Entries, indexes: Entries, backing: Backing, name: str = "") -> None:
        state = [entry for entry in entries.items() if not entry[0].startswith(b"p/")]
        positions = [entry for entry in entries.items() if entry[0].startswith(b"p/")]
        if state:
            await backing.append(backing.topics.state, state)
            faults.passed(name, 3)
        last = await backing.append(backing.topics.state, positions) if positions else 0
        _to_disk(entries, indexes, last, backing)

    _replace(unit, "write", write)


def _disk_last() -> None:
    """The disk before the changelog."""

    async def write(entries: Entries, indexes: Entries, backing: Backing, name: str = "") -> None:
        changelog: list[Entry] = list(entries.items())
        _to_disk(entries, indexes, int(backing.database().get(backing.offset_key) or 0), backing)
        faults.passed(name, 3)
        _to_disk({}, {}, await backing.append(backing.topics.state, changelog), backing)

    _replace(unit, "write", write)


def _to_disk(entries: Entries, indexes: Entries, last: int, backing: Backing) -> None:
    batch = WriteBatch(raw_mode=True)
    for key, value in (*entries.items(), *indexes.items()):
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
    batch.put(backing.offset_key, b"%d" % last)
    batch.put(keys.WRITTEN, b"%d" % 2**31)
    backing.database().write(batch)


def _seek() -> None:
    """Reads on where the group has committed; and nobody looks whether that is right."""

    def resume(self: OwnedPartition) -> None:
        self.gate.open()

    _replace(OwnedPartition, "resume", resume)
    _replace(Feed, "watch", lambda self, end: None)


def _hole() -> None:
    """What comes is taken for what comes next."""
    offer = Feed.offer

    def trusting(self: Feed, event: EventT[Any]) -> None:
        if event.message.offset > self.next:
            self.position += event.message.offset - self.next
            self.next = event.message.offset
        offer(self, event)

    _replace(Feed, "offer", trusting)


def _unchecked() -> None:
    """Faust's read offsets in force."""

    def new_consumer(self: App) -> Any:
        return super(App, self)._new_consumer()

    _replace(App, "_new_consumer", new_consumer)


_kept: list[Any] = []


def _no_handle() -> None:
    """An iterator over each database is kept."""
    get = Overlay.get

    def keeping(self: Overlay, key: bytes) -> bytes | None:
        database: Rdict = self.database()
        _kept.append(database.iter())
        return get(self, key)

    _replace(Overlay, "get", keeping)
    get_many = Overlay.get_many

    def keeping_many(self: Overlay, wanted: Any) -> list[bytes | None]:
        _kept.append(self.database().iter())
        return get_many(self, wanted)

    _replace(Overlay, "get_many", keeping_many)


def _assignment() -> None:
    """What left is worked on."""

    async def drop(self: Host, partitions: set[int]) -> None:
        for number in partitions:
            self._owned.pop(number).gate.open()
        self._open -= partitions

    _replace(Host, "_drop", drop)


def plant() -> None:
    """What the environment asks for."""
    if twin := os.environ.get("TANDEM_TWIN"):
        take_out(twin)
    if place := os.environ.get("TANDEM_DROP"):
        drop(place)
