"""All kinds of records with their defaults (semantics section 2) and the associations among them (section 5), on one engine.

The two apps are those of `tests.end_to_end.kinds`: a CRM with plain foreign keys, and a desk that keeps its references in tables of
pairs, by numbers of its own, and in a list. What both hold is compared by SQL, a query for each side.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from psycopg.rows import tuple_row

from deploy.postgres import EmbeddedPostgres
from tests.end_to_end.conftest import engines_in
from tests.end_to_end.engine import Database, Engine, until
from tests.end_to_end.kinds import CRM, CRM_DATA, DESK, DESK_DATA, DESK_OBJECTS, SYNCS

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# Identifiers agree when they are equal normalised.
NAME = "lower(regexp_replace({}, '\\s+', ' ', 'g'))"
# Per kind the same of both sides: every mapped field, references by what people know the other record by.
PERSON = "(SELECT lower(mail) FROM people p WHERE p.person_no = {})"
CONTACT = "(SELECT lower(email) FROM contacts c WHERE c.id = t.contact_id)"
COMPANY = "(SELECT name FROM companies c WHERE c.id = t.company_id)"
OPPORTUNITY = "(SELECT o.title FROM opportunities o WHERE o.number = t.opportunity)"
DEAL = "(SELECT d.title FROM deals d WHERE d.id = t.deal_id)"


def paired(table: str, key: str, other: str = "person_no") -> str:
    """Of the desk: what the primary pair of a record refers to."""
    found = f"(SELECT {other} FROM {table} x WHERE x.{key} = t.{key} AND x.is_primary)"
    return PERSON.format(found) if other == "person_no" else f"(SELECT label FROM organisations WHERE org_no = {found})"


AGREE: dict[str, tuple[str, str]] = {
    "companies": (
        "SELECT name, phone, city, country, employees, (SELECT p.name FROM companies p WHERE p.id = t.parent_id) AS parent FROM companies t",
        "SELECT label, tel, town, country_code, headcount, (SELECT p.label FROM organisations p WHERE p.org_no = t.parent_no) FROM organisations t",
    ),
    "contacts": (
        f"SELECT lower(email), first_name, last_name, phone, job_title, {COMPANY} FROM contacts t WHERE email LIKE '%@%'",
        ("SELECT lower(mail), given_name, family_name, tel, role, "
        f"{paired('person_organisations', 'person_no', 'org_no')} FROM people t WHERE mail LIKE '%@%'"),
    ),
    "products": (
        f"SELECT sku, {NAME.format('name')}, price, description, active FROM products",
        f"SELECT code, {NAME.format('title')}, price, about, on_sale FROM articles",
    ),
    "deals": (
        f"SELECT title, amount, currency, array_position(enum_range(NULL::deal_stage), stage), close_date, {CONTACT}, {COMPANY} FROM deals t",
        (f"SELECT title, worth, currency, phase, closes, {paired('opportunity_people', 'opp_no')}, "
        f"{paired('opportunity_organisations', 'opp_no', 'org_no')} FROM opportunities t"),
    ),
    "invoices": (
        f"SELECT number, amount, currency, issued_on, due_on, paid, {CONTACT}, {DEAL} FROM invoices t",
        f"SELECT number, total, currency, issued, due, is_paid, {paired('bill_people', 'bill_no')}, {OPPORTUNITY} FROM bills t",
    ),
    "tickets": (
        f"SELECT subject, description, closed, opened_at, array_position(enum_range(NULL::priority), priority), {CONTACT}, {COMPANY} FROM tickets t",
        (f"SELECT subject, description, is_closed, opened, urgency, {paired('case_people', 'case_no')}, "
        f"{paired('case_organisations', 'case_no', 'org_no')} FROM cases t"),
    ),
    "calls": (
        f"SELECT subject, notes, called_at, minutes, left(direction::text, -5), {CONTACT} FROM calls t",
        f"SELECT subject, notes, at, minutes, direction, {paired('call_people', 'call_no')} FROM phone_calls t",
    ),
    "emails": (
        f"SELECT subject, body, sent_at, {CONTACT} FROM emails t", f"SELECT subject, body, sent, {paired('mail_people', 'mail_no')} FROM mails t",
    ),
    "tasks": (
        f"SELECT title, details, due_at, done, {CONTACT}, {DEAL} FROM tasks t",
        f"SELECT title, details, due, is_done, {paired('todo_people', 'todo_no')}, {OPPORTUNITY} FROM todos t",
    ),
    "notes": (
        f"SELECT body, written_at, {CONTACT}, {COMPANY} FROM notes t",
        f"SELECT body, written, {paired('memo_people', 'memo_no')}, {paired('memo_organisations', 'memo_no', 'org_no')} FROM memos t",
    ),
    "meetings": (
        f"SELECT title, agenda, starts_at, ends_at, place, {CONTACT} FROM meetings t",
        f"SELECT title, agenda, starts, ends, place, {PERSON.format('attendees[1]')} FROM appointments t",
    ),
}  # fmt: skip


class Office:
    """The two apps and what keeps them the same."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.crm, self.desk = engine.databases["crm"], engine.databases["desk"]

    def rows(self, kind: str) -> tuple[list[str], list[str]]:
        """What both sides hold of a kind, sorted."""
        ours, theirs = AGREE[kind]
        return _rows(self.crm, ours), _rows(self.desk, theirs)

    def agreed(self) -> None:
        """Waits until all has been carried through; then both sides hold the same of every kind."""
        self.agreed_but()

    def agreed_but(self, *kinds: str) -> None:
        """The same, but for some kinds, which rightly differ."""
        self.engine.wait()
        for kind in AGREE.keys() - set(kinds):
            ours, theirs = self.rows(kind)
            assert ours == theirs, kind

    def row(self, sync: str, account: str, record_id: int) -> dict[str, Any]:
        """What `records` shows of a record."""
        rows = self.engine.records(sync)
        return next(row for row in rows if row[account] is not None and row[account]["id"] == str(record_id))


