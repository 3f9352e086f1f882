"""A configuration against what the accounts hold: each class of mistake, with its whole message, line and column."""

# ruff: noqa: E501, ISC004 - whole messages, as people see them

from __future__ import annotations

from typing import Any

import pytest

from rules.catalog import Capabilities, Catalog, Field, FieldType, Kind, Object
from rules.config import check_catalogs, load
from tests.rules.config_samples import CONNECTORS

TEXT, INTEGER, DATE, BOOLEAN = (FieldType(kind) for kind in (Kind.TEXT, Kind.INTEGER, Kind.DATE, Kind.BOOLEAN))
TIER = FieldType(Kind.ENUM, options=("gold", "silver"))


def an_object(name: str, /, **fields: FieldType | Field) -> Object:
    made = {"id": Field("id", INTEGER, nullable=False, read_only=True)}
    made |= {key: one if isinstance(one, Field) else Field(key, one) for key, one in fields.items()}
    return Object(name, tuple(made.values()), ("id",))


def catalogs() -> dict[str, dict[str, Object]]:
    return {
        "crm": {
            "companies": an_object("companies", name=TEXT),
            "contacts": an_object(
                "contacts", email=TEXT, name=TEXT, born=DATE, tier=TIER, active=BOOLEAN,
                full=Field("full", TEXT, read_only=True), company_id=Field("company_id", INTEGER, references="companies"),
            ),
        },
        "shop": {
            "firms": an_object("firms", title=TEXT),
            "customers": an_object(
                "customers", mail=TEXT, label=FieldType(Kind.TEXT, max_length=5), born=TEXT, level=INTEGER, active=INTEGER,
                firm_id=Field("firm_id", INTEGER, references="firms"), tags=FieldType(Kind.LIST, item=TEXT),
            ),
        },
    }  # fmt: skip


HEAD = """\
accounts:
  crm: {connector: memory}
  shop: {connector: memory}
syncs:
  companies:
    between: {crm: companies, shop: firms}
    default: crm
    mapping:
      - {crm: name, shop: title}
  contacts:
    between: {crm: contacts, shop: customers}
    default: crm
"""


def found(rest: str, changed: dict[str, dict[str, Object]] | None = None) -> list[str]:
    """What is wrong with a sync of contacts of which the lines from 13 on are given."""
    installation = load(HEAD + rest, "sync.yaml", {}, CONNECTORS)
    return [str(problem) for problem in check_catalogs(installation, changed or catalogs())]


def of_entry(entry: str, changed: dict[str, dict[str, Object]] | None = None) -> list[str]:
    """What is wrong with an entry, in line 15 from column 9 on."""
    return found(f"    mapping:\n      - {{crm: email, shop: mail, identifier: email}}\n      - {entry}\n", changed)


