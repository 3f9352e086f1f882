"""The change log of an account that has none: rounds of looking, in one order, with a place that survives.

Responsible for when which round is made, for marks, for the portal that was synced with, and for what is noted with what is told. How each kind of
round finds something is in `finding`. Must not know Kafka.

A round's changes come with the notes of what has been told; its end comes with the cursor. A crash in between finds the same again, and knows by the
notes what was told. `Heartbeat`s without notes say that nothing has happened.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress

import msgspec

from connectors.base import (
    Batch,
    Captured,
    Context,
    CursorExpiredError,
    FatalError,
    FieldsChanged,
    Heartbeat,
    Marked,
    Remembered,
)
from connectors.hubspot.client import Client, RefusedError
from connectors.hubspot.definitions import Definitions
from connectors.hubspot.finding import Finder
from connectors.hubspot.journal import NOTE, Journal, JournalGapError
from connectors.hubspot.known import Known, Told
from connectors.hubspot.mapping import BATCH, Shape
from connectors.hubspot.reading import Reader
from connectors.hubspot.rounds import Rounds
from connectors.hubspot.settings import HubSpotSettings
from connectors.hubspot.standard import API
from connectors.hubspot.windows import Place, after, next_window

log = logging.getLogger(__name__)

NOTED_EVERY = 600.0  # seconds after which the place is noted though nothing has happened
URGENT = ("search", "journal")  # rounds that tell of live changes
SCANNED = "t\tscan"  # the note of when all ids were scanned last


class Cursor(msgspec.Struct, frozen=True):
    """Up to when all has been told, in the account's milliseconds, and which account that was."""

    portal: str
    at: int

    def __str__(self) -> str:
        return f"{self.portal}/{self.at}"


def cursor_of(text: str) -> Cursor:
    """The cursor that a text stands for."""
    portal, _, at = text.partition("/")
    if not at.isdigit():
        raise CursorExpiredError(f"{text!r} is no place in an account of HubSpot")
    return Cursor(portal, int(at))


