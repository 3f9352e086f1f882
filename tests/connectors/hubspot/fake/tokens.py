"""Who calls, and what they may.

Responsible for tokens, OAuth and scopes. Must not know what a call does.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from urllib.parse import parse_qs

from .checks import missing_scopes
from .definitions import ObjectType
from .errors import RefusedError, invalid, not_said
from .portal import Actor, Portal, Request, Response

SERVICE_KEY = "fake-service-key"
APP = {
    "id": "5550001",
    "client_id": "fake-client-id",
    "client_secret": "fake-client-secret",
    "refresh_token": "fake-refresh-token",
}
JOURNAL = "developer.webhooks_journal."
JOURNAL_SCOPES = ("read", "subscriptions.write")
_SCHEMAS = ("contacts", "companies", "deals", "tickets", "products", "invoices", "leads", "custom")


def all_scopes() -> frozenset[str]:
    """Every scope that a call of the fake can need, except those for sensitive data."""
    objects = {
        f"crm.objects.{name}.{what}"
        for name in ("contacts", "companies", "deals", "products", "invoices", "leads", "custom")
        for what in ("read", "write")
    }
    schemas = {f"crm.schemas.{name}.{what}" for name in _SCHEMAS for what in ("read", "write")}
    more = {
        "tickets",
        "sales-email-read",
        "crm.objects.owners.read",
        "oauth",
        *(JOURNAL + word for word in JOURNAL_SCOPES),
    }
    return frozenset(objects | schemas | more)


def begin(portal: Portal) -> None:
    """The tokens of a new portal: a service key and an app, both with all scopes."""
    if portal.store.value("SELECT count(*) FROM app") == 0:
        scopes = " ".join(sorted(all_scopes()))
        portal.store.run("INSERT INTO token VALUES (?, 'service', 'service-key', ?, NULL, 0)", SERVICE_KEY, scopes)
        portal.store.run("INSERT INTO app VALUES (?, ?, ?, ?, ?)", *APP.values(), scopes)


def actor_of(portal: Portal, header: str) -> Actor:
    """The caller by its `Authorization`, or 401."""
    scheme, _, token = header.partition(" ")
    if scheme != "Bearer" or not token:
        raise _unauthorized(
            "INVALID_AUTHENTICATION", "Authentication credentials not found. This API supports bearer tokens"
        )
    if not re.fullmatch(r"[A-Za-z0-9._-]{8,512}", token):
        raise RefusedError(portal.knobs.malformed_token_status, "INVALID_AUTHENTICATION", "The token is malformed")
    found = portal.store.one("SELECT kind, app, scopes, expires, revoked FROM token WHERE token = ?", token)
    if found is None or found[4]:
        raise _unauthorized("INVALID_AUTHENTICATION", "The token is not known or was revoked")
    if found[3] is not None and found[3] <= portal.now():
        raise _unauthorized("EXPIRED_AUTHENTICATION", "The OAuth token used to make this call expired")
    return Actor(found[1], found[0], frozenset(found[2].split()))


def _unauthorized(category: str, message: str) -> RefusedError:
    return RefusedError(401, category, message)


def need(actor: Actor, needed: Iterable[tuple[str, ...]]) -> None:
    """Every entry is a list of scopes of which one is enough. 403 names what is missing."""
    if actor.is_person:
        return
    wanted = [*needed, *([("oauth",)] if actor.kind == "oauth" else [])]
    missing = [options[0] for options in wanted if not actor.scopes & set(options)]
    if missing:
        raise missing_scopes(missing)


def for_object(kind: ObjectType, what: str) -> tuple[str, ...]:
    """Scopes of which one lets read or write records of a type."""
    if kind.scope == "tickets":
        return ("tickets",)
    if kind.scope == "activities":
        return (f"crm.objects.contacts.{what}",)
    if kind.scope == "products":
        return (f"crm.objects.products.{what}", "e-commerce")
    return (f"crm.objects.{kind.scope}.{what}",)


def for_schema(kind: ObjectType, what: str) -> tuple[str, ...]:
    """Scopes of which one lets read or write definitions of a type."""
    return (f"crm.schemas.{'contacts' if kind.scope == 'activities' else kind.scope}.{what}",)


def issue(portal: Portal, request: Request) -> Response:
    """POST /oauth/…/token: an access token for a refresh token, or for the app itself."""
    form = {key: values[-1] for key, values in parse_qs(request.body if isinstance(request.body, str) else "").items()}
    found = portal.store.one(
        "SELECT id, client_secret, refresh_token, scopes FROM app WHERE client_id = ?", form.get("client_id", "")
    )
    if found is None or found[1] != form.get("client_secret"):
        raise RefusedError(400, "BAD_CLIENT_ID", "missing or unknown client id or secret")
    id, _, refresh, scopes = found
    grant, answer = form.get("grant_type"), {}
    if grant == "refresh_token":
        if form.get("refresh_token") != refresh or not refresh:
            raise RefusedError(400, "BAD_REFRESH_TOKEN", "missing or invalid refresh token")
        answer = {"refresh_token": refresh}
        kind, granted = "oauth", {scope for scope in scopes.split() if not scope.startswith(JOURNAL)}
    elif grant == "client_credentials":
        kind, granted = "client", set(form.get("scope", "").split())
        if not granted or granted - set(scopes.split()):
            raise invalid(
                f"The app does not have the scopes {', '.join(sorted(granted - set(scopes.split()))) or '(none asked for)'}"
            )
    else:
        raise not_said(f"the grant {grant}")
    token, seconds = f"fake-{secrets.token_urlsafe(24)}", portal.knobs.access_token_seconds
    expires = portal.now() + int(seconds * 1000)
    portal.store.run("INSERT INTO token VALUES (?, ?, ?, ?, ?, 0)", token, kind, id, " ".join(sorted(granted)), expires)
    return Response(200, {**answer, "access_token": token, "expires_in": int(seconds), "token_type": "bearer"})
