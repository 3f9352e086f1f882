"""What an answer leaves open is not taken for an absence, and what is refused of one record stops no other."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from connectors.base import Outcome, RetriableError
from connectors.hubspot.client import Answer, Client, RefusedError
from connectors.hubspot.errors import Json, refusal_of
from tests.connectors.contract_tools import opened
from tests.connectors.hubspot.fake.process import Fake
from tests.connectors.hubspot.portal import CONTACT, Portal, creating, put, updating

COMPANIES = {"contacts": (*CONTACT, "company_id"), "companies": ("name",)}


def lost(*ids: str) -> Json:
    return {"category": "OBJECT_NOT_FOUND", "message": "gone", "context": {"ids": list(ids)}}


@pytest.mark.parametrize(
    ("status", "body", "others"),
    [
        (404, lost("1", "2", "3"), []),
        (404, lost("2"), ["1", "3"]),
        (404, lost("7"), None),
        (404, {"category": "OBJECT_NOT_FOUND"}, None),
        (400, lost("2"), None),
    ],
)
def test_of_what_it_does_not_name_a_refusal_says_nothing(status: int, body: Json, others: list[str] | None) -> None:
    assert refusal_of(status, body).others(("1", "2", "3")) == others


class Asked:
    """Calls of all clients that read in batches; `refuse` may raise, or give another answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked, self.body = Client.ask, dict[str, Any]()
        self.refused = ""

        async def ask(client: Client, path: str, doing: str, body: Json, *rest: Any) -> Answer:
            ids = [str(one["id"]) for one in body.get("inputs", ())]
            if self.refused in ids:
                raise RefusedError(refusal_of(404, lost(self.refused)))
            answer = await asked(client, path, doing, body, *rest)
            return Answer({**answer.body, **self.body}, answer.asked_at, answer.status)

        monkeypatch.setattr(Client, "ask", ask)


async def test_a_refusal_that_names_one_record_says_nothing_of_the_others(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal = Portal(fake, COMPANIES)
    acme = portal.make("companies", name="A")
    ids = [portal.make("contacts", email=f"p{number}@x.io") for number in range(3)]
    portal.relate("contacts", ids[0], "companies", acme, 1)
    async with opened(portal.connector()) as connector:
        await connector.read("contacts", ids)
        asked = Asked(monkeypatch)
        asked.refused = ids[1]
        found = await connector.read("contacts", ids)
    assert [(one.id, one.values["company_id"]) for one in found] == [(ids[0], acme), (ids[2], None)]


async def test_a_record_that_an_account_fails_to_read_is_not_taken_for_gone(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal = Portal(fake)
    record_id = portal.make("contacts", email="ann@x.io")
    async with opened(portal.connector()) as connector:
        await connector.read("contacts", [record_id])
        asked = Asked(monkeypatch)
        asked.body = {"results": [], "errors": [{"category": "INTERNAL_ERROR", "message": "try again"}]}
        with pytest.raises(RetriableError, match="try again"):
            await connector.read("contacts", [record_id])
        asked.body = {"results": [], "errors": [lost(record_id)]}
        assert await connector.read("contacts", [record_id]) == []


@pytest.mark.parametrize(("status", "outcome"), [(404, Outcome.APPLIED), (400, Outcome.REJECTED)])
async def test_an_association_that_cannot_be_removed_concerns_its_record_alone(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, status: int, outcome: Outcome
) -> None:
    portal = Portal(fake, COMPANIES)
    companies = [portal.make("companies", name=name) for name in "AB"]
    ann, bob = (portal.make("contacts", email=f"{name}@x.io") for name in ("ann", "bob"))
    for one in (ann, bob):
        portal.relate("contacts", one, "companies", companies[0], 1)
    write = Client.write

    async def writing(client: Client, method: str, path: str, doing: str, body: Json) -> Answer:
        if path.endswith("/archive") and any(one["from"]["id"] == ann for one in body["inputs"]):
            raise RefusedError(refusal_of(status, {"category": "VALIDATION_ERROR", "message": "no"}))
        return await write(client, method, path, doing, body)

    monkeypatch.setattr(Client, "write", writing)
    async with opened(portal.connector()) as connector:
        first, second = await put(
            connector,
            "contacts",
            updating("l1", ann, {"company_id": companies[1]}),
            updating("l2", bob, {"company_id": companies[1]}),
        )
    assert second.outcome is Outcome.APPLIED
    assert second.record is not None and second.record.values["company_id"] == companies[1]
    assert first.outcome is outcome
    if outcome is Outcome.REJECTED:
        assert (first.category, first.field, first.message, first.other) == (
            "association", "company_id", "no", companies[0],
        )  # fmt: skip


@pytest.mark.parametrize("body", ["no JSON", "[]", "{}"])
async def test_a_token_that_does_not_come_is_asked_for_again(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    app = fake.admin("GET", "app")
    given = {name: app[name] for name in ("client_id", "client_secret", "refresh_token")}
    portal = Portal(fake, token=None, **given)
    post = httpx.AsyncClient.post

    async def posting(client: httpx.AsyncClient, url: str, **more: Any) -> httpx.Response:
        answer = await post(client, url, **more)
        return httpx.Response(200, text=body) if url.endswith("/token") else answer

    monkeypatch.setattr(httpx.AsyncClient, "post", posting)
    with pytest.raises(RetriableError, match="renewing the access token: the answer"):
        async with opened(portal.connector()):
            pass


@pytest.mark.parametrize(("count", "outcome"), [(1, Outcome.APPLIED), (3, Outcome.UNKNOWN)])
async def test_a_create_is_not_sent_again_where_the_answer_does_not_tell_which_record_is_whose(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, count: int, outcome: Outcome
) -> None:
    """Without our unique property a record that was made cannot be told from what another input has made."""
    token = fake.admin("POST", "tokens", {"without": ["crm.schemas.deals.write"]})["token"]
    portal = Portal(fake, {"deals": ("dealname",)}, token=token)
    write = Client.write

    async def forgetting(client: Client, method: str, path: str, doing: str, body: Json) -> Answer:
        answer = await write(client, method, path, doing, body)
        for one in answer.body.get("results", ()):
            one.pop("objectWriteTraceId", None)
        return answer

    monkeypatch.setattr(Client, "write", forgetting)
    writes = [creating(f"l{number}", {"dealname": f"D{number}"}) for number in range(count)]
    async with opened(portal.connector()) as connector:
        results = await put(connector, "deals", *writes)
        assert {result.outcome for result in results} == {outcome}
        assert portal.count("deals") == count
        again = await put(connector, "deals", *writes[1:])
        assert {result.outcome for result in again} <= {Outcome.UNKNOWN}
    assert portal.count("deals") == count
