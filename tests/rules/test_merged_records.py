"""Section 6: a record that was merged into another in its app."""

from __future__ import annotations

import pytest

from rules.events import Captured, Row
from rules.version import Version
from tests.rules.linked import linked_pairs
from tests.rules.world import people


def test_a_merge_moves_the_losers_link_to_a_survivor_that_has_none() -> None:
    world = linked_pairs()
    world.left.create(name="survivor", phone="9")
    world.settle()
    assert world.stands("crm", "2") == ("excluded", "no_identifier")
    world.left.merge("1", "2")
    world.settle()
    assert world.stands("crm", "2") == ("in_sync", None)
    assert len(world.rows()) == 1
    assert (world.right.records["1"]["full_name"], world.right.records["1"]["tel"]) == ("survivor", "9")


def test_a_merge_into_a_survivor_that_is_not_known_yet_waits_for_it() -> None:
    world = linked_pairs()
    world.left.create(email="2@x.io", name="survivor")
    survivor = world.left.log.popleft()
    world.left.merge("1", "2")
    world.take("crm")
    world.settle()
    assert world.stands("crm", "2") == ("in_sync", None)
    world.inbox.append(Captured("crm", "contacts", (survivor[1],)))
    world.settle()
    assert len(world.right.records) == 1
    assert world.right.records["1"]["full_name"] == "survivor"


def test_where_both_are_linked_the_losers_counterpart_is_failing_merged_and_never_created_anew() -> None:
    world = linked_pairs(count=2)
    world.left.merge("1", "2")
    world.settle()
    row = world.of("shop", "1")
    assert (row.status, row.category) == ("failing", "merged")
    assert "crm:1" in (row.message or "") and "crm:2" in (row.message or "") and "shop:1" in (row.message or "")
    world.order("restore", into="crm")
    world.right.edit("1", tel="7")
    world.order("retry")
    world.settle()
    assert list(world.left.records) == ["2"]
    assert world.stands("shop", "1") == ("failing", "merged")


def test_a_merge_followed_on_the_other_side_leaves_one_pair() -> None:
    world = linked_pairs(count=2)
    world.left.merge("1", "2")
    world.settle()
    world.right.merge("1", "2")
    world.settle()
    assert len(world.rows()) == 1
    assert world.stands("shop", "2") == ("in_sync", None)


def test_a_duplicate_is_judged_again_when_what_it_claims_is_merged_into_another() -> None:
    world = people(direction="to shop")
    world.left.create(email="a@x.io", name="Ann")
    world.start()
    world.left.edit("1", email="b@x.io")
    world.take("crm")
    world.commands.clear()
    world.right.finds = False
    world.left.create(email="a@x.io", name="twin")
    world.take("crm")
    assert world.stands("crm", "2") == ("failing", "duplicate")
    world.right.create(mail="c@x.io")
    world.take("shop")
    world.right.merge("1", "2")
    world.settle()
    assert world.stands("crm", "2") == ("in_sync", None)


def test_a_link_that_lacks_a_record_and_moves_to_a_survivor_is_filled_by_what_answers_to_that() -> None:
    world = people(direction="to shop")
    world.left.create(email="a@x.io", name="Ann")
    world.right.create(mail="b@x.io", full_name="survivor")
    world.start()
    world.right.delete("2")  # the counterpart
    world.settle()
    world.left.create(name="survivor, without mail")
    world.right.create(mail="c@x.io")
    world.settle()
    world.left.edit("2", email=None, notes="c")
    world.left.merge("1", "2")
    world.left.edit("2", email="c@x.io")
    world.capture_all("crm")
    world.settle()
    assert world.of("crm", "2").sides["shop"].id == "3"


@pytest.mark.parametrize("noticed", ["by a write", "by the log"])
def test_a_duplicate_takes_the_place_of_a_loser(noticed: str) -> None:
    world = linked_pairs(count=2)
    world.left.create(email="1@x.io", name="twin")
    world.settle()
    assert world.stands("crm", "3") == ("failing", "duplicate")
    world.right.edit("1", tel="7")
    world.left.merge("1", "2")
    if noticed == "by a write":
        world.take("shop")
        world.deliver()
        world.think_all()
        assert world.stands("crm", "3") == ("failing", "duplicate")
    world.settle()
    assert world.of("shop", "1").sides["crm"].id == "3"


@pytest.mark.parametrize("deletes", ["keep", "propagate"])
def test_a_merge_that_is_reported_again_and_as_a_deletion_changes_nothing_more(deletes: str) -> None:
    world = linked_pairs(people(deletes=deletes), count=3)
    world.left.merge("1", "2")
    world.settle()
    tick = world.left.journal.tick
    for op in ("merge", "delete"):
        row = Row("1", {}, Version(tick + 1), op, into="2" if op == "merge" else None, committed_at=1.0)
        world.inbox.append(Captured("crm", "contacts", (row,)))
    world.left.journal.tick += 1
    world.settle()
    assert world.stands("shop", "1") == ("failing", "merged")
    assert len(world.right.records) == 3


def test_a_loser_without_a_link_is_forgotten() -> None:
    world = linked_pairs()
    world.left.create(name="no mail")
    world.settle()
    world.left.merge("2", "1")
    world.settle()
    assert len(world.rows()) == 1


def test_what_was_on_its_way_from_the_loser_is_followed_by_what_the_survivor_holds() -> None:
    world = people(direction="to crm", default="shop")
    world.right.create(mail="1@x.io", tel="2")
    world.right.create(full_name="survivor", tel="2")
    world.start()
    world.right.edit("1", tel="3")
    world.take("shop")
    world.right.merge("1", "2")
    world.take("shop")
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)
    assert world.left.records["1"]["phone"] == "2"


def test_what_is_on_its_way_to_the_loser_does_not_bring_it_back() -> None:
    world = linked_pairs()
    world.left.create(name="survivor")
    world.settle()
    world.right.edit("1", tel="7")
    world.take("shop")
    world.deliver()  # written to the loser, just before the merge
    world.left.merge("1", "2")
    world.capture_all("crm")
    world.inbox.rotate(-1)  # the answer comes last
    world.settle()
    assert len(world.rows()) == 1
    assert world.stands("crm", "2") == ("in_sync", None)
    assert world.left.records["2"]["phone"] == "7", "nor is what it carried lost"
