"""Capture by scanning: what differs is told and noted; the stamp spares scans; what is pure, by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from connectors.base import Batch, Captured, Context, CursorExpiredError, FieldsChanged, ObjectUse, Op, Page, Record
from connectors.polling import Difference, Fields, Pace, Scanned, Scanner, difference, digest_of
from rules.version import Version
from tests.connectors.bench import KeptNotes


def record(id: str, version: int = 1, **values: str | None) -> Record:
    return Record(id, dict(values), Version(version))


def test_records_are_told_by_their_values_not_by_their_version() -> None:
    assert digest_of(record("1", a="x", b=None)) == digest_of(record("1", 9, b=None, a="x"))
    assert digest_of(record("1", a="x")) != digest_of(record("1", a="y"))
    assert digest_of(record("1", a=None)) != digest_of(record("1"))
    assert digest_of(Record("1", {}, Version(1))) != digest_of(Record("1", {}, Version(1), into="2"))
    assert digest_of(record("1", a="\ud800"))


def test_what_differs_is_told_and_noted() -> None:
    old, new = record("1", a="x"), record("2", a="y")
    known = {"1": digest_of(old), "2": "another"}
    assert difference(known, [old, new]) == Difference((new,), {"2": digest_of(new)})
    assert difference(known, []) == Difference((), {})


def test_what_is_known_is_found_again_in_its_notes() -> None:
    known = Scanned({})
    notes = {**known.note("people", {"1": "d1", "2": "d2", "3": None}), **known.note_fields("people", (("a", "t"),))}
    assert notes == {"people\t1": "d1", "people\t2": "d2", "people\t3": None, "people": '[["a", "t"]]'}
    again = Scanned({key: note for key, note in notes.items() if note is not None})
    assert (again.digests, again.fields) == (known.digests, known.fields)
    assert again.knows("people")
    assert not Scanned({"people\t1": "d1"}).knows("people")
    assert again.forget("people") == {"people": None, "people\t1": None, "people\t2": None}
    assert not again.knows("people")


class Source:
    """An object in a list; each page holds two records."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.version = 1
        self.stamped = ""
        self.header: Fields = (("a", "text"),)
        self.scans = 0
        self.fails_after: int | None = None

    async def snapshot(self, object: str, resume: str | None) -> AsyncIterator[Page]:
        self.scans += 1
        records = [record(id, self.version, a=value) for id, value in sorted(self.rows.items())]
        for start in range(0, len(records) or 1, 2):
            if self.fails_after is not None and start >= self.fails_after:
                raise OSError("gone")
            more = start + 2 < len(records)
            yield Page(object, tuple(records[start : start + 2]), str(start) if more else None)

    async def now(self) -> Version:
        return Version(self.version)

    async def stamp(self, object: str) -> str:
        return self.stamped

    async def fields(self, object: str) -> Fields:
        return self.header


class World:
    """A source, what is kept of it, and a scanner that can be made anew."""

    def __init__(self) -> None:
        self.source, self.memory = Source(), KeptNotes()

    def scanner(self, pace: Pace | None = None) -> Scanner:
        context = Context("acme", "crm", (ObjectUse("people"),), self.memory)
        return Scanner(self.source, context, pace or Pace(every=0.001), lambda: 5.0)

    async def begun(self, scanner: Scanner) -> AsyncIterator[Captured]:
        """Its stream behind the beginning, which is stored."""
        assert await scanner.prepare() == ""
        items = scanner.changes(None)
        while not self.memory.take(await anext(items)):
            pass
        return items


async def batches(items: AsyncIterator[Captured], count: int) -> list[Batch]:
    """The next so many."""
    found: list[Batch] = []
    async with asyncio.timeout(5):
        while len(found) < count:
            if isinstance(item := await anext(items), Batch):
                found.append(item)
    return found


