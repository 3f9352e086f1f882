"""`retry`, `resync`, `delete`: what a person does about a sync, or about records of it, that the engine then carries out."""

from __future__ import annotations

from typing import Any

import click

from console.context import Settings, TandemCommand, pass_settings
from console.errors import FailedError, WrongUseError, did_you_mean
from console.orders import delete_sync, order, resync, retry
from console.output import records_in_words
from console.readmodel.current import open_service
from console.readmodel.reader import RecordFilter, RecordRow
from console.service import Service
from console.target import Target
from rules.plan import connection_name
from rules.remedies import CATEGORIES


class CategoryType(click.ParamType):
    """A category of failing records."""

    name = "category"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Raises what click turns into a message."""
        folded = str(value).strip().casefold().replace("-", "_")
        if folded not in CATEGORIES:
            self.fail(f"there is no category {value}. {did_you_mean(folded, CATEGORIES)}", param, ctx)
        return folded


def must_run(service: Service, sync: str, *, stopped: bool = False) -> str:
    """The state of a sync that commands can reach. Raises for one that does not exist, is off, or (unless `stopped`) has
    stopped."""
    service.known(sync)
    (row,) = service.status(sync)["syncs"]
    state = str(row["state"])
    if state == "off":
        raise FailedError(f"{sync} is off, so nothing is done for it.", f"`tandem on {sync}` switches it on.")
    if state == "stopped" and not stopped:
        raise FailedError(
            f"{sync} has stopped: {row['reason'] or 'see its failures'}.",
            f"`tandem confirm {sync}` lets it go on, deletions included; `tandem resync {sync}` without them.",
        )
    return state


@click.command(
    "retry",
    cls=TandemCommand,
    help="Tries failing records again: those named, those of a category, or all of the sync.",
)
@click.argument("sync")
@click.argument("records", nargs=-1, metavar="[RECORD]...")
@click.option("--category", type=CategoryType(), metavar="C", help="Only those that fail for this reason.")
@pass_settings
def retry_command(settings: Settings, sync: str, records: tuple[str, ...], category: str | None) -> None:
    """Retries."""
    service = open_service(settings)
    must_run(service, sync)
    named = [service.find(sync, reference) for reference in records]
    for reference, row in zip(records, named, strict=True):
        if row.status != "failing" or category not in (None, row.category):
            how = f"is failing for {row.category}" if row.status == "failing" else f"is {row.status.replace('_', ' ')}"
            wanted = f", not for {category}" if row.status == "failing" else ", not failing"
            raise WrongUseError(f"{reference} {how}{wanted}: there is nothing to try again.")
    count = len(named) or service.count(RecordFilter(sync=sync, status="failing", category=category))
    if count:
        send_retry(settings, service, sync, named, category)
    if settings.json:
        settings.output.document({"sync": sync, "category": category, "count": count})
    which = f" failing for {category}" if category else " failing"
    settings.output.say(
        f"{records_in_words(count)} of {sync}, tried again. `tandem wait {sync}` returns when that is through."
        if count
        else f"No record of {sync} is{which}."
    )


def send_retry(
    settings: Settings, service: Service, sync: str, rows: list[RecordRow], category: str | None = None
) -> None:
    """Has records tried again; returns when the order is stored."""
    references = [reference_of(row) for row in rows]
    order(Target(settings), [(connection_name(service.between[sync]), retry(sync, references, category))])


def reference_of(row: RecordRow) -> str:
    """A name of a record by which the engine finds it: that of either side."""
    account, side = next(iter(row.sides.items()))
    return f"{account}:{side['id']}"


@click.command(
    "resync", cls=TandemCommand, help="Reads both sides in full again and compares them with what they last agreed on."
)
@click.argument("sync")
@pass_settings
def resync_command(settings: Settings, sync: str) -> None:
    """Reads again."""
    service = open_service(settings)
    state = must_run(service, sync, stopped=True)
    order(Target(settings), [(connection_name(service.between[sync]), resync(sync))])
    if settings.json:
        settings.output.document({"sync": sync, "state": state})
    settings.output.say(f"{sync} reads both sides again. `tandem wait {sync}` returns when that is through.")


@click.command(
    "delete",
    cls=TandemCommand,
    help="Deletes a sync: its links are forgotten, no app is touched. It stays away until `tandem apply` adds it again.",
)
@click.argument("sync")
@pass_settings
def delete_command(settings: Settings, sync: str) -> None:
    """Deletes."""
    changed = delete_sync(Target(settings), sync)
    if settings.json:
        settings.output.document({"sync": sync, "state": "deleted", "changed": changed})
    settings.output.say(
        f"{sync} is deleted; nothing was changed in the accounts. Take it out of the file, too:"
        " `tandem apply` would add it again."
        if changed
        else f"{sync} was deleted already."
    )
