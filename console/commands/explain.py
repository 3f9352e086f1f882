"""`explain`, `history`: why a record holds what it holds, and what was decided about it."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from console.commands.look import TimeType, say_how_current
from console.context import Settings, TandemCommand, pass_settings
from console.errors import WrongUseError
from console.explaining import RULES
from console.output import Output, plain, styled
from console.readmodel.current import open_service
from console.service import Json
from console.times import local, parse_time

SHOWN = 50  # decisions that a person is shown unless they ask for more
LATEST = 20  # of them below an explanation
SINCE = click.option("--since", type=TimeType(), metavar="T", help="What was decided since then.")
UNTIL = click.option("--until", type=TimeType(), metavar="T", help="What was decided until then.")
ACTIONS = {"create": "green", "linked": "green", "conflict": "yellow", "failed": "red", "refused": "red", "loop": "red"}


@click.command(
    "explain",
    cls=TandemCommand,
    help="For each field of a record: its value on both sides, where it came from, and the values that lost.",
)
@click.argument("sync")
@click.argument("record")
@SINCE
@UNTIL
@pass_settings
def explain_command(settings: Settings, sync: str, record: str, since: float | None, until: float | None) -> None:
    """Explains."""
    _check_times(since, until)
    service = open_service(settings)
    found = service.explain(sync, record, since, until)
    if settings.json:
        settings.output.document(found)
        return
    _show_record(settings.output, found, service.between[sync])
    _show_fields(settings.output, found, service.between[sync])
    _show_lost(settings.output, found)
    if found["history"]:
        settings.output.say(Text("\nhistory", style="bold"))
        show_history(settings.output, found["history"][:LATEST], named=False)
    if len(found["history"]) > LATEST:
        settings.output.note(
            f"The latest {LATEST} of {len(found['history'])}; `tandem history {sync} {record}` shows all."
        )
    for letter in found["dead_letters"]:
        settings.output.say(f"dead letter  `tandem dead-letters show {letter}`", style="bright_black")
    say_how_current(settings.output, service)


def _check_times(since: float | None, until: float | None) -> None:
    if since is not None and until is not None and since > until:
        raise WrongUseError("--since is later than --until.", "Nothing can be between them; swap the two.")


def _show_record(output: Output, found: Json, accounts: tuple[str, ...]) -> None:
    record = found["record"]
    sides = [f"{account}:{plain(record[account]['id'])}" for account in accounts if record[account] is not None]
    line = Text(" ↔ ".join(sides), style="bold").append("  ").append_text(styled(record["status"]))
    if record["category"]:
        line.append(f", {record['category']}", style="not bold default")
    output.say(line.append(f" since {_at(record['since'])}", style="not bold bright_black"))
    if record["message"]:
        output.say(Text(f"  {plain(record['message'])}"))
    if record["remedy"]:
        output.say(Text(f"  → {plain(record['remedy'])}", style="green"))


def _show_fields(output: Output, found: Json, accounts: tuple[str, ...]) -> None:
    rows: list[list[object]] = []
    for pair in found["fields"]:
        for account in accounts:
            if pair[account] is not None:
                name = Text(account, style="bright_black").append(f".{pair[account]['field']}", style="default")
                rows.append([name, _value(pair[account]["value"]), _from(pair[account]["from"])])
    if rows:
        output.table(["field", "value", "came from"], rows)


def _from(origin: Json) -> str:
    """Where a value came from, in a sentence."""
    if origin["rule"] is None:
        return origin["event"] or "it was there when the record was first read"
    text = f"{RULES.get(origin['rule'], origin['rule'])}, {_at(origin['at'])}; from {origin['event']}"
    stored = f" (written as {_shown(origin['stored_as'])})" if origin["stored_as"] is not None else ""
    return text + stored


def _show_lost(output: Output, found: Json) -> None:
    """What lost: both values, the rule, and both events."""
    lost = [one for pair in found["fields"] for one in pair["lost"]]
    if lost:
        output.say(Text("\nvalues that lost", style="bold"))
    for one in lost:
        head = Text(f"  {one['account']}.{one['field']}  ").append(_shown(one["value"]), style="red")
        head.append(" lost to ", style="default").append(_shown(one["kept"]), style="green")
        output.say(head.append(f"  {_at(one['at'])}", style="bright_black"))
        output.say(f"    {RULES.get(one['rule'], one['rule'])} ({one['rule']})")
        output.say(f"    won:  {one['event']}")
        output.say(f"    lost: {one['lost_event'] or 'it was there when the record was first read'}")


def _value(value: Any) -> Text:
    return Text("–", style="bright_black") if value is None else Text(plain(value))


def _shown(value: Any) -> str:
    return "nothing" if value is None or value == "" else plain(value)


def _at(moment: str) -> str:
    return local(parse_time(moment, 0.0))


@click.command(
    "history", cls=TandemCommand, help="The decisions about a record, a sync, or all: what, why, and which values."
)
@click.argument("sync", required=False)
@click.argument("record", required=False)
@SINCE
@UNTIL
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help=f"At most so many (on a screen {SHOWN}, else all)."
)
@pass_settings
def history_command(
    settings: Settings,
    sync: str | None,
    record: str | None,
    since: float | None,
    until: float | None,
    limit: int | None,
) -> None:
    """Tells."""
    _check_times(since, until)
    service = open_service(settings)
    if settings.json:
        found = service.history(sync, record, since, until, limit)
        settings.output.documents('{"history":[', found, "]}")
        return
    most = limit or (SHOWN if settings.output.out.is_terminal else None)
    rows = list(service.history(sync, record, since, until, None if most is None else most + 1))
    show_history(settings.output, rows[:most], named=record is None)
    if not rows:
        settings.output.say("Nothing was decided.")
    elif most is not None and len(rows) > most and limit is None:
        settings.output.note(f"The latest {most}; --limit shows more, --since and --until others.")
    say_how_current(settings.output, service)


def show_history(output: Output, rows: list[Json], *, named: bool) -> None:
    """A line per decision, and below it one per field. `named`: with the record that it is about."""
    for row in rows:
        line = Text(_at(row["at"]), style="bright_black").append("  ")
        line.append(row["action"], style=ACTIONS.get(row["action"], "default"))
        if named:
            line.append(f"  {row['sync']}", style="bright_black").append(f" {plain(row['key'])}", style="bold")
        if row["note"]:
            line.append(f"  {plain(row['note'])}", style="not bold default")
        output.say(line.append(f"  {plain(row['cause'])}", style="not bold bright_black"))
        for change in row["changes"]:
            what = Text(f"    {change['account']}.{change['field']}  ")
            if change["before"] != change["after"]:
                what.append(_shown(change["before"]), style="red").append(" → ")
            what.append(_shown(change["after"]), style="green")
            output.say(what.append(f"  {change['rule']}", style="bright_black"))
