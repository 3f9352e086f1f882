"""The objects, properties, pipelines and association types that a new portal has.

Data alone. Names of properties that the research page does not mention are the fake's assumption; a connector finds them by
`discover`. Ids of association types that the page does not give are drawn from 9001 on, so that nobody can know them by heart.
"""

from __future__ import annotations

from typing import Any

from .definitions import ObjectType, Option, Property

_HS = ("hs_lastmodifieddate", "hs_createdate")

TYPES: tuple[ObjectType, ...] = (
    ObjectType("0-1", "contacts", "contact", True, "lastmodifieddate", "createdate", "email", "contacts"),
    ObjectType("0-2", "companies", "company", True, "hs_lastmodifieddate", "createdate", "name", "companies"),
    ObjectType(
        "0-3", "deals", "deal", True, "hs_lastmodifieddate", "createdate", "dealname", "deals", "pipeline", "dealstage"
    ),
    ObjectType(
        "0-5",
        "tickets",
        "ticket",
        True,
        *_HS[:1],
        "createdate",
        "subject",
        "tickets",
        "hs_pipeline",
        "hs_pipeline_stage",
    ),
    ObjectType("0-7", "products", "product", True, *_HS, "name", "products"),
    ObjectType("0-27", "tasks", "task", True, *_HS, "hs_task_subject", "activities"),
    ObjectType("0-46", "notes", "note", True, *_HS, "hs_note_body", "activities"),
    ObjectType("0-47", "meetings", "meeting", True, *_HS, "hs_meeting_title", "activities"),
    ObjectType("0-48", "calls", "call", True, *_HS, "hs_call_title", "activities"),
    ObjectType("0-49", "emails", "email", True, *_HS, "hs_email_subject", "activities"),
    ObjectType("0-53", "invoices", "invoice", False, *_HS, "hs_title", "invoices"),
    ObjectType("0-136", "leads", "lead", False, *_HS, "hs_lead_name", "leads", "hs_pipeline", "hs_pipeline_stage"),
)

