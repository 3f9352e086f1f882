"""What every demo does around its story: a folder of its own, a PostgreSQL server, the engine of `tandem up`, commands.

Responsible for what begins and ends with a demo, whatever happens in between. Everything in it is the product as a user runs
it. Must not know the story, nor look into the pipeline.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from console.context import Settings
from console.demo_edits import PATIENCE_S
from console.demo_stage import Stage, SyncBars
from console.engine import Engine
from console.errors import ConsoleError, FailedError
from console.home import Home
from console.output import number
from console.readmodel.reader import RecordRow
from console.readmodel.writer import Rows
from console.service import Service
from console.target import Target
from console.waiting import Waiter
from deploy.errors import DeployError
from deploy.postgres import EmbeddedPostgres
from rules.events import SyncRow


class DemoRun(ABC):
    """One run, in a folder of its own below the home, which is emptied before."""

    title: tuple[str, str]
    syncs: tuple[str, ...]

    def __init__(self, settings: Settings, stage: Stage, *, keep: bool) -> None:
        folder = settings.home_path / "demo"
        self.settings = Settings(file=folder / "sync.yaml", home_path=folder, log_level=settings.log_level)
        self.stage = stage
        self.keep = keep
        self._rows: dict[str, SyncRow] = {}
        self._bars: SyncBars | None = None
        self._begun = asyncio.Event()

    @property
    def folder(self) -> Path:
        """Where everything of the run lies."""
        return self.settings.home_path

    # ------------------------------------------------------------ what a demo is

    @abstractmethod
    async def filled(self, server: EmbeddedPostgres) -> None:
        """Starts and fills both sides, and writes sync.yaml."""

    @abstractmethod
    async def story(self, target: Target) -> bool:
        """What is shown while the engine runs; whether both sides agree at the end."""

    async def ended(self) -> None:  # noqa: B027 - most have nothing
        """Ends what `filled` has started besides the server."""

    # ------------------------------------------------------------ from its start to its end

    async def run(self) -> bool:
        """Whether both sides agree at the end. Raises `ConsoleError` where it could not come so far."""
        if Home(self.folder).is_taken():
            raise FailedError(f"A demo already runs in {self.folder}.", "End it first, or choose another --home.")
        self.stage.title(*self.title)
        server = EmbeddedPostgres(self.folder)
        server.discard()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        leaves = False
        try:
            await self.filled(server)
            leaves = not await self._with_engine()
        except DeployError as error:
            leaves = True
            raise FailedError(error.message, error.remedy) from error
        except ConsoleError:
            leaves = True
            raise
        finally:
            await self.ended()
            await server.stop()
            if not (leaves or self.keep):
                server.discard()
                shutil.rmtree(self.folder, ignore_errors=True)
        return not leaves

    def write_files(self, document: str, **secrets: str) -> None:
        """sync.yaml, and the .env beside it."""
        environment = self.folder / ".env"
        environment.touch(0o600)
        environment.write_text("".join(f"{name}={value}\n" for name, value in secrets.items()))
        self.settings.file.write_text(document)

    async def _with_engine(self) -> bool:
        """Tells the story as long as the engine runs."""
        target = Target(self.settings)
        troubles: list[str] = []
        engine = Engine(target, 1, lambda text, mood: troubles.append(text) if mood == "bad" else None, self._on_rows)
        running = asyncio.create_task(engine.run())
        telling = asyncio.create_task(self.story(target))
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
        if self._rows.keys() >= set(self.syncs):
            self._begun.set()

    # ------------------------------------------------------------ for stories

    async def synced(self, target: Target, totals: dict[str, int]) -> dict[str, SyncRow]:
        """The first sync, from the start of the engine to its end. `totals`: how many records there are to read."""
        with self.stage.doing("Kafka and a worker are up, sync.yaml is applied"):
            await self._begun.wait()
        began = time.monotonic()
        with self.stage.syncing(totals) as self._bars:
            for row in self._rows.values():
                self._bars.take(row)
            await self.first_sync_over(target)
        self._bars = None
        took = time.monotonic() - began
        for name in self.syncs:
            row = self._rows[name]
            read = " + ".join(f"{number(count)} of {account}" for account, count in sorted(row.read.items()))
            said = f"{name}: read {read} · matched {number(row.matched)} · created {number(row.created)}"
            self.stage.done(said, took if name == self.syncs[-1] else None)
        return self._rows

    async def first_sync_over(self, target: Target) -> None:
        """Returns when the first sync is through."""
        await self.carried_through(target)

    async def all_live(self) -> None:
        """Returns when all syncs say that their first read is over and no record is on its way."""
        deadline = time.monotonic() + PATIENCE_S * 10
        while any(row.state != "live" or row.counts.get("pending") for row in self._rows.values()):
            if time.monotonic() > deadline:
                raise FailedError("The first sync takes too long.", "`tandem status` says what it waits for.")
            await asyncio.sleep(0.05)

    async def carried_through(self, target: Target) -> None:
        """Returns when all that was done before has crossed."""
        await Waiter(target, None, time.monotonic() + PATIENCE_S * 10).run()

    async def tandem(self, *arguments: str) -> None:
        """Runs a command as a user does, and shows it."""
        self.stage.command(f"tandem {' '.join(arguments)}")
        where = ("--home", str(self.folder), "--file", str(self.settings.file))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "console.cli", *where, *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        if process.returncode:
            raise FailedError(f"tandem {' '.join(arguments)} ended with status {process.returncode}.", said.decode())

    async def shown(self, sync: str, reference: str, holds: Callable[[RecordRow], bool]) -> None:
        """Returns when `tandem records` would show the record so."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with Service.open(Home(self.folder)) as service:
                row = service.find(sync, reference)
            if holds(row):
                return
            if time.monotonic() > deadline:
                raise FailedError(f"{reference} does not show as it should within {PATIENCE_S:.0f} s.", str(row))
            await asyncio.sleep(0.02)

    async def lost_value(self, sync: str, reference: str) -> str | None:
        """The value that lost a conflict about the record, once the history tells of it."""
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            with Service.open(Home(self.folder)) as service:
                row = service.find(sync, reference)
                decisions = service.reader.history_of(sync, [row.key])
            for change in (change for decision in decisions for change in decision.changes):
                if change.rule == "conflict" and change.lost is not None:
                    return str(change.lost)
            await asyncio.sleep(0.05)
        return None

    async def around(self, option: str, search: str, left: str) -> None:
        """How to look around, and time for it. `search`: words of `records`; `left`: what may be edited meanwhile."""
        if not self.keep:
            self.stage.say(f"To look around yourself: tandem demo {option}--keep", "bright_black")
            return
        where = f"--home {self.folder}"
        for words in ("status", f"records {search}", "failures", "tap --topic history --from beginning"):
            self.stage.command(f"tandem {words} {where}")
        if sys.stdin.isatty():
            self.stage.say(f"It runs on until Ctrl-C. {left}")
            await asyncio.Event().wait()
