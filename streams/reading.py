"""What the rules ask of an account besides writes: full reads, single records, marks. Beside its log, one at a time.

Responsible for carrying each errand out at least once, and for saying in `changes` how far it got. Works while the log
is established, from what the partition's state holds alone. Must not know Kafka, nor any connector's insides.

A full read never holds up the changes of the account: its pages are sent in pieces, few of them are in flight at a
time, and marks and single records go in between two pages.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import assert_never

from connectors import base
from connectors.base import Connector, Page
from rules.events import Captured, ReadDone, ReadRecords, ReadRequest, Row, SetMark
from rules.version import NEVER, Version
from streams import faults
from streams.convert import ROWS, cut, row_of_absence, row_of_record
from streams.protocols import ChangesSink, Errand, Errands
from streams.tasks import acknowledged, closing

IN_FLIGHT = 4  # messages of a read that Kafka has not acknowledged yet

Order = ReadRequest | ReadRecords | SetMark


class ErrandWorker:
    """The errands of one account, over all its connections."""

    def __init__(self, account: str, errands: Errands, sink: ChangesSink, version: Callable[[], int]) -> None:
        self._account, self._errands, self._sink, self._version = account, errands, sink, version
        self._woken = asyncio.Event()
        self._carried_out: dict[str, Order] = {}  # and not yet out of the state, because route has not come so far
        self._last: asyncio.Future[int] | None = None  # the last message that moves an errand on
        self._newest = NEVER  # the newest position that the log has shown

    def wake(self) -> None:
        """There may be something to do, or no longer."""
        self._woken.set()

    def log_at(self, item: base.Captured) -> None:
        """What came out of the log last."""
        if isinstance(item, base.Batch) and item.changes:
            self._newest = Version(item.changes[-1].version.position)

    async def run(self, connector: Connector, objects: frozenset[str]) -> None:
        """Until cancelled. What concerns other objects waits for a configuration in which they are captured."""
        # A mark lives in the connector that it was set with, or in a log that may have begun anew: it is set again.
        self._carried_out = {key: one for key, one in self._carried_out.items() if not isinstance(one, SetMark)}
        await self._errands.routed(self._sink.marker if self._last is None else await acknowledged(self._last))
        while True:
            self._woken.clear()
            read = await self._do_small_ones(connector, objects)
            if read is None:
                await self._woken.wait()
            else:
                await self._read_in_full(connector, objects, read)

    async def _do_small_ones(self, connector: Connector, objects: frozenset[str]) -> Errand | None:
        """Carries out marks and reads of single records; returns the full read that comes next."""
        read: Errand | None = None
        for errand in self._to_do(objects):
            match errand.order:
                case ReadRequest():
                    read = read or errand
                case ReadRecords():
                    await self._read_records(connector, errand.key, errand.order)
                case SetMark():
                    await connector.mark(errand.order.mark)
                    self._carried_out[errand.key] = errand.order
                case _:
                    assert_never(errand.order)
        return read

    def _to_do(self, objects: frozenset[str]) -> list[Errand]:
        """The errands that are open and not carried out, the oldest first."""
        found = self._errands.open(self._account)
        in_state = {errand.key: errand.order for errand in found}
        self._carried_out = {key: one for key, one in self._carried_out.items() if in_state.get(key) == one}
        return [
            errand
            for errand in found
            if errand.key not in self._carried_out
            and (isinstance(errand.order, SetMark) or errand.order.object in objects)
        ]

    # ---------------------------------------------------------------- single records

    async def _read_records(self, connector: Connector, key: str, order: ReadRecords) -> None:
        pieces: list[tuple[Row, ...]] = []
        for start in range(0, len(order.ids), ROWS):
            pieces += cut(await self._rows_of(connector, order.object, order.ids[start : start + ROWS]))
        for piece in pieces[:-1]:
            await self._send(Captured(self._account, order.object, piece), order)
        last = Captured(self._account, order.object, pieces[-1] if pieces else ())
        await acknowledged(await self._send(last, order, errand=key))
        self._carried_out[key] = order

    async def _rows_of(self, connector: Connector, object: str, ids: Sequence[str]) -> list[Row]:
        """A row per id: the record, or its absence.

        An absence has no version of its own. It is as new as the records that were read with it, else as what had come
        out of the log before: that was committed when we looked. A deletion behind it comes by in the log.
        """
        before = self._newest
        found = {record.id: record for record in await connector.read(object, ids)}
        seen = [record.version for record in found.values()]
        version = max(seen, key=lambda one: (one.position, one.step)) if seen else before
        return [row_of_record(found[id]) if id in found else row_of_absence(id, version) for id in ids]

    # ---------------------------------------------------------------- full reads

    async def _read_in_full(self, connector: Connector, objects: frozenset[str], errand: Errand) -> None:
        order = errand.order
        assert isinstance(order, ReadRequest)
        in_flight: deque[asyncio.Future[int]] = deque()
        async with closing(connector.snapshot(order.object, errand.resume)) as pages:
            async for page in pages:
                if self._woken.is_set():
                    self._woken.clear()
                    await self._do_small_ones(connector, objects)
                    if not self._is_wanted(errand):
                        return
                await self._send_page(page, errand.key, order, in_flight)
                faults.passed("read", 1)
        for sent in in_flight:
            await acknowledged(sent)
        await acknowledged(
            await self._send(ReadDone(self._account, order.object, order.read), order, errand=errand.key)
        )
        self._carried_out[errand.key] = order

    def _is_wanted(self, errand: Errand) -> bool:
        """Whether no newer request has taken its place, and its sync is still there."""
        return any(one.key == errand.key and one.order == errand.order for one in self._errands.open(self._account))

    async def _send_page(self, page: Page, key: str, order: ReadRequest, in_flight: deque[asyncio.Future[int]]) -> None:
        """In pieces. The last one says how far the read has got; what the whole read ends with is said by ReadDone."""
        pieces = list(cut(map(row_of_record, page.records))) or [()]
        moves_on = page.resume is not None
        for number, rows in enumerate(pieces, start=1):
            while len(in_flight) >= IN_FLIGHT:
                await acknowledged(in_flight.popleft())
            event = Captured(self._account, order.object, rows, order.read)
            if moves_on and number == len(pieces):
                in_flight.append(await self._send(event, order, errand=key, resume=page.resume))
            elif rows:
                in_flight.append(await self._send(event, order))

    async def _send(
        self,
        event: Captured | ReadDone,
        order: ReadRequest | ReadRecords,
        *,
        errand: str | None = None,
        resume: str | None = None,
    ) -> asyncio.Future[int]:
        sent = await self._sink.send(
            self._account, event, config=self._version(), to=order.connection, errand=errand, resume=resume
        )
        if errand is not None:
            self._last = sent
        return sent
