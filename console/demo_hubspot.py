"""The HubSpot demo: a company's own database and its HubSpot portal (a fake of it), eleven kinds of records in two-way sync.

Responsible for the story and its order. Must not look into the pipeline.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import psycopg
from rich.text import Text

from console.context import Settings
from console.demo_data import Person, World, row_versions
from console.demo_hubspot_data import NAMELESS, counts, database_side, fill_database, fill_portal, portal_side
from console.demo_hubspot_edits import Edit, Sides, crossings, from_database, from_portal, portal_id
from console.demo_hubspot_kinds import KINDS, SYNC_YAML, Comparison, compare
from console.demo_hubspot_portal import FakePortal
from console.demo_run import DemoRun
from console.demo_stage import Stage
from console.output import number
from console.target import Target
from deploy.postgres import EmbeddedPostgres

QUIET_S = 2.0  # in which nothing may be written when nothing changes


class HubSpotDemo(DemoRun):
    """A database and a portal."""

    title = (
        "Tandem keeps a company's own database and its HubSpot portal the same, in both directions.",
        "Here: a PostgreSQL database, and a fake of HubSpot that keeps HubSpot's limits; a real Apache Kafka between them.",
    )
    syncs = tuple(kind.name for kind in KINDS)

    def __init__(self, settings: Settings, stage: Stage, records: int, *, keep: bool) -> None:
        super().__init__(settings, stage, keep=keep)
        self._world = World.of(records)
        self._url = ""
        self._portal = FakePortal(self.folder / "hubspot")

    async def filled(self, server: EmbeddedPostgres) -> None:
        """A database on the server, and the fake."""
        stage, world, portal = self.stage, self._world, self._portal
        ours, theirs = database_side(world), portal_side(world)
        stage.chapter("A database and a HubSpot portal that overlap")
        with stage.doing(f"{server.title} is up, and holds the company's database"):
            await server.start()
            self._url = await server.create_database("company")
            await asyncio.to_thread(fill_database, self._url, ours)
        stage.aside(_counted("database", counts(ours)))
        with stage.doing("The fake of HubSpot is up, with a portal that has been in use for a while"):
            await asyncio.to_thread(portal.start)
            await asyncio.to_thread(fill_portal, portal, theirs)
        stage.aside(_counted("hubspot ", counts(theirs)))
        stage.aside(
            f"{number(world.shared)} people are in both, by their email address, and not always the same; companies are"
            " known by domain, products by sku"
        )
        stage.aside("deals, invoices, tickets and activities have nothing to be known again by: each side has its own")
        self.write_files(SYNC_YAML, DATABASE_URL=self._url, HUBSPOT_TOKEN=portal.token, HUBSPOT_URL=portal.url)

    async def ended(self) -> None:
        """The fake ends with the demo."""
        await asyncio.to_thread(self._portal.stop)

    async def first_sync_over(self, target: Target) -> None:  # noqa: ARG002
        """As the syncs say; a mark, which looks at the whole portal more than once, is only set at the end."""
        await self.all_live()

    async def story(self, target: Target) -> bool:
        """First sync, edits of all kinds, a merge, a deletion and its restore, silence, the proof."""
        stage = self.stage
        stage.chapter("The first sync: what both know is matched, what one side lacks is created there")
        ours, theirs = database_side(self._world), portal_side(self._world)
        await self.synced(target, {name: len(ours[name]) + len(theirs[name]) for name in self.syncs})
        stage.aside(f"{NAMELESS} people without an email address stay out: nothing could match them")
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as database:
            sides = Sides(database, self._portal)
            stage.chapter("Edits in HubSpot cross to the database")
            stage.aside(
                "HubSpot has no log to read: it is asked, here every 4 s, and its search knows of an edit after 1 s"
            )
            await self._crossed(sides, from_portal(self._world))
            stage.chapter("Edits in the database cross to HubSpot")
            stage.aside("the database tells of each commit at once")
            await self._crossed(sides, from_database(self._world))
            await self._at_once(sides)
            await self._merge(sides)
            await self._deletion(sides)
        stage.chapter("Quiet when nothing changes")
        with stage.doing("tandem wait: HubSpot has been looked through once more, all that was done has crossed"):
            await self.carried_through(target)
        await self._silence()
        agrees = await self._proof()
        addresses = f"The addresses of the database and of the portal are in {self.folder / '.env'}."
        await self.around("--hubspot ", "contacts --search example", addresses)
        return agrees

    def _person(self, place: int) -> Person:
        """One of the people whom both sides know."""
        return self._world.people[self._world.records - self._world.shared + place]

    # ------------------------------------------------------------ edits

    async def _crossed(self, sides: Sides, edits: list[Edit]) -> None:
        """Makes all edits, and shows how long each took."""
        for edit, took in await crossings(sides, edits):
            line = Text(edit.kind.ljust(10), style="bold").append(edit.what, style="not bold")
            self.stage.done(line.append(f"  {edit.said}", style="not bold bright_black"), took)

    async def _at_once(self, sides: Sides) -> None:
        stage, two, same = self.stage, self._person(3), self._person(4)
        stage.chapter("The same record, edited on both sides before either has heard of the other")
        portal, database = sides.portal, sides.database
        for person, ours, theirs in (
            (two, ("last_name", "Sandoval"), {"phone": "+34 600 000 002"}),
            (same, ("job_title", "Owner"), {"jobtitle": "Founder"}),
        ):
            id = portal_id(sides, "contacts", person.email)
            await asyncio.to_thread(portal.edit, "contacts", id, **theirs)
            statement = f"UPDATE contacts SET {ours[0]} = %s WHERE lower(email) = %s"  # noqa: S608 - our own names
            await database.execute(statement, (ours[1], person.email))

        async def both_have_both() -> bool:
            query = "SELECT last_name = 'Sandoval' AND phone = '+34 600 000 002' FROM contacts WHERE lower(email) = %s"
            here = await sides.ask(query, two.email) is True
            id = portal_id(sides, "contacts", two.email)
            there = portal.value("contacts", id, "lastname"), portal.value("contacts", id, "phone")
            return here and there == ("Sandoval", "+34 600 000 002")

        async def one_has_won() -> bool:
            here = await sides.ask("SELECT job_title FROM contacts WHERE lower(email) = %s", same.email)
            there = portal.value("contacts", portal_id(sides, "contacts", same.email), "jobtitle")
            return bool(here == there)

        took = await sides.until(both_have_both, lambda: f"both edits of {two.email}")
        stage.done(f"two fields: {two.given} has the database's new name and HubSpot's new phone, on both sides", took)
        took += await sides.until(one_has_won, lambda: f"an agreement on {same.email}")
        record = await sides.ask("SELECT id FROM contacts WHERE lower(email) = %s", same.email)
        lost = await self.lost_value("contacts", f"database:{record}")
        won = await sides.ask("SELECT job_title FROM contacts WHERE lower(email) = %s", same.email)
        stage.done(f"one field: job title Owner in the database, Founder in HubSpot; now both say {won}", took)
        if lost is None:
            stage.aside("the two did not meet this time: one had crossed before the other was made")
        else:
            stage.aside(f"the database is the default, so it won; the value that lost is kept in the history: {lost}")

    # ------------------------------------------------------------ a merge, a deletion

    async def _merge(self, sides: Sides) -> None:
        stage, portal = self.stage, sides.portal
        stays, goes = self._person(8), self._person(9)
        stage.chapter("A merge in HubSpot: two contacts were one person")
        primary, other = (portal_id(sides, "contacts", one.email) for one in (stays, goes))
        known = "SELECT id FROM contacts WHERE lower(email) = %s"
        kept, left = await sides.ask(known, stays.email), await sides.ask(known, goes.email)
        began = time.perf_counter()
        survivor = await asyncio.to_thread(portal.merge, "contacts", primary, other)
        await self.shown("contacts", f"database:{left}", lambda row: row.category == "merged")
        stage.done(
            f"{goes.given} {goes.family} is merged into {stays.given} {stays.family}, who has the new id {survivor}",
            time.perf_counter() - began,
        )
        stage.aside(f"the database's contact {kept} follows to the new id; contact {left} stays, and shows as merged")
        tables = [kind.name for kind in KINDS for one in kind.references if one.column == "contact_id"]
        counted = " + ".join(f"(SELECT count(*) FROM {name} WHERE contact_id = %(id)s)" for name in tables)  # noqa: S608

        async def nothing_refers_to_it() -> bool:
            row = await (await sides.database.execute(f"SELECT {counted}", {"id": left})).fetchone()
            return row is not None and row[0] == 0

        await sides.until(nothing_refers_to_it, lambda: f"what refers to contact {left} refers to {kept}")
        stage.done(
            f"deals, tickets and the rest that referred to {left} refer to {kept} by now, as in HubSpot",
            time.perf_counter() - began,
        )
        await sides.database.execute("DELETE FROM contacts WHERE id = %s", (left,))
        stage.done(f"a person looks, and deletes the duplicate {left} in the database as well")

    async def _deletion(self, sides: Sides) -> None:
        stage, portal, person = self.stage, sides.portal, self._person(5)
        stage.chapter("A deletion in HubSpot, and its restore")
        old = portal_id(sides, "contacts", person.email)
        left = await sides.ask("SELECT id FROM contacts WHERE lower(email) = %s", person.email)
        began = time.perf_counter()
        await asyncio.to_thread(portal.archive, "contacts", old)
        await self.shown("contacts", f"database:{left}", lambda row: row.category == "deleted")
        stage.done(
            f"HubSpot deletes {person.given} {person.family}, id {old}: the database keeps contact {left}, and it shows as failing",
            time.perf_counter() - began,
        )
        await sides.database.execute("UPDATE contacts SET phone = '+34 600 000 003' WHERE id = %s", (left,))
        stage.aside("meanwhile the database gives the contact a new phone")
        asked = time.perf_counter()
        await self.tandem("restore", "contacts", f"hubspot:{old}", "--into", "hubspot")

        async def is_back() -> bool:
            id = portal.id("contacts", "email", person.email)
            return id is not None and portal.value("contacts", id, "phone") == "+34 600 000 003"

        await sides.until(is_back, lambda: f"{person.email} is back")
        new = portal_id(sides, "contacts", person.email)
        stage.done(
            f"{person.given} {person.family} is back in HubSpot as {new}, with the database's new phone",
            time.perf_counter() - asked,
        )

    # ------------------------------------------------------------ the end

    async def _silence(self) -> None:
        with self.stage.doing(f"{QUIET_S:.0f} seconds without an edit") as details:
            before, sent = await asyncio.to_thread(row_versions, self._url, self.syncs), self._portal.writes()
            await asyncio.sleep(QUIET_S)
            rows = len(before ^ await asyncio.to_thread(row_versions, self._url, self.syncs))
            sent = self._portal.writes() - sent
            details.append(f"rows written: {rows}, records sent to HubSpot: {sent}, so no echo and no ping-pong")
        made, refused = self._portal.calls()
        self.stage.aside(
            f"{number(made)} calls of HubSpot's API in all, within its limits: {number(refused)} were refused for going too fast"
        )

    async def _proof(self) -> bool:
        stage = self.stage
        stage.chapter("The proof: both sides are asked by SQL, the pipeline is not")
        stage.aside("HubSpot's fake keeps its records in SQLite; every mapped field and association is compared")
        found = await asyncio.to_thread(compare, self._url, self._portal.file)
        for each in found:
            self._compared(each)
        agrees = all(each.agrees for each in found)
        if agrees:
            fields, references = sum(each.fields for each in found), sum(each.references for each in found)
            total = number(sum(each.ours[0] for each in found))
            said = f"Both sides agree on {total} records of {len(found)} kinds, in all {fields} mapped fields and {references} associations."
            stage.verdict(said, good=True)
        else:
            stage.verdict("The two sides do not agree.", good=False)
        return agrees

    def _compared(self, each: Comparison) -> None:
        line = Text(each.what.ljust(10), style="bold")
        line.append(f"database {number(each.ours[0]):>6}   hubspot {number(each.theirs[0]):>6}   ", style="not bold")
        equal = "=" if each.agrees else "≠"
        line.append(f"checksum {each.ours[1][:10]} {equal} {each.theirs[1][:10]}", style="not bold")
        self.stage.done(line, good=each.agrees)
        for side, lines in (("database", each.only_ours), ("hubspot", each.only_theirs)):
            for one in lines:
                self.stage.aside(f"{side} alone: {one}")


def _counted(side: str, counts: Sequence[tuple[str, int]]) -> str:
    return f"{side}  " + ", ".join(f"{number(count)} {name}" for name, count in counts)
