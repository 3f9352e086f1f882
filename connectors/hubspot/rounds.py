"""Which kind of look at an account is due when.

Responsible for the times of rounds, by what they cost and what the account allows. Must not know what a round finds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from connectors.hubspot.client import Client
from connectors.hubspot.finding import Finder
from connectors.hubspot.settings import HubSpotSettings
from connectors.hubspot.windows import intervals, sweep_pays

LONG_AGO = 1e9
DEFINED_EVERY = 60.0  # seconds between two looks at the definitions
JOURNAL_EVERY = 1.0  # its calls cost nothing
KINDS: Final = ("search", "associations", "archived", "scan")
# Where the journal tells of changes, the other rounds are the net below it.
BESIDE_JOURNAL = {"search": 30.0, "associations": 300.0, "archived": 300.0}


class Rounds:
    """Which round is due when."""

    def __init__(self, finders: Sequence[Finder], settings: HubSpotSettings, client: Client, age: float) -> None:
        """`age`: seconds since all ids were scanned last."""
        self._finders, self._settings, self._client = finders, settings, client
        now = time.monotonic()
        self._done = {"search": -LONG_AGO, "associations": -LONG_AGO, "archived": -LONG_AGO, "scan": now - age}
        self._done["journal"] = -LONG_AGO
        self.journal = False  # whether the Webhooks Journal is read
        self.began = dict.fromkeys(
            (*KINDS, "journal"), 0
        )  # of the last round of each kind, in the account's milliseconds
        self._defined: dict[str, float] = {finder.known.object: now for finder in finders}

    def costs(self) -> dict[str, float]:
        """Calls of a round of each kind."""
        return {
            "search": float(len(self._finders)),
            "associations": float(sum(finder.reads for finder in self._finders)),
            "archived": float(sum(finder.archive_pages for finder in self._finders)),
            "scan": float(sum(finder.lists for finder in self._finders)),
        }

    def intervals(self) -> dict[str, float]:
        """Seconds between rounds."""
        settings, limiter = self._settings, self._client.shared.limiter
        least = {"archived": settings.archived_every, "scan": settings.scan_every}
        if self.journal:
            least |= {kind: max(seconds, least.get(kind, 0.0)) for kind, seconds in BESIDE_JOURNAL.items()}
        found = intervals(self.costs(), limiter.daily * settings.share, least)
        for kind, asked in (("search", settings.poll), ("associations", settings.associations_every or settings.poll)):
            if asked is not None and kind in found:
                found[kind] = asked
        return found

    def due(self, *, marked: bool) -> str | None:
        """The kind of round that is due now."""
        if marked and self.sweep_pays():
            return "marks"
        now, every = time.monotonic(), self.intervals()
        if self.journal and now >= self._done["journal"] + JOURNAL_EVERY:
            return "journal"
        return next((kind for kind in KINDS if kind in every and now >= self._done[kind] + every[kind]), None)

    def wait(self) -> float:
        """Seconds until a round is due."""
        every = self.intervals() | ({"journal": JOURNAL_EVERY} if self.journal else {})
        return max(0.0, min((self._done[kind] + every[kind] for kind in every), default=LONG_AGO) - time.monotonic())

    def done(self, kind: str, began: int) -> None:
        """A round has been made, and began at that time of the account."""
        self._done[kind] = time.monotonic()
        self.began[kind] = began

    def all_due(self) -> None:
        """Everything is to be looked at as soon as may be: what told of changes has gaps."""
        self._done |= dict.fromkeys(KINDS, -LONG_AGO)

    def sweep_pays(self) -> bool:
        """Whether looking at everything is the faster way to reach a mark."""
        costs = self.costs()
        return sweep_pays(int(costs["associations"] + costs["archived"] + costs["scan"]), self._settings.index_lag)

    def definitions_due(self, object: str) -> bool:
        """Whether the object's definition is to be looked at again."""
        if time.monotonic() - self._defined[object] < DEFINED_EVERY:
            return False
        self._defined[object] = time.monotonic()
        return True