def test_what_fits_is_accepted() -> None:
    assert of_entry("{crm: born, shop: born}") == []
    assert (
        check_catalogs(load(HEAD.partition("  contacts:")[0], "f", {}, None), {"crm": Catalog(catalogs()["crm"])}) == []
    )


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{crm: nmae, shop: label}", "sync.yaml:15:15: object 'contacts' of 'crm' has no field 'nmae'; did you mean 'name'?"),
        ("nmae: label", "sync.yaml:15:9: object 'contacts' of 'crm' has no field 'nmae'; did you mean 'name'?"),
        ("{crm: name, shop: zzz}", "sync.yaml:15:27: object 'customers' of 'shop' has no field 'zzz'; its fields are id, mail, label, born, level, active, firm_id, tags"),
        ("{crm: born, shop: active}", "sync.yaml:15:9: 'born' of 'crm' and 'active' of 'shop' do not go together: date cannot be converted to integer; "
                                      "pair fields of like types, or remove the entry"),
        ("{crm: tier, shop: level}", "sync.yaml:15:9: 'tier' of 'crm' and 'level' of 'shop' do not go together: no option of enum (gold, silver) can be converted to integer: "
                                     "a whole number from -9223372036854775808 to 9223372036854775807; pair fields of like types, or remove the entry"),
        ("{crm: tier, shop: level, values: {gold: 1, tin: 2}}", "sync.yaml:15:42: 'tier' of 'crm' and 'level' of 'shop' do not go together: "
                                                                "values: 'tin' is not an option; allowed: one of gold, silver; mend the value map"),
        ("{crm: full, shop: label}", "sync.yaml:15:15: 'full' of 'crm' is read-only, and this entry writes it; write direction: \"to shop\" in this entry"),
        ("{crm: full, value: x}", "sync.yaml:15:15: 'full' of 'crm' is read-only, and this entry writes it; remove the entry"),
        ("{shop: label, value: too long}", "sync.yaml:15:30: the constant does not fit 'label': 'too long' has 8 characters; write a text of at most 5 characters"),
        ("{shop: tags, value: x}", "sync.yaml:15:29: the constant does not fit 'tags': 'x' is not a list; write a list"),
        ("{crm: active, shop: active, identifier: exact}", "sync.yaml:15:49: 'active' of 'crm' is a boolean, which cannot be an identifier of type exact; "
                                                           "identify by a text, or remove 'identifier'"),
        ("{crm: name, shop: level, identifier: name}", "sync.yaml:15:46: 'level' of 'shop' is an integer, which cannot be an identifier of type name; "
                                                       "identify by a text, or remove 'identifier'"),
        ("{crm: active, shop: firm_id, association: companies}", "sync.yaml:15:15: 'active' of 'crm' is a boolean, which cannot refer to a record; "
                                                                 "name the field that holds the reference"),
        ("{crm: company_id, shop: firm_id, association: contacts}", "sync.yaml:15:55: 'company_id' of 'crm' refers to 'companies', but sync 'contacts' holds its 'contacts'; "
                                                                    "name the sync of 'companies', or remove the association\n"
                                                                    "sync.yaml:15:55: 'firm_id' of 'shop' refers to 'firms', but sync 'contacts' holds its 'customers'; "
                                                                    "name the sync of 'firms', or remove the association"),
    ],
)  # fmt: skip
def test_an_entry_that_does_not_fit_its_fields(entry: str, expected: str) -> None:
    assert of_entry(entry) == expected.split("\n")


@pytest.mark.parametrize(
    "entry",
    [
        "{crm: full, shop: label, direction: to shop}",
        "{crm: nmae, shop: label, enabled: false}",
        "{crm: company_id, shop: firm_id, association: companies}",
        "{crm: tier, shop: level, values: {gold: 1, silver: 2}}",
        "{shop: tags, value: [a, b]}",
        "{crm: name, shop: level}",
    ],
)
def test_an_entry_that_fits(entry: str) -> None:
    assert of_entry(entry) == []


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("{field: emial, op: is_empty}", "sync.yaml:15:29: object 'contacts' of 'crm' has no field 'emial'; did you mean 'email'?"),
        ("{field: tier, op: eq, value: tin}", "sync.yaml:15:50: 'tin' is not an option, in a filter of 'crm' in sync 'contacts'; write one of gold, silver"),
        ("{any: [{field: active, op: lt, value: true}]}", "sync.yaml:15:48: 'lt' cannot compare 'active', which is a boolean, in a filter of 'crm' in sync 'contacts'; "
                                                          "use eq or in, is_empty or is_not_empty"),
    ],
)  # fmt: skip
def test_a_filter_that_does_not_fit_its_field(condition: str, expected: str) -> None:
    assert found(f"    mapping:\n      - {{crm: email, shop: mail}}\n    filters: {{crm: [{condition}]}}\n") == [
        expected
    ]


ENTRY = "    mapping:\n      - {crm: email, shop: mail}\n"


