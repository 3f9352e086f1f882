"""A database and a HubSpot portal (the fake) in two-way sync: first sync, live edits, associations, merge, deletion and restore."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.connectors.hubspot.fake.process import Fake
from tests.connectors.hubspot.portal import Portal
from tests.end_to_end.conftest import Make
from tests.end_to_end.engine import Engine, until

pytestmark = pytest.mark.e2e

DDL = """
CREATE TABLE firms (id bigserial PRIMARY KEY, name text NOT NULL, domain text);
CREATE TABLE people (id bigserial PRIMARY KEY, email text, first_name text, phone text, firm_id bigint REFERENCES firms);
CREATE TABLE deals (id bigserial PRIMARY KEY, title text, value numeric(12, 2), stage text, person_id bigint REFERENCES people);
"""
SYNCS = {
    "companies": {
        "between": {"crm": "firms", "portal": "companies"},
        "kind": "company",
        "default": "crm",
        "mapping": [
            {"crm": "domain", "portal": "domain", "identifier": "domain"},
            {"crm": "name", "portal": "name", "identifier": "name"},
        ],
    },
    "contacts": {
        "between": {"crm": "people", "portal": "contacts"},
        "kind": "contact",
        "default": "crm",
        "empty": "propagate",
        "deletes": "propagate",
        "mapping": [
            {"crm": "email", "portal": "email", "identifier": "email"},
            {"crm": "first_name", "portal": "firstname"},
            {"crm": "phone", "portal": "phone"},
            {"crm": "firm_id", "portal": "company_id", "association": "companies"},
        ],
    },
    "deals": {
        "between": {"crm": "deals", "portal": "deals"},
        "kind": "deal",
        "default": "portal",
        "mapping": [
            {"crm": "title", "portal": "dealname"},
            {"crm": "value", "portal": "amount"},
            {"crm": "person_id", "portal": "contact_id", "association": "contacts"},
        ],
    },
}


@pytest.fixture
def hubspot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fake]:
    with Fake(tmp_path_factory.mktemp("portal"), index_delay=0.5) as fake:
        yield fake


def make(engines: Make, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> tuple[Engine, Portal]:
    """A database and a portal, with the syncs between them in the file."""
    engine = engines({"crm": DDL})
    engine.configure(SYNCS)
    file = engine.folder / "sync.yaml"
    document = json.loads(file.read_text())
    monkeypatch.setenv("HUBSPOT_KEY", fake.token)
    document["accounts"]["portal"] = {
        "connector": "hubspot", "token": "${HUBSPOT_KEY}", "url": fake.url,
        "poll": 0.5, "archived_every": 1, "associations_every": 1, "index_lag": 5,
    }  # fmt: skip
    file.write_text(json.dumps(document))
    return engine, Portal(fake)


def test_a_portal_and_a_database_stay_the_same(engines: Make, hubspot: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, portal = make(engines, hubspot, monkeypatch)
    crm = engine.databases["crm"]
    crm.run("INSERT INTO firms (name, domain) VALUES ('Acme', 'acme.com'), ('Only here', 'here.io')")
    crm.run(
        "INSERT INTO people (email, first_name, firm_id) VALUES ('ann@acme.com', 'Ann', 1), ('bob@here.io', 'Bob', 2)"
    )
    acme = portal.make("companies", name="ACME Inc", domain="www.acme.com")
    ann = portal.make("contacts", email="Ann@acme.com", phone="123")
    zoe = portal.make("contacts", email="zoe@there.io", firstname="Zoe")
    portal.relate("contacts", zoe, "companies", acme, 1)
    # What changes nothing changes nothing, and asks for no more than is named.
    engine.run("check")
    engine.run("preview")
    assert "firstname" in engine.run("suggest", "crm:people", "portal:contacts").stdout
    made = hubspot.ui("GET", "/crm/properties/2026-09/contacts")["results"]
    assert "tandem_sync_id" not in {one["name"] for one in made}
    assert (portal.count("contacts"), portal.count("companies")) == (2, 1)
    asked = {name for one in hubspot.calls()["results"] if one["object"] == "contacts" for name in one["properties"]}
    assert asked <= {"email", "firstname", "phone", "hs_merged_object_ids", "hs_object_id", "lastmodifieddate"}

    engine.up(workers=1)
    engine.wait()
    # Matched and merged; what was on one side alone is on both, with its company.
    assert (portal.count("contacts"), portal.count("companies")) == (3, 2)
    assert crm.value("SELECT phone FROM people WHERE email = 'ann@acme.com'") == "123"
    assert (
        crm.value("SELECT f.name FROM people p JOIN firms f ON f.id = p.firm_id WHERE p.email = 'zoe@there.io'")
        == "Acme"
    )
    assert portal.values("contacts", ann, "firstname") == {"firstname": "Ann"}
    assert portal.values("companies", acme, "name") == {"name": "Acme"}
    until(lambda: acme in portal.related("contacts", ann, "companies"), "Ann's company is in the portal")

    # Live, both ways.
    portal.edit("contacts", zoe, phone="777")
    until(
        lambda: crm.value("SELECT phone FROM people WHERE email = 'zoe@there.io'") == "777", "Zoe's phone has crossed"
    )
    crm.run("UPDATE people SET first_name = 'Anna' WHERE email = 'ann@acme.com'")
    until(lambda: portal.values("contacts", ann, "firstname") == {"firstname": "Anna"}, "Ann's name has crossed")
    crm.run(
        "INSERT INTO deals (title, value, person_id) SELECT 'Big', 1200.50, id FROM people WHERE email = 'ann@acme.com'"
    )
    until(lambda: portal.count("deals") == 1, "the deal is in the portal")
    engine.wait()
    deal = hubspot.sql("SELECT id FROM records WHERE object = 'deals'")[0][0]
    assert portal.values("deals", str(deal), "amount", "dealname") == {"amount": "1200.5", "dealname": "Big"}
    assert ann in portal.related("deals", str(deal), "contacts")

    # An association alone, in the portal.
    other = portal.make("companies", name="Other", domain="other.io")
    portal.relate("contacts", zoe, "companies", other, 1)
    until(
        lambda: (
            crm.value("SELECT f.name FROM people p JOIN firms f ON f.id = p.firm_id WHERE p.email = 'zoe@there.io'")
            == "Other"
        ),
        "Zoe's company has changed",
    )

    # Nothing is written when all agree.
    engine.wait()
    mark = hubspot.calls()["last"]
    engine.wait()
    written = [
        one["route"]
        for one in hubspot.calls(mark)["results"]
        if "batch/update" in one["route"] or "upsert" in one["route"]
    ]
    assert written == []

    # A merge: one link follows to the survivor, the other's counterpart is shown.
    survivor = portal.merge("contacts", zoe, ann)
    until(
        lambda: {row["category"] for row in engine.records("contacts", "--status", "failing")} == {"merged"},
        "the loser's counterpart is shown as merged",
    )
    assert portal.count("contacts") == 2
    portal.edit("contacts", survivor, phone="888")
    until(lambda: crm.value("SELECT count(*) FROM people WHERE phone = '888'") == 1, "the survivor is linked")

    # A deletion crosses; and what is done while nobody looks.
    bob = hubspot.sql(
        "SELECT id FROM records WHERE object = 'contacts' AND json_extract(properties, '$.email') = 'bob@here.io'"
    )[0][0]
    assert engine.down() == 0
    portal.archive("contacts", str(bob))
    portal.make("contacts", email="new@there.io")
    engine.up(workers=1)
    until(lambda: crm.value("SELECT count(*) FROM people WHERE email = 'bob@here.io'") == 0, "Bob is gone")
    until(lambda: crm.value("SELECT count(*) FROM people WHERE email = 'new@there.io'") == 1, "the new one is there")
    statuses = {status for (status,) in hubspot.sql("SELECT DISTINCT status FROM calls")}
    assert 429 not in statuses
