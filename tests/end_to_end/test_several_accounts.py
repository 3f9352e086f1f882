"""Several accounts around one, several syncs over the same objects, and many deletions at once, on the shared stage."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest

from tests.end_to_end.engine import until
from tests.end_to_end.stage import Stage

pytestmark = pytest.mark.e2e

SPOKES = {
    "north": ("north", "people"),
    "south": ("south", "people"),
    "west": ("south", "west.people"),
}  # database, table


def everywhere(stage: Stage, email: str, ours: str, theirs: str) -> dict[str, object]:
    """What the hub and each spoke hold in a field of a person, asked by SQL."""
    found = {"crm": stage.crm.value(f"SELECT {ours} FROM people WHERE email = %s", email)}
    for account, (database, name) in SPOKES.items():
        found[account] = stage.databases[database].value(f"SELECT {theirs} FROM {name} WHERE mail = %s", email)
    return found


def is_everywhere(stage: Stage, phone: str) -> bool:
    """Whether all hold the same phone number."""
    return set(everywhere(stage, "spoke@x.io", "phone", "tel").values()) == {phone}


def test_a_change_in_one_spoke_reaches_the_others_through_the_hub_once_each_and_comes_to_rest(stage: Stage) -> None:
    mark = stage.mark()
    north, south = stage.databases["north"], stage.databases["south"]
    north.run("INSERT INTO people (mail, full_name) VALUES ('spoke@x.io', 'Ann')")
    until(
        lambda: set(everywhere(stage, "spoke@x.io", "name", "full_name").values()) == {"Ann"}, "it is made everywhere"
    )
    stage.wait()
    assert Counter((one.account, one.object, one.op) for one in stage.writes(mark, "people", "west.people")) == {
        ("crm", "people", "insert"): 1,
        ("south", "people", "insert"): 1,
        ("south", "west.people", "insert"): 1,
    }

    # Each spoke and the hub in turn: once to everybody else, and nothing comes back.
    edits = [
        ("north", north, "UPDATE people SET tel = %s WHERE mail = 'spoke@x.io'"),
        ("south", south, "UPDATE people SET tel = %s WHERE mail = 'spoke@x.io'"),
        ("west", south, "UPDATE west.people SET tel = %s WHERE mail = 'spoke@x.io'"),
        ("crm", stage.crm, "UPDATE people SET phone = %s WHERE email = 'spoke@x.io'"),
    ]
    tables = {"crm": ("crm", "people"), **SPOKES}
    for account, database, statement in edits:
        mark = stage.mark()
        database.run(statement, f"from {account}")
        until(partial(is_everywhere, stage, f"from {account}"), f"the edit of {account} is everywhere")
        stage.wait()
        written = Counter((one.account, one.object) for one in stage.writes(mark, "people", "west.people"))
        assert written == {place: 1 for name, place in tables.items() if name != account}

    # Two spokes edit different fields at once.
    mark = stage.mark()
    with stage.hold("crm", "people") as held:
        north.run("UPDATE people SET full_name = 'Anna' WHERE mail = 'spoke@x.io'")
        held.reached()
        south.run("UPDATE west.people SET town = 'Wells' WHERE mail = 'spoke@x.io'")
    stage.wait()
    assert set(everywhere(stage, "spoke@x.io", "name", "full_name").values()) == {"Anna"}
    assert set(everywhere(stage, "spoke@x.io", "city", "town").values()) == {"Wells"}
    for sync in SPOKES:
        seen = stage.see(sync)
        assert (seen.status["in_sync"], len(seen.records)) == (1, 1)
    assert len(stage.writes(mark, "people", "west.people")) == 6


def test_two_syncs_on_the_same_objects_with_different_filters_each_map_their_own_records(stage: Stage) -> None:
    mark = stage.mark()
    stage.crm.run(
        "INSERT INTO orders (number, region, total, note) VALUES "
        "('E1', 'EU', 1, 'eu note'), ('U1', 'US', 2, 'us note'), ('A1', 'ASIA', 3, 'asian note')"
    )
    stage.shop.run("INSERT INTO sales (number, area, amount, remark) VALUES ('E2', 'EU', 4, 'x'), ('U2', 'US', 5, 'y')")
    stage.made("sales", "sale_no", "number", "E1")
    stage.made("sales", "sale_no", "number", "U1")
    europe, america = stage.records("orders-eu"), stage.see("orders-us")
    assert [(row["status"], row["category"]) for row in europe.records].count(("in_sync", None)) == 2
    assert [(row["status"], row["category"]) for row in america.records].count(("in_sync", None)) == 2
    # Each knows the others' records, and why it leaves them alone.
    asia = stage.crm.value("SELECT id FROM orders WHERE number = 'A1'")
    assert europe.stands("crm", asia) == america.stands("crm", asia) == ("excluded", "filter")
    assert len(europe.records) == len(america.records) == 5 + 2
    # The one maps the amount, the other the remark.
    assert stage.shop.run("SELECT number, area, amount, remark FROM sales ORDER BY number") == [
        {"number": "E1", "area": "EU", "amount": 1, "remark": None},
        {"number": "E2", "area": "EU", "amount": 4, "remark": "x"},
        {"number": "U1", "area": "US", "amount": None, "remark": "us note"},
        {"number": "U2", "area": "US", "amount": 5, "remark": "y"},
    ]
    assert Counter((one.account, one.op) for one in stage.writes(mark, "orders", "sales")) == {
        ("crm", "insert"): 2,
        ("shop", "insert"): 2,
    }

    # One that moves to America stays in the European sync, since filters decide on entry only; the American takes the pair over as it is.
    stage.crm.run("UPDATE orders SET region = 'US', total = 10, note = 'moved' WHERE number = 'E1'")
    stage.crosses("shop", "SELECT remark FROM sales WHERE number = 'E1'", to="moved")
    europe, america = stage.see("orders-eu"), stage.see("orders-us")
    moved = stage.crm.value("SELECT id FROM orders WHERE number = 'E1'")
    assert europe.stands("crm", moved) == america.stands("crm", moved) == ("in_sync", None)
    assert europe.of("crm", moved)["shop"]["id"] == america.of("crm", moved)["shop"]["id"]
    assert stage.shop.run("SELECT area, amount, remark FROM sales WHERE number = 'E1'") == [
        {"area": "US", "amount": 10, "remark": "moved"}
    ]
    assert (stage.crm.value("SELECT count(*) FROM orders"), stage.shop.value("SELECT count(*) FROM sales")) == (5, 4)


def test_many_deletions_stop_the_sync_until_a_person_confirms(stage: Stage) -> None:
    stage.crm.run("INSERT INTO tools (sku, name) SELECT 'MASS-' || n, 'Mass' FROM generate_series(1, 50) n")
    stage.wait("tools")
    devices = "SELECT count(*) FROM devices WHERE sku LIKE 'MASS-%'"
    assert stage.shop.value(devices) == 50
    stage.crm.run("DELETE FROM tools WHERE sku LIKE 'MASS-%'")
    until(lambda: stage.engine.status("tools")["state"] == "stopped", "it stops")
    stage.wait("contacts")  # the same connection: all that was on its way is done
    assert stage.shop.value(devices) == 30, "20 within ten minutes, as `max_deletes` says"
    until(lambda: stage.engine.status("tools")["pending"] == 0, "the counts follow, with the next stroke of the clock")
    seen = stage.see("tools")
    assert "more than 20 deletions" in seen.status["reason"]
    gone = [row for row in seen.records if row["category"] == "deleted" and "MASS" in str(row["shop"])]
    assert (len(gone), {row["status"] for row in gone}) == (30, {"failing"})
    # It writes nothing meanwhile, the other syncs do.
    stage.crm.run("INSERT INTO tools (sku, name) VALUES ('AFTER', 'After')")
    stage.person("after@x.io")
    assert stage.shop.value("SELECT count(*) FROM devices WHERE sku = 'AFTER'") == 0

    stage.engine.run("confirm", "tools")
    stage.made("devices", "device_no", "sku", "AFTER")
    until(lambda: stage.shop.value(devices) == 0, "the deletions are carried on")
    seen = stage.see("tools")
    assert (seen.status["state"], seen.status["reason"]) == ("live", None)
    assert not [row for row in seen.records if "MASS" in str(row)]
