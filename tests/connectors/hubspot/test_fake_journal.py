"""The fake: the Webhooks Journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.connectors.hubspot.conftest import Api, refused
from tests.connectors.hubspot.fake.process import Fake
from tests.deploy.watching import until

JOURNAL = "/webhooks-journal/journal/{v}"
SUBSCRIPTIONS = "/webhooks-journal/subscriptions/{v}"
SCOPES = "developer.webhooks_journal.read developer.webhooks_journal.subscriptions.write crm.objects.contacts.read"


@pytest.fixture
def app(fake: Fake, calling: Callable[[str], Api]) -> Api:
    """A caller with an app's own token."""
    form = {**fake.app, "grant_type": "client_credentials", "scope": SCOPES}
    answer = httpx.post(f"{fake.url}/oauth/2026-09/token", data=form, trust_env=False, verify=False)
    return calling(answer.json()["access_token"])


def subscribe(app: Api, *actions: str, type: str = "OBJECT", **more: Any) -> httpx.Response:
    body = {"subscriptionType": type, "objectTypeId": "0-1", "actions": list(actions), **more}
    return app.post(SUBSCRIPTIONS, body)


def events(pointer: dict[str, Any]) -> list[dict[str, Any]]:
    """What is in the file that an answer points to."""
    answer = httpx.get(pointer["url"], trust_env=False, verify=False)
    assert answer.status_code == 200 and answer.json()["offset"] == pointer["currentOffset"], answer.text
    return list(answer.json()["journalEvents"])


def test_events_are_pulled_file_by_file_until_there_is_nothing_new(app: Api, api: Api) -> None:
    assert app.get(f"{JOURNAL}/earliest").status_code == 204
    assert subscribe(app, "CREATE", "UPDATE", "DELETE", properties=["firstname"]).status_code == 201
    id = api.create(firstname="A", phone="1")
    first = app.get(f"{JOURNAL}/earliest").json()
    (event,) = events(first)
    assert (event["action"], event["objectId"], event["properties"]) == ("CREATE", int(id), {"firstname": "A"})
    assert event["portalId"] == 4242001 and event["changeSource"] == "INTEGRATION"
    following = f"{JOURNAL}/offset/{first['currentOffset']}/next"
    assert app.get(following).status_code == 204
    api.patch(f"/crm/objects/{{v}}/contacts/{id}", {"properties": {"phone": "2"}})
    assert app.get(following).status_code == 204, "an update of what nobody asked for"
    api.call("DELETE", f"/crm/objects/{{v}}/contacts/{id}")
    second = app.get(following).json()
    assert [each["action"] for each in events(second)] == ["DELETE"]
    assert app.get(f"{JOURNAL}/latest").json()["currentOffset"] == second["currentOffset"]


def test_files_come_in_batches_of_a_hundred_at_most(fake: Fake, app: Api, api: Api) -> None:
    fake.turn(journal_file_events=2)
    subscribe(app, "CREATE")
    for number in range(7):
        api.create(firstname=str(number))
    first = app.get(f"{JOURNAL}/earliest").json()
    path = f"{JOURNAL}/batch/{first['currentOffset']}/next/"
    pointers = app.get(path + "100").json()["results"]
    assert [len(events(each)) for each in [first, *pointers]] == [2, 2, 2, 1]
    assert len(app.get(path + "2").json()["results"]) == 2
    refused(app.get(path + "101"), 400)
    assert app.get(f"{JOURNAL}/batch/{pointers[-1]['currentOffset']}/next/5").status_code == 204


def test_without_properties_events_carry_none(app: Api, api: Api) -> None:
    subscribe(app, "CREATE")
    api.create(firstname="A")
    assert events(app.get(f"{JOURNAL}/earliest").json())[0]["properties"] == {}


