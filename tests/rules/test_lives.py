"""Deletion, restore and merge (section 6), where one rule alone keeps a record from being made twice, or a value from being lost."""

from __future__ import annotations

import pytest

from tests.rules.world import MAPPING, deals, people

SIDES = pytest.mark.parametrize("side", ["crm", "shop"])


@SIDES
def test_without_identifiers_a_restore_that_is_asked_for_while_it_is_on_its_way_creates_one_record(side: str) -> None:
    world = deals()
    world.left.create(name="Deal")
    world.start()
    app = world.left if side == "crm" else world.right
    app.delete("1")
    world.settle()
    for records in ((), (f"{side}:1",), ()):
        world.order("restore", records=records, into=side)
        world.think_all()
    world.settle()
    assert list(app.records) == ["2"]
    assert len(world.left.records) == len(world.right.records) == 1
    assert world.stands(side, "2") == ("in_sync", None)


def test_an_edit_of_a_filled_field_that_had_not_travelled_before_the_deletion_travels_after_the_restore() -> None:
    world = people()
    world.left.create(email="a@x.io", name="Ann")
    world.start()
    world.account("shop", up=False)
    world.left.edit("1", name="Anna")
    world.settle()
    world.left.delete("1")
    world.settle()
    world.account("shop", up=True)
    world.settle()
    assert world.right.records["1"]["full_name"] == "Ann"
    world.order("restore", into="crm")
    world.settle()
    assert world.left.records["2"]["name"] == "Anna"
    assert world.right.records["1"]["full_name"] == "Anna"


def test_under_propagate_a_record_that_was_kept_out_takes_the_place_of_a_deleted_one_and_the_counterpart_stays() -> (
    None
):
    inside = {"crm": [{"field": "name", "op": "ne", "value": "out"}]}
    world = people(deletes="propagate", filters=inside)
    world.left.create(email="a@x.io", name="Ann")
    world.start()
    world.left.create(email="a@x.io", name="out")
    world.settle()
    world.left.delete("1")
    world.settle()
    assert list(world.right.records) == ["1"]
    assert world.stands("crm", "2") == ("in_sync", None)


def test_deletions_of_different_minutes_add_up_within_ten() -> None:
    world = people(deletes="propagate", max_deletes=2)
    for number in range(1, 5):
        world.left.create(email=f"{number}@x.io")
    world.start()
    for number in range(1, 5):
        world.left.delete(str(number))
        world.clock(120)
    assert list(world.right.records) == ["3", "4"]
    assert world.syncs["people"].state == "stopped"


@pytest.mark.parametrize("orders", [("retry", "confirm"), ("confirm", "retry"), ("retry", "retry", "confirm")])
def test_a_counterpart_that_was_edited_meanwhile_stays_whatever_is_asked_after_the_other(
    orders: tuple[str, ...],
) -> None:
    world = people(deletes="propagate")
    world.left.create(email="a@x.io")
    world.start()
    world.right.records["1"]["memo"] = "unseen"  # a field that no mapping names, told of after the deletion
    world.left.delete("1")
    world.take("crm")
    world.right.report("1")
    world.settle()
    for action in orders:
        world.order(action)
        world.settle()
    assert list(world.right.records) == ["1"]
    row = world.of("shop", "1")
    assert (row.status, row.category) == ("failing", "deleted")
    assert "edited meanwhile" in (row.message or "")


def test_a_record_with_another_id_that_a_write_does_not_find_costs_its_counterpart_nothing() -> None:
    world = people(deletes="propagate", mapping=MAPPING[:2])
    world.left.create(email="a@x.io", phone="600")
    world.start()
    world.right.renumber("1", "7")  # the log has not told yet when the new mapping is filled
    world.edit_rules(mapping=MAPPING)
    assert list(world.left.records) == ["1"]
    assert world.right.records["7"]["tel"] == "600"
    assert world.stands("crm", "1") == ("in_sync", None)


@pytest.mark.parametrize("empty", ["keep", "propagate"])
def test_what_was_on_its_way_from_a_loser_fills_the_survivor_that_never_had_it(empty: str) -> None:
    world = people(empty=empty)
    world.left.create(email="a@x.io")
    world.left.create(name="Ann")  # without an email it does not enter
    world.start()
    world.left.edit("1", phone="600")
    world.take("crm")
    world.left.merge("1", "2")
    world.take("crm")
    world.settle()
    assert world.right.records["1"]["tel"] == "600"
    assert world.left.records["2"]["phone"] == "600"
    assert world.stands("crm", "2") == ("in_sync", None)
