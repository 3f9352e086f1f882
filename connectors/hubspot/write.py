"""Writing a batch: read, compare, write, verify; one answer per write.

Responsible for the order of the calls and for what each outcome means. What to send is decided in `judge`, how it is sent in `sending`. It must not know
what a write is for, nor retry one.

The steps of a round, each one call for up to 100 records:

1. look: creates by the property of ours that an earlier attempt has left, then by their identifiers; updates and deletions by id;
2. judge: what is there already, what is no longer as expected, what is refused;
3. write: creates, updates, deletions, and then associations;
4. verify: the records are read back. Where one was changed again since, the answer tells what was stored by our write, and the log tells the rest.

Between 1 and 3 somebody may edit what we are about to write: HubSpot has no conditional write. The window is the time of two calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from connectors.base import ConnectorError, Context, Outcome, Record, Result, Write, WriteOp
from connectors.hubspot.client import Client, UnknownOutcomeError
from connectors.hubspot.definitions import Definitions, Fields
from connectors.hubspot.errors import Detail, Json, ScopeError, category_of, forbidden
from connectors.hubspot.finds import Finds
from connectors.hubspot.judge import Job, UnfitError, holds, job_of, rounds, to_send
from connectors.hubspot.limits import Use
from connectors.hubspot.mapping import BATCH, Shape
from connectors.hubspot.reading import Found, Reader
from connectors.hubspot.records import Image, image_of, mark_text
from connectors.hubspot.relating import Relating
from connectors.hubspot.sending import Done, archive, send
from connectors.hubspot.standard import API, SYNC_ID
from connectors.hubspot.values import Owners, millis_of
from rules.catalog import Value

RETRY_AFTER = 1.0
MOVED_AFTER = 5.0  # seconds until capture has told of a merge


class Writer:
    """Writes to one account."""

    def __init__(
        self, client: Client, definitions: Definitions, reader: Reader, finds: Finds, context: Context
    ) -> None:
        self.client, self.definitions, self.reader, self.finds, self.context = (
            client,
            definitions,
            reader,
            finds,
            context,
        )
        self.relating = Relating(client, definitions, reader)

    async def apply(self, shape: Shape, fields: Fields, writes: Sequence[Write]) -> list[Result]:
        """One answer per write, in their order."""
        results: dict[int, Result] = {}
        for places in rounds(dict(enumerate(writes))):
            for start in range(0, len(places), BATCH):
                some = {place: writes[place] for place in places[start : start + BATCH]}
                attempt = Round(self, shape, fields, some)
                try:
                    await attempt.run()
                except ConnectorError:
                    if not results and not attempt.wrote:
                        raise
                    attempt.answer_rest()
                results |= attempt.results
        return [results[place] for place in range(len(writes))]


class Round:
    """Writes that concern different records, in as few calls as may be."""

    def __init__(self, writer: Writer, shape: Shape, fields: Fields, writes: Mapping[int, Write]) -> None:
        self.writer, self.client, self.shape, self.fields = writer, writer.client, shape, fields
        self.writes = writes
        self.results: dict[int, Result] = {}
        self.jobs: dict[int, Job] = {}
        self.before: dict[int, Image] = {}
        self.stored: dict[int, tuple[str, Done | None]] = {}  # what was written: its id, and the answer
        self.related: dict[int, Mapping[str, str | None]] = {}  # the associations that were written
        self.wrote = False
        self.owners = Owners()

    async def run(self) -> None:
        """All steps."""
        await self._translate()
        await self._look_for_creates()
        await self._look_for_rest()
        await self._create()
        await self._update()
        await self._delete()
        await self._relate()
        await self._verify()

    def answer_rest(self) -> None:
        """The account failed on the way: what has no answer yet was not done, or is seen to be done when it comes again."""
        for place, write in self.writes.items():
            if place not in self.results:
                outcome = Outcome.UNKNOWN if place in self.stored else Outcome.RETRY
                self._answer(place, outcome, write.id, retry_after=RETRY_AFTER, message="the account failed on the way")

    # ------------------------------------------------------------ answers

    def _answer(self, place: int, outcome: Outcome, record_id: str | None, **more: object) -> None:
        self.results[place] = Result(self.writes[place].token, outcome, record_id, **more)  # type: ignore[arg-type]

    def _refuse(self, place: int, detail: Detail) -> None:
        field = next((one for one in detail.properties if one in self.writes[place].values), None)
        field = field or next((one for one in detail.properties if one in self.shape.properties), None)
        category = category_of(detail)
        other = detail.ids[0] if category == "duplicate" and detail.ids else None
        message = detail.message or detail.code or detail.category
        self._answer(
            place, Outcome.REJECTED, self.writes[place].id, category=category, field=field, message=message, other=other
        )

    def _open(self, *ops: WriteOp) -> list[Job]:
        return [
            job
            for place, job in self.jobs.items()
            if place not in self.results and place not in self.stored and job.write.op in ops
        ]

    # ------------------------------------------------------------ 1. look

    async def _translate(self) -> None:
        unfit: dict[int, UnfitError] = {}
        for anew in (False, True):
            names = [name for write in self.writes.values() for name in write.values]
            self.owners = await self.writer.definitions.owners_for(self.shape, names, anew=anew)
            unfit = {place: error for place in self.writes if (error := self._job(place)) is not None}
            if not unfit or anew:
                break
            # An option, a property or an owner may have been added since.
            self.shape, self.fields = await self.writer.definitions.anew(self.shape, self.fields.names)
        for place, error in unfit.items():
            self._answer(
                place, Outcome.REJECTED, self.writes[place].id,
                category=error.category, field=error.field, message=error.message,
            )  # fmt: skip

    def _job(self, place: int) -> UnfitError | None:
        try:
            self.jobs[place] = job_of(self.shape, self.owners, place, self.writes[place])
        except UnfitError as error:
            return error
        return None

    async def _look_for_made(self) -> None:
        """Creates that have made a record already, and broke off, or were refused an association: no second one is made for their link."""
        made = self.client.shared.made
        known = [(job, *made[one]) for job in self._open(WriteOp.CREATE) if (one := self._named(job.place)) in made]
        if not known:
            return
        ids = [record_id for _, _, record_id in known]
        found = await self.writer.reader.by_id(self.shape, self.fields, ids, use=Use.WRITE)
        for job, token, record_id in known:
            image = found.of(record_id)
            if image is None:
                del made[self._named(job.place)]
            elif token == job.write.token:
                self._made_before(job, image)
            else:
                self._answer(job.place, Outcome.EXISTS, image.record.id, record=image.record)

    def _named(self, place: int) -> tuple[str, str, str]:
        context = self.writer.context
        return context.installation, context.account, self.writes[place].link

    async def _look_for_creates(self) -> None:
        await self._look_for_made()
        jobs = self._open(WriteOp.CREATE)
        if self.shape.tokens and jobs:
            marks = {self._mark(job): job for job in jobs}
            found = await self.writer.reader.by_id(self.shape, self.fields, marks, use=Use.WRITE, by=SYNC_ID)
            for image in found.images.values():
                job = marks.get(image.raw.get(SYNC_ID, ""))
                if job is not None:
                    self._made_before(job, image)
        jobs = [job for job in self._open(WriteOp.CREATE) if job.write.identifiers]
        identifiers = [one for job in jobs for one in job.write.identifiers]
        if identifiers:
            images = await self.writer.finds.find(self.shape, self.fields, identifiers)
            for job in jobs:
                match = next(iter(self.writer.finds.matching(images, job.write.identifiers)), None)
                if match is not None:
                    self._answer(job.place, Outcome.EXISTS, match.record.id, record=match.record)
        unanswered = self.client.shared.unanswered
        for job in self._open(WriteOp.CREATE):
            if not self.shape.tokens and job.write.token in unanswered:
                message = "sent before without an answer, and nothing tells what became of it"
                self._answer(job.place, Outcome.UNKNOWN, None, message=message)

    def _made_before(self, job: Job, image: Image) -> None:
        """An earlier attempt has made the record, but perhaps not its associations."""
        self.before[job.place] = image
        lacking = any(ref is not None and image.record.values.get(field) is None for field, ref in job.refs.items())
        if lacking:
            self.stored[job.place] = image.record.id, None
        else:
            self._answer(job.place, Outcome.APPLIED, image.record.id, record=image.record)
            self.client.shared.made.pop(self._named(job.place), None)

    def _mark(self, job: Job) -> str:
        return mark_text(self.writer.context, job.write.token, job.write.pair)

    async def _look_for_rest(self) -> None:
        jobs = self._open(WriteOp.UPDATE, WriteOp.DELETE)
        ids = [job.write.id for job in jobs if job.write.id is not None]
        found = Found({}) if not ids else await self.writer.reader.by_id(self.shape, self.fields, ids, use=Use.WRITE)
        for job in jobs:
            record_id = job.write.id or ""
            if record_id in found.moved:
                message = f"it was merged into {found.moved[record_id]}; its link follows"
                self._answer(job.place, Outcome.RETRY, record_id, retry_after=MOVED_AFTER, message=message)
            elif record_id not in found.images:
                self._answer(job.place, Outcome.MISSING, job.write.id)
            else:
                self.before[job.place] = found.images[record_id]
                self._compare(job, found.images[record_id])

    def _compare(self, job: Job, image: Image) -> None:
        write = job.write
        if write.op is WriteOp.UPDATE and holds(image, job.values):
            self._answer(job.place, Outcome.UNCHANGED, image.record.id, record=image.record)
        elif not holds(image, write.expect):
            self._answer(job.place, Outcome.CONFLICT, image.record.id, record=image.record)

    # ------------------------------------------------------------ 3. write

    def _inputs(self, jobs: Iterable[Job]) -> dict[int, dict[str, str]]:
        """What to send of each; what is refused before is answered."""
        found: dict[int, dict[str, str]] = {}
        for job in jobs:
            try:
                found[job.place] = to_send(self.shape, job, self.before.get(job.place), self.client.shared.currency)
            except UnfitError as error:
                self._answer(
                    job.place, Outcome.REJECTED, job.write.id,
                    category=error.category, field=error.field, message=error.message,
                )  # fmt: skip
        return found

    async def _send(self, call: str, doing: str, inputs: Mapping[int, Json]) -> dict[int, Done]:
        self.wrote = self.wrote or bool(inputs)
        path = f"/crm/objects/{API}/{self.shape.type_id}/batch/{call}"
        try:
            return await send(self.client, path, f"{doing} {self.shape.name}", inputs)
        except ScopeError as error:
            return {place: Done(refused=forbidden(error)) for place in inputs}

    async def _create(self) -> None:
        texts = self._inputs(self._open(WriteOp.CREATE))
        inputs: dict[int, Json] = {}
        for place, properties in texts.items():
            mark = self._mark(self.jobs[place])
            if self.shape.tokens:
                inputs[place] = {"id": mark, "idProperty": SYNC_ID, "properties": {**properties, SYNC_ID: mark}}
            else:
                inputs[place] = {"properties": properties}
                self.client.shared.unanswered.add(self.writes[place].token)
        try:
            sent = await self._send("upsert" if self.shape.tokens else "create", "creating", inputs)
        except ConnectorError:  # none of them was done
            self.client.shared.unanswered.difference_update(self.writes[place].token for place in inputs)
            raise
        for place, done in sent.items():
            if done.unknown:
                self._answer(place, Outcome.UNKNOWN, None, message=done.unknown)
                continue
            self.client.shared.unanswered.discard(self.writes[place].token)
            if done.given is not None:
                self.stored[place] = str(done.given["id"]), done
                self.client.shared.made[self._named(place)] = self.writes[place].token, self.stored[place][0]
        for place, done in sent.items():
            if done.refused is not None:
                await self._refused_create(place, done.refused)
            elif done.postponed:
                self._postpone(place, done)

    def _postpone(self, place: int, done: Done) -> None:
        self._answer(place, Outcome.RETRY, self.writes[place].id, retry_after=RETRY_AFTER, message=done.postponed)

    async def _refused_create(self, place: int, detail: Detail) -> None:
        """A record with one of the identifiers may have come in between."""
        write = self.writes[place]
        if category_of(detail) == "duplicate" and write.identifiers:
            images = await self.writer.finds.find(self.shape, self.fields, write.identifiers)
            if not images and detail.ids:
                read = await self.writer.reader.by_id(self.shape, self.fields, detail.ids[:1], use=Use.WRITE)
                images = self.writer.finds.matching(list(read.images.values()), write.identifiers)
            if images:
                self._answer(place, Outcome.EXISTS, images[0].record.id, record=images[0].record)
                return
        self._refuse(place, detail)

    async def _update(self) -> None:
        texts = self._inputs(self._open(WriteOp.UPDATE))
        inputs: dict[int, Json] = {}
        for place, properties in texts.items():
            record_id = self.before[place].record.id
            if properties:
                inputs[place] = {"id": record_id, "properties": properties}
            else:
                self.stored[place] = record_id, None  # associations alone
        for place, done in (await self._send("update", "updating", inputs)).items():
            if done.unknown:
                self._answer(place, Outcome.UNKNOWN, self.writes[place].id, message=done.unknown)
            elif (
                done.refused is not None
                and category_of(done.refused) == "unknown"
                and done.refused.category == "OBJECT_NOT_FOUND"
            ):
                self._answer(place, Outcome.MISSING, self.writes[place].id)
            elif done.refused is not None:
                self._refuse(place, done.refused)
            elif done.postponed:
                self._postpone(place, done)
            else:
                self.stored[place] = self.before[place].record.id, done

    async def _delete(self) -> None:
        ids = {job.place: self.before[job.place].record.id for job in self._open(WriteOp.DELETE)}
        if not ids:
            return
        path, self.wrote = f"/crm/objects/{API}/{self.shape.type_id}/batch/archive", True
        try:
            sent = await archive(self.client, path, f"archiving {self.shape.name}", ids)
        except ScopeError as error:
            sent = {place: Done(refused=forbidden(error)) for place in ids}
        for place, done in sent.items():
            if done.unknown:
                self._answer(place, Outcome.UNKNOWN, ids[place], message=done.unknown)
            elif done.refused is not None:
                self._refuse(place, done.refused)
            elif done.postponed:
                self._postpone(place, done)
            else:
                self._answer(place, Outcome.MISSING if done.given is None else Outcome.APPLIED, ids[place])

    async def _relate(self) -> None:
        """The associations of what is stored."""
        places = {record_id: place for place, (record_id, _) in self.stored.items() if self.jobs[place].refs}
        wanted = {record_id: self.jobs[place].refs for record_id, place in places.items()}
        wanted = {record_id: self._differing(places[record_id], refs) for record_id, refs in wanted.items()}
        wanted = {record_id: refs for record_id, refs in wanted.items() if refs}
        if not wanted:
            return
        self.wrote = True
        self.related = {places[record_id]: refs for record_id, refs in wanted.items()}
        try:
            failed = await self.writer.relating.set(self.shape, wanted)
        except UnknownOutcomeError as error:
            for record_id in wanted:
                self._answer(places[record_id], Outcome.UNKNOWN, record_id, message=str(error))
            return
        except ScopeError as error:
            for record_id in wanted:
                self._refuse(places[record_id], forbidden(error))
            return
        for record_id, one in failed.items():
            self._answer(
                places[record_id], Outcome.REJECTED, record_id,
                category="association", field=one.field, message=one.message, other=one.other,
            )  # fmt: skip

    def _differing(self, place: int, refs: Mapping[str, str | None]) -> dict[str, str | None]:
        before = self.before.get(place)
        known = {} if before is None else before.record.values
        found = {field: ref for field, ref in refs.items() if known.get(field) != ref}
        if self.writes[place].op is WriteOp.CREATE:  # that comes again: what somebody has given it since stays
            return {field: ref for field, ref in found.items() if known.get(field) is None}
        return found

    # ------------------------------------------------------------ 4. verify

    async def _verify(self) -> None:
        places = {record_id: place for place, (record_id, _) in self.stored.items() if place not in self.results}
        if not places:
            return
        found = await self.writer.reader.by_id(self.shape, self.fields, places, use=Use.WRITE)
        for record_id, place in places.items():
            image, done = found.images.get(record_id), self.stored[place][1]
            record = self._as_written(place, done, image)
            self._answer(place, Outcome.APPLIED, record_id, record=record)
            self.client.shared.made.pop(self._named(place), None)

    def _as_written(self, place: int, done: Done | None, image: Image | None) -> Record | None:
        """The record as our write has left it. Where it was changed again since, as far as the write's own answer tells: otherwise that change
        would be taken for what HubSpot has made of our values."""
        ours = self.related.get(place, {})  # they move no date, so that only we can tell
        if image is not None and (
            done is None or done.given is None or image.stamp <= millis_of(done.given.get("updatedAt"))
        ):
            return msgspec.structs.replace(image.record, values={**image.record.values, **ours})
        if done is None or done.given is None:
            return None
        before = self.before.get(place)
        known = {} if before is None else before.record.values
        refs = {field: ours.get(field, _text(known.get(field))) for field in self.fields.relations}
        raw = {**({} if before is None else before.raw), **(done.given.get("properties") or {})}
        given = {**done.given, "properties": {name: raw.get(name) for name in {*raw, *self.jobs[place].texts}}}
        written = image_of(self.shape, self.fields, self.writer.context, self.owners, given, done.asked_at, refs)
        return msgspec.structs.replace(written.record, pairs=() if image is None else image.record.pairs)


def _text(reference: Value) -> str | None:
    return None if reference is None else str(reference)