# NAME TYPE FIELDTYPE [option|option…] [flags]; flags: calc, money:PROPERTY
_PROPERTIES = {
    "contacts": """
        email string text
        hs_additional_emails string text calc
        firstname string text
        lastname string text
        phone string phonenumber
        mobilephone string phonenumber
        company string text
        jobtitle string text
        website string text
        address string text
        city string text
        state string text
        zip string text
        country string text
        lifecyclestage enumeration radio subscriber|lead|marketingqualifiedlead|salesqualifiedlead|opportunity|customer|evangelist|other
        hs_lead_status enumeration radio NEW|OPEN|IN_PROGRESS|UNQUALIFIED
        hs_legal_basis enumeration checkbox interest|contract|consent|not_applicable
        hs_email_optout bool booleancheckbox
        notes_last_contacted datetime date calc
        num_notes number number calc""",
    "companies": """
        name string text
        domain string text
        phone string phonenumber
        website string text
        address string text
        address2 string text
        city string text
        state string text
        zip string text
        country string text
        industry enumeration select ACCOUNTING|COMPUTER_SOFTWARE|MANUFACTURING|RETAIL|WHOLESALE
        type enumeration radio PROSPECT|PARTNER|RESELLER|VENDOR|OTHER
        numberofemployees number number
        annualrevenue number number
        description string textarea
        lifecyclestage enumeration radio subscriber|lead|marketingqualifiedlead|salesqualifiedlead|opportunity|customer|evangelist|other
        is_public enumeration booleancheckbox true|false
        hs_num_child_companies number number calc""",
    "deals": """
        dealname string text
        amount number number money:deal_currency_code
        deal_currency_code enumeration select
        amount_in_home_currency number number calc
        pipeline enumeration select ref:PIPELINE
        dealstage enumeration radio ref:STAGE
        closedate datetime date
        dealtype enumeration radio newbusiness|existingbusiness
        hs_priority enumeration select low|medium|high
        description string textarea""",
    "tickets": """
        subject string text
        content string textarea
        hs_pipeline enumeration select ref:PIPELINE
        hs_pipeline_stage enumeration select ref:STAGE
        hs_ticket_priority enumeration select LOW|MEDIUM|HIGH
        hs_ticket_category enumeration checkbox PRODUCT_ISSUE|BILLING_ISSUE|FEATURE_REQUEST|GENERAL_INQUIRY
        source_type enumeration radio CHAT|EMAIL|FORM|PHONE""",
    "products": """
        name string text
        hs_sku string text
        description string textarea
        price number number
        hs_cost_of_goods_sold number number
        hs_url string text
        hs_active bool booleancheckbox
        hs_product_type enumeration select inventory|non_inventory|service""",
    "tasks": """
        hs_task_subject string text
        hs_task_body string html
        hs_task_status enumeration select NOT_STARTED|IN_PROGRESS|WAITING|COMPLETED|DEFERRED
        hs_task_priority enumeration select NONE|LOW|MEDIUM|HIGH
        hs_task_type enumeration select TODO|CALL|EMAIL
        hs_timestamp datetime date""",
    "notes": """
        hs_note_body string html
        hs_timestamp datetime date""",
    "meetings": """
        hs_meeting_title string text
        hs_meeting_body string html
        hs_meeting_location string text
        hs_meeting_start_time datetime date
        hs_meeting_end_time datetime date
        hs_meeting_outcome enumeration select SCHEDULED|COMPLETED|RESCHEDULED|NO_SHOW|CANCELED
        hs_timestamp datetime date""",
    "calls": """
        hs_call_title string text
        hs_call_body string html
        hs_call_direction enumeration select INBOUND|OUTBOUND
        hs_call_status enumeration select BUSY|CANCELED|COMPLETED|FAILED|NO_ANSWER
        hs_call_duration number number
        hs_timestamp datetime date""",
    "emails": """
        hs_email_subject string text
        hs_email_text string textarea
        hs_email_html string html
        hs_email_direction enumeration select EMAIL|INCOMING_EMAIL|FORWARDED_EMAIL
        hs_email_status enumeration select BOUNCED|FAILED|SCHEDULED|SENDING|SENT
        hs_timestamp datetime date""",
    "invoices": """
        hs_title string text
        hs_number string text
        hs_amount_billed number number money:hs_currency
        hs_currency enumeration select
        hs_invoice_date date date
        hs_due_date date date
        hs_invoice_status enumeration select draft|open|paid|voided""",
    "leads": """
        hs_lead_name string text
        hs_lead_type enumeration select NEW_BUSINESS|RE_ATTEMPTING|UPSELL
        hs_lead_label enumeration select HOT|WARM|COLD
        hs_pipeline enumeration select ref:PIPELINE
        hs_pipeline_stage enumeration select ref:STAGE""",
}

CURRENCIES = {"deals": "deal_currency_code", "invoices": "hs_currency"}
FORWARD = "lifecyclestage"
EMAIL_BODIES = frozenset({"hs_email_text", "hs_email_html"})
# Of these search keeps an index, besides of unique properties.
INDEXED = {"0-1": ("email",), "0-2": ("domain", "name"), "0-7": ("hs_sku", "name")}


def properties(kind: ObjectType) -> list[Property]:
    """The properties that a type has from the start."""
    listed = [_property(line.split(), kind) for line in _PROPERTIES.get(kind.name, "").splitlines() if line.strip()]
    return listed + every_object(kind)


def every_object(kind: ObjectType) -> list[Property]:
    """What all types have: the id, both dates, the merged ids, the owner."""
    group = f"{kind.singular}information"

    def made(name: str, type: str, field: str, **more: Any) -> Property:
        return Property(name, label(name), type, field, group, standard=True, **more)

    return [
        made("hs_object_id", "number", "number", read_only=True),
        made(kind.created, "datetime", "date", read_only=True),
        made(kind.modified, "datetime", "date", read_only=True),
        made("hs_merged_object_ids", "string", "text", read_only=True),
        made("hubspot_owner_id", "enumeration", "select", reference="OWNER"),
    ]


def stages_of(kind: ObjectType) -> list[Property]:
    """The properties for pipeline and stage of a custom object."""
    return [
        _property([name, "enumeration", "select", f"ref:{what}"], kind)
        for name, what in ((kind.pipeline, "PIPELINE"), (kind.stage, "STAGE"))
    ]


