"""`wait`: for scripts and tests, which go on when all is carried through."""

from __future__ import annotations

import asyncio
import time

import click

from console.context import Settings, TandemCommand, pass_settings
from console.kafka import silence
from console.target import Target
from console.times import span
from console.waiting import Waiter


@click.command(
    "wait",
    cls=TandemCommand,
    help="Returns when every change made, and every command given, before it has been carried through.",
)
@click.argument("sync", required=False)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="S",
    help="Seconds to wait at most (default: as long as it takes).",
)
@pass_settings
def wait_command(settings: Settings, sync: str | None, timeout: float | None) -> None:
    """Waits."""
    silence()
    began = time.monotonic()
    waiter = Waiter(Target(settings), sync, None if timeout is None else began + timeout)

    syncs = asyncio.run(waiter.run())
    took = time.monotonic() - began
    if settings.json:
        settings.output.document({"syncs": syncs, "seconds": round(took, 3)})
    settings.output.say(f"{', '.join(syncs) or 'Nothing is on, so nothing'}: carried through, after {span(took)}.")
