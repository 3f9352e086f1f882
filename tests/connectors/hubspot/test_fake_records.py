"""The fake: one record at a time, and what values may be."""

from __future__ import annotations

import pytest

from tests.connectors.hubspot.conftest import Api, refused
from tests.connectors.hubspot.fake.process import Fake


def test_a_property_without_value_is_absent_and_an_empty_string_clears(api: Api) -> None:
    id = api.create(email="a@x.example", firstname="Ann", lastname="")
    assert api.values(id, "firstname", "lastname", "phone") == {"firstname": "Ann"}
    api.patch(f"/crm/objects/{{v}}/contacts/{id}", {"properties": {"firstname": ""}})
    assert api.values(id, "firstname", "email") == {"email": "a@x.example"}


@pytest.mark.parametrize("value", [None, 5, True, ["a"]])
def test_values_travel_as_strings(api: Api, value: object) -> None:
    refused(api.objects("", {"properties": {"firstname": value}}), 400, "strings")


@pytest.mark.parametrize(
    ("kind", "name", "value", "stored"),
    [
        ("invoices", "hs_due_date", "2026-03-29", "2026-03-29"),
        ("invoices", "hs_due_date", "1774742400000", "2026-03-29"),
        ("deals", "closedate", "2026-03-29T01:30:00+02:00", "2026-03-28T23:30:00.000Z"),
        ("deals", "closedate", "1774742400123", "2026-03-29T00:00:00.123Z"),
        ("products", "price", "12.50", "12.50"),
        ("products", "hs_active", "false", "false"),
        ("companies", "is_public", "true", "true"),
        ("contacts", "hs_legal_basis", "contract;contract", "contract"),
    ],
)
def test_a_value_is_stored_in_its_own_form(api: Api, kind: str, name: str, value: str, stored: str) -> None:
    path = {"invoices": "0-53"}.get(kind, kind)
    assert api.values(api.create(path, **{name: value}), name, kind=path) == {name: stored}


@pytest.mark.parametrize(
    ("kind", "name", "value", "code"),
    [
        ("0-53", "hs_due_date", "1774742400001", "INVALID_DATE"),
        ("0-53", "hs_due_date", "2026-03-29T00:00:00Z", "INVALID_DATE"),
        ("0-53", "hs_due_date", "2026-02-30", "INVALID_DATE"),
        ("deals", "closedate", "2026-03-29", "INVALID_DATE"),
        ("deals", "closedate", "999999999999999", "INVALID_DATE"),
        ("0-53", "hs_due_date", "-86400000000000", "INVALID_DATE"),
        ("deals", "closedate", "2026-03-29T01:30:00", "INVALID_DATE"),
        ("products", "price", "12,50", "INVALID_NUMBER"),
        ("products", "price", "1e3", "INVALID_NUMBER"),
        ("products", "hs_active", "yes", "INVALID_BOOLEAN"),
        ("companies", "is_public", "Yes", "INVALID_OPTION"),
        ("contacts", "lifecyclestage", "Customer ·", "INVALID_OPTION"),
        ("contacts", "hs_legal_basis", "contract;nothing", "INVALID_OPTION"),
        ("contacts", "hubspot_owner_id", "999", "INVALID_OWNER_ID"),
        ("contacts", "hubspot_owner_id", "503", "INVALID_OWNER_ID"),  # has left
        ("contacts", "hubspot_owner_id", "9501", "INVALID_OWNER_ID"),  # a user's id
        ("contacts", "num_notes", "3", "READ_ONLY_VALUE"),
        ("contacts", "lastmodifieddate", "1774742400000", "READ_ONLY_VALUE"),
        ("contacts", "nickname", "x", "PROPERTY_DOESNT_EXIST"),
        ("deals", "deal_currency_code", "XXX", "INVALID_OPTION"),
    ],
)
def test_what_a_property_cannot_hold_is_refused(api: Api, kind: str, name: str, value: str, code: str) -> None:
    body = refused(api.objects("", {"properties": {name: value}}, kind), 400, code)
    assert body["category"] == "VALIDATION_ERROR" and body["correlationId"]
    assert body["errors"][0]["context"]["propertyName"] == [name]


def test_a_multi_select_is_a_set_and_a_leading_semicolon_appends(fake: Fake, api: Api) -> None:
    id = api.create(hs_legal_basis="interest;contract")
    api.patch(f"/crm/objects/{{v}}/contacts/{id}", {"properties": {"hs_legal_basis": ";consent"}})
    assert set(api.values(id, "hs_legal_basis")["hs_legal_basis"].split(";")) == {"interest", "contract", "consent"}
    orders = {
        api.values(api.create(hs_legal_basis="interest;contract"), "hs_legal_basis")["hs_legal_basis"]
        for _ in range(12)
    }
    assert orders == {"interest;contract", "contract;interest"}
    fake.turn(leading_semicolon="refuse")
    refused(api.patch(f"/crm/objects/{{v}}/contacts/{id}", {"properties": {"hs_legal_basis": ";consent"}}), 400)


