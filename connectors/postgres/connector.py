"""The PostgreSQL connector: the interface of `connectors.base` over the modules beside it.

Versions: PostgreSQL 14 to 18, a primary server with `wal_level = logical`. The role needs LOGIN, REPLICATION, and
SELECT, INSERT, UPDATE, DELETE on the tables; CREATE on the database for the publication and the ledger, unless an
administrator makes them (`publication:`; `check` prints the ledger's statements). For the publication it must own the
tables.

Capture: logical replication, plugin pgoutput. Guarantees: every committed change comes by, in the order of commits, at
least once; nothing is confirmed to the server but what `confirm` got; a slot that was lost is noticed, never skipped over.

Deletions: in the log, by key; TRUNCATE as such. A change of the key carries the old id.

References kept in a table of pairs show as a field of the record: a changed pair comes by as a change of its record, read
anew; a written one moves the mark of the primary pair in the transaction of the record.

Writes: one transaction per call. Compare-and-set under the row's lock; the ledger (schema `tandem`) makes a repeated
token and a repeated message of commands harmless, and remembers pairs.

Limits: a table needs a primary key (or an index as REPLICA IDENTITY). Virtual generated columns, and stored ones before
18, are not in the log and therefore no fields. Views have no log. Rows of tables that inherit are objects of their own.
Large objects, sequences and DDL are not captured. Texts cannot hold U+0000. Without the ledger a create is only found
again by identifier, and `capabilities.tokens` is false.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import ClassVar

import msgspec
import psycopg
from pydantic import BaseModel

from connectors.base import (
    Captured,
    Context,
    CursorExpiredError,
    FatalError,
    Fence,
    Health,
    Identifier,
    Page,
    Record,
    Result,
    RetriableError,
    Write,
)
from connectors.postgres import catalog, health, ledger, publishing, read, slots, write
from connectors.postgres import find as find_
from connectors.postgres.answers import absent
from connectors.postgres.assembler import Assembler
from connectors.postgres.batch import Target
from connectors.postgres.capture import capture
from connectors.postgres.client import Client, Connection, connect
from connectors.postgres.find import Folding
from connectors.postgres.lookup import Asking, Catalogs
from connectors.postgres.names import APPLICATION, MARK_PREFIX, format_lsn, parse_lsn, slot_name
from connectors.postgres.refusal import is_stale
from connectors.postgres.replication import Replication, StreamBrokenError, broken
from connectors.postgres.settings import PostgresObjectSettings, PostgresSettings
from connectors.postgres.tables import Discovered, Table
from connectors.postgres.tidy import Tidying
from rules.catalog import Catalog, Object
from rules.version import Version

# Seconds after which a ledger that was missing is looked for again: an administrator may have made it.
_ASK_AGAIN = 30.0
# Seconds for which a table is taken to have the columns that were discovered.
_FRESH = 30.0


class PostgresConnector:
    """One PostgreSQL database as an account. See the module's docstring for what it promises."""

    Settings: ClassVar[type[BaseModel]] = PostgresSettings
    ObjectSettings: ClassVar[type[BaseModel]] = PostgresObjectSettings

    def __init__(self, settings: BaseModel, context: Context) -> None:
        assert isinstance(settings, PostgresSettings)
        self._url = settings.url.get_secret_value()
        self._context = context
        self._slot = slot_name(context.installation, context.account)
        self._own_publication = settings.publication is None
        self._publication = settings.publication or self._slot
        self._name = f"{APPLICATION} {context.installation}/{context.account}"
        self._control = Client(self._url, self._name)
        self._writer = Client(self._url, self._name, write.OPTIONS)
        self._known: Discovered | None = None
        self._shapes: dict[str, read.Shape] = {}
        self._looked, self._looked_anew = 0.0, False
        self._ledger = False
        self._ledger_asked = -_ASK_AGAIN
        self._folding: Folding | None = None
        self._stream: Replication | None = None

    # ---------------------------------------------------------------- life

    async def open(self) -> None:
        """Connects. Changes nothing in the account."""
        async with self._control.session("connecting"):
            pass

    async def close(self) -> None:
        """Gives back connections; the slot stays."""
        await self._control.close()
        await self._writer.close()

    async def check(self) -> Health:
        """Whether the account can be reached and synced; finds all problems at once and changes nothing."""
        subject = health.Subject(self._context, self._url, self._slot, self._publication, self._own_publication)
        try:
            async with self._control.session("checking") as connection:
                found = await self._discover(connection)
                return await health.check(connection, subject, found)
        except (FatalError, RetriableError) as error:
            return health.unreachable(error)

    # ---------------------------------------------------------------- catalog

    async def discover(self) -> Catalog:
        """The objects under their names in sync.yaml (or the default ones), with typed fields and capabilities."""
        async with self._control.session("discovering") as connection:
            found = await self._discover(connection)
            tokens = await self._has_ledger(connection) or await ledger.may_create(connection)
        objects = found.catalog().objects
        if not tokens:
            objects = {name: _without_tokens(each) for name, each in objects.items()}
        return Catalog(objects)

    async def _discover(self, connection: Connection) -> Discovered:
        version = connection.info.server_version
        if version < 140000:
            raise FatalError(
                f"the server is PostgreSQL {version // 10000}", "Tandem needs PostgreSQL 14 or newer: upgrade it"
            )
        generated = version >= 180000
        if generated and not self._own_publication:
            generated = await slots.carries_generated(connection, self._publication)
        self._known = await catalog.discover(connection, self._context, generated=generated)
        self._shapes, self._looked = {}, time.monotonic()
        return self._known

    async def _discovered(self) -> Discovered:
        if self._known is None:
            async with self._control.session("discovering") as connection:
                return await self._discover(connection)
        return self._known

    async def _shape(self, name: str, fields: Iterable[str] = ()) -> read.Shape:
        """How the object is read and written. Looked at anew now and then, and where a field is asked for that was not there."""
        if time.monotonic() - self._looked > _FRESH:
            self._known = None
        shape = await self._shape_of(name)
        if not shape.columns.keys() >= set(fields):
            self._known = None
            shape = await self._shape_of(name)
        return shape

    async def _shape_of(self, name: str) -> read.Shape:
        known = await self._discovered()
        if name not in self._shapes:
            table = known.tables.get(name)
            if table is None:
                raise FatalError(f"there is no object {name}", "see `tandem discover` for those that there are")
            if table.problems and table.is_there:
                raise FatalError(f"{name} cannot be synced: {table.problems[0]}")
            self._shapes[name] = read.Shape(table)
        return self._shapes[name]

    @asynccontextmanager
    async def _current(self, name: str, *, writing: bool = False) -> AsyncIterator[None]:
        """Where the table has changed under us, the next call looks at it anew."""
        try:
            yield
        except psycopg.Error as error:
            if not is_stale(error):
                raise
            self._known, self._looked_anew = None, writing
            message = f"the fields of {name} have changed: {error.diag.message_primary}"
            raise RetriableError(message, retry_after=0.0) from error

    def _tables(self, known: Discovered) -> list[Table]:
        """The context's tables, all of which must be fit to capture. One that is not there only fails its own records."""
        tables = [known.tables[use.name] for use in self._context.objects]
        for table in tables:
            if table.is_there and table.problems:
                raise FatalError(f"{table.object} cannot be synced: {table.problems[0]}")
        return [table for table in tables if table.is_there]

    async def _has_ledger(self, connection: Connection) -> bool:
        if not self._ledger and time.monotonic() >= self._ledger_asked + _ASK_AGAIN:
            self._ledger, self._ledger_asked = await ledger.is_there(connection), time.monotonic()
        return self._ledger

    async def _make_ledger(self, connection: Connection) -> None:
        """The ledger, where it is missing and the role may make it."""
        if not await self._has_ledger(connection):
            self._ledger = await ledger.create(connection)

    async def _ledger_of(self, connection: Connection) -> read.Ledger:
        return read.Ledger(self._context.installation, self._context.account, await self._has_ledger(connection))

    # ---------------------------------------------------------------- slot

    async def position(self) -> str | None:
        """The cursor at which the slot stands, or None where it is missing or of no use any more."""
        async with self._control.session(f"looking at the slot {self._slot}") as connection:
            state = await slots.slot_state(connection, self._slot)
            if state is None or state.lost is not None:
                return None
            if await slots.published(connection, self._publication) is None:
                return None
            return format_lsn(state.confirmed)

    async def prepare(self) -> str:
        """Makes ledger, publication and slot; see `slots` for the order and the waiting."""
        async with self._control.session("setting up capture") as connection:
            known = await self._discover(connection)
            tables = known.behind(self._tables(known))
            await self._make_ledger(connection)
            anew, added = await publishing.publish(connection, self._publication, tables, own=self._own_publication)
            state = await slots.slot_state(connection, self._slot)
            if state is not None and (state.lost is not None or anew):
                # A publication made anew is unknown to the log that the slot still has to read.
                await slots.drop_slot(connection, self._slot)
                state = None
            if state is None:
                return format_lsn(await slots.create_slot(connection, self._slot))
            if added:
                await slots.wait_for_writers(connection)
            return format_lsn(state.confirmed)

    async def _publish_anew(self, connection: Connection) -> None:
        known = await self._discover(connection)
        await publishing.publish(connection, self._publication, known.behind(self._tables(known)), own=True)

    async def release(self) -> None:
        """Drops the slot and our own publication; the ledger stays."""
        async with self._control.session(f"dropping the slot {self._slot}") as connection:
            await slots.drop_slot(connection, self._slot)
            if self._own_publication:
                await slots.drop_publication(connection, self._publication)

    # ---------------------------------------------------------------- log

    async def changes(self, cursor: str | None) -> AsyncIterator[Captured]:
        """The log from `cursor` on, without end."""
        async with self._control.session("opening the change log") as connection:
            known = await self._discover(connection)
            position = await slots.start(connection, self._slot, cursor)
            row = await (
                await connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
            ).fetchone()
            assert row is not None
        tables = {table.oid: table for table in self._tables(known)}
        publish = self._publish_anew if self._own_publication else None
        lookup = Catalogs(
            self._control,
            self._publication,
            known,
            [known.tables[use.name] for use in self._context.objects],
            Asking(publish, self._discover, self._as_of_now),
            Tidying(self._context) if self._ledger else None,
        )
        gone = {table.object for table in await lookup.check()}
        try:
            stream = await Replication.start(self._url, self._name, self._slot, self._publication, position)
        except StreamBrokenError as error:
            raise await self._broken(error) from error
        self._stream = stream
        try:
            assembler = Assembler(self._context, tables, row[0])
            names = [use.name for use in self._context.objects]
            assembler.begin(position, {name: None if name in gone else known.tables[name].shape for name in names})
            async with aclosing(capture(stream, assembler, lookup)) as events:
                async for event in events:
                    yield event
        except StreamBrokenError as error:
            raise await self._broken(error) from error
        finally:
            self._stream = None
            await stream.close()

    async def _broken(self, error: StreamBrokenError) -> Exception:
        """What a broken stream means, by the state of the slot."""
        async with self._control.session(f"looking at the slot {self._slot}") as connection:
            state = await slots.slot_state(connection, self._slot)
            if state is None or state.lost is not None:
                return CursorExpiredError(f"the replication slot {self._slot} is lost: {error.message}")
            if await slots.published(connection, self._publication) is None:
                return CursorExpiredError(f"the publication {self._publication} is gone: {error.message}")
            if error.sqlstate == "55006":
                return await slots.in_use(connection, state, self._name)
        if error.sqlstate in ("42704", "58P01"):  # the publication was made after the log began; the log's file is gone
            return CursorExpiredError(f"the log can no longer be read: {error.message}")
        return broken(error)

    async def confirm(self, cursor: str) -> None:
        """All up to `cursor` is stored on our side: the server may forget it."""
        if self._stream is not None:
            self._stream.confirm(parse_lsn(cursor))

    async def mark(self, mark: str) -> None:
        """Sets a mark behind all that is committed now."""
        said = {"installation": self._context.installation, "account": self._context.account, "mark": mark}
        content = msgspec.json.encode(said).decode()
        async with self._control.session("setting a mark") as connection, connection.pipeline():
            # Transactional, and flushed whatever the role's setting: a message alone would lie in the buffers of the log.
            await connection.execute("BEGIN")
            await connection.execute("SET LOCAL synchronous_commit = local")
            await connection.execute(f"SELECT pg_logical_emit_message(true, '{MARK_PREFIX}', $1::text)", [content])
            await connection.execute("COMMIT")

    # ---------------------------------------------------------------- reading

    async def snapshot(self, object: str, resume: str | None) -> AsyncIterator[Page]:
        """A full read in the order of the key; `resume` is the id after which it goes on. A table that is gone reads empty."""
        self._known = None  # it is read for what it holds now, new columns too
        shape = await self._shape(object)
        if not shape.table.is_there:
            yield Page(object, (), None)
            return
        async with self._control.session(f"reading {object}") as connection:
            known = await self._ledger_of(connection)

        async def another() -> Connection:
            return await connect(self._url, self._name)

        async with self._current(object), aclosing(read.pages(another, shape, known, resume)) as pages:
            async for page in pages:
                yield page

    async def read(self, object: str, ids: Sequence[str]) -> list[Record]:
        """The records as they are now; those that are not there are left out."""
        shape = await self._shape(object)
        if not shape.table.is_there:
            return []
        async with self._control.session(f"reading {object}") as connection, self._current(object):
            return await read.read(connection, shape, await self._ledger_of(connection), ids)

    async def _as_of_now(
        self, object: str, ids: Sequence[str] | None
    ) -> AsyncGenerator[tuple[list[Record], Version], None]:
        """Records of these ids, or all page by page, each time with what the read could see."""
        shape = await self._shape(object)
        if not shape.table.is_there:
            raise RetriableError(f"{object} has just been dropped", retry_after=0.0)
        if ids is not None:
            async with self._control.session(f"reading {object}") as connection, self._current(object):
                yield await read.read_as_of(connection, shape, await self._ledger_of(connection), ids)
            return
        async with aclosing(self.snapshot(object, None)) as pages:  # type: ignore[type-var]
            async for page in pages:
                if page.records:
                    yield list(page.records), page.records[0].version
        async with self._control.session(f"reading {object}") as connection, self._current(object):
            yield await read.read_as_of(connection, shape, await self._ledger_of(connection), [])

    async def find(self, object: str, identifiers: Sequence[Identifier]) -> list[Record]:
        """Records that match any of the identifiers, normalised as the rules do."""
        shape = await self._shape(object, [identifier.field for identifier in identifiers])
        if not shape.table.is_there:
            return []
        async with self._control.session(f"searching {object}") as connection, self._current(object):
            conditions, parameters = find_.condition(shape, identifiers, await self._folds(connection))
            if not conditions:
                return []
            query = (
                f"SELECT {shape.select} FROM {shape.table.source} t "  # noqa: S608
                f"WHERE {' OR '.join(conditions)} ORDER BY {shape.key_sql}"
            )
            found = await read.records(
                connection, shape, await self._ledger_of(connection), query, parameters, prepare=False
            )
        return find_.by_identifier(found, identifiers)

    async def _folds(self, connection: Connection) -> Folding:
        if self._folding is None:
            self._folding = await find_.folding(connection)
        return self._folding

    # ---------------------------------------------------------------- writing

    async def apply(self, object: str, writes: Sequence[Write], fence: Fence | None) -> list[Result]:
        """Does the writes, one answer each in the same order."""
        if not writes:
            return []
        named = {name for write in writes for name in (*write.values, *write.expect)}
        shape = await self._shape(object, named.union(*([i.field for i in write.identifiers] for write in writes)))
        if not shape.table.is_there:
            return [absent(write, shape.table.problems[0]) for write in writes]
        async with self._writer.session(f"writing {object}") as connection, self._current(object, writing=True):
            if not self._ledger:
                await self._make_ledger(connection)
            known, folds = await self._ledger_of(connection), await self._folds(connection)
            target = Target(shape, known, folds, self._looked_anew)
            results = await write.apply(connection, target, writes, fence)
            self._looked_anew = False
            return results


def _without_tokens(found: Object) -> Object:
    return msgspec.structs.replace(found, capabilities=msgspec.structs.replace(found.capabilities, tokens=False))
