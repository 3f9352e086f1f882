"""How many calls an account takes, and when the next one may go: arithmetic over times that are handed in.

Responsible for HubSpot's limits: searches per second and calls per ten seconds (sliding windows), calls per day (as its answers
tell), and the pauses that a refusal asks for. Must not know HTTP or clocks.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping
from enum import Enum

# HubSpot's windows, and a little more, since calls do not arrive as evenly as they leave.
SEARCHES, SECOND = 5, 1.06
BURST, TEN_SECONDS = 100, 10.4
ANSWER = 0.05  # seconds after which it is looked again whether a call was answered
# HubSpot's own client waits so long times the number of the attempt.
PAUSES = {"TEN_SECONDLY_ROLLING": 10.0, "SECONDLY": 1.0}


class Use(Enum):
    """What a call is for: the part of a window up to which it may go, so that reading in full never holds up live changes,
    and capture never holds up writes."""

    WRITE = 1.0
    LIVE = 0.9
    BULK = 0.7


class Window:
    """At most `limit` calls within any `seconds`, as the account counts them: a call comes in at some time between when it goes and when
    it is answered, so it is in the window from the one until `seconds` after the other."""

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit, self.seconds = limit, seconds
        self._going = 0  # not answered yet
        self._answered: list[float] = []

    def used(self, now: float) -> int:
        """How many calls lie within the window now."""
        del self._answered[: bisect_right(self._answered, now - self.seconds)]
        return self._going + len(self._answered)

    def delay(self, now: float, part: float = 1.0) -> float:
        """Seconds until a call may go that leaves the rest beyond `part` of the window to others."""
        surplus = self.used(now) - max(1, int(self.limit * part))
        if surplus < 0:
            return 0.0
        if surplus < len(self._answered):
            return self._answered[surplus] + self.seconds - now
        return ANSWER  # only an answer makes room

    def take(self) -> None:
        """A call goes."""
        self._going += 1

    def arrived(self, now: float) -> None:
        """A call has been answered, or given up."""
        self._going -= 1
        insort(self._answered, now)

    def told(self, now: float, used: int) -> None:
        """So many calls lie within the window by the account's own count. What we do not know of is others'; when they called is not told, so
        they are taken to have called just now."""
        strangers = used - self.used(now)
        if strangers > 0:
            self._answered[:] = sorted([*self._answered, *[now] * strangers])


class Limiter:
    """All limits of one account. `share`: the part of them that is ours."""

    def __init__(self, share: float = 1.0, daily: int = 250_000, searches: int = SEARCHES) -> None:
        self._share = share
        self.search = Window(max(1, int(searches * share)), SECOND)
        self.burst = Window(max(1, int(BURST * share)), TEN_SECONDS)
        self.associations = Window(max(1, int(BURST * share)), TEN_SECONDS)  # besides `burst`
        self.daily, self.remaining = daily, float(daily)
        self._closed_until = 0.0
        self._refused = 0

    def delay(self, now: float, *, search: bool = False, association: bool = False, use: Use = Use.LIVE) -> float:
        """Seconds until a call may go."""
        waits = [self._closed_until - now, self.burst.delay(now, use.value)]
        if association:
            waits.append(self.associations.delay(now, use.value))
        if search:
            waits.append(self.search.delay(now))
        return max(0.0, *waits)

    def take(self, *, search: bool = False, association: bool = False) -> None:
        """A call goes."""
        if association:
            self.associations.take()
        self.remaining = max(0.0, self.remaining - 1)
        self.burst.take()
        if search:
            self.search.take()

    def arrived(self, now: float, *, search: bool = False, association: bool = False) -> None:
        """A call has been answered, or given up."""
        windows = [self.burst, *([self.search] if search else []), *([self.associations] if association else [])]
        for window in windows:
            window.arrived(now)

    def answered(self, headers: Mapping[str, str], now: float) -> None:
        """Takes over what an answer says of the limits. One to a search says nothing."""
        self._refused = 0
        if (most := _number(headers, "x-hubspot-ratelimit-max")) is not None:
            millis = _number(headers, "x-hubspot-ratelimit-interval-milliseconds") or 10_000
            if millis == 10_000 and most > 0:
                self.burst.limit = self.associations.limit = max(1, int(most * self._share))
                spare = _number(headers, "x-hubspot-ratelimit-remaining")
                if spare is not None and self._share == 1.0:
                    self.burst.told(now, most - spare)  # `check`, say, or another worker
        daily, left = (
            _number(headers, "x-hubspot-ratelimit-daily"),
            _number(headers, "x-hubspot-ratelimit-daily-remaining"),
        )
        if daily is not None and left is not None:
            self.daily, self.remaining = daily, left

    def refused(self, now: float, policy: str, asked: float | None, until_midnight: float) -> float:
        """An answer said 429: closes until that policy allows again; the seconds until then. Never at once."""
        self._refused += 1
        pause = until_midnight if policy == "DAILY" else PAUSES.get(policy, 10.0) * self._refused
        pause = max(1.0, pause, asked or 0.0)
        if policy == "DAILY":
            self.remaining = 0.0
        self._closed_until = max(self._closed_until, now + pause)
        return pause

    def close(self, now: float, seconds: float) -> None:
        """Nothing goes for so long."""
        self._closed_until = max(self._closed_until, now + seconds)


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "")
    return int(text) if text.isdigit() else None


# ---------------------------------------------------------------- what rounds may take

SHORTEST = 5.0  # seconds between two polls
DAY = 86_400.0
