"""A create makes one record, whatever breaks off behind it; and what was not done is done later, not given up."""

from __future__ import annotations

import pytest

from connectors.base import Outcome, RetriableError, WriteOp
from connectors.hubspot import client as wire
from connectors.hubspot.client import Answer, Client, RefusedError
from connectors.hubspot.errors import Json, refusal_of
from tests.connectors.contract_tools import only, opened
from tests.connectors.contract_tools import write as command
from tests.connectors.hubspot.fake.process import Fake
from tests.connectors.hubspot.portal import CONTACT, Portal, creating, put

DEALS = {"deals": ("dealname", "company_id"), "contacts": CONTACT, "companies": ("name",)}


def portal_of(fake: Fake, *, scoped: bool = False) -> Portal:
    """One whose deals cannot have our unique property."""
    token = fake.admin("POST", "tokens", {"without": [] if scoped else ["crm.schemas.deals.write"]})["token"]
    return Portal(fake, DEALS, token=token)


@pytest.mark.parametrize("match", ["associations", "objects/.*/batch/read"])
async def test_what_breaks_off_behind_a_create_makes_no_second_record(fake: Fake, match: str) -> None:
    """The account fails before the record is read back. Nothing in the portal tells that it is ours."""
    portal = portal_of(fake)
    acme = portal.make("companies", name="A")
    each = creating("l", {"dealname": "D", "company_id": acme})
    fake.fault("500", match=match, times=wire.ATTEMPTS)
    async with opened(portal.connector()) as connector:
        assert only(await put(connector, "deals", each)).outcome is Outcome.UNKNOWN
    assert portal.count("deals") == 1
    async with opened(portal.connector()) as connector:
        again = only(await put(connector, "deals", each))
        assert again.outcome is Outcome.APPLIED
        assert again.record is not None and again.record.values["company_id"] == acme
        assert portal.count("deals") == 1
        # It has been answered: another create of this link, after a deletion say, makes another record.
        assert only(await put(connector, "deals", creating("l", {"dealname": "D"}))).outcome is Outcome.APPLIED
    assert portal.count("deals") == 2


@pytest.mark.parametrize("scoped", [True, False])
async def test_a_create_whose_association_is_refused_makes_no_second_record_without_it(
    fake: Fake, scoped: bool
) -> None:
    portal = portal_of(fake, scoped=scoped)
    async with opened(portal.connector()) as connector:
        refused = only(await put(connector, "deals", creating("l", {"dealname": "D", "company_id": "987654"})))
        assert (refused.outcome, refused.category, refused.field) == (Outcome.REJECTED, "association", "company_id")
        again = only(await put(connector, "deals", creating("l", {"dealname": "D"})))
    assert again.outcome is Outcome.EXISTS
    assert again.record is not None and again.record.values["dealname"] == "D"
    assert portal.count("deals") == 1


async def test_a_create_that_made_a_record_which_is_gone_makes_another(fake: Fake) -> None:
    portal = portal_of(fake)
    async with opened(portal.connector()) as connector:
        refused = only(await put(connector, "deals", creating("l", {"dealname": "D", "company_id": "987654"})))
        portal.archive("deals", refused.id or "")
        again = only(await put(connector, "deals", creating("l", {"dealname": "D"})))
    assert again.outcome is Outcome.APPLIED
    assert again.id != refused.id


async def test_a_create_that_the_account_did_not_take_is_made_when_it_does(fake: Fake) -> None:
    portal = portal_of(fake)
    each = creating("l", {"dealname": "D"})
    async with opened(portal.connector()) as connector:
        await connector.read("deals", [])
        fake.fault("423", match="batch/create", times=wire.ATTEMPTS)
        assert only(await put(connector, "deals", each)).outcome is Outcome.RETRY
        assert portal.count("deals") == 0
        assert only(await put(connector, "deals", each)).outcome is Outcome.APPLIED


async def test_of_a_batch_in_pieces_what_was_done_is_answered_though_the_account_fails_then(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal = portal_of(fake)
    write, calls = Client.write, 0

    async def failing(client: Client, method: str, path: str, doing: str, body: Json) -> Answer:
        nonlocal calls
        if path.endswith(("/batch/create", "/batch/archive")):
            calls += 1
            if calls == 1:
                raise RefusedError(refusal_of(400, {"category": "VALIDATION_ERROR", "message": "one of them"}))
            if calls == 3:
                raise RetriableError("it throttles", throttled=True)
        return await write(client, method, path, doing, body)

    monkeypatch.setattr(Client, "write", failing)
    writes = [creating(f"l{number}", {"dealname": f"D{number}"}) for number in range(4)]
    async with opened(portal.connector()) as connector:
        results = await put(connector, "deals", *writes)
        assert [one.outcome for one in results] == [Outcome.APPLIED] * 2 + [Outcome.RETRY] * 2
        assert portal.count("deals") == 2
        later = await put(connector, "deals", *writes[2:])
        assert [one.outcome for one in later] == [Outcome.APPLIED] * 2
        calls = 0
        made = [one.id for one in (*results[:2], *later)]
        gone = [command(WriteOp.DELETE, f"l{number}", id=record_id) for number, record_id in enumerate(made)]
        removed = await put(connector, "deals", *gone)
        assert [one.outcome for one in removed] == [Outcome.APPLIED] * 2 + [Outcome.RETRY] * 2
    assert portal.count("deals") == 2
