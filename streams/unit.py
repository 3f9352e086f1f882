"""The unit of work: what consecutive inputs of one stage change, carried out so that the state is never ahead of its
outputs.

Responsible for the order of effects. Must not know what is decided, nor where inputs come from.

The steps, as `streams.faults` numbers them:

1. the state is read and decided on (by the stage)
2. the outputs are sent, and acknowledged by the broker
3. the changelog entries and the input's position are written as one record batch by the partition's fenced writer,
and acknowledged
4. entries, indexes, and the changelog's offset go to the disk in one write batch
5. the inputs are acknowledged (by the pump)

A crash anywhere replays the inputs on the old state and decides the same again: outputs may come twice, never zero
times, and the state moves exactly once. Steps 3 and 4 of the stages of one partition exclude each other: they share
the changelog.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Protocol

import msgspec
from rocksdict import Rdict, WriteBatch

from rules.events import DeadLetter, HistoryRow, StatusRow, SyncRow
from schemas import History, encode
from streams import faults, keys
from streams.fence import Entry
from streams.overlay import Entries, Overlay
from streams.topics import MESSAGE_BYTES, UNIT_BYTES, Topics

# Where a unit ends, though more is queued: latency for what waits behind it, and far below what a record batch holds.
TARGET_BYTES = 1 << 20
TARGET_ROWS = 500
# What a record costs in a batch besides its key and value.
_RECORD_BYTES = 24
_HISTORY_ROWS = 500

Late = Callable[[Rdict], Entries]
"""Entries that depend on what other stages write: worked out when nobody else writes."""


class Output(msgspec.Struct, frozen=True):
    """A message to send."""

    topic: str
    key: bytes
    value: bytes | None


class Change(msgspec.Struct):
    """What one input changes; nothing of it shows before it is in a unit that is committed.

    `entries`: state, in the changelog. `indexes`: on the disk alone. `late`: see `Late`.
    `outputs`: sent by the plain producer; may come late, or twice.
    `statuses` (by key), `history` (of connections): sent by the partition's writer, so that no earlier owner's come
    late.
    `letters`: those among the outputs, for the metrics. `rows`: how much work it was.
    """

    entries: Entries = {}
    indexes: Entries = {}
    late: list[Late] = []
    outputs: list[Output] = []
    statuses: dict[bytes, StatusRow | SyncRow] = {}
    history: list[tuple[str, HistoryRow]] = []
    letters: list[DeadLetter] = []
    rows: int = 1

    @property
    def size(self) -> int:
        """About what the changelog batch grows by."""
        return sum(len(key) + len(value or b"") + _RECORD_BYTES for key, value in self.entries.items())


class Unit:
    """Consecutive inputs of one stage, over the state as it stood before them."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        self.entries: Entries = {}
        self.indexes: Entries = {}
        self.late: list[Late] = []
        self.outputs: list[Output] = []
        self.statuses: dict[bytes, StatusRow | SyncRow] = {}
        self.history: dict[str, list[HistoryRow]] = {}
        self.letters: list[DeadLetter] = []
        self.inputs = self.rows = self._bytes = self._out = 0

    def admits(self, change: Change) -> bool:
        """Whether the change still fits into the record batch. The first always does: its size is checked when it is
        written."""
        return self.inputs == 0 or self._bytes + change.size <= UNIT_BYTES // 2

    def add(self, change: Change) -> None:
        """Takes what the next input changes."""
        self.inputs += 1
        self._bytes += change.size
        self.rows += change.rows
        self._out += sum(len(output.value or b"") for output in change.outputs)
        self.entries |= change.entries
        self.indexes |= change.indexes
        self.overlay.put(change.entries)
        self.overlay.put(change.indexes)
        self.late += change.late
        self.outputs += change.outputs
        self.statuses |= change.statuses  # what is overtaken within the unit is never sent
        for connection, row in change.history:
            self.history.setdefault(connection, []).append(row)
        self.letters += change.letters

    @property
    def syncs(self) -> Iterator[SyncRow]:
        """The states of syncs among the statuses."""
        return (row for row in self.statuses.values() if isinstance(row, SyncRow))

    @property
    def sends(self) -> bool:
        """Whether there is anything to send."""
        return bool(self.outputs or self.statuses or self.history)

    @property
    def full(self) -> bool:
        """Whether to commit, though more is queued."""
        return self.rows >= TARGET_ROWS or self._bytes >= TARGET_BYTES or self._out >= TARGET_BYTES


class Backing(Protocol):
    """What a unit is carried out on: the producers and the state of one partition."""

    topics: Topics
    lock: asyncio.Lock
    offset_key: bytes

    def database(self) -> Rdict:
        """The partition's database; not to be kept."""

    async def append(self, topic: str, entries: Sequence[Entry]) -> int:
        """Writes one record batch by the partition's writer; the offset of its last entry."""

    async def send(self, output: Output) -> Awaitable[object]:
        """Hands a message to the plain producer."""


async def commit(unit: Unit, stage: str, topic: str, position: int, backing: Backing) -> None:
    """Steps 2 to 4: `position` is the last input of `topic` that the unit holds."""
    if unit.sends:
        faults.passed(stage, 1)
        await asyncio.gather(
            send_all(unit.outputs, backing.send),
            _append_all(backing.topics.statuses, _statuses(unit), backing),
            _append_all(backing.topics.history, _history(unit), backing),
        )
        faults.passed(stage, 2)
    async with backing.lock:
        entries = dict(unit.entries)
        for late in unit.late:
            entries |= late(backing.database())
        entries[keys.position(topic)] = b"%d" % position
        await write(entries, unit.indexes, backing, stage if unit.rows else "")


async def write(entries: Entries, indexes: Entries, backing: Backing, stage: str = "") -> None:
    """Steps 3 and 4, under the lock of the partition."""
    last = await backing.append(backing.topics.state, list(entries.items()))
    faults.passed(stage, 3)
    batch = WriteBatch(raw_mode=True)
    for key, value in (*entries.items(), *indexes.items()):
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
    batch.put(backing.offset_key, b"%d" % last)
    batch.put(keys.WRITTEN, b"%d" % time.time())
    backing.database().write(batch)
    faults.passed(stage, 4)


async def send_all(outputs: Iterable[Output], send: Callable[[Output], Awaitable[Awaitable[object]]]) -> None:
    """Sends all, in order, and returns when all are acknowledged."""
    pending = [await send(output) for output in outputs]
    if pending:
        await asyncio.gather(*pending)


def _statuses(unit: Unit) -> Iterator[Entry]:
    for key, row in unit.statuses.items():
        gone = row.status is None if isinstance(row, StatusRow) else row.state is None
        yield key, None if gone else encode(row)


def _history(unit: Unit) -> Iterator[Entry]:
    for connection, rows in unit.history.items():
        for first in range(0, len(rows), _HISTORY_ROWS):
            yield connection.encode(), encode(History(connection, tuple(rows[first : first + _HISTORY_ROWS])))


async def _append_all(topic: str, entries: Iterable[Entry], backing: Backing) -> None:
    """Writes the entries in as few record batches as hold them."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        grown = len(entry[0]) + len(entry[1] or b"") + _RECORD_BYTES
        if batch and size + grown > MESSAGE_BYTES // 2:
            await backing.append(topic, batch)
            batch, size = [], 0
        batch.append(entry)
        size += grown
    if batch:
        await backing.append(topic, batch)
