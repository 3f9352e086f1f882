"""The one entry of the pure core: `decide`. What it is given, what it answers, and the view of the state that it reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from rules.events import AccountOrder, DeadLetter, Event, HistoryRow, StatusRow, SyncRow, Tick


class View(Protocol):
    """The state of one connection as it stood before the event: a sorted map of bytes. It never changes while a decision is taken."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""

    def get_many(self, keys: Iterable[bytes]) -> list[bytes | None]:
        """The values of the keys, in their order."""

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Keys with the prefix in ascending order, from `start` on (inclusive) where given; lazily."""


class Decision(msgspec.Struct):
    """What one event changes.

    `state`: keys to put (None: to delete), logged in the changelog. `indexes`: keys that follow from the state and are kept on the disk only: they are
    rebuilt by `index_changes` when the state is recovered.
    """

    state: dict[bytes, bytes | None]
    indexes: dict[bytes, bytes | None]
    orders: list[AccountOrder]
    ticks: list[Tick]
    statuses: list[StatusRow]
    syncs: list[SyncRow]
    history: list[HistoryRow]
    dead_letters: list[DeadLetter]


class Envelope(msgspec.Struct, frozen=True):
    """Where and when an event stands in its inbox: deterministic on every replay."""

    connection: str
    offset: int
    now: float  # the message's time stamp, seconds since 1970


def decide(view: View, event: Event, envelope: Envelope, applied: dict[int, bytes]) -> Decision:
    """The whole of the semantics. `applied`: documents of applied configurations by version, for the order `apply`. Total and deterministic."""
    raise NotImplementedError


def index_changes(key: bytes, old: bytes | None, new: bytes | None) -> dict[bytes, bytes | None]:
    """The index entries to put and delete when the state entry `key` goes from `old` to `new`."""
    raise NotImplementedError
