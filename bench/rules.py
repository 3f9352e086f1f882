"""What the pure core costs per record: pages, creates, answers, echoes, edits, on a view that is a sorted map in memory.

    python -m bench.rules [--rows 500] [--profile]

Prints microseconds per record and step, and fails beyond the limit.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import pstats
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from sortedcontainers import SortedDict  # type: ignore[import-untyped]

from rules.catalog import Field, FieldType, Kind, Object
from rules.decide import Decision, Envelope, decide
from rules.events import Answer, Captured, Commands, Event, Order, ReadDone, Results, Row
from rules.plan import connection_documents
from rules.version import Version

LIMIT = 60.0  # microseconds per record and step
FIELDS = ("email", "first", "last", "phone", "city", "street", "country", "notes", "birth", "tier")


class SortedView:
    """The state as a sorted map."""

    def __init__(self) -> None:
        self.entries: Any = SortedDict()

    def get(self, key: bytes) -> bytes | None:
        found: bytes | None = self.entries.get(key)
        return found

    def get_many(self, keys: Iterable[bytes]) -> list[bytes | None]:
        return [self.entries.get(key) for key in keys]

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        for key in self.entries.irange(max(prefix, start or prefix)):
            if not key.startswith(prefix):
                return
            yield key, self.entries[key]


class Bench:
    """A connection with one sync of ten fields, and the clock around each step."""

    def __init__(self, rows: int) -> None:
        self.view, self.offset, self.rows, self.took = SortedView(), 0, rows, dict[str, list[float]]()
        text = FieldType(Kind.TEXT, native="text")
        fields = (Field("id", FieldType(Kind.INTEGER, native="int8", bits=64), nullable=False), *(Field(name, text) for name in FIELDS))
        catalogs = {account: {"people": Object("people", fields, ("id",))} for account in ("crm", "shop")}
        mapping = [{"crm": name, "shop": name} | ({"identifier": "email"} if name == "email" else {}) for name in FIELDS]
        sync = {"between": {"crm": "people", "shop": "people"}, "kind": "contact", "default": "crm", "mapping": mapping}
        (document,) = connection_documents({"syncs": {"people": sync}}, catalogs, (), 1).values()
        self.decide(Order("o", "apply", None, (), {"version": "1", "document": json.dumps(document)}))

    def decide(self, event: Event) -> Decision:
        """One event, kept."""
        decision = decide(self.view, event, Envelope("crm~shop", self.offset, 1000.0 + self.offset))
        self.offset += 1
        for key, value in [*decision.state.items(), *decision.indexes.items()]:
            if value is None:
                self.view.entries.pop(key, None)
            else:
                self.view.entries[key] = value
        return decision

    def timed(self, name: str, event: Event, records: int) -> Decision:
        """One event, timed alone."""
        gc.collect()
        gc.disable()
        began = time.perf_counter()
        decision = decide(self.view, event, Envelope("crm~shop", self.offset, 1000.0 + self.offset))
        took = (time.perf_counter() - began) * 1e6 / records
        gc.enable()
        self.took.setdefault(name, []).append(took)
        self.offset += 1
        for key, value in [*decision.state.items(), *decision.indexes.items()]:
            if value is None:
                self.view.entries.pop(key, None)
            else:
                self.view.entries[key] = value
        return decision

    def finish_reading(self) -> None:
        """Both reads are complete and what follows from them is done."""
        raw = self.read_ids
        ticks = [tick for account in ("crm", "shop") for tick in self.decide(ReadDone(account, "people", raw)).ticks]
        while ticks:
            ticks = self.decide(ticks[0]).ticks

    @property
    def read_ids(self) -> str:
        """The read that the sync waits for."""
        return f"people#{self.first_read}"

    first_read = 0


def record(number: int, **changes: str) -> dict[str, Any]:
    """A row of ten fields."""
    values = {name: f"{name} of person {number}" for name in FIELDS}
    return {"id": number, **values, "email": f"person{number}@example.org", **changes}


def row(number: int, position: int, token: str | None = None, *, read: bool = False, **changes: str) -> Row:
    """As the account tells it."""
    return Row(str(number), record(number, **changes), Version(position), token=token, committed_at=0.0 if read else 5.0)


def answered(bench: Bench, name: str, decision: Decision, position: int) -> list[Row]:
    """All commands of a decision done; the echoes that they will have."""
    echoes = []
    for order in decision.orders:
        if not isinstance(order, Commands):
            continue
        answers = []
        for place, command in enumerate(order.commands):
            number = int(command.link.rpartition(":")[2])
            stored = {**record(number), **command.values, "id": number}
            version = Version(position, step=place)
            answers.append(
                Answer(command.sync, command.link, command.sequence, "applied", str(number), stored, version)
            )
            echoes.append(Row(str(number), stored, version, token=command.token, committed_at=5.0))
        bench.timed(name, Results(order.account, order.object, tuple(answers)), len(answers))
    return echoes


def play(rows: int, rounds: int) -> Bench:
    """All steps, a few times over."""
    bench = Bench(rows)
    for number in range(rounds):
        first = 1 + number * rows
        page = tuple(row(one, 1, read=True) for one in range(first, first + rows))
        bench.timed("page of the first read", Captured("crm", "people", page, bench.read_ids), rows)
    bench.finish_reading_of = None  # type: ignore[attr-defined]
    raw = [tick for account in ("crm", "shop") for tick in bench.decide(ReadDone(account, "people", bench.read_ids)).ticks]
    position, echoes = 10, []
    while raw:
        decision = bench.timed("tick of the first sync", raw[0], 400)
        raw = decision.ticks
        echoes += answered(bench, "answers to creates", decision, position)
        position += 1
    for start in range(0, len(echoes), rows):
        batch = tuple(echoes[start : start + rows])
        bench.timed("echo of creates", Captured("shop", "people", batch), len(batch))
    base = rounds * rows + 1
    for number in range(rounds):
        first = base + number * rows
        log = tuple(row(one, 1000 + number) for one in range(first, first + rows))
        decision = bench.timed("new rows, live", Captured("crm", "people", log), rows)
        made = answered(bench, "answers to creates", decision, 2000 + number)
        bench.timed("echo of creates", Captured("shop", "people", tuple(made)), len(made))
        log = tuple(row(one, 3000 + number, city=f"city {number}") for one in range(first, first + rows))
        decision = bench.timed("edits", Captured("crm", "people", log), rows)
        made = answered(bench, "answers to updates", decision, 4000 + number)
        bench.timed("echo of updates", Captured("shop", "people", tuple(made)), len(made))
    for number in range(200):
        log = (row(base + number, 9000 + number, phone=f"phone {number}"),)
        decision = bench.timed("one edit", Captured("crm", "people", log), 1)
        answered(bench, "one answer", decision, 9000 + number)
    return bench


def main() -> int:
    """Runs it and sums up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    play(arguments.rows, 1)
    profile = cProfile.Profile() if arguments.profile else None
    if profile is not None:
        profile.enable()
    bench = play(arguments.rows, arguments.rounds)
    if profile is not None:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)
    worst = 0.0
    for name, took in bench.took.items():
        middle = sorted(took)[len(took) // 2]
        worst = worst if name.startswith("one ") else max(worst, middle)
        print(f"{name:26} {middle:7.1f} µs a record (median of {len(took)})")
    print(f"rules: the dearest step takes {worst:.0f} µs a record; limit {LIMIT:.0f}")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
