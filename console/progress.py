"""What a running engine has to say to the person at the terminal: which changes of a sync's state are worth a line.

Pure: rows and times go in, lines come out. Must not know where they are printed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from console.output import number
from console.times import span
from rules.events import SyncRow

EVERY_S = 3.0  # between two lines about the same sync, unless its state changes


class Line(msgspec.Struct, frozen=True):
    """A line about a sync, or an account. `mood`: good, bad, busy or quiet."""

    about: str
    text: str
    mood: str = "quiet"


class Progress:
    """Remembers what was said, so that nothing is said twice."""

    def __init__(self) -> None:
        self.rows: dict[str, SyncRow] = {}
        self._said: dict[str, tuple[float, str]] = {}  # when, and what, of a sync's counts
        self._began: dict[str, float] = {}
        self._down: dict[str, str] = {}

    def take(self, rows: Mapping[str, SyncRow | None], now: float) -> Iterator[Line]:
        """The lines that these rows are worth. `now`: seconds."""
        for sync, row in rows.items():
            before = self.rows.pop(sync, None)
            if row is None:
                yield Line(sync, "deleted; its links are forgotten")
                continue
            self.rows[sync] = row
            yield from self._accounts(row)
            if before is None or before.state != row.state:
                self._said[sync] = now, _counts(row)
                yield self._arrived(before, row, now)
        yield from self.tick(now)

    def tick(self, now: float) -> Iterator[Line]:
        """What has come meanwhile and could not yet be said."""
        for sync, row in self.rows.items():
            at, said = self._said.get(sync, (0.0, ""))
            if now - at >= EVERY_S and row.state in ("initial", "live") and _counts(row) != said:
                self._said[sync] = now, _counts(row)
                yield Line(sync, _counts(row), "busy" if row.state == "initial" else "quiet")

    def _arrived(self, before: SyncRow | None, row: SyncRow, now: float) -> Line:
        """The sync has come into another state."""
        if row.state == "initial":
            self._began[row.sync] = now
            return Line(row.sync, "reading both sides", "busy")
        if row.state == "live":
            took = f" in {span(now - self._began[row.sync])}" if row.sync in self._began else ""
            done = f"{number(row.matched)} matched, {number(row.created)} created{took}; " if before else ""
            return Line(row.sync, f"live: {done}{counted(row)}", "good")
        if row.state == "stopped":
            return Line(row.sync, f"stopped: {row.reason}; `tandem confirm {row.sync}` lets it go on", "bad")
        return Line(row.sync, "off")

    def _accounts(self, row: SyncRow) -> Iterator[Line]:
        for account, reason in row.accounts.items():
            if account not in self._down:
                yield Line(account, f"does not answer: {reason}", "bad")
            self._down[account] = reason
        for account in [name for name in row.connection.split("~") if name in self._down and name not in row.accounts]:
            del self._down[account]
            yield Line(account, "answers again", "good")


def _counts(row: SyncRow) -> str:
    return read_so_far(row) if row.state == "initial" else counted(row)


def counted(row: SyncRow) -> str:
    """2,013 in sync, 3 failing."""
    parts = [f"{number(row.counts.get('in_sync', 0))} in sync"]
    parts += [
        f"{number(row.counts[name])} {name}" for name in ("failing", "excluded", "pending") if row.counts.get(name)
    ]
    return ", ".join(parts)


def read_so_far(row: SyncRow) -> str:
    """read 1,000 crm + 800 shop; matched 700, created 0, 400 to go."""
    read = " + ".join(f"{number(count)} {account}" for account, count in sorted(row.read.items())) or "nothing yet"
    rest = f", {number(row.remaining)} to go" if row.remaining else ""
    return f"read {read}; matched {number(row.matched)}, created {number(row.created)}{rest}"
