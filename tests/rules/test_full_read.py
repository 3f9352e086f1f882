"""Section 3: a full read in place of the log."""

from __future__ import annotations

import msgspec
import pytest

from rules.catalog import Capabilities
from rules.events import Row, SetMark
from rules.version import Version
from tests.rules.world import CUSTOMERS, PEOPLE, SYNC, App, World, deals, people


def linked(world: World | None = None, count: int = 3) -> World:
    """Records on both sides, in sync."""
    world = world or people()
    for number in range(1, count + 1):
        world.left.create(email=f"{number}@x.io", name=f"Ann {number}")
    return world.start()


def test_when_the_log_was_lost_linked_records_are_compared_with_their_bases() -> None:
    world = linked()
    world.left.edit("1", name="unseen")
    world.left.edit("2", name="left")
    world.right.edit("2", full_name="right")
    world.lose_log("crm")
    world.settle()
    assert world.right.records["1"]["full_name"] == "unseen"
    assert world.right.records["2"]["full_name"] == "left", "changed on both sides: a conflict"
    world.agree()


def test_records_that_were_made_unseen_enter() -> None:
    world = linked()
    world.left.create(email="new@x.io")
    world.lose_log("crm")
    world.settle()
    assert len(world.right.records) == 4


@pytest.mark.parametrize("deletes", ["keep", "propagate"])
def test_a_linked_record_that_the_read_does_not_find_is_failing_deleted_whatever_deletes_says(deletes: str) -> None:
    world = linked(people(deletes=deletes))
    world.left.delete("1")
    world.lose_log("crm")
    world.settle()
    assert world.stands("shop", "1") == ("failing", "deleted")
    assert len(world.right.records) == 3
    world.order("confirm")
    world.settle()
    assert len(world.right.records) == (3 if deletes == "keep" else 2)


def test_the_place_of_a_record_that_a_write_has_missed_is_filled_when_the_read_does_not_find_it_either() -> None:
    world = linked(count=1)
    world.right.create(mail="1@x.io", full_name="twin")
    world.settle()
    world.right.delete("1")
    world.right.log.clear()
    world.left.edit("1", name="Anna")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "deleted")
    assert world.stands("shop", "2") == ("failing", "duplicate")
    world.lose_log("shop")
    world.settle()
    assert world.stands("shop", "2") == ("in_sync", None)


def test_a_record_without_a_link_that_the_read_does_not_find_is_forgotten() -> None:
    world = linked()
    world.left.create(name="no mail")
    world.left.create(email="1@x.io", name="twin")
    world.settle()
    assert len(world.rows()) == 5
    world.left.delete("4")
    world.left.delete("5")
    world.lose_log("crm")
    world.settle()
    assert len(world.rows()) == 3
    world.right.create(mail="4@x.io")
    world.settle()
    assert len(world.left.records) == 4


def test_an_object_that_has_links_and_reads_empty_stops_the_sync() -> None:
    world = linked()
    kept = dict(world.left.records)
    world.left.records.clear()
    world.lose_log("crm")
    world.settle()
    assert world.syncs["people"].state == "stopped"
    assert "crm" in world.syncs["people"].reason and "3" in world.syncs["people"].reason
    assert {row.status for row in world.rows().values()} == {"in_sync"}, "nothing is concluded from it"
    world.left.records.update(kept)
    world.order("resync")
    world.settle()
    assert world.syncs["people"].state == "live"
    assert {row.status for row in world.rows().values()} == {"in_sync"}


@pytest.mark.parametrize("deletes", ["keep", "propagate"])
def test_confirm_carries_the_deletions_on_where_the_sync_copies_them(deletes: str) -> None:
    world = linked(people(deletes=deletes, max_deletes=1))
    world.left.records.clear()
    world.lose_log("crm")
    world.settle()
    world.order("confirm")
    world.settle()
    assert world.syncs["people"].state == "live"
    if deletes == "keep":
        assert len(world.right.records) == 3
        assert {row.category for row in world.rows().values()} == {"deleted"}
    else:
        assert (world.right.records, world.rows()) == ({}, {})


