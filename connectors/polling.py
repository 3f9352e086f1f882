"""Capture for apps that can only be read again and again: edits and deletions are found by difference.

Responsible for what is told of a full scan, when, and what must be noted so that nothing is missed or told twice across
crashes (ADR 0013). Must not know the app: it scans through the connector's own `snapshot`.

What is kept of a record is a digest of its values. A scan that finds another digest, or a record without one, tells an
upsert; a record with a digest that a *complete* scan did not find is told as deleted. What happened between two scans
is seen as one change; what came and went between them is not seen.

A connector that captures by scanning hands its five calls on:

    self.scanner = Scanner(self, context, Pace(every=settings.every))
    position, prepare, changes, confirm, mark, release -> self.scanner

or takes them from `ScanningConnector`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from hashlib import blake2b
from typing import Protocol

import msgspec

from connectors.base import (
    Batch,
    Captured,
    Change,
    Context,
    CursorExpiredError,
    FieldsChanged,
    Heartbeat,
    Marked,
    Op,
    Page,
    Record,
)
from rules.catalog import Catalog, Object
from rules.version import Version

NOTES = 500  # of one item, when what was there before is noted

Fields = tuple[tuple[str, str], ...]  # name, native type


class Source(Protocol):
    """What is scanned: a connector, with two calls more than the interface has."""

    def snapshot(self, object: str, resume: str | None) -> AsyncIterator[Page]:
        """All records. Raises where it cannot be read in full: a scan that ends is taken for complete."""

    async def now(self) -> Version:
        """The version that a read beginning now would have at least: newer than all that has been read."""

    async def stamp(self, object: str) -> str:
        """Something cheap that differs whenever the object may have changed; empty: nothing of the kind, scan."""

    async def fields(self, object: str) -> Fields:
        """The object's fields as they are now."""


class Pace(msgspec.Struct, frozen=True):
    """Seconds. `every`: between two scans. `full`: a scan is made after so long, whatever the stamp says."""

    every: float = 1.0
    full: float = 300.0


# ---------------------------------------------------------------- pure


class Difference(msgspec.Struct, frozen=True):
    """What a page of a scan tells beyond what is known: the records that differ, and the digests to note."""

    records: tuple[Record, ...]
    notes: dict[str, str]


