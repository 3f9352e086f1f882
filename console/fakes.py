"""The stand-ins for services that come with Tandem, to try things out against.

Responsible for finding their modules. A fake knows nothing of Tandem, and Tandem nothing of it: it is imported by name when it is asked for.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from console.errors import FailedError

HUBSPOT = "tests.connectors.hubspot.fake"


def hubspot_part(name: str) -> ModuleType:
    """A module of the fake of HubSpot."""
    try:
        return importlib.import_module(f"{HUBSPOT}.{name}")
    except ModuleNotFoundError as error:
        raise FailedError(
            f"The fake of HubSpot is not installed: there is no module {error.name}.",
            "It comes with Tandem's own package and with a checkout; install Tandem anew, or run this from a checkout.",
        ) from error
