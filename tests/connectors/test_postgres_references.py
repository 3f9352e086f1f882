"""What sync.yaml says of references: where mistakes stand in the file, and how it is held against a database."""

# ruff: noqa: E501 - whole messages, as people see them

from __future__ import annotations

from collections.abc import Callable

import pytest

from connectors.base import ObjectUse
from connectors.postgres import PostgresConnector
from rules.catalog import Field
from rules.config import ConfigError, json_schema, load
from tests.connectors.contract import all_pages, create, one, only, opened, update
from tests.connectors.postgres_tools import connector, following, run, uses

FILE = """\
accounts:
  crm:
    connector: postgres
    url: ${URL}
    objects:
      contacts:
        references:
          company_id: REFERENCE
  shop: {connector: postgres, url: "${URL}"}
syncs:
  contacts: {between: {crm: contacts, shop: people}, default: crm, mapping: [{crm: a, shop: a}]}
"""


@pytest.fixture
def url(new_database: Callable[[int], str]) -> str:
    return new_database(16)


# ---------------------------------------------------------------- the file

MISTAKES = {
    "{object: firms, feild: code}": "8:39: unknown key 'feild' in object 'contacts' of account 'crm'; did you mean 'field'?",
    "{}": "8:23: the reference does not say what it refers to; write {object: firms, field: code}, or {via: contact_company, primary: is_primary}",
    "{via: contact_company}": "8:29: of the pairs in 'contact_company' it is not said which one counts; add primary: the boolean column that is true for the one that does",
    "{object: firms, own: contact_id}": "8:44: 'own' says something of a table of pairs, and none is named; add via: TABLE",
    "firms": "8:23: 'company_id' in object 'contacts' of account 'crm' must be a mapping of keys and values, not 'firms'; write key: value",
}