def _rows(database: Database, query: str) -> list[str]:
    with database.connection.cursor(row_factory=tuple_row) as cursor:
        return sorted(map(repr, cursor.execute(query).fetchall()))


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, postgres: EmbeddedPostgres) -> Iterator[Office]:
    """Both apps filled, the engine up, the first sync through. It has a broker of its own, so that its home can be lost."""
    with engines_in(tmp_path_factory.mktemp("kinds"), None, postgres) as make:
        engine = make({"crm": CRM + CRM_DATA, "desk": DESK + DESK_DATA})
        engine.configure(SYNCS, {"desk": DESK_OBJECTS})
        engine.up(workers=1)
        office = Office(engine)
        engine.wait()
        yield office


def test_all_kinds_agree_after_the_first_sync_with_all_their_associations(office: Office) -> None:
    office.agreed()
    counts = {kind: len(office.rows(kind)[0]) for kind in AGREE}
    assert counts == {
        "companies": 9, "contacts": 16, "products": 6, "deals": 12, "invoices": 9, "tickets": 7,
        "calls": 6, "emails": 6, "tasks": 6, "notes": 6, "meetings": 6,
    }  # fmt: skip
    parents = office.desk.run(
        "SELECT t.label, p.label AS parent FROM organisations t JOIN organisations p ON p.org_no = t.parent_no ORDER BY 1"
    )
    assert [tuple(one.values()) for one in parents] == [
        ("Northwind Logistics", "Northwind Group"), ("Northwind Retail", "Northwind Group"),
    ]  # fmt: skip


def test_contacts_without_an_email_stay_out_and_kinds_that_are_never_matched_are_created(office: Office) -> None:
    otto = office.crm.value("SELECT id FROM contacts WHERE last_name = 'Unknown'")
    row = office.row("contacts", "crm", otto)
    assert (row["status"], row["category"], row["desk"]) == ("excluded", "no_identifier", None)
    # Both sides held a deal of one name before: no identifier says that they are one.
    for database, table in ((office.crm, "deals"), (office.desk, "opportunities")):
        assert database.value(f"SELECT count(*) FROM {table} WHERE title = 'Order Moser 1'") == 2
    # What has identifiers was matched by whichever was equal: domain, name, email in capitals, number of the article.
    assert office.desk.value("SELECT label FROM organisations WHERE org_no = 1") == "Northwind Group"
    assert office.desk.value("SELECT count(*) FROM articles WHERE title ILIKE 'workshop%%' OR code = 'LENS-50'") == 2
    assert office.desk.value("SELECT count(*) FROM people WHERE lower(mail) LIKE 'ada.moser@%%'") == 1


