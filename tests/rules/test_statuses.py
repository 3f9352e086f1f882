"""Section 8: every record known to a sync stands in exactly one row, and each row says what the matter is."""

from __future__ import annotations

import pytest

from rules.catalog import FieldType, Kind
from rules.events import FieldsChanged
from rules.remedies import remedy
from tests.rules.world import CUSTOMERS, MAPPING, App, World, changed, people

CATEGORIES = [
    "missing_required",
    "invalid_value",
    "duplicate",
    "deleted",
    "merged",
    "permission",
    "unavailable",
    "rate_limited",
    "schema",
    "loop",
    "association",
    "unknown",
]


def zoo() -> World:
    """A record of each kind."""
    world = people(filters={"crm": [{"field": "notes", "op": "ne", "value": "out"}]})
    world.right.refuse = lambda command, stored: (
        ("permission", "no", None) if command.values.get("full_name") == "Forbidden" else None
    )
    world.left.create(email="sync@x.io", name="In sync")
    world.left.create(email="sync@x.io", name="Twin")
    world.left.create(email="out@x.io", notes="out")
    world.left.create(name="No mail")
    world.left.create(email="no@x.io", name="Forbidden")
    world.right.create(mail="lone@x.io")
    world.start()
    world.left.create(email="gone@x.io")
    world.settle()
    world.right.delete(world.of("crm", "7").sides["shop"].id)
    world.settle()
    world.account("crm", up=False)
    world.right.create(mail="wait@x.io")
    return world.settle()


def test_every_record_stands_in_exactly_one_row() -> None:
    world = zoo()
    for app in (world.left, world.right):
        for record_id in app.records:
            world.of(app.account, record_id)  # asserts that it is one
    shown = sorted((row.status or "", row.category or "") for row in world.rows().values())
    assert shown == [
        ("excluded", "filter"),
        ("excluded", "no_identifier"),
        ("failing", "deleted"),
        ("failing", "duplicate"),
        ("failing", "permission"),
        ("in_sync", ""),
        ("in_sync", ""),
        ("pending", "unavailable"),
    ]


def test_counts_are_those_of_the_rows() -> None:
    world = zoo()
    world.clock(1)
    assert world.syncs["people"].counts == {"in_sync": 2, "failing": 3, "excluded": 2, "pending": 1}


@pytest.mark.parametrize("idle", ["off", "stopped"])
def test_the_counts_of_a_sync_that_is_off_or_stopped_are_shown_as_they_become(idle: str) -> None:
    world = people(deletes="propagate", max_deletes=1).start()
    for number in range(3):
        world.left.create(email=f"{number}@x.io")
    world.settle()
    if idle == "off":
        world.left.edit("1", name="Ann")
        world.take("crm")
        world.off = ["people"]
        world.apply()
    else:
        for number in (1, 2, 3):
            world.left.delete(str(number))
        world.take("crm")
    world.think_all()
    assert world.syncs["people"].state == idle
    assert world.deliver()  # what was on its way is done all the same
    world.settle()
    world.clock()
    shown = [row.status for row in world.rows().values()]
    assert world.syncs["people"].counts == {status: shown.count(status) for status in set(shown)}


def test_every_failing_row_says_what_is_the_matter_and_what_to_do() -> None:
    for row in zoo().rows().values():
        if row.status in ("failing", "excluded"):
            assert row.message and row.remedy, row


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_category_has_a_remedy_of_its_own(category: str) -> None:
    text = remedy(None, "failing", category, "x")
    others = {remedy(None, "failing", other, "x") for other in CATEGORIES if other != category}
    assert text and text not in others


def test_a_linked_pair_is_one_row_with_both_sides_and_their_mapped_fields() -> None:
    row = zoo().of("crm", "1")
    assert row.sides["crm"].fields == {"email": "sync@x.io", "name": "In sync", "phone": None}
    assert row.sides["shop"].fields == {"mail": "sync@x.io", "full_name": "In sync", "tel": None}


def test_a_record_that_becomes_linked_keeps_its_row() -> None:
    world = people().start()
    world.left.create(name="Ann")
    world.settle()
    assert list(world.rows()) == ["crm:1"]
    world.left.edit("1", email="a@x.io")
    world.settle()
    assert list(world.rows()) == ["crm:1"]


def test_the_row_shows_the_new_values_of_both_sides() -> None:
    world = people()
    world.left.create(email="a@x.io", name="Ann")
    world.start()
    world.right.edit("1", full_name="Bob")
    world.settle()
    assert world.row("crm:1").sides["crm"].fields["name"] == "Bob"
    assert world.row("crm:1").sides["shop"].fields["full_name"] == "Bob"


def test_since_is_when_the_status_began() -> None:
    world = people()
    world.left.create(email="a@x.io", name="Ann")
    world.start()
    world.right.delete("1")
    world.settle()
    since = world.row("crm:1").since
    world.now += 1000
    world.left.edit("1", phone="1")
    world.settle()
    assert world.row("crm:1").since == since


