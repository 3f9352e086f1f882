"""`apply`, `off`, `on`, `schema`: what is to be synced, and whether it is."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import click
from rich.text import Text

from console.accounts import examine
from console.applied import Applied, AppliedStore
from console.applying import Proposal
from console.context import Settings, TandemCommand, pass_settings
from console.errors import FailedError
from console.kafka import silence, telling
from console.orders import switch_sync
from console.output import Output, records_in_words
from console.rehearsal.preview import Running, rehearsed
from console.rehearsal.watching import progress_on
from console.rollout import proposed, roll_out, sound_catalogs
from console.target import Target, installed_connectors
from rules.config import Installation, json_schema
from streams.topics import ensure_topics


@click.command(
    "schema", cls=TandemCommand, help="Prints the JSON Schema of sync.yaml, by which editors complete and check it."
)
def schema_command() -> None:
    """Prints the schema, with the keys of the installed connectors."""
    import json

    click.echo(json.dumps(json_schema(installed_connectors()), indent=2, ensure_ascii=False))


@click.command("off", cls=TandemCommand, help="Switches a sync off: nothing is written, its state is kept.")
@click.argument("sync")
@pass_settings
def off_command(settings: Settings, sync: str) -> None:
    """Switches off."""
    _switch(settings, sync, on=False)


@click.command(
    "on", cls=TandemCommand, help="Switches a sync on again: both sides are compared with what they last agreed on."
)
@click.argument("sync")
@pass_settings
def on_command(settings: Settings, sync: str) -> None:
    """Switches on."""
    _switch(settings, sync, on=True)


def _switch(settings: Settings, sync: str, *, on: bool) -> None:
    state = "on" if on else "off"
    changed = switch_sync(Target(settings), sync, on=on)
    if settings.json:
        settings.output.document({"sync": sync, "state": state, "changed": changed})
    settings.output.say(f"{sync} is {state}." if changed else f"{sync} was {state} already.")


@click.command(
    "apply", cls=TandemCommand, help="Shows the difference between the file and what runs, asks, and makes it so."
)
@click.option("--yes", is_flag=True, help="Does not ask.")
@pass_settings
def apply_command(settings: Settings, yes: bool) -> None:
    """Applies the file."""
    target = Target(settings)
    installation = target.installation
    asyncio.run(_apply(target, installation, yes=yes))


async def _apply(target: Target, installation: Installation, *, yes: bool) -> None:
    silence()
    asks = not yes and sys.stdin.isatty() and sys.stdout.isatty()
    output = target.settings.output
    catalogs = sound_catalogs(installation, await examine(installation, installation.accounts))
    broker = target.broker()
    with telling(broker):
        topics = await ensure_topics(broker, installation.name, retention=installation.retention)
        async with AppliedStore(broker, topics) as store:
            proposal = proposed(store.current, installation, catalogs, keep_left=False)
            show_proposal(output, store.current, proposal)
            if not yes:
                running = Running(broker, topics, store.current)
                async for line in doublings(installation, running, proposal, output):
                    output.say(Text(f"  {line}", style="yellow"))
            if asks and proposal.changes and not click.confirm("Make it so?", err=True):
                raise FailedError("Nothing was changed.")
            after = await roll_out(store, installation, catalogs, keep_left=False)
    if target.settings.json:
        output.document({"version": after.version, "changes": [str(change) for change in proposal.changes]})
    output.say(f"Version {after.version} is applied.")


async def doublings(
    installation: Installation, running: Running, proposal: Proposal, output: Output
) -> AsyncIterator[str]:
    """A line for each new sync that would copy records of both sides since nothing tells which of them are the same."""
    known = running.applied.document["syncs"] if running.applied else {}
    blind = [
        name
        for name, sync in installation.syncs.items()
        if name not in known and not any(mapping.identifier for mapping in sync.mapping)
    ]
    if not blind:
        return
    with progress_on(output) as tell:
        async with rehearsed(installation, running, proposal, blind, tell) as reports:
            summaries = [report.summary(0)[0] for report in reports]
    for summary in summaries:
        created = summary["created"]
        if all(created.values()) and not summary["matched"]:
            parts = " and ".join(f"{records_in_words(count)} in {account}" for account, count in created.items())
            yield (
                f"{summary['sync']} has no identifiers, and nothing remembers which records of the two sides are the same:"
                f" it would create {parts}. `tandem preview {summary['sync']}` shows them."
            )


def show_proposal(output: Output, before: Applied | None, proposal: Proposal) -> None:
    """The difference, a line each."""
    styles = {"added": "green", "removed": "red", "changed": "yellow"}
    for change in proposal.changes:
        output.say(Text(f"  {change}", style=styles[change.action]))
    for account in proposal.refreshed:
        output.say(Text(f"  ~ account {account}: its objects have changed", style="yellow"))
    for name in sorted(before.deleted & proposal.after.document["syncs"].keys() if before else ()):
        output.say(Text(f"  {name} was deleted by command; it begins anew, and matches anew", style="yellow"))
    if before is not None and not proposal.changes and not proposal.refreshed:
        output.say("The file says what runs already.")