@pytest.mark.parametrize("steps", range(8))
def test_a_sync_that_is_stopped_in_the_middle_of_a_full_read_goes_on_when_a_person_confirms(steps: int) -> None:
    world = linked(people(deletes="propagate", max_deletes=1))
    world.left.create(email="new@x.io")
    world.lose_log("crm")
    world.think()
    while world.deliver():
        pass
    for _ in range(steps):
        world.think()
    world.right.delete("1")
    world.right.delete("2")
    world.capture_all("shop")
    world.inbox.rotate(1)
    world.settle()
    assert world.syncs["people"].state == "stopped"
    world.order("confirm")
    world.settle()
    assert world.syncs["people"].state == "live"
    assert {row.status for row in world.rows().values()} == {"in_sync"}
    assert sorted(str(one["mail"]) for one in world.right.records.values()) == ["3@x.io", "new@x.io"]


def test_an_empty_object_without_links_stops_nothing() -> None:
    world = people().start()
    world.lose_log("crm")
    world.settle()
    assert world.syncs["people"].state == "live"


def test_a_log_lost_while_the_sync_is_stopped_is_made_up_for_when_it_goes_on() -> None:
    world = linked(people(deletes="propagate", max_deletes=1))
    world.left.delete("1")
    world.left.delete("2")
    world.capture_all("crm")
    world.settle()
    assert world.syncs["people"].state == "stopped"
    world.left.edit("3", name="unseen")
    world.lose_log("crm")
    world.settle()
    world.order("confirm")
    world.settle()
    assert world.syncs["people"].state == "live"
    assert world.right.records["3"]["full_name"] == "unseen"
    assert list(world.right.records) == ["3"]


def test_a_record_created_by_us_while_the_read_is_on_is_not_taken_for_missing() -> None:
    world = linked()
    world.left.create(email="new@x.io")
    world.take("crm")  # its create is on its way
    world.order("resync")
    world.think_all()
    create, *reads = world.commands
    world.commands.clear()
    pages = [event for read in reads for event in world.carry_out(read)]  # read before it was created
    answer = world.carry_out(create)
    world.inbox.extend(pages)
    world.think()
    world.inbox.extendleft(answer)
    world.settle()
    assert {row.status for row in world.rows().values()} == {"in_sync"}
    assert len(world.rows()) == 4


def test_an_answer_that_comes_after_the_read_is_not_taken_for_missing_either() -> None:
    world = linked()
    world.left.create(email="new@x.io")
    world.take("crm")
    world.order("resync")
    world.think_all()
    create, *reads = world.commands
    world.commands.clear()
    pages = [event for read in reads for event in world.carry_out(read)]
    world.right.log.clear()
    answer = world.carry_out(create)
    world.right.log.clear()
    world.inbox.extend(pages)
    world.inbox.extend(answer)
    world.settle()
    assert {row.status for row in world.rows().values()} == {"in_sync"}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_change_from_before_the_read_of_a_record_that_it_did_not_meet_brings_nothing_back(when: str) -> None:
    world = linked()
    world.left.create(email="late@x.io")
    world.left.delete("4")
    world.order("resync")
    world.think_all()
    pages = [event for order in world.commands for event in world.carry_out(order)]
    world.commands.clear()
    world.capture("crm")  # of the two changes the first
    late = world.inbox.pop()
    if when == "before":
        world.inbox.append(late)
    world.inbox.extend(pages)
    world.think_all()
    if when == "after":
        world.inbox.append(late)
        world.think_all()
    while world.deliver():
        pass
    world.settle()
    assert len(world.right.records) == 3
    assert len(world.rows()) == 3


def test_a_change_from_before_the_read_of_a_record_that_a_write_had_missed_brings_nothing_back() -> None:
    world = linked(count=1)
    world.right.create(mail="1@x.io", full_name="twin")
    world.settle()
    world.right.edit("1", mail="unseen@x.io")
    world.right.delete("1")
    late = list(world.right.log)
    world.right.log.clear()
    world.left.edit("1", name="Anna")
    world.settle()
    world.order("resync")
    world.settle()
    assert world.of("crm", "1").sides["shop"].id == "2", "it has taken the place"
    world.right.log.extend(late)
    world.capture("shop")
    world.settle()
    assert len(world.left.records) == 1
    assert len(world.rows()) == 1


def test_a_deletion_from_before_the_read_of_a_record_that_has_come_back_since_deletes_nothing() -> None:
    world = linked()
    world.left.create(name="no mail")
    world.settle()
    world.left.delete("4")
    world.left.revive("4", name="no mail")
    world.order("resync")
    world.think_all()
    pages = [event for order in world.commands for event in world.carry_out(order)]
    world.commands.clear()
    world.inbox.extend(pages[:-2])
    while world.inbox:
        world.think()
    world.take("crm")
    world.inbox.extend(pages[-2:])
    world.settle()
    assert world.stands("crm", "4") == ("excluded", "no_identifier")


