"""Section 6: `deletes: propagate`, its guard, and `confirm`."""

from __future__ import annotations

import pytest

from rules.events import Truncated
from tests.rules.linked import linked_pairs
from tests.rules.world import people


def test_with_deletes_propagate_the_counterpart_is_deleted_and_the_link_forgotten() -> None:
    world = linked_pairs(people(deletes="propagate"), count=2)
    world.left.delete("1")
    world.right.delete("2")
    world.settle()
    assert (world.left.records, world.right.records) == ({}, {})
    assert world.rows() == {}
    assert [command.op for command in world.left.writes + world.right.writes[2:]] == ["delete", "delete"]


def test_a_deletion_goes_only_where_the_direction_allows() -> None:
    world = linked_pairs(people(deletes="propagate", direction="to shop"), count=2)
    world.right.delete("1")
    world.left.delete("2")
    world.settle()
    assert list(world.left.records) == ["1"]
    assert list(world.right.records) == []
    assert world.stands("crm", "1") == ("failing", "deleted")


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("field", ["tel", "memo"])
def test_a_counterpart_that_was_edited_meanwhile_stays(seen: bool, field: str) -> None:
    world = linked_pairs(people(deletes="propagate"))
    world.left.delete("1")
    world.right.edit("1", **{field: "edited"})
    if seen and field == "tel":
        world.take("shop")
    world.settle()
    row = world.of("shop", "1")
    assert (row.status, row.category) == ("failing", "deleted")
    assert "edited" in (row.message or "")
    assert list(world.right.records) == ["1"]
    world.right.edit("1", full_name="again")
    world.settle()
    assert list(world.right.records) == ["1"], "later edits do not make it fair game"
    world.order("confirm")
    world.settle()
    world.order("retry")
    world.settle()
    assert list(world.right.records) == ["1"], "nor does trying again"


def test_deleted_and_inserted_at_once_deletes_no_counterpart() -> None:
    world = linked_pairs(people(deletes="propagate"))
    world.left.delete("1")
    world.left.create(email="1@x.io", name="Again")
    world.take("crm")
    world.settle()
    assert list(world.right.records) == ["1"]
    assert world.right.records["1"]["full_name"] == "Again"


def test_a_record_that_comes_back_while_its_counterpart_is_deleted_gets_it_back() -> None:
    world = linked_pairs(people(deletes="propagate"))
    record = dict(world.left.records["1"])
    world.left.delete("1")
    world.take("crm")
    del record["id"]
    world.left.revive("1", **record)
    world.take("crm")
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)
    assert [one["memo"] for one in world.right.records.values()] == ["memo 1"]


def test_but_not_where_the_sync_does_not_write_any_more() -> None:
    world = linked_pairs(people(deletes="propagate"))
    record = dict(world.left.records["1"])
    world.left.delete("1")
    world.take("crm")
    world.document["syncs"]["people"]["direction"] = "to crm"
    world.apply()
    world.think_all()
    del record["id"]
    world.left.revive("1", **record)
    world.take("crm")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "deleted")
    assert not world.right.records


def test_more_deletions_than_max_deletes_stop_the_sync_until_a_person_confirms() -> None:
    world = linked_pairs(people(deletes="propagate", max_deletes=3), count=6)
    for number in range(1, 6):
        world.left.delete(str(number))
        world.settle()
    row = world.syncs["people"]
    assert row.state == "stopped"
    assert "3" in row.reason and "shop" in row.reason
    assert len(world.right.records) == 3
    world.left.edit("6", name="meanwhile")
    world.settle()
    assert world.right.records["6"]["full_name"] == "Ann 6", "a stopped sync writes nothing"
    world.order("confirm")
    world.settle()
    assert world.syncs["people"].state == "live"
    assert list(world.right.records) == ["6"]
    assert world.right.records["6"]["full_name"] == "meanwhile"


def test_what_is_created_for_a_record_that_is_deleted_meanwhile_is_deleted_too() -> None:
    world = people(deletes="propagate").start()
    world.left.create(email="a@x.io")
    world.take("crm")
    world.left.delete("1")
    world.take("crm")
    world.settle()
    assert (world.right.records, world.rows()) == ({}, {})


