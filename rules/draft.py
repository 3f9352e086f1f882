"""The working copy of a connection's state while one event is decided: reads through to the view, and gathers what changes.

It keeps indexes consistent with the state, so that the modules that decide need not. It decides nothing itself; what is shown of the
changes is in `rules.showing`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from rules.catalog import Value
from rules.events import AccountOrder, Command, Commands, DeadLetter, FieldChange, HistoryRow, Tick
from rules.plan import Rules, Sync
from rules.state import (
    CONNECTION,
    Connection,
    Image,
    Link,
    SyncState,
    Traits,
    decode_connection,
    decode_image,
    decode_link,
    decode_sync,
    encode,
    image_indexes,
    image_key,
    image_traits,
    link_indexes,
    link_key,
    number_text,
    sync_key,
)

Place = tuple[str, str, str]  # account, object, id
LinkKey = tuple[str, str]  # sync, link
_NOTHING: frozenset[bytes] = frozenset()
COMMANDS, WEIGHT = 500, 400_000  # commands, and characters of text, that one message holds at most


class SeatBefore(NamedTuple):
    """How a record without a link was shown before this event."""

    status: str
    aside: bool
    message: str | None
    values: dict[str, Value]


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
        self._links: dict[LinkKey, Link | None] = {}
        self._syncs: dict[str, SyncState] = {}
        self._uses: dict[tuple[str, str], tuple[tuple[Sync, int], ...]] = {}
        self._connection_changed = False
        self._image_traits: dict[Place, Traits | None] = {}
        self._link_indexes: dict[LinkKey, frozenset[bytes]] = {}
        self._unindexed_images: dict[Place, None] = {}
        self._unindexed_links: dict[LinkKey, None] = {}
        self._indexes: dict[bytes, bytes | None] = {}
        self._sorted: list[bytes] = []  # of _indexes, for scans
        # In the order in which they changed: what a decision answers does not depend on how Python hashes texts.
        self.changed_images: dict[Place, None] = {}
        self.changed_links: dict[LinkKey, None] = {}
        # What was shown of each record before this event: its status and whether its row stood aside; of each link its bytes and status.
        self.seats_before: dict[tuple[str, Place], SeatBefore] = {}
        self.links_before: dict[LinkKey, tuple[bytes, str] | None] = {}
        # What is looked at when all of the event has been seen: see `rules.aftermath`.
        self.stirred: dict[Place, None] = {}
        self.news: dict[tuple[str, int], dict[str, None]] = {}
        self.freed: dict[tuple[str, str], None] = {}
        self.landed: dict[Place, None] = {}
        self.bereft: dict[LinkKey, None] = {}
        self.doomed: dict[LinkKey, bool] = {}
        self._commands: dict[tuple[str, str], list[Command]] = {}
        self.orders: list[AccountOrder] = []
        self.ticks: list[Tick] = []
        self.history: list[HistoryRow] = []
        self.dead_letters: list[DeadLetter] = []
        self.published: set[str] = set()

    # ------------------------------------------------------------ images

    def prefetch(self, account: str, object: str, ids: Iterable[str]) -> None:
        """Reads many images at once."""
        missing = [one for one in dict.fromkeys(ids) if (account, object, one) not in self._images]
        found = self.view.get_many([image_key(account, object, one) for one in missing])
        for record_id, raw in zip(missing, found, strict=True):
            self._take_image((account, object, record_id), raw)

    def image(self, account: str, object: str, record_id: str) -> Image | None:
        """The image of a record, also of one that is gone."""
        place = (account, object, record_id)
        if place not in self._images:
            self._take_image(place, self.view.get(image_key(account, object, record_id)))
        return self._images[place]

    def _take_image(self, place: Place, raw: bytes | None) -> None:
        if raw is None:
            self._images[place], self._image_traits[place] = None, None
            return
        image = decode_image(raw)
        self._images[place], self._image_traits[place] = image, image_traits(image)
        if not image.gone:
            for sync, seat in image.seats.items():
                if seat.link is None:
                    self.seats_before[sync, place] = SeatBefore(seat.status, seat.aside, seat.message, image.values)

    def save_image(self, place: Place, image: Image | None) -> None:
        """Keeps an image, or forgets it."""
        if place not in self._images:
            self.image(*place)
        self._images[place] = image
        self.changed_images[place] = None
        self._unindexed_images[place] = None

    def bury(self, place: Place, image: Image) -> None:
        """Of a deleted record that no link needs only the version is kept, for a while: a page or an answer from before must not bring it back."""
        image.gone, image.partial, image.values, image.seats, image.pairs = True, False, {}, {}, ()
        image.origins = {}
        image.codes = ()
        image.age = number_text(int(self.now))
        self.save_image(place, image if self.rules.uses.get(place[:2]) else None)

    # ------------------------------------------------------------ links

    def prefetch_links(self, keys: Iterable[LinkKey]) -> None:
        """Reads many links at once."""
        missing = [key for key in dict.fromkeys(keys) if key not in self._links]
        for key, raw in zip(missing, self.view.get_many([link_key(*key) for key in missing]), strict=True):
            self._take_link(key, raw)

    def link(self, sync: str, link_id: str) -> Link | None:
        """A link."""
        key = (sync, link_id)
        if key not in self._links:
            self._take_link(key, self.view.get(link_key(sync, link_id)))
        return self._links[key]

    def _take_link(self, key: LinkKey, raw: bytes | None) -> None:
        if raw is None:
            self._links[key], self._link_indexes[key], self.links_before[key] = None, _NOTHING, None
            return
        link = decode_link(raw)
        self._links[key], self._link_indexes[key] = link, link_indexes(*key, link)
        self.links_before[key] = (raw, link.status)

    def save_link(self, sync: str, link_id: str, link: Link | None) -> None:
        """Keeps a link, or forgets it."""
        key = (sync, link_id)
        if key not in self._links:
            self.link(sync, link_id)
        self._links[key] = link
        self.changed_links[key] = None
        self._unindexed_links[key] = None

    # ------------------------------------------------------------ syncs and the connection

    def sync(self, name: str) -> SyncState:
        """A sync's state; changes to it are kept without saving."""
        state = self._syncs.get(name)
        if state is None:
            raw = self.view.get(sync_key(name))
            state = self._syncs[name] = SyncState() if raw is None else decode_sync(raw)
        return state

    def uses(self, account: str, object: str) -> tuple[tuple[Sync, int], ...]:
        """The syncs that use an object, and as which side; not one whose predecessor of the same name is still being forgotten."""
        found = self._uses.get((account, object))
        if found is None:
            found = self.rules.uses.get((account, object), ())
            if any(self.is_forgotten(sync.name) for sync, _ in found):
                found = tuple([use for use in found if not self.is_forgotten(use[0].name)])
            self._uses[account, object] = found
        return found

    def known(self, name: str) -> bool:
        """Whether the sync has a state."""
        return name in self._syncs or self.view.get(sync_key(name)) is not None

    def loaded(self, name: str) -> bool:
        """Whether this event has looked at the sync's state."""
        return name in self._syncs

    def begin_anew(self, name: str) -> None:
        """Forgets all of a sync's state."""
        self._syncs[name] = SyncState()
        self._uses = {}

    def is_forgotten(self, name: str) -> bool:
        """Whether what is kept of the sync is of an earlier one of its name, and is being forgotten."""
        return self.sync(name).stage == "forgetting"

    def is_idle(self, sync: Sync) -> bool:
        """Whether nothing is decided for the sync now: it is off, stopped, or an earlier one of its name is being forgotten."""
        return sync.off or bool(self.sync(sync.name).stopped) or self.is_forgotten(sync.name)

    def next_number(self, sync: str) -> int:
        """The number of another command of the sync."""
        state = self.sync(sync)
        state.issued += 1
        return state.issued

    def publish(self, name: str) -> None:
        """Shows the sync's row with this event."""
        self.published.add(name)

    def save_connection(self) -> None:
        """Keeps the connection as it is now."""
        self._connection_changed = True

    # ------------------------------------------------------------ indexes

    def _index(self) -> None:
        """Brings the index entries of all that was saved since the last time to what they must be."""
        for place in self._unindexed_images:
            image, before = self._images[place], self._image_traits[place]
            after = None if image is None else image_traits(image)
            if before != after:
                self._change_index(_indexes_of(place, before), _indexes_of(place, after))
                self._image_traits[place] = after
        for key in self._unindexed_links:
            link = self._links[key]
            entries = _NOTHING if link is None else link_indexes(*key, link)
            self._change_index(self._link_indexes[key], entries)
            self._link_indexes[key] = entries
        self._unindexed_images, self._unindexed_links = {}, {}

    def _change_index(self, before: frozenset[bytes], after: frozenset[bytes]) -> None:
        if before == after:
            return
        for changed, value in ((before - after, None), (after - before, b"")):
            for key in changed:
                if key not in self._indexes:
                    insort(self._sorted, key)
                self._indexes[key] = value

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[bytes]:
        """Index keys with the prefix in order, with what this event has changed; safe against changes while it runs."""
        if self._unindexed_images or self._unindexed_links:
            self._index()
        low = start if start is not None and start > prefix else prefix
        own = []
        for position in range(bisect_left(self._sorted, low), len(self._sorted)):
            key = self._sorted[position]
            if not key.startswith(prefix):
                break
            own.append((key, self._indexes[key]))
        if not own:
            return (key for key, _ in self.view.scan(prefix, low))
        return self._overlaid(own, prefix, low)

    def _overlaid(self, own: list[tuple[bytes, bytes | None]], prefix: bytes, low: bytes) -> Iterator[bytes]:
        changed = {key for key, _ in own}
        present = [key for key, value in own if value is not None]
        following = 0
        for key, _ in self.view.scan(prefix, low):
            while following < len(present) and present[following] < key:
                yield present[following]
                following += 1
            if key not in changed:
                yield key
        yield from present[following:]

    def blind_before(self, account: str, object: str, offset: int | None = None) -> bool:
        """Whether a create into the object that leaves no token is on its way: any, or one sent before an offset."""
        for sync, side in self.uses(account, object):
            for key in self.scan(f"c{sync.name}\0{side}\0".encode()):
                if offset is None or int(key.decode().split("\0")[2], 16) < offset:
                    return True
                break
        return False

    def oldest_open(self, sync: Sync) -> tuple[int, str] | None:
        """The oldest command of a sync that is on its way or waits: its number, and its link or record."""
        heads = [f"f{sync.name}\0", f"h{sync.name}\0", *(f"w{side.account}\0{sync.name}\0" for side in sync.sides)]
        found: tuple[int, str] | None = None
        for head in heads:
            key = next(iter(self.scan(head.encode())), None)
            if key is not None:
                number, name = key.decode()[len(head) :].split("\0")[:2]
                if found is None or int(number, 16) < found[0]:
                    found = (int(number, 16), name)
        return found

    # ------------------------------------------------------------ what is looked at in the end

    def stir(self, account: str, object: str, record_id: str) -> None:
        """A record, or the link that it is in, has changed: what names it is judged again."""
        self.stirred[account, object, record_id] = None

    def decided(self, sync: str, side: int, record_id: str) -> None:
        """Whether a record has a counterpart has been decided otherwise: what awaits that is told."""
        self.news.setdefault((sync, side), {})[record_id] = None

    def free(self, account: str, object: str) -> None:
        """A create that leaves no token has been answered."""
        self.freed[account, object] = None

    def land(self, account: str, object: str, record_id: str) -> None:
        """A command that wrote a record, or wrote from it, is on its way no more."""
        self.landed[account, object, record_id] = None

    def bereave(self, sync: str, link_id: str) -> None:
        """A link lacks a record: one without a link may take its place."""
        self.bereft[sync, link_id] = None

    def doom(self, sync: str, link_id: str, *, confirmed: bool) -> None:
        """A deletion is to be copied. `confirmed`: a person has said so, however many there are."""
        self.doomed[sync, link_id] = confirmed or self.doomed.get((sync, link_id), False)

    # ------------------------------------------------------------ what goes out

    def command(self, account: str, object: str, command: Command) -> None:
        """Sends a command."""
        self._commands.setdefault((account, object), []).append(command)

    def note(
        self,
        sync: str,
        key: str,
        action: str,
        changes: Iterable[FieldChange] = (),
        note: str = "",
        records: tuple[str, ...] = (),
    ) -> None:
        """Writes a decision into the history."""
        self.history.append(HistoryRow(sync, key, action, self.cause, self.now, tuple(changes), note, records))

    def account_orders(self) -> list[AccountOrder]:
        """All that goes to accounts, commands in batches per object that a message can hold."""
        batches: list[AccountOrder] = []
        for (account, object_name), commands in self._commands.items():
            taken: list[Command] = []
            weight = 0
            for command in commands:
                own = _weight(command.values) + _weight(command.expect)
                if taken and (len(taken) == COMMANDS or weight + own > WEIGHT):
                    batches.append(Commands(self.connection.name, account, object_name, tuple(taken)))
                    taken, weight = [], 0
                taken.append(command)
                weight += own
            batches.append(Commands(self.connection.name, account, object_name, tuple(taken)))
        return self.orders + batches

    def state(self) -> dict[bytes, bytes | None]:
        """All state entries that changed."""
        entries: dict[bytes, bytes | None] = {}
        for place in self.changed_images:
            image = self._images[place]
            entries[image_key(*place)] = None if image is None else encode(image)
        for key in self.changed_links:
            link, before = self._links[key], self.links_before[key]
            raw = None if link is None else encode(link)
            if raw != (None if before is None else before[0]):
                entries[link_key(*key)] = raw
        for name, state in self._syncs.items():
            old, new = self.view.get(sync_key(name)), encode(state)
            if name in self.rules.syncs or (old is not None and name not in self.published):
                if new != old:
                    entries[sync_key(name)] = new
            elif old is not None:
                entries[sync_key(name)] = None
        if self._connection_changed:
            entries[CONNECTION] = encode(self.connection)
        return entries

    def indexes(self) -> dict[bytes, bytes | None]:
        """All index entries that changed."""
        self._index()
        return self._indexes


def _indexes_of(place: Place, traits: Traits | None) -> frozenset[bytes]:
    return _NOTHING if traits is None else image_indexes(*place, traits)


def load_connection(raw: bytes | None, name: str) -> Connection:
    """The connection as kept, or a new one."""
    return Connection(name) if raw is None else decode_connection(raw)


def _weight(values: dict[str, Value]) -> int:
    """The characters of text in the values."""
    return sum([len(value) if value.__class__ is str else 8 for value in values.values()])