def test_merges_restores_associations_and_gdpr_deletions_are_told(fake: Fake, app: Api, api: Api) -> None:
    subscribe(app, "MERGE", "RESTORE")
    subscribe(app, "ASSOCIATION_ADDED", "ASSOCIATION_REMOVED", type="ASSOCIATION")
    app.post(SUBSCRIPTIONS, {"subscriptionType": "GDPR_PRIVACY_DELETION", "actions": ["GDPR_DELETE"]})
    one, two, company = api.create(firstname="A"), api.create(firstname="B"), api.create("companies", name="C")
    new = api.objects("/merge", {"primaryObjectId": one, "objectIdToMerge": two}).json()["id"]
    pair = f"/crm/objects/{{v}}/contacts/{new}/associations"
    api.call("PUT", f"{pair}/default/companies/{company}")
    api.call("DELETE", f"{pair}/companies/{company}")
    api.call("DELETE", f"/crm/objects/{{v}}/contacts/{new}")
    fake.admin("POST", "restore", {"type": "contacts", "ids": [new]})
    api.objects("/gdpr-delete", {"objectId": new})
    told = events(app.get(f"{JOURNAL}/earliest").json())
    assert [each["action"] for each in told] == [
        "MERGE",
        "ASSOCIATION_ADDED",
        "ASSOCIATION_REMOVED",
        "RESTORE",
        "GDPR_DELETE",
    ]
    assert (told[0]["primaryObjectId"], told[0]["mergedObjectIds"], told[0]["newObjectId"]) == (
        int(one),
        [int(two)],
        int(new),
    )
    assert (told[1]["fromObjectId"], told[1]["toObjectId"], told[2]["associationRemoved"]) == (
        int(new),
        int(company),
        True,
    )
    assert told[3]["changeSource"] == "CRM_UI"


def test_an_event_is_in_a_file_after_the_delay(fake: Fake, app: Api, api: Api) -> None:
    subscribe(app, "CREATE")
    fake.turn(journal_delay=0.3)
    api.create(firstname="A")
    assert app.get(f"{JOURNAL}/earliest").status_code == 204
    assert until(lambda: app.get(f"{JOURNAL}/earliest").status_code == 200, 5)


def test_an_offset_that_is_no_longer_kept_is_refused(fake: Fake, app: Api, api: Api) -> None:
    subscribe(app, "CREATE")
    api.create(firstname="A")
    offset = app.get(f"{JOURNAL}/earliest").json()["currentOffset"]
    fake.turn(journal_retention=0)
    assert until(lambda: app.get(f"{JOURNAL}/offset/{offset}/next").status_code == 404, 5)
    assert app.get(f"{JOURNAL}/earliest").status_code == 204


def test_the_address_of_a_file_is_signed_and_expires_and_takes_no_token(fake: Fake, app: Api, api: Api) -> None:
    subscribe(app, "CREATE")
    api.create(firstname="A")
    url = app.get(f"{JOURNAL}/earliest").json()["url"]
    refused(httpx.get(url, headers={"Authorization": f"Bearer {fake.token}"}, trust_env=False, verify=False), 400)
    refused(httpx.get(url + "0", trust_env=False, verify=False), 403)
    fake.turn(journal_url_seconds=0)
    refused(httpx.get(app.get(f"{JOURNAL}/earliest").json()["url"], trust_env=False, verify=False), 403)


def test_the_journal_needs_an_apps_own_token_which_reads_nothing_else(app: Api, api: Api) -> None:
    refused(api.get(f"{JOURNAL}/earliest"), 403)
    refused(app.get("/crm/objects/{v}/contacts"), 403)
    body = refused(subscribe(app, "CREATE", objectTypeId="0-2"), 403)
    assert body["errors"][0]["context"]["requiredGranularScopes"] == ["crm.objects.companies.read"]


def test_the_journal_is_exempt_from_all_limits(fake: Fake, app: Api) -> None:
    fake.turn(burst=1, daily=1)
    answers = [app.get(f"{JOURNAL}/earliest") for _ in range(5)]
    assert {each.status_code for each in answers} == {204}
    assert not [name for name in answers[0].headers if "ratelimit" in name.lower()]


def test_subscriptions_are_listed_and_ended(app: Api, api: Api) -> None:
    id = subscribe(app, "CREATE").json()["id"]
    assert [each["id"] for each in app.get(SUBSCRIPTIONS).json()["results"]] == [id]
    assert app.call("DELETE", f"{SUBSCRIPTIONS}/{id}").status_code == 204
    api.create(firstname="A")
    assert app.get(f"{JOURNAL}/earliest").status_code == 204


@pytest.mark.parametrize(
    "more",
    [
        {"type": "LIST_MEMBERSHIP"},
        {"objectTypeId": "contacts"},
        {"portalId": 1},
        {"properties": ["lastmodifieddate"]},
        {"properties": ["nickname"]},
    ],
)
def test_what_cannot_be_subscribed_to_is_refused(app: Api, more: dict[str, Any]) -> None:
    refused(subscribe(app, "CREATE", **more), 400)
