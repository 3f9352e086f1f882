"""What the log's loop asks of the catalogs while it runs (`capture.Lookup`).

Responsible for noticing what the log itself does not tell: a table that was dropped or made anew, one taken out of the
publication, a column that a publication with a list of columns lacks, an excluded column that was renamed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from connectors.base import CursorExpiredError, FatalError, Record, RetriableError
from connectors.postgres import catalog, slots
from connectors.postgres.assembler import Fields
from connectors.postgres.client import Client, Connection
from connectors.postgres.mapping import Codec
from connectors.postgres.pgoutput import Relation
from connectors.postgres.tables import Discovered, Table
from connectors.postgres.tidy import Tidying
from rules.version import Version

Publish = Callable[[Connection], Awaitable[None]]
Discover = Callable[[Connection], Awaitable[Discovered]]
Read = Callable[[str, Sequence[str] | None], AsyncGenerator[tuple[list[Record], Version], None]]


class Asking(NamedTuple):
    """What the connector does when asked."""

    publish: (
        Publish | None
    )  # discovers anew and brings our own publication up to date; None: the publication is not ours
    discover: Discover
    read: Read


class Catalogs:
    """`tables`: of the objects in use, those that are not there too. `tidying`: None where there is no ledger."""

    def __init__(
        self,
        control: Client,
        publication: str,
        known: Discovered,
        tables: Sequence[Table],
        asking: Asking,
        tidying: Tidying | None,
    ) -> None:
        self._control, self._publication, self._asking, self._tidying = control, publication, asking, tidying
        self._codecs = known.codecs
        sound = [table for table in tables if table.is_there]
        self._tables = known.behind(sound)
        self._paired = {table.oid for table in self._tables} - {table.oid for table in sound}
        self._gone = [table for table in tables if not table.is_there]
        self.read = asking.read

    async def codecs(self, relation: Relation) -> Mapping[int, Codec]:
        """Codecs that cover the relation's types; types made since the discovery are looked up."""
        if any(column.type_oid not in self._codecs for column in relation.columns):
            async with self._control.session("looking up types") as connection:
                self._codecs = {**self._codecs, **await catalog.load_codecs(connection)}
        return self._codecs

    async def fields(self, relation: Relation) -> Fields:
        """The fields of its object, as they are now. Asked when they have changed, and so also whether that lays bare
        what must not be read."""
        async with self._control.session("looking at the fields") as connection:
            table = next(table for table in self._tables if table.oid == relation.oid)
            missing = await catalog.missing_columns(connection, table.oid, table.exclude)
            if missing:
                raise FatalError(
                    f"{table.native} has no column {missing[0]} any more, which is to be excluded: was it renamed?",
                    f"set `exclude` of the object {table.object} right",
                )
            now = await self._asking.discover(connection)
            return now.tables[table.object].shape

    def referring(self, object: str) -> tuple[str, ...]:
        """The fields of an object that are kept in tables of pairs."""
        found = (table.pairings for table in self._tables if table.object == object)
        return tuple(pairing.field.name for pairing in next(found, ()))

    async def check(self) -> list[Table]:
        """The objects whose table is no longer there. Raises where one is another than the log tells of, no longer published, or back."""
        async with self._control.session("looking at the tables") as connection:
            lost = await slots.unpublished(connection, self._publication, self._tables)
            there = await slots.existing(connection, [*lost, *self._gone])
            objects = {table.oid for table in self._tables} - self._paired
            gone = [table for table in lost if table.native not in there and table.oid in objects]
            other = [table for table in lost if table not in gone]
            if other:
                raise CursorExpiredError(
                    f"{', '.join(table.native for table in other)}: no longer the table that the log tells of "
                    f"(made anew, or taken out of the publication {self._publication})"
                )
            back = [table for table in self._gone if table.native in there]
            if back:
                raise CursorExpiredError(f"{', '.join(table.native for table in back)}: there again")
            self._gone += gone
            self._tables = [table for table in self._tables if table not in gone]
            if self._asking.publish is not None:
                await self._add_columns(connection, self._asking.publish)
            if self._tidying is not None:
                await self._tidying.step(connection, [table for table in self._tables if table.oid in objects])
            return gone

    async def _add_columns(self, connection: Connection, publish: Publish) -> None:
        """A table with excluded columns is published by a list, which does not grow with the table."""
        listed = [table for table in self._tables if table.exclude]
        if not listed or not await slots.unlisted(connection, self._publication, listed):
            return
        await publish(connection)
        try:
            # What is committed from here on has the column; the engine reads what was before when it is told.
            await slots.wait_for_writers(connection)
        except RetriableError as error:
            raise CursorExpiredError(f"a column was added, and its log is not complete: {error.message}") from error
