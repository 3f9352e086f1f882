"""One command in flight per link; loops; rows that tell only a part (sections 4 and 8)."""

from __future__ import annotations

import pytest

from rules.events import Captured, Commands, Row
from rules.state import Image, Link, Seat, image_indexes, image_traits, link_indexes
from rules.version import Version
from tests.rules.linked import linked
from tests.rules.world import MAPPING, World, deals, people


def sent(world: World) -> list[str]:
    """The commands that wait to be carried out."""
    return [
        f"{command.op} {order.account}:{command.id}"
        for order in world.commands
        if isinstance(order, Commands)
        for command in order.commands
    ]


# ---------------------------------------------------------------- in flight


def test_an_edit_crosses_in_one_command_with_the_value_that_it_expects_to_replace() -> None:
    world = linked()
    world.left.edit("1", name="Anna")
    world.take("crm")
    (order,) = world.commands
    (command,) = order.commands
    assert (command.op, command.id) == ("update", "1")
    assert (command.values, command.expect) == ({"full_name": "Anna"}, {"full_name": "Ann"})
    world.settle()
    assert world.right.records["1"]["full_name"] == "Anna"
    assert world.stands("crm", "1") == ("in_sync", None)


def test_at_most_one_command_is_on_its_way_and_what_changes_meanwhile_goes_with_the_next() -> None:
    world = linked()
    for name in ("B", "C", "D"):
        world.left.edit("1", name=name)
        world.take("crm")
    assert sent(world) == ["update shop:1"]
    world.settle()
    assert [command.values["full_name"] for command in world.right.writes[1:]] == ["B", "D"]


def test_edits_of_different_fields_on_both_sides_at_once_both_survive() -> None:
    world = linked()
    world.left.edit("1", name="Anna")
    world.right.edit("1", tel="1")
    world.take("crm")
    world.take("shop")
    world.settle()
    assert (world.left.records["1"]["name"], world.left.records["1"]["phone"]) == ("Anna", "1")
    assert (world.right.records["1"]["full_name"], world.right.records["1"]["tel"]) == ("Anna", "1")


@pytest.mark.parametrize("default", ["crm", "shop"])
def test_an_unseen_edit_is_not_overwritten_but_merged_by_the_conflict_rule(default: str) -> None:
    world = linked(people(default=default))
    world.left.edit("1", name="left")
    world.take("crm")
    world.right.edit("1", full_name="right")  # committed before our write arrives
    world.settle()
    winner = {"crm": "left", "shop": "right"}[default]
    assert (world.left.records["1"]["name"], world.right.records["1"]["full_name"]) == (winner, winner)
    assert world.syncs["people"].conflicts == 1 or any(row.action == "conflict" for row in world.history)


def test_the_losing_value_of_a_conflict_is_kept_in_the_history() -> None:
    world = linked()
    world.left.edit("1", name="left")
    world.right.edit("1", full_name="right")
    world.take("shop")
    world.take("crm")
    world.settle()
    changes = [change for row in world.history if row.action == "conflict" for change in row.changes]
    assert [(change.account, change.after, change.lost) for change in changes] == [("shop", "left", "right")]


def test_an_edit_of_what_we_have_just_written_before_its_answer_is_decided_travels_back() -> None:
    world = linked()
    world.left.edit("1", name="Anna")
    world.take("crm")
    world.deliver()  # written; the answer lies in the inbox
    world.right.edit("1", full_name="Annie")
    world.capture_all("shop")
    world.inbox.rotate(1)  # the log is first
    world.settle()
    assert (world.left.records["1"]["name"], world.right.records["1"]["full_name"]) == ("Annie", "Annie")


def test_what_a_link_and_the_record_of_its_name_leave_in_the_indexes_is_apart() -> None:
    link = Link(["5", None], {}, "b", other="crm:4", number=3)
    seat = Seat(0, other="crm:4", turn=3)
    image = Image(Version(1), {}, "5", {"people": seat})
    assert not link_indexes("people", "crm:5", link) & image_indexes("crm", "contacts", "5", image_traits(image))


# ---------------------------------------------------------------- loops


def ping_pong(world: World) -> None:
    """Something in the shop writes each name back; one turn."""
    world.settle()
    if world.right.records["1"]["full_name"] != "theirs":
        world.right.edit("1", full_name="theirs")
    else:
        world.left.edit("1", name="ours")


def test_a_field_that_takes_the_same_two_values_in_turn_too_often_is_stopped() -> None:
    world = linked()
    turns = 0
    while world.settle().stands("crm", "1") != ("failing", "loop"):
        ping_pong(world)
        turns += 1
        assert turns < 30, "it flips for ever"
    assert turns > 10
    message = world.of("crm", "1").message or ""
    assert "'ours'" in message and "'theirs'" in message
    before = world.written()
    ping_pong(world)
    world.settle()
    assert world.written() == before


