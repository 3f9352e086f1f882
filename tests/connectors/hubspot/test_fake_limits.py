"""The fake: rate limits, the daily budget, and the headers that say so or do not."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.connectors.hubspot.conftest import Api, refused
from tests.connectors.hubspot.fake.process import Fake
from tests.connectors.hubspot.fake.times import day_in
from tests.deploy.watching import until

LIST = "/crm/objects/{v}/contacts"


@pytest.fixture
def other(fake: Fake, calling: Callable[[str], Api]) -> Api:
    """Another app of the same account."""
    return calling(fake.admin("POST", "tokens", {})["token"])


def test_headers_tell_what_is_left_on_everything_but_a_search(api: Api) -> None:
    headers = [api.get(LIST).headers for _ in range(2)][1]
    assert headers["X-HubSpot-RateLimit-Max"] == "100" and headers["X-HubSpot-RateLimit-Remaining"] == "98"
    assert headers["X-HubSpot-RateLimit-Interval-Milliseconds"] == "10000"
    assert (
        headers["X-HubSpot-RateLimit-Daily"] == "250000" and headers["X-HubSpot-RateLimit-Daily-Remaining"] == "249998"
    )
    assert not [name for name in api.search().headers if "ratelimit" in name.lower()]


def test_the_hundred_and_first_request_in_ten_seconds_is_refused_and_other_apps_are_not(api: Api, other: Api) -> None:
    assert {api.get(LIST).status_code for _ in range(100)} == {200}
    answer = api.get(LIST)
    body = refused(answer, 429)
    assert (body["errorType"], body["policyName"]) == ("RATE_LIMIT", "TEN_SECONDLY_ROLLING")
    assert body["correlationId"] and body["requestId"]
    assert "Retry-After" not in answer.headers and answer.headers["X-HubSpot-RateLimit-Remaining"] == "0"
    assert other.get(LIST).status_code == 200, "the burst is for each app"


def test_five_searches_a_second_are_for_the_account_as_a_whole_and_the_second_passes(
    fake: Fake, api: Api, other: Api
) -> None:
    fake.turn(search_rate=5)
    statuses = [(api, other)[number % 2].search().status_code for number in range(12)]
    assert statuses[:5] == [200] * 5 and 429 in statuses
    answer = api.search()
    while answer.status_code == 200:  # a slow machine: until the second is full
        answer = api.search()
    body = refused(answer, 429)
    assert body["policyName"] == "SECONDLY" and not [name for name in answer.headers if "ratelimit" in name.lower()]
    assert api.get(LIST).status_code == 200, "other calls are not held up"
    assert until(lambda: api.search().status_code == 200, 5)


def test_the_daily_budget_is_shared_by_all_apps(fake: Fake, api: Api, other: Api) -> None:
    fake.turn(daily=3)
    assert [each.get(LIST).status_code for each in (api, other, api)] == [200] * 3
    body = refused(other.get(LIST), 429)
    assert body["policyName"] == "DAILY"
    refused(api.search(), 429, "DAILY")


def test_the_day_ends_at_midnight_of_the_accounts_zone(fake: Fake, api: Api) -> None:
    fake.turn(daily=1, time_zone="Etc/GMT+12")
    api.get(LIST)
    refused(api.get(LIST), 429, "DAILY")
    fake.turn(time_zone="Pacific/Kiritimati")  # 26 hours ahead: always another day
    assert api.get(LIST).status_code == 200
    assert day_in(1_798_779_599_999, "America/New_York") == "2026-12-31"
    assert day_in(1_798_779_600_000, "America/New_York") == "2027-01-01"


def test_associations_have_a_burst_and_a_day_of_their_own(fake: Fake, api: Api) -> None:
    labels = "/crm/associations/{v}/contacts/companies/labels"
    fake.turn(association_burst=2)
    assert [api.get(labels).status_code for _ in range(2)] == [200] * 2
    refused(api.get(labels), 429, "TEN_SECONDLY_ROLLING")
    assert api.get(LIST).status_code == 200
    fake.admin("POST", "limits/reset")
    fake.turn(association_burst=100, association_daily=1)
    api.get(labels)
    refused(api.get(labels), 429, "DAILY")
    assert api.get(LIST).status_code == 200


def test_an_answer_comes_at_once(api: Api) -> None:
    def took() -> float:
        began = time.perf_counter()
        api.get(LIST)
        return time.perf_counter() - began

    assert min(took() for _ in range(20)) < 0.03, "packets that wait for an acknowledgement take 0.04"


def test_retry_after_of_a_429_is_a_knob(fake: Fake, api: Api) -> None:
    fake.turn(burst=1, retry_after_429=7)
    api.get(LIST)
    assert api.get(LIST).headers["Retry-After"] == "7"


def test_a_refused_call_is_counted_in_the_log_and_not_in_the_budget(fake: Fake, api: Api) -> None:
    fake.turn(burst=1)
    for _ in range(3):
        api.get(LIST)
    calls = fake.calls()
    assert (calls["total"], calls["today"]) == (3, 1)
    assert calls["results"][0]["statuses"] == {"200": 1, "429": 2}


def test_what_people_do_is_neither_limited_nor_counted(fake: Fake, api: Api) -> None:
    fake.turn(burst=1, daily=1, search_rate=1)
    for _ in range(5):
        fake.ui("GET", "/crm/objects/2026-09/contacts")
        fake.ui("POST", "/crm/objects/2026-09/contacts/search", {})
    assert fake.calls()["total"] == 0 and api.get(LIST).status_code == 200


def test_the_log_says_which_properties_each_kind_of_call_asked_for(fake: Fake, api: Api) -> None:
    id = api.create(firstname="A")
    api.read(id, "firstname", "lastname")
    api.objects("/batch/read", {"inputs": [{"id": id}], "properties": ["email"]})
    api.search(properties=["phone"])
    asked = {each["route"]: (each["object"], each["count"], each["properties"]) for each in fake.calls()["results"]}
    assert asked == {
        "POST /crm/objects/{v}/{type}": ("contacts", 1, []),
        "GET /crm/objects/{v}/{type}/{id}": ("contacts", 1, ["firstname", "lastname"]),
        "POST /crm/objects/{v}/{type}/batch/read": ("contacts", 1, ["email"]),
        "POST /crm/objects/{v}/{type}/search": ("contacts", 1, ["phone"]),
    }
    assert fake.calls(after=fake.calls()["last"])["results"] == []
    assert fake.sql("SELECT status, object FROM calls ORDER BY seq LIMIT 1") == [(201, "contacts")]
