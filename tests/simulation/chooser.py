"""Who decides what happens next: a seed, or Hypothesis. The machine asks, and never draws by itself, so that one machine serves both.

The first of several options, and `False`, are the simplest: towards them Hypothesis shrinks.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Chooser(Protocol):
    """What the machine asks."""

    def below(self, count: int) -> int:
        """A whole number from 0 on, less than `count`."""

    def chance(self, probability: float) -> bool:
        """Whether something of that probability happens."""

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""

    def weigh(self, weights: Mapping[str, int]) -> str:
        """One of the keys; one of weight 2 twice as often as one of weight 1."""


class Seeded:
    """A seed decides."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def below(self, count: int) -> int:
        return int(self._random() * count)

    def chance(self, probability: float) -> bool:
        return self._random() < probability

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self._random() * len(options))]

    def weigh(self, weights: Mapping[str, int]) -> str:
        left = self._random() * sum(weights.values())
        for key, weight in weights.items():
            left -= weight
            if left < 0:
                return key
        return next(reversed(list(weights)))


class Drawn:
    """Hypothesis decides: what it draws can be shrunk."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def below(self, count: int) -> int:
        return self._data.draw(st.integers(0, count - 1)) if count > 1 else 0

    def chance(self, probability: float) -> bool:
        return self._data.draw(st.integers(0, 999)) >= 1000 - 1000 * probability

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def weigh(self, weights: Mapping[str, int]) -> str:
        place = self.below(sum(weights.values()))
        for key, weight in weights.items():
            place -= weight
            if place < 0:
                return key
        raise AssertionError(weights)


class Simplest:
    """Always the simplest: how a machine is carried on when nothing more is to go wrong."""

    def below(self, count: int) -> int:
        return 0

    def chance(self, probability: float) -> bool:
        return False

    def pick(self, options: Sequence[T]) -> T:
        return options[0]

    def weigh(self, weights: Mapping[str, int]) -> str:
        return next(iter(weights))


class Switch:
    """Asks whoever is set: so a world that was built once is driven by one step's draws after another's."""

    def __init__(self, current: Chooser) -> None:
        self.current = current

    def below(self, count: int) -> int:
        return self.current.below(count)

    def chance(self, probability: float) -> bool:
        return self.current.chance(probability)

    def pick(self, options: Sequence[T]) -> T:
        return self.current.pick(options)

    def weigh(self, weights: Mapping[str, int]) -> str:
        return self.current.weigh(weights)
