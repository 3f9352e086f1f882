"""`restore`, `confirm`: what a person asks of a sync that runs."""

from __future__ import annotations

import asyncio
from typing import Any

import click
import msgspec

from console.applying import new_id
from console.columns import field_in
from console.commands.look import TimeType, show_records
from console.commands.repair import must_run, reference_of
from console.context import Settings, TandemCommand, pass_settings
from console.errors import WrongUseError, unknown
from console.kafka import silence, telling, topics_of
from console.orders import confirm, order, restore
from console.output import number, records_in_words
from console.readmodel.current import open_service
from console.readmodel.reader import RecordRow
from console.replaying import Found, Replay, orders_for, replay
from console.service import Json, Service
from console.target import Target
from console.times import iso
from rules.catalog import Object
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
@click.option(
    "--replay",
    "replays",
    is_flag=True,
    help="Looks for them in the topics, too: also those deleted on both sides, or before the state was lost.",
)
@click.option("--since", type=TimeType(), metavar="T", help="With --replay: only those deleted since then.")
@click.option("--dry-run", is_flag=True, help="Only shows which.")
@pass_settings
def restore_command(
    settings: Settings,
    sync: str,
    records: tuple[str, ...],
    into: str,
    replays: bool,
    since: float | None,
    dry_run: bool,
) -> None:
    """Restores."""
    service = open_service(settings)
    service.known(sync)
    if into not in service.between[sync]:
        raise unknown(f"account of {sync}", into, service.between[sync])
    if since is not None and not replays:
        raise WrongUseError("--since goes with --replay.", "Without it, what the sync shows as deleted is restored.")
    _refuse_source(service, sync, into)
    must_run(service, sync, stopped=True)
    target = Target(settings)
    lost = lost_pairs(target, service, sync, since) if replays else []
    chosen, named = _named(service, sync, records, lost, replays=replays)
    wanted = {row.key for row in named}
    found = [record for key, record in service.deleted(sync, into) if not records or key in wanted]
    if not dry_run:
        _send(target, service, sync, into, (named, found, records, replays), chosen)
    shown = [*found, *(_as_record(service, sync, pair) for pair in chosen)]
    _say(settings, service, (sync, into, dry_run), shown)


def lost_pairs(target: Target, service: Service, sync: str, since: float | None) -> list[Found]:
    """The pairs of a sync that the topics still tell of, and the state no more."""
    catalogs = service.configuration["catalogs"]
    between: dict[str, str] = service.applied(sync)["between"]
    objects = {
        account: msgspec.convert(catalogs[account]["objects"][name], Object) for account, name in between.items()
    }

    async def look() -> Replay:
        silence()
        broker = target.broker()
        with telling(broker):
            return await replay(broker, await topics_of(broker, target.name), sync, objects)

    found = asyncio.run(look())
    pairs = found.lost(service.present(sync), since)
    if found.incomplete:
        target.settings.output.note(
            f"Of {number(found.incomplete)} more no whole image is kept: they were read longer ago than `retention:`.",
            style="yellow",
        )
    return pairs


def _named(
    service: Service, sync: str, references: tuple[str, ...], lost: list[Found], *, replays: bool
) -> tuple[list[Found], list[RecordRow]]:
    """Of the lost pairs, and of the records that the sync knows, those that are named; all pairs where none is."""
    if not references:
        return lost, []
    chosen: list[Found] = []
    named: list[RecordRow] = []
    for reference in references:
        names = {reference, *(f"{account}:{reference}" for account in service.between[sync])}
        pairs = [pair for pair in lost if names & pair.names]
        if len(pairs) > 1:
            meant = " and ".join(sorted(names & pairs[0].names | names & pairs[1].names))
            raise WrongUseError(
                f"{reference} is the id of several records of {sync}.", f"Say which one you mean: {meant}."
            )
        if pairs:
            chosen += pairs
        elif replays:
            try:
                named.append(service.find(sync, reference))
            except WrongUseError as error:
                raise WrongUseError(
                    f"There is no record {reference} in {sync}, and the topics tell of none that is lost.", error.remedy
                ) from error
        else:
            named.append(service.find(sync, reference))
    return chosen, named


def _send(
    target: Target,
    service: Service,
    sync: str,
    into: str,
    known: tuple[list[RecordRow], list[Json], tuple[str, ...], bool],
    lost: list[Found],
) -> None:
    """The orders: for what the sync knows, and for what only the topics tell of."""
    named, found, records, replays = known
    connection = connection_name(service.between[sync])
    orders = list(orders_for(sync, into, lost, new_id))
    if named or (not records and (found or not replays)):
        orders.insert(0, restore(sync, into, [reference_of(row) for row in named]))
    order(target, [(connection, one) for one in orders])


def _as_record(service: Service, sync: str, pair: Found) -> Json:
    """A lost pair in the shape of `tandem records --json`: both sides as they were."""
    sides: Json = {}
    for account in service.between[sync]:
        fields = [field_in(entry, service.between[sync], account) for entry in service.applied(sync)["mapping"]]
        values = pair.sides[account].values
        shown = {field: values[field] for field in fields if field is not None and field in values}
        sides[account] = {"id": pair.sides[account].id, "fields": shown}
    return {
        "sync": sync,
        "status": "failing",
        "category": "deleted",
        "message": "deleted on both sides",
        "remedy": None,
        "since": iso(pair.at),
    } | sides


def _say(settings: Settings, service: Service, about: tuple[str, str, bool], found: list[Json]) -> None:
    sync, into, dry_run = about
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
