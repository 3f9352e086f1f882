"""The one entry of the pure core: `decide`. What it is given, what it answers, and the view of the state that it reads.

Total, synchronous, deterministic: time, ids and order arrive in the events, so that a replay decides the same again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, assert_never

import msgspec

from rules import aftermath, answers, initial, marks, orders, origins, showing, upkeep
from rules.draft import Draft, load_connection
from rules.events import (
    AccountOrder,
    AccountState,
    Captured,
    Clock,
    DeadLetter,
    Event,
    FieldsChanged,
    HistoryRow,
    LogStarted,
    Marked,
    Order,
    ReadDone,
    ReadRecords,
    Results,
    StatusRow,
    SyncRow,
    Tick,
    Truncated,
)
from rules.plan import compile_connection
from rules.records import brief_records, note_told, receive
from rules.state import CONNECTION, index_changes
from rules.work import PART, current


class View(Protocol):
    """The state of one connection as it stood before the event: a sorted map of bytes. It never changes while a decision is taken."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""

    def get_many(self, keys: Iterable[bytes]) -> list[bytes | None]:
        """The values of the keys, in their order."""

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Keys with the prefix in ascending order, from `start` on (inclusive) where given; lazily."""


class Decision(msgspec.Struct):
    """What one event changes.

    `state`: keys to put (None: to delete), logged in the changelog. `indexes`: keys that follow from the state and are kept on the disk only: they are
    rebuilt by `index_changes` when the state is recovered.
    """

    state: dict[bytes, bytes | None]
    indexes: dict[bytes, bytes | None]
    orders: list[AccountOrder]
    ticks: list[Tick]
    statuses: list[StatusRow]
    syncs: list[SyncRow]
    history: list[HistoryRow]
    dead_letters: list[DeadLetter]


class Envelope(msgspec.Struct, frozen=True):
    """Where and when an event stands in its inbox: deterministic on every replay."""

    connection: str
    offset: int
    now: float  # the message's time stamp, seconds since 1970


def decide(view: View, event: Event, envelope: Envelope) -> Decision:
    """The whole of the semantics: what `event` changes in the connection whose state `view` shows."""
    connection = load_connection(view.get(CONNECTION), envelope.connection)
    rules = compile_connection(connection.document)
    draft = Draft(view, connection, rules, envelope.offset, envelope.now)
    _dispatch(draft, event)
    aftermath.carry_on(draft)
    for name in draft.rules.syncs:
        if draft.loaded(name):
            initial.settle(draft, draft.rules.syncs[name])
    if connection.marks:
        marks.answer(draft)
    statuses = showing.status_rows(draft)
    syncs = showing.sync_rows(draft)
    return Decision(
        draft.state(),
        draft.indexes(),
        draft.account_orders(),
        draft.ticks,
        statuses,
        syncs,
        draft.history,
        draft.dead_letters,
    )


def _dispatch(draft: Draft, event: Event) -> None:
    match event:
        case Captured():
            _captured(draft, event)
        case Results():
            answers.results(draft, event)
        case Tick():
            _tick(draft, event)
        case Clock():
            upkeep.clock(draft)
        case ReadDone():
            initial.read_done(draft, event)
        case Order(action="wait"):
            marks.ordered(draft, event)
        case Order():
            draft.cause = f"order {event.action} {event.id}"
            orders.order(draft, event)
        case Marked():
            (initial.log_caught_up if event.mark.startswith(initial.MARK) else marks.marked)(draft, event)
        case AccountState(up=True):
            answers.account_up(draft, event.account)
        case AccountState():
            answers.account_down(draft, event.account, event.reason, throttled=event.throttled)
        case LogStarted():
            upkeep.log_started(draft, event)
        case Truncated():
            upkeep.truncated(draft, event)
        case FieldsChanged():
            upkeep.fields_changed(draft, event)
        case _:
            assert_never(event)


def _captured(draft: Draft, event: Captured) -> None:
    uses = draft.uses(event.account, event.object)
    if not uses:
        return
    reading: tuple[str, str] | None = None
    if event.read is not None:
        sync = next((one.name for one, _ in uses if one.name == event.read.rpartition("#")[0]), None)
        if sync is None:
            return
        read = draft.sync(sync).reads.get(event.account)
        if read is None or read.id != event.read or read.whole:
            return  # a page of a read that was replaced, or one that came twice
        read.rows += len(event.rows)
        if uses[0][0].sides[uses[0][1]].object.capabilities.common_order:
            read.began = read.began or next((row.version for row in event.rows), None)
        draft.sync(sync).changed = True
        reading = (sync, event.read)
    draft.prefetch(event.account, event.object, (row.id for row in event.rows))
    if event.read is None:
        _prefetch_links(draft, event)
    unread: dict[str, None] = {}
    brief = brief_records(draft, event)
    for row in event.rows:
        if row.id in brief and row.op != "delete":
            continue
        where = "read" if reading or not row.committed_at else "log"
        draft.cause = origins.event(where, f"{event.account}:{row.id}", row.version, row.committed_at)
        unread |= dict.fromkeys(receive(draft, event.account, event.object, row, reading))
    if event.read is None:
        note_told(draft, event)
    if unread:
        draft.orders.append(ReadRecords(draft.connection.name, event.account, event.object, tuple(unread)))


def _prefetch_links(draft: Draft, event: Captured) -> None:
    keys = []
    for row in event.rows:
        image = draft.image(event.account, event.object, row.id)
        if image is not None:
            keys += [(name, seat.link) for name, seat in image.seats.items() if seat.link is not None]
    draft.prefetch_links(keys)


def _tick(draft: Draft, event: Tick) -> None:
    found = current(draft, event)
    if found is None:
        return
    name, _ = found
    draft.cause = f"work {name}"
    sync = draft.rules.syncs.get(event.sync)
    match name.partition(PART)[0].partition(" ")[0]:
        case orders.FORGET:
            orders.go_on_forgetting(draft, event.sync, name)
        case _ if sync is None:
            return
        case initial.STAGE:
            initial.go_on(draft, sync)
        case upkeep.WAITING:
            upkeep.go_on_waiting(draft, sync, name)
        case upkeep.RESEND:
            upkeep.go_on_resending(draft, sync)
        case upkeep.TOMBS:
            upkeep.go_on_burying(draft, sync, name)
        case aftermath.NAMED:
            aftermath.go_on_with_named(draft, sync, name)
        case aftermath.AWAITED:
            aftermath.go_on_with_awaited(draft, sync, name)
        case aftermath.FREED:
            aftermath.go_on_freeing(draft, sync, name)
        case orders.RULES:
            orders.go_on_with_rules(draft, sync, name)
        case _:
            orders.go_on_with_links(draft, sync, name)


__all__ = ["Decision", "Envelope", "View", "decide", "index_changes"]
