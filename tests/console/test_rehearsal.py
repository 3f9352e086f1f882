"""The parts of a rehearsal: its store, and the stand-in for accounts."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from console.rehearsal.stand_in import FIRST, StandIn
from console.rehearsal.store import Store
from rules.catalog import Field, FieldType, Kind, Object, Value
from rules.events import Answer, Command, Commands, HistoryRow, Row, StatusRow
from rules.state import Image, encode, image_key
from rules.version import Version

TEXT, WHOLE = FieldType(Kind.TEXT), FieldType(Kind.INTEGER)
PEOPLE = Object("people", (Field("id", WHOLE), Field("mail", TEXT), Field("name", TEXT)), ("id",), unique=(("mail",),))
KEYED = Object("by_code", (Field("code", TEXT), Field("line", WHOLE)), ("code", "line"))
WITH_UUID = Object("tickets", (Field("id", FieldType(Kind.UUID)),), ("id",))


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as store:
        yield store


@pytest.fixture
def apps(store: Store) -> StandIn:
    return StandIn(store, {("shop", one.name): one for one in (PEOPLE, KEYED, WITH_UUID)})


def does(
    apps: StandIn, op: str, record_id: str | None = None, of: str = "people", link: str = "crm:1", **values: Value
) -> Answer:
    command = Command("sync", link, 1, "sync/l/b/1/d", op, record_id, values, {})
    (answer,) = apps.answer(Commands("crm~shop", "shop", of, (command,))).answers
    return answer


def test_a_created_record_has_an_id_of_its_kind_and_is_known_as_made_up(apps: StandIn, store: Store) -> None:
    answer = does(apps, "create", mail="a@x", link="crm:7")
    assert answer.outcome == "applied"
    assert answer.values is not None
    assert answer.values == {"id": int(answer.id or ""), "mail": "a@x", "name": None}
    assert int(answer.id or "") >= FIRST
    assert (store.made_up("shop", answer.id or ""), store.made_up("shop", "1")) == ("crm:7", None)
    assert len({does(apps, "create", of="tickets").id for _ in range(3)}) == 3


def test_a_key_that_is_given_is_kept(apps: StandIn) -> None:
    assert does(apps, "create", of="by_code", code="A,1", line=2).id == "A%2C1,2"


def test_what_a_unique_rule_forbids_is_refused_with_who_holds_it(apps: StandIn, store: Store) -> None:
    apps.took_in("shop", "people", (Row("4", {"id": 4, "mail": "a@x"}, Version(1)),))
    refused = does(apps, "create", mail="a@x")
    assert (refused.outcome, refused.category, refused.field, refused.other) == ("rejected", "duplicate", "mail", "4")
    store.put({image_key("shop", "people", "4"): encode(Image(Version(1), {"id": 4, "mail": "a@x"}, "", {}))})
    assert does(apps, "update", "4", mail="b@x").outcome == "applied"
    created = does(apps, "create", mail="a@x")
    assert created.outcome == "applied"
    assert does(apps, "update", "4", mail="a@x").other == created.id
    assert does(apps, "create", mail=None).outcome == does(apps, "create", mail=None).outcome == "applied"


def test_an_update_answers_with_the_whole_record(apps: StandIn, store: Store) -> None:
    store.put(
        {image_key("shop", "people", "4"): encode(Image(Version(1), {"id": 4, "mail": "a", "name": "A"}, "", {}))}
    )
    answer = does(apps, "update", "4", name="B")
    assert answer.values == {"id": 4, "mail": "a", "name": "B"}
    assert answer.version is not None
    assert answer.version.newer_than(Version(10**15))


def test_the_store_is_a_sorted_map_and_keeps_what_became_of_each_record(store: Store) -> None:
    store.put({b"La": b"1", b"Lb": b"2", b"M": b"3", b"Lc": b"4"}, {b"Lb": None})
    assert list(store.scan(b"L")) == [(b"La", b"1"), (b"Lc", b"4")]
    assert list(store.scan(b"L", b"Lb")) == [(b"Lc", b"4")]
    assert store.get_many([b"M", b"x"]) == [b"3", None]
    row = StatusRow("people", "crm:1", "pending")
    linked = HistoryRow("people", "crm:1", "linked", "", 0.0)
    store.note([row], [linked])
    store.note([msgspec.structs.replace(row, status="in_sync"), StatusRow("people", "shop:2", None)], [])
    found = dict(store.outcomes("people"))
    assert found["crm:1"].row == msgspec.structs.replace(row, status="in_sync")
    assert found["crm:1"].decisions == [linked]
    assert found["shop:2"].row is None
    assert list(store.outcomes("peopl")) == []
