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
    """Reads and changes. What is changed is seen at once, and is on the disk only when the unit has been committed."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._changed: Entries = {}
        self._sorted: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""
        if key in self._changed:
            return self._changed[key]
        found: bytes | None = self.database().get(key)
        return found

    def get_many(self, keys: Iterable[bytes]) -> list[bytes | None]:
        """The values of the keys, in their order: one call to the disk."""
        wanted = list(keys)
        changed = self._changed
        missing = [key for key in wanted if key not in changed] if changed else wanted
        found = dict(zip(missing, values_of(self.database(), missing), strict=True)) if missing else {}
        return [changed[key] if key in changed else found[key] for key in wanted]

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
        on_disk = scan(self.database(), prefix, first)
        if not self._sorted:
            return on_disk
        return self._merged(on_disk, first, prefix)

    def _merged(
        self, on_disk: Iterator[tuple[bytes, bytes]], first: bytes, prefix: bytes
    ) -> Iterator[tuple[bytes, bytes]]:
        changed, keys = self._changed, self._sorted
        index = bisect_left(keys, first)
        below = next(on_disk, None)
        while True:
            above = keys[index] if index < len(keys) and keys[index].startswith(prefix) else None
            if above is None and below is None:
                return
            if above is None or (below is not None and below[0] < above):
                assert below is not None
                yield below
                below = next(on_disk, None)
                continue
            if below is not None and below[0] == above:
                below = next(on_disk, None)
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
