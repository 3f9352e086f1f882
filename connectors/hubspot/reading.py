"""Reading records by id and in full, with what they are associated with.

Responsible for batches and pages. Must not know what has been told before, nor search.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

import msgspec

from connectors.base import Context, Page, Record, RetriableError
from connectors.hubspot.associations import Ends, Label, counting, ends_of
from connectors.hubspot.client import Answer, Client, RefusedError
from connectors.hubspot.definitions import Definitions, Fields, next_page
from connectors.hubspot.errors import Json, details_of
from connectors.hubspot.limits import Use
from connectors.hubspot.mapping import BATCH, Shape
from connectors.hubspot.records import Image, image_of
from connectors.hubspot.standard import API, Relation

ENDS = 1000  # records of an association batch
LONGEST = 6000  # characters of property names in an address


class Found(msgspec.Struct, frozen=True):
    """What a read by id found. `images` by the id of the record; `moved`: ids that lead to another record, which is in `images`."""

    images: Mapping[str, Image]
    moved: Mapping[str, str] = {}

    def of(self, record_id: str) -> Image | None:
        """The image of the record that an id leads to."""
        return self.images.get(self.moved.get(record_id, record_id))


class Reader:
    """Reads one account."""

    def __init__(self, client: Client, definitions: Definitions, context: Context) -> None:
        self.client, self._definitions, self._context = client, definitions, context

    # ---------------------------------------------------------------- by id

    async def by_id(
        self, shape: Shape, fields: Fields, ids: Iterable[str], *, use: Use = Use.LIVE, archived: bool = False,
        by: str = "", refs: bool = True,
    ) -> Found:  # fmt: skip
        """The records that there are. `by`: a unique property in place of the id."""
        images: list[Image] = []
        moved: dict[str, str] = {}
        wanted = list(dict.fromkeys(one for one in ids if by or one.isdigit()))
        for start in range(0, len(wanted), BATCH):
            piece = wanted[start : start + BATCH]
            found = await self._batch(shape, fields, piece, use=use, archived=archived, by=by)
            images += found
            if not by:
                moved |= _moved(piece, found)
        if refs and fields.relations and images:
            images = await self.with_refs(shape, fields, images, use)  # of up to 1,000 by one call
        return Found({one.record.id: one for one in images}, moved)

    async def _batch(
        self, shape: Shape, fields: Fields, ids: Sequence[str], *, use: Use, archived: bool, by: str
    ) -> list[Image]:
        path = f"/crm/objects/{API}/{shape.type_id}/batch/read"
        body: Json = {"inputs": [{"id": one} for one in ids], "properties": list(fields.asked)}
        if by:
            body["idProperty"] = by
        params = {"archived": "true"} if archived else None
        try:
            answer = await self.client.ask(path, f"reading {shape.name}", body, params, use)
        except RefusedError as error:
            rest = [] if by and error.refusal.names_records else error.refusal.others(ids)
            if rest is None:
                raise
            # Those that it names are not there; of the others it says nothing.
            return await self._batch(shape, fields, rest, use=use, archived=archived, by=by) if rest else []
        if not by:
            _say_what_failed(answer, f"reading {shape.name}")
        return await self.images(shape, fields, answer)

    async def images(self, shape: Shape, fields: Fields, answer: Answer) -> list[Image]:
        """The records of an answer, without their associations."""
        given = answer.body.get("results") or []
        owners = await self._definitions.owners_for(shape, fields.names)
        return [image_of(shape, fields, self._context, owners, one, answer.asked_at, {}) for one in given]

    # ---------------------------------------------------------------- associations

    async def refs(
        self, shape: Shape, fields: Fields, ids: Sequence[str], use: Use = Use.LIVE
    ) -> dict[str, dict[str, str | None]]:
        """Of each record the associated ones that count, by field."""
        found: dict[str, dict[str, str | None]] = {one: {} for one in ids}
        for field in fields.relations:
            relation = shape.relation(field)
            assert relation is not None
            ends = await self.ends(shape, relation, ids, use)
            for one in ids:
                found[one][field] = counting(relation, ends.get(one, {}))
        return found

    async def ends(self, shape: Shape, relation: Relation, ids: Sequence[str], use: Use = Use.LIVE) -> dict[str, Ends]:
        """All associations of the records in one relation."""
        found: dict[str, dict[str, frozenset[Label]]] = {}
        inputs: list[Json] = [{"id": one} for one in ids]
        while inputs:
            piece, inputs = inputs[:ENDS], inputs[ENDS:]
            for one in await self._ends(shape, relation, piece, use):
                ours = found.setdefault(str(one["from"]["id"]), {})
                for end, labels in ends_of(one.get("to") or ()).items():
                    ours[end] = ours.get(end, frozenset()) | labels
                after = next_page(one)
                if after is not None:
                    inputs.append({"id": str(one["from"]["id"]), "after": after})
        return dict(found)

    async def _ends(self, shape: Shape, relation: Relation, inputs: list[Json], use: Use) -> list[Json]:
        target = (await self._definitions.target(relation)).type_id
        path = f"/crm/associations/{API}/{shape.type_id}/{target}/batch/read"
        doing = f"reading the associations of {shape.name} with {relation.target}"
        try:
            return (await self.client.ask(path, doing, {"inputs": inputs}, None, use)).body.get("results") or []
        except RefusedError as error:
            rest = error.refusal.others(str(one["id"]) for one in inputs)
            if rest is None:
                raise
            # Those that it names have none.
            return await self._ends(shape, relation, [one for one in inputs if one["id"] in rest], use) if rest else []

    # ---------------------------------------------------------------- in full

    async def page(
        self, shape: Shape, fields: Fields, after: str | None, *, archived: bool = False, use: Use = Use.BULK,
        ids_alone: bool = False,
    ) -> tuple[Answer, str | None]:  # fmt: skip
        """A page of at most 100 records in the order of ids, and where the next one begins."""
        asked = ",".join(["hs_object_id"] if ids_alone else fields.asked or ("hs_object_id",))
        short = len(asked) <= LONGEST
        params = {"limit": 100, "properties": asked if short else "hs_object_id", "archived": str(archived).lower()}
        if after is not None:
            params["after"] = after
        answer = await self.client.get(f"/crm/objects/{API}/{shape.type_id}", f"listing {shape.name}", params, use)
        following = next_page(answer.body)
        if not short and not ids_alone and answer.body.get("results"):
            # Too many properties for an address: their values are read by id.
            body = {
                "inputs": [{"id": str(one["id"])} for one in answer.body["results"]],
                "properties": list(fields.asked),
            }
            path = f"/crm/objects/{API}/{shape.type_id}/batch/read"
            answer = await self.client.ask(path, f"reading {shape.name}", body, {"archived": params["archived"]}, use)
        return answer, following

    async def pages(
        self, shape: Shape, fields: Fields, after: str | None, *, archived: bool = False, use: Use = Use.BULK
    ) -> AsyncIterator[tuple[list[Image], str | None]]:
        """All records in the order of ids, up to 1,000 at a time: so many associations are read by one call."""
        while True:
            images: list[Image] = []
            while len(images) + 100 <= ENDS:
                answer, after = await self.page(shape, fields, after, archived=archived, use=use)
                images += await self.images(shape, fields, answer)
                if after is None:
                    break
            if fields.relations and not archived:
                images = await self.with_refs(shape, fields, images, use)
            yield images, after
            if after is None:
                return
            await asyncio.sleep(0)

    async def with_refs(self, shape: Shape, fields: Fields, images: Sequence[Image], use: Use) -> list[Image]:
        """The images with their associations."""
        refs = await self.refs(shape, fields, [one.record.id for one in images], use)
        return [_referring(one, refs.get(one.record.id, {})) for one in images]

    async def snapshot(self, shape: Shape, fields: Fields, resume: str | None) -> AsyncIterator[Page]:
        """For `Connector.snapshot`."""
        async for images, after in self.pages(shape, fields, resume):
            yield Page(shape.name, tuple(one.record for one in sorted(images, key=_place)), after)


def _say_what_failed(answer: Answer, doing: str) -> None:
    """Raises where a record is missing in an answer for another reason than that it is not there."""
    for one in details_of(answer.body):
        if one.category not in ("", "OBJECT_NOT_FOUND"):
            raise RetriableError(f"{doing}: {one.message or one.category}")


def _place(image: Image) -> tuple[int, str]:
    return (len(image.record.id), image.record.id)


def _referring(image: Image, refs: Mapping[str, str | None]) -> Image:
    record: Record = image.record
    return msgspec.structs.replace(image, record=msgspec.structs.replace(record, values={**record.values, **refs}))


def _moved(asked: Sequence[str], found: Sequence[Image]) -> dict[str, str]:
    """Ids that were asked for and lead to a record with another one: it was merged."""
    got = {one.record.id for one in found}
    lost = [one for one in asked if one not in got]
    strangers = [one for one in found if one.record.id not in set(asked)]
    moved = {old: one.record.id for one in found for old in one.merged if old in lost}
    rest = [one for one in strangers if one.record.id not in moved.values()]
    if len(rest) == 1 and len(lost) - len(moved) == 1:
        moved |= {old: rest[0].record.id for old in lost if old not in moved}
    return moved
