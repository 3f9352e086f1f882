"""What the log's loop asks of the catalogs while it runs (`capture.Lookup`).

Responsible for noticing what the log itself does not tell: a table that was dropped or made anew, one taken out of the
publication, a column that a publication with a list of columns lacks, an excluded column that was renamed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from connectors.base import CursorExpiredError, FatalError, RetriableError
from connectors.postgres import catalog, slots
from connectors.postgres.catalog import Table
from connectors.postgres.client import Client, Connection
from connectors.postgres.mapping import Codec
from connectors.postgres.pgoutput import Relation

Publish = Callable[[Connection], Awaitable[None]]


class Catalogs:
    """`publish` discovers anew and brings our own publication up to date; None: the publication is not ours."""

    def __init__(
        self,
        control: Client,
        publication: str,
        publish: Publish | None,
        codecs: Mapping[int, Codec],
        tables: Sequence[Table],
    ) -> None:
        self._control, self._publication, self._publish = control, publication, publish
        self._codecs, self._tables = codecs, tables

    async def codecs(self, relation: Relation) -> Mapping[int, Codec]:
        """Codecs that cover the relation's types; types made since the discovery are looked up."""
        if any(column.type_oid not in self._codecs for column in relation.columns):
            async with self._control.session("looking up types") as connection:
                self._codecs = {**self._codecs, **await catalog.load_codecs(connection)}
        return self._codecs

    async def natives(self, relation: Relation) -> dict[str, str]:
        """The names of its columns' types. Asked when the fields have changed, and so also whether that lays bare
        what must not be read."""
        async with self._control.session("looking up types") as connection:
            table = next(table for table in self._tables if table.oid == relation.oid)
            missing = await catalog.missing_columns(connection, table.oid, table.exclude)
            if missing:
                raise FatalError(
                    f"{table.native} has no column {missing[0]} any more, which is to be excluded: was it renamed?",
                    f"set `exclude` of the object {table.object} right",
                )
            return await catalog.native_types(connection, relation)

    async def check(self) -> None:
        """Raises where a table of ours is gone, another one under its name, or no longer published."""
        async with self._control.session("looking at the tables") as connection:
            lost = await slots.unpublished(connection, self._publication, self._tables)
            if lost:
                raise CursorExpiredError(
                    f"{', '.join(table.native for table in lost)}: no longer the table that the log tells of "
                    f"(dropped, made anew, or taken out of the publication {self._publication})"
                )
            if self._publish is not None:
                await self._add_columns(connection, self._publish)

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
