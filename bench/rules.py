"""What a decision costs: µs a record for each step of a first sync into an empty side, and of live changes. `python -m bench.rules [RECORDS]`.

The pure core alone, on a sorted map in memory: no Kafka, no disk.
"""

from __future__ import annotations

import cProfile
import gc
import json
import pstats
import sys
import time

from bench.throughput import PAIRS, SYNC
from rules.catalog import Field, FieldType, Kind, Object
from rules.decide import Decision, Envelope, decide
from rules.events import Answer, Captured, Commands, Event, Order, ReadDone, ReadRequest, Results, Row
from rules.plan import connection_documents
from rules.state import decode_sync, sync_key
from rules.version import Version
from tests.rules.world import MemoryView

LIMIT = 60.0  # µs a record and step
TEXT = next(left for left, _ in PAIRS if left not in ("id", "points", "no", "score", "number", "email"))
WHOLE = ("id", "points", "no", "score", "number")


def an_object(name: str, key: str, fields: list[str]) -> Object:
    """An object whose key is an integer."""
    found = tuple(
        Field(one, FieldType(Kind.INTEGER if one in WHOLE else Kind.TEXT), nullable=one != key) for one in fields
    )
    return Object(name, found, (key,))


class Core:
    """A connection's state, and what each step has cost."""

    def __init__(self) -> None:
        self.view, self.offset = MemoryView(), 0
        self.seconds: dict[str, float] = {}

    def take(self, step: str, event: Event) -> Decision:
        """Decides and keeps; the processor time of the decision alone counts."""
        gc.disable()  # what lies about here is this program's, in a worker it lies on the disk
        began = time.process_time()
        decision = decide(self.view, event, Envelope("crm~shop", self.offset, 1e9 + self.offset))
        self.seconds[step] = self.seconds.get(step, 0.0) + time.process_time() - began
        gc.enable()
        self.offset += 1
        for key, value in [*decision.state.items(), *decision.indexes.items()]:
            if value is None:
                self.view.entries.pop(key, None)
            else:
                self.view.entries[key] = value
        return decision


def run(records: int) -> dict[str, float]:
    """One first sync; the seconds of each step."""
    core = Core()
    objects = {
        "crm": {"people": an_object("people", "id", [left for left, _ in PAIRS])},
        "shop": {"persons": an_object("persons", "no", ["no", *(right for _, right in PAIRS)])},
    }
    (document,) = connection_documents({"syncs": {"people": SYNC}}, objects, (), 1).values()
    order = Order("o", "apply", None, (), {"version": "1", "document": json.dumps(document)})
    asked = [one for one in core.take("apply", order).orders if isinstance(one, ReadRequest)]
    read = asked[0].read
    for start in range(0, records, 500):
        rows = tuple(
            Row(str(n), {left: n if left in WHOLE else f"{left}{n}@example.org" for left, _ in PAIRS}, Version(5))
            for n in range(start, min(start + 500, records))
        )
        core.take("page read", Captured("crm", "people", rows, read))
    core.take("apply", ReadDone("shop", "persons", read))
    decision = core.take("apply", ReadDone("crm", "people", read))
    ticks, batches = list(decision.ticks), list[Commands]()
    while ticks:
        decision = core.take("create", ticks.pop(0))
        ticks += decision.ticks
        batches += [one for one in decision.orders if isinstance(one, Commands)]
    number = 0
    for batch in batches:
        answers = []
        for command in batch.commands:
            number += 1
            stored = {"no": number, **command.values}
            head = (command.sync, command.link, command.sequence)
            answers.append(Answer(*head, "applied", str(number), stored, Version(100 + number)))
        core.take("answer", Results("shop", "persons", tuple(answers)))
        rows = tuple(
            Row(a.id or "", dict(a.values or {}), Version(10_000_000 + int(a.id or 0)), token=command.token)
            for a, command in zip(answers, batch.commands, strict=True)
        )
        core.take("echo", Captured("shop", "persons", rows))
    live(core, records)
    state = decode_sync(core.view.entries[sync_key("people")])
    assert state.counts.get("in_sync") == 2 * records, state
    return core.seconds


def live(core: Core, records: int) -> None:
    """New records and edits out of the log, their answers and echoes: as many as the first sync has read."""
    position = 20_000_000

    def told(step: str, rows: list[Row], account: str = "crm", name: str = "people") -> Decision:
        return core.take(step, Captured(account, name, tuple(rows)))

    def a_row(number: int, **changes: str) -> Row:
        values = {left: number if left in WHOLE else f"{left}{number}@example.org" for left, _ in PAIRS}
        return Row(str(number), {**values, **changes}, Version(position), committed_at=1.0)

    for start in range(records, 2 * records, 500):
        numbers = range(start, min(start + 500, 2 * records))
        for kind, changes in (("new", {}), ("edit", {TEXT: "edited"})):
            position += 1
            decision = told(kind, [a_row(n, **changes) for n in numbers])
            answers, echoes = [], []
            for command in [one for batch in decision.orders if isinstance(batch, Commands) for one in batch.commands]:
                record_id = command.id or str(int(command.link.rpartition(":")[2]) + 1)
                image = a_row(int(command.link.rpartition(":")[2]), **changes).values
                stored = {"no": int(record_id), **{right: image[left] for left, right in PAIRS}}
                head = (command.sync, command.link, command.sequence)
                answers.append(Answer(*head, "applied", record_id, stored, Version(position)))
                echoes.append(Row(record_id, stored, Version(position), token=command.token, committed_at=1.0))
            core.take(f"{kind} answer", Results("shop", "persons", tuple(answers)))
            told(f"{kind} echo", echoes, "shop", "persons")


def main(records: int) -> int:
    """Prints the cost of each step."""
    run(1000)
    best: dict[str, float] = {}
    for _ in range(3):
        for step, seconds in run(records).items():
            best[step] = min(best.get(step, seconds), seconds)
    best.pop("apply")
    for step, seconds in best.items():
        print(f"{step:12}{seconds / records * 1e6:8.1f} us a record")
    first = sum(best[step] for step in ("page read", "create", "answer", "echo")) / records * 1e6
    worst = max(best.values()) / records * 1e6
    print(
        f"rules: {first:.0f} us a record of {len(PAIRS)} fields for a whole first sync; dearest step {worst:.0f}, limit {LIMIT:.0f}"
    )
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    if "--profile" in sys.argv:
        profile = cProfile.Profile()
        profile.runcall(run, 10_000)
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)
    raise SystemExit(main(int(sys.argv[1]) if sys.argv[1:] and sys.argv[1].isdigit() else 10_000))
