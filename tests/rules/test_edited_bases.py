"""Section 7: which bases edited rules keep, and which they forget; section 8: what they try again, and what a field that is gone holds up."""

from __future__ import annotations

import pytest

from rules.catalog import FieldType, Kind
from rules.events import FieldsChanged
from tests.rules.world import CUSTOMERS, MAPPING, PEOPLE, SYNC, App, World, changed, people


def test_a_field_that_got_another_type_and_another_value_is_decided_by_the_default_side() -> None:
    world = people()
    world.left.create(email="a@x.io", name="7")
    world.start()
    retyped = changed(CUSTOMERS, full_name={"type": FieldType(Kind.INTEGER, native="int4", bits=32)})
    world.right.object = retyped
    fields = tuple((field.name, field.type.native) for field in retyped.fields)
    world.inbox.append(FieldsChanged("shop", "customers", fields))
    world.right.edit("1", full_name=8)
    world.settle()
    assert world.stands("crm", "1") == ("failing", "schema")
    world.apply()
    world.settle()
    assert world.right.records["1"]["full_name"] == 7, "as at linking: it does not count as an edit"
    assert world.left.records["1"]["name"] == "7"


def test_another_default_decides_nothing_that_was_settled_before() -> None:
    world = people()
    world.left.create(email="a@x.io", name="Ann", phone="600")
    world.start()
    world.right.edit("1", tel=None)  # it clears nothing
    world.settle()
    before = world.written()
    for default in ("shop", "crm"):
        world.edit_rules(default=default)
    assert world.written() == before
    assert (world.left.records["1"]["phone"], world.right.records["1"]["tel"]) == ("600", None)


@pytest.mark.parametrize("field", ["tel", None])
def test_a_value_or_a_command_that_was_refused_is_tried_again_when_any_rule_changes(field: str | None) -> None:
    world = people()
    world.left.create(email="a@x.io", name="Ann")
    world.start()
    world.right.refuse = lambda command, stored: ("invalid_value", "no", field)
    world.left.edit("1", phone="600")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "invalid_value")
    world.right.refuse = lambda command, stored: None
    world.edit_rules(max_deletes=7)
    assert world.right.records["1"]["tel"] == "600"
    assert world.stands("crm", "1") == ("in_sync", None)


def test_a_field_that_is_gone_holds_up_the_syncs_that_map_it_and_no_other_of_the_same_objects() -> None:
    names = {**SYNC, "mapping": MAPPING[:2]}
    phones = {**SYNC, "mapping": [MAPPING[0], MAPPING[2]]}
    world = World(App("crm", PEOPLE), App("shop", CUSTOMERS), syncs={"names": names, "phones": phones})
    world.left.create(email="a@x.io", name="Ann", phone="600")
    world.start()
    left = tuple((field.name, field.type.native) for field in CUSTOMERS.fields if field.name != "tel")
    world.inbox.append(FieldsChanged("shop", "customers", left))
    world.settle()
    assert world.stands("crm", "1", "phones") == ("failing", "schema")
    assert world.stands("crm", "1", "names") == ("in_sync", None)
    world.left.edit("1", name="Anna")
    world.settle()
    assert world.right.records["1"]["full_name"] == "Anna"
