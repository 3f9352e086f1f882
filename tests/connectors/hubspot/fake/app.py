"""The ASGI application.

Responsible for bytes: bodies in, answers out, latency, connections that are cut. Must not know HubSpot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import orjson

from .admin import Admin
from .errors import RefusedError, body, invalid
from .portal import PERSON, Portal, Request, Response
from .service import CUT, Service

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Cut = Callable[[Scope], None]


class App:
    """`cut` ends the connection of a call without another byte."""

    def __init__(self, portal: Portal, cut: Cut) -> None:
        self.portal, self.service, self._cut = portal, Service(portal), cut
        self._admin = Admin(self.service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        if scope["type"] != "http":
            raise RuntimeError(f"The fake speaks HTTP, not {scope['type']}")
        content = await _content(receive)
        if not scope["path"].startswith("/fake/"):
            await self._delay()
        response = self._response(scope, content)
        if response.status == CUT:
            self._cut(scope)
            return
        await _answer(send, response)

    def _response(self, scope: Scope, content: bytes) -> Response:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            request = _request(scope, content, headers)
        except RefusedError as error:
            return Response(error.status, body(error))
        if scope["path"].startswith("/fake/"):
            return self._admin.answer(request, headers)
        return self.service.api(request, headers.get("authorization", ""))

    async def _delay(self) -> None:
        knobs = self.portal.knobs
        seconds = knobs.latency + self.portal.random.random() * knobs.latency_jitter
        if seconds > 0:
            await asyncio.sleep(seconds)


def _request(scope: Scope, content: bytes, headers: dict[str, str]) -> Request:
    query = scope["query_string"].decode("latin-1")
    url = scope["path"] + (f"?{query}" if query else "")
    sent: Any = None
    if content:
        kind = headers.get("content-type", "").partition(";")[0]
        if kind == "application/x-www-form-urlencoded":
            sent = content.decode()
        elif kind == "application/json":
            try:
                sent = orjson.loads(content)
            except orjson.JSONDecodeError as error:
                raise invalid(f"Invalid input JSON: {error}") from error
        else:
            raise RefusedError(415, "UNSUPPORTED_MEDIA_TYPE", f"A body is application/json, not {kind or 'of no type'}")
    given = parse_qs(query, keep_blank_values=True)
    return Request(
        scope["method"], url, {}, given, sent, PERSON, f"http://{headers.get('host', '')}", "authorization" in headers
    )


async def _content(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _answer(send: Send, response: Response) -> None:
    content = b"" if response.body is None else orjson.dumps(response.body)
    headers = [(b"content-length", str(len(content)).encode())]
    if content:
        headers.append((b"content-type", b"application/json;charset=utf-8"))
    headers += [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
