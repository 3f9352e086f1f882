"""Records that meet, leave, merge and come too early (semantics sections 2, 5 and 6), on the shared stage."""

from __future__ import annotations

import pytest

from tests.end_to_end.engine import until
from tests.end_to_end.stage import Stage

pytestmark = pytest.mark.e2e

PEOPLE, CUSTOMERS = "SELECT count(*) FROM contacts WHERE email = %s", "SELECT count(*) FROM customers WHERE mail = %s"


def product(stage: Stage, sku: str) -> tuple[int, int]:
    """A product in sync: the ids."""
    ours = stage.crm.value("INSERT INTO products (sku, name, price) VALUES (%s, 'Lamp', 1) RETURNING id", sku)
    return ours, stage.made("articles", "article_no", "sku", sku)


def test_delete_meets_edit(stage: Stage) -> None:
    # Kept: the counterpart stays, with its edit, which the restored record has too.
    ours, theirs = stage.person("meets@x.io", phone="1", notes="only here")
    stage.wait("contacts")
    with stage.hold("crm", "contacts") as held:
        stage.shop.run("UPDATE customers SET tel = '2' WHERE customer_no = %s", theirs)
        held.reached()
        stage.crm.run("DELETE FROM contacts WHERE id = %s", ours)
    seen = stage.records("contacts")
    assert seen.stands("shop", theirs) == ("failing", "deleted")
    assert f"crm:{ours} was deleted in crm" in seen.of("shop", theirs)["message"]
    assert "restore contacts" in seen.of("shop", theirs)["remedy"]
    assert stage.crm.value(PEOPLE, "meets@x.io") == 0
    assert stage.shop.value("SELECT tel FROM customers WHERE customer_no = %s", theirs) == "2"
    stage.engine.run("restore", "contacts", f"shop:{theirs}", "--into", "crm")
    assert stage.see("contacts").stands("shop", theirs) == ("in_sync", None)
    assert stage.crm.run("SELECT phone, notes FROM contacts WHERE email = 'meets@x.io'") == [
        {"phone": "2", "notes": "only here"}
    ]

    # Propagated: only as it was last known. Edited meanwhile, it stays.
    (edited, its), (left, gone) = product(stage, "MEETS-1"), product(stage, "MEETS-2")
    stage.wait("products")
    with stage.hold("shop", "articles") as held:
        stage.crm.run("DELETE FROM products WHERE id IN (%s, %s)", edited, left)
        held.reached()
        stage.shop.run("UPDATE articles SET stock = 7 WHERE article_no = %s", its)
    until(
        lambda: not stage.shop.value("SELECT count(*) FROM articles WHERE sku = 'MEETS-2'"), "the other one is deleted"
    )
    seen = stage.see("products")
    assert seen.stands("shop", its) == ("failing", "deleted")
    assert "has been edited meanwhile, and stays" in seen.of("shop", its)["message"]
    assert not seen.has("shop", gone)
    assert stage.shop.run("SELECT sku, stock FROM articles WHERE sku LIKE 'MEETS%%'") == [
        {"sku": "MEETS-1", "stock": 7}
    ]


def test_source_suddenly_empty_and_a_genuinely_empty_one(stage: Stage) -> None:
    for number in range(30):
        stage.crm.run("INSERT INTO parts (sku, name) VALUES (%s, 'Part')", f"PART-{number}")
    assert len(stage.records("parts").records) == 30

    # Emptied while the sync is off, so that a full read finds it so: it stops, whatever `deletes` says, and whether the
    # log tells of the deletions before it is on again or after.
    stage.engine.run("off", "parts")
    stage.crm.run("CREATE TABLE kept AS SELECT * FROM parts")
    stage.crm.run("DELETE FROM parts")
    stage.engine.run("on", "parts")
    until(lambda: stage.engine.status("parts")["state"] == "stopped", "it stops")
    assert "crm reads empty" in stage.engine.status("parts")["reason"]
    assert stage.shop.value("SELECT count(*) FROM pieces") == 30
    stage.crm.run("INSERT INTO parts SELECT * FROM kept")
    stage.crm.run("DROP TABLE kept")
    stage.engine.run("off", "parts")
    stage.engine.run("on", "parts")
    seen = stage.see("parts")
    assert (seen.status["state"], seen.status["in_sync"], len(seen.records)) == ("live", 30, 30)

    # Truncated under our eyes: the same, and a person lets it go on, deletions included.
    mark = stage.mark()
    stage.crm.run("TRUNCATE parts")
    until(lambda: stage.engine.status("parts")["state"] == "stopped", "it stops")
    assert stage.shop.value("SELECT count(*) FROM pieces") == 30
    stage.engine.run("confirm", "parts")
    until(lambda: stage.shop.value("SELECT count(*) FROM pieces") == 0, "the deletions go on")
    seen = stage.see("parts")
    assert (seen.status["state"], seen.records) == ("live", [])
    assert len(stage.writes(mark, "parts", "pieces")) == 30

    # Genuinely empty, on both sides, from the beginning and read once more: nothing to stop for.
    assert stage.engine.status("leads")["state"] == "live"
    assert stage.shop.value("SELECT count(*) FROM prospects") == 0
    stage.crm.run("TRUNCATE leads")
    stage.shop.run("INSERT INTO prospects (mail, label) VALUES ('first@x.io', 'First')")
    seen = stage.see("leads")
    assert (seen.status["state"], seen.status["in_sync"]) == ("live", 1)
    assert stage.crm.run("SELECT email, name FROM leads") == [{"email": "first@x.io", "name": "First"}]


