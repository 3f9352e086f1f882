"""`tandem up` as a whole process with its own embedded broker: how it starts, what it survives, and that nothing is left of it."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from deploy.postgres import EmbeddedPostgres
from tests.conftest import in_a_thread
from tests.end_to_end.engine import TANDEM, Engine, alive, drop_slots, until
from tests.end_to_end.schemas import COMPANIES, CONTACTS, CRM, SHOP

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def engine(tmp_path: Path, postgres: EmbeddedPostgres) -> Iterator[Engine]:
    """An engine without a cluster, between two databases; whatever it leaves running is a failure."""
    mark = secrets.token_hex(4)
    names = {"crm": f"crm_{mark}", "shop": f"shop_{mark}"}
    urls = {account: in_a_thread(postgres.create_database(name)) for account, name in names.items()}
    for account, ddl in (("crm", CRM), ("shop", SHOP)):
        with psycopg.connect(urls[account], autocommit=True) as connection:
            connection.execute(ddl)
    engine = Engine(tmp_path, None, f"t{mark}", urls)
    engine.configure({"companies": COMPANIES, "contacts": CONTACTS})
    engine.databases["crm"].run("INSERT INTO contacts (email, first_name) VALUES ('ana@x.es', 'Ana')")
    yield engine
    engine.close()
    until(lambda: not processes(engine), "no process of the engine is left")
    for name in names.values():
        drop_slots(postgres.url(), name)
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def processes(engine: Engine) -> list[int]:
    """Our processes that hold the home open or name it: broker, workers, up itself."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            folders = [str(process.cwd())] + [file.path for file in process.open_files()]
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if process.pid != os.getpid() and any(str(engine.home) in text for text in (words, *folders)):
            found.append(process.pid)
    return found


def in_shop(engine: Engine, mail: str) -> bool:
    return bool(engine.databases["shop"].value("SELECT count(*) FROM customers WHERE lower(mail) = %s", mail))


def add(engine: Engine, mail: str) -> None:
    engine.databases["crm"].run("INSERT INTO contacts (email, first_name) VALUES (%s, 'N')", mail)


def test_it_runs_says_so_keeps_others_away_and_ends_in_order(engine: Engine) -> None:
    engine.up(workers=2)
    engine.wait()
    assert in_shop(engine, "ana@x.es")

    # It names its endpoints, and every worker serves its metrics.
    urls = until(
        lambda: (found := engine.json("status")["endpoints"]["metrics"]) and len(found) == 2 and found, "two endpoints"
    )
    pages = [urllib.request.urlopen(url, timeout=10).read().decode() for url in urls]
    assert any('tandem_records{status="in_sync",sync="contacts"} 1.0' in page for page in pages)

    # Nobody else starts on this home, whatever the role.
    for command in ("up", "worker"):
        arguments = (command, "--broker", engine.described()["broker"])
        refused = engine.run(*arguments, status=1).stderr
        assert "already runs on" in refused
        assert "Ctrl-C" in refused

    # Off and on are there at once, and `wait` waits for no sync that is off.
    engine.run("off", "contacts")
    assert engine.status("contacts")["state"] == "off"
    add(engine, "later@x.es")
    engine.wait()
    assert not in_shop(engine, "later@x.es")
    engine.run("on", "contacts")
    engine.wait()
    assert in_shop(engine, "later@x.es")

    assert engine.down(signal.SIGINT) == 0
    assert "stopped" in engine.log.read_text()
    assert not (engine.home / "up.json").exists()
    assert engine.json("status")["endpoints"] == {"console": None, "metrics": []}
    assert "The engine is not running" in engine.run("status").stderr


def test_killed_it_leaves_nothing_running_and_comes_back_where_it_was(engine: Engine) -> None:
    engine.up(workers=1)
    engine.wait()
    assert len(processes(engine)) >= 3
    engine.down(signal.SIGKILL)
    until(lambda: not processes(engine), "broker and worker have ended with it")
    add(engine, "meanwhile@x.es")
    engine.up(workers=1)
    engine.wait()
    assert in_shop(engine, "meanwhile@x.es")
    assert engine.databases["shop"].value("SELECT count(*) FROM customers") == 2


def test_interrupted_while_it_comes_up_it_ends_in_order_too(engine: Engine) -> None:
    engine.up(workers=1)
    until(lambda: processes(engine), "something has been started")
    until(lambda: (engine.home / "kafka" / "ports.json").exists(), "the broker is being started")
    assert engine.down(signal.SIGINT) == 0
    assert processes(engine) == []


