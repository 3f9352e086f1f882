"""Two apps with all kinds of records: a CRM with plain foreign keys, and a service desk that keeps its
references in every other way. Their tables, what they hold, and the syncs between them.

Responsible for data that look like life and are the same on every run. Must not know the pipeline.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent

CRM, CRM_DATA, DESK, DESK_DATA = (
    (_HERE / name).read_text(encoding="utf-8") for name in ("crm.sql", "crm_data.sql", "desk.sql", "desk_data.sql")
)

Json = dict[str, Any]


def _pairs(**via: str) -> Json:
    """References that are kept in tables of pairs."""
    return {"references": {name: {"via": table, "primary": "is_primary"} for name, table in via.items()}}


# What sync.yaml says of the desk's objects. The reference by number is a foreign key, which tells by itself.
DESK_OBJECTS: Json = {
    "people": _pairs(org_no="person_organisations"),
    "opportunities": _pairs(person_no="opportunity_people", org_no="opportunity_organisations"),
    "bills": _pairs(person_no="bill_people"),
    "cases": _pairs(person_no="case_people", org_no="case_organisations"),
    "phone_calls": _pairs(person_no="call_people"),
    "mails": _pairs(person_no="mail_people"),
    "todos": _pairs(person_no="todo_people"),
    "memos": _pairs(person_no="memo_people", org_no="memo_organisations"),
    "appointments": {"references": {"attendees": {"object": "people"}}},
}


def _sync(crm: str, desk: str, kind: str, fields: dict[str, str], *more: Json) -> Json:
    mapping = [{"crm": ours, "desk": theirs} for ours, theirs in fields.items()]
    return {"between": {"crm": crm, "desk": desk}, "kind": kind, "default": "crm", "mapping": [*more, *mapping]}


def _to(sync: str, crm: str, desk: str) -> Json:
    return {"crm": crm, "desk": desk, "association": sync}


_CONTACT, _COMPANY = _to("contacts", "contact_id", "person_no"), _to("companies", "company_id", "org_no")

SYNCS: dict[str, Json] = {
    "companies": _sync(
        "companies",
        "organisations",
        "company",
        {"phone": "tel", "city": "town", "country": "country_code", "employees": "headcount"},
        {"crm": "domain", "desk": "site", "identifier": "domain"},
        {"crm": "name", "desk": "label", "identifier": "name", "required": True},
        _to("companies", "parent_id", "parent_no"),
    ),
    "contacts": _sync(
        "contacts",
        "people",
        "contact",
        {"first_name": "given_name", "last_name": "family_name", "phone": "tel", "job_title": "role"},
        {"crm": "email", "desk": "mail", "identifier": "email"},
        _to("companies", "company_id", "org_no"),
    ),
    "products": _sync(
        "products",
        "articles",
        "product",
        {"price": "price", "description": "about", "active": "on_sale"},
        {"crm": "sku", "desk": "code", "identifier": "sku"},
        {"crm": "name", "desk": "title", "identifier": "name"},
    ),
    "deals": _sync(
        "deals",
        "opportunities",
        "deal",
        {"title": "title", "amount": "worth", "currency": "currency", "close_date": "closes"},
        {"crm": "stage", "desk": "phase", "values": {"new": 1, "qualified": 2, "proposal": 3, "won": 4, "lost": 5}},
        _CONTACT,
        _COMPANY,
    ),
    "invoices": _sync(
        "invoices",
        "bills",
        "invoice",
        {
            "number": "number",
            "amount": "total",
            "currency": "currency",
            "issued_on": "issued",
            "due_on": "due",
            "paid": "is_paid",
        },
        _CONTACT,
        _to("deals", "deal_id", "opportunity"),
    ),
    "tickets": _sync(
        "tickets",
        "cases",
        "ticket",
        {"subject": "subject", "description": "description", "closed": "is_closed", "opened_at": "opened"},
        {"crm": "priority", "desk": "urgency", "values": {"low": 1, "medium": 2, "high": 3}},
        _CONTACT,
        _COMPANY,
    ),
    "calls": _sync(
        "calls",
        "phone_calls",
        "activity",
        {"subject": "subject", "notes": "notes", "called_at": "at", "minutes": "minutes"},
        {"crm": "direction", "desk": "direction", "values": {"inbound": "in", "outbound": "out"}},
        _CONTACT,
    ),
    "emails": _sync("emails", "mails", "activity", {"subject": "subject", "body": "body", "sent_at": "sent"}, _CONTACT),
    "tasks": _sync(
        "tasks",
        "todos",
        "activity",
        {"title": "title", "details": "details", "due_at": "due", "done": "is_done"},
        _CONTACT,
        _to("deals", "deal_id", "opportunity"),
    ),
    "notes": _sync("notes", "memos", "activity", {"body": "body", "written_at": "written"}, _CONTACT, _COMPANY),
    "meetings": _sync(
        "meetings",
        "appointments",
        "activity",
        {"title": "title", "agenda": "agenda", "starts_at": "starts", "ends_at": "ends", "place": "place"},
        _to("contacts", "contact_id", "attendees"),
    ),
}