def _property(words: list[str], kind: ObjectType) -> Property:
    name, type, field, *rest = words
    options, currency, reference = "", "", ""
    for word in rest:
        if word.startswith("money:"):
            currency = word[6:]
        elif word.startswith("ref:"):
            reference = word[4:]
        elif word != "calc":
            options = word
    return Property(
        name,
        label(name),
        type,
        field,
        f"{kind.singular}information",
        options=tuple(Option(value, label(value)) for value in options.split("|") if value),
        calculated="calc" in rest,
        reference=reference,
        currency_property=currency,
        standard=True,
    )


def label(name: str) -> str:
    """What people see: never the name itself, so that nobody mistakes one for the other."""
    return name.removeprefix("hs_").replace("_", " ").capitalize() + " ·"


def _stages(prefix: str, listed: str, closed: str, share: str) -> list[dict[str, Any]]:
    made = []
    for place, name in enumerate(listed.split()):
        done = "true" if name in closed.split() else "false"
        last = (
            str(round((place + 1) / len(listed.split()), 1))
            if share == "probability"
            else ("CLOSED" if done == "true" else "OPEN")
        )
        made.append({"id": prefix + name, "label": label(name), "metadata": {"isClosed": done, share: last}})
    return made


PIPELINES: dict[str, list[dict[str, Any]]] = {
    "0-3": [
        {
            "id": "default",
            "label": "Sales Pipeline",
            "stages": _stages(
                "",
                "appointmentscheduled qualifiedtobuy contractsent closedwon closedlost",
                "closedwon closedlost",
                "probability",
            ),
        },
        {"id": "83001", "label": "Renewals", "stages": _stages("8300", "11 12 13", "12 13", "probability")},
    ],
    "0-5": [
        {"id": "0", "label": "Support Pipeline", "stages": _stages("", "1 2 3 4", "4", "ticketState")},
        {"id": "83002", "label": "Returns", "stages": _stages("8300", "21 22", "22", "ticketState")},
    ],
    "0-136": [
        {
            "id": "lead-pipeline-id",
            "label": "Lead pipeline",
            "stages": _stages(
                "", "new-stage-id attempting-stage-id qualified-stage-id", "qualified-stage-id", "leadState"
            ),
        }
    ],
}

# (from, to, label, id, id of the reverse, primary). Of those below the research page gives the ids, except where it says None.
NAMED_ASSOCIATIONS: tuple[tuple[str, str, str | None, int, int | None, bool], ...] = (
    ("0-1", "0-2", None, 279, 280, False),
    ("0-1", "0-2", "Primary", 1, 2, True),
    ("0-3", "0-2", None, 341, None, False),
    ("0-3", "0-2", "Primary", 5, None, True),
    ("0-5", "0-2", None, 339, None, False),
    ("0-5", "0-2", "Primary", 26, None, True),
    ("0-3", "0-1", None, 3, 4, False),
    ("0-5", "0-1", None, 16, 15, False),
    ("0-2", "0-2", None, 450, 450, False),
    ("0-2", "0-2", "Parent Company", 13, 14, False),
    ("0-46", "0-1", None, 202, None, False),
)
OWNERS: tuple[dict[str, Any], ...] = (
    {"id": 501, "email": "ada@example.com", "firstName": "Ada", "lastName": "Byron", "type": "PERSON", "userId": 9501},
    {
        "id": 502,
        "email": "alan@example.com",
        "firstName": "Alan",
        "lastName": "Mathison",
        "type": "PERSON",
        "userId": 9502,
    },
    {
        "id": 503,
        "email": "left@example.com",
        "firstName": "Left",
        "lastName": "Us",
        "type": "PERSON",
        "userId": 9503,
        "archived": True,
    },
    {"id": 504, "email": "", "firstName": "Support", "lastName": "Queue", "type": "QUEUE", "userId": 0},
)
HOME_CURRENCY = "USD"
RATES = {"USD": "1", "EUR": "1.1", "GBP": "1.3"}
FIRST_ID = 951  # ids pass from three to four digits early: their order as text is not their order
