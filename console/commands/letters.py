"""`dead-letters`: commands that were refused for good, and messages that cannot be read; what they were, and what becomes of them."""

from __future__ import annotations

import time
from typing import Any

import click
from rich.text import Text

from console.commands.look import TimeType, say_how_current
from console.commands.repair import CategoryType, must_run, send_retry
from console.context import Settings, TandemCommand, global_options, pass_settings
from console.errors import FailedError, WrongUseError, did_you_mean
from console.letters import LetterFilter, discard, letter_in_full, who
from console.output import number, plain, styled
from console.readmodel.current import open_service
from console.service import Json, Service
from console.target import Target
from console.times import local, parse_time

SHOWN = 50
UNREADABLE = "undecodable"


class Letters(click.Group):
    """`dead-letters`, which lists where it is not told what to do."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Says what was probably meant."""
        if args and args[0] not in self.commands:
            raise click.UsageError(
                f"dead-letters does not {args[0]}. {did_you_mean(args[0], self.commands)}".strip(), ctx
            )
        return super().resolve_command(ctx, args)


@click.pass_context
def _list_unless_told(context: click.Context) -> None:
    if context.invoked_subcommand is None:
        context.invoke(list_command)


dead_letters_command = Letters(
    name="dead-letters",
    help="Commands that were refused for good, and messages that cannot be read.",
    callback=_list_unless_told,
    invoke_without_command=True,
    params=global_options(),
)
dead_letters_command.command_class = TandemCommand


@dead_letters_command.command("list", help="Lists them, the latest first; without those that were discarded.")
@click.argument("sync", required=False)
@click.option("--category", metavar="C", help="Only those of this category.")
@click.option("--since", type=TimeType(), metavar="T", help="Since then.")
@click.option("--until", type=TimeType(), metavar="T", help="Until then.")
@click.option("--all", "discarded", is_flag=True, help="Also those that were discarded.")
@pass_settings
def list_command(settings: Settings, category: str | None = None, **wanted: Any) -> None:
    """Lists."""
    service = open_service(settings)
    if category is not None and category != UNREADABLE:
        category = CategoryType().convert(category, None, click.get_current_context())
    asked = LetterFilter(category=category, **wanted)
    if settings.json:
        settings.output.documents('{"dead_letters":[', service.letters(asked), "]}")
        return
    rows = list(service.letters(asked))
    most = SHOWN if settings.output.out.is_terminal else None
    if rows:
        settings.output.table(["id", "since", "record", "", "now"], map(_cells, rows[:most]))
    else:
        settings.output.say("There is no dead letter.", style="green")
    if most is not None and len(rows) > most:
        settings.output.note(f"{number(most)} of {number(len(rows))}; --json names them all.")
    say_how_current(settings.output, service)


def _cells(row: Json) -> list[object]:
    matter = Text(row["category"], style="red").append(f"  {plain(row['message'])}", style="default")
    if row["discarded"]:
        matter.append(f"  discarded by {row['discarded']['by']}", style="bright_black")
    record = f"{row['sync']} {row['record']}" if row["sync"] else row["account"]
    at = Text(local(parse_time(row["at"], 0.0)), style="bright_black")
    return [row["id"], at, record, matter, styled(row["status"]) if row["status"] else None]


@dead_letters_command.command("show", help="Shows one: the command, the error, where it comes from.")
@click.argument("letter", metavar="ID")
@pass_settings
def show_command(settings: Settings, letter: str) -> None:
    """Shows."""
    service = open_service(settings)
    found = letter_in_full(service.letter(letter))
    if settings.json:
        settings.output.document(found)
        return
    output = settings.output
    output.say(Text(plain(found["id"]), style="bold"))
    for name in ("category", "message", "at", "account", "object", "sync", "record", "status"):
        if found[name] is not None:
            output.say(Text(f"  {name:<10}", style="bright_black").append(plain(found[name]), style="default"))
    if found["discarded"]:
        output.say(f"  discarded by {found['discarded']['by']}, {found['discarded']['at']}", style="bright_black")
    if found["from"]:
        place = found["from"]
        output.say(f"  from {place['topic']}, partition {place['partition']}, offset {place['offset']}")
    if found["raw"]:
        output.say(f"  {found['raw']}")
    if found["command"]:
        _show_command(settings, found["command"])
    say_how_current(output, service)


def _show_command(settings: Settings, command: list[Any]) -> None:
    """The command that was refused. Its parts, in the order in which it travels: see `rules.events.Command`."""
    _, _, _, token, op, record_id, values, expect, *_ = command
    settings.output.say(f"  {op}{f' of {plain(record_id)}' if record_id else ''}")
    for field, value in values.items():
        before = f" (was {plain(expect[field])})" if field in expect else ""
        settings.output.say(f"    {field} = {plain(value)}{before}")
    settings.output.say(f"  command {plain(token)}", style="bright_black")


@dead_letters_command.command("retry", help="Tries the records of these again, as `tandem retry` does.")
@click.argument("letters", metavar="ID...", nargs=-1, required=True)
@pass_settings
def retry_letters_command(settings: Settings, letters: tuple[str, ...]) -> None:
    """Retries."""
    service = open_service(settings)
    found = [service.letter(letter).letter for letter in letters]
    keys: dict[str, dict[str, None]] = {}
    for letter in found:
        if letter.sync is None or letter.key is None:
            raise WrongUseError(
                f"{letter.id} is no command about a record of a sync, but a message that cannot be read or held:"
                " there is nothing to try again.",
                "What it may have told has been read again from the account. `tandem dead-letters discard` hides it.",
            )
        must_run(service, letter.sync)
        keys.setdefault(letter.sync, {})[letter.key] = None
    for sync, names in keys.items():
        rows = [row for name in names for row in (service.reader.record(sync, name),) if row is not None]
        if len(rows) < len(names):
            raise FailedError(f"A record of these is no longer in {sync}, so there is nothing to try again.")
        send_retry(settings, service, sync, rows)
    _say(settings, service, letters, "tried again")


@dead_letters_command.command("discard", help="Marks these as dealt with: they are no longer listed.")
@click.argument("letters", metavar="ID...", nargs=-1, required=True)
@pass_settings
def discard_command(settings: Settings, letters: tuple[str, ...]) -> None:
    """Discards."""
    service = open_service(settings)
    found = [service.letter(letter).letter for letter in letters]
    discard(Target(settings), [letter for letter in found if not letter.discarded_at], who(), time.time())
    _say(settings, service, letters, "discarded")


def _say(settings: Settings, service: Service, letters: tuple[str, ...], done: str) -> None:
    ids = [service.letter(letter).letter.id for letter in letters]
    if settings.json:
        settings.output.document({"dead_letters": ids, "done": done})
    settings.output.say(f"{number(len(ids))} dead letter{'' if len(ids) == 1 else 's'} {done}.")
