"""`status`, `records`, `failures`: what the read model knows, as tables or JSON."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from console.columns import chosen, columns_of, only, value_in
from console.context import Settings, TandemCommand, pass_settings
from console.errors import WrongUseError
from console.export import export, kinds_of
from console.output import Output, number, plain, records_in_words, styled
from console.readmodel.current import open_service
from console.readmodel.reader import STATUSES, RecordFilter
from console.service import Json, Service
from console.times import HOW_TO_WRITE, local, parse_time, span

SHOWN = 50  # records that a person is shown unless they ask for more
LONGEST = 40  # characters of a value at a terminal; --columns shows it whole
FRESH_S = 5.0  # a read model of that age is worth no word
SAMPLES = 5  # records of a category that `failures` shows


@click.command("status", cls=TandemCommand, help="A row per sync: its state and how many records are how.")
@click.argument("sync", required=False)
@pass_settings
def status_command(settings: Settings, sync: str | None) -> None:
    """Shows the object view."""
    service = open_service(settings)
    found = service.status(sync)
    if settings.json:
        settings.output.document(found)
        return
    show_status(settings.output, found["syncs"])
    if not service.between:
        settings.output.say("No sync has been applied yet.")
    for name, url in (
        ("console", found["endpoints"]["console"]),
        ("metrics", ", ".join(found["endpoints"]["metrics"])),
    ):
        if url:
            settings.output.say(f"{name}  {url}", style="bright_black")
    say_how_current(settings.output, service)


def show_status(output: Output, syncs: list[Json]) -> None:
    """The table of syncs, and below it what needs a person."""
    right = {"justify": "right"}
    if syncs:
        counts: list[str | tuple[str, dict[str, Any]]] = [
            (name, right) for name in ("in sync", "failing", "excluded", "pending", "lag")
        ]
        reading = any(sync["state"] == "initial" for sync in syncs)
        cells = (_status_cells(sync) for sync in syncs)
        output.table(
            ["sync", "state", *counts, *(["first sync"] if reading else [])],
            (row if reading else row[:-1] for row in cells),
        )
    down = dict.fromkeys(each for sync in syncs for each in sync["accounts_down"].items())
    for account, reason in down:
        output.say(f"{account} is down: {reason}", style="yellow")
    for sync in syncs:
        if sync["state"] == "stopped":
            output.say(f"{sync['sync']} is stopped: {sync['reason'] or 'see its failures'}", style="red")
            output.say(f"  `tandem confirm {sync['sync']}` lets it go on.")


def _status_cells(sync: Json) -> list[object]:
    failing = Text(number(sync["failing"]), style="red" if sync["failing"] else "bright_black")
    excluded, pending = (
        Text(number(sync[name]), style="" if sync[name] else "bright_black") for name in ("excluded", "pending")
    )
    lag = span(sync["lag_seconds"]) if sync["lag_seconds"] else Text("–", style="bright_black")
    progress = ""
    if sync["state"] == "initial":
        first = sync["initial"]
        read = " + ".join(f"{number(count)} {account}" for account, count in first["read"].items())
        progress = f"read {read}; matched {number(first['matched'])}, created {number(first['created'])}"
        progress += f", {number(first['remaining'])} to go" if first["remaining"] else ""
    return [sync["sync"], styled(sync["state"]), number(sync["in_sync"]), failing, excluded, pending, lag, progress]


def say_how_current(output: Output, service: Service) -> None:
    """Says from when the answer is, where nothing keeps it current."""
    as_of = service.as_of
    if service.caught_up:
        return
    if service.running is None:
        when = f"as of {local(as_of)}" if as_of else "not complete"
        output.note(f"The engine is not running; this is {when}.", style="yellow")
    elif as_of is None or time.time() - as_of > FRESH_S:
        behind = f"{span(time.time() - as_of)} behind" if as_of else "still being filled"
        output.note(f"The read model is {behind}.", style="yellow")


class TimeType(click.ParamType):
    """A time, as seconds since 1970."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Raises what click turns into a message."""
        try:
            return value if isinstance(value, float) else parse_time(value, time.time())
        except ValueError:
            self.fail(f"{value} is no time. {HOW_TO_WRITE}", param, ctx)


@click.command(
    "records", cls=TandemCommand, help="The records of a sync (or of all): status, both sides, and what is the matter."
)
@click.argument("sync", required=False)
@click.option("--status", type=click.Choice(STATUSES), help="Only those.")
@click.option("--category", metavar="C", help="Only failing or excluded ones of this category.")
@click.option("--since", type=TimeType(), metavar="T", help="In their status since then or later.")
@click.option("--until", type=TimeType(), metavar="T", help="In their status since then or earlier.")
@click.option("--search", metavar="TEXT", help="Only those with the text in an id or a value.")
@click.option("--columns", metavar="A,B", help="Which columns: status, message, ACCOUNT.id, ACCOUNT.FIELD, FIELD …")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help=f"At most so many (on a screen {SHOWN}, else all)."
)
@click.option(
    "--export",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Into a .csv, .jsonl, .xlsx or .parquet file.",
)
@pass_settings
def records_command(
    settings: Settings, sync: str | None, columns: str | None, limit: int | None, file: Path | None, **wanted: Any
) -> None:
    """Shows the record view, or exports it."""
    service = open_service(settings)
    if wanted["since"] is not None and wanted["until"] is not None and wanted["since"] > wanted["until"]:
        raise WrongUseError("--since is later than --until.", "Nothing can be between them; swap the two.")
    asked = RecordFilter(sync=sync, **wanted)
    syncs = service.known(sync)
    known = columns_of(service.configuration, syncs, service.between)
    picked = chosen(columns, known) if columns else None
    if file is not None:
        _export(settings, service, asked, picked or known, file, limit)
    elif settings.json:
        found: Iterable[Json] = service.records(asked, limit)
        settings.output.documents('{"records":[', (only(record, picked) for record in found) if picked else found, "]}")
    else:
        _show_records(settings.output, service, asked, picked, limit)
        say_how_current(settings.output, service)


