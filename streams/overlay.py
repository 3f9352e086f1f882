"""A partition's state as a unit of work sees it: the disk, with what the unit has changed so far on top.

Responsible for reading through both, and for the rules' view of one connection. Must not know what entries mean, nor
write.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator

from rocksdict import Rdict, ReadOptions

Entries = dict[bytes, bytes | None]
Database = Callable[[], Rdict]
"""The database, asked for at each use: it must not be kept."""


class Overlay:
    """Reads and changes. What is changed is seen at once, and is on the disk only when the unit has been committed.

    `below`: the overlay of the unit before, which is being committed: it is read through until `settle`.
    """

    def __init__(self, database: Database, below: Overlay | None = None) -> None:
        self.database = database
        self._below = below
        self._changed: Entries = {}
        self._sorted: list[bytes] = []

    def settle(self) -> None:
        """What lay below is on the disk now."""
        self._below = None

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""
        if key in self._changed:
            return self._changed[key]
        if self._below is not None:
            return self._below.get(key)
        found: bytes | None = self.database().get(key)
        return found

    def get_many(self, keys: Iterable[bytes]) -> list[bytes | None]:
        """The values of the keys, in their order: one call to the disk."""
        wanted = list(keys)
        changed = self._changed
        missing = [key for key in wanted if key not in changed] if changed else wanted
        if missing is wanted:
            return self._lower(wanted)
        found = dict(zip(missing, self._lower(missing), strict=True))
        return [changed[key] if key in changed else found[key] for key in wanted]

    def _lower(self, wanted: list[bytes]) -> list[bytes | None]:
        if not wanted:
            return []
        return values_of(self.database(), wanted) if self._below is None else self._below.get_many(wanted)

    def put(self, entries: Entries) -> None:
        """Sets keys; None deletes."""
        changed = self._changed
        for key, value in entries.items():
            if key not in changed:
                insort(self._sorted, key)
            changed[key] = value

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Keys with the prefix, ascending, from `start` on; lazily. Must be used up, or dropped, before anything else
        happens."""
        first = prefix if start is None or start < prefix else start
        lower = scan(self.database(), prefix, first) if self._below is None else self._below.scan(prefix, first)
        index = bisect_left(self._sorted, first)
        if index == len(self._sorted) or not self._sorted[index].startswith(prefix):
            return lower
        return self._merged(lower, index, prefix)

    def _merged(self, lower: Iterator[tuple[bytes, bytes]], index: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        changed, keys = self._changed, self._sorted
        below = next(lower, None)
        while True:
            above = keys[index] if index < len(keys) and keys[index].startswith(prefix) else None
            if above is None and below is None:
                return
            if above is None or (below is not None and below[0] < above):
                assert below is not None
                yield below
                below = next(lower, None)
                continue
            if below is not None and below[0] == above:
                below = next(lower, None)
            index += 1
            if (value := changed[above]) is not None:
                yield above, value


def values_of(database: Rdict, wanted: list[bytes]) -> list[bytes | None]:
    """The values of the keys, in one call."""
    values: list[bytes | None] = database.get(wanted)  # type: ignore[arg-type,assignment]
    return values


def scan(database: Rdict, prefix: bytes, first: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
    """Keys with the prefix on the disk, ascending; lazily, from `first` on where given. To be used up before an
    `await`: an iterator that is alive keeps the database locked though it is closed."""
    bound = _behind(prefix)
    options = ReadOptions()
    if bound is not None:
        options.set_iterate_upper_bound(bound)
    found = database.iter(options)
    found.seek(prefix if first is None else first)
    while found.valid():
        yield found.key(), found.value()
        found.next()


def _behind(prefix: bytes) -> bytes | None:
    """The first key behind all that begin with the prefix; None: there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,)) if stripped else None


class ConnectionView:
    """What `rules.decide` is given: the entries of one connection, under the rules' own keys."""

    def __init__(self, overlay: Overlay, prefix: bytes) -> None:
        self._overlay, self._prefix = overlay, prefix

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""
        return self._overlay.get(self._prefix + key)

    def get_many(self, keys: Iterable[bytes]) -> list[bytes | None]:
        """The values of the keys, in their order."""
        prefix = self._prefix
        return self._overlay.get_many([prefix + key for key in keys])

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Keys with the prefix in ascending order, from `start` on (inclusive) where given; lazily."""
        own = self._prefix
        cut = len(own)
        for key, value in self._overlay.scan(own + prefix, None if start is None else own + start):
            yield key[cut:], value