def test_deletions_far_apart_do_not_stop_the_sync() -> None:
    world = linked_pairs(people(deletes="propagate", max_deletes=2), count=6)
    for number in range(1, 7):
        world.left.delete(str(number))
        world.clock(400)
    assert world.right.records == {}


def test_unset_max_deletes_is_a_hundred_or_a_tenth_of_the_links() -> None:
    for count, limit in ((150, 100), (1500, 150)):
        world = linked_pairs(people(deletes="propagate"), count=count)
        for number in range(1, limit + 11):
            world.left.delete(str(number))
        world.capture_all("crm")
        world.settle()
        assert count - len(world.right.records) == limit
        assert world.syncs["people"].state == "stopped"


def test_records_restored_while_the_sync_is_stopped_are_not_deleted_by_confirm() -> None:
    world = linked_pairs(people(deletes="propagate", max_deletes=1), count=3)
    for number in ("1", "2", "3"):
        world.left.delete(number)
    world.capture_all("crm")
    world.settle()
    world.order("restore", into="crm")
    world.settle()
    world.order("confirm")
    world.settle()
    assert len(world.right.records) == 2
    assert len(world.left.records) == 2
    assert {row.status for row in world.rows().values()} == {"in_sync"}


@pytest.mark.parametrize("how", ["merged", "renumbered"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_deletion_that_is_on_its_way_to_a_record_which_is_another_by_now_hits_none(how: str, when: str) -> None:
    world = linked_pairs(people(deletes="propagate"))
    world.right.create(full_name="survivor")
    world.settle()
    world.left.delete("1")
    world.take("crm")
    if when == "before":
        if how == "merged":
            world.right.merge("1", "2")
        else:
            world.right.renumber("1", "50")
    else:
        world.deliver()
        answer = world.inbox.pop()
        world.right.log.clear()
        world.right.put("1", {"mail": "1@x.io"})
        if how == "merged":
            world.right.merge("1", "2")
        else:
            world.right.renumber("1", "50")
        world.take("shop")
        world.inbox.append(answer)
    world.settle()
    survivor = "2" if how == "merged" else "50"
    assert survivor in world.right.records
    assert world.stands("shop", survivor) == ("failing", "deleted")


def test_a_record_that_is_made_anew_under_the_id_of_one_that_we_deleted_stays_when_the_answer_comes_late() -> None:
    world = linked_pairs(people(deletes="propagate"))
    world.left.delete("1")
    world.take("crm")
    order = world.commands[0]
    world.deliver()
    world.inbox.clear()
    world.right.revive("1", mail="new@x.io")
    world.take("shop")
    world.commands.append(order)
    world.settle()
    world.clock(301)
    assert list(world.right.records) == ["1"]
    assert world.stands("shop", "1") == ("in_sync", None)


def test_a_delete_that_is_refused_is_shown_and_tried_again_on_demand() -> None:
    world = linked_pairs(people(deletes="propagate"))
    world.right.refuse = lambda command, stored: ("permission", "DELETE is not granted", None)
    world.left.delete("1")
    world.settle()
    assert world.stands("shop", "1") == ("failing", "permission")
    world.right.refuse = lambda command, stored: None
    world.order("retry")
    world.settle()
    assert world.right.records == {}


@pytest.mark.parametrize("deletes", ["keep", "propagate"])
def test_a_truncated_object_stops_the_sync_and_confirm_carries_on(deletes: str) -> None:
    world = linked_pairs(people(deletes=deletes), count=3)
    world.left.records.clear()
    world.inbox.append(Truncated("crm", "contacts"))
    world.settle()
    assert world.syncs["people"].state == "stopped"
    assert "crm" in world.syncs["people"].reason
    assert len(world.right.records) == 3
    world.order("confirm")
    world.settle()
    assert world.syncs["people"].state == "live"
    if deletes == "keep":
        assert {row.category for row in world.rows().values()} == {"deleted"}
        assert len(world.right.records) == 3
    else:
        assert world.right.records == {}


def test_a_deletion_that_only_a_write_has_noticed_is_copied_when_the_log_tells() -> None:
    world = linked_pairs(people(deletes="propagate"))
    world.right.delete("1")
    world.left.edit("1", phone="1")
    world.take("crm")
    world.deliver()
    world.think_all()
    assert list(world.left.records) == ["1"]
    world.settle()
    assert world.stands("crm", "1") == ("failing", "deleted"), "it was edited meanwhile"
