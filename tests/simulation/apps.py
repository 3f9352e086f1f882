"""The apps of a history: those of `tests.rules.world`, with a ledger that fences, troubles of their own, and a memory of who wrote what.

What is done here is what real apps and their connectors do; nothing here knows Kafka, or what the rules decide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from rules.catalog import Object, Value
from rules.events import Answer, Command, Row
from rules.version import Version
from tests.rules.world import App, Journal
from tests.simulation.deeds import Deed, Place, Values

LARGE = frozenset(("notes", "memo", "body", "site", "web"))


class FencedError(Exception):
    """A newer owner has delivered to the account."""


class Fence(msgspec.Struct):
    """The highest epoch seen, the highest offset written, and the epoch of who wrote that: see `connectors.base.Fence`."""

    epoch: int = -1
    offset: int = -1
    written_by: int = -1

    def passed(self, epoch: int, offset: int) -> bool:
        """Moves the fence; whether another owner has dealt with the message before. The same owner may come again with it."""
        if epoch < self.epoch:
            raise FencedError
        behind = offset < self.offset or (offset == self.offset and epoch != self.written_by)
        self.epoch = epoch
        if not behind:
            self.offset, self.written_by = offset, epoch
        return behind


class Done(msgspec.Struct, frozen=True):
    """The last write of a link that was done."""

    sequence: int
    token: str
    id: str
    op: str


class Ledger:
    """What the connector keeps in the account, in the transactions of its writes."""

    def __init__(self) -> None:
        self.fence = Fence()
        self.done: dict[str, Done] = {}  # by link


class Machine(App):
    """One object of an app. `deeds` is shared by all: what happened, in order."""

    def __init__(self, account: str, object: Object, journal: Journal, ledger: Ledger, deeds: list[Deed]) -> None:
        super().__init__(account, object, journal)
        self.ledger, self.deeds = ledger, deeds
        self.unlogged = False  # captured by full scans alone
        self.sparse = False  # its log leaves out large values that have not changed
        self._logged: dict[str, Values] = {}
        self.forbidden = False  # the role may not write
        self.confused = False  # it refuses, and does not say why in words that anybody knows
        self.strict: tuple[str, ...] = ()  # fields that may not hold "bad"
        self.refuse = self._refusal
        self.refers: dict[str, Machine] = {}  # fields that must point at a record of an object
        self.between: Callable[[Machine, str], None] = lambda machine, record_id: None  # between reading and writing
        self.robot: Callable[[Machine, str], None] = lambda machine, record_id: None  # the app's own automation
        # Sees each write before it is noted: the record's id, what it held, and how many deeds there were when it was read.
        self.witness: Callable[[Machine, Command, str, Values, int], None] = lambda *_: None
        self.made_for: dict[str, Command] = {}  # id -> the create that made it
        self.opposite: list[Machine] = []  # those at the other ends of its syncs
        # Ids of which nothing can be told: given to another record, or taken when no log was kept.
        self.reused: set[str] = set()
        self.met: set[str] = set()  # ids that a create for another has met: they were linked to that one's record
        self.given_up: set[str] = set()  # ids whose records have others now
        self.wrong: list[str] = []  # creates that should not have been

    def place(self, record_id: str) -> Place:
        """The reference of a record."""
        return (self.account, self.object.name, record_id)

    def version(self) -> Version:
        """What is read sees all that the log has told up to here, and is the newer."""
        return Version(self.journal.tick, step=1)

    def report(
        self,
        record_id: str,
        op: str = "upsert",
        token: str | None = None,
        old_id: str | None = None,
        into: str | None = None,
    ) -> Version:
        if self.unlogged:
            self.journal.tick += 1
            return Version(self.journal.tick)
        version = super().report(record_id, op, token, old_id, into)
        if self.sparse:
            self._leave_out(record_id, old_id)
        return version

    def _leave_out(self, record_id: str, old_id: str | None) -> None:
        """A log that leaves out large values that have not changed."""
        object_name, row = self.journal.rows[-1]
        before = self._logged.get(old_id or record_id, {})
        kept = {one: value for one, value in row.values.items() if one not in LARGE or before.get(one, self) != value}
        self.journal.rows[-1] = (object_name, msgspec.structs.replace(row, values=kept))
        self._logged.pop(old_id or record_id, None)
        if row.op == "upsert":
            self._logged[record_id] = row.values

    # ---------------------------------------------------------------- commands

    def write(self, command: Command, *, behind: bool = False) -> Answer:
        """Does a command. `behind`: another owner has dealt with its message, so that it is only looked up."""
        answer = self._write(command, behind=behind)
        if answer.outcome == "exists" and answer.id is not None:
            made = self.made_for.get(answer.id)
            if made is None or made.pair != command.pair:
                self.met.add(answer.id)
        return answer

    def _write(self, command: Command, *, behind: bool) -> Answer:
        head = (command.sync, command.link, command.sequence)
        if self.down:
            return Answer(*head, "deferred", command.id, category="unavailable", message="down")
        done = self.ledger.done.get(_link(command)) if self.object.capabilities.tokens else None
        if done is not None and command.sequence <= done.sequence:
            outcome = "applied" if command.token == done.token else "conflict"
            stands = self.records.get(done.id)
            if stands is None:
                return Answer(*head, outcome, done.id)
            return Answer(*head, outcome, done.id, dict(stands), self.version())
        if behind:
            return Answer(*head, "retry", command.id, message="another owner has dealt with its message")
        if done is not None and command.op == done.op == "create" and done.id in self.records:
            return Answer(*head, "exists", done.id, dict(self.records[done.id]), self.version())
        record_id = command.id or ""
        held = self.records.get(record_id)
        if command.op == "update" and held is not None and _holds(held, command.values):
            self._remember(command, record_id)
            return Answer(*head, "unchanged", record_id, dict(held), self.version())
        since = len(self.deeds)
        done_as = self._after_reading(command, held)
        before = dict(self.records.get(record_id, {}))
        answer = self._do(done_as)
        if answer.outcome == "applied":
            self.witness(self, command, answer.id or record_id, before, since)
            self._note(command, answer, before)
        return answer

    def _after_reading(self, command: Command, held: Values | None) -> Command:
        """An app that cannot compare and set is read, compared, and written: somebody may edit the record in between, unseen."""
        if command.op != "update" or self.object.capabilities.compare_and_set or held is None:
            return command
        if not _holds(held, command.expect):
            return command
        self.between(self, command.id or "")
        current = self.records.get(command.id or "", {})
        return msgspec.structs.replace(command, expect={one: current.get(one) for one in command.expect})

    def _refusal(self, command: Command, _: Values) -> tuple[Any, ...] | None:
        """The app's own rules: category, message, field, the record in the way."""
        if self.forbidden:
            return "permission", "the role may not write"
        if self.confused:
            return "unknown", "something went wrong (E-1017)"
        for field in self.strict:
            if command.values.get(field) == "bad":
                return "invalid_value", "bad is not allowed", field
        for field, machine in self.refers.items():
            value = command.values.get(field)
            if value is not None and str(value) not in machine.records:
                return "association", f"{field} points at {value}, which is not there", field, str(value)
            if value is not None and machine is self and str(value) == command.id:
                return "association", f"{field} points at the record itself", field, str(value)
        return None

    def _note(self, command: Command, answer: Answer, before: Values) -> None:
        record_id = answer.id or ""
        self.writes.append(command)
        self._remember(command, record_id)
        stands = self.records.get(record_id, {})
        blind = command.op == "update" and any(before.get(one) != value for one, value in command.expect.items())
        written = {field: stands.get(field) for field in command.values}
        what = {"update": "edit"}.get(command.op, command.op)
        source = command.pair[1:] if command.pair is not None else None
        self.deeds.append(Deed(command.sync, what, self.place(record_id), written, before, source, blind))
        if command.op == "create":
            self._judge(command, record_id)
            self.made_for[record_id] = command
        if command.op != "delete":
            self.robot(self, record_id)

    def _remember(self, command: Command, record_id: str) -> None:
        self.ledger.done[_link(command)] = Done(command.sequence, command.token, record_id, command.op)

    def _judge(self, command: Command, record_id: str) -> None:
        """Whether the record was made before, or made from one that came from here."""
        if not self.object.capabilities.tokens or command.pair is None:
            return
        if any(command.pair[3] in app.reused for app in self.opposite):
            return
        for earlier, made in self.made_for.items():
            there = earlier in self.records and earlier not in self.reused | self.met
            if made.pair == command.pair and there and earlier != record_id:
                self.wrong.append(f"{self.account}:{record_id} is {self.account}:{earlier} again, by {command.token}")
        for app in self.opposite:
            is_other = (app.account, app.object.name) == command.pair[1:3]
            source = app.made_for.get(command.pair[3]) if is_other else None
            tells = source is not None and app.object.capabilities.tokens and source.sync == command.sync
            if tells and source is not None and source.pair is not None and source.pair[3] in self.records:
                self.wrong.append(f"{self.account}:{record_id} is {self.account}:{source.pair[3]} copied back")

    # ---------------------------------------------------------------- people

    def forget_source(self, record_id: str) -> None:
        """An id is given to another record."""
        self.reused.add(record_id)
        self.made_for.pop(record_id, None)
        self.pairs.pop(record_id, None)
        for app in self.opposite:
            for other, pair in list(app.pairs.items()):
                if pair[1:] == self.place(record_id):
                    del app.pairs[other]  # only a read would tell of it, of a record that is another by now
            for made, command in list(app.made_for.items()):
                if command.pair is not None and command.pair[1:] == self.place(record_id):
                    del app.made_for[made]

    def move_memory(self, old_id: str, new_id: str) -> None:
        """A record has another id: what is remembered of it goes along."""
        self.given_up.add(old_id)
        if old_id in self.made_for:
            self.made_for[new_id] = self.made_for.pop(old_id)
        if old_id in self.pairs:
            self.pairs[new_id] = self.pairs.pop(old_id)

    @property
    def gone(self) -> set[str]:
        """The ids that were there once, and are not."""
        return {str(number) for number in range(1, self.next_id)} - self.records.keys()

    def scanned(self, told: set[str]) -> list[Row]:
        """What a full scan tells: all that is there, and what is gone and has not been `told`.

        It must tell of whatever the account has ever shown, in a scan, a page of a read or an answer: else nobody would hear that it is gone.
        """
        version, stamp = self.version(), float(self.journal.tick)
        rows = [msgspec.structs.replace(row, committed_at=stamp) for row in self.page(self.records)]
        return rows + [Row(one, {}, version, "delete", committed_at=stamp) for one in sorted(self.gone - told)]


def _link(command: Command) -> str:
    """A link with its birth: one made anew after the state was lost does not meet the sequences of the earlier."""
    return command.token.rsplit("/", 2)[0]


def _holds(record: Values, values: dict[str, Value]) -> bool:
    return all(record.get(field) == value for field, value in values.items())