def test_an_answer_from_before_does_not_bring_back_what_the_read_has_found_gone() -> None:
    world = linked()
    world.left.edit("1", name="New")
    world.take("crm")
    answer = world.carry_out(world.commands.popleft())
    world.right.delete("1")
    world.lose_log("shop")
    world.settle()
    assert world.stands("crm", "1") == ("pending", None)
    world.inbox.extend(answer)
    world.settle()
    assert world.stands("crm", "1") == ("failing", "deleted")


def test_the_first_record_of_an_object_that_was_read_empty_is_not_taken_for_missing() -> None:
    world = people().start()
    world.left.create(name="no mail")
    world.settle()
    world.left.delete("1")
    world.settle()
    world.right.create(full_name="no mail")
    world.settle()
    world.order("resync")
    world.think_all()
    pages = [event for order in world.commands for event in world.carry_out(order)]
    world.commands.clear()
    world.left.create(email="new@x.io")
    world.take("crm")
    world.inbox.extend(pages)
    world.settle()
    assert world.stands("crm", "2") == ("in_sync", None)


def test_a_full_read_of_what_agrees_writes_nothing_and_shows_nothing_new() -> None:
    world = linked()
    world.left.create(name="no mail")
    world.settle()
    before = (world.written(), len(world.history), world.rows())
    world.order("resync")
    world.settle()
    assert (world.written(), len(world.history), world.rows()) == before


def test_a_record_that_a_read_did_not_meet_is_not_taken_for_gone_by_the_version_of_another() -> None:
    """Versions that are each record's own (`updated_at`): an old one says nothing of when its record was told."""
    own = msgspec.structs.replace(PEOPLE, capabilities=Capabilities("watermark", 5.0, common_order=False))
    world = World(App("crm", own), App("shop", CUSTOMERS), syncs={"people": SYNC})
    world.left.create(email="new@x.io")
    world.left.journal.tick = 500
    world.start()
    world.left.put("7", {"email": "old@x.io", "name": "Old"})
    world.left.log.append((own.name, Row("7", dict(world.left.records["7"]), Version(3), committed_at=900.0)))
    world.settle()
    assert sorted(str(one["mail"]) for one in world.right.records.values()) == ["new@x.io", "old@x.io"]


def test_a_read_is_over_only_when_the_log_has_told_what_was_committed_before_its_end() -> None:
    world = deals()
    world.left.create(name="Ann")
    world.start()
    world.right.renumber("1", "50")
    world.right.create(full_name="gone")
    world.right.delete("2")
    log = list(world.right.log)
    world.right.log.clear()
    world.order("resync")
    world.think_all()
    while world.deliver():  # both are read in full
        pass
    world.think_all()
    assert world.stands("crm", "1") == ("in_sync", None)
    (mark,) = [order for order in world.commands if isinstance(order, SetMark) and order.account == "shop"]
    world.commands.remove(mark)  # it comes by in the log behind all that
    world.settle()
    world.right.log.extend(log)
    world.take("shop")
    world.commands.append(mark)
    world.settle()
    assert world.of("crm", "1").sides["shop"].id == "50"
    assert world.written() == 1
    assert (len(world.left.records), len(world.right.records)) == (1, 1)


def test_what_two_links_have_left_finds_each_other_in_the_read_that_tells_of_it_though_others_answer_to_them_too() -> (
    None
):
    world = people()
    world.left.create(name="Ann")
    world.right.create(full_name="Ann")
    world.left.create(email="b@x.io", name="Bob")
    world.left.create(email="c@x.io", name="Cid")
    world.start()
    assert world.stands("crm", "3") == ("in_sync", None)
    world.left.edit("1", email="a@x.io")
    world.right.edit("1", mail="a@x.io")
    world.left.edit("2", email="a@x.io")
    world.right.delete("2")
    world.left.delete("3")
    world.right.edit("3", mail="a@x.io")
    for account in world.accounts:
        world.lose_log(account)
    world.settle()
    pairs = [tuple(side.id for side in row.sides.values()) for row in world.rows().values()]
    assert sorted(pairs) == [("1", "1"), ("2", "3")]
    assert {row.status for row in world.rows().values()} == {"in_sync"}
    before = world.written()
    world.order("resync")
    world.settle()
    assert world.written() == before
