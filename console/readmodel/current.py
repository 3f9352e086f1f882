"""The read model as current as it can be had by a command that only looks.

Responsible for who keeps it current: a running `tandem up` (or console) on this home, else, where a cluster is named,
the command itself, for as long as it takes. Must not know what is asked.
"""

from __future__ import annotations

from console.context import Settings
from console.service import Service


def open_service(settings: Settings) -> Service:
    """The service over the home's read model; brought up to date first where nobody else does."""
    return Service.open(settings.home)
