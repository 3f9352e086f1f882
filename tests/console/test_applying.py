"""What applying a file comes to: the configuration, who is told what, what is off and why."""

from __future__ import annotations

import itertools
import json
from typing import Any

import msgspec
import pytest

from console.applied import Applied, same
from console.applying import Proposal, deletion, orders_of, propose, switch
from console.errors import WrongUseError
from rules.catalog import Catalog, Field, FieldType, Kind, Object
from rules.config import Installation, load

HEAD = """\
name: acme
accounts:
  crm: {connector: postgres, url: "${CRM_URL}"}
  shop: {connector: postgres, url: "${SHOP_URL}"}
  portal: {connector: postgres, url: "${SHOP_URL}"}
syncs:
"""
CONTACTS = (
    "  contacts: {between: {crm: contacts, shop: customers}, default: crm, mapping: [{crm: mail, shop: email}]}\n"
)
COMPANIES = "  companies: {between: {crm: companies, shop: firms}, default: crm, mapping: [{crm: name, shop: name}]}\n"
PORTAL = "  users: {between: {crm: contacts, portal: users}, default: crm, mapping: [{crm: mail, portal: email}]}\n"
ENVIRON = {"CRM_URL": "postgresql://u:word@a/crm", "SHOP_URL": "postgresql://u:word@a/shop"}


def installation(*syncs: str) -> Installation:
    return load(HEAD + "".join(syncs), "sync.yaml", ENVIRON)


def catalog(*objects: str, field: str = "mail") -> Catalog:
    fields = (Field("id", FieldType(Kind.INTEGER)), Field(field, FieldType(Kind.TEXT)))
    return Catalog({name: Object(name, fields, ("id",)) for name in objects})


CATALOGS = {
    "crm": catalog("contacts", "companies", "other"),
    "shop": catalog("customers", "firms"),
    "portal": catalog("users"),
}


def proposed(before: Applied | None, *syncs: str, keep_left: bool = False, **catalogs: Catalog) -> Proposal:
    return propose(before, installation(*syncs), {**CATALOGS, **catalogs}, keep_left=keep_left)


def applied(*syncs: str) -> Applied:
    return proposed(None, *syncs).after


def sent(before: Applied | None, after: Applied) -> dict[str, Any]:
    """The documents that the connections are sent, by connection."""
    ids = itertools.count()
    orders = orders_of(before, after, lambda: str(next(ids)))
    assert all((order.action, order.arguments["version"]) == ("apply", str(after.version)) for _, order in orders)
    return {connection: json.loads(order.arguments["document"]) for connection, order in orders}


def test_the_first_file_is_version_one_and_each_connection_is_told_its_own_part() -> None:
    proposal = proposed(None, CONTACTS, COMPANIES, PORTAL)
    after = proposal.after
    assert (after.version, after.name, after.off) == (1, "acme", frozenset())
    documents = sent(None, after)
    assert {name: list(one["syncs"]) for name, one in documents.items()} == {
        "crm~shop": ["contacts", "companies"],
        "crm~portal": ["users"],
    }
    assert sorted(documents["crm~portal"]["catalogs"]) == ["crm", "portal"]


def test_only_objects_in_use_are_kept() -> None:
    assert sorted(applied(CONTACTS).catalogs["crm"].objects) == ["contacts"]
    assert "portal" not in applied(CONTACTS).catalogs


def test_no_secret_is_in_what_goes_to_kafka() -> None:
    after = applied(CONTACTS, COMPANIES)
    assert b"word" not in msgspec.json.encode(after)
    assert "word" not in json.dumps(sent(None, after))


def test_the_same_file_is_the_same_version_and_the_connections_are_told_again() -> None:
    before = applied(CONTACTS, COMPANIES)
    again = proposed(msgspec.json.decode(msgspec.json.encode(before), type=Applied), CONTACTS, COMPANIES)
    assert again.after.version == 1
    assert same(before, again.after)
    assert again.changes == ()
    assert list(sent(before, again.after)) == ["crm~shop"]


