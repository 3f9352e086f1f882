"""When capture looks where, and how far back: search windows, and the times of its rounds.

Responsible for this arithmetic. Pure: times are handed in. Must not know the wire.

Search is asked for all that was modified since a moment. A record may show in the index only `lag` after its modified date, so a **deep** window begins `lag`
before the last deep one began: whatever that could not see yet, this one does. As long as that is cheap, every window is deep. When so much has changed that it
takes more than a page, windows in between begin only `SHORT` before the last one, and a deep one follows every half of the lag.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from connectors.hubspot.limits import DAY, SHORTEST

SHORT = 15_000  # milliseconds by which windows overlap in between
CHEAP = 1  # pages of a deep window up to which every one is deep
# What each kind of round may use of the calls that capture has.
PARTS = {"search": 0.50, "associations": 0.25, "archived": 0.15, "scan": 0.10}


class Place(msgspec.Struct, frozen=True):
    """Where the search of one object stands, in the account's milliseconds. `pages`: of the last deep window."""

    last: int
    deep: int
    pages: int = 0


class Window(msgspec.Struct, frozen=True):
    """What is searched next: all that was modified at `since` or later. `began`: when."""

    since: int
    began: int
    deep: bool


def next_window(place: Place, now: int, lag: int) -> Window:
    """The window that follows."""
    deep = place.pages <= CHEAP or now - place.deep >= lag / 2
    since = place.deep - lag if deep else place.last - min(SHORT, lag)
    return Window(max(0, since), now, deep)


def after(place: Place, window: Window, pages: int) -> Place:
    """Where the search stands when the window has been read to its end."""
    if window.deep:
        return Place(window.began, window.began, pages)
    return Place(window.began, place.deep, place.pages)


def intervals(
    costs: Mapping[str, float], daily: float, least: Mapping[str, float], part: float = 0.5
) -> dict[str, float]:
    """Seconds between rounds of each kind, by what a round costs, so that all of them together use no more than `part` of a day's calls.

    `least`: never shorter. What one kind does not need, others may use.
    """
    rate = daily * part / DAY
    wanted = {kind: PARTS[kind] for kind, cost in costs.items() if cost > 0}
    found: dict[str, float] = {}
    while wanted:
        whole = sum(wanted.values())
        cheap = {
            kind
            for kind, share in wanted.items()
            if costs[kind] / max(1e-9, rate * share / whole) <= least.get(kind, SHORTEST)
        }
        if not cheap:
            return found | {kind: costs[kind] / max(1e-9, rate * share / whole) for kind, share in wanted.items()}
        for kind in cheap:
            found[kind] = least.get(kind, SHORTEST)
            rate -= costs[kind] / found[kind]
            del wanted[kind]
    return found


def sweep_pays(calls: int, lag: float, rate: float = 8.0, most: int = 500) -> bool:
    """Whether looking at everything takes no longer than waiting for the index, for a mark."""
    return calls <= most and calls / rate <= max(lag, 5.0)
