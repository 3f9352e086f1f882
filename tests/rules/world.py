"""Small apps, their logs and the pure core between them, all in memory: what the tests of the rules play on.

The apps assign ids, report their changes in order, compare and set, and may refuse, rewrite or hold back. Events and commands are carried by `step`, one
at a time, so that a test decides what meets what. Nothing here knows Kafka.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from sortedcontainers import SortedDict  # type: ignore[import-untyped]

from rules.catalog import Capabilities, Field, FieldType, Kind, Object, Value
from rules.decide import Decision, Envelope, decide, index_changes
from rules.events import (
    AccountState,
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
from rules.identifiers import normalise
from rules.plan import Sync, compile_connection, connection_documents
from rules.version import Version

Refuse = Callable[[Command, dict[str, Value]], tuple[Any, ...] | None]  # category, message, field, other


def text(name: str, **more: Any) -> Field:
    """A text field."""
    return Field(name, FieldType(Kind.TEXT, native="text"), **more)


def whole(name: str, **more: Any) -> Field:
    """An integer field."""
    return Field(name, FieldType(Kind.INTEGER, native="int8", bits=64), **more)


class MemoryView:
    """The state of one connection, as a sorted map."""

    def __init__(self) -> None:
        self.entries: Any = SortedDict()

    def get(self, key: bytes) -> bytes | None:
        raw: bytes | None = self.entries.get(key)
        return raw

    def get_many(self, keys: Iterable[bytes]) -> list[bytes | None]:
        return [self.entries.get(key) for key in keys]

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        for key in self.entries.irange(max(prefix, start or prefix)):
            if not key.startswith(prefix):
                return
            yield key, self.entries[key]


class Journal:
    """The log of one account: all its objects write to it, in one order."""

    def __init__(self) -> None:
        self.tick = 0
        self.rows: deque[tuple[str, Row]] = deque()  # object, row


class App:
    """One object of an app: records by id, a log of changes, writes that compare and set."""

    def __init__(self, account: str, object: Object, journal: Journal | None = None) -> None:
        self.account, self.object = account, object
        self.journal = journal or Journal()
        self.records: dict[str, dict[str, Value]] = {}
        self.next_id = 1
        self.down = False
        self.unique: tuple[str, ...] = ()  # fields that no two records may share
        self.refuse: Refuse = lambda command, stored: None
        self.stored_form: Callable[[dict[str, Value]], dict[str, Value]] = lambda values: values
        self.finds = True  # looks for the identifiers of a create
        self.tokens: dict[str, Answer] = {}
        self.pairs: dict[str, tuple[str, str, str, str]] = {}  # what it remembers: id -> sync, account, object, id
        self.writes: list[Command] = []

    @property
    def log(self) -> deque[tuple[str, Row]]:
        """What the account has still to tell."""
        return self.journal.rows

    def version(self) -> Version:
        """The version of what a read sees now."""
        return Version(self.journal.tick)

    def report(
        self,
        record_id: str,
        op: str = "upsert",
        token: str | None = None,
        old_id: str | None = None,
        into: str | None = None,
    ) -> Version:
        """Writes into the log."""
        self.journal.tick += 1
        version = Version(self.journal.tick)
        values = dict(self.records.get(record_id, {})) if op == "upsert" else {}
        told = token if self.object.capabilities.tells_ours else None
        row = Row(record_id, values, version, op, old_id, into, told, float(self.journal.tick))
        self.journal.rows.append((self.object.name, row))
        return version

    def create(self, **values: Value) -> str:
        """A person makes a record."""
        record_id, self.next_id = str(self.next_id), self.next_id + 1
        self.put(record_id, values)
        self.report(record_id)
        return record_id

    def put(self, record_id: str, values: dict[str, Value]) -> None:
        """A record as the app stores it, without a word in the log."""
        blank: dict[str, Value] = {field.name: None for field in self.object.fields}
        self.records[record_id] = {**blank, **self.stored_form(values), "id": int(record_id)}

    def edit(self, record_id: str, **values: Value) -> None:
        """A person changes a record."""
        self.records[record_id].update(self.stored_form(values))
        self.report(record_id)

    def delete(self, record_id: str) -> None:
        """A person deletes a record."""
        del self.records[record_id]
        self.report(record_id, "delete")

    def revive(self, record_id: str, **values: Value) -> None:
        """A person makes a record under an id that was used before."""
        self.put(record_id, values)
        self.report(record_id)

    def renumber(self, record_id: str, new_id: str) -> None:
        """A person gives a record another id."""
        self.records[new_id] = {**self.records.pop(record_id), "id": int(new_id)}
        self.report(new_id, old_id=record_id)

    def merge(self, loser: str, survivor: str) -> None:
        """A person merges a record into another."""
        del self.records[loser]
        self.report(loser, "merge", into=survivor)

    def page(self, ids: Iterable[str]) -> tuple[Row, ...]:
        """Records as a read sees them now."""
        return tuple(
            Row(
                one,
                dict(self.records[one]),
                self.version(),
                pairs=(self.pairs[one],) if one in self.pairs else (),
            )
            for one in ids
            if one in self.records
        )

    def answer(self, command: Command) -> Answer:
        """Does a command."""
        if self.down:
            return Answer(command.sync, command.link, command.sequence, "deferred", command.id, message="down")
        if command.token in self.tokens and (command.op != "create" or self.object.capabilities.tokens):
            return self._again(command)
        answer = self._do(command)
        if answer.outcome == "applied":
            self.tokens[command.token] = answer
            self.writes.append(command)
        return answer

    def _again(self, command: Command) -> Answer:
        """A command that was done before: not done again; the record as it stands."""
        known = self.tokens[command.token]
        stands = self.records.get(known.id or "")
        if stands is None or command.op == "delete":
            return msgspec.structs.replace(known, values=None, version=None)
        return msgspec.structs.replace(known, values=dict(stands), version=self.version())

    def _do(self, command: Command) -> Answer:
        head = (command.sync, command.link, command.sequence)
        refusal = self.refuse(command, self.records.get(command.id or "", {})) or self._not_unique(command)
        if refusal is not None:
            category, message, field, other = (*refusal, None, None)[:4]
            return Answer(*head, "rejected", command.id, category=category, message=message, field=field, other=other)
        if command.op == "create":
            found = self._find(command) if self.finds else None
            if found is not None:
                return Answer(*head, "exists", found, dict(self.records[found]), self.version())
            record_id, self.next_id = str(self.next_id), self.next_id + 1
            self.put(record_id, command.values)
            if command.pair is not None and self.object.capabilities.tokens:
                self.pairs[record_id] = command.pair
        else:
            record_id = command.id or ""
            record = self.records.get(record_id)
            if record is None:
                return Answer(*head, "missing", record_id)
            if any(record.get(field) != value for field, value in command.expect.items()):
                return Answer(*head, "conflict", record_id, dict(record), self.version())
            if command.op == "delete":
                del self.records[record_id]
                return Answer(*head, "applied", record_id, None, self.report(record_id, "delete", command.token))
            record.update(self.stored_form(command.values))
        version = self.report(record_id, token=command.token)
        return Answer(*head, "applied", record_id, dict(self.records[record_id]), version)

    def _find(self, command: Command) -> str | None:
        for record_id, record in self.records.items():
            if any(normalise(kind, record.get(field)) == value for field, kind, value in command.identifiers):
                return record_id
        return None

    def _not_unique(self, command: Command) -> tuple[Any, ...] | None:
        for field in self.unique:
            value = command.values.get(field)
            for record_id, record in self.records.items():
                if value is not None and record_id != command.id and record.get(field) == value:
                    return "duplicate", f"{field} {value!r} is taken by {record_id}", field, record_id
        return None


class World:
    """Apps of two accounts and the connection between them."""

    def __init__(self, *apps: App, syncs: dict[str, dict[str, Any]]) -> None:
        self.apps = {(app.account, app.object.name): app for app in apps}
        self.left, self.right = apps[0], apps[1]
        self.view = MemoryView()
        self.inbox: deque[Event] = deque()
        self.commands: deque[Any] = deque()
        self.statuses: dict[tuple[str, str], StatusRow] = {}
        self.syncs: dict[str, SyncRow] = {}
        self.history: list[HistoryRow] = []
        self.dead_letters: list[DeadLetter] = []
        self.offset, self.now, self.version = 0, 1000.0, 0
        self.document: dict[str, Any] = {"syncs": syncs}
        self.off: list[str] = []
        self.page_size = 1000

    @property
    def accounts(self) -> list[str]:
        """The two accounts."""
        return list(dict.fromkeys(app.account for app in self.apps.values()))

    # ------------------------------------------------------------ what people do

    def apply(self) -> None:
        """`tandem apply`."""
        self.version += 1
        catalogs: dict[str, dict[str, Object]] = {}
        for app in self.apps.values():
            catalogs.setdefault(app.account, {})[app.object.name] = app.object
        name = "~".join(sorted(self.accounts))
        documents = connection_documents(self.document, catalogs, self.off, self.version)
        nothing = {"connection": name, "version": self.version, "syncs": {}, "catalogs": {}, "off": []}
        arguments = {"version": str(self.version), "document": json.dumps(documents.get(name, nothing))}
        self.inbox.append(Order(f"o{self.version}", "apply", None, (), arguments))

    def edit_rules(self, sync: str = "people", **changes: Any) -> None:
        """Other rules, applied and carried through."""
        self.document["syncs"][sync] = {**self.document["syncs"][sync], **changes}
        self.apply()
        self.settle()

    def turn(self, sync: str = "people", *, on: bool) -> None:
        """`tandem on`, `tandem off`."""
        self.off = [one for one in self.off if one != sync] + ([] if on else [sync])
        self.apply()
        self.settle()

    def order(self, action: str, sync: str = "people", records: tuple[str, ...] = (), **arguments: str) -> None:
        """An order of a person."""
        self.inbox.append(Order("o", action, sync, records, arguments))

    # ------------------------------------------------------------ what the engine does

    def decide(self, event: Event) -> Decision:
        """One event through the pure core, its effects carried out."""
        decision = self.think_of(event)
        self.offset += 1
        for key, value in [*decision.state.items(), *decision.indexes.items()]:
            if value is None:
                self.view.entries.pop(key, None)
            else:
                self.view.entries[key] = value
        self.emit(decision)
        return decision

    def think_of(self, event: Event) -> Decision:
        """What the core decides, without any effect."""
        raw = msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=type(event))
        decision = decide(self.view, raw, Envelope("crm~shop", self.offset, self.now))
        for key, value in decision.state.items():
            expected = index_changes(key, self.view.get(key), value)
            actual = {one: decision.indexes.get(one, "missing") for one in expected}
            assert actual == expected, "the indexes kept differ from those that recovery would make"
        return decision

    def emit(self, decision: Decision) -> None:
        """What a decision sends out."""
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

    def capture(self, account: str) -> bool:
        """Brings one change of an account's log into the inbox."""
        rows = next(app for app in self.apps.values() if app.account == account).log
        if not rows:
            return False
        object_name, row = rows.popleft()
        self.inbox.append(Captured(account, object_name, (row,)))
        return True

    def capture_all(self, account: str) -> None:
        """Brings all of an account's log into the inbox, each run of one object's changes as one event."""
        rows = next(app for app in self.apps.values() if app.account == account).log
        while rows:
            object_name = rows[0][0]
            batch: list[Row] = []
            while rows and rows[0][0] == object_name:
                batch.append(rows.popleft()[1])
            self.inbox.append(Captured(account, object_name, tuple(batch)))

    def deliver(self) -> bool:
        """Carries out the next order to an account."""
        if not self.commands:
            return False
        order = self.commands.popleft()
        self.inbox.extend(self.carry_out(order))
        return True

    def carry_out(self, order: Any) -> list[Event]:
        """What an account answers to an order."""
        if isinstance(order, SetMark):
            return [Marked(order.account, order.mark)]
        app = self.apps[order.account, order.object]
        match order:
            case Commands():
                return [Results(order.account, order.object, tuple(app.answer(command) for command in order.commands))]
            case ReadRequest():
                ids = list(app.records)
                pages: list[Event] = [
                    Captured(order.account, order.object, app.page(ids[at : at + self.page_size]), order.read)
                    for at in range(0, max(len(ids), 1), self.page_size)
                ]
                return [*pages, ReadDone(order.account, order.object, order.read)]
            case ReadRecords():
                gone = tuple(Row(one, {}, app.version(), "delete") for one in order.ids if one not in app.records)
                return [Captured(order.account, order.object, app.page(order.ids) + gone)]
            case _:
                raise AssertionError(order)

    def think(self) -> bool:
        """Decides the next event of the inbox."""
        if not self.inbox:
            return False
        self.now += 0.01
        self.decide(self.inbox.popleft())
        return True

    def think_all(self) -> None:
        """Decides all that lies in the inbox; no command is carried out, no change captured."""
        while self.think():
            pass

    def take(self, account: str) -> None:
        """Captures and decides all that an account has to tell; no command is carried out."""
        self.capture_all(account)
        self.think_all()

    def settle(self, limit: int = 20000) -> World:
        """Until nothing moves any more."""
        for _ in range(limit):
            moved = self.think() or self.deliver()
            for account in () if moved else self.accounts:
                moved |= self.capture(account)
            if not moved:
                self.check_counts()
                return self
        raise AssertionError("it does not come to rest")

    def settle_at_once(self) -> World:
        """The same, but what the accounts have to tell comes in as few events as can be."""
        for account in self.accounts:
            self.capture_all(account)
        return self.settle()

    def clock(self, seconds: float = 0.0) -> World:
        """Time passes."""
        self.now += seconds
        self.inbox.append(Clock())
        return self.settle()

    def account(self, account: str, *, up: bool, reason: str = "unreachable", throttled: bool = False) -> None:
        """An account goes down, or comes up."""
        for app in self.apps.values():
            if app.account == account:
                app.down = not up
        self.inbox.append(AccountState(account, up, "" if up else reason, throttled))

    def lose_log(self, account: str) -> None:
        """All that the account has not told yet is lost, and its log begins anew."""
        next(app for app in self.apps.values() if app.account == account).log.clear()
        self.inbox.append(LogStarted(account))

    def start(self) -> World:
        """Applies, and lets the first sync come to its end."""
        for account in self.accounts:
            self.lose_log(account)
        self.apply()
        return self.settle()

    # ------------------------------------------------------------ what one sees

    def check_counts(self) -> None:
        """The counts are those of the rows."""
        for name, row in self.syncs.items():
            if row.state is None:
                continue
            raw = msgspec.msgpack.decode(self.view.entries[b"S" + name.encode()])
            shown = [one.status for (sync, _), one in self.statuses.items() if sync == name]
            counts = {status: shown.count(status) for status in set(shown)}
            kept = {status: count for status, count in raw.get("counts", {}).items() if count}
            assert kept == counts, f"{name} counts {kept}, its rows are {counts}"

    def row(self, key: str, sync: str = "people") -> StatusRow:
        """The status row of a record."""
        return self.statuses[sync, key]

    def rows(self, sync: str = "people") -> dict[str, StatusRow]:
        """All rows of a sync."""
        return {key: row for (name, key), row in self.statuses.items() if name == sync}

    def of(self, account: str, record_id: str, sync: str = "people") -> StatusRow:
        """The row in which a record stands."""
        found = [row for row in self.rows(sync).values() if account in row.sides and row.sides[account].id == record_id]
        assert len(found) == 1, f"{account}:{record_id} stands in {len(found)} rows"
        return found[0]

    def stands(self, account: str, record_id: str, sync: str = "people") -> tuple[str | None, str | None]:
        """Status and category of the row in which a record stands."""
        row = self.of(account, record_id, sync)
        return row.status, row.category

    def written(self) -> int:
        """How many writes all apps have seen."""
        return sum(len(app.writes) for app in self.apps.values())

    def agree(self, sync: str = "people") -> None:
        """All records in sync agree on their mapped fields, exactly."""
        config = self.document["syncs"][sync]
        (left, left_object), (right, right_object) = config["between"].items()
        for row in self.rows(sync).values():
            if row.status == "in_sync":
                first = self.apps[left, left_object].records[row.sides[left].id]
                second = self.apps[right, right_object].records[row.sides[right].id]
                for entry in config["mapping"]:
                    if left in entry and right in entry and "association" not in entry:
                        assert first[entry[left]] == second[entry[right]], (row, entry)


