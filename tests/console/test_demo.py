"""The demo: that it runs to its end, and that its proof would notice if the two sides did not agree."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from console.demo_data import SYNC_YAML, World, compare, fill_crm, fill_shop
from deploy.postgres import EmbeddedPostgres
from rules.config import load
from tests.conftest import in_a_thread
from tests.console.test_cli import TANDEM, tandem
from tests.end_to_end.engine import until


def test_the_same_people_are_there_on_every_run_and_the_sides_overlap() -> None:
    world = World.of(500)
    assert world == World.of(500)
    shared = set(world.crm_people) & set(world.shop_people)
    assert (len(world.crm_people), len(world.shop_people), len(shared)) == (500, 500, 300)
    assert len({person.email for person in world.people}) == len(world.people)
    assert len({company.domain for company in world.companies}) == len(world.companies)
    for side, companies in ((world.crm_people, world.crm_companies), (world.shop_people, world.shop_companies)):
        assert {world.people[number].company for number in side} <= set(companies)


def test_its_file_is_one_that_is_accepted() -> None:
    installation = load(SYNC_YAML, "sync.yaml", {"CRM_URL": "postgresql://a", "SHOP_URL": "postgresql://b"})
    assert list(installation.syncs) == ["companies", "people"]


@pytest.fixture
def urls(postgres: EmbeddedPostgres, database: str) -> Iterator[tuple[str, str]]:
    """Two databases with the demo's tables, holding the same."""
    other = in_a_thread(postgres.create_database("demo_shop"))
    world = World.of(100)
    fill_crm(database, world)
    fill_shop(other, world)
    with psycopg.connect(database) as crm, psycopg.connect(other) as shop:
        crm.execute("DELETE FROM people")
        crm.execute("DELETE FROM companies")
        firms = {}
        known = shop.execute("SELECT firm_no, firm_name, website, country_code, headcount FROM firms").fetchall()
        for number, (firm_no, *values) in enumerate(known, 1):
            firms[firm_no] = number
            crm.execute("INSERT INTO companies VALUES (%s, %s, %s, %s, %s)", (number, *values))
        rows = "SELECT mail, given_name, family_name, mobile, level, born, credit_limit, firm FROM customers"
        for mail, given, family, mobile, level, born, credit, firm in shop.execute(rows).fetchall():
            crm.execute(
                "INSERT INTO people (email, first_name, last_name, phone, tier, birthday, credit, company_id)"
                " VALUES (upper(%s), %s, %s, %s, (enum_range(NULL::tier))[%s], %s, %s, %s)",
                (mail, given, family, mobile, level, born, credit, firms[firm]),
            )
    yield database, other
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("DROP DATABASE demo_shop WITH (FORCE)")


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE people SET phone = '+1' WHERE id = (SELECT min(id) FROM people)", "people"),
        ("UPDATE people SET birthday = NULL WHERE id = (SELECT max(id) FROM people)", "people"),
        ("UPDATE people SET tier = 'vip' WHERE id = (SELECT min(id) FROM people WHERE tier <> 'vip')", "people"),
        ("UPDATE people SET company_id = company_id % 12 + 1 WHERE id = (SELECT min(id) FROM people)", "people"),
        ("DELETE FROM people WHERE id = (SELECT min(id) FROM people)", "people"),
        ("INSERT INTO people (email) VALUES ('one@more.example')", "people"),
        ("UPDATE companies SET employees = 1 WHERE id = 3", "companies"),
        ("UPDATE people SET notes = 'not mapped'", None),
    ],
)
def test_the_proof_notices_any_difference_in_a_mapped_field(
    urls: tuple[str, str], statement: str, what: str | None
) -> None:
    assert all(one.agrees for one in compare(*urls))
    with psycopg.connect(urls[0]) as crm:
        crm.execute(statement)
    assert [one.what for one in compare(*urls) if not one.agrees] == ([what] if what else [])


def leftovers(folder: Path) -> list[str]:
    """Processes that name the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if any(str(folder) in word for word in words):
            found.append(" ".join(words))
    return found


@pytest.mark.e2e
@pytest.mark.slow
def test_it_runs_to_its_proof_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [TANDEM, "demo", "--records", "300"], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Both sides agree on every mapped field of" in done.stdout
    assert "people: read 303 of crm + 300 of shop · matched 180 · created 240" in done.stdout
    assert "is back in the CRM as" in done.stdout
    assert "rows written meanwhile: 0" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""
    assert not (tmp_path / ".tandem" / "demo").exists()
    assert leftovers(tmp_path) == []


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("keep", [False, True])
def test_interrupted_it_ends_and_leaves_only_what_it_was_told_to_keep(tmp_path: Path, keep: bool) -> None:
    with (tmp_path / "said").open("wb") as said:
        arguments = ["--records", "300", *(["--keep"] if keep else [])]
        process = subprocess.Popen([TANDEM, "demo", *arguments], cwd=tmp_path, stdout=said, stderr=said)
    until(lambda: "Edits cross" in (tmp_path / "said").read_text(), "the first sync is over", 180)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 1
    text = (tmp_path / "said").read_text()
    assert "Interrupted" in text
    assert "Traceback" not in text
    until(lambda: leftovers(tmp_path) == [], "all processes have ended")
    home = tmp_path / ".tandem" / "demo"
    assert home.exists() == keep
    if keep:
        assert '"people"' in tandem(tmp_path, "status", "--json", "--home", str(home)).stdout
        EmbeddedPostgres(home).discard()
