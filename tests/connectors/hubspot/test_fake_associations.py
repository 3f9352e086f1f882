"""The fake: associations, their labels and directions."""

from __future__ import annotations

from typing import Any

from tests.connectors.hubspot.conftest import Api, refused
from tests.connectors.hubspot.fake.process import Fake


def hubspot(*ids: int, category: str = "HUBSPOT_DEFINED") -> list[dict[str, Any]]:
    return [{"associationCategory": category, "associationTypeId": id} for id in ids]


def put(api: Api, contact: str, company: str, *types: dict[str, Any]) -> None:
    answer = api.call("PUT", f"/crm/objects/{{v}}/contacts/{contact}/associations/companies/{company}", list(types))
    assert answer.status_code == 201, answer.text


def types(api: Api, origin: str, id: str, to: str) -> dict[str, list[int]]:
    """The type ids by the id of the other record."""
    answer = api.get(f"/crm/objects/{{v}}/{origin}/{id}/associations/{to}")
    assert answer.status_code == 200, answer.text
    return {
        each["toObjectId"]: [type["typeId"] for type in each["associationTypes"]] for each in answer.json()["results"]
    }


def labels(api: Api, origin: str, to: str) -> dict[str | None, int]:
    """Type ids by label."""
    found = api.get(f"/crm/associations/{{v}}/{origin}/{to}/labels").json()["results"]
    return {each["label"]: each["typeId"] for each in found}


def test_an_association_has_another_id_in_each_direction(api: Api) -> None:
    contact, company = api.create(firstname="A"), api.create("companies", name="C")
    put(api, contact, company, *hubspot(1))
    assert types(api, "contacts", contact, "companies") == {company: [1, 279]}
    assert types(api, "companies", company, "contacts") == {contact: [2, 280]}
    wrong = api.call("PUT", f"/crm/objects/{{v}}/contacts/{contact}/associations/companies/{company}", hubspot(280))
    refused(wrong, 400, "INVALID_ASSOCIATION_TYPE")


def test_the_ids_of_the_page_are_those_of_the_fake_and_others_cannot_be_known_by_heart(api: Api) -> None:
    assert labels(api, "deals", "companies") == {None: 341, "Primary": 5}
    assert labels(api, "tickets", "companies") == {None: 339, "Primary": 26}
    assert labels(api, "deals", "contacts") == {None: 3} and labels(api, "contacts", "deals") == {None: 4}
    assert labels(api, "tickets", "contacts") == {None: 16} and labels(api, "contacts", "tickets") == {None: 15}
    assert labels(api, "companies", "companies") == {None: 450, "Parent Company": 13, "Child Company": 14}
    assert labels(api, "notes", "contacts") == {None: 202}
    for origin, to in (("0-53", "contacts"), ("contacts", "calls"), ("companies", "deals")):
        assert labels(api, origin, to)[None] > 9000
    refused(api.get("/crm/associations/{v}/products/contacts/labels"), 400, "INVALID_ASSOCIATION")


def test_a_create_replaces_the_set_of_labels(fake: Fake, api: Api) -> None:
    contact, company = api.create(firstname="A"), api.create("companies", name="C")
    made = fake.admin("POST", "labels", {"from": "contacts", "to": "companies", "label": "Buyer", "inverse": "Buys"})
    assert made == {"typeId": 1, "inverseTypeId": 2, "category": "USER_DEFINED"}, "ids that HubSpot uses as well"
    put(api, contact, company, *hubspot(1, category="USER_DEFINED"))
    put(api, contact, company, *hubspot(1))
    found = api.get(f"/crm/objects/{{v}}/contacts/{contact}/associations/companies").json()["results"][0][
        "associationTypes"
    ]
    assert [(type["category"], type["label"]) for type in found] == [
        ("HUBSPOT_DEFINED", "Primary"),
        ("HUBSPOT_DEFINED", None),
    ]
    batch = {"inputs": [{"from": {"id": contact}, "to": {"id": company}, "types": hubspot(1, category="USER_DEFINED")}]}
    assert api.post("/crm/associations/{v}/contacts/companies/batch/create", batch).status_code == 201
    assert types(api, "contacts", contact, "companies") == {company: [279, 1]}
    (back,) = api.get(f"/crm/objects/{{v}}/companies/{company}/associations/contacts").json()["results"]
    assert "Buys" in [type["label"] for type in back["associationTypes"]]


def test_the_default_association_leaves_labels_as_they_are(api: Api) -> None:
    contact, company = api.create(firstname="A"), api.create("companies", name="C")
    put(api, contact, company, *hubspot(1))
    api.call("PUT", f"/crm/objects/{{v}}/contacts/{contact}/associations/default/companies/{company}")
    inputs = {"inputs": [{"from": {"id": contact}, "to": {"id": company}}]}
    assert api.post("/crm/associations/{v}/contacts/companies/batch/associate/default", inputs).status_code == 200
    assert types(api, "contacts", contact, "companies") == {company: [1, 279]}


def test_a_record_has_one_primary_company(api: Api) -> None:
    contact, one, two = api.create(firstname="A"), api.create("companies", name="1"), api.create("companies", name="2")
    put(api, contact, one, *hubspot(1))
    put(api, contact, two, *hubspot(1))
    assert types(api, "contacts", contact, "companies") == {one: [279], two: [1, 279]}
    assert types(api, "companies", one, "contacts") == {contact: [280]}
    answer = api.call("PUT", f"/crm/objects/{{v}}/companies/{one}/associations/contacts/{contact}", hubspot(2))
    assert answer.status_code == 201
    assert types(api, "contacts", contact, "companies") == {one: [1, 279], two: [279]}


