"""Who answers to a record: entry and candidates (semantics sections 1 and 2). Reads only; what follows from it is in `rules.entry`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from rules.draft import Draft
from rules.plan import Sync
from rules.seats import place_of
from rules.state import Image, Link, Seat, identifier_prefix

KNOWN = "what is known of them"


class Found(StrEnum):
    """How a record of the other side stands, the one to be preferred first."""

    UNDERWAY = "underway"  # a record of our side is being created for it: this one may be it
    ORPHANED = "orphaned"  # its link has lost the record of our side
    FREE = "free"  # it has no link
    INCOMPLETE = "incomplete"  # it is to be created on our side, which has not been done
    TAKEN = "taken"  # it is linked to another record of our side


class Candidate(msgspec.Struct, frozen=True):
    """A record of the other side that may be the counterpart."""

    found: Found
    id: str
    link: str | None = None
    rival: str | None = None  # the record of our side that it is linked to
    why: str = KNOWN  # what they are to be paired by


def exclusion(sync: Sync, side: int, image: Image, seat: Seat) -> tuple[str, str] | None:
    """Why a record does not enter from its side: reason and message; None where it enters."""
    own = sync.sides[side]
    if not sync.writes[1 - side]:
        return "direction", f"the sync carries nothing out of {own.account}"
    if not own.enters(image.values):
        return "filter", f"the filter of {own.account} keeps it out"
    if sync.require_identifier and not any(seat.identifiers):
        fields = " or ".join(field for field, _ in own.identifiers)
        return "no_identifier", f"{own.account}.{fields} holds no usable identifier"
    return None


def enters_still(draft: Draft, sync: Sync, link: Link) -> bool:
    """Whether the one record of a link that has never had another enters, as it is now: until it is linked, it may yet stay out."""
    side = 1 - link.ids.index(None)
    image = draft.image(*place_of(sync, side, link.ids[side] or ""))
    seat = None if image is None else image.seats.get(sync.name)
    return image is None or image.partial or seat is None or exclusion(sync, side, image, seat) is None


def candidate(draft: Draft, sync: Sync, side: int, record_id: str, *, entered: bool) -> Candidate | None:
    """How a record of the other side stands to one of ours; None where there is none, or neither of the two would enter."""
    image = draft.image(*place_of(sync, 1 - side, record_id))
    seat = None if image is None or image.gone or image.partial else image.seats.get(sync.name)
    if image is None or seat is None:
        return None
    link = None if seat.link is None else draft.link(sync.name, seat.link)
    if link is None:
        free = entered or exclusion(sync, 1 - side, image, seat) is None
        return Candidate(Found.FREE, record_id) if free else None
    if is_creating(link, side):
        return Candidate(Found.UNDERWAY, record_id, seat.link)
    rival = link.ids[side]
    if rival is None:
        return Candidate(Found.INCOMPLETE, record_id, seat.link)
    if link.gone[side] and side not in link.missed:
        return Candidate(Found.ORPHANED, record_id, seat.link, rival)
    return Candidate(Found.TAKEN, record_id, seat.link, rival)


def is_creating(link: Link, side: int) -> bool:
    """Whether a create into the side is on its way."""
    return link.flight is not None and link.flight.op == "create" and link.flight.side == side


def best_candidate(
    draft: Draft, sync: Sync, side: int, record_id: str, image: Image, *, entered: bool
) -> Candidate | None:
    """The record of the other side to pair with: one that is known to be it; by identifiers in order, the oldest first; else one that is taken."""
    taken: Candidate | None = None
    for known in known_pairs(draft, sync, record_id, image):
        found = candidate(draft, sync, side, known, entered=entered)
        if found is not None and found.found is not Found.TAKEN:
            return found
        taken = taken or found
    if next(paired_by_peers(draft, sync, image), None) is not None:
        return taken  # whom another sync has paired matches nobody else
    for number, value in enumerate(image.seats[sync.name].identifiers):
        if value is None:
            continue
        by_kind: dict[Found, Candidate] = {}
        for key in draft.scan(identifier_prefix(sync.name, 1 - side, number, value)):
            found = candidate(draft, sync, side, key.rpartition(b"\0")[2].decode(), entered=entered)
            if found is not None and draft.rules.peers[sync.name]:
                found = _unless_paired(draft, sync, side, record_id, found)
            if found is not None and found.rival != record_id:
                by_kind.setdefault(found.found, found)
        for kind in (Found.UNDERWAY, Found.ORPHANED, Found.FREE, Found.INCOMPLETE):
            if kind in by_kind:
                return msgspec.structs.replace(by_kind[kind], why=f"{sync.identifier_types[number]} {value}")
        taken = taken or by_kind.get(Found.TAKEN)
    return taken


def _unless_paired(draft: Draft, sync: Sync, side: int, record_id: str, found: Candidate) -> Candidate:
    """A candidate that another sync has paired with another record is taken by that."""
    image = draft.image(*place_of(sync, 1 - side, found.id))
    rivals = [] if image is None else list(paired_by_peers(draft, sync, image))
    rival = next(iter(rivals), None)
    if rival is None or record_id in rivals:
        return found
    return msgspec.structs.replace(found, found=Found.TAKEN, rival=rival)


def known_free(draft: Draft, sync: Sync, side: int, record_id: str, image: Image) -> str | None:
    """A record of the other side without a link that is known, without any identifier, to be the counterpart of one that has entered."""
    for known in known_pairs(draft, sync, record_id, image):
        found = candidate(draft, sync, side, known, entered=True)
        if found is not None and found.found is Found.FREE:
            return found.id
    return None


def known_pairs(draft: Draft, sync: Sync, record_id: str, image: Image) -> Iterator[str]:
    """Ids of the other side's records with which the accounts, or other syncs of the same two objects, pair it."""
    others: list[str] = []
    if draft.sync(sync.name).remembers:
        side = image.seats[sync.name].side
        own, other = sync.sides[side], sync.sides[1 - side]
        for name, account, object_name, paired in image.pairs:
            if (account, object_name) == (other.account, other.object.name):
                if name == sync.name:
                    yield paired
                else:
                    others.append(paired)
        prefix = f"p{sync.name}\0{own.account}\0{own.object.name}\0{record_id}\0".encode()
        others += [key.rpartition(b"\0")[2].decode() for key in draft.scan(prefix)]
    # What another sync has paired now goes before what an account remembers of an earlier pair.
    yield from list(paired_by_peers(draft, sync, image)) or others


