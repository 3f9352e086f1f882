"""What HubSpot's standard objects are called and how they differ: type ids, modified property, scopes, associations.

Responsible for these facts alone (shared research of 2026; dated API 2026-09). Must not know how they are used.
"""

from __future__ import annotations

import msgspec

API = "2026-09"
SYNC_ID = "tandem_sync_id"  # our unique property: what we created, and for whom


class Standard(msgspec.Struct, frozen=True):
    """A standard object. `read`, `write`: the scope that each takes; `schema`: the one for its definitions."""

    name: str
    type_id: str
    read: str
    write: str
    schema: str
    modified: str = "hs_lastmodifieddate"
    created: str = "hs_createdate"
    merges: bool = False


def _crm(
    name: str, type_id: str, *, created: str = "hs_createdate", merges: bool = False, modified: str = ""
) -> Standard:
    return Standard(
        name, type_id, f"crm.objects.{name}.read", f"crm.objects.{name}.write", f"crm.schemas.{name}.write",
        modified or "hs_lastmodifieddate", created, merges,
    )  # fmt: skip


def _activity(name: str, type_id: str) -> Standard:
    return Standard(
        name, type_id, "crm.objects.contacts.read", "crm.objects.contacts.write", "crm.schemas.contacts.write"
    )


STANDARD: dict[str, Standard] = {
    one.name: one
    for one in (
        _crm("contacts", "0-1", created="createdate", merges=True, modified="lastmodifieddate"),
        _crm("companies", "0-2", created="createdate", merges=True),
        _crm("deals", "0-3", created="createdate", merges=True),
        Standard("tickets", "0-5", "tickets", "tickets", "crm.schemas.tickets.write", created="createdate", merges=True),
        _crm("products", "0-7", created="createdate"),
        _crm("invoices", "0-53"),
        _crm("leads", "0-136"),
        _activity("calls", "0-48"),
        _activity("emails", "0-49"),
        _activity("tasks", "0-27"),
        _activity("notes", "0-46"),
        _activity("meetings", "0-47"),
    )
}  # fmt: skip
BY_TYPE_ID = {one.type_id: one.name for one in STANDARD.values()}


def custom(name: str, type_id: str) -> Standard:
    """An object that an account has defined itself."""
    return Standard(
        name, type_id, "crm.objects.custom.read", "crm.objects.custom.write", "crm.schemas.custom.write", merges=True
    )


class Relation(msgspec.Struct, frozen=True):
    """An association as a field: the one record of `target` that counts.

    `primary`: the type that marks the one that counts, in this direction; None: without such a type, the oldest counts.
    `plain`: the type of an association without a label, where it is known; None: HubSpot's default is asked for.
    """

    field: str
    target: str
    primary: int | None = None
    plain: int | None = None


_COMPANY, _CONTACT = Relation("company_id", "companies"), Relation("contact_id", "contacts")

RELATIONS: dict[str, tuple[Relation, ...]] = {
    "contacts": (Relation("company_id", "companies", primary=1, plain=279),),
    "companies": (Relation("parent_company_id", "companies", primary=14),),
    "deals": (Relation("company_id", "companies", primary=5, plain=341), Relation("contact_id", "contacts", plain=3)),
    "tickets": (
        Relation("company_id", "companies", primary=26, plain=339),
        Relation("contact_id", "contacts", plain=16),
    ),
    "invoices": (_COMPANY, _CONTACT),
    "notes": (_COMPANY, Relation("contact_id", "contacts", plain=202)),
    **dict.fromkeys(("calls", "emails", "tasks", "meetings", "leads"), (_COMPANY, _CONTACT)),
}
