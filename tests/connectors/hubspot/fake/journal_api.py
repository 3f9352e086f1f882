"""The calls of the Webhooks Journal. They are exempt from all limits, and need the token of an app, not of a service key."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import quote

import orjson

from . import journal, tokens
from .errors import Json, RefusedError, invalid, not_found, not_said
from .objects import known_query
from .portal import Portal, Request, Response, fields, number, whole
from .times import iso

BATCH_MOST = 100
FILES = "/storage/journal"
_KEY = b"the fake's own; it protects nothing"


def _app(portal: Portal, request: Request) -> str:
    actor = request.actor
    if actor.kind != "client":
        raise RefusedError(403, "USER_DOES_NOT_HAVE_PERMISSIONS", "The journal needs an app's client-credentials token")
    return actor.app


def subscribe(portal: Portal, request: Request) -> Response:
    """POST a subscription. Without `properties` its events carry none."""
    app = _app(portal, request)
    body = fields(request.body, ("subscriptionType", "actions"), ("objectTypeId", "portalId", "properties"))
    type = body["subscriptionType"]
    if type not in journal.TYPES:
        raise not_said(f"subscriptions of type {type}")
    strange = set(body["actions"]) - journal.TYPES[type]
    if strange or not body["actions"]:
        raise not_said(f"the actions {sorted(strange)} of {type}")
    if body.get("portalId", portal.knobs.portal_id) != portal.knobs.portal_id:
        raise invalid("The app is not installed in that portal")
    if type != "GDPR_PRIVACY_DELETION":
        _readable(portal, request, body)
    id = portal.store.next("subscription", 7001)
    portal.store.run("INSERT INTO subscription VALUES (?, ?, ?)", id, app, orjson.dumps(body).decode())
    return Response(201, {"id": id, **body})


def _readable(portal: Portal, request: Request, body: Json) -> None:
    kind = portal.catalog.types.get(str(body.get("objectTypeId")))
    if kind is None:
        raise invalid("objectTypeId is the id of a type", "INVALID_OBJECT_TYPE")
    tokens.need(request.actor, [tokens.for_object(kind, "read")])
    for name in body.get("properties", []):
        if name in journal.SILENT:
            raise invalid(f"{name} cannot be subscribed to", "INVALID_PROPERTY", propertyName=name)
        portal.catalog.property(kind, name)


def subscriptions(portal: Portal, request: Request) -> Response:
    """GET all of the app."""
    rows = portal.store.all("SELECT id, definition FROM subscription WHERE app = ? ORDER BY id", _app(portal, request))
    return Response(200, {"results": [{"id": id, **orjson.loads(text)} for id, text in rows]})


def unsubscribe(portal: Portal, request: Request) -> Response:
    """DELETE one."""
    app = _app(portal, request)
    if not portal.store.run("DELETE FROM subscription WHERE id = ? AND app = ?", request.path["id"], app):
        raise not_found(f"There is no subscription {request.path['id']}")
    return Response(204)


def earliest(portal: Portal, request: Request) -> Response:
    """GET the oldest file that is kept."""
    return _end(portal, request, "ASC")


def latest(portal: Portal, request: Request) -> Response:
    """GET the newest file."""
    return _end(portal, request, "DESC")


def _end(portal: Portal, request: Request, order: str) -> Response:
    app = _app(portal, request)
    journal.publish(portal, app)
    offset = portal.store.value(f"SELECT offset FROM journal_file WHERE app = ? ORDER BY seq {order} LIMIT 1", app)
    return Response(204) if offset is None else Response(200, _pointer(portal, request, offset))


def following(portal: Portal, request: Request) -> Response:
    """GET the file behind an offset; 204: nothing new."""
    app = _app(portal, request)
    journal.publish(portal, app)
    found = journal.file_after(portal, app, request.path["offset"])
    return Response(200, _pointer(portal, request, found[0])) if found else Response(204)


def batch(portal: Portal, request: Request) -> Response:
    """GET up to 100 files behind an offset."""
    app, count = _app(portal, request), number(request.path["count"], 1, BATCH_MOST, "count")
    journal.publish(portal, app)
    found = journal.file_after(portal, app, request.path["offset"], count)
    return (
        Response(200, {"results": [_pointer(portal, request, offset) for offset in found]}) if found else Response(204)
    )


def _pointer(portal: Portal, request: Request, offset: str) -> Json:
    until = portal.now() + int(portal.knobs.journal_url_seconds * 1000)
    url = f"{request.base}{FILES}/{quote(offset)}?expires={until}&signature={_sign(offset, until)}"
    return {"url": url, "expiresAt": iso(until), "currentOffset": offset}


def _sign(offset: str, until: int) -> str:
    return hmac.new(_KEY, f"{offset} {until}".encode(), hashlib.sha256).hexdigest()


def file(portal: Portal, request: Request) -> Response:
    """GET a file at its pre-signed address."""
    known_query(request, "expires", "signature")
    if request.has_token:
        raise RefusedError(400, "INVALID_REQUEST", "The address is signed; a token besides is refused")
    offset, until = request.path["offset"], whole(request.word("expires")) or 0
    signed = hmac.compare_digest(_sign(offset, until).encode(), request.word("signature").encode())
    found = journal.content(portal, offset)
    if not signed or until <= portal.now() or found is None:
        raise RefusedError(403, "FORBIDDEN", "The address has expired or is not signed")
    return Response(200, found)
