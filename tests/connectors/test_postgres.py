"""What is PostgreSQL's own: discovery, rules that refuse, slots and publications. On a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from connectors.base import (
    CursorExpiredError,
    FatalError,
    Heartbeat,
    Identifier,
    ObjectUse,
    Outcome,
    RetriableError,
    WriteOp,
)
from connectors.postgres import replication, slots
from connectors.postgres.client import connect
from connectors.postgres.names import slot_name
from connectors.postgres.read import image, parse_snapshot
from connectors.postgres.replication import Replication
from rules.catalog import Kind, Value
from tests.connectors.contract import Log, all_pages, applied, create, one, only, opened, update, write
from tests.connectors.postgres_tools import PATIENCE, NewDatabase, connector, following, run, uses


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    return new_database(16)


# ---------------------------------------------------------------- discovery


async def test_objects_have_bare_names_in_public_and_their_schema_elsewhere(url: str) -> None:
    run(
        url,
        'CREATE TABLE "Odd, Name" (id int PRIMARY KEY)',
        "CREATE SCHEMA sales",
        "CREATE TABLE sales.deals (id int PRIMARY KEY)",
        "CREATE TABLE people (id int PRIMARY KEY)",
        "CREATE VIEW seen AS SELECT * FROM people",
    )
    named = (
        ObjectUse("contacts", {"table": "people"}),
        ObjectUse("deals", {"table": "sales.deals"}),
        *uses("seen", "no"),
    )
    async with opened(connector(url, *named)) as account:
        objects = (await account.discover()).objects
    assert set(objects) == {"Odd, Name", "contacts", "deals", "seen", "no"}
    assert objects["deals"].native == "sales.deals"
    assert "view" in objects["seen"].problems[0]
    assert "no table" in objects["no"].problems[0]
    assert objects["contacts"].problems == ()
    async with opened(connector(url)) as account:
        assert set((await account.discover()).objects) == {"Odd, Name", "people", "sales.deals"}


async def test_fields_tell_what_a_create_needs_and_what_cannot_be_written(url: str) -> None:
    run(
        url,
        "CREATE TABLE firms (id int PRIMARY KEY, code text UNIQUE)",
        "CREATE DOMAIN short AS varchar(7) NOT NULL",
        "CREATE TABLE people (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text NOT NULL, b text NOT NULL DEFAULT 'x',"
        " c int REFERENCES firms, d text REFERENCES firms(code), e short, f numeric(8,3), g timestamp(2),"
        " h text GENERATED ALWAYS AS (a || b) STORED, i varchar(4)[], j float8, UNIQUE (a, b))",
        "CREATE UNIQUE INDEX ON people (f) WHERE f > 0",
        "COMMENT ON COLUMN people.a IS 'the first'",
    )
    async with opened(connector(url)) as account:
        people = (await account.discover()).objects["people"]
    fields = {field.name: field for field in people.fields}
    assert people.key == ("id",)
    assert people.unique == (("a", "b"),)
    assert {name for name, field in fields.items() if field.required} == {"a", "e"}
    assert {name for name, field in fields.items() if field.read_only} == {"id"}
    references = {name: (field.references, field.references_field) for name, field in fields.items()}
    assert references["c"] == ("firms", None)
    assert references["d"] == ("firms", "code"), "by another field than the key"
    assert references["a"] == (None, None)
    assert fields["e"].type.max_length == 7
    assert (fields["f"].type.precision, fields["f"].type.scale) == (8, 3)
    assert (fields["g"].type.kind, fields["g"].type.scale, fields["g"].type.zone) == (Kind.TIMESTAMP, 2, False)
    item = fields["i"].type.item
    assert item is not None
    assert (item.kind, item.max_length) == (Kind.TEXT, 4)
    assert fields["j"].type.bits == 64
    assert fields["a"].description == "the first"
    assert "h" not in fields  # not in the log before 18


async def test_stored_generated_columns_are_read_from_18_on(new_database: NewDatabase) -> None:
    url = new_database(18)
    run(
        url,
        "CREATE TABLE t (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED, v int GENERATED ALWAYS AS (a + 1) VIRTUAL)",
    )
    async with following(url, *uses("t")) as (account, log):
        fields = {field.name: field.read_only for field in (await account.discover()).objects["t"].fields}
        assert fields == {"id": False, "a": False, "twice": True}
        run(url, "INSERT INTO t VALUES (1, 21)")
        assert only(await log.changes()).values == {"id": 1, "a": 21, "twice": 42}
        assert only(await account.read("t", ["1"])).values == {"id": 1, "a": 21, "twice": 42}
        result = await one(account, update("l", "1", {"twice": 1}), name="t")
        assert (result.outcome, result.category, result.field) == (Outcome.REJECTED, "schema", "twice")


@pytest.mark.parametrize(
    ("statement", "problem", "remedy"),
    [
        ("CREATE TABLE t (a int)", "has no primary key", "ADD PRIMARY KEY"),
        ("CREATE UNLOGGED TABLE t (a int PRIMARY KEY)", "is unlogged", "SET LOGGED"),
        ("CREATE TABLE t (a int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY NOTHING", "REPLICA IDENTITY NOTHING", "DEFAULT"),
        ("CREATE TABLE t (a int PRIMARY KEY DEFERRABLE)", "has no primary key", "ADD PRIMARY KEY"),
        ("CREATE TABLE t (a int PRIMARY KEY GENERATED ALWAYS AS (1) STORED)", "generated", "exclude"),
    ],
)  # fmt: skip
async def test_a_table_that_cannot_be_synced_says_why(url: str, statement: str, problem: str, remedy: str) -> None:
    run(url, statement)
    async with opened(connector(url, *uses("t"))) as account:
        found = (await account.discover()).objects["t"].problems
        assert problem in found[0]
        assert remedy in found[0]
        health = await account.check()
        assert [(each.fatal, problem in each.message) for each in health.problems] == [(True, True)]
        assert remedy in health.problems[0].remedy
        with pytest.raises(FatalError, match=problem):
            await account.prepare()
    # Had it been published, the application's own updates would be refused.
    run(url, "UPDATE t SET a = a WHERE false" if "GENERATED" not in statement else "SELECT 1")


# ---------------------------------------------------------------- refusals


async def test_each_rule_of_a_table_refuses_with_its_category_field_and_other_record(url: str) -> None:
    run(
        url,
        "CREATE TABLE firms (id int PRIMARY KEY)",
        "CREATE TYPE mood AS ENUM ('good')",
        "CREATE TABLE t (id int PRIMARY KEY, email text, firm int REFERENCES firms, m mood, n smallint, d numeric(4,2),"
        " day date, u uuid, secret text DEFAULT 'hush', CONSTRAINT small CHECK (n < 100),"
        " CONSTRAINT late UNIQUE (email) DEFERRABLE INITIALLY DEFERRED,"
        " CONSTRAINT person FOREIGN KEY (firm) REFERENCES firms DEFERRABLE INITIALLY DEFERRED)",
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.n = 13 THEN RAISE 'thirteen is not done'; END IF;"
        " IF NEW.n = 14 THEN RETURN NULL; END IF;"
        " IF NEW.n = 15 THEN PERFORM absent_column FROM t; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION refuse()",
        "INSERT INTO firms VALUES (1)",
        "INSERT INTO t (id, email, firm) VALUES (1, 'a@x', 1)",
    )
    refused: list[tuple[dict[str, Value], str, str | None, str | None, str]] = [
        ({"email": "a@x"}, "duplicate", "email", "1", "late"),
        ({"id": 1}, "duplicate", "id", "1", "t_pkey"),
        ({"firm": 7}, "association", "firm", "7", "firms"),
        ({"m": "bad"}, "invalid_value", "m", None, "bad"),
        ({"n": 200}, "invalid_value", "n", None, "small"),
        ({"n": 70000}, "invalid_value", "n", None, "out of range"),
        ({"d": "100"}, "invalid_value", "d", None, "overflow"),
        ({"day": "2026-02-30"}, "invalid_value", "day", None, "2026-02-30"),
        ({"u": "no uuid"}, "invalid_value", "u", None, "no uuid"),
        ({"email": "nul\0"}, "invalid_value", "email", None, "U+0000"),
        ({"email": "half \ud800"}, "invalid_value", "email", None, "email"),
        ({"email": ["a"]}, "invalid_value", "email", None, "list"),
        ({"n": 13}, "unknown", None, None, "thirteen is not done"),
        ({"n": 14}, "unknown", None, None, "trigger"),
        ({"n": 15}, "schema", None, None, "absent_column"),
        ({"absent": 1}, "schema", "absent", None, "absent"),
        ({"secret": "x"}, "schema", "secret", None, "secret"),
    ]
    async with following(url, *uses("t", exclude=["secret"]), ObjectUse("firms")) as (account, _):
        writes = [create(f"l{n}", {"id": 100 + n, **values}) for n, (values, *_) in enumerate(refused)]
        writes.append(create("good", {"id": 99, "n": 1}))
        results = await account.apply("t", writes, None)
        assert results[-1].outcome is Outcome.APPLIED
        for result, (values, category, field, other, text) in zip(results, refused, strict=False):
            assert (result.outcome, result.category) == (Outcome.REJECTED, category), (values, result)
            assert (result.field, result.other) == (field, other), (values, result)
            assert text in (result.message or "")
            assert "hush" not in (result.message or "")
        removal = await one(account, write(WriteOp.DELETE, "f", id="1"), name="firms")
        assert (removal.outcome, removal.category) == (Outcome.REJECTED, "association")


async def test_a_deadlock_with_a_person_is_answered_and_never_hangs(url: str) -> None:
    run(url, "CREATE TABLE t (id int PRIMARY KEY, email text UNIQUE)", "INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    async with opened(connector(url, *uses("t"))) as account:
        async with await psycopg.AsyncConnection.connect(url) as person:
            await person.execute("INSERT INTO t VALUES (3, 'c')")
            ours = asyncio.create_task(
                account.apply("t", [update("l", "1", {"email": "z"}), update("k", "2", {"email": "c"})], None)
            )
            await asyncio.sleep(0.05)
            theirs = asyncio.create_task(person.execute("UPDATE t SET email = 'd' WHERE id = 1"))
            results = await asyncio.wait_for(ours, PATIENCE)
            await asyncio.gather(theirs, return_exceptions=True)
            await person.rollback()
        assert [result.outcome for result in results] in (
            [Outcome.APPLIED, Outcome.RETRY],
            [Outcome.RETRY, Outcome.RETRY],
        )
        assert len(await account.read("t", ["1", "2"])) == 2


async def test_two_writers_without_a_fence_do_not_create_twice_for_one_link(url: str) -> None:
    run(url, "CREATE TABLE t (id serial PRIMARY KEY, a text)")
    async with opened(connector(url, *uses("t"))) as one_, opened(connector(url, *uses("t"))) as other:
        await one_.prepare()
        each = [create(f"l{n}", {"a": str(n)}) for n in range(20)]
        first, second = await asyncio.gather(one_.apply("t", each, None), other.apply("t", each, None))
        assert {result.outcome for result in (*first, *second)} == {Outcome.APPLIED}
        assert [result.id for result in first] == [result.id for result in second]
        await one_.release()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT a) FROM t").fetchone() == (20, 20)


async def test_a_writer_that_another_has_overtaken_undoes_its_own(url: str) -> None:
    run(
        url,
        "CREATE TABLE t (id serial PRIMARY KEY, a text)",
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NEW; END $$",
        "CREATE TRIGGER hold BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION hold()",
    )
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    person = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with opened(connector(url, *uses("t"))) as one_, opened(connector(url, *uses("t"))) as other, person:
        await one_.prepare()
        await asyncio.gather(one_.apply("t", [create("warm", {})], None), other.apply("t", [create("up", {})], None))
        each = create("l", {"a": "x"})
        await person.execute("SELECT pg_advisory_lock(42)")
        both = [asyncio.create_task(writer.apply("t", [each], None)) for writer in (one_, other)]
        # Both have asked the ledger, which knows nothing of the link yet.
        while (await (await person.execute(waiting)).fetchone()) != (2,):
            assert not any(task.done() for task in both)
        await person.execute("SELECT pg_advisory_unlock(42)")
        (first,), (second,) = await asyncio.gather(*both)
        assert {first.outcome, second.outcome} == {Outcome.APPLIED}
        assert first.id == second.id
        row = await (await person.execute("SELECT count(*) FROM t WHERE a = 'x'")).fetchone()
        assert row == (1,)
        await one_.release()


async def test_a_page_is_of_one_snapshot_which_it_names(url: str) -> None:
    connection = await connect(url, "test")
    query = "SELECT current_setting('transaction_isolation'), pg_current_snapshot()::text, $1::int"
    rows, version = await image(connection, query, [1])
    assert rows[0][0] == "repeatable read"
    assert version.seen == parse_snapshot(rows[0][1])
    await connection.close()


async def test_identifiers_are_found_by_index_in_a_table_too_large_to_scan(url: str) -> None:
    run(url, "CREATE TABLE t (id serial PRIMARY KEY, email text UNIQUE, pad text)")
    run(
        url,
        "INSERT INTO t (email, pad) SELECT 'p' || n || '@example.com', repeat('x', 200) FROM generate_series(1, 12000) n",
    )
    async with opened(connector(url, *uses("t"))) as account:
        values: dict[str, Value] = {"email": "p77@example.com"}
        result = await one(
            account, create("l", values, identifiers=(Identifier("email", "email", "p77@example.com"),)), name="t"
        )
        assert (result.outcome, result.id) == (Outcome.EXISTS, "77")


# ---------------------------------------------------------------- slots


async def test_a_slot_that_another_program_reads_is_refused(url: str) -> None:
    run(url, "CREATE TABLE t (id int PRIMARY KEY)")
    async with opened(connector(url, *uses("t"))) as account, opened(connector(url, *uses("t"))) as second:
        async with Log(account, await account.prepare(), PATIENCE) as log:
            await log.settled()
            with pytest.raises(RetriableError, match="in use by process"):
                await anext(second.changes(None).__aiter__())
        slot = slot_name("acme", "crm")
        stranger = await _stranger(url, slot)
        try:
            with pytest.raises(FatalError, match="in use by process") as caught:
                await anext(second.changes(None).__aiter__())
            assert "another `name`" in caught.value.remedy
        finally:
            await stranger.close()
        await account.release()


async def _stranger(url: str, slot: str) -> Any:
    return await Replication.start(url, "pg_recvlogical", slot, slot, 0)


async def test_the_log_goes_on_after_its_connection_was_cut(url: str) -> None:
    run(url, "CREATE TABLE t (id int PRIMARY KEY)")
    async with opened(connector(url, *uses("t"))) as account:
        cursor = await account.prepare()
        async with Log(account, cursor, PATIENCE) as log:
            run(url, "INSERT INTO t VALUES (1)")
            assert only(await log.changes()).id == "1"
            run(
                url,
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = current_database()",
            )
            with pytest.raises(RetriableError):
                await log.end()
        async with Log(account, cursor, PATIENCE) as log:
            run(url, "INSERT INTO t VALUES (2)")
            assert [change.id for change in await log.changes()] == ["1", "2"]
        await account.release()


async def test_a_publication_that_was_dropped_is_made_anew_with_its_slot(url: str) -> None:
    run(url, "CREATE TABLE t (id int PRIMARY KEY)")
    async with opened(connector(url, *uses("t"))) as account:
        cursor = await account.prepare()
        name = slot_name("acme", "crm")
        run(url, f"DROP PUBLICATION {name}", "INSERT INTO t VALUES (1)")
        assert await account.position() is None
        with pytest.raises(CursorExpiredError):
            async with Log(account, cursor, PATIENCE) as log:
                await log.end()
        # As it was before, it is of no use to the slot: at the row above there was none.
        run(url, f"CREATE PUBLICATION {name} FOR TABLE t")
        with pytest.raises(CursorExpiredError):
            async with Log(account, cursor, PATIENCE) as log:
                await log.end()
        run(url, f"DROP PUBLICATION {name}")
        async with Log(account, await account.prepare(), PATIENCE) as log:
            run(url, "INSERT INTO t VALUES (2)")
            assert only(await log.changes()).id == "2"
        await account.release()


async def test_what_is_unconfirmed_stays_so_however_often_the_server_is_answered(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replication, "STATUS_INTERVAL", 0.05)
    run(url, "CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE noise (id int)")
    async with following(url, *uses("t")) as (account, log):
        before = await account.position()
        run(url, "INSERT INTO t VALUES (1)")
        (batch,) = await log.settled()
        run(url, "INSERT INTO noise SELECT generate_series(1, 1000)")
        event = await log.next()
        assert isinstance(event, Heartbeat)
        written = "SELECT write_lsn FROM pg_stat_replication WHERE pid IN (SELECT active_pid FROM pg_replication_slots WHERE database = current_database())"
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as person, asyncio.timeout(PATIENCE):
            while True:
                row = await (await person.execute(f"SELECT ({written}) >= %s::pg_lsn", [event.cursor])).fetchone()
                if row == (True,):
                    break
        assert await account.position() == before
        await account.confirm(batch.cursor)


async def test_prepare_gives_up_on_a_transaction_that_stays_open_and_names_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "PATIENCE", 0.3)
    run(url, "CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE u (id int PRIMARY KEY)")
    async with opened(connector(url, *uses("t"))) as account, opened(connector(url, *uses("t", "u"))) as later:
        async with await psycopg.AsyncConnection.connect(url, application_name="long report") as person:
            await person.execute("INSERT INTO t VALUES (1)")
            with pytest.raises(RetriableError, match="long report"):
                await account.prepare()
            assert await account.position() is None
            await person.commit()
            await account.prepare()
            await person.execute("INSERT INTO u VALUES (1)")
            with pytest.raises(RetriableError, match="long report"):
                await later.prepare()
            await person.rollback()
        await later.prepare()
        await later.release()


async def test_release_leaves_nothing_but_the_ledger(url: str) -> None:
    run(url, "CREATE TABLE t (id int PRIMARY KEY)")
    async with opened(connector(url, *uses("t"))) as account:
        await account.prepare()
        await account.release()
        await account.release()  # and again changes nothing
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_publication").fetchone() == (0,)
        query = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
        assert connection.execute(query).fetchone() == (0,)
        assert connection.execute("SELECT to_regclass('tandem.ledger') IS NOT NULL").fetchone() == (True,)


async def test_accounts_in_one_database_do_not_mix(url: str) -> None:
    run(url, "CREATE TABLE a (id serial PRIMARY KEY, n int)", "CREATE TABLE b (id serial PRIMARY KEY, n int)")
    async with (
        opened(connector(url, *uses("a"), account="crm")) as crm,
        opened(connector(url, *uses("b"), account="shop")) as shop,
    ):
        cursors = await asyncio.gather(crm.prepare(), shop.prepare())
        async with Log(crm, cursors[0], PATIENCE) as first, Log(shop, cursors[1], PATIENCE) as second:
            # One link, written on both of its sides.
            applied(await one(crm, create("l", {"n": 1}), name="a"))
            applied(await one(shop, create("l", {"n": 1}), name="b"))
            for log in (first, second):
                assert only(await log.changes()).token is not None
        await asyncio.gather(crm.release(), shop.release())


async def test_a_column_that_has_just_been_added_is_read_written_and_found(url: str) -> None:
    run(url, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)")
    async with opened(connector(url, *uses("t"))) as account:
        await account.prepare()
        assert only(await account.read("t", ["1"])).values == {"id": 1}
        run(url, "ALTER TABLE t ADD COLUMN code text DEFAULT 'x'")
        (page,) = await all_pages(account, "t")
        assert [record.values["code"] for record in page.records] == ["x", "x"]
        await account.release()
    async with opened(connector(url, *uses("t"))) as account:
        await account.read("t", ["1"])
        run(url, "ALTER TABLE t ADD COLUMN rank text", "UPDATE t SET rank = 'first' WHERE id = 2")
        assert only(await account.find("t", [Identifier("rank", "exact", "first")])).id == "2"
        run(url, "ALTER TABLE t ADD COLUMN note text")
        applied(await one(account, update("l", "1", {"note": "n"}), name="t"))
        assert only(await account.read("t", ["1"])).values["note"] == "n"
    async with opened(connector(url, *uses("t"))) as account:
        await account.discover()  # that it knows the table, though it has not yet written to it
        run(url, "ALTER TABLE t ADD COLUMN last text")
        applied(await one(account, update("m", "1", {"last": "n"}), name="t"))
