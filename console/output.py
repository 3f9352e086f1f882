"""How commands speak: tables and sentences for people, one JSON document for programs.

Responsible for standard output and standard error, colours, and that nothing from a database reaches a terminal as a
control sequence. Must not know what is said.

Without a terminal there are no colours, no moving parts, and no line is broken or cut to a width: the text goes on to
another program.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

STATUS_STYLES = {
    "in_sync": "green", "failing": "red", "excluded": "bright_black", "pending": "yellow",
    "live": "green", "initial": "cyan", "off": "bright_black", "stopped": "red", "preview": "cyan",
}  # fmt: skip
UNBOUNDED = 100_000  # columns of a page that is no terminal
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {9: " ", 10: "⏎", 13: ""}


def plain(text: object) -> str:
    """A value as it may be printed: control characters are written out."""
    return str(text).translate(_CONTROLS)


def console_for(stream: TextIO) -> Console:
    """A rich console on the stream; unbounded where it is no terminal."""
    is_terminal = stream.isatty()
    return Console(
        file=stream,
        highlight=False,
        width=None if is_terminal else UNBOUNDED,
        force_terminal=None if is_terminal else False,
    )


class Output:
    """Standard output for what was asked, standard error for what is said about it."""

    def __init__(self, *, json: bool) -> None:
        self.as_json = json
        self.out = console_for(sys.stdout)
        self.err = console_for(sys.stderr)

    def document(self, value: object) -> None:
        """The one JSON document."""
        sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
        sys.stdout.flush()

    def documents(self, before: str, items: Iterable[Any], after: str) -> None:
        """One JSON document whose list may be long: it is never held as a whole."""
        write = sys.stdout.buffer.write
        write(before.encode())
        for number, item in enumerate(items):
            write((b",\n" if number else b"\n") + msgspec.json.encode(item))
        write(after.encode() + b"\n")
        sys.stdout.flush()

    def line(self, value: object) -> None:
        """A JSON line, flushed: it is read while we go on."""
        sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
        sys.stdout.flush()

    def say(self, what: RenderableType, style: str = "") -> None:
        """For people, on standard output; on standard error where a document goes to standard output."""
        (self.err if self.as_json else self.out).print(what, style=style or None, markup=False)

    def note(self, what: RenderableType, style: str = "") -> None:
        """Said beside the answer: on standard error."""
        self.err.print(what, style=style or None, markup=False)

    def problem(self, message: str, remedy: str = "") -> None:
        """What went wrong and what to do, on standard error."""
        self.err.print(Text("tandem: ", style="bold red").append(message, style="not bold default"), soft_wrap=True)
        for line in remedy.splitlines():
            self.err.print(Text("  " + line), soft_wrap=True)

    def table(self, columns: Sequence[str | tuple[str, dict[str, Any]]], rows: Iterable[Sequence[object]]) -> None:
        """A table for people. A cell is a text, a rich Text, or None for nothing."""
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
        for column in columns:
            name, options = column if isinstance(column, tuple) else (column, {})
            table.add_column(name, **({"overflow": "fold"} | options))
        for row in rows:
            table.add_row(
                *(cell if isinstance(cell, Text) else Text("" if cell is None else plain(cell)) for cell in row)
            )
        self.say(table)


def styled(word: str) -> Text:
    """A status or state in its colour."""
    return Text(word.replace("_", " "), style=STATUS_STYLES.get(word, ""))


def records_in_words(count: int) -> str:
    """1 record, 2,013 records."""
    return f"{number(count)} record{'' if count == 1 else 's'}"


def number(count: int) -> str:
    """1,234."""
    return f"{count:,}"
