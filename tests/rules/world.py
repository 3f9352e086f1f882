"""Two small apps, a log and the pure core between them, all in memory: what the tests of the rules play on.

The apps assign ids, report their changes in order, compare and set, and may refuse, rewrite or hold back. Events and commands are carried by `step`, one
at a time, so that a test decides what meets what. Nothing here knows Kafka.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from sortedcontainers import SortedDict

from rules.catalog import Field, FieldType, Kind, Object, Value
from rules.decide import Decision, Envelope, decide, index_changes
from rules.events import (
    Answer,
    Captured,
    Clock,
    Command,
    Commands,
    DeadLetter,
    Event,
    HistoryRow,
    LogStarted,
    Marked,
    Order,
    ReadDone,
    ReadRecords,
    ReadRequest,
    Results,
    Row,
    SetMark,
    StatusRow,
    SyncRow,
)
from rules.plan import connection_documents
from rules.version import Version

Refuse = Callable[[Command, dict[str, Value]], tuple[str, str, str | None] | None]


def text(name: str, **more: Any) -> Field:
    """A text field."""
    return Field(name, FieldType(Kind.TEXT, native="text"), **more)


def whole(name: str, **more: Any) -> Field:
    """An integer field."""
    return Field(name, FieldType(Kind.INTEGER, native="int8", bits=64), **more)


class MemoryView:
    """The state of one connection, as a sorted map."""

    def __init__(self) -> None:
        self.entries: SortedDict[bytes, bytes] = SortedDict()

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def get_many(self, keys: Iterable[bytes]) -> list[bytes | None]:
        return [self.entries.get(key) for key in keys]

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        for key in list(self.entries.irange(max(prefix, start or prefix))):
            if not key.startswith(prefix):
                return
            yield key, self.entries[key]


class App:
    """An app with one object: records by id, a log of changes, writes that compare and set."""

    def __init__(self, account: str, object: Object) -> None:
        self.account, self.object = account, object
        self.records: dict[str, dict[str, Value]] = {}
        self.log: deque[Row] = deque()
        self.tick, self.next_id = 0, 1
        self.down = False
        self.refuse: Refuse = lambda command, stored: None
        self.stored_form: Callable[[dict[str, Value]], dict[str, Value]] = lambda values: values
        self.tokens: dict[str, Answer] = {}
        self.writes: list[Command] = []

    def _report(self, record_id: str, op: str = "upsert", token: str | None = None, old_id: str | None = None) -> Version:
        self.tick += 1
        version = Version(self.tick)
        values = dict(self.records.get(record_id, {})) if op == "upsert" else {}
        self.log.append(Row(record_id, values, version, op, old_id, None, token, float(self.tick)))
        return version

    def create(self, **values: Value) -> str:
        """A person makes a record."""
        record_id, self.next_id = str(self.next_id), self.next_id + 1
        self._put(record_id, values)
        self._report(record_id)
        return record_id

    def _put(self, record_id: str, values: dict[str, Value]) -> None:
        blank: dict[str, Value] = {field.name: None for field in self.object.fields}
        self.records[record_id] = {**blank, "id": int(record_id), **self.stored_form(values)}

    def edit(self, record_id: str, **values: Value) -> None:
        """A person changes a record."""
        self.records[record_id].update(self.stored_form(values))
        self._report(record_id)

    def delete(self, record_id: str) -> None:
        """A person deletes a record."""
        del self.records[record_id]
        self._report(record_id, "delete")

    def revive(self, record_id: str, **values: Value) -> None:
        """A person makes a record under an id that was used before."""
        self._put(record_id, values)
        self._report(record_id)

    def renumber(self, record_id: str, new_id: str) -> None:
        """A person gives a record another id."""
        self.records[new_id] = {**self.records.pop(record_id), "id": int(new_id)}
        self._report(new_id, old_id=record_id)

    def answer(self, command: Command) -> Answer:
        """Does a command."""
        if self.down:
            return Answer(command.sync, command.link, command.sequence, "deferred", message="down")
        if command.token in self.tokens:
            return self.tokens[command.token]
        answer = self._do(command)
        if answer.outcome == "applied":
            self.tokens[command.token] = answer
            self.writes.append(command)
        return answer

    def _do(self, command: Command) -> Answer:
        head = (command.sync, command.link, command.sequence)
        refusal = self.refuse(command, self.records.get(command.id or "", {}))
        if refusal is not None:
            category, message, field = refusal
            return Answer(*head, "rejected", category=category, message=message, field=field)
        if command.op == "create":
            for record_id, record in self.records.items():
                if any(record.get(field) == value for field, _, value in command.identifiers):
                    return Answer(*head, "exists", record_id, dict(record), Version(self.tick))
            record_id, self.next_id = str(self.next_id), self.next_id + 1
            self._put(record_id, command.values)
        else:
            record_id = command.id or ""
            record = self.records.get(record_id)
            if record is None:
                return Answer(*head, "missing", record_id)
            if any(record.get(field) != value for field, value in command.expect.items()):
                return Answer(*head, "conflict", record_id, dict(record), Version(self.tick))
            record.update(self.stored_form(command.values))
        version = self._report(record_id, token=command.token)
        return Answer(*head, "applied", record_id, dict(self.records[record_id]), version)


class World:
    """Two apps and a connection between them."""

    def __init__(self, left: App, right: App, **sync: Any) -> None:
        self.apps = {left.account: left, right.account: right}
        self.left, self.right = left, right
        self.view = MemoryView()
        self.inbox: deque[Event] = deque()
        self.commands: deque[Any] = deque()
        self.statuses: dict[tuple[str, str], StatusRow] = {}
        self.syncs: dict[str, SyncRow] = {}
        self.history: list[HistoryRow] = []
        self.dead_letters: list[DeadLetter] = []
        self.offset, self.now, self.version = 0, 1000.0, 0
        self.document: dict[str, Any] = {"syncs": {"people": sync}}
        self.off: list[str] = []

    # ------------------------------------------------------------ what people do

    def apply(self) -> None:
        """`tandem apply`."""
        self.version += 1
        catalogs = {name: {app.object.name: app.object} for name, app in self.apps.items()}
        for document in connection_documents(self.document, catalogs, self.off, self.version).values():
            arguments = {"version": str(self.version), "document": json.dumps(document)}
            self.inbox.append(Order(f"o{self.version}", "apply", None, (), arguments))

    def order(self, action: str, sync: str = "people", records: tuple[str, ...] = (), **arguments: str) -> None:
        """An order of a person."""
        self.inbox.append(Order("o", action, sync, records, arguments))

    # ------------------------------------------------------------ what the engine does

    def decide(self, event: Event) -> Decision:
        """One event through the pure core, its effects carried out."""
        raw = msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=type(event))
        decision = decide(self.view, raw, Envelope("crm~shop", self.offset, self.now))
        self.offset += 1
        for key, value in decision.state.items():
            expected = {k: v for k, v in index_changes(key, self.view.get(key), value).items()}
            actual = {k: decision.indexes.get(k, "missing") for k in expected}
            assert actual == expected, "the indexes kept differ from those that recovery would make"
        for key, value in [*decision.state.items(), *decision.indexes.items()]:
            if value is None:
                self.view.entries.pop(key, None)
            else:
                self.view.entries[key] = value
        self.inbox.extend(decision.ticks)
        self.commands.extend(decision.orders)
        for row in decision.statuses:
            if row.status is None:
                self.statuses.pop((row.sync, row.key), None)
            else:
                self.statuses[row.sync, row.key] = row
        self.syncs |= {row.sync: row for row in decision.syncs}
        self.history += decision.history
        self.dead_letters += decision.dead_letters
        return decision

    def capture(self, account: str) -> bool:
        """Brings one change of an account's log into the inbox."""
        app = self.apps[account]
        if not app.log:
            return False
        self.inbox.append(Captured(account, app.object.name, (app.log.popleft(),)))
        return True

    def deliver(self) -> bool:
        """Carries out the next order to an account."""
        if not self.commands:
            return False
        order = self.commands.popleft()
        app = self.apps[order.account]
        match order:
            case Commands():
                answers = tuple(app.answer(command) for command in order.commands)
                self.inbox.append(Results(order.account, order.object, answers))
            case ReadRequest():
                version = Version(app.tick)
                rows = tuple(Row(record_id, dict(values), version) for record_id, values in app.records.items())
                self.inbox.append(Captured(order.account, order.object, rows, order.read))
                self.inbox.append(ReadDone(order.account, order.object, order.read))
            case ReadRecords():
                rows = tuple(
                    Row(one, dict(app.records[one]), Version(app.tick)) for one in order.ids if one in app.records
                )
                self.inbox.append(Captured(order.account, order.object, rows))
            case SetMark():
                self.inbox.append(Marked(order.account, order.mark))
        return True

    def think(self) -> bool:
        """Decides the next event of the inbox."""
        if not self.inbox:
            return False
        self.now += 0.01
        self.decide(self.inbox.popleft())
        return True

    def settle(self, limit: int = 5000) -> None:
        """Until nothing moves any more."""
        for _ in range(limit):
            moved = self.think() or self.deliver()
            moved = moved or any([self.capture(account) for account in self.apps])
            if not moved:
                self.check_counts()
                return
        raise AssertionError("it does not come to rest")

    def clock(self, seconds: float = 0.0) -> None:
        """Time passes."""
        self.now += seconds
        self.inbox.append(Clock())
        self.settle()

    def start(self) -> World:
        """Applies, and lets the first sync come to its end."""
        for account in self.apps:
            self.apps[account].log.clear()
            self.inbox.append(LogStarted(account))
        self.apply()
        self.settle()
        return self

    # ------------------------------------------------------------ what one sees

    def check_counts(self) -> None:
        """The counts are those of the rows."""
        self.now += 0.01
        self.decide(Clock())
        for sync, row in self.syncs.items():
            shown = [one.status for (name, _), one in self.statuses.items() if name == sync]
            counts = {status: shown.count(status) for status in set(shown)}
            if row.state is not None and not self.inbox:
                assert row.counts == counts or not row.counts, (row.counts, counts)

    def row(self, key: str, sync: str = "people") -> StatusRow:
        """The status row of a record."""
        return self.statuses[sync, key]

    def of(self, account: str, record_id: str, sync: str = "people") -> StatusRow:
        """The row in which a record stands."""
        found = [
            row
            for (name, _), row in self.statuses.items()
            if name == sync and account in row.sides and row.sides[account].id == record_id
        ]
        assert len(found) == 1, f"{account}:{record_id} stands in {len(found)} rows"
        return found[0]

    def written(self) -> int:
        """How many writes both apps have seen."""
        return len(self.left.writes) + len(self.right.writes)


PEOPLE = Object("contacts", (whole("id", nullable=False), text("email"), text("name"), text("phone"), text("notes")), ("id",))
CUSTOMERS = Object("customers", (whole("id", nullable=False), text("mail"), text("full_name"), text("tel"), text("memo")), ("id",))
MAPPING: list[Any] = [
    {"crm": "email", "shop": "mail", "identifier": "email"},
    {"crm": "name", "shop": "full_name"},
    {"crm": "phone", "shop": "tel"},
]


def people(**changes: Any) -> World:
    """A CRM and a shop, contacts with customers."""
    sync: dict[str, Any] = {
        "between": {"crm": "contacts", "shop": "customers"},
        "kind": "contact",
        "default": "crm",
        "mapping": MAPPING,
        **changes,
    }
    return World(App("crm", PEOPLE), App("shop", CUSTOMERS), **sync)
