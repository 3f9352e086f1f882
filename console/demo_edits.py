"""Edits in the demo's databases, and how long they take to cross.

Responsible for SQL and clocks. Must not know how it is told, nor anything of the pipeline.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from console.demo_data import TIERS, Company, Person
from console.errors import FailedError

PATIENCE_S = 60.0  # for anything to happen that the demo waits for
PER_SECOND = 60  # edits on each side, in a burst
LOOK_S = 0.001

Connection = psycopg.AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the databases are."""

    crm: str
    shop: str


@dataclass(frozen=True, slots=True)
class Edit:
    """An edit on one side, with a query to the other that is true once it has crossed. Both are given `key`."""

    side: str
    what: str
    value: str
    statement: str
    arrived: str
    key: str

    @property
    def other(self) -> str:
        """The other side."""
        return "shop" if self.side == "crm" else "crm"


class Databases:
    """Both databases."""

    def __init__(self, crm: Connection, shop: Connection) -> None:
        self.crm, self.shop = crm, shop

    def __getitem__(self, side: str) -> Connection:
        return self.crm if side == "crm" else self.shop

    async def make(self, edit: Edit) -> float:
        """Makes the edit; the seconds from its commit until the other side has it."""
        await self[edit.side].execute(edit.statement, (edit.key,))
        committed = time.perf_counter()
        await until(self[edit.other], edit.arrived, edit.key)
        return time.perf_counter() - committed

    async def at_once(self, crm: str, shop: str, key: str) -> float:
        """Two edits that are committed at the same moment, which it returns."""
        async with self.crm.transaction(), self.shop.transaction():
            await self.crm.execute(crm, (key,))
            await self.shop.execute(shop, (key,))
        return time.perf_counter()


@asynccontextmanager
async def connected(urls: Urls) -> AsyncIterator[Databases]:
    """Sessions of our own in both databases."""
    async with (
        await psycopg.AsyncConnection.connect(urls.crm, autocommit=True) as crm,
        await psycopg.AsyncConnection.connect(urls.shop, autocommit=True) as shop,
    ):
        yield Databases(crm, shop)


async def one(connection: Connection, query: str, *values: object) -> Any:
    """The first column of the first row, or None."""
    row = await (await connection.execute(query, values)).fetchone()
    return row[0] if row else None


async def until(connection: Connection, query: str, *values: object) -> None:
    """Asks until the answer is true."""
    deadline = time.monotonic() + PATIENCE_S
    while await one(connection, query, *values) is not True:
        if time.monotonic() > deadline:
            raise FailedError(f"A change did not cross within {PATIENCE_S:.0f} s.", f"Waited for: {query} {values}")
        await asyncio.sleep(LOOK_S)


def four_edits(ana: Person, ben: Person, firm: Company) -> tuple[Edit, ...]:
    """A field of a text, of an enumeration, of a number; and a new record that refers to another."""
    level = ben.level % 3 + 1
    tier = TIERS[level - 1]
    return (
        Edit(
            side="crm",
            what=f"phone of {ana.given} {ana.family}",
            value="+34 600 000 001",
            statement="UPDATE people SET phone = '+34 600 000 001' WHERE lower(email) = %s",
            arrived="SELECT mobile = '+34 600 000 001' FROM customers WHERE lower(mail) = %s",
            key=ana.email,
        ),
        Edit(
            side="shop",
            what=f"level of {ben.given} {ben.family}",
            value=f"{level}, which the CRM calls {tier}",
            statement=f"UPDATE customers SET level = {level} WHERE lower(mail) = %s",  # noqa: S608 - our own number
            arrived=f"SELECT tier = '{tier}' FROM people WHERE lower(email) = %s",  # noqa: S608
            key=ben.email,
        ),
        Edit(
            side="crm",
            what=f"employees of {firm.name}",
            value="1,234",
            statement="UPDATE companies SET employees = 1234 WHERE name = %s",
            arrived="SELECT headcount = 1234 FROM firms WHERE firm_name = %s",
            key=firm.name,
        ),
        Edit(
            side="shop",
            what="a new customer",
            value=f"Nina Sommer of {firm.name}",
            statement="INSERT INTO customers (mail, given_name, family_name, level, firm)"
            " SELECT 'nina@sommer.example', 'Nina', 'Sommer', 2, firm_no FROM firms WHERE firm_name = %s",
            arrived="SELECT c.name = %s FROM people p JOIN companies c ON c.id = p.company_id"
            " WHERE p.email = 'nina@sommer.example'",
            key=firm.name,
        ),
    )  # fmt: skip


class Burst:
    """Many edits on both sides within a second: when each was committed, and when it was seen on the other side."""

    def __init__(self, urls: Urls, crm: list[str], shop: list[str]) -> None:
        self._urls = urls
        self._emails = {"crm": crm, "shop": shop}
        self._committed: dict[str, float] = {}
        self._crossed: dict[str, float] = {}

    async def run(self) -> list[float]:
        """The seconds that each took, sorted."""
        try:
            async with asyncio.timeout(PATIENCE_S), connected(self._urls) as writing, connected(self._urls) as looking:
                await asyncio.gather(
                    self._edit(writing.crm, "UPDATE people SET credit = 4321 WHERE lower(email) = %s", "crm"),
                    self._edit(writing.shop, "UPDATE customers SET credit_limit = 4321 WHERE lower(mail) = %s", "shop"),
                    self._look(looking.shop, "SELECT lower(mail) FROM customers WHERE credit_limit = 4321", "crm"),
                    self._look(looking.crm, "SELECT lower(email) FROM people WHERE credit = 4321", "shop"),
                )
        except TimeoutError as error:
            missing = sum(map(len, self._emails.values())) - len(self._crossed)
            raise FailedError(f"{missing} edits did not cross within {PATIENCE_S:.0f} s.") from error
        return sorted(self._crossed[email] - at for email, at in self._committed.items())

    async def _edit(self, connection: Connection, statement: str, side: str) -> None:
        for email in self._emails[side]:
            await connection.execute(statement, (email,))
            self._committed[email] = time.perf_counter()
            await asyncio.sleep(1 / PER_SECOND)

    async def _look(self, connection: Connection, query: str, side: str) -> None:
        missing = set(self._emails[side])
        while missing:
            found = await (await connection.execute(query)).fetchall()
            now = time.perf_counter()
            # What is seen before its writer has noted the commit is looked at again, a moment later.
            for email in missing & {email for (email,) in found} & self._committed.keys():
                self._crossed[email] = now
                missing.discard(email)
            await asyncio.sleep(8 * LOOK_S)
