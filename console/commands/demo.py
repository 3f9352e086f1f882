"""`demo`: the main job with nothing to set up."""

from __future__ import annotations

import asyncio

import click

from console.context import Settings, TandemCommand, pass_settings
from console.demo import Demo
from console.demo_stage import Stage


@click.command(
    "demo",
    cls=TandemCommand,
    help="Two databases in live two-way sync over an embedded Kafka, with nothing to set up; ends with a proof that both sides agree.",
)
@click.option(
    "--records",
    type=click.IntRange(100, 1_000_000),
    default=2000,
    show_default=True,
    metavar="N",
    help="People on each side.",
)
@click.option("--keep", is_flag=True, help="Leaves it to look around in: at a terminal it runs on until Ctrl-C.")
@pass_settings
def demo_command(settings: Settings, records: int, keep: bool) -> int:
    """Shows it."""
    demo = Demo(settings, Stage(settings.output.out), records, keep=keep)
    return 0 if asyncio.run(demo.run()) else 1
