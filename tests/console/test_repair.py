"""`retry`, `resync`, `delete` on a running engine."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from console.cli import run
from tests.console.conftest import Make
from tests.end_to_end.engine import Engine, until
from tests.end_to_end.schemas import COMPANIES, CONTACTS, CRM, SHOP

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def engine(engine_of: Make) -> Engine:
    """Three people, of whom the shop refuses two: their level is out of its bounds."""
    engine = engine_of({"crm": CRM, "shop": SHOP})
    crm, shop = engine.databases["crm"], engine.databases["shop"]
    shop.run("ALTER TABLE customers ADD CONSTRAINT no_bronze CHECK (level < 3)")
    for name, tier in (("ann", "gold"), ("bob", "bronze"), ("cid", "bronze")):
        crm.run("INSERT INTO contacts (email, first_name, tier) VALUES (%s, %s, %s)", f"{name}@x.org", name, tier)
    engine.configure({"companies": COMPANIES, "contacts": CONTACTS})
    engine.up(workers=1)
    engine.wait()
    return engine


Refused = Callable[..., str]


@pytest.fixture
def refused(engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """What a command that cannot be carried out says; run in this process."""
    for name in engine.urls:
        monkeypatch.setenv(f"{name.upper()}_URL", engine.urls[name])
    where = ("--file", str(engine.folder / "sync.yaml"), "--home", str(engine.home))

    def said(*arguments: str, status: int) -> str:
        assert run([*where, *arguments]) == status
        return capsys.readouterr().err

    return said


def test_a_cause_mended_in_the_target_is_tried_again_on_demand(engine: Engine) -> None:
    shop = engine.databases["shop"]
    failing = engine.records("contacts", "--status", "failing")
    assert {row["category"] for row in failing} == {"invalid_value"}
    assert len(failing) == 2
    shop.run("ALTER TABLE customers DROP CONSTRAINT no_bronze")
    first = f"crm:{failing[0]['crm']['id']}"
    assert engine.json("retry", "contacts", first) == {"sync": "contacts", "category": None, "count": 1}
    engine.wait("contacts")
    assert [row["crm"]["id"] for row in engine.records("contacts", "--status", "failing")] == [failing[1]["crm"]["id"]]
    assert engine.json("retry", "contacts", "--category", "duplicate")["count"] == 0
    assert engine.json("retry", "contacts", "--category", "invalid-value")["count"] == 1
    engine.wait("contacts")
    assert engine.records("contacts", "--status", "failing") == []
    assert shop.value("SELECT count(*) FROM customers WHERE level = 3") == 2
    assert "No record of contacts is failing." in engine.run("retry", "contacts").stdout


def test_retry_says_what_it_cannot_do(engine: Engine, refused: Refused) -> None:
    assert "Did you mean contacts?" in refused("retry", "contatcs", status=2)
    assert "There is no record crm:999 in contacts" in refused("retry", "contacts", "crm:999", status=2)
    assert "crm:1 is in sync, not failing" in refused("retry", "contacts", "crm:1", status=2)
    said = refused("retry", "contacts", "--category", "duplicat", status=2)
    assert "Did you mean duplicate?" in said
    engine.run("off", "companies")
    for command in ("retry", "resync"):
        assert "companies is off" in refused(command, "companies", status=1)
    engine.run("on", "companies")
    engine.wait("companies")


def test_resync_reads_both_sides_in_full_again_and_returns_before_it_has(engine: Engine) -> None:
    shop = engine.databases["shop"]
    before = engine.status("contacts")["initial"]["read"]
    began = time.monotonic()
    assert engine.json("resync", "contacts") == {"sync": "contacts", "state": "live"}
    assert time.monotonic() - began < 10  # it does not wait for the reads
    engine.wait("contacts")
    assert engine.status("contacts")["initial"]["read"] == before | {"shop": 3}
    assert shop.value("SELECT count(*) FROM customers") == 3


def test_a_deleted_sync_stays_away_until_it_is_applied_again_and_then_matches_anew(
    engine: Engine, refused: Refused
) -> None:
    crm, shop = engine.databases["crm"], engine.databases["shop"]
    assert engine.json("delete", "contacts") == {"sync": "contacts", "state": "deleted", "changed": True}
    until(lambda: all(row["sync"] != "contacts" for row in engine.json("status")["syncs"]), "the sync is forgotten")
    assert "contacts was deleted already" in engine.run("delete", "contacts").stdout
    assert "contacts was deleted" in refused("on", "contacts", status=2)
    assert shop.value("SELECT count(*) FROM customers") == 3
    crm.run("UPDATE contacts SET first_name = 'Anna' WHERE email = 'ann@x.org'")
    engine.down()
    engine.up(workers=1)
    engine.wait()
    assert [row["sync"] for row in engine.json("status")["syncs"]] == ["companies"]
    assert shop.value("SELECT given_name FROM customers WHERE mail = 'ann@x.org'") == "ann"
    assert "contacts was deleted by command; it begins anew" in engine.run("apply", "--yes").stdout
    engine.wait()
    assert engine.status("contacts")["initial"]["matched"] == 3
    assert shop.value("SELECT given_name FROM customers WHERE mail = 'ann@x.org'") == "Anna"
    assert shop.value("SELECT count(*) FROM customers") == crm.value("SELECT count(*) FROM contacts") == 3
