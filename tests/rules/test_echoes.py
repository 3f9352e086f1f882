"""What answers and the log tell of our own writes, in whatever order they come (section 4)."""

from __future__ import annotations

import pytest

from rules.events import Answer, Captured, Results, Row
from rules.version import Version
from tests.rules.linked import linked
from tests.rules.world import people


@pytest.mark.parametrize("first", ["echo", "answer"])
@pytest.mark.parametrize("op", ["create", "update"])
def test_the_echo_of_our_write_changes_nothing_whether_it_comes_before_the_answer_or_after(first: str, op: str) -> None:
    world = people().start()
    world.left.create(email="a@x.io", name="Ann")
    if op == "update":
        world.settle()
        world.left.edit("1", name="Anna")
    world.take("crm")
    world.deliver()
    if first == "echo":
        world.capture_all("shop")
        world.inbox.rotate(1)
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)
    assert world.written() == (1 if op == "create" else 2)
    assert (len(world.left.records), len(world.right.records)) == (1, 1)


def test_an_answer_that_comes_twice_changes_nothing() -> None:
    world = people().start()
    world.left.create(email="a@x.io", name="Ann")
    world.take("crm")
    world.deliver()
    answer = world.inbox[0]
    world.settle()
    world.right.edit("1", full_name="Bob")
    world.settle()
    world.inbox.append(answer)
    world.settle()
    assert (world.left.records["1"]["name"], world.right.records["1"]["full_name"]) == ("Bob", "Bob")


def test_the_late_echo_of_the_first_of_three_quick_edits_undoes_nothing() -> None:
    world = linked()
    for name in ("one", "two", "three"):
        world.left.edit("1", name=name)
        world.take("crm")
        world.deliver()
        world.think_all()
    assert world.right.records["1"]["full_name"] == "three"
    assert len(world.right.log) == 3
    world.settle()  # now the three echoes come by
    assert (world.left.records["1"]["name"], world.right.records["1"]["full_name"]) == ("three", "three")
    assert world.left.writes == []


def test_an_image_older_than_the_links_own_changes_nothing() -> None:
    world = linked()
    world.left.edit("1", name="new")
    world.settle()
    old = Row("1", {**world.left.records["1"], "name": "old"}, Version(1), committed_at=1.0)
    world.inbox.append(Captured("crm", "contacts", (old,)))
    world.settle()
    assert world.right.records["1"]["full_name"] == "new"


def test_what_was_put_back_right_after_our_write_by_somebody_else_is_an_edit() -> None:
    world = linked()
    world.left.edit("1", name="Anna")
    world.take("crm")
    world.deliver()
    answer = world.inbox.popleft()
    world.right.edit("1", full_name="Ann")
    while len(world.right.log) > 1:
        world.right.log.popleft()  # a connector that polls tells of the last state only
    world.take("shop")
    world.inbox.append(answer)
    world.settle()
    assert (world.left.records["1"]["name"], world.right.records["1"]["full_name"]) == ("Ann", "Ann")


def test_the_form_in_which_the_app_stores_our_value_starts_no_ping_pong() -> None:
    world = people()
    world.right.stored_form = lambda values: {
        key: value.replace(" ", "") if isinstance(value, str) else value for key, value in values.items()
    }
    world.left.create(email="a@x.io", name="Ann", phone="+34 600")
    world.start()
    assert (world.left.records["1"]["phone"], world.right.records["1"]["tel"]) == ("+34 600", "+34600")
    assert world.written() == 1
    world.left.edit("1", phone="+34 601")
    world.settle()
    assert (world.written(), world.left.records["1"]["phone"]) == (2, "+34 601")
    world.right.edit("1", tel="+35 1")
    world.settle()
    assert (world.left.records["1"]["phone"], world.written()) == ("+351", 3)


def test_an_answer_to_an_earlier_link_of_the_same_name_is_not_taken_for_its_own() -> None:
    world = people().start()
    world.left.create(email="a@x.io", name="Ann")
    world.take("crm")
    lost = world.commands.popleft()
    (first,) = lost.commands
    world.document["syncs"] = {}
    world.apply()
    world.settle()
    world.document["syncs"] = people().document["syncs"]
    world.apply()
    world.settle()
    world.left.edit("1", name="Anna")
    world.take("crm")
    (again,) = world.commands[0].commands
    assert again.link == first.link
    assert again.sequence > first.sequence
    late = Answer(first.sync, first.link, first.sequence, "rejected", category="unknown", message="late")
    world.inbox.append(Results("shop", "customers", (late,)))
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)


