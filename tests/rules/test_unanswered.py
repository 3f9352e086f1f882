"""No answer comes, or the account is down: what waits, what is sent again (section 8)."""

from __future__ import annotations

import pytest

from rules.events import Answer, Clock, Results
from tests.rules.linked import linked
from tests.rules.world import MAPPING, people


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