@pytest.mark.parametrize(
    ("crm", "expected"),
    [
        ({}, ["sync.yaml:6:20: account 'crm' has no object 'companies'; there is none", "sync.yaml:11:20: account 'crm' has no object 'contacts'; there is none"]),
        ({"contact": an_object("contact", email=TEXT), "companies": catalogs()["crm"]["companies"]},
         ["sync.yaml:11:20: account 'crm' has no object 'contacts'; did you mean 'contact'?"]),
        ({"contacts": Object("contacts", (Field("email", TEXT),), (), problems=("has no primary key: add one, or a unique index on columns that are never null",)),
          "companies": catalogs()["crm"]["companies"]},
         ["sync.yaml:11:20: object 'contacts' of 'crm' has no primary key; add one, or a unique index on columns that are never null"]),
        ({"contacts": Object("contacts", (), (), capabilities=Capabilities(creatable=False, updatable=False),
                             problems=("cannot be read: the token lacks the scope crm.schemas.contacts.read; grant it",)),
          "companies": catalogs()["crm"]["companies"]},
         ["sync.yaml:11:20: object 'contacts' of 'crm' cannot be read; the token lacks the scope crm.schemas.contacts.read; grant it"]),
        ({"contacts": Object("contacts", (Field("email", TEXT),), ("email",), capabilities=Capabilities(creatable=False, updatable=False)),
          "companies": catalogs()["crm"]["companies"]},
         ["sync.yaml:11:20: object 'contacts' of 'crm' can only be read; write direction: \"to shop\" in sync 'contacts'"]),
        ({"contacts": an_object("contacts", email=TEXT, status=Field("status", INTEGER, nullable=False, required=True)), "companies": catalogs()["crm"]["companies"]},
         ["sync.yaml:13:5: sync 'contacts' creates records in 'crm', but gives no value to 'status' of 'contacts', which is required; "
          "map a field to it, or give it a constant: {crm: status, value: …}"]),
    ],
)  # fmt: skip
def test_an_object_that_cannot_be_synced(crm: dict[str, Object], expected: list[str]) -> None:
    assert found(ENTRY, {"crm": crm, "shop": catalogs()["shop"]}) == expected


def test_an_object_that_can_only_be_read_may_be_a_source() -> None:
    read_only = Object(
        "customers", (Field("mail", TEXT),), ("mail",), capabilities=Capabilities(creatable=False, updatable=False)
    )
    shop = catalogs()["shop"] | {"customers": read_only}
    assert found(ENTRY, {"crm": catalogs()["crm"], "shop": shop}) == [
        "sync.yaml:11:36: object 'customers' of 'shop' can only be read; write direction: \"to crm\" in sync 'contacts'"
    ]
    assert found("    direction: to crm\n" + ENTRY, {"crm": catalogs()["crm"], "shop": shop}) == []


def test_an_account_without_a_catalog_is_passed_over() -> None:
    assert found(ENTRY, {"crm": catalogs()["crm"]}) == []


@pytest.mark.parametrize(
    "entry", ["      - {crm: tier, shop: status, values: {gold: 1}}\n", "      - {shop: status, value: 1}\n"]
)
def test_a_required_field_is_filled_by_a_pair_or_a_constant(entry: str) -> None:
    shop = catalogs()["shop"] | {
        "customers": an_object("customers", mail=TEXT, status=Field("status", INTEGER, required=True))
    }
    assert found(ENTRY, {"crm": catalogs()["crm"], "shop": shop})
    assert found(ENTRY + entry, {"crm": catalogs()["crm"], "shop": shop}) == []


def test_a_required_field_of_an_account_that_is_not_written_needs_no_value() -> None:
    shop = catalogs()["shop"] | {
        "customers": an_object("customers", mail=TEXT, status=Field("status", INTEGER, required=True))
    }
    assert found("    direction: to crm\n" + ENTRY, {"crm": catalogs()["crm"], "shop": shop}) == []


