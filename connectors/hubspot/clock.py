"""HubSpot's time, as far as its answers tell: never later than it is there.

Versions and windows are in the account's time. An answer that came in at `received` says at most that HubSpot's clock stood at `told` or
later; the largest difference seen is the best bound. Pure: times are handed in. Must not know HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime


class AccountClock:
    """A lower bound of the account's clock, in milliseconds, that never goes back."""

    def __init__(self) -> None:
        self._offset: float | None = None
        self._last = 0

    def told(self, millis: float, received: float) -> None:
        """The account's clock stood at `millis` or later at our (monotonic) second `received`."""
        offset = millis - received * 1000
        if self._offset is None or offset > self._offset:
            self._offset = offset

    def answered(self, headers: Mapping[str, str], received: float) -> None:
        """Takes over the date of an answer."""
        try:
            stamp = parsedate_to_datetime(headers.get("date", "")).timestamp()
        except (TypeError, ValueError):
            return
        self.told(stamp * 1000, received)

    def now(self, monotonic: float, wall: float) -> int:
        """The account's time in milliseconds. Before any answer: our own clock's, which may be ahead, and is forgotten then."""
        if self._offset is None:
            return int(wall * 1000)
        self._last = max(self._last, int(monotonic * 1000 + self._offset))
        return self._last
