"""Section 2: which records are one and the same."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

import rules.initial
import rules.work
from rules.catalog import FieldType, Kind
from rules.events import Commands
from tests.rules.world import CUSTOMERS, MAPPING, PEOPLE, SYNC, App, World, changed, deals, people

COMPANY: dict[str, Any] = {
    "kind": "company",
    "mapping": [
        {"crm": "phone", "shop": "tel", "identifier": "domain"},
        {"crm": "name", "shop": "full_name", "identifier": "name"},
    ],
}


def pairs(world: World) -> list[tuple[str | None, str | None]]:
    """Ids of the linked records, left and right."""
    return sorted((row.sides["crm"].id, row.sides["shop"].id) for row in world.rows().values() if len(row.sides) == 2)


def test_contacts_match_by_email_normalised() -> None:
    world = people()
    world.left.create(email=" Ann@X.io ", name="Ann")
    world.right.create(mail="ann@x.IO", tel="1")
    world.start()
    assert pairs(world) == [("1", "1")]
    assert (len(world.left.records), len(world.right.records)) == (1, 1)
    assert world.left.records["1"]["email"] == " Ann@X.io ", "equal normalised: nothing is written"


def test_any_identifier_is_enough_in_the_order_of_the_mapping() -> None:
    world = people(**COMPANY)
    world.left.create(name="Acme", phone="acme.com")
    world.left.create(name="Bolt", phone="bolt.com")
    world.right.create(full_name="Other", tel="http://www.acme.com/x")
    world.right.create(full_name=" BOLT ", tel="bolt.org")
    world.start()
    assert pairs(world) == [("1", "1"), ("2", "2")]


def test_a_candidate_that_is_taken_falls_through_to_the_next_identifier() -> None:
    world = people(**COMPANY)
    world.left.create(name="Acme", phone="acme.com")
    world.left.create(name="Bolt", phone="acme.com")
    world.right.create(full_name="Zip", tel="acme.com")
    world.right.create(full_name="Bolt", tel="bolt.com")
    world.start()
    assert pairs(world) == [("1", "1"), ("2", "2")]


def test_the_first_identifier_goes_before_the_second_whatever_the_age() -> None:
    world = people(**COMPANY)
    world.left.create(name="Acme", phone="acme.com")
    world.right.create(full_name="Acme", tel="other.com")
    world.right.create(full_name="Zip", tel="acme.com")
    world.start()
    assert ("1", "2") in pairs(world)


def test_an_empty_identifier_never_matches() -> None:
    world = people(kind="custom")
    world.left.create(email="", name="Ann")
    world.right.create(mail=None, full_name="Bob")
    world.start()
    assert len(world.left.records) == len(world.right.records) == 2


def test_several_candidates_the_oldest_is_taken_and_the_others_are_duplicates() -> None:
    world = people()
    for name in ("first", "second", "third"):
        world.right.create(mail="a@x.io", full_name=name)
    world.left.create(email="a@x.io")
    world.start()
    assert pairs(world) == [("1", "1")]
    assert world.left.records["1"]["name"] == "first"
    for other in ("2", "3"):
        assert world.stands("shop", other) == ("failing", "duplicate")
        message = world.of("shop", other).message or ""
        assert f"shop:{other}" in message and "shop:1" in message
        assert world.right.records[other]["full_name"] != "first", "it overwrites nothing"


def test_the_oldest_is_that_of_the_creation_time_where_the_connector_declares_one() -> None:
    created = msgspec.structs.replace(CUSTOMERS, created="memo")
    world = World(App("crm", PEOPLE), App("shop", created), syncs={"people": SYNC})
    world.right.create(mail="a@x.io", memo="2026-02-01T00:00:00Z")
    world.right.create(mail="a@x.io", memo="2026-01-01T00:00:00Z")
    world.left.create(email="a@x.io")
    world.start()
    assert pairs(world) == [("1", "2")]


def test_ids_are_ordered_as_their_type_is() -> None:
    world = people()
    for number in ("10", "9", "-1"):
        world.right.revive(number, mail="a@x.io")
    world.left.create(email="a@x.io")
    world.start()
    assert pairs(world) == [("1", "-1")]


def test_of_twins_without_a_counterpart_the_oldest_is_created_and_the_others_are_duplicates() -> None:
    world = people()
    for name in ("first", "second", "third"):
        world.left.create(email="a@x.io", name=name)
    world.start()
    assert [record["full_name"] for record in world.right.records.values()] == ["first"]
    for other in ("2", "3"):
        assert world.stands("crm", other) == ("failing", "duplicate")
        assert "crm:1" in (world.of("crm", other).message or "")


def test_a_duplicate_is_judged_again_when_it_changes() -> None:
    world = people()
    world.left.create(email="a@x.io")
    world.left.create(email="a@x.io")
    world.start()
    world.left.edit("2", email="b@x.io")
    world.settle()
    assert world.stands("crm", "2") == ("in_sync", None)


@pytest.mark.parametrize("how", ["edited", "deleted"])
def test_a_duplicate_is_judged_again_when_the_record_in_its_way_changes(how: str) -> None:
    world = people()
    world.left.create(email="a@x.io", name="first")
    world.left.create(email="a@x.io", name="second")
    world.start()
    if how == "edited":
        world.left.edit("1", email="b@x.io")
    else:
        world.left.delete("1")
    world.settle()
    assert world.stands("crm", "2") == ("in_sync", None)
    assert len(world.right.records) == (2 if how == "edited" else 1), "of the deleted one it takes the link over"


def test_a_duplicate_is_judged_again_when_the_record_in_its_way_changes_together_with_many() -> None:
    world = people()
    for number in range(1, 21):
        world.left.create(email=f"{number}@x.io")
    world.left.create(email="3@x.io", name="twin")
    world.start()
    assert world.stands("crm", "21") == ("failing", "duplicate")
    for number in range(1, 21):
        world.left.edit(str(number), email=f"{number}@y.io")
    world.settle_at_once()
    assert world.stands("crm", "21") == ("in_sync", None)


def test_a_duplicate_is_judged_again_when_the_claimed_record_is_edited() -> None:
    world = people(direction="to shop")
    world.left.create(email="a@x.io", name="first")
    world.left.create(email="a@x.io", name="second")
    world.start()
    world.right.edit("1", mail="other@x.io")
    world.settle()
    assert world.stands("crm", "2") == ("in_sync", None)
    assert len(world.right.records) == 2


def test_an_identifier_edited_on_a_linked_record_leaves_the_link_and_updates_the_index() -> None:
    world = people()
    world.left.create(email="a@x.io", name="Ann")
    world.start()
    world.left.edit("1", email="new@x.io")
    world.settle()
    assert pairs(world) == [("1", "1")]
    assert world.right.records["1"]["mail"] == "new@x.io"
    world.right.create(mail="a@x.io")
    world.right.create(mail="new@x.io")
    world.settle()
    assert world.stands("shop", "2") == ("in_sync", None), "the old address is free again"
    assert world.stands("shop", "3") == ("failing", "duplicate"), "the new one is taken"


@pytest.mark.parametrize("size", [1, 7, 400])
@pytest.mark.parametrize("few", ["crm", "shop"])
def test_a_few_among_many_are_found_however_far_their_values_lie_apart(
    few: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (rules.work, rules.initial):
        monkeypatch.setattr(module, "SLICE", size)
    world = people(direction="to shop" if few == "crm" else "to crm", default="crm" if few == "crm" else "shop")
    numbers = {"crm": range(120), "shop": range(120)} | {few: (0, 1, 2, 40, 41, 77, 119, 300)}
    for number in numbers["crm"]:
        world.left.create(email=f"{number:03}@x.io")
    for number in numbers["shop"]:
        world.right.create(mail=f"{number:03}@x.io")
    world.left.log.clear()
    world.right.log.clear()
    world.apply()
    while world.syncs["people"].matched < 7 if world.syncs else True:
        assert world.think() or world.deliver(), "all is read, and too few are matched"
        assert not any(isinstance(order, Commands) for order in world.commands), "what was not matched is being created"
    world.settle()
    emails = {"crm": world.left.records, "shop": world.right.records}
    found = [(emails["crm"][left or ""]["email"], emails["shop"][right or ""]["mail"]) for left, right in pairs(world)]
    assert sorted(found) == [(f"{one:03}@x.io",) * 2 for one in (0, 1, 2, 40, 41, 77, 119, 300)]


def test_records_that_the_filters_of_their_own_side_keep_out_are_candidates_all_the_same() -> None:
    world = people(filters={"shop": [{"field": "tel", "op": "eq", "value": "ES"}]})
    world.right.create(mail="a@x.io", tel="FR")
    world.left.create(email="a@x.io")
    world.start()
    assert pairs(world) == [("1", "1")]


def test_two_records_that_are_both_kept_out_are_not_linked() -> None:
    out = [{"field": "phone", "op": "eq", "value": "ES"}]
    world = people(filters={"crm": out, "shop": [{"field": "tel", "op": "eq", "value": "ES"}]})
    world.right.create(mail="a@x.io", tel="FR")
    world.left.create(email="a@x.io", phone="FR")
    world.start()
    assert pairs(world) == []
    assert (world.stands("crm", "1"), world.stands("shop", "1")) == (("excluded", "filter"),) * 2


def test_in_a_one_way_sync_a_record_of_the_target_is_matched_not_doubled() -> None:
    world = people(direction="to shop")
    world.right.create(mail="a@x.io", full_name="Old")
    world.left.create(email="a@x.io", name="New")
    world.start()
    assert pairs(world) == [("1", "1")]
    assert world.right.records["1"]["full_name"] == "New"


def test_deals_are_never_matched_and_always_created() -> None:
    world = deals()
    world.left.create(name="Deal")
    world.right.create(full_name="Deal")
    world.start()
    assert len(world.left.records) == len(world.right.records) == 2


def test_deals_that_the_account_remembers_are_not_doubled_when_the_state_is_lost() -> None:
    world = deals()
    world.left.create(name="Deal")
    world.right.create(full_name="Offer")
    world.start()
    assert len(world.left.records) == len(world.right.records) == 2
    world.view.entries.clear()
    world.statuses.clear()
    for app in world.apps.values():
        app.tokens.clear()
    world.start()
    assert len(world.left.records) == len(world.right.records) == 2
    assert pairs(world) == [("1", "2"), ("2", "1")]


def test_a_remembered_pair_goes_before_an_identifier() -> None:
    world = people()
    world.left.create(email="a@x.io")
    world.right.create(mail="a@x.io")
    world.right.create(mail="b@x.io")
    world.right.pairs["2"] = ("people", "crm", "contacts", "1")
    world.start()
    assert ("1", "2") in pairs(world)


def test_a_remembered_pair_counts_also_where_the_log_has_told_of_the_record_first() -> None:
    world = deals()
    world.left.create(name="Deal")
    world.right.create(full_name="Offer")
    world.right.pairs["1"] = ("people", "crm", "contacts", "1")
    world.apply()
    world.think_all()
    world.take("shop")
    world.settle()
    assert pairs(world) == [("1", "1")]


@pytest.mark.parametrize("who", ["crm", "shop"])
def test_a_pair_that_the_other_account_remembers_is_found_when_a_record_enters_later(who: str) -> None:
    world = people()
    world.left.create(name="Ann")
    world.right.create(full_name="Other")
    (world.left if who == "crm" else world.right).pairs["1"] = (
        ("people", "shop", "customers", "1") if who == "crm" else ("people", "crm", "contacts", "1")
    )
    world.start()
    assert pairs(world) == []
    world.left.edit("1", email="a@x.io")
    world.settle()
    assert pairs(world) == [("1", "1")]


def test_a_remembered_pair_of_which_neither_enters_is_not_linked() -> None:
    world = deals(direction="to shop", filters={"crm": [{"field": "phone", "op": "eq", "value": "ES"}]})
    world.left.create(name="Deal")
    world.right.create(full_name="Deal")
    world.right.pairs["1"] = ("people", "crm", "contacts", "1")
    world.start()
    assert world.stands("crm", "1") == ("excluded", "filter")


def test_the_outcome_does_not_depend_on_the_order_in_which_records_arrive() -> None:
    lefts = [("a@x.io", "A"), ("a@x.io", "B"), ("b@x.io", "C")]
    rights = [("a@x.io", "D"), ("b@x.io", "E"), ("b@x.io", "F")]
    outcomes = set()
    for left_order, right_order, first in itertools.product(
        itertools.permutations(range(3)), itertools.permutations(range(3)), ("crm", "shop")
    ):
        world = people()
        for index in left_order:
            world.left.put(str(index + 1), {"email": lefts[index][0], "name": lefts[index][1]})
        for index in right_order:
            world.right.put(str(index + 1), {"mail": rights[index][0], "full_name": rights[index][1]})
        world.left.next_id = world.right.next_id = 10
        world.page_size = 1
        world.apply()
        world.think_all()
        world.commands = type(world.commands)(sorted(world.commands, key=lambda order: order.account != first))
        world.settle()
        rows = sorted((key, row.status, row.category, row.message) for key, row in world.rows().items())
        outcomes.add((tuple(pairs(world)), tuple(rows)))
    assert len(outcomes) == 1


def test_a_record_that_appears_on_both_sides_at_once_becomes_one_pair() -> None:
    world = people().start()
    world.left.create(email="a@x.io", name="Ann")
    world.right.create(mail="a@x.io", full_name="Bob")
    world.take("crm")  # its create is on its way when the other record comes by
    world.take("shop")
    assert world.stands("shop", "1") == ("pending", None)
    world.settle()
    assert pairs(world) == [("1", "1")]
    assert (len(world.left.records), len(world.right.records)) == (1, 1)


def test_a_record_that_waits_for_a_create_goes_its_own_way_when_that_is_refused() -> None:
    world = people().start()
    world.right.finds = False
    world.right.refuse = lambda command, stored: ("permission", "no", None) if command.op == "create" else None
    world.left.create(email="a@x.io", name="Ann")
    world.right.create(mail="a@x.io", full_name="Bob")
    world.take("crm")
    world.take("shop")
    world.settle()
    assert pairs(world) == [("1", "1")], "it is what was to be created"


def test_a_create_that_meets_a_record_links_it_also_before_the_log_has_told_of_it() -> None:
    world = people().start()
    world.left.create(email="a@x.io", name="Ann")
    world.right.create(mail="A@x.io", tel="1")
    world.take("crm")
    world.deliver()
    world.think_all()
    assert pairs(world) == [("1", "1")]
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (1, 1)
    assert world.left.records["1"]["phone"] == "1"


def test_a_create_that_meets_a_record_which_leaves_in_the_same_event_is_tried_again() -> None:
    world = people(deletes="propagate")
    world.left.create(email="a@x.io")
    world.start()
    world.left.edit("1", email="b@x.io")
    world.take("crm")
    world.commands.clear()  # the shop still has a@x.io
    world.clock(1)
    world.left.create(email="a@x.io")
    world.left.delete("1")
    world.take("crm")
    world.clock(301)
    assert world.stands("crm", "2") == ("in_sync", None)


def test_a_create_that_meets_a_taken_record_takes_one_that_has_got_its_identifier_meanwhile() -> None:
    world = people(direction="to shop")
    world.left.create(email="a@x.io")
    world.right.create(mail="c@x.io")
    world.right.create(mail="b@x.io", full_name="free")
    world.start()
    world.left.edit("1", email="z@x.io")
    world.take("crm")
    world.commands.clear()  # the shop still has a@x.io
    world.left.create(email="a@x.io")
    world.take("crm")
    world.left.edit("2", email="b@x.io")
    world.take("crm")
    world.settle()
    assert ("2", "2") in pairs(world)
    assert len(world.right.records) == 3


def test_a_create_that_meets_a_record_of_another_link_is_a_duplicate_naming_both() -> None:
    world = people()
    world.left.create(email="a@x.io")
    world.start()
    world.left.edit("1", email="b@x.io")
    world.take("crm")  # the shop still has a@x.io
    world.commands.clear()
    world.left.create(email="a@x.io")
    world.take("crm")
    world.settle()
    assert world.stands("crm", "2") == ("failing", "duplicate")
    message = world.of("crm", "2").message or ""
    assert "crm:1" in message and "crm:2" in message and "shop:1" in message
    world.clock(301)  # the lost command is sent again, and makes room
    assert world.stands("crm", "2") == ("in_sync", None)


@pytest.mark.parametrize("finds", ["crm", "shop", "both"])
def test_two_records_that_are_each_to_be_created_on_the_other_side_become_one_pair_when_they_turn_out_equal(
    finds: str,
) -> None:
    world = people().start()
    world.left.finds, world.right.finds = finds != "shop", finds != "crm"
    for app in (world.left, world.right):
        app.refuse = lambda command, stored: ("permission", "no", None)
    world.left.create(email="a@x.io", name="Ann")
    world.right.create(mail="b@x.io", full_name="Bob")
    world.settle()
    for app in (world.left, world.right):
        app.refuse = lambda command, stored: None
    world.right.edit("1", mail="a@x.io")
    if finds == "shop":
        world.left.edit("1", phone="1")
    world.settle()
    assert pairs(world) == [("1", "1")]
    assert len(world.rows()) == 1


def test_a_number_may_be_an_identifier() -> None:
    number = {"type": FieldType(Kind.INTEGER, bits=64)}
    left, right = changed(PEOPLE, name=number), changed(CUSTOMERS, full_name=number)
    mapping = [{"crm": "name", "shop": "full_name", "identifier": "exact"}]
    world = World(
        App("crm", left), App("shop", right), syncs={"people": {**SYNC, "kind": "custom", "mapping": mapping}}
    )
    world.left.create(name=7)
    world.right.create(full_name=7)
    world.start()
    assert pairs(world) == [("1", "1")]


def test_without_an_identifier_in_the_mapping_equal_names_do_not_match() -> None:
    world = people(kind="custom", mapping=MAPPING[1:])
    world.left.create(name="Ann")
    world.right.create(full_name="Ann")
    world.start()
    assert len(world.left.records) == 2
