"""What people do with associations between two of our calls, of which no date tells."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.base import Outcome
from connectors.hubspot.client import Answer, Client
from connectors.hubspot.errors import Json
from connectors.hubspot.mapping import Shape
from connectors.hubspot.relating import Relating
from tests.connectors.contract_tools import only, opened
from tests.connectors.hubspot.fake.process import Fake
from tests.connectors.hubspot.portal import CONTACT, Portal, creating, held, put, updating

COMPANIES = {"contacts": (*CONTACT, "company_id"), "companies": ("name",)}


async def test_an_association_that_we_did_not_touch_is_in_the_answer_though_somebody_edits_meanwhile(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal = Portal(fake, COMPANIES)
    acme, ann = portal.make("companies", name="A"), portal.make("contacts", email="ann@x.io")
    portal.relate("contacts", ann, "companies", acme, 1)
    write = Client.write

    async def writing(client: Client, method: str, path: str, doing: str, body: Json) -> Answer:
        answer = await write(client, method, path, doing, body)
        if path.endswith("/update"):
            portal.edit("contacts", ann, firstname="theirs")
        return answer

    monkeypatch.setattr(Client, "write", writing)
    async with opened(portal.connector()) as connector:
        result = only(await put(connector, "contacts", updating("l", ann, {"firstname": "ours"})))
    assert held(result.record, "firstname", "company_id") == ["ours", acme]


async def test_an_association_that_somebody_changed_right_after_us_is_not_taken_for_ours(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal = Portal(fake, COMPANIES)
    acme, other = (portal.make("companies", name=name) for name in "AB")
    ann = portal.make("contacts", email="ann@x.io")
    related = Relating.set

    async def relating(self: Relating, shape: Shape, wanted: Any) -> Any:
        failed = await related(self, shape, wanted)
        portal.relate("contacts", ann, "companies", other, 1)
        return failed

    monkeypatch.setattr(Relating, "set", relating)
    async with portal.running() as (_, log):
        await log.settled()
        async with opened(portal.connector()) as connector:
            result = only(await put(connector, "contacts", updating("l", ann, {"company_id": acme})))
        assert held(result.record, "company_id") == [acme]
        assert [change.values["company_id"] for change in await log.changes()][-1:] == [other]


async def test_a_create_that_comes_again_leaves_an_association_that_it_was_given_since(fake: Fake) -> None:
    portal = Portal(fake, {"deals": ("dealname", "company_id", "contact_id"), "contacts": CONTACT})
    acme, other = (portal.make("companies", name=name) for name in "AB")
    ann = portal.make("contacts", email="ann@x.io")
    each = creating("l", {"dealname": "D", "company_id": acme, "contact_id": ann})
    async with opened(portal.connector()) as connector:
        first = only(await put(connector, "deals", each))
        deal = first.id or ""
        portal.part("deals", deal, "contacts", ann)
        portal.relate("deals", deal, "companies", other, 5)
        again = only(await put(connector, "deals", each))
    assert (again.outcome, again.id) == (Outcome.APPLIED, deal)
    assert held(again.record, "company_id", "contact_id") == [other, ann]
    assert 5 in portal.related("deals", deal, "companies")[other]
