"""Section 7: off, on, delete."""

from __future__ import annotations

from rules.events import Commands
from tests.rules.world import World, deals, people


def linked(world: World | None = None, count: int = 2) -> World:
    """Records on both sides, in sync."""
    world = world or people()
    for number in range(1, count + 1):
        world.left.create(email=f"{number}@x.io", name=f"Ann {number}")
    return world.start()


def test_off_nothing_is_written_and_the_state_is_kept() -> None:
    world = linked()
    world.turn(on=False)
    before = world.written()
    world.left.edit("1", name="New")
    world.right.edit("1", tel="1")
    world.left.create(email="new@x.io")
    world.settle()
    world.clock(1000)
    assert world.written() == before
    assert world.syncs["people"].state == "off"
    assert len(world.rows()) >= 2


def test_on_again_both_sides_are_compared_against_the_old_bases() -> None:
    world = linked()
    world.turn(on=False)
    world.left.edit("1", name="left")
    world.right.edit("1", tel="right")
    world.left.edit("2", name="left")
    world.right.edit("2", full_name="right")
    world.settle()
    world.turn(on=True)
    assert (world.right.records["1"]["full_name"], world.left.records["1"]["phone"]) == ("left", "right")
    assert world.right.records["2"]["full_name"] == "left", "a conflict: the default side wins"
    assert world.syncs["people"].state == "live"
    world.agree()


def test_on_again_what_was_not_captured_meanwhile_is_read() -> None:
    world = linked()
    world.turn(on=False)
    world.left.edit("1", name="left")
    world.left.create(email="new@x.io")
    world.right.edit("2", tel="right")
    world.lose_log("crm")
    world.lose_log("shop")
    world.settle()
    world.turn(on=True)
    assert world.right.records["1"]["full_name"] == "left"
    assert world.left.records["2"]["phone"] == "right"
    assert len(world.right.records) == 3
    world.agree()


def test_on_again_nothing_is_duplicated() -> None:
    world = linked(deals())
    world.turn(on=False)
    world.turn(on=True)
    assert (len(world.left.records), len(world.right.records)) == (2, 2)
    assert world.written() == 2


def test_on_again_no_deletion_is_copied_not_even_one_that_was_captured() -> None:
    world = linked(people(deletes="propagate"), count=3)
    world.turn(on=False)
    world.left.delete("1")
    world.settle()
    world.left.delete("2")
    world.left.log.clear()
    world.turn(on=True)
    assert len(world.right.records) == 3
    assert world.stands("shop", "1") == ("failing", "deleted")
    assert world.stands("shop", "2") == ("failing", "deleted")
    world.order("confirm")
    world.settle()
    assert list(world.right.records) == ["3"], "confirm carries the deletions on"


def test_with_deletes_keep_confirm_deletes_nothing() -> None:
    world = linked(count=3)
    world.turn(on=False)
    world.left.delete("1")
    world.turn(on=True)
    world.order("confirm")
    world.settle()
    assert len(world.right.records) == 3
    assert world.stands("shop", "1") == ("failing", "deleted")


def test_an_answer_that_comes_while_the_sync_is_off_is_kept() -> None:
    world = linked()
    world.left.edit("1", name="New")
    world.take("crm")
    world.off = ["people"]
    world.apply()
    world.think_all()
    world.settle()
    assert world.right.records["1"]["full_name"] == "New"
    world.turn(on=True)
    assert world.written() == 3
    assert world.stands("crm", "1") == ("in_sync", None)


def test_a_sync_added_while_it_is_off_reads_when_it_is_switched_on() -> None:
    world = people()
    world.left.create(email="a@x.io")
    world.off = ["people"]
    world.start()
    assert not world.right.records
    assert world.syncs["people"].state == "off"
    world.turn(on=True)
    assert len(world.right.records) == 1


def test_off_in_the_middle_of_the_first_sync_and_on_again() -> None:
    world = people()
    for number in range(900):
        world.left.create(email=f"{number}@x.io")
    world.left.log.clear()
    world.apply()
    world.think_all()
    while not any(isinstance(order, Commands) for order in world.commands):
        if not world.think():
            world.deliver()
    world.off = ["people"]
    world.apply()
    world.settle()
    assert 0 < len(world.right.records) < 900
    world.turn(on=True)
    assert len(world.right.records) == 900
    assert {row.status for row in world.rows().values()} == {"in_sync"}


def test_deleting_a_sync_forgets_its_links_and_touches_no_app() -> None:
    world = linked()
    before = world.written()
    world.document["syncs"] = {}
    world.apply()
    world.settle()
    assert world.rows() == {}
    assert world.syncs["people"].state is None
    assert world.written() == before
    assert [key for key in world.view.entries if key[:1] != b"C"] == []


def test_the_same_sync_added_again_matches_anew() -> None:
    world = linked()
    config = world.document["syncs"]
    world.document["syncs"] = {}
    world.apply()
    world.settle()
    world.right.edit("1", full_name="changed meanwhile")
    world.document["syncs"] = config
    world.apply()
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (2, 2)
    assert world.right.records["1"]["full_name"] == "Ann 1", "as at linking"


def test_a_sync_added_again_while_it_is_still_being_forgotten_is_whole() -> None:
    world = linked(count=900)
    config = world.document["syncs"]
    world.document["syncs"] = {}
    world.apply()
    world.think()
    world.think()
    assert 0 < len(world.rows()) < 900, "in the middle of it"
    world.document["syncs"] = config
    world.apply()
    world.left.edit("1", name="meanwhile")
    world.settle()
    assert len(world.rows()) == 900
    assert {row.status for row in world.rows().values()} == {"in_sync"}
    assert world.right.records["1"]["full_name"] == "meanwhile"
    assert world.written() == 901


def test_deals_deleted_and_added_again_are_not_doubled_where_the_account_remembers() -> None:
    world = linked(deals())
    config = world.document["syncs"]
    world.document["syncs"] = {}
    world.apply()
    world.settle()
    world.document["syncs"] = config
    world.apply()
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (2, 2)


def test_resync_reads_both_sides_in_full_again() -> None:
    world = linked()
    world.right.edit("1", tel="unseen")
    world.right.log.clear()
    world.order("resync")
    world.settle()
    assert world.left.records["1"]["phone"] == "unseen"


def test_on_again_a_place_that_became_free_meanwhile_is_filled() -> None:
    world = linked()
    world.right.delete("2")
    world.settle()
    world.turn(on=False)
    world.left.edit("2", email="1@x.io")
    world.settle()
    world.left.delete("1")
    world.settle()
    world.turn(on=True)
    assert world.of("crm", "2").sides["shop"].id == "1"
    assert world.stands("crm", "2") == ("in_sync", None)


def test_a_deletion_from_while_it_was_off_that_the_log_tells_of_only_when_it_is_on_again_is_not_copied() -> None:
    world = people(deletes="propagate")
    for number in range(3):
        world.left.create(email=f"{number}@x.io")
    world.start()
    world.turn("people", on=False)
    for number in (1, 2):
        world.left.delete(str(number))
    world.off = []
    world.apply()
    world.think_all()
    world.take("crm")
    world.settle()
    assert list(world.right.records) == ["1", "2", "3"]
    assert [world.stands("crm", str(number)) for number in (1, 2)] == [("failing", "deleted")] * 2
    assert world.stands("crm", "3") == ("in_sync", None)
