"""The surface under /fake, which HubSpot does not have: knobs, faults, tokens, the log of calls, and what people do at the screen.

Responsible for finding the call; what people do is in people.py. Must not be counted or limited.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from . import faults, people, tokens
from .errors import RefusedError, body, invalid, not_found
from .knobs import FIELDS, WrongKnobError
from .portal import Request, Response, fields
from .service import Service


class Admin:
    """Answers calls under /fake."""

    def __init__(self, service: Service) -> None:
        self._service, self._portal = service, service.portal
        self._calls: dict[str, Callable[[Request], Any]] = {
            "GET /fake/health": lambda request: {"status": "ok"},
            "GET /fake/knobs": self._knobs,
            "PATCH /fake/knobs": self._turn,
            "GET /fake/calls": self._log,
            "DELETE /fake/calls": self._forget_calls,
            "GET /fake/faults": lambda request: {"results": faults.standing(self._portal)},
            "POST /fake/faults": self._order,
            "DELETE /fake/faults": self._forget_faults,
            "GET /fake/tokens": self._tokens,
            "POST /fake/tokens": self._new_token,
            "PATCH /fake/tokens": self._change_token,
            "GET /fake/app": self._app,
            "PATCH /fake/app": self._change_app,
            "POST /fake/limits/reset": self._reset_limits,
            "POST /fake/reset": self._reset,
        }

    def names(self) -> list[str]:
        """All calls, for the reference page."""
        return [*self._calls, *people.CALLS, "ANY /fake/ui/…"]

    def answer(self, request: Request, headers: dict[str, str]) -> Response:
        """One call."""
        path = request.url.partition("?")[0]
        if path.startswith("/fake/ui/"):
            url = request.url[len("/fake/ui") :]
            moved = Request(request.method, url, {}, request.query, request.body, request.actor, request.base)
            return self._service.person(moved)
        own = self._calls.get(f"{request.method} {path}")
        done = people.CALLS.get(f"{request.method} {path}")
        try:
            if own:
                with self._service.transaction():
                    return Response(200, own(request))
            if done:
                with self._service.transaction():
                    return Response(200, done(self._portal, request.body))
            raise not_found(f"There is no {request.method} {path}; there are: {', '.join(self.names())}")
        except WrongKnobError as error:
            return Response(400, body(invalid(str(error))))
        except RefusedError as error:
            return Response(error.status, body(error))

    def _knobs(self, request: Request) -> Any:
        return {name: getattr(self._portal.knobs, name) for name in FIELDS}

    def _turn(self, request: Request) -> Any:
        self._portal.turn(fields(request.body, (), tuple(FIELDS)))
        return self._knobs(request)

    def _order(self, request: Request) -> Any:
        return {"id": faults.order(self._portal, faults.rule(fields(request.body, ("kind",), faults.GIVEN)))}

    def _forget_faults(self, request: Request) -> Any:
        self._portal.store.run("DELETE FROM fault")
        return {}

    def _log(self, request: Request) -> Any:
        """Calls by route and type: how many, how many were refused, which properties were asked for, how many inputs they had."""
        rows = self._portal.store.all(
            "SELECT route, object, status, inputs, properties, fault FROM call WHERE seq > ? ORDER BY seq",
            int(request.word("after", "0")),
        )
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for route, object, status, inputs, properties, _ in rows:
            kind = self._portal.catalog.types[object].name if object in self._portal.catalog.types else ""
            blank = {"route": route, "object": kind, "count": 0, "statuses": {}, "inputs": 0, "properties": set()}
            each = found.setdefault((route, object), blank)
            each["count"] += 1
            each["inputs"] += inputs
            each["statuses"][str(status)] = each["statuses"].get(str(status), 0) + 1
            each["properties"].update(orjson.loads(properties))
        results = [{**each, "properties": sorted(each["properties"])} for each in found.values()]
        last = self._portal.store.value("SELECT coalesce(max(seq), 0) FROM call")
        return {"total": len(rows), "last": last, "today": self._service.limits.used("calls"), "results": results}

    def _forget_calls(self, request: Request) -> Any:
        self._portal.store.run("DELETE FROM call")
        return {}

    def _tokens(self, request: Request) -> Any:
        rows = self._portal.store.all("SELECT token, kind, app, scopes, expires, revoked FROM token ORDER BY token")
        names = ("token", "kind", "app", "scopes", "expires", "revoked")
        return {"results": [dict(zip(names, row, strict=True)) | {"scopes": row[3].split()} for row in rows]}

    def _new_token(self, request: Request) -> Any:
        """A service key. Without `scopes` it has all, `without` leaves some out."""
        given = fields(request.body or {}, (), ("token", "app", "scopes", "without"))
        number = self._portal.store.next("token")
        token, app = given.get("token", f"fake-service-key-{number}"), given.get("app", f"service-key-{number}")
        scopes = sorted(set(given.get("scopes", tokens.all_scopes())) - set(given.get("without", [])))
        self._portal.store.run(
            "INSERT OR REPLACE INTO token VALUES (?, 'service', ?, ?, NULL, 0)", token, app, " ".join(scopes)
        )
        return {"token": token, "app": app, "scopes": scopes}

    def _change_token(self, request: Request) -> Any:
        """Revokes a token or gives it back, or gives it other scopes. Without `token`: all of an `app`."""
        given = fields(request.body, (), ("token", "app", "scopes", "revoked"))
        by = "token" if "token" in given else "app"
        touched = 0
        if "revoked" in given:
            touched = self._portal.store.run(
                f"UPDATE token SET revoked = ? WHERE {by} = ?", bool(given["revoked"]), given[by]
            )
        if "scopes" in given:
            touched = self._portal.store.run(
                f"UPDATE token SET scopes = ? WHERE {by} = ?", " ".join(sorted(given["scopes"])), given[by]
            )
        if not touched:
            raise not_found("There is no such token")
        return {"touched": touched}

    def _app(self, request: Request) -> Any:
        row = self._portal.store.one("SELECT id, client_id, client_secret, refresh_token, scopes FROM app")
        assert row is not None
        return {
            **dict(zip(("id", "client_id", "client_secret", "refresh_token"), row, strict=False)),
            "scopes": row[4].split(),
        }

    def _change_app(self, request: Request) -> Any:
        """Another refresh token (empty: revoked), other scopes."""
        given = fields(request.body, (), ("refresh_token", "scopes"))
        if "refresh_token" in given:
            self._portal.store.run("UPDATE app SET refresh_token = ?", given["refresh_token"])
        if "scopes" in given:
            self._portal.store.run("UPDATE app SET scopes = ?", " ".join(sorted(given["scopes"])))
        return self._app(request)

    def _reset_limits(self, request: Request) -> Any:
        self._service.limits.reset()
        self._portal.store.run("DELETE FROM budget")
        return {}

    def _reset(self, request: Request) -> Any:
        """A new portal, with the knobs that are given."""
        self._service.begin_anew(fields(request.body or {}, (), tuple(FIELDS)))
        return {}
