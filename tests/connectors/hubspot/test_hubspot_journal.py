"""The Webhooks Journal, where a project app's credentials permit it: what it tells, and what is below it when it does not."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.hubspot.journal import covers, named
from tests.connectors.contract_tools import only
from tests.connectors.hubspot.fake.process import Fake
from tests.connectors.hubspot.portal import CONTACT, Portal, next_changes, told

SLOW: dict[str, Any] = {"poll": 3600, "associations_every": 3600, "archived_every": 3600}  # the journal alone tells
FIELDS = {"contacts": (*CONTACT, "company_id"), "companies": ("name",)}


def with_journal(fake: Fake, fields: Any = None, **settings: Any) -> Portal:
    app = fake.admin("GET", "app")
    given = {"journal": True, "client_id": app["client_id"], "client_secret": app["client_secret"], **SLOW, **settings}
    return Portal(fake, fields or FIELDS, **given)


async def test_the_journal_tells_of_all_that_happens(fake: Fake) -> None:
    portal = with_journal(fake)
    ann, acme = portal.make("contacts", email="ann@x.io"), portal.make("companies", name="A")
    async with portal.running() as (_, log):
        await log.settled()
        portal.edit("contacts", ann, firstname="Ann")
        assert only(await next_changes(log)).values["firstname"] == "Ann"
        portal.relate("contacts", ann, "companies", acme, 1)
        assert only(await next_changes(log)).values["company_id"] == acme
        portal.archive("contacts", ann)
        assert told(await next_changes(log)) == [("delete", ann, None)]
        portal.restore("contacts", ann)
        assert told(await next_changes(log)) == [("upsert", ann, None)]
        anne = portal.make("contacts", email="anne@x.io")
        assert told(await next_changes(log)) == [("upsert", anne, None)]
        survivor = portal.merge("contacts", ann, anne)
        assert set(told(await next_changes(log, 3))) == {
            ("merge", ann, survivor), ("merge", anne, survivor), ("upsert", survivor, None),
        }  # fmt: skip
        portal.gdpr_delete(survivor)
        assert told(await next_changes(log)) == [("delete", survivor, None)]


async def test_what_happened_while_nobody_read_is_told_by_the_journal_and_nothing_twice(fake: Fake) -> None:
    portal = with_journal(fake)
    ann = portal.make("contacts", email="ann@x.io")
    async with portal.running(last=False) as (_, log):
        await log.settled()
        portal.edit("contacts", ann, firstname="one")
        await next_changes(log)
        await log.settled()
        await log.store()
    portal.edit("contacts", ann, firstname="two")
    async with portal.running() as (_, log):
        assert only(await next_changes(log)).values["firstname"] == "two"
        assert await log.changes() == []
    assert len(fake.sql("SELECT 1 FROM calls WHERE path LIKE '%subscriptions%' AND method = 'POST'")) == 4


async def test_a_journal_that_does_not_reach_back_is_made_up_for_by_looking_at_everything(fake: Fake) -> None:
    portal = with_journal(fake)
    ann, bob = portal.make("contacts", email="ann@x.io"), portal.make("contacts", email="bob@x.io")
    async with portal.running(last=False) as (_, log):
        await log.settled()
        portal.edit("contacts", ann, firstname="one")
        await next_changes(log)
        await log.settled()
        await log.store()
    fake.turn(journal_retention=0)
    portal.edit("contacts", ann, firstname="two")
    portal.gdpr_delete(bob)
    async with portal.running() as (_, log):
        assert set(told(await next_changes(log, 2))) == {("upsert", ann, None), ("delete", bob, None)}
    fake.turn(journal_retention=259_200)


async def test_a_file_that_cannot_be_fetched_is_asked_for_twice_and_then_looking_goes_on_without_it(fake: Fake) -> None:
    portal = with_journal(fake, {"contacts": CONTACT}, poll=0.05)
    ann = portal.make("contacts", email="ann@x.io")
    async with portal.running() as (_, log):
        await log.settled()
        fake.turn(journal_url_seconds=-1)  # its addresses are too old when they come
        before = fake.calls()["last"]
        portal.edit("contacts", ann, firstname="Ann")
        assert only(await next_changes(log)).values["firstname"] == "Ann"
        portal.edit("contacts", ann, firstname="Anna")
        assert only(await next_changes(log)).values["firstname"] == "Anna"
        await log.settled()
        routes = {one["route"]: one["count"] for one in fake.calls(before)["results"]}
    assert sum(count for route, count in routes.items() if "journal" in route) <= 6, routes


@pytest.mark.parametrize("scopes", [["crm.objects.contacts.read"], []])
async def test_without_the_permission_looking_goes_on_as_ever(fake: Fake, scopes: list[str]) -> None:
    fake.admin("PATCH", "app", {"scopes": scopes})
    portal = with_journal(fake, {"contacts": CONTACT}, poll=0.05)
    async with portal.running() as (_, log):
        record_id = portal.make("contacts", email="ann@x.io")
        assert told(await next_changes(log)) == [("upsert", record_id, None)]


@pytest.mark.parametrize("permitted", [True, False])
async def test_check_says_whether_the_journal_may_be_read(fake: Fake, permitted: bool) -> None:
    if not permitted:
        fake.admin("PATCH", "app", {"scopes": ["crm.objects.contacts.read"]})
    connector = with_journal(fake, {"contacts": CONTACT}).connector()
    problems = (await connector.check()).problems
    await connector.close()
    assert [problem.fatal for problem in problems] == ([] if permitted else [False])
    assert permitted or "journal" in problems[0].message


def test_events_of_other_portals_are_none_of_ours() -> None:
    events = [
        {"portalId": 1, "objectTypeId": "0-1", "objectId": 5},
        {"portalId": 2, "objectTypeId": "0-1", "objectId": 6},
        {"portalId": 1, "fromObjectTypeId": "0-1", "fromObjectId": 7, "toObjectTypeId": "0-2", "toObjectId": 8},
        {"portalId": 1, "objectTypeId": "0-1", "primaryObjectId": 9, "mergedObjectIds": [10, 9], "newObjectId": 11},
    ]
    assert named(events, "1") == {"0-1": ("5", "7", "9", "11", "10"), "0-2": ("8",)}


def test_a_subscription_that_tells_less_does_not_do() -> None:
    wanted = {
        "portalId": 1,
        "subscriptionType": "OBJECT",
        "objectTypeId": "0-1",
        "actions": ["UPDATE"],
        "properties": ["email"],
    }
    assert covers(wanted | {"id": 7, "properties": ["phone", "email"]}, wanted)
    assert not covers(wanted | {"properties": ["phone"]}, wanted)
    assert not covers(wanted | {"actions": ["CREATE"]}, wanted)
    assert not covers(wanted | {"objectTypeId": "0-2"}, wanted)
    assert not covers(wanted | {"portalId": 2}, wanted)
