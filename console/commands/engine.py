"""`up`, `broker`, `worker`: what runs in the foreground until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime

import click
from rich.status import Status
from rich.text import Text

from console.context import Settings, TandemCommand, pass_settings
from console.engine import Engine, embedded_kafka, keep_running, until_one_ends, until_signalled, worker_starts
from console.errors import FailedError
from console.home import Role, Running, WorkerEntry
from console.output import Output
from console.progress import Line, Progress, counted
from console.readmodel.writer import Rows
from console.supervisor import Workers
from console.target import Target

MOODS = {"good": "green", "bad": "red", "busy": "cyan", "quiet": ""}


class Teller:
    """Prints what happens, a line each; at a terminal with a last line that always tells how things stand."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._progress = Progress()
        self._status = Status("starting", console=output.err, spinner="dots") if output.err.is_terminal else None
        if self._status:
            self._status.start()

    def tell(self, text: str, mood: str = "quiet") -> None:
        """One line."""
        at = datetime.now(UTC).astimezone().strftime("%H:%M:%S")
        self._output.note(Text(f"{at}  ", style="bright_black").append(text, style=MOODS[mood] or "default"))

    def rows(self, rows: Rows) -> None:
        """What came into the read model."""
        for line in self._progress.take(rows.syncs, time.monotonic()):
            self._line(line)
        self._refresh()

    async def run(self) -> None:
        """Says what could not be said at once."""
        while True:
            await asyncio.sleep(1.0)
            for line in self._progress.tick(time.monotonic()):
                self._line(line)

    def close(self) -> None:
        """Leaves the terminal as it was."""
        if self._status:
            self._status.stop()

    def _line(self, line: Line) -> None:
        self.tell(f"{line.about}  {line.text}", line.mood)

    def _refresh(self) -> None:
        if self._status and self._progress.rows:
            parts = [f"{name} {row.state}, {counted(row)}" for name, row in sorted(self._progress.rows.items())]
            self._status.update(Text(" · ".join(parts), style="bright_black", no_wrap=True, overflow="ellipsis"))


@click.command("up", cls=TandemCommand, help="Runs everything that sync.yaml names, in the foreground, until Ctrl-C.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, metavar="N", help="Worker processes."
)
@pass_settings
def up_command(settings: Settings, workers: int) -> None:
    """Runs the engine."""
    teller = Teller(settings.output)
    try:
        engine = Engine(Target(settings), workers, teller.tell, teller.rows)
        asyncio.run(_beside(engine, teller))
        teller.tell("stopped")
    finally:
        teller.close()


async def _beside(engine: Engine, teller: Teller) -> None:
    saying = asyncio.create_task(teller.run())
    try:
        await engine.run()
    finally:
        saying.cancel()


@click.command("broker", cls=TandemCommand, help="Runs the embedded broker alone, until Ctrl-C.")
@pass_settings
def broker_command(settings: Settings) -> None:
    """Runs Kafka."""
    asyncio.run(until_signalled(_broker(settings)))


async def _broker(settings: Settings) -> None:
    teller = Teller(settings.output)
    target = Target(settings)
    try:
        with Role(target.home, "broker", "tandem broker") as role:
            async with embedded_kafka(target) as kafka:
                role.describe(Running(os.getpid(), time.time(), "", kafka.url, ready=True))
                teller.tell(f"Kafka is up on {kafka.bootstrap}; other commands with this --home find it", "good")
                await keep_running(kafka, teller.tell)
    finally:
        teller.close()


@click.command("worker", cls=TandemCommand, help="Runs workers alone, beside a broker that runs already, until Ctrl-C.")
@click.option(
    "-c", "--concurrency", type=click.IntRange(1, 64), default=1, show_default=True, metavar="N", help="Processes."
)
@pass_settings
def worker_command(settings: Settings, concurrency: int) -> None:
    """Runs workers."""
    asyncio.run(until_signalled(_workers(settings, concurrency)))


async def _workers(settings: Settings, count: int) -> None:
    target = Target(settings)
    installation, config = target.installation, target.named_broker()
    if config is None:
        alone = target.home.running("broker")
        if alone is None:
            raise FailedError(
                "No broker is named and none runs on this home, so workers have nothing to read.",
                "Name a cluster with --broker or `broker:` in the file, or start `tandem broker`.",
            )
        config = target.addressed(alone.broker)
    teller = Teller(settings.output)
    try:
        with Role(target.home, "workers", "A worker") as role:
            described = Running(os.getpid(), time.time(), installation.name, config.url, ready=True)

            def changed(entries: tuple[WorkerEntry, ...]) -> None:
                role.describe(
                    Running(described.pid, described.since, described.installation, described.broker, True, entries)
                )

            workers = Workers(
                worker_starts(target, installation, config, count), lambda text: teller.tell(text, "bad"), changed
            )
            teller.tell(f"{count} worker{'s' * (count > 1)} on {config.url.removeprefix('kafka://')}", "good")
            await until_one_ends([workers.run()])
    finally:
        teller.close()
