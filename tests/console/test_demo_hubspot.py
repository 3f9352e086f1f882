"""The HubSpot demo: that it runs to its end, and that its proof would notice any difference in what is mapped."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import tuple_row

from console.demo_data import World
from console.demo_hubspot_data import database_side, fill_database, fill_portal, portal_side
from console.demo_hubspot_edits import Edit, from_database, from_portal
from console.demo_hubspot_kinds import KINDS, SYNC_YAML, compare
from console.demo_hubspot_portal import FakePortal
from rules.config import load
from tests.console.test_cli import TANDEM
from tests.console.test_demo import leftovers

WORLD = World.of(100)


def test_its_file_is_accepted_and_maps_all_eleven_kinds_with_their_associations() -> None:
    urls = {"DATABASE_URL": "postgresql://a", "HUBSPOT_URL": "http://127.0.0.1:1", "HUBSPOT_TOKEN": "t"}
    installation = load(SYNC_YAML, "sync.yaml", urls)
    assert list(installation.syncs) == [
        "companies", "contacts", "products", "deals", "invoices", "tickets", "calls", "emails", "tasks", "notes", "meetings",
    ]  # fmt: skip
    both = {kind.name for kind in KINDS if {one.target for one in kind.references} == {"contacts", "companies"}}
    assert both == set(installation.syncs) - {"companies", "contacts", "products"}


def test_the_same_records_are_there_on_every_run_and_only_what_can_be_known_again_overlaps() -> None:
    ours, theirs = database_side(WORLD), portal_side(WORLD)
    assert (ours, theirs) == (database_side(World.of(100)), portal_side(World.of(100)))
    known = {"contacts": ("email", 60), "companies": ("name", 7), "products": ("sku", 5)}
    for kind in KINDS:
        column, shared = known.get(kind.name, (kind.fields[0].column, 0))
        here, there = ({str(row.get(column)).lower() for row in side[kind.name]} for side in (ours, theirs))
        assert len(here & there) == shared, kind.name


def test_every_kind_is_edited_and_every_edit_changes_something() -> None:
    edits = {"database": from_database(WORLD), "hubspot": from_portal(WORLD)}
    assert {edit.kind for side in edits.values() for edit in side} == {kind.name for kind in KINDS}
    sides = {"database": database_side(WORLD), "hubspot": portal_side(WORLD)}
    for name, side in edits.items():
        for edit in side:
            assert edit.side == name
            if not edit.column.endswith("_id"):
                rows = [row for row in sides[name][edit.kind] if edit.key.lower() in map(_folded, row.values())]
                assert rows, edit.key
                assert rows[0].get(edit.column) != edit.value, edit.key


def _folded(value: object) -> str:
    return str(value).lower()


# ---------------------------------------------------------------- the proof


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakePortal]:
    """A portal with its side's records."""
    portal = FakePortal(tmp_path_factory.mktemp("portal"))
    portal.start()
    fill_portal(portal, portal_side(WORLD))
    yield portal
    portal.stop()


@pytest.fixture
def same(portal: FakePortal, database: str) -> tuple[str, FakePortal]:
    """A database that holds the same as the portal."""
    fill_database(database, portal_side(WORLD))
    return database, portal


def differing(url: str, portal: FakePortal) -> set[str]:
    """The kinds of which the proof says that the sides differ."""
    return {one.what for one in compare(url, portal.file) if not one.agrees}


# Of a row, to something else, by the type of its column.
OTHERWISE = {
    "text": "coalesce({0}, '') || '!'",
    "integer": "coalesce({0}, 0) + 1",
    "numeric": "coalesce({0}, 0) + 0.01",
    "boolean": "NOT coalesce({0}, false)",
    "date": "coalesce({0}, date '2026-01-01') + 1",
    "timestamp with time zone": "coalesce({0}, now()) + interval '1 millisecond'",
    "bigint": "(SELECT max(id) FROM {1} o WHERE o.id IS DISTINCT FROM t.{0})",
}


@pytest.mark.e2e
def test_the_proof_notices_a_difference_in_each_mapped_field_and_association(same: tuple[str, FakePortal]) -> None:
    url, portal = same
    assert differing(url, portal) == set()
    tried = 0
    with psycopg.connect(url, autocommit=True, row_factory=tuple_row) as database:
        types = {
            (table, column): type_
            for table, column, type_ in database.execute(
                "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
            ).fetchall()
        }
        for kind in KINDS:
            columns = [(one.column, "", one.values) for one in kind.fields]
            columns += [(one.column, one.target, None) for one in kind.references]
            mapped = {column for column, _, _ in columns}
            assert {column for table, column in types if table == kind.name} == mapped | {"id"}, (
                "all columns are mapped"
            )
            for column, target, values in columns:
                (before,) = database.execute(f"SELECT {column}::text FROM {kind.name} WHERE id = 1").fetchone() or (
                    None,
                )
                type_ = types[kind.name, column]
                if values or type_ == "USER-DEFINED":
                    other = next(one for one in values or ("voided",) if one != before)
                    database.execute(f"UPDATE {kind.name} SET {column} = '{other}' WHERE id = 1")
                else:
                    database.execute(
                        f"UPDATE {kind.name} t SET {column} = {OTHERWISE[type_].format(column, target)} WHERE id = 1"
                    )
                found = differing(url, portal)
                assert kind.name in found, (kind.name, column)
                if column not in ("email", "domain"):  # by which others are referred to
                    assert found == {kind.name}, (kind.name, column)
                cast = types[kind.name, column] if types[kind.name, column] != "USER-DEFINED" else None
                shown = "%s" if cast is None else f"%s::{cast}"
                database.execute(f"UPDATE {kind.name} SET {column} = {shown} WHERE id = 1", (before,))
                tried += 1
    assert differing(url, portal) == set()
    assert tried == 49 + 18


@pytest.mark.e2e
def test_the_proof_notices_what_has_changed_in_the_portal_alone(same: tuple[str, FakePortal]) -> None:
    url, portal = same
    note = str(portal.sql("SELECT min(id) FROM records WHERE object = 'notes'")[0][0])
    (about,) = portal.associated("notes", note, "contacts")
    portal.part("notes", note, "contacts", about)
    assert differing(url, portal) == {"notes"}
    portal.relate("notes", "contacts", [(note, about)])
    assert differing(url, portal) == set()
    (task,) = portal.make("tasks", [{"hs_task_subject": "One more"}])
    assert differing(url, portal) == {"tasks"}
    portal.archive("tasks", task)
    assert differing(url, portal) == set()


# ---------------------------------------------------------------- all of it


@pytest.mark.e2e
@pytest.mark.slow
def test_it_runs_to_its_proof_and_leaves_nothing_behind(tmp_path: Path) -> None:
    words = [TANDEM, "demo", "--hubspot", "--records", "100"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "contacts: read 103 of database + 100 of hubspot · matched 60 · created 80" in done.stdout
    edits: list[Edit] = [*from_database(WORLD), *from_portal(WORLD)]
    for edit in edits:
        assert f"{edit.what}  {edit.said}" in done.stdout
    assert "now both say" in done.stdout
    assert "stays, and shows as merged" in done.stdout
    assert "is back in HubSpot as" in done.stdout
    assert "rows written: 0, records sent to HubSpot: 0" in done.stdout
    assert "0 were refused for going too fast" in done.stdout
    assert "records of 11 kinds, in all 49 mapped fields and 18 associations." in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""
    assert not (tmp_path / ".tandem" / "demo").exists()
    assert leftovers(tmp_path) == []
