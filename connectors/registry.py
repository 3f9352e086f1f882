"""Finding connectors by name: the entry points of the group `tandem.connectors`, so that a third party adds its own.

Must not know what a connector does, nor import one that nobody asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points

from connectors.base import Connector, FatalError

GROUP = "tandem.connectors"

# Ours, also where the metadata of the installation is missing (a checkout on the path) or older than the code.
OWN = {
    "postgres": "connectors.postgres:PostgresConnector",
    "hubspot": "connectors.hubspot:HubSpotConnector",
}


def known() -> tuple[str, ...]:
    """The names of all connectors that can be found."""
    return tuple(sorted({*OWN, *entry_points(group=GROUP).names}))


def find(name: str, installed: Iterable[EntryPoint] | None = None) -> type[Connector]:
    """The class of a connector. An installed one goes before one of ours of the same name."""
    entries = entry_points(group=GROUP) if installed is None else installed
    entry = next((entry for entry in entries if entry.name == name), None)
    if entry is None and name in OWN:
        entry = EntryPoint(name, OWN[name], GROUP)
    if entry is None:
        names = known()
        close = get_close_matches(name, names, 1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise FatalError(f"there is no connector {name!r}", f"{hint}installed are: {', '.join(names)}")
    try:
        loaded = entry.load()
    except (ImportError, AttributeError) as error:
        raise FatalError(
            f"the connector {name!r} ({entry.value}) cannot be loaded: {error}",
            "install the package that it comes with anew",
        ) from error
    missing = [part for part in ("Settings", "ObjectSettings", "changes", "apply") if not hasattr(loaded, part)]
    if missing:
        raise FatalError(f"{entry.value} is no connector: it has no {', '.join(missing)}", "ask its author")
    connector: type[Connector] = loaded
    return connector
