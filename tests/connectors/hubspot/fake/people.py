"""What people do at HubSpot's screen and no program can: restore, merge rules, pipelines, owners, labels, custom objects.

Responsible for these deeds. They are neither limited nor counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import records
from .definitions import ObjectType
from .errors import Json, not_found
from .portal import PERSON, Portal, fields


def _rows(portal: Portal, body: Any) -> tuple[ObjectType, list[records.Row]]:
    given = fields(body, ("type", "ids"))
    kind = kind_of(portal, given["type"])
    rows = [records.load(portal, kind, int(id)) for id in given["ids"]]
    if None in rows:
        raise not_found(f"Not all of these {kind.name} are there")
    return kind, [row for row in rows if row is not None]


def kind_of(portal: Portal, word: str) -> ObjectType:
    """A type by its id or any name: people are not as strict as paths."""
    for kind in portal.catalog.types.values():
        if word in (kind.name, kind.id):
            return kind
    raise not_found(f"There is no type {word}")


def restore(portal: Portal, body: Any) -> Json:
    """Takes records out of the recycle bin: {type, ids}."""
    kind, rows = _rows(portal, body)
    for row in rows:
        if row.archived is None:
            raise not_found(f"{kind.singular} {row.id} is not archived")
        records.restore(portal, row, PERSON)
    return {"restored": len(rows)}


def touch(portal: Portal, body: Any) -> Json:
    """Moves only the modified date, as a calculated activity does: {type, ids}."""
    _, rows = _rows(portal, body)
    for row in rows:
        records.touch(portal, row)
    return {"touched": len(rows)}


CALLS: dict[str, Callable[[Portal, Any], Json]] = {
    "POST /fake/restore": restore,
    "POST /fake/touch": touch,
}