def test_contact_before_its_company(stage: Stage) -> None:
    query = "SELECT website_domain FROM customers JOIN firms USING (firm_no) WHERE mail = 'early@x.io'"
    with stage.hold("shop", "firms") as held:
        company = stage.crm.value("INSERT INTO companies (name, domain) VALUES ('Late', 'late.io') RETURNING id")
        held.reached()
        contact = stage.crm.value(
            "INSERT INTO contacts (email, company_id) VALUES ('early@x.io', %s) RETURNING id", company
        )
        theirs = stage.made("customers", "customer_no", "mail", "early@x.io")
        awaiting = until(lambda: _awaits(stage, contact), "the contact says what it awaits")
        assert awaiting["status"] == "in_sync"
        assert f"the counterpart of crm:{company} (companies)" in awaiting["message"]
        assert stage.shop.value("SELECT firm_no FROM customers WHERE customer_no = %s", theirs) is None
    until(lambda: stage.shop.value(query) == "late.io", "the company follows")
    seen = stage.see("contacts")
    assert seen.stands("crm", contact) == ("in_sync", None)
    assert seen.of("crm", contact)["message"] is None
    assert stage.shop.value(CUSTOMERS, "early@x.io") == 1
    assert stage.see("companies").stands("crm", company) == ("in_sync", None)


def _awaits(stage: Stage, contact: int) -> dict[str, str | None] | None:
    rows = stage.engine.records("contacts", "--search", "early@x.io")
    return next((row for row in rows if row["crm"]["id"] == str(contact) and row["message"] and row["shop"]), None)


def test_companies_merged(stage: Stage) -> None:
    insert = "INSERT INTO companies (name, domain) VALUES (%s, %s) RETURNING id"
    loser, survivor = stage.crm.value(insert, "Loser", "loser.io"), stage.crm.value(insert, "Survivor", "survivor.io")
    lost, stays = (stage.made("firms", "firm_no", "website_domain", one) for one in ("loser.io", "survivor.io"))
    # One that claims a counterpart which is taken: unlinked, until the one in its way is merged into it.
    twin = stage.crm.value(insert, "Twin", "www.Loser.io")
    assert stage.records("companies").stands("crm", twin) == ("failing", "duplicate")
    stage.crm.run("UPDATE companies SET master_id = %s, city = 'gone' WHERE id = %s", twin, loser)
    seen = stage.records("companies")
    assert seen.stands("crm", twin) == ("in_sync", None)
    assert seen.of("crm", twin)["shop"]["id"] == str(lost), "the loser's link moves to a survivor that has none"
    assert not seen.has("crm", loser)

    # Into one that has its own counterpart: the loser's is left over, and shown.
    stage.crm.run("UPDATE companies SET master_id = %s WHERE id = %s", survivor, twin)
    seen = stage.records("companies")
    assert seen.stands("shop", lost) == ("failing", "merged")
    assert f"crm:{survivor}" in seen.of("shop", lost)["message"]
    assert seen.of("crm", survivor)["shop"]["id"] == str(stays)
    # A loser is never created anew, whatever comes of it.
    stage.crm.run("UPDATE companies SET city = 'again' WHERE id IN (%s, %s)", loser, twin)
    stage.crm.run("UPDATE companies SET city = 'here' WHERE id = %s", survivor)
    stage.crosses("shop", "SELECT town FROM firms WHERE firm_no = %s", stays, to="here")
    assert stage.records("companies").stands("shop", lost) == ("failing", "merged")
    query = (
        "SELECT firm_name, town FROM firms WHERE firm_no IN (%s, %s) OR website_domain ILIKE '%%loser.io' ORDER BY 1"
    )
    assert stage.shop.run(query, lost, stays) == [
        {"firm_name": "Survivor", "town": "here"},
        {"firm_name": "Twin", "town": None},
    ]
    # Merged likewise over there: nothing is left to show.
    stage.shop.run("DELETE FROM firms WHERE firm_no = %s", lost)
    assert not stage.see("companies").has("shop", lost)


