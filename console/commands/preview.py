"""`preview`: what applying the file would do, record by record, without doing any of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import click
import msgspec
from rich.text import Text

from console.applying import Proposal
from console.commands.configure import show_proposal
from console.context import Settings, TandemCommand, pass_settings
from console.output import Output, number, plain
from console.rehearsal.preview import previewed
from console.rehearsal.report import OUTCOMES, Report
from console.rehearsal.watching import progress_on
from console.service import Json
from console.target import Target

SAMPLES = 3
STYLES = {"created": "green", "updated": "yellow", "deleted": "red", "ambiguous": "red", "failing": "red"}


@click.command(
    "preview",
    cls=TandemCommand,
    help="What the first sync, or the edited rules, would do; writes to no app, and leaves nothing behind.",
)
@click.argument("sync", required=False)
@click.option(
    "--samples",
    type=click.IntRange(min=0),
    default=SAMPLES,
    show_default=True,
    metavar="N",
    help="Records of each kind that are shown; --json names them all.",
)
@pass_settings
def preview_command(settings: Settings, sync: str | None, samples: int) -> None:
    """Previews."""
    asyncio.run(_preview(settings, sync, samples))


async def _preview(settings: Settings, sync: str | None, samples: int) -> None:
    output = settings.output
    with progress_on(output) as tell:
        async with previewed(Target(settings), sync, tell) as (proposal, reports):
            found = [(report, *report.summary(samples)) for report in reports]
            if settings.json:
                summaries = [summary for _, summary, _ in found]
                output.documents(_opening(proposal, summaries), _records(reports), "]}")
                return
            tell(None)
            show_proposal(output, None, proposal)
            for _, summary, records in found:
                _show(output, summary, records)
            if not found:
                output.say("No sync is in the file.")
    output.say("\nNothing was written. `tandem apply` makes it so.", style="bright_black")


def _opening(proposal: Proposal, summaries: list[Json]) -> str:
    """The document up to its records, which may be many."""
    head = {"changes": [str(change) for change in proposal.changes], "syncs": summaries}
    return msgspec.json.encode(head).decode()[:-1] + ',"records":['


def _records(reports: list[Report]) -> Iterator[Json]:
    for report in reports:
        yield from report.records()


def _show(output: Output, summary: Json, records: list[Json]) -> None:
    head = Text(f"\n{summary['sync']}", style="bold").append_text(
        Text("  first sync" if summary["first"] else "  as it would go on", style="cyan not bold")
    )
    output.say(head)
    for name, text in _lines(summary):
        output.say(Text(f"  {name:<12}", style="bright_black").append(text, style=STYLES.get(name, "default")))
    accounts = list(summary["created"])
    for outcome in OUTCOMES:
        for record in (one for one in records if one["outcome"] == outcome):
            _show_sample(output, record, accounts)


def _lines(summary: Json) -> list[tuple[str, str]]:
    """What there is to say, a line each."""
    found: list[tuple[str, str]] = []
    if summary["matched"]:
        found.append(("matched", number(summary["matched"])))
    for op in ("created", "updated", "deleted"):
        parts = [f"{number(count)} in {account}" for account, count in summary[op].items() if count]
        found += [(op, ", ".join(parts))] if parts else []
    if summary["conflicting"]:
        found.append(("conflicting", f"{number(summary['conflicting'])}: the default side wins, field by field"))
    for name in ("excluded", "failing"):
        parts = [f"{number(count)} {category}" for category, count in sorted(summary[name].items())]
        found += [(name, ", ".join(parts))] if parts else []
    if summary["ambiguous"]:
        found.append(("ambiguous", f"{number(summary['ambiguous'])}: several records claim one counterpart"))
    if summary["pending"]:
        found.append(("pending", number(summary["pending"])))
    if summary["stopped"]:
        found.append(("stopped", str(summary["stopped"])))
    return found or [("", "nothing would change")]


def _show_sample(output: Output, record: Json, accounts: list[str]) -> None:
    names = [
        f"{account}:{plain(record[account]['id']) if record[account]['id'] is not None else '(new)'}"
        for account in accounts
        if record[account] is not None
    ]
    line = Text("    ").append(record["outcome"], style=STYLES.get(record["outcome"], "default"))
    output.say(line.append(f"  {' ↔ '.join(names) or plain(record['record'])}", style="bold"))
    if record["message"]:
        output.say(Text(f"      {plain(record['message'])}"))
    for write in record["writes"]:
        for change in write["changes"]:
            before = "" if write["op"] == "create" else f"{_word(change['before'])} → "
            what = f"      {write['account']}.{change['field']}  {before}{_word(change['after'])}"
            output.say(Text(what).append(f"  {change['rule']}", style="bright_black"))


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return f"(the record created from {plain(value['new'])})"
    return "nothing" if value is None else plain(value)