def digest_of(record: Record) -> str:
    """Two images of a record have the same digest where they hold the same values."""
    content = json.dumps([record.values, record.into], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return blake2b(content.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def difference(known: Mapping[str, str], records: Sequence[Record]) -> Difference:
    """`known`: digests by id."""
    digests = {record.id: digest_of(record) for record in records}
    told = tuple(record for record in records if known.get(record.id) != digests[record.id])
    return Difference(told, {record.id: digests[record.id] for record in told})


def upsert(record: Record, at: float) -> Change:
    """The change that tells a record's image."""
    op = Op.UPSERT if record.into is None else Op.MERGE
    return Change(op, record.id, dict(record.values), record.version, at, into=record.into)


def gone(record_id: str, version: Version, at: float) -> Change:
    """The change that tells that a record is not there any more."""
    return Change(Op.DELETE, record_id, {}, version, at)


class Scanned:
    """What is known of the objects: per object its fields and a digest of each record; how it is written as notes."""

    def __init__(self, notes: Mapping[str, str]) -> None:
        self.digests: dict[str, dict[str, str]] = {}
        self.fields: dict[str, Fields] = {}
        for key, note in notes.items():
            object, _, record_id = key.partition("\t")
            if record_id:
                self.digests.setdefault(object, {})[record_id] = note
            else:
                self.fields[object] = tuple((name, native) for name, native in json.loads(note))
                self.digests.setdefault(object, {})

    def knows(self, object: str) -> bool:
        """Whether all that the object held when it began to be captured is noted."""
        return object in self.fields

    def note(self, object: str, digests: Mapping[str, str | None]) -> dict[str, str | None]:
        """Takes digests in (None: gone); the notes that say so."""
        known = self.digests.setdefault(object, {})
        for record_id, digest in digests.items():
            if digest is None:
                known.pop(record_id, None)
            else:
                known[record_id] = digest
        return {f"{object}\t{record_id}": digest for record_id, digest in digests.items()}

    def note_fields(self, object: str, fields: Fields) -> dict[str, str | None]:
        """Takes the fields in. An object with fields is known."""
        self.fields[object] = fields
        return {object: json.dumps(fields)}

    def forget(self, object: str) -> dict[str, str | None]:
        """The object is not captured any more."""
        self.fields.pop(object, None)
        return {object: None, **{f"{object}\t{record_id}": None for record_id in self.digests.pop(object, {})}}


# ---------------------------------------------------------------- the scanner


class Scanner:
    """Capture of one account by scanning, for one instance of a connector.

    An object that is new is scanned in `prepare`, and what it holds is noted before any read of it begins: a record that
    a read has seen is known, so that its deletion is noticed. That is why `prepare` returns an empty cursor then.
    """

    def __init__(self, source: Source, context: Context, pace: Pace, clock: Callable[[], float] = time.time) -> None:
        self._source, self._context, self._pace, self._clock = source, context, pace, clock
        self._objects = [use.name for use in context.objects]
        self._prepared: Scanned | None = None
        self._cursor = ""
        self._fresh: list[dict[str, str | None]] = []  # notes to store before reads begin
        self._marks: list[str] = []
        self._woken = asyncio.Event()
        self._stamps: dict[str, tuple[str, float]] = {}  # per object that of its last scan, and when that was

    async def position(self) -> str | None:
        """Where the memory says that we are."""
        memory = self._context.memory
        return None if memory is None else (await memory.recall()).cursor

    async def prepare(self) -> str:
        """Notes what the objects hold that are not captured yet."""
        known, self._fresh = await self._recall(), []
        for object in [name for name in known.fields if name not in self._objects]:
            self._fresh.append(known.forget(object))
        for object in self._objects:
            if not known.knows(object):
                await self._begin(known, object)
        self._prepared = known if self._fresh else None
        return "" if self._fresh else self._cursor

    async def _begin(self, known: Scanned, object: str) -> None:
        fields = await self._source.fields(object)
        # What is known of it without being complete was noted by somebody who crashed; it may be gone since.
        self._fresh += _cut(known.note(object, dict.fromkeys(list(known.digests.get(object, ())))))
        async with aclosing(self._source.snapshot(object, None)) as pages:  # type: ignore[type-var]
            async for page in pages:
                await asyncio.sleep(0)  # a connector that has all in memory would hold the others up
                digests = {record.id: digest_of(record) for record in page.records}
                self._fresh += _cut(known.note(object, digests))
        self._fresh.append(known.note_fields(object, fields))

    async def release(self) -> None:
        """Nothing lies in the account; the engine empties the memory."""
        self._prepared, self._cursor, self._fresh = None, "", []

    async def confirm(self, cursor: str) -> None:
        """The memory has the place."""

    async def mark(self, mark: str) -> None:
        """Comes by behind a scan that begins from now on."""
        self._marks.append(mark)
        self._woken.set()

    async def changes(self, cursor: str | None) -> AsyncIterator[Captured]:
        """What each scan finds. `cursor` is that of the memory, which holds all that was told up to there."""
        known = self._prepared or await self._recall()
        if self._prepared is None and not self._cursor:
            raise CursorExpiredError(f"nothing is known of what was told of {self._context.account} before {cursor}")
        (fresh, self._fresh), self._prepared = (self._fresh, []), None
        for number, notes in enumerate(fresh, start=1):
            # The cursor moves with the last: who starts anew in between begins anew.
            yield Heartbeat(self._next() if number == len(fresh) else "", self._clock(), notes)
        while True:
            self._woken.clear()
            marks, self._marks = self._marks, []
            for object in self._objects:
                async for item in self._look(known, object, at_once=bool(marks)):
                    yield item
            for mark in marks:
                yield Marked(mark, self._cursor)
            yield Heartbeat(self._cursor, self._clock())
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace.every):
                    await self._woken.wait()

    async def _look(self, known: Scanned, object: str, *, at_once: bool) -> AsyncIterator[Captured]:
        """One scan of an object, if it may have changed."""
        stamp, now = await self._source.stamp(object), time.monotonic()
        last, since = self._stamps.get(object, ("", 0.0))
        if stamp and stamp == last and not at_once and now - since < self._pace.full:
            return
        async for item in self._scan(known, object):
            yield item
        self._stamps[object] = stamp, now

    async def _scan(self, known: Scanned, object: str) -> AsyncIterator[Captured]:
        fields = await self._source.fields(object)
        if fields != known.fields.get(object):
            yield FieldsChanged(object, fields, self._cursor)
            yield Heartbeat(self._next(), self._clock(), known.note_fields(object, fields))
        missing = set(known.digests.get(object, ()))
        async with aclosing(self._source.snapshot(object, None)) as pages:  # type: ignore[type-var]
            async for page in pages:
                await asyncio.sleep(0)
                missing.difference_update(record.id for record in page.records)
                found = difference(known.digests.get(object, {}), page.records)
                deleted = sorted(missing) if page.resume is None else []
                if not found.records and not deleted:
                    continue
                at = self._clock()
                # A deletion is known at the end of the scan; its record may have been read by others until then.
                version = await self._source.now() if deleted else Version(0)
                changes = [gone(record_id, version, at) for record_id in deleted]
                changes += [upsert(record, at) for record in found.records]
                noted = {**dict.fromkeys(deleted), **found.notes}
                yield Batch(object, tuple(changes), self._next(), known.note(object, noted))

    async def _recall(self) -> Scanned:
        memory = self._context.memory
        if memory is None:
            raise RuntimeError("only an instance with a memory captures")
        kept = await memory.recall()
        self._cursor = kept.cursor or ""
        return Scanned(kept.notes)

    def _next(self) -> str:
        self._cursor = str(int(self._cursor or 0) + 1)
        return self._cursor


class ScanningConnector:
    """The half of a connector that scanning does: what is left to it is its app (`Source`, `discover`, `find`, `apply`)."""

    def __init__(self, context: Context, pace: Pace) -> None:
        self.scanner = Scanner(self, context, pace)

    # What an app has of its own; the rest of a connector is not called from here.

    def snapshot(self, object: str, resume: str | None) -> AsyncIterator[Page]:
        """All records."""
        raise NotImplementedError

    async def discover(self) -> Catalog:
        """The objects."""
        raise NotImplementedError

    async def now(self) -> Version:
        """The version that a read beginning now would have at least."""
        raise NotImplementedError

    async def stamp(self, object: str) -> str:  # noqa: ARG002  # it has none
        """Nothing tells whether an object may have changed: it is scanned each time."""
        return ""

    async def describe(self, object: str) -> Object:
        """What the catalog says of one object."""
        return (await self.discover()).objects[object]

    async def fields(self, object: str) -> Fields:
        """As they are now."""
        return tuple((field.name, field.type.native) for field in (await self.describe(object)).fields)

    # What the scanner does.

    async def position(self) -> str | None:
        """Where the memory says that we are."""
        return await self.scanner.position()

    async def prepare(self) -> str:
        """Notes what is there."""
        return await self.scanner.prepare()

    async def release(self) -> None:
        """Nothing lies in the account."""
        await self.scanner.release()

    async def changes(self, cursor: str | None) -> AsyncIterator[Captured]:
        """What scans find."""
        async with aclosing(self.scanner.changes(cursor)) as items:  # type: ignore[type-var]
            async for item in items:
                yield item

    async def confirm(self, cursor: str) -> None:
        """The memory has the place."""
        await self.scanner.confirm(cursor)

    async def mark(self, mark: str) -> None:
        """Comes by behind the next scan."""
        await self.scanner.mark(mark)


def _cut(notes: Mapping[str, str | None]) -> list[dict[str, str | None]]:
    entries = list(notes.items())
    return [dict(entries[start : start + NOTES]) for start in range(0, len(entries), NOTES)]
