"""Section 3: the first sync."""

from __future__ import annotations

import itertools

import pytest

import rules.work
from rules.events import Captured, Commands, ReadDone, ReadRequest, Tick
from tests.rules.world import World, deals, people


def begun(world: World) -> World:
    """Applied; the reads are asked for, and nothing has come yet."""
    world.left.log.clear()
    world.right.log.clear()
    world.apply()
    world.think_all()
    return world


def read(world: World) -> None:
    """Both objects have been read, and the marks behind that have come by; what follows from it is still to be decided."""
    while world.deliver():
        pass
    while any(isinstance(event, ReadDone) for event in world.inbox):
        world.think()
    while world.deliver():
        pass


def written(world: World) -> list[Commands]:
    """Commands that have been sent and not carried out."""
    return [order for order in world.commands if isinstance(order, Commands)]


def test_both_objects_are_read_in_full_also_in_a_one_way_sync() -> None:
    world = begun(people(direction="to shop"))
    assert {(order.account, order.object) for order in world.commands if isinstance(order, ReadRequest)} == {
        ("crm", "contacts"),
        ("shop", "customers"),
    }


def test_nothing_is_linked_nor_created_until_both_reads_are_complete() -> None:
    world = people()
    world.left.create(email="a@x.io")
    world.left.create(email="b@x.io")
    world.right.create(mail="b@x.io")
    begun(world)
    world.deliver()  # crm, in full
    world.think_all()
    assert {row.status for row in world.rows().values()} == {"pending"}
    assert not written(world)
    read(world)
    world.think_all()
    assert [command.op for order in written(world) for command in order.commands] == ["create"]
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (2, 2)


def test_a_counterpart_in_a_page_not_yet_read_is_not_doubled() -> None:
    world = people()
    world.page_size = 1
    for number in range(5):
        world.left.create(email=f"{number}@x.io")
        world.right.create(mail=f"{4 - number}@x.io")
    world.start()
    assert (len(world.left.records), len(world.right.records)) == (5, 5)
    assert world.written() == 0


def test_matched_records_are_merged_at_once_with_what_each_side_lacks() -> None:
    world = people()
    world.left.create(email="a@x.io", name="Ann")
    world.right.create(mail="a@x.io", tel="1")
    world.start()
    assert world.left.records["1"]["phone"] == "1"
    assert world.right.records["1"]["full_name"] == "Ann"


def test_changes_made_meanwhile_are_not_lost_and_never_overwritten_by_an_older_image() -> None:
    world = people()
    world.left.create(email="a@x.io", name="old")
    begun(world)
    read = world.carry_out(world.commands.popleft())  # read now, and on its way
    world.left.edit("1", name="new")
    world.take("crm")
    world.inbox.extend(read)
    world.settle()
    assert world.left.records["1"]["name"] == "new"
    assert world.right.records["1"]["full_name"] == "new"


def test_a_record_deleted_while_it_is_read_is_not_brought_back_by_its_page() -> None:
    world = people()
    world.left.create(email="a@x.io")
    begun(world)
    read = world.carry_out(world.commands.popleft())
    world.left.delete("1")
    world.take("crm")
    world.inbox.extend(read)
    world.settle()
    assert world.rows() == {}
    assert not world.right.records


@pytest.mark.parametrize("late", ["page", "page and end"])
def test_a_page_that_comes_again_after_the_read_brings_nothing_back(late: str) -> None:
    world = people()
    world.left.create(email="a@x.io")
    begun(world)
    read = world.carry_out(world.commands.popleft())
    world.inbox.extend(read)
    world.settle()
    world.left.delete("1")
    world.right.delete("1")
    world.settle()
    world.clock(1000)
    world.clock(1000)
    world.inbox.extend(read[:1] if late == "page" else read)
    world.settle()
    assert world.rows() == {}
    assert not world.right.records


def test_a_record_made_while_the_other_side_is_read_waits_and_then_enters() -> None:
    world = people()
    begun(world)
    world.left.create(email="a@x.io")
    world.take("crm")
    assert world.stands("crm", "1") == ("pending", None)
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)


def test_a_read_that_is_replaced_counts_for_nothing() -> None:
    world = people()
    world.left.create(email="a@x.io")
    begun(world)
    first = world.carry_out(world.commands.popleft())
    world.order("resync")
    world.think_all()
    world.inbox.extend(first)
    world.think_all()
    assert world.rows() == {}, "its pages are dropped"
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)


def test_progress_is_shown_read_matched_created_remaining() -> None:
    world = people()
    for number in range(3):
        world.left.create(email=f"{number}@x.io")
    world.right.create(mail="0@x.io")
    begun(world)
    read(world)
    world.think_all()
    row = world.syncs["people"]
    assert (row.state, row.read, row.matched) == ("initial", {"crm": 3, "shop": 1}, 1)
    world.settle()
    row = world.syncs["people"]
    assert (row.state, row.matched, row.created, row.remaining) == ("live", 1, 2, 0)