def test_an_invalid_value_names_field_value_and_what_is_allowed() -> None:
    right = changed(CUSTOMERS, full_name={"type": FieldType(Kind.INTEGER, bits=64)})
    world = World(people().left, App("shop", right), syncs=people().document["syncs"])
    world.left.create(email="a@x.io", name="many", phone="1")
    world.start()
    row = world.of("crm", "1")
    assert (row.status, row.category) == ("failing", "invalid_value")
    assert all(part in (row.message or "") for part in ("shop.full_name", "many", "allowed", "whole number"))
    assert world.right.records["1"]["tel"] == "1"
    world.left.edit("1", name="7")
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)
    assert world.right.records["1"]["full_name"] == 7


def test_a_field_that_is_gone_holds_its_records_up_until_the_mapping_is_edited() -> None:
    world = people()
    world.left.create(email="a@x.io", name="Ann")
    world.start()
    fields = tuple((field.name, field.type.native) for field in CUSTOMERS.fields if field.name != "tel")
    world.inbox.append(FieldsChanged("shop", "customers", fields))
    world.settle()
    row = world.of("crm", "1")
    assert (row.status, row.category) == ("failing", "schema")
    assert "shop.tel" in (row.message or "")
    world.left.edit("1", name="Anna")
    world.settle()
    assert world.right.records["1"]["full_name"] == "Ann"
    world.edit_rules(mapping=MAPPING[:2])
    assert world.stands("crm", "1") == ("in_sync", None)
    assert world.right.records["1"]["full_name"] == "Anna"


def test_a_field_that_no_mapping_names_may_go() -> None:
    world = people()
    world.left.create(email="a@x.io", name="Ann")
    world.start()
    fields = tuple((field.name, field.type.native) for field in CUSTOMERS.fields if field.name != "memo")
    world.inbox.append(FieldsChanged("shop", "customers", fields))
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)


def test_a_field_with_another_type_is_a_matter_of_schema_and_its_return_mends_it() -> None:
    world = people()
    world.left.create(email="a@x.io", name="Ann")
    world.start()
    same = tuple((field.name, field.type.native) for field in CUSTOMERS.fields)
    other = tuple((name, "date" if name == "tel" else native) for name, native in same)
    world.inbox.append(FieldsChanged("shop", "customers", other))
    world.settle()
    assert world.stands("crm", "1") == ("failing", "schema")
    world.inbox.append(FieldsChanged("shop", "customers", same))
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)


def test_the_lag_is_that_of_the_oldest_change_on_its_way() -> None:
    world = people()
    for name in "ab":
        world.left.create(email=f"{name}@x.io")
    world.start()
    assert world.clock(1).syncs["people"].oldest == 0.0
    world.left.edit("1", name="A")
    world.take("crm")
    first = world.left.journal.tick
    world.left.edit("2", name="B")
    world.take("crm")
    world.order("confirm")
    world.think_all()
    assert world.syncs["people"].oldest == float(first)
    world.settle()
    assert world.clock(1).syncs["people"].oldest == 0.0


def test_the_same_event_decided_twice_gives_the_same_answer_in_the_same_order() -> None:
    world = zoo()
    world.left.edit("1", name="Anna")
    world.left.delete("2")
    world.left.edit("4", email="four@x.io")
    world.capture_all("crm")
    assert world.think_of(world.inbox[0]) == world.think_of(world.inbox[0])


def test_the_history_tells_of_each_decision_what_why_and_with_which_values() -> None:
    world = people()
    world.left.create(email="a@x.io", name="Ann")
    world.left.create(email="b@x.io", name="Bob")
    world.right.create(mail="b@x.io", full_name="Bob")
    world.start()
    world.left.edit("1", name="Anna")
    world.settle()
    world.right.delete("2")
    world.settle()
    world.order("restore", records=("crm:1",), into="shop")
    world.settle()
    world.lose_log("crm")
    world.settle()
    told = [(row.action, row.key, row.note if row.action != "create" else "") for row in world.history]
    assert [row.note for row in world.history if row.action == "create"] == [
        one.token for one in world.right.writes if one.op == "create"
    ]
    assert told == [
        ("linked", "crm:2", "crm:2 with shop:1, by email b@x.io"),
        ("create", "crm:1", ""),
        ("update", "crm:1", ""),
        ("deleted", "crm:1", "shop:2"),
        ("restore", "crm:1", "into shop"),
        ("create", "crm:1", ""),
        ("restored", "crm:1", "shop:2 is shop:3 now"),
        ("read", "", "the log of crm begins anew"),
    ]
    created, updated = world.history[1], world.history[2]
    assert [(one.account, one.field, one.after, one.rule) for one in created.changes] == [
        ("shop", "mail", "a@x.io", "create"),
        ("shop", "full_name", "Ann", "create"),
    ]
    assert [(one.field, one.before, one.after) for one in updated.changes] == [("full_name", "Ann", "Anna")]
    tick = world.left.journal.tick
    assert updated.cause == f"log crm:1@0/{tick:X} at 1970-01-01T00:00:{tick:02}.000Z"


def test_the_same_rules_applied_again_take_up_what_a_missing_field_had_held_up() -> None:
    world = people()
    world.left.create(email="a@x.io", name="Ann")
    world.start()
    world.inbox.append(FieldsChanged("shop", "customers", (("id", "int8"), ("mail", "text"))))
    world.settle()
    assert world.stands("crm", "1") == ("failing", "schema")
    world.apply()
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)
