"""The publication as it must be before the log is read: ours is made so, another's must be so already."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from connectors.base import FatalError
from connectors.postgres import health, slots
from connectors.postgres.client import Connection
from connectors.postgres.tables import Table


async def publish(connection: Connection, name: str, tables: Sequence[Table], *, own: bool) -> tuple[bool, bool]:
    """Whether the publication was made anew, and whether a table was added to it."""
    remedy = health.publication_remedy(name, tables, connection.info.server_version)
    if own:
        try:
            return await slots.ensure_publication(connection, name, tables)
        except psycopg.errors.InsufficientPrivilege as error:
            message = f"the role may not make or change the publication {name}: {error.diag.message_primary}"
            raise FatalError(message, remedy) from error
    missing = slots.missing_from(await slots.published(connection, name), tables)
    if missing:
        raise FatalError(f"the publication {name} lacks {', '.join(table.native for table in missing)}", remedy)
    return False, False
