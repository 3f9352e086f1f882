"""What is wrong with a configuration, for people: place, what, and what to write instead.

Responsible for the shape of a problem and for guessing what was meant. Must not know what is right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple


class Place(NamedTuple):
    """Where something stands in a file, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong. Lines and columns count from 1; a document out of Kafka has none: 0."""

    file: str
    line: int
    column: int
    message: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}; {self.remedy}" if self.remedy else f"{place}: {self.message}"


class ConfigError(Exception):
    """A configuration that is refused: all that is wrong with it, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    by_lower = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    if not near and len(word) > 2:
        near = [name for name in by_lower if name.startswith(word.lower())]
    return by_lower[near[0]] if len(near) == 1 else None


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "there is") -> str:
    """A remedy: the known word that was probably meant, or all of them."""
    names = list(known)
    near = closest(word, names)
    if near is not None:
        return f"did you mean '{near}'?"
    return f"{otherwise} {listed(names)}" if names else f"{otherwise} none"


def listed(names: Iterable[str], limit: int = 25) -> str:
    """Names for a message, in quotes where they are not plain words."""
    shown = list(names)
    more = f" and {len(shown) - limit} more" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more
