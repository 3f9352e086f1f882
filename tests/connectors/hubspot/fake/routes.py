"""Which call is answered by what, and which scopes it needs.

Data: the table of all paths that the research page names. Must not know how a request comes in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from . import account, batches, definitions_api, objects, search, tokens
from .portal import Portal, Request, Response

Handler = Callable[[Portal, Request], Response]
Needs = Callable[[Portal, Request], list[tuple[str, ...]]]


def nothing(portal: Portal, request: Request) -> list[tuple[str, ...]]:
    """Any valid token does."""
    return []


def objects_of(what: str) -> Needs:
    """Records of the type in the path."""
    return lambda portal, request: [tokens.for_object(portal.catalog.type(request.path["type"]), what)]


def schemas_of(what: str) -> Needs:
    """Definitions of the type in the path."""
    return lambda portal, request: [tokens.for_schema(portal.catalog.type(request.path["type"]), what)]


@dataclass(frozen=True, slots=True)
class Route:
    """A call. `limits`: calls, search, associations, or none."""

    method: str
    template: str
    handler: Handler
    needs: Needs = nothing
    limits: str = "calls"
    public: bool = False  # no token

    def pattern(self) -> re.Pattern[str]:
        """The path as an expression."""
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.template))


_READ, _WRITE = objects_of("read"), objects_of("write")
_DEFINED, _DEFINE = schemas_of("read"), schemas_of("write")
_O, _P = "/crm/objects/{v}/{type}", "/crm/properties/{v}/{type}"

ROUTES: list[Route] = [
    Route("POST", f"{_O}/search", search.search, _READ, "search"),
    Route("POST", f"{_O}/batch/read", batches.read, _READ),
    Route("POST", f"{_O}/batch/create", batches.create, _WRITE),
    Route("POST", f"{_O}/batch/update", batches.update, _WRITE),
    Route("POST", f"{_O}/batch/upsert", batches.upsert, _WRITE),
    Route("POST", f"{_O}/batch/archive", batches.archive, _WRITE),
    Route("GET", _O, objects.listed, _READ),
    Route("POST", _O, objects.create, _WRITE),
    Route("GET", f"{_O}/{{id}}", objects.get, _READ),
    Route("PATCH", f"{_O}/{{id}}", objects.change, _WRITE),
    Route("DELETE", f"{_O}/{{id}}", objects.archive, _WRITE),
    Route("GET", f"{_P}/groups", definitions_api.groups, _DEFINED),
    Route("POST", f"{_P}/groups", definitions_api.create_group, _DEFINE),
    Route("POST", f"{_P}/batch/read", definitions_api.batch_read, _DEFINED),
    Route("POST", f"{_P}/batch/create", definitions_api.batch_create, _DEFINE),
    Route("POST", f"{_P}/batch/archive", definitions_api.batch_archive, _DEFINE),
    Route("GET", _P, definitions_api.listed, _DEFINED),
    Route("POST", _P, definitions_api.create, _DEFINE),
    Route("GET", f"{_P}/{{name}}", definitions_api.get, _DEFINED),
    Route("PATCH", f"{_P}/{{name}}", definitions_api.change, _DEFINE),
    Route("DELETE", f"{_P}/{{name}}", definitions_api.archive, _DEFINE),
    Route("GET", "/account-info/{v}/details", account.details),
    Route("POST", "/oauth/{v}/token", tokens.issue, limits="none", public=True),
]
_COMPILED = [(route, route.pattern()) for route in ROUTES]


def find(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a call with the variable parts of its path."""
    for route, pattern in _COMPILED:
        found = pattern.fullmatch(path) if route.method == method else None
        if found:
            return route, found.groupdict()
    return None


def methods_of(path: str) -> list[str]:
    """The methods that a path has."""
    return sorted({route.method for route, pattern in _COMPILED if pattern.fullmatch(path)})
