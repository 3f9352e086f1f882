"""Times and dates in HubSpot's forms. Must not know the clock."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

DAY = 86_400_000
_FIRST, _LAST = -62_135_596_800_000, 253_402_300_799_999  # the years 1 to 9999
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(ms: int) -> str:
    """2026-11-24T12:00:00.000Z."""
    return (_EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def moment(text: str) -> int | None:
    """Milliseconds since 1970 of a date-time as it may be written: ISO-8601 with an offset, or milliseconds."""
    if re.fullmatch(r"-?[0-9]{1,15}", text):
        return int(text) if _FIRST <= int(text) <= _LAST else None
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)", text):
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (parsed - _EPOCH) // timedelta(milliseconds=1)


def day(text: str) -> str | None:
    """YYYY-MM-DD of a date as it may be written: so, or milliseconds at midnight UTC."""
    if re.fullmatch(r"-?[0-9]{6,15}|0", text):
        return iso(int(text))[:10] if int(text) % DAY == 0 and _FIRST <= int(text) <= _LAST else None
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return None


def day_in(ms: int, zone: str) -> str:
    """The date on the calendar of a zone."""
    return (_EPOCH + timedelta(milliseconds=ms)).astimezone(ZoneInfo(zone)).date().isoformat()


def utc_offset(ms: int, zone: str) -> str:
    """+01:00."""
    text = (_EPOCH + timedelta(milliseconds=ms)).astimezone(ZoneInfo(zone)).strftime("%z")
    return f"{text[:3]}:{text[3:5]}"


def other_form(text: str, which: int) -> str:
    """The same moment in another form that HubSpot is seen to give: with milliseconds, without a fraction (if it is zero), with an offset."""
    ms = moment(text)
    if ms is None or which % 3 == 0:
        return text
    if which % 3 == 1 and ms % 1000 == 0:
        return text[:19] + "Z"
    local = (_EPOCH + timedelta(milliseconds=ms)).astimezone(timezone(timedelta(hours=2)))
    return local.isoformat(timespec="milliseconds")
