"""Pairs that the state has forgotten, found again by replaying the topics: what `restore --replay` brings back.

`Replay` is pure: it is shown what the topics hold, in their order, and tells which pairs are lost. `replay` shows it
that. Must not know what the rules do with a pair, nor how it is shown.

A pair is found by what links and commands say of it: the history names the records that a link paired and what a
restored one was before, and what we have written carries the name of its link. All records that are so connected are
one pair, whatever ids it has had; it is lost where no record of the sync that is known now is one of them. Of each side
the latest is taken, as it was last seen whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

import schemas
from rules.catalog import Object, Value
from rules.events import Captured, HistoryRow, Order, Row
from rules.reviving import LostPair, LostRecord
from rules.sending import read_token
from rules.version import Version
from schemas import History, SchemaError
from streams.broker import Broker
from streams.config import ConfigStore
from streams.topics import MARKER, Topics, connection_name

PAIRS, WEIGHT = 100, 300_000  # of an order at most: pairs, and characters
_AGAIN = re.compile(r"~\d+$")  # ends the name of a link where another bore it before

NewId = Callable[[], str]


class Seen(msgspec.Struct):
    """A record as the topics tell of it."""

    values: bytes  # JSON: there may be many
    version: Version
    at: float  # when it was told of last
    gone: bool = False
    merged: bool = False


class Found(msgspec.Struct, frozen=True):
    """A pair that is lost. `at`: when the last of its records was told to be gone."""

    pair: LostPair
    at: float

    @property
    def sides(self) -> dict[str, LostRecord]:
        """Account to record."""
        return self.pair.sides

    @property
    def names(self) -> frozenset[str]:
        """Every `account:id` that it has had."""
        return frozenset(self.pair.names)


class Replay:
    """What the topics tell of one sync. `objects`: account to the description of its object."""

    def __init__(self, sync: str, objects: Mapping[str, Object]) -> None:
        self._sync, self._objects = sync, objects
        self._seen: dict[str, Seen] = {}
        self._parents: dict[str, str] = {}
        self.incomplete = 0  # pairs of which no whole image is kept

    # ------------------------------------------------------------ what is shown

    def captured(self, event: Captured, at: float) -> None:
        """Rows of an account, in its order."""
        own = self._objects.get(event.account)
        if own is None or own.name != event.object:
            return
        for row in event.rows:
            self._row(event.account, row, at)

    def decided(self, decision: HistoryRow) -> None:
        """A decision: whom a link pairs."""
        if decision.sync == self._sync:
            for other in decision.records[1:]:
                self._join(decision.records[0], other)

    def _row(self, account: str, row: Row, at: float) -> None:
        name = f"{account}:{row.id}"
        named = None if row.token is None else read_token(row.token)
        if named is not None and named[0] == self._sync:
            self._join(name, _AGAIN.sub("", named[1]))
        if row.old_id is not None and row.old_id != row.id and f"{account}:{row.old_id}" in self._seen:
            old = f"{account}:{row.old_id}"
            self._join(old, name)
            self._seen[name] = self._seen.pop(old)
        known = self._seen.get(name)
        if known is not None and not row.version.newer_than(known.version):
            return
        if row.op != "upsert":
            if known is not None:
                known.gone, known.merged, known.version, known.at = True, row.op == "merge", row.version, at
            return
        values = row.values
        if known is not None and not known.gone and len(values) < len(self._objects[account].fields):
            values = {**_values(known.values), **values}
        self._seen[name] = Seen(msgspec.json.encode(values), row.version, at)

    # ------------------------------------------------------------ what is told

    def lost(self, present: Iterable[str], since: float | None = None) -> list[Found]:
        """The pairs that are gone, the latest first. `present`: every record that the sync knows; `since`: only those told
        to be gone since then."""
        alive = {self._root(name) for name in present}
        groups: dict[str, list[str]] = {}
        for name in self._seen:
            root = self._root(name)
            if root not in alive:
                groups.setdefault(root, []).append(name)
        found: list[Found] = []
        for names in groups.values():
            pair = self._pair(names)
            if pair is not None and (since is None or pair.at >= since):
                found.append(pair)
        return sorted(found, key=lambda pair: -pair.at)

    def _pair(self, names: list[str]) -> Found | None:
        sides: dict[str, LostRecord] = {}
        at = 0.0
        for account, own in self._objects.items():
            mine = [(self._seen[name], name) for name in names if name.startswith(f"{account}:")]
            mine = [(seen, name) for seen, name in mine if not seen.merged]
            if not mine:
                return None
            seen, name = max(mine, key=lambda one: (one[0].at, one[0].version.position, one[0].version.step))
            values = _values(seen.values)
            lacking = any(field.name not in values for field in own.fields if not field.read_only)
            if lacking and own.capabilities.whole:  # of others an image holds what syncs name, and that is all there is
                self.incomplete += 1
                return None
            sides[account] = LostRecord(name.partition(":")[2], values)
            at = max(at, seen.at)
        return Found(LostPair(sides, tuple(sorted(names))), at)

    def _join(self, one: str, other: str) -> None:
        first, second = self._root(one), self._root(other)
        if first != second:
            self._parents[second] = first

    def _root(self, name: str) -> str:
        root = name
        while (parent := self._parents.get(root, root)) != root:
            root = parent
        while name != root:
            self._parents[name], name = root, self._parents.get(name, name)
        return root


def _values(raw: bytes) -> dict[str, Value]:
    return msgspec.json.decode(raw, type=dict[str, Value])


def orders_for(sync: str, into: str, pairs: Iterable[Found], new_id: NewId) -> Iterator[Order]:
    """The orders that bring pairs back, each of a size that a message holds. The earliest made first: what others refer to."""
    taken: list[LostPair] = []
    weight = 0
    for found in sorted(pairs, key=lambda found: [(len(one.id), one.id) for one in found.sides.values()]):
        own = len(msgspec.json.encode(found.pair))
        if taken and (len(taken) == PAIRS or weight + own > WEIGHT):
            yield _order(sync, into, taken, new_id)
            taken, weight = [], 0
        taken.append(found.pair)
        weight += own
    if taken:
        yield _order(sync, into, taken, new_id)


def _order(sync: str, into: str, pairs: list[LostPair], new_id: NewId) -> Order:
    return Order(new_id(), "restore", sync, (), {"into": into, "replay": msgspec.json.encode(pairs).decode()})


async def replay(broker: Broker, topics: Topics, sync: str, objects: Mapping[str, Object]) -> Replay:
    """Shows all that the topics hold of a sync, up to where they end now."""
    found = Replay(sync, objects)
    partitions = {TopicPartition(topics.changes, topics.partition_of(account)) for account in objects}
    partitions.add(TopicPartition(topics.history, topics.partition_of(connection_name(objects))))
    consumer = AIOKafkaConsumer(
        **broker.client(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 << 20,
        fetch_max_wait_ms=100,
    )
    async with ConfigStore(broker, topics):  # learns the schemas of all writers
        await consumer.start()
        try:
            consumer.assign(list(partitions))
            ends = await consumer.end_offsets(list(partitions))
            while [tp for tp, end in ends.items() if await consumer.position(tp) < end]:
                for messages in (await consumer.getmany(timeout_ms=500, max_records=5000)).values():
                    for message in messages:
                        if message.value is not None and not (message.key or b"").startswith(MARKER[:1]):
                            _show(found, message.value, message.timestamp / 1000, objects, topics, message.topic)
        finally:
            await consumer.stop()
    return found


def _show(found: Replay, value: bytes, at: float, objects: Mapping[str, Any], topics: Topics, topic: str) -> None:
    try:
        if topic == topics.changes:
            head = schemas.head(value)
            own = objects.get(head.account)
            if own is None or own.name != head.object:
                return
        event = schemas.decode(value)
    except SchemaError:
        return  # the engine has made a dead letter of it, and read the account again
    if isinstance(event, Captured):
        found.captured(event, at)
    elif isinstance(event, History):
        for decision in event.rows:
            found.decided(decision)
