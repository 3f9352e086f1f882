"""A portal of the fake as HubSpot's tests use it: connectors with a memory, a log that stores, and what people do there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from connectors.base import Change, Connector, Context, ObjectUse, Record, Result, Write, WriteOp
from connectors.hubspot import HubSpotConnector
from connectors.hubspot.settings import HubSpotSettings
from rules.catalog import Capabilities, Value
from tests.connectors.bench import Bench
from tests.connectors.contract_tools import Log, changes_of, logging, opened, write
from tests.connectors.hubspot.fake.process import Fake

CONTACT = ("email", "firstname")
QUICK: dict[str, Any] = {
    "poll": 0.05,
    "index_lag": 0.5,
    "archived_every": 0.2,
    "associations_every": 0.1,
    "searches": 1_000_000,
}


class Portal(Bench):
    """One account over the fake. `fields`: of each object in use, those that syncs name."""

    kind = HubSpotConnector
    able = Capabilities(capture="watermark", sees_within=1.0, deletions_within=1.0)
    features = frozenset()
    objects = ()
    patience = 15.0

    def __init__(self, fake: Fake, fields: Mapping[str, Iterable[str]] | None = None, **settings: Any) -> None:
        self.fake = fake
        self.fields = {name: frozenset(names) for name, names in (fields or {"contacts": CONTACT}).items()}
        self.given = {"token": fake.token, "url": fake.url, **QUICK, **settings}
        fake.turn(burst=1_000_000, association_burst=1_000_000, search_rate=1_000_000)

    def settings(self, **more: Any) -> Any:
        given = {**self.given, **more}
        return HubSpotSettings.model_validate({name: value for name, value in given.items() if value is not None})

    def uses(self, *names: str) -> tuple[ObjectUse, ...]:
        return tuple(ObjectUse(name, {}, self.fields.get(name)) for name in names)

    def connector(self, *names: str, installation: str = "acme", account: str = "crm", **settings: Any) -> Connector:
        context = Context(installation, account, self.uses(*(names or self.fields)), self.memory(installation, account))
        return HubSpotConnector(self.settings(**settings), context)

    @asynccontextmanager
    async def running(self, *, last: bool = True, **settings: Any) -> AsyncIterator[tuple[Connector, Log]]:
        """A connector that captures, from where the last one has stored it."""
        async with opened(self.connector(**settings)) as connector, logging(self, connector, last=last) as log:
            yield connector, log

    # ------------------------------------------------------------ people and other apps

    def make(self, name: str, /, **properties: str) -> str:
        return str(self.fake.ui("POST", f"/crm/objects/2026-09/{name}", {"properties": properties})["id"])

    def make_many(self, name: str, rows: Iterable[dict[str, str]]) -> list[str]:
        given, ids = list(rows), list[str]()
        for start in range(0, len(given), 100):
            body = {"inputs": [{"properties": row} for row in given[start : start + 100]]}
            ids += [
                str(one["id"])
                for one in self.fake.ui("POST", f"/crm/objects/2026-09/{name}/batch/create", body)["results"]
            ]
        return sorted(ids, key=int)

    def edit(self, name: str, record_id: str, /, **properties: str) -> None:
        self.fake.ui("PATCH", f"/crm/objects/2026-09/{name}/{record_id}", {"properties": properties})

    def archive(self, name: str, record_id: str) -> None:
        self.fake.ui("DELETE", f"/crm/objects/2026-09/{name}/{record_id}")

    def restore(self, name: str, record_id: str) -> None:
        self.fake.admin("POST", "restore", {"type": name, "ids": [record_id]})

    def merge(self, name: str, primary: str, other: str) -> str:
        body = {"primaryObjectId": primary, "objectIdToMerge": other}
        return str(self.fake.ui("POST", f"/crm/objects/2026-09/{name}/merge", body)["id"])

    def gdpr_delete(self, record_id: str) -> None:
        self.fake.ui("POST", "/crm/objects/2026-09/contacts/gdpr-delete", {"objectId": record_id})

    def relate(
        self, name: str, record_id: str, target: str, other: str, *types: int, category: str = "HUBSPOT_DEFINED"
    ) -> None:
        path = f"/crm/objects/2026-09/{name}/{record_id}/associations/{target}/{other}"
        self.fake.ui("PUT", path, [{"associationCategory": category, "associationTypeId": one} for one in types])

    def part(self, name: str, record_id: str, target: str, other: str) -> None:
        self.fake.ui("DELETE", f"/crm/objects/2026-09/{name}/{record_id}/associations/{target}/{other}")

    def related(self, name: str, record_id: str, target: str) -> dict[str, set[int]]:
        """The associated records and their types."""
        found = self.fake.ui("GET", f"/crm/objects/2026-09/{name}/{record_id}/associations/{target}")["results"]
        return {str(one["toObjectId"]): {type_["typeId"] for type_ in one["associationTypes"]} for one in found}

    def values(self, name: str, record_id: str, *properties: str) -> dict[str, str]:
        path = f"/crm/objects/2026-09/{name}/{record_id}?properties={','.join(properties)}"
        return dict(self.fake.ui("GET", path)["properties"])

    def count(self, name: str) -> int:
        return int(self.fake.sql("SELECT count(*) FROM records WHERE object = ? AND NOT archived", name)[0][0])

    # ------------------------------------------------------------ what a bench must have and these tests do not use

    async def insert(self, name: str, /, **values: Any) -> str:
        return self.make(name, **values)

    async def update(self, name: str, record_id: str, /, **values: Any) -> None:
        self.edit(name, record_id, **values)

    async def delete(self, name: str, record_id: str) -> None:
        self.archive(name, record_id)

    async def rows(self, name: str) -> dict[str, dict[str, Value]]:
        raise NotImplementedError

    async def fill(self, name: str, count: int) -> list[str]:
        raise NotImplementedError


def told(changes: Iterable[Change]) -> list[tuple[str, str, str | None]]:
    """What of which record, and into which."""
    return [(change.op.value, change.id, change.into) for change in changes]


async def next_changes(log: Log, count: int = 1) -> list[Change]:
    """Changes as they come by, without a mark: a mark looks at everything."""
    found: list[Change] = []
    while len(found) < count:
        found += changes_of([await log.next()])
    return found


async def put(connector: Connector, name: str, *writes: Write) -> list[Result]:
    """The answers."""
    return list(await connector.apply(name, writes, None))


def creating(link: str, values: dict[str, Value], **more: Any) -> Write:
    return write(WriteOp.CREATE, link, values=values, **more)


def updating(link: str, record_id: str, values: dict[str, Value], **more: Any) -> Write:
    return write(WriteOp.UPDATE, link, id=record_id, values=values, **more)


def held(record: Record | None, *names: str) -> list[Value]:
    """Some values of a record."""
    assert record is not None
    return [record.values[name] for name in names]
