"""The fake: bodies and paths that make no sense are refused, never answered by a crash."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.connectors.hubspot.conftest import Api
from tests.connectors.hubspot.fake import people
from tests.connectors.hubspot.fake.portal import PERSON, Portal, Request, Response
from tests.connectors.hubspot.fake.process import Fake
from tests.connectors.hubspot.fake.routes import ROUTES
from tests.connectors.hubspot.fake.service import Service
from tests.connectors.hubspot.fake.tokens import SERVICE_KEY

STRANGE: tuple[Any, ...] = (
    None,
    [],
    5,
    "text",
    {},
    {"inputs": 5},
    {"inputs": [5]},
    {"inputs": [{}]},
    {"inputs": [{"id": 5}]},
    {"inputs": [{"id": [], "properties": {}, "idProperty": {}}]},
    {"inputs": [{"id": "1", "properties": [], "idProperty": "email"}]},
    {"inputs": [{"id": "9" * 30, "properties": {"email": {}}}]},
    {"inputs": [{"properties": {"email": []}, "objectWriteTraceId": {}}]},
    {"inputs": [{"from": 5, "to": 5, "types": 5}]},
    {"inputs": [{"from": {"id": 5}, "to": {"id": {}}, "types": [5]}]},
    {"inputs": [{"from": {"id": "1"}, "to": [5], "types": []}]},
    {"inputs": [{"name": {}}, {"name": 5}]},
    {"properties": 5},
    {"properties": {"": ""}},
    {"filterGroups": 5},
    {"filterGroups": [5]},
    {"filterGroups": [{"filters": 5}]},
    {"filterGroups": [{"filters": [5]}]},
    {"filterGroups": [{"filters": [{"propertyName": {}, "operator": []}]}]},
    {"filterGroups": [{"filters": [{"propertyName": "email", "operator": []}]}]},
    {"filterGroups": [{"filters": [{"propertyName": "email", "operator": "IN", "values": [5]}]}]},
    {"filterGroups": [{"filters": [{"propertyName": "hs_object_id", "operator": "GT", "value": "9" * 30}]}]},
    {"sorts": [{"propertyName": []}]},
    {"limit": {}, "after": []},
    {"properties": [{}]},
    {"primaryObjectId": 5, "objectIdToMerge": []},
    {"objectId": 5},
    {"objectId": {}, "idProperty": 5},
    {"name": 5, "label": [], "type": {}, "fieldType": 5, "groupName": {}},
    {
        "name": "x",
        "label": "L",
        "type": "enumeration",
        "fieldType": "select",
        "groupName": "contactinformation",
        "options": [5],
    },
    {"name": "x", "label": 5, "type": "string", "fieldType": "text", "groupName": "contactinformation"},
    {"options": [{"label": 5, "value": {}}]},
    {"subscriptionType": [], "actions": 5},
    {"subscriptionType": "OBJECT", "actions": ["CREATE"], "objectTypeId": {}},
    {"subscriptionType": "OBJECT", "actions": [{}], "objectTypeId": "0-1", "properties": 5},
    [{}],
    [5],
    [{"associationCategory": {}, "associationTypeId": "x"}],
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The fake without HTTP, so that a crash is raised here."""
    portal = Portal(
        tmp_path_factory.mktemp("strange"),
        {"burst": 1_000_000, "association_burst": 1_000_000, "search_rate": 1_000_000},
    )
    yield Service(portal)
    portal.store.close()


def answer(service: Service, method: str, url: str, body: Any = None) -> Response:
    """One call with the service key."""
    return service.api(Request(method, url, {}, parse_qs(url.partition("?")[2]), body, PERSON), f"Bearer {SERVICE_KEY}")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.template}")
def test_no_call_crashes(service: Service, route: Any) -> None:
    made = answer(service, "POST", "/crm/objects/2026-09/contacts", {"properties": {"firstname": "A"}}).body
    parts = {
        "type": "contacts",
        "from": "contacts",
        "to": "companies",
        "id": made["id"],
        "toId": "x",
        "name": "email",
        "offset": "x",
    }
    url = route.template.format(v="2026-09", count="0", stage="x", **parts)
    for body in STRANGE:
        assert answer(service, route.method, url, body).status < 500
    for word in ("x", "9" * 30, "\0", "é"):
        wrong = route.template.format(v="2026-09", count=word, stage=word, **dict.fromkeys(parts, word))
        assert answer(service, route.method, wrong, {}).status < 500
    for name in (
        "limit",
        "after",
        "archived",
        "properties",
        "idProperty",
        "associations",
        "dataSensitivity",
        "email",
        "expires",
    ):
        assert answer(service, route.method, f"{url}?{name}=%00x", {}).status < 500
        assert answer(service, route.method, f"{url}?{name}={'9' * 30}", {}).status < 500


@pytest.mark.parametrize("call", people.CALLS)
def test_no_deed_of_people_crashes(fake: Fake, api: Api, call: str) -> None:
    method, path = call.split()
    bodies: tuple[Any, ...] = (None, [], {}, {"type": "nothing", "ids": ["1"]}, {"type": "contacts", "ids": ["1"]})
    for body in bodies:
        assert api.call(method, path, body).status_code < 500, body
