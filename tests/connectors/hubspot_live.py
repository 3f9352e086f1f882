"""The contract suite against a real HubSpot account: `make hubspot-live`.

With HUBSPOT_TOKEN (a service key, or a private app's token) of a **test** account. It makes a custom object of its own, `tandem_live_…`, runs every
case on that alone, and removes the object with all that was made. Scopes: crm.objects.custom.read/write, crm.schemas.custom.read/write. An account that may not
define custom objects can name one that has the suite's properties in HUBSPOT_OBJECT; then only records are made and removed.

Names of cases as arguments run these alone. Without HUBSPOT_TOKEN nothing is done, and that is said. HUBSPOT_URL: another
address than HubSpot's own, such as the fake's.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from connectors.hubspot.settings import HubSpotSettings
from tests.connectors.contract import CASES, cases_for
from tests.connectors.hubspot.hubspot_bench import PEOPLE, HubSpotBench

API = "2026-09"
TOKEN, URL, OBJECT = "HUBSPOT_TOKEN", "HUBSPOT_URL", "HUBSPOT_OBJECT"
SETTLE = 20.0  # seconds that search may lag behind before a case that depends on it begins


class LiveBench(HubSpotBench):
    """People as a custom object of an account that other people may use, too: nothing else is touched."""

    features = frozenset({"writes", "exclude", "unique", "unreachable", "lose_log"})
    patience = 60.0

    def __init__(self, url: str, token: str, type_id: str) -> None:
        self.url, self.token, self.type_id = url, token, type_id
        headers = {"Authorization": f"Bearer {token}"}
        self.http = httpx.AsyncClient(base_url=url, headers=headers, timeout=30)

    def settings(self, **more: Any) -> Any:
        given = {
            "token": self.token,
            "url": self.url,
            "poll": 2,
            "index_lag": 0,
            "archived_every": 0.2,
            "associations_every": 5,
        }
        return HubSpotSettings.model_validate({**given, **more})

    def object_settings(self, name: str) -> Mapping[str, Any]:
        return {"type": self.type_id, "exclude": ["secret"]}

    async def _ui(self, method: str, path: str, body: Any = None) -> Any:
        return await self.call(method, f"/crm/objects/{API}/{self.type_id}{path}", body)

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """A call of the account's own, apart from the connector; waits where it throttles."""
        response = await self.http.request(method, path, json=body)
        for attempt in range(1, 7):
            if response.status_code != 429:
                break
            await asyncio.sleep(2.0 * attempt)
            response = await self.http.request(method, path, json=body)
        if response.status_code >= 400:
            raise RuntimeError(f"{method} {path}: {response.status_code} {response.text[:500]}")
        return response.json() if response.content else None

    async def searchable(self) -> None:
        await asyncio.sleep(SETTLE)

    async def empty(self) -> None:
        """Archives all records of the object."""
        while ids := list(await self.rows("people")):
            for start in range(0, len(ids), 100):
                await self._ui("POST", "/batch/archive", {"inputs": [{"id": one} for one in ids[start : start + 100]]})


async def _begin(bench: LiveBench) -> bool:
    """Makes the object, unless one was named; whether it is ours to remove."""
    if bench.type_id:
        return False
    name = f"tandem_live_{secrets.token_hex(4)}"
    properties = [
        {
            "name": one["name"], "label": one["name"], "type": one["type"], "fieldType": one["fieldType"],
            **({"hasUniqueValue": True} if one.get("unique") else {}),
            **({"options": [{"label": text, "value": text} for text in one["options"]]} if "options" in one else {}),
        }
        for one in [*PEOPLE, {"name": "tandem_sync_id", "type": "string", "fieldType": "text", "unique": True}]
    ]  # fmt: skip
    schema = {
        "name": name,
        "labels": {"singular": f"Tandem live test {name}", "plural": f"Tandem live tests {name}"},
        "primaryDisplayProperty": "name",
        "requiredProperties": ["name"],
        "properties": properties,
        "associatedObjects": [],
    }
    made = await bench.call("POST", f"/crm-object-schemas/{API}/schemas", schema)
    bench.type_id = str(made["objectTypeId"])
    return True


@asynccontextmanager
async def _account() -> AsyncIterator[LiveBench]:
    url = os.environ.get(URL, "https://api.hubapi.com").rstrip("/")
    bench = LiveBench(url, os.environ[TOKEN], os.environ.get(OBJECT, ""))
    ours = await _begin(bench)
    try:
        yield bench
    finally:
        await bench.empty()
        if ours:
            await bench.call("DELETE", f"/crm-object-schemas/{API}/schemas/{bench.type_id}")
        await bench.http.aclose()


async def _run(names: list[str]) -> int:
    passed, failed = 0, list[str]()
    async with _account() as bench:
        portal = (await bench.call("GET", f"/account-info/{API}/details"))["portalId"]
        for name in names or cases_for(LiveBench):
            await bench.empty()
            bench._memories.clear()
            began = time.monotonic()
            try:
                await asyncio.wait_for(CASES[name].run(bench), 600)
            except Exception as error:  # noqa: BLE001  # whatever a case meets is shown, and the others run
                failed.append(name)
                traceback.print_exception(error)
            else:
                passed += 1
            print(
                f"{'failed' if name in failed else 'passed'} in {time.monotonic() - began:5.1f} s: {name}", flush=True
            )
    print(f"hubspot-live: {passed} cases passed and {len(failed)} failed on portal {portal}; what was made is removed")
    return 1 if failed else 0


def main() -> int:
    """Runs it, or says why not."""
    if not os.environ.get(TOKEN):
        print(
            f"hubspot-live: skipped: set {TOKEN} to a service key of a test account, with the scopes for custom objects"
        )
        return 0
    return asyncio.run(_run(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
