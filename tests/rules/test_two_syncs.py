"""Two syncs of the same two objects, and two that share one object."""

from __future__ import annotations

from typing import Any

import pytest

import rules.work
from rules.catalog import Object
from rules.events import Commands, ReadRequest
from tests.rules.world import (
    CUSTOMERS,
    PEOPLE,
    SYNC,
    WITHOUT_IDENTIFIER,
    App,
    Journal,
    World,
    changed,
    text,
    whole,
    without_tokens,
)

NOTES: Any = {
    "between": {"crm": "contacts", "shop": "customers"},
    "kind": "custom",
    "default": "shop",
    "mapping": [{"crm": "notes", "shop": "memo"}],
}
REVERSED: Any = {**NOTES, "between": {"shop": "customers", "crm": "contacts"}}


def two(first: Any = SYNC, second: Any = NOTES) -> World:
    """Contacts with customers, twice."""
    return World(App("crm", PEOPLE), App("shop", CUSTOMERS), syncs={"people": first, "notes": second})


SECOND = pytest.mark.parametrize("second", [NOTES, REVERSED])


def first_without_identifiers() -> World:
    """The sync that cannot match is read, and would create, before the one that can."""
    world = World(App("crm", PEOPLE), App("shop", CUSTOMERS), syncs={"notes": NOTES, "people": SYNC})
    for email in ("a@x.io", "b@x.io"):
        world.left.create(email=email, notes="n")
        world.right.create(mail=email, memo="m")
    return world


def test_a_sync_that_cannot_match_copies_nothing_that_another_is_about_to_match() -> None:
    world = first_without_identifiers().start()
    assert (len(world.left.records), len(world.right.records)) == (2, 2)
    for sync in ("people", "notes"):
        assert {row.status for row in world.rows(sync).values()} == {"in_sync"}
        assert len(world.rows(sync)) == 2


def test_a_sync_that_waits_for_another_to_match_goes_on_when_that_is_switched_off() -> None:
    world = first_without_identifiers()
    world.left.log.clear()
    world.right.log.clear()
    world.apply()
    world.think_all()
    held = [order for order in world.commands if isinstance(order, ReadRequest) and order.sync == "people"]
    for order in held:
        world.commands.remove(order)
    world.settle()
    assert world.syncs["notes"].state == "initial", "it waits"
    assert (len(world.left.records), len(world.right.records)) == (2, 2)
    world.turn("people", on=False)
    world.clock(2)
    assert world.syncs["notes"].state == "live"
    assert (len(world.left.records), len(world.right.records)) == (4, 4), "nothing tells that they are the same"


@SECOND
@pytest.mark.parametrize("later", [True, False])
def test_a_pair_that_one_sync_has_linked_is_a_match_for_the_other(second: Any, later: bool) -> None:
    world = two(second=second)
    if later:
        del world.document["syncs"]["notes"]
    world.left.create(email="a@x.io", name="Ann", notes="n")
    world.right.create(mail="a@x.io", memo="m")
    world.left.create(email="b@x.io", name="Bob", notes="b")
    world.start()
    if later:
        world.document["syncs"]["notes"] = second
        world.apply()
        world.settle()
    for sync in ("people", "notes"):
        assert len(world.rows(sync)) == 2
        assert {row.status for row in world.rows(sync).values()} == {"in_sync"}
    assert (len(world.left.records), len(world.right.records)) == (2, 2)
    assert [one["notes"] for one in world.left.records.values()] == ["m", "b"]


def test_a_pair_that_both_syncs_have_missed_a_record_of_keeps_its_links_and_is_not_copied() -> None:
    world = two()
    world.left.create(email="a@x.io", name="Ann", notes="n")
    world.start()
    world.left.edit("1", name="Anna")
    world.right.edit("1", memo="m")
    world.take("crm")
    world.take("shop")
    world.right.edit("1", tel="1")
    world.left.renumber("1", "9")
    world.right.renumber("1", "50")
    while world.deliver():
        pass
    world.think_all()
    world.settle()
    for sync in ("people", "notes"):
        assert {account: side.id for account, side in world.of("crm", "9", sync).sides.items()} == {
            "crm": "9",
            "shop": "50",
        }
    assert (list(world.left.records), list(world.right.records)) == (["9"], ["50"])
    assert world.left.records["9"]["notes"] == "m"
    assert world.right.records["50"]["full_name"] == "Anna"


