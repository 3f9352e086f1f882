"""A portal of the fake with the suite's people in it, as a custom object, changed by people at its screen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from connectors.base import Connector
from connectors.hubspot import HubSpotConnector
from connectors.hubspot.mapping import LIMITS
from connectors.hubspot.settings import HubSpotSettings
from rules.canonical import canonical_decimal
from rules.catalog import Capabilities, Value
from tests.connectors.bench import Bench, Refusal
from tests.connectors.hubspot.fake.process import Fake

SHOWN = ("email", "name", "age", "domain", "note")
NUMBERS = ("age", "amount")
PEOPLE: list[dict[str, Any]] = [
    {"name": "email", "type": "string", "fieldType": "text", "unique": True},
    {"name": "name", "type": "string", "fieldType": "text"},
    {"name": "age", "type": "number", "fieldType": "number"},
    {"name": "amount", "type": "number", "fieldType": "number"},
    {"name": "domain", "type": "string", "fieldType": "text"},
    {"name": "note", "type": "string", "fieldType": "textarea"},
    {"name": "secret", "type": "string", "fieldType": "text"},
    {"name": "tier", "type": "enumeration", "fieldType": "select", "options": ["gold", "silver"]},
]
LAG, ARCHIVED_EVERY = 0.0, 0.2


def able(*, tokens: bool = True) -> Capabilities:
    """What the connector declares."""
    return Capabilities(
        capture="watermark",
        sees_within=LAG + 10,
        deletions_within=ARCHIVED_EVERY + 10,
        whole=False,
        compare_and_set=False,
        tokens=tokens,
        echoes=False,
        fenced=False,
        pairs=tokens,
        batch_size=100,
        limits=LIMITS,
    )


class HubSpotBench(Bench):
    """Over a fake that runs. What needs a log, a ledger or a lock is left out: it is declared that there is none."""

    kind: type[Connector] = HubSpotConnector
    able = able()
    features = frozenset({"cutting", "writes", "exclude", "unique", "unreachable", "lose_log"})
    objects = ("people",)
    large = 60_000

    def __init__(self, fake: Fake, kind: type[Connector] = HubSpotConnector) -> None:
        self.kind = kind
        self.fake = fake
        self.make()

    def make(self) -> None:
        """The object, as it stands before the first case."""
        fake = self.fake
        fake.turn(burst=1_000_000, association_burst=1_000_000, search_rate=1_000_000, daily=100_000_000)
        fake.admin("POST", "schemas", {"name": "people", "singular": "person", "properties": PEOPLE})
        fake.admin("POST", "rules", {"type": "people", "property": "name"})
        self.token_property()

    def token_property(self) -> None:
        """The unique property, as an earlier run has left it."""
        self.type_id = str(self.fake.ui("GET", "/crm-object-schemas/2026-09/schemas")["results"][0]["objectTypeId"])
        given = {
            "objectType": "people",
            "name": "tandem_sync_id",
            "type": "string",
            "fieldType": "text",
            "unique": True,
        }
        self.fake.admin("POST", "properties", given)

    def settings(self, **more: Any) -> Any:
        given = {"token": self.fake.token, "url": self.fake.url, "poll": 0.05, "index_lag": LAG,
                 "archived_every": ARCHIVED_EVERY, "associations_every": 0.2, "searches": 1_000_000}  # fmt: skip
        return HubSpotSettings.model_validate({**given, **more})

    def object_settings(self, name: str) -> Mapping[str, Any]:
        return {"exclude": ["secret"]} if name == "people" else {}

    # ------------------------------------------------------------ people at the screen

    async def _ui(self, method: str, path: str, body: Any = None) -> Any:
        return await asyncio.to_thread(self.fake.ui, method, f"/crm/objects/2026-09/{self.type_id}{path}", body)

    async def insert(self, name: str, /, **values: Any) -> str:
        return str((await self._ui("POST", "", {"properties": _texts(values)}))["id"])

    async def update(self, name: str, record_id: str, /, **values: Any) -> None:
        await self._ui("PATCH", f"/{record_id}", {"properties": _texts(values)})

    async def delete(self, name: str, record_id: str) -> None:
        await self._ui("DELETE", f"/{record_id}")

    async def rows(self, name: str) -> dict[str, dict[str, Value]]:
        found: dict[str, dict[str, Value]] = {}
        after = "0"
        asked = ",".join((*SHOWN, "amount"))
        while after:
            body = await self._ui("GET", f"?limit=100&after={after}&properties={asked}")
            for one in body["results"]:
                given = one["properties"]
                found[str(one["id"])] = {
                    field: canonical_decimal(given[field]) if field in NUMBERS and field in given else given.get(field)
                    for field in SHOWN
                }
            after = ((body.get("paging") or {}).get("next") or {}).get("after", "")
        return found

    async def fill(self, name: str, count: int) -> list[str]:
        ids: list[str] = []
        for start in range(0, count, 100):
            rows = [
                {"name": f"p{n}", "email": f"p{n}@example.com"} for n in range(start + 1, min(count, start + 100) + 1)
            ]
            body = {"inputs": [{"properties": row} for row in rows]}
            ids += [str(one["id"]) for one in (await self._ui("POST", "/batch/create", body))["results"]]
        return sorted(ids, key=int)

    # ------------------------------------------------------------ features

    def refusals(self) -> dict[str, Refusal]:
        return {
            "duplicate": Refusal({"name": "a", "email": "taken@example.com"}, "duplicate", "email"),
            "missing": Refusal({"name": None, "email": "p50@example.com"}, "missing_required", "name"),
            "invalid": Refusal({"name": "b", "tier": "tin"}, "invalid_value", "tier"),
        }

    def unreachable(self) -> Connector:
        return self.kind(self.settings(url="http://127.0.0.1:9"), self.connector()._context)  # type: ignore[attr-defined]

    async def lose_log(self) -> None:
        self.memory().clear()

    @asynccontextmanager
    async def cutting(self, *, answered: bool) -> AsyncIterator[Connector]:
        torn = self.connector()
        await torn.open()
        self.fake.fault("cut_after" if answered else "cut_before", match="batch/(create|upsert|update)")
        yield torn
        await torn.close()

    async def writes_since(self, name: str, record_id: str) -> str:
        return str((await self._ui("GET", f"/{record_id}"))["updatedAt"])


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in values.items()}
