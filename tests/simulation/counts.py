"""How often what can happen has happened: each kind of event, each rule of the semantics, each point at which something may crash."""

from __future__ import annotations

from collections import Counter


class Counts:
    """A count of names. Those that must be met are in `tests.simulation.coverage`."""

    def __init__(self) -> None:
        self.met: Counter[str] = Counter()

    def meet(self, name: str, times: int = 1) -> None:
        """It has happened."""
        self.met[name] += times

    def add(self, other: Counts) -> None:
        """Those of another history."""
        self.met.update(other.met)
