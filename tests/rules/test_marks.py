"""How `wait` learns that all that was done before it has been carried through."""

from __future__ import annotations

from rules.events import Marked, SetMark
from tests.rules.world import World, people


def linked() -> World:
    """Ann on both sides, in sync."""
    world = people()
    world.left.create(email="a@x.io", name="Ann")
    return world.start()


def wait(world: World, sync: str | None = "people", mark: str = "m") -> None:
    """`tandem wait`: the mark goes through both logs and the inbox."""
    for account in world.accounts:
        world.commands.append(SetMark(account, mark))
    world.order("wait", sync, mark=mark)  # type: ignore[arg-type]


def is_answered(world: World, mark: str = "m", sync: str = "people") -> bool:
    """Whether the one who waits has been told."""
    return mark in world.syncs[sync].answered


def test_a_mark_is_answered_when_it_has_come_by_in_both_logs_and_nothing_is_open() -> None:
    world = linked()
    world.order("wait", mark="m")
    world.settle()
    assert not is_answered(world)
    world.inbox.append(Marked("crm", "m"))
    world.settle()
    assert not is_answered(world)
    world.inbox.append(Marked("shop", "m"))
    world.settle()
    assert is_answered(world)


def test_it_waits_for_commands_that_were_issued_before() -> None:
    world = linked()
    world.left.edit("1", name="A")
    world.take("crm")
    command = world.commands.popleft()
    wait(world)
    world.settle()
    assert not is_answered(world)
    world.commands.append(command)
    world.settle()
    assert is_answered(world)


def test_it_waits_for_an_edit_that_came_while_a_command_was_on_its_way() -> None:
    world = linked()
    world.left.edit("1", name="A")
    world.take("crm")
    world.left.edit("1", name="B")
    world.take("crm")
    first = world.commands.popleft()
    wait(world)
    world.settle()
    world.inbox.extend(world.carry_out(first))
    world.think_all()
    assert world.right.records["1"]["full_name"] == "A"
    assert not is_answered(world), "the second edit was made before, too"
    world.settle()
    assert is_answered(world)
    assert world.right.records["1"]["full_name"] == "B"


def test_it_waits_for_a_command_that_met_a_conflict_and_went_out_anew() -> None:
    world = linked()
    world.left.edit("1", name="A")
    world.take("crm")
    world.right.edit("1", full_name="B")
    first = world.commands.popleft()
    wait(world)
    world.settle()
    world.inbox.extend(world.carry_out(first))
    world.think_all()
    assert not is_answered(world)
    world.settle()
    assert is_answered(world)


def test_it_waits_for_what_waits_for_an_account_also_when_that_goes_out() -> None:
    world = linked()
    world.account("shop", up=False)
    world.left.edit("1", name="A")
    world.settle()
    wait(world)
    world.settle()
    assert not is_answered(world)
    world.account("shop", up=True)
    world.think_all()
    assert world.commands and not is_answered(world)
    world.settle()
    assert is_answered(world)


def test_it_waits_for_a_record_that_waits_for_an_answer() -> None:
    world = people().start()
    world.left.create(email="a@x.io")
    world.right.create(mail="a@x.io", tel="1")
    world.take("crm")
    world.take("shop")
    create = world.commands.popleft()
    wait(world)
    world.settle()
    assert not is_answered(world)
    world.inbox.extend(world.carry_out(create))
    world.think_all()
    assert not is_answered(world), "what follows from it is on its way"
    world.settle()
    assert is_answered(world)


def test_it_does_not_wait_for_what_comes_after_it() -> None:
    world = linked()
    wait(world)
    for _ in range(2):
        world.deliver()
    world.left.edit("1", name="later")
    world.take("crm")
    assert world.commands and is_answered(world)


def test_it_waits_for_no_failing_record() -> None:
    world = linked()
    world.right.refuse = lambda command, stored: ("permission", "no", None)
    world.left.edit("1", name="A")
    wait(world)
    world.settle()
    assert is_answered(world)


def test_it_waits_for_the_first_sync_and_for_edited_rules() -> None:
    world = people()
    world.left.create(email="a@x.io", notes="n")
    wait(world)
    world.think_all()
    for _ in range(2):
        world.deliver()
    world.think_all()
    world.apply()
    world.think_all()
    assert not is_answered(world)
    world.settle()
    assert is_answered(world), "it was asked before there was a sync"


def test_it_waits_for_no_sync_that_is_off_or_stopped() -> None:
    world = linked()
    other = {**world.document["syncs"]["people"], "between": {"crm": "contacts", "shop": "customers"}}
    world.document["syncs"]["more"] = other
    world.apply()
    world.settle()
    world.turn("more", on=False)
    wait(world, None)
    world.settle()
    assert is_answered(world)
    assert not is_answered(world, sync="more")


def stopped() -> World:
    """A sync that has stopped before an object that reads empty."""
    world = linked()
    for record_id in list(world.left.records):
        del world.left.records[record_id]
    world.order("resync")
    world.settle()
    assert world.syncs["people"].state == "stopped"
    return world


def test_a_sync_that_has_stopped_answers_at_once() -> None:
    world = stopped()
    wait(world, "people")
    world.think_all()
    assert is_answered(world)


def test_a_sync_that_was_confirmed_before_is_waited_for() -> None:
    world = stopped()
    world.order("confirm")
    wait(world, "people")
    world.think()
    world.think()
    assert not is_answered(world)
    world.settle()
    assert is_answered(world)
    assert world.stands("shop", "1") == ("failing", "deleted")


def test_a_sync_that_stops_while_it_is_waited_for_answers_then() -> None:
    world = linked()
    for record_id in list(world.left.records):
        del world.left.records[record_id]
    world.order("resync")
    wait(world, "people")
    world.think()
    world.think()
    assert not is_answered(world)
    world.settle()
    assert world.syncs["people"].state == "stopped"
    assert is_answered(world)


def test_without_a_name_it_is_answered_for_every_sync() -> None:
    world = linked()
    world.document["syncs"]["more"] = dict(world.document["syncs"]["people"])
    world.apply()
    wait(world, None)
    world.settle()
    assert is_answered(world) and is_answered(world, sync="more")


def test_marks_are_forgotten() -> None:
    world = linked()
    for number in range(50):
        wait(world, mark=f"m{number}")
        world.settle()
    assert len(world.syncs["people"].answered) == 20
    world.order("wait", mark="lost")
    world.settle()
    before = world.view.entries[b"C"]
    assert b"lost" in before
    world.clock(4000)
    assert b"lost" not in world.view.entries[b"C"]