async def test_deletions_come_with_the_end_of_the_scan_and_are_newer_than_what_was_read() -> None:
    world = World()
    world.source.rows = {"1": "a", "2": "b", "3": "c"}
    items = await world.begun(world.scanner())
    del world.source.rows["1"]
    world.source.rows |= {"2": "edited", "4": "new"}
    world.source.version = 7
    first, second = await batches(items, 2)
    assert [(one.op, one.id) for one in first.changes] == [(Op.UPSERT, "2")]
    assert [(one.op, one.id) for one in second.changes] == [(Op.DELETE, "1"), (Op.UPSERT, "4")]
    assert second.changes[0].version == Version(7)
    assert second.changes[0].committed_at == 5.0
    assert second.notes is not None
    assert second.notes["people\t1"] is None
    await items.aclose()  # type: ignore[attr-defined]


async def test_a_scan_that_breaks_off_deletes_nothing() -> None:
    world = World()
    world.source.rows = {"1": "a", "2": "b", "3": "c"}
    items = await world.begun(world.scanner())
    world.source.fails_after = 2
    told: list[Captured] = []
    with pytest.raises(OSError, match="gone"):
        async with aclosing(items) as stream:  # type: ignore[type-var]
            told = [item async for item in stream if isinstance(item, Batch)]
    assert told == []


async def test_an_unchanged_stamp_spares_the_scan_until_a_mark_asks_for_one() -> None:
    world = World()
    world.source.stamped = "s1"
    scanner = world.scanner(Pace(every=0.0, full=1000.0))
    items = await world.begun(scanner)
    for _ in range(20):
        await anext(items)
    assert world.source.scans == 2  # the beginning, and one behind it
    world.source.rows["1"] = "edited with the same stamp"
    await scanner.mark("m")
    assert len(await batches(items, 1)) == 1
    world.source.stamped, world.source.rows["2"] = "s2", "and with another"
    assert len(await batches(items, 1)) == 1
    await items.aclose()  # type: ignore[attr-defined]


async def test_the_stamp_is_not_trusted_for_ever() -> None:
    world = World()
    world.source.stamped = "s1"
    items = await world.begun(world.scanner(Pace(every=0.0, full=0.0)))
    for _ in range(3):
        await anext(items)
    world.source.rows["1"] = "edited with the same stamp"
    assert len(await batches(items, 1)) == 1
    await items.aclose()  # type: ignore[attr-defined]


async def test_other_fields_are_told_before_the_records_that_have_them_and_once() -> None:
    world = World()
    items = await world.begun(world.scanner())
    world.source.header, world.source.rows["1"] = (("a", "text"), ("b", "text")), "x"
    found: list[Captured] = []
    while not any(isinstance(item, Batch) for item in found):
        found.append(await anext(items))
        world.memory.take(found[-1])
    await items.aclose()  # type: ignore[attr-defined]
    told = [item for item in found if isinstance(item, FieldsChanged)]
    assert [(one.object, one.fields) for one in told] == [("people", world.source.header)]
    again = world.scanner()
    assert await again.prepare() != ""
    items = again.changes(await again.position())
    for _ in range(3):
        assert not isinstance(await anext(items), FieldsChanged | Batch)
    await items.aclose()  # type: ignore[attr-defined]


async def test_what_a_crashed_beginning_has_noted_and_is_gone_since_is_forgotten() -> None:
    world = World()
    world.source.rows = {"1": "a", "2": "b"}
    scanner = world.scanner()
    await scanner.prepare()
    items = scanner.changes(None)
    assert not world.memory.take(await anext(items))  # and then a crash
    await items.aclose()  # type: ignore[attr-defined]
    del world.source.rows["1"]
    items = await world.begun(world.scanner())
    assert set((await world.memory.recall()).notes) == {"people", "people\t2"}
    await items.aclose()  # type: ignore[attr-defined]


async def test_without_a_memory_there_is_no_place_and_no_stream() -> None:
    world = World()
    scanner = world.scanner()
    assert await scanner.position() is None
    with pytest.raises(CursorExpiredError):
        await anext(scanner.changes("3"))
    bare = Scanner(world.source, Context("acme", "crm", (ObjectUse("people"),)), Pace())
    assert await bare.position() is None
    with pytest.raises(RuntimeError, match="memory"):
        await bare.prepare()
