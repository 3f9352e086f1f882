"""One command in flight per link, and what answers, echoes and edits meanwhile do to it (sections 4 and 8)."""

from __future__ import annotations

import pytest

from rules.events import Answer, Captured, Clock, Commands, Results, Row
from rules.state import Image, Link, Seat, image_indexes, image_traits, link_indexes
from rules.version import Version
from tests.rules.world import CUSTOMERS, MAPPING, World, changed, deals, people


def linked(world: World | None = None, **values: str) -> World:
    """Ann on both sides, in sync."""
    world = world or people()
    world.left.create(email="a@x.io", name="Ann", **values)
    return world.start()


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


# ---------------------------------------------------------------- echoes and answers


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


# ---------------------------------------------------------------- no answer, account down


def test_a_command_without_an_answer_for_five_minutes_is_sent_again_under_its_name() -> None:
    world = linked()
    world.left.edit("1", name="Anna")
    world.take("crm")
    lost = world.commands.popleft()
    world.clock(200)
    assert not world.commands and world.stands("crm", "1") == ("pending", None)
    world.now += 150
    world.clock()
    assert world.right.records["1"]["full_name"] == "Anna"
    assert world.right.writes[-1].token == lost.commands[0].token
    assert world.stands("crm", "1") == ("in_sync", None)


@pytest.mark.parametrize("op", ["create", "update"])
def test_a_command_whose_answer_was_lost_is_not_done_twice(op: str) -> None:
    world = people().start()
    world.left.create(email="a@x.io", name="Ann")
    if op == "update":
        world.settle()
        world.left.edit("1", name="Anna")
    world.take("crm")
    world.deliver()
    world.inbox.clear()  # the answer is lost
    world.right.log.clear()  # and the echo is late
    before = world.written()
    world.clock(301)
    assert world.written() == before
    assert (len(world.left.records), len(world.right.records)) == (1, 1)
    assert world.stands("crm", "1") == ("in_sync", None)


def test_an_unknown_outcome_keeps_the_command_and_sends_it_again_under_its_name() -> None:
    world = linked()
    world.left.edit("1", name="Anna")
    world.take("crm")
    (command,) = world.commands.popleft().commands
    unknown = Answer(command.sync, command.link, command.sequence, "unknown", message="timeout")
    world.inbox.append(Results("shop", "customers", (unknown,)))
    world.settle()
    assert world.stands("crm", "1") == ("pending", None)
    world.clock(301)
    assert world.right.writes[-1].token == command.token
    assert world.stands("crm", "1") == ("in_sync", None)


@pytest.mark.parametrize(("throttled", "category"), [(False, "unavailable"), (True, "rate_limited")])
def test_a_record_waits_for_an_account_that_is_down_and_goes_out_when_it_is_up(throttled: bool, category: str) -> None:
    world = linked()
    world.account("shop", up=False, reason="refused", throttled=throttled)
    world.left.edit("1", name="B")
    world.settle()
    world.left.edit("1", name="C")
    world.settle()
    assert world.stands("crm", "1") == ("pending", category)
    assert "shop" in (world.of("crm", "1").message or "") and "refused" in (world.of("crm", "1").message or "")
    assert world.syncs["people"].accounts == {"shop": "refused"}
    since = world.of("crm", "1").since
    world.clock(60)
    assert world.of("crm", "1").since >= since
    world.account("shop", up=True)
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)
    assert [command.values for command in world.right.writes[1:]] == [{"full_name": "C"}], "the state is the queue"


def test_the_other_direction_goes_on_while_an_account_is_down() -> None:
    world = linked()
    world.account("shop", up=False)
    world.right.edit("1", full_name="Bob")
    world.settle()
    assert world.left.records["1"]["name"] == "Bob"


def test_answers_tell_that_an_account_is_up_again() -> None:
    world = linked()
    world.left.create(email="b@x.io")
    world.take("crm")
    world.inbox.append(world.carry_out(world.commands.popleft())[0])
    answers = world.inbox.pop()
    world.account("shop", up=False)
    world.left.edit("1", name="Anna")
    world.take("crm")
    world.right.down = False
    world.inbox.append(answers)
    world.settle()
    assert world.right.records["1"]["full_name"] == "Anna"
    assert world.syncs["people"].accounts == {}