@SECOND
@pytest.mark.parametrize("order", [("people", "notes"), ("notes", "people")])
def test_a_new_record_is_created_once_and_gets_the_fields_of_both(second: Any, order: tuple[str, str]) -> None:
    world = two(second=second)
    world.document["syncs"] = {name: world.document["syncs"][name] for name in order}
    world.start()
    world.left.create(email="a@x.io", name="Ann", notes="n")
    world.take("crm")
    sent = [command.op for order in world.commands if isinstance(order, Commands) for command in order.commands]
    assert sent == ["create"], "one create of a record at a time"
    world.settle()
    (record,) = world.right.records.values()
    assert (record["full_name"], record["memo"]) == ("Ann", "n")
    assert len(world.left.records) == 1
    assert world.stands("crm", "1", "people") == world.stands("crm", "1", "notes") == ("in_sync", None)


def test_without_identifiers_two_syncs_create_a_record_once() -> None:
    first: Any = {**SYNC, **WITHOUT_IDENTIFIER}
    world = two(first)
    for number in range(3):
        world.left.create(name=f"{number}", notes="n")
    world.start()
    for number in range(3):
        world.right.create(full_name=f"right {number}", memo="m")
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (6, 6)


def test_when_the_create_of_one_is_refused_the_other_tries_and_the_first_takes_what_came_of_it() -> None:
    world = two({**SYNC, **WITHOUT_IDENTIFIER})
    world.right.refuse = lambda command, stored: (
        ("permission", "no", None) if command.op == "create" and command.sync == "people" else None
    )
    world.start()
    world.left.create(name="Ann", notes="n")
    world.settle()
    (record,) = world.right.records.values()
    assert (record["full_name"], record["memo"]) == ("Ann", "n")
    assert world.stands("crm", "1", "people") == ("in_sync", None)


def test_a_pair_of_the_other_sync_enters_only_if_the_own_rules_let_it() -> None:
    filtered = {
        **NOTES,
        "filters": {
            side: [{"field": field, "op": "is_not_empty"}] for side, field in (("crm", "notes"), ("shop", "memo"))
        },
    }
    world = two(second=filtered)
    world.left.create(email="a@x.io", name="Ann")
    world.start()
    assert world.stands("crm", "1", "notes") == ("excluded", "filter")
    world.right.edit("1", memo="now")
    world.settle()
    assert world.stands("crm", "1", "notes") == ("in_sync", None)
    assert world.left.records["1"]["notes"] == "now"
    assert (len(world.left.records), len(world.right.records)) == (1, 1)


def test_a_deletion_shows_in_both_and_one_restore_mends_both() -> None:
    for ask in ("people", "notes"):
        world = two({**SYNC, **WITHOUT_IDENTIFIER})
        world.left.create(name="Ann", notes="n")
        world.start()
        world.right.delete("1")
        world.settle()
        assert world.stands("crm", "1", "people") == world.stands("crm", "1", "notes") == ("failing", "deleted")
        world.order("restore", ask, into="shop")
        world.settle()
        assert [(one["full_name"], one["memo"]) for one in world.right.records.values()] == [("Ann", "n")]
        assert world.stands("crm", "1", "people") == world.stands("crm", "1", "notes") == ("in_sync", None)
        assert len(world.left.records) == 1


