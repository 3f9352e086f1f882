"""The HubSpot connector: the interface of `connectors.base` over the modules beside it.

API: date-based version 2026-09. Token: a service key or private app token, or OAuth (client_id, client_secret, refresh_token).

Capture: HubSpot has no log for self-hosters, so it is looked at again and again: search windows by modified date find changes, the archive deletions, a
scan of all ids what neither shows, a batch read associations. Values are always read from the store, never from search. Guarantees: every record's last state
comes by, at least once, within `poll` + the index's delay; what lay between two looks is one change. Deletions come by within `archived_every`, those without a
trace (GDPR) within `scan_every`. A merge comes by as such, whether the survivor keeps its id or not. Where capture stands, and what it has told, is kept by the
engine (`Context.memory`); a token of another portal stops it.

Writes: batches of 100 with one answer each. No conditional write exists: records are read, compared, written and read back,
and an edit made between the first two calls is overwritten. Creates are made under a unique property of ours,
`tandem_sync_id`, so that one whose answer was lost is not made twice; without the scope for it they are looked for by
identifier. The fence is left aside.

Limits: 5 searches a second, 100 calls in 10 seconds and the account's daily budget, kept by one limiter per account and process, of which capture takes half at
most. Only fields that a sync names are read. A `lifecyclestage` goes forward only. Several companies of a contact: the primary; several contacts: the oldest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import ClassVar, TypeVar

from pydantic import BaseModel

from connectors.base import (
    Captured,
    Context,
    FatalError,
    Fence,
    Health,
    Identifier,
    Page,
    Record,
    Result,
    RetriableError,
    Write,
    WriteOp,
)
from connectors.hubspot.capture import Capture
from connectors.hubspot.client import Client, RefusedError, UnknownOutcomeError
from connectors.hubspot.definitions import Definitions, Fields
from connectors.hubspot.finds import Finds
from connectors.hubspot.health import check
from connectors.hubspot.mapping import Shape
from connectors.hubspot.reading import Reader
from connectors.hubspot.settings import HubSpotObjectSettings, HubSpotSettings
from connectors.hubspot.write import Writer
from rules.catalog import Catalog

T = TypeVar("T")


class HubSpotConnector:
    """One HubSpot account. See the module's docstring for what it promises."""

    Settings: ClassVar[type[BaseModel]] = HubSpotSettings
    ObjectSettings: ClassVar[type[BaseModel]] = HubSpotObjectSettings

    def __init__(self, settings: BaseModel, context: Context) -> None:
        assert isinstance(settings, HubSpotSettings)
        self._settings = settings
        self._client = Client(settings)
        self._definitions = Definitions(self._client, settings, context)
        self._reader = Reader(self._client, self._definitions, context)
        self._finds = Finds(self._reader)
        self._writer = Writer(self._client, self._definitions, self._reader, self._finds, context)
        self._capture = Capture(self._client, self._definitions, self._reader, context, settings)
        self._context = context

    # ---------------------------------------------------------------- life

    async def open(self) -> None:
        """Asks which account the token belongs to, and so whether it is good."""
        try:
            with answered("connecting"):
                await self._capture.portal(anew=True)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Closes connections."""
        await self._client.close()

    async def check(self) -> Health:
        """Whether the token is good for what the syncs need."""
        with answered("checking the account"):
            return await check(self._client, self._definitions, self._context, self._settings)

    async def discover(self) -> Catalog:
        """The account's objects with their properties and associations."""
        with answered("reading the account's objects"):
            await self._capture.portal(anew=True)  # a token that is no good is said once, and not of every object
            return await self._definitions.catalog()

    # ---------------------------------------------------------------- capture

    async def position(self) -> str | None:
        """The place that the engine keeps."""
        return (await self._capture.recall()).cursor

    async def prepare(self) -> str:
        """Makes our unique property where it may; empty where what there is has to be noted first."""
        with answered("setting up capture"):
            for use in self._context.objects:
                await self._definitions.make_sync_id(await self._definitions.shape(use.name))
            return await self._capture.ready()

    async def release(self) -> None:
        """Nothing is kept in the account for capture; the property stays with the records that have it."""

    async def changes(self, cursor: str | None) -> AsyncIterator[Captured]:
        """What changes from the cursor on."""
        with answered("looking for changes"):
            async with aclosing(self._capture.run(cursor)) as items:  # type: ignore[type-var]
                async for item in items:
                    yield item

    async def confirm(self, cursor: str) -> None:
        """The engine keeps the place."""

    async def mark(self, mark: str) -> None:
        """Comes by when everything has been looked at that was there now."""
        self._capture.mark(mark)

    # ---------------------------------------------------------------- reading

    async def _use(self, object: str, more: Collection[str] = ()) -> tuple[Shape, Fields]:
        shape = await self._definitions.shape(object)
        return shape, self._definitions.fields(shape, more)

    async def _current(
        self, object: str, call: Callable[[Shape, Fields], Awaitable[T]], more: Collection[str] = ()
    ) -> T:
        """A call with the object as it was last seen, and once more as it is now: a property that is asked for may be gone."""
        try:
            return await call(*await self._use(object, more))
        except RefusedError as error:
            if error.refusal.status != 400:
                raise
            self._definitions.forget(object)
            return await call(*await self._use(object, more))

    async def snapshot(self, object: str, resume: str | None) -> AsyncIterator[Page]:
        """A full read in the order of ids; `resume` is the id with which it goes on."""
        with answered(f"reading {object}"):
            self._definitions.forget(object)
            shape, fields = await self._use(object)
            async with aclosing(self._reader.snapshot(shape, fields, resume)) as pages:  # type: ignore[type-var]
                async for page in pages:
                    yield page

    async def read(self, object: str, ids: Sequence[str]) -> list[Record]:
        """The records as they are now; one that was merged comes with its survivor."""
        with answered(f"reading {object}"):
            found = await self._current(object, lambda shape, fields: self._reader.by_id(shape, fields, ids))
        records: list[Record] = []
        for record_id in dict.fromkeys(ids):
            image = found.of(record_id)
            if image is None:
                continue
            if image.record.id == record_id:
                records.append(image.record)
            else:
                records.append(Record(record_id, {}, image.record.version, into=image.record.id))
        return records

    async def find(self, object: str, identifiers: Sequence[Identifier]) -> list[Record]:
        """Records that match any of the identifiers, normalised as the rules do."""
        with answered(f"searching {object}"):
            found = await self._current(object, lambda shape, fields: self._finds.find(shape, fields, identifiers))
            return [one.record for one in found]

    # ---------------------------------------------------------------- writing

    async def apply(self, object: str, writes: Sequence[Write], fence: Fence | None) -> list[Result]:  # noqa: ARG002
        """Does the writes, one answer each in the same order."""
        if not writes:
            return []
        with answered(f"writing {object}"):
            shape = await self._definitions.shape(object)
            if not shape.tokens and any(write.op is WriteOp.CREATE for write in writes):
                await self._definitions.make_sync_id(shape)
            # The rules may know of fields that this instance was not told of when it was made.
            named = {name for write in writes for name in (*write.values, *write.expect)}
            return await self._current(object, lambda shape, fields: self._writer.apply(shape, fields, writes), named)


@contextmanager
def answered(doing: str) -> Iterator[None]:
    """What HubSpot refuses though it should not, as an error that says how to recover."""
    try:
        yield
    except RefusedError as error:
        refusal = error.refusal
        correlated = f" (correlation id {refusal.correlation})" if refusal.correlation else ""
        message = f"{doing}: HubSpot refuses it: {refusal.message}{correlated}"
        raise FatalError(
            message, "see `tandem check`; where that finds nothing, this is a fault of the connector"
        ) from None
    except UnknownOutcomeError as error:
        raise RetriableError(f"{doing}: {error}") from None
