"""Tables of all kinds in the log, and what becomes of them when their definition changes. On a real server."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from connectors.base import (
    Batch,
    CursorExpiredError,
    FatalError,
    FieldsChanged,
    Outcome,
    RetriableError,
    WriteOp,
)
from connectors.postgres import PostgresConnector, assembler, capture
from tests.connectors.contract import Log, all_pages, applied, create, one, only, opened, update, write
from tests.connectors.postgres_tools import PATIENCE, NewDatabase, connector, following, run, uses


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    return new_database(16)


# ---------------------------------------------------------------- the log, by kind of table


KEYS: list[tuple[str, list[str]]] = [
    ("uuid", ["00000000-0000-0000-0000-000000000001", "6f1e1c1e-8d5b-4b0e-9b7a-3f6d2c1a0b9e"]),
    ("numeric(10,2)", ["-1.5", "2", "10.25"]),
    ("timestamptz", ["2026-01-01T00:00:00Z", "2026-01-02T12:00:00.5Z"]),
    ("date", ["2026-01-01", "2026-11-24"]),
    ("boolean", ["false", "true"]),
    ("char(4)", ["a", "abcd"]),
    ("smallint", ["-3", "4"]),
    ("text", ["", "%2C", "a,b", "ß"]),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "values"), KEYS)
async def test_keys_of_many_types_make_ids_that_find_their_rows(url: str, type_: str, values: list[str]) -> None:
    run(
        url,
        f"CREATE TABLE t (k {type_} PRIMARY KEY, n int)",
        f"CREATE TABLE pair (k {type_}, m int, n int, PRIMARY KEY (k, m))",
    )
    async with following(url, *uses("t", "pair")) as (account, log):
        for value in values:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"INSERT INTO t VALUES (%s::text::{type_}, 1)", [value])
                connection.execute(f"INSERT INTO pair VALUES (%s::text::{type_}, 2, 1)", [value])
        events = await log.settled()
        for name in ("t", "pair"):
            ids = [c.id for event in events if isinstance(event, Batch) and event.object == name for c in event.changes]
            pages = await all_pages(account, name)
            assert [record.id for page in pages for record in page.records] == ids
            for place, record_id in enumerate(ids):
                rest = [record.id for page in await all_pages(account, name, record_id) for record in page.records]
                assert rest == ids[place + 1 :]
            assert {record.id for record in await account.read(name, ids)} == set(ids)
            writes = [update(f"{name}{record_id}", record_id, {"n": 2}) for record_id in ids]
            assert {r.outcome for r in await account.apply(name, writes, None)} == {Outcome.APPLIED}
            removals = [write(WriteOp.DELETE, f"d{name}{record_id}", id=record_id) for record_id in ids]
            assert {r.outcome for r in await account.apply(name, removals, None)} == {Outcome.APPLIED}
        deleted = [change.id for change in await log.changes() if not change.values]
        assert len(deleted) == 2 * len(values)


async def test_a_partitioned_table_is_one_object(url: str) -> None:
    run(
        url,
        "CREATE TABLE t (id int, region text, n int, PRIMARY KEY (id, region)) PARTITION BY LIST (region)",
        "CREATE TABLE t_es PARTITION OF t FOR VALUES IN ('es')",
        "CREATE TABLE t_rest PARTITION OF t DEFAULT",
    )
    async with following(url, *uses("t")) as (account, log):
        assert set((await account.discover()).objects) == {"t"}
        applied(await one(account, create("a", {"id": 1, "region": "es", "n": 1}), name="t"))
        applied(await one(account, update("b", "1,es", {"region": "fr"}, expect={"n": 1}), name="t"))
        run(url, "UPDATE t SET n = 2", "TRUNCATE t_es", "DELETE FROM t")
        told = [(change.op.value, change.id, change.old_id) for change in await log.changes()]
        # A row that moves between partitions is deleted in one and inserted in the other.
        assert told == [
            ("upsert", "1,es", None),
            ("delete", "1,es", None),
            ("upsert", "1,fr", None),
            ("upsert", "1,fr", None),
            ("delete", "1,fr", None),
        ]


async def test_a_full_replica_identity_fills_unchanged_large_values(url: str) -> None:
    run(url, "CREATE TABLE t (id int PRIMARY KEY, large text, n int)", "ALTER TABLE t REPLICA IDENTITY FULL")
    run(url, "INSERT INTO t SELECT 1, string_agg(md5(n::text), '') FROM generate_series(1, 3000) n")
    async with following(url, *uses("t")) as (_, log):
        run(url, "UPDATE t SET n = 5", "UPDATE t SET id = 2", "DELETE FROM t")
        first, second, third = await log.changes()
        assert len(str(first.values["large"])) == 96_000
        assert (second.id, second.old_id) == ("2", "1")
        assert (third.op.value, third.id, third.values) == ("delete", "2", {})


async def test_an_index_as_replica_identity_is_the_key(url: str) -> None:
    run(url, "CREATE TABLE t (a text NOT NULL, b int NOT NULL, c text)", "CREATE UNIQUE INDEX by_ab ON t (b, a)")
    run(url, "ALTER TABLE t REPLICA IDENTITY USING INDEX by_ab", "INSERT INTO t VALUES ('x', 1, 'y')")
    async with following(url, *uses("t")) as (account, log):
        assert (await account.discover()).objects["t"].key == ("b", "a")
        run(url, "UPDATE t SET c = 'z'", "DELETE FROM t")
        assert [change.id for change in await log.changes()] == ["1,x", "1,x"]


async def test_rows_of_an_inheriting_table_belong_to_it_alone(url: str) -> None:
    run(url, "CREATE TABLE base (id int PRIMARY KEY)", "CREATE TABLE child (PRIMARY KEY (id)) INHERITS (base)")
    async with following(url, *uses("base")) as (account, log):
        run(url, "INSERT INTO base VALUES (1)", "INSERT INTO child VALUES (2)")
        assert [change.id for change in await log.changes()] == ["1"]
        assert [record.id for page in await all_pages(account, "base") for record in page.records] == ["1"]


async def test_values_do_not_depend_on_settings_of_the_role_or_the_database(url: str) -> None:
    name = url.rsplit("/", 1)[1]
    odd = {
        "datestyle": "German",
        "timezone": "Asia/Kathmandu",
        "intervalstyle": "iso_8601",
        "bytea_output": "escape",
        "extra_float_digits": "-3",
    }
    run(url, *(f"ALTER DATABASE \"{name}\" SET {key} = '{value}'" for key, value in odd.items()))
    run(url, "CREATE TABLE t (id int PRIMARY KEY, d date, m timestamptz, i interval, b bytea, f float8)")
    async with following(url, *uses("t")) as (account, log):
        run(
            url,
            "INSERT INTO t VALUES (1, '2026-11-24', '2026-11-24 12:00+00', '1 day 2 hours', '\\x00ff', 0.1::float8 + 0.2)",
        )
        expected = {
            "id": 1,
            "d": "2026-11-24",
            "m": "2026-11-24T12:00:00Z",
            "i": "1 day 02:00:00",
            "b": "AP8=",
            "f": "0.30000000000000004",
        }
        assert only(await log.changes()).values == expected
        assert only(await account.read("t", ["1"])).values == expected


async def test_a_large_transaction_comes_in_batches_and_its_cursor_only_with_the_last(url: str) -> None:
    run(url, "CREATE TABLE t (id int PRIMARY KEY)")
    async with following(url, *uses("t")) as (account, log):
        before = await account.position()
        run(url, "INSERT INTO t SELECT generate_series(1, 1800)")
        batches = [event for event in await log.settled() if isinstance(event, Batch)]
        assert [change.id for batch in batches for change in batch.changes] == [str(n) for n in range(1, 1801)]
        assert all(len(batch.changes) <= assembler.BATCH for batch in batches)
        assert {batch.cursor for batch in batches[:-1]} == {before}
        assert batches[-1].cursor != before
        steps = [change.version.step for batch in batches for change in batch.changes]
        assert steps == sorted(set(steps))


async def test_rows_of_several_objects_are_grouped_and_keep_their_order(url: str) -> None:
    run(url, "CREATE TABLE a (id int PRIMARY KEY, n int)", "CREATE TABLE b (id int PRIMARY KEY, n int)")
    async with following(url, *uses("a", "b")) as (_, log):
        run(
            url,
            "DO $$ BEGIN FOR i IN 1..50 LOOP INSERT INTO a VALUES (i, 0); INSERT INTO b VALUES (i, 0);"
            " UPDATE a SET n = 1 WHERE id = i; END LOOP; END $$",
        )
        batches = [event for event in await log.settled() if isinstance(event, Batch)]
        assert [(batch.object, len(batch.changes)) for batch in batches] == [("a", 100), ("b", 50)]
        assert [change.id for change in batches[1].changes] == [str(n) for n in range(1, 51)]


async def test_no_timer_is_in_the_way_of_a_change(url: str) -> None:
    """Compared with what a commit takes here and now: on a busy machine both take longer."""
    run(url, "CREATE TABLE t (id int PRIMARY KEY, n int)", "INSERT INTO t VALUES (1, 0)")
    person = await psycopg.AsyncConnection.connect(url, autocommit=True)
    now = asyncio.get_running_loop().time
    async with following(url, *uses("t")) as (_, log), person:
        commits, delays = [], []
        for number in range(60):
            began = now()
            await person.execute("UPDATE t SET n = %s", [number])
            committed = now()
            event = await log.next()
            while not isinstance(event, Batch):
                event = await log.next()
            commits.append(committed - began)
            delays.append(now() - committed)
    # A batch that waits for more shows in each of them, so the quickest third counts; what the scheduler adds, in few.
    quick = sorted(delays)[len(delays) // 3]
    assert quick < max(8 * sorted(commits)[len(commits) // 3], 0.005), (quick, sorted(commits))


# ---------------------------------------------------------------- changes of the schema


async def test_a_column_added_beside_an_excluded_one_comes_into_the_log(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "CHECK", 0.2)
    run(url, "CREATE TABLE t (id int PRIMARY KEY, a text, secret text)", "INSERT INTO t VALUES (1, 'x', 's')")
    async with following(url, *uses("t", exclude=["secret"])) as (_, log):
        run(url, "UPDATE t SET a = 'y'")
        assert set(only(await log.changes()).values) == {"id", "a"}
        run(url, "ALTER TABLE t ADD COLUMN b text")
        fields: tuple[tuple[str, str], ...] | None = ()
        number = 0
        while not fields:
            run(url, f"UPDATE t SET b = '{number}'")
            number += 1
            for event in await log.settled():
                if isinstance(event, FieldsChanged):
                    fields = event.fields
        assert fields == (("id", "integer"), ("a", "text"), ("b", "text"))
        run(url, "UPDATE t SET b = 'last'")
        assert only(await log.changes()).values == {"id": 1, "a": "y", "b": "last"}


@pytest.mark.parametrize("version", [14, 16])
async def test_a_renamed_column_that_is_excluded_does_not_slip_through(new_database: NewDatabase, version: int) -> None:
    url = new_database(version)
    run(url, "CREATE TABLE t (id int PRIMARY KEY, a text, secret text)", "INSERT INTO t VALUES (1, 'x', 's')")
    async with opened(connector(url, *uses("t", exclude=["secret"]))) as account:
        async with Log(account, await account.prepare(), PATIENCE) as log:
            await log.settled()
            run(url, "ALTER TABLE t RENAME COLUMN secret TO ssn", "UPDATE t SET ssn = 'private', a = 'y'")
            if version == 14:
                with pytest.raises(FatalError, match="renamed"):
                    await log.changes()
            else:
                assert only(await log.changes()).values == {"id": 1, "a": "y"}
        with pytest.raises(FatalError, match="no column secret"):
            await account.prepare()
        await account.release()


async def test_a_table_made_anew_is_read_again_not_lost(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "CHECK", 0.2)
    run(url, "CREATE TABLE t (id int PRIMARY KEY)")
    async with opened(connector(url, *uses("t"))) as account:
        async with Log(account, await account.prepare(), PATIENCE) as log:
            run(url, "DROP TABLE t", "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
            with pytest.raises(CursorExpiredError, match=r"public\.t"):
                await log.end()
        await account.release()
        async with Log(account, await account.prepare(), PATIENCE) as log:
            run(url, "INSERT INTO t VALUES (2)")
            assert only(await log.changes()).id == "2"
        await account.release()


async def test_a_dropped_table_is_told_as_gone_and_holds_up_no_other(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "CHECK", 0.1)
    run(url, "CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE other (id int PRIMARY KEY)")
    async with opened(connector(url, *uses("t", "other"))) as account:
        async with Log(account, await account.prepare(), PATIENCE) as log:
            await log.settled()
            run(url, "INSERT INTO t VALUES (1)", "DROP TABLE t")
            told: list[object] = []
            async with asyncio.timeout(PATIENCE):
                while not any(isinstance(event, FieldsChanged) for event in told):
                    told += await log.settled()
            assert FieldsChanged("t", None, told[-1].cursor) == told[-1]  # type: ignore[attr-defined]
            run(url, "INSERT INTO other VALUES (1)")
            assert [change.id for change in await log.changes()] == ["1"]
            # Commands fail one by one, for the reason that their records show; the account is not down.
            with suppress(RetriableError):  # the first who notices looks at the table anew
                await account.apply("t", [create("l0", {"id": 5})], None)
            refused = await account.apply("t", [create("l1", {"id": 5}), update("l2", "1", {"id": 6})], None)
            assert [(each.outcome, each.category) for each in refused] == [(Outcome.REJECTED, "schema")] * 2
            assert (await one(account, create("l3", {"id": 7}), name="other")).outcome is Outcome.APPLIED
            assert [page.records for page in await all_pages(account, "t")] == [()]
            assert await account.read("t", ["1"]) == []
            run(url, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (2)")
            with pytest.raises(CursorExpiredError, match="there again"):
                await log.end()
        await account.release()


async def test_what_was_altered_or_dropped_while_nobody_read_the_log_is_told_when_it_begins(url: str) -> None:
    run(url, "CREATE TABLE t (id int PRIMARY KEY, a int)", "CREATE TABLE gone (id int PRIMARY KEY)")
    async with opened(connector(url, *uses("t", "gone"))) as account:
        await account.prepare()
    run(url, "ALTER TABLE t DROP COLUMN a, ADD COLUMN b text", "DROP TABLE gone")
    async with opened(connector(url, *uses("t", "gone"))) as account:
        async with Log(account, await account.prepare(), PATIENCE) as log:
            begun = [await log.next(), await log.next()]
            fields = {event.object: event.fields for event in begun if isinstance(event, FieldsChanged)}
            assert fields == {"t": (("id", "integer"), ("b", "text")), "gone": None}
        await account.release()


async def test_fields_altered_long_after_the_log_was_opened_are_told_with_the_first_row(url: str) -> None:
    run(url, "CREATE TABLE t (id int PRIMARY KEY, a int)")
    async with following(url, *uses("t")) as (_, log):
        begun = await log.next()
        assert isinstance(begun, FieldsChanged)
        assert begun.fields == (("id", "integer"), ("a", "integer"))
        run(url, "ALTER TABLE t ADD COLUMN b text", "INSERT INTO t VALUES (1, 2, 'x')")
        log.is_quiet = False
        told, batch = await log.settled()
        assert isinstance(told, FieldsChanged)
        assert told.fields == (("id", "integer"), ("a", "integer"), ("b", "text"))
        assert isinstance(batch, Batch)


async def test_a_type_changed_under_way_is_decoded_as_it_was_and_as_it_is(url: str) -> None:
    run(url, "CREATE TABLE t (id int PRIMARY KEY, a int)", "INSERT INTO t VALUES (1, 1)")
    async with following(url, *uses("t")) as (account, log):
        await log.settled()
        run(url, "UPDATE t SET a = 2", "CREATE TYPE size AS ENUM ('2', '3')")
        run(url, "ALTER TABLE t ALTER a TYPE size USING a::text::size", "UPDATE t SET a = '3'")
        events = await log.settled()
        values = [change.values["a"] for event in events if isinstance(event, Batch) for change in event.changes]
        assert values == [2, "3"]
        assert [event.fields for event in events if isinstance(event, FieldsChanged)] == [
            (("id", "integer"), ("a", "size"))
        ]
        applied_or_retried = await _again(account, create("l", {"id": 2, "a": "2"}))
        assert applied_or_retried is Outcome.APPLIED


async def test_a_log_that_is_behind_the_table_tells_the_fields_of_now_once(url: str) -> None:
    run(url, "CREATE TABLE t (id int PRIMARY KEY, a int)")
    async with opened(connector(url, *uses("t"))) as account:
        cursor = await account.prepare()
        run(url, "INSERT INTO t VALUES (1, 1)", "ALTER TABLE t ALTER a TYPE text, ADD b int", "UPDATE t SET b = 2")
        async with Log(account, cursor, PATIENCE) as log:
            events = [await log.next(), *await log.settled()]
            told = [event.fields for event in events if isinstance(event, FieldsChanged)]
            assert told == [(("id", "integer"), ("a", "text"), ("b", "integer"))]
            changes = [change.values for event in events if isinstance(event, Batch) for change in event.changes]
            assert changes == [{"id": 1, "a": 1}, {"id": 1, "a": "1", "b": 2}]
        await account.release()


async def test_another_key_is_read_anew(url: str) -> None:
    run(url, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    async with opened(connector(url, *uses("t"))) as account:
        async with Log(account, await account.prepare(), PATIENCE) as log:
            await log.settled()
            run(url, "ALTER TABLE t RENAME COLUMN id TO number", "UPDATE t SET number = 2")
            with pytest.raises(CursorExpiredError, match=r"key of public\.t"):
                await log.changes()
        await account.release()


async def _again(account: PostgresConnector, each: Any) -> Outcome:
    """As the engine does: an account whose table has changed is asked again."""
    for _ in range(2):
        try:
            return (await one(account, each, name="t")).outcome
        except RetriableError:
            continue
    raise AssertionError("refused twice")


async def test_a_dropped_column_is_noticed_by_reads_and_writes(url: str) -> None:
    run(url, "CREATE TABLE t (id int PRIMARY KEY, a int, b int)", "INSERT INTO t VALUES (1, 1, 1)")
    async with opened(connector(url, *uses("t"))) as account:
        assert only(await account.read("t", ["1"])).values == {"id": 1, "a": 1, "b": 1}
        run(url, "ALTER TABLE t DROP COLUMN b")
        with pytest.raises(RetriableError, match="fields of t have changed"):
            await account.read("t", ["1"])
        assert only(await account.read("t", ["1"])).values == {"id": 1, "a": 1}
        run(url, "ALTER TABLE t DROP COLUMN a")
        with pytest.raises(RetriableError, match="fields of t have changed"):
            await account.apply("t", [update("l", "1", {"a": 2})], None)
        result = await one(account, update("l", "1", {"a": 2}), name="t")
        assert (result.outcome, result.category, result.field) == (Outcome.REJECTED, "schema", "a")
