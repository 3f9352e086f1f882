"""What the cases of the contract share: the registry, the log as it comes in, and shorthands.

Responsible for how a case waits and what it stores, as the engine would. Must not know any connector.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import count
from typing import Any, NamedTuple, TypeVar

from connectors.base import (
    Batch,
    Captured,
    Change,
    Connector,
    Fence,
    FieldsChanged,
    Heartbeat,
    Marked,
    Op,
    Outcome,
    Page,
    Record,
    Result,
    Write,
    WriteOp,
)
from rules.catalog import Value
from rules.version import Version
from tests.connectors.bench import Bench

Case = Callable[[Bench], Awaitable[None]]
T = TypeVar("T")


class Entry(NamedTuple):
    """A case, what an app must offer for it, and what it must lack (`Bench.offers`)."""

    run: Case
    needs: frozenset[str]
    lacks: frozenset[str]

    def fits(self, offers: frozenset[str]) -> bool:
        """Whether an app that offers this has to pass the case."""
        return self.needs <= offers and not self.lacks & offers


CASES: dict[str, Entry] = {}
_NUMBER = count(1)


def case(*needs: str, lacks: Iterable[str] = ()) -> Callable[[Case], Case]:
    """Enters a function among the cases, under its name."""

    def enter(function: Case) -> Case:
        CASES[function.__name__] = Entry(function, frozenset(needs), frozenset(lacks))
        return function

    return enter


# ---------------------------------------------------------------- the log


@asynccontextmanager
async def opened(connector: Connector) -> AsyncIterator[Connector]:
    """The connector, open."""
    await connector.open()
    try:
        yield connector
    finally:
        await connector.close()


class Log:
    """The change log of a connector as it comes in. Nothing of it is stored before `store`.

    `bench`: its memory takes what is noted before reads begin (`Connector.prepare`), as the engine does.
    """

    def __init__(self, connector: Connector, cursor: str | None, patience: float, bench: Bench | None = None) -> None:
        self.connector, self.cursor, self.patience, self.bench = connector, cursor, patience, bench
        self._queue: asyncio.Queue[Captured | BaseException] = asyncio.Queue()
        self._seen: list[Captured] = []
        self.is_quiet = True  # nothing has come by that was not known before
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Log:
        self._task = asyncio.create_task(self._run())
        try:
            if self.cursor == "" and self.bench is not None:
                while not self.bench.memory().take(item := await self.next()):
                    assert not (isinstance(item, Batch) and item.changes), "what was there before is no change"
                self.cursor = item.cursor
                self._seen.clear()
        except BaseException:
            await self.__aexit__()
            raise
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
        self._seen.append(event)
        return event

    async def settled(self) -> list[Captured]:
        """All events up to a mark that is set now, without it and without heartbeats."""
        mark = f"mark-{next(_NUMBER)}"
        await self.connector.mark(mark)
        events: list[Captured] = []
        until = asyncio.get_running_loop().time() + self.patience * 3
        while True:
            assert asyncio.get_running_loop().time() < until, f"the mark has not come by within {self.patience * 3} s"
            event = await self.next()
            if isinstance(event, Marked) and event.mark == mark:
                return events
            if not (isinstance(event, Heartbeat) or (self.is_quiet and await self._tells_what_is_known(event))):
                events.append(event)
                self.is_quiet = False

    async def _tells_what_is_known(self, event: Captured) -> bool:
        """A log may begin by telling the fields as they are."""
        if not isinstance(event, FieldsChanged) or event.fields is None:
            return False
        known = (await self.connector.discover()).objects[event.object]
        return dict(event.fields) == {field.name: field.type.native for field in known.fields}

    async def end(self) -> None:
        """Waits for the error that ends the log, and raises it."""
        while True:
            await self.next()

    async def changes(self, *, deleted: int = 0) -> list[Change]:
        """The changes of all batches up to now; and on, until so many deletions have come by."""
        found = changes_of(await self.settled())
        until = asyncio.get_running_loop().time() + self.patience
        while sum(change.op is Op.DELETE for change in found) < deleted:
            assert asyncio.get_running_loop().time() < until, f"{deleted} deletions have not come by: {found}"
            found += changes_of([await self.next()])
        return found

    async def store(self, last: Captured | None = None) -> None:
        """All that has come by up to an item (None: all) is stored: it goes into the memory, and is confirmed."""
        count = len(self._seen) if last is None else self._seen.index(last) + 1
        stored, self._seen = self._seen[:count], self._seen[count:]
        for item in stored:
            if self.bench is not None:
                self.bench.memory().take(item)
        if stored:
            await self.connector.confirm(stored[-1].cursor)


def changes_of(events: Iterable[Captured]) -> list[Change]:
    """The changes in the batches."""
    return [change for event in events if isinstance(event, Batch) for change in event.changes]


@asynccontextmanager
async def logging(bench: Bench, connector: Connector, *, last: bool = False) -> AsyncIterator[Log]:
    """The log of a connector that is open, made ready where it is not, from where its last reader has stored it.

    `last`: nobody captures afterwards; what was made in the app is removed.
    """
    standing, prepared = await connector.position(), await connector.prepare()
    cursor = prepared if standing is None or not prepared else standing
    async with Log(connector, cursor, patience(bench), bench) as log:
        yield log
    if last:
        await released(bench, connector)


@asynccontextmanager
async def following(bench: Bench, *names: str) -> AsyncIterator[tuple[Connector, Log]]:
    """A connector that is set up, and its log from there on. What it made in the app is removed."""
    async with opened(bench.connector(*names)) as connector, logging(bench, connector, last=True) as log:
        yield connector, log


async def released(bench: Bench, connector: Connector) -> None:
    """Nobody captures any more."""
    await connector.release()
    bench.memory().clear()


def patience(bench: Bench) -> float:
    """How long something may take to come by."""
    return bench.patience + bench.able.sees_within + bench.able.deletions_within


async def standing_at(connector: Connector, cursor: str, patience: float) -> None:
    """Returns when the app has taken note of what was confirmed, which it does in its own time."""
    until = asyncio.get_running_loop().time() + patience
    while (standing := await connector.position()) != cursor:
        assert asyncio.get_running_loop().time() < until, f"the app stands at {standing}, not at {cursor}"
        await asyncio.sleep(0.01)


# ---------------------------------------------------------------- shorthands


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


async def in_batches(bench: Bench, connector: Connector, writes: Sequence[Write], offset: int) -> list[Result]:
    """The answers to writes of people, sent as the engine does: never more than a batch holds."""
    size, results = bench.able.batch_size, list[Result]()
    for number, start in enumerate(range(0, len(writes), size)):
        batch = writes[start : start + size]
        results += await connector.apply("people", batch, Fence("f", 1, offset + number))
    assert [result.token for result in results] == [each.token for each in writes]
    return results
