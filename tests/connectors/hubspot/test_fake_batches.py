"""The fake: batches, their sizes, and what fails together or alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.connectors.hubspot.conftest import Api, refused
from tests.connectors.hubspot.fake.process import Fake


def contacts(*emails: str, traced: bool = False, **more: str) -> dict[str, Any]:
    """The body of a batch create."""
    inputs = [{"properties": {"email": email, **more}} for email in emails]
    return {
        "inputs": [{**each, "objectWriteTraceId": f"t{place}"} for place, each in enumerate(inputs)]
        if traced
        else inputs
    }


@pytest.mark.parametrize("what", ["create", "read", "update", "upsert", "archive"])
def test_a_batch_has_a_hundred_inputs_at_most(api: Api, what: str) -> None:
    each = {"id": "1", "properties": {}, "idProperty": "email"}
    keys = {"create": ["properties"], "read": ["id"], "update": ["id", "properties"], "archive": ["id"]}.get(
        what, list(each)
    )
    inputs = [{key: f"{each[key]}{number}" if key == "id" else each[key] for key in keys} for number in range(101)]
    refused(api.objects(f"/batch/{what}", {"inputs": inputs}), 400, "100")
    refused(api.objects(f"/batch/{what}", {"inputs": []}), 400)


def test_a_create_without_trace_ids_is_all_or_nothing(api: Api) -> None:
    refused(api.objects("/batch/create", contacts("a@x.example", "b@x.example", "a@x.example")), 409, "CONFLICT")
    assert api.get("/crm/objects/{v}/contacts").json()["results"] == []


def test_trace_ids_that_repeat_do_not_make_it_partial(api: Api) -> None:
    body = contacts("a@x.example", "a@x.example", traced=True)
    for each in body["inputs"]:
        each["objectWriteTraceId"] = "same"
    refused(api.objects("/batch/create", body), 409)


def test_with_trace_ids_what_can_be_created_is_and_errors_name_their_input(fake: Fake, api: Api) -> None:
    body = contacts("a@x.example", "b@x.example", "a@x.example", traced=True)
    answer = api.objects("/batch/create", body)
    assert answer.status_code == 201
    assert {each["objectWriteTraceId"]: each["properties"]["email"] for each in answer.json()["results"]} == {
        "t0": "a@x.example",
        "t1": "b@x.example",
    }
    assert answer.json()["numErrors"] == 1
    assert answer.json()["errors"][0]["category"] == "CONFLICT"
    assert answer.json()["errors"][0]["context"]["objectWriteTraceId"] == ["t2"]
    fake.turn(partial_status=207)
    assert api.objects("/batch/create", contacts("c@x.example", "c@x.example", traced=True)).status_code == 207


def test_a_trace_id_is_no_idempotency_key(api: Api) -> None:
    body = {"inputs": [{"properties": {"firstname": "A"}, "objectWriteTraceId": "t"}]}
    assert (
        api.objects("/batch/create", body).json()["results"][0]["id"]
        != api.objects("/batch/create", body).json()["results"][0]["id"]
    )


def test_results_come_in_another_order_than_the_inputs(fake: Fake, api: Api) -> None:
    emails = [f"p{number}@x.example" for number in range(20)]
    made = api.objects("/batch/create", contacts(*emails)).json()["results"]
    assert [each["properties"]["email"] for each in made] != emails
    ids = sorted((each["id"] for each in made), key=int)
    body = {"inputs": [{"id": id} for id in ids], "properties": ["email"]}
    assert [each["id"] for each in api.objects("/batch/read", body).json()["results"]] != ids
    fake.turn(shuffle=False)
    assert [each["id"] for each in api.objects("/batch/read", body).json()["results"]] == ids


def test_an_id_that_comes_twice_is_refused(fake: Fake, api: Api) -> None:
    id = api.create(firstname="A")
    twice = {"inputs": [{"id": id, "properties": {"firstname": name}} for name in "BC"]}
    refused(api.objects("/batch/update", twice), 400, "DUPLICATE_ID")
    refused(api.objects("/batch/read", {"inputs": [{"id": id}, {"id": id}]}), 400, "DUPLICATE_ID")
    fake.turn(repeated_id="accept")
    assert api.objects("/batch/update", twice).status_code == 200
    assert api.values(id, "firstname") == {"firstname": "C"}


def test_a_read_names_what_is_not_there_in_its_errors(api: Api) -> None:
    id = api.create(firstname="A")
    answer = api.objects("/batch/read", {"inputs": [{"id": id}, {"id": "99999"}], "properties": ["firstname"]})
    assert answer.status_code == 200
    assert [each["id"] for each in answer.json()["results"]] == [id]
    assert answer.json()["errors"][0]["category"] == "OBJECT_NOT_FOUND"
    assert answer.json()["errors"][0]["context"]["ids"] == ["99999"]


def test_a_batch_is_read_by_a_unique_property_and_knows_no_associations(api: Api) -> None:
    id = api.create(email="a@x.example")
    body = {"inputs": [{"id": "a@x.example"}], "idProperty": "email", "properties": ["email"]}
    assert [each["id"] for each in api.objects("/batch/read", body).json()["results"]] == [id]
    refused(api.objects("/batch/read", {**body, "associations": ["companies"]}), 400, "Not in this fake")


def unique(fake: Fake, name: str = "sync_id") -> None:
    fake.admin("POST", "properties", {"objectType": "contacts", "name": name, "unique": True})


def test_an_upsert_by_a_unique_property_is_partial_and_says_what_is_new(fake: Fake, api: Api) -> None:
    unique(fake)
    first = {"inputs": [{"id": "k1", "idProperty": "sync_id", "properties": {"firstname": "A", "phone": "1"}}]}
    (made,) = api.objects("/batch/upsert", first).json()["results"]
    again = {"inputs": [{"id": "k1", "idProperty": "sync_id", "properties": {"firstname": "B"}}]}
    (changed,) = api.objects("/batch/upsert", again).json()["results"]
    assert (made["new"], changed["new"], changed["id"]) == (True, False, made["id"])
    assert api.values(made["id"], "firstname", "phone", "sync_id") == {"firstname": "B", "phone": "1", "sync_id": "k1"}


def test_a_partial_upsert_by_email_blanks_what_it_does_not_name(fake: Fake, api: Api) -> None:
    id = api.create(email="a@x.example", firstname="A", phone="1")
    body = {"inputs": [{"id": "a@x.example", "idProperty": "email", "properties": {"firstname": "B"}}]}
    assert api.objects("/batch/upsert", body).json()["results"][0]["new"] is False
    assert api.values(id, "email", "firstname", "phone") == {"email": "a@x.example", "firstname": "B"}
    fake.turn(upsert_by_email="refuse")
    refused(api.objects("/batch/upsert", body), 400, "Partial upserts")


def test_an_upsert_by_what_is_not_unique_is_refused(api: Api) -> None:
    for by in ("firstname", "hs_object_id"):
        body = {"inputs": [{"id": "1", "idProperty": by, "properties": {"firstname": "B"}}]}
        refused(api.objects("/batch/upsert", body), 400, "INVALID_ID_PROPERTY")


def test_archiving_what_is_not_there_is_refused_and_takes_the_batch_with_it(fake: Fake, api: Api) -> None:
    id = api.create(firstname="A")
    body = {"inputs": [{"id": id}, {"id": "99999"}]}
    refused(api.objects("/batch/archive", body), 404, "99999")
    assert api.read(id).status_code == 200
    fake.turn(archive_missing="accept")
    assert api.objects("/batch/archive", body).status_code == 204
    assert api.read(id).status_code == 404
    assert api.read(id, archived="true").json()["archivedAt"]
    assert [
        each["id"] for each in api.objects("/batch/read?archived=true", {"inputs": [{"id": id}]}).json()["results"]
    ] == [id]


def test_an_update_with_a_bad_value_writes_nothing_of_the_batch(api: Api) -> None:
    one, two = api.create(firstname="A"), api.create(firstname="B")
    inputs = [{"id": one, "properties": {"firstname": "X"}}, {"id": two, "properties": {"lifecyclestage": "nothing"}}]
    refused(api.objects("/batch/update", {"inputs": inputs}), 400, "INVALID_OPTION")
    assert api.values(one, "firstname") == {"firstname": "A"}
    traced = [{**each, "objectWriteTraceId": str(place)} for place, each in enumerate(inputs)]
    assert len(api.objects("/batch/update", {"inputs": traced}).json()["errors"]) == 1
    assert api.values(one, "firstname") == {"firstname": "X"}
