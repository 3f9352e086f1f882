"""The fake: definitions of properties, pipelines, owners, schemas, and the account."""

from __future__ import annotations

from typing import Any

import pytest

from tests.connectors.hubspot.conftest import Api, refused
from tests.connectors.hubspot.fake.process import Fake

PROPERTIES = "/crm/properties/{v}/contacts"


def definition(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "label": "L",
        "type": "string",
        "fieldType": "text",
        "groupName": "contactinformation",
        **more,
    }


def colours(*values: str) -> dict[str, Any]:
    options = [{"value": value, "label": value.title()} for value in values]
    return definition("colour", type="enumeration", fieldType="select", options=options)


def test_a_definition_tells_all_that_discovery_needs(api: Api) -> None:
    found = {each["name"]: each for each in api.get(PROPERTIES).json()["results"]}
    stage = found["lifecyclestage"]
    assert (stage["type"], stage["fieldType"], stage["options"][0]["value"]) == ("enumeration", "radio", "subscriber")
    assert stage["options"][0]["label"] != "subscriber"
    owner = found["hubspot_owner_id"]
    assert (owner["externalOptions"], owner["referencedObjectType"], owner["options"]) == (True, "OWNER", [])
    assert found["num_notes"]["calculated"] and found["num_notes"]["modificationMetadata"]["readOnlyValue"]
    assert found["lastmodifieddate"]["modificationMetadata"]["readOnlyValue"] and not found["email"]["hasUniqueValue"]
    amount = api.get("/crm/properties/{v}/deals/amount").json()
    assert amount["currencyPropertyName"] == "deal_currency_code" and amount["dataSensitivity"] == "non_sensitive"
    currency = api.get("/crm/properties/{v}/deals/deal_currency_code").json()
    assert [option["value"] for option in currency["options"]] == ["EUR", "GBP", "USD"]


def test_a_name_that_is_in_use_is_refused(api: Api) -> None:
    assert api.post(PROPERTIES, definition("nickname")).status_code == 201
    assert refused(api.post(PROPERTIES, definition("nickname")), 409)["category"] == "OBJECT_ALREADY_EXISTS"


def test_an_archived_property_comes_back_as_it_was(api: Api) -> None:
    first = api.post(PROPERTIES, colours("red", "blue")).json()
    id = api.create(colour="red")
    assert api.call("DELETE", f"{PROPERTIES}/colour").status_code == 204
    refused(api.read(id, "colour"), 400, "PROPERTY_DOESNT_EXIST")
    refused(api.get(f"{PROPERTIES}/colour"), 404)
    assert [each["name"] for each in api.get(PROPERTIES, archived="true").json()["results"]] == ["colour"]
    again = api.post(PROPERTIES, colours("green"))
    assert again.status_code == 201 and again.json()["createdAt"] == first["createdAt"]
    assert [option["value"] for option in again.json()["options"]] == ["red", "blue"]
    assert api.values(id, "colour") == {"colour": "red"}


def test_a_patch_of_options_replaces_them_all(api: Api) -> None:
    api.post(PROPERTIES, colours("red", "blue"))
    changed = api.patch(f"{PROPERTIES}/colour", {"options": [{"value": "green", "label": "Green"}]}).json()
    assert [option["value"] for option in changed["options"]] == ["green"]
    refused(api.objects("", {"properties": {"colour": "red"}}), 400, "INVALID_OPTION")


def test_a_property_in_use_is_not_archived(fake: Fake, api: Api) -> None:
    api.post(PROPERTIES, definition("nickname"))
    fake.admin("POST", "properties", {"objectType": "contacts", "name": "nickname", "inUse": True})
    body = refused(api.call("DELETE", f"{PROPERTIES}/nickname"), 400)
    assert body["errors"][0]["code"] == "CANNOT_DELETE_PROPERTY_IN_USE"
    refused(api.call("DELETE", f"{PROPERTIES}/firstname"), 400, "READ_ONLY_DEFINITION")


def test_uniqueness_is_decided_at_creation_for_ten_properties_at_most(api: Api) -> None:
    for number in range(10):
        assert api.post(PROPERTIES, definition(f"key{number}", hasUniqueValue=True)).json()["hasUniqueValue"]
    refused(api.post(PROPERTIES, definition("key10", hasUniqueValue=True)), 400, "TOO_MANY_UNIQUE_PROPERTIES")
    refused(api.patch(f"{PROPERTIES}/key0", {"hasUniqueValue": False}), 400, "CANNOT_CHANGE_UNIQUENESS")
    id = api.create(key0="K")
    refused(api.objects("", {"properties": {"key0": "k"}}), 409, id)
    assert api.read("k", "key0", idProperty="key0").json()["id"] == id


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "string", "fieldType": "number"},
        {"type": "enumeration", "fieldType": "select"},
        {"groupName": "nowhere"},
        {"name": "With Space"},
        {"options": [{"value": "a", "label": "A"}]},
        {"strange": 1},
    ],
)
def test_a_definition_of_another_form_is_refused(api: Api, wrong: dict[str, Any]) -> None:
    refused(api.post(PROPERTIES, {**definition("nickname"), **wrong}), 400)


