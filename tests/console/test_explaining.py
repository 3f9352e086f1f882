"""`explain`, `history` and `dead-letters` on a running engine, and out of a read model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from console.cli import run
from console.readmodel.writer import ReadModelWriter
from rules.events import DeadLetter, FieldChange, HistoryRow
from tests.console.conftest import Make
from tests.console.samples import NOW, ORIGIN, PAIR, rows
from tests.console.test_cli import tandem
from tests.end_to_end.engine import Engine
from tests.end_to_end.schemas import CONTACTS, CRM, SHOP

EVENT = r"log {account}:{id}@[0-9A-F]+/[0-9A-F]+ at 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ"


@pytest.fixture(scope="module")
def engine(engine_of: Make) -> Engine:
    """Ann on both sides; Bob whom the shop refuses; Cid without an email; all live."""
    engine = engine_of({"crm": CRM, "shop": SHOP})
    crm, shop = engine.databases["crm"], engine.databases["shop"]
    shop.run("ALTER TABLE customers ADD CONSTRAINT no_bronze CHECK (level < 3)")
    crm.run("INSERT INTO contacts (email, first_name, tier) VALUES ('ann@x.org', 'Ann', 'gold')")
    crm.run("INSERT INTO contacts (email, first_name, tier) VALUES ('bob@x.org', 'Bob', 'bronze')")
    crm.run("INSERT INTO contacts (first_name) VALUES ('Cid')")
    shop.run("INSERT INTO customers (mail, given_name, tel) VALUES ('ann@x.org', 'Anne', '1')")
    engine.configure({"contacts": CONTACTS})
    engine.up(workers=1)
    engine.wait()
    return engine


def field(found: dict[str, Any], account: str, name: str) -> dict[str, Any]:
    return next(pair for pair in found["fields"] if pair[account]["field"] == name)


def is_log(event: str, account: str, record_id: str) -> bool:
    return re.fullmatch(EVENT.format(account=account, id=record_id), event) is not None


@pytest.mark.e2e
def test_a_lost_conflict_names_both_values_the_rule_and_the_two_events(engine: Engine) -> None:
    crm, shop = engine.databases["crm"], engine.databases["shop"]
    for phone in range(3):  # whether the log or a write is the first to tell of the other's edit is left to chance
        shop.run("UPDATE customers SET tel = %s WHERE mail = 'ann@x.org'", f"shop {phone}")
        crm.run("UPDATE contacts SET phone = %s WHERE email = 'ann@x.org'", f"crm {phone}")
        engine.wait()
    engine.down()
    shop.run("UPDATE customers SET surname = 'of the shop' WHERE mail = 'ann@x.org'")
    crm.run("UPDATE contacts SET last_name = 'of the CRM' WHERE email = 'ann@x.org'")
    engine.up(workers=1)
    engine.wait()
    found = engine.json("explain", "contacts", "crm:1")
    surname = field(found, "crm", "last_name")
    (lost,) = surname["lost"]
    assert (lost["account"], lost["value"], lost["kept"], lost["rule"]) == (
        "shop",
        "of the shop",
        "of the CRM",
        "conflict",
    )
    assert is_log(lost["event"], "crm", "1")
    assert is_log(lost["lost_event"], "shop", "1")
    assert surname["shop"]["value"] == "of the CRM"
    assert surname["shop"]["from"]["rule"] == "conflict"
    assert surname["shop"]["from"]["event"] == surname["crm"]["from"]["event"] == lost["event"]
    for one in field(found, "shop", "tel")["lost"]:
        assert is_log(one["event"], "crm", "1")
        assert is_log(one["lost_event"], "shop", "1"), one
    said = engine.run("explain", "contacts", "shop:1").stdout
    assert "shop.surname  of the shop lost to of the CRM" in said
    assert f"won:  {lost['event']}" in said
    assert f"lost: {lost['lost_event']}" in said


@pytest.mark.e2e
def test_a_record_tells_how_it_was_linked_and_what_won_then(engine: Engine) -> None:
    found = engine.json("explain", "contacts", "crm:1")
    linked = next(row for row in found["history"] if row["action"] == "linked")
    assert linked["records"] == ["crm:1", "shop:1"]
    assert "by email ann@x.org" in linked["note"]
    (lost,) = field(found, "shop", "given_name")["lost"]
    assert (lost["value"], lost["kept"], lost["rule"]) == ("Anne", "Ann", "default_wins")
    phone = field(found, "crm", "email")["crm"]
    assert (phone["value"], phone["from"]["event"]) == ("ann@x.org", None)


@pytest.mark.e2e
def test_a_refused_and_an_excluded_record_tell_why(engine: Engine) -> None:
    bob = engine.json("explain", "contacts", "crm:2")
    assert (bob["record"]["status"], bob["record"]["category"]) == ("failing", "invalid_value")
    assert [row["action"] for row in bob["history"]] == ["create", "refused", "create"]  # again without the value
    assert len(bob["dead_letters"]) == 1
    cid = engine.json("explain", "contacts", "crm:3")
    assert cid["record"]["status"] == "excluded"
    assert [row["action"] for row in cid["history"]] == ["excluded"]
    assert cid["history"][0]["note"].startswith("no_identifier: ")


@pytest.mark.e2e
def test_the_history_is_asked_for_per_record_per_sync_and_per_time(engine: Engine) -> None:
    every = engine.json("history")["history"]
    assert {row["key"] for row in every} - {""} == {"crm:1", "crm:2", "crm:3"}  # without a key: of the sync as a whole
    assert engine.json("history", "contacts")["history"] == every
    bob = engine.json("history", "contacts", "crm:2")["history"]
    assert bob == [row for row in every if row["key"] == "crm:2"]
    middle = bob[-1]["at"]
    later = engine.json("history", "contacts", "--since", middle)["history"]
    earlier = engine.json("history", "contacts", "--until", middle)["history"]
    assert later + [row for row in earlier if row not in later] == every
    assert engine.json("history", "--limit", "1")["history"] == every[:1]
    engine.databases["crm"].run("DELETE FROM contacts WHERE id = 3")
    engine.wait()
    gone = engine.json("history", "contacts", "crm:3")["history"]
    assert gone[-1]["action"] == "excluded"  # of a record that is no more, too


@pytest.mark.e2e
def test_a_dead_letter_is_listed_shown_tried_again_and_discarded(engine: Engine) -> None:
    shop = engine.databases["shop"]
    (letter,) = engine.json("dead-letters")["dead_letters"]
    assert (letter["sync"], letter["record"], letter["category"], letter["status"]) == (
        "contacts",
        "crm:2",
        "invalid_value",
        "failing",
    )
    assert engine.json("dead-letters", "list", "contacts", "--category", "duplicate")["dead_letters"] == []
    beginning = letter["id"][:14]
    shown = engine.json("dead-letters", "show", beginning)
    assert shown["command"][4] == "create"
    assert shown["command"][6]["mail"] == "bob@x.org"
    assert "mail = bob@x.org" in engine.run("dead-letters", "show", beginning).stdout
    shop.run("ALTER TABLE customers DROP CONSTRAINT no_bronze")
    assert engine.json("dead-letters", "retry", beginning)["done"] == "tried again"
    engine.wait()
    assert shop.value("SELECT level FROM customers WHERE mail = 'bob@x.org'") == 3
    assert engine.json("dead-letters")["dead_letters"][0]["status"] == "in_sync"
    assert engine.json("dead-letters", "discard", letter["id"])["dead_letters"] == [letter["id"]]
    engine.wait()
    assert engine.json("dead-letters", "list")["dead_letters"] == []
    (hidden,) = engine.json("dead-letters", "list", "--all")["dead_letters"]
    assert "@" in hidden["discarded"]["by"]


# ---------------------------------------------------------------- out of a read model, without an engine


CONFLICT = HistoryRow(
    "contacts",
    "l1",
    "conflict",
    "answer conflict of shop:4 at 12:00",
    NOW,
    (FieldChange("shop", "level", 2, 1, "conflict", 2, "log crm:17@0/1", "answer conflict of shop:4 at 12:00"),),
)
LATE = HistoryRow(
    "contacts",
    "l1",
    "told",
    "log shop:4@0/2",
    NOW + 1,
    (FieldChange("shop", "level", 2, None, "conflict", 2, "log crm:17@0/1", "log shop:4@0/2"),),
)
BEFORE = HistoryRow("contacts", "shop:4", "excluded", "log shop:4@0/0", NOW - 5, (), "filter: kept out")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    writer = ReadModelWriter(tmp_path / ".tandem" / "read-model.db", ORIGIN)
    filled = rows(PAIR, history=(CONFLICT, LATE, BEFORE))
    filled.dead_letters = {
        one: DeadLetter(one, NOW, "shop", "duplicate", "taken", "contacts", "l1")
        for one in ("crm~shop/12", "crm~shop/13")
    }
    filled.dead_letters["t/0/7"] = DeadLetter("t/0/7", NOW, "", "undecodable", "no message", topic="t", raw=b"\1")
    writer.store(filled, NOW)
    writer.close()
    return tmp_path


def explained(folder: Path, *arguments: str) -> Any:
    return json.loads(tandem(folder, *arguments, "--json").stdout)


def test_an_event_that_the_log_tells_of_late_completes_the_conflict(folder: Path) -> None:
    found = explained(folder, "explain", "contacts", "4", "--since", "2025-01-01")
    level = next(pair for pair in found["fields"] if pair["shop"]["field"] == "level")
    assert [(one["value"], one["event"], one["lost_event"]) for one in level["lost"]] == [
        (2, "log crm:17@0/1", "log shop:4@0/2")
    ]


def test_a_linked_record_remembers_what_was_decided_before_it_was_linked(folder: Path) -> None:
    found = explained(folder, "history", "contacts", "crm:17")["history"]
    assert [row["action"] for row in found] == ["told", "conflict", "excluded"]


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("explain", "contacs", "17"), "Did you mean contacts?"),
        (("explain", "contacts", "99"), "There is no record 99 in contacts"),
        (("history", "contacts", "99"), "There is no record 99 in contacts"),
        (("explain", "contacts", "17", "--since", "1h", "--until", "2h"), "--since is later"),
        (("dead-letters", "sho"), "Did you mean show?"),
        (("dead-letters", "show", "crm~shop/1"), "is the beginning of 2 ids"),
        (("dead-letters", "show", "x"), "There is no dead letter x"),
        (("dead-letters", "list", "--category", "duplicat"), "Did you mean duplicate?"),
        (("dead-letters", "retry", "t/0/7"), "nothing to try again"),
        (("dead-letters", "retry"), "Missing argument 'ID...'"),
    ],
)
def test_typing_mistakes_are_answered(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    answer: str,
) -> None:
    monkeypatch.chdir(folder)
    assert run(arguments) == 2
    assert answer in capsys.readouterr().err