def test_a_cycle_through_fields_that_an_account_requires_is_refused() -> None:
    def with_reference(
        objects: dict[str, Object], name: str, field: str, target: str, **more: Any
    ) -> dict[str, Object]:
        known = objects[name]
        fields = tuple(one for one in known.fields if one.name != field)
        return objects | {name: Object(name, (*fields, Field(field, INTEGER, references=target, **more)), ("id",))}

    text = HEAD.replace("title}", "title}\n      - {crm: chief, shop: chief, association: contacts}")
    text += ENTRY + "      - {crm: company_id, shop: firm_id, association: companies}\n"
    installation = load(text, "sync.yaml", {}, CONNECTORS)
    crm = with_reference(catalogs()["crm"], "companies", "chief", "contacts")
    shop = with_reference(catalogs()["shop"], "firms", "chief", "customers", required=True)
    assert check_catalogs(installation, {"crm": crm, "shop": shop}) == []
    shop = with_reference(shop, "customers", "firm_id", "firms", required=True)
    assert [str(problem) for problem in check_catalogs(installation, {"crm": crm, "shop": shop})] == [
        "sync.yaml:10:48: the required associations form a cycle, so that no record could be created first in 'shop': companies → contacts → companies; "
        "let one of these fields be empty there, or remove its association"
    ]


def referring(field: str, target: str, type_: FieldType = INTEGER, **more: Any) -> Field:
    return Field(field, type_, references=target, **more)


def test_a_pair_of_references_without_an_association_names_the_sync_that_translates_them() -> None:
    assert found(ENTRY + "      - {crm: company_id, shop: firm_id}\n") == [
        "sync.yaml:15:9: 'company_id' of 'crm' refers to 'companies' and 'firm_id' of 'shop' refers to 'firms', and without an association "
        "the numbers are copied as they are; write association: companies"
    ]


def test_a_pair_of_references_to_objects_that_no_sync_pairs_is_refused() -> None:
    crm, shop = catalogs()["crm"], catalogs()["shop"]
    crm["contacts"] = an_object("contacts", email=TEXT, stage_id=referring("stage_id", "stages"))
    shop["customers"] = an_object("customers", mail=TEXT, step_id=referring("step_id", "steps"))
    assert found(ENTRY + "      - {crm: stage_id, shop: step_id}\n", {"crm": crm, "shop": shop}) == [
        "sync.yaml:15:9: 'stage_id' of 'crm' refers to 'stages' and 'step_id' of 'shop' refers to 'steps', and without an association the numbers "
        "are copied as they are; add a sync of 'stages' of 'crm' and 'steps' of 'shop' and name it as association, or remove the entry"
    ]


def test_a_code_that_both_accounts_use_may_be_paired_without_an_association() -> None:
    crm, shop = catalogs()["crm"], catalogs()["shop"]
    crm["contacts"] = an_object("contacts", email=TEXT, country=referring("country", "countries", TEXT))
    shop["customers"] = an_object("customers", mail=TEXT, land=referring("land", "lands", TEXT))
    assert found(ENTRY + "      - {crm: country, shop: land}\n", {"crm": crm, "shop": shop}) == []


def test_a_reference_by_a_field_that_its_object_lacks_is_refused() -> None:
    crm, shop = catalogs()["crm"], catalogs()["shop"]
    shop["customers"] = an_object(
        "customers", mail=TEXT, firm=referring("firm", "firms", TEXT, references_field="code")
    )
    entry = ENTRY + "      - {crm: company_id, shop: firm, association: companies}\n"
    assert found(entry, {"crm": crm, "shop": shop}) == [
        "sync.yaml:15:33: 'firm' of 'shop' holds 'code' of 'firms', which has no such field; mend `references` of the object"
    ]
    shop["firms"] = an_object("firms", title=TEXT, code=TEXT)
    assert found(entry, {"crm": crm, "shop": shop}) == []
