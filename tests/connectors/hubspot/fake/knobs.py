"""The knobs: what can be turned, its default, and what it does. The reference page is made from this table.

Responsible for names, types and texts. Must not know how an effect comes about. What the research page marks as not looked up or as
differing between accounts is a knob, so that a test can run under either reading.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def _knob(default: Any, about: str, *choices: str) -> Any:
    return field(default=default, metadata={"about": about, "choices": choices})


@dataclass(frozen=True, slots=True)
class Knobs:
    """All settings of a running fake."""

    # The account.
    portal_id: int = _knob(4242001, "the account's id in `account-info`; another value is another portal")
    time_zone: str = _knob("America/New_York", "the account's zone; the daily budget begins anew at its midnight")
    versions: str = _knob("2026-09", "versions of the date-based API that are served, separated by commas")
    clock_offset: float = _knob(0.0, "seconds by which the fake's clock is ahead of the machine's")
    seed: int = _knob(7, "seed of all that is random: orders, jitter, faults by rate")
    # Search.
    index_delay: float = _knob(0.0, "seconds until a write is seen by search")
    index_jitter: float = _knob(0.0, "up to so many seconds more, drawn for each write")
    search_cap: int = _knob(10_000, "results of one query that paging can reach; beyond them 400")
    search_body_cap: int = _knob(3_000, "characters that the body of a search may have")
    search_rate: int = _knob(5, "searches a second, for the account as a whole")
    # Rate limits.
    burst: int = _knob(100, "requests in ten seconds, for each app")
    association_burst: int = _knob(100, "association requests in ten seconds, for each app, besides `burst`")
    daily: int = _knob(250_000, "requests a day, for the account as a whole")
    association_daily: int = _knob(500_000, "association requests a day, for the account as a whole")
    retry_after_429: float = _knob(
        0.0, "seconds in `Retry-After` of a 429; 0: the header is absent, as HubSpot does not promise it"
    )
    # Tokens.
    access_token_seconds: float = _knob(1800.0, "how long an OAuth access token is good for")
    malformed_token_status: int = _knob(401, "status for a token that no token looks like", "401", "530")
    # Writes.
    partial_status: int = _knob(200, "status of a batch that failed in part: as a success, or 207", "200", "207")
    shuffle: bool = _knob(
        True, "results of a batch, and values of a multi-select, come in another order than they were sent in"
    )
    repeated_id: str = _knob("refuse", "an id that comes twice in a batch", "refuse", "accept")
    upsert_by_email: str = _knob(
        "blank", "an upsert by email: blanks what it does not name, or is refused", "blank", "refuse"
    )
    conflict_status: int = _knob(409, "status for a value that another record holds already", "409", "400")
    domain_unique: bool = _knob(False, "whether two companies may not have the same domain")
    leading_semicolon: str = _knob("append", "a multi-select that begins with a semicolon", "append", "refuse")
    lifecycle_backward: str = _knob(
        "refuse", "a lifecycle stage set backward: refused, or dropped without a word", "refuse", "ignore"
    )
    archive_missing: str = _knob(
        "refuse", "archiving what is not there: 404, or done without a word", "refuse", "accept"
    )
    unknown_property_read: str = _knob("refuse", "reading a property that is not defined", "refuse", "ignore")
    datetime_forms: str = _knob(
        "ms", "date-times with milliseconds, or some without fraction and some with an offset", "ms", "mixed"
    )
    restore_moves_date: bool = _knob(
        False, "whether a restored record's modified date moves; if not, only a look at all ids finds it"
    )
    url_cap: int = _knob(15_000, "characters of a URL, beyond which 414")
    # Merges.
    merge_keeps_id: bool = _knob(False, "a merge keeps the primary record's id instead of making a new one")
    old_id_writes: str = _knob(
        "refuse", "a write to an id that was merged away: 404, or done to the survivor", "refuse", "follow"
    )
    # Associations.
    association_cap: int = _knob(50_000, "records of one type that a record may be associated with")
    # The Webhooks Journal.
    journal_delay: float = _knob(0.0, "seconds until an event is in a file of the journal")
    journal_retention: float = _knob(259_200.0, "seconds that a file of the journal is kept (three days)")
    journal_url_seconds: float = _knob(300.0, "how long the pre-signed address of a file is good for")
    journal_file_events: int = _knob(10_000, "events in one file")
    # Faults. Single ones are ordered with the knob `fault` or by POST /fake/faults.
    latency: float = _knob(0.0, "seconds that every call of the API takes at least")
    latency_jitter: float = _knob(0.0, "up to so many seconds more, drawn for each call")
    error_bodies: str = _knob(
        "full", "form of error bodies; `mixed` draws one for each", "full", "nested", "bare", "mixed"
    )
    lock_seconds: float = _knob(2.0, "how long the lock behind a 423 lasts")
    migration_seconds: float = _knob(3.0, "how long the migration behind a 477 lasts, told in `Retry-After`")


FIELDS = {each.name: each for each in dataclasses.fields(Knobs)}


class WrongKnobError(ValueError):
    """A knob that does not exist, or a value that it cannot have."""


def parse(name: str, value: Any) -> Any:
    """The value of a knob, from text or JSON."""
    if name not in FIELDS:
        raise WrongKnobError(f"There is no knob {name}. Knobs: {', '.join(FIELDS)}.")
    default, choices = FIELDS[name].default, FIELDS[name].metadata["choices"]
    text = ("yes" if value else "no") if isinstance(value, bool) else str(value)
    if choices and text not in choices:
        raise WrongKnobError(f"{name} is one of {', '.join(choices)}, not {text}.")
    if isinstance(default, bool):
        if text.lower() not in ("yes", "no", "true", "false", "1", "0"):
            raise WrongKnobError(f"{name} is yes or no, not {text}.")
        return text.lower() in ("yes", "true", "1")
    if name == "time_zone":
        try:
            ZoneInfo(text)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise WrongKnobError(f"There is no time zone {text}.") from error
    try:
        return int(text) if isinstance(default, int) else float(text) if isinstance(default, float) else text
    except ValueError as error:
        raise WrongKnobError(f"{name} is a number, not {text}.") from error


def turned(knobs: Knobs, changes: Mapping[str, Any]) -> Knobs:
    """The knobs with some of them set anew."""
    return dataclasses.replace(knobs, **{name: parse(name, value) for name, value in changes.items()})


def from_words(words: Iterable[str]) -> tuple[dict[str, Any], list[str]]:
    """`NAME=VALUE` of a command line: the knobs, and the faults (`fault=…`, see faults.py) as they stand."""
    changes: dict[str, Any] = {}
    faults: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise WrongKnobError(f"A knob is set as NAME=VALUE; {word} is not of that form.")
        if name == "fault":
            faults.append(value)
        else:
            changes[name] = parse(name, value)
    return changes, faults


def shown(value: Any) -> str:
    """A value as it is written on a command line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) and value < 1e6 else str(value)


def table() -> str:
    """All knobs as rows of Markdown."""
    rows = ["| knob | default | what it does |", "|---|---|---|"]
    for name, each in FIELDS.items():
        choices = each.metadata["choices"]
        about = each.metadata["about"] + (f" (`{'`, `'.join(choices)}`)" if choices else "")
        rows.append(f"| `{name}` | `{shown(each.default)}` | {about} |")
    return "\n".join(rows) + "\n"