def test_deferred_answers_alone_are_tried_again_with_time() -> None:
    world = linked()
    world.right.down = True  # and nobody says so
    world.left.edit("1", name="Anna")
    world.settle()
    assert world.stands("crm", "1") == ("pending", "unavailable")
    world.right.down = False
    world.clock(1)
    assert world.stands("crm", "1") == ("in_sync", None)


def test_a_create_that_was_sent_again_is_not_sent_once_more_by_the_next_clock() -> None:
    world = people(kind="custom", mapping=MAPPING[1:]).start()
    world.right.down = True
    world.left.create(name="Ann")
    world.settle()
    world.right.down = False
    for seconds in (1, 1, 1):
        world.now += seconds
        world.inbox.append(Clock())
        world.think_all()
    assert len(world.commands) == 1


def test_a_command_tells_when_the_oldest_change_that_it_carries_was_made() -> None:
    world = linked()
    world.account("shop", up=False)
    for name in ("one", "two"):
        world.left.edit("1", name=name)
        world.settle()
    world.account("shop", up=True)
    world.settle()
    oldest = world.left.journal.tick - 1
    assert [command.committed_at for command in world.right.writes[1:]] == [oldest]


def test_one_record_tries_an_account_whose_return_nobody_has_told() -> None:
    world = linked()
    world.account("shop", up=False)
    world.left.edit("1", name="B")
    world.settle()
    world.right.down = False
    world.clock(10)
    assert world.stands("crm", "1") == ("pending", "unavailable")
    world.clock(31)
    assert world.stands("crm", "1") == ("in_sync", None)


def test_a_create_that_was_done_and_is_deferred_when_it_is_delivered_again_is_not_done_twice() -> None:
    world = people(kind="custom", mapping=MAPPING[1:]).start()
    world.left.create(name="Ann")
    world.take("crm")
    order = world.commands[0]
    world.deliver()
    world.inbox.clear()  # whoever did it ended before he could say so
    world.right.log.clear()
    world.right.down = True
    world.commands.append(order)
    world.left.edit("1", name="Anna")
    world.settle()
    assert world.stands("crm", "1") == ("pending", "unavailable")
    world.right.down = False
    world.clock(1)
    assert [one["full_name"] for one in world.right.records.values()] == ["Anna"]
    assert world.stands("crm", "1") == ("in_sync", None)


def test_an_update_of_which_one_copy_was_put_off_and_another_done_is_no_edit_of_the_target() -> None:
    world = linked()
    world.right.edit("1", full_name="Anna")
    world.take("shop")
    order = world.commands[0]
    world.right.edit("1", full_name="Annie")
    world.take("shop")
    world.left.down = True
    world.deliver()
    world.left.down = False
    world.inbox.extend(world.carry_out(order))
    world.think_all()
    world.settle()
    assert world.right.records["1"]["full_name"] == "Annie"
    assert world.left.records["1"]["name"] == "Annie"


def test_what_was_to_be_created_is_not_when_its_record_is_deleted_while_the_account_is_down() -> None:
    world = people().start()
    world.right.down = True
    world.left.create(email="a@x.io")
    world.settle()
    world.left.delete("1")
    world.settle()
    world.right.down = False
    world.clock(1)
    assert (world.rows(), world.right.records) == ({}, {})


def test_a_create_that_was_deferred_is_no_obstacle_for_a_record_that_appears_meanwhile() -> None:
    world = people().start()
    world.account("shop", up=False)
    world.left.create(email="a@x.io", name="Ann")
    world.settle()
    world.right.create(mail="a@x.io", tel="1")
    world.settle()
    world.account("shop", up=True)
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (1, 1)
    assert world.right.records["1"]["full_name"] == "Ann"


# ---------------------------------------------------------------- refused