def test_edited_references_of_every_form_cross_in_both_directions(office: Office) -> None:
    crm, desk = office.crm, office.desk
    ada = desk.value("SELECT person_no FROM people WHERE lower(mail) LIKE 'ada.moser@%%'")
    alder = crm.value("SELECT id FROM companies WHERE name = 'Alder & Finch'")
    crm.run("UPDATE contacts SET company_id = %s, job_title = 'Owner' WHERE lower(email) LIKE 'ada.moser@%%'", alder)
    crm.run("UPDATE companies SET parent_id = %s WHERE name = 'Cobalt Optics'", alder)
    crm.run(
        "UPDATE invoices SET deal_id = (SELECT id FROM deals WHERE title = 'Tools for Graz') WHERE number = 'R-2026-001'"
    )
    crm.run("UPDATE meetings SET contact_id = 3 WHERE title = 'Visit in Graz'")
    office.agreed()
    pairs = "SELECT o.label, x.is_primary FROM person_organisations x JOIN organisations o USING (org_no) WHERE person_no = %s ORDER BY 1"
    assert [tuple(row.values()) for row in desk.run(pairs, ada)] == [
        ("Alder & Finch", True), ("Flint Tools", False), ("Northwind Group", False),
    ], "the mark moves; nobody is taken out of anything"  # fmt: skip
    attendees = desk.value("SELECT attendees FROM appointments WHERE title = 'Visit in Graz'")
    assert attendees[1:] == [2, 1], "the others stay behind the first"

    with desk.connection.transaction():
        desk.run("UPDATE opportunity_people SET is_primary = false WHERE opp_no = 2 AND is_primary")
        desk.run("UPDATE opportunity_people SET is_primary = true WHERE opp_no = 2 AND person_no = 3")
    desk.run("UPDATE person_organisations SET is_primary = true WHERE person_no = 3 AND org_no = 3")
    desk.run(
        "UPDATE bills SET opportunity = (SELECT number FROM opportunities WHERE title = 'Order Roth 3') WHERE number = 'F-1'"
    )
    desk.run(
        "UPDATE organisations SET parent_no = (SELECT org_no FROM organisations WHERE label = 'Dune Energy') WHERE label = 'Flint Tools'"
    )
    desk.run("UPDATE appointments SET attendees = '{3,2}' WHERE title = 'Visit in Graz'")
    desk.run("DELETE FROM case_people WHERE case_no = 1 AND is_primary")
    office.agreed_but("tickets")
    deal = "SELECT c.email FROM deals d JOIN contacts c ON c.id = d.contact_id WHERE d.title = 'Tools for Graz'"
    assert crm.value(deal) == "quin.hale@flint.example"
    assert (
        crm.value(
            "SELECT c.name FROM contacts t JOIN companies c ON c.id = t.company_id WHERE email = 'quin.hale@flint.example'"
        )
        == "Flint Tools"
    )
    kept = "SELECT c.email FROM tickets t JOIN contacts c ON c.id = t.contact_id WHERE t.subject = 'Hammer is blunt'"
    assert crm.value(kept) == "quin.hale@flint.example", "an emptied reference clears nothing (`empty: keep`)"
    desk.run("UPDATE case_people SET is_primary = true WHERE case_no = 1 AND person_no = 2")
    office.agreed()
    assert crm.value(kept) == "pia.stone@flint.example"


def test_a_number_that_others_refer_by_may_change(office: Office) -> None:
    before = office.rows("invoices")[0], office.rows("tasks")[0]
    office.desk.run("UPDATE opportunities SET number = 'TOOLS-1' WHERE number = 'OPP-1002'")
    office.agreed()
    assert office.desk.value("SELECT opportunity FROM todos WHERE title = 'Sharpen'") == "TOOLS-1"
    assert (office.rows("invoices")[0], office.rows("tasks")[0]) == before
    office.crm.run(
        "INSERT INTO tasks (title, deal_id) SELECT 'Sharpen again', id FROM deals WHERE title = 'Tools for Graz'"
    )
    office.agreed()
    assert office.desk.value("SELECT opportunity FROM todos WHERE title = 'Sharpen again'") == "TOOLS-1"


