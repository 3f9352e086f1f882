"""Keeps the ledger from growing for ever: entries that nobody can ask for any more are removed, a part at a time.

The rule: an entry goes when its record is no longer there and no command has been written for its link for `KEPT_DAYS`. An entry whose
record is there stays however old it is: it remembers the pair. The entry of a link is its newest command, so what a
repeated command would look for is missing only when it comes after all that time; then the fence, which stays, holds it off.

Responsible for when and what; the table's rows are only looked up by their keys.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import psycopg

from connectors.base import Context
from connectors.postgres.client import Connection
from connectors.postgres.names import quote
from connectors.postgres.tables import Table
from rules.catalog import Kind

KEPT_DAYS = 90
PART = 5000  # entries looked at in one go: some milliseconds
EVERY = 86_400.0  # seconds from one walk to the next

_NEXT = """
SELECT max(link), count(*) FROM (
    SELECT link FROM tandem.ledger WHERE link > $3 AND installation = $1 AND account = $2
    AND has_table_privilege('tandem.ledger', 'DELETE') ORDER BY link LIMIT $4::int) part"""


class Tidying:
    """One walk after the other over the entries of an account."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._after: str | None = ""  # the link after which the walk goes on; None: it is over
        self._ended = 0.0

    async def step(self, connection: Connection, tables: Sequence[Table]) -> int:
        """Looks at the next part, if a walk is on; how many entries were removed."""
        if self._after is None and time.monotonic() - self._ended < EVERY:
            return 0
        who, after = [self._context.installation, self._context.account], self._after or ""
        row = await (await connection.execute(_NEXT, [*who, after, PART])).fetchone()
        last, count = (None, 0) if row is None else row
        removed = 0
        for table in tables if last is not None else ():
            removed += await _remove(connection, table, [*who, table.object, after, last])
        self._after = last if count == PART else None
        if self._after is None:
            self._ended = time.monotonic()
        return removed


def delete_sql(table: Table) -> str | None:
    """Removes the old entries of a range of links whose records are gone; None where an id does not tell the key in SQL."""
    columns = table.keys()
    if not columns or any(column.codec.kind is Kind.BYTES for column in columns):
        return None
    same = " AND ".join(
        f"t.{quote(column.name)} = replace(replace(split_part(l.id, ',', {place}), '%2C', ','), '%25', '%')::{column.codec.cast}"
        for place, column in enumerate(columns, 1)
    )
    return (
        "DELETE FROM tandem.ledger l WHERE l.installation = $1 AND l.account = $2 AND l.object = $3 "  # noqa: S608
        f"AND l.link > $4 AND l.link <= $5 AND l.updated < now() - interval '{KEPT_DAYS} days' AND l.id IS NOT NULL "
        f"AND NOT EXISTS (SELECT FROM {table.source} t WHERE {same})"
    )


async def _remove(connection: Connection, table: Table, parameters: Sequence[str]) -> int:
    query = delete_sql(table)
    if query is None:
        return 0
    try:
        return max((await connection.execute(query, parameters)).rowcount, 0)
    except psycopg.DataError:
        return 0  # an id from before the key had another type: those entries stay
