"""Values that cross, meet and come back (semantics section 4), each on records of its own on the shared stage."""

from __future__ import annotations

import pytest

from tests.end_to_end.stage import Stage, Write
from tests.end_to_end.test_wait import frozen_capture

pytestmark = pytest.mark.e2e

PHONE, TEL = "SELECT phone FROM contacts WHERE id = %s", "SELECT tel FROM customers WHERE customer_no = %s"


def test_echo_once(stage: Stage) -> None:
    mark = stage.mark()
    ours, theirs = stage.person("echo@x.io", phone="1")
    (made,) = stage.writes(mark, "contacts", "customers")
    assert (made.account, made.op, made.id) == ("shop", "insert", str(theirs))
    assert made.changed["tel"] == "1"
    assert made.changed["source"] == "tandem"

    mark = stage.mark()
    stage.crm.run("UPDATE contacts SET phone = '2' WHERE id = %s", ours)
    stage.crosses("shop", TEL, theirs, to="2")
    stage.shop.run("UPDATE customers SET tel = '3' WHERE customer_no = %s", theirs)
    stage.crosses("crm", PHONE, ours, to="3")
    # A value that was there before comes back: an edit like any other, not the echo of the first.
    stage.shop.run("UPDATE customers SET tel = '2' WHERE customer_no = %s", theirs)
    stage.crosses("crm", PHONE, ours, to="2")
    assert stage.see("contacts").stands("crm", ours) == ("in_sync", None)
    assert stage.writes(mark, "contacts", "customers") == [
        Write("crm", "contacts", "update", str(ours), {"phone": "3"}),
        Write("crm", "contacts", "update", str(ours), {"phone": "2"}),
        Write("shop", "customers", "update", str(theirs), {"tel": "2"}),
    ]


def test_app_reformats_the_phone_number(stage: Stage) -> None:
    mark = stage.mark()
    ours, theirs = stage.person("format@x.io", phone="+34600111222")
    assert stage.shop.value(TEL, theirs) == "+34 600 111 222"
    stage.crm.run("UPDATE contacts SET phone = '+34600333444' WHERE id = %s", ours)
    stage.crosses("shop", TEL, theirs, to="+34 600 333 444")
    # An edit of something else takes no number along, in either form.
    stage.shop.run("UPDATE customers SET surname = 'Form' WHERE customer_no = %s", theirs)
    stage.crosses("crm", "SELECT last_name FROM contacts WHERE id = %s", ours, to="Form")
    seen = stage.records("contacts")
    assert stage.crm.value(PHONE, ours) == "+34600333444"
    assert [(one.op, one.account, one.changed.get("phone")) for one in stage.writes(mark, "contacts")] == [
        ("update", "crm", None)
    ]
    assert [one.changed["tel"] for one in stage.writes(mark, "customers")] == ["+34 600 111 222", "+34 600 333 444"]
    # A person's own edit over there comes back in the form of that app.
    stage.shop.run("UPDATE customers SET tel = '+34600555666' WHERE customer_no = %s", theirs)
    stage.crosses("crm", PHONE, ours, to="+34 600 555 666")
    seen = stage.see("contacts")
    assert seen.stands("crm", ours) == ("in_sync", None)
    assert seen.of("crm", ours)["shop"]["fields"]["tel"] == "+34 600 555 666"
    assert len(stage.writes(mark, "contacts", "customers")) == 4


def test_both_stamps_move_but_one_sides_content(stage: Stage) -> None:
    ours, theirs = stage.person("stamps@x.io", phone="1")
    mark = stage.mark()
    with stage.hold("shop", "customers") as held:
        stage.crm.run("UPDATE contacts SET phone = '2', updated_at = now() WHERE id = %s", ours)
        held.reached()
        stage.shop.run("UPDATE customers SET touched = now(), tel = tel WHERE customer_no = %s", theirs)
    stage.crosses("shop", TEL, theirs, to="2")
    assert stage.see("contacts").stands("crm", ours) == ("in_sync", None)
    assert stage.crm.value(PHONE, ours) == "2"
    assert stage.writes(mark, "contacts", "customers") == [
        Write("shop", "customers", "update", str(theirs), {"tel": "2"})
    ]
    assert not stage.lost("contacts", f"crm:{ours}", "phone")


def test_different_fields_at_once(stage: Stage) -> None:
    ours, theirs = stage.person("different@x.io", phone="1")
    with stage.hold("shop", "customers") as held:
        stage.crm.run("UPDATE contacts SET first_name = 'Ours' WHERE id = %s", ours)
        held.reached()
        stage.shop.run("UPDATE customers SET surname = 'Theirs' WHERE customer_no = %s", theirs)
    stage.crosses("shop", "SELECT given_name FROM customers WHERE customer_no = %s", theirs, to="Ours")
    assert stage.see("contacts").stands("crm", ours) == ("in_sync", None)
    assert stage.crm.run("SELECT first_name, last_name, phone FROM contacts WHERE id = %s", ours) == [
        {"first_name": "Ours", "last_name": "Theirs", "phone": "1"}
    ]
    assert stage.shop.run("SELECT given_name, surname, tel FROM customers WHERE customer_no = %s", theirs) == [
        {"given_name": "Ours", "surname": "Theirs", "tel": "1"}
    ]


