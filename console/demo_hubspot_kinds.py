"""The eleven kinds of the HubSpot demo: which column goes with which property. From this one table come the syncs of
sync.yaml and the two questions, one to each side, of the closing proof: nothing that is mapped can be left out of it.

Responsible for these facts and for SQL in two dialects. Must not know records, nor the pipeline.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg

TABLES = Path(__file__).with_name("demo_hubspot.sql").read_text(encoding="utf-8")

HEAD = """\
name: demo
accounts:
  database:
    connector: postgres
    url: "${DATABASE_URL}"
  hubspot:
    connector: hubspot
    token: "${HUBSPOT_TOKEN}"
    url: "${HUBSPOT_URL}"         # the fake's; without this line it is HubSpot itself
    poll: 4                       # seconds; by default what half of the day's calls allow, 5 at least
    associations_every: 4
    archived_every: 5
    index_lag: 20
syncs:
"""


@dataclass(frozen=True, slots=True)
class Field:
    """A column and the property it is mapped to. `form`: text, email, domain, number, moment or plain."""

    column: str
    property: str
    form: str = "text"
    identifier: str = ""
    values: Mapping[str, str] | None = None

    def line(self) -> str:
        """The entry of the mapping."""
        more = f", identifier: {self.identifier}" if self.identifier else ""
        if self.values:
            more += ", values: {" + ", ".join(f'{ours}: "{theirs}"' for ours, theirs in self.values.items()) + "}"
        return f"{{database: {self.column}, hubspot: {self.property}{more}}}"

    def ours(self) -> str:
        """PostgreSQL's expression of what is compared."""
        name = f"t.{self.column}"
        if self.values:
            cases = " ".join(f"WHEN '{ours}' THEN '{theirs}'" for ours, theirs in self.values.items())
            return f"CASE {name}::text {cases} END"
        return {
            "email": f"lower({name})",
            "domain": _host(name),
            "number": f"trim_scale({name}::numeric)::text",
            "moment": f"to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
        }.get(self.form, f"{name}::text")

    def theirs(self) -> str:
        """SQLite's expression of the same."""
        name = f"json_extract(t.properties, '$.{self.property}')"
        return {"email": f"lower({name})", "domain": _host(name)}.get(self.form, name)


def _host(name: str) -> str:
    """A domain, whether it is written as such or as an address: in words that both dialects have."""
    bare = f"replace(replace(replace(lower({name}), 'https://', ''), 'http://', ''), '/', '')"
    return f"CASE WHEN {bare} LIKE 'www.%' THEN substr({bare}, 5) ELSE {bare} END"


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key and the association it is mapped to. `type`: the label that marks the one that counts; None: the oldest does."""

    column: str
    property: str
    target: str
    type: int | None = None

    def is_primary(self) -> bool:
        """Whether the one that counts is the primary one among several."""
        return self.type is not None and self.type != _PARENT

    def line(self) -> str:
        """The entry of the mapping."""
        return f"{{database: {self.column}, hubspot: {self.property}, association: {self.target}}}"

    def ours(self) -> str:
        """PostgreSQL's expression: what people know the other record by."""
        shown = "lower(o.email)" if self.target == "contacts" else _host("o.domain")
        return f"(SELECT {shown} FROM {self.target} o WHERE o.id = t.{self.column})"  # noqa: S608 - our own names

    def theirs(self, object: str) -> str:
        """SQLite's expression of the same."""
        known = "email" if self.target == "contacts" else "domain"
        value = f"json_extract(o.properties, '$.{known}')"
        shown = f"lower({value})" if known == "email" else _host(value)
        marked = f" AND a.type = {self.type} AND a.category = 'HUBSPOT_DEFINED'" if self.type else ""
        return (
            f"(SELECT {shown} FROM associations a JOIN records o ON o.object = a.to_object AND o.id = a.to_id"  # noqa: S608
            f" WHERE a.from_object = '{object}' AND a.from_id = t.id AND a.to_object = '{self.target}'{marked}"
            " ORDER BY a.to_id LIMIT 1)"
        )


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of records: the table and HubSpot's object have the same name."""

    name: str
    kind: str
    fields: tuple[Field, ...]
    references: tuple[Reference, ...] = ()
    only: str = "true"  # the rows that are in the sync

    def sync(self) -> str:
        """Its sync, as YAML."""
        lines = [*(one.line() for one in self.fields), *(one.line() for one in self.references)]
        return (
            f"  {self.name}:\n    between: {{database: {self.name}, hubspot: {self.name}}}\n    kind: {self.kind}\n"
            "    default: database             # wins where both sides say something else\n    mapping:\n"
            + "".join(f"      - {line}\n" for line in lines)
        )

    def ours(self) -> str:
        """The question to PostgreSQL: a line for each record."""
        values = ", ".join([*(one.ours() for one in self.fields), *(one.ours() for one in self.references)])
        return f"SELECT {values} FROM {self.name} t WHERE {self.only}"  # noqa: S608

    def theirs(self) -> str:
        """The question to the portal's SQLite file."""
        references = (one.theirs(self.name) for one in self.references)
        values = ", ".join([*(one.theirs() for one in self.fields), *references])
        return f"SELECT {values} FROM records t WHERE t.object = '{self.name}' AND NOT t.archived"  # noqa: S608


_PARENT, _EMPLOYER = 14, 1  # HubSpot's ids of labels: a company's parent, a contact's primary company
_WHO = (Reference("contact_id", "contact_id", "contacts"), Reference("company_id", "company_id", "companies"))


def _who(company: int) -> tuple[Reference, ...]:
    return (_WHO[0], Reference("company_id", "company_id", "companies", company))