def test_another_order_of_the_accounts_is_another_configuration() -> None:
    before = applied(CONTACTS)
    flipped = CONTACTS.replace("{crm: contacts, shop: customers}", "{shop: customers, crm: contacts}")
    assert proposed(before, flipped).after.version == 2


def test_objects_that_have_changed_are_a_new_version() -> None:
    before = applied(CONTACTS)
    after = proposed(before, CONTACTS, crm=catalog("contacts", field="email"))
    assert (after.after.version, after.refreshed, after.changes) == (2, ("crm",), ())


def test_an_account_that_did_not_answer_keeps_the_objects_that_were_applied() -> None:
    before = applied(CONTACTS)
    after = propose(before, installation(CONTACTS), {}, keep_left=True).after
    assert same(before, after)


def test_apply_deletes_a_sync_that_left_the_file() -> None:
    before = applied(CONTACTS, COMPANIES)
    proposal = proposed(before, CONTACTS)
    assert [str(change) for change in proposal.changes] == [
        "- sync companies: crm:companies ↔ shop:firms, custom, both"
    ]
    assert list(sent(before, proposal.after)["crm~shop"]["syncs"]) == ["contacts"]


def test_a_connection_whose_last_sync_was_deleted_is_told_that_nothing_is_left() -> None:
    before = applied(CONTACTS, PORTAL)
    after = proposed(before, CONTACTS).after
    assert sent(before, after)["crm~portal"]["syncs"] == {}


def test_up_switches_off_what_left_the_file_and_keeps_what_it_needs() -> None:
    before = applied(CONTACTS, PORTAL)
    head = HEAD.replace('  portal: {connector: postgres, url: "${SHOP_URL}"}\n', "")
    shrunk = load(head + CONTACTS, "sync.yaml", ENVIRON)
    proposal = propose(before, shrunk, {"crm": CATALOGS["crm"], "shop": CATALOGS["shop"]}, keep_left=True)
    after = proposal.after
    assert (after.off, after.left) == (frozenset({"users"}), frozenset({"users"}))
    assert after.document["accounts"]["portal"]["connector"] == "postgres"
    documents = sent(before, after)
    assert documents["crm~portal"]["off"] == ["users"]
    assert sorted(documents["crm~portal"]["catalogs"]["portal"]) == ["users"]
    assert not [change for change in proposal.changes if change.action == "removed"]


def test_a_sync_that_comes_back_into_the_file_is_on_again() -> None:
    away = proposed(applied(CONTACTS, COMPANIES), CONTACTS, keep_left=True).after
    assert away.off == {"companies"}
    back = proposed(away, CONTACTS, COMPANIES, keep_left=True).after
    assert (back.off, back.left, back.version) == (frozenset(), frozenset(), 3)


def test_a_sync_that_a_person_switched_off_stays_off() -> None:
    off = switch(applied(CONTACTS, COMPANIES), "companies", on=False)
    assert proposed(off, CONTACTS, COMPANIES, keep_left=True).after.off == {"companies"}
    assert proposed(off, CONTACTS, COMPANIES).after.off == {"companies"}


def test_apply_after_up_deletes_what_had_left_before() -> None:
    away = proposed(applied(CONTACTS, COMPANIES), CONTACTS, keep_left=True).after
    proposal = proposed(away, CONTACTS)
    assert list(proposal.after.document["syncs"]) == ["contacts"]
    assert [change.action for change in proposal.changes] == ["removed"]
    assert (proposal.after.off, proposal.after.left) == (frozenset(), frozenset())


@pytest.mark.parametrize(
    "edited",
    [
        CONTACTS.replace("contacts, shop", "other, shop"),
        CONTACTS.replace("default", "kind: lead, require_identifier: false, default"),
    ],
)
def test_another_object_or_kind_under_the_same_name_is_refused(edited: str) -> None:
    assert proposed(applied(CONTACTS), edited).refused


