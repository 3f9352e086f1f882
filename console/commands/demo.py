"""`demo`: the main job with nothing to set up."""

from __future__ import annotations

import asyncio

import click

from console.context import Settings, TandemCommand, pass_settings
from console.demo import Demo
from console.demo_run import DemoRun
from console.demo_stage import Stage


@click.command(
    "demo",
    cls=TandemCommand,
    help="Two databases in live two-way sync over an embedded Kafka, with nothing to set up; ends with a proof that both sides agree. "
    "With --hubspot a database and a HubSpot portal (a fake of it, no account is needed) with eleven kinds of records.",
)
@click.option("--hubspot", is_flag=True, help="A database and a HubSpot portal in place of two databases.")
@click.option(
    "--records",
    type=click.IntRange(100, 1_000_000),
    metavar="N",
    help="People on each side; 2000, with --hubspot 200.",
)
@click.option("--keep", is_flag=True, help="Leaves it to look around in: at a terminal it runs on until Ctrl-C.")
@pass_settings
def demo_command(settings: Settings, hubspot: bool, records: int | None, keep: bool) -> int:
    """Shows it."""
    stage = Stage(settings.output.out)
    demo: DemoRun
    if hubspot:
        from console.demo_hubspot import HubSpotDemo

        demo = HubSpotDemo(settings, stage, records or 200, keep=keep)
    else:
        demo = Demo(settings, stage, records or 2000, keep=keep)
    return 0 if asyncio.run(demo.run()) else 1