def test_two_contacts_claim_one_email(stage: Stage) -> None:
    first, theirs = stage.person("claimed@x.io", first_name="First")
    second = stage.crm.value("INSERT INTO contacts (email, first_name) VALUES ('Claimed@X.io', 'Second') RETURNING id")
    seen = stage.see("contacts")
    assert seen.stands("crm", second) == ("failing", "duplicate")
    assert all(
        name in seen.of("crm", second)["message"] for name in (f"crm:{first}", f"crm:{second}", f"shop:{theirs}")
    )
    assert seen.stands("crm", first) == ("in_sync", None)
    assert stage.shop.run("SELECT given_name FROM customers WHERE lower(mail) = 'claimed@x.io'") == [
        {"given_name": "First"}
    ]
    # The one in its way leaves: it is judged again, and takes the place.
    stage.crm.run("DELETE FROM contacts WHERE id = %s", first)
    seen = stage.see("contacts")
    assert seen.stands("crm", second) == ("in_sync", None)
    assert seen.of("crm", second)["shop"]["id"] == str(theirs)
    assert stage.shop.run("SELECT customer_no, given_name FROM customers WHERE lower(mail) = 'claimed@x.io'") == [
        {"customer_no": theirs, "given_name": "Second"}
    ]


def test_email_changed_on_a_linked_pair_free_and_taken(stage: Stage) -> None:
    (ours, theirs), (other, its) = stage.person("before@x.io"), stage.person("taken@x.io")
    stage.crm.run("UPDATE contacts SET email = 'after@x.io' WHERE id = %s", ours)
    stage.crosses("shop", "SELECT mail FROM customers WHERE customer_no = %s", theirs, to="after@x.io")
    seen = stage.records("contacts")
    assert seen.of("crm", ours)["shop"]["id"] == str(theirs)
    assert stage.shop.value(CUSTOMERS, "before@x.io") == 0
    # Nobody has the old address any more: who comes with it is somebody else.
    newcomer, new = stage.person("before@x.io")
    assert new != theirs

    # Taken: the shop's own rule refuses it. Nothing is overwritten; both are named.
    stage.crm.run("UPDATE contacts SET email = 'taken@x.io', phone = '9' WHERE id = %s", ours)
    seen = stage.see("contacts")
    assert seen.stands("crm", ours) == ("failing", "duplicate")
    assert f"shop:{its}" in seen.of("crm", ours)["message"]
    assert seen.stands("crm", other) == ("in_sync", None)
    assert seen.of("crm", other)["shop"]["id"] == str(its)
    assert stage.shop.value("SELECT mail FROM customers WHERE customer_no = %s", theirs) == "after@x.io"
    # What was in its way gives the address up: it is tried again by itself.
    stage.crm.run("UPDATE contacts SET email = 'elsewhere@x.io' WHERE id = %s", other)
    stage.crosses("shop", "SELECT mail FROM customers WHERE customer_no = %s", theirs, to="taken@x.io")
    seen = stage.see("contacts")
    assert [seen.stands("crm", one) for one in (ours, other, newcomer)] == [("in_sync", None)] * 3
    assert stage.shop.run(
        "SELECT mail, tel FROM customers WHERE customer_no = ANY(%s) ORDER BY customer_no", [theirs, its, new]
    ) == [
        {"mail": "taken@x.io", "tel": "9"},
        {"mail": "elsewhere@x.io", "tel": None},
        {"mail": "before@x.io", "tel": None},
    ]


def test_created_and_deleted_before_delivery(stage: Stage) -> None:
    # In one go: nothing is ever made of it.
    mark = stage.mark()
    with stage.crm.connection.transaction():
        stage.crm.run("INSERT INTO contacts (email) VALUES ('instant@x.io')")
        stage.crm.run("DELETE FROM contacts WHERE email = 'instant@x.io'")
    assert not [row for row in stage.records("contacts").records if "instant@x.io" in str(row)]
    assert stage.writes(mark, "contacts", "customers") == []

    # While the create is on its way, which cannot be called back: what comes of it is deleted where the sync does that, else shown.
    with stage.hold("shop", "articles") as held:
        stage.crm.run("INSERT INTO products (sku, name) VALUES ('BRIEF', 'Brief')")
        held.reached()
        stage.crm.run("DELETE FROM products WHERE sku = 'BRIEF'")
    with stage.hold("shop", "customers") as held:
        stage.crm.run("INSERT INTO contacts (email) VALUES ('brief@x.io')")
        held.reached()
        stage.crm.run("DELETE FROM contacts WHERE email = 'brief@x.io'")
    theirs = stage.made("customers", "customer_no", "mail", "brief@x.io")
    assert stage.see("contacts").stands("shop", theirs) == ("failing", "deleted")
    assert stage.crm.value(PEOPLE, "brief@x.io") == 0
    seen = stage.see("products")
    assert not [row for row in seen.records if "BRIEF" in str(row)]
    assert stage.shop.value("SELECT count(*) FROM articles WHERE sku = 'BRIEF'") == 0
    assert stage.crm.value("SELECT count(*) FROM products WHERE sku = 'BRIEF'") == 0
    assert [one.op for one in stage.writes(mark, "products", "articles")] == ["insert", "delete"]
