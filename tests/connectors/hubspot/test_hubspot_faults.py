"""What goes wrong between us and HubSpot ends in a category, a wait or a stop, never in a loop; and what `check` names."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from connectors.base import FatalError, Outcome, RetriableError, WriteOp
from connectors.hubspot import limits
from connectors.hubspot.values import millis_of
from tests.connectors.contract_tools import only, opened, write
from tests.connectors.hubspot.fake.process import Fake
from tests.connectors.hubspot.portal import CONTACT, Portal, creating, held, put, updating

READ, WRITE = "batch/read", "batch/(update|upsert)"


def times(fake: Fake, match: str) -> list[int]:
    """When the calls to a path came in, in milliseconds."""
    return [millis_of(at) for at, path in fake.sql("SELECT at, path FROM calls ORDER BY at") if match in path]


@pytest.mark.parametrize("policy", ["SECONDLY", "TEN_SECONDLY_ROLLING"])
async def test_a_throttled_call_waits_as_its_policy_says_and_then_goes_through(
    fake: Fake, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(limits.PAUSES, "TEN_SECONDLY_ROLLING", 1.5)
    portal = Portal(fake)
    record_id = portal.make("contacts", email="a@x.io")
    async with opened(portal.connector()) as connector:
        await connector.read("contacts", [])
        fake.fault("429", match=READ, policy=policy)
        assert only(await connector.read("contacts", [record_id])).id == record_id
    first, second = times(fake, READ)[-2:]
    assert second - first >= (990 if policy == "SECONDLY" else 1490)


async def test_while_one_is_throttled_no_other_calls_the_account_either(fake: Fake) -> None:
    portal = Portal(fake)
    record_id = portal.make("contacts", email="a@x.io")
    async with opened(portal.connector()) as capture, opened(portal.connector()) as delivery:
        await asyncio.gather(capture.read("contacts", ["1"]), delivery.read("contacts", ["1"]))
        fake.fault("429", match=READ, policy="SECONDLY")
        throttled = asyncio.create_task(capture.read("contacts", [record_id]))
        limiter = capture._client.shared.limiter  # type: ignore[attr-defined]
        while limiter.delay(time.monotonic()) == 0:  # until the refusal has come back
            await asyncio.to_thread(fake.admin, "GET", "health")
        await asyncio.gather(throttled, delivery.read("contacts", [record_id]))
    calls = [(millis_of(at), status) for at, status in fake.sql("SELECT at, status FROM calls ORDER BY at")]
    refused = next(place for place, (_, status) in enumerate(calls) if status == 429)
    assert [status for _, status in calls[refused + 1 :]] == [200, 200]
    assert calls[refused + 1][0] - calls[refused][0] >= 990, "of whichever connection the next call is"


async def test_a_spent_day_is_told_with_the_time_until_it_begins_anew(fake: Fake) -> None:
    portal = Portal(fake)
    async with opened(portal.connector()) as connector:
        fake.fault("429", match=READ, policy="DAILY", times=0)
        with pytest.raises(RetriableError) as caught:
            await connector.read("contacts", ["1"])
        assert caught.value.throttled and 15 < caught.value.retry_after <= 25 * 3600
        calls = len(times(fake, READ))
        with pytest.raises(RetriableError):
            await connector.read("contacts", ["1"])
        assert len(times(fake, READ)) == calls, "nothing is sent before"


@pytest.mark.parametrize("kind", ["423", "500", "502", "503", "504", "cut_before", "cut_after"])
async def test_a_read_that_fails_in_passing_is_made_again(fake: Fake, kind: str) -> None:
    fake.turn(lock_seconds=0.1)
    portal = Portal(fake)
    record_id = portal.make("contacts", email="a@x.io")
    async with opened(portal.connector()) as connector:
        fake.fault(kind, match=READ)
        assert only(await connector.read("contacts", [record_id])).id == record_id


@pytest.mark.parametrize("kind", ["500", "503", "423"])
async def test_an_account_that_goes_on_failing_is_said_to_be_down(fake: Fake, kind: str) -> None:
    fake.turn(lock_seconds=0.1)
    portal = Portal(fake)
    async with opened(portal.connector()) as connector:
        fake.fault(kind, match=READ, times=0)
        with pytest.raises(RetriableError) as caught:
            await connector.read("contacts", ["1"])
        assert not caught.value.throttled
        assert len(times(fake, READ)) <= 3


async def test_a_migration_is_waited_out_as_long_as_it_says(fake: Fake) -> None:
    fake.turn(migration_seconds=7200)
    portal = Portal(fake)
    async with opened(portal.connector()) as connector:
        fake.fault("477", match=READ, times=0)
        with pytest.raises(RetriableError) as caught:
            await connector.read("contacts", ["1"])
        assert 7000 < caught.value.retry_after <= 7201


@pytest.mark.parametrize("kind", ["cut_before", "cut_after", "500", "504"])
async def test_a_create_whose_answer_is_lost_is_not_made_twice(fake: Fake, kind: str) -> None:
    portal = Portal(fake)
    each = creating("l", {"email": "a@x.io"})
    async with opened(portal.connector()) as connector:
        fake.fault(kind, match=WRITE)
        assert only(await put(connector, "contacts", each)).outcome is Outcome.UNKNOWN
    async with opened(portal.connector()) as connector:
        again = only(await put(connector, "contacts", each))
        assert (again.outcome, held(again.record, "email")) == (Outcome.APPLIED, ["a@x.io"])
    assert portal.count("contacts") == 1


async def test_what_a_person_has_edited_since_is_not_overwritten_by_a_create_that_comes_again(fake: Fake) -> None:
    portal = Portal(fake)
    each = creating("l", {"email": "a@x.io", "firstname": "ours"})
    async with opened(portal.connector()) as connector:
        fake.fault("cut_after", match=WRITE)
        assert only(await put(connector, "contacts", each)).outcome is Outcome.UNKNOWN
        (record_id,) = (str(one) for (one,) in fake.sql("SELECT id FROM records WHERE object = 'contacts'"))
        portal.edit("contacts", record_id, firstname="theirs")
        again = only(await put(connector, "contacts", each))
        assert (again.outcome, again.id, held(again.record, "firstname")) == (Outcome.APPLIED, record_id, ["theirs"])
    assert portal.values("contacts", record_id, "firstname") == {"firstname": "theirs"}


@pytest.mark.parametrize("kind", ["cut_before", "cut_after"])
async def test_an_association_whose_answer_is_lost_is_made_up_for(fake: Fake, kind: str) -> None:
    portal = Portal(fake, {"contacts": ("email", "company_id")})
    acme = portal.make("companies", name="A")
    each = creating("l", {"email": "a@x.io", "company_id": acme})
    async with opened(portal.connector()) as connector:
        fake.fault(kind, match="associations/.*/create")
        assert only(await put(connector, "contacts", each)).outcome is Outcome.UNKNOWN
    async with opened(portal.connector()) as connector:
        again = only(await put(connector, "contacts", each))
        assert (again.outcome, held(again.record, "company_id")) == (Outcome.APPLIED, [acme])
    assert portal.count("contacts") == 1


async def test_an_update_whose_answer_is_lost_is_compared_when_it_comes_again(fake: Fake) -> None:
    portal = Portal(fake)
    record_id = portal.make("contacts", email="a@x.io", firstname="old")
    each = updating("l", record_id, {"firstname": "new"}, expect={"firstname": "old"})
    async with opened(portal.connector()) as connector:
        fake.fault("cut_after", match=WRITE)
        assert only(await put(connector, "contacts", each)).outcome is Outcome.UNKNOWN
        again = only(await put(connector, "contacts", each))
        assert (again.outcome, held(again.record, "firstname")) == (Outcome.UNCHANGED, ["new"])


async def test_a_lock_in_the_middle_leaves_what_is_done_answered_and_the_rest_to_be_tried(fake: Fake) -> None:
    fake.turn(lock_seconds=60)
    portal = Portal(fake)
    ids = portal.make_many("contacts", ({"email": f"p{n}@x.io"} for n in range(3)))
    writes = [
        creating("c", {"email": "c@x.io"}),
        *(updating(f"l{n}", one, {"firstname": "x"}) for n, one in enumerate(ids)),
    ]
    async with opened(portal.connector()) as connector:
        fake.fault("423", match="batch/update", times=0)
        results = await put(connector, "contacts", *writes)
        assert {result.outcome for result in results[1:]} == {Outcome.RETRY}
        assert results[0].outcome in (Outcome.UNKNOWN, Outcome.APPLIED)
        fake.admin("DELETE", "faults")
        again = await put(connector, "contacts", *writes)
        assert {result.outcome for result in again} == {Outcome.APPLIED}
    assert portal.count("contacts") == 4


# ---------------------------------------------------------------- tokens and scopes


def oauth(fake: Fake, **more: str) -> dict[str, Any]:
    app = fake.admin("GET", "app")
    return {"token": None, **{name: app[name] for name in ("client_id", "client_secret", "refresh_token")}, **more}


async def test_an_access_token_that_runs_out_is_renewed(fake: Fake) -> None:
    fake.turn(access_token_seconds=1)
    portal = Portal(fake, **oauth(fake))
    record_id = portal.make("contacts", email="a@x.io")
    async with opened(portal.connector()) as connector:
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            assert only(await connector.read("contacts", [record_id])).id == record_id
    assert len(fake.sql("SELECT 1 FROM calls WHERE path LIKE '%/token'")) >= 2


async def test_a_token_that_was_revoked_before_its_time_is_renewed_once(fake: Fake) -> None:
    portal = Portal(fake, **oauth(fake))
    record_id = portal.make("contacts", email="a@x.io")
    async with opened(portal.connector()) as connector:
        for one in fake.admin("GET", "tokens")["results"]:
            if one["kind"] != "service":
                fake.admin("PATCH", "tokens", {"token": one["token"], "revoked": True})
        assert only(await connector.read("contacts", [record_id])).id == record_id


@pytest.mark.parametrize("status", ["401", "530"])
async def test_a_revoked_key_stops_and_a_new_one_goes_on(fake: Fake, status: str) -> None:
    fake.turn(malformed_token_status=status)
    portal = Portal(fake)
    record_id = portal.make("contacts", email="a@x.io")
    async with opened(portal.connector()) as connector:
        fake.admin("PATCH", "tokens", {"token": fake.token, "revoked": True})
        with pytest.raises(FatalError, match="revoked") as caught:
            await connector.read("contacts", [record_id])
        assert fake.token not in str(caught.value)
    with pytest.raises(FatalError):
        async with opened(portal.connector(token="no-token-at-all")):
            pass
    token = fake.admin("POST", "tokens", {})["token"]
    async with opened(portal.connector(token=token)) as connector:
        assert only(await connector.read("contacts", [record_id])).id == record_id
    fake.admin("PATCH", "tokens", {"token": fake.token, "revoked": False})


async def test_a_refresh_token_that_is_no_longer_good_stops_with_what_to_do(fake: Fake) -> None:
    portal = Portal(fake, **oauth(fake, refresh_token="gone-for-good"))
    with pytest.raises(FatalError, match="refuses") as caught:
        async with opened(portal.connector()):
            pass
    assert "refresh_token" in caught.value.remedy
    assert "gone-for-good" not in str(caught.value) + caught.value.remedy


async def test_check_names_each_missing_scope(fake: Fake) -> None:
    without = [
        "crm.objects.contacts.write",
        "crm.schemas.contacts.write",
        "crm.objects.deals.read",
        "crm.objects.owners.read",
    ]
    token = fake.admin("POST", "tokens", {"without": without})["token"]
    portal = Portal(
        fake, {"contacts": (*CONTACT, "hubspot_owner_id"), "deals": ("dealname",), "companies": ("name",)}, token=token
    )
    connector = portal.connector()
    health = await connector.check()
    await connector.close()
    said = " ".join(problem.message for problem in health.problems)
    assert [scope for scope in without if scope not in said] == []
    assert "4242001" in health.version
    scoped = portal.connector(token=fake.token)
    assert (await scoped.check()).problems == ()
    await scoped.close()
    assert portal.count("contacts") == 0


async def test_check_names_the_scopes_for_records_also_where_their_definitions_may_not_be_read(fake: Fake) -> None:
    without = [
        "crm.schemas.companies.read",
        "crm.schemas.companies.write",
        "crm.objects.companies.read",
        "crm.objects.companies.write",
    ]
    token = fake.admin("POST", "tokens", {"without": without})["token"]
    connector = Portal(fake, {"contacts": CONTACT, "companies": ("name",)}, token=token).connector()
    problems = (await connector.check()).problems
    await connector.close()
    assert [scope for scope in without if scope not in " ".join(one.message for one in problems)] == []
    assert len(problems) == len(without)


async def test_check_says_that_a_token_is_no_good(fake: Fake) -> None:
    connector = Portal(fake).connector(token="nonsense")
    problem = only((await connector.check()).problems)
    await connector.close()
    assert problem.fatal and "nonsense" not in problem.message


async def test_a_token_that_is_no_good_is_said_once_and_not_of_every_object(fake: Fake) -> None:
    connector = Portal(fake).connector(token="nonsense")
    with pytest.raises(FatalError, match="token"):
        await connector.discover()
    await connector.close()


async def test_an_object_that_the_token_may_not_see_says_so_in_the_catalog(fake: Fake) -> None:
    token = fake.admin(
        "POST", "tokens", {"without": ["crm.schemas.deals.read", "crm.objects.deals.read", "crm.schemas.deals.write"]}
    )["token"]
    async with opened(Portal(fake, token=token).connector()) as connector:
        catalog = await connector.discover()
    assert "crm." in catalog.objects["deals"].problems[0] and catalog.objects["contacts"].problems == ()


async def test_a_scope_for_writing_that_is_taken_away_is_a_matter_of_the_records_that_need_it(fake: Fake) -> None:
    without = ["crm.objects.contacts.write"]
    token = fake.admin("POST", "tokens", {"without": without})["token"]
    portal = Portal(fake, {"contacts": CONTACT, "companies": ("name",)}, token=token)
    one, two = portal.make("contacts", email="a@x.io"), portal.make("contacts", email="b@x.io")
    async with opened(portal.connector()) as connector:
        answers = await put(
            connector,
            "contacts",
            creating("c", {"email": "c@x.io"}),
            updating("u", one, {"firstname": "U"}),
            write(WriteOp.DELETE, "d", id=two),
        )
        assert [(one.outcome, one.category) for one in answers] == [(Outcome.REJECTED, "permission")] * 3
        assert all(without[0] in (one.message or "") for one in answers)
        assert only(await put(connector, "companies", creating("f", {"name": "F"}))).outcome is Outcome.APPLIED
    assert portal.count("contacts") == 2


async def test_a_token_that_was_revoked_is_noticed_at_the_next_opening(fake: Fake) -> None:
    token = fake.admin("POST", "tokens", {})["token"]
    portal = Portal(fake, token=token)
    async with opened(portal.connector()):
        fake.admin("PATCH", "tokens", {"token": token, "revoked": True})
        with pytest.raises(FatalError, match="token"):
            await portal.connector().open()


# ---------------------------------------------------------------- one budget


async def test_two_connections_keep_to_one_budget(fake: Fake) -> None:
    portal = Portal(fake, searches=5)
    fake.turn(search_rate=5)
    record_id = portal.make("contacts", email="a@x.io")
    async with opened(portal.connector()) as capture, opened(portal.connector()) as delivery:
        reader = [one._reader.client for one in (capture, delivery)]  # type: ignore[attr-defined]

        async def search(number: int) -> None:
            await reader[number % 2].ask("/crm/objects/2026-09/contacts/search", "searching", {"limit": 1})

        await asyncio.gather(*map(search, range(14)))
    statuses = [status for (status,) in fake.sql("SELECT status FROM calls WHERE path LIKE '%/search'")]
    assert statuses == [200] * 14
    assert record_id


async def test_no_secret_is_logged_or_told(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("", "httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)
    portal = Portal(fake, **oauth(fake))
    async with opened(portal.connector()) as connector:
        fake.fault("500", match=READ, times=0)
        with pytest.raises(RetriableError) as caught:
            await connector.read("contacts", ["1"])
    app = fake.admin("GET", "app")
    issued = [one["token"] for one in fake.admin("GET", "tokens")["results"]]
    said = caplog.text + str(caught.value) + repr(portal.settings())
    assert not any(secret in said for secret in (app["client_secret"], app["refresh_token"], *issued))
