"""What a target does not take, and what becomes of it (semantics section 8), on the shared stage."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.end_to_end.engine import until
from tests.end_to_end.stage import OBJECTS, SYNCS, Stage

pytestmark = pytest.mark.e2e

GIVEN = "SELECT given_name FROM customers WHERE customer_no = %s"


def test_3_of_100_refused(stage: Stage) -> None:
    stage.crm.run(
        """
        INSERT INTO contacts (email, first_name, phone)
        SELECT 'many' || n || '@x.io', CASE WHEN n % 33 = 1 AND n > 1 THEN repeat('y', 60) ELSE 'Many' END, n::text
        FROM generate_series(1, 100) n
        """
    )
    refused = [34, 67, 100]
    seen = stage.see("contacts")
    rows = {row["crm"]["fields"]["email"]: row for row in seen.records if row["crm"]}
    many = {number: rows[f"many{number}@x.io"] for number in range(1, 101)}
    assert [number for number, row in many.items() if row["status"] == "failing"] == refused
    assert all(row["status"] == "in_sync" for number, row in many.items() if number not in refused)
    for number in refused:
        assert many[number]["category"] == "invalid_value"
        assert "shop.given_name" in many[number]["message"]
        assert "60 characters" in many[number]["message"]
    # The field fails alone: all hundred are there, and nothing is blanked.
    query = "SELECT mail, given_name, tel FROM customers WHERE mail LIKE 'many%' ORDER BY length(mail), mail"
    made = stage.shop.run(query)
    assert [row["mail"] for row in made] == [f"many{number}@x.io" for number in range(1, 101)]
    assert [row["tel"] for row in made] == [str(number) for number in range(1, 101)]
    assert [row["given_name"] for row in made] == [None if number in refused else "Many" for number in range(1, 101)]

    # Corrected in the source, it is in sync by itself.
    stage.crm.run("UPDATE contacts SET first_name = 'Short' WHERE email LIKE 'many%' AND length(first_name) = 60")
    seen = stage.see("contacts")
    assert all(row["status"] == "in_sync" for row in seen.records if "many" in str(row["crm"]))
    assert stage.shop.value("SELECT count(*) FROM customers WHERE mail LIKE 'many%' AND given_name = 'Short'") == 3


def test_cause_mended_in_the_target_source_unchanged_retry(stage: Stage) -> None:
    ours, theirs = stage.person("mars@x.io", first_name="Earth", phone="1")
    stage.shop.run("ALTER TABLE customers ADD CONSTRAINT not_from_mars CHECK (given_name NOT LIKE 'Mars%')")
    other = stage.crm.value("INSERT INTO contacts (email, first_name) VALUES ('m2@x.io', 'Mars 2') RETURNING id")
    stage.crm.run("UPDATE contacts SET first_name = 'Mars 1', phone = '2' WHERE id = %s", ours)
    seen = stage.see("contacts")
    for contact in (ours, other):
        assert seen.stands("crm", contact) == ("failing", "invalid_value")
        assert "not_from_mars" in seen.of("crm", contact)["message"]
    stage.crosses("shop", "SELECT tel FROM customers WHERE customer_no = %s", theirs, to="2")

    # The cause is mended over there, where nothing tells of it: it stays so until a person asks.
    stage.shop.run("ALTER TABLE customers DROP CONSTRAINT not_from_mars")
    mark = stage.mark()
    assert stage.records("contacts").stands("crm", ours) == ("failing", "invalid_value")
    assert stage.shop.value(GIVEN, theirs) == "Earth"
    stage.engine.run("retry", "contacts", f"crm:{ours}")
    seen = stage.see("contacts")
    assert seen.stands("crm", ours) == ("in_sync", None)
    assert seen.stands("crm", other) == ("failing", "invalid_value"), "the one that was named, no other"
    assert stage.shop.value(GIVEN, theirs) == "Mars 1"
    stage.engine.run("retry", "contacts", "--category", "invalid_value")
    assert stage.see("contacts").stands("crm", other) == ("in_sync", None)
    assert stage.shop.value("SELECT given_name FROM customers WHERE mail = 'm2@x.io'") == "Mars 2"
    assert [one.changed for one in stage.writes(mark, "contacts", "customers")] == [
        {"given_name": "Mars 1"},
        {"given_name": "Mars 2"},
    ]


def edited(sync: str, **fields: dict[str, Any] | None) -> dict[str, Any]:
    """The syncs of the stage, with other entries for the fields of one of them; None drops the entry."""
    syncs = copy.deepcopy(SYNCS)
    mapping = [entry for entry in syncs[sync]["mapping"] if entry.get("crm") not in fields]
    syncs[sync]["mapping"] = [*mapping, *(entry for entry in fields.values() if entry is not None)]
    return syncs


def test_mapped_column_dropped_or_retyped_unknown_enumeration_value(stage: Stage) -> None:
    # A value of an enumeration that the map does not know fails alone.
    ours, theirs = stage.person("enum@x.io", tier="gold")
    stage.crm.run("UPDATE contacts SET tier = 'platinum', phone = '7' WHERE id = %s", ours)
    stage.crosses("shop", "SELECT tel FROM customers WHERE customer_no = %s", theirs, to="7")
    seen = stage.see("contacts")
    assert seen.stands("crm", ours) == ("failing", "invalid_value")
    assert "platinum" in seen.of("crm", ours)["message"]
    assert stage.shop.value("SELECT level FROM customers WHERE customer_no = %s", theirs) == 1
    stage.crm.run("UPDATE contacts SET tier = 'silver' WHERE id = %s", ours)
    stage.crosses("shop", "SELECT level FROM customers WHERE customer_no = %s", theirs, to=2)

    # Dropped: nothing is written to these records, nor cleared, until the mapping is edited; the other syncs go on.
    insert = "INSERT INTO tickets (code, subject, urgency, due) VALUES (%s, 'Help', 'high', '5') RETURNING id"
    one, two = stage.crm.value(insert, "T1"), stage.crm.value(insert, "T2")
    case = stage.made("cases", "case_no", "code", "T2")
    stage.wait("tickets")
    mark = stage.mark()
    stage.shop.run("ALTER TABLE cases DROP COLUMN urgency")
    stage.shop.run("UPDATE cases SET title = 'Seen' WHERE case_no = %s", case)
    stage.crm.run("UPDATE tickets SET urgency = 'low' WHERE id = %s", one)
    until(lambda: stage.engine.status("tickets")["failing"] == 2, "the records show it")
    seen = stage.see("tickets")
    for ticket in (one, two):
        assert seen.stands("crm", ticket) == ("failing", "schema")
        assert "shop.urgency no longer exists" in seen.of("crm", ticket)["message"]
    assert stage.writes(mark, "tickets", "cases") == []
    assert stage.records("contacts").stands("crm", ours) == ("in_sync", None)
    stage.engine.configure(edited("tickets", urgency=None), OBJECTS)
    stage.engine.run("apply", "--yes")
    seen = stage.see("tickets")
    assert [seen.stands("crm", each) for each in (one, two)] == [("in_sync", None)] * 2
    assert stage.crm.run("SELECT subject, urgency FROM tickets ORDER BY id") == [
        {"subject": "Help", "urgency": "low"},
        {"subject": "Seen", "urgency": "high"},
    ]

    # Retyped: the same, until it is applied with the new type; what does not fit that fails alone.
    stage.shop.run("ALTER TABLE cases ALTER COLUMN due TYPE integer USING due::integer")
    stage.crm.run("UPDATE tickets SET due = 'tomorrow', subject = 'Later' WHERE id = %s", one)
    stage.crm.run("UPDATE tickets SET due = '6' WHERE id = %s", two)
    until(lambda: stage.engine.status("tickets")["failing"] == 2, "the records show it")
    assert stage.records("tickets").stands("crm", two) == ("failing", "schema")
    stage.engine.run("apply", "--yes")
    seen = stage.see("tickets")
    assert seen.stands("crm", two) == ("in_sync", None)
    assert seen.stands("crm", one) == ("failing", "invalid_value")
    assert all(word in seen.of("crm", one)["message"] for word in ("due", "tomorrow"))
    assert stage.shop.run("SELECT title, due FROM cases ORDER BY code") == [
        {"title": "Later", "due": 5},
        {"title": "Seen", "due": 6},
    ]
