"""Writing a batch: one transaction, statements over whole sets, one answer per write.

The steps of a round, each a single trip to the server as long as nothing is refused:

1. open: the fence, what the ledger knows of the links, the rows to change locked in the order of their keys;
2. judge: with the rows locked and read, compare-and-set is a comparison of canonical values here, not of SQL's;
3. write: a statement per group of writes, behind a savepoint; a group that is refused is divided until the refused row
   stands alone and the others are written;
4. close: ledger, the message with the tokens for the reader of the log, the version, the fence, COMMIT.

It must not know what a write is for, nor retry one: a row that is locked by somebody is answered `retry`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import psycopg

from connectors.base import Fence, FencedError, Outcome, Record, Result, RetriableError, Write, WriteOp
from connectors.postgres import find, ledger, statements
from connectors.postgres.answers import RETRY_AFTER, Answer, refused, result
from connectors.postgres.blame import blame
from connectors.postgres.client import Connection
from connectors.postgres.mapping import text_array
from connectors.postgres.names import MESSAGE_PREFIX
from connectors.postgres.read import Ledger, Shape, keys_join, keys_sql, parse_snapshot
from connectors.postgres.refusal import concerns_all, is_connection, is_stale, refusal
from connectors.postgres.statements import Job, UnfitError
from rules.catalog import Value
from rules.version import Version

# How long a row that somebody holds is waited for, and how long a statement may take.
LOCK_TIMEOUT, STATEMENT_TIMEOUT = 0.3, 20.0
OPTIONS = (
    f"-c lock_timeout={int(LOCK_TIMEOUT * 1000)} -c statement_timeout={int(STATEMENT_TIMEOUT * 1000)} "
    "-c idle_in_transaction_session_timeout=10s"
)
# Tables below this size are searched for an identifier in every spelling before a create; larger ones by index.
SMALL = 2 << 20

_POSITION = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
_VERSION = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn, pg_current_xact_id()::text::bigint"
_MESSAGE = f"SELECT pg_logical_emit_message(true, '{MESSAGE_PREFIX}', $1::text)"


class Target(msgspec.Struct, frozen=True):
    """What is written to, and what the server can do."""

    shape: Shape
    ledger: Ledger
    folding: find.Folding
    looked_anew: bool = False  # the table has just been discovered: what it lacks now, it lacks


async def apply(connection: Connection, target: Target, writes: Sequence[Write], fence: Fence | None) -> list[Result]:
    """One answer per write, in their order. Writes that concern the same thing are done one after the other."""
    results: dict[int, Result] = {}
    for places in statements.rounds(writes):
        results.update(await _attempts(connection, target, [(place, writes[place]) for place in places], fence))
    return [results[place] for place in range(len(writes))]


async def _attempts(
    connection: Connection, target: Target, writes: Sequence[tuple[int, Write]], fence: Fence | None
) -> dict[int, Result]:
    """A round; one that the server undoes as a whole is done again, or in single transactions."""
    for _ in range(3):
        attempt = Round(connection, target, writes, fence)
        try:
            return await attempt.run()
        except psycopg.errors.DivisionByZero:
            await connection.execute("ROLLBACK")  # somebody else wrote for one of the links: look again
        except psycopg.DatabaseError as error:
            if is_connection(error):
                if attempt.closing:
                    return attempt.unknown(error)
                raise
            await connection.execute("ROLLBACK")
            if is_stale(error) and not target.looked_anew:
                raise
            if len(writes) == 1 or concerns_all(error) or not attempt.closing:
                return refused(writes, error)
            # A rule that the server checks at COMMIT only: alone each shows whether it is the one.
            results: dict[int, Result] = {}
            for write in writes:
                results.update(await _attempts(connection, target, [write], fence))
            return results
    raise RetriableError("another writer is at work on the same links", retry_after=RETRY_AFTER)


class Round:
    """One transaction over writes that concern different links and records."""

    def __init__(
        self, connection: Connection, target: Target, writes: Sequence[tuple[int, Write]], fence: Fence | None
    ) -> None:
        self.connection, self.target, self.shape = connection, target, target.shape
        self.fence = fence if target.ledger.there else None
        self.closing = False
        self.answers: dict[int, Answer] = {}
        self.writes = dict(writes)
        self.jobs = [job for place, write in writes if (job := self._job(place, write)) is not None]
        self.locked: dict[int, dict[str, Value]] = {}  # by place
        self._position = 0
        self._small = True
        self._savepoint = False

    def _job(self, place: int, write: Write) -> Job | None:
        try:
            texts = statements.input_texts(self.shape, write)
        except UnfitError as error:
            self.answers[place] = Answer(
                Outcome.REJECTED, write.id, category=error.category, field=error.field, message=error.message
            )
            return None
        key: list[str] | None = []
        if write.op is not WriteOp.CREATE:
            key = None if write.id is None else self.shape.key_texts(write.id)
            if key is None:
                self.answers[place] = Answer(Outcome.MISSING, write.id)
                return None
        return Job(place, write, texts, key or [])

    async def run(self) -> dict[int, Result]:
        """All steps."""
        if not self.jobs:
            return self._results(None)
        entries, kept = await self._open()
        behind = kept is not None and self.fence is not None and kept.is_behind(self.fence)
        await self._from_ledger(entries, behind=behind)
        await self._lock_rest()
        self._judge()
        await self._write()
        return self._results(await self._close(kept))

    # ------------------------------------------------------------ 1. open

    def _open_jobs(self, *ops: WriteOp) -> list[Job]:
        return [job for job in self.jobs if job.place not in self.answers and job.write.op in ops]

    async def _open(self) -> tuple[Mapping[str, ledger.Entry], ledger.Kept | None]:
        execute = self.connection.execute
        who = self.target.ledger
        existing = self._open_jobs(WriteOp.UPDATE, WriteOp.DELETE)
        fenced = known = rows = None
        async with self.connection.pipeline():
            if self.fence is not None:
                await execute(ledger.FENCE_MAKE, [who.installation, who.account, self.fence.name])
            await execute("BEGIN")
            if self.shape.table.deferrable:
                await execute("SET CONSTRAINTS ALL IMMEDIATE")
            if self.fence is not None:
                fenced = await execute(ledger.FENCE_LOCK, [who.installation, who.account, self.fence.name])
            if who.there:
                links = text_array([job.write.link for job in self.jobs])
                known = await execute(ledger.LOOK_UP, [who.installation, who.account, links])
            await execute(_MESSAGE, [self._said({})])
            if existing:
                query = statements.lock_sql(self.shape, strong=self._strong(existing), skip=True)
                rows = await execute(query, statements.key_parameters(self.shape, existing))
            place = await execute(f"{_POSITION}, pg_relation_size($1::oid)", [self.shape.table.oid])
        if rows is not None:
            self._take_locked(existing, await rows.fetchall())
        at = await place.fetchone()
        assert at is not None
        self._position = int(at[0])
        self._small = at[1] < SMALL and (not self.shape.table.partitioned or self.shape.table.rows < 10_000)
        kept = await self._check_fence(fenced)
        entries = {} if known is None else {row[0]: ledger.Entry(*row[1:]) for row in await known.fetchall()}
        return entries, kept

    async def _check_fence(self, fenced: psycopg.AsyncCursor[tuple[Any, ...]] | None) -> ledger.Kept | None:
        if fenced is None or self.fence is None:
            return None
        row = await fenced.fetchone()
        assert row is not None
        kept = ledger.Kept(*row)
        if self.fence.epoch < kept.epoch:
            await self.connection.execute("ROLLBACK")
            raise FencedError(f"{self.fence.name}: epoch {self.fence.epoch} is over, {kept.epoch} has written since")
        return kept

    def _said(self, more: Mapping[str, Any]) -> str:
        who = self.target.ledger
        return json.dumps({"installation": who.installation, "account": who.account, **more}, ensure_ascii=False)

    def _strong(self, jobs: Sequence[Job]) -> bool:
        """Whether a row is deleted or gets another key, which a reference to it must not survive."""
        key = set(self.shape.table.key)
        return any(job.write.op is WriteOp.DELETE or not key.isdisjoint(job.texts) for job in jobs)

    def _take_locked(self, jobs: Sequence[Job], rows: Sequence[Sequence[Any]]) -> None:
        for row in rows:
            self.locked[jobs[row[0] - 1].place] = self.shape.values(row[1:])

    async def _from_ledger(self, entries: Mapping[str, ledger.Entry], *, behind: bool) -> None:
        """Answers what has been written before; `behind`: the whole message has, so nothing of it is written now."""
        repeated: dict[int, str] = {}
        for job in self.jobs:
            write, entry = job.write, entries.get(job.write.link)
            if entry is not None and write.sequence <= entry.sequence:
                same = write.sequence == entry.sequence and write.token == entry.token
                message = None if same else f"the link is at command {entry.sequence} already"
                outcome = Outcome.APPLIED if same else Outcome.CONFLICT
                self.answers[job.place] = Answer(outcome, entry.id or write.id, message=message)
                if (record_id := entry.id or write.id) is not None:
                    repeated[job.place] = record_id
            elif behind:
                self.answers[job.place] = Answer(
                    Outcome.RETRY, write.id, message="came in a message that an earlier owner has dealt with"
                )
        if repeated:
            records = await self._image_by_id(sorted(set(repeated.values())))
            for place, record_id in repeated.items():
                self.answers[place].record = records.get(record_id)

    async def _image_by_id(self, ids: Sequence[str]) -> dict[str, Record]:
        shape = self.shape
        jobs = [Job(0, self.jobs[0].write, {}, key) for record_id in ids if (key := shape.key_texts(record_id))]
        query = (
            f"SELECT (SELECT pg_current_snapshot()::text), {shape.select} "  # noqa: S608
            f"FROM {shape.table.source} t JOIN {keys_sql(shape)} ON {keys_join(shape)}"
        )
        records = await self._image(query, statements.key_parameters(shape, jobs))
        return {record.id: record for record in records}

    async def _image(self, query: str, parameters: Sequence[Any]) -> list[Record]:
        """Records read without a lock; the position was read before, at the opening."""
        # Planned anew each time: only with the values in hand does the server hash a long list instead of walking it.
        cursor = await self.connection.execute(query, parameters, prepare=False)
        result = []
        for seen, *row in await cursor.fetchall():
            values = self.shape.values(row)
            version = Version(self._position, None, parse_snapshot(seen))
            result.append(Record(self.shape.id_of(values), values, version))
        return result

    # ------------------------------------------------------------ 2. judge

    async def _lock_rest(self) -> None:
        """Rows that were not there to lock: gone, or held by somebody, who is waited for a moment."""
        rest = [job for job in self._open_jobs(WriteOp.UPDATE, WriteOp.DELETE) if job.place not in self.locked]
        if not rest:
            return
        strong, execute = self._strong(rest), self.connection.execute
        parameters = statements.key_parameters(self.shape, rest)
        await execute("SAVEPOINT held")
        try:
            rows = await execute(statements.lock_sql(self.shape, strong=strong, skip=False), parameters)
            self._take_locked(rest, await rows.fetchall())
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            await execute("ROLLBACK TO SAVEPOINT held")
            rows = await execute(statements.lock_sql(self.shape, strong=strong, skip=True), parameters)
            self._take_locked(rest, await rows.fetchall())
        there = await (await execute(statements.there_sql(self.shape), parameters)).fetchall()
        held = {rest[place - 1].place for (place,) in there} - self.locked.keys()
        for job in rest:
            if job.place in held:
                message = "the row is locked by another transaction"
                self.answers[job.place] = Answer(Outcome.RETRY, job.write.id, message=message)
            elif job.place not in self.locked:
                self.answers[job.place] = Answer(Outcome.MISSING, job.write.id)

    def _judge(self) -> None:
        for job in self._open_jobs(WriteOp.UPDATE, WriteOp.DELETE):
            write, stored = job.write, self.locked[job.place]
            record_id = self.shape.id_of(stored)
            unknown = next((name for name in write.expect if name not in stored), None)
            if unknown is not None:
                message = f"{self.shape.table.native} has no column {unknown} any more"
                answer = Answer(Outcome.REJECTED, record_id, category="schema", field=unknown, message=message)
            elif write.op is WriteOp.UPDATE and all(stored[name] == value for name, value in write.values.items()):
                answer = Answer(Outcome.UNCHANGED, record_id, stored, entered=True)
            elif any(stored[name] != value for name, value in write.expect.items()):
                answer = Answer(Outcome.CONFLICT, record_id, stored)
            else:
                continue
            self.answers[job.place] = answer

    # ------------------------------------------------------------ 3. write

    async def _write(self) -> None:
        """Deletions first: they make room under unique rules."""
        deletes = self._open_jobs(WriteOp.DELETE)
        if deletes:
            await self._divide(deletes, WriteOp.DELETE, ())
        for names, jobs in statements.update_groups(self._open_jobs(WriteOp.UPDATE)).items():
            await self._divide(jobs, WriteOp.UPDATE, names)
        creates = self._open_jobs(WriteOp.CREATE)
        await self._find_existing([job for job in creates if job.write.identifiers])
        creates = self._open_jobs(WriteOp.CREATE)
        for names, jobs in statements.insert_groups(self.shape.table, creates):
            await self._divide(jobs, WriteOp.CREATE, names)

    async def _find_existing(self, jobs: Sequence[Job]) -> None:
        """Answers creates of records that are there already."""
        if not jobs:
            return
        found = None
        if not self._small:
            raw = [(i, job.write.values.get(i.field)) for job in jobs for i in job.write.identifiers]
            found = find.indexed_condition(self.shape, raw)
        if found is None:
            wanted = [identifier for job in jobs for identifier in job.write.identifiers]
            found = find.condition(self.shape, wanted, self.target.folding)
        conditions, parameters = found
        if not conditions:
            return
        query = (
            f"SELECT (SELECT pg_current_snapshot()::text), {self.shape.select} FROM {self.shape.table.source} t "  # noqa: S608
            f"WHERE {' OR '.join(conditions)} ORDER BY {self.shape.key_sql}"
        )
        records = await self._image(query, parameters)
        if not records:
            return
        for job in jobs:
            for identifier in job.write.identifiers:
                match = next((r for r in records if find.matches([identifier], r.values)), None)
                if match is not None:
                    self.answers[job.place] = Answer(Outcome.EXISTS, match.id, record=match)
                    break

    async def _divide(self, jobs: Sequence[Job], op: WriteOp, names: tuple[str, ...]) -> None:
        """Writes a group; where the server refuses it, its halves, down to the row that it refuses."""
        try:
            if await self._statement(jobs, op, names):
                return
        except psycopg.DatabaseError as error:
            if is_connection(error) or (is_stale(error) and not self.target.looked_anew):
                raise
            await self.connection.execute("ROLLBACK TO SAVEPOINT part")
            if len(jobs) == 1:
                await self._refuse(jobs[0], error)
                return
            if concerns_all(error):
                for job in jobs:
                    await self._refuse(job, error)
                return
        half = len(jobs) // 2
        await self._divide(jobs[:half], op, names)
        await self._divide(jobs[half:], op, names)

    async def _statement(self, jobs: Sequence[Job], op: WriteOp, names: tuple[str, ...]) -> bool:
        """One statement behind a savepoint. False: some rows did not come back, and nothing was written."""
        shape, execute = self.shape, self.connection.execute
        if op is WriteOp.CREATE:
            query, parameters = statements.insert_sql(shape, names), statements.insert_parameters(names, jobs)
        elif op is WriteOp.UPDATE:
            query = statements.update_sql(shape, names)
            parameters = statements.update_parameters(shape, names, jobs)
        else:
            query, parameters = statements.delete_sql(shape), statements.key_parameters(shape, jobs)
        async with self.connection.pipeline():
            if self._savepoint:
                await execute("RELEASE SAVEPOINT part")
            self._savepoint = True
            await execute("SAVEPOINT part")
            cursor = await execute(query, parameters)
        rows = await cursor.fetchall()
        if len(rows) != len(jobs):
            # A trigger (or row security) swallowed a row. Alone it is clear which.
            if len(jobs) > 1:
                await execute("ROLLBACK TO SAVEPOINT part")
                return False
            message = "a trigger or row security of the table kept the row from being written"
            job = jobs[0]
            self.answers[job.place] = Answer(Outcome.REJECTED, job.write.id, category="unknown", message=message)
            return True
        for place, row in enumerate(rows):
            job = jobs[place if op is WriteOp.CREATE else row[0] - 1]
            if op is WriteOp.DELETE:
                self.answers[job.place] = Answer(Outcome.APPLIED, job.write.id, entered=True)
                continue
            values = shape.values(row if op is WriteOp.CREATE else row[1:])
            self.answers[job.place] = Answer(Outcome.APPLIED, shape.id_of(values), values, entered=True)
        return True

    async def _refuse(self, job: Job, error: psycopg.Error) -> None:
        what = refusal(error)
        if what.sqlstate == "23505" and job.write.identifiers:
            await self._find_existing([job])  # somebody was faster
            if job.place in self.answers:
                return
        why = await blame(self.connection, self.shape, job, what, self.locked.get(job.place))
        self.answers[job.place] = Answer(
            what.outcome,
            job.write.id,
            category=what.category,
            field=why.field,
            message=why.message or what.message,
            other=why.other,
        )

    # ------------------------------------------------------------ 4. close

    async def _close(self, kept: ledger.Kept | None) -> Version:
        execute, who = self.connection.execute, self.target.ledger
        entered = [(job.write, self.answers[job.place].id) for job in self.jobs if self.answers[job.place].entered]
        name = self.shape.table.object
        tokens = [
            [name, answer.id, job.write.token]
            for job in self.jobs
            if (answer := self.answers[job.place]).outcome is Outcome.APPLIED and answer.entered
        ]
        self.closing = True
        async with self.connection.pipeline():
            if who.there and entered:
                await execute(ledger.RECORD, ledger.record_parameters(who.installation, who.account, name, entered))
            if tokens:
                await execute(_MESSAGE, [self._said({"tokens": tokens})])
            version = await execute(_VERSION)
            if kept is not None and self.fence is not None:
                moved = kept.moved(self.fence)
                await execute(
                    ledger.FENCE_MOVE,
                    [who.installation, who.account, self.fence.name, moved.epoch, moved.offset, moved.written_by],
                )
            await execute("COMMIT")
        row = await version.fetchone()
        assert row is not None
        return Version(int(row[0]), row[1])

    def _results(self, version: Version | None) -> dict[int, Result]:
        return {place: result(write, self.answers[place], version) for place, write in self.writes.items()}

    def unknown(self, error: psycopg.Error) -> dict[int, Result]:
        """The answers where the connection broke after COMMIT was sent."""
        message = f"the connection broke while the writes were committed: {str(error).strip()}"
        for answer in self.answers.values():
            if answer.entered:
                answer.outcome, answer.values, answer.message = Outcome.UNKNOWN, None, message
        return self._results(None)
