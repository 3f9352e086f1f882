"""What apply would change, in words."""

# ruff: noqa: ISC004 - whole messages, as people see them

from __future__ import annotations

from typing import Any

import pytest

from rules.config import diff, load
from tests.rules.config_samples import CONNECTORS, ENVIRON, GOOD


def document(text: str = GOOD) -> dict[str, Any]:
    return load(text, "sync.yaml", ENVIRON, CONNECTORS).document()


def changes(old: str, new: str) -> list[str]:
    assert old in GOOD
    return [str(change) for change in diff(document(), document(GOOD.replace(old, new)))]


def test_nothing_changed_is_no_change() -> None:
    assert diff(document(), document()) == []
    assert changes("first_name: given_name", "{crm: first_name, shop: given_name}") == []
    assert changes("between: {crm: contacts, shop: customers}", "between: {crm: 'contacts', shop: customers}") == []


def test_the_first_time_everything_is_added() -> None:
    assert [str(change) for change in diff(None, document())] == [
        "+ account crm (postgres)",
        "+ account shop (postgres)",
        "+ account portal (memory)",
        "+ sync companies: crm:companies ↔ shop:firms, company, both",
        "+ sync contacts: crm:contacts ↔ shop:customers, contact, both",
    ]


def test_what_left_the_file_is_removed() -> None:
    emptied = GOOD.partition("  portal:")[0].rstrip() + "\n"
    assert [str(change) for change in diff(document(), document(emptied))] == [
        "- account portal (memory)",
        "- sync companies: crm:companies ↔ shop:firms, company, both",
        "- sync contacts: crm:contacts ↔ shop:customers, contact, both",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("retention: 30d", "retention: 7d", ["~ retention: 30d → 7d"]),
        ("broker: kafka://127.0.0.1:9092", "", ["~ broker: changed"]),
        ("publication: tandem", "publication: other", ["~ account crm: publication changed"]),
        ("url: ${SHOP_URL}", "url: ${CRM_URL}", ["~ account shop: url changed"]),
        ("max_deletes: 100", "max_deletes: 5", ["~ sync contacts: max_deletes 100 → 5"]),
        ("max_deletes: 100", "", ["~ sync contacts: max_deletes 100 → unset"]),
        ("empty: keep", "empty: propagate", ["~ sync contacts: empty keep → propagate"]),
        (
            "    kind: contact\n",
            "    kind: lead\n",
            [
                "~ sync contacts: kind contact → lead (refused: give the sync another name, since another kind makes it a new one)"
            ],
        ),
        (
            "shop: customers}",
            "shop: people}",
            [
                '~ sync contacts: between {"crm": "contacts", "shop": "customers"} → {"crm": "contacts", "shop": "people"} '
                "(refused: give the sync another name, since another object makes it a new one)"
            ],
        ),
        (
            "value: ES",
            "value: FR",
            [
                '~ sync contacts: filters of crm: [{"field": "country", "op": "eq", "value": "ES"}, {"any": [{"field": "revenue", "op": "ge", '
                '"value": "1000.50"}, {"field": "tier", "op": "in", "value": ["gold", 1]}]}] → [{"field": "country", "op": "eq", "value": "FR"}, '
                '{"any": [{"field": "revenue", "op": "ge", "value": "1000.50"}, {"field": "tier", "op": "in", "value": ["gold", 1]}]}]'
            ],
        ),
        ("      - first_name: given_name\n", "", ["- sync contacts: mapping crm.first_name ↔ shop.given_name"]),
        (
            "      - first_name: given_name\n",
            '      - first_name: given_name\n      - {crm: a, shop: b, direction: "to shop"}\n',
            ["+ sync contacts: mapping crm.a ↔ shop.b, direction: to shop"],
        ),
        (
            "silver: 2",
            "silver: 3",
            [
                '~ sync contacts: mapping crm.tier ↔ shop.level: values: {"gold": 1, "silver": 2} → values: {"gold": 1, "silver": 3}'
            ],
        ),
        (
            ", enabled: false",
            "",
            [
                "~ sync contacts: mapping crm.notes ↔ shop.remarks: direction: to shop, enabled: false → direction: to shop"
            ],
        ),
        ("value: tandem", "value: other", ["~ sync contacts: mapping shop.source: value: tandem → value: other"]),
    ],
)
def test_each_change_is_a_line(old: str, new: str, expected: list[str]) -> None:
    assert changes(old, new) == expected


def test_another_order_of_identifiers_is_a_change_and_of_accounts_is_none() -> None:
    first, second = (line for line in GOOD.splitlines() if "identifier: domain" in line or "identifier: name" in line)
    assert changes(f"{first}\n{second}", f"{second}\n{first}") == [
        "~ sync companies: identifiers are tried in another order"
    ]
    assert changes("between: {crm: companies, shop: firms}", "between: {shop: firms, crm: companies}") == []


def test_a_sync_that_another_version_applied_is_written_anew() -> None:
    old = document()
    old["syncs"]["contacts"] = old["syncs"]["contacts"] | {"forgotten": True}
    assert [str(change) for change in diff(old, document())] == ["~ sync contacts: written anew"]


def test_a_change_says_of_what_it_is() -> None:
    (change,) = diff(document(), document(GOOD.replace("kind: company", "kind: custom")))
    assert (change.action, change.part, change.name, change.key) == ("changed", "sync", "companies", "kind")
    assert change.refused
