"""What the history tells of a record: which values won and lost, by which rule, and which events told of them."""

from __future__ import annotations

from typing import Any

from rules.events import FieldChange, HistoryRow
from tests.rules.world import CUSTOMERS, World, changed, people


def both(**changes: Any) -> World:
    """Ann on both sides, linked."""
    world = people(**changes)
    world.left.create(email="ann@x.org", name="Ann", phone="1")
    world.right.create(mail="ann@x.org", full_name="Ann", tel="1")
    return world.start()


def last(world: World, action: str) -> HistoryRow:
    return next(row for row in reversed(world.history) if row.action == action)


def only_change(row: HistoryRow) -> FieldChange:
    (change,) = row.changes
    return change


def told(account: str, tick: int) -> str:
    return f"log {account}:1@0/{tick:X} at 1970-01-01T00:00:{tick:02}.000Z"


def test_a_conflict_names_both_values_the_rule_and_the_two_events() -> None:
    world = both()
    world.right.edit("1", full_name="Anna")
    world.left.edit("1", name="Anne")
    world.take("crm")
    world.take("shop")
    world.settle()
    conflict = last(world, "conflict")
    assert only_change(conflict) == FieldChange(
        "shop", "full_name", "Anna", "Anne", "conflict", "Anna", told("crm", 2), told("shop", 2)
    )


def test_the_events_are_those_of_the_field_not_of_what_came_last() -> None:
    world = both()
    world.turn(on=False)
    world.right.edit("1", full_name="Anna")
    world.left.edit("1", name="Anne")
    world.right.edit("1", memo="later")
    world.left.edit("1", notes="later")
    world.take("crm")
    world.take("shop")
    world.turn(on=True)
    change = next(one for one in last(world, "conflict").changes if one.field == "full_name")
    assert (change.event, change.lost_event) == (told("crm", 2), told("shop", 2))


def test_a_change_that_a_write_has_met_before_the_log_told_of_it_is_named_when_the_log_does() -> None:
    world = both()
    world.left.edit("1", name="Anne")
    world.take("crm")
    world.right.edit("1", full_name="Anna")  # the log of the shop tells of it later than the write meets it
    while world.deliver() or world.think():
        pass
    change = only_change(last(world, "conflict"))
    assert (change.lost, change.event) == ("Anna", told("crm", 2))
    assert change.lost_event.startswith("answer conflict of shop:1 at ")
    world.settle()
    late = only_change(last(world, "told"))
    assert (late.field, late.lost, late.event, late.lost_event) == (
        "full_name",
        "Anna",
        told("crm", 2),
        told("shop", 2),
    )
    assert world.right.records["1"]["full_name"] == "Anne"
    world.right.edit("1", full_name="Anna")
    world.settle()
    assert [row.action for row in world.history].count("told") == 1


def test_a_value_overwritten_at_linking_is_kept_with_its_event() -> None:
    world = both()
    world.right.create(mail="bob@x.org", full_name="Robert")
    world.left.create(email="bob@x.org", name="Bob")
    world.capture_all("shop")
    world.capture_all("crm")
    world.settle()
    assert world.left.records["2"]["name"] == "Bob"
    assert world.right.records["2"]["full_name"] == "Bob"
    update = last(world, "update")
    change = next(one for one in update.changes if one.field == "full_name")
    assert (change.rule, change.lost) == ("default_wins", "Robert")
    assert change.event == "log crm:2@0/2 at 1970-01-01T00:00:02.000Z"


def test_what_is_cleared_and_clears_nothing_is_told() -> None:
    world = both()
    world.left.edit("1", phone=None)
    world.settle()
    kept = only_change(last(world, "kept"))
    assert kept == FieldChange("shop", "tel", "1", "1", "skipped_empty", None, "", told("crm", 2))


def test_a_difference_that_the_direction_leaves_at_linking_is_told_once() -> None:
    world = people(direction="to shop", default="shop")
    world.left.create(email="ann@x.org", name="Ann")
    world.right.create(mail="ann@x.org", full_name="Anna")
    world.start()
    kept = only_change(last(world, "kept"))
    assert (kept.account, kept.field, kept.after, kept.lost, kept.rule) == ("crm", "name", "Ann", "Anna", "direction")
    world.left.edit("1", phone="2")
    world.settle()
    assert [row.action for row in world.history].count("kept") == 1


def test_what_a_pair_was_linked_by_is_told() -> None:
    world = both()
    linked = last(world, "linked")
    assert linked.note == "crm:1 with shop:1, by email ann@x.org"
    assert linked.records == ("crm:1", "shop:1")


def test_exclusions_and_failures_are_told_once_each_time_they_begin() -> None:
    world = people(filters={"crm": [{"field": "notes", "op": "eq", "value": "in"}]})
    world.left.create(email="ann@x.org")
    world.start()
    world.left.edit("1", name="Ann")
    world.settle()
    excluded = [row for row in world.history if row.action == "excluded"]
    assert [(row.key, row.note.split(":")[0]) for row in excluded] == [("crm:1", "filter")]

    required = changed(CUSTOMERS, tel={"required": True})
    world = people()
    world.right.object = required
    world.left.create(email="bob@x.org")
    world.start()
    world.left.edit("1", name="Bob")
    world.settle()
    failed = [row for row in world.history if row.action == "failed"]
    assert [(row.key, row.note.split(":")[0]) for row in failed] == [("crm:1", "missing_required")]
    world.left.edit("1", phone="1")
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)


def test_a_restored_record_is_told_with_its_new_id() -> None:
    world = both()
    world.right.delete("1")
    world.settle()
    assert world.of("crm", "1").gone == ("shop",)
    world.order("restore", into="shop")
    world.settle()
    restored = last(world, "restored")
    assert (restored.note, restored.records) == ("shop:1 is shop:2 now", ("crm:1", "shop:2", "shop:1"))
    assert world.of("crm", "1").gone == ()


def test_a_retry_is_told() -> None:
    world = people()
    world.right.refuse = lambda command, stored: ("invalid_value", "no", "tel")
    world.left.create(email="ann@x.org", phone="1")
    world.start()
    world.right.refuse = lambda command, stored: None
    world.order("retry")
    world.settle()
    assert last(world, "retry").cause == "work retry "
    assert world.stands("crm", "1") == ("in_sync", None)


def test_a_row_shows_which_events_told_of_its_values() -> None:
    world = both()
    assert world.of("crm", "1").sides["crm"].origins == {}
    world.left.edit("1", name="Anne")
    world.settle()
    row = world.of("crm", "1")
    assert row.sides["crm"].origins == {"name": told("crm", 2)}
    world.left.create(email="bob@x.org", name="Bob")
    world.settle()
    assert world.of("crm", "2").sides["crm"].origins == {"": "log crm:2@0/3 at 1970-01-01T00:00:03.000Z"}
