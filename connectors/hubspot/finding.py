"""Finding what has changed in one object: by search, in the archive, by a scan of all ids, by its associations.

Responsible for the calls of each kind of round and for what they tell (`known`). Must not know when rounds are made.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

import msgspec

from connectors.base import Change
from connectors.hubspot.client import RefusedError
from connectors.hubspot.definitions import Definitions, Fields, next_page
from connectors.hubspot.errors import Json
from connectors.hubspot.known import NOTHING, Known, Told
from connectors.hubspot.limits import Use
from connectors.hubspot.mapping import BATCH, MERGED, Shape
from connectors.hubspot.reading import ENDS, Found, Reader
from connectors.hubspot.records import Image
from connectors.hubspot.standard import API
from connectors.hubspot.values import millis_of
from connectors.hubspot.windows import Place, Window

PAGE = 200  # results of a search


class Finder:
    """One object. Its shape and the fields in use may be replaced while it works."""

    def __init__(self, reader: Reader, definitions: Definitions, known: Known, shape: Shape, fields: Fields) -> None:
        self._reader, self._definitions = reader, definitions
        self.known, self.shape, self.fields = known, shape, fields
        self.place = Place(0, 0)
        self.pages = 0  # of the last search
        self.archive_pages = 1
        self._archived: set[str] | None = None  # ids in the archive when it was looked at last

    # ---------------------------------------------------------------- what a round costs

    @property
    def reads(self) -> int:
        """Calls to read all associations."""
        return len(self.fields.relations) * -(-max(1, len(self.known.entries)) // ENDS) if self.fields.relations else 0

    @property
    def lists(self) -> int:
        """Calls to list all ids."""
        return 1 + len(self.known.entries) // BATCH

    # ---------------------------------------------------------------- search

    async def search(self, window: Window) -> AsyncIterator[Told]:
        """All that was modified in the window, in the order of ids; says how many pages it took in `place`."""
        last, pages, more = "0", 0, True
        news: list[str] = []
        while more:
            hits, more = await self._hits(window.since, last)
            pages += 1
            news += [record_id for record_id, stamp in hits if self.known.is_news(record_id, stamp)]
            if len(news) + PAGE > ENDS or not more:
                if news:
                    yield await self.look_at(news)
                news = []
            last = hits[-1][0] if hits else last
        self.pages = pages

    async def _hits(self, since: int, last: str) -> tuple[list[tuple[str, int]], bool]:
        """A page of ids behind `last` with their modified dates, and whether there are more.

        Paged by id and not by `after`: no query ever reaches the 10,000 results where HubSpot ends it, and what is edited
        meanwhile stays in its place.
        """
        modified = self.shape.standard.modified
        body = {
            "filterGroups": [
                {
                    "filters": [
                        {"propertyName": modified, "operator": "GTE", "value": str(since)},
                        {"propertyName": "hs_object_id", "operator": "GT", "value": last},
                    ]
                }
            ],
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            "properties": [modified],
            "limit": PAGE,
        }
        path = f"/crm/objects/{API}/{self.shape.type_id}/search"
        answer = await self._reader.client.ask(path, f"searching {self.shape.name}", body)
        found = answer.body.get("results") or []
        hits = sorted(((str(one["id"]), _stamp(one, modified)) for one in found), key=lambda hit: int(hit[0]))
        return hits, len(found) >= PAGE or (next_page(answer.body) is not None and bool(found))

    # ---------------------------------------------------------------- by id

    async def look_at(self, ids: Sequence[str], *, use: Use = Use.LIVE) -> Told:
        """What the records are now: changed, merged, archived, gone or back."""
        found = await self._read(ids, use)
        told: list[Told] = []
        lost: list[str] = []
        for record_id in ids:
            into = found.moved.get(record_id)
            if into is not None:
                survivor = found.images[into]
                told.append(self.known.merge(record_id, into, survivor.record.version, survivor.stamp))
            elif record_id not in found.images:
                lost.append(record_id)
        told += [self.known.see(image) for image in found.images.values()]
        if lost := [one for one in lost if (entry := self.known.entries.get(one)) is not None and not entry.gone]:
            told.append(await self._lost(lost, use))
        return joined(told)

    async def _read(self, ids: Sequence[str], use: Use) -> Found:
        try:
            return await self._reader.by_id(self.shape, self.fields, ids, use=use)
        except RefusedError as error:
            if error.refusal.status != 400:
                raise  # else a property that is asked for may be gone
            await self.renew()
            return await self._reader.by_id(self.shape, self.fields, ids, use=use)

    async def renew(self) -> None:
        """The object's definition has changed."""
        self._definitions.forget(self.shape.name)
        self.shape = await self._definitions.shape(self.shape.name)
        self.fields = self._definitions.fields(self.shape)

    async def _lost(self, ids: Sequence[str], use: Use) -> Told:
        """Records that are not there: archived, which says since when, or gone without a trace."""
        bare = msgspec.structs.replace(self.fields, names=(), relations=(), asked=("hs_object_id",))
        asked_at = self._reader.client.now()
        found = await self._reader.by_id(self.shape, bare, ids, use=use, archived=True, refs=False)
        return joined(
            self.known.lose(one, image.archived_at if (image := found.images.get(one)) else 0, asked_at) for one in ids
        )

    # ---------------------------------------------------------------- the archive

    async def archived(self) -> AsyncIterator[Told]:
        """What is in the archive is gone; what was in it and is not any more is back, or gone for good."""
        ids: set[str] = set()
        bare = msgspec.structs.replace(self.fields, names=(), relations=(), asked=("hs_object_id",))
        after: str | None = None
        pages = 0
        while True:
            answer, after = await self._reader.page(self.shape, bare, after, archived=True, use=Use.LIVE)
            pages += 1
            found = [(str(one["id"]), millis_of(one.get("archivedAt"))) for one in answer.body.get("results") or ()]
            ids |= {record_id for record_id, _ in found}
            yield joined([self.known.lose(record_id, at, answer.asked_at) for record_id, at in found])
            if after is None:
                break
        self.archive_pages = pages
        left = [one for one, entry in self.known.gone().items() if one not in ids]
        left += sorted((self._archived or set()) - ids - set(left) - self.known.entries.keys())
        self._archived = ids
        for start in range(0, len(left), BATCH):
            yield await self._back(left[start : start + BATCH])

    async def _back(self, ids: Sequence[str]) -> Told:
        found = await self._read(ids, Use.LIVE)
        told = [self.known.see(image) for image in found.images.values() if image.record.id in ids]
        forgotten = {
            key: note for one in ids if one not in found.images for key, note in self.known.forget(one).items()
        }
        return joined([*told, Told((), forgotten)])

    # ---------------------------------------------------------------- all ids

    async def scan(self) -> AsyncIterator[Told]:
        """All records there are: what search has not shown, and what has vanished."""
        before, met = set(self.known.alive()), set[str]()
        bare = self._bare()
        after: str | None = None
        while True:
            answer, after = await self._reader.page(self.shape, bare, after)
            listed = {str(one["id"]): millis_of(one.get("updatedAt")) for one in answer.body.get("results") or ()}
            met |= listed.keys()
            news = [
                record_id
                for record_id, stamp in listed.items()
                if self.known.is_news(record_id, stamp) or self.known.entries[record_id].gone
            ]
            yield await self.look_at(news, use=Use.BULK) if news else NOTHING
            if after is None:
                break
        lost = sorted(before - met)
        for start in range(0, len(lost), BATCH):
            yield await self.look_at(lost[start : start + BATCH], use=Use.BULK)

    def _bare(self) -> Fields:
        asked = (MERGED,) if self.shape.standard.merges else ("hs_object_id",)
        return msgspec.structs.replace(self.fields, names=(), relations=(), asked=asked)

    async def baseline(self) -> AsyncIterator[Told]:
        """All records there are, as known before the first read begins; nothing is told of them but merges."""
        after: str | None = None
        met: set[str] = set()
        while True:
            page: list[Image] = []
            while len(page) + BATCH <= ENDS:
                answer, after = await self._reader.page(self.shape, self._bare(), after)
                page += await self._reader.images(self.shape, self._bare(), answer)
                if after is None:
                    break
            ids = [one.record.id for one in page]
            met |= set(ids)
            refs = await self._reader.refs(self.shape, self.fields, ids, Use.BULK)
            notes: dict[str, str | None] = {}
            merges: list[Told] = []
            for one in page:
                own = refs.get(one.record.id, {})
                notes |= self.known.take(
                    one.record.id, one.stamp, tuple(own.get(field) for field in self.known.relations)
                )
                merges += [self.known.merge(old, one.record.id, one.record.version, one.stamp) for old in one.merged]
            yield joined([*merges, Told((), notes)])
            if after is None:
                break
        lost = [one for one in self.known.alive() if one not in met]
        for start in range(0, len(lost), BATCH):
            yield await self.look_at(lost[start : start + BATCH], use=Use.BULK)

    # ---------------------------------------------------------------- associations

    async def associations(self, ours: Iterable[str] = ()) -> AsyncIterator[Told]:
        """The records whose associations are no longer those that were told. `ours`: records whose associations we wrote."""
        written, ids = set(ours), self.known.alive()
        for start in range(0, len(ids), ENDS):
            piece = ids[start : start + ENDS]
            refs = await self._reader.refs(self.shape, self.fields, piece)
            differing = [
                one
                for one in piece
                if one in written
                or (
                    (entry := self.known.entries.get(one)) is not None
                    and entry.refs != self._in_order(refs.get(one, {}))
                )
            ]
            yield NOTHING
            for first in range(0, len(differing), BATCH):
                some = differing[first : first + BATCH]
                found = await self._read(some, Use.LIVE)
                yield joined(self.known.see(image, ours=image.record.id in written) for image in found.images.values())

    def _in_order(self, refs: dict[str, str | None]) -> tuple[str | None, ...]:
        return tuple(refs.get(field) for field in self.known.relations)


def joined(told: Iterable[Told]) -> Told:
    """Several, as one: merges before what follows from them."""
    changes: list[Change] = []
    notes: dict[str, str | None] = {}
    for one in told:
        changes += one.changes
        notes |= one.notes
    return Told(tuple(changes), notes)


def _stamp(given: Json, modified: str) -> int:
    return max(millis_of(given.get("updatedAt")), millis_of((given.get("properties") or {}).get(modified)))
