"""Nothing is lost and nothing doubled when workers are killed: while both sides are read in full, and while people work."""

from __future__ import annotations

import os
import signal
from collections import Counter
from functools import partial

import pytest

from tests.end_to_end.engine import Database, Engine, alive, until
from tests.end_to_end.schemas import CONTACTS
from tests.end_to_end.writers import TABLES, Writer, Written

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PHONES = {
    account: f"SELECT lower({email}) AS email, {phone} AS phone FROM {table}"
    for account, (table, email, _, phone) in TABLES.items()
}


def fill(engine: Engine, records: int, shared: int) -> None:
    """`records` people on each side, of whom `shared` are on both."""
    engine.databases["crm"].run(
        "INSERT INTO contacts (email, first_name, phone) "
        f"SELECT 'p' || n || '@example.org', 'P' || n, 'old-' || n FROM generate_series(0, {records - 1}) n"
    )
    engine.databases["shop"].run(
        "INSERT INTO customers (mail, given_name, tel) "
        f"SELECT 'p' || n || '@example.org', 'P' || n, 'old-' || n "
        f"FROM generate_series({records - shared}, {2 * records - shared - 1}) n"
    )


def kill_a_worker(engine: Engine, which: int) -> None:
    """SIGKILL to a worker; the supervisor starts another."""
    pids = until(engine.workers, "a worker runs")
    pid = pids[which % len(pids)]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), "the worker is gone")


def has_made(shop: Database, count: int) -> bool:
    """Whether the shop has so many customers."""
    return bool(shop.value("SELECT count(*) FROM customers") >= count)


def have_worked(writers: list[Writer], edits: int) -> bool:
    """Whether they have done more than so many edits."""
    return sum(writer.written.edits for writer in writers) > edits


def check_against(engine: Engine, written: list[Written]) -> None:
    """Both sides hold what the writers left, each person once."""
    sides = {account: engine.databases[account].run(query) for account, query in PHONES.items()}
    for account, rows in sides.items():
        doubled = [email for email, count in Counter(row["email"] for row in rows).items() if count > 1]
        assert not doubled, f"doubled in {account}: {doubled[:10]}"
    phones = {account: {row["email"]: row["phone"] for row in rows} for account, rows in sides.items()}
    deleted = set().union(*(one.deleted for one in written))
    lonely = set(phones["crm"]) ^ set(phones["shop"])
    assert lonely <= deleted, f"on one side only, although nobody deleted them: {sorted(lonely - deleted)[:10]}"
    differing = {
        email: (phone, phones["shop"][email])
        for email, phone in phones["crm"].items()
        if email in phones["shop"] and phones["shop"][email] != phone
    }
    assert not differing, f"{len(differing)} differ: {list(differing.items())[:5]}"
    for one in written:
        for email, phone in one.phones.items():
            assert phones["crm"].get(email) == phone, f"the last edit of {email} is lost: {phone}"


def test_workers_killed_during_the_first_sync_and_during_live_edits_lose_and_double_nothing(engine: Engine) -> None:
    fill(engine, 3000, 1500)
    engine.configure({"contacts": CONTACTS})
    engine.up(workers=2)
    shop = engine.databases["shop"]
    for number, made in enumerate((1, 400, 900)):
        until(partial(has_made, shop, 3000 + made), f"{made} have been created")
        kill_a_worker(engine, number)
    engine.wait(timeout=120)
    emails = [f"p{number}@example.org" for number in range(1500, 3000)]
    writers = [
        Writer(account, engine.urls[account], number, emails[number::4], 0.02)
        for number, account in enumerate(("crm", "crm", "shop", "shop"))
    ]
    for writer in writers:
        writer.start()
    for number in range(4):
        edits = sum(writer.written.edits for writer in writers)
        until(partial(have_worked, writers, edits + 100), "people have worked")
        kill_a_worker(engine, number)
    written = [writer.stop() for writer in writers]
    engine.wait(timeout=120)
    check_against(engine, written)


def test_a_full_read_among_four_writers_killed_at_five_pages_loses_nothing(engine: Engine) -> None:
    fill(engine, 12_000, 8_000)
    engine.configure({"contacts": CONTACTS})
    # Records on both sides are edited in the CRM, those on one side there: until two records are linked, the default side wins.
    own = {"crm": range(12_000), "shop": range(12_000, 16_000)}
    writers = [
        Writer(account, engine.urls[account], number, [f"p{one}@example.org" for one in own[account][half::2]], 0.03)
        for number, (account, half) in enumerate((("crm", 0), ("crm", 1), ("shop", 0), ("shop", 1)))
    ]
    for writer in writers:
        writer.start()
    # Each worker is killed when it has sent its fourth page; the next one goes on from the last page that came through.
    engine.up(workers=2, environment={"TANDEM_FAULT": "read:1:4"})
    until(lambda: engine.log.read_text().count("SIGKILL") >= 5, "five workers were killed")
    written = [writer.stop() for writer in writers]
    engine.wait(timeout=120)
    check_against(engine, written)
