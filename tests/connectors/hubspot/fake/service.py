"""A call from its arrival to its answer: token, limits, faults, scopes, handler, log.

Responsible for the order of these and for what is one transaction. Must not know ASGI.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from . import faults, routes, tokens
from .errors import RefusedError, body, not_found
from .limits import Limits
from .portal import PERSON, Actor, Portal, Request, Response

CUT = 0  # in place of a status: the connection is cut


@dataclass(slots=True)
class Log:
    """What is noted of a call."""

    route: str = ""
    object: str = ""
    app: str = ""
    fault: str = ""
    headers: dict[str, str] = field(default_factory=dict)


class Service:
    """Answers calls, one after the other."""

    def __init__(self, portal: Portal) -> None:
        self.portal, self.limits = portal, Limits(portal)
        with portal.store.transaction():
            tokens.begin(portal)

    def api(self, request: Request, authorization: str) -> Response:
        """A call by a program."""
        log = Log()
        try:
            response = self._answer(request, authorization, log)
        except RefusedError as error:
            response = self._refused(error, log)
        response.headers = {**log.headers, **response.headers}
        self._note(request, log, response.status)
        return Response(CUT) if log.fault in faults.CUTS else response

    def person(self, request: Request) -> Response:
        """The same call, done by a person at the screen: no token, no limits, no faults, not counted."""
        try:
            route, path = self._route(request)
            with self.transaction():
                return route.handler(self.portal, _with(request, path, PERSON))
        except RefusedError as error:
            return Response(error.status, body(error))

    def _answer(self, request: Request, authorization: str, log: Log) -> Response:
        portal = self.portal
        with portal.store.transaction():
            portal.settle()
            rule = faults.met(portal, request.method, request.url)
        log.fault = rule.kind if rule else ""
        route, path = self._route(request)
        log.route, log.object = f"{route.method} {route.template}", self._object(path)
        if rule and rule.kind == "cut_before":
            return Response(CUT)
        actor = PERSON if route.public else tokens.actor_of(portal, authorization)
        log.app = actor.app
        if len(request.url) > portal.knobs.url_cap:
            raise RefusedError(414, "URI_TOO_LONG", f"The URL has more than {portal.knobs.url_cap} characters")
        if route.limits != "none":
            search, association = route.limits == "search", route.limits == "associations"
            log.headers = self.limits.take(actor, time.monotonic(), search=search, association=association)
        if rule and rule.kind in faults.ERRORS:
            raise faults.error_of(portal, rule)
        asked = _with(request, path, actor)
        if actor.kind == "client" and route.limits != "none":
            raise RefusedError(
                403, "USER_DOES_NOT_HAVE_PERMISSIONS", "An app's own token reads the journal and nothing else"
            )
        if not route.public:
            tokens.need(actor, route.needs(portal, asked))
        with self.transaction():
            return route.handler(portal, asked)

    def transaction(self) -> _Undoing:
        """All or nothing, definitions in memory included."""
        return _Undoing(self.portal)

    def begin_anew(self, knobs: Mapping[str, Any]) -> None:
        """An empty portal with these knobs."""
        self.portal.begin_anew(knobs)
        self.limits.reset()
        tokens.begin(self.portal)

    def _route(self, request: Request) -> tuple[routes.Route, dict[str, str]]:
        path = request.url.partition("?")[0]
        found = routes.find(request.method, path)
        if found is None:
            methods = routes.methods_of(path)
            if methods:
                raise RefusedError(
                    405, "METHOD_NOT_ALLOWED", f"Not in this fake: {request.method} here; {', '.join(methods)} only"
                )
            raise not_found(f"Not in this fake: no call {request.method} {path} is on the research page")
        version = found[1].get("v", "")
        allowed = self.portal.knobs.versions.split(",")
        if version and version not in allowed and not (found[0].public and version == "v1"):
            raise not_found(f"This fake serves version {', '.join(allowed)} of the API, not {version}")
        return found

    def _object(self, path: dict[str, str]) -> str:
        """The id of the type in a path, for the log; empty if there is none."""
        try:
            return self.portal.catalog.type(path.get("type", path.get("from", ""))).id
        except RefusedError:
            return ""

    def _refused(self, error: RefusedError, log: Log) -> Response:
        form = self.portal.knobs.error_bodies
        if form == "mixed":
            form = self.portal.random.choice(("full", "nested", "bare"))
        return Response(error.status, body(error, form), error.headers)

    def _note(self, request: Request, log: Log, status: int) -> None:
        sent = request.body if isinstance(request.body, dict) else {}
        given = sent.get("inputs")
        asked = sent.get("properties")
        names = (
            asked if isinstance(asked, list) else request.words("properties") + request.words("propertiesWithHistory")
        )
        self.portal.store.run(
            "INSERT INTO call(at, method, route, path, object, app, status, inputs, properties, fault) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            self.portal.now(),
            request.method,
            log.route,
            request.url.partition("?")[0],
            log.object,
            log.app,
            status,
            len(given) if isinstance(given, list) else 0,
            orjson.dumps(sorted({name for name in names if isinstance(name, str)})).decode(),
            log.fault,
        )


class _Undoing:
    """A transaction after which, if it was undone, the definitions in memory are read anew."""

    def __init__(self, portal: Portal) -> None:
        self._portal, self._inner = portal, portal.store.transaction()

    def __enter__(self) -> None:
        self._inner.__enter__()

    def __exit__(self, *raised: Any) -> None:
        try:
            if raised[0] is None:
                self._portal.settle()
            self._inner.__exit__(*raised)
        finally:
            if raised[0] is not None:
                self._portal.catalog.reload()


def _with(request: Request, path: dict[str, str], actor: Actor) -> Request:
    return Request(
        request.method, request.url, path, request.query, request.body, actor, request.base, request.has_token
    )