def test_pipeline_and_stage_are_written_together_and_belong_together(api: Api) -> None:
    def written(**properties: str) -> int:
        return api.objects("", {"properties": properties}, "deals").status_code

    assert written(pipeline="default", dealstage="contractsent") == 201
    assert written(pipeline="83001", dealstage="contractsent") == 400
    assert written(dealstage="contractsent") == 400
    assert written(pipeline="default") == 400
    assert written(pipeline="nowhere", dealstage="contractsent") == 400


def test_the_lifecycle_goes_forward_only(fake: Fake, api: Api) -> None:
    id = api.create(lifecyclestage="customer")
    path = f"/crm/objects/{{v}}/contacts/{id}"
    refused(api.patch(path, {"properties": {"lifecyclestage": "lead"}}), 400, "INVALID_LIFECYCLE_STAGE")
    fake.turn(lifecycle_backward="ignore")
    assert api.patch(path, {"properties": {"lifecyclestage": "lead"}}).status_code == 200
    assert api.values(id, "lifecyclestage") == {"lifecyclestage": "customer"}
    api.patch(path, {"properties": {"lifecyclestage": ""}})
    api.patch(path, {"properties": {"lifecyclestage": "lead"}})
    assert api.values(id, "lifecyclestage") == {"lifecyclestage": "lead"}


def test_an_amount_goes_with_its_currency_and_the_home_amount_is_calculated(api: Api) -> None:
    refused(api.objects("", {"properties": {"amount": "10"}}, "deals"), 400, "MISSING_CURRENCY")
    id = api.create("deals", amount="10", deal_currency_code="EUR")
    assert api.values(id, "amount_in_home_currency", kind="deals") == {"amount_in_home_currency": "11"}


def test_what_an_administrator_requires_is_refused_by_name_when_it_is_missing(fake: Fake, api: Api) -> None:
    fake.admin("POST", "rules", {"type": "contacts", "property": "phone"})
    conditional = {"type": "contacts", "property": "company", "whenProperty": "lifecyclestage", "whenValue": "customer"}
    fake.admin("POST", "rules", conditional)
    body = refused(api.objects("", {"properties": {"firstname": "A"}}), 400)
    assert (body["errors"][0]["code"], body["errors"][0]["context"]) == (
        "MISSING_REQUIRED_PROPERTY",
        {"propertyName": ["phone"]},
    )
    id = api.create(phone="1")
    body = refused(api.patch(f"/crm/objects/{{v}}/contacts/{id}", {"properties": {"lifecyclestage": "customer"}}), 400)
    assert body["errors"][0]["code"] == "MISSING_CONDITIONAL_REQUIRED_PROPERTY"
    assert body["errors"][0]["context"] == {"propertyName": ["company"]}
    both = {"lifecyclestage": "customer", "company": "C"}
    assert api.patch(f"/crm/objects/{{v}}/contacts/{id}", {"properties": both}).status_code == 200
    assert fake.admin("DELETE", "rules") == {"removed": 2}
    assert api.create(firstname="A")


def test_an_email_is_unique_and_so_is_an_additional_one(fake: Fake, api: Api) -> None:
    id = api.create(email="a@x.example")
    fake.admin("POST", "additional-emails", {"id": id, "emails": ["b@x.example"]})
    for email in ("A@x.example", "b@x.example"):
        body = refused(api.objects("", {"properties": {"email": email}}), 409, f"Existing ID: {id}")
        assert body["category"] == "CONFLICT"
    fake.turn(conflict_status=400)
    refused(api.objects("", {"properties": {"email": "a@x.example"}}), 400, "CONFLICT")
    assert api.read("b@x.example", "email", idProperty="email").json()["id"] == id
    refused(api.read("Ann", idProperty="firstname"), 400, "INVALID_ID_PROPERTY")


def test_a_domain_is_not_unique_unless_the_knob_says_so(fake: Fake, api: Api) -> None:
    api.create("companies", domain="x.example")
    api.create("companies", domain="x.example")
    fake.turn(domain_unique=True)
    api.create("companies", domain="y.example")
    refused(api.objects("", {"properties": {"domain": "y.example"}}, "companies"), 409)


def test_the_list_is_in_the_order_of_ids_which_is_not_that_of_text(api: Api) -> None:
    inputs = [{"properties": {"firstname": str(number)}} for number in range(60)]
    assert api.objects("/batch/create", {"inputs": inputs}).status_code == 201
    ids, after = [], "0"
    while after:
        page = api.get("/crm/objects/{v}/contacts", limit=25, after=after).json()
        ids += [each["id"] for each in page["results"]]
        after = page.get("paging", {}).get("next", {}).get("after", "")
        assert not after or after not in ids, "after is the id of the next record"
    assert len(ids) == 60 and ids == sorted(ids, key=int) and ids != sorted(ids)
    refused(api.get("/crm/objects/{v}/contacts", limit=101), 400)