def test_switching_is_a_new_version_and_switching_again_is_not() -> None:
    before = applied(CONTACTS, COMPANIES)
    off = switch(before, "contacts", on=False)
    assert (off.version, off.off) == (2, frozenset({"contacts"}))
    assert switch(off, "contacts", on=False) is off
    on = switch(off, "contacts", on=True)
    assert (on.version, on.off) == (3, frozenset())
    assert sent(before, off)["crm~shop"]["off"] == ["contacts"]


def test_switching_what_does_not_exist_is_refused() -> None:
    with pytest.raises(WrongUseError, match="There is no sync contacs") as caught:
        switch(applied(CONTACTS), "contacs", on=False)
    assert caught.value.remedy == "Did you mean contacts?"
    with pytest.raises(WrongUseError):
        switch(None, "contacts", on=True)


def test_a_sync_that_is_not_in_the_file_is_not_switched_on() -> None:
    away = proposed(applied(CONTACTS, COMPANIES), CONTACTS, keep_left=True).after
    with pytest.raises(WrongUseError, match="no longer in the file"):
        switch(away, "companies", on=True)


PEOPLE = (
    "  people: {between: {crm: other, shop: customers}, default: crm, mapping: [{crm: mail, shop: email},"
    " {crm: company, shop: firm, association: companies}]}\n"
)


def test_a_deleted_sync_is_gone_and_its_connection_is_told() -> None:
    before = applied(CONTACTS, COMPANIES)
    after = deletion(before, "companies")
    assert (list(after.document["syncs"]), after.deleted, after.version) == (["contacts"], frozenset({"companies"}), 2)
    assert list(sent(before, after)["crm~shop"]["syncs"]) == ["contacts"]
    assert sorted(after.catalogs["crm"].objects) == ["contacts"]
    assert deletion(after, "companies") is after


def test_up_does_not_bring_back_what_a_command_deleted_and_apply_does() -> None:
    gone = deletion(applied(CONTACTS, COMPANIES), "companies")
    up = proposed(gone, CONTACTS, COMPANIES, keep_left=True)
    assert same(up.after, gone)
    assert up.changes == ()
    again = proposed(gone, CONTACTS, COMPANIES)
    assert [change.action for change in again.changes] == ["added"]
    assert (list(again.after.document["syncs"]), again.after.deleted) == (["contacts", "companies"], frozenset())


def test_a_deleted_sync_that_left_the_file_and_comes_back_is_a_new_one() -> None:
    gone = deletion(applied(CONTACTS, COMPANIES), "companies")
    without = proposed(gone, CONTACTS, keep_left=True).after
    assert without.deleted == frozenset()
    assert list(proposed(without, CONTACTS, COMPANIES, keep_left=True).after.document["syncs"]) == [
        "contacts",
        "companies",
    ]


def test_a_sync_that_was_off_or_had_left_the_file_is_neither_once_it_is_deleted() -> None:
    off = switch(applied(CONTACTS, COMPANIES), "companies", on=False)
    assert deletion(off, "companies").off == frozenset()
    away = proposed(applied(CONTACTS, COMPANIES), CONTACTS, keep_left=True).after
    assert (deletion(away, "companies").off, deletion(away, "companies").left) == (frozenset(), frozenset())


def test_what_others_refer_to_is_not_deleted() -> None:
    before = applied(COMPANIES, PEOPLE)
    with pytest.raises(WrongUseError, match="people associates its records with those of companies"):
        deletion(before, "companies")
    gone = deletion(applied(COMPANIES), "companies")
    with pytest.raises(WrongUseError, match="people associates"):
        proposed(gone, COMPANIES, PEOPLE, keep_left=True)


def test_deleting_or_switching_what_is_not_there_is_refused() -> None:
    with pytest.raises(WrongUseError, match="There is no sync contacs") as caught:
        deletion(applied(CONTACTS), "contacs")
    assert caught.value.remedy == "Did you mean contacts?"
    with pytest.raises(WrongUseError, match="companies was deleted"):
        switch(deletion(applied(CONTACTS, COMPANIES), "companies"), "companies", on=True)
