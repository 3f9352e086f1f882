"""Where whoever works may end: between any two effects. Each point has a name; the counts tell how often it was met.

The names are `STAGE, what was done last`. They are declared here, so that one that is never met shows.
"""

from __future__ import annotations

from tests.simulation.chooser import Chooser
from tests.simulation.counts import Counts

POINTS = (
    "capture, read, not stored in changes",
    "capture, stored in changes, not confirmed",
    "capture, scanned, the scan not kept",
    "read, page stored in changes, and no more",
    "route, before the inboxes",
    "route, in some inboxes",
    "route, in all inboxes, position not kept",
    "reconcile, decided, nothing sent",
    "reconcile, commands sent",
    "reconcile, ticks sent",
    "reconcile, statuses sent",
    "reconcile, history sent",
    "reconcile, dead letters sent",
    "reconcile, changelog written, disk not",
    "reconcile, disk written, not acknowledged",
    "deliver, taken, nothing written",
    "deliver, written, no results",
    "deliver, results in the inbox, position not kept",
    "deliver, position kept, not acknowledged",
)
LIKELIHOOD = 0.015
SELDOM = {  # points that few units come by
    "capture, scanned, the scan not kept": 0.05,
    "reconcile, dead letters sent": 0.15,
    "read, page stored in changes, and no more": 0.03,
}


class Crashes:
    """Asked at each point."""

    def __init__(self, chooser: Chooser, counts: Counts) -> None:
        self.chooser, self.counts = chooser, counts
        self.on = True

    def now(self, point: str) -> bool:
        """Whether it ends here."""
        if not (self.on and self.chooser.chance(SELDOM.get(point, LIKELIHOOD))):
            return False
        self.counts.meet(f"crash: {point}")
        return True