def test_the_same_turns_over_a_longer_time_are_no_loop() -> None:
    world = linked()
    for _ in range(40):
        ping_pong(world)
        world.clock(70)
    assert world.stands("crm", "1") == ("in_sync", None)


def test_different_values_in_quick_succession_are_no_loop() -> None:
    world = linked()
    for turn in range(40):
        world.left.edit("1", name=f"name {turn % 3}")
        world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)


def test_a_loop_goes_on_when_a_person_retries() -> None:
    world = linked()
    while world.settle().stands("crm", "1") != ("failing", "loop"):
        ping_pong(world)
    world.left.edit("1", name="settled")
    world.settle()
    world.order("retry")
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)
    assert world.right.records["1"]["full_name"] == "settled"


# ---------------------------------------------------------------- partial rows


def test_a_change_that_leaves_out_what_is_unchanged_blanks_nothing() -> None:
    world = linked(notes="long text")
    tick = world.left.journal.tick + 1
    world.left.journal.tick = tick
    world.left.records["1"]["name"] = "Anna"
    row = Row("1", {"id": 1, "email": "a@x.io", "name": "Anna", "phone": None}, Version(tick), committed_at=1.0)
    world.inbox.append(Captured("crm", "contacts", (row,)))
    world.settle()
    assert world.right.records["1"]["full_name"] == "Anna"
    world.left.delete("1")
    world.settle()
    world.order("restore", into="crm")
    world.settle()
    assert world.left.records["2"]["notes"] == "long text"


@pytest.mark.parametrize("exists", [True, False])
def test_a_partial_change_of_an_unknown_record_has_it_read_whole(exists: bool) -> None:
    world = people().start()
    world.left.create(email="a@x.io", name="Ann", notes="long")
    whole_row = world.left.log.popleft()[1]
    partial = {key: value for key, value in whole_row.values.items() if key != "notes"}
    world.inbox.append(Captured("crm", "contacts", (Row("1", partial, whole_row.version, committed_at=1.0),)))
    world.think_all()
    assert world.rows() == {}
    if not exists:
        world.left.delete("1")
    world.settle()
    assert len(world.right.records) == exists
    assert len(world.rows()) == exists


def test_what_was_read_whole_before_a_deletion_does_not_bring_the_record_back() -> None:
    world = people().start()
    world.left.create(email="a@x.io", name="Ann", notes="long")
    whole_row = world.left.log.popleft()[1]
    partial = {key: value for key, value in whole_row.values.items() if key != "notes"}
    world.inbox.append(Captured("crm", "contacts", (Row("1", partial, whole_row.version, committed_at=1.0),)))
    world.think_all()
    read = world.carry_out(world.commands.popleft())
    world.left.delete("1")
    world.take("crm")
    world.inbox.extend(read)
    world.settle()
    assert world.rows() == {}
    assert not world.right.records


def test_what_a_create_makes_that_was_refused_when_it_came_first_is_not_copied_back() -> None:
    world = deals().start()
    world.right.refuse = lambda command, stored: ("permission", "not now", None)
    world.left.create(name="Ann")
    world.take("crm")
    again = world.commands[0]  # whoever sent it ended before he knew, and sent it once more
    world.settle()
    assert world.stands("crm", "1") == ("failing", "permission")
    world.right.refuse = lambda command, stored: None
    world.commands.append(again)
    world.settle()
    assert world.of("crm", "1").sides["shop"].id == "1"
    assert (len(world.left.records), len(world.right.records)) == (1, 1)


@pytest.mark.parametrize("direction", ["both", "to shop"])
def test_an_update_that_was_done_before_the_account_went_down_is_not_taken_for_an_edit(direction: str) -> None:
    world = linked(people(direction=direction))
    world.left.edit("1", name="Bob")
    world.take("crm")
    order = world.commands.popleft()
    world.carry_out(order)  # whoever did it ended before he could say so
    world.right.down = True
    world.commands.append(order)
    world.deliver()
    world.left.edit("1", name="Ann")
    world.take("crm")
    world.account("shop", up=True)
    world.settle()
    world.clock()
    assert world.right.records["1"]["full_name"] == world.left.records["1"]["name"] == "Ann"


def test_an_update_that_waits_for_its_account_is_forgotten_when_the_rules_no_longer_ask_for_it() -> None:
    world = linked()
    world.right.down = True
    world.left.edit("1", name="Bob")
    world.settle()
    world.edit_rules(mapping=[one for one in MAPPING if one["crm"] != "name"])
    world.account("shop", up=True)
    world.settle()
    world.clock()
    assert world.right.records["1"]["full_name"] == "Ann"
    assert world.stands("crm", "1") == ("in_sync", None)
