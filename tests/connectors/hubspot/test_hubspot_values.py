"""Values and definitions of HubSpot, one by one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hubspot.mapping import Shape, properties_of, stages_of, type_of
from connectors.hubspot.standard import STANDARD
from connectors.hubspot.values import Codec, Owners, millis_of
from rules.canonical import InvalidValueError
from rules.catalog import FieldType, Kind

OPTIONS = ("one", "two", "three")
LIST = Codec(FieldType(Kind.LIST, options=OPTIONS, item=FieldType(Kind.ENUM, options=OPTIONS)))
DAY, MOMENT, NUMBER = (Codec(FieldType(kind)) for kind in (Kind.DATE, Kind.TIMESTAMP, Kind.DECIMAL))
NOBODY = Owners()


@given(st.lists(st.sampled_from((*OPTIONS, "added")), unique=True))
def test_several_options_are_a_set_whatever_their_order(options: list[str]) -> None:
    loaded = LIST.load(";".join(options), NOBODY)
    assert loaded == (sorted(options, key=(*OPTIONS, "added").index) or None)
    assert LIST.load(";".join(reversed(options)), NOBODY) == loaded
    if "added" not in options:
        assert LIST.load(LIST.dump(options, NOBODY), NOBODY) == loaded


@pytest.mark.parametrize(
    ("codec", "text", "value"),
    [
        (DAY, "2026-11-24", "2026-11-24"),
        (DAY, "1795478400000", "2026-11-24"),
        (DAY, "2026-11-24T00:00:00Z", "2026-11-24"),
        (MOMENT, "2026-11-24T18:30:00.250Z", "2026-11-24T18:30:00.25Z"),
        (MOMENT, "2026-11-24T18:30:00Z", "2026-11-24T18:30:00Z"),
        (MOMENT, "2026-11-24T20:30:00+02:00", "2026-11-24T18:30:00Z"),
        (MOMENT, "1795545000000", "2026-11-24T18:30:00Z"),
        (MOMENT, "-1000", "1969-12-31T23:59:59Z"),
        (MOMENT, "99999999999999999999", "99999999999999999999"),  # what no calendar holds is shown as it is
        (DAY, "-99999999999999999", "-99999999999999999"),
        (DAY, "²", "²"),
        (NUMBER, "1.50", "1.5"),
        (NUMBER, "1E3", "1000"),
        (NUMBER, "no number at all", "no number at all"),
        (Codec(FieldType(Kind.BOOLEAN)), "true", True),
        (Codec(FieldType(Kind.BOOLEAN)), "false", False),
        (Codec(FieldType(Kind.TEXT)), "", None),
        (Codec(FieldType(Kind.TEXT)), None, None),
    ],
)
def test_each_form_of_a_value_is_read(codec: Codec, text: str | None, value: Any) -> None:
    assert codec.load(text, NOBODY) == value


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (NUMBER, "NaN"),
        (NUMBER, "ten"),
        (DAY, "24.11.2026"),
        (MOMENT, "soon"),
        (LIST, ["four"]),
        (LIST, ["a;b"]),
        (Codec(FieldType(Kind.BOOLEAN)), "maybe"),
    ],
)
def test_what_does_not_fit_is_refused(codec: Codec, value: Any) -> None:
    with pytest.raises(InvalidValueError):
        codec.dump(value, NOBODY)


def test_owners_go_by_the_table_then_by_email_and_leavers_cannot_be_set() -> None:
    owners = Owners({"ann@hub.io": "1"}, {"1": "Ann@hub.io", "2": "left@hub.io", "3": "3"}, {"a.smith": "ann@HUB.io"})
    assert [owners.load(one) for one in ("1", "2", "3", "99")] == ["a.smith", "left@hub.io", "3", "99"]
    assert [owners.dump(one) for one in ("a.smith", " ANN@hub.io ", "3")] == ["1", "1", "3"]
    for one in ("left@hub.io", "nobody@hub.io"):
        with pytest.raises(InvalidValueError):
            owners.dump(one)


@pytest.mark.parametrize(
    ("stamp", "millis"),
    [
        ("2026-11-24T18:30:00.250Z", 1795545000250),
        ("2026-11-24T18:30:00Z", 1795545000000),
        ("1795545000250", 1795545000250),
        (None, 0),
        ("", 0),
        ("soon", 0),
    ],
)
def test_stamps_are_milliseconds(stamp: str | None, millis: int) -> None:
    assert millis_of(stamp) == millis


@pytest.mark.parametrize(
    ("definition", "kind"),
    [
        ({"type": "string", "fieldType": "html"}, Kind.TEXT),
        ({"type": "enumeration", "fieldType": "radio", "options": [{"value": "a"}, {"value": "b"}]}, Kind.ENUM),
        ({"type": "enumeration", "fieldType": "checkbox", "options": [{"value": "a"}]}, Kind.LIST),
        (
            {"type": "enumeration", "fieldType": "select", "options": [{"value": "true"}, {"value": "false"}]},
            Kind.BOOLEAN,
        ),
        ({"type": "bool", "fieldType": "booleancheckbox"}, Kind.BOOLEAN),
        ({"type": "date", "fieldType": "date"}, Kind.DATE),
        ({"type": "datetime", "fieldType": "date"}, Kind.TIMESTAMP),
        ({"type": "something new", "fieldType": "text"}, Kind.TEXT),
    ],
)
def test_each_property_has_a_type(definition: dict[str, Any], kind: Kind) -> None:
    assert type_of(definition).kind is kind


def test_what_a_definition_says_is_in_the_catalog() -> None:
    def plain(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "type": "string", "fieldType": "text", **more}

    pipelines: list[dict[str, Any]] = [
        {"id": "p", "stages": [{"id": "s1"}, {"id": "s2", "archived": True}]},
        {"id": "q", "stages": [{"id": "s3"}]},
        {"id": "old", "archived": True, "stages": [{"id": "s4"}]},
    ]
    definitions = [
        plain("dealname"),
        plain("ref", hasUniqueValue=True),
        plain("sum", calculated=True),
        plain("fixed", modificationMetadata={"readOnlyValue": True}),
        plain("gone", archived=True),
        plain("tandem_sync_id", hasUniqueValue=True),
        plain("pipeline", type="enumeration", fieldType="select"),
        plain("dealstage", type="enumeration", fieldType="radio"),
        plain(
            "hubspot_owner_id",
            type="enumeration",
            fieldType="select",
            referencedObjectType="OWNER",
            externalOptions=True,
        ),
        plain("amount", type="number", fieldType="number", currencyPropertyName="deal_currency_code"),
        plain("deal_currency_code"),
    ]
    properties = properties_of(definitions, STANDARD["deals"], pipelines, required=("dealname", "sum"))
    shape = Shape("deals", STANDARD["deals"], properties, (), stages_of(pipelines))
    found = shape.object()
    assert {field.name for field in found.fields} == {
        "hs_object_id", "dealname", "ref", "sum", "fixed", "pipeline", "dealstage", "hubspot_owner_id", "amount", "deal_currency_code",
    }  # fmt: skip
    assert {field.name for field in found.fields if field.read_only} == {"hs_object_id", "sum", "fixed"}
    assert {field.name for field in found.fields if field.required} == {"dealname"}
    assert found.unique == (("ref",),)
    assert [properties[name].field.type.options for name in ("pipeline", "dealstage")] == [("p", "q"), ("s1", "s3")]
    assert properties["hubspot_owner_id"].codec.owner and properties["hubspot_owner_id"].field.type.kind is Kind.TEXT
    assert shape.stages == {"s1": ("p",), "s3": ("q",)}
    assert shape.partners({"amount"}) == {"amount", "deal_currency_code"}
    assert shape.partners({"dealstage"}) == {"pipeline", "dealstage"}
    assert shape.partners({"dealname"}) == set()
