"""The loop around the log: reads its messages, waits, asks the catalogs, and reads what the log tells apart.

What depends on the order of messages is in `assembler`. It must not know what becomes of a batch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Protocol

import msgspec

from connectors.base import Batch, Captured, Change, Heartbeat, Op, Record
from connectors.postgres import pgoutput
from connectors.postgres.assembler import BATCH, Assembler, Fields, Touched, Unfilled
from connectors.postgres.mapping import Codec
from connectors.postgres.pgoutput import Relation
from connectors.postgres.replication import Replication
from connectors.postgres.tables import Table
from rules.catalog import Value
from rules.version import Version

# How many messages are taken in one go, before others on the event loop get their turn (some milliseconds).
_SLICE = 500
_HEARTBEAT = 1.0  # seconds between heartbeats on a quiet log
CHECK = 5.0  # seconds between looks whether our tables are still those of the publication


class Lookup(Protocol):
    """What the loop asks of the catalogs while it runs; the connector supplies it."""

    async def codecs(self, relation: Relation) -> Mapping[int, Codec]:
        """Codecs that cover the relation's types."""

    async def fields(self, relation: Relation) -> Fields:
        """The fields of its object, as they are now."""

    def read(self, object: str, ids: Sequence[str] | None) -> AsyncGenerator[tuple[list[Record], Version], None]:
        """Records as they are now (None: all, page by page), each time with what the read could see."""

    def referring(self, object: str) -> tuple[str, ...]:
        """The fields of an object that are kept in tables of pairs."""

    async def check(self) -> list[Table]:
        """The tables that are no longer there. Raises CursorExpiredError where one is another than the log tells of."""


async def capture(stream: Replication, assembler: Assembler, lookup: Lookup) -> AsyncGenerator[Captured, None]:
    """Events without end. A batch is what arrived while the one before was in hand, so no timer is in its way."""
    told_at = checked_at = time.monotonic()
    while True:
        taken = 0
        while taken < _SLICE and assembler.count < BATCH:
            data = stream.read()
            if data is None:
                if not assembler.open:
                    break
                # The rest of a transaction is on its way: it comes at its commit, as a whole.
                await stream.wait(_HEARTBEAT)
                continue
            taken += 1
            if data[0] != pgoutput.RELATION:
                assembler.feed(data)
                continue
            await _described(pgoutput.parse_relation(data), assembler, lookup)
        events = assembler.take()
        for event in events:
            if isinstance(event, Touched):
                async for batch in _reread(event, lookup):
                    yield batch
            else:
                yield await _filled(event, lookup) if isinstance(event, Unfilled) else event
        now = time.monotonic()
        if now - checked_at >= CHECK:
            for table in await lookup.check():
                yield assembler.lose(table)
            checked_at = now
        if events:
            told_at = now
        elif taken:
            await asyncio.sleep(0)
        else:
            if now - told_at >= _HEARTBEAT and (heartbeat := assembler.heartbeat(stream.wal_end)):
                yield heartbeat
                told_at = now
            await stream.wait(_HEARTBEAT)


async def _described(relation: Relation, assembler: Assembler, lookup: Lookup) -> None:
    """A table is described, ahead of its rows."""
    if relation.oid in assembler.pairings:
        assembler.pairs(relation, await lookup.codecs(relation))
    if relation.oid in assembler.tables:
        fields = await lookup.fields(relation) if assembler.alters(relation) else None
        assembler.relation(relation, await lookup.codecs(relation), fields)


# ---------------------------------------------------------------- what the log tells apart: pairs

# A commit is in the log a moment before a read sees it; where it waits for a standby, for as long as that is away.
_UNSEEN, _UNSEEN_LONG = 0.002, 0.5


async def _reread(touched: Touched, lookup: Lookup) -> AsyncGenerator[Captured, None]:
    """What the touched records are now, as changes; the last carries the cursor."""
    async for records in _seen(touched.object, touched.ids, touched.writers, lookup):
        for at in range(0, len(records), BATCH):
            changes = tuple(map(_change, records[at : at + BATCH]))
            yield Batch(touched.object, changes, touched.before)
    yield Heartbeat(touched.cursor, time.time())


def _change(record: Record) -> Change:
    """What was read stands at no place in the log, and says nothing of how far that has been told: it has no time of a commit."""
    op = Op.UPSERT if record.into is None else Op.MERGE
    return Change(op, record.id, record.values, record.version, 0.0, None, record.into)


async def _filled(event: Unfilled, lookup: Lookup) -> Batch:
    """The batch, its new records with what they refer to now. Where that has changed since, a touch follows."""
    batch = event.batch
    now: dict[str, dict[str, Value]] = {}
    async for records in _seen(batch.object, event.ids, event.writers, lookup):
        now |= {record.id: record.values for record in records}
    names = lookup.referring(batch.object)
    changes = tuple(
        msgspec.structs.replace(one, values={**{n: now.get(one.id, {}).get(n) for n in names}, **one.values})
        if one.id in event.ids and one.op is not Op.DELETE
        else one
        for one in batch.changes
    )
    return msgspec.structs.replace(batch, changes=changes)


async def _seen(
    name: str, ids: Iterable[str] | None, writers: frozenset[int], lookup: Lookup
) -> AsyncGenerator[list[Record], None]:
    """The records once a read sees the transactions that made them so."""
    wanted = None if ids is None else list(ids)
    sees_all, pause = False, _UNSEEN
    while not sees_all:
        async with aclosing(lookup.read(name, wanted)) as pages:
            async for records, version in pages:
                seen = version.seen
                sees_all = sees_all or (seen is not None and all(map(seen.sees, writers)))
                if not sees_all:
                    break
                yield records
        if not sees_all:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _UNSEEN_LONG)
