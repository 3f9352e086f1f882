"""Rate limits and the daily budget.

Responsible for counting and refusing, and for the headers. The windows are in memory, the day's count in the store. Must not know HTTP.
"""

from __future__ import annotations

from collections import defaultdict, deque

from .errors import RefusedError
from .portal import Actor, Portal
from .times import day_in


class Window:
    """Calls within the last `seconds`, a window that rolls."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._times = seconds, deque[float]()

    def free(self, now: float, most: int) -> int:
        """How many more calls there is room for."""
        while self._times and self._times[0] <= now - self._seconds:
            self._times.popleft()
        return most - len(self._times)

    def add(self, now: float) -> None:
        """Counts one."""
        self._times.append(now)


class Limits:
    """All windows of the account."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self.reset()

    def reset(self) -> None:
        """As if nobody had called for a while; the day's count stays."""
        self._bursts: dict[str, Window] = defaultdict(lambda: Window(10.0))
        self._associations: dict[str, Window] = defaultdict(lambda: Window(10.0))
        self._search = Window(1.0)

    def take(self, actor: Actor, now: float, *, search: bool, association: bool) -> dict[str, str]:
        """Counts a call, or refuses it (which is not counted). The headers of the answer: none for a search."""
        knobs, burst = self._portal.knobs, self._bursts[actor.app]
        self._daily("calls", knobs.daily)
        if association:
            self._daily("associations", knobs.association_daily)
            if self._associations[actor.app].free(now, knobs.association_burst) <= 0:
                raise self._refusal(
                    "TEN_SECONDLY_ROLLING", "You have reached your ten_secondly_rolling limit for associations."
                )
        if search and self._search.free(now, knobs.search_rate) <= 0:
            raise self._refusal("SECONDLY", "You have reached your secondly limit.")
        if burst.free(now, knobs.burst) <= 0:
            refusal = self._refusal("TEN_SECONDLY_ROLLING", "You have reached your ten_secondly_rolling limit.")
            raise refusal if search else _headed(refusal, self.headers(actor, now))
        burst.add(now)
        self._count("calls")
        if association:
            self._associations[actor.app].add(now)
            self._count("associations")
        if search:
            self._search.add(now)
            return {}
        return self.headers(actor, now)

    def headers(self, actor: Actor, now: float) -> dict[str, str]:
        """What is left; the day's numbers not for OAuth."""
        knobs = self._portal.knobs
        found = {
            "X-HubSpot-RateLimit-Max": str(knobs.burst),
            "X-HubSpot-RateLimit-Remaining": str(max(0, self._bursts[actor.app].free(now, knobs.burst))),
            "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
        }
        if actor.kind != "oauth":
            found["X-HubSpot-RateLimit-Daily"] = str(knobs.daily)
            found["X-HubSpot-RateLimit-Daily-Remaining"] = str(max(0, knobs.daily - self.used("calls")))
        return found

    def used(self, what: str) -> int:
        """Calls of today, on the account's calendar."""
        found = self._portal.store.value("SELECT used FROM budget WHERE day = ? AND what = ?", self._today(), what)
        return int(found or 0)

    def _today(self) -> str:
        return day_in(self._portal.now(), self._portal.knobs.time_zone)

    def _daily(self, what: str, most: int) -> None:
        if self.used(what) >= most:
            raise self._refusal("DAILY", "You have reached your daily limit.")

    def _count(self, what: str) -> None:
        self._portal.store.run(
            "INSERT INTO budget VALUES (?, ?, 1) ON CONFLICT(day, what) DO UPDATE SET used = used + 1",
            self._today(),
            what,
        )

    def _refusal(self, policy: str, message: str) -> RefusedError:
        seconds = self._portal.knobs.retry_after_429
        headers = {"Retry-After": f"{seconds:g}"} if seconds else {}
        return RefusedError(429, "RATE_LIMITS", message, headers=headers, extra={"policyName": policy})


def _headed(error: RefusedError, headers: dict[str, str]) -> RefusedError:
    error.headers |= headers
    return error
