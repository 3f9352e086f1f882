"""The contract of a connector, as cases that run against a `Bench`. Connector-neutral; a failure is an AssertionError.

`CASES` holds them all by name. Each is shown to fail by a twin with its fault planted (`faults.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import count, pairwise
from typing import Any, NamedTuple, TypeVar

import pytest

from connectors.base import (
    Batch,
    Captured,
    Change,
    Connector,
    CursorExpiredError,
    Fence,
    FencedError,
    FieldsChanged,
    Heartbeat,
    Identifier,
    Marked,
    Op,
    Outcome,
    Page,
    Pair,
    Record,
    Result,
    Truncated,
    Write,
    WriteOp,
)
from rules.catalog import Value
from rules.version import Version
from tests.connectors.bench import Bench

Case = Callable[[Bench], Awaitable[None]]
T = TypeVar("T")


class Entry(NamedTuple):
    """A case and the features of an app that it needs."""

    run: Case
    needs: frozenset[str]


CASES: dict[str, Entry] = {}
_NUMBER = count(1)


def case(*needs: str) -> Callable[[Case], Case]:
    """Enters a function among the cases, under its name."""

    def enter(function: Case) -> Case:
        CASES[function.__name__] = Entry(function, frozenset(needs))
        return function

    return enter


# ---------------------------------------------------------------- tools


@asynccontextmanager
async def opened(connector: Connector) -> AsyncIterator[Connector]:
    """The connector, open."""
    await connector.open()
    try:
        yield connector
    finally:
        await connector.close()


class Log:
    """The change log of a connector as it comes in."""

    def __init__(self, connector: Connector, cursor: str | None, patience: float) -> None:
        self.connector, self.cursor, self.patience = connector, cursor, patience
        self._queue: asyncio.Queue[Captured | BaseException] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Log:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            async with aclosing(self.connector.changes(self.cursor)) as events:  # type: ignore[type-var]
                async for event in events:
                    self._queue.put_nowait(event)
        except Exception as error:  # noqa: BLE001  # handed on to who waits
            self._queue.put_nowait(error)

    async def next(self) -> Captured:
        """The next event, heartbeats too."""
        try:
            event = await asyncio.wait_for(self._queue.get(), self.patience)
        except TimeoutError:
            raise AssertionError(f"nothing came by in the log within {self.patience} s") from None
        if isinstance(event, BaseException):
            raise event
        return event

    async def settled(self) -> list[Captured]:
        """All events up to a mark that is set now, without it and without heartbeats."""
        mark = f"mark-{next(_NUMBER)}"
        await self.connector.mark(mark)
        events: list[Captured] = []
        while True:
            event = await self.next()
            if isinstance(event, Marked) and event.mark == mark:
                return events
            if not isinstance(event, Heartbeat):
                events.append(event)

    async def end(self) -> None:
        """Waits for the error that ends the log, and raises it."""
        while True:
            await self.next()

    async def changes(self) -> list[Change]:
        """The changes of all batches up to now."""
        return changes_of(await self.settled())


def changes_of(events: Iterable[Captured]) -> list[Change]:
    """The changes in the batches."""
    return [change for event in events if isinstance(event, Batch) for change in event.changes]


@asynccontextmanager
async def following(bench: Bench, *names: str) -> AsyncIterator[tuple[Connector, Log]]:
    """A connector that is set up, and its log from there on. What it made in the app is removed."""
    async with opened(bench.connector(*names)) as connector:
        cursor = await connector.prepare()
        async with Log(connector, cursor, bench.patience) as log:
            yield connector, log
        await connector.release()


async def standing_at(connector: Connector, cursor: str, patience: float) -> None:
    """Returns when the app has taken note of what was confirmed, which it does in its own time."""
    until = asyncio.get_running_loop().time() + patience
    while (standing := await connector.position()) != cursor:
        assert asyncio.get_running_loop().time() < until, f"the app stands at {standing}, not at {cursor}"
        await asyncio.sleep(0.01)


async def all_pages(connector: Connector, name: str, resume: str | None = None) -> list[Page]:
    """A full read to its end."""
    return [page async for page in connector.snapshot(name, resume)]


def exactly(number: int, found: Sequence[T]) -> Sequence[T]:
    """What was found, which must be so many."""
    assert len(found) == number, found
    return found


def only(found: Sequence[T]) -> T:
    """The one thing that was found."""
    return exactly(1, found)[0]


def write(op: WriteOp, link: str, **more: Any) -> Write:
    """A write with a token of its own, the first of its link unless it says otherwise."""
    more.setdefault("sequence", 1)
    more.setdefault("token", f"{link}/{more['sequence']}/{next(_NUMBER)}")
    return Write(link=link, op=op, **more)


def create(link: str, values: dict[str, Value], **more: Any) -> Write:
    """A create."""
    return write(WriteOp.CREATE, link, values=values, **more)


def update(link: str, record_id: str, values: dict[str, Value], **more: Any) -> Write:
    """An update."""
    return write(WriteOp.UPDATE, link, id=record_id, values=values, **more)


async def one(connector: Connector, each: Write, fence: Fence | None = None, name: str = "people") -> Result:
    """The answer to a single write."""
    results = await connector.apply(name, [each], fence)
    assert [result.token for result in results] == [each.token]
    return results[0]


def applied(result: Result) -> Result:
    """The answer, which must be that it was written."""
    assert result.outcome is Outcome.APPLIED, result
    return result


def merged(images: Iterable[Record | Change]) -> dict[str, dict[str, Value]]:
    """What a reader holds who takes images in any order and keeps the newer by its version, as the engine does."""
    held: dict[str, tuple[Version, dict[str, Value] | None]] = {}
    for image in images:
        known = held.get(image.id)
        if known is not None and not image.version.newer_than(known[0]):
            continue
        if isinstance(image, Change) and image.op is Op.DELETE:
            held[image.id] = (image.version, None)
        else:
            before = {} if known is None or known[1] is None else known[1]
            held[image.id] = (image.version, {**before, **image.values})
    return {record_id: values for record_id, (_, values) in held.items() if values is not None}


def same(found: dict[str, dict[str, Value]], truth: dict[str, dict[str, Value]]) -> None:
    """Both hold the same records, as far as the app's own view tells of their fields."""
    assert found.keys() == truth.keys()
    for record_id, values in truth.items():
        assert {name: found[record_id].get(name) for name in values} == values, record_id


