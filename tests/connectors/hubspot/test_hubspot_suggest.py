"""`tandem suggest` for HubSpot's standard objects against the names that databases use."""

from __future__ import annotations

import pytest

from rules.catalog import Catalog, Field, FieldType, Kind, Object
from rules.suggest import guess_kind, pair_fields
from tests.connectors.contract_tools import opened
from tests.connectors.hubspot.fake.process import Fake
from tests.connectors.hubspot.portal import Portal

TEXT, NUMBER, DAY, MOMENT = (FieldType(kind) for kind in (Kind.TEXT, Kind.DECIMAL, Kind.DATE, Kind.TIMESTAMP))
TYPES = {"amount": NUMBER, "price": NUMBER, "total": NUMBER, "employees": NUMBER, "due_date": DAY, "close_date": DAY}

# The table, its columns (a foreign key as `name->object`), the object in HubSpot, the kind, and what goes with what.
STANDARD = [
    (
        "people", ("email", "first_name", "last_name", "phone", "mobile", "street", "city", "zip", "country", "job_title", "owner", "firm_id->firms"),
        "contacts", "contact",
        {"email": "email", "first_name": "firstname", "last_name": "lastname", "phone": "phone", "mobile": "mobilephone", "street": "address",
         "city": "city", "zip": "zip", "country": "country", "job_title": "jobtitle", "owner": "hubspot_owner_id", "firm_id": "company_id"},
    ),
    (
        "firms", ("name", "domain", "phone", "industry", "employees", "annual_revenue", "address", "parent_id->firms"),
        "companies", "company",
        {"name": "name", "domain": "domain", "phone": "phone", "industry": "industry", "employees": "numberofemployees",
         "annual_revenue": "annualrevenue", "address": "address", "parent_id": "parent_company_id"},
    ),
    ("items", ("sku", "name", "price", "description"), "products", "product",
     {"sku": "hs_sku", "name": "name", "price": "price", "description": "description"}),
    (
        "opportunities", ("title", "amount", "currency", "stage", "close_date", "company_id->firms", "contact_id->people"), "deals", "deal",
        {"title": "dealname", "amount": "amount", "currency": "deal_currency_code", "stage": "dealstage", "close_date": "closedate",
         "company_id": "company_id", "contact_id": "contact_id"},
    ),
    ("invoices", ("number", "total", "currency", "due_date", "status", "customer_id->people"), "invoices", "invoice",
     {"number": "hs_number", "total": "hs_amount_billed", "currency": "hs_currency", "due_date": "hs_due_date", "status": "hs_invoice_status",
      "customer_id": "contact_id"}),
    ("tickets", ("subject", "body", "priority", "status"), "tickets", "ticket",
     {"subject": "subject", "body": "content", "priority": "hs_ticket_priority", "status": "hs_pipeline_stage"}),
    ("tasks", ("title", "body", "due_date", "status", "priority"), "tasks", "activity",
     {"title": "hs_task_subject", "body": "hs_task_body", "due_date": "hs_timestamp", "status": "hs_task_status", "priority": "hs_task_priority"}),
    ("notes", ("body", "noted_at"), "notes", "activity", {"body": "hs_note_body", "noted_at": "hs_timestamp"}),
    ("calls", ("title", "body", "called_at", "direction"), "calls", "activity",
     {"title": "hs_call_title", "body": "hs_call_body", "called_at": "hs_timestamp", "direction": "hs_call_direction"}),
    ("mails", ("subject", "body", "sent_at"), "emails", "activity",
     {"subject": "hs_email_subject", "body": "hs_email_text", "sent_at": "hs_timestamp"}),
    ("meetings", ("title", "body", "starts_at", "ends_at", "location"), "meetings", "activity",
     {"title": "hs_meeting_title", "body": "hs_meeting_body", "starts_at": "hs_meeting_start_time", "ends_at": "hs_meeting_end_time",
      "location": "hs_meeting_location"}),
    ("prospects", ("name", "type"), "leads", "lead", {"name": "hs_lead_name", "type": "hs_lead_type"}),
]  # fmt: skip


def table(name: str, columns: tuple[str, ...]) -> Object:
    fields = [Field("id", FieldType(Kind.INTEGER), nullable=False, read_only=True)]
    for column in columns:
        own, _, target = column.partition("->")
        type_ = TYPES.get(own, MOMENT if own.endswith("_at") else TEXT)
        fields.append(Field(own, FieldType(Kind.INTEGER) if target else type_, references=target or None))
    return Object(name, tuple(fields), ("id",))


@pytest.fixture(scope="module")
def portal_catalog() -> list[Catalog]:
    return []


@pytest.mark.parametrize(
    ("name", "columns", "object_name", "kind", "expected"), STANDARD, ids=[row[2] for row in STANDARD]
)
async def test_the_fields_of_a_standard_object_are_paired(
    fake: Fake,
    portal_catalog: list[Catalog],
    name: str,
    columns: tuple[str, ...],
    object_name: str,
    kind: str,
    expected: dict[str, str],
) -> None:
    if not portal_catalog:
        async with opened(Portal(fake).connector()) as connector:
            portal_catalog.append(await connector.discover())
    theirs = portal_catalog[0].objects[object_name]
    ours = table(name, columns)
    found = {pair.a.name: pair.b.name for pair in pair_fields(ours, theirs)}
    assert found == expected
    back = {pair.b.name: pair.a.name for pair in pair_fields(theirs, ours)}
    assert back == expected
    assert guess_kind(theirs, ours) == kind
