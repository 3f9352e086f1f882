"""Associations between records."""

from __future__ import annotations

from .definitions import ObjectType
from .errors import Json, not_said
from .portal import Portal


def add_to(portal: Portal, shown_records: list[Json], kinds: list[ObjectType]) -> None:
    """Adds associations to records that were read."""
    raise not_said("associations, yet")