def test_properties_are_read_made_and_archived_in_batches_but_not_changed(api: Api) -> None:
    batch = f"{PROPERTIES}/batch"
    made = api.post(f"{batch}/create", {"inputs": [definition("one"), definition("two")]})
    assert made.status_code == 201 and len(made.json()["results"]) == 2
    refused(api.post(f"{batch}/create", {"inputs": [definition("three"), definition("two")]}), 409)
    answer = api.post(f"{batch}/read", {"inputs": [{"name": "one"}, {"name": "three"}]}).json()
    assert [each["name"] for each in answer["results"]] == ["one"] and answer["numErrors"] == 1
    assert api.post(f"{batch}/archive", {"inputs": [{"name": "one"}, {"name": "two"}]}).status_code == 204
    refused(api.get(f"{PROPERTIES}/one"), 404)
    refused(api.post(f"{batch}/update", {"inputs": []}), 404)


def test_groups_are_listed_and_made(api: Api) -> None:
    assert api.post(f"{PROPERTIES}/groups", {"name": "ours", "label": "Ours"}).status_code == 201
    refused(api.post(f"{PROPERTIES}/groups", {"name": "ours", "label": "Ours"}), 409)
    names = [each["name"] for each in api.get(f"{PROPERTIES}/groups").json()["results"]]
    assert names == ["contactinformation", "ours"]
    assert api.post(PROPERTIES, definition("nickname", groupName="ours")).status_code == 201


def test_pipelines_are_read_and_only_people_edit_them(fake: Fake, api: Api) -> None:
    default, renewals = api.get("/crm/pipelines/{v}/deals").json()["results"]
    assert default["id"] == "default" and default["createdAt"] == "1970-01-01T00:00:00.000Z"
    assert renewals["stages"][0]["metadata"] == {"isClosed": "false", "probability": "0.3"}
    assert api.get("/crm/pipelines/{v}/tickets").json()["results"][0]["stages"][0]["metadata"]["ticketState"] == "OPEN"
    stages = api.get("/crm/pipelines/{v}/deals/83001/stages").json()["results"]
    assert [each["id"] for each in stages] == ["830011", "830012", "830013"]
    assert api.get("/crm/pipelines/{v}/deals/83001/stages/830012").json()["label"] == stages[1]["label"]
    refused(api.patch("/crm/pipelines/{v}/deals/83001", {"label": "X"}), 405)
    api.create("deals", pipeline="83001", dealstage="830011")
    edit = {
        "type": "deals",
        "id": "83001",
        "stages": [{"id": "830011", "label": "Begun"}, {"id": "new", "label": "New"}],
    }
    fake.admin("POST", "pipelines", edit)
    assert [each["id"] for each in api.get("/crm/pipelines/{v}/deals/83001").json()["stages"]] == ["830011", "new"]
    assert len(api.get("/crm/pipelines/{v}/deals/83001/audit").json()["results"]) == 1
    assert api.create("deals", pipeline="83001", dealstage="new")
    refused(api.get("/crm/pipelines/{v}/deals/none"), 404)


def test_owners_are_people_and_queues_and_those_who_left_are_listed_apart(fake: Fake, api: Api) -> None:
    owners = api.get("/crm/owners/{v}").json()["results"]
    assert [(each["id"], each["type"], each.get("userId")) for each in owners] == [
        ("501", "PERSON", 9501),
        ("502", "PERSON", 9502),
        ("504", "QUEUE", None),
    ]
    (left,) = api.get("/crm/owners/{v}", archived="true").json()["results"]
    assert left["id"] == "503" and left["userIdIncludingInactive"] == 9503 and "userId" not in left
    assert [each["id"] for each in api.get("/crm/owners/{v}", email="alan@example.com").json()["results"]] == ["502"]
    fake.admin("POST", "owners", {"id": "502", "archived": True})
    new = fake.admin("POST", "owners", {"email": "new@example.com"})["id"]
    page = api.get("/crm/owners/{v}", limit=1).json()
    rest = api.get("/crm/owners/{v}", after=page["paging"]["next"]["after"]).json()["results"]
    assert [each["id"] for each in page["results"] + rest] == ["501", "504", new]


def test_custom_objects_have_schemas_and_associations(fake: Fake, api: Api) -> None:
    plate = {"name": "plate", "unique": True}
    id = fake.admin(
        "POST",
        "schemas",
        {"name": "cars", "singular": "car", "display": "plate", "pipelines": True, "properties": [plate]},
    )
    (schema,) = api.get("/crm-object-schemas/{v}/schemas").json()["results"]
    assert schema["objectTypeId"] == id["objectTypeId"] and schema["primaryDisplayProperty"] == "plate"
    assert {"plate", "hs_pipeline", "hs_object_id"} <= {each["name"] for each in schema["properties"]}
    car, contact = api.create(schema["objectTypeId"], plate="B 1"), api.create(firstname="A")
    path = f"/crm/objects/{{v}}/{schema['objectTypeId']}/{car}/associations/default/contacts/{contact}"
    assert api.call("PUT", path).status_code == 200


def test_the_account_tells_its_id_zone_and_currencies(fake: Fake, api: Api) -> None:
    fake.turn(portal_id=99, time_zone="Asia/Kolkata")
    fake.admin("POST", "currencies", {"home": "EUR", "rates": {"CHF": "1.05"}})
    details = api.get("/account-info/{v}/details").json()
    assert (details["portalId"], details["timeZone"], details["utcOffset"]) == (99, "Asia/Kolkata", "+05:30")
    assert (details["companyCurrency"], details["additionalCurrencies"]) == ("EUR", ["CHF"])
    id = api.create("deals", amount="10", deal_currency_code="CHF")
    assert api.values(id, "amount_in_home_currency", kind="deals") == {"amount_in_home_currency": "10.5"}
