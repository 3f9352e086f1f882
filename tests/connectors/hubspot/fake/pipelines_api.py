"""Pipelines and custom objects' schemas, as read. People edit them (people.py)."""

from __future__ import annotations

from typing import Any

from .errors import Json, not_found
from .portal import Portal, Request, Response
from .times import iso


def _shown(pipeline: dict[str, Any]) -> Json:
    times = {"createdAt": iso(pipeline["created"]), "updatedAt": iso(pipeline["updated"])}
    stages = [
        {**stage, "displayOrder": place, "archived": False, "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT", **times}
        for place, stage in enumerate(pipeline["stages"])
    ]
    return {"id": pipeline["id"], "label": pipeline["label"], "stages": stages, "archived": False, **times}


def listed(portal: Portal, request: Request) -> Response:
    """GET all of a type."""
    kind = portal.catalog.type(request.path["type"])
    found = [_shown(each) for each in portal.catalog.pipelines(kind.id).values()]
    return Response(200, {"results": [{**each, "displayOrder": place} for place, each in enumerate(found)]})


def get(portal: Portal, request: Request) -> Response:
    """GET one."""
    return Response(200, _shown(portal.catalog.pipeline(portal.catalog.type(request.path["type"]), request.path["id"])))


def stages(portal: Portal, request: Request) -> Response:
    """GET the stages of one."""
    pipeline = portal.catalog.pipeline(portal.catalog.type(request.path["type"]), request.path["id"])
    return Response(200, {"results": _shown(pipeline)["stages"]})


def stage(portal: Portal, request: Request) -> Response:
    """GET one stage."""
    pipeline = portal.catalog.pipeline(portal.catalog.type(request.path["type"]), request.path["id"])
    for each in _shown(pipeline)["stages"]:
        if each["id"] == request.path["stage"]:
            return Response(200, each)
    raise not_found(f"The pipeline has no stage {request.path['stage']}", request.path["stage"])


def audit(portal: Portal, request: Request) -> Response:
    """GET who changed one."""
    kind = portal.catalog.type(request.path["type"])
    portal.catalog.pipeline(kind, request.path["id"])
    rows = portal.store.all(
        "SELECT at, action FROM pipeline_audit WHERE object = ? AND id = ? ORDER BY seq DESC",
        kind.id,
        request.path["id"],
    )
    found = [
        {"identifier": request.path["id"], "action": action, "timestamp": iso(at), "portalId": portal.knobs.portal_id}
        for at, action in rows
    ]
    return Response(200, {"results": found})


def schemas(portal: Portal, request: Request) -> Response:
    """GET the schemas of all custom objects."""
    results = []
    for kind in portal.catalog.types.values():
        if not kind.custom:
            continue
        listed = [each for each in portal.catalog.properties(kind.id).values() if each.archived is None]
        required = portal.store.all("SELECT property FROM rule WHERE object = ? AND when_property IS NULL", kind.id)
        results.append(
            {
                "id": kind.id.partition("-")[2],
                "objectTypeId": kind.id,
                "name": kind.name,
                "fullyQualifiedName": f"p{portal.knobs.portal_id}_{kind.name}",
                "labels": {"singular": kind.singular, "plural": kind.name},
                "primaryDisplayProperty": kind.display,
                "requiredProperties": [name for (name,) in required],
                "properties": [each.shown() for each in listed],
                "archived": False,
            }
        )
    return Response(200, {"results": results})
