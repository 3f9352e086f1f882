"""What a history is played on: apps and rules drawn at random from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import msgspec

from rules.catalog import Object, Value
from rules.events import Answer, Command
from tests.rules.world import CUSTOMERS, MAPPING, PEOPLE, App, Journal, changed, text, whole, without_tokens

EMAILS: list[Value] = ["a@x.io", "b@x.io", "A@X.io ", "c@x.io", "d@x.io", "no address", None]
NAMES: list[Value] = ["Ann", "Bob", " Cid  C ", "bad", "", None, "Dan"]
PHONES: list[Value] = ["1", "2", "+3 4", None, ""]
NOTES: list[Value] = ["n1", "n2", None]
BOSSES: list[Value] = ["1", "2", "3", "5", "99", None]
LEADS = Object("leads", (whole("id", nullable=False, read_only=True), text("title"), text("body")), ("id",))

POOLS: dict[str, list[Value]] = {
    **dict.fromkeys(("email", "mail"), EMAILS),
    **dict.fromkeys(("name", "full_name", "title"), NAMES),
    **dict.fromkeys(("phone", "tel"), PHONES),
    **dict.fromkeys(("notes", "memo", "body"), NOTES),
    **dict.fromkeys(("boss", "chief"), BOSSES),
}


def stored(values: dict[str, Value]) -> dict[str, Value]:
    """An app that keeps texts in a form of its own: trimmed, spaces collapsed."""
    return {field: " ".join(value.split()) if isinstance(value, str) else value for field, value in values.items()}


def as_given(values: dict[str, Value]) -> dict[str, Value]:
    """An app that keeps what it is given."""
    return values


class Machine(App):
    """An app that remembers who wrote what, so that it can be told afterwards whether that was right."""

    def __init__(self, account: str, object: Object, journal: Journal) -> None:
        super().__init__(account, object, journal)
        self.writers: dict[tuple[str, str], str] = {}  # id, field: the sync that wrote it last; absent: a person
        self.commanded: list[Command] = []
        self.made_for: dict[str, Command] = {}  # id -> the create that made it
        self.opposite: list[Machine] = []  # those of the other account
        self.reused: set[str] = (
            set()
        )  # ids of which nothing can be told: given to another record, or taken when no log was kept
        self.met: set[str] = set()  # ids that a create for another has met: they were linked to that one's record
        self.given_up: set[str] = set()  # ids whose records have others now
        self.wrong: list[str] = []  # creates that should not have been

    def answer(self, command: Command) -> Answer:
        done = len(self.writes)
        answer = super().answer(command)
        if answer.outcome == "exists" and answer.id is not None:
            self.met.add(answer.id)
        if answer.outcome == "applied" and len(self.writes) > done:
            self.commanded.append(command)
            if command.op == "update":  # a create may restore what a person had written
                self.writers |= {(answer.id or "", field): command.sync for field in command.values}
            if command.op == "create" and answer.id is not None:
                self._judge(command, answer.id)
                self.made_for[answer.id] = command
        return answer

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
            source = app.made_for.get(command.pair[3]) if app.object.name == command.pair[2] else None
            tells = source is not None and app.object.capabilities.tokens and source.sync == command.sync
            if tells and source is not None and source.pair is not None and source.pair[3] in self.records:
                self.wrong.append(f"{self.account}:{record_id} is {self.account}:{source.pair[3]} copied back")

    def forget_writers(self, record_id: str, fields: Iterable[str]) -> None:
        """A person has written."""
        for field in fields:
            self.writers.pop((record_id, field), None)

    def forget_source(self, record_id: str) -> None:
        """An id is given to another record."""
        self.reused.add(record_id)
        self.made_for.pop(record_id, None)
        self.pairs.pop(record_id, None)
        for app in self.opposite:
            for made, command in list(app.made_for.items()):
                if command.pair is not None and command.pair[2:] == (self.object.name, record_id):
                    del app.made_for[made]


class Setting(msgspec.Struct):
    """One draw."""

    apps: list[Machine]
    syncs: dict[str, dict[str, Any]]
    page_size: int


def draw(rng: random.Random) -> Setting:
    """Apps and rules."""
    left_object, right_object = with_field(PEOPLE, "boss"), with_field(CUSTOMERS, "chief")
    if rng.random() < 0.25:
        left_object = without_tokens(left_object)
    if rng.random() < 0.25:
        right_object = without_tokens(right_object)
    if rng.random() < 0.2:
        right_object = changed(right_object, full_name={"required": True})
    if rng.random() < 0.15:
        right_object = changed(right_object, full_name={"nullable": False})
    shop = Journal()
    apps = [Machine("crm", left_object, Journal()), Machine("shop", right_object, shop)]
    for app in apps:
        app.stored_form = rng.choice([stored, as_given])
        app.finds = rng.random() < 0.9 or not app.object.capabilities.tokens
    if rng.random() < 0.25:
        apps[1].unique = ("tel",)
    if rng.random() < 0.3:
        apps[1].refuse = lambda command, _: (
            ("invalid_value", "bad is not allowed", "full_name") if command.values.get("full_name") == "bad" else None
        )
    for app in apps:
        app.opposite = [other for other in apps if other.account != app.account]
    syncs = {"people": _people(rng)}
    more = rng.random()
    if more < 0.15:
        syncs["notes"] = _notes(rng)
    elif more < 0.3:
        leads = Machine("shop", LEADS, shop)
        leads.opposite = apps[:1]
        apps[0].opposite.append(leads)
        apps.append(leads)
        syncs["leads"] = _leads(rng)
    return Setting(apps, syncs, rng.choice([1, 2, 5, 1000]))


def with_field(object: Object, name: str) -> Object:
    """An object with one field more: a reference to another of its records."""
    return msgspec.structs.replace(object, fields=(*object.fields, text(name)))


def _policy(rng: random.Random) -> dict[str, Any]:
    """Direction, default and what becomes of empty values and deletions."""
    direction = rng.choice(["both", "both", "both", "to shop", "to crm"])
    chosen: dict[str, Any] = {"direction": direction, "empty": rng.choice(["keep", "keep", "propagate"])}
    chosen["deletes"] = rng.choice(["keep", "keep", "propagate"])
    if chosen["deletes"] == "propagate":
        chosen["max_deletes"] = rng.choice([2, 5, 1000])
    chosen["default"] = (
        rng.choice(["crm", "shop"]) if direction == "both" else {"to shop": "crm", "to crm": "shop"}[direction]
    )
    return chosen


def _people(rng: random.Random) -> dict[str, Any]:
    between = {"crm": "contacts", "shop": "customers"}
    mapping = [dict(entry) for entry in MAPPING]
    if rng.random() < 0.2:
        mapping[2]["direction"] = rng.choice(["to crm", "to shop"])
    kind = rng.choice(["contact", "contact", "custom", "deal", "two"])
    if kind == "deal":
        mapping[0].pop("identifier")
    elif kind == "two":
        kind, mapping[1]["identifier"] = "custom", "name"
    if rng.random() < 0.25:
        mapping.append({"crm": "boss", "shop": "chief", "association": "people"})
    sync = {"between": between, "kind": kind, "mapping": mapping, **_policy(rng)}
    if rng.random() < 0.2:
        side, field = rng.choice([("crm", "notes"), ("shop", "memo")])
        sync["filters"] = {side: [{"field": field, "op": "ne", "value": "n1"}]}
    return sync


def _notes(rng: random.Random) -> dict[str, Any]:
    between = rng.choice([{"crm": "contacts", "shop": "customers"}, {"shop": "customers", "crm": "contacts"}])
    return {"between": between, "kind": "custom", "mapping": [{"crm": "notes", "shop": "memo"}], **_policy(rng)}


def _leads(rng: random.Random) -> dict[str, Any]:
    mapping = [{"crm": "name", "shop": "title"}, {"crm": "notes", "shop": "body"}]
    return {"between": {"crm": "contacts", "shop": "leads"}, "kind": "deal", "mapping": mapping, **_policy(rng)}