def test_what_the_target_refuses_as_a_whole_is_failing_and_a_dead_letter() -> None:
    world = people().start()
    world.right.refuse = lambda command, stored: ("permission", "INSERT is not granted", None)
    world.left.create(email="a@x.io")
    world.settle()
    row = world.of("crm", "1")
    assert (row.status, row.category) == ("failing", "permission")
    assert "INSERT is not granted" in (row.message or "") and "shop" in (row.message or "")
    (letter,) = world.dead_letters
    assert (letter.category, letter.sync, letter.key, letter.account) == ("permission", "people", "crm:1", "shop")
    assert letter.command is not None and "a@x.io" in letter.command


def test_a_refused_command_is_not_sent_again_until_something_changes() -> None:
    world = linked()
    world.right.refuse = lambda command, stored: ("permission", "no", None)
    world.left.edit("1", name="B")
    world.settle()
    letters = len(world.dead_letters)
    world.order("resync")
    world.settle()
    world.clock(1000)
    assert len(world.dead_letters) == letters
    world.right.refuse = lambda command, stored: None
    world.left.edit("1", name="C")
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)


@pytest.mark.parametrize("named", [(), ("crm:1",), ("1",)])
def test_a_refused_command_is_sent_again_on_demand(named: tuple[str, ...]) -> None:
    world = linked()
    world.right.refuse = lambda command, stored: ("permission", "no", None)
    world.left.edit("1", name="B")
    world.settle()
    world.right.refuse = lambda command, stored: None
    world.order("retry", records=named, category="invalid_value")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "permission"), "another category"
    world.order("retry", records=named, category="permission")
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)
    assert world.right.records["1"]["full_name"] == "B"


def test_a_retry_of_a_category_reaches_what_shows_another_first() -> None:
    """Two fields are refused, each for a reason of its own; the record shows the one."""
    world = linked()
    refused = {"full_name": ("invalid_value", "too long", "full_name"), "tel": ("permission", "no", "tel")}
    world.right.refuse = lambda command, stored: next(
        (why for one, why in refused.items() if one in command.values), None
    )
    world.left.edit("1", name="B", phone="2")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "invalid_value")
    del refused["tel"]
    world.order("retry", category="permission")
    world.settle()
    assert world.right.records["1"]["tel"] == "2"
    assert world.stands("crm", "1") == ("failing", "invalid_value")


def test_a_refused_value_fails_its_field_alone_and_blanks_nothing() -> None:
    world = linked()
    world.right.refuse = lambda command, stored: (
        ("invalid_value", "too rude", "full_name") if command.values.get("full_name") == "Rude" else None
    )
    world.left.edit("1", name="Rude", phone="1")
    world.settle()
    row = world.of("crm", "1")
    assert (row.status, row.category) == ("failing", "invalid_value")
    assert all(part in (row.message or "") for part in ("shop.full_name", "'Rude'", "too rude"))
    assert (world.right.records["1"]["tel"], world.right.records["1"]["full_name"]) == ("1", "Ann")
    world.left.edit("1", phone="2")
    world.settle()
    assert world.right.records["1"]["tel"] == "2"
    assert world.stands("crm", "1") == ("failing", "invalid_value")
    world.left.edit("1", name="Nice")
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)


def test_a_record_that_is_refused_in_several_ways_comes_to_rest() -> None:
    world = people()
    world.right.unique = ("tel",)
    world.left.create(email="a@x.io", phone="1")
    world.left.create(email="b@x.io", phone="2")
    world.start()
    world.right.refuse = lambda command, stored: (
        ("invalid_value", "too rude", "full_name") if "full_name" in command.values else None
    )
    world.left.refuse = lambda command, stored: ("permission", "no", None)
    world.left.edit("2", name="Rude", phone="1")
    world.right.edit("2", mail="new@x.io")
    world.take("crm")
    world.take("shop")
    world.settle(200)
    assert world.of("crm", "2").status == "failing"
    assert len(world.dead_letters) == 3


