"""The command `tandem`.

Responsible for the program as a whole: its commands by name, global options before and after them, exit statuses, and
that no traceback ever reaches a user. Must not know what a command does.

A command lives in a module of `console/commands/`, which is imported when it is called: `tandem status` does not pay
for Kafka's client.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from console.context import Settings, TandemCommand, global_options
from console.errors import ConsoleError, did_you_mean

# name: (module, what it does), in the order of the help: from trying it out to looking after it.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "Two databases in live two-way sync, with nothing to set up."),
    "up": ("engine", "Runs everything that sync.yaml names, until Ctrl-C."),
    "check": ("accounts", "Reads the file and verifies every account; changes nothing."),
    "discover": ("accounts", "Shows the objects and fields of an account."),
    "suggest": ("accounts", "Prints a sync block for the file, guessed from two objects."),
    "preview": ("preview", "What the file would do, record by record; writes to no app."),
    "apply": ("configure", "Shows the difference to what runs, and makes it so."),
    "status": ("look", "A row per sync: its state and how many records are how."),
    "records": ("look", "The records of a sync, one by one."),
    "explain": ("explain", "Where a record's values came from, and what lost."),
    "history": ("explain", "The decisions about a record, a sync, or all."),
    "failures": ("look", "Failing records by category, with their remedy."),
    "retry": ("repair", "Tries failing records again."),
    "dead-letters": ("letters", "Commands refused for good, and messages that cannot be read."),
    "wait": ("waiting", "Returns when everything done so far has been carried through."),
    "restore": ("orders", "Re-creates deleted records in an account."),
    "off": ("configure", "Switches a sync off; its state is kept."),
    "on": ("configure", "Switches a sync on again."),
    "resync": ("repair", "Reads both sides of a sync in full again."),
    "delete": ("repair", "Deletes a sync; its links are forgotten, no app is touched."),
    "confirm": ("orders", "Lets a stopped sync go on, deletions included."),
    "tap": ("tapping", "Prints events as JSON lines, decoded."),
    "schema": ("configure", "Prints the JSON Schema of sync.yaml, for editors."),
    "fake": ("fake", "A fake of HubSpot on this machine, to try things out against."),
    "broker": ("engine", "The embedded broker alone."),
    "worker": ("engine", "Workers alone, for a cluster."),
}


class _ReaderGoneError(Exception):
    """Nobody reads what we write any more."""


class TandemGroup(click.Group):
    """The program: knows its commands by name and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"console.commands.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_") + "_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Says what was probably meant."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = did_you_mean(args[0], COMMANDS)
            hint = near if near.startswith("Did") else "`tandem --help` lists the commands."
            raise click.UsageError(f"There is no command {args[0]}. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Keeps click from calling it a failure when whoever reads our output has had enough."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGoneError from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Names and one line each, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tandem-sync")
    except PackageNotFoundError:
        return "of an uninstalled checkout"


@click.pass_context
def _no_command(context: click.Context) -> None:
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"tandem {_version()}")
        context.exit(0)


tandem = TandemGroup(
    name="tandem",
    help="Keeps records in two or more systems the same, in both directions, over Apache Kafka.",
    callback=_no_command,
    invoke_without_command=True,
    params=[
        *global_options(),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Shows the version.",
        ),
    ],
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 110},
)
tandem.command_class = TandemCommand


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line; the exit status. Every error becomes one message."""
    settings = Settings()
    try:
        result = tandem.main(
            args=None if arguments is None else list(arguments), prog_name="tandem", standalone_mode=False, obj=settings
        )
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        where = f"tandem {error.ctx.info_name} --help" if error.ctx and error.ctx.parent else "tandem --help"
        settings.output.problem(
            error.format_message(), "" if "--help" in error.format_message() else f"`{where}` shows how it is used."
        )
        return 2
    except click.ClickException as error:
        settings.output.problem(error.format_message())
        return 2
    except ConsoleError as error:
        settings.output.problem(error.message, error.remedy)
        return error.status
    except (click.Abort, KeyboardInterrupt):
        settings.output.problem("Interrupted; nothing more was done.")
        return 1
    except (_ReaderGoneError, BrokenPipeError):
        # Whoever reads has had enough (`tandem tap | head`). Python would complain again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the outermost guard: written down in full, told in one line
        return _unexpected(settings, error)
    return result if isinstance(result, int) else 0


def _unexpected(settings: Settings, error: Exception) -> int:
    path = _write_report(settings.home.logs, error)
    settings.output.problem(
        f"Something went wrong that should not have: {type(error).__name__}: {error}".splitlines()[0],
        f"This is a fault of Tandem, not of yours. {path} holds the details: please report it.",
    )
    return 1


def _write_report(folder: Path, error: Exception) -> Path:
    """The traceback in a file: below the home, or where that cannot be written, in the temporary folder."""
    text = f"tandem {_version()}, Python {sys.version}\n" + "".join(traceback.format_exception(error))
    name = time.strftime("error-%Y%m%d-%H%M%S.log")
    for place in (folder, Path(tempfile.gettempdir())):
        try:
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text)
        except OSError:
            continue
        return place / name
    return Path(os.devnull)


def main() -> None:
    """The entry point `tandem`."""
    sys.exit(run())


if __name__ == "__main__":
    main()
