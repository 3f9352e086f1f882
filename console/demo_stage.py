"""How the demo looks: chapters, steps and crossings, calm at a terminal and just as readable in a file.

Responsible for the form. Must not know what is shown.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from console.output import number, plain
from console.times import span
from rules.events import SyncRow

INDENT = "   "
WIDTH = 96  # of a line with its time, or that of the terminal where it is narrower


class Stage:
    """Prints one thing after another; at a terminal it shows what is going on meanwhile."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._chapter = 0

    def title(self, title: str, *lines: str) -> None:
        """The opening."""
        self._console.print()
        self._console.print(Text(title, style="bold"))
        for line in lines:
            self._console.print(Text(line, style="bright_black"))

    def chapter(self, title: str) -> None:
        """A heading."""
        self._chapter += 1
        self._console.print()
        self._console.print(Text(f"{self._chapter}  ", style="bold cyan").append(title, style="bold default"))

    def say(self, text: str | Text, style: str = "") -> None:
        """A line."""
        self._console.print(Text(INDENT).append(text if isinstance(text, Text) else Text(plain(text), style=style)))

    def aside(self, text: str) -> None:
        """A line that belongs to the one before."""
        self.say("  " + text, "bright_black")

    def verdict(self, text: str, *, good: bool) -> None:
        """What it all comes to."""
        self._console.print()
        self.say(Text(text, style="bold green" if good else "bold red"))

    def done(self, what: str | Text, seconds: float | None = None, *, good: bool = True) -> None:
        """A line with a tick, and how long it took at its end."""
        line = Text(INDENT).append("✓ " if good else "✗ ", style="green" if good else "red")
        line.append(what if isinstance(what, Text) else Text(plain(what)))
        if seconds is not None:
            room = min(WIDTH, self._console.width) - 7
            line.append(" " * max(2, room - line.cell_len)).append(span(seconds).rjust(7), style="cyan")
        self._console.print(line)

    def command(self, words: str) -> None:
        """A command line, as the user would type it."""
        self._console.print(Text(INDENT).append("$ ", style="bright_black").append(words, style="bold"))

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[list[str]]:
        """Shows what is being done, then that it is done; the body may append details to the list."""
        details: list[str] = []
        began = time.monotonic()
        if self._console.is_terminal:
            with self._console.status(Text(what, style="bright_black"), spinner="dots"):
                yield details
        else:
            yield details
        self.done(" · ".join([what, *details]), time.monotonic() - began)

    @contextlib.contextmanager
    def syncing(self, totals: Mapping[str, int]) -> Iterator[SyncBars]:
        """Bars of the first sync, by sync; `totals`: how many records there are to read."""
        bars = SyncBars(totals)
        if not self._console.is_terminal:
            yield bars
            return
        columns = (
            TextColumn(INDENT + "  {task.description:<10}"),
            BarColumn(bar_width=28, complete_style="cyan", finished_style="green"),
            TextColumn("{task.fields[said]}", style="bright_black"),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            bars.attach(progress)
            yield bars


class SyncBars:
    """The progress of first syncs."""

    def __init__(self, totals: Mapping[str, int]) -> None:
        self._totals = totals
        self._progress: Progress | None = None
        self._tasks: dict[str, int] = {}

    def attach(self, progress: Progress) -> None:
        """Shows itself there."""
        self._progress = progress
        for sync, total in self._totals.items():
            # Reading is one half of the way, creating what is missing the other.
            self._tasks[sync] = progress.add_task(sync, total=2 * total, said="")

    def take(self, row: SyncRow) -> None:
        """How far a sync has got."""
        if self._progress is None or row.sync not in self._tasks:
            return
        total = self._totals[row.sync]
        read = min(total, sum(row.read.values()))
        still = row.remaining if row.state == "initial" else 0
        written = total if row.state == "live" else max(0, total - still) if row.created else 0
        said = f"read {number(sum(row.read.values()))} · matched {number(row.matched)} · created {number(row.created)}"
        self._progress.update(self._tasks[row.sync], completed=read + written, said=said)  # type: ignore[arg-type]
