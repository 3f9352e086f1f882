"""A stage at work: messages of one input, taken into units and committed, one unit after the other.

Responsible for what ends a unit, for what to do with a message that cannot be read, and for waiting where a message
must wait. Must not know what a stage decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import msgspec

from schemas import UndecodableError, UnknownSchemaError
from streams import faults
from streams.overlay import Overlay
from streams.pump import Feed, Gate, Message
from streams.unit import Backing, Change, Unit, commit


class NotYetError(Exception):
    """The message must wait: until `ready()` returns."""

    def __init__(self, ready: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self.ready = ready


class Stage(Protocol):
    """What is decided on each message of an input. Both are synchronous and read nothing but the unit's overlay and
    the configuration."""

    name: str

    def decide(self, message: Message, overlay: Overlay) -> Change:
        """What the message changes. Raises UndecodableError, UnknownSchemaError, NotYetError."""

    def refuse(self, message: Message, why: str) -> Change:
        """What becomes of a message that is none: a dead letter, and what it may have said is read again."""


class Known(Protocol):
    """Where writers' schemas come from."""

    async def has_schema(self, fingerprint: bytes) -> bool:
        """Whether the schema is, or has now come to be, known; False: it is nobody's."""


class Workplace(msgspec.Struct, frozen=True):
    """Where a stage works: its input, what its units are carried out on, when it may. `done` is told of each unit that
    is."""

    feed: Feed
    backing: Backing
    gate: Gate
    schemas: Known
    done: Callable[[Unit], None]


class Runner:
    """Runs a stage."""

    def __init__(self, stage: Stage, place: Workplace) -> None:
        self._stage, self._place = stage, place
        self._nobodys: set[bytes] = set()

    async def run(self) -> None:
        """Until cancelled. An error out of it ends the process."""
        while True:
            await self._place.feed.some()
            wait = None
            async with self._place.gate:
                unit = Unit(Overlay(self._place.backing.database))
                wait = self._fill(unit)
                if unit.inputs:
                    await self._commit(unit)
            if wait is not None and not unit.inputs:
                await wait.ready()

    def _fill(self, unit: Unit) -> NotYetError | None:
        """Takes messages into the unit; what the next one waits for, if that is why it ended."""
        for message in self._place.feed.peek():
            try:
                change = self._change(message, unit.overlay)
            except NotYetError as wait:
                return wait
            if not unit.admits(change):
                return None
            unit.add(change)
            if unit.full:
                return None
        return None

    def _change(self, message: Message, overlay: Overlay) -> Change:
        if message.key.startswith(b"\0"):
            return Change(rows=0)  # an owner's marker
        try:
            return self._stage.decide(message, overlay)
        except UndecodableError as error:
            return self._stage.refuse(message, str(error))
        except UnknownSchemaError as error:
            if error.fingerprint in self._nobodys:
                return self._stage.refuse(message, str(error))
            raise NotYetError(partial(self._ask_for, error.fingerprint)) from error

    async def _ask_for(self, fingerprint: bytes) -> None:
        if not await self._place.schemas.has_schema(fingerprint):
            self._nobodys.add(fingerprint)

    async def _commit(self, unit: Unit) -> None:
        feed = self._place.feed
        position = feed.position + unit.inputs
        await commit(unit, self._stage.name, feed.tp.topic, position, self._place.backing)
        for _ in range(unit.inputs):
            feed.take().event.ack()
        feed.moved(position)
        faults.passed(self._stage.name if unit.rows else "", 5)
        self._place.done(unit)