PEOPLE = Object(
    "contacts",
    (
        whole("id", nullable=False, read_only=True),
        text("email"),
        text("name"),
        text("phone"),
        text("notes"),
    ),
    ("id",),
)
CUSTOMERS = Object(
    "customers",
    (
        whole("id", nullable=False, read_only=True),
        text("mail"),
        text("full_name"),
        text("tel"),
        text("memo"),
    ),
    ("id",),
)
MAPPING: list[Any] = [
    {"crm": "email", "shop": "mail", "identifier": "email"},
    {"crm": "name", "shop": "full_name"},
    {"crm": "phone", "shop": "tel"},
]
SYNC: dict[str, Any] = {
    "between": {"crm": "contacts", "shop": "customers"},
    "kind": "contact",
    "default": "crm",
    "mapping": MAPPING,
}
WITHOUT_IDENTIFIER: dict[str, Any] = {
    "kind": "deal",
    "mapping": [{"crm": "name", "shop": "full_name"}, {"crm": "phone", "shop": "tel"}],
}


def people(**changes: Any) -> World:
    """A CRM and a shop, contacts with customers."""
    return World(App("crm", PEOPLE), App("shop", CUSTOMERS), syncs={"people": {**SYNC, **changes}})


def deals(**changes: Any) -> World:
    """The same two objects, paired without any identifier."""
    return people(**WITHOUT_IDENTIFIER, **changes)


def changed(object: Object, **fields: dict[str, Any]) -> Object:
    """An object with some fields otherwise: `changed(CUSTOMERS, full_name={"required": True})`."""
    return msgspec.structs.replace(
        object,
        fields=tuple(msgspec.structs.replace(field, **fields.get(field.name, {})) for field in object.fields),
    )


def without_tokens(object: Object) -> Object:
    """An object of a connector that leaves no token with its creates."""
    return msgspec.structs.replace(object, capabilities=Capabilities(tokens=False))


def compiled(left: Object = PEOPLE, right: Object = CUSTOMERS, **changes: Any) -> Sync:
    """A sync of the two, compiled, for tests that need no world."""
    sync = {**SYNC, **changes, "between": {"crm": left.name, "shop": right.name}}
    catalogs = {"crm": {left.name: left}, "shop": {right.name: right}}
    (document,) = connection_documents({"syncs": {"people": sync}}, catalogs).values()
    return compile_connection(json.dumps(document)).syncs["people"]


def without_echoes(object: Object) -> Object:
    """An object of a connector whose creates leave a token, though changes that come by do not show it."""
    return msgspec.structs.replace(object, capabilities=Capabilities(echoes=False))