def test_it_is_live_only_when_what_it_created_has_been_answered() -> None:
    world = people()
    world.left.create(email="a@x.io")
    begun(world)
    read(world)
    world.think_all()
    assert world.syncs["people"].state == "initial"
    assert world.syncs["people"].remaining == 1
    world.settle()
    assert world.syncs["people"].state == "live"


def test_what_is_refused_does_not_keep_it_from_becoming_live() -> None:
    world = people()
    world.right.refuse = lambda command, stored: ("permission", "no", None)
    world.left.create(email="a@x.io")
    world.start()
    assert world.syncs["people"].state == "live"
    assert world.stands("crm", "1") == ("failing", "permission")


def test_it_goes_on_from_every_point_when_every_output_comes_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules.work, "SLICE", 2)
    for point in range(0, 40, 3):
        world = people()
        for number in range(6):
            world.left.create(email=f"{number}@x.io")
            world.right.create(mail=f"{number + 3}@x.io")
        begun(world)
        for step in itertools.count():
            if step == point and world.inbox:
                world.emit(world.think_of(world.inbox[0]))  # decided, sent, and the process is gone
            if not (world.think() or world.deliver() or world.capture("crm") or world.capture("shop")):
                break
        assert (len(world.left.records), len(world.right.records)) == (9, 9), point
        assert {row.status for row in world.rows().values()} == {"in_sync"}


def test_it_is_done_in_slices_each_a_tick_of_its_own() -> None:
    world = people()
    for number in range(1000):
        world.left.create(email=f"{number}@x.io")
    begun(world)
    read(world)
    most, ticks = 0, 0
    while world.inbox:
        ticks += isinstance(world.inbox[0], Tick)
        entries = len(world.view.entries)
        is_page = isinstance(world.inbox[0], Captured | ReadDone)
        world.think()
        most = most if is_page else max(most, len(world.view.entries) - entries)
    assert ticks >= 4
    assert most <= 2 * rules.work.SLICE
    world.settle()
    assert len(world.right.records) == 1000


def test_a_tick_that_comes_twice_makes_no_second_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules.work, "SLICE", 2)
    emitted = []
    for times in (1, 2):
        world = people()
        for number in range(9):
            world.left.create(email=f"{number}@x.io")
        begun(world)
        read(world)
        ticks = 0
        while world.inbox:
            decision = world.decide(world.inbox.popleft())
            ticks += len(decision.ticks)
            world.inbox.extend(decision.ticks * (times - 1))
        emitted.append(ticks)
        world.settle()
        assert len(world.right.records) == 9
    assert emitted[0] == emitted[1] > 5


def test_while_the_oldest_are_created_first_a_younger_twin_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules.work, "SLICE", 2)
    world = people()
    for number in range(7):
        world.left.create(email=f"{number}@x.io", name="old")
    begun(world)
    read(world)
    while not written(world):
        world.think()
    world.left.create(email="6@x.io", name="young")
    world.capture_all("crm")
    world.inbox.rotate(1)  # before the next slice
    world.think()
    assert world.stands("crm", "8") == ("pending", None)
    world.settle()
    assert [one["full_name"] for one in world.right.records.values() if one["mail"] == "6@x.io"] == ["old"]
    assert world.stands("crm", "8") == ("failing", "duplicate")


def test_a_second_run_on_agreeing_data_writes_nothing() -> None:
    world = people()
    for number in range(5):
        world.left.create(email=f"{number}@x.io", name="x")
        world.right.create(mail=f"{number + 2}@x.io", tel="1")
    world.start()
    before = world.written()
    world.order("resync")
    world.settle()
    world.start()
    assert world.written() == before


def test_the_first_sync_of_two_empty_objects_is_live_at_once() -> None:
    world = people().start()
    assert world.syncs["people"].state == "live"


def test_without_identifiers_both_sides_are_copied_whole() -> None:
    world = deals()
    world.left.create(name="A")
    world.right.create(full_name="B")
    world.start()
    assert sorted(str(one["name"]) for one in world.left.records.values()) == ["A", "B"]
    assert sorted(str(one["full_name"]) for one in world.right.records.values()) == ["A", "B"]


def test_a_constant_is_set_in_created_records_only() -> None:
    world = people(mapping=[*people().document["syncs"]["people"]["mapping"], {"shop": "memo", "value": "tandem"}])
    world.left.create(email="a@x.io")
    world.left.create(email="b@x.io")
    world.right.create(mail="b@x.io")
    world.start()
    assert {one["mail"]: one["memo"] for one in world.right.records.values()} == {"a@x.io": "tandem", "b@x.io": None}


def test_a_record_that_the_log_tells_of_during_the_read_and_that_the_read_has_not_met_is_not_copied() -> None:
    world = begun(deals())
    world.left.create(name="gone")
    world.left.create(name="there")
    world.capture("crm")
    world.left.delete("1")
    world.think_all()
    while world.deliver():
        pass
    world.settle()
    assert [one["full_name"] for one in world.right.records.values()] == ["there"]