def test_a_record_that_the_other_sync_pairs_with_one_left_alone_takes_the_empty_place() -> None:
    world = two()
    world.left.create(email="a@x.io", name="Ann", notes="n")
    world.start()
    del world.document["syncs"]["notes"]
    world.apply()
    world.settle()
    world.right.create(full_name="Bob", memo="m")  # people keeps it out: it has no mail
    world.settle()
    world.document["syncs"]["notes"] = NOTES
    world.right.pairs = {"2": ("notes", "crm", "contacts", "1")}
    world.apply()
    world.settle()
    assert world.of("crm", "1", "notes").sides["shop"].id == "2"
    world.right.delete("1")
    world.settle()
    before = {key: row.status for key, row in world.rows().items()}
    world.order("resync")
    world.settle()
    assert {key: row.status for key, row in world.rows().items()} == before


def test_what_the_account_remembers_of_the_sync_itself_goes_before_what_it_remembers_of_another() -> None:
    world = two({**SYNC, **WITHOUT_IDENTIFIER})
    for _ in range(2):
        world.left.create(name="Ann")
    world.right.create(full_name="Ann")
    world.left.pairs["1"] = ("notes", "shop", "customers", "1")
    world.right.pairs["1"] = ("people", "crm", "contacts", "2")
    del world.document["syncs"]["notes"]
    world.start()
    assert world.of("shop", "1").sides["crm"].id == "2"


def test_restored_by_both_at_once_it_is_one_record() -> None:
    world = two({**SYNC, **WITHOUT_IDENTIFIER})
    world.left.create(name="Ann", notes="n")
    world.start()
    world.right.delete("1")
    world.settle()
    world.order("restore", "people", into="shop")
    world.order("restore", "notes", into="shop")
    world.settle()
    assert len(world.right.records) == 1
    assert world.stands("crm", "1", "people") == world.stands("crm", "1", "notes") == ("in_sync", None)


def test_syncs_that_pair_a_record_differently_show_it_and_do_not_copy_for_ever() -> None:
    world = two({**SYNC, **WITHOUT_IDENTIFIER})
    for number in range(2):
        world.left.create(name=f"{number}", notes="n")
    world.start()
    world.right.merge("1", "2")  # the survivor has a counterpart of its own
    world.settle()
    world.document["syncs"].pop("notes")
    world.apply()
    world.settle()
    world.right.create(full_name="new", memo="m")
    world.settle()
    world.document["syncs"]["notes"] = NOTES
    world.right.pairs["3"] = ("notes", "crm", "contacts", "1")  # what the account remembers is another pair
    world.apply()
    world.settle()
    assert len(world.left.records) <= 4 and len(world.right.records) <= 4


def test_a_sync_that_is_added_pairs_by_what_another_has_linked_before_it_looks_at_identifiers() -> None:
    by_name: Any = {**NOTES, "mapping": [{"crm": "name", "shop": "full_name", "identifier": "name"}]}
    by_mail: Any = {**SYNC, "mapping": [{"crm": "email", "shop": "mail", "identifier": "email"}]}
    world = two(by_mail, by_name)
    del world.document["syncs"]["notes"]
    for mail, left, right in (("a@x.io", "Ann", "Bob"), ("b@x.io", "Bob", "Ann")):
        world.left.create(email=mail, name=left)
        world.right.create(mail=mail, full_name=right)
    world.start()
    world.document["syncs"]["notes"] = by_name
    world.apply()
    world.settle()
    for sync in ("people", "notes"):
        pairs = {row.sides["crm"].id: row.sides["shop"].id for row in world.rows(sync).values()}
        assert pairs == {"1": "1", "2": "2"}


def test_what_another_sync_has_paired_now_goes_before_what_an_account_remembers_of_an_earlier_pair() -> None:
    world = two()
    for mail in ("a@x.io", "b@x.io"):
        world.left.create(email=mail, name="Ann", notes="n")
    del world.document["syncs"]["notes"]
    world.start()
    world.right.pairs = {"1": ("before", "crm", "contacts", "2"), "2": ("before", "crm", "contacts", "1")}
    world.document["syncs"]["notes"] = NOTES
    world.apply()
    world.settle()
    pairs = {row.sides["crm"].id: row.sides["shop"].id for row in world.rows("notes").values()}
    assert pairs == {"1": "1", "2": "2"}