def test_workers_and_broker_that_are_killed_are_started_again(engine: Engine) -> None:
    engine.up(workers=1)
    engine.wait()
    (first,) = engine.workers()
    os.kill(first, signal.SIGKILL)
    until(lambda: engine.workers() not in ([], [first]), "another worker runs")
    add(engine, "second@x.es")
    engine.wait()
    assert in_shop(engine, "second@x.es")
    assert "worker 1 ended (killed by SIGKILL); it is started again" in engine.log.read_text()

    (broker,) = [pid for pid in processes(engine) if "java" in psutil.Process(pid).name()]
    os.kill(broker, signal.SIGKILL)
    until(lambda: "Kafka is up again" in engine.log.read_text(), "the broker is up again")
    add(engine, "third@x.es")
    engine.wait()
    assert in_shop(engine, "third@x.es")


def test_apply_shows_the_difference_and_makes_it_so_while_it_runs(engine: Engine) -> None:
    engine.up(workers=1)
    engine.wait()
    same = engine.run("apply")
    assert "The file says what runs already." in same.stdout

    fewer = {**CONTACTS, "mapping": [entry for entry in CONTACTS["mapping"] if "phone" not in entry.values()]}
    engine.configure({"contacts": fewer})
    shown = engine.run("apply").stdout
    assert "- sync companies: crm:companies ↔ shop:firms" in shown
    assert "- sync contacts: mapping crm.phone ↔ shop.tel" in shown
    assert "Version 2 is applied." in shown
    engine.wait()
    until(lambda: [sync["sync"] for sync in engine.json("status")["syncs"]] == ["contacts"], "the deleted sync is gone")

    engine.configure(
        {
            "contacts": {
                **fewer,
                "between": {"crm": "companies", "shop": "customers"},
                "mapping": [{"crm": "name", "shop": "mail", "identifier": "exact"}],
                "kind": "custom",
            }
        }
    )
    refused = engine.run("apply", status=2).stderr
    assert "give the sync another name" in refused
    assert engine.json("status")["syncs"][0]["sync"] == "contacts"


def test_up_switches_off_what_left_the_file_and_on_what_comes_back(engine: Engine) -> None:
    engine.up(workers=1)
    engine.wait()
    engine.down()
    engine.configure({"contacts": CONTACTS})
    engine.up(workers=1)
    engine.wait()
    assert {sync["sync"]: sync["state"] for sync in engine.json("status")["syncs"]} == {
        "contacts": "live",
        "companies": "off",
    }
    assert "companies is off: it is not in the file" in engine.log.read_text()
    engine.down()
    engine.configure({"companies": COMPANIES, "contacts": CONTACTS})
    engine.up(workers=1)
    engine.wait()
    assert {sync["sync"]: sync["state"] for sync in engine.json("status")["syncs"]} == {
        "contacts": "live",
        "companies": "live",
    }


def test_an_account_that_is_down_keeps_a_first_start_from_happening_but_no_later_one(engine: Engine) -> None:
    good = engine.urls["shop"]
    engine.urls["shop"] = "postgresql://u@127.0.0.1:1/nothing"
    said = engine.run("up", status=1).stderr
    assert "An account cannot be synced as it is" in said
    assert "shop: " in said
    until(lambda: not processes(engine), "the broker has ended")

    engine.urls["shop"] = good
    engine.up(workers=1)
    engine.wait()
    engine.down()
    engine.urls["shop"] = "postgresql://u@127.0.0.1:1/nothing"
    engine.up(workers=1)
    until(lambda: engine.json("status")["syncs"][0]["accounts_down"].get("shop"), "the account shows as down")
    assert "shop: " in engine.log.read_text()
    said = engine.run("wait", "--timeout", "1", status=1).stderr
    assert "shop is down" in said


def test_the_roles_run_alone_and_find_each_other(engine: Engine) -> None:
    def start(*arguments: str) -> subprocess.Popen[bytes]:
        where = ["--file", str(engine.folder / "sync.yaml"), "--home", str(engine.home)]
        with engine.log.open("ab") as log:
            return subprocess.Popen(
                [TANDEM, *where, *arguments], env=engine.environment, stdout=log, stderr=log, start_new_session=True
            )

    assert "No broker is named and none runs" in engine.run("worker", status=1).stderr
    broker = start("broker")
    try:
        until(lambda: "Kafka is up on" in engine.log.read_text(), "the broker is up")
        worker = start("worker")
        try:
            until(lambda: (engine.home / "workers.json").exists(), "the worker has begun")
            assert "Version 1 is applied." in engine.run("apply").stdout
            engine.wait()
            assert in_shop(engine, "ana@x.es")
            assert engine.status("contacts")["in_sync"] == 1
        finally:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(30) == 0
    finally:
        broker.send_signal(signal.SIGTERM)
        assert broker.wait(30) == 0
    assert not alive(broker.pid)
