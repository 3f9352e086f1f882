"""The fake: tokens, OAuth, scopes."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.connectors.hubspot.conftest import Api, refused
from tests.connectors.hubspot.fake.process import Fake
from tests.deploy.watching import until

LIST = "/crm/objects/{v}/contacts"


Calling = Callable[[str], Api]


def without(fake: Fake, *scopes: str) -> str:
    """The token of a caller that lacks some scopes."""
    return str(fake.admin("POST", "tokens", {"without": scopes})["token"])


def grant(fake: Fake, **form: str) -> httpx.Response:
    secret = {"client_id": fake.app["client_id"], "client_secret": fake.app["client_secret"]}
    return httpx.post(f"{fake.url}/oauth/2026-09/token", data={**secret, **form}, trust_env=False, verify=False)


def refreshed(fake: Fake) -> httpx.Response:
    return grant(fake, grant_type="refresh_token", refresh_token=fake.app["refresh_token"])


def test_without_a_token_nothing_is_answered(fake: Fake) -> None:
    for headers in ({}, {"Authorization": "Basic abc"}, {"Authorization": "Bearer unknown-token"}):
        answer = httpx.get(f"{fake.url}/crm/objects/2026-09/contacts", headers=headers, trust_env=False, verify=False)
        assert refused(answer, 401)["category"] == "INVALID_AUTHENTICATION"


def test_a_malformed_token_has_a_status_of_its_own_if_the_knob_says_so(fake: Fake, calling: Calling) -> None:
    malformed = calling("a b")
    refused(malformed.get(LIST), 401)
    fake.turn(malformed_token_status=530)
    refused(malformed.get(LIST), 530)


def test_a_revoked_token_is_refused_until_it_is_renewed(fake: Fake, api: Api) -> None:
    fake.admin("PATCH", "tokens", {"token": fake.token, "revoked": True})
    refused(api.get(LIST), 401)
    fake.admin("PATCH", "tokens", {"token": fake.token, "revoked": False})
    assert api.get(LIST).status_code == 200


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("crm.objects.contacts.read", "GET", LIST),
        ("crm.objects.contacts.read", "GET", "/crm/objects/{v}/notes"),
        ("crm.objects.contacts.write", "POST", LIST),
        ("tickets", "GET", "/crm/objects/{v}/tickets"),
        ("tickets", "POST", "/crm/objects/{v}/tickets"),
        ("crm.objects.invoices.read", "GET", "/crm/objects/{v}/0-53"),
        ("crm.schemas.deals.read", "GET", "/crm/properties/{v}/deals"),
        ("crm.schemas.deals.write", "POST", "/crm/properties/{v}/deals"),
        ("crm.schemas.custom.read", "GET", "/crm-object-schemas/{v}/schemas"),
        ("crm.objects.owners.read", "GET", "/crm/owners/{v}"),
        ("crm.objects.companies.read", "GET", "/crm/associations/{v}/contacts/companies/labels"),
        ("crm.objects.companies.read", "GET", "/crm/objects/{v}/contacts?associations=companies"),
        ("crm.objects.deals.read", "GET", "/crm/pipelines/{v}/deals"),
    ],
)
def test_a_missing_scope_is_named(fake: Fake, scope: str, method: str, path: str, calling: Calling) -> None:
    body = refused(calling(without(fake, scope)).call(method, path, {} if method == "POST" else None), 403)
    assert body["category"] == "MISSING_SCOPES"
    assert body["errors"][0]["context"]["requiredGranularScopes"] == [scope]


def test_products_go_by_an_older_scope_as_well(fake: Fake, calling: Calling) -> None:
    token = fake.admin("POST", "tokens", {"scopes": ["e-commerce"]})["token"]
    assert calling(token).get("/crm/objects/{v}/products").status_code == 200


def test_a_scope_may_be_taken_away_while_we_run(fake: Fake, api: Api) -> None:
    assert api.get(LIST).status_code == 200
    fake.admin("PATCH", "tokens", {"token": fake.token, "scopes": ["crm.objects.deals.read"]})
    refused(api.get(LIST), 403, "crm.objects.contacts.read")


def test_bodies_of_emails_and_sensitive_values_need_scopes_of_their_own(fake: Fake, api: Api, calling: Calling) -> None:
    id = api.create("emails", hs_email_text="T")
    refused(
        calling(without(fake, "sales-email-read")).read(id, "hs_email_text", kind="emails"), 403, "sales-email-read"
    )
    assert api.values(id, "hs_email_text", kind="emails") == {"hs_email_text": "T"}
    fake.admin("POST", "properties", {"objectType": "contacts", "name": "diagnosis", "sensitivity": "sensitive"})
    contact = api.create(firstname="A")
    refused(api.read(contact, "diagnosis"), 403, "crm.objects.contacts.sensitive.read.v2")
    refused(api.patch(f"{LIST}/{contact}", {"properties": {"diagnosis": "x"}}), 403, "sensitive.write.v2")
    names = {each["name"] for each in api.get("/crm/properties/{v}/contacts").json()["results"]}
    assert "firstname" in names and "diagnosis" not in names
    found = api.get("/crm/properties/{v}/contacts", dataSensitivity="sensitive").json()["results"]
    assert [each["name"] for each in found] == ["diagnosis"]


def test_a_refresh_token_gives_access_tokens_that_expire(fake: Fake, calling: Calling) -> None:
    answer = refreshed(fake).json()
    assert (answer["expires_in"], answer["refresh_token"], answer["token_type"]) == (
        1800,
        fake.app["refresh_token"],
        "bearer",
    )
    api = calling(answer["access_token"])
    headers = api.get(LIST).headers
    assert "X-HubSpot-RateLimit-Max" in headers and "X-HubSpot-RateLimit-Daily" not in headers
    fake.turn(access_token_seconds=0.3)
    short = calling(refreshed(fake).json()["access_token"])
    assert short.get(LIST).status_code == 200
    assert until(lambda: short.get(LIST).status_code == 401, 5)
    assert refused(short.get(LIST), 401)["category"] == "EXPIRED_AUTHENTICATION"
    assert api.get(LIST).status_code == 200


def test_tokens_and_the_app_may_be_looked_at(fake: Fake) -> None:
    kinds = {each["token"]: (each["kind"], each["revoked"]) for each in fake.admin("GET", "tokens")["results"]}
    assert kinds == {fake.token: ("service", 0)}
    assert fake.app.items() <= fake.admin("GET", "app").items()


def test_wrong_grants_are_refused(fake: Fake) -> None:
    refused(grant(fake, grant_type="refresh_token", refresh_token="wrong"), 400, "BAD_REFRESH_TOKEN")
    refused(grant(fake, grant_type="refresh_token", client_secret="wrong"), 400, "BAD_CLIENT_ID")
    refused(grant(fake, grant_type="authorization_code"), 400, "Not in this fake")
    fake.admin("PATCH", "app", {"refresh_token": ""})
    refused(refreshed(fake), 400, "BAD_REFRESH_TOKEN")


def test_an_oauth_app_needs_the_scope_oauth(fake: Fake, calling: Calling) -> None:
    fake.admin("PATCH", "app", {"scopes": ["crm.objects.contacts.read"]})
    refused(calling(refreshed(fake).json()["access_token"]).get(LIST), 403, "oauth")


def test_the_old_address_for_tokens_is_served_too(fake: Fake) -> None:
    form = {**fake.app, "grant_type": "refresh_token"}
    assert httpx.post(f"{fake.url}/oauth/v1/token", data=form, trust_env=False, verify=False).status_code == 200