def test_a_record_that_another_sync_has_paired_matches_nobody_else() -> None:
    filters = {side: [{"field": field, "op": "is_not_empty"}] for side, field in (("crm", "notes"), ("shop", "memo"))}
    by_name = [{"crm": "name", "shop": "full_name", "identifier": "name"}]
    world = two(second={**NOTES, "mapping": by_name, "filters": filters})
    world.left.create(email="b@x.io", name="Bob")
    world.left.create(email="a@x.io", name="Ann", notes="n")
    world.start()
    world.right.edit("2", memo="m")
    world.left.delete("2")
    world.settle()
    world.left.edit("1", name="Ann")
    world.settle()
    assert world.stands("shop", "2", "notes") == ("failing", "deleted")
    assert world.stands("crm", "1", "notes") == ("excluded", "filter")
    assert world.stands("crm", "1", "people") == ("in_sync", None)
    world.left.revive("2", name="Ann", notes="n")
    world.left.create(name="Ann", notes="younger")
    world.settle()
    assert world.stands("crm", "3", "notes") == ("failing", "duplicate")
    world.left.delete("2")
    world.settle()
    assert world.of("crm", "3", "notes").sides["shop"].id == "2"


def test_what_another_sync_has_paired_with_a_record_that_lost_its_counterpart_takes_the_place() -> None:
    world = two()
    world.right.object = changed(CUSTOMERS, full_name={"required": True})
    world.left.create(email="a@x.io", name="Ann", notes="n")
    world.start()
    first = world.document["syncs"].pop("people")
    world.apply()
    world.settle()
    world.left.delete("1")
    world.left.create(email="a@x.io", name="Ann", notes="b")
    world.settle()
    assert world.stands("crm", "2", "notes") == ("failing", "missing_required")
    world.document["syncs"]["people"] = first
    world.apply()
    world.settle()
    for sync in ("people", "notes"):
        assert {account: side.id for account, side in world.of("crm", "2", sync).sides.items()} == {
            "crm": "2",
            "shop": "1",
        }
    assert len(world.right.records) == 1


def test_deleting_one_sync_leaves_the_other_as_it_is() -> None:
    world = two()
    world.left.create(email="a@x.io", name="Ann", notes="n")
    world.left.create(name="no mail")
    world.start()
    del world.document["syncs"]["notes"]
    world.apply()
    world.settle()
    assert world.rows("notes") == {}
    world.left.edit("1", name="Anna")
    world.settle()
    assert world.right.records["1"]["full_name"] == "Anna"
    assert len(world.rows("people")) == 2 + 1  # the record that notes created in the shop has no mail either


# ---------------------------------------------------------------- one object in two syncs

LEADS = Object("leads", (whole("id", nullable=False, read_only=True), text("title"), text("body")), ("id",))
INTO_LEADS: Any = {
    "between": {"crm": "contacts", "shop": "leads"},
    "kind": "deal",
    "default": "crm",
    "mapping": [{"crm": "name", "shop": "title"}, {"crm": "notes", "shop": "body"}],
}


def shared() -> World:
    """Contacts with customers, and the same contacts with leads."""
    journal = Journal()
    return World(
        App("crm", PEOPLE),
        App("shop", CUSTOMERS, journal),
        App("shop", LEADS, journal),
        syncs={"people": {**SYNC, **WITHOUT_IDENTIFIER}, "leads": INTO_LEADS},
    )


def test_what_one_sync_writes_is_a_change_for_the_other() -> None:
    world = shared()
    world.left.create(name="Ann", notes="n")
    world.start()
    world.right.edit("1", full_name="Anna")
    world.settle()
    assert world.apps["shop", "leads"].records["1"]["title"] == "Anna"
    world.right.create(full_name="Bob")
    world.settle()
    assert [one["title"] for one in world.apps["shop", "leads"].records.values()] == ["Anna", "Bob"]
    assert len(world.left.records) == len(world.right.records) == 2


