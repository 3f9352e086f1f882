"""The fake: both kinds of merge, the recycle bin, GDPR deletions."""

from __future__ import annotations

import pytest

from tests.connectors.hubspot.conftest import Api, refused
from tests.connectors.hubspot.fake.process import Fake


def merge(api: Api, primary: str, secondary: str, kind: str = "contacts") -> str:
    answer = api.objects("/merge", {"primaryObjectId": primary, "objectIdToMerge": secondary}, kind)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def test_a_merge_makes_a_new_id_with_the_primarys_values_and_both_old_ids_lead_to_it(api: Api) -> None:
    one, two = api.create(email="a@x.example", firstname="A"), api.create(email="b@x.example", firstname="B", phone="2")
    new = merge(api, one, two)
    assert new not in (one, two)
    for id in (one, two, new):
        answer = api.read(id, "email", "firstname", "phone", "hs_additional_emails", "hs_merged_object_ids").json()
        assert answer["id"] == new
        assert answer["properties"] == {
            "email": "a@x.example",
            "firstname": "A",
            "hs_additional_emails": "b@x.example",
            "hs_merged_object_ids": f"{one};{two}",
        }
    both = api.objects("/batch/read", {"inputs": [{"id": one}, {"id": two}]}).json()
    assert [each["id"] for each in both["results"]] == [new], "one record, under an id that nobody asked for"


def test_a_merge_keeps_the_primarys_id_where_the_account_does(fake: Fake, api: Api) -> None:
    fake.turn(merge_keeps_id=True)
    one, two = api.create(firstname="A"), api.create(firstname="B")
    assert merge(api, one, two) == one
    assert api.values(two, "firstname", "hs_object_id") == {"firstname": "A", "hs_object_id": one}
    assert api.values(one, "hs_merged_object_ids") == {"hs_merged_object_ids": two}


@pytest.mark.parametrize("keeps", [False, True])
def test_a_record_that_was_merged_away_is_nowhere_to_be_found(fake: Fake, api: Api, keeps: bool) -> None:
    fake.turn(merge_keeps_id=keeps)
    one, two = api.create(firstname="A"), api.create(firstname="B")
    new = merge(api, one, two)
    assert [each["id"] for each in api.get("/crm/objects/{v}/contacts").json()["results"]] == [new]
    assert api.get("/crm/objects/{v}/contacts", archived="true").json()["results"] == []
    assert api.found() == [new]


def test_a_write_to_an_old_id_is_refused_unless_the_knob_lets_it_through(fake: Fake, api: Api) -> None:
    one, two = api.create(firstname="A"), api.create(firstname="B")
    new = merge(api, one, two)
    edit = {"properties": {"firstname": "C"}}
    refused(api.patch(f"/crm/objects/{{v}}/contacts/{two}", edit), 404, two)
    refused(api.objects("/batch/update", {"inputs": [{"id": two, **edit}]}), 404, two)
    fake.turn(old_id_writes="follow")
    assert api.patch(f"/crm/objects/{{v}}/contacts/{two}", edit).json()["id"] == new
    assert api.values(new, "firstname") == {"firstname": "C"}


def test_the_oldest_id_leads_to_the_last_survivor(api: Api) -> None:
    one, two, three = (api.create("companies", name=name) for name in "ABC")
    first = merge(api, one, two, "companies")
    last = merge(api, three, first, "companies")
    assert api.read(one, "name", kind="companies").json()["id"] == last
    assert api.values(one, "hs_merged_object_ids", kind="companies") == {
        "hs_merged_object_ids": f"{one};{two};{three};{first}"
    }


def test_the_merged_records_address_is_still_taken(api: Api) -> None:
    new = merge(api, api.create(email="a@x.example"), api.create(email="b@x.example"))
    refused(api.objects("", {"properties": {"email": "b@x.example"}}), 409, f"Existing ID: {new}")


def test_associations_go_to_the_survivor_but_a_second_primary_is_dropped(api: Api) -> None:
    one, two = api.create(firstname="A"), api.create(firstname="B")
    big, small, deal = (
        api.create("companies", name="Big"),
        api.create("companies", name="Small"),
        api.create("deals", dealname="D"),
    )
    for contact, company in ((one, big), (two, small)):
        types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 1}]
        api.call("PUT", f"/crm/objects/{{v}}/contacts/{contact}/associations/companies/{company}", types)
    api.call("PUT", f"/crm/objects/{{v}}/contacts/{two}/associations/default/deals/{deal}")
    new = merge(api, one, two)
    found = api.get(f"/crm/objects/{{v}}/contacts/{new}/associations/companies").json()["results"]
    types_by_id = {each["toObjectId"]: [type["typeId"] for type in each["associationTypes"]] for each in found}
    assert types_by_id == {big: [1, 279], small: [279]}
    back = api.get(f"/crm/objects/{{v}}/deals/{deal}/associations/contacts").json()["results"]
    assert [each["toObjectId"] for each in back] == [new]


def test_an_archived_record_frees_its_values_and_a_person_restores_it(fake: Fake, api: Api) -> None:
    id, company = api.create(email="a@x.example"), api.create("companies", name="C")
    api.call("PUT", f"/crm/objects/{{v}}/contacts/{id}/associations/default/companies/{company}")
    api.call("DELETE", f"/crm/objects/{{v}}/contacts/{id}")
    assert api.get(f"/crm/objects/{{v}}/companies/{company}/associations/contacts").json()["results"] == []
    archived = api.get("/crm/objects/{v}/contacts", archived="true").json()["results"]
    assert [each["id"] for each in archived] == [id] and archived[0]["archived"] and archived[0]["archivedAt"]
    fake.admin("POST", "restore", {"type": "contacts", "ids": [id]})
    assert api.values(id, "email") == {"email": "a@x.example"} and api.found() == [id]
    assert len(api.get(f"/crm/objects/{{v}}/companies/{company}/associations/contacts").json()["results"]) == 1
    api.call("DELETE", f"/crm/objects/{{v}}/contacts/{id}")
    fake.admin("POST", "purge", {"type": "contacts", "ids": [id]})
    assert api.get("/crm/objects/{v}/contacts", archived="true").json()["results"] == []


def test_no_call_restores_a_record(api: Api) -> None:
    id = api.create(firstname="A")
    api.call("DELETE", f"/crm/objects/{{v}}/contacts/{id}")
    refused(api.patch(f"/crm/objects/{{v}}/contacts/{id}", {"properties": {"firstname": "B"}}), 404)
    refused(api.objects("/restore", {"id": id}), 405, "Not in this fake")


def test_a_gdpr_deletion_leaves_no_trace(fake: Fake, api: Api) -> None:
    id = api.create(email="a@x.example", firstname="A")
    assert api.objects("/gdpr-delete", {"objectId": id}).status_code == 204
    assert api.read(id).status_code == api.read(id, archived="true").status_code == 404
    assert api.get("/crm/objects/{v}/contacts", archived="true").json()["results"] == []
    assert api.found() == []
    assert fake.sql("SELECT count(*) FROM history WHERE id = ?", int(id)) == [(0,)]
    assert api.create(email="a@x.example")


def test_an_address_that_nobody_has_goes_to_the_blocklist(api: Api) -> None:
    assert api.objects("/gdpr-delete", {"objectId": "Gone@x.example", "idProperty": "email"}).status_code == 204
    refused(api.objects("", {"properties": {"email": "gone@x.example"}}), 400, "BLOCKLISTED_EMAIL")
    refused(api.objects("/gdpr-delete", {"objectId": "1"}, "companies"), 400, "Not in this fake")