@pytest.mark.parametrize("reference", MISTAKES)
def test_a_mistake_is_refused_with_its_place_and_what_to_write(reference: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(
            FILE.replace("REFERENCE", reference),
            "sync.yaml",
            {"URL": "postgresql://x"},
            {"postgres": PostgresConnector},
        )
    assert [str(problem) for problem in caught.value.problems] == [f"sync.yaml:{MISTAKES[reference]}"]


def test_the_schema_of_the_file_describes_both_forms() -> None:
    described = json_schema({"postgres": PostgresConnector})["$defs"]["postgres.PostgresReference"]
    assert set(described["properties"]) == {"object", "field", "via", "primary", "own", "other"}
    assert all(one["description"] for one in described["properties"].values())


# ---------------------------------------------------------------- the database

TABLES = (
    "CREATE TABLE firms (id int PRIMARY KEY, code text UNIQUE, note text)",
    "CREATE TABLE contacts (id int PRIMARY KEY, name text, firm_code text, city text)",
    (
        "CREATE TABLE contact_firm (contact_id int REFERENCES contacts, firm_id int REFERENCES firms,"
        " is_primary boolean, PRIMARY KEY (contact_id, firm_id))"
    ),
)


def contacts(**references: dict[str, str]) -> ObjectUse:
    return ObjectUse("contacts", {"references": references})


async def field(url: str, use: ObjectUse, name: str) -> Field | None:
    async with opened(connector(url, use)) as account:
        return (await account.discover()).objects["contacts"].field(name)


async def problems(url: str, use: ObjectUse) -> list[str]:
    async with opened(connector(url, use)) as account:
        return [f"{problem.message} | {problem.remedy}" for problem in (await account.check()).problems]


async def test_a_reference_by_another_field_is_told_without_a_foreign_key(url: str) -> None:
    run(url, *TABLES)
    found = await field(url, contacts(firm_code={"object": "firms", "field": "code"}), "firm_code")
    assert found is not None
    assert (found.references, found.references_field) == ("firms", "code")
    found = await field(url, contacts(firm_code={"object": "firms", "field": "id"}), "firm_code")
    assert found is not None
    assert (found.references, found.references_field) == ("firms", None), "the id, in other words"


PAIRS = {"via": "contact_firm", "primary": "is_primary"}
MISFITS: dict[str, tuple[tuple[str, ...], str, dict[str, str], str]] = {
    "no such column": (
        (), "nobody", {"object": "firms"},
        "contacts: public.contacts has no column nobody | check `references` of the object, or add `via` if it is kept in a table of pairs",
    ),
    "no such object": (
        (), "firm_code", {"object": "firmz"},
        "contacts: its firm_code is to refer to firmz, which is no object of this account | check `references` of the object",
    ),
    "no such field": (
        (), "firm_code", {"object": "firms", "field": "kode"},
        "contacts: its firm_code is to hold kode of firms, which has no such column | check `references` of the object",
    ),
    "no such table of pairs": (
        (), "firm", {"via": "nothing", "primary": "x"},
        "contacts: there is no table nothing, or the role may not see it | check `via` of its firm",
    ),
    "a name that is taken": (
        (), "city", PAIRS,
        "contacts: it has a column city of its own | give the reference via public.contact_firm another name",
    ),
    "not a boolean": (
        ("ALTER TABLE contact_firm ADD rank int",), "firm", {"via": "contact_firm", "primary": "rank"},
        "contacts: public.contact_firm.rank is no boolean, which could say what pair counts | check `primary` of its firm",
    ),
    "two that may be meant": (
        ("ALTER TABLE contact_firm ADD former int REFERENCES firms",), "firm", PAIRS,
        "contacts: of the columns of public.contact_firm several (firm_id, former) could be the one that holds the reference | name it as `other` of its firm",
    ),
    "none that is known": (
        ("ALTER TABLE contact_firm DROP CONSTRAINT contact_firm_contact_id_fkey",), "firm", PAIRS,
        "contacts: of the columns of public.contact_firm none has a foreign key that tells which one holds the key of this object | name it as `own` of its firm",
    ),
    "a reference to nobody knows what": (
        ("ALTER TABLE contact_firm DROP CONSTRAINT contact_firm_firm_id_fkey",), "firm", {**PAIRS, "other": "firm_id"},
        "contacts: no foreign key tells what public.contact_firm.firm_id refers to | name the object as `object` of its firm",
    ),
    "a log that does not tell of pairs": (
        ("ALTER TABLE contact_firm SET UNLOGGED",), "firm", PAIRS,
        'contacts: public.contact_firm is unlogged, so its changes cannot be seen | ALTER TABLE "public"."contact_firm" SET LOGGED;',
    ),
    "a log that does not tell whose pair is gone": (
        ("ALTER TABLE contact_firm DROP CONSTRAINT contact_firm_pkey", "ALTER TABLE contact_firm ADD id serial PRIMARY KEY"), "firm", PAIRS,
        'contacts: of a pair that is gone from public.contact_firm the log does not tell whose it was | ALTER TABLE "public"."contact_firm" REPLICA IDENTITY FULL;',
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISFITS)
async def test_check_names_what_does_not_fit_and_what_to_write(case: str, url: str) -> None:
    statements, name, said, problem = MISFITS[case]
    run(url, *TABLES, *statements)
    assert problem in await problems(url, contacts(**{name: said}))


async def test_columns_that_are_named_need_no_foreign_key(url: str) -> None:
    run(url, *TABLES, "CREATE TABLE work (who int, where_ int, main boolean, PRIMARY KEY (who, where_))")
    said = {"via": "work", "primary": "main", "own": "who", "other": "where_", "object": "firms"}
    run(url, "INSERT INTO contacts VALUES (1, 'Ann')", "INSERT INTO work VALUES (1, 7, true), (1, 8, false)")
    async with following(url, contacts(firm=said)) as (account, log):
        assert only(await account.read("contacts", ["1"])).values["firm"] == 7
        run(url, "UPDATE work SET main = where_ = 8")
        assert [change.values["firm"] for change in await log.changes()] == [8]
    assert await problems(url, contacts(firm=said)) == []


async def test_pairs_are_followed_when_their_key_is_another(url: str) -> None:
    run(
        url, *TABLES, "ALTER TABLE contact_firm DROP CONSTRAINT contact_firm_pkey", "ALTER TABLE contact_firm ADD id serial PRIMARY KEY",
        "ALTER TABLE contact_firm REPLICA IDENTITY FULL", "INSERT INTO firms VALUES (7), (8)", "INSERT INTO contacts VALUES (1, 'Ann'), (2, 'Bob')",
        "INSERT INTO contact_firm VALUES (1, 7, true)",
    )  # fmt: skip
    assert await problems(url, contacts(firm=PAIRS)) == [
        (
            "contacts: public.contact_firm has no index that begins with contact_id, so each record read searches all of it | "
            'CREATE INDEX ON "public"."contact_firm" ("contact_id");'
        )
    ]
    async with following(url, contacts(firm=PAIRS)) as (_, log):
        run(url, "UPDATE contact_firm SET contact_id = 2")
        assert {change.id: change.values["firm"] for change in await log.changes()} == {"1": None, "2": 7}
        run(url, "DELETE FROM contact_firm")
        assert {change.id: change.values["firm"] for change in await log.changes()} == {"2": None}


async def test_emptied_pairs_leave_their_records_without_a_reference_and_no_record_gone(url: str) -> None:
    run(
        url,
        *TABLES,
        "INSERT INTO firms VALUES (7)",
        "INSERT INTO contacts SELECT n, 'c' || n FROM generate_series(1, 1200) n",
    )
    run(url, "INSERT INTO contact_firm SELECT n, 7, true FROM generate_series(1, 1200) n")
    async with following(url, contacts(firm=PAIRS)) as (_, log):
        run(url, "UPDATE contacts SET city = 'Bern' WHERE id = 1")
        assert len(await log.changes()) == 1
        run(url, "TRUNCATE contact_firm", "UPDATE contact_firm SET is_primary = true")
        run(url, "INSERT INTO contact_firm VALUES (3, 7, true)")
        changes = await log.changes()
        last = {change.id: change.values["firm"] for change in changes}
        assert len(last) == 1200
        assert {record_id for record_id, firm in last.items() if firm is not None} == {"3"}
        assert all(change.op == "upsert" for change in changes)


async def test_a_table_of_pairs_may_be_an_object_too(url: str) -> None:
    run(url, *TABLES, "INSERT INTO firms VALUES (7)", "INSERT INTO contacts VALUES (1, 'Ann')")
    async with following(url, contacts(firm=PAIRS), *uses("contact_firm")) as (_, log):
        run(url, "INSERT INTO contact_firm VALUES (1, 7, true)")
        assert sorted(change.id for change in await log.changes()) == ["1", "1,7"]


async def test_a_reference_that_the_role_may_not_write_is_read_only_and_says_which_grant_it_needs(url: str) -> None:
    run(
        url, *TABLES, "CREATE ROLE scribe LOGIN REPLICATION PASSWORD 'scribe'", "GRANT ALL ON contacts, firms TO scribe",
        "GRANT SELECT ON contact_firm TO scribe", "INSERT INTO contacts VALUES (1, 'Ann')", "INSERT INTO firms VALUES (7)",
    )  # fmt: skip
    try:
        theirs = url.replace(url.partition("://")[2].partition("@")[0], "scribe:scribe")
        found = await field(theirs, contacts(firm=PAIRS), "firm")
        assert found is not None
        assert found.read_only
        async with opened(connector(theirs, contacts(firm=PAIRS))) as account:
            answer = await one(account, update("l", "1", {"firm": 7}), name="contacts")
        assert (answer.category, answer.field) == ("permission", "firm")
        assert 'GRANT INSERT, UPDATE ON "public"."contact_firm" TO "scribe";' in (answer.message or "")
    finally:
        run(url, "DROP OWNED BY scribe", "DROP ROLE scribe")


async def test_a_unique_rule_over_primary_pairs_is_kept_to(url: str) -> None:
    run(
        url, *TABLES, "CREATE UNIQUE INDEX ON contact_firm (contact_id) WHERE is_primary", "INSERT INTO firms VALUES (7), (8)",
        "INSERT INTO contacts VALUES (1, 'Ann'), (2, 'Bob')", "INSERT INTO contact_firm VALUES (1, 7, true), (2, 8, true)",
    )  # fmt: skip
    async with opened(connector(url, contacts(firm=PAIRS))) as account:
        await account.prepare()
        writes = [update("l1", "1", {"firm": 8}), update("l2", "2", {"firm": 7}), create("l3", {"id": 3, "firm": 8})]
        answers = await account.apply("contacts", writes, None)
        assert [answer.outcome for answer in answers] == ["applied"] * 3
        (page,) = await all_pages(account, "contacts")
        assert {record.id: record.values["firm"] for record in page.records} == {"1": 8, "2": 7, "3": 8}
        await account.release()