def test_a_record_restored_by_one_sync_goes_on_in_the_other_under_its_new_id() -> None:
    world = shared()
    world.left.create(name="Ann", notes="n")
    world.start()
    world.left.delete("1")
    world.settle()
    assert world.stands("shop", "1", "leads") == ("failing", "deleted")
    world.order("restore", "people", into="crm")
    world.settle()
    assert len(world.left.records) == len(world.right.records) == len(world.apps["shop", "leads"].records) == 1
    assert world.stands("shop", "1", "leads") == world.stands("shop", "1", "people") == ("in_sync", None)
    world.left.edit("2", name="Anna")
    world.settle()
    assert world.apps["shop", "leads"].records["1"]["title"] == "Anna"


def test_a_deletion_that_one_sync_has_copied_is_copied_on_by_the_other() -> None:
    world = shared()
    for sync in world.document["syncs"].values():
        sync["deletes"] = "propagate"
    world.left.create(name="Ann", notes="n")
    world.start()
    world.right.delete("1")
    world.settle()
    assert (world.left.records, world.apps["shop", "leads"].records) == ({}, {})
    assert world.statuses == {}


def test_a_record_that_gets_another_id_while_one_of_its_syncs_is_forgotten_is_forgotten_there_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rules.work, "SLICE", 1)
    for steps in range(8, 20):
        world = shared()
        for number in range(5):
            world.left.create(name=f"{number}")
        world.start()
        del world.document["syncs"]["people"]
        world.apply()
        for _ in range(steps):
            world.think()
        world.left.renumber("5", "0")
        world.capture_all("crm")
        world.inbox.rotate(1)
        world.settle()
        assert world.rows("people") == {}
        assert not any(b"people" in key + value for key, value in world.view.entries.items() if key[:1] in b"SRL")


def test_a_record_that_waits_for_what_a_deleted_sync_was_creating_goes_on() -> None:
    world = two()
    world.start()
    world.left.create(email="a@x.io", name="Ann", notes="n")
    world.take("crm")
    assert world.stands("crm", "1", "notes") == ("pending", None)
    world.commands.clear()  # its answer comes when the sync is no more
    del world.document["syncs"]["people"]
    world.apply()
    world.settle()
    assert world.stands("crm", "1", "notes") == ("in_sync", None)
    assert [one["memo"] for one in world.right.records.values()] == ["n"]


def test_a_late_change_of_a_record_that_another_sync_still_knows_brings_none_back_that_the_read_has_not_met() -> None:
    world = shared()
    contacts, leads = world.apps["crm", "contacts"], world.apps["shop", "leads"]
    world.start()
    contacts.create(email="a@x.io", name="Ann")
    world.settle()
    del world.document["syncs"]["leads"]
    world.apply()
    world.settle()
    leads.delete("1")
    world.settle()
    contacts.edit("1", name="Anna")
    contacts.delete("1")
    contacts.create(email="b@x.io", name="Bob")
    late = list(contacts.log)
    contacts.log.clear()
    world.document["syncs"]["leads"] = INTO_LEADS
    world.apply()
    world.settle()
    contacts.log.extend(late)
    world.capture("crm")
    world.settle()
    assert [one["title"] for one in leads.records.values()] == ["Bob"]


def test_two_syncs_that_write_the_same_field_do_not_exchange_its_values_for_ever() -> None:
    both: Any = {**SYNC, "default": "shop", "mapping": [*SYNC["mapping"], *NOTES["mapping"]]}
    region: Any = [{"field": "notes", "op": "eq", "value": "n2"}]
    world = two(both, {**both, "filters": {"crm": region, "shop": [{**region[0], "field": "memo"}]}})
    world.left.create(email="a@x.io", notes="n1")
    world.start()
    assert world.stands("crm", "1", "notes") == ("excluded", "filter")
    before = world.written()
    world.left.edit("1", notes="n2")
    world.settle()
    assert world.right.records["1"]["memo"] == "n2"
    assert world.written() == before + 1
    assert {world.stands("crm", "1", name) for name in ("people", "notes")} == {("in_sync", None)}


