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
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from connectors.base import Fence, FencedError, Outcome, Record, Result, RetriableError, Write, WriteOp
from connectors.postgres import ledger, pairs, statements
from connectors.postgres.answers import RETRY_AFTER, Answer, refused, result
from connectors.postgres.batch import Batch, Target
from connectors.postgres.client import Connection
from connectors.postgres.mapping import text_array
from connectors.postgres.names import MESSAGE_PREFIX
from connectors.postgres.read import keys_join, keys_sql
from connectors.postgres.refusal import concerns_all, is_connection, is_stale
from connectors.postgres.statements import Job, UnfitError
from connectors.postgres.writing import Writing
from rules.version import Version

# How long a row that somebody holds is waited for, and how long a statement may take.
LOCK_TIMEOUT, STATEMENT_TIMEOUT = 0.3, 20.0
OPTIONS = (
    f"-c lock_timeout={int(LOCK_TIMEOUT * 1000)} -c statement_timeout={int(STATEMENT_TIMEOUT * 1000)} "
    "-c idle_in_transaction_session_timeout=10s"
)

_POSITION = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
_VERSION = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn, pg_current_xact_id()::text::bigint"
_MESSAGE = f"SELECT pg_logical_emit_message(true, '{MESSAGE_PREFIX}', $1::text)"


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
        self.writes = dict(writes)
        self.batch = Batch(connection, target)
        self.answers, self.locked = self.batch.answers, self.batch.locked
        self.jobs = self.batch.jobs
        self.jobs += [job for place, write in writes if (job := self._job(place, write)) is not None]

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
        paired = {name: text for name, text in texts.items() if name in self.shape.paired}
        return Job(place, write, texts, key or [], paired)

    async def run(self) -> dict[int, Result]:
        """All steps."""
        if not self.jobs:
            return self._results(None)
        entries, kept = await self._open()
        behind = kept is not None and self.fence is not None and kept.is_behind(self.fence)
        await self._from_ledger(entries, behind=behind)
        await self._lock_rest()
        if self.shape.paired:
            await self._lock_pairs()
        self._judge()
        await Writing(self.batch).run()
        return self._results(await self._close(kept))

    # ------------------------------------------------------------ 1. open

    async def _open(self) -> tuple[Mapping[str, ledger.Entry], ledger.Kept | None]:
        execute = self.connection.execute
        who = self.target.ledger
        existing = self.batch.open_jobs(WriteOp.UPDATE, WriteOp.DELETE)
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
        self.batch.stands_at(int(at[0]), at[1])
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
        """Whether a row is deleted or gets another key, which a reference to it must not survive, or has pairs, of which none must come in between."""
        if self.shape.paired:
            return True
        key = set(self.shape.table.key)
        return any(job.write.op is WriteOp.DELETE or not key.isdisjoint(job.texts) for job in jobs)

    def _take_locked(self, jobs: Sequence[Job], rows: Sequence[Sequence[Any]]) -> None:
        for row in rows:
            self.locked[jobs[row[0] - 1].place] = self.shape.values(row[1:])

    async def _from_ledger(self, entries: Mapping[str, ledger.Entry], *, behind: bool) -> None:
        """Answers what has been written before; `behind`: the whole message has, so nothing of it is written now."""
        repeated: dict[int, str] = {}
        made: dict[int, str] = {}
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
            elif write.op is WriteOp.CREATE and entry is not None and entry.op == WriteOp.CREATE and entry.id:
                made[job.place] = entry.id
        if repeated or made:
            records = await self._image_by_id(sorted({*repeated.values(), *made.values()}))
            for place, record_id in repeated.items():
                self.answers[place].record = records.get(record_id)
            for place, record_id in made.items():
                # A copy of an earlier create, come late, has made one that nobody has heard of yet: no second beside it.
                if (there := records.get(record_id)) is not None:
                    self.answers[place] = Answer(Outcome.EXISTS, record_id, record=there)

    async def _image_by_id(self, ids: Sequence[str]) -> dict[str, Record]:
        shape = self.shape
        jobs = [Job(0, self.jobs[0].write, {}, key) for record_id in ids if (key := shape.key_texts(record_id))]
        query = (
            f"SELECT (SELECT pg_current_snapshot()::text), {shape.select} "  # noqa: S608
            f"FROM {shape.table.source} t JOIN {keys_sql(shape)} ON {keys_join(shape)}"
        )
        records = await self.batch.image(query, statements.key_parameters(shape, jobs))
        return {record.id: record for record in records}

    # ------------------------------------------------------------ 2. judge

    async def _lock_rest(self) -> None:
        """Rows that were not there to lock: gone, or held by somebody, who is waited for a moment."""
        rest = [job for job in self.batch.open_jobs(WriteOp.UPDATE, WriteOp.DELETE) if job.place not in self.locked]
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

    async def _lock_pairs(self) -> None:
        """Locks the pairs of the rows, and reads anew what these refer to: so that it stays what it is until the commit."""
        jobs = [job for job in self.jobs if job.place in self.locked and job.place not in self.answers]
        if not jobs:
            return
        keys = [text_array([job.key[0] for job in jobs])]
        execute = self.connection.execute
        await execute("SAVEPOINT held")
        skip = False
        try:
            for pairing in self.shape.table.pairings:
                await execute(pairs.lock_sql(self.shape, pairing, skip=False), keys)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            await execute("ROLLBACK TO SAVEPOINT held")
            skip = True
        for pairing in self.shape.table.pairings if skip else ():
            free = await (await execute(pairs.lock_sql(self.shape, pairing, skip=True), keys)).fetchall()
            there = await (await execute(pairs.count_sql(self.shape, pairing), keys)).fetchall()
            for (number,) in Counter(there) - Counter(free):
                message = f"a pair of it in {pairing.native} is locked by another transaction"
                self.answers[jobs[number - 1].place] = Answer(Outcome.RETRY, jobs[number - 1].write.id, message=message)
        for number, *shown in await (await execute(pairs.shown_sql(self.shape), keys)).fetchall():
            self.locked[jobs[number - 1].place] |= self.shape.references(shown)

    def _judge(self) -> None:
        for job in self.batch.open_jobs(WriteOp.UPDATE, WriteOp.DELETE):
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
