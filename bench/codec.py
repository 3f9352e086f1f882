"""How long a row takes through the codec: microseconds to encode and to decode, batches of 200 rows with 10 fields.

python -m bench.codec
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from rules.catalog import Value
from rules.events import (
    Answer,
    Captured,
    Clock,
    Command,
    Commands,
    FieldChange,
    HistoryRow,
    Results,
    Row,
    Side,
    StatusRow,
)
from rules.version import Version
from schemas import History, Message, decode, encode, encode_change, head

ROWS, FIELDS = 200, 10
VALUES = (
    "alice@example.org",
    "Alice Smith",
    None,
    True,
    12345,
    "12.50",
    "2026-11-24T18:30:00Z",
    "ES",
    "a note " * 5,
    "x",
)


def values() -> dict[str, Value]:
    """Ten fields of the kinds that records have."""
    return {f"field_{index}": value for index, value in enumerate(VALUES)}


def messages() -> dict[str, Message]:
    """One message of each kind that carries records."""
    rows = tuple(Row(str(n), values(), Version(n, 700 + n), committed_at=1.7e9) for n in range(ROWS))
    commands = tuple(
        Command(
            "contacts",
            f"l{n}",
            1,
            f"contacts/l{n}/1/abcdef",
            "create",
            None,
            values(),
            {},
            (("email", "email", "a@b.c"),),
        )
        for n in range(ROWS)
    )
    answers = tuple(
        Answer("contacts", f"l{n}", 1, "applied", str(n), values(), Version(n, 700 + n)) for n in range(ROWS)
    )
    return {
        "captured": Captured("crm", "contacts", rows),
        "commands": Commands("crm~shop", "shop", "customers", commands),
        "results": Results("shop", "customers", answers),
    }


def measured(work: Callable[[], object], rows: int, seconds: float = 0.5) -> float:
    """Microseconds a row: the best of several rounds, since others use this machine too."""
    best = float("inf")
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best / rows * 1e6


def main() -> None:
    """Prints a line per kind of message."""
    for name, message in messages().items():
        data = encode(message)
        print(
            f"{name:10} {len(data) / ROWS:6.0f} bytes a row"
            f"   encode {measured(partial(encode, message), ROWS):5.1f} us"
            f"   decode {measured(partial(decode, data), ROWS):5.1f} us"
        )
    captured = messages()["captured"]
    assert isinstance(captured, Captured)
    data = encode_change(captured, config=7)
    print(f"head       of a batch without its rows: {measured(lambda: head(data), 1):5.1f} us a message")
    status = StatusRow(
        "contacts", "crm:17", "in_sync", since=1.7e9, sides={"crm": Side("17", values()), "shop": Side("4", values())}
    )
    data = encode(status)
    print(
        f"status     {len(data):6} bytes a row   encode {measured(lambda: encode(status), 1):5.1f} us"
        f"   decode {measured(lambda: decode(data), 1):5.1f} us"
    )
    changes = tuple(FieldChange("shop", name, None, value, "fill") for name, value in values().items())
    history = History("crm~shop", (HistoryRow("contacts", "crm:17", "created", "page crm:17", 1.7e9, changes),) * ROWS)
    data = encode(history)
    print(
        f"history    {len(data) / ROWS:6.0f} bytes a row   encode {measured(lambda: encode(history), ROWS):5.1f} us"
        f"   decode {measured(lambda: decode(data), ROWS):5.1f} us"
    )
    clock = Clock()
    print(f"smallest   {len(encode(clock)):6} bytes         encode {measured(lambda: encode(clock), 1):5.1f} us")


if __name__ == "__main__":
    main()
