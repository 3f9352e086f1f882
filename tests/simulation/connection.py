"""A connection: its inbox, its state, and the unit of work between them, effect by effect (streams/unit.py).

    decide       some messages, on the state as it stands, each on what those before it have changed
    send         commands, ticks, statuses, history, dead letters: acknowledged in any order
    changelog    the new state and the position in the inbox, as one record batch
    disk         both, with the indexes, in one write
    acknowledge  the messages

Whoever works may end between any two. Then the messages come again, perhaps others with them in a unit; those at or below the position in the
state are not decided again; a disk that lags behind is brought forward from the changelog, its indexes made out of the state.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from rules.decide import Decision, Envelope, decide, index_changes
from rules.events import AccountOrder, Event, HistoryRow, Order, StatusRow, SyncRow
from tests.rules.world import MemoryView
from tests.simulation.chooser import Chooser
from tests.simulation.crashes import Crashes

SAMPLE = 8  # in plain runs every so-manieth decision goes through the checks that cost most
UNIT = (1, 1, 1, 2, 5)  # messages in a unit of work
REMEMBERED = 6  # units whose outputs a worker that was declared dead may still send

Undo = list[tuple[bytes, bytes | None]]


class Message(NamedTuple):
    """A message in the inbox. `now`: its time stamp."""

    offset: int
    now: float
    event: Event


class Outputs(msgspec.Struct):
    """What a unit sends."""

    commands: list[AccountOrder]
    ticks: list[Event]
    statuses: list[StatusRow | SyncRow]
    history: list[HistoryRow]
    letters: list[Any]


class Connection:
    """One connection. `send` takes commands to the accounts; `clock` tells the time stamp of a message that is sent now."""

    def __init__(self, name: str, chooser: Chooser, crashes: Crashes) -> None:
        self.name, self.chooser, self.crashes = name, chooser, crashes
        self.view = MemoryView()
        self.changelog: dict[bytes, bytes] = {}
        self.inbox: deque[Message] = deque()
        self.offset = 0  # of the next message
        self.position = -1  # of the last that the state knows
        self.statuses: dict[tuple[str, str], StatusRow] = {}
        self.syncs: dict[str, SyncRow] = {}
        self.document: dict[str, Any] = {"syncs": {}}  # that was applied last
        self.exhaustive = False  # every decision is checked, not only some
        self.decisions = 0
        self.sent: deque[Outputs] = deque(maxlen=REMEMBERED)
        self.send: Callable[[AccountOrder], None] = lambda order: None
        self.clock: Callable[[], float] = lambda: 0.0
        self.watch: Callable[[Connection, Message, Decision], None] = lambda connection, message, decision: None

    def put(self, event: Event) -> None:
        """Into the inbox."""
        self.inbox.append(Message(self.offset, self.clock(), event))
        self.offset += 1

    # ---------------------------------------------------------------- the unit of work

    def reconcile(self) -> bool:
        """One unit of work; whether there was anything to do."""
        while self.inbox and self.inbox[0].offset <= self.position:
            self.inbox.popleft()
            self.crashes.counts.meet("fate: a message at or below the position is not decided again")
        if not self.inbox:
            return False
        size = min(self.chooser.pick(UNIT), len(self.inbox)) if self.crashes.on else 1
        taken = [self.inbox[index] for index in range(size)]
        if size > 1:
            self.crashes.counts.meet("fate: a unit of several messages")
        undo: Undo = []
        document = self.document
        logged: dict[bytes, bytes | None] = {}
        outputs = Outputs([], [], [], [], [])
        for message in taken:
            decision = self._decide(message)
            self._put(decision.state, undo)
            self._put(decision.indexes, undo)
            logged |= decision.state
            outputs.commands += decision.orders
            outputs.ticks += decision.ticks
            outputs.statuses += decision.statuses
            outputs.statuses += decision.syncs
            outputs.history += decision.history
            outputs.letters += decision.dead_letters
            self.watch(self, message, decision)
        if not self._commit(taken, undo, logged, outputs):
            self.document = document
        return True

    def _commit(self, taken: list[Message], undo: Undo, logged: dict[bytes, bytes | None], outputs: Outputs) -> bool:
        """Whether the state has moved on."""
        if not self._send(outputs):
            self._undo(undo)
            return False
        for key, value in logged.items():
            if value is None:
                self.changelog.pop(key, None)
            else:
                self.changelog[key] = value
        self.position = taken[-1].offset
        self.sent.append(outputs)
        if self.crashes.now("reconcile, changelog written, disk not"):
            self._recover(undo, logged)
        elif not self.crashes.now("reconcile, disk written, not acknowledged"):
            for _ in taken:
                self.inbox.popleft()
        return True

    def _send(self, outputs: Outputs) -> bool:
        """Sends all, in any order of the topics; False where it ended before all were acknowledged."""
        if self.crashes.now("reconcile, decided, nothing sent"):
            return False
        topics = [name for name in ("commands", "ticks", "statuses", "history", "letters") if getattr(outputs, name)]
        if len(topics) > 1 and self.crashes.on:
            topics = topics[self.chooser.below(len(topics)) :] + topics
        for name in dict.fromkeys(topics):
            getattr(self, f"_send_{name}")(outputs)
            if self.crashes.now(f"reconcile, {'dead letters' if name == 'letters' else name} sent"):
                return False
        return True

    def _send_commands(self, outputs: Outputs) -> None:
        for order in outputs.commands:
            self.send(order)

    def _send_ticks(self, outputs: Outputs) -> None:
        for tick in outputs.ticks:
            self.put(tick)

    def _send_statuses(self, outputs: Outputs) -> None:
        for row in outputs.statuses:
            if isinstance(row, SyncRow):
                self.syncs[row.sync] = row
            elif row.status is None:
                self.statuses.pop((row.sync, row.key), None)
            else:
                self.statuses[row.sync, row.key] = row

    def _send_history(self, outputs: Outputs) -> None:
        pass  # what it tells is counted when it is decided

    def _send_letters(self, outputs: Outputs) -> None:
        self.crashes.counts.meet("8: a refused command goes to the dead letters", len(outputs.letters))

    def send_late(self) -> bool:
        """A worker that was declared dead wakes up and sends what it had decided before: commands and ticks come late, and again."""
        if not self.sent:
            return False
        late = self.chooser.pick(list(self.sent))
        self.crashes.counts.meet("fate: a zombie sends its outputs again")
        self._send_commands(late)
        self._send_ticks(late)
        return True

    # ---------------------------------------------------------------- deciding

    def _decide(self, message: Message) -> Decision:
        event = message.event
        self.decisions += 1
        checked = self.exhaustive or self.decisions % SAMPLE == 0
        if checked:
            event = msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=type(event))
        decision = decide(self.view, event, Envelope(self.name, message.offset, message.now))
        if checked:
            self._check_indexes(decision)
        if isinstance(event, Order) and event.action == "apply":
            self.document = json.loads(event.arguments["document"])
        return decision

    def _check_indexes(self, decision: Decision) -> None:
        for key, value in decision.state.items():
            expected = index_changes(key, self.view.get(key), value)
            actual = {one: decision.indexes.get(one, "missing") for one in expected}
            assert actual == expected, "the indexes kept differ from those that recovery would make"

    # ---------------------------------------------------------------- the disk

    def _put(self, entries: dict[bytes, bytes | None], undo: Undo) -> None:
        disk = self.view.entries
        for key, value in entries.items():
            undo.append((key, disk.get(key)))
            if value is None:
                disk.pop(key, None)
            else:
                disk[key] = value

    def _undo(self, undo: Undo) -> None:
        disk = self.view.entries
        for key, value in reversed(undo):
            if value is None:
                disk.pop(key, None)
            else:
                disk[key] = value

    def _recover(self, undo: Undo, logged: dict[bytes, bytes | None]) -> None:
        """The disk lacks the last batch of the changelog: it is put there with the indexes that follow from it."""
        wanted = {key: self.view.get(key) for key, _ in undo}
        self._undo(undo)
        for key, value in logged.items():
            self._put(index_changes(key, self.view.get(key), value), [])
            self._put({key: value}, [])
        for key, value in wanted.items():
            assert self.view.get(key) == value, f"recovered otherwise than decided: {key!r}"

    def wipe(self) -> None:
        """The disk is lost: all is made anew out of the changelog."""
        fresh = MemoryView()
        for key, value in self.changelog.items():
            fresh.entries[key] = value
            for index, entry in index_changes(key, None, value).items():
                if entry is not None:
                    fresh.entries[index] = entry
        assert dict(fresh.entries) == dict(self.view.entries), "a wiped disk comes back otherwise"
        self.view = fresh
        self.crashes.counts.meet("fate: a disk is wiped and made anew")

    def lose_state(self) -> None:
        """The changelog is lost, too, and with it the inbox: nothing is known any more. What comes next has higher offsets."""
        self.view, self.changelog, self.position = MemoryView(), {}, -1
        self.inbox.clear()
        self.sent.clear()
        self.statuses.clear()
        self.syncs.clear()
        self.document = {"syncs": {}}

    # ---------------------------------------------------------------- what one sees

    def rows(self, sync: str) -> dict[str, StatusRow]:
        """All rows of a sync."""
        return {key: row for (name, key), row in self.statuses.items() if name == sync}
