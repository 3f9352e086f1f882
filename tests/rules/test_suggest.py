"""Suggested syncs: what is guessed, and that `check` accepts it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.catalog import Catalog, Field, FieldType, Kind, Object
from rules.config import check_catalogs, load
from rules.suggest import guess_kind, pair_fields, suggest
from tests.rules.config_samples import CONNECTORS
from tests.rules.value_strategies import types

TEXT, INTEGER, TIMESTAMP = FieldType(Kind.TEXT), FieldType(Kind.INTEGER), FieldType(Kind.TIMESTAMP)


def an_object(name: str, *fields: Field | str) -> Object:
    made = [one if isinstance(one, Field) else Field(one, TEXT) for one in fields]
    return Object(name, (Field("id", INTEGER, read_only=True), *made), ("id",))


CONTACTS = an_object(
    "contacts", "email", Field("first_name", TEXT, required=True), "last_name", "phone", "notes", Field("created_at", TIMESTAMP),
    Field("company_id", INTEGER, references="companies"), Field("full_name", TEXT, read_only=True), "shoe_size",
)  # fmt: skip
CUSTOMERS = an_object(
    "public.customers", "mail", "givenName", "family_name", "tel", "remarks", Field("created_at", TIMESTAMP), "fullname",
    Field("firm_id", INTEGER, references="firms"), Field("source", TEXT, required=True),
)  # fmt: skip


def test_a_suggestion_is_a_block_for_the_file() -> None:
    assert (
        suggest(("crm", CONTACTS), ("shop", CUSTOMERS))
        == """\
  contacts:
    between: {crm: contacts, shop: public.customers}
    kind: contact
    direction: both
    default: crm   # wins where the two differ
    mapping:
      - {crm: email, shop: mail, identifier: email}
      - {crm: first_name, shop: givenName, required: true}
      - {crm: last_name, shop: family_name}
      - {crm: phone, shop: tel}
      - {crm: notes, shop: remarks}
      - {crm: full_name, shop: fullname, direction: "to shop"}
      # - {crm: company_id, shop: firm_id, association: companies}   # a sync of these must be there, too
      # required in shop, and nothing fills it; map a field to it or give a text:
      # - {shop: source, value: …}
"""
    )


@pytest.mark.parametrize(
    ("a", "b", "kind"),
    [
        ("contacts", "x", "contact"), ("x", "res_partner", "contact"), ("Companies", "x", "company"), ("firms", "x", "company"),
        ("public.order_items", "x", "product"), ("deals", "x", "deal"), ("invoices", "x", "invoice"), ("supportTickets", "x", "ticket"),
        ("calls", "x", "activity"), ("leads", "contacts", "lead"), ("shoes", "hats", "custom"),
    ],
)  # fmt: skip
def test_the_kind_is_guessed_from_the_names(a: str, b: str, kind: str) -> None:
    assert guess_kind(an_object(a), an_object(b)) == kind


def test_contacts_without_a_mail_address_do_not_require_one() -> None:
    block = suggest(("crm", an_object("contacts", "phone")), ("shop", an_object("customers", "tel")))
    assert "require_identifier: false" in block
    load_suggested(block)


def test_unlike_types_and_meanings_are_not_paired() -> None:
    left = an_object("a", Field("price", FieldType(Kind.BOOLEAN)), "colour", "city")
    right = an_object("b", Field("price", FieldType(Kind.DATE)), "size", "cities")
    assert [(pair.a.name, pair.b.name) for pair in pair_fields(left, right)] == []


def test_a_field_is_paired_once_and_with_its_own_name_first() -> None:
    left, right = an_object("a", "tel", "phone"), an_object("b", "phone", "telephone")
    assert {(pair.a.name, pair.b.name) for pair in pair_fields(left, right)} == {
        ("phone", "phone"),
        ("tel", "telephone"),
    }


def test_unique_fields_of_the_same_name_identify_what_has_no_kind() -> None:
    block = suggest(
        ("crm", an_object("a", Field("number", TEXT, unique=True))),
        ("shop", an_object("b", Field("number", TEXT, unique=True))),
    )
    assert "{crm: number, shop: number, identifier: exact}" in block


def test_two_objects_that_have_nothing_in_common_say_so() -> None:
    block = suggest(("crm", an_object("a", "x")), ("shop", an_object("b", "y")))
    assert "# no two fields have names and types alike: pair them by hand" in block


def load_suggested(block: str, a: Object | None = None, b: Object | None = None) -> list[str]:
    text = "accounts:\n  crm: {connector: memory}\n  shop: {connector: memory}\nsyncs:\n" + block
    installation = load(text, "sync.yaml", {}, CONNECTORS)
    catalogs = {account: Catalog({one.name: one}) for account, one in (("crm", a), ("shop", b)) if one is not None}
    return [str(problem) for problem in check_catalogs(installation, catalogs)]


_NAMES = st.sampled_from(["email", "mail", "name", "title", "sku", "code", "domain", "website_domain", "phone", "tel", "amount", "total", "yes", "a b",
                          "null", "weird: name", "ünï", "x-1", "status", "stage"])  # fmt: skip
_FIELDS = st.builds(lambda name, kind, unique: Field(name, kind, unique=unique), _NAMES, types(), st.booleans())


@given(
    st.lists(_FIELDS, max_size=6, unique_by=lambda one: one.name),
    st.lists(_FIELDS, max_size=6, unique_by=lambda one: one.name),
    st.sampled_from(["contacts", "companies", "products", "deals", "things", "odd name"]),
)
def test_what_is_suggested_is_accepted_by_check(left: list[Field], right: list[Field], name: str) -> None:
    a, b = an_object(name, *left), an_object("others", *right)
    if any(not pair.is_reference for pair in pair_fields(a, b)):
        assert load_suggested(suggest(("crm", a), ("shop", b)), a, b) == []
