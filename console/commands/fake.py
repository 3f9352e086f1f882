"""`fake`: a stand-in for a service, to try things out against."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click

from console.context import Settings, TandemCommand, pass_settings
from console.errors import FailedError, WrongUseError
from console.fakes import hubspot_part


@click.command(
    "fake",
    cls=TandemCommand,
    help="A fake of HubSpot's CRM API on this machine, to try things out against; until Ctrl-C. "
    "KNOB=VALUE sets what it does: index_delay=5, burst=20, fault=500,times=3 (docs/reference/fake-hubspot.md).",
)
@click.argument("service", type=click.Choice(["hubspot"]))
@click.argument("knobs", nargs=-1, metavar="[KNOB=VALUE]...")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8480, show_default=True, metavar="N", help="0: a free one."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keeps its state there; without, it forgets everything at its end.",
)
@pass_settings
def fake_command(settings: Settings, service: str, knobs: tuple[str, ...], port: int, data: Path | None) -> None:  # noqa: ARG001
    """Serves it."""
    wording, ordering, server = hubspot_part("knobs"), hubspot_part("faults"), hubspot_part("server")
    try:
        turned, faults = wording.from_words(knobs)
        for text in faults:
            ordering.parse(text)
    except wording.WrongKnobError as error:
        raise WrongUseError(str(error), "docs/reference/fake-hubspot.md lists all knobs.") from error
    key = hubspot_part("tokens").SERVICE_KEY

    def ready(found: int) -> None:
        url = f"http://127.0.0.1:{found}"
        if settings.json:
            settings.output.line({"url": url, "token": key})
        else:
            settings.output.say(f"HubSpot's fake is at {url}, with the service key {key}. Ctrl-C ends it.")

    with TemporaryDirectory(prefix="tandem-fake-") as temporary:
        try:
            server.serve(data or Path(temporary), port, turned, faults, ready)
        except OSError as error:
            raise FailedError(
                f"The fake cannot be served: {error.strerror}.", f"Is port {port} taken? --port takes another."
            ) from error
