"""What a target refuses, how it shows, and when it is tried again (section 8)."""

from __future__ import annotations

import pytest

from rules.events import Answer
from tests.rules.linked import linked
from tests.rules.world import CUSTOMERS, MAPPING, changed, people


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
