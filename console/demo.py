"""The main job with nothing to set up: two databases are filled, kept the same while both are edited, and compared at
the end.

Responsible for the story and its order. Must not look into the pipeline.
"""

from __future__ import annotations

import asyncio
import statistics
import time

from rich.text import Text

from console import demo_data
from console.context import Settings
from console.demo_data import Person, World
from console.demo_edits import PER_SECOND, Burst, Databases, Urls, connected, four_edits, one, until
from console.demo_run import DemoRun
from console.demo_stage import Stage
from console.output import number
from console.target import Target
from console.times import span
from deploy.postgres import EmbeddedPostgres

QUIET_S = 2.0  # in which nothing may be written when nothing changes


class Demo(DemoRun):
    """Two databases, a CRM's and a shop's."""

    title = (
        "Tandem keeps records in two systems the same, in both directions.",
        "Here: a CRM and a shop, two PostgreSQL databases with tables of their own, over a real Apache Kafka.",
    )
    syncs = ("companies", "people")

    def __init__(self, settings: Settings, stage: Stage, records: int, *, keep: bool) -> None:
        super().__init__(settings, stage, keep=keep)
        self._world = World.of(records)
        self._urls = Urls("", "")

    async def filled(self, server: EmbeddedPostgres) -> None:
        """Two databases on one server."""
        stage, world = self.stage, self._world
        stage.chapter("Two databases that overlap")
        with stage.doing(f"{server.title} is up, and holds them both"):
            await server.start()
            urls = self._urls = Urls(await server.create_database("crm"), await server.create_database("shop"))
            nameless = await asyncio.to_thread(demo_data.fill_crm, urls.crm, world)
            await asyncio.to_thread(demo_data.fill_shop, urls.shop, world)
        records, firms = number(world.records), number(world.firms)
        stage.aside(f"crm   {records} people, {firms} companies; their ids are numbers, tiers are lead, customer, vip")
        stage.aside(f"shop  {records} customers, {firms} firms; firms have UUIDs, levels are 1, 2, 3")
        stage.aside(
            f"{number(world.shared)} people are in both, and not always the same; {nameless} have no email address"
        )
        self.write_files(demo_data.SYNC_YAML, CRM_URL=urls.crm, SHOP_URL=urls.shop)

    async def story(self, target: Target) -> bool:
        """First sync, edits, conflicts, a deletion and its restore, silence, the proof."""
        urls = self._urls
        await self._first_sync(target)
        async with connected(urls) as databases:
            await self._live(databases, urls)
            await self._at_once(databases)
            await self._deletion(databases)
        await self.carried_through(target)
        await self._silence(urls)
        agrees = await self._proof(urls)
        addresses = "Edit the databases, whose addresses are in " + str(self.folder / ".env")
        await self.around("", "people --search nina", addresses)
        return agrees

    def _person(self, place: int) -> Person:
        """One of the people whom both sides know."""
        return self._world.people[self._world.records - self._world.shared + place]

    async def _first_sync(self, target: Target) -> None:
        stage, world = self.stage, self._world
        stage.chapter("The first sync")
        rows = await self.synced(target, {"companies": 2 * world.firms, "people": 2 * world.records})
        excluded = rows["people"].counts.get("excluded", 0)
        stage.aside(f"{number(excluded)} people without an email address stay out: nothing could match them")

    async def _live(self, databases: Databases, urls: Urls) -> None:
        stage, world = self.stage, self._world
        stage.chapter("Edits cross, whichever side they are made on")
        for edit in four_edits(self._person(1), self._person(2), world.companies[world.firms - 1]):
            took = await databases.make(edit)
            line = Text(f"{edit.side} → {edit.other}".ljust(12), style="bold")
            stage.done(
                line.append(edit.what, style="not bold").append(f"  {edit.value}", style="not bold bright_black"), took
            )
        count = min(PER_SECOND, (world.shared - 20) // 2)
        emails = [self._person(10 + place).email for place in range(2 * count)]
        times = await Burst(urls, emails[:count], emails[count:]).run()
        line = Text("both ways".ljust(12), style="bold").append(
            f"{count} edits on each side within a second", style="not bold"
        )
        line.append(f"  slowest {span(times[-1])}, median", style="not bold bright_black")
        stage.done(line, statistics.median(times))

    async def _at_once(self, databases: Databases) -> None:
        stage = self.stage
        stage.chapter("The same record, edited on both sides at once")
        two, same = self._person(3), self._person(4)
        committed = await databases.at_once(
            "UPDATE people SET last_name = 'Sandoval' WHERE lower(email) = %s",
            "UPDATE customers SET mobile = '+34 600 000 002' WHERE lower(mail) = %s",
            two.email,
        )
        both = "SELECT family_name = 'Sandoval' AND mobile = '+34 600 000 002' FROM customers WHERE lower(mail) = %s"
        await until(databases.shop, both, two.email)
        both = "SELECT last_name = 'Sandoval' AND phone = '+34 600 000 002' FROM people WHERE lower(email) = %s"
        await until(databases.crm, both, two.email)
        stage.done(
            f"two fields: {two.given} has the CRM's new name and the shop's new phone, on both sides",
            time.perf_counter() - committed,
        )
        committed = await databases.at_once(
            "UPDATE people SET credit = 1500 WHERE lower(email) = %s",
            "UPDATE customers SET credit_limit = 900 WHERE lower(mail) = %s",
            same.email,
        )
        crm, shop = (
            "SELECT credit::text FROM people WHERE lower(email) = %s",
            "SELECT credit_limit = %s FROM customers WHERE lower(mail) = %s",
        )
        while not await one(databases.shop, shop, await one(databases.crm, crm, same.email), same.email):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        took = time.perf_counter() - committed
        won = await one(databases.crm, crm, same.email)
        stage.done(f"one field: credit 1500.00 in the CRM, 900.00 in the shop; now both say {won}", took)
        record_id = await one(databases.crm, "SELECT id FROM people WHERE lower(email) = %s", same.email)
        lost = await self.lost_value("people", f"crm:{record_id}")
        if lost is not None:
            stage.aside(f"the CRM is the default, so it won; the value that lost is kept in the history: {lost}")
        else:
            stage.aside("the two did not meet this time: one had crossed before the other was made")

    async def _deletion(self, databases: Databases) -> None:
        stage, person = self.stage, self._person(5)
        stage.chapter("A deletion, and its restore")
        known = "SELECT id FROM people WHERE lower(email) = %s"
        old = await one(databases.crm, known, person.email)
        await databases.crm.execute("DELETE FROM people WHERE id = %s", (old,))
        await self.shown("people", f"crm:{old}", lambda row: row.category == "deleted")
        left = await one(databases.shop, "SELECT customer_no FROM customers WHERE lower(mail) = %s", person.email)
        stage.done(
            f"the CRM deletes {person.given} {person.family}, id {old}: the shop keeps customer {left}, and it shows as failing"
        )
        await databases.shop.execute("UPDATE customers SET mobile = '+34 600 000 003' WHERE customer_no = %s", (left,))
        stage.aside("meanwhile the shop gives the customer a new phone")
        await self.shown(
            "people", f"shop:{left}", lambda row: row.sides["shop"]["fields"]["mobile"] == "+34 600 000 003"
        )
        asked = time.perf_counter()
        await self.tandem("restore", "people", f"crm:{old}", "--into", "crm")
        await until(databases.crm, "SELECT phone = '+34 600 000 003' FROM people WHERE lower(email) = %s", person.email)
        new = await one(databases.crm, known, person.email)
        stage.done(
            f"{person.given} {person.family} is back in the CRM as {new}, with the shop's new phone",
            time.perf_counter() - asked,
        )

    async def _silence(self, urls: Urls) -> None:
        self.stage.chapter("Quiet when nothing changes")
        with self.stage.doing(f"{QUIET_S:.0f} seconds without an edit") as details:
            before = await asyncio.to_thread(_versions, urls)
            await asyncio.sleep(QUIET_S)
            written = len(before ^ await asyncio.to_thread(_versions, urls))
            details.append(f"rows written meanwhile: {written}, so no echo and no ping-pong")

    async def _proof(self, urls: Urls) -> bool:
        stage = self.stage
        stage.chapter("The proof: both databases are asked by SQL, the pipeline is not")
        found = await asyncio.to_thread(demo_data.compare, urls.crm, urls.shop)
        for each in found:
            line = Text(each.what.ljust(12), style="bold")
            line.append(f"crm {number(each.crm[0]):>7}   shop {number(each.shop[0]):>7}   ", style="not bold")
            line.append(
                f"checksum {each.crm[1][:12]} {'=' if each.agrees else '≠'} {each.shop[1][:12]}", style="not bold"
            )
            stage.done(line, good=each.agrees)
        agrees = all(each.agrees for each in found)
        if agrees:
            total = number(sum(each.crm[0] for each in found))
            stage.verdict(f"Both sides agree on every mapped field of {total} records.", good=True)
        else:
            stage.verdict("The two sides do not agree.", good=False)
        return agrees


def _versions(urls: Urls) -> set[tuple[str, str, str]]:
    crm, shop = ("companies", "people"), ("firms", "customers")
    return demo_data.row_versions(urls.crm, crm) | demo_data.row_versions(urls.shop, shop)