def _export(
    settings: Settings, service: Service, asked: RecordFilter, columns: list[str], file: Path, limit: int | None
) -> None:
    kinds = kinds_of(service.configuration, columns, service.known(asked.sync))
    count = export(file, columns, kinds, service.records(asked, limit))
    if settings.json:
        settings.output.document({"exported": count, "file": str(file)})
    settings.output.say(f"{records_in_words(count)} written to {file}.")


def _show_records(
    output: Output, service: Service, asked: RecordFilter, columns: list[str] | None, limit: int | None
) -> None:
    left = limit or (SHOWN if output.out.is_terminal else None)
    shown = 0
    for name in service.known(asked.sync):
        rows = list(service.records(_of(asked, name), None if left is None else left - shown))
        if rows and asked.sync is None:
            output.say(Text(("\n" if shown else "") + name, style="bold"))
        if rows and columns:
            output.table(columns, ([value_in(row, column) for column in columns] for row in rows))
        elif rows:
            show_records(output, rows, service.between[name])
        shown += len(rows)
        if left is not None and shown >= left:
            break
    total = service.count(asked) if left is not None and shown >= left else shown
    if not total:
        output.say("No record is like that." if service.between else "No sync has been applied yet.")
    elif total > shown:
        output.note(f"{number(shown)} of {number(total)}; --limit {total} shows all, --search and --status fewer.")


def _of(asked: RecordFilter, sync: str) -> RecordFilter:
    return RecordFilter(sync, asked.status, asked.category, asked.since, asked.until, asked.search)


def show_records(output: Output, records: list[Json], accounts: tuple[str, ...]) -> None:
    """A row per record: status, both sides in few words, and what is the matter."""
    longest = LONGEST if output.out.is_terminal else None
    output.table(
        ["status", "since", *accounts, ""],
        (
            [
                styled(record["status"]),
                _since(record),
                *(_side(record[account], longest) for account in accounts),
                _matter(record),
            ]
            for record in records
        ),
    )


def _since(record: Json) -> Text:
    return Text(local(parse_time(record["since"], 0.0)), style="bright_black")


def _side(side: Json | None, longest: int | None = None) -> Text:
    """A record in a few words: its id and what its first fields hold, each cut to so many characters."""
    if side is None:
        return Text("–", style="bright_black")
    words = [
        plain(value)
        for value in side["fields"].values()
        if value is not None and value != "" and not isinstance(value, list)
    ][:3]
    words = [word if longest is None or len(word) <= longest else word[: longest - 1] + "…" for word in words]
    return Text(plain(side["id"]), style="bold").append("  " + " · ".join(words), style="not bold")


def _matter(record: Json) -> Text:
    """The category, and what is the matter; what to do about it is told by `failures`."""
    found = Text()
    if record["category"]:
        found.append(record["category"], style="red" if record["status"] == "failing" else "bright_black")
    if record["message"]:
        found.append(("  " if found else "") + plain(record["message"]), style="default")
    return found


@click.command("failures", cls=TandemCommand, help="Failing records by category, with what to do about them.")
@click.argument("sync", required=False)
@pass_settings
def failures_command(settings: Settings, sync: str | None) -> None:
    """Shows what needs a person."""
    service = open_service(settings)
    if settings.json:
        settings.output.document(service.failures(sync))
        return
    groups = service.failures(sync, SAMPLES)["failures"]
    for group in groups:
        heading = Text(group["category"], style="bold red").append(
            f"  {number(group['count'])} in {group['sync']}", style="not bold default"
        )
        settings.output.say(heading)
        _show_group(settings.output, group["records"], service.between[group["sync"]])
        if group["count"] > len(group["records"]):
            more = (
                f"`tandem records {group['sync']} --category {group['category']}` shows all {number(group['count'])}."
            )
            settings.output.say("  " + more, style="bright_black")
    if not groups:
        settings.output.say("Nothing is failing.", style="green")
    say_how_current(settings.output, service)


def _show_group(output: Output, records: list[Json], accounts: tuple[str, ...]) -> None:
    """A category's records with what is the matter with each; what to do is said once where it is the same."""
    for record in records:
        line = Text("  ")
        for account in accounts:
            if record[account] is not None:
                line.append(f"{account}:", style="bright_black").append(
                    _side(record[account], LONGEST if output.out.is_terminal else None)
                ).append("   ")
        output.say(line)
        if record["message"]:
            output.say(Text("    " + plain(record["message"])))
    for remedy in dict.fromkeys(record["remedy"] for record in records if record["remedy"]):
        output.say(Text("  → " + plain(remedy), style="green"))
