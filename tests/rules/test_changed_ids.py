"""Section 6: a record that gets another id keeps its link."""

from __future__ import annotations

import msgspec
import pytest

from rules.catalog import Capabilities
from rules.events import Captured, Row
from tests.rules.linked import SIDES, linked_pairs
from tests.rules.world import CUSTOMERS, deals, people

# ---------------------------------------------------------------- kept


@SIDES
def test_a_changed_id_keeps_the_link(side: str) -> None:
    world = linked_pairs()
    app, other = (world.left, world.right) if side == "crm" else (world.right, world.left)
    app.renumber("1", "50")
    world.settle()
    assert world.stands(side, "50") == ("in_sync", None)
    assert len(world.rows()) == 1
    field, theirs = ("name", "full_name") if side == "crm" else ("full_name", "name")
    app.edit("50", **{field: "A"})
    world.settle()
    assert other.records["1"][theirs] == "A"
    other.edit("1", **{theirs: "B"})
    world.settle()
    assert app.records["50"][field] == "B"
    assert (len(world.left.records), len(world.right.records)) == (1, 1)


def test_a_change_from_before_its_id_was_changed_comes_again_and_brings_nothing_back() -> None:
    world = linked_pairs()
    world.left.edit("1", phone="7")
    again = world.left.log[0][1]
    world.left.renumber("1", "50")
    world.settle()
    world.inbox.append(Captured("crm", "contacts", (again,)))
    world.settle()
    assert len(world.rows()) == len(world.right.records) == 1


def test_an_id_changed_while_a_command_is_on_its_way_loses_nothing() -> None:
    world = linked_pairs()
    world.left.edit("1", name="New")
    world.take("crm")
    world.right.renumber("1", "50")
    world.deliver()  # it meets no record 1
    world.settle()
    assert world.stands("shop", "50") == ("in_sync", None)
    assert world.right.records["50"]["full_name"] == "New"


def test_an_id_changed_just_before_a_full_read_that_tells_of_it_first_keeps_the_link() -> None:
    world = linked_pairs()
    world.left.renumber("1", "50")
    world.order("resync")
    world.think_all()
    while world.deliver():
        pass
    world.think()
    world.capture_all("crm")
    world.inbox.rotate(1)  # between the pages and what follows from them
    world.settle()
    assert world.stands("crm", "50") == ("in_sync", None)
    assert len(world.rows()) == 1


def test_an_id_changed_while_a_command_is_on_its_way_and_told_by_a_read_first_keeps_the_link() -> None:
    world = linked_pairs()
    world.left.edit("1", name="New")
    world.take("crm")
    world.right.renumber("1", "50")
    world.deliver()
    world.think_all()
    assert world.stands("crm", "1") == ("failing", "deleted")
    world.inbox.append(Captured("shop", "customers", world.right.page(["50"])))
    world.think_all()
    world.settle()
    assert world.stands("shop", "50") == ("in_sync", None)
    assert len(world.rows()) == 1


def test_an_id_changed_before_the_old_one_was_looked_for_in_vain_keeps_the_link() -> None:
    world = deals()
    world.left.create(name="Ann")
    world.start()
    world.right.renumber("1", "50")
    world.inbox.append(Captured("shop", "customers", (Row("1", {}, world.right.version(), "delete"),)))
    world.think_all()
    assert world.stands("crm", "1") == ("failing", "deleted")
    world.settle()
    assert world.of("crm", "1").sides["shop"].id == "50"
    assert len(world.rows()) == len(world.left.records) == 1
    world.right.edit("50", full_name="B")
    world.settle()
    assert world.left.records["1"]["name"] == "B"


@pytest.mark.parametrize("capture", ["log", "token"])
def test_an_id_changed_while_a_command_is_on_its_way_is_taken_for_a_deletion_by_nobody(capture: str) -> None:
    world = people()
    world.right.object = msgspec.structs.replace(CUSTOMERS, capabilities=Capabilities(capture=capture))
    linked_pairs(world)
    world.right.create(mail="2@x.io", full_name="Bob")
    world.settle()
    world.left.delete("2")
    world.left.edit("1", email="2@x.io")
    world.take("crm")
    world.right.renumber("1", "50")
    world.deliver()
    world.think_all()
    world.left.create(email="1@x.io")
    world.settle()
    assert world.of("crm", "1").sides["shop"].id == "50"


def test_an_id_that_was_used_before_by_a_forgotten_record_is_taken_for_what_it_is() -> None:
    world = linked_pairs(count=2)
    for app in (world.left, world.right):
        app.delete("2")
        world.settle()
    world.left.renumber("1", "2")
    world.settle()
    assert world.stands("crm", "2") == ("in_sync", None)
    assert len(world.rows()) == 1


def test_two_records_that_exchange_their_ids_keep_their_links() -> None:
    world = linked_pairs(count=2)
    world.left.renumber("1", "9")
    world.left.renumber("2", "1")
    world.left.renumber("9", "2")
    world.take("crm")
    world.settle()
    assert world.written() == 2
    assert {row.sides["crm"].id: row.sides["shop"].id for row in world.rows().values()} == {"2": "1", "1": "2"}


def test_a_record_made_under_the_id_that_another_gave_up_is_shown_beside_it() -> None:
    world = linked_pairs()
    world.left.renumber("1", "50")
    world.settle()
    world.left.revive("1", name="no mail")
    world.settle()
    assert world.stands("crm", "50") == ("in_sync", None)
    assert world.stands("crm", "1") == ("excluded", "no_identifier")
    world.left.delete("50")
    world.settle()
    world.right.delete("1")
    world.settle()
    assert len(world.rows()) == 1
    world.left.edit("1", name="still no mail")
    world.settle()
    assert world.stands("crm", "1") == ("excluded", "no_identifier")
    world.left.edit("1", email="a@x.io")
    world.settle()
    assert list(world.rows()) == ["crm:1"]
