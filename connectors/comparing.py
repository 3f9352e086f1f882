"""Answers to writes for apps without a conditional write: read, compare, and only then write.

Responsible for what follows from the record as it is now. Must not know any app, nor do anything. What lies between the
read and the write is each connector's own window, and is said in its documentation (`compare_and_set` false).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from connectors.base import Identifier, Outcome, Record, Result, Write, WriteOp
from rules.catalog import Value
from rules.identifiers import normalise


def judge(write: Write, record: Record | None) -> Result | None:
    """The answer to an update or a deletion where nothing is to be written; None: it is to be done.

    `record`: as it is now, None where it is not there. `write.values` as the app would give them back.
    """
    if record is None:
        return Result(write.token, Outcome.MISSING, write.id)
    if write.op is WriteOp.UPDATE and holds(record.values, write.values):
        return Result(write.token, Outcome.UNCHANGED, record.id, record)
    if not holds(record.values, write.expect):
        return Result(write.token, Outcome.CONFLICT, record.id, record)
    return None


def holds(held: Mapping[str, Value], wanted: Mapping[str, Value]) -> bool:
    """Whether all that is wanted is held. A field that is not there holds nothing that one could want."""
    return all(name in held and held[name] == value for name, value in wanted.items())


def matching(records: Iterable[Record], identifiers: Sequence[Identifier]) -> list[Record]:
    """The records that have any of the identifiers, in their order."""
    return [
        record
        for record in records
        if any(normalise(one.type, record.values.get(one.field)) == one.value for one in identifiers)
    ]


class Finder:
    """The records by the identifiers that a batch of writes looks for: each record is looked at once, not by every create."""

    def __init__(self, writes: Iterable[Write], records: Iterable[Record]) -> None:
        self._wanted = {(one.field, one.type) for write in writes for one in write.identifiers}
        self._found: dict[tuple[str, str, str], Record] = {}
        for record in records if self._wanted else ():
            self.add(record)

    def add(self, record: Record) -> None:
        """A record is there, or is written by the batch itself."""
        for field, type in self._wanted:
            normal = normalise(type, record.values.get(field))
            if normal is not None:
                self._found.setdefault((field, type, normal), record)

    def find(self, write: Write) -> Record | None:
        """A record that has one of the write's identifiers, the first that was added."""
        found = (self._found.get((one.field, one.type, one.value)) for one in write.identifiers)
        return next((record for record in found if record is not None), None)


def refused(write: Write, category: str, field: str | None, message: str, other: str | None = None) -> Result:
    """The app does not take it. `category`: of semantics section 8; `other`: the record in the way."""
    return Result(write.token, Outcome.REJECTED, write.id, category=category, field=field, message=message, other=other)
