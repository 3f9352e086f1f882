"""Section 1: which records enter a sync, and what is shown of those that do not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rules.world import CUSTOMERS, MAPPING, changed, people

SPAIN = {"crm": [{"field": "phone", "op": "eq", "value": "ES"}]}


def test_a_record_enters_when_direction_filters_and_identifier_allow_it() -> None:
    world = people(filters=SPAIN).start()
    world.left.create(email="a@x.io", phone="ES")
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)
    assert world.right.records["1"]["mail"] == "a@x.io"


def test_a_record_that_a_filter_keeps_out_is_excluded_and_says_which_side_did_it() -> None:
    world = people(filters=SPAIN).start()
    world.left.create(email="a@x.io", phone="FR")
    world.settle()
    assert world.stands("crm", "1") == ("excluded", "filter")
    assert "crm" in (world.of("crm", "1").message or "")
    assert not world.right.records


@pytest.mark.parametrize("email", [None, "", "  ", "no address", "a@b"])
def test_a_contact_without_a_valid_email_is_excluded_by_default(email: str | None) -> None:
    world = people().start()
    world.left.create(email=email, name="Ann")
    world.settle()
    assert world.stands("crm", "1") == ("excluded", "no_identifier")
    assert "crm.email" in (world.of("crm", "1").message or "")


def test_without_require_identifier_a_record_enters_that_has_none() -> None:
    world = people(require_identifier=False).start()
    world.left.create(name="Ann")
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)


def test_other_kinds_require_no_identifier_by_default() -> None:
    world = people(kind="custom").start()
    world.left.create(name="Ann")
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)


def test_a_record_of_the_side_that_is_only_written_is_excluded_by_direction() -> None:
    world = people(direction="to shop").start()
    world.right.create(mail="a@x.io")
    world.settle()
    assert world.stands("shop", "1") == ("excluded", "direction")
    assert not world.left.records


def test_an_excluded_record_is_judged_again_when_it_changes() -> None:
    world = people().start()
    world.left.create(name="Ann")
    world.settle()
    world.left.edit("1", email="a@x.io")
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)
    assert world.right.records["1"]["full_name"] == "Ann"


def test_once_linked_a_record_stays_whatever_its_values_become() -> None:
    world = people(filters=SPAIN)
    world.left.create(email="a@x.io", phone="ES")
    world.start()
    world.left.edit("1", phone="FR", email=None)
    world.settle()
    world.left.edit("1", name="Ann")
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)
    assert world.right.records["1"]["full_name"] == "Ann"


def test_the_filter_of_one_side_does_not_keep_out_what_the_other_side_brings() -> None:
    world = people(filters=SPAIN).start()
    world.right.create(mail="a@x.io", tel="FR")
    world.settle()
    assert world.stands("shop", "1") == ("in_sync", None)
    assert world.left.records["1"]["phone"] == "FR"


CONDITIONS: list[tuple[dict[str, Any], bool]] = [
    ({"op": "eq", "value": "ES"}, False),
    ({"op": "contains", "value": "E"}, False),
    ({"op": "in", "value": ["ES", "FR"]}, False),
    ({"op": "ne", "value": "ES"}, True),
    ({"op": "not_in", "value": ["ES"]}, True),
    ({"op": "is_empty"}, True),
]


@pytest.mark.parametrize(("condition", "enters"), CONDITIONS)
def test_a_comparison_with_an_empty_value_is_false_but_for_the_negative_ones(
    condition: dict[str, Any], enters: bool
) -> None:
    world = people(filters={"crm": [{"field": "phone", **condition}]}).start()
    world.left.create(email="a@x.io")
    world.settle()
    assert (world.of("crm", "1").status == "in_sync") is enters


def test_the_first_sync_shows_excluded_records_and_touches_none_of_them() -> None:
    world = people(filters=SPAIN, mapping=MAPPING)
    for country in ("ES", "FR", "ES"):
        world.left.create(email=f"{len(world.left.records)}@x.io", phone=country)
    world.start()
    assert sorted(row.status or "" for row in world.rows().values()) == ["excluded", "in_sync", "in_sync"]
    assert len(world.right.records) == 2


@pytest.mark.parametrize(
    ("rules", "change", "reason"),
    [
        ({}, {"email": None}, "no_identifier"),
        ({"filters": {"crm": [{"field": "phone", "op": "ne", "value": "FR"}]}}, {"phone": "FR"}, "filter"),
    ],
)
def test_a_record_that_could_not_be_created_and_does_not_enter_any_more_is_excluded(
    rules: dict[str, Any], change: dict[str, Any], reason: str
) -> None:
    world = people(**rules)
    world.right.object = changed(CUSTOMERS, full_name={"required": True})
    world.start()
    world.left.create(email="a@x.io", phone="ES")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "missing_required")
    world.left.edit("1", **change)
    world.settle()
    assert world.stands("crm", "1") == ("excluded", reason)
    world.left.edit("1", name="Ann")
    world.settle()
    assert not world.right.records, "only what is linked stays whatever its values become"
    world.left.edit("1", email="a@x.io", phone="ES")
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)


def test_a_record_that_could_not_be_created_is_excluded_when_edited_rules_keep_it_out() -> None:
    world = people()
    world.right.object = changed(CUSTOMERS, full_name={"required": True})
    world.start()
    world.left.create(email="a@x.io", phone="FR")
    world.settle()
    world.edit_rules(filters=SPAIN)
    world.settle()
    assert world.stands("crm", "1") == ("excluded", "filter")
