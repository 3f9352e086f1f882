"""`tap`: the events themselves, to look at or to pipe on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import click

from console.context import Settings, TandemCommand, pass_settings
from console.kafka import silence, telling, topics_of
from console.tapping import TOPICS, Start, events
from console.target import Target
from console.times import parse_time


class PlaceType(click.ParamType):
    """Where to begin: `beginning`, `end`, an offset, or a time."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Start:
        """Raises what click turns into a message."""
        if isinstance(value, (int, float)) or value in ("beginning", "end"):
            place: Start = value
            return place
        if value.isdigit():
            return int(value)
        try:
            return parse_time(value, time.time())
        except ValueError:
            self.fail(
                f"{value} is no place: write beginning, end, an offset, or a time such as 10m or 18:00.", param, ctx
            )


@click.command("tap", cls=TandemCommand, help="Prints the events of topics as JSON lines, decoded, until Ctrl-C.")
@click.option(
    "--topic",
    "names",
    multiple=True,
    type=click.Choice(TOPICS),
    metavar="T",
    help=f"{', '.join(TOPICS)}; may be given several times (default: changes).",
)
@click.option(
    "--from",
    "start",
    type=PlaceType(),
    default="end",
    metavar="T",
    help="beginning, an offset, or a time such as 10m (default: what comes from now on).",
)
@click.option("--no-follow", is_flag=True, help="Ends where the topics end now.")
@pass_settings
def tap_command(settings: Settings, names: tuple[str, ...], start: Start, no_follow: bool) -> None:
    """Taps."""
    target = Target(settings)

    async def tap() -> None:
        silence()
        broker = target.broker()
        with telling(broker):
            topics = await topics_of(broker, target.name)
            async for event in events(broker, topics, names or ("changes",), start, follow=not no_follow):
                settings.output.line(event)

    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        asyncio.run(tap())