# ---------------------------------------------------------------- reading


@case()
async def a_read_resumes_in_the_middle_in_another_process(bench: Bench) -> None:
    for name, number in (("people", 2300), ("places", 1500), ("things", 1200)):
        ids = await bench.fill(name, number)
        async with (
            opened(bench.connector(name)) as first,
            aclosing(first.snapshot(name, None)) as pages,  # type: ignore[type-var]
        ):
            page = await anext(pages)
        assert page.resume is not None
        assert 0 < len(page.records) < number
        async with opened(bench.connector(name)) as second:
            rest = await all_pages(second, name, page.resume)
        read = [record.id for each in (page, *rest) for record in each.records]
        assert read == ids
        assert [each.resume is None for each in rest] == [False] * (len(rest) - 1) + [True]


@case()
async def an_empty_object_reads_as_one_empty_page(bench: Bench) -> None:
    async with opened(bench.connector("people")) as connector:
        assert await all_pages(connector, "people") == [Page("people", (), None)]


@case()
async def edits_during_a_read_are_seen_by_the_read_or_the_log(bench: Bench) -> None:
    ids = await bench.fill("people", 2300)
    async with following(bench) as (connector, log):
        images: list[Record | Change] = []
        async with aclosing(connector.snapshot("people", None)) as pages:  # type: ignore[type-var]
            number = 0
            async for page in pages:
                images += page.records
                # In what has been read, in what is being read ahead, and in what has not been read yet.
                for place in (5 + number, 1500 + number, 2200 + number):
                    await bench.update("people", ids[place], name=f"edited {place}")
                await bench.delete("people", ids[10 + number])
                await bench.delete("people", ids[2250 + number])
                await bench.insert("people", name=f"new {number}", email=f"new{number}@example.com")
                number += 1
        assert number > 1
        images += await log.changes()
        same(merged(images), await bench.rows("people"))