@pytest.mark.parametrize("first", ["answer", "echo"])
@pytest.mark.parametrize("op", ["create", "update"])
def test_an_edit_right_after_our_write_is_not_lost_when_the_command_is_answered_once_more(first: str, op: str) -> None:
    world = people().start()
    world.left.create(email="a@x.io", name="Ann")
    if op == "update":
        world.settle()
        world.left.edit("1", name="Anna")
    world.take("crm")
    order = world.commands[0]
    world.deliver()
    world.inbox.clear()  # whoever did it ended before he could say so
    world.right.edit("1", full_name="edited")
    world.commands.append(order)  # it is delivered again, and answered with the record as it stands
    world.deliver()
    if first == "echo":
        world.capture("shop")
        world.inbox.rotate(1)
    world.settle()
    assert (world.left.records["1"]["name"], world.right.records["1"]["full_name"]) == ("edited", "edited")


@pytest.mark.parametrize("when", ["before the answer", "after the answer", "while the sync is off"])
def test_nor_is_it_lost_when_the_log_that_would_have_told_is(when: str) -> None:
    world = people(default="crm")
    world.left.create(email="a@x.io", name="Ann")
    world.start()
    world.left.edit("1", name="Anna")
    world.take("crm")
    order = world.commands[0]
    world.deliver()
    world.inbox.clear()
    world.right.edit("1", full_name="edited")
    if when != "before the answer":
        world.commands.append(order)
        world.deliver()
        world.think_all()
    if when == "while the sync is off":
        world.off = ["people"]
        world.apply()
    world.lose_log("shop")
    world.settle()
    if when == "before the answer":
        world.commands.append(order)
    world.turn(on=True)
    assert (world.left.records["1"]["name"], world.right.records["1"]["full_name"]) == ("edited", "edited")


def test_nor_is_it_lost_when_another_field_is_written_before_the_log_tells() -> None:
    world = people(default="crm")
    world.left.create(email="a@x.io", name="Ann", phone="1")
    world.start()
    world.left.edit("1", name="Anna")
    world.take("crm")
    order = world.commands[0]
    world.deliver()
    world.inbox.clear()
    world.right.edit("1", full_name="edited")
    world.commands.append(order)
    world.deliver()
    world.think_all()
    world.left.edit("1", phone="2")
    world.take("crm")
    world.deliver()
    world.think_all()
    world.settle()
    assert (world.left.records["1"]["name"], world.right.records["1"]["full_name"]) == ("edited", "edited")


def test_nor_when_the_log_of_the_other_account_is_lost() -> None:
    world = people(default="crm")
    world.left.create(email="a@x.io", name="Ann")
    world.start()
    world.left.edit("1", name="Anna")
    world.take("crm")
    order = world.commands[0]
    world.deliver()
    world.inbox.clear()
    world.right.edit("1", full_name="edited")
    world.commands.append(order)
    world.lose_log("crm")
    while world.deliver() or world.think():
        pass  # the read is through before the log of the other account tells
    world.settle()
    assert (world.left.records["1"]["name"], world.right.records["1"]["full_name"]) == ("edited", "edited")


def test_a_place_that_became_free_while_a_command_was_on_its_way_is_filled_when_its_echo_is_the_answer() -> None:
    world = linked()
    world.left.create(email="a@x.io", name="twin")
    world.settle()
    world.left.edit("1", name="Anna")
    world.take("crm")
    world.deliver()
    answer = world.inbox.popleft()
    world.left.delete("1")
    world.take("crm")
    assert world.stands("crm", "2") == ("pending", None)
    world.take("shop")
    world.inbox.append(answer)
    world.settle()
    assert world.stands("crm", "2") == ("in_sync", None)


def test_the_echo_of_an_update_is_as_good_as_its_answer() -> None:
    world = linked()
    world.left.edit("1", name="Anna")
    world.take("crm")
    world.deliver()
    world.inbox.clear()  # the answer is lost
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)


@pytest.mark.parametrize("op", ["create", "update"])
@pytest.mark.parametrize("told", [True, False])
def test_an_answer_to_a_command_whose_record_has_gone_since_shows_the_deletion(op: str, told: bool) -> None:
    world = people().start()
    world.left.create(email="a@x.io", name="Ann")
    if op == "update":
        world.settle()
        world.left.edit("1", name="Anna")
    world.take("crm")
    order = world.commands[0]
    world.deliver()
    world.inbox.clear()
    if told:
        world.take("shop")
    world.right.delete("1")
    if told:
        world.take("shop")
    world.commands.append(order)  # delivered again, and answered without a record
    world.deliver()
    world.settle()
    assert world.stands("crm", "1") == ("failing", "deleted")


def test_a_create_whose_record_has_gone_before_anything_was_told_is_looked_for() -> None:
    world = people().start()
    world.left.create(email="a@x.io", name="Ann")
    world.take("crm")
    order = world.commands[0]
    world.deliver()
    world.inbox.clear()
    world.right.delete("1")
    world.right.log.clear()
    world.commands.append(order)
    world.settle()
    assert world.stands("crm", "1") == ("failing", "deleted")
