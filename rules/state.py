"""What a connection remembers: its structs, their keys, and the indexes that follow from them.

Everything that affects the meaning of stored state lives here. State entries are logged; index entries are derived from one
state entry each, live on the disk only, and are made again by `index_changes` when the state is recovered.

| key                                       | holds                                                              |
|-------------------------------------------|--------------------------------------------------------------------|
| `C`                                       | the connection: its rules as applied, marks on their way           |
| `S sync`                                  | `SyncState`                                                        |
| `R account object id`                     | `Image`: the last known record, and its seat in each sync          |
| `L sync link`                             | `Link`                                                             |
| `i sync side identifier value age id`     | index: records by identifier, the oldest first                     |
| `u sync side age id`                      | index: records without a link, the oldest first                    |
| `q sync side id`                          | index: records without a link whose account remembers a pair       |
| `p sync account object id other`          | index: the same, by the record that it is paired with              |
| `t account object id`                     | index: deleted records that no link needs                          |
| `h sync turn key`                         | index: records and links that wait for an answer to another's      |
| `b sync side offset id`                   | index: records that wait for creates that leave no token           |
| `f sync number link`                      | index: links with a command on its way, by its number              |
| `w account sync number link`              | index: links that wait for an account, by the number of what waits |
| `c sync side offset link`                 | index: links with a create on its way that leaves no token         |
| `a sync side id sync link`                | index: links that await the counterpart of a record, or a code     |
| `k account object code age id`            | index: records by the fields, other than the id, that refer to them |
| `o account id sync key`                   | index: records and links that name a record in their way           |

The parts of a key are separated by a zero byte; numbers are 16 hexadecimal digits. Where an index holds both records and
links, a zero byte follows the names of records.
"""

from __future__ import annotations

import msgspec

from rules.catalog import Value
from rules.version import Version

Values = dict[str, Value]
SEPARATOR = b"\0"


class Seat(msgspec.Struct, array_like=True):
    """A record's place in one sync: linked, or alone with a status."""

    side: int
    link: str | None = None
    identifiers: tuple[str | None, ...] = ()  # normalised, in the order of the sync's identifiers
    status: str = "pending"
    category: str | None = None
    message: str | None = None
    since: float = 0.0
    other: str | None = None  # "account:id" of the record in its way, or whose command it waits for
    read: str = ""  # the full read that met it last; with `?`: the log or an answer spoke of it since that began
    turn: int = 0  # while it waits for an answer: its place among the commands of the sync
    behind: int = 0  # it waits for the creates sent before this offset, which leave no token
    aside: bool = False  # a link bears its name, so that its row stands beside that


class Image(msgspec.Struct, array_like=True):
    """The last known whole record, also of one that was deleted (`gone`)."""

    version: Version
    values: Values
    age: str  # sorts as the record's age does
    seats: dict[str, Seat]
    gone: bool = False
    pairs: tuple[tuple[str, str, str, str], ...] = ()  # sync, account, object, id: what the account remembers
    partial: bool = False  # the whole record has not been seen: it is being read
    origins: dict[
        str, str
    ] = {}  # field: the event that told of its value; "" for all others. Empty: the log has not told yet
    codes: tuple[str, ...] = ()  # see `rules.merge.code_of`: by what others refer to it, where that is not the id


class Flight(msgspec.Struct, array_like=True):
    """The command on its way. `sources`: the values of the other side that it was made from; they become its base when it is done."""

    number: int  # of all commands of the sync
    side: int
    op: str
    sequence: int
    token: str
    values: Values
    expect: Values
    sources: Values
    sent: float
    committed_at: float = 0.0
    blind: int = 0  # the offset at which it was sent, of a create whose token does not come by with what it makes


class Refusal(msgspec.Struct, array_like=True):
    """What the target refused for good: `digest` of the command, or one field's value."""

    digest: str
    category: str
    message: str
    field: str | None = None
    other: str | None = None


