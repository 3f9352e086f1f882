"""Delivery to one account: its partition of `commands`, its lane, and the fence (streams/deliver.py, streams/lane.py).

    take      the next messages of one object, merged; one alone where an earlier owner may have delivered it
    write     in one transaction with the fence
    results   into the inboxes
    position  with the errands; then acknowledged

An account without a ledger has no fence: there a command may be done twice unless its content tells. Such creates (no token, no identifier) are
therefore not delivered again here; the rules do not send them again either (docs/explanation/decisions.md, "Commands").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from rules.events import AccountOrder, AccountState, Answer, Command, Commands, Event, Results
from tests.simulation.account import Account
from tests.simulation.apps import FencedError
from tests.simulation.chooser import Chooser
from tests.simulation.crashes import Crashes

FATES = {
    "": 90,
    "results come twice": 3,
    "the app does not say what it did": 3,
    "the app does not say that it did nothing": 2,
    "a message is lost": 2,
    "the app is busy": 2,
}


class Message(NamedTuple):
    """A message in `commands`."""

    offset: int
    order: AccountOrder


class Delivery:
    """Delivery to one account."""

    def __init__(self, account: Account, chooser: Chooser, crashes: Crashes) -> None:
        self.account, self.chooser, self.crashes = account, chooser, crashes
        self.topic: deque[Message] = deque()  # behind the position
        self.offset = 0  # of the next message
        self.taken = 0  # how many of the topic are in the lane, or done: lost in a crash
        self.epoch, self.fresh = 1, 0
        self.down = False  # as the lane knows
        self.grave: deque[tuple[int, list[Message]]] = deque(
            maxlen=3
        )  # what owners that were declared dead had in hand
        self.send: Callable[[str, Event], None] = lambda connection, event: None
        self.neighbours: Callable[[str], tuple[str, ...]] = lambda account: ()

    def put(self, order: AccountOrder) -> None:
        """Into the topic."""
        self.topic.append(Message(self.offset, order))
        self.offset += 1

    def deliver(self) -> bool:
        """The next messages; whether there were any."""
        if not self.topic:
            return False
        first = self.topic[0].order
        if not isinstance(first, Commands):
            self.account.ask(first)
            self.topic.popleft()
            return True
        batch = self._next_batch()
        if self.crashes.now("deliver, taken, nothing written"):
            self.restart(batch)
            return True
        fate = self.chooser.weigh(FATES) if self.crashes.on and self._can_come_again(batch) else ""
        if fate:
            self.crashes.counts.meet(f"fate: {fate}")
        if fate == "a message is lost":
            self._done(batch)
            return True
        results = self._write(batch, self.epoch, fate)
        if self._can_come_again(batch) and self.crashes.now("deliver, written, no results"):
            self.restart(batch)
            return True
        self._tell(results)
        for connection, event in results:
            self.send(connection, event)
            if fate == "results come twice":
                self.send(connection, event)
        if self._can_come_again(batch) and self.crashes.now("deliver, results in the inbox, position not kept"):
            self.restart(batch)
            return True
        self._done(batch)
        if self.crashes.now("deliver, position kept, not acknowledged"):
            self.restart([])
        return True

    def _next_batch(self) -> list[Message]:
        first = self.topic[0]
        batch = [first]
        assert isinstance(first.order, Commands)
        while len(batch) < len(self.topic) and first.offset >= self.fresh and self.chooser.chance(0.3):
            following = self.topic[len(batch)]
            if not isinstance(following.order, Commands) or following.order.object != first.order.object:
                break
            batch.append(following)
        if len(batch) > 1:
            self.crashes.counts.meet("fate: messages of commands are merged")
        return batch

    def _done(self, batch: list[Message]) -> None:
        for _ in batch:
            self.topic.popleft()

    def _can_come_again(self, batch: list[Message]) -> bool:
        return all(
            self._is_found_again(message.order.object, command)
            for message in batch
            if isinstance(message.order, Commands)
            for command in message.order.commands
        )

    def _is_found_again(self, object_name: str, command: Command) -> bool:
        machine = self.account.machines[object_name]
        return (
            machine.object.capabilities.tokens or command.op != "create" or bool(command.identifiers and machine.finds)
        )

    # ---------------------------------------------------------------- writing

    def _write(self, batch: list[Message], epoch: int, fate: str = "") -> list[tuple[str, Results]]:
        """One transaction; raises FencedError where a newer owner has been here."""
        first, last = batch[0].order, batch[-1]
        assert isinstance(first, Commands)
        machine = self.account.machines[first.object]
        behind = False
        if machine.object.capabilities.tokens and not machine.down:
            behind = self.account.ledger.fence.passed(epoch, last.offset)
        found = []
        for message in batch:
            order = message.order
            assert isinstance(order, Commands)
            answers = []
            for command in order.commands:
                if fate in ("the app is busy", "the app does not say that it did nothing"):
                    outcome = "retry" if fate == "the app is busy" else "unknown"
                    answer = Answer(command.sync, command.link, command.sequence, outcome, command.id)
                else:
                    answer = machine.write(command, behind=behind)
                if fate == "the app does not say what it did":
                    answer = msgspec.structs.replace(answer, outcome="unknown", values=None, version=None, id=None)
                answers.append(answer)
            found.append((order.connection, Results(order.account, order.object, tuple(answers))))
        return found

    def _tell(self, results: list[tuple[str, Results]]) -> None:
        """The connections are told when the account goes down or comes up."""
        down = any(answer.outcome == "deferred" for _, result in results for answer in result.answers)
        if down != self.down:
            self.tell(up=not down)

    def tell(self, *, up: bool, throttled: bool = False) -> None:
        """Tells all connections of the account how it stands."""
        self.down = not up
        reason = "" if up else "throttled" if throttled else "unreachable"
        for connection in self.neighbours(self.account.name):
            self.send(connection, AccountState(self.account.name, up, reason, throttled))

    # ---------------------------------------------------------------- owners

    def restart(self, in_hand: list[Message]) -> None:
        """The owner ends; another takes the partition over, with a higher epoch, from the position in the state."""
        if in_hand:
            self.grave.append((self.epoch, list(in_hand)))
        self.epoch += 1
        self.fresh = self.offset
        if in_hand and self.chooser.chance(0.2):
            self.wake_zombie()

    def wake_zombie(self) -> bool:
        """An owner that was declared dead writes what it has in hand: refused by its epoch once the new owner has written anything."""
        if not self.grave:
            return False
        epoch, batch = self.grave.popleft()
        first = batch[0].order
        assert isinstance(first, Commands)
        machine = self.account.machines[first.object]
        fenced = epoch < self.account.ledger.fence.epoch
        still_to_do = bool(self.topic) and self.topic[0].offset <= batch[0].offset
        if not machine.object.capabilities.tokens or machine.down or not (fenced or still_to_do):
            return False
        try:
            results = self._write(batch, epoch)
        except FencedError:
            self.crashes.counts.meet("fate: a zombie is fenced")
            return True
        assert not fenced, "a zombie wrote"
        self.crashes.counts.meet("fate: a zombie writes before the new owner does")
        if self.chooser.chance(0.5):
            for connection, event in results:
                self.send(connection, event)
        return True
