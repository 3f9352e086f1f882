"""Section 6: what was deleted comes back, once, under a new id."""

from __future__ import annotations

import pytest

from tests.rules.linked import SIDES, linked_pairs
from tests.rules.world import CUSTOMERS, changed, deals, people


@SIDES
def test_restore_creates_one_record_anew_from_its_last_known_whole(side: str) -> None:
    world = linked_pairs(count=2)
    app, extra = (world.left, "notes") if side == "crm" else (world.right, "memo")
    before = dict(app.records["1"])
    app.delete("1")
    app.delete("2")
    world.settle()
    world.order("restore", records=(f"{side}:1",), into=side)
    world.settle()
    assert app.records == {"3": {**before, "id": 3}}
    assert app.records["3"][extra], "also what no mapping names"
    assert world.stands(side, "3") == ("in_sync", None)
    assert world.stands(side, "2") == ("failing", "deleted")


@SIDES
def test_restore_of_all_creates_each_once_however_often_it_is_asked(side: str) -> None:
    world = linked_pairs(count=5)
    app = world.left if side == "crm" else world.right
    for number in ("1", "2", "3"):
        app.delete(number)
    world.settle()
    for _ in range(3):
        world.order("restore", into=side)
        world.think()
    world.settle()
    world.order("restore", into=side)
    world.settle()
    assert len(app.records) == 5
    assert {row.status for row in world.rows().values()} == {"in_sync"}


def test_an_edit_that_had_not_travelled_before_the_deletion_travels_after_the_restore() -> None:
    world = linked_pairs()
    world.left.edit("1", phone="unseen")
    world.left.delete("1")
    world.take("crm")
    world.commands.clear()
    world.clock(301)
    world.order("restore", into="crm")
    world.settle()
    assert world.left.records["2"]["phone"] == "unseen"
    assert world.right.records["1"]["tel"] == "unseen"


def test_restore_named_by_its_counterpart_does_the_same() -> None:
    world = linked_pairs()
    world.right.delete("1")
    world.settle()
    world.order("restore", records=("crm:1",), into="shop")
    world.settle()
    assert list(world.right.records) == ["2"]


@pytest.mark.parametrize("lost", ["command", "answer"])
def test_restore_interrupted_makes_one_record(lost: str) -> None:
    world = linked_pairs()
    world.right.delete("1")
    world.settle()
    world.order("restore", into="shop")
    world.think_all()
    if lost == "command":
        world.commands.clear()
    else:
        world.deliver()
        world.inbox.clear()
    world.order("restore", into="shop")
    world.clock(301)
    assert len(world.right.records) == 1
    assert world.stands("crm", "1") == ("in_sync", None)


def test_restore_that_meets_an_unlinked_record_with_the_identifier_links_it_instead() -> None:
    world = linked_pairs()
    world.right.delete("1")
    world.settle()
    world.order("restore", into="shop")
    world.think_all()
    world.right.create(mail="1@x.io", full_name="There")
    world.settle()
    assert list(world.right.records) == ["2"]
    assert world.stands("shop", "2") == ("in_sync", None)
    assert world.right.records["2"]["full_name"] == "Ann 1", "merged as at linking: the default side wins"


def test_what_comes_back_after_a_restore_has_met_another_record_is_shown_beside_that() -> None:
    world = linked_pairs()
    world.right.delete("1")
    world.settle()
    world.order("restore", into="shop")
    world.think_all()
    world.right.create(mail="1@x.io", full_name="There")
    world.settle()
    world.right.revive("1", mail="1@x.io", full_name="Old")
    world.settle()
    assert world.stands("shop", "1") == ("failing", "duplicate")
    assert world.stands("shop", "2") == ("in_sync", None)
    assert world.right.records["2"]["full_name"] == "Ann 1"


def test_restore_into_the_source_of_a_one_way_sync_is_refused() -> None:
    world = linked_pairs(people(direction="to shop"))
    world.left.delete("1")
    world.settle()
    world.order("restore", into="crm")
    world.settle()
    assert not world.left.records
    assert world.stands("shop", "1") == ("failing", "deleted")
    assert any(row.action == "refused" for row in world.history)


def test_a_record_deleted_again_after_it_was_restored_is_restored_again() -> None:
    world = linked_pairs()
    for number in ("1", "2"):
        world.right.delete(number)
        world.settle()
        world.order("restore", into="shop")
        world.settle()
    assert list(world.right.records) == ["3"]
    assert len(world.rows()) == 1


def test_the_counterpart_deleted_while_it_is_restored_leaves_one_record() -> None:
    world = linked_pairs()
    world.right.delete("1")
    world.settle()
    world.order("restore", into="shop")
    world.think_all()
    world.left.delete("1")
    world.take("crm")
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (0, 1)
    assert world.stands("shop", "2") == ("failing", "deleted")


