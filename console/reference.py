"""The reference of all commands, as Markdown, made from the commands themselves.

Responsible for the page's form. Must not hold a word about any command: what is missing on the page is missing in its help.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from console.cli import COMMANDS, tandem
from console.context import GlobalOption

INTRODUCTION = """\
# Commands

<!-- Made by `python -m docs.generate` from the commands themselves; not to be edited. -->

`tandem COMMAND --help` shows the same. RECORD is `ACCOUNT:ID`, or the id alone where no other record of the sync has it; the values of a
composite key are joined by `,` (a `,` or `%` inside them as `%2C`, `%25`). Times are written as `2026-01-31`, `2026-01-31T18:00`, `18:00` or
`today`, or as how long ago: `90s`, `10m`, `2h`, `3d`.

A command ends with status 0 when it is done, 1 when the work failed, and 2 when the command line or the configuration is wrong.
With `--json` it prints one JSON document on standard output; messages go to standard error.
"""


def commands_markdown() -> str:
    """The page."""
    root = click.Context(tandem, info_name="tandem")
    pages = [INTRODUCTION, _global_options(root)]
    for name, (_, summary) in COMMANDS.items():
        command = tandem.get_command(root, name)
        assert command is not None
        pages.append("\n".join(_section(command, root, name, summary, "##")))
    return "\n".join(page.rstrip() + "\n" for page in pages)


def _global_options(root: click.Context) -> str:
    own = [parameter for parameter in tandem.params if isinstance(parameter, GlobalOption)]
    rows = "\n".join(_option(option, root) for option in own)
    return f"## Everywhere\n\nBefore or after the command's name:\n\n| option | means |\n|---|---|\n{rows}\n"


def _section(command: click.Command, parent: click.Context, name: str, summary: str, level: str) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join([context.command_path, *(piece for piece in command.collect_usage_pieces(context) if piece)])
    yield f"{level} {context.command_path.removeprefix('tandem ')}"
    yield ""
    yield f"    {usage.replace(' [OPTIONS]', '')}"
    yield ""
    yield (command.help or summary).strip()
    options = [one for one in command.params if isinstance(one, click.Option) and not isinstance(one, GlobalOption)]
    if options:
        yield from ("", "| option | means |", "|---|---|", *(_option(option, context) for option in options))
    if isinstance(command, click.Group):
        for part in command.list_commands(context):
            found = command.get_command(context, part)
            assert found is not None
            yield ""
            yield from _section(found, context, part, found.help or "", f"{level}#")


def _option(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    names, text = record if record is not None else (", ".join(option.opts), option.help or "")
    cells = (f"`{names}`", " ".join(text.split()))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