def test_contacts_and_the_rest_have_different_names_for_the_modified_date(api: Api) -> None:
    contact, company = api.create(firstname="A"), api.create("companies", name="C")
    assert list(api.values(contact, "lastmodifieddate")) == ["lastmodifieddate"]
    assert list(api.values(company, "hs_lastmodifieddate", kind="companies")) == ["hs_lastmodifieddate"]
    refused(api.read(contact, "hs_lastmodifieddate"), 400, "PROPERTY_DOESNT_EXIST")


def test_a_property_that_does_not_exist_is_not_read_unless_the_knob_says_so(fake: Fake, api: Api) -> None:
    id = api.create(firstname="A")
    refused(api.read(id, "nickname"), 400, "PROPERTY_DOESNT_EXIST")
    fake.turn(unknown_property_read="ignore")
    assert api.values(id, "nickname", "firstname") == {"firstname": "A"}


def test_date_times_come_in_several_forms_of_the_same_moment(fake: Fake, api: Api) -> None:
    moment = "2026-03-29T00:00:00.000Z"
    ids = [api.create("deals", closedate=moment) for _ in range(6)]
    assert {api.values(id, "closedate", kind="deals")["closedate"] for id in ids} == {moment}
    fake.turn(datetime_forms="mixed")
    forms = {api.values(id, "closedate", kind="deals")["closedate"] for id in ids}
    assert forms == {moment, "2026-03-29T00:00:00Z", "2026-03-29T02:00:00.000+02:00"}


def test_history_tells_who_wrote_a_value(fake: Fake, api: Api) -> None:
    id = api.create(firstname="A")
    fake.ui("PATCH", f"/crm/objects/2026-09/contacts/{id}", {"properties": {"firstname": "B"}})
    history = api.read(id, propertiesWithHistory="firstname").json()["propertiesWithHistory"]["firstname"]
    assert [(each["value"], each["sourceType"]) for each in history] == [("B", "CRM_UI"), ("A", "INTEGRATION")]
    assert history[0]["updatedByUserId"] and "updatedByUserId" not in history[1]


def test_invoices_leads_and_custom_objects_go_by_their_id_alone(fake: Fake, api: Api) -> None:
    refused(api.objects("", {"properties": {"hs_title": "I"}}, "invoices"), 400, "0-53")
    assert api.create("0-53", hs_title="I") and api.create("0-136", hs_lead_name="L")
    plate = {"name": "plate", "type": "string", "fieldType": "text", "unique": True}
    made = fake.admin("POST", "schemas", {"name": "cars", "singular": "car", "properties": [plate]})["objectTypeId"]
    refused(api.objects("", {"properties": {"plate": "B 1"}}, "cars"), 400, made)
    id = api.create(made, plate="B 1")
    assert api.values(id, "plate", kind=made) == {"plate": "B 1"}
    refused(api.objects("", {"properties": {"plate": "b 1"}}, made), 409)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("calls", "hs_call_title"),
        ("emails", "hs_email_subject"),
        ("tasks", "hs_task_subject"),
        ("notes", "hs_note_body"),
        ("meetings", "hs_meeting_title"),
        ("tickets", "subject"),
        ("products", "name"),
    ],
)
def test_all_kinds_of_records_are_there(api: Api, kind: str, name: str) -> None:
    assert api.values(api.create(kind, **{name: "T"}), name, kind=kind) == {name: "T"}


def test_what_the_page_does_not_say_is_refused(api: Api) -> None:
    refused(api.objects("", {"properties": {}, "associations": []}), 400, "Not in this fake")
    refused(api.get("/crm/objects/{v}/contacts", sort="email"), 400, "Not in this fake")
    refused(api.get("/crm/v3/objects/contacts"), 404, "Not in this fake")
    refused(api.get("/crm/objects/2025-09/contacts"), 404, "2026-09")
    refused(api.call("PUT", "/crm/objects/{v}/contacts/1", {}), 405)
    refused(api.client.post("/crm/objects/2026-09/contacts", content=b"{}"), 415)


def test_other_versions_are_served_if_the_knob_names_them(fake: Fake, api: Api) -> None:
    fake.turn(versions="2026-09,2027-03")
    assert api.get("/crm/objects/2027-03/contacts").status_code == 200


def test_a_url_that_is_too_long_is_refused(fake: Fake, api: Api) -> None:
    id = api.create(firstname="A")
    names = ",".join(["firstname"] * 1600)
    refused(api.read(id, names), 414)
    refused(api.read(id, names * 3), 414)
    fake.turn(url_cap=30_000)
    assert api.read(id, names).status_code == 200