def test_parent_and_child_are_two_ends_of_one_association(api: Api) -> None:
    parent, child = api.create("companies", name="P"), api.create("companies", name="C")
    api.call("PUT", f"/crm/objects/{{v}}/companies/{parent}/associations/companies/{child}", hubspot(13))
    assert types(api, "companies", parent, "companies") == {child: [13, 450]}
    assert types(api, "companies", child, "companies") == {parent: [14, 450]}


def test_removing_a_label_leaves_the_rest_and_removing_the_unlabelled_type_removes_all(api: Api) -> None:
    contact, company = api.create(firstname="A"), api.create("companies", name="C")
    put(api, contact, company, *hubspot(1))
    path = "/crm/associations/{v}/contacts/companies/batch/labels/archive"
    pair = {"from": {"id": contact}, "to": {"id": company}}
    assert api.post(path, {"inputs": [{**pair, "types": hubspot(1)}]}).status_code == 204
    assert types(api, "contacts", contact, "companies") == {company: [279]}
    put(api, contact, company, *hubspot(1))
    assert api.post(path, {"inputs": [{**pair, "types": hubspot(279)}]}).status_code == 204
    assert types(api, "contacts", contact, "companies") == types(api, "companies", company, "contacts") == {}


def test_pairs_are_removed_one_by_one_or_in_a_batch(api: Api) -> None:
    contact, one, two = api.create(firstname="A"), api.create("companies", name="1"), api.create("companies", name="2")
    put(api, contact, one, *hubspot(1))
    put(api, contact, two, *hubspot(279))
    assert api.call("DELETE", f"/crm/objects/{{v}}/contacts/{contact}/associations/companies/{one}").status_code == 204
    assert types(api, "contacts", contact, "companies") == {two: [279]}
    body = {"inputs": [{"from": {"id": contact}, "to": [{"id": two}]}]}
    assert api.post("/crm/associations/{v}/contacts/companies/batch/archive", body).status_code == 204
    assert types(api, "contacts", contact, "companies") == {}


def test_a_batch_create_does_what_it_can_and_names_what_it_cannot(api: Api) -> None:
    contact, company = api.create(firstname="A"), api.create("companies", name="C")
    inputs = [{"from": {"id": contact}, "to": {"id": to}, "types": hubspot(279)} for to in (company, "99999")]
    answer = api.post("/crm/associations/{v}/contacts/companies/batch/create", {"inputs": inputs}).json()
    assert [each["toObjectId"] for each in answer["results"]] == [company]
    assert answer["errors"][0]["context"]["toObjectId"] == ["99999"]


def test_batches_of_associations_have_sizes_of_their_own(api: Api) -> None:
    path = "/crm/associations/{v}/contacts/companies/batch/"
    refused(api.post(path + "read", {"inputs": [{"id": str(number)} for number in range(1001)]}), 400, "1000")
    pair = {"from": {"id": "1"}, "to": {"id": "2"}, "types": hubspot(279)}
    refused(api.post(path + "create", {"inputs": [pair] * 2001}), 400, "2000")


def test_what_a_record_is_associated_with_comes_in_pages_of_five_hundred(fake: Fake, api: Api) -> None:
    company = api.create("companies", name="C")
    inputs = [{"properties": {"firstname": "A"}}] * 100
    ids = []
    for _ in range(6):
        made = fake.ui("POST", "/crm/objects/2026-09/contacts/batch/create", {"inputs": inputs})["results"]
        ids += [each["id"] for each in made]
    pairs = [{"from": {"id": id}, "to": {"id": company}, "types": hubspot(279)} for id in ids]
    api.post("/crm/associations/{v}/contacts/companies/batch/create", {"inputs": pairs})
    read = "/crm/associations/{v}/companies/contacts/batch/read"
    (first,) = api.post(read, {"inputs": [{"id": company}]}).json()["results"]
    after = first["paging"]["next"]["after"]
    (rest,) = api.post(read, {"inputs": [{"id": company, "after": after}]}).json()["results"]
    assert len(first["to"]) == 500 and "paging" not in rest
    assert sorted(each["toObjectId"] for each in first["to"] + rest["to"]) == sorted(ids)
    path = f"/crm/objects/{{v}}/companies/{company}/associations/contacts"
    refused(api.get(path, limit=501), 400)
    assert api.get(path, limit=500).json()["paging"]["next"]["after"] == after


def test_a_record_without_associations_is_not_in_the_answer_of_a_batch_read(api: Api) -> None:
    contact = api.create(firstname="A")
    answer = api.post(
        "/crm/associations/{v}/contacts/companies/batch/read", {"inputs": [{"id": contact}, {"id": "99999"}]}
    ).json()
    assert answer["results"] == [] and answer["errors"][0]["context"]["ids"] == ["99999"]


def test_one_record_and_a_list_may_be_read_with_associations(api: Api) -> None:
    contact, company = api.create(firstname="A"), api.create("companies", name="C")
    put(api, contact, company, *hubspot(1))
    expected = [{"id": company, "type": "primary"}, {"id": company, "type": "unlabelled"}]
    assert api.read(contact, associations="companies").json()["associations"]["companies"]["results"] == expected
    (listed,) = api.get("/crm/objects/{v}/contacts", associations="companies,deals").json()["results"]
    assert listed["associations"] == {"companies": {"results": expected}}


def test_a_record_has_a_limited_number_of_associations(fake: Fake, api: Api) -> None:
    fake.turn(association_cap=2)
    company = api.create("companies", name="C")
    for _ in range(2):
        put(api, api.create(firstname="A"), company, *hubspot(279))
    third = api.create(firstname="A")
    answer = api.call("PUT", f"/crm/objects/{{v}}/contacts/{third}/associations/companies/{company}", hubspot(279))
    refused(answer, 400, "ASSOCIATION_LIMIT_REACHED")