class Link(msgspec.Struct, array_like=True):
    """A pair of records, one of each side; one side's id is None while it is being created."""

    ids: list[str | None]
    bases: dict[
        str, tuple[Value, Value]
    ]  # mapping -> values of both sides when last reconciled; absent: merged as at linking
    birth: str  # tells this link from an earlier one of the same name, in tokens
    sequence: int = 0
    flight: Flight | None = None
    status: str = "pending"
    category: str | None = None
    message: str | None = None
    since: float = 0.0
    other: str | None = None  # "account:id" of the record in its way, or whose command it waits for
    gone: list[bool] = msgspec.field(default_factory=lambda: [False, False])
    refusals: list[Refusal] = []
    waits: str | None = None  # the account that is down or throttled
    number: int = 0  # of the next command, counted from when it was first called for
    awaits: list[tuple[str, int, str]] = []  # counterparts awaited: sync, side, id
    recent: dict[str, list[tuple[Value, float]]] = {}  # per mapping: values it was given lately, to find loops
    restoring: int | None = None  # the side into which it is being restored
    touched: float = 0.0  # when the oldest change that is still on its way was committed
    merged: str | None = None  # the survivor: the record that is gone was merged into it
    missed: list[
        int
    ] = []  # sides whose record only a write has noticed to be gone: the log may yet tell that it has another id
    doomed: bool = False  # the deletion goes on to the other side
    unsure: dict[
        str, tuple[int, int, Value]
    ] = {}  # mapping -> side, command, value written: its answer told of another
    unexplained: int = 0  # conflicts in a row that showed no difference
    disputed: dict[
        str, tuple[int, Value, str]
    ] = {}  # mapping -> side, value that lost a conflict, event that won; the log has not told of the lost one yet
    watches: list[
        tuple[str, int, str]
    ] = []  # sync, side, code: references by another field than the id, which may come to mean another
    revive: list[int] = []  # sides to restore, one after the other, of a pair that the state had forgotten
    owed: dict[
        str, tuple[str, str]
    ] = {}  # mapping -> old ids of the pair that was referred to: it comes back under others
    put_off: Flight | None = None  # an update that was deferred: the log may tell that it had been done before


class ReadState(msgspec.Struct, array_like=True):
    """A full read of one side."""

    id: str
    done: bool = False  # and the log has told what was committed before its end
    rows: int = 0
    whole: bool = False  # all its pages are there
    began: Version | None = None  # of the first record met: the whole of the read came later


class Work(msgspec.Struct, array_like=True):
    """Work that exceeds one event, done in slices: where it stands, and the number of the tick that carries it on.

    A tick with another number is an old one come twice, and is dropped: so that there is one chain of ticks, however often one is repeated.
    """

    cursor: str = ""  # hexadecimal: the key after which it goes on
    number: int = 0


class SyncState(msgspec.Struct, omit_defaults=True):
    """Where a sync stands."""

    stage: str = "reading"  # forgetting | reading | missing | pairs | match | create | settle | live
    off: bool = False
    stopped: str = ""  # the reason, while it is stopped
    reads: dict[str, ReadState] = {}
    known: bool = False  # records are known but for the pages of the running read: those that it does not meet are gone
    log_lost: bool = False  # a log began anew while the sync was stopped
    part: int = 0  # of the stage: which identifier, which side
    settle: int = 0  # commands issued when the first sync had created all: it is live when they are answered
    counts: dict[str, int] = {}
    matched: int = 0
    created: int = 0
    issued: int = 0
    conflicts: int = 0
    links: int = 0
    works: dict[str, Work] = {}  # work under way in slices, by name
    dropped: list[str] = []  # mappings that were edited or removed: their bases are forgotten
    answered: dict[str, int] = {}
    told: dict[str, tuple[int, int]] = {}  # account: position and step up to which its log has been taken in
    logged: dict[str, int] = {}  # account: commands issued when its log last began anew
    lost: list[str] = []  # accounts whose log the running read, or the next, stands in for
    confirmed: bool = False  # a person has confirmed that the records which the read misses are gone
    deletes: dict[int, int] = {}  # minute: deletions copied in it
    resent: float = 0.0  # when commands without an answer were last looked for
    swept: float = 0.0  # when forgotten records were last looked through
    remembers: bool = False  # an account has told of a pair that it remembers
    moved: bool = False  # a link no longer holds the record that it is named after
    changed: bool = False  # since its row was last published
    woken: bool = False  # switched on again, and not all is read yet: what logs tell of deletions may be from before
    vacant: bool = False  # a link lacks a record, and what may take the place waits until the full read is over


