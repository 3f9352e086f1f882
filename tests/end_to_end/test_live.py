"""Live two-way sync between two databases, over a real Kafka, with two workers."""

from __future__ import annotations

from zlib import crc32

import pytest

from tests.end_to_end.engine import Database, Engine, table, until
from tests.end_to_end.schemas import COMPANIES, CONTACTS, CRM_CONTACTS, SHOP_CONTACTS

pytestmark = pytest.mark.e2e

PARTITIONS = 8


def agree(engine: Engine) -> None:
    """Both databases hold the same, by SQL."""
    left = [tuple(row.values()) for row in engine.databases["crm"].run(CRM_CONTACTS)]
    right = [tuple(row.values()) for row in engine.databases["shop"].run(SHOP_CONTACTS)]
    assert left == right


def stages_are_apart(engine: Engine) -> bool:
    """Capture and delivery of the accounts run in one worker, the decisions on their connection in the other."""
    accounts, connection = crc32(b"crm") % PARTITIONS, crc32(b"crm~shop") % PARTITIONS
    first, second = engine.partitions()
    return bool(first and second) and (accounts in first) != (connection in first)


def seed(engine: Engine) -> None:
    """Overlapping people: ten on both sides, five on each side alone."""
    crm, shop = engine.databases["crm"], engine.databases["shop"]
    for number in range(15):
        crm.run(
            "INSERT INTO contacts (email, first_name, phone, tier, balance) VALUES (%s, %s, %s, 'gold', 10.5)",
            f"P{number}@Example.org",
            f"Person {number}",
            f"+34 {number}",
        )
    for number in range(5, 20):
        shop.run(
            "INSERT INTO customers (mail, given_name, surname, level) VALUES (%s, %s, %s, 2)",
            f"p{number}@example.org",
            f"Other {number}",
            f"Surname {number}",
        )


def test_two_databases_match_merge_and_stay_the_same(engine: Engine) -> None:
    seed(engine)
    engine.configure({"companies": COMPANIES, "contacts": CONTACTS})
    engine.up()
    engine.wait()
    agree(engine)
    crm, shop = engine.databases["crm"], engine.databases["shop"]
    assert crm.value("SELECT count(*) FROM contacts") == shop.value("SELECT count(*) FROM customers") == 20
    assert engine.status("contacts")["in_sync"] == 20
    until(lambda: stages_are_apart(engine), "capture and decisions run in different workers")

    crm.run("UPDATE contacts SET phone = '+1 555' WHERE email = 'P3@Example.org'")
    until(lambda: shop.value("SELECT tel FROM customers WHERE mail ILIKE 'p3@%'") == "+1 555", "the edit crosses")
    shop.run("UPDATE customers SET surname = 'Back' WHERE mail ILIKE 'p3@%'")
    until(lambda: crm.value("SELECT last_name FROM contacts WHERE email ILIKE 'p3@%'") == "Back", "and back")
    shop.run("INSERT INTO customers (mail, given_name) VALUES ('new@example.org', 'New')")
    until(lambda: crm.value("SELECT first_name FROM contacts WHERE email = 'new@example.org'") == "New", "it is made")

    crm.run("DELETE FROM contacts WHERE email = 'new@example.org'")
    engine.wait()
    failing = engine.records("contacts", "--status", "failing")
    assert [row["category"] for row in failing] == ["deleted"]
    engine.run("restore", "contacts", "--into", "crm")
    engine.wait()
    assert crm.value("SELECT count(*) FROM contacts WHERE email = 'new@example.org'") == 1
    agree(engine)


def test_a_second_run_on_agreeing_data_writes_nothing(engine: Engine) -> None:
    seed(engine)
    engine.configure({"contacts": CONTACTS})
    engine.up()
    engine.wait()
    engine.down()
    before = {name: table(one, "ledger", ["token"], "token") for name, one in ledgers(engine).items()}
    engine.up()
    engine.wait()
    assert {name: table(one, "ledger", ["token"], "token") for name, one in ledgers(engine).items()} == before
    agree(engine)


def ledgers(engine: Engine) -> dict[str, Database]:
    """The databases, looking into our ledger: it has a row for every write that we have made."""
    for one in engine.databases.values():
        one.run("SET search_path = tandem, public")
    return dict(engine.databases)
