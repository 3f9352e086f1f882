"""The parts of a rehearsal: its store, and the stand-in for accounts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec
import pytest

from connectors.base import Page, Record
from console.rehearsal.rehearse import Rehearsal, order_of, rehearse
from console.rehearsal.report import Report
from console.rehearsal.stand_in import FIRST, StandIn
from console.rehearsal.store import State, Store
from rules.catalog import Field, FieldType, Kind, Object, Value
from rules.events import Answer, Command, Commands, HistoryRow, Row, StatusRow
from rules.plan import connection_documents
from rules.state import Image, encode, image_key
from rules.version import Version

Does = Callable[..., Answer]
TEXT, WHOLE = FieldType(Kind.TEXT), FieldType(Kind.INTEGER)
PEOPLE = Object("people", (Field("id", WHOLE), Field("mail", TEXT), Field("name", TEXT)), ("id",), unique=(("mail",),))
KEYED = Object("by_code", (Field("code", TEXT), Field("line", WHOLE)), ("code", "line"))
WITH_UUID = Object("tickets", (Field("id", FieldType(Kind.UUID)),), ("id",))


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as store:
        yield store


@pytest.fixture
def state(store: Store) -> State:
    return store.state("crm~shop")


@pytest.fixture
def apps(store: Store) -> StandIn:
    return StandIn(store, {("shop", one.name): one for one in (PEOPLE, KEYED, WITH_UUID)})


@pytest.fixture
def does(apps: StandIn, state: State) -> Does:
    """Has a command answered."""

    def answered(
        op: str, record_id: str | None = None, of: str = "people", link: str = "crm:1", **values: Value
    ) -> Answer:
        command = Command("sync", link, 1, "sync/l/b/1/d", op, record_id, values, {})
        (answer,) = apps.answer(Commands("crm~shop", "shop", of, (command,)), state).answers
        return answer

    return answered


def test_a_created_record_has_an_id_of_its_kind_and_is_known_as_made_up(
    apps: StandIn, store: Store, state: State, does: Does
) -> None:
    answer = does("create", mail="a@x", link="crm:7")
    assert answer.outcome == "applied"
    assert answer.values is not None
    assert answer.values == {"id": int(answer.id or ""), "mail": "a@x", "name": None}
    assert int(answer.id or "") >= FIRST
    assert (store.made_up("shop", answer.id or ""), store.made_up("shop", "1")) == ("crm:7", None)
    assert len({does("create", of="tickets").id for _ in range(3)}) == 3


def test_a_key_that_is_given_is_kept(does: Does) -> None:
    assert does("create", of="by_code", code="A,1", line=2).id == "A%2C1,2"


def test_what_a_unique_rule_forbids_is_refused_with_who_holds_it(
    apps: StandIn, store: Store, state: State, does: Does
) -> None:
    apps.took_in("shop", "people", (Row("4", {"id": 4, "mail": "a@x"}, Version(1)),))
    refused = does("create", mail="a@x")
    assert (refused.outcome, refused.category, refused.field, refused.other) == ("rejected", "duplicate", "mail", "4")
    state.put({image_key("shop", "people", "4"): encode(Image(Version(1), {"id": 4, "mail": "a@x"}, "", {}))})
    assert does("update", "4", mail="b@x").outcome == "applied"
    created = does("create", mail="a@x")
    assert created.outcome == "applied"
    assert does("update", "4", mail="a@x").other == created.id
    assert does("create", mail=None).outcome == does("create", mail=None).outcome == "applied"


def test_an_update_answers_with_the_whole_record(apps: StandIn, store: Store, state: State, does: Does) -> None:
    state.put(
        {image_key("shop", "people", "4"): encode(Image(Version(1), {"id": 4, "mail": "a", "name": "A"}, "", {}))}
    )
    answer = does("update", "4", name="B")
    assert answer.values == {"id": 4, "mail": "a", "name": "B"}
    assert answer.version is not None
    assert answer.version.newer_than(Version(10**15))


def test_the_store_is_a_sorted_map_and_keeps_what_became_of_each_record(store: Store, state: State) -> None:
    state.put({b"La": b"1", b"Lb": b"2", b"M": b"3", b"Lc": b"4"}, {b"Lb": None})
    store.state("crm").put({b"Lx": b"of another"})
    assert list(state.scan(b"L")) == [(b"La", b"1"), (b"Lc", b"4")]
    assert list(state.scan(b"L", b"Lb")) == [(b"Lc", b"4")]
    assert state.get_many([b"M", b"x"]) == [b"3", None]
    row = StatusRow("people", "crm:1", "pending")
    linked = HistoryRow("people", "crm:1", "linked", "", 0.0)
    store.note([row], [linked])
    store.note([msgspec.structs.replace(row, status="in_sync"), StatusRow("people", "shop:2", None)], [])
    found = dict(store.outcomes("people"))
    assert found["crm:1"].row == msgspec.structs.replace(row, status="in_sync")
    assert found["crm:1"].decisions == [linked]
    assert found["shop:2"].row is None
    assert list(store.outcomes("peopl")) == []


# ---------------------------------------------------------------- connections that share an account

SPOKES = ("one", "two", "three")
HUB: dict[str, Any] = {
    f"hub_{spoke}": {
        "between": {"hub": "people", spoke: "people"},
        "kind": "contact",
        "default": "hub",
        "mapping": [{"hub": "mail", spoke: "mail", "identifier": "email"}, {"hub": "name", spoke: "name"}],
    }
    for spoke in SPOKES
}


class Reading:
    """A connector that can only be read."""

    def __init__(self, *records: dict[str, Value]) -> None:
        self.records = records

    async def snapshot(self, object: str, resume: str | None) -> AsyncIterator[Page]:
        assert resume is None
        pages = tuple(Record(str(one["id"]), one, Version(3)) for one in self.records)
        yield Page(object, pages, None)


async def test_what_comes_from_one_spoke_is_announced_for_all_others_once(store: Store) -> None:
    accounts = ("hub", *SPOKES)
    objects = {account: {"people": PEOPLE} for account in accounts}
    documents = connection_documents({"syncs": HUB}, objects, (), 1)
    apps = StandIn(store, {(account, "people"): PEOPLE for account in accounts})
    connectors: Any = {account: Reading() for account in accounts}
    connectors["one"] = Reading({"id": 7, "mail": "ann@x.org", "name": "Ann"})
    connectors["three"] = Reading({"id": 9, "mail": "ann@x.org", "name": "Anna"})
    rehearsals = {
        name: (Rehearsal(name, store, apps, connectors, shared=frozenset({"hub"})), order_of(document, 1))
        for name, document in documents.items()
    }
    await rehearse(rehearsals)
    reports = {
        name: Report(store, row, list(HUB[name]["between"]), first=True)
        for rehearsal, _ in rehearsals.values()
        for name, row in rehearsal.syncs.items()
    }
    found = {
        name: [(row["outcome"], row["status"], row["matched"]) for row in report.records()]
        for name, report in reports.items()
    }
    assert found == {
        "hub_one": [("created", "in_sync", False)],
        "hub_two": [("created", "in_sync", False)],
        "hub_three": [("updated", "in_sync", True)],
    }
    (two,) = reports["hub_two"].records()
    assert two["record"] == "hub:new(one:7)"
    assert (two["hub"]["id"], two["two"]["id"]) == (None, None)
    (three,) = reports["hub_three"].records()
    assert three["three"]["fields"]["name"] == "Ann"
    assert reports["hub_three"].summary(0)[0]["updated"] == {"hub": 0, "three": 1}
