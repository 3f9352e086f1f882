"""Fixtures of HubSpot's tests: a running fake that every test finds empty, and a caller with its service key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.connectors.hubspot.fake.process import Fake

VERSION = "2026-09"


class Api:
    """Calls of the API as an app makes them."""

    def __init__(self, url: str, token: str = Fake.token) -> None:
        self.client = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=30, verify=False
        )

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        """A call. `{v}` in a path is the version."""
        return self.client.request(method, path.replace("{v}", VERSION), json=body, params=query or None)

    def post(self, path: str, body: Any = None) -> httpx.Response:
        return self.call("POST", path, body)

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.call("GET", path, **query)

    def patch(self, path: str, body: Any) -> httpx.Response:
        return self.call("PATCH", path, body)

    def objects(self, rest: str, body: Any, kind: str = "contacts") -> httpx.Response:
        """A POST to records of a type."""
        return self.post(f"/crm/objects/{{v}}/{kind}{rest}", body)

    def create(self, kind: str = "contacts", **properties: str) -> str:
        """The id of a new record."""
        answer = self.objects("", {"properties": properties}, kind)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def read(self, id: str, *names: str, kind: str = "contacts", **query: Any) -> httpx.Response:
        return self.get(f"/crm/objects/{{v}}/{kind}/{id}", properties=",".join(names), **query)

    def values(self, id: str, *names: str, kind: str = "contacts") -> dict[str, str]:
        """The properties of a record."""
        answer = self.read(id, *names, kind=kind)
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["properties"])

    def search(self, *filters: dict[str, Any], kind: str = "contacts", **more: Any) -> httpx.Response:
        """A search with one group of filters."""
        return self.objects("/search", {"filterGroups": [{"filters": list(filters)}] if filters else [], **more}, kind)

    def found(self, *filters: dict[str, Any], kind: str = "contacts", **more: Any) -> list[str]:
        """The ids that a search gives."""
        answer = self.search(*filters, kind=kind, **more)
        assert answer.status_code == 200, answer.text
        return [each["id"] for each in answer.json()["results"]]


def where(name: str, operator: str, *values: str) -> dict[str, Any]:
    """A filter of a search."""
    filter: dict[str, Any] = {"propertyName": name, "operator": operator}
    if operator in ("IN", "NOT_IN"):
        filter["values"] = list(values)
    else:
        filter |= dict(zip(("value", "highValue"), values, strict=False))
    return filter


def refused(answer: httpx.Response, status: int, word: str = "") -> dict[str, Any]:
    """The body of an error, which has this status and says this word somewhere."""
    assert answer.status_code == status, answer.text
    assert word in answer.text, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.fixture(scope="session")
def running_fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fake]:
    with Fake(tmp_path_factory.mktemp("hubspot")) as fake:
        yield fake


@pytest.fixture
def fake(running_fake: Fake) -> Fake:
    """A running fake: an empty portal with all knobs at their defaults, except that searches are not limited."""
    running_fake.reset(search_rate=10_000)
    return running_fake


@pytest.fixture(scope="session")
def calling(running_fake: Fake) -> Iterator[Callable[[str], Api]]:
    """Makes callers by their token; the same one for the same token, since making one takes longer than many calls."""
    made: dict[str, Api] = {}

    def caller(token: str) -> Api:
        if token not in made:
            made[token] = Api(running_fake.url, token)
        return made[token]

    yield caller
    for api in made.values():
        api.client.close()


@pytest.fixture
def api(fake: Fake, calling: Callable[[str], Api]) -> Api:
    """A caller with the service key, which has all scopes."""
    return calling(fake.token)
