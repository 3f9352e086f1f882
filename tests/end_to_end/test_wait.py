"""`wait` waits: for what capture has not seen yet, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import pq
from psycopg.pq.abc import PGconn

from tests.end_to_end.engine import Engine, until
from tests.end_to_end.schemas import CONTACTS

pytestmark = pytest.mark.e2e


@contextmanager
def frozen_capture(url: str) -> Iterator[None]:
    """Keeps capture from its log: its session ends, and its slot is in our hands until we are done."""
    with psycopg.connect(url, autocommit=True) as watcher:
        (slot,) = watcher.execute(
            "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
        ).fetchone() or (None,)
        publication = watcher.execute("SELECT pubname FROM pg_publication").fetchone()
        assert slot is not None
        assert publication is not None
        thief = until(lambda: steal(url, watcher, str(slot), publication[0]), "the slot is ours")
        try:
            yield
        finally:
            thief.finish()


def steal(url: str, watcher: psycopg.Connection[Any], slot: str, publication: str) -> PGconn | None:
    """Ends whoever reads the slot, and reads it ourselves; None where somebody was faster."""
    watcher.execute("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s", (slot,))
    own = pq.PGconn.connect(f"{url}?replication=database".encode())
    options = f"proto_version '1', publication_names '{publication}'"
    result = own.exec_(f'START_REPLICATION SLOT "{slot}" LOGICAL 0/0 ({options})'.encode())
    if result.status == pq.ExecStatus.COPY_BOTH:
        return own
    own.finish()
    return None


def test_wait_does_not_return_while_capture_is_frozen(engine: Engine) -> None:
    crm, shop = engine.databases["crm"], engine.databases["shop"]
    crm.run("INSERT INTO contacts (email, first_name) VALUES ('ann@example.org', 'Ann')")
    engine.configure({"contacts": CONTACTS})
    engine.up(workers=1)
    engine.wait()
    with frozen_capture(engine.urls["crm"]):
        crm.run("UPDATE contacts SET phone = '1' WHERE email = 'ann@example.org'")
        engine.run("wait", "--timeout", "4", status=1)
        assert shop.value("SELECT tel FROM customers") is None
    engine.wait()
    assert shop.value("SELECT tel FROM customers") == "1"


def test_wait_returns_when_a_later_load_goes_on(engine: Engine) -> None:
    engine.databases["crm"].run(
        "INSERT INTO contacts (email, first_name) SELECT 'p' || n || '@example.org', 'P' FROM generate_series(1, 50) n"
    )
    engine.configure({"contacts": CONTACTS})
    engine.up(workers=1)
    engine.wait()
    with psycopg.connect(engine.urls["crm"], autocommit=True) as connection:
        connection.execute(
            """
            CREATE PROCEDURE load() LANGUAGE plpgsql AS $$
            BEGIN
                FOR n IN 1..100000 LOOP
                    UPDATE contacts SET phone = n::text WHERE id = 1 + n % 50;
                    COMMIT;
                    PERFORM pg_sleep(0.01);
                END LOOP;
            END $$
            """
        )
        connection.pgconn.send_query(b"CALL load()")
        try:
            engine.wait(timeout=45)
        finally:
            connection.cancel()
            while connection.pgconn.get_result() is not None:
                pass