def test_a_restore_that_was_refused_and_may_no_longer_be_done_leaves_the_record_deleted() -> None:
    world = linked_pairs()
    world.right.delete("1")
    world.settle()
    world.right.refuse = lambda command, stored: ("permission", "no", None)
    world.order("restore", into="shop")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "permission")
    world.edit_rules(direction="to crm")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "deleted")


def test_a_restore_that_is_refused_shows_why_and_goes_on_when_it_can() -> None:
    world = linked_pairs()
    world.right.delete("1")
    world.settle()
    world.right.refuse = lambda command, stored: ("permission", "no", None)
    world.order("restore", into="shop")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "permission")
    world.right.refuse = lambda command, stored: None
    world.order("retry")
    world.settle()
    assert len(world.right.records) == 1
    assert world.stands("crm", "1") == ("in_sync", None)


def test_a_value_that_is_refused_at_restoring_is_left_out_and_shown() -> None:
    world = linked_pairs()
    world.right.delete("1")
    world.settle()
    world.right.refuse = lambda command, stored: (
        ("invalid_value", "no", "full_name") if "full_name" in command.values else None
    )
    world.order("restore", into="shop")
    world.settle()
    assert world.right.records["2"]["full_name"] is None
    assert world.stands("crm", "1") == ("failing", "invalid_value")


def test_what_the_app_makes_itself_is_not_restored() -> None:
    world = people()
    world.right.object = changed(CUSTOMERS, memo={"read_only": True})
    linked_pairs(world)
    world.right.delete("1")
    world.settle()
    world.order("restore", into="shop")
    world.settle()
    assert "memo" not in world.right.writes[-1].values and "id" not in world.right.writes[-1].values


def test_a_value_cleared_in_the_counterpart_is_restored_with_keep_and_not_with_propagate() -> None:
    for empty, expected in (("keep", "Ann 1"), ("propagate", None)):
        world = linked_pairs(people(empty=empty))
        world.right.delete("1")
        world.settle()
        world.left.edit("1", name=None)
        world.settle()
        world.order("restore", into="shop")
        world.settle()
        assert world.right.records["2"]["full_name"] == expected


def test_a_record_waits_to_be_restored_while_the_account_is_down() -> None:
    world = linked_pairs()
    world.right.delete("1")
    world.settle()
    world.account("shop", up=False)
    world.order("restore", into="shop")
    world.settle()
    assert world.stands("crm", "1") == ("pending", "unavailable")
    world.account("shop", up=True)
    world.settle()
    assert len(world.right.records) == 1


@pytest.mark.parametrize("answer", ["exists", "refused"])
def test_a_record_that_comes_back_while_it_is_being_restored_keeps_its_link_whatever_the_answer(answer: str) -> None:
    world = linked_pairs()
    world.right.delete("1")
    world.settle()
    world.order("restore", into="shop")
    world.think_all()
    if answer == "exists":
        world.right.create(mail="1@x.io", full_name="Other")
    else:
        world.right.refuse = lambda command, stored: ("permission", "no", None) if command.op == "create" else None
    events = world.carry_out(world.commands.popleft())
    world.right.log.clear()
    world.right.revive("1", mail="1@x.io", full_name="Ann 1")
    world.take("shop")
    world.inbox.extend(events)
    world.settle()
    assert world.stands("shop", "1") == ("in_sync", None)


@pytest.mark.parametrize("gone", [True, False])
def test_a_record_that_only_a_write_has_missed_is_restored_when_the_log_has_told_that_it_is_gone(gone: bool) -> None:
    world = deals()
    world.left.create(name="Ann")
    world.start()
    if gone:
        world.right.delete("1")
    else:
        world.right.renumber("1", "50")
    world.left.edit("1", name="Anna")
    world.take("crm")
    world.deliver()
    world.order("restore", into="shop")
    world.think_all()
    assert not world.commands
    assert world.stands("crm", "1") == ("pending", None)
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)
    assert list(world.right.records) == (["2"] if gone else ["50"])
    assert len(world.left.records) == 1


def test_a_record_that_comes_back_while_its_counterpart_is_still_being_created_needs_no_restore() -> None:
    world = people().start()
    world.right.refuse = lambda command, stored: ("permission", "not now", None)
    world.left.create(email="1@x.io")
    world.take("crm")
    world.left.delete("1")
    world.take("crm")
    world.order("restore", into="crm")
    world.think_all()
    world.left.revive("1", email="1@x.io")
    world.take("crm")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "permission")


def test_a_record_that_comes_back_while_it_waits_to_be_restored_is_not_created() -> None:
    world = linked_pairs()
    world.right.delete("1")
    world.settle()
    world.account("shop", up=False)
    world.order("restore", into="shop")
    world.settle()
    world.right.revive("1", mail="1@x.io", full_name="Ann 1")
    world.settle()
    world.account("shop", up=True)
    world.settle()
    assert list(world.right.records) == ["1"]
    assert world.stands("shop", "1") == ("in_sync", None)
