"""`restore`, `confirm`: what a person asks of a sync that runs."""

from __future__ import annotations

from typing import Any

import click

from console.columns import field_in
from console.commands.look import show_records
from console.context import Settings, TandemCommand, pass_settings
from console.errors import WrongUseError, unknown
from console.orders import confirm, order, restore
from console.output import number, records_in_words
from console.readmodel.current import open_service
from console.service import Json, Service
from console.target import Target
from rules.plan import connection_name

SHOWN = 20


@click.command(
    "confirm",
    cls=TandemCommand,
    help="Lets a sync go on that stopped for many deletions or an emptied object, deletions included.",
)
@click.argument("sync")
@pass_settings
def confirm_command(settings: Settings, sync: str) -> None:
    """Confirms."""
    service = open_service(settings)
    service.known(sync)
    (row,) = service.status(sync)["syncs"]
    order(Target(settings), [(connection_name(service.between[sync]), confirm(sync))])
    if settings.json:
        settings.output.document({"sync": sync, "state": row["state"]})
    stopped = row["state"] == "stopped"
    settings.output.say(
        f"{sync} goes on." if stopped else f"{sync} is {row['state']}, not stopped: there was nothing to confirm."
    )


@click.command(
    "restore",
    cls=TandemCommand,
    help="Re-creates records that were deleted in an account: those named, or all of the sync.",
)
@click.argument("sync")
@click.argument("records", nargs=-1, metavar="[RECORD]...")
@click.option("--into", metavar="ACCOUNT", required=True, help="The account in which they were deleted.")
@click.option("--dry-run", is_flag=True, help="Only shows which.")
@pass_settings
def restore_command(settings: Settings, sync: str, records: tuple[str, ...], into: str, dry_run: bool) -> None:
    """Restores."""
    service = open_service(settings)
    service.known(sync)
    if into not in service.between[sync]:
        raise unknown(f"account of {sync}", into, service.between[sync])
    _refuse_source(service, sync, into)
    named = [service.find(sync, reference) for reference in records]
    wanted = {row.key for row in named}
    found = [record for key, record in service.deleted(sync, into) if not wanted or key in wanted]
    if not dry_run:
        references = [f"{account}:{row.sides[account]['id']}" for row in named for account in list(row.sides)[:1]]
        order(Target(settings), [(connection_name(service.between[sync]), restore(sync, into, references))])
    if settings.json:
        shown = [record | {"identifiers": _identifiers(service, sync, record)} for record in found]
        settings.output.document(
            {"sync": sync, "into": into, "dry_run": dry_run, "count": len(found), "records": shown}
        )
    settings.output.say(
        f"{records_in_words(len(found))} of {sync} {'to be' if dry_run else 'being'} restored into {into}."
    )
    if dry_run and found and not settings.json:
        show_records(settings.output, found[:SHOWN], service.between[sync])
        if len(found) > SHOWN:
            settings.output.say(f"… and {number(len(found) - SHOWN)} more; --json names them all.")


def _refuse_source(service: Service, sync: str, into: str) -> None:
    direction = service.applied(sync).get("direction") or "both"
    if direction not in ("both", f"to {into}"):
        raise WrongUseError(
            f'{sync} does not write to {into}: its direction is "{direction}".',
            "A record is restored only where the sync may write; widen its direction in the file, then `tandem apply`.",
        )


def _identifiers(service: Service, sync: str, record: Json) -> dict[str, Any]:
    """The record's identifiers, by account and field."""
    found: dict[str, Any] = {}
    for entry in service.applied(sync).get("mapping") or ():
        for account in service.between[sync] if entry.get("identifier") else ():
            field = field_in(entry, service.between[sync], account)
            if field is not None and record[account] is not None:
                found[f"{account}.{field}"] = record[account]["fields"].get(field)
    return found
