"""How many calls HubSpot's connector makes for 1,000 records: `python -m bench.hubspot [RECORDS]`.

Counts over the fake, which logs every call; the figures are those of docs/connectors/hubspot.md. Times say nothing of HubSpot's.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from connectors.base import Context, Identifier, WriteOp
from connectors.hubspot.client import Client
from connectors.hubspot.definitions import Definitions
from connectors.hubspot.finding import Finder
from connectors.hubspot.known import Known
from connectors.hubspot.reading import Reader
from connectors.hubspot.windows import Window
from tests.connectors.contract_tools import opened, write
from tests.connectors.hubspot.fake.process import Fake
from tests.connectors.hubspot.portal import Portal, creating, put, updating

FIELDS = {"contacts": ("email", "firstname", "phone"), "companies": ("name",)}
WITH_COMPANY = {"contacts": (*FIELDS["contacts"], "company_id"), "companies": ("name",)}


class Count:
    """Calls of one piece of work."""

    def __init__(self, fake: Fake, records: int) -> None:
        self.fake, self.records = fake, records
        self.rows: list[tuple[str, float, float, float]] = []

    async def of(self, what: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """Does it and counts; searches and association calls are among all calls."""
        before = self.fake.calls()["last"]
        answer = await work()
        routes = self.fake.calls(before)["results"]
        scale = 1000 / self.records

        def counted(part: str) -> float:
            return float(sum(one["count"] for one in routes if part in one["route"])) * scale

        self.rows.append((what, counted(""), counted("/search"), counted("/associations/")))
        return answer

    def table(self) -> str:
        """Markdown."""
        lines = ["| for 1,000 records | calls | of these searches | of these associations |", "|---|---|---|---|"]
        lines += [f"| {what} | {all_:.0f} | {search:.0f} | {ends:.0f} |" for what, all_, search, ends in self.rows]
        return "\n".join(lines)


async def pages(connector: Any, name: str) -> None:
    """A full read."""
    async for _ in connector.snapshot(name, None):
        pass


async def measure(fake: Fake, records: int) -> str:
    """All pieces of work, one after the other."""
    count = Count(fake, records)
    await _measure(fake, count, FIELDS, "")
    await _measure(fake, count, WITH_COMPANY, " with their company")
    return count.table()


async def _measure(fake: Fake, count: Count, fields: dict[str, tuple[str, ...]], suffix: str) -> None:
    fake.reset()
    portal = Portal(fake, fields)
    ids = portal.make_many("contacts", ({"email": f"p{n}@x.io"} for n in range(count.records)))
    acme = portal.make("companies", name="A")
    async with opened(portal.connector()) as connector:
        await connector.prepare()  # makes our property
        await count.of(f"contacts read in full{suffix}", lambda: pages(connector, "contacts"))
    context = Context("acme", "crm", portal.uses("contacts"))
    client = Client(portal.settings())
    definitions = Definitions(client, portal.settings(), context)
    shape = await definitions.shape("contacts")
    own = definitions.fields(shape)
    finder = Finder(Reader(client, definitions, context), definitions, Known("contacts", own.relations), shape, own)
    await count.of(f"contacts noted when capture begins{suffix}", lambda: drained(finder.baseline()))
    since = client.now()
    fake.admin("POST", "touch", {"type": "contacts", "ids": ids})
    await count.of(f"edits found{suffix}", lambda: drained(finder.search(Window(since, since, deep=True))))
    await count.of("ids scanned", lambda: drained(finder.scan()))
    if suffix:
        await count.of("associations looked at", lambda: drained(finder.associations()))
    await client.close()
    more: dict[str, Any] = {"company_id": acme} if suffix else {}
    emails = [f"new{n}@x.io" for n in range(count.records)]
    new = [
        creating(f"c{email}", {"email": email, **more}, identifiers=(Identifier("email", "email", email),))
        for email in emails
    ]
    edits = [updating(f"u{n}", one, {"company_id": acme} if suffix else {"phone": "1"}) for n, one in enumerate(ids)]
    gone = [write(WriteOp.DELETE, f"d{n}", id=one) for n, one in enumerate(ids)]
    async with opened(portal.connector()) as connector:
        await connector.discover()
        await count.of(f"contacts created{suffix}", lambda: batches(connector, new))
        await count.of(
            "companies of contacts changed" if suffix else "contacts updated", lambda: batches(connector, edits)
        )
        if not suffix:
            await count.of("contacts archived", lambda: batches(connector, gone))


async def batches(connector: Any, writes: list[Any]) -> None:
    """As the engine sends them."""
    for start in range(0, len(writes), 100):
        await put(connector, "contacts", *writes[start : start + 100])


async def drained(told: Any) -> None:
    async for _ in told:
        pass


def main() -> None:
    """Prints the table."""
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder, Fake(Path(folder)) as fake:
        print(asyncio.run(measure(fake, records)))


if __name__ == "__main__":
    main()
