"""HubSpot's refusals, read: which of our errors an answer means, or what a batch says of each record.

Responsible for statuses and error bodies (all of whose fields are optional). Must not know how calls are made. Reads codes and
names, never the words of a message, but for JSON that HubSpot hides in one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from connectors.base import ConnectorError, FatalError, RetriableError

Json = dict[str, Any]
LOCKED = 2.0  # seconds for which HubSpot says a lock lasts
MIGRATION = 600.0  # where a 477 does not say how long


class ScopeError(FatalError):
    """The token lacks a scope. Where that is one for writing, reading and other objects go on."""


class Detail(msgspec.Struct, frozen=True):
    """What one error of a body says. `properties`: those it names; `trace`: the inputs it concerns; `ids`: records it names."""

    category: str
    code: str
    message: str
    properties: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()


class Refusal(msgspec.Struct, frozen=True):
    """A body with an error, whole."""

    status: int
    category: str
    message: str
    correlation: str
    scopes: tuple[str, ...]
    policy: str
    details: tuple[Detail, ...]

    @property
    def names_records(self) -> bool:
        """Whether it says which records are not there; not that the object, or the call, is not there."""
        return self.status == 404 and any(one.ids for one in self.details)

    def others(self, ids: Iterable[str]) -> list[str] | None:
        """Those of the records that it does not name as not there; None: it names none of them."""
        named = {one for detail in self.details for one in detail.ids} if self.names_records else set()
        asked = list(ids)
        rest = [one for one in asked if one not in named]
        return rest if len(rest) < len(asked) else None

    @property
    def code(self) -> str:
        """The first code that it gives."""
        return next((one.code for one in self.details if one.code), "")


def refusal_of(status: int, body: object) -> Refusal:
    """What a body says, also where it is nested as JSON text in its own message, and where it says next to nothing."""
    said = _unfolded(body)
    errors = [one for one in said.get("errors") or () if isinstance(one, dict)]
    whole = _detail(said)
    details = tuple(_detail({"category": said.get("category"), **one}) for one in errors) or (whole,)
    scopes = tuple(
        scope
        for one in (said, *errors)
        for name, values in _context(one).items()
        if name in ("requiredGranularScopes", "requiredScopes")
        for scope in values
    )
    return Refusal(
        status,
        str(said.get("category") or said.get("errorType") or ""),
        str(said.get("message") or f"HTTP status {status}"),
        str(said.get("correlationId") or ""),
        tuple(dict.fromkeys(scopes)),
        str(said.get("policyName") or ""),
        details,
    )


def details_of(body: Json) -> list[Detail]:
    """The errors of a batch that was done in part."""
    return [_detail(_unfolded(one)) for one in body.get("errors") or () if isinstance(one, dict)]


def _unfolded(body: object) -> Json:
    said: Json = body if isinstance(body, dict) else {}
    message = said.get("message")
    if isinstance(message, str) and message.lstrip().startswith("{"):
        try:
            inner = json.loads(message)
        except ValueError:
            return said
        if isinstance(inner, dict):
            return {**said, **inner}
    return said


def _context(said: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    context = said.get("context")
    found: dict[str, tuple[str, ...]] = {}
    for name, values in (context if isinstance(context, dict) else {}).items():
        found[str(name)] = tuple(map(str, values)) if isinstance(values, list) else (str(values),)
    return found


def _detail(said: Mapping[str, Any]) -> Detail:
    inner = [one for one in said.get("errors") or () if isinstance(one, dict)]
    contexts = [_context(said), *map(_context, inner)]

    def named(*names: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value for context in contexts for name in names for value in context.get(name, ())))

    code = next((str(one.get("code")) for one in (said, *inner) if one.get("code")), "")
    where = tuple(str(one["in"]) for one in (said, *inner) if isinstance(one.get("in"), str))
    return Detail(
        str(said.get("category") or ""),
        code,
        str(said.get("message") or ""),
        tuple(dict.fromkeys((*named("propertyName", "properties", "property"), *where))),
        named("objectWriteTraceId"),
        named("id", "ids", "existingId", "existingObjectId", "fromObjectId"),
    )


# ---------------------------------------------------------------- what it means for the account


def account_error(status: int, headers: Mapping[str, str], refusal: Refusal, doing: str) -> ConnectorError | None:
    """The error of the account as a whole; None: it concerns what was asked for alone."""
    correlated = f" (correlation id {refusal.correlation})" if refusal.correlation else ""
    message = f"{doing}: {refusal.message}{correlated}"
    asked = seconds(headers)
    if status in (401, 530):
        return FatalError(
            f"{doing}: the token is not valid, or was revoked{correlated}", "give the account a new token"
        )
    if status == 403:
        if refusal.scopes:
            names = ", ".join(refusal.scopes)
            return ScopeError(f"{doing}: the token lacks the scope {names}{correlated}", f"grant the scope {names}")
        return FatalError(
            message, "grant the token what it lacks; a private app's token ends with the user who made it"
        )
    if status == 423:
        return RetriableError(
            message, "HubSpot locks what is being changed in bulk", retry_after=max(LOCKED, asked or 0)
        )
    if status == 477:
        return RetriableError(message, "the account is being moved", retry_after=asked or MIGRATION)
    if status == 429:
        return RetriableError(message, "", retry_after=asked or 10.0, throttled=True)
    if status >= 500:
        return RetriableError(message, "", retry_after=asked or 1.0)
    return None


def seconds(headers: Mapping[str, str]) -> float | None:
    """What Retry-After says, in seconds."""
    try:
        return float(headers.get("retry-after", ""))
    except ValueError:
        return None


# ---------------------------------------------------------------- what it means for a record

_CATEGORIES = {
    "PROPERTY_DOESNT_EXIST": "schema",
    "MISSING_REQUIRED_PROPERTY": "missing_required",
    "MISSING_CONDITIONAL_REQUIRED_PROPERTY": "missing_required",
    "OBJECT_ALREADY_EXISTS": "duplicate",
    "CONFLICT": "duplicate",
    "CONFLICTING_UNIQUE_VALUE": "duplicate",
    "MISSING_SCOPES": "permission",
    "VALIDATION_ERROR": "invalid_value",
}


def forbidden(error: ScopeError) -> Detail:
    """What a missing scope says of a record that was to be written."""
    return Detail("MISSING_SCOPES", "", f"{error.message}; {error.remedy}")


def category_of(detail: Detail) -> str:
    """The category of a refused record."""
    return _CATEGORIES.get(detail.code) or _CATEGORIES.get(detail.category) or "unknown"