def test_a_create_with_a_refused_value_goes_without_it_and_shows_that() -> None:
    world = people().start()
    world.right.refuse = lambda command, stored: (
        ("invalid_value", "too rude", "full_name") if command.values.get("full_name") == "Rude" else None
    )
    world.left.create(email="a@x.io", name="Rude", phone="1")
    world.settle()
    assert world.right.records["1"]["tel"] == "1"
    assert world.stands("crm", "1") == ("failing", "invalid_value")
    assert len(world.dead_letters) == 1, "the refused value is not sent a second time"


def test_a_create_with_a_refused_value_in_a_required_field_is_failing_and_says_why() -> None:
    world = people()
    world.right.object = changed(CUSTOMERS, full_name={"required": True})
    world.start()
    world.right.refuse = lambda command, stored: ("invalid_value", "too rude", "full_name")
    world.left.create(email="a@x.io", name="Rude")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "invalid_value")
    assert "too rude" in (world.of("crm", "1").message or "")


def test_what_was_refused_is_not_shown_any_more_when_the_value_is_gone() -> None:
    world = people()
    world.right.object = changed(CUSTOMERS, full_name={"required": True})
    world.start()
    world.right.refuse = lambda command, stored: (
        ("invalid_value", "too rude", "full_name") if "full_name" in command.values else None
    )
    world.left.create(email="a@x.io", name="Rude")
    world.settle()
    world.left.edit("1", name=None)
    world.settle()
    assert world.stands("crm", "1") == ("failing", "missing_required")


def test_a_create_without_a_required_value_is_failing_and_names_the_field() -> None:
    world = people()
    world.right.object = changed(CUSTOMERS, full_name={"required": True})
    world.start()
    world.left.create(email="a@x.io")
    world.settle()
    row = world.of("crm", "1")
    assert (row.status, row.category) == ("failing", "missing_required")
    assert "shop.full_name" in (row.message or "") and "crm:1" in (row.message or "")
    world.left.edit("1", name="Ann")
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)


def test_a_required_mapping_holds_a_record_back_as_a_required_field_does() -> None:
    world = people(mapping=[MAPPING[0], {**MAPPING[1], "required": True}]).start()
    world.left.create(email="a@x.io")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "missing_required")


def test_a_create_that_is_refused_a_field_and_meets_a_record_of_another_link_comes_to_rest() -> None:
    world = people()
    world.left.create(email="a@x.io")
    world.start()
    world.right.refuse = lambda command, stored: (
        ("invalid_value", "too rude", "full_name") if "full_name" in command.values else None
    )
    world.left.edit("1", email="b@x.io")
    world.take("crm")
    world.commands.clear()  # the shop still has a@x.io
    world.left.create(email="a@x.io", name="Rude")
    world.settle(200)
    assert world.stands("crm", "2") == ("failing", "duplicate")


def test_the_targets_own_unique_rule_is_a_duplicate_tried_again_when_the_record_in_its_way_changes() -> None:
    world = people()
    world.right.unique = ("tel",)
    world.left.create(email="a@x.io", phone="1")
    world.left.create(email="b@x.io", phone="2")
    world.start()
    world.left.edit("2", phone="1")
    world.settle()
    row = world.of("crm", "2")
    assert (row.status, row.category) == ("failing", "duplicate")
    assert all(word in (row.message or "") for word in ("tel", "crm:2", "shop:1")), "it names both records"
    world.left.edit("1", phone="3")
    world.settle()
    assert world.stands("crm", "2") == ("in_sync", None)
    assert world.right.records["2"]["tel"] == "1"


def test_conflicts_that_show_no_difference_do_not_go_on_for_ever() -> None:
    world = linked()
    answer = world.right.answer

    def always_conflict(command):  # type: ignore[no-untyped-def]
        if command.op == "create":
            return answer(command)
        values = dict(world.right.records["1"])
        return Answer(command.sync, command.link, command.sequence, "conflict", "1", values, world.right.version())

    world.right.answer = always_conflict  # type: ignore[method-assign]
    world.left.edit("1", name="B")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "unknown")


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
