"""What HubSpot does not take, and answers that never come: a batch that fails in part, a cut connection, an unknown option, a rule."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.kafka import EmbeddedKafka
from deploy.postgres import EmbeddedPostgres
from tests.end_to_end.engine import until
from tests.end_to_end.hubspot_stage import Hub, hub_in

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

UPSERT, UPDATE = "{type}/batch/upsert", "{type}/batch/update"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, kafka: EmbeddedKafka, postgres: EmbeddedPostgres) -> Iterator[Hub]:
    with hub_in(tmp_path_factory, kafka.url, postgres) as hub:
        yield hub


@pytest.fixture(autouse=True)
def _no_rules(hub: Hub) -> Iterator[None]:
    yield
    hub.fake.admin("DELETE", "rules")
    hub.fake.admin("DELETE", "faults")


@pytest.mark.parametrize("killed", [False, True], ids=["left alone", "killed in the middle"])
def test_of_a_batch_of_100_three_are_refused_and_the_rest_is_made_once(hub: Hub, killed: bool) -> None:
    stem = "dead" if killed else "part"
    hub.fake.turn(partial_status=207 if killed else 200)
    rule = {"type": "contacts", "property": "jobtitle", "whenProperty": "hs_lead_status", "whenValue": "OPEN"}
    hub.fake.admin("POST", "rules", rule)
    before, since, mark = hub.portal.count("contacts"), hub.seen(), hub.mark()
    refused = {34, 67, 100}
    insert = f"""
        INSERT INTO people (email, phone, lead) SELECT '{stem}' || n || '@x.io', n::text, CASE WHEN n IN (34, 67, 100) THEN 'OPEN' END
        FROM generate_series(1, 100) n"""
    if killed:
        # When they have been made, and nobody knows it.
        with hub.killed_at(UPSERT, "contacts"):
            hub.crm.run(insert)
    else:
        hub.crm.run(insert)
    until(lambda: hub.portal.count("contacts") == before + 97, "97 are made")
    hub.engine.wait("contacts")
    rows = {row["crm"]["fields"]["email"]: row for row in hub.engine.records("contacts") if row["crm"]}
    stand = {number: rows[f"{stem}{number}@x.io"] for number in range(1, 101)}
    assert {number for number, row in stand.items() if row["status"] != "in_sync"} == refused
    for number in refused:
        assert (stand[number]["status"], stand[number]["category"]) == ("failing", "missing_required")
        assert "jobtitle" in stand[number]["message"]
        assert stand[number]["remedy"]
    for number in set(range(1, 101)) - refused:
        (made,) = hub.having("contacts", "email", f"{stem}{number}@x.io")
        assert stand[number]["portal"]["id"] == made
        assert hub.portal.values("contacts", made, "phone") == {"phone": str(number)}
    assert max(inputs for what, _, inputs in hub.written(since) if what == "batch/upsert") == 100, "it was one batch"
    assert hub.portal.count("contacts") == before + 97
    assert hub.stored(mark) == []


@pytest.mark.parametrize("killed", [False, True], ids=["left alone", "killed in the middle"])
def test_a_connection_cut_after_the_create_was_done_makes_no_second_record(hub: Hub, killed: bool) -> None:
    # Deals have no identifier: nothing but our own property tells that the first attempt has made one.
    title = "Killed" if killed else "Cut"
    before, since = hub.portal.count("deals"), hub.seen()
    hub.fake.fault("cut_after", match="0-3/batch/upsert")
    insert = f"INSERT INTO deals (title, value, pipeline, stage) VALUES ('{title}', 5, 'default', 'contractsent') RETURNING id"
    if killed:
        with hub.killed_at(UPSERT, "deals"):
            row = hub.crm.value(insert)
    else:
        row = hub.crm.value(insert)
    assert hub.stands("deals", "crm", row) == ("in_sync", None)
    assert next(one["fault"] for one in hub.calls(since, UPSERT, "deals")) == "cut_after"
    (deal,) = hub.having("deals", "dealname", title)
    assert hub.portal.count("deals") == before + 1
    # It is the one that is linked, both ways.
    hub.crm.run("UPDATE deals SET value = 6 WHERE id = %s", row)
    hub.holds("deals", deal, amount="6")
    hub.portal.edit("deals", deal, dealname=f"{title} again")
    hub.comes("SELECT title FROM deals WHERE id = %s", row, to=f"{title} again")
    hub.engine.wait("deals")
    assert hub.portal.count("deals") == before + 1
    assert hub.crm.value("SELECT count(*) FROM deals WHERE title LIKE %s", f"{title}%") == 1


def test_an_unknown_option_fails_its_field_alone_and_is_taken_when_it_is_there_also_when_killed(hub: Hub) -> None:
    row = hub.crm.value("INSERT INTO people (email, phone, lead) VALUES ('option@x.io', '1', 'MAYBE') RETURNING id")
    contact = hub.made("contacts", "email", "option@x.io")
    shown = hub.row("contacts", "crm", row)
    assert (shown["status"], shown["category"]) == ("failing", "invalid_value")
    assert "hs_lead_status" in shown["message"]
    assert "MAYBE" in shown["message"]
    # The other fields are written, and go on to be.
    assert hub.portal.values("contacts", contact, "phone", "hs_lead_status") == {"phone": "1"}
    hub.crm.run("UPDATE people SET phone = '2' WHERE id = %s", row)
    hub.holds("contacts", contact, phone="2")
    options = ["NEW", "OPEN", "IN_PROGRESS", "UNQUALIFIED", "MAYBE"]
    hub.fake.admin("POST", "properties", {"objectType": "contacts", "name": "hs_lead_status", "options": options})
    with hub.killed_at(UPDATE, "contacts"):
        hub.engine.run("apply", "--yes")  # looks at the accounts' definitions anew
    hub.holds("contacts", contact, hs_lead_status="MAYBE")
    assert hub.stands("contacts", "crm", row) == ("in_sync", None)


def test_what_an_administrator_requires_is_named_and_mended_by_an_edit_also_when_killed(hub: Hub) -> None:
    hub.fake.admin("POST", "rules", {"type": "companies", "property": "city"})
    before = hub.portal.count("companies")
    # Killed when it was refused, and nobody knows it.
    with hub.killed_at(UPSERT, "companies"):
        row = hub.crm.value("INSERT INTO firms (name, domain) VALUES ('Nowhere', 'nowhere.io') RETURNING id")
    shown = hub.row("companies", "crm", row)
    assert (shown["status"], shown["category"]) == ("failing", "missing_required")
    assert "city" in shown["message"]
    assert shown["remedy"]
    assert hub.portal.count("companies") == before
    hub.crm.run("UPDATE firms SET city = 'Rome' WHERE id = %s", row)
    hub.holds("companies", hub.made("companies", "domain", "nowhere.io"), city="Rome", name="Nowhere")
    assert hub.stands("companies", "crm", row) == ("in_sync", None)
    assert hub.portal.count("companies") == before + 1


def test_no_call_has_asked_for_a_property_that_no_mapping_needs(hub: Hub) -> None:
    hub.check_properties()
    hub.check_limits()
