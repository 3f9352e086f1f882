"""A stage at work: messages of one input, taken into units and committed, one unit after the other; while one is being
committed, the next is decided.

Responsible for what ends a unit, for what to do with a message that cannot be read, and for waiting where a message
must wait. Must not know what a stage decides.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import msgspec

from schemas import UndecodableError, UnknownSchemaError
from streams import faults
from streams.ending import cancelled
from streams.overlay import Overlay
from streams.pump import Feed, Gate, Message
from streams.unit import Backing, Change, Unit, commit

LOOK_AHEAD_SECONDS = 0.002  # of deciding ahead, after which the unit that is being committed has its turn


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
        unit = Unit(Overlay(self._place.backing.database))
        while True:
            if not unit.inputs:
                await self._place.feed.some()
            async with self._place.gate:
                wait = self._fill(unit)
                if unit.inputs:
                    unit = await self._carry_out(unit)
                    continue
            if wait is not None:
                await wait.ready()

    def _fill(self, unit: Unit) -> NotYetError | None:
        """Takes messages into the unit; what the next one waits for, if that is why it ended."""
        while (message := self._place.feed.queued(unit.inputs)) is not None and not unit.full:
            try:
                if not self._take(message, unit):
                    return None
            except NotYetError as wait:
                return wait
        return None

    def _take(self, message: Message, unit: Unit) -> bool:
        """Decides on the message, and takes it into the unit if there is room. Raises NotYetError."""
        change = self._change(message, unit.overlay)
        if not unit.admits(change):
            return False
        unit.add(change)
        return True

    async def _carry_out(self, unit: Unit) -> Unit:
        """Commits the unit, and meanwhile begins the next: what is queued behind it is decided over what it will leave.
        Nothing of that shows before the unit is committed."""
        ahead = Unit(Overlay(self._place.backing.database, unit.overlay))
        committing = asyncio.create_task(self._commit(unit))
        try:
            await self._look_ahead(ahead, unit.inputs, committing)
            await committing
        finally:
            await cancelled(committing)
        ahead.overlay.settle()
        return ahead

    async def _look_ahead(self, ahead: Unit, behind: int, committing: asyncio.Task[None]) -> None:
        began = 0.0
        while not committing.done() and not ahead.full:
            if (now := time.monotonic()) - began > LOOK_AHEAD_SECONDS:
                await asyncio.sleep(0)  # an acknowledgement may have come
                began = now
                continue
            message = self._place.feed.queued(behind + ahead.inputs)
            try:
                if message is None or not self._take(message, ahead):
                    return
            except NotYetError:
                return  # asked again when it is its turn

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