class Mark(msgspec.Struct, omit_defaults=True):
    """A `wait` on its way: which accounts' logs it has come by in, and for which syncs it is still open."""

    at: float
    accounts: list[str] = []
    ordered: bool = False
    sync: str | None = None
    open: dict[str, int] = {}  # sync: the commands issued when the mark was complete


class Connection(msgspec.Struct, omit_defaults=True):
    """The connection as applied."""

    name: str
    version: int = 0
    document: str = "{}"
    marks: dict[str, Mark] = {}
    down: dict[str, str] = {}  # account: why it is down
    throttled: list[str] = []  # those of them that throttle
    fields: dict[str, dict[str, list[str]]] = {}  # account, object: mapped fields that are no longer there


CONNECTION = b"C"


def _key(kind: bytes, *parts: str) -> bytes:
    return kind + SEPARATOR.join([part.encode() for part in parts])


def sync_key(sync: str) -> bytes:
    """Where a sync's state is kept."""
    return _key(b"S", sync)


def image_key(account: str, object: str, record_id: str) -> bytes:
    """Where a record's image is kept."""
    return b"R" + f"{account}\0{object}\0{record_id}".encode()


def link_key(sync: str, link: str) -> bytes:
    """Where a link is kept."""
    return b"L" + f"{sync}\0{link}".encode()


def number_text(number: int) -> str:
    """A number as it sorts in keys."""
    return f"{number:016x}"


def identifier_prefix(sync: str, side: int, identifier: int, value: str | None = None) -> bytes:
    """The start of the index entries of an identifier, or of one value of it."""
    head = f"i{sync}\0{side}\0{identifier}\0"
    return (head if value is None else f"{head}{_plain(value)}\0").encode()


def _plain(text: str) -> str:
    return text.replace("\0", "\1")


def parts(key: bytes) -> list[str]:
    """The parts of a key, without its kind."""
    return key[1:].decode().split("\0")


_decode_image = msgspec.msgpack.Decoder(Image).decode
_decode_link = msgspec.msgpack.Decoder(Link).decode
_decode_sync = msgspec.msgpack.Decoder(SyncState).decode
_decode_connection = msgspec.msgpack.Decoder(Connection).decode
encode = msgspec.msgpack.Encoder().encode


def decode_image(raw: bytes) -> Image:
    """An image out of its bytes."""
    return _decode_image(raw)


def decode_link(raw: bytes) -> Link:
    """A link out of its bytes."""
    return _decode_link(raw)


def decode_sync(raw: bytes) -> SyncState:
    """A sync's state out of its bytes."""
    return _decode_sync(raw)


def decode_connection(raw: bytes) -> Connection:
    """The connection out of its bytes."""
    return _decode_connection(raw)


_RECORD = "\0"  # ends a record's name in an index where links have names too, one of which may be the same
_Alone = tuple[str | None, int, int]  # whom it names, its turn, behind which creates: of a seat without a link
_SeatTraits = tuple[str, int, tuple[str | None, ...], _Alone | None]  # sync, side, identifiers
Traits = tuple[bool, str, tuple[tuple[str, str, str, str], ...], tuple[_SeatTraits, ...], tuple[str, ...]]


