"""The third step of writing a batch: statements over whole sets, and for what of them is refused, the answer why."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from connectors.base import Outcome, WriteOp
from connectors.postgres import find, pairs, statements
from connectors.postgres.answers import Answer
from connectors.postgres.batch import Batch
from connectors.postgres.blame import blame
from connectors.postgres.read import Row
from connectors.postgres.refusal import concerns_all, is_connection, is_stale, refusal
from connectors.postgres.statements import Job


class Writing:
    """A group is written behind a savepoint; one that is refused is divided until the refused row stands alone."""

    def __init__(self, batch: Batch) -> None:
        self.batch, self.connection, self.shape = batch, batch.connection, batch.shape
        self.answers = batch.answers
        self._savepoint = False

    async def run(self) -> None:
        """Deletions first: they make room under unique rules."""
        open_jobs = self.batch.open_jobs
        deletes = open_jobs(WriteOp.DELETE)
        if deletes:
            await self._divide(deletes, WriteOp.DELETE, ())
        for names, jobs in statements.update_groups(open_jobs(WriteOp.UPDATE)):
            await self._divide(jobs, WriteOp.UPDATE, names)
        await self._find_existing([job for job in open_jobs(WriteOp.CREATE) if job.write.identifiers])
        for names, jobs in statements.insert_groups(self.shape.table, open_jobs(WriteOp.CREATE)):
            await self._divide(jobs, WriteOp.CREATE, names)

    async def _find_existing(self, jobs: Sequence[Job]) -> None:
        """Answers creates of records that are there already."""
        if not jobs:
            return
        found = None
        if not self.batch.is_small:
            raw = [(i, job.write.values.get(i.field)) for job in jobs for i in job.write.identifiers]
            found = find.indexed_condition(self.shape, raw)
        if found is None:
            wanted = [identifier for job in jobs for identifier in job.write.identifiers]
            found = find.condition(self.shape, wanted, self.batch.target.folding)
        conditions, parameters = found
        if not conditions:
            return
        query = (
            f"SELECT (SELECT pg_current_snapshot()::text), {self.shape.select} FROM {self.shape.table.source} t "  # noqa: S608
            f"WHERE {' OR '.join(conditions)} ORDER BY {self.shape.key_sql}"
        )
        records = await self.batch.image(query, parameters)
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
            if is_connection(error) or (is_stale(error) and not self.batch.target.looked_anew):
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
            if op is WriteOp.UPDATE:  # first, so that the records as they come back have them
                await self._write_pairs([(job, job.key[0]) for job in jobs if job.pairs])
            cursor = await execute(query, parameters)
        rows = await cursor.fetchall()
        if len(rows) != len(jobs):
            # A trigger (or row security) swallowed a row. Alone it is clear which.
            await execute("ROLLBACK TO SAVEPOINT part")
            if len(jobs) > 1:
                return False
            message = "a trigger or row security of the table kept the row from being written"
            job = jobs[0]
            self.answers[job.place] = Answer(Outcome.REJECTED, job.write.id, category="unknown", message=message)
            return True
        await self._answer(jobs, op, rows)
        return True

    async def _answer(self, jobs: Sequence[Job], op: WriteOp, rows: Sequence[Row]) -> None:
        paired: list[tuple[Job, Answer]] = []
        for place, row in enumerate(rows):
            job = jobs[place if op is WriteOp.CREATE else row[0] - 1]
            if op is WriteOp.DELETE:
                self.answers[job.place] = Answer(Outcome.APPLIED, job.write.id, entered=True)
                continue
            values = self.shape.values(row if op is WriteOp.CREATE else row[1:])
            answer = Answer(Outcome.APPLIED, self.shape.id_of(values), values, entered=True)
            if op is WriteOp.CREATE and job.pairs:
                paired.append((job, answer))
            else:
                self.answers[job.place] = answer
        if paired:
            await self._pair(paired)

    # ------------------------------------------------------------ tables of pairs

    async def _pair(self, created: Sequence[tuple[Job, Answer]]) -> None:
        """Gives new records their pairs: only now do they have a key. What they refer to then is read back."""
        keys = [key for _, answer in created if (key := self.shape.key_texts(answer.id or "")) is not None]
        async with self.connection.pipeline():
            await self._write_pairs([(job, key[0]) for (job, _), key in zip(created, keys, strict=True)])
            cursor = await self.connection.execute(
                pairs.shown_sql(self.shape), [pairs.write_parameters([(key[0], None) for key in keys])[0]]
            )
        for number, *shown in await cursor.fetchall():
            values = created[number - 1][1].values
            assert values is not None
            values |= self.shape.references(shown)
        self.answers.update({job.place: answer for job, answer in created})

    async def _write_pairs(self, jobs: Sequence[tuple[Job, str]]) -> None:
        for name, pairing in self.shape.paired.items():
            given: list[pairs.Pair] = [(key, job.pairs[name]) for job, key in jobs if name in job.pairs]
            for query in pairs.write_sql(self.shape, pairing) if given else ():
                await self.connection.execute(query, pairs.write_parameters(given))

    # ------------------------------------------------------------ refusals

    async def _refuse(self, job: Job, error: psycopg.Error) -> None:
        what = refusal(error)
        if what.sqlstate == "23505" and job.write.identifiers:
            await self._find_existing([job])  # somebody was faster
            if job.place in self.answers:
                return
        why = await blame(self.connection, self.shape, job, what, self.batch.locked.get(job.place))
        self.answers[job.place] = Answer(
            what.outcome,
            job.write.id,
            category=what.category,
            field=why.field,
            message=why.message or what.message,
            other=why.other,
        )
