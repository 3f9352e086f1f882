"""Faults on order: answers that are errors, and connections that are cut.

Responsible for which fault a call meets. A fault is ordered by a rule, in text `KIND,match=PATH,method=POST,times=3,skip=1,every=2,rate=0.1`.
Must not know how an answer is sent.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from .errors import Json, RefusedError
from .knobs import WrongKnobError
from .portal import Portal

CUTS = ("cut_before", "cut_after")
ERRORS = {
    "403": (403, "USER_DOES_NOT_HAVE_PERMISSIONS", "The user who made this token is gone or lacks permissions"),
    "423": (423, "LOCKED", "The object is locked while a large volume of data is synced"),
    "429": (429, "RATE_LIMITS", "You have reached your ten_secondly_rolling limit."),
    "477": (477, "MIGRATION_IN_PROGRESS", "The account is being migrated to another data center"),
    "500": (500, "INTERNAL_ERROR", "internal error"),
    "502": (502, "INTERNAL_ERROR", "bad gateway"),
    "503": (503, "INTERNAL_ERROR", "service unavailable"),
    "504": (504, "INTERNAL_ERROR", "gateway timeout"),
}

GIVEN = ("match", "method", "times", "skip", "every", "rate", "policy")


class Rule(msgspec.Struct):
    """A fault that was ordered. `times`: how often, 0 for ever. `skip`: calls that pass before. `every`: each nth. `rate`: by chance."""

    kind: str
    match: str = ""
    method: str = ""
    times: int = 1
    skip: int = 0
    every: int = 1
    rate: float = 1.0
    policy: str = "TEN_SECONDLY_ROLLING"
    seen: int = 0
    hits: int = 0
    until: int = 0  # milliseconds: a lock or a migration that lasts

    @property
    def used_up(self) -> bool:
        """Whether it was met as often as was asked for."""
        return 0 < self.times <= self.hits


def parse(text: str) -> Rule:
    """A rule out of the text of a command line."""
    kind, *rest = text.split(",")
    words = dict(word.partition("=")[::2] for word in rest)
    return rule({"kind": kind, **words})


def rule(given: Json) -> Rule:
    """A rule out of JSON, checked."""
    try:
        found = msgspec.convert(given, Rule, strict=False)
        re.compile(found.match)
    except (msgspec.ValidationError, re.error) as error:
        raise WrongKnobError(f"Not a fault: {error}") from error
    strange = set(given) - {"kind", *GIVEN}
    if found.kind not in (*CUTS, *ERRORS) or strange or found.every < 1:
        raise WrongKnobError(
            f"A fault is one of {', '.join((*CUTS, *ERRORS))}, with match, method, times, skip, every, rate, policy"
        )
    return found


def order(portal: Portal, ordered: Rule) -> int:
    """Keeps a rule; its number."""
    portal.store.run("INSERT INTO fault(rule) VALUES (?)", msgspec.json.encode(ordered).decode())
    return int(portal.store.value("SELECT max(id) FROM fault"))


def standing(portal: Portal) -> list[Json]:
    """Rules that are not used up."""
    rows = portal.store.all("SELECT id, rule FROM fault ORDER BY id")
    return [{"id": id, **msgspec.json.decode(text)} for id, text in rows]


def met(portal: Portal, method: str, path: str) -> Rule | None:
    """The fault that this call meets, which is then counted."""
    now = portal.now()
    for id, text in portal.store.all("SELECT id, rule FROM fault ORDER BY id"):
        found = msgspec.json.decode(text, type=Rule)
        if found.used_up and found.until <= now:
            portal.store.run("DELETE FROM fault WHERE id = ?", id)
            continue
        if (found.method and found.method != method) or not re.search(found.match, path):
            continue
        if found.until > now:
            return found
        hit = _counts(portal, found)
        if hit:
            found.hits += 1
            found.until = now + int(1000 * _lasts(portal, found.kind))
        portal.store.run("UPDATE fault SET rule = ? WHERE id = ?", msgspec.json.encode(found).decode(), id)
        if hit:
            return found
    return None


def _lasts(portal: Portal, kind: str) -> float:
    return {"423": portal.knobs.lock_seconds, "477": portal.knobs.migration_seconds}.get(kind, 0.0)


def _counts(portal: Portal, found: Rule) -> bool:
    if found.skip > 0:
        found.skip -= 1
        return False
    found.seen += 1
    return found.seen % found.every == 0 and (found.rate >= 1.0 or portal.random.random() < found.rate)


def error_of(portal: Portal, found: Rule) -> RefusedError:
    """The answer to a call that met an error."""
    status, category, message = ERRORS[found.kind]
    headers: dict[str, str] = {}
    extra: dict[str, Any] = {}
    if found.kind == "477":
        headers["Retry-After"] = str(max(1, -(-(found.until - portal.now()) // 1000)))
    if found.kind == "429":
        extra["policyName"] = found.policy
        if portal.knobs.retry_after_429:
            headers["Retry-After"] = f"{portal.knobs.retry_after_429:g}"
    return RefusedError(status, category, message, headers=headers, extra=extra)