def test_two_syncs_do_not_try_for_ever_what_the_app_refuses_to_two_records_that_exchange_a_unique_value() -> None:
    both: Any = {**SYNC, "mapping": [*SYNC["mapping"], *NOTES["mapping"]]}
    world = two(both, {**both, "kind": "custom"})
    world.right.unique = ("tel",)
    world.left.create(email="a@x.io", phone="1")
    world.left.create(email="b@x.io", phone="2")
    world.start()
    world.left.edit("1", phone="2", notes="n")
    world.left.edit("2", phone="1", notes="n")
    world.settle_at_once()
    assert {row.category for row in world.rows("people").values()} == {"duplicate"}
    assert {row.category for row in world.rows("notes").values()} == {"duplicate"}


def test_whom_a_deleted_sync_had_paired_may_take_an_empty_place_in_the_other() -> None:
    """While it was paired it matched nobody else; every record without a link is judged again when the rules change."""
    named = {
        **NOTES,
        "mapping": [{"crm": "name", "shop": "full_name", "identifier": "name"}, *NOTES["mapping"]],
        "filters": {
            "crm": [{"field": "notes", "op": "eq", "value": "n"}],
            "shop": [{"field": "memo", "op": "eq", "value": "n"}],
        },
    }
    world = two(second=named)
    world.left.create(email="a@x.io", name="Ann")
    world.right.create(mail="a@x.io", full_name="Ann")
    world.left.create(name="Bob", notes="n")
    world.start()
    (made,) = world.right.records.keys() - {"1"}
    world.right.delete(made)
    world.settle()
    world.right.edit("1", full_name="Bob")
    world.settle()
    assert world.stands("crm", "2", "notes") == ("failing", "deleted")
    del world.document["syncs"]["people"]
    world.apply()
    world.settle()
    assert world.stands("crm", "2", "notes") == ("in_sync", None)
    assert {side.id for side in world.of("crm", "2", "notes").sides.values()} == {"2", "1"}


def test_a_record_that_one_sync_has_missed_under_its_new_id_is_gone_in_the_other_too_when_the_log_tells_of_that_id() -> (
    None
):
    noted: Any = {**NOTES, "filters": {"crm": [{"field": "notes", "op": "is_not_empty"}]}, "direction": "to shop"}
    world = two(second=noted)
    world.left.create(email="a@x.io", name="Ann", notes="n")
    world.start()
    assert world.stands("crm", "1", "notes") == ("in_sync", None)
    world.left.edit("1", email="b@x.io", notes=None)
    world.left.renumber("1", "9")
    world.right.create(mail="b@x.io", full_name="Bob", tel="1")
    world.take("shop")
    world.deliver()
    world.think_all()
    assert world.of("shop", "2").sides["crm"].id == "9", "the create has met it"
    world.left.delete("9")
    while world.deliver():
        world.think_all()
    assert world.stands("shop", "2") == ("failing", "deleted")
    assert world.stands("shop", "1", "notes") == ("in_sync", None), "the log has not told yet"
    world.settle()
    assert world.stands("shop", "1", "notes") == ("failing", "deleted")
    world.right.delete("1")
    world.settle()
    assert all("shop" in row.sides and row.sides["shop"].id == "2" for row in world.rows("notes").values())


def test_a_record_that_might_be_what_a_deleted_sync_was_creating_waits_for_that_no_more() -> None:
    world = World(
        App("crm", without_tokens(PEOPLE)),
        App("shop", CUSTOMERS),
        App("shop", LEADS, Journal()),
        syncs={"people": {**SYNC, **WITHOUT_IDENTIFIER}, "leads": INTO_LEADS},
    )
    world.start()
    world.right.create(full_name="Offer")
    world.take("shop")
    assert world.commands
    world.commands.clear()
    world.left.create(name="Deal")
    world.take("crm")
    assert world.stands("crm", "1", "leads") == ("pending", None)
    del world.document["syncs"]["people"]
    world.apply()
    world.settle()
    assert world.stands("crm", "1", "leads") == ("in_sync", None)
    assert [record["title"] for record in world.apps["shop", "leads"].records.values()] == ["Deal"]