def test_a_record_goes_ahead_of_a_counterpart_that_is_late_and_its_reference_follows(office: Office) -> None:
    crm, desk = office.crm, office.desk
    otto = crm.value("SELECT id FROM contacts WHERE last_name = 'Unknown'")
    ticket = crm.value(
        "INSERT INTO tickets (subject, contact_id, company_id) VALUES ('Lost key', %s, 4) RETURNING id", otto
    )
    office.engine.wait()
    row = office.row("tickets", "crm", ticket)
    assert (row["status"], row["message"]) == ("in_sync", f"awaits the counterpart of crm:{otto} (contacts)")
    case = int(row["desk"]["id"])
    assert desk.run("SELECT * FROM case_people WHERE case_no = %s", case) == []
    assert (
        desk.value("SELECT label FROM case_organisations JOIN organisations USING (org_no) WHERE case_no = %s", case)
        == "Alder & Finch"
    )
    crm.run("UPDATE contacts SET email = 'otto@alderfinch.example' WHERE id = %s", otto)
    office.agreed()
    assert office.row("tickets", "crm", ticket)["message"] is None
    assert (
        desk.value("SELECT mail FROM case_people JOIN people USING (person_no) WHERE case_no = %s", case)
        == "otto@alderfinch.example"
    )

    # All at once, the parent last: a company, its person, and a deal of theirs.
    with crm.connection.transaction():
        child = crm.value("INSERT INTO companies (name) VALUES ('Gale Works') RETURNING id")
        person = crm.value(
            "INSERT INTO contacts (email, company_id) VALUES ('rob@gale.example', %s) RETURNING id", child
        )
        crm.run("INSERT INTO deals (title, contact_id, company_id) VALUES ('Windmill', %s, %s)", person, child)
        crm.run("INSERT INTO companies (name, domain) VALUES ('Gale Holding', 'gale.example')")
        crm.run(
            "UPDATE companies SET parent_id = (SELECT id FROM companies WHERE name = 'Gale Holding') WHERE id = %s",
            child,
        )
    office.agreed()


def test_a_record_whose_reference_is_required_waits_for_it(office: Office) -> None:
    crm, desk = office.crm, office.desk
    bill = desk.value("INSERT INTO bills (number, total) VALUES ('F-2', 10) RETURNING bill_no")
    nameless = desk.value("INSERT INTO people (family_name) VALUES ('Nameless') RETURNING person_no")
    awaiting = desk.value("INSERT INTO bills (number, total) VALUES ('F-3', 20) RETURNING bill_no")
    desk.run("INSERT INTO bill_people VALUES (%s, %s, true)", awaiting, nameless)
    office.engine.wait()
    row = office.row("invoices", "desk", bill)
    assert (row["status"], row["category"]) == ("failing", "missing_required")
    assert "crm.contact_id must have a value" in row["message"]
    row = office.row("invoices", "desk", awaiting)
    assert (row["status"], row["category"]) == ("failing", "missing_required")
    assert f"crm.contact_id must refer to the counterpart of desk:{nameless} (contacts)" in row["message"]
    assert crm.value("SELECT count(*) FROM invoices WHERE number IN ('F-2', 'F-3')") == 0
    desk.run("UPDATE people SET mail = 'nameless@flint.example' WHERE person_no = %s", nameless)
    desk.run("INSERT INTO bill_people VALUES (%s, 2, true)", bill)
    office.agreed()
    assert crm.value("SELECT count(*) FROM invoices WHERE number IN ('F-2', 'F-3')") == 2


