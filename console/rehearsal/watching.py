"""How far a rehearsal is, for whoever watches it at a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn

from console.output import Output
from console.progress import read_so_far
from console.rehearsal.rehearse import Tell
from rules.events import SyncRow


@contextmanager
def progress_on(output: Output) -> Iterator[Tell]:
    """A bar for each sync, where somebody watches."""
    if not output.err.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=output.err, transient=True) as progress:
        tasks: dict[str, Any] = {}

        def tell(row: SyncRow | None) -> None:
            if row is None:
                progress.stop()
                return
            if row.sync not in tasks:
                tasks[row.sync] = progress.add_task(row.sync, total=None, text="")
            known = sum(row.counts.values())
            total = known if all(row.read.values()) and known else None
            progress.update(tasks[row.sync], total=total, completed=known - row.remaining, text=read_so_far(row))

        yield tell