def test_same_field_at_once(stage: Stage) -> None:
    ours, theirs = stage.person("same@x.io", phone="1")
    # The other side's edit comes while the default side's is on its way, and the reverse: the default side wins both.
    for round_, (account, table) in enumerate((("shop", "customers"), ("crm", "contacts"))):
        mine, yours = f"crm-{round_}", f"shop-{round_}"
        edits = [
            ("crm", "UPDATE contacts SET phone = %s WHERE id = %s", mine, ours),
            ("shop", "UPDATE customers SET tel = %s WHERE customer_no = %s", yours, theirs),
        ]
        (_, first, *values), (_, second, *others) = edits if account == "shop" else reversed(edits)
        with stage.hold(account, table) as held:
            stage.databases["crm" if account == "shop" else "shop"].run(first, *values)
            held.reached()
            stage.databases[account].run(second, *others)
        stage.crosses("shop", TEL, theirs, to=mine)
        seen = stage.see("contacts")
        assert (stage.crm.value(PHONE, ours), stage.shop.value(TEL, theirs)) == (mine, mine)
        assert seen.stands("crm", ours) == ("in_sync", None)
    # What lost is kept, with what both sides' edits were.
    lost = stage.lost("contacts", f"crm:{ours}", "phone")
    assert [(one["value"], one["event"].split("@")[0], one["lost_event"].split("@")[0]) for one in lost] == [
        (value, f"log crm:{ours}", f"log shop:{theirs}") for value in ("shop-1", "shop-0")
    ]


def test_default_sides_value_cleared(stage: Stage) -> None:
    ours, theirs = stage.person("cleared@x.io", phone="1", last_name="Kept")
    # Alone, with `empty: keep`: nothing is cleared on the other side, and what is edited there fills the gap.
    mark = stage.mark()
    stage.crm.run("UPDATE contacts SET phone = NULL WHERE id = %s", ours)
    assert stage.records("contacts").stands("crm", ours) == ("in_sync", None)
    assert (stage.crm.value(PHONE, ours), stage.shop.value(TEL, theirs)) == (None, "1")
    assert stage.writes(mark, "contacts", "customers") == []
    stage.shop.run("UPDATE customers SET tel = '2' WHERE customer_no = %s", theirs)
    stage.crosses("crm", PHONE, ours, to="2")

    # At once with an edit of the other side, whatever `empty` says: the other's value fills the default side.
    for field, theirs_is in (("phone", "tel"), ("last_name", "surname")):
        with stage.hold("crm", "contacts") as held:
            stage.shop.run(f"UPDATE customers SET {theirs_is} = 'edited' WHERE customer_no = %s", theirs)
            held.reached()
            stage.crm.run(f"UPDATE contacts SET {field} = NULL WHERE id = %s", ours)
        stage.crosses("crm", f"SELECT {field} FROM contacts WHERE id = %s", ours, to="edited")
    seen = stage.records("contacts")
    assert seen.stands("crm", ours) == ("in_sync", None)
    assert stage.shop.run("SELECT tel, surname FROM customers WHERE customer_no = %s", theirs) == [
        {"tel": "edited", "surname": "edited"}
    ]

    # Alone, with `empty: propagate`.
    stage.crm.run("UPDATE contacts SET last_name = '' WHERE id = %s", ours)
    stage.crosses("shop", "SELECT coalesce(surname, '') FROM customers WHERE customer_no = %s", theirs, to="")
    assert stage.see("contacts").stands("crm", ours) == ("in_sync", None)


def test_three_quick_edits_and_a_late_echo_of_the_first(stage: Stage) -> None:
    ours, theirs = stage.person("quick@x.io", phone="0")
    mark = stage.mark()
    with frozen_capture(stage.engine.urls["shop"]):
        # The shop tells nothing of what is written to it until all three edits are through.
        for phone in ("1", "2", "3"):
            stage.crm.run("UPDATE contacts SET phone = %s WHERE id = %s", phone, ours)
            stage.crosses("shop", TEL, theirs, to=phone)
        stage.crm.run("UPDATE contacts SET first_name = 'Last' WHERE id = %s", ours)
        stage.crosses("shop", "SELECT given_name FROM customers WHERE customer_no = %s", theirs, to="Last")
    assert stage.see("contacts").stands("crm", ours) == ("in_sync", None)
    assert (stage.crm.value(PHONE, ours), stage.shop.value(TEL, theirs)) == ("3", "3")
    assert [(one.account, one.changed) for one in stage.writes(mark, "contacts", "customers")] == [
        ("shop", {"tel": "1"}), ("shop", {"tel": "2"}), ("shop", {"tel": "3"}), ("shop", {"given_name": "Last"}),
    ]  # fmt: skip
