"""The fake: search, its caps, its delay, and what it does not show."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.connectors.hubspot.conftest import Api, refused, where
from tests.connectors.hubspot.fake.process import Fake
from tests.deploy.watching import until


def filled(fake: Fake, count: int, kind: str = "contacts", **properties: str) -> list[str]:
    """So many records, made by a person."""
    ids = []
    for start in range(0, count, 100):
        inputs = [{"properties": properties} for _ in range(min(100, count - start))]
        made = fake.ui("POST", f"/crm/objects/2026-09/{kind}/batch/create", {"inputs": inputs})
        ids += [each["id"] for each in made["results"]]
    return sorted(ids, key=int)


@pytest.mark.parametrize(
    ("filter", "names"),
    [
        (where("firstname", "EQ", "Ann"), "A"),
        (where("firstname", "NEQ", "Ann"), "BC"),
        (where("firstname", "IN", "Ann", "Cid"), "AC"),
        (where("firstname", "NOT_IN", "Ann", "Cid"), "B"),
        (where("phone", "HAS_PROPERTY"), "B"),
        (where("phone", "NOT_HAS_PROPERTY"), "AC"),
        (where("hs_legal_basis", "EQ", "contract"), "AB"),
        (where("hs_legal_basis", "IN", "consent", "contract"), "AB"),
        (where("hs_legal_basis", "NOT_IN", "consent"), "A"),
        (where("lastmodifieddate", "BETWEEN", "0", "9999999999999"), "ABC"),
        (where("lastmodifieddate", "LT", "2020-01-01T00:00:00Z"), ""),
    ],
)
def test_a_filter_finds_what_it_says(api: Api, filter: dict[str, Any], names: str) -> None:
    made = {
        "A": api.create(firstname="Ann", hs_legal_basis="interest;contract"),
        "B": api.create(firstname="Ben", phone="1", hs_legal_basis="contract;consent"),
        "C": api.create(firstname="Cid"),
    }
    assert sorted(api.found(filter)) == sorted(made[name] for name in names)


def test_numbers_and_ids_compare_as_numbers_dates_as_dates(api: Api) -> None:
    low, high = api.create("products", price="9"), api.create("products", price="10.5")
    assert api.found(where("price", "GT", "9"), kind="products") == [high]
    assert api.found(where("hs_object_id", "LTE", low), kind="products") == [low]
    early = api.create("0-53", hs_due_date="2026-03-28")
    api.create("0-53", hs_due_date="2026-03-29")
    assert api.found(where("hs_due_date", "LT", "1774742400000"), kind="0-53") == [early]
    deal = api.create("deals", closedate="2026-03-29T00:00:00.500Z")
    assert api.found(where("closedate", "EQ", "1774742400500"), kind="deals") == [deal]
    assert api.found(where("closedate", "GT", "2026-03-29T00:00:00.500Z"), kind="deals") == []


def test_groups_are_joined_by_or_and_are_limited(api: Api) -> None:
    one, two = api.create(firstname="A"), api.create(firstname="B")
    groups = [{"filters": [where("firstname", "EQ", name)]} for name in "AB"]
    assert sorted(
        answer["id"] for answer in api.objects("/search", {"filterGroups": groups}).json()["results"]
    ) == sorted([one, two])
    filter = where("firstname", "HAS_PROPERTY")
    for sizes in ([1] * 6, [7], [6, 6, 6, 1]):
        refused(api.objects("/search", {"filterGroups": [{"filters": [filter] * size} for size in sizes]}), 400)
    assert api.objects("/search", {"filterGroups": [{"filters": [filter] * 6}] * 3}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 201},
        {"limit": 0},
        {"query": "ann"},
        {"sorts": [{"propertyName": "hs_object_id"}, {"propertyName": "email"}]},
        {"sorts": ["hs_object_id"]},
        {"filterGroups": [{"filters": [{"propertyName": "email", "operator": "CONTAINS_TOKEN", "value": "x"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "nickname", "operator": "EQ", "value": "x"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "hs_object_id", "operator": "GT", "value": 5}]}]},
        {"associations": ["companies"]},
    ],
)
def test_a_search_of_another_form_is_refused(api: Api, body: dict[str, Any]) -> None:
    assert api.objects("/search", body).status_code == 400


def test_the_body_of_a_search_has_three_thousand_characters_at_most(fake: Fake, api: Api) -> None:
    many = where("firstname", "IN", *["x" * 10] * 300)
    refused(api.search(many), 400, "QUERY_TOO_LONG")
    fake.turn(search_body_cap=10_000)
    assert api.search(many).status_code == 200


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [("contacts", "lastmodifieddate", "hs_lastmodifieddate"), ("companies", "hs_lastmodifieddate", "lastmodifieddate")],
)
def test_the_wrong_modified_date_finds_nothing_and_says_nothing(api: Api, kind: str, right: str, wrong: str) -> None:
    id = api.create(kind, phone="1")
    assert api.found(where(right, "GT", "0"), kind=kind) == [id]
    answer = api.search(where(wrong, "GT", "0"), kind=kind)
    assert (answer.status_code, answer.json()["total"], answer.json()["results"]) == (200, 0, [])


def test_ten_thousand_results_can_be_reached_and_no_more(fake: Fake, api: Api) -> None:
    ids = filled(fake, 10_100)
    sort = [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]
    last = api.search(sorts=sort, limit=200, after="9800")
    assert last.json()["total"] == 10_100 and last.json()["paging"]["next"]["after"] == "10000"
    refused(api.search(sorts=sort, limit=200, after="10000"), 400, "10000")
    assert api.found(where("hs_object_id", "GT", ids[9_999]), sorts=sort, limit=200) == ids[10_000:]


def test_the_cap_is_a_knob(fake: Fake, api: Api) -> None:
    filled(fake, 30)
    fake.turn(search_cap=20)
    assert api.search(limit=10, after="10").status_code == 200
    refused(api.search(limit=10, after="20"), 400)


def test_what_no_sort_decides_comes_in_no_order_but_pages_are_whole(fake: Fake, api: Api) -> None:
    ids = filled(fake, 100)
    pages = [api.found(limit=50, after=after) for after in ("0", "50")]
    assert pages[0] + pages[1] != ids and sorted(pages[0] + pages[1], key=int) == ids
    by_date = api.found(limit=100, sorts=[{"propertyName": "lastmodifieddate", "direction": "ASCENDING"}])
    assert by_date != ids and sorted(by_date, key=int) == ids, "all have the same date"


def test_a_record_that_is_changed_while_pages_are_read_shifts_them(fake: Fake, api: Api) -> None:
    ids = filled(fake, 4)
    sort = [{"propertyName": "lastmodifieddate", "direction": "ASCENDING"}]
    first = api.found(limit=2, sorts=sort)
    fake.admin("POST", "touch", {"type": "contacts", "ids": [first[0]]})
    second = api.found(limit=2, after="2", sorts=sort)
    assert set(ids) - set(first) - set(second), "one is on neither page"


def test_a_write_is_seen_by_search_after_the_delay_with_its_old_values_until_then(fake: Fake, api: Api) -> None:
    id = api.create(firstname="old")
    fake.turn(index_delay=0.5)
    began = time.monotonic()
    api.patch(f"/crm/objects/{{v}}/contacts/{id}", {"properties": {"firstname": "new"}})
    new = api.create(firstname="new")
    assert api.found(where("firstname", "EQ", "new")) == []
    (stale,) = api.search(properties=["firstname"]).json()["results"]
    assert stale["properties"] == {"firstname": "old"} and api.values(id, "firstname") == {"firstname": "new"}
    assert until(lambda: sorted(api.found(where("firstname", "EQ", "new"))) == sorted([id, new]), 5)
    assert time.monotonic() - began >= 0.5


def test_jitter_lets_records_be_seen_in_another_order_than_they_were_written(fake: Fake, api: Api) -> None:
    fake.turn(index_jitter=0.6)
    ids = [api.create(firstname=str(number)) for number in range(12)]
    seen: list[str] = []

    def all_seen() -> bool:
        seen.extend(sorted(set(api.found(limit=50)) - set(seen), key=int))
        return len(seen) == len(ids)

    assert until(all_seen, 5)
    assert seen != ids


def test_an_older_write_never_hides_a_newer_one_in_the_index(fake: Fake, api: Api) -> None:
    fake.turn(index_jitter=0.3)
    id = api.create(firstname="0")
    for number in range(1, 8):
        api.patch(f"/crm/objects/{{v}}/contacts/{id}", {"properties": {"firstname": str(number)}})
    began = time.monotonic()
    seen: list[str] = []

    def watched() -> bool:
        seen.extend(each["properties"]["firstname"] for each in api.search(properties=["firstname"]).json()["results"])
        return time.monotonic() - began > 0.4

    assert until(watched, 5)
    assert seen == sorted(seen) and seen[-1] == "7"


def test_an_archived_record_is_not_found_once_the_index_knows(fake: Fake, api: Api) -> None:
    id = api.create(firstname="A")
    fake.turn(index_delay=0.3)
    api.call("DELETE", f"/crm/objects/{{v}}/contacts/{id}")
    assert api.found() == [id] and api.read(id).status_code == 404
    assert until(lambda: not api.found(), 5)


def test_the_date_moves_with_any_property_and_nothing_else(fake: Fake, api: Api) -> None:
    contact, company = api.create(firstname="A"), api.create("companies", name="C")
    before = api.read(contact).json()["updatedAt"]
    api.call("PUT", f"/crm/objects/{{v}}/contacts/{contact}/associations/default/companies/{company}")
    assert api.read(contact).json()["updatedAt"] == before
    api.call("DELETE", f"/crm/objects/{{v}}/contacts/{contact}")
    assert api.read(contact, archived="true").json()["updatedAt"] == before
    fake.admin("POST", "restore", {"type": "contacts", "ids": [contact]})
    assert api.read(contact).json()["updatedAt"] == before
    fake.admin("POST", "values", {"type": "contacts", "id": contact, "values": {"num_notes": "3"}})
    assert api.read(contact).json()["updatedAt"] > before


def test_a_restored_record_moves_its_date_if_the_knob_says_so(fake: Fake, api: Api) -> None:
    fake.turn(restore_moves_date=True)
    id = api.create(firstname="A")
    before = api.read(id).json()["updatedAt"]
    api.call("DELETE", f"/crm/objects/{{v}}/contacts/{id}")
    fake.admin("POST", "restore", {"type": "contacts", "ids": [id]})
    assert api.read(id).json()["updatedAt"] > before


def test_an_edited_pipeline_moves_the_dates_of_all_its_deals(fake: Fake, api: Api) -> None:
    here = [api.create("deals", pipeline="83001", dealstage="830011") for _ in range(3)]
    there = api.create("deals", pipeline="default", dealstage="contractsent")
    mark = api.read(there, kind="deals").json()["updatedAt"]
    assert fake.admin("POST", "pipelines", {"type": "deals", "id": "83001", "label": "Renewed"}) == {"moved": 3}
    assert sorted(api.found(where("hs_lastmodifieddate", "GT", mark), kind="deals")) == sorted(here)
    assert api.values(here[0], "pipeline", "dealstage", kind="deals") == {"pipeline": "83001", "dealstage": "830011"}


def test_the_clock_of_the_fake_may_differ_from_ours(fake: Fake, api: Api) -> None:
    fake.turn(clock_offset=3600)
    id = api.create(firstname="A")
    assert api.found(where("lastmodifieddate", "GT", str(int((time.time() + 3000) * 1000)))) == [id]


def test_many_contacts_are_searched_in_time(fake: Fake, api: Api) -> None:
    ids = filled(fake, 5_000, firstname="A", lastname="B", company="C")
    sort = [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]
    took = []
    for start in (0, 1000, 4000):
        began = time.monotonic()
        page = api.found(
            where("lastmodifieddate", "GT", "0"),
            where("hs_object_id", "GT", ids[start]),
            sorts=sort,
            limit=200,
            properties=["email"],
        )
        took.append(time.monotonic() - began)
        assert page == ids[start + 1 : start + 201]
    assert min(took) < 0.2