KINDS = (
    Kind(
        "companies",
        "company",
        (
            Field("domain", "domain", "domain", identifier="domain"),
            Field("name", "name", identifier="name"),
            Field("phone", "phone"),
            Field("city", "city"),
            Field("country", "country"),
            Field("employees", "numberofemployees", "number"),
        ),
        (Reference("parent_id", "parent_company_id", "companies", _PARENT),),
    ),
    Kind(
        "contacts",
        "contact",
        (
            Field("email", "email", "email", identifier="email"),
            Field("first_name", "firstname"),
            Field("last_name", "lastname"),
            Field("phone", "phone"),
            Field("job_title", "jobtitle"),
        ),
        (Reference("company_id", "company_id", "companies", _EMPLOYER),),
        "t.email IS NOT NULL",  # without one a contact stays out: nothing could match it
    ),
    Kind(
        "products",
        "product",
        (
            Field("sku", "hs_sku", identifier="sku"),
            Field("name", "name", identifier="name"),
            Field("price", "price", "number"),
            Field("description", "description"),
            Field("active", "hs_active"),
        ),
    ),
    Kind(
        "deals",
        "deal",
        (
            Field("title", "dealname"),
            Field("amount", "amount", "number"),
            Field("currency", "deal_currency_code"),
            Field(
                "stage",
                "dealstage",
                values={
                    "new": "appointmentscheduled",
                    "qualified": "qualifiedtobuy",
                    "proposal": "contractsent",
                    "won": "closedwon",
                    "lost": "closedlost",
                },
            ),
            Field("closes_at", "closedate", "moment"),
        ),
        _who(5),
    ),
    Kind(
        "invoices",
        "invoice",
        (
            Field("number", "hs_number"),
            Field("amount", "hs_amount_billed", "number"),
            Field("currency", "hs_currency"),
            Field("status", "hs_invoice_status"),
            Field("issued_on", "hs_invoice_date"),
            Field("due_on", "hs_due_date"),
        ),
        _WHO,
    ),
    Kind(
        "tickets",
        "ticket",
        (
            Field("subject", "subject"),
            Field("description", "content"),
            Field(
                "state",
                "hs_pipeline_stage",
                values={"new": "1", "waiting_for_contact": "2", "waiting_for_us": "3", "closed": "4"},
            ),
            Field("priority", "hs_ticket_priority", values={"low": "LOW", "medium": "MEDIUM", "high": "HIGH"}),
        ),
        _who(26),
    ),
    Kind(
        "calls",
        "activity",
        (
            Field("subject", "hs_call_title"),
            Field("notes", "hs_call_body"),
            Field("called_at", "hs_timestamp", "moment"),
            Field("direction", "hs_call_direction", values={"in": "INBOUND", "out": "OUTBOUND"}),
        ),
        _WHO,
    ),
    Kind(
        "emails",
        "activity",
        (
            Field("subject", "hs_email_subject"),
            Field("body", "hs_email_text"),
            Field("sent_at", "hs_timestamp", "moment"),
        ),
        _WHO,
    ),
    Kind(
        "tasks",
        "activity",
        (
            Field("title", "hs_task_subject"),
            Field("details", "hs_task_body"),
            Field(
                "status",
                "hs_task_status",
                values={
                    "to_do": "NOT_STARTED",
                    "doing": "IN_PROGRESS",
                    "waiting": "WAITING",
                    "done": "COMPLETED",
                    "deferred": "DEFERRED",
                },
            ),
            Field("due_at", "hs_timestamp", "moment"),
        ),
        _WHO,
    ),
    Kind("notes", "activity", (Field("body", "hs_note_body"), Field("written_at", "hs_timestamp", "moment")), _WHO),
    Kind(
        "meetings",
        "activity",
        (
            Field("title", "hs_meeting_title"),
            Field("agenda", "hs_meeting_body"),
            Field("starts_at", "hs_meeting_start_time", "moment"),
            Field("ends_at", "hs_meeting_end_time", "moment"),
            Field("place", "hs_meeting_location"),
        ),
        _WHO,
    ),
)
SYNC_YAML = HEAD + "".join(kind.sync() for kind in KINDS)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of one kind: how many records each side has, and a checksum over all their mapped fields and associations."""

    what: str
    fields: int
    references: int
    ours: tuple[int, str]
    theirs: tuple[int, str]
    only_ours: tuple[str, ...]  # the first few lines that one side alone has
    only_theirs: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether both sides hold the same."""
        return self.ours == self.theirs


def compare(url: str, portal: Path) -> list[Comparison]:
    """Asks the database and the portal's file, by SQL alone."""
    found = []
    with psycopg.connect(url) as database, closing(sqlite3.connect(portal)) as hubspot:
        for kind in KINDS:
            ours = sorted(map(_line, database.execute(kind.ours()).fetchall()))
            theirs = sorted(map(_line, hubspot.execute(kind.theirs()).fetchall()))
            sides = (len(ours), _checksum(ours)), (len(theirs), _checksum(theirs))
            alone = tuple(sorted(set(ours) - set(theirs))[:3]), tuple(sorted(set(theirs) - set(ours))[:3])
            found.append(Comparison(kind.name, len(kind.fields), len(kind.references), *sides, *alone))
    return found


def _line(values: tuple[object, ...]) -> str:
    # Nothing and an empty text are one in HubSpot; what both sides say is compared as text.
    return "|".join("-" if value in (None, "") else str(value) for value in values)


def _checksum(lines: list[str]) -> str:
    return hashlib.md5("\n".join(lines).encode(), usedforsecurity=False).hexdigest()