class Capture:
    """The stream of one account."""

    def __init__(
        self, client: Client, definitions: Definitions, reader: Reader, context: Context, settings: HubSpotSettings
    ) -> None:
        self._client, self._definitions, self._reader = client, definitions, reader
        self._context, self._settings = context, settings
        self._marks: list[tuple[str, int]] = []  # with the account's time at which each was set
        self._woken = asyncio.Event()
        self._finders: list[Finder] = []
        self._journal: Journal | None = None
        self._defined: dict[str, tuple[tuple[str, str], ...]] = {}  # the fields of each object as they were told
        self._cursor = Cursor("", 0)
        self._noted_at = 0.0
        self._moved = False  # something was told since the place was noted

    # ---------------------------------------------------------------- the place

    async def recall(self) -> Remembered:
        """What the engine keeps for us."""
        if self._context.memory is None:
            return Remembered()
        return await self._context.memory.recall()

    async def portal(self, *, anew: bool = False) -> str:
        """Which account the token belongs to. `anew`: also asked where it is known, as the token may be no good any more."""
        shared = self._client.shared
        if shared.portal is None or anew:
            body = (await self._client.get(f"/account-info/{API}/details", "asking for the account's details")).body
            shared.portal, shared.zone = str(body.get("portalId")), str(body.get("timeZone") or "UTC")
            shared.currency = str(body.get("companyCurrency") or "")
        return shared.portal

    async def same_portal(self, cursor: str) -> None:
        """Raises `FatalError` where the token leads to another account than the one that was synced with."""
        portal, known = await self.portal(anew=True), cursor_of(cursor).portal
        if portal != known:
            raise FatalError(
                f"the token belongs to portal {portal}, but this account was synced with portal {known}",
                f"give it a token of portal {known}, or name portal {portal} as an account of its own",
            )

    async def ready(self) -> str:
        """The cursor to start from; empty where something has to be noted first."""
        remembered = await self.recall()
        if remembered.cursor is not None:
            await self.same_portal(remembered.cursor)
        for use in self._context.objects:
            shape = await self._definitions.shape(use.name)
            known = Known(use.name, self._definitions.fields(shape).relations)
            known.recall(remembered.notes)
            if not known.ready:
                return ""
        return remembered.cursor or ""

    def mark(self, mark: str) -> None:
        """Comes by when everything has been looked at that was there now."""
        self._marks.append((mark, self._client.now()))
        self._woken.set()

    # ---------------------------------------------------------------- the stream

    async def run(self, cursor: str | None) -> AsyncIterator[Captured]:
        """Without end."""
        remembered = await self.recall()
        if cursor and remembered.cursor is None:
            raise CursorExpiredError("what was noted of the account is lost: it has to be read in full again")
        at = cursor or remembered.cursor
        if at:
            await self.same_portal(at)
            self._cursor = cursor_of(at)
        else:
            self._cursor = Cursor(await self.portal(), self._client.now())
        await self._set_up(remembered)
        async for item in self._baselines(anew=not at):
            yield item
        scanned = remembered.notes.get(SCANNED, "")
        age = (self._client.now() - int(scanned)) / 1000 if scanned else 0.0
        rounds = Rounds(self._finders, self._settings, self._client, age)
        await self._open_journal(rounds, remembered.notes.get(NOTE))
        try:
            async for item in self._rounds(rounds):
                yield item
        finally:
            if self._journal is not None:
                await self._journal.close()

    async def _rounds(self, rounds: Rounds) -> AsyncIterator[Captured]:
        while True:
            kind = rounds.due(marked=bool(self._marks))
            if kind is None:
                self._woken.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(rounds.wait()):
                        await self._woken.wait()
                continue
            async with aclosing(self._round(kind, rounds)) as items:  # type: ignore[type-var]
                async for item in items:
                    yield item
            self._report()

    async def _set_up(self, remembered: Remembered) -> None:
        self._finders = []
        for use in self._context.objects:
            shape = await self._definitions.shape(use.name)
            fields = self._definitions.fields(shape)
            known = Known(use.name, fields.relations)
            known.recall(remembered.notes)
            finder = Finder(self._reader, self._definitions, known, shape, fields)
            finder.place = Place(self._cursor.at, self._cursor.at)
            self._redefined(finder)
            self._finders.append(finder)

    async def _baselines(self, *, anew: bool) -> AsyncIterator[Captured]:
        """Notes what there is of each object that is new to us; the last item carries the cursor."""
        missing = [finder for finder in self._finders if not finder.known.ready]
        began = self._client.now()
        for finder in missing:
            async for told in finder.baseline():
                for item in _items(finder.known.object, told, ""):
                    yield item
            if anew:
                finder.place = Place(began, began)
            yield Heartbeat("", time.time(), finder.known.note_ready())
        if missing or anew:
            self._cursor = Cursor(self._cursor.portal, min((one.place.deep for one in self._finders), default=began))
            self._noted_at = time.monotonic()
            yield Heartbeat(str(self._cursor), time.time(), {})

    # ---------------------------------------------------------------- rounds

    async def _open_journal(self, rounds: Rounds, offset: str | None) -> None:
        """Reads the journal besides, where the app is permitted to; else looking is all there is."""
        if not self._settings.journal:
            return
        journal = Journal(self._settings, self._finders, self._cursor.portal)
        try:
            await journal.subscribe()
            await journal.begin(offset)
        except (FatalError, RefusedError) as error:
            self._without_journal(error)
            await journal.close()
            return
        self._journal, rounds.journal = journal, True

    def _without_journal(self, error: Exception) -> None:
        extra = {"action": "no_journal", "account": self._context.account}
        log.warning("the journal cannot be read: %s", error, extra=extra)

    async def _read_journal(self, rounds: Rounds) -> AsyncIterator[Captured]:
        """What it names is looked at; the offset is noted behind it."""
        assert self._journal is not None
        try:
            async for file in self._journal.files():
                for finder in self._finders:
                    ids = file.named.get(finder.shape.type_id, ())
                    for start in range(0, len(ids), BATCH):
                        told = await finder.look_at(ids[start : start + BATCH])
                        for item in self._told(finder, told):
                            yield item
                yield Heartbeat(str(self._cursor), time.time(), {NOTE: file.offset})
        except JournalGapError as error:
            log.warning("%s: everything is looked at", error, extra={"action": "gap", "account": self._context.account})
            await self._journal.begin(None)
            rounds.all_due()
        except RefusedError as error:
            # Looking finds all that it would have told.
            self._without_journal(error)
            await self._journal.close()
            self._journal, rounds.journal = None, False
            rounds.all_due()

    async def _round(self, kind: str, rounds: Rounds) -> AsyncIterator[Captured]:
        began = self._client.now()
        if kind == "marks":
            items = self._reach_marks(rounds)
        elif kind == "journal":
            items = self._read_journal(rounds)
        else:
            items = self._look(kind, rounds)
        async for item in items:
            yield item
        rounds.done(kind, began)
        for item in self._after_round(kind, began, rounds):
            yield item

    async def _look(self, kind: str, rounds: Rounds) -> AsyncIterator[Captured]:
        """All objects, one after the other. What takes long lets live changes through in between."""
        for finder in self._finders:
            async for told in self._looks(kind, finder):
                for item in self._told(finder, told):
                    yield item
                urgent = None if kind in URGENT else rounds.due(marked=False)
                if urgent in URGENT:
                    async for item in self._round(urgent, rounds):
                        yield item
            if kind == "search":
                for changed in await self._look_at_definition(finder, rounds):
                    yield changed

    def _after_round(self, kind: str, began: int, rounds: Rounds) -> Sequence[Captured]:
        """What is noted, or has come about, when a round is over."""
        if kind == "associations":
            renamed = [finder.known for finder in self._finders if finder.known.renamed]
            return [Heartbeat(str(self._cursor), time.time(), known.note_ready()) for known in renamed]
        if kind == "scan":
            return [Heartbeat(str(self._cursor), time.time(), {SCANNED: str(began)})]
        if kind == "search":
            return [*self._passed(rounds), self._beat()]
        return []

    async def _looks(self, kind: str, finder: Finder) -> AsyncIterator[Told]:
        if kind == "search":
            window = next_window(finder.place, self._client.now(), int(self._settings.index_lag * 1000))
            async for told in finder.search(window):
                yield told
            finder.place = after(finder.place, window, finder.pages)
            return
        if kind == "associations":
            if finder.fields.relations:
                async for told in self._look_at_associations(finder):
                    yield told
            return
        async for told in finder.archived() if kind == "archived" else finder.scan():
            yield told

    async def _look_at_associations(self, finder: Finder) -> AsyncIterator[Told]:
        ours = self._client.shared.take_related(finder.shape.type_id)
        try:
            async for told in finder.associations(ours):
                yield told
            ours = set()
        finally:
            self._client.shared.wrote_related(finder.shape.type_id, ours)  # a look that broke off has to be made again

    async def _reach_marks(self, rounds: Rounds) -> AsyncIterator[Captured]:
        """Looks at everything: all that was there when the marks were set is then told."""
        marks, self._marks = self._marks, []
        for kind in ("archived", "scan", "associations"):
            began = self._client.now()
            async for item in self._look(kind, rounds):
                yield item
            rounds.done(kind, began)
        for mark, _ in marks:
            yield Marked(mark, "")
        yield self._beat()

    def _passed(self, rounds: Rounds) -> list[Captured]:
        """The marks behind which everything has come by, by waiting for the index."""
        if not self._marks or rounds.sweep_pays():
            return []
        lag = int(self._settings.index_lag * 1000)
        seen = [rounds.began["search"] - lag, rounds.began["archived"]]
        if any(finder.fields.relations for finder in self._finders):
            seen.append(rounds.began["associations"])
        passed = [mark for mark, at in self._marks if at < min(seen)]
        self._marks = [one for one in self._marks if one[0] not in passed]
        return [Marked(mark, "") for mark in passed]

    async def _look_at_definition(self, finder: Finder, rounds: Rounds) -> Sequence[Captured]:
        """The object's fields, where they have changed since they were looked at."""
        if rounds.definitions_due(finder.known.object):
            await finder.renew()
        return self._redefined(finder)

    def _redefined(self, finder: Finder) -> Sequence[Captured]:
        """Told before the records that show it."""
        now = _native(finder.shape)
        before, self._defined[finder.known.object] = self._defined.get(finder.known.object, now), now
        return [] if now == before else [FieldsChanged(finder.known.object, now, str(self._cursor))]

    # ---------------------------------------------------------------- items

    def _told(self, finder: Finder, told: Told) -> Sequence[Captured]:
        items = _items(finder.known.object, told, str(self._cursor))
        self._moved = self._moved or bool(items)
        return [*self._redefined(finder), *items]

    def _beat(self) -> Heartbeat:
        """The end of a search round: the place is noted where something was told, and now and then."""
        if not (self._moved or time.monotonic() - self._noted_at > NOTED_EVERY):
            return Heartbeat("", time.time())
        self._moved, self._noted_at = False, time.monotonic()
        self._cursor = Cursor(
            self._cursor.portal, min((one.place.deep for one in self._finders), default=self._client.now())
        )
        return Heartbeat(str(self._cursor), time.time(), {})

    def _report(self) -> None:
        """What of the account's limits is used."""
        limiter, gauge = self._client.shared.limiter, self._context.gauge
        gauge("day", limiter.daily - limiter.remaining, limiter.remaining)
        used = limiter.burst.used(time.monotonic())
        gauge("ten_seconds", used, limiter.burst.limit - used)
        searches = limiter.search.used(time.monotonic())
        gauge("searches", searches, limiter.search.limit - searches)


def _items(object: str, told: Told, cursor: str) -> list[Captured]:
    """What is told as an item of the log. The place moves on at the end of a round only."""
    if told.changes:
        return [Batch(object, told.changes, cursor, dict(told.notes))]
    return [Heartbeat(cursor, time.time(), dict(told.notes))] if told.notes else []


def _native(shape: Shape) -> tuple[tuple[str, str], ...]:
    return tuple((one.name, one.type.native) for one in shape.object().fields)
