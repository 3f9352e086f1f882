"""An account: its objects, its log, and what captures it. Changes, pages and marks go into the topic `changes`, from there into the inboxes.

Each effect is one of its own, and whoever works may end between any two: what was sent and not confirmed comes again, with other boundaries;
a read goes on from the place that the state holds. See streams/capture.py, streams/reading.py and streams/route.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from rules.events import (
    Captured,
    Event,
    FieldsChanged,
    LogStarted,
    Marked,
    ReadDone,
    ReadRecords,
    ReadRequest,
    Row,
    SetMark,
)
from tests.rules.world import Journal
from tests.simulation.apps import Ledger, Machine
from tests.simulation.chooser import Chooser
from tests.simulation.crashes import Crashes

FIRST = -(10**9)  # before every id
REACH = 6  # how many changes an app that keeps no order may tell too early


class Errand(msgspec.Struct):
    """A full read that was asked for. `resume` is in the state; `cursor` and `complete` are in the memory of who reads."""

    order: ReadRequest
    resume: int = FIRST
    cursor: int = FIRST
    complete: bool = False


class Change(msgspec.Struct, frozen=True):
    """A message in `changes`. `to`: the one connection that it is for; None: all that use the object."""

    event: Event
    to: str | None = None
    resume: int | None = None  # how far the read has got with it


class Account:
    """One account. `way`: log (in the order of commits), token (each record's in order, the records in any), scan (no log)."""

    def __init__(self, name: str, way: str, chooser: Chooser, crashes: Crashes) -> None:
        self.name, self.way, self.chooser, self.crashes = name, way, chooser, crashes
        self.journal, self.ledger = Journal(), Ledger()
        self.machines: dict[str, Machine] = {}
        self.unconfirmed: list[tuple[str, Any]] = []
        self.scanned: dict[
            str, tuple[int, set[str]]
        ] = {}  # by object: when it was last scanned in full, and what it has told to be gone
        self.errands: dict[tuple[str, str], Errand] = {}  # by sync and object
        self.singles: deque[ReadRecords] = deque()
        self.changes: deque[Change] = deque()
        self.page_size = 1000
        self.users: Callable[[str, str], tuple[str, ...]] = lambda account, object_name: ()
        self.send: Callable[[str, Event], None] = lambda connection, event: None

    @property
    def down(self) -> bool:
        """Whether it takes no commands."""
        return any(machine.down for machine in self.machines.values())

    @down.setter
    def down(self, down: bool) -> None:
        for machine in self.machines.values():
            machine.down = down

    # ---------------------------------------------------------------- the log

    def log(self, event: Event) -> None:
        """Something that concerns no single record comes by in the log: a mark, a truncated object, changed fields."""
        self.journal.rows.append(("", event))  # type: ignore[arg-type]

    @property
    def quiet(self) -> bool:
        """Whether all that happened has gone into the inboxes, and no errand is left."""
        if self.journal.rows or self.changes or self.errands or self.singles:
            return False
        if self.way != "scan":
            return True
        return all(self._is_scanned(name) for name in self.machines)

    def capture(self) -> bool:
        """Brings some changes into `changes`; whether there were any."""
        if not self.journal.rows:
            return self.way == "scan" and self._scan()
        again = self._take()
        if self.crashes.now("capture, read, not stored in changes"):
            self._restart(again)
            return True
        object_name = again[0][0]
        if object_name:
            rows = tuple(row for _, row in again)
            self.changes.append(Change(Captured(self.name, object_name, rows)))
        else:
            self.changes.append(Change(again[0][1]))
        self.unconfirmed += again
        if self.crashes.now("capture, stored in changes, not confirmed"):
            self._restart([])
        elif self.chooser.chance(0.7):
            self.unconfirmed.clear()
        return True

    def _take(self) -> list[tuple[str, Any]]:
        """The next changes, of one object."""
        rows = self.journal.rows
        at = self._first() if self.way == "token" else 0
        first = rows[at]
        del rows[at]
        taken = [first]
        while not at and rows and first[0] and rows[0][0] == first[0] and self.chooser.chance(0.5):
            taken.append(rows.popleft())
        return taken

    def _first(self) -> int:
        """A change that may be told first: each record's come in their order, and all before a mark."""
        rows = self.journal.rows
        at = self.chooser.below(min(len(rows), REACH))
        while at and not self._may_come_first(at):
            at -= 1
        if at:
            self.crashes.counts.meet("fate: a change overtakes those of other records")
        return at

    def _may_come_first(self, at: int) -> bool:
        object_name, row = self.journal.rows[at]
        if not object_name:
            return False
        named = {row.id, row.old_id, row.into} - {None}
        for index in range(at):
            other_object, other = self.journal.rows[index]
            if not other_object or (other_object == object_name and named & {other.id, other.old_id, other.into}):
                return False
        return True

    def _restart(self, taken: list[tuple[str, Any]]) -> None:
        """Whoever comes next reads from what was confirmed, and from where the state says that the reads are."""
        if self.unconfirmed:
            self.crashes.counts.meet("fate: changes are captured again")
        self.journal.rows.extendleft(reversed([*self.unconfirmed, *taken]))
        self.unconfirmed.clear()
        for errand in self.errands.values():
            errand.cursor, errand.complete = errand.resume, False

    def restart(self) -> None:
        """The process that captured has ended."""
        self._restart([])

    def lose_log(self) -> None:
        """What was not captured is lost; the log begins anew."""
        for object_name, row in (*self.journal.rows, *self.unconfirmed):
            if object_name and row.old_id is not None:
                self.machines[object_name].reused |= {row.id, row.old_id}
        kept = (*self.unconfirmed, *self.journal.rows)
        self.journal.rows = deque(one for one in kept if isinstance(one[1], Marked | FieldsChanged))
        self.unconfirmed.clear()
        for errand in self.errands.values():
            errand.cursor, errand.complete = errand.resume, False
        self.changes.append(Change(LogStarted(self.name)))

    def _is_scanned(self, name: str) -> bool:
        return self.scanned.get(name, (-1,))[0] == self.journal.tick

    def _scan(self) -> bool:
        """A full scan in place of a log: all that is there, and what is gone since the last."""
        found = False
        for name, machine in self.machines.items():
            if self._is_scanned(name):
                continue
            found = True
            rows = machine.scanned(self.scanned.get(name, (-1, set()))[1] - machine.reused)
            if rows:
                self.changes.append(Change(Captured(self.name, name, tuple(rows))))
            if not self.crashes.now("capture, scanned, the scan not kept"):
                self.scanned[name] = (self.journal.tick, machine.gone)
        return found

    # ---------------------------------------------------------------- errands

    def ask(self, order: ReadRequest | ReadRecords | SetMark) -> None:
        """An order that is no write. One that comes again does not begin anew, nor does an older one, come late, replace a newer."""
        match order:
            case SetMark():
                self.log(Marked(order.account, order.mark))
            case ReadRecords():
                self.singles.append(order)
            case ReadRequest():
                known = self.errands.get((order.sync, order.object))
                if known is None or _number(known.order.read) < _number(order.read):
                    self.errands[order.sync, order.object] = Errand(order)

    def read_on(self) -> bool:
        """The next page of a full read, or single records; whether there was something to read."""
        if self.singles:
            self._read_records(self.singles.popleft())
            return True
        open_reads = [errand for errand in self.errands.values() if not errand.complete]
        if not open_reads:
            return False
        errand = self.chooser.pick(open_reads)
        order, machine = errand.order, self.machines[errand.order.object]
        ids = sorted(int(one) for one in machine.records if int(one) > errand.cursor)[: self.page_size]
        page = Captured(self.name, order.object, machine.page(str(one) for one in ids), order.read)
        last = len(ids) < self.page_size
        self.changes.append(Change(page, order.connection, None if last else ids[-1]))
        if self.crashes.now("read, page stored in changes, and no more"):
            errand.cursor = errand.resume
        elif last:
            self.changes.append(Change(ReadDone(self.name, order.object, order.read), order.connection))
            errand.complete = True
        else:
            errand.cursor = ids[-1]
        return True

    def _read_records(self, order: ReadRecords) -> None:
        machine = self.machines[order.object]
        gone = tuple(Row(one, {}, machine.version(), "delete") for one in order.ids if one not in machine.records)
        self.changes.append(Change(Captured(self.name, order.object, machine.page(order.ids) + gone), order.connection))

    # ---------------------------------------------------------------- route

    def route(self) -> bool:
        """Passes a message on to all whom it concerns; then its position is kept, and with it how far a read has got."""
        if not self.changes:
            return False
        change = self.changes[0]
        event = change.event
        read = event.read if isinstance(event, Captured | ReadDone) else None
        errand = next((one for one in self.errands.values() if read is not None and one.order.read == read), None)
        if read is not None and errand is None:
            self.changes.popleft()  # of a read that was replaced
            return True
        if self.crashes.now("route, before the inboxes"):
            return True
        inboxes = (change.to,) if change.to is not None else self.users(self.name, getattr(event, "object", ""))
        for inbox in inboxes:
            self.send(inbox, event)
            if len(inboxes) > 1 and inbox != inboxes[-1] and self.crashes.now("route, in some inboxes"):
                return True
        if self.crashes.now("route, in all inboxes, position not kept"):
            return True
        self.changes.popleft()
        if errand is not None:
            self._move_on(errand, change)
        return True

    def _move_on(self, errand: Errand, change: Change) -> None:
        if isinstance(change.event, ReadDone):
            del self.errands[errand.order.sync, errand.order.object]
        elif change.resume is not None:
            errand.resume = change.resume


def _number(read: str) -> int:
    """Reads are named after the sync and the offset of the event that asked for them."""
    return int(read.rpartition("#")[2])
