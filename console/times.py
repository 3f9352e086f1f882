"""Times as people write and read them. Pure: `now` is given."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
HOW_TO_WRITE = "Write a time as 2026-01-31, 2026-01-31T18:00, 18:00 or today, or how long ago: 90s, 10m, 2h, 3d."


def parse_time(text: str, now: float) -> float:
    """Seconds since 1970. A time without a zone is local; a span counts back from now. Raises `ValueError`."""
    given = text.strip()
    if _SPAN.fullmatch(given.casefold()):
        return now - parse_span(given)
    today = datetime.fromtimestamp(now, UTC).astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    named = {"now": now, "today": today.timestamp(), "yesterday": (today - timedelta(days=1)).timestamp()}
    if given.casefold() in named:
        return named[given.casefold()]
    if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", given):
        hour, minute, *second = map(int, given.split(":"))
        return today.replace(hour=hour, minute=minute, second=second[0] if second else 0).timestamp()
    return datetime.fromisoformat(given).astimezone().timestamp()


def parse_span(text: str) -> float:
    """The seconds of 90s, 10m, 2h, 30d. Raises `ValueError`."""
    found = _SPAN.fullmatch(text.strip().casefold())
    if found is None:
        raise ValueError(f"{text} is no span of time")
    return float(found[1]) * _SECONDS[found[2]]


def iso(seconds: float) -> str:
    """UTC to the second, as in the JSON of all commands: 2026-01-01T00:00:00Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_ms(seconds: float) -> str:
    """The same to the millisecond, for logs and events."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local(seconds: float) -> str:
    """For people: today's times without the date."""
    then = datetime.fromtimestamp(seconds, UTC).astimezone()
    return then.strftime("%H:%M:%S" if then.date() == datetime.now(UTC).astimezone().date() else "%Y-%m-%d %H:%M")


def span(seconds: float) -> str:
    """How long, in the unit that tells most: 230 ms, 4.1 s, 12 min, 3 h, 5 d."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for unit, size, upper in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172800)):
        if seconds < upper:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"
