"""Pairs that the state has forgotten, brought back by an order that carries their images."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rules.catalog import Field, FieldType, Kind, Object, Value
from tests.rules.world import App, World, people, text, whole

Image = dict[str, Value]


def pair(left: tuple[str, Image], right: tuple[str, Image]) -> dict[str, Any]:
    sides = {account: {"id": one[0], "values": one[1]} for account, one in (("crm", left), ("shop", right))}
    return {"sides": sides, "names": [f"crm:{left[0]}", f"shop:{right[0]}"]}


def lost(world: World, left: str, right: str) -> dict[str, Any]:
    """A pair as it stands now, before it is deleted."""
    return pair((left, dict(world.left.records[left])), (right, dict(world.right.records[right])))


def both_deleted(world: World, *ids: tuple[str, str]) -> list[dict[str, Any]]:
    pairs = [lost(world, *one) for one in ids]
    for left, right in ids:
        world.left.delete(left)
        world.right.delete(right)
    world.settle()
    world.clock(700)
    world.clock(700)
    return pairs


def replay(world: World, pairs: list[dict[str, Any]], into: str = "crm", sync: str = "people") -> World:
    world.order("restore", sync, into=into, replay=json.dumps(pairs))
    return world


def ann(**changes: Any) -> World:
    world = people(**changes)
    world.left.create(email="ann@x.org", name="Ann", phone="1", notes="of the CRM")
    world.right.create(mail="ann@x.org", full_name="Ann", tel="1", memo="of the shop")
    return world.start()


@pytest.mark.parametrize("into", ["crm", "shop"])
def test_both_records_come_back_whole_and_linked_to_each_other(into: str) -> None:
    world = ann()
    pairs = both_deleted(world, ("1", "1"))
    assert world.rows() == {}
    replay(world, pairs, into).settle()
    assert [one["notes"] for one in world.left.records.values()] == ["of the CRM"]
    assert [one["memo"] for one in world.right.records.values()] == ["of the shop"]
    (row,) = world.rows().values()
    assert (row.status, row.sides["crm"].id, row.sides["shop"].id) == ("in_sync", "2", "2")
    world.left.edit("2", phone="9")
    world.settle()
    assert world.right.records["2"]["tel"] == "9"


def test_however_often_it_is_asked_each_comes_back_once() -> None:
    world = ann()
    pairs = both_deleted(world, ("1", "1"))
    replay(replay(world, pairs), pairs, "shop").settle()
    replay(world, pairs).settle()
    world.clock(700)
    replay(world, pairs).settle()
    assert (len(world.left.records), len(world.right.records)) == (1, 1)


@pytest.mark.parametrize("stopped_after", range(1, 9))
def test_interrupted_anywhere_it_goes_on_and_comes_back_once(stopped_after: int) -> None:
    """All outputs of the last decision come a second time, as after a kill; and it is asked for again."""
    world = ann()
    pairs = both_deleted(world, ("1", "1"))
    replay(world, pairs)
    for _ in range(stopped_after):
        if world.inbox:
            decision = world.think_of(world.inbox[0])
            world.think()
            world.emit(decision)
        else:
            world.deliver()
    replay(world, pairs, "shop").settle()
    assert (len(world.left.records), len(world.right.records)) == (1, 1)
    assert [row.status for row in world.rows().values()] == ["in_sync"]


def test_deleted_again_it_is_brought_back_again() -> None:
    world = ann()
    pairs = both_deleted(world, ("1", "1"))
    replay(world, pairs).settle()
    pairs = [pairs[0] | lost(world, "2", "2")]
    again = both_deleted(world, ("2", "2"))
    assert again == pairs
    replay(world, again).settle()
    assert (len(world.left.records), len(world.right.records)) == (1, 1)


def test_a_pair_of_which_any_name_is_in_use_is_left_alone() -> None:
    world = ann()
    zoe: list[Image] = [
        dict(world.left.records["1"], email="zoe@x.org"),
        dict(world.right.records["1"], mail="zoe@x.org"),
    ]
    other = pair(("8", zoe[0]), ("9", zoe[1]))
    replay(world, [other | {"names": ["crm:8", "shop:9", "shop:1"]}]).settle()
    assert world.written() == 0
    replay(world, [other | {"names": ["crm:8", "shop:9", "shop:2"]}]).settle()
    assert world.written() == 2


def test_what_is_there_is_left_alone() -> None:
    world = ann()
    pairs = [lost(world, "1", "1")]
    replay(world, pairs).settle()
    assert world.written() == 0
    world.right.delete("1")
    world.settle()
    replay(world, pairs).settle()
    assert world.stands("crm", "1") == ("failing", "deleted")


@pytest.mark.parametrize("into", ["crm", "shop"])
def test_an_unlinked_record_with_its_identifier_is_linked_instead(into: str) -> None:
    world = ann(filters={"shop": [{"field": "memo", "op": "is_not_empty"}]})
    pairs = both_deleted(world, ("1", "1"))
    world.right.create(mail="ann@x.org", full_name="Another", tel="2")
    world.settle()
    assert world.stands("shop", "2") == ("excluded", "filter")
    replay(world, pairs, into).settle()
    assert (len(world.left.records), list(world.right.records)) == (1, ["2"])
    assert [row.status for row in world.rows().values()] == ["in_sync"]


def test_the_source_of_a_one_way_sync_is_refused_and_its_target_comes_back_alone() -> None:
    world = ann(direction="to shop")
    pairs = both_deleted(world, ("1", "1"))
    replay(world, pairs, "crm").settle()
    assert (world.left.records, world.right.records) == ({}, {})
    assert world.history[-1].action == "refused"
    replay(world, pairs, "shop").settle()
    assert (len(world.left.records), len(world.right.records)) == (0, 1)
    assert [(row.status, row.category) for row in world.rows().values()] == [("failing", "deleted")]


def test_an_account_that_is_down_gets_its_records_when_it_is_back() -> None:
    world = ann()
    pairs = both_deleted(world, ("1", "1"))
    replay(world, pairs)
    world.account("shop", up=False)
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (1, 0)
    world.account("shop", up=True)
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (1, 1)
    assert [row.status for row in world.rows().values()] == ["in_sync"]


def test_an_account_that_goes_down_with_the_create_on_its_way_makes_it_once() -> None:
    world = ann()
    pairs = both_deleted(world, ("1", "1"))
    replay(world, pairs)
    world.account("crm", up=False)
    world.think_all()
    world.settle()
    assert world.left.records == {}
    world.account("crm", up=True)
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (1, 1)


def test_a_refused_record_shows_why_and_comes_back_when_that_is_mended() -> None:
    world = ann()
    pairs = both_deleted(world, ("1", "1"))
    world.right.refuse = lambda command, stored: ("permission", "not allowed")
    replay(world, pairs).settle()
    assert [(row.status, row.category) for row in world.rows().values()] == [("failing", "permission")]
    world.right.refuse = lambda command, stored: None
    world.order("retry")
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (1, 1)
    assert [row.status for row in world.rows().values()] == ["in_sync"]


# ---------------------------------------------------------------- references

REFERENCE = FieldType(Kind.INTEGER, native="int8", bits=64)
FIRMS = Object("firms", (whole("id", nullable=False, read_only=True), text("name")), ("id",))
STAFF = Object(
    "staff",
    (
        whole("id", nullable=False, read_only=True),
        text("email"),
        Field("firm", REFERENCE, references="firms"),
        Field("boss", REFERENCE, references="staff"),
    ),
    ("id",),
)
SYNCS: dict[str, Any] = {
    "firms": {
        "between": {"crm": "firms", "shop": "firms"},
        "kind": "company",
        "default": "crm",
        "mapping": [{"crm": "name", "shop": "name", "identifier": "name"}],
    },
    "staff": {
        "between": {"crm": "staff", "shop": "staff"},
        "kind": "contact",
        "default": "crm",
        "mapping": [
            {"crm": "email", "shop": "email", "identifier": "email"},
            {"crm": "firm", "shop": "firm", "association": "firms"},
            {"crm": "boss", "shop": "boss", "association": "staff"},
        ],
    },
}


def company() -> tuple[World, App, App, App, App]:
    """A firm with a boss and two who work for her; ids differ by side."""
    first, second = App("crm", FIRMS), App("shop", FIRMS)
    crm, shop = App("crm", STAFF, first.journal), App("shop", STAFF, second.journal)
    world = World(first, second, crm, shop, syncs=SYNCS)
    second.next_id, shop.next_id = 50, 70
    first.create(name="Acme")
    crm.create(email="boss@x.org", firm=1)
    crm.create(email="ann@x.org", firm=1, boss=1)
    crm.create(email="bob@x.org", firm=1, boss=2)
    world.start()
    world.clock()
    assert shop.records["72"]["boss"] == 71
    return world, first, second, crm, shop


def all_lost(world: World, *apps: App) -> dict[str, list[dict[str, Any]]]:
    """Everything is deleted on both sides; the pairs by sync."""
    first, second, crm, shop = apps
    firms = [pair(("1", dict(first.records["1"])), ("50", dict(second.records["50"])))]
    staff = [
        pair((one, dict(crm.records[one])), (other, dict(shop.records[other])))
        for one, other in (("1", "70"), ("2", "71"), ("3", "72"))
    ]
    for app in (crm, shop, first, second):
        for record_id in list(app.records):
            app.delete(record_id)
    world.settle()
    world.clock(700)
    world.clock(700)
    assert world.statuses == {}
    return {"firms": firms, "staff": staff}


@pytest.mark.parametrize("order", [("firms", "staff"), ("staff", "firms")])
@pytest.mark.parametrize("backwards", [False, True])
def test_references_among_what_comes_back_name_the_new_records_in_any_order(
    order: tuple[str, str], backwards: bool
) -> None:
    world, first, second, crm, shop = company()
    pairs = all_lost(world, first, second, crm, shop)
    for name in order:
        for one in reversed(pairs[name]) if backwards else pairs[name]:
            replay(world, [one], "shop", name)
        world.settle()
    world.settle()
    for app, firms in ((crm, first), (shop, second)):
        (firm,) = firms.records
        by_email = {str(one["email"]): one for one in app.records.values()}
        assert len(by_email) == len(app.records) == 3
        assert {one["firm"] for one in by_email.values()} == {int(firm)}
        assert by_email["ann@x.org"]["boss"] == by_email["boss@x.org"]["id"]
        assert by_email["bob@x.org"]["boss"] == by_email["ann@x.org"]["id"]
        assert by_email["boss@x.org"]["boss"] is None
    assert {row.status for row in world.statuses.values()} == {"in_sync"}


def test_a_reference_to_a_record_that_is_there_is_kept() -> None:
    world, _, _, crm, shop = company()
    pairs = [pair(("1", dict(crm.records["1"])), ("70", dict(shop.records["70"])))]
    crm.delete("1")
    shop.delete("70")
    world.settle()
    world.clock(700)
    replay(world, pairs, "crm", "staff").settle()
    assert [one["firm"] for one in crm.records.values()] == [1, 1, 1]
    assert [one["firm"] for one in shop.records.values()] == [50, 50, 50]


def test_a_pair_without_one_of_its_sides_is_no_pair() -> None:
    world = ann()
    both_deleted(world, ("1", "1"))
    replay(world, [{"sides": {"crm": {"id": "1", "values": {"email": "ann@x.org"}}}}]).settle()
    assert world.left.records == {}
