"""Section 7: rules edited while the sync runs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import rules.work
from rules.catalog import Field, FieldType, Kind
from rules.events import FieldsChanged
from tests.rules.world import CUSTOMERS, MAPPING, World, changed, deals, people

NOTES: Any = {"crm": "notes", "shop": "memo"}


def linked(world: World | None = None, count: int = 1) -> World:
    """Records on both sides, in sync, with notes that no mapping names."""
    world = world or people()
    for number in range(1, count + 1):
        world.left.create(email=f"{number}@x.io", name=f"Ann {number}", notes=f"note {number}")
    return world.start()


def test_a_new_mapping_is_filled_for_linked_records_as_at_linking() -> None:
    world = linked(count=2)
    world.right.edit("2", memo="theirs")
    world.settle()
    world.edit_rules(mapping=[*MAPPING, NOTES])
    assert world.right.records["1"]["memo"] == "note 1"
    assert world.right.records["2"]["memo"] == "note 2", "they differ: the default side wins"
    assert world.syncs["people"].state == "live", "without a full read"


def test_a_removed_mapping_is_forgotten_and_counts_as_new_when_it_comes_back() -> None:
    world = linked()
    world.edit_rules(mapping=MAPPING[:2])
    world.left.edit("1", phone="1")
    world.settle()
    assert world.right.records["1"]["tel"] is None
    world.right.edit("1", tel="2")
    world.settle()
    world.edit_rules(mapping=MAPPING)
    assert world.right.records["1"]["tel"] == "1", "as at linking, not as a change against the old base"


def test_a_mapping_that_is_switched_off_and_on_counts_as_removed_and_new() -> None:
    world = linked()
    world.edit_rules(mapping=[*MAPPING[:2], {**MAPPING[2], "enabled": False}])
    world.right.edit("1", tel="2")
    world.settle()
    assert world.left.records["1"]["phone"] is None
    world.edit_rules(mapping=MAPPING)
    assert world.left.records["1"]["phone"] == "2"


def test_a_mapping_whose_values_are_edited_counts_as_removed_and_new() -> None:
    levels = [MAPPING[0], {"crm": "name", "shop": "full_name", "values": {"gold": "A", "silver": "B"}}]
    world = people(mapping=levels)
    world.left.create(email="a@x.io", name="gold")
    world.start()
    assert world.right.records["1"]["full_name"] == "A"
    other = [MAPPING[0], {"crm": "name", "shop": "full_name", "values": {"gold": "C", "silver": "B"}}]
    world.edit_rules(mapping=other)
    assert world.right.records["1"]["full_name"] == "C"
    assert world.left.records["1"]["name"] == "gold"


def test_a_field_that_got_another_type_is_merged_as_at_linking() -> None:
    world = people()
    world.left.create(email="a@x.io", name="7")
    world.start()
    world.right.object = changed(CUSTOMERS, full_name={"type": FieldType(Kind.INTEGER, bits=64)})
    world.right.records["1"]["full_name"] = 7
    world.right.report("1")
    world.apply()
    before = world.written()
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)
    assert world.written() == before


def test_filters_touch_no_linked_record_and_judge_every_other_again() -> None:
    world = people(filters={"crm": [{"field": "phone", "op": "eq", "value": "ES"}]})
    world.left.create(email="es@x.io", phone="ES")
    world.left.create(email="fr@x.io", phone="FR")
    world.start()
    world.edit_rules(filters={"crm": [{"field": "phone", "op": "eq", "value": "FR"}]})
    assert world.stands("crm", "1") == ("in_sync", None)
    assert world.stands("crm", "2") == ("in_sync", None)
    world.left.edit("1", name="still in")
    world.settle()
    assert world.right.records["1"]["full_name"] == "still in"


def test_records_without_an_identifier_enter_when_none_is_required_any_more() -> None:
    world = linked()
    world.left.create(name="no mail")
    world.settle()
    world.edit_rules(require_identifier=False)
    assert world.stands("crm", "2") == ("in_sync", None)


def test_edited_identifiers_leave_links_and_judge_the_rest_by_the_new_ones() -> None:
    world = linked()
    world.left.create(name="Bob")
    world.right.create(full_name="Bob")
    world.settle()
    world.edit_rules(
        kind="custom", require_identifier=True, mapping=[MAPPING[0], {**MAPPING[1], "identifier": "name"}, MAPPING[2]]
    )
    assert world.stands("crm", "2") == ("in_sync", None)
    assert len(world.rows()) == 2
    assert world.of("crm", "1").sides["shop"].id == "1"
    world.right.create(full_name="Ann 1")
    world.settle()
    assert world.stands("shop", "3") == ("failing", "duplicate"), "linked records are found by the new identifier too"


def test_a_widened_direction_compares_against_the_bases() -> None:
    world = linked(people(direction="to shop"))
    world.right.edit("1", full_name="theirs")
    world.settle()
    assert world.left.records["1"]["name"] == "Ann 1"
    world.edit_rules(direction="both", default="crm")
    assert world.left.records["1"]["name"] == "theirs"


def test_a_narrowed_direction_writes_the_other_side_no_more() -> None:
    world = linked()
    world.edit_rules(direction="to shop")
    world.right.edit("1", full_name="theirs")
    world.settle()
    assert world.left.records["1"]["name"] == "Ann 1"
    world.left.edit("1", name="ours")
    world.settle()
    assert world.right.records["1"]["full_name"] == "ours"


def test_another_default_counts_from_the_next_conflict_on() -> None:
    world = linked()
    before = world.written()
    world.edit_rules(default="shop")
    assert world.written() == before
    world.left.edit("1", name="left")
    world.right.edit("1", full_name="right")
    world.settle()
    assert world.left.records["1"]["name"] == "right"


def test_what_failed_is_tried_again_under_the_new_rules() -> None:
    world = linked()
    world.right.refuse = lambda command, stored: ("invalid_value", "no", "tel") if "tel" in command.values else None
    world.left.edit("1", phone="1")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "invalid_value")
    world.edit_rules(mapping=MAPPING[:2])
    assert world.stands("crm", "1") == ("in_sync", None)


def test_records_met_while_the_rules_are_carried_through_follow_the_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules.work, "SLICE", 2)
    world = linked(count=9)
    world.document["syncs"]["people"]["mapping"] = [*MAPPING, NOTES]
    world.apply()
    world.left.edit("9", notes="edited", name="New 9")
    world.left.create(email="new@x.io", notes="new")
    world.capture_all("crm")
    world.settle()
    assert world.right.records["9"]["memo"] == "edited"
    assert world.right.records["9"]["full_name"] == "New 9"
    assert [one["memo"] for one in world.right.records.values() if one["mail"] == "new@x.io"] == ["new"]
    assert all(one["memo"] for one in world.right.records.values())
    world.agree()


def test_rules_edited_twice_in_quick_succession_end_as_the_last_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules.work, "SLICE", 2)
    world = linked(count=9)
    for mapping in ([*MAPPING, NOTES], MAPPING[:2], [*MAPPING[:2], NOTES]):
        world.document["syncs"]["people"]["mapping"] = mapping
        world.apply()
        for _ in range(3):
            world.think()
    world.settle()
    assert all(one["memo"] for one in world.right.records.values())
    world.agree()


def test_an_order_to_apply_that_is_older_than_what_runs_changes_nothing() -> None:
    world = people()
    world.apply()
    old = world.inbox.pop()
    world.document["syncs"]["people"]["mapping"] = [*MAPPING, NOTES]
    linked(world)
    assert world.right.records["1"]["memo"] == "note 1"
    world.inbox.append(old)
    world.left.edit("1", notes="new")
    world.settle()
    assert world.right.records["1"]["memo"] == "new"


def test_the_same_rules_applied_again_touch_nothing() -> None:
    world = linked(count=3)
    before = (world.written(), len(world.history))
    world.apply()
    world.settle()
    assert (world.written(), len(world.history)) == before


def test_what_could_not_be_created_before_the_direction_was_narrowed_is_excluded_and_enters_when_it_is_widened() -> (
    None
):
    world = people().start()
    world.right.refuse = lambda command, stored: ("permission", "not now", None)
    world.left.create(email="1@x.io")
    world.settle()
    world.right.refuse = lambda command, stored: None
    world.edit_rules(direction="to crm")
    assert world.stands("crm", "1") == ("excluded", "direction")
    world.order("retry")
    world.settle()
    assert world.written() == 0
    world.edit_rules(direction="both")
    assert world.stands("crm", "1") == ("in_sync", None)


@pytest.mark.parametrize("what", ["create", "restore"])
def test_what_waits_for_its_account_while_the_direction_is_narrowed_is_not_created(what: str) -> None:
    world = linked()
    world.right.delete("1")
    world.settle()
    world.right.down = True
    if what == "restore":
        world.account("shop", up=False)
        world.order("restore", into="shop")
    else:
        world.left.create(email="new@x.io")
    world.settle()
    world.edit_rules(direction="to crm")
    world.account("shop", up=True)
    world.settle()
    world.clock()
    assert world.right.records == {}
    assert world.stands("crm", "1") == ("failing", "deleted")
    if what == "create":
        assert world.stands("crm", "2") == ("excluded", "direction")


@pytest.mark.parametrize("op", ["update", "create"])
def test_a_command_without_an_answer_is_not_sent_again_when_the_rules_no_longer_allow_it(op: str) -> None:
    world = linked()
    if op == "update":
        world.left.edit("1", name="New")
    else:
        world.left.create(email="new@x.io")
    world.take("crm")
    world.commands.clear()
    world.edit_rules(direction="to crm")
    world.clock(400)
    world.clock(400)
    assert list(world.right.records) == ["1"]
    assert world.right.records["1"]["full_name"] == "Ann 1"
    expected = ("in_sync", None) if op == "update" else ("excluded", "direction")
    assert world.stands("crm", "1" if op == "update" else "2") == expected


def test_what_was_on_its_way_when_the_values_of_a_mapping_were_edited_is_followed_by_what_they_say_now() -> None:
    def mapping(second: str) -> list[Any]:
        return [MAPPING[0], {"crm": "phone", "shop": "tel", "values": {"a": "1", "b": second}}]

    world = people(mapping=mapping("2"))
    world.left.create(email="1@x.io", phone="a")
    world.start()
    world.left.edit("1", phone="b")
    world.take("crm")
    world.edit_rules(mapping=mapping("3"))
    assert world.right.records["1"]["tel"] == "3"
    assert world.left.records["1"]["phone"] == "b"


def with_a_default(world: World, field: str, value: str) -> None:
    """The CRM gets a field that holds a value in every record, of which its log says nothing."""
    more = Field(field, FieldType(Kind.TEXT, native="text"))
    world.left.object = msgspec.structs.replace(world.left.object, fields=(*world.left.object.fields, more))
    for record in world.left.records.values():
        record[field] = value
    world.left.journal.tick += 1


def test_a_field_that_rules_name_and_that_was_not_there_before_is_read_with_what_it_holds_by_default() -> None:
    world = linked(count=3)
    world.right.edit("2", memo="theirs")
    world.settle()
    with_a_default(world, "rank", "bronze")
    world.edit_rules(mapping=[*MAPPING, {"crm": "rank", "shop": "memo", "direction": "to shop"}])
    assert [record["memo"] for record in world.right.records.values()] == ["bronze"] * 3
    assert world.left.writes == []


def test_a_filter_on_such_a_field_is_judged_by_what_it_holds_too() -> None:
    world = people(filters={"crm": [{"field": "name", "op": "eq", "value": "nobody"}]})
    world.left.create(email="a@x.io", name="Ann")
    world.start()
    assert world.stands("crm", "1") == ("excluded", "filter")
    with_a_default(world, "rank", "bronze")
    world.edit_rules(filters={"crm": [{"field": "rank", "op": "eq", "value": "bronze"}]})
    assert world.stands("crm", "1") == ("in_sync", None)


def test_a_field_that_no_rule_names_needs_no_read_though_it_is_new() -> None:
    world = linked()
    with_a_default(world, "rank", "bronze")
    world.apply()
    world.think_all()
    assert world.syncs["people"].state == "live"
    assert list(world.commands) == []


def test_a_mapped_field_that_was_gone_and_is_there_again_is_read_with_what_it_holds_now() -> None:
    world = linked()
    fields = tuple((field.name, field.type.native) for field in world.left.object.fields)
    world.inbox.append(FieldsChanged("crm", "contacts", tuple(one for one in fields if one[0] != "phone")))
    world.settle()
    assert world.stands("crm", "1") == ("failing", "schema")
    world.left.records["1"]["phone"] = "+41"  # by a default: no log tells of it
    world.left.journal.tick += 1
    world.inbox.append(FieldsChanged("crm", "contacts", fields))
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)
    assert world.right.records["1"]["tel"] == "+41"


def test_fields_that_are_told_again_as_they_were_cost_no_read() -> None:
    world = linked()
    world.inbox.append(
        FieldsChanged("crm", "contacts", tuple((f.name, f.type.native) for f in world.left.object.fields))
    )
    world.think_all()
    assert list(world.commands) == []


def test_what_was_created_unheard_of_before_the_direction_was_narrowed_is_not_copied_back() -> None:
    world = deals().start()
    world.left.create(name="Ann")
    world.take("crm")
    world.deliver()
    world.inbox.clear()
    told = list(world.right.log)
    world.right.log.clear()
    world.edit_rules(direction="to crm")
    world.clock(400)
    assert world.stands("crm", "1") == ("excluded", "direction")
    world.right.log.extend(told)
    world.settle()
    assert world.of("crm", "1").sides["shop"].id == "1"
    assert (len(world.left.records), len(world.right.records)) == (1, 1)
