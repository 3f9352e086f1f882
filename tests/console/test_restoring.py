"""`restore --replay`, `restore --dry-run` and `confirm` on a running engine."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.console.conftest import Make
from tests.end_to_end.engine import Engine, alive, until
from tests.end_to_end.schemas import COMPANIES, CONTACTS, CRM, SHOP

pytestmark = pytest.mark.e2e

PEOPLE = 600
SYNCS: dict[str, Any] = {
    "companies": {**COMPANIES, "deletes": "propagate"},
    "contacts": {
        **CONTACTS,
        "mapping": [*CONTACTS["mapping"], {"crm": "company_id", "shop": "firm_no", "association": "companies"}],
    },
}
# What belongs together, by what both sides hold: the ids are others on each side, and after a restore.
CRM_SIDE = """
    SELECT c.email, c.first_name, c.notes, f.name AS company FROM contacts c LEFT JOIN companies f ON f.id = c.company_id
    WHERE c.email LIKE 'p%' ORDER BY 1
"""
SHOP_SIDE = """
    SELECT c.mail, c.given_name, c.surname, f.firm_name FROM customers c LEFT JOIN firms f ON f.firm_no = c.firm_no
    WHERE c.mail LIKE 'p%' ORDER BY 1
"""


@pytest.fixture(scope="module")
def engine(engine_of: Make) -> Engine:
    """Companies, and people who refer to them; live."""
    engine = engine_of({"crm": CRM, "shop": SHOP})
    crm = engine.databases["crm"]
    crm.run("INSERT INTO companies (name, city) SELECT 'Firm ' || n, 'Rome' FROM generate_series(1, 5) n")
    crm.run(
        "INSERT INTO contacts (email, first_name, last_name, company_id, notes)"
        f" SELECT 'p' || n || '@x.org', 'P' || n, 'L', 1 + n % 5, 'not mapped' FROM generate_series(1, {PEOPLE}) n"
    )
    engine.configure(SYNCS)
    engine.up(workers=2)
    engine.wait()
    return engine


def sides(engine: Engine) -> tuple[list[Any], list[Any]]:
    return engine.databases["crm"].run(CRM_SIDE), engine.databases["shop"].run(SHOP_SIDE)


def kill_a_worker(engine: Engine, which: int) -> None:
    pids = until(engine.workers, "a worker runs")
    os.kill(pids[which % len(pids)], signal.SIGKILL)
    until(lambda: not alive(pids[which % len(pids)]), "it is gone")


def test_what_was_deleted_on_both_sides_comes_back_once_on_each_however_often_it_is_asked(engine: Engine) -> None:
    crm, shop = engine.databases["crm"], engine.databases["shop"]
    before = sides(engine)
    assert len(before[0]) == len(before[1]) == PEOPLE
    crm.run("DELETE FROM contacts WHERE email LIKE 'p%'")
    shop.run("DELETE FROM customers WHERE mail LIKE 'p%'")
    engine.wait()
    assert engine.records("contacts") == []
    assert engine.json("restore", "contacts", "--into", "crm", "--dry-run")["count"] == 0
    found = engine.json("restore", "contacts", "--into", "crm", "--replay", "--dry-run")
    assert found["count"] == PEOPLE
    one = next(row for row in found["records"] if row["identifiers"]["crm.email"] == "p1@x.org")
    assert one["crm"]["id"] == "1"
    assert one["shop"]["fields"]["mail"] == "p1@x.org"
    assert sides(engine) == ([], [])
    assert engine.json("restore", "contacts", "--into", "crm", "--replay")["count"] == PEOPLE
    kill_a_worker(engine, 0)
    engine.json("restore", "contacts", "--into", "crm", "--replay")
    until(lambda: crm.value("SELECT count(*) FROM contacts") > 0, "some are back")
    kill_a_worker(engine, 1)
    engine.json("restore", "contacts", "--into", "shop", "--replay")
    engine.wait(timeout=120)
    assert sides(engine) == before
    assert engine.status("contacts")["in_sync"] == PEOPLE
    assert engine.json("restore", "contacts", "--into", "crm", "--replay", "--dry-run")["count"] == 0
    crm.run("UPDATE contacts SET first_name = 'linked' WHERE email = 'p1@x.org'")
    engine.wait()
    assert shop.value("SELECT given_name FROM customers WHERE mail = 'p1@x.org'") == "linked"


def test_one_is_named_and_only_what_was_deleted_since_then_is_found(engine: Engine) -> None:
    crm, shop = engine.databases["crm"], engine.databases["shop"]
    for email in ("p2@x.org", "p3@x.org"):
        crm.run("DELETE FROM contacts WHERE email = %s", email)
        shop.run("DELETE FROM customers WHERE mail = %s", email)
    engine.wait()
    replay = ("restore", "contacts", "--into", "shop", "--replay")
    assert engine.json(*replay, "--since", "1h", "--dry-run")["count"] == 2
    assert engine.json(*replay, "--since", "now", "--dry-run")["count"] == 0
    assert engine.json(*replay, "crm:2")["count"] == 1  # the id that it had before it was restored the first time
    engine.wait()
    assert crm.value("SELECT count(*) FROM contacts WHERE email = 'p2@x.org'") == 1
    assert shop.value("SELECT count(*) FROM customers WHERE mail = 'p2@x.org'") == 1
    assert crm.value("SELECT count(*) FROM contacts WHERE email = 'p3@x.org'") == 0
    said = engine.run(*replay, "crm:99999", status=2).stderr
    assert "There is no record crm:99999 in contacts, and the topics tell of none that is lost" in said
    assert (
        "--since goes with --replay"
        in engine.run("restore", "contacts", "--into", "crm", "--since", "1h", status=2).stderr
    )


def test_deletions_that_were_stopped_go_on_when_a_person_confirms(engine: Engine) -> None:
    crm, shop = engine.databases["crm"], engine.databases["shop"]
    shop.run("UPDATE customers SET firm_no = NULL")
    engine.wait()
    crm.run("UPDATE contacts SET company_id = NULL")
    crm.run("TRUNCATE companies CASCADE")  # a truncated table is one that reads empty
    until(lambda: engine.status("companies")["state"] == "stopped", "the sync has stopped")
    assert shop.value("SELECT count(*) FROM firms") == 5
    assert "companies has stopped" in engine.run("retry", "companies", status=1).stderr
    engine.wait("companies")  # it waits for no sync that is stopped
    assert "companies goes on" in engine.run("confirm", "companies").stdout
    engine.wait("companies")
    assert shop.value("SELECT count(*) FROM firms") == 0
    assert engine.json("confirm", "companies") == {"sync": "companies", "state": "live"}
