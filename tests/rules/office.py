"""Companies with firms, and people with staff who refer to them and to each other."""

from __future__ import annotations

from typing import Any

from rules.catalog import Object
from tests.rules.world import App, Journal, World, text, whole

COMPANIES = Object("companies", (whole("id", nullable=False, read_only=True), text("name"), text("city")), ("id",))
FIRMS = Object("firms", (whole("id", nullable=False, read_only=True), text("name"), text("town")), ("id",))
PEOPLE = Object(
    "people",
    (whole("id", nullable=False, read_only=True), text("email"), whole("company_id"), whole("boss_id")),
    ("id",),
)
STAFF = Object(
    "staff",
    (whole("id", nullable=False, read_only=True), text("mail"), whole("firm_id"), whole("chief_id")),
    ("id",),
)
SYNCS: dict[str, Any] = {
    "companies": {
        "between": {"crm": "companies", "shop": "firms"},
        "kind": "company",
        "default": "crm",
        "mapping": [{"crm": "name", "shop": "name", "identifier": "name"}, {"crm": "city", "shop": "town"}],
    },
    "people": {
        "between": {"crm": "people", "shop": "staff"},
        "kind": "contact",
        "default": "crm",
        "mapping": [
            {"crm": "email", "shop": "mail", "identifier": "email"},
            {"crm": "company_id", "shop": "firm_id", "association": "companies"},
            {"crm": "boss_id", "shop": "chief_id", "association": "people"},
        ],
    },
}


class Office:
    """Companies with firms, people with staff."""

    def __init__(self, staff: Object = STAFF) -> None:
        crm, shop = Journal(), Journal()
        self.companies, self.firms = App("crm", COMPANIES, crm), App("shop", FIRMS, shop)
        self.people, self.staff = App("crm", PEOPLE, crm), App("shop", staff, shop)
        self.firms.next_id = self.staff.next_id = 100  # so that no reference is right by chance
        syncs = {name: {**sync, "mapping": [dict(entry) for entry in sync["mapping"]]} for name, sync in SYNCS.items()}
        self.world = World(self.companies, self.firms, self.people, self.staff, syncs=syncs)
