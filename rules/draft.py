"""The working copy of a connection's state while one event is decided: reads through to the view, gathers what changes, and shows it once.

It keeps counts, indexes and status rows consistent with the state, so that the modules that decide need not. It decides nothing itself.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import Protocol

from rules.catalog import Value
from rules.events import (
    AccountOrder,
    Command,
    Commands,
    DeadLetter,
    FieldChange,
    HistoryRow,
    Side,
    StatusRow,
    SyncRow,
    Tick,
)
from rules.plan import Rules, Sync
from rules.remedies import remedy
from rules.state import (
    CONNECTION,
    Connection,
    Image,
    Link,
    SyncState,
    decode_connection,
    decode_image,
    decode_link,
    decode_sync,
    encode,
    image_indexes,
    image_key,
    link_indexes,
    link_key,
    sync_key,
)

Place = tuple[str, str, str]  # account, object, id


class Reads(Protocol):
    """What a draft reads: see `rules.decide.View`."""

    def get(self, key: bytes) -> bytes | None: ...

    def get_many(self, keys: Iterable[bytes]) -> list[bytes | None]: ...

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]: ...


class Draft:
    """One event's working copy. Structs that it hands out are its own: change them, then `save_…` them."""

    def __init__(self, view: Reads, connection: Connection, rules: Rules, offset: int, now: float) -> None:
        self.view, self.connection, self.rules, self.offset, self.now = view, connection, rules, offset, now
        self.cause = ""
        self._images: dict[Place, Image | None] = {}
        self._links: dict[tuple[str, str], Link | None] = {}
        self._syncs: dict[str, SyncState] = {}
        self._image_indexes: dict[Place, set[bytes]] = {}
        self._link_indexes: dict[tuple[str, str], set[bytes]] = {}
        self._changed_images: set[Place] = set()
        self._changed_links: set[tuple[str, str]] = set()
        self._connection_changed = False
        self._indexes: dict[bytes, bytes | None] = {}
        self._sorted: list[bytes] = []  # of _indexes, for scans
        # What was shown of each record before this event: its status, or None where it had no row.
        self._seats_before: dict[tuple[str, Place], str | None] = {}
        self._links_before: dict[tuple[str, str], str | None] = {}
        self._commands: dict[tuple[str, str], list[Command]] = {}
        self.orders: list[AccountOrder] = []
        self.ticks: list[Tick] = []
        self.history: list[HistoryRow] = []
        self.dead_letters: list[DeadLetter] = []
        self._published: set[str] = set()

    # ------------------------------------------------------------ images

    def prefetch(self, account: str, object: str, ids: Iterable[str]) -> None:
        """Reads many images at once."""
        missing = [one for one in dict.fromkeys(ids) if (account, object, one) not in self._images]
        for record_id, raw in zip(
            missing, self.view.get_many([image_key(account, object, one) for one in missing]), strict=True
        ):
            self._take_image((account, object, record_id), raw)

    def image(self, account: str, object: str, record_id: str) -> Image | None:
        """The image of a record, also of one that is gone."""
        place = (account, object, record_id)
        if place not in self._images:
            self._take_image(place, self.view.get(image_key(*place)))
        return self._images[place]

    def _take_image(self, place: Place, raw: bytes | None) -> None:
        if raw is None:
            self._images[place], self._image_indexes[place] = None, set()
            return
        image = decode_image(raw)
        self._images[place], self._image_indexes[place] = image, image_indexes(*place, image)
        for sync, seat in image.seats.items():
            if seat.link is None and not image.gone:
                self._seats_before[sync, place] = seat.status

    def save_image(self, place: Place, image: Image | None) -> None:
        """Keeps an image, or forgets it."""
        if place not in self._images:
            self.image(*place)
        self._images[place] = image
        self._changed_images.add(place)
        after = set() if image is None else image_indexes(*place, image)
        self._index(self._image_indexes[place], after)
        self._image_indexes[place] = after

    # ------------------------------------------------------------ links

    def prefetch_links(self, keys: Iterable[tuple[str, str]]) -> None:
        """Reads many links at once."""
        missing = [key for key in dict.fromkeys(keys) if key not in self._links]
        for key, raw in zip(missing, self.view.get_many([link_key(*key) for key in missing]), strict=True):
            self._take_link(key, raw)

    def link(self, sync: str, link_id: str) -> Link | None:
        """A link."""
        key = (sync, link_id)
        if key not in self._links:
            self._take_link(key, self.view.get(link_key(*key)))
        return self._links[key]

    def _take_link(self, key: tuple[str, str], raw: bytes | None) -> None:
        link = None if raw is None else decode_link(raw)
        self._links[key] = link
        self._link_indexes[key] = set() if link is None else link_indexes(*key, link)
        self._links_before[key] = None if link is None else link.status

    def save_link(self, sync: str, link_id: str, link: Link | None) -> None:
        """Keeps a link, or forgets it."""
        key = (sync, link_id)
        if key not in self._links:
            self.link(sync, link_id)
        self._links[key] = link
        self._changed_links.add(key)
        after = set() if link is None else link_indexes(sync, link_id, link)
        self._index(self._link_indexes[key], after)
        self._link_indexes[key] = after

    # ------------------------------------------------------------ syncs and the connection

    def sync(self, name: str) -> SyncState:
        """A sync's state; changes to it are kept without saving."""
        state = self._syncs.get(name)
        if state is None:
            raw = self.view.get(sync_key(name))
            state = self._syncs[name] = SyncState() if raw is None else decode_sync(raw)
        return state

    def known(self, name: str) -> bool:
        """Whether the sync has a state."""
        return name in self._syncs or self.view.get(sync_key(name)) is not None

    def loaded(self, name: str) -> bool:
        """Whether this event has looked at the sync's state."""
        return name in self._syncs

    def publish(self, name: str) -> None:
        """Shows the sync's row with this event."""
        self._published.add(name)

    def save_connection(self) -> None:
        """Keeps the connection as it is now."""
        self._connection_changed = True

    # ------------------------------------------------------------ indexes

    def _index(self, before: set[bytes], after: set[bytes]) -> None:
        for key in before - after:
            if key not in self._indexes:
                insort(self._sorted, key)
            self._indexes[key] = None
        for key in after - before:
            if key not in self._indexes:
                insort(self._sorted, key)
            self._indexes[key] = b""

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[bytes]:
        """Index keys with the prefix in order, with what this event has changed; safe against changes while it runs."""
        low = start if start is not None and start > prefix else prefix
        own = []
        for position in range(bisect_left(self._sorted, low), len(self._sorted)):
            key = self._sorted[position]
            if not key.startswith(prefix):
                break
            own.append(key)
        changed = {key: self._indexes[key] for key in own}
        present = [key for key in own if changed[key] is not None]
        following = 0
        for key, _ in self.view.scan(prefix, low):
            while following < len(present) and present[following] < key:
                yield present[following]
                following += 1
            if following < len(present) and present[following] == key:
                following += 1
            if key not in changed or changed[key] is not None:
                yield key
        yield from present[following:]

    # ------------------------------------------------------------ what goes out

    def command(self, account: str, object: str, command: Command) -> None:
        """Sends a command."""
        self._commands.setdefault((account, object), []).append(command)

    def note(self, sync: str, key: str, action: str, changes: Iterable[FieldChange] = (), note: str = "") -> None:
        """Writes a decision into the history."""
        self.history.append(HistoryRow(sync, key, action, self.cause, self.now, tuple(changes), note))

    # ------------------------------------------------------------ the end

    def statuses(self) -> list[StatusRow]:
        """The rows of all records that this event touched; brings the counts along."""
        rows: list[StatusRow] = []
        for key in self._changed_links:
            self._show_link(rows, *key)
        seats = {(sync, place) for place in self._changed_images for sync in self._seats_of(place)}
        seats |= {key for key in self._seats_before if key[1] in self._changed_images}
        shown = {(row.sync, row.key) for row in rows}
        for sync_name, place in seats:
            self._show_seat(rows, shown, sync_name, place)
        return rows

    def _seats_of(self, place: Place) -> Iterable[str]:
        image = self._images[place]
        return () if image is None else image.seats

    def _count(self, sync: str, before: str | None, after: str | None) -> None:
        if before == after:
            return
        counts = self.sync(sync).counts
        if before is not None:
            counts[before] = counts.get(before, 0) - 1
        if after is not None:
            counts[after] = counts.get(after, 0) + 1
        self.sync(sync).changed = True

    def _show_link(self, rows: list[StatusRow], sync_name: str, link_id: str) -> None:
        link, before = self._links[sync_name, link_id], self._links_before[sync_name, link_id]
        self._count(sync_name, before, None if link is None else link.status)
        sync = self.rules.syncs.get(sync_name)
        if link is None or sync is None:
            if before is not None:
                rows.append(StatusRow(sync_name, link_id, None))
            return
        sides: dict[str, Side] = {}
        for side, record_id in zip(sync.sides, link.ids, strict=True):
            if record_id is not None:
                image = self.image(side.account, side.object.name, record_id)
                sides[side.account] = Side(record_id, _shown({} if image is None else image.values, side.mapped))
        rows.append(
            StatusRow(
                sync_name,
                link_id,
                link.status,
                link.category,
                link.message,
                remedy(sync, link.status, link.category, link.message),
                link.since,
                sides,
            )
        )

    def _show_seat(self, rows: list[StatusRow], shown: set[tuple[str, str]], sync_name: str, place: Place) -> None:
        image, before = self._images[place], self._seats_before.get((sync_name, place))
        seat = None if image is None or image.gone else image.seats.get(sync_name)
        alone = seat if seat is not None and seat.link is None else None
        self._count(sync_name, before, None if alone is None else alone.status)
        if alone is None and before is None:
            return
        key = f"{place[0]}:{place[2]}"
        link = self.link(sync_name, key)
        if (sync_name, key) in shown or link is not None:
            # A link bears this name: its own record's row is the link's, another's stands beside it.
            if alone is None and (seat is None or seat.link == key or link is None):
                return
            key += "~"
        sync = self.rules.syncs.get(sync_name)
        if alone is None or image is None or sync is None:
            rows.append(StatusRow(sync_name, key, None))
            return
        side = sync.sides[alone.side]
        rows.append(
            StatusRow(
                sync_name,
                key,
                alone.status,
                alone.category,
                alone.message,
                remedy(sync, alone.status, alone.category, alone.message),
                alone.since,
                {place[0]: Side(place[2], _shown(image.values, side.mapped))},
            )
        )

    def sync_rows(self) -> list[SyncRow]:
        """The rows of the syncs that are to be shown."""
        rows = []
        for name in sorted(self._published):
            state, sync = self.sync(name), self.rules.syncs.get(name)
            state.changed = False
            if sync is None:
                rows.append(SyncRow(name, self.connection.name, None))
            else:
                rows.append(self._sync_row(name, state, sync))
        return rows

    def _sync_row(self, name: str, state: SyncState, sync: Sync) -> SyncRow:
        counts = {status: count for status, count in state.counts.items() if count}
        shown = "stopped" if state.stopped else "off" if state.off else "live" if state.stage == "live" else "initial"
        accounts = {side.account for side in sync.sides}
        return SyncRow(
            sync=name,
            connection=self.connection.name,
            state=shown,
            reason=state.stopped,
            counts=counts,
            read={account: read.rows for account, read in state.reads.items()},
            matched=state.matched,
            created=state.created,
            remaining=0 if state.stage == "live" else counts.get("pending", 0),
            version=self.connection.version,
            oldest=self._oldest(name),
            accounts={account: why for account, why in self.connection.down.items() if account in accounts},
            conflicts=state.conflicts,
            answered=dict(state.answered),
        )

    def _oldest(self, sync: str) -> float:
        for key in self.scan(f"f{sync}\0".encode()):
            link = self.link(sync, key[1:].decode().split("\0")[2])
            if link is not None:
                return link.touched or (link.flight.sent if link.flight else self.now)
        return 0.0

    def state(self) -> dict[bytes, bytes | None]:
        """All state entries that changed."""
        entries: dict[bytes, bytes | None] = {}
        for place in self._changed_images:
            image = self._images[place]
            entries[image_key(*place)] = None if image is None else encode(image)
        for key in self._changed_links:
            link = self._links[key]
            entries[link_key(*key)] = None if link is None else encode(link)
        for name, state in self._syncs.items():
            gone = name not in self.rules.syncs and name in self._published
            raw = encode(state)
            if gone:
                entries[sync_key(name)] = None
            elif raw != self.view.get(sync_key(name)):
                entries[sync_key(name)] = raw
        if self._connection_changed:
            entries[CONNECTION] = encode(self.connection)
        return entries

    def indexes(self) -> dict[bytes, bytes | None]:
        """All index entries that changed."""
        return self._indexes

    def account_orders(self) -> list[AccountOrder]:
        """All that goes to accounts, commands in batches per object."""
        batches: list[AccountOrder] = [
            Commands(self.connection.name, account, object_name, tuple(commands))
            for (account, object_name), commands in self._commands.items()
        ]
        return self.orders + batches


def load_connection(raw: bytes | None, name: str) -> Connection:
    """The connection as kept, or a new one."""
    return Connection(name) if raw is None else decode_connection(raw)


def _shown(values: dict[str, Value], mapped: tuple[str, ...]) -> dict[str, Value]:
    return {field: values.get(field) for field in mapped}
