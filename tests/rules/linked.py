"""Records that are linked and in sync, for tests to begin with."""

from __future__ import annotations

import pytest

from tests.rules.world import World, people

SIDES = pytest.mark.parametrize("side", ["crm", "shop"])


def linked(world: World | None = None, **values: str) -> World:
    """Ann on both sides, in sync."""
    world = world or people()
    world.left.create(email="a@x.io", name="Ann", **values)
    return world.start()


def linked_pairs(world: World | None = None, count: int = 1) -> World:
    """Records on both sides, in sync."""
    world = world or people()
    for number in range(1, count + 1):
        world.left.create(email=f"{number}@x.io", name=f"Ann {number}", notes=f"note {number}")
    world.start()
    for number in range(1, count + 1):
        world.right.edit(str(number), memo=f"memo {number}")
    return world.settle()
