"""What every command is given: the global options, and what they lead to, opened when it is first asked for.

Responsible for the options that are accepted before and after a command's name. Must not know any command.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from console.home import Home
from console.output import Output

DEFAULT_FILE = "sync.yaml"
DEFAULT_HOME = ".tandem"
LEVELS = ("debug", "info", "warning", "error")


@dataclass(slots=True)
class Settings:
    """The global options, as given last on the command line."""

    file: Path = Path(DEFAULT_FILE)
    home_path: Path = Path(DEFAULT_HOME)
    broker: str | None = None
    log_level: str = "info"
    json: bool = False

    @property
    def home(self) -> Home:
        """The home folder."""
        return Home(self.home_path)

    @property
    def output(self) -> Output:
        """Where this command writes."""
        return Output(json=self.json)


class GlobalOption(click.Option):
    """An option of the whole program: listed below a command's own in its help."""


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, _: click.Parameter, value: Any) -> None:
        settings = context.ensure_object(Settings)
        if value is not None:
            setattr(settings, name, value)

    return callback


def global_options() -> list[click.Option]:
    """New instances, for the program and for each command."""

    def option(*declarations: str, remember: str, **rest: Any) -> click.Option:
        return GlobalOption(list(declarations), expose_value=False, callback=_remember(remember), default=None, **rest)

    return [
        option(
            "--file",
            "-f",
            remember="file",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help=f"The configuration (default: {DEFAULT_FILE}).",
        ),
        option(
            "--home",
            remember="home_path",
            type=click.Path(path_type=Path, file_okay=False),
            metavar="DIR",
            help=f"Embedded broker, state and read model (default: {DEFAULT_HOME}).",
        ),
        option(
            "--broker",
            remember="broker",
            metavar="URL",
            help="A Kafka cluster, such as kafka://host:9092, instead of the file's.",
        ),
        option(
            "--log-level",
            remember="log_level",
            type=click.Choice(LEVELS, case_sensitive=False),
            help="What the workers log (default: info).",
        ),
        option(
            "--json",
            remember="json",
            is_flag=True,
            help="One JSON document on standard output, messages on standard error.",
        ),
    ]


class TandemCommand(click.Command):
    """A command with the global options."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        own = {declaration for parameter in self.params for declaration in parameter.opts}
        self.params += [option for option in global_options() if not own & set(option.opts)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Own options first, those of the whole program below."""
        for title, is_global in (("Options", False), ("Everywhere", True)):
            records = [
                record
                for parameter in self.get_params(ctx)
                if isinstance(parameter, GlobalOption) is is_global
                for record in (parameter.get_help_record(ctx),)
                if record is not None
            ]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def pass_settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the settings as its first argument."""
    return click.make_pass_decorator(Settings, ensure=True)(function)