def paired_by_peers(draft: Draft, sync: Sync, image: Image) -> Iterator[str]:
    """The records of the other side with which other syncs of the same two objects have paired one."""
    for name in draft.rules.peers[sync.name]:
        peer = image.seats.get(name)
        link = None if peer is None or peer.link is None else draft.link(name, peer.link)
        if peer is not None and link is not None and not any(link.gone):
            theirs = link.ids[1 - peer.side]
            if theirs is not None:
                yield theirs


def created_by_peer(draft: Draft, sync: Sync, image: Image) -> str | None:
    """Another sync of the same two objects that is creating the counterpart just now: one create of a record at a time."""
    for name in draft.rules.peers[sync.name]:
        peer = image.seats.get(name)
        link = None if peer is None or peer.link is None else draft.link(name, peer.link)
        if peer is not None and link is not None and is_creating(link, 1 - peer.side):
            return name
    return None


def written_by_peer(
    draft: Draft, sync: Sync, link: Link, target: int, fields: Mapping[str, str]
) -> tuple[str, int] | None:
    """Another sync of the same two objects that is writing one of these fields just now, or one that they come from, and the side of the record that
    both have. Two that write the same at once would exchange its values for ever.

    `fields`: the field to write into the record of side `target`, and that of the other which it comes from.
    """
    for name in draft.rules.peers[sync.name]:
        for side in (0, 1):
            image = draft.image(*place_of(sync, side, link.ids[side] or ""))
            peer = None if image is None else image.seats.get(name)
            theirs = None if peer is None or peer.link is None else draft.link(name, peer.link)
            if peer is None or theirs is None or theirs.flight is None or theirs.waits is not None:
                continue
            into = side if theirs.flight.side == peer.side else 1 - side
            touched = fields.keys() if into == target else fields.values()
            if theirs.status == "pending" and any(field in theirs.flight.values for field in touched):
                return name, side
    return None


def claimed_twin(draft: Draft, sync: Sync, side: int, record_id: str, seat: Seat) -> str | None:
    """A record of its own side with an equal identifier that has entered and has no counterpart now: its twin, with the older claim."""
    for number, value in enumerate(seat.identifiers):
        if value is None:
            continue
        for key in draft.scan(identifier_prefix(sync.name, side, number, value)):
            twin = key.rpartition(b"\0")[2].decode()
            image = None if twin == record_id else draft.image(*place_of(sync, side, twin))
            theirs = None if image is None else image.seats.get(sync.name)
            link = None if theirs is None or theirs.link is None else draft.link(sync.name, theirs.link)
            if link is not None and (link.ids[1 - side] is None or link.gone[1 - side]):
                return twin
    return None
