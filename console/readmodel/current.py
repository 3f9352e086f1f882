"""The read model as current as it can be had by a command that only looks.

Responsible for who keeps it current: a running `tandem up` on this home, else, where a broker can be reached, the
command itself, for as long as it takes. Must not know what is asked.
"""

from __future__ import annotations

import asyncio

from console.context import Settings
from console.errors import ConsoleError
from console.home import Home, Role
from console.kafka import silence, telling, topics_of
from console.readmodel.projection import Projection
from console.service import Service
from console.target import Target


def open_service(settings: Settings) -> Service:
    """The service over the home's read model; brought up to date first where nobody else does."""
    home = settings.home
    caught_up = False
    if not home.is_taken() and (settings.broker or settings.file.exists() or home.is_taken("broker")):
        try:
            caught_up = asyncio.run(_catch_up(Target(settings), home))
        except ConsoleError as error:
            # What is there is shown all the same, with its age; only an explicit wish is an error.
            if settings.broker or not home.read_model.exists():
                raise
            settings.output.note(error.message, style="yellow")
    service = Service.open(home)
    service.caught_up = caught_up
    return service


async def _catch_up(target: Target, home: Home) -> bool:
    """Reads what the topics hold. An embedded broker that does not run leaves the read model as it is."""
    if target.named_broker() is None and not home.is_taken("broker"):
        return False
    silence()
    broker = target.broker()
    with telling(broker), Role(home, "read-model", "Another command that brings the read model up to date"):
        await topics_of(broker, target.name)
        await Projection(broker, target.name, home.read_model).catch_up()
    return True
