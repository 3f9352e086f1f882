"""The main job with nothing to set up: two databases are filled, kept the same while both are edited, and compared at
the end.

Responsible for the story and its order. Everything in it is the product as a user runs it: the engine of `tandem up`
over a file, the commands, and SQL in the databases. Must not look into the pipeline.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.text import Text

from console import demo_data
from console.context import Settings
from console.demo_data import Person, World
from console.demo_edits import PATIENCE_S, PER_SECOND, Burst, Databases, Urls, connected, four_edits, one, until
from console.demo_stage import Stage, SyncBars
from console.engine import Engine
from console.errors import ConsoleError, FailedError
from console.home import Home
from console.output import number
from console.readmodel.reader import RecordRow
from console.readmodel.writer import Rows
from console.service import Service
from console.target import Target
from console.times import span
from console.waiting import Waiter
from deploy.errors import DeployError
from deploy.postgres import EmbeddedPostgres
from rules.events import SyncRow

QUIET_S = 2.0  # in which nothing may be written when nothing changes
COUNTED_S = 1.5  # until PostgreSQL has counted what was written


class Demo:
    """One run, in a folder of its own below the home, which is emptied before."""

    def __init__(self, settings: Settings, stage: Stage, records: int, *, keep: bool) -> None:
        folder = settings.home_path / "demo"
        self._settings = Settings(file=folder / "sync.yaml", home_path=folder, log_level=settings.log_level)
        self._stage = stage
        self._world = World.of(records)
        self._keep = keep
        self._rows: dict[str, SyncRow] = {}
        self._bars: SyncBars | None = None
        self._begun = asyncio.Event()

    @property
    def folder(self) -> Path:
        """Where everything of the run lies."""
        return self._settings.home_path

    async def run(self) -> bool:
        """Whether both sides agree at the end. Raises `ConsoleError` where it could not come so far."""
        if Home(self.folder).is_taken():
            raise FailedError(f"A demo already runs in {self.folder}.", "End it first, or choose another --home.")
        self._stage.title(
            "Tandem keeps records in two systems the same, in both directions.",
            "Here: a CRM and a shop, two PostgreSQL databases with tables of their own, over a real Apache Kafka.",
        )
        server = EmbeddedPostgres(self.folder)
        server.discard()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        leaves = False
        try:
            urls = await self._filled(server)
            leaves = not await self._with_engine(urls)
        except DeployError as error:
            leaves = True
            raise FailedError(error.message, error.remedy) from error
        except ConsoleError:
            leaves = True
            raise
        finally:
            await server.stop()
            if not (leaves or self._keep):
                server.discard()
                shutil.rmtree(self.folder, ignore_errors=True)
        return not leaves

    async def _filled(self, server: EmbeddedPostgres) -> Urls:
        stage, world = self._stage, self._world
        stage.chapter("Two databases that overlap")
        with stage.doing(f"{server.title} is up, and holds them both"):
            await server.start()
            urls = Urls(await server.create_database("crm"), await server.create_database("shop"))
            nameless = await asyncio.to_thread(demo_data.fill_crm, urls.crm, world)
            await asyncio.to_thread(demo_data.fill_shop, urls.shop, world)
        records, firms = number(world.records), number(world.firms)
        stage.aside(f"crm   {records} people, {firms} companies; their ids are numbers, tiers are lead, customer, vip")
        stage.aside(f"shop  {records} customers, {firms} firms; firms have UUIDs, levels are 1, 2, 3")
        stage.aside(
            f"{number(world.shared)} people are in both, and not always the same; {nameless} have no email address"
        )
        environment = self.folder / ".env"
        environment.touch(0o600)
        environment.write_text(f"CRM_URL={urls.crm}\nSHOP_URL={urls.shop}\n")
        self._settings.file.write_text(demo_data.SYNC_YAML)
        return urls

    # ------------------------------------------------------------ the engine beside it

    async def _with_engine(self, urls: Urls) -> bool:
        """Tells the story as long as the engine runs."""
        target = Target(self._settings)
        troubles: list[str] = []
        engine = Engine(target, 1, lambda text, mood: troubles.append(text) if mood == "bad" else None, self._on_rows)
        running = asyncio.create_task(engine.run())
        telling = asyncio.create_task(self._story(target, urls))
        try:
            await asyncio.wait([running, telling], return_when=asyncio.FIRST_COMPLETED)
            if not telling.done():
                running.result()
                raise KeyboardInterrupt  # the engine took the signal
            return telling.result()
        except ConsoleError as error:
            left = f"Everything is left in {self.folder}; what the processes logged is in {self.folder / 'logs'}."
            raise FailedError(error.message, "\n".join([*troubles[-5:], error.remedy, left])) from error
        finally:
            for task in (telling, running):
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def _on_rows(self, rows: Rows) -> None:
        for row in rows.syncs.values():
            if row is not None:
                self._rows[row.sync] = row
                if self._bars is not None:
                    self._bars.take(row)
        if {"companies", "people"} <= self._rows.keys():
            self._begun.set()

    async def _carried_through(self, target: Target) -> None:
        await Waiter(target, None, time.monotonic() + PATIENCE_S * 10).run()

    async def _tandem(self, *arguments: str) -> None:
        """Runs a command as a user does, and shows it."""
        self._stage.command(f"tandem {' '.join(arguments)}")
        where = ("--home", str(self.folder), "--file", str(self._settings.file))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "console.cli", *where, *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        if process.returncode:
            raise FailedError(f"tandem {' '.join(arguments)} ended with status {process.returncode}.", said.decode())

    # ------------------------------------------------------------ the story

    async def _story(self, target: Target, urls: Urls) -> bool:
        await self._first_sync(target)
        async with connected(urls) as databases:
            await self._live(databases, urls)
            await self._at_once(databases)
            await self._deletion(databases)
        await self._carried_through(target)
        await self._silence(urls)
        agrees = await self._proof(urls)
        await self._around()
        return agrees

    def _person(self, place: int) -> Person:
        """One of the people whom both sides know."""
        return self._world.people[self._world.records - self._world.shared + place]

    async def _first_sync(self, target: Target) -> None:
        stage, world = self._stage, self._world
        stage.chapter("The first sync")
        with stage.doing("Kafka and a worker are up, sync.yaml is applied"):
            await self._begun.wait()
        began = time.monotonic()
        with stage.syncing({"companies": 2 * world.firms, "people": 2 * world.records}) as self._bars:
            for row in self._rows.values():
                self._bars.take(row)
            await self._carried_through(target)
        self._bars = None
        took = time.monotonic() - began
        for name, seconds in (("companies", None), ("people", took)):
            row = self._rows[name]
            read = " + ".join(f"{number(count)} of {account}" for account, count in sorted(row.read.items()))
            said = f"{name}: read {read} · matched {number(row.matched)} · created {number(row.created)}"
            stage.done(said, seconds)
        excluded = self._rows["people"].counts.get("excluded", 0)
        stage.aside(f"{number(excluded)} people without an email address stay out: nothing could match them")

    async def _live(self, databases: Databases, urls: Urls) -> None:
        stage, world = self._stage, self._world
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
        stage = self._stage
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
        lost = await self._lost_value(f"crm:{record_id}")
        if lost is not None:
            stage.aside(f"the CRM is the default, so it won; the value that lost is kept in the history: {lost}")
        else:
            stage.aside("the two did not meet this time: one had crossed before the other was made")

    async def _lost_value(self, reference: str) -> str | None:
        """The value that lost a conflict about the record, once the history tells of it."""
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            with Service.open(Home(self.folder)) as service:
                row = service.find("people", reference)
                decisions = service.reader.history_of("people", [row.key])
            for change in (change for decision in decisions for change in decision.changes):
                if change.rule == "conflict" and change.lost is not None:
                    return str(change.lost)
            await asyncio.sleep(0.05)
        return None

    async def _deletion(self, databases: Databases) -> None:
        stage, person = self._stage, self._person(5)
        stage.chapter("A deletion, and its restore")
        known = "SELECT id FROM people WHERE lower(email) = %s"
        old = await one(databases.crm, known, person.email)
        await databases.crm.execute("DELETE FROM people WHERE id = %s", (old,))
        await self._shown(f"crm:{old}", lambda row: row.category == "deleted")
        left = await one(databases.shop, "SELECT customer_no FROM customers WHERE lower(mail) = %s", person.email)
        stage.done(
            f"the CRM deletes {person.given} {person.family}, id {old}: the shop keeps customer {left}, and it shows as failing"
        )
        await databases.shop.execute("UPDATE customers SET mobile = '+34 600 000 003' WHERE customer_no = %s", (left,))
        stage.aside("meanwhile the shop gives the customer a new phone")
        await self._shown(f"shop:{left}", lambda row: row.sides["shop"]["fields"]["mobile"] == "+34 600 000 003")
        asked = time.perf_counter()
        await self._tandem("restore", "people", f"crm:{old}", "--into", "crm")
        await until(databases.crm, "SELECT phone = '+34 600 000 003' FROM people WHERE lower(email) = %s", person.email)
        new = await one(databases.crm, known, person.email)
        stage.done(
            f"{person.given} {person.family} is back in the CRM as {new}, with the shop's new phone",
            time.perf_counter() - asked,
        )

    async def _shown(self, reference: str, holds: Callable[[RecordRow], bool]) -> None:
        """Returns when `tandem records` would show the record so."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with Service.open(Home(self.folder)) as service:
                row = service.find("people", reference)
            if holds(row):
                return
            if time.monotonic() > deadline:
                raise FailedError(f"{reference} does not show as it should within {PATIENCE_S:.0f} s.", str(row))
            await asyncio.sleep(0.02)

    async def _silence(self, urls: Urls) -> None:
        self._stage.chapter("Quiet when nothing changes")
        with self._stage.doing(f"{QUIET_S:.0f} seconds without an edit") as details:
            await asyncio.sleep(COUNTED_S)
            before = await asyncio.to_thread(_written, urls)
            await asyncio.sleep(QUIET_S)
            details.append(
                f"rows written meanwhile: {await asyncio.to_thread(_written, urls) - before}, so no echo and no ping-pong"
            )

    async def _proof(self, urls: Urls) -> bool:
        stage = self._stage
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

    async def _around(self) -> None:
        """How to look around, and time for it."""
        if not self._keep:
            self._stage.say("To look around yourself: tandem demo --keep", "bright_black")
            return
        where = f"--home {self.folder}"
        for words in ("status", "records people --search nina", "failures", "tap --topic history --from beginning"):
            self._stage.command(f"tandem {words} {where}")
        if sys.stdin.isatty():
            self._stage.say(
                "It runs on until Ctrl-C. Edit the databases, whose addresses are in " + str(self.folder / ".env")
            )
            await asyncio.Event().wait()


def _written(urls: Urls) -> int:
    return demo_data.writes(urls.crm) + demo_data.writes(urls.shop)
