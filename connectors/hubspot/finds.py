"""Finding records by identifier, normalised as the rules do.

Responsible for which records may match; the rules' own normaliser decides. Must not know what a match leads to.

Emails of contacts are asked for by batch read, which is the store itself. Anything else is looked for by search, which may lag behind and knows no
normal forms: an object of up to `SMALL` records is listed in full; in a larger one a record is found as it is written, in normal form, and for
domains as the usual address of that host.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from connectors.base import Identifier
from connectors.hubspot.definitions import Fields
from connectors.hubspot.errors import Json
from connectors.hubspot.limits import Use
from connectors.hubspot.mapping import Shape
from connectors.hubspot.reading import Reader
from connectors.hubspot.records import Image
from connectors.hubspot.standard import API
from rules.identifiers import normalise

SMALL = 500  # records
ASK_AGAIN = 300.0  # seconds for which an object that is large is taken to be
BODY = 2400  # characters of values in one search, of the 3,000 that its body may have
PAGE = 200
ADDITIONAL = "hs_additional_emails"
_EMAILS = ("email", "email")


class Finds:
    """Of one account."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._large: dict[str, float] = {}  # type ids, and when they were found to be

    async def find(self, shape: Shape, fields: Fields, identifiers: Sequence[Identifier]) -> list[Image]:
        """The records that match any of them, the oldest first."""
        wanted: dict[tuple[str, str], set[str]] = {}
        raw: dict[tuple[str, str], set[str]] = {}
        for one in identifiers:
            normal = normalise(one.type, one.value)
            if normal is not None and one.field in shape.properties:
                wanted.setdefault((one.field, one.type), set()).add(normal)
                raw.setdefault((one.field, one.type), set()).add(one.value)
        if not wanted:
            return []
        images: list[Image] = []
        if _EMAILS in wanted and shape.standard.name == "contacts":
            more = msgspec.structs.replace(fields, asked=(*fields.asked, ADDITIONAL))
            found = await self._reader.by_id(shape, more, sorted(wanted[_EMAILS]), use=Use.WRITE, by="email")
            images += found.images.values()
            raw.pop(_EMAILS)
        if raw:
            images += await self._searched(shape, fields, wanted, raw)
        return self.matching(images, identifiers)

    def matching(self, images: Iterable[Image], identifiers: Iterable[Identifier]) -> list[Image]:
        """Those that match any of the identifiers, the oldest first."""
        wanted: dict[tuple[str, str], set[str]] = {}
        for one in identifiers:
            normal = normalise(one.type, one.value)
            if normal is not None:
                wanted.setdefault((one.field, one.type), set()).add(normal)
        found = {one.record.id: one for one in images if _matches(one, wanted)}
        return sorted(found.values(), key=lambda one: (len(one.record.id), one.record.id))

    async def _searched(
        self,
        shape: Shape,
        fields: Fields,
        wanted: dict[tuple[str, str], set[str]],
        raw: dict[tuple[str, str], set[str]],
    ) -> list[Image]:
        if await self._is_small(shape):
            images: list[Image] = []
            async for page, following in self._reader.pages(shape, fields, None, use=Use.WRITE):
                images += page
                if following is None:
                    return images
                # Search counts what its index has seen; so many were made just now.
                self._large[shape.type_id] = time.monotonic()
                break
        ids: list[str] = []
        for (field, type_), values in raw.items():
            forms = sorted({form for value in values | wanted[field, type_] for form in forms_of(type_, value)})
            for some in pieces(forms):
                ids += await self._hits(shape, field, some)
        return list((await self._reader.by_id(shape, fields, ids, use=Use.WRITE)).images.values())

    async def _hits(self, shape: Shape, field: str, values: Sequence[str]) -> list[str]:
        filters: list[Json] = [{"propertyName": field, "operator": "IN", "values": list(values)}]
        return [str(one["id"]) for one in (await self._search(shape, filters, PAGE)).get("results") or ()]

    async def _is_small(self, shape: Shape) -> bool:
        if time.monotonic() - self._large.get(shape.type_id, -ASK_AGAIN) < ASK_AGAIN:
            return False
        total = int((await self._search(shape, [], 1)).get("total") or 0)
        if total > SMALL:
            self._large[shape.type_id] = time.monotonic()
        return total <= SMALL

    async def _search(self, shape: Shape, filters: list[Json], limit: int) -> Json:
        body = {
            "filterGroups": [{"filters": filters}] if filters else [],
            "properties": ["hs_object_id"],
            "limit": limit,
        }
        path = f"/crm/objects/{API}/{shape.type_id}/search"
        return (await self._reader.client.ask(path, f"searching {shape.name}", body, None, Use.WRITE)).body


def forms_of(type_: str, value: str) -> Iterator[str]:
    """How a record may hold the identifier."""
    yield value.strip()
    if type_ == "domain":
        bare = value.removeprefix("www.")
        yield from (bare, f"www.{bare}", f"https://{bare}", f"https://www.{bare}", f"http://{bare}")
    elif type_ in ("email", "name"):
        yield value.strip().lower()


def pieces(values: Sequence[str]) -> Iterator[list[str]]:
    """Values in pieces that a search can take."""
    piece: list[str] = []
    size = 0
    for value in values:
        own = len(json.dumps(value)) + 2
        if piece and (size + own > BODY or len(piece) >= 100):
            yield piece
            piece, size = [], 0
        if own <= BODY:
            piece.append(value)
            size += own
    if piece:
        yield piece


def _matches(image: Image, wanted: Mapping[tuple[str, str], set[str]]) -> bool:
    for (field, type_), normals in wanted.items():
        held = [image.record.values.get(field)]
        if (field, type_) == _EMAILS:
            held += image.raw.get(ADDITIONAL, "").split(";")  # a contact may have several, each of which is its alone
        if normals & {normalise(type_, one) for one in held}:
            return True
    return False
