"""One HubSpot account: its store, its definitions, its knobs, its clock.

Responsible for what all parts share. Must not know HTTP.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from .catalog import Catalog
from .errors import Json, invalid, not_said
from .knobs import Knobs, shown, turned
from .store import Store

T = TypeVar("T")


class Actor(msgspec.Struct, frozen=True):
    """Who calls: an app by its token, or a person at the screen, for whom there are neither limits nor faults."""

    app: str
    kind: str  # service, oauth, client or person
    scopes: frozenset[str] = frozenset()

    @property
    def is_person(self) -> bool:
        """Whether it is a person."""
        return self.kind == "person"


PERSON = Actor("ui", "person")


class Request(msgspec.Struct, frozen=True):
    """A call, taken apart. `path` holds the variable parts of its path."""

    method: str
    url: str
    path: dict[str, str]
    query: dict[str, list[str]]
    body: Any
    actor: Actor
    base: str = ""
    has_token: bool = False

    def word(self, name: str, default: str = "") -> str:
        """A query parameter that comes once at most."""
        return self.query.get(name, [default])[-1]

    def words(self, name: str) -> list[str]:
        """A query parameter that is a list: repeated, or separated by commas."""
        return [word for given in self.query.get(name, []) for word in given.split(",") if word]


class Response(msgspec.Struct):
    """An answer."""

    status: int
    body: Any = None
    headers: dict[str, str] = {}


class Portal:
    """The account."""

    def __init__(self, folder: Path, knobs: Mapping[str, Any]) -> None:
        self.store = Store(folder)
        self.knobs = turned(Knobs(), {**dict(self.store.all("SELECT name, value FROM knob")), **knobs})
        self.turn(knobs)
        self.catalog = Catalog(self.store)
        self.random = random.Random(self.knobs.seed)

    def now(self) -> int:
        """Milliseconds since 1970, by the fake's clock."""
        return int((time.time() + self.knobs.clock_offset) * 1000)

    def turn(self, changes: Mapping[str, Any]) -> None:
        """Sets knobs; they outlive a restart."""
        self.knobs = turned(self.knobs, changes)
        self.store.many(
            "INSERT OR REPLACE INTO knob VALUES (?, ?)", [(name, shown(getattr(self.knobs, name))) for name in changes]
        )
        if "seed" in changes:
            self.random = random.Random(self.knobs.seed)

    def begin_anew(self, knobs: Mapping[str, Any]) -> None:
        """Forgets everything but the log of calls, and sets these knobs."""
        for table in self.store.tables():
            if table != "call":
                self.store.run(f"DELETE FROM {table}")
        self.knobs = Knobs()
        self.turn(knobs)
        self.random = random.Random(self.knobs.seed)
        self.catalog.begin()

    def mixed(self, things: list[T]) -> list[T]:
        """Results in another order than they were asked for."""
        if self.knobs.shuffle and len(things) > 1:
            self.random.shuffle(things)
        return things

    def index(self, rows: list[tuple[int, str, str | None, int, int]]) -> None:
        """What search is to see of records (id, object, properties or None, created, updated), once the delay is over."""
        now, knobs = self.now(), self.knobs
        self.store.many(
            "INSERT INTO entry_queue(visible, id, object, properties, created, updated) VALUES (?, ?, ?, ?, ?, ?)",
            [(now + int(1000 * (knobs.index_delay + self.random.random() * knobs.index_jitter)), *row) for row in rows],
        )

    def settle(self) -> None:
        """Lets search see what it is time for."""
        now = self.now()
        if self.store.value("SELECT 1 FROM entry_queue WHERE visible <= ? LIMIT 1", now) is None:
            return
        self.store.run(
            "INSERT INTO entry SELECT id, object, properties, created, updated, seq FROM entry_queue WHERE visible <= ? ORDER BY seq"
            " ON CONFLICT(id) DO UPDATE SET properties = excluded.properties, created = excluded.created,"
            " updated = excluded.updated, seq = excluded.seq WHERE excluded.seq > entry.seq",
            now,
        )
        self.store.run("DELETE FROM entry_queue WHERE visible <= ?", now)


# What a field of any body is, wherever it comes.
_TEXTS = (
    *("id", "idProperty", "objectId", "primaryObjectId", "objectIdToMerge", "objectWriteTraceId", "objectTypeId"),
    *("name", "label", "type", "fieldType", "groupName", "description", "dataSensitivity"),
    *("propertyName", "operator", "value", "highValue", "direction", "associationCategory", "subscriptionType"),
)
_LISTS = ("inputs", "filterGroups", "filters", "sorts", "options", "actions", "types")


def fields(body: Any, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()) -> Json:
    """A JSON object that has these fields and no others."""
    if not isinstance(body, dict):
        raise invalid("The body is not a JSON object")
    for name in required:
        if body.get(name) in (None, ""):
            raise invalid(f"Some required fields were not set: [{name}]", "REQUIRED_FIELD", propertyName=name)
    for name, kind in (*((name, str) for name in _TEXTS), *((name, list) for name in _LISTS)):
        if name in body and not isinstance(body[name], kind):
            raise invalid(f"{name} is a {'string' if kind is str else 'list'}", "INVALID_FIELD", propertyName=name)
    strange = sorted(set(body) - set(required) - set(optional))
    if strange:
        raise not_said(f"the field {', '.join(strange)}")
    return body


def whole(word: Any) -> int | None:
    """The whole number that a text is, if it is one that an id can be."""
    return int(word) if isinstance(word, str) and re.fullmatch(r"[0-9]{1,18}", word) else None


def cursor(word: Any) -> int:
    """Where a page begins: what `paging.next.after` said, or 0."""
    if word in ("", None):
        return 0
    found = whole(str(word))
    if found is None:
        raise invalid("after is what paging.next.after said", "INVALID_AFTER")
    return found


def number(text: str, default: int, most: int, what: str = "limit") -> int:
    """A whole number of a query or a body, from 1 to `most`."""
    if text == "":
        return default
    found = whole(text)
    if found is None or not 1 <= found <= most:
        raise invalid(f"{what} is a number from 1 to {most}, not {text}")
    return found
