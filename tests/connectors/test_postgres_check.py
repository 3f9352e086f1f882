"""`check` on accounts that cannot be synced as they are: each says what is wrong and what to do, and raises nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from connectors.base import CursorExpiredError, FatalError, Health, Outcome, Problem, RetriableError
from deploy.postgres import EmbeddedPostgres
from tests.conftest import in_a_thread
from tests.connectors.conftest import remove
from tests.connectors.contract import Log, applied, create, one, only, opened, update
from tests.connectors.postgres_tools import PATIENCE, connector, run, uses


@pytest.fixture
def url(new_database: Callable[[int], str]) -> Iterator[str]:
    """A database with one table, and a role `clerk` that may log in and nothing more."""
    url = new_database(16)
    run(
        url,
        "CREATE TABLE people (id serial PRIMARY KEY, name text, secret text)",
        "DO $$ BEGIN CREATE ROLE clerk LOGIN PASSWORD 'pw'; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        "ALTER ROLE clerk NOREPLICATION",
    )
    yield url
    run(url, "DROP OWNED BY clerk")


def of_role(url: str, role: str = "clerk", password: str = "pw", **more: str) -> str:
    return make_conninfo(**{**conninfo_to_dict(url), "user": role, "password": password, **more})


async def health_of(url: str, *names: str, **settings: str) -> Health:
    """The health of an account; `check` must not raise, whatever is the matter."""
    account = connector(url, *uses(*names), **settings)
    try:
        return await account.check()
    finally:
        await account.close()


def problem(health: Health, text: str) -> Problem:
    found = [each for each in health.problems if text in each.message]
    assert found, health
    assert all(each.remedy for each in health.problems), health
    assert "Traceback" not in repr(health)
    return found[0]


async def test_a_sound_account_has_no_problems(url: str) -> None:
    health = await health_of(url, "people")
    assert health.problems == ()
    assert health.version.startswith("PostgreSQL 16.")


async def test_an_address_where_nobody_answers_may_come_back(url: str) -> None:
    gone = make_conninfo(url, host="127.0.0.1", port="1")
    found = problem(await health_of(gone, "people"), "cannot be reached")
    assert found.fatal
    assert "host and port" in found.remedy
    with pytest.raises(RetriableError):
        await connector(gone).open()


@pytest.mark.parametrize(
    ("changed", "remedy"),
    [
        ({"password": "wrong"}, "check the password"),
        ({"user": "nobody_at_all"}, "check the password"),  # the server does not tell which of both is wrong
        ({"dbname": "no_such_database"}, "name of the database"),
    ],
)
async def test_a_refused_connection_says_what_to_check_and_no_secret(
    url: str, changed: dict[str, str], remedy: str
) -> None:
    wrong = make_conninfo(**{**conninfo_to_dict(of_role(url)), **changed})  # type: ignore[arg-type]
    found = problem(await health_of(wrong, "people"), "refuses the connection")
    assert remedy in found.remedy
    assert "wrong" not in found.message
    assert "pw" not in found.message
    with pytest.raises(FatalError):
        await connector(wrong).open()


async def test_a_url_that_is_none_is_refused() -> None:
    found = problem(await health_of("mysql://somewhere"), "not one that PostgreSQL understands")
    assert "postgresql://" in found.remedy


async def test_a_role_that_may_nothing_is_told_each_grant(url: str) -> None:
    clerk = of_role(url)
    health = await health_of(clerk, "people")
    assert 'ALTER ROLE "clerk" REPLICATION;' in problem(health, "may not read the log").remedy
    assert 'GRANT SELECT ON "public"."people" TO "clerk";' in problem(health, "may not be read").remedy
    assert problem(health, "may not make a publication").fatal
    ledger = problem(health, "schema tandem")
    assert not ledger.fatal
    assert "CREATE TABLE IF NOT EXISTS tandem.ledger" in ledger.remedy
    # Each remedy, carried out to the letter, mends it.
    run(url, *_statements(problem(health, "may not be read").remedy), "ALTER ROLE clerk REPLICATION")
    run(url, *_statements(ledger.remedy.removeprefix("have an administrator run:\n")))
    health = await health_of(clerk, "people")
    lacking = problem(health, "lacks INSERT, UPDATE, DELETE")
    assert not lacking.fatal
    run(url, *_statements(lacking.remedy), "GRANT USAGE ON SEQUENCE people_id_seq TO clerk")
    publication = problem(health, "may not make a publication")
    made = publication.remedy.split("run: ", 1)[1].split(";", 1)[0]
    name = made.split('"')[1]
    run(url, made)
    assert (await health_of(clerk, "people", publication=name)).problems == ()
    # And with these grants alone the account works.
    async with opened(connector(clerk, *uses("people"), publication=name)) as account:
        async with Log(account, await account.prepare(), PATIENCE) as log:
            each = create("l", {"name": "Ann"})
            result = applied(await one(account, each))
            assert only(await log.changes()).token == each.token
            assert applied(await one(account, each)).id == result.id
        assert (await account.discover()).objects["people"].capabilities.tokens
        await account.release()


def _statements(remedy: str) -> list[str]:
    return [statement for statement in remedy.split(";") if statement.strip()]


async def test_without_a_ledger_an_account_goes_on_and_says_so(url: str) -> None:
    clerk = of_role(url)
    run(
        url,
        "ALTER ROLE clerk REPLICATION",
        "GRANT SELECT, INSERT, UPDATE ON people TO clerk",
        "GRANT USAGE ON SEQUENCE people_id_seq TO clerk",
    )
    run(url, "CREATE PUBLICATION made FOR TABLE people")
    async with opened(connector(clerk, *uses("people"), publication="made")) as account:
        found = (await account.discover()).objects["people"].capabilities
        assert (found.tokens, found.creatable, found.updatable, found.deletable) == (False, True, True, False)
        async with Log(account, await account.prepare(), PATIENCE) as log:
            result = applied(await one(account, create("l", {"name": "Ann"})))
            applied(await one(account, update("l", str(result.id), {"name": "Anna"}, sequence=2)))
            assert [change.values["name"] for change in await log.changes()] == ["Ann", "Anna"]
        await account.release()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_publication").fetchone() == (1,)


async def test_columns_that_may_not_be_read_or_written_are_left_out_or_refused(url: str) -> None:
    clerk = of_role(url)
    run(
        url,
        "GRANT SELECT (id, name), INSERT (name), UPDATE (name) ON people TO clerk",
        "INSERT INTO people (name) VALUES ('Ann')",
    )
    async with opened(connector(clerk, *uses("people"))) as account:
        fields = {field.name: field.read_only for field in (await account.discover()).objects["people"].fields}
        assert fields == {"id": True, "name": False}
        assert only(await account.read("people", ["1"])).values == {"id": 1, "name": "Ann"}
        result = await one(account, update("l", "1", {"id": 7}))
        assert (result.outcome, result.category, result.field) == (Outcome.REJECTED, "permission", "id")
        assert 'GRANT INSERT ("id"), UPDATE ("id") ON "public"."people"' in (result.message or "")


async def test_row_security_that_hides_rows_is_a_problem(url: str) -> None:
    run(url, "GRANT ALL ON people TO clerk", "ALTER TABLE people ENABLE ROW LEVEL SECURITY")
    found = problem(await health_of(of_role(url), "people"), "row security hides rows")
    assert 'ALTER ROLE "clerk" BYPASSRLS' in found.remedy
    assert not [each for each in (await health_of(url, "people")).problems if "row security" in each.message]


async def test_a_publication_that_lacks_a_table_is_told(url: str) -> None:
    run(url, "CREATE TABLE more (id int PRIMARY KEY)", "CREATE PUBLICATION made FOR TABLE more")
    found = problem(await health_of(url, "people", publication="made"), "lacks public.people")
    run(url, found.remedy.rstrip(";"))
    assert (await health_of(url, "people", publication="made")).problems == ()
    assert (
        "CREATE PUBLICATION" in problem(await health_of(url, "people", publication="nobodys"), "no publication").remedy
    )


async def test_a_slot_that_no_account_knows_is_listed(url: str) -> None:
    run(url, "SELECT pg_create_logical_replication_slot('tandem_acme_former', 'pgoutput')")
    found = problem(await health_of(url, "people"), "tandem_acme_former is read by nobody")
    assert not found.fatal
    run(url, found.remedy.split(": ", 1)[1])
    assert (await health_of(url, "people")).problems == ()


async def test_the_slot_of_an_account_that_no_sync_uses_any_more_is_listed(url: str) -> None:
    async with opened(connector(url, *uses("people"))) as account:
        await account.prepare()
    assert (await health_of(url, "people")).problems == (), "it waits for its reader"
    found = problem(await health_of(url), "no sync uses the account any more")
    assert not found.fatal
    for statement in found.remedy.split(";")[:2]:
        run(url, statement)
    assert (await health_of(url)).problems == ()
    async with opened(connector(url)) as account:
        assert await account.position() is None


# ---------------------------------------------------------------- servers that are set otherwise


def server_with(home: Path, **settings: str) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(home, settings=settings)
    in_a_thread(server.start())
    yield server
    in_a_thread(server.stop())
    server.discard()


@pytest.fixture(scope="module")
def physical(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """Without logical decoding."""
    yield from server_with(tmp_path_factory.mktemp("physical"), wal_level="replica")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """With room for one slot, and little for the log that it holds back."""
    home = tmp_path_factory.mktemp("narrow")
    yield from server_with(
        home, max_replication_slots="1", max_slot_wal_keep_size="1MB", min_wal_size="32MB", max_wal_size="32MB"
    )


async def test_a_server_without_logical_decoding_is_told_to_be_set_so(physical: EmbeddedPostgres) -> None:
    url = await physical.create_database("plain")
    run(url, "CREATE TABLE people (id int PRIMARY KEY)")
    found = problem(await health_of(url, "people"), "wal_level is replica")
    assert found.fatal
    assert "wal_level = logical" in found.remedy
    async with opened(connector(url, *uses("people"))) as account:
        with pytest.raises(FatalError, match=r"wal_level|decod") as caught:
            await account.prepare()
        assert "wal_level = logical" in caught.value.remedy
    remove(physical, "plain")


async def test_a_server_without_a_free_slot_is_told_to_have_more(narrow: EmbeddedPostgres) -> None:
    url = await narrow.create_database("full")
    run(
        url,
        "CREATE TABLE people (id int PRIMARY KEY)",
        "SELECT pg_create_logical_replication_slot('another', 'pgoutput')",
    )
    found = problem(await health_of(url, "people"), "replication slots of the server are taken")
    assert "max_replication_slots" in found.remedy
    async with opened(connector(url, *uses("people"))) as account:
        with pytest.raises(FatalError, match="no replication slot left"):
            await account.prepare()
    remove(narrow, "full")


async def test_a_slot_that_the_server_has_given_up_is_an_expired_cursor(narrow: EmbeddedPostgres) -> None:
    url = await narrow.create_database("behind")
    run(url, "CREATE TABLE people (id int PRIMARY KEY, name text)")
    async with opened(connector(url, *uses("people"))) as account:
        cursor = await account.prepare()
        for _ in range(4):
            run(
                url,
                "INSERT INTO people SELECT coalesce(max(id), 0) + 1 FROM people",
                "SELECT pg_switch_wal()",
                "CHECKPOINT",
            )
        assert await account.position() is None
        lost = problem(await account.check(), "is lost")
        assert not lost.fatal
        with pytest.raises(CursorExpiredError, match="lost"):
            async with Log(account, cursor, PATIENCE) as log:
                await log.next()
        # Made anew, it works.
        async with Log(account, await account.prepare(), PATIENCE) as log:
            run(url, "INSERT INTO people VALUES (100, 'Ann')")
            assert only(await log.changes()).id == "100"
        await account.release()
    remove(narrow, "behind")
