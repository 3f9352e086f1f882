"""Models within models: what a connector's own settings consist of, below their first keys.

Responsible for finding the model that holds at a place. Must not know what a setting means.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from rules.config.secrets import keys
from rules.config.tree import Path


def inner(annotation: Any) -> type[BaseModel] | None:
    """The model that a key holds, or holds several of (`dict[str, Model]`, `Model | None`)."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := inner(part)) is not None), None)


def within(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """The keys of a model that hold models of their own, with these."""
    for name, info in model.model_fields.items():
        found = inner(info.annotation)
        if found is not None:
            yield name, found


def keys_at(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that may stand at a path below a model: names of its dictionaries may be any."""
    for step in path:
        found = dict(within(model)).get(str(step))
        model = model if found is None else found
    return keys(model)