def test_edits_of_pairs_and_records_on_both_sides_at_once_come_to_agree_and_lose_no_record(office: Office) -> None:
    before = len(office.rows("contacts")[0])
    rounds = 60

    def in_the_crm() -> None:
        person = Database(office.engine.urls["crm"])
        for n in range(rounds):
            person.run(
                "INSERT INTO contacts (email, first_name, company_id) VALUES (%s, 'C', %s)",
                f"c{n}@crowd.example",
                1 + n % 5,
            )
            person.run("UPDATE contacts SET company_id = %s WHERE email = %s", 1 + n % 4, f"c{n // 2}@crowd.example")
            person.run(
                "UPDATE contacts SET company_id = %s, job_title = %s WHERE id = %s", 1 + n % 7, f"crm {n}", 1 + n % 6
            )
        person.close()

    def at_the_desk() -> None:
        person = Database(office.engine.urls["desk"])
        for n in range(rounds):
            with person.connection.transaction():
                number = person.value(
                    "INSERT INTO people (mail, given_name) VALUES (%s, 'D') RETURNING person_no", f"d{n}@crowd.example"
                )
                person.run("INSERT INTO person_organisations VALUES (%s, %s, true)", number, 1 + n % 5)
            with person.connection.transaction():
                person.run(
                    "SELECT FROM people WHERE person_no = %s FOR UPDATE", 1 + n % 6
                )  # as an app keeps its own rule
                person.run(
                    "UPDATE person_organisations SET is_primary = false WHERE person_no = %s AND is_primary", 1 + n % 6
                )
                person.run(
                    "INSERT INTO person_organisations VALUES (%s, %s, true) ON CONFLICT (person_no, org_no) DO UPDATE SET is_primary = true",
                    1 + n % 6, 1 + n % 7,
                )  # fmt: skip
            person.run("UPDATE people SET tel = %s WHERE person_no = %s", f"+41 {n}", 1 + n % 6)
        person.close()

    def beside_at_the_desk() -> None:
        person = Database(office.engine.urls["desk"])
        for n in range(5 * rounds):
            person.run("INSERT INTO people (mail, given_name) VALUES (%s, 'E')", f"e{n}@crowd.example")
        person.close()

    with ThreadPoolExecutor(3) as people:
        for done in [people.submit(one) for one in (in_the_crm, at_the_desk, beside_at_the_desk)]:
            done.result()
    office.agreed()
    assert len(office.rows("contacts")[0]) == before + 7 * rounds


def test_what_has_no_identifiers_is_not_doubled_by_a_sync_added_again_nor_by_a_lost_state(office: Office) -> None:
    engine = office.engine
    before = {kind: office.rows(kind) for kind in AGREE}
    engine.configure(
        {name: sync for name, sync in SYNCS.items() if name not in ("deals", "invoices", "tasks")},
        {"desk": DESK_OBJECTS},
    )
    engine.run("apply", "--yes")
    engine.wait()
    assert "deals" not in {row["sync"] for row in engine.json("status")["syncs"]}
    engine.configure(SYNCS, {"desk": DESK_OBJECTS})
    engine.run("apply", "--yes")
    office.agreed()
    assert {kind: office.rows(kind) for kind in AGREE} == before
    engine.down()
    shutil.rmtree(engine.home)
    engine.up(workers=1)
    office.agreed()
    assert {kind: office.rows(kind) for kind in AGREE} == before
    seen = {row["sync"]: row for row in engine.json("status")["syncs"]}
    assert all(row["failing"] == row["pending"] == 0 for row in seen.values()), seen
    # The pairs are those of before, not twins that happen to look alike.
    office.crm.run("UPDATE deals SET amount = id WHERE title = 'Order Moser 1'")
    office.agreed()


def test_what_a_new_column_holds_by_default_crosses_when_it_is_mapped(office: Office) -> None:
    office.crm.run("ALTER TABLE products ADD COLUMN rating integer DEFAULT 5")
    office.desk.run("ALTER TABLE articles ADD COLUMN stars integer")
    products = {**SYNCS["products"], "mapping": [*SYNCS["products"]["mapping"], {"crm": "rating", "desk": "stars"}]}
    office.engine.configure({**SYNCS, "products": products}, {"desk": DESK_OBJECTS})
    office.engine.run("apply", "--yes")
    office.agreed()
    assert office.desk.run("SELECT DISTINCT stars FROM articles") == [{"stars": 5}], "no log tells of a default"
    assert office.crm.run("SELECT DISTINCT rating FROM products") == [{"rating": 5}]


def test_a_dropped_table_fails_its_own_records_and_no_others(office: Office) -> None:
    crm, desk = office.crm, office.desk
    desk.run("ALTER TABLE memo_people DROP CONSTRAINT memo_people_memo_no_fkey")
    desk.run("ALTER TABLE memo_organisations DROP CONSTRAINT memo_organisations_memo_no_fkey")
    rows = crm.value("SELECT count(*) FROM notes")
    desk.run("DROP TABLE memos")
    until(lambda: office.engine.status("notes")["failing"] == rows, "the notes show what has happened")
    assert {row["category"] for row in office.engine.records("notes")} == {"schema"}
    crm.run("UPDATE notes SET body = body || '.' WHERE id = 1")
    crm.run("UPDATE deals SET title = 'Windmills' WHERE title = 'Windmill'")
    desk.run("UPDATE cases SET subject = 'Hammer is sharp' WHERE case_no = 1")
    office.agreed_but("notes")
    assert all(row["pending"] == 0 for row in office.engine.json("status")["syncs"])
