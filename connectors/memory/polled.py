"""The connector of apps in memory, as if they had no log, no ledger and no conditional write.

Guarantees: changes and deletions are seen by scanning, within `every` seconds; reads and scans share one order (a position per
commit). Limits: what came and went between two scans is not seen; a truncation is many deletions; a changed id is a deletion and
a new record; nothing remembers tokens, sequences, fences or pairs, so that a create sent again is found by its identifiers or
made a second time. It stands for the apps that are as different from a database as can be.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

import msgspec
from pydantic import BaseModel

from connectors.base import Captured, Context, FatalError
from connectors.memory.app import App, Ledger
from connectors.memory.connector import MemoryConnector
from connectors.memory.settings import MemorySettings
from connectors.memory.table import Table
from connectors.polling import Fields, Pace, Scanner
from rules.catalog import Capabilities, Object
from rules.version import Version


class PolledSettings(MemorySettings):
    """An account's keys in sync.yaml."""

    every: float = 1.0  # seconds between two scans


class PolledConnector(MemoryConnector):
    """One account of an app in memory that has nothing but its records."""

    Settings: ClassVar[type[BaseModel]] = PolledSettings

    def __init__(self, settings: BaseModel, context: Context) -> None:
        super().__init__(settings, context)
        assert isinstance(settings, PolledSettings)
        self._every = settings.every
        self._scanner = Scanner(self, context, Pace(self._every))

    async def position(self) -> str | None:
        """Where the memory says that we are."""
        await self._enter("position")
        return await self._scanner.position()

    async def prepare(self) -> str:
        """Notes what is there."""
        await self._enter("prepare")
        return await self._scanner.prepare()

    async def release(self) -> None:
        """Nothing lies in the app."""
        await self._enter("release")
        await self._scanner.release()

    async def changes(self, cursor: str | None) -> AsyncIterator[Captured]:
        """What scans find."""
        await self._enter("changes")
        async for item in self._scanner.changes(cursor):
            yield item

    async def confirm(self, cursor: str) -> None:  # noqa: ARG002  # the memory has the place
        """The memory has the place."""
        await self._enter("confirm")

    async def mark(self, mark: str) -> None:
        """Comes by behind the next scan."""
        await self._enter("mark")
        await self._scanner.mark(mark)

    # ---------------------------------------------------------------- what is scanned (`connectors.polling.Source`)

    async def now(self) -> Version:
        """The app's position."""
        return Version((await self._enter("now")).position)

    async def stamp(self, object: str) -> str:  # noqa: ARG002  # one position for all objects
        """The app's position: nothing has changed while it stands."""
        app = await self._enter("stamp")
        return f"{app.position}"

    async def fields(self, object: str) -> Fields:
        """The table's fields."""
        app = await self._enter("fields")
        table = app.tables.get(self._tables.get(object, object))
        if table is None:
            raise FatalError(f"there is no object {object}", "mend `table` in sync.yaml")
        return tuple((field.name, field.type.native) for field in self._described(table).fields)

    # ---------------------------------------------------------------- within

    def _ledger(self, app: App) -> Ledger:  # noqa: ARG002  # nothing lies in it
        return Ledger()

    def _described(self, table: Table) -> Object:
        able = Capabilities(
            capture="scan", sees_within=self._every, tokens=False, echoes=False, fenced=False, pairs=False
        )
        return msgspec.structs.replace(super()._described(table), capabilities=able)
