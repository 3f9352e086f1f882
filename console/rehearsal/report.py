"""What a rehearsal came to, in the shapes of `tandem preview --json`: per sync how many of what, and record by record.

Pure but for the store that it reads. Must not know how it is printed. What is only made up is said so: a record that is to be
created has no id yet, and a reference to one names the record that it is to be created from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from console.explaining import SENT
from console.rehearsal.stand_in import FIRST
from console.rehearsal.store import Outcome, Store
from rules.catalog import Value, join_id
from rules.events import HistoryRow, Side, SyncRow

Json = dict[str, Any]
OUTCOMES = ("created", "updated", "deleted", "matched", "ambiguous", "failing", "excluded", "pending", "unchanged")
DIFFERED = ("default_wins", "conflict", "conflict_empty")  # rules that settle two values of which only one can stay
_MADE_UP = re.compile(rf"\b[\w-]+:(?:{str(FIRST)[:10]}\d{{9}}|new-\d+|ffff0000-[0-9a-f-]{{27}})")


class Report:
    """One sync of a rehearsal."""

    def __init__(self, store: Store, row: SyncRow, accounts: Sequence[str], *, first: bool) -> None:
        self._store, self._row, self._accounts, self._first = store, row, tuple(accounts), first
        self.sync = row.sync

    def summary(self, samples: int) -> tuple[Json, list[Json]]:
        """The counts, and at most so many records of each outcome."""
        found: Json = {
            "sync": self.sync,
            "state": "preview",
            "first": self._first,
            "matched": 0,
            "created": dict.fromkeys(self._accounts, 0),
            "updated": dict.fromkeys(self._accounts, 0),
            "deleted": dict.fromkeys(self._accounts, 0),
            "conflicting": 0,
            "excluded": {},
            "ambiguous": 0,
            "failing": {},
            "pending": 0,
            "stopped": self._row.reason or None,
        }
        chosen: dict[str, list[Json]] = {}
        for record in self.records():
            _count(found, record)
            shown = chosen.setdefault(record["outcome"], [])
            if len(shown) < samples:
                shown.append(record)
        return found, [record for outcome in OUTCOMES for record in chosen.get(outcome, ())]

    def records(self) -> Iterator[Json]:
        """Every record that anything is decided about."""
        for key, outcome in self._store.outcomes(self.sync):
            record = self._record(key, outcome)
            if record is not None:
                yield record

    def _record(self, key: str, outcome: Outcome) -> Json | None:
        row, writes = outcome.row, _writes(outcome.decisions)
        if row is None and not writes:
            return None  # a record that stands in the row of its link now
        linked = any(decision.action == "linked" for decision in outcome.decisions)
        found: Json = {
            "sync": self.sync,
            "record": self._named(key),
            "outcome": _outcome(outcome, writes, linked=linked),
            "matched": linked,
            "status": row.status if row else None,
            "category": row.category if row else None,
            "message": self._told(row.message) if row else None,
            "remedy": row.remedy if row else None,
        }
        for account in self._accounts:
            side = row.sides.get(account) if row else None
            found[account] = None if side is None else self._side(account, side)
        found["writes"] = [self._write(decision) for decision in writes]
        return found

    def _named(self, key: str) -> str:
        """The name of a record; one that is only made up is named after what it is to be created from."""
        account, _, record_id = key.partition(":")
        source = self._store.made_up(account, record_id)
        return key if source is None else f"{account}:new({self._named(source)})"

    def _side(self, account: str, side: Side) -> Json:
        new = self._store.made_up(account, side.id) is not None
        fields = {field: self._value(account, value) for field, value in side.fields.items()}
        return {"id": None if new else side.id, "fields": fields}

    def _write(self, decision: HistoryRow) -> Json:
        if decision.action == "delete":
            account, _, record_id = decision.note.partition(":")
            return {"op": "delete", "account": account, "id": record_id, "changes": []}
        account = decision.changes[0].account
        changes = [
            {
                "field": change.field,
                "before": self._value(account, change.before),
                "after": self._value(account, change.after),
                "rule": change.rule,
                "lost": self._value(account, change.lost),
            }
            for change in decision.changes
        ]
        return {"op": "create" if decision.action == "create" else "update", "account": account, "changes": changes}

    def _value(self, account: str, value: Value) -> Any:
        """A value; of a reference to a record that is only made up, the record that it is to be created from."""
        if isinstance(value, list):
            return [self._value(account, item) for item in value]
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            return value
        if (isinstance(value, int) and value < FIRST) or (isinstance(value, str) and not _MADE_UP.match(f"a:{value}")):
            return value
        source = self._store.made_up(account, join_id([str(value)]))
        return value if source is None else {"new": source}

    def _told(self, message: str | None) -> str | None:
        return None if message is None else _MADE_UP.sub("the record to be created", message)


def _writes(decisions: Sequence[HistoryRow]) -> list[HistoryRow]:
    """What is written; without what the account refuses."""
    found: list[HistoryRow] = []
    for decision in decisions:
        if (decision.action in SENT and decision.changes) or decision.action == "delete":
            found.append(decision)
        elif decision.action == "refused" and found:
            found.pop()
    return found


def _outcome(outcome: Outcome, writes: Sequence[HistoryRow], *, linked: bool) -> str:
    row = outcome.row
    if row is not None and row.status == "failing":
        return "ambiguous" if row.category == "duplicate" else "failing"
    if row is not None and row.status in ("excluded", "pending"):
        return str(row.status)
    actions = {decision.action for decision in writes}
    for outcome_of, found in (("created", {"create"}), ("deleted", {"delete"}), ("updated", {"update", "conflict"})):
        if actions & found:
            return outcome_of
    return "matched" if linked else "unchanged"


def _count(found: Json, record: Json) -> None:
    found["matched"] += record["matched"]
    written = {(write["op"], write["account"]) for write in record["writes"]}
    for op, account in written:
        found[f"{op}d"][account] += 1
    found["conflicting"] += any(change["rule"] in DIFFERED for write in record["writes"] for change in write["changes"])
    outcome, category = record["outcome"], record["category"] or "unknown"
    if outcome in ("ambiguous", "pending"):
        found[outcome] += 1
    elif outcome in ("excluded", "failing"):
        found[outcome][category] = found[outcome].get(category, 0) + 1
