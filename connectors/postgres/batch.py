"""What the steps of writing a batch share: the transaction's connection, the writes, the rows they lock, the answers so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from connectors.base import Record, WriteOp
from connectors.postgres import find
from connectors.postgres.answers import Answer
from connectors.postgres.client import Connection
from connectors.postgres.read import Ledger, Shape, parse_snapshot
from connectors.postgres.statements import Job
from rules.catalog import Value
from rules.version import Version

# Tables below this size are searched for an identifier in every spelling before a create; larger ones by index.
SMALL = 2 << 20


class Target(msgspec.Struct, frozen=True):
    """What is written to, and what the server can do."""

    shape: Shape
    ledger: Ledger
    folding: find.Folding
    looked_anew: bool = False  # the table has just been discovered: what it lacks now, it lacks


class Batch:
    """One transaction over writes that concern different links and records."""

    def __init__(self, connection: Connection, target: Target) -> None:
        self.connection, self.target, self.shape = connection, target, target.shape
        self.jobs: list[Job] = []
        self.answers: dict[int, Answer] = {}  # by place
        self.locked: dict[int, dict[str, Value]] = {}  # by place
        self.position = 0
        self.is_small = True

    def open_jobs(self, *ops: WriteOp) -> list[Job]:
        """The writes of these kinds that have no answer yet."""
        return [job for job in self.jobs if job.place not in self.answers and job.write.op in ops]

    def stands_at(self, position: int, size: int | None) -> None:
        """Notes where the log stood at the beginning, and how large the table is (None: it was dropped)."""
        self.position = position
        self.is_small = (size or 0) < SMALL and (not self.shape.table.partitioned or self.shape.table.rows < 10_000)

    async def image(self, query: str, parameters: Sequence[Any]) -> list[Record]:
        """Records read without a lock; the position was read before, at the opening."""
        # Planned anew each time: only with the values in hand does the server hash a long list instead of walking it.
        cursor = await self.connection.execute(query, parameters, prepare=False)
        result = []
        for seen, *row in await cursor.fetchall():
            values = self.shape.values(row)
            version = Version(self.position, None, parse_snapshot(seen))
            result.append(Record(self.shape.id_of(values), values, version))
        return result