@case("committing")
async def a_change_that_a_read_did_not_see_is_newer_though_it_was_logged_before(bench: Bench) -> None:
    record_id = await bench.insert("people", name="old")
    async with following(bench) as (connector, log):
        async with bench.committing("people", record_id, name="new"):
            record = only(await connector.read("people", [record_id]))
        assert record.values["name"] == "old"
        change = only(await log.changes())
        assert change.version.newer_than(record.version)
        assert not record.version.newer_than(change.version)
        later = only(await connector.read("people", [record_id]))
        assert later.version.newer_than(change.version)
        assert not change.version.newer_than(later.version)
        assert later.version.newer_than(record.version)


@case()
async def racing_writers_and_reads_agree_in_any_order(bench: Bench) -> None:
    ids = await bench.fill("people", 40)
    async with following(bench) as (connector, log):
        images: list[Record | Change] = []
        busy = True

        async def edit(offset: int) -> None:
            for number in range(60):
                await bench.update("people", ids[(offset * 7 + number) % len(ids)], name=f"{offset}.{number}")

        async def look() -> None:
            while busy:
                images.extend(await connector.read("people", ids))

        looking = asyncio.create_task(look())
        await asyncio.gather(*map(edit, range(4)))
        busy = False
        await looking
        for record_id in ids:
            await bench.update("people", record_id, name="last")
        changes = await log.changes()
        truth = await bench.rows("people")
        same(merged([*images, *changes]), truth)
        same(merged([*changes, *images]), truth)


