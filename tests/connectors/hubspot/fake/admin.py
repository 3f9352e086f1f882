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

# The call, and the method that answers it; its docstring goes into the reference page.
CALLS = {
    "GET /fake/health": "health",
    "GET /fake/knobs": "knobs",
    "PATCH /fake/knobs": "turn",
    "GET /fake/calls": "log",
    "DELETE /fake/calls": "forget_calls",
    "GET /fake/faults": "faults",
    "POST /fake/faults": "order",
    "DELETE /fake/faults": "forget_faults",
    "GET /fake/tokens": "tokens",
    "POST /fake/tokens": "new_token",
    "PATCH /fake/tokens": "change_token",
    "GET /fake/app": "app",
    "PATCH /fake/app": "change_app",
    "POST /fake/limits/reset": "reset_limits",
    "POST /fake/reset": "reset",
}


class Admin:
    """Answers calls under /fake."""

    def __init__(self, service: Service) -> None:
        self._service, self._portal = service, service.portal

    def names(self) -> list[str]:
        """All calls, for the reference page."""
        return [*CALLS, *people.CALLS, "ANY /fake/ui/…"]

    def answer(self, request: Request, headers: dict[str, str]) -> Response:
        """One call."""
        path = request.url.partition("?")[0]
        if path.startswith("/fake/ui/"):
            url = request.url[len("/fake/ui") :]
            moved = Request(request.method, url, {}, request.query, request.body, request.actor, request.base)
            return self._service.person(moved)
        name = CALLS.get(f"{request.method} {path}")
        own: Callable[[Request], Any] | None = getattr(self, name) if name else None
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

    def health(self, request: Request) -> Any:
        """Answers when the fake does."""
        return {"status": "ok"}

    def faults(self, request: Request) -> Any:
        """All faults that stand."""
        return {"results": faults.standing(self._portal)}

    def knobs(self, request: Request) -> Any:
        """All knobs as they stand."""
        return {name: getattr(self._portal.knobs, name) for name in FIELDS}

    def turn(self, request: Request) -> Any:
        """Turns knobs: {NAME: VALUE}."""
        self._portal.turn(fields(request.body, (), tuple(FIELDS)))
        return self.knobs(request)

    def order(self, request: Request) -> Any:
        """Orders a fault: {kind, match?, method?, times?, skip?, every?, rate?, policy?}."""
        return {"id": faults.order(self._portal, faults.rule(fields(request.body, ("kind",), faults.GIVEN)))}

    def forget_faults(self, request: Request) -> Any:
        """Takes back all faults."""
        self._portal.store.run("DELETE FROM fault")
        return {}

    def log(self, request: Request) -> Any:
        """The log of calls by route and type: how many, with which status and inputs, which properties were asked for; `?after=` a number of `last`."""
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

    def forget_calls(self, request: Request) -> Any:
        """Empties the log."""
        self._portal.store.run("DELETE FROM call")
        return {}

    def tokens(self, request: Request) -> Any:
        """All tokens, with scopes and whether they are revoked."""
        rows = self._portal.store.all("SELECT token, kind, app, scopes, expires, revoked FROM token ORDER BY token")
        names = ("token", "kind", "app", "scopes", "expires", "revoked")
        return {"results": [dict(zip(names, row, strict=True)) | {"scopes": row[3].split()} for row in rows]}

    def new_token(self, request: Request) -> Any:
        """A new service key: {token?, app?, scopes?, without?}. Without `scopes` it has all, `without` leaves some out."""
        given = fields(request.body or {}, (), ("token", "app", "scopes", "without"))
        number = self._portal.store.next("token")
        token, app = given.get("token", f"fake-service-key-{number}"), given.get("app", f"service-key-{number}")
        scopes = sorted(set(given.get("scopes", tokens.all_scopes())) - set(given.get("without", [])))
        self._portal.store.run(
            "INSERT OR REPLACE INTO token VALUES (?, 'service', ?, ?, NULL, 0)", token, app, " ".join(scopes)
        )
        return {"token": token, "app": app, "scopes": scopes}

    def change_token(self, request: Request) -> Any:
        """Revokes a token or gives it back, or gives it other scopes: {token or app, revoked?, scopes?}."""
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

    def app(self, request: Request) -> Any:
        """The app for OAuth and the journal: its ids, secret, refresh token and scopes."""
        row = self._portal.store.one("SELECT id, client_id, client_secret, refresh_token, scopes FROM app")
        assert row is not None
        return {
            **dict(zip(("id", "client_id", "client_secret", "refresh_token"), row, strict=False)),
            "scopes": row[4].split(),
        }

    def change_app(self, request: Request) -> Any:
        """Gives the app another refresh token (empty: it is revoked), or other scopes: {refresh_token?, scopes?}."""
        given = fields(request.body, (), ("refresh_token", "scopes"))
        if "refresh_token" in given:
            self._portal.store.run("UPDATE app SET refresh_token = ?", given["refresh_token"])
        if "scopes" in given:
            self._portal.store.run("UPDATE app SET scopes = ?", " ".join(sorted(given["scopes"])))
        return self.app(request)

    def reset_limits(self, request: Request) -> Any:
        """Empties all windows and the day's budget."""
        self._service.limits.reset()
        self._portal.store.run("DELETE FROM budget")
        return {}

    def reset(self, request: Request) -> Any:
        """An empty portal with default knobs and those that are given; the log of calls stays."""
        self._service.begin_anew(fields(request.body or {}, (), tuple(FIELDS)))
        return {}