def image_traits(image: Image) -> Traits:
    """What of an image its index entries follow from: where these are the same, so are those."""
    hidden = image.gone or image.partial
    return (
        hidden,
        "" if hidden else image.age,
        image.pairs,
        tuple(
            [
                (
                    sync,
                    seat.side,
                    tuple(seat.identifiers),
                    (seat.other, seat.turn, seat.behind) if seat.link is None else None,
                )
                for sync, seat in image.seats.items()
            ]
        ),
        image.codes,
    )


def image_indexes(account: str, object: str, record_id: str, traits: Traits) -> frozenset[bytes]:
    """The index entries that follow from an image."""
    hidden, age, pairs, seats, codes = traits
    if hidden:
        linked = any(alone is None for _, _, _, alone in seats)
        return frozenset() if linked else frozenset((_key(b"t", account, object, record_id),))
    tail = f"{age}\0{record_id}"
    entries = {f"k{account}\0{object}\0{code}\0{tail}".encode() for code in codes}
    for sync, side, identifiers, alone in seats:
        for number, value in enumerate(identifiers):
            if value is not None:
                entries.add(f"i{sync}\0{side}\0{number}\0{_plain(value)}\0{tail}".encode())
        if alone is None:
            continue
        other, turn, behind = alone
        entries.add(f"u{sync}\0{side}\0{tail}".encode())
        if pairs:
            entries.add(f"q{sync}\0{side}\0{record_id}".encode())
            for _, other_account, other_object, other_id in pairs:
                entries.add(f"p{sync}\0{other_account}\0{other_object}\0{other_id}\0{record_id}".encode())
        if other:
            entries.add(f"o{_named(other)}\0{sync}\0{account}:{record_id}{_RECORD}".encode())
        if turn:
            entries.add(f"h{sync}\0{turn:016x}\0{account}:{record_id}{_RECORD}".encode())
        if behind:
            entries.add(f"b{sync}\0{side}\0{behind:016x}\0{record_id}".encode())
    return frozenset(entries)


def _named(reference: str) -> str:
    """`account:id` as two parts of a key."""
    account, _, record_id = reference.partition(":")
    return f"{account}\0{record_id}"


def link_indexes(sync: str, link_id: str, link: Link) -> frozenset[bytes]:
    """The index entries that follow from a link."""
    entries: set[bytes] = set()
    flight = link.flight
    if link.waits:
        number = link.number if flight is None else flight.number
        entries.add(f"w{link.waits}\0{sync}\0{number:016x}\0{link_id}".encode())
    elif flight is not None:
        if link.status == "pending":  # one that is failing was lost: a person looks after it
            entries.add(f"f{sync}\0{flight.number:016x}\0{link_id}".encode())
    elif link.number:
        entries.add(f"h{sync}\0{link.number:016x}\0{link_id}".encode())
    if flight is not None and flight.blind:
        entries.add(f"c{sync}\0{flight.side}\0{flight.blind:016x}\0{link_id}".encode())
    for awaited_sync, side, record_id in (*link.awaits, *link.watches) if link.watches else link.awaits:
        entries.add(f"a{awaited_sync}\0{side}\0{record_id}\0{sync}\0{link_id}".encode())
    if link.other:
        entries.add(f"o{_named(link.other)}\0{sync}\0{link_id}".encode())
    return frozenset(entries)


def _indexes_of(key: bytes, raw: bytes | None) -> frozenset[bytes]:
    if raw is None:
        return frozenset()
    if key[:1] == b"R":
        account, object, record_id = parts(key)
        return image_indexes(account, object, record_id, image_traits(decode_image(raw)))
    if key[:1] == b"L":
        sync, link_id = parts(key)
        return link_indexes(sync, link_id, decode_link(raw))
    return frozenset()


def index_changes(key: bytes, old: bytes | None, new: bytes | None) -> dict[bytes, bytes | None]:
    """The index entries to put and delete when the state entry `key` goes from `old` to `new`."""
    before, after = _indexes_of(key, old), _indexes_of(key, new)
    changes: dict[bytes, bytes | None] = dict.fromkeys(before - after)
    changes.update(dict.fromkeys(after - before, b""))
    return changes
