"""Names of fields that mean the same, in the apps that people pair: for `rules.suggest`.

Responsible for these names alone. Pure data, and how a name is looked up in it.
"""

from __future__ import annotations

import re

# Each line: names that mean the same, as words joined by '_'. The first is the name of the meaning. A name may stand in several
# lines: its first meaning is the one that identifies.
_SYNONYMS = (
    ("email", "mail", "e_mail", "email_address", "mail_address", "primary_email", "work_email", "correo"),
    ("phone", "tel", "telephone", "phone_number", "phone_no", "telephone_number", "work_phone", "telefono"),
    ("mobile", "mobile_phone", "cell", "cell_phone", "mobilephone", "mobile_number"),
    ("fax", "fax_number"),
    ("first_name", "given_name", "firstname", "forename", "givenname", "fname", "nombre"),
    ("last_name", "family_name", "surname", "lastname", "familyname", "lname", "apellidos"),
    ("full_name", "fullname", "display_name", "contact_name"),
    (
        *("name", "firm_name", "company_name", "organisation_name", "organization_name", "title", "label", "subject"),
        *("topic", "product_name", "deal_name", "dealname", "hs_lead_name", "hs_task_subject", "hs_meeting_title"),
        *("hs_call_title", "hs_email_subject", "hs_title"),
    ),
    ("company", "firm", "organisation", "organization", "employer"),
    ("company_id", "firm_id", "organisation_id", "organization_id", "account_id"),
    ("parent_company_id", "parent_id", "parent_firm_id", "parent_company", "parent"),
    ("contact_id", "person_id", "customer_id", "client_id", "people_id"),
    ("domain", "website_domain", "domain_name", "company_domain", "web_domain"),
    ("website", "url", "homepage", "web", "web_site", "site", "hs_url"),
    ("street", "address", "street_address", "address_line_1", "address1", "address_1", "line1"),
    ("street_2", "address_line_2", "address2", "address_2", "line2"),
    ("city", "town", "locality", "ciudad"),
    ("postal_code", "zip", "zip_code", "postcode", "plz", "zipcode"),
    ("state", "region", "province", "county"),
    ("country", "country_code", "nation", "pais"),
    ("job_title", "jobtitle", "position", "role", "function"),
    ("salutation", "honorific", "prefix"),
    (
        *(
            "notes",
            "note",
            "remarks",
            "remark",
            "comment",
            "comments",
            "description",
            "memo",
            "body",
            "content",
            "text",
        ),
        *("details", "hs_note_body", "hs_task_body", "hs_call_body", "hs_meeting_body", "hs_email_text"),
    ),
    ("birthday", "birth_date", "date_of_birth", "birthdate", "dob"),
    ("sku", "product_code", "item_number", "article_number", "part_number", "code", "hs_sku"),
    ("price", "unit_price", "list_price", "sale_price"),
    ("cost", "cost_price", "purchase_price", "unit_cost", "hs_cost_of_goods_sold"),
    (
        *("amount", "total", "sum", "value", "total_amount", "amount_total", "revenue", "deal_amount", "amount_billed"),
        "hs_amount_billed",
    ),
    ("annual_revenue", "annualrevenue", "turnover"),
    ("employees", "number_of_employees", "numberofemployees", "headcount", "employee_count"),
    ("quantity", "qty", "count", "stock"),
    ("currency", "currency_code", "deal_currency_code", "hs_currency"),
    ("tier", "level", "grade", "category", "segment", "hs_ticket_category"),
    ("type", "kind", "dealtype", "deal_type", "hs_task_type", "hs_product_type", "hs_lead_type"),
    (
        *("status", "state_name", "stage", "deal_stage", "dealstage", "hs_pipeline_stage", "hs_task_status"),
        *("hs_call_status", "hs_email_status", "hs_meeting_outcome", "outcome", "hs_invoice_status", "hs_lead_status"),
    ),
    ("pipeline", "hs_pipeline", "funnel"),
    ("lifecycle_stage", "lifecyclestage", "lifecycle"),
    ("priority", "urgency", "hs_priority", "hs_ticket_priority", "hs_task_priority"),
    ("source", "source_type", "origin", "channel"),
    ("vat_number", "vat", "vat_id", "tax_id", "tax_number"),
    ("tags", "labels", "keywords"),
    ("owner", "owner_id", "assignee", "assigned_to", "salesperson", "owner_email", "hubspot_owner_id"),
    ("due_date", "due", "deadline", "date_due", "due_on", "due_at", "hs_due_date", "hs_timestamp"),
    (
        *(
            "happened_at",
            "occurred_at",
            "logged_at",
            "at",
            "date",
            "timestamp",
            "activity_date",
            "sent_at",
            "called_at",
        ),
        *("noted_at", "held_at", "hs_timestamp"),
    ),
    ("starts_at", "start", "start_time", "begins_at", "started_at", "hs_meeting_start_time"),
    ("ends_at", "end", "end_time", "finishes_at", "ended_at", "hs_meeting_end_time"),
    ("location", "place", "venue", "hs_meeting_location"),
    ("duration", "length", "duration_ms", "hs_call_duration"),
    ("direction", "hs_call_direction", "hs_email_direction"),
    ("close_date", "closedate", "expected_close", "expected_close_date", "closing_date", "closes_on"),
    ("number", "invoice_number", "invoice_no", "reference", "hs_number"),
    ("invoice_date", "issued_on", "issue_date", "date_issued", "hs_invoice_date"),
    ("language", "lang", "locale"),
    ("is_active", "active", "enabled", "hs_active"),
    ("opt_out", "unsubscribed", "optout", "email_opt_out", "hs_email_optout"),
)
_MEANINGS: dict[str, tuple[str, ...]] = {}
for _line in _SYNONYMS:
    for _name in _line:
        _MEANINGS[_name] = (*_MEANINGS.get(_name, ()), _line[0])


def words(name: str) -> list[str]:
    """The words of a name, however it is written."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [word for word in re.split(r"[^0-9a-z]+", spaced.lower()) if word]


def plain(name: str) -> str:
    """A name as words joined by '_'."""
    return "_".join(words(name))


def meanings(name: str) -> frozenset[str]:
    """What a name may mean."""
    found = plain(name)
    return frozenset(_MEANINGS.get(found, (found,)))


def meaning(name: str) -> str:
    """What a name means first of all."""
    found = plain(name)
    return _MEANINGS.get(found, (found,))[0]