@case()
async def reads_and_finds_leave_out_what_is_not_there(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann", email="ann@example.com")
    async with opened(bench.connector()) as connector:
        found = await connector.read("people", ["4711", record_id, "no id at all", "1,2"])
        assert [record.id for record in found] == [record_id]
        assert await connector.read("people", ["4711"]) == []
        assert await connector.find("people", [Identifier("email", "email", "bob@example.com")]) == []


@case()
async def excluded_fields_are_never_read(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann", secret="0000")
    async with following(bench) as (connector, log):
        await bench.update("people", record_id, name="Anna", secret="1234")
        catalog = await connector.discover()
        assert catalog.objects["people"].field("secret") is None
        change = only(await log.changes())
        record = only(await connector.read("people", [record_id]))
        page = only(await all_pages(connector, "people"))
        result = applied(await one(connector, update("l", record_id, {"name": "Ann"})))
        assert result.record is not None
        for values in (change.values, record.values, page.records[0].values, result.record.values):
            assert "name" in values
            assert "secret" not in values


# ---------------------------------------------------------------- the log


@case()
async def inserts_updates_and_deletions_come_by_in_order(bench: Bench) -> None:
    async with following(bench) as (_, log):
        record_id = await bench.insert("people", name="Ann", email="ann@example.com")
        await bench.update("people", record_id, name="Anna")
        await bench.delete("people", record_id)
        changes = await log.changes()
        assert [(change.op, change.id) for change in changes] == [
            (Op.UPSERT, record_id),
            (Op.UPSERT, record_id),
            (Op.DELETE, record_id),
        ]
        assert [change.values.get("name") for change in changes] == ["Ann", "Anna", None]
        assert all(later.version.newer_than(earlier.version) for earlier, later in pairwise(changes))
        assert all(change.committed_at > 1_700_000_000 for change in changes)


@case("rekey")
async def a_changed_id_names_the_old_one(bench: Bench) -> None:
    single = await bench.insert("things", code="a", label="x")
    double = await bench.insert("places", country="es", number=1, label="x")
    async with following(bench, "things", "places") as (_, log):
        await bench.update("things", single, code="b,%")
        await bench.update("places", double, number=2, label="y")
        await bench.update("places", "es,2", label="z")
        changes = await log.changes()
        told = {(change.id, change.old_id, change.values["label"]) for change in changes}
        assert told == {("b%2C%25", "a", "x"), ("es,2", "es,1", "y"), ("es,2", None, "z")}


@case("toast")
async def an_unchanged_large_value_is_missing_in_a_change_not_empty(bench: Bench) -> None:
    large = "".join(f"{number:x}·" for number in range(40_000))
    record_id = await bench.insert("people", name="Ann", note=large)
    async with following(bench) as (_, log):
        await bench.update("people", record_id, name="Anna")
        await bench.update("people", record_id, note=large[::-1])
        first, second = exactly(2, await log.changes())
        assert "note" not in first.values
        assert first.values["name"] == "Anna"
        assert second.values["note"] == large[::-1]


@case("merge")
async def a_merge_names_the_survivor(bench: Bench) -> None:
    survivor = await bench.insert("people", name="Ann")
    loser = await bench.insert("people", name="Anne")
    async with following(bench) as (connector, log):
        await bench.update("people", loser, master_id=int(survivor))
        change = only(await log.changes())
        assert (change.op, change.id, change.into) == (Op.MERGE, loser, survivor)
        into = {record.id: record.into for page in await all_pages(connector, "people") for record in page.records}
        assert into == {survivor: None, loser: survivor}


@case("truncate")
async def a_truncation_is_told_as_such_and_in_its_place(bench: Bench) -> None:
    await bench.fill("people", 3)
    async with following(bench) as (_, log):
        await bench.insert("people", name="before")
        await bench.truncate("people")
        await bench.insert("people", name="after")
        events = await log.settled()
        assert [type(event) for event in events] == [Batch, Truncated, Batch]
        assert [change.values["name"] for change in changes_of(events)] == ["before", "after"]


@case("alter")
async def changed_fields_are_told_before_the_rows_that_have_them(bench: Bench) -> None:
    record_id = await bench.insert("things", code="a", label="x")
    async with following(bench, "things") as (connector, log):
        await bench.update("things", record_id, label="before")
        assert [type(event) for event in await log.settled()] == [Batch]
        await bench.add_field("things", "nickname")
        await bench.update("things", record_id, label="after", nickname="Annie")
        events = await log.settled()
        assert [type(event) for event in events] == [FieldsChanged, Batch]
        told, batch = events
        assert isinstance(told, FieldsChanged)
        assert told.object == "things"
        assert told.fields == (("code", "text"), ("label", "text"), ("nickname", "text"))
        assert isinstance(batch, Batch)
        assert batch.changes[0].values["nickname"] == "Annie"
        assert (await connector.discover()).objects["things"].field("nickname") is not None
        record = only(await connector.read("things", [record_id]))
        assert record.values["nickname"] == "Annie"


@case()
async def a_mark_comes_by_behind_all_that_was_committed_and_only_to_its_installation(bench: Bench) -> None:
    async with following(bench) as (connector, log):
        async with opened(bench.connector(installation="other")) as stranger:
            for number in range(5):
                await stranger.mark("foreign")
                await bench.insert("people", name=f"p{number}")
                await connector.mark(f"m{number}")
        seen: list[str] = []
        while "m4" not in seen:
            event = await log.next()
            if isinstance(event, Batch):
                seen += [str(change.values["name"]) for change in event.changes]
            elif isinstance(event, Marked):
                seen.append(event.mark)
        assert seen == ["p0", "m0", "p1", "m1", "p2", "m2", "p3", "m3", "p4", "m4"]


@case()
async def what_is_not_confirmed_comes_again(bench: Bench) -> None:
    async with opened(bench.connector()) as connector:
        await connector.prepare()
        position = await connector.position()
        async with Log(connector, position, bench.patience) as log:
            await bench.insert("people", name="first")
            batch = only(await log.settled())
            await bench.insert("people", name="second")
            await log.settled()
            await connector.confirm(batch.cursor)
            await standing_at(connector, batch.cursor, bench.patience)
        async with opened(bench.connector()) as again:
            standing = await again.position()
            async with Log(again, standing, bench.patience) as log:
                names = [change.values["name"] for change in await log.changes()]
        assert names == ["second"]
        await connector.release()
        assert await connector.position() is None


@case("lose_log")
async def a_lost_log_is_an_expired_cursor_never_a_gap(bench: Bench) -> None:
    async with opened(bench.connector()) as connector:
        cursor = await connector.prepare()
        await bench.lose_log()
        await bench.insert("people", name="in the gap")
        assert await connector.position() is None
        with pytest.raises(CursorExpiredError):
            async with Log(connector, cursor, bench.patience) as log:
                await log.next()
        fresh = await connector.prepare()
        async with Log(connector, fresh, bench.patience) as log:
            await bench.insert("people", name="afterwards")
            assert [change.values["name"] for change in await log.changes()] == ["afterwards"]
        await connector.release()


@case("slot")
async def a_cursor_behind_what_was_confirmed_has_expired(bench: Bench) -> None:
    async with opened(bench.connector()) as connector:
        old = await connector.prepare()
        async with Log(connector, old, bench.patience) as log:
            await bench.insert("people", name="Ann")
            batch = only(await log.settled())
            await bench.insert("people", name="Bob")
            later = only(await log.settled())
            await connector.confirm(later.cursor)
            await standing_at(connector, later.cursor, bench.patience)
        assert batch.cursor != later.cursor
        with pytest.raises(CursorExpiredError):
            async with Log(connector, old, bench.patience) as log:
                await log.next()
        await connector.release()


@case("slot")
async def a_quiet_object_holds_no_log_back(bench: Bench) -> None:
    async with following(bench) as (connector, log):
        await bench.noise()
        before = await bench.held_back()
        assert before > 1_000_000
        for _ in range(20):
            event = await log.next()
            assert isinstance(event, Heartbeat), event
            await connector.confirm(event.cursor)
            if await bench.held_back() < before / 2:
                return
        raise AssertionError("the log is still held back")


@case("inserting")
async def an_object_that_is_added_misses_no_transaction_that_was_open(bench: Bench) -> None:
    async with opened(bench.connector("people")) as connector:
        await connector.prepare()
    async with opened(bench.connector("people", "things")) as connector:
        async with bench.inserting("things", code="open", label="x"):
            preparing = asyncio.create_task(connector.prepare())
            await asyncio.wait([preparing], timeout=0.5)
            # Where it does not wait for the transaction, this read comes too early and the log begins too late.
            early = await all_pages(connector, "things") if preparing.done() else None
        cursor = await preparing
        pages = early or await all_pages(connector, "things")
        async with Log(connector, cursor, bench.patience) as log:
            images = [record for page in pages for record in page.records]
            same(merged([*images, *await log.changes()]), await bench.rows("things"))
        await connector.release()


# ---------------------------------------------------------------- writing


@case()
async def a_create_returns_the_record_as_stored_and_comes_by_with_its_token(bench: Bench) -> None:
    async with following(bench) as (connector, log):
        each = create("l", {"name": "Ann", "email": "ann@example.com", "amount": "1.5"})
        result = applied(await one(connector, each))
        assert result.id is not None
        assert result.record is not None
        assert result.record.id == result.id
        assert result.record.values["amount"] == "1.5"
        edit = update("l", result.id, {"age": 7}, sequence=2)
        applied(await one(connector, edit))
        await bench.update("people", result.id, name="Anna")
        changes = await log.changes()
        assert [(change.id, change.token) for change in changes] == [
            (result.id, each.token),
            (result.id, edit.token),
            (result.id, None),
        ]
        assert not result.record.version.newer_than(changes[1].version)
        assert changes[2].version.newer_than(result.record.version)


@case("trigger")
async def the_stored_form_is_returned_not_the_given_one(bench: Bench) -> None:
    await bench.trim_on_write("people", "name")
    async with opened(bench.connector()) as connector:
        result = applied(await one(connector, create("l", {"name": "  Ann ", "amount": "1.005"})))
        assert result.record is not None
        assert (result.record.values["name"], result.record.values["amount"]) == ("Ann", "1.01")


@case()
async def a_stale_compare_and_set_answers_conflict_and_writes_nothing(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann", age=1)
    async with opened(bench.connector()) as connector:
        await bench.update("people", record_id, name="Anna")
        stale = update("l", record_id, {"name": "Zoe"}, expect={"name": "Ann", "age": 1})
        removal = write(WriteOp.DELETE, "k", id=record_id, expect={"name": "Ann"})
        for each in (stale, removal):
            result = await one(connector, each)
            assert result.outcome is Outcome.CONFLICT
            assert result.record is not None
            assert result.record.values["name"] == "Anna"
        assert (await bench.rows("people"))[record_id]["name"] == "Anna"
        fresh = update("l", record_id, {"name": "Zoe"}, expect={"name": "Anna", "age": 1, "email": None})
        applied(await one(connector, fresh))
        assert (await bench.rows("people"))[record_id]["name"] == "Zoe"


@case("writes")
async def a_write_without_a_difference_is_unchanged_and_not_made(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann", amount="1.50", age=None)
    before = await bench.writes_since("people", record_id)
    async with opened(bench.connector()) as connector:
        each = update("l", record_id, {"name": "Ann", "amount": "1.5", "age": None}, expect={"name": "stale"})
        result = await one(connector, each)
        assert result.outcome is Outcome.UNCHANGED
        assert result.record is not None
        assert result.record.values["name"] == "Ann"
    assert await bench.writes_since("people", record_id) == before


@case()
async def a_repeated_token_is_answered_and_not_written_again(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann")
    async with opened(bench.connector()) as connector:
        change = update("l", record_id, {"name": "Zoe"}, expect={"name": "Ann"})
        make = create("k", {"name": "Bob"})
        removal = write(WriteOp.DELETE, "j", id=await bench.insert("people", name="gone"))
        first = await connector.apply("people", [change, make, removal], None)
        assert {result.outcome for result in first} == {Outcome.APPLIED}
        await bench.update("people", record_id, name="Ann")  # a person changes it back
        before = await bench.rows("people")
        again = await connector.apply("people", [change, make, removal], None)
        assert {result.outcome for result in again} <= {Outcome.APPLIED, Outcome.UNCHANGED}
        assert [result.id for result in again] == [result.id for result in first]
        assert again[0].record is not None
        assert again[0].record.values["name"] == "Ann"
        assert again[2].record is None
        assert await bench.rows("people") == before


@case()
async def a_known_sequence_with_another_token_and_a_lower_one_are_conflicts(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann")
    async with opened(bench.connector()) as connector:
        applied(await one(connector, update("l", record_id, {"name": "five"}, sequence=5)))
        for sequence in (5, 4):
            result = await one(connector, update("l", record_id, {"name": "other"}, sequence=sequence))
            assert result.outcome is Outcome.CONFLICT
            assert result.record is not None
            assert result.record.values["name"] == "five"
        applied(await one(connector, update("l", record_id, {"name": "six"}, sequence=6)))


@case()
async def three_of_a_hundred_refused_leave_the_others_written(bench: Bench) -> None:
    taken = await bench.insert("people", name="Ann", email="taken@example.com")
    refused: dict[int, tuple[dict[str, Value], str, str]] = {
        17: ({"name": "a", "email": "taken@example.com"}, "duplicate", "email"),
        50: ({"name": None, "email": "p50@example.com"}, "missing_required", "name"),
        83: ({"name": "b", "age": -1}, "invalid_value", "age"),
    }
    writes = [
        create(f"l{number}", refused[number][0] if number in refused else {"name": f"p{number}", "age": number})
        for number in range(100)
    ]
    async with opened(bench.connector()) as connector:
        results = await connector.apply("people", writes, Fence("f", 1, 1))
        assert [result.token for result in results] == [each.token for each in writes]
        for number, result in enumerate(results):
            if number not in refused:
                applied(result)
                continue
            assert (result.outcome, result.category, result.field) == (Outcome.REJECTED, *refused[number][1:]), result
            assert result.message
        assert results[17].other == taken
        names = {row["name"] for row in (await bench.rows("people")).values()}
        assert names == {"Ann", *(f"p{number}" for number in range(100) if number not in refused)}
        # And so for updates: of two that take one's email, the other is written.
        ids = [str(result.id) for result in results[:3]]
        edits = [
            update(f"u{place}", ids[place], {"email": f"{email}@example.com"})
            for place, email in enumerate(("a", "taken", "c"))
        ]
        outcomes = [result.outcome for result in await connector.apply("people", edits, Fence("f", 1, 2))]
        assert outcomes == [Outcome.APPLIED, Outcome.REJECTED, Outcome.APPLIED]


@case()
async def an_oversized_value_is_refused_and_a_large_one_survives(bench: Bench) -> None:
    large = "ñandú " * 400_000
    record_id = await bench.insert("people", name="Ann")
    async with following(bench) as (connector, log):
        for each in (create("a", {"name": "x" * 21}), update("b", record_id, {"name": "x" * 21})):
            result = await one(connector, each)
            assert (result.outcome, result.category, result.field) == (Outcome.REJECTED, "invalid_value", "name")
        assert len(await bench.rows("people")) == 1
        result = applied(await one(connector, update("c", record_id, {"note": large})))
        assert result.record is not None
        assert result.record.values["note"] == large
        change = only(await log.changes())
        assert change.values["note"] == large
        page = only(await all_pages(connector, "people"))
        assert page.records[0].values["note"] == large


@case()
async def deletions_and_updates_of_what_is_gone_are_missing(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann")
    async with following(bench) as (connector, log):
        result = await one(connector, write(WriteOp.DELETE, "l", id=record_id, expect={"name": "Ann"}))
        assert (applied(result).id, result.record) == (record_id, None)
        assert await bench.rows("people") == {}
        change = only(await log.changes())
        assert (change.op, change.id) == (Op.DELETE, record_id)
        for each in (
            write(WriteOp.DELETE, "l", sequence=2, id=record_id),
            update("k", record_id, {"name": "x"}),
            update("j", "no id at all", {"name": "x"}),
        ):
            assert (await one(connector, each)).outcome is Outcome.MISSING


@case()
async def a_create_finds_the_record_that_is_there_by_any_spelling_of_an_identifier(bench: Bench) -> None:
    ann = await bench.insert("people", name="Ann", email="  Ánn.Straße@Example.COM ")
    acme = await bench.insert("people", name="Acme  Ltd", domain="https://www.Acme.com:8080/about?x=1")
    async with opened(bench.connector()) as connector:
        for field, type_, value, expected in (
            ("email", "email", "ánn.strasse@example.com", ann),
            ("domain", "domain", "acme.com", acme),
            ("name", "name", "acme ltd", acme),
        ):
            identifiers = (Identifier("email", "email", "nobody@example.com"), Identifier(field, type_, value))
            result = await one(connector, create(f"l{field}", {"name": "x", field: value}, identifiers=identifiers))
            assert (result.outcome, result.id) == (Outcome.EXISTS, expected)
            assert result.record is not None
            assert result.record.id == expected
            found = only(await connector.find("people", identifiers))
            assert found.id == expected
        assert len(await bench.rows("people")) == 2
        two = [
            create(
                f"k{number}",
                {"name": "Bob", "email": "bob@example.com"},
                identifiers=(Identifier("email", "email", "bob@example.com"),),
            )
            for number in range(2)
        ]
        made, existing = await connector.apply("people", two, None)
        assert (made.outcome, existing.outcome) == (Outcome.APPLIED, Outcome.EXISTS)
        assert existing.id == made.id


@case("inserting")
async def a_create_beside_a_person_who_makes_the_same_finds_theirs(bench: Bench) -> None:
    async with opened(bench.connector()) as connector:
        each = create(
            "l",
            {"name": "Ann", "email": "ann@example.com"},
            identifiers=(Identifier("email", "email", "ann@example.com"),),
        )
        other = create("k", {"name": "Zoe", "email": "ann@example.com"})
        async with bench.inserting("people", name="Anna", email="ann@example.com"):
            answer = asyncio.create_task(connector.apply("people", [each], None))
            # It has looked and found nobody, and now the app's unique rule holds it up.
            while not await bench.waiting():
                assert not answer.done(), await answer
        result = only(await answer)
        if result.outcome is Outcome.RETRY:
            result = only(await connector.apply("people", [each], None))
        assert result.outcome is Outcome.EXISTS, result
        assert result.record is not None
        assert result.record.values["name"] == "Anna"
        refused = await one(connector, other)
        assert (refused.outcome, refused.category, refused.other) == (Outcome.REJECTED, "duplicate", result.id)


@case("holding")
async def a_row_that_somebody_holds_is_answered_retry_and_the_others_are_written(bench: Bench) -> None:
    ids = await bench.fill("people", 20)
    async with opened(bench.connector()) as connector:
        writes = [update(f"l{record_id}", record_id, {"age": 77}) for record_id in ids]
        async with bench.holding("people", ids[7]):
            results = await asyncio.wait_for(connector.apply("people", writes, Fence("f", 1, 1)), bench.patience)
        assert [result.outcome for result in results] == [
            Outcome.RETRY if place == 7 else Outcome.APPLIED for place in range(20)
        ]
        # The same owner may come again for what it could not do.
        again = await connector.apply("people", writes, Fence("f", 1, 1))
        assert {result.outcome for result in again} == {Outcome.APPLIED}
        assert {row["age"] for row in (await bench.rows("people")).values()} == {77}


@case("cutting")
async def an_unknown_outcome_is_said_to_be_and_the_token_tells(bench: Bench) -> None:
    for answered in (True, False):
        each = create(f"l{answered}", {"name": f"p{answered}"})
        async with bench.cutting(answered=answered) as torn:
            result = await one(torn, each)
            assert result.outcome is Outcome.UNKNOWN, result
        async with opened(bench.connector()) as connector:
            result = applied(await one(connector, each))
            assert result.record is not None
            assert result.record.values["name"] == f"p{answered}"
        names = [row["name"] for row in (await bench.rows("people")).values()]
        assert names.count(f"p{answered}") == 1


@case()
async def an_owner_whose_time_is_over_is_fenced_off(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann")
    async with opened(bench.connector()) as old, opened(bench.connector()) as new:
        applied(await one(old, update("l", record_id, {"name": "1"}), Fence("f", 1, 10)))
        applied(await one(new, update("l", record_id, {"name": "2"}, sequence=2), Fence("f", 2, 11)))
        with pytest.raises(FencedError):
            await old.apply("people", [update("k", record_id, {"name": "zombie"})], Fence("f", 1, 12))
        applied(await one(old, update("j", record_id, {"age": 3}), Fence("another", 1, 12)))
        assert (await bench.rows("people"))[record_id]["name"] == "2"


@case()
async def a_message_that_was_written_before_is_not_written_again(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann")
    async with opened(bench.connector()) as connector:
        done = update("l", record_id, {"name": "Zoe"}, expect={"name": "Ann"})
        applied(await one(connector, done, Fence("f", 1, 10)))
        await bench.update("people", record_id, name="Ann")
        never = update("k", record_id, {"name": "late"}, expect={"name": "Ann"})
        for fence in (Fence("f", 2, 10), Fence("f", 2, 9)):
            first, second = await connector.apply("people", [done, never], fence)
            assert applied(first).record is not None
            assert second.outcome is Outcome.RETRY
        assert (await bench.rows("people"))[record_id]["name"] == "Ann"
        applied(await one(connector, never, Fence("f", 2, 11)))


@case()
async def pairs_are_remembered_with_the_record(bench: Bench) -> None:
    pair = Pair("contacts", "shop", "customers", "77")
    async with opened(bench.connector()) as connector:
        values: dict[str, Value] = {"name": "Ann", "email": "ann@example.com"}
        result = applied(await one(connector, create("l", values, pair=pair)))
        assert result.id is not None
        await bench.insert("people", name="Bob")
    async with opened(bench.connector()) as again, opened(bench.connector(installation="other")) as stranger:
        page = only(await all_pages(again, "people"))
        read = only(await again.read("people", [result.id]))
        found = only(await again.find("people", [Identifier("email", "email", "ann@example.com")]))
        assert [record.pairs for record in page.records] == [(pair,), ()]
        assert read.pairs == found.pairs == (pair,)
        page = only(await all_pages(stranger, "people"))
        assert [record.pairs for record in page.records] == [(), ()]


@case("types")
async def every_type_goes_there_and_back_by_every_way(bench: Bench) -> None:
    types = bench.types()
    length = max(map(len, types.values()))
    rows = [{name: values[place % len(values)] for name, values in types.items()} for place in range(length)]
    rows.append(dict.fromkeys(types))
    async with following(bench, "samples") as (connector, log):
        fields = {field.name for field in (await connector.discover()).objects["samples"].fields}
        assert fields == {"id", *types}
        writes = [create(f"l{place}", values) for place, values in enumerate(rows)]
        results = await connector.apply("samples", writes, None)
        changes = {change.id: change.values for change in await log.changes()}
        read = {record.id: record.values for page in await all_pages(connector, "samples") for record in page.records}
        edits = []
        for result, values in zip(results, rows, strict=True):
            assert applied(result).record is not None
            assert result.id is not None
            for image in (result.record.values, changes[result.id], read[result.id]):  # type: ignore[union-attr]
                different = {name: (image[name], values[name]) for name in values if image[name] != values[name]}
                assert not different, different
            edits.append(update(f"u{result.id}", result.id, values, expect=values))
        # Compared and set with their own values, all agree: nothing is written.
        again: Sequence[Result] = await connector.apply("samples", edits, None)
        assert {result.outcome for result in again} == {Outcome.UNCHANGED}
        turned = [
            update(f"v{result.id}", str(result.id), rows[place - 1], expect=rows[place])
            for place, result in enumerate(results)
        ]
        for result, values in zip(await connector.apply("samples", turned, None), rows[-1:] + rows[:-1], strict=True):
            assert applied(result).record is not None
            assert {name: result.record.values[name] for name in values} == values  # type: ignore[union-attr]
