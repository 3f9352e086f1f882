"""Which call is answered by what, and which scopes it needs.

Data: the table of all paths that the research page names. Must not know how a request comes in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from . import (
    account,
    associations_api,
    batches,
    definitions_api,
    journal_api,
    merges,
    objects,
    pipelines_api,
    search,
    tokens,
)
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


def both_of(what: str) -> Needs:
    """Records of both types in the path."""
    return lambda portal, request: [
        tokens.for_object(portal.catalog.type(request.path[end]), what) for end in ("from", "to")
    ]


def journal_scopes(portal: Portal, request: Request) -> list[tuple[str, ...]]:
    """One of the journal's."""
    return [tuple(tokens.JOURNAL + word for word in tokens.JOURNAL_SCOPES)]


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
_LINKED, _LINK = both_of("read"), both_of("write")
_PAIR, _A = "/crm/objects/{v}/{from}/{id}/associations/{to}", "/crm/associations/{v}/{from}/{to}"
_S, _J = "/webhooks-journal/subscriptions/{v}", "/webhooks-journal/journal/{v}"
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
    Route("POST", f"{_O}/merge", merges.merge, _WRITE),
    Route("POST", f"{_O}/gdpr-delete", merges.gdpr_delete, _WRITE),
    Route("PUT", f"{_PAIR}/{{toId}}", associations_api.put, _LINK, "associations"),
    Route("DELETE", f"{_PAIR}/{{toId}}", associations_api.delete, _LINK, "associations"),
    Route("GET", _PAIR, associations_api.listed, _LINKED, "associations"),
    Route(
        "PUT",
        "/crm/objects/{v}/{from}/{id}/associations/default/{to}/{toId}",
        associations_api.put_default,
        _LINK,
        "associations",
    ),
    Route("POST", f"{_A}/batch/read", associations_api.batch_read, _LINKED, "associations"),
    Route("POST", f"{_A}/batch/create", associations_api.batch_create, _LINK, "associations"),
    Route("POST", f"{_A}/batch/associate/default", associations_api.batch_default, _LINK, "associations"),
    Route("POST", f"{_A}/batch/archive", associations_api.batch_archive, _LINK, "associations"),
    Route("POST", f"{_A}/batch/labels/archive", associations_api.batch_labels_archive, _LINK, "associations"),
    Route("GET", f"{_A}/labels", associations_api.labels, _LINKED, "associations"),
    Route("GET", "/crm/pipelines/{v}/{type}", pipelines_api.listed, _READ),
    Route("GET", "/crm/pipelines/{v}/{type}/{id}", pipelines_api.get, _READ),
    Route("GET", "/crm/pipelines/{v}/{type}/{id}/audit", pipelines_api.audit, _READ),
    Route("GET", "/crm/pipelines/{v}/{type}/{id}/stages", pipelines_api.stages, _READ),
    Route("GET", "/crm/pipelines/{v}/{type}/{id}/stages/{stage}", pipelines_api.stage, _READ),
    Route("GET", "/crm/owners/{v}", account.owners, lambda portal, request: [("crm.objects.owners.read",)]),
    Route(
        "GET",
        "/crm-object-schemas/{v}/schemas",
        pipelines_api.schemas,
        lambda portal, request: [("crm.schemas.custom.read",)],
    ),
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
    Route("POST", _S, journal_api.subscribe, journal_scopes, "none"),
    Route("GET", _S, journal_api.subscriptions, journal_scopes, "none"),
    Route("DELETE", f"{_S}/{{id}}", journal_api.unsubscribe, journal_scopes, "none"),
    Route("GET", f"{_J}/earliest", journal_api.earliest, journal_scopes, "none"),
    Route("GET", f"{_J}/latest", journal_api.latest, journal_scopes, "none"),
    Route("GET", f"{_J}/offset/{{offset}}/next", journal_api.following, journal_scopes, "none"),
    Route("GET", f"{_J}/batch/{{offset}}/next/{{count}}", journal_api.batch, journal_scopes, "none"),
    Route("GET", f"{journal_api.FILES}/{{offset}}", journal_api.file, limits="none", public=True),
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
