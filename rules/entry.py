"""Entry and matching: what becomes of a record that has no link (semantics sections 1 and 2)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from rules.draft import Draft, Place
from rules.links import touch
from rules.plan import Sync
from rules.state import Image, Link, Seat, identifier_prefix

JUDGING = ("create", "settle", "live")  # the stages in which a record without a link is judged as it comes


class Found(StrEnum):
    """How a record of the other side answers to an identifier."""

    FREE = "free"  # it has no link
    ORPHANED = "orphaned"  # its link has lost the record of our side
    INCOMPLETE = "incomplete"  # it is to be created on our side, which has not been done
    TAKEN = "taken"  # it is linked to another record of our side


class Candidate(msgspec.Struct, frozen=True):
    """A record of the other side with an equal identifier."""

    found: Found
    id: str
    link: str | None = None
    rival: str | None = None  # the record of our side that it is linked to


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


def judge(draft: Draft, sync: Sync, side: int, place: Place, image: Image) -> None:
    """Links a record that has no link, creates its counterpart, or shows why neither."""
    seat = image.seats[sync.name]
    state = draft.sync(sync.name)
    seat.other = None
    if sync.off or state.stopped:
        draft.save_image(place, image)
        return
    if state.stage not in JUDGING:
        _alone(draft, seat, "pending", None, "waits until both sides have been read")
        draft.save_image(place, image)
        return
    known = _known_counterpart(draft, sync, side, image)
    if known is not None:
        make_link(draft, sync, side, place[2], known)
        return
    excluded = exclusion(sync, side, image, seat)
    best = _best_candidate(draft, sync, side, place[2], seat, entered=excluded is None)
    if best is not None and best.found is not Found.TAKEN:
        _take(draft, sync, side, place[2], best)
    elif excluded is not None:
        _alone(draft, seat, "excluded", *excluded)
        draft.save_image(place, image)
    elif best is not None:
        _duplicate(draft, sync, side, place, image, best.rival or "", best.id)
    else:
        twin = _claimed_twin(draft, sync, side, place[2], seat)
        if twin is not None:
            _duplicate(draft, sync, side, place, image, twin, None)
        else:
            begin(draft, sync, side, place[2])


def _alone(draft: Draft, seat: Seat, status: str, category: str | None, message: str | None) -> None:
    if (status, category) != (seat.status, seat.category) or not seat.since:
        seat.since = draft.now
    seat.status, seat.category, seat.message = status, category, message


def _duplicate(
    draft: Draft, sync: Sync, side: int, place: Place, image: Image, rival: str, counterpart: str | None
) -> None:
    seat, own, other = image.seats[sync.name], sync.sides[side].account, sync.sides[1 - side].account
    claim = f"{other}:{counterpart}" if counterpart is not None else f"the counterpart in {other}"
    seat.other = f"{own}:{rival}"
    _alone(draft, seat, "failing", "duplicate", f"{own}:{place[2]} and {own}:{rival} both claim {claim}")
    draft.save_image(place, image)


# ---------------------------------------------------------------- who answers to it


def _known_counterpart(draft: Draft, sync: Sync, side: int, image: Image) -> str | None:
    """A record of the other side that is known to be its counterpart, without any identifier, and is free."""
    other = sync.sides[1 - side]
    for _, account, object_name, record_id in image.pairs:
        if (account, object_name) == (other.account, other.object.name) and _is_free(draft, sync, side, record_id):
            return record_id
    for name, seat in image.seats.items():
        peer = draft.rules.syncs.get(name)
        if peer is None or seat.link is None or name == sync.name:
            continue
        if peer.sides[1 - seat.side].object.name == other.object.name:
            link = draft.link(name, seat.link)
            theirs = None if link is None or any(link.gone) else link.ids[1 - seat.side]
            if theirs is not None and _is_free(draft, sync, side, theirs):
                return theirs
    return None


def _is_free(draft: Draft, sync: Sync, side: int, record_id: str) -> bool:
    other = sync.sides[1 - side]
    image = draft.image(other.account, other.object.name, record_id)
    if image is None or image.gone:
        return False
    seat = image.seats.get(sync.name)
    return seat is not None and seat.link is None


def _best_candidate(
    draft: Draft, sync: Sync, side: int, record_id: str, seat: Seat, *, entered: bool
) -> Candidate | None:
    """The record of the other side to pair with: identifiers in order, the oldest first; else one that is taken; else None."""
    taken: Candidate | None = None
    for number, value in enumerate(seat.identifiers):
        if value is None:
            continue
        by_kind: dict[Found, Candidate] = {}
        for key in draft.scan(identifier_prefix(sync.name, 1 - side, number, value)):
            candidate = _candidate(draft, sync, side, key[1:].decode().split("\0")[-1], entered=entered)
            if candidate is not None and candidate.rival != record_id:
                by_kind.setdefault(candidate.found, candidate)
        for found in (Found.ORPHANED, Found.FREE, Found.INCOMPLETE):
            if found in by_kind:
                return by_kind[found]
        taken = taken or by_kind.get(Found.TAKEN)
    return taken


def _candidate(draft: Draft, sync: Sync, side: int, record_id: str, *, entered: bool) -> Candidate | None:
    other = sync.sides[1 - side]
    image = draft.image(other.account, other.object.name, record_id)
    seat = None if image is None or image.gone else image.seats.get(sync.name)
    if image is None or seat is None:
        return None
    link = None if seat.link is None else draft.link(sync.name, seat.link)
    if seat.link is None or link is None:
        free = entered or exclusion(sync, 1 - side, image, seat) is None
        return Candidate(Found.FREE, record_id) if free else None
    rival = link.ids[side]
    if rival is None:
        return Candidate(Found.INCOMPLETE, record_id, seat.link) if link.flight is None else None
    if link.gone[side] and link.restoring is None:
        return Candidate(Found.ORPHANED, record_id, seat.link, rival)
    return Candidate(Found.TAKEN, record_id, seat.link, rival)


def _claimed_twin(draft: Draft, sync: Sync, side: int, record_id: str, seat: Seat) -> str | None:
    """A record of its own side with an equal identifier whose counterpart is still to be created: its twin, and the older claim."""
    own = sync.sides[side]
    for number, value in enumerate(seat.identifiers):
        if value is None:
            continue
        for key in draft.scan(identifier_prefix(sync.name, side, number, value)):
            twin = key[1:].decode().split("\0")[-1]
            image = None if twin == record_id else draft.image(own.account, own.object.name, twin)
            theirs = None if image is None else image.seats.get(sync.name)
            link = None if theirs is None or theirs.link is None else draft.link(sync.name, theirs.link)
            if link is not None and link.ids[1 - side] is None:
                return twin
    return None


# ---------------------------------------------------------------- linking


def new_link(draft: Draft, sync: Sync, side: int, record_id: str) -> tuple[str, Link]:
    """A link named after the record that it begins with, seated there."""
    own = sync.sides[side]
    image = draft.image(own.account, own.object.name, record_id)
    assert image is not None
    name, number = f"{own.account}:{record_id}", 1
    while draft.link(sync.name, name) is not None:
        number += 1
        name = f"{own.account}:{record_id}~{number}"
    link = Link([None, None], [{}, {}], f"{image.version.position:x}.{draft.offset:x}", since=draft.now)
    draft.sync(sync.name).links += 1
    seat_record(draft, sync, side, record_id, name, link)
    return name, link


def seat_record(draft: Draft, sync: Sync, side: int, record_id: str, link_id: str, link: Link) -> None:
    """Gives a record its place in a link."""
    own = sync.sides[side]
    image = draft.image(own.account, own.object.name, record_id)
    if image is not None:
        seat = image.seats.get(sync.name)
        if seat is None:
            seat = image.seats[sync.name] = Seat(side)
        seat.link, seat.status, seat.category, seat.message, seat.other = link_id, "pending", None, None, None
        draft.save_image((own.account, own.object.name, record_id), image)
    link.ids[side] = record_id


def make_link(draft: Draft, sync: Sync, side: int, record_id: str, counterpart: str) -> None:
    """Pairs two records and merges them."""
    first = (side, record_id) if side == 0 else (1 - side, counterpart)
    second = (1, counterpart if side == 0 else record_id)
    name, link = new_link(draft, sync, first[0], first[1])
    seat_record(draft, sync, second[0], second[1], name, link)
    state = draft.sync(sync.name)
    if state.stage != "live":
        state.matched += 1
    draft.note(
        sync.name,
        name,
        "linked",
        note=f"{sync.sides[0].account}:{link.ids[0]} with {sync.sides[1].account}:{link.ids[1]}",
    )
    linked(draft, sync, name, link)


def begin(draft: Draft, sync: Sync, side: int, record_id: str) -> None:
    """Links a record to a counterpart that is to be created."""
    name, link = new_link(draft, sync, side, record_id)
    touch(draft, sync, name, link)


def linked(draft: Draft, sync: Sync, link_id: str, link: Link) -> None:
    """What follows when both records of a link are known: it is merged, and references that awaited it are written."""
    touch(draft, sync, link_id, link)
    if None not in link.ids:
        for side in (0, 1):
            for key in draft.scan(f"a{sync.name}\0{side}\0{link.ids[side]}\0".encode()):
                waiting_sync, waiting_link = key[1:].decode().split("\0")[3:5]
                other, found = draft.rules.syncs.get(waiting_sync), draft.link(waiting_sync, waiting_link)
                if other is not None and found is not None:
                    touch(draft, other, waiting_link, found)


def _take(draft: Draft, sync: Sync, side: int, record_id: str, candidate: Candidate) -> None:
    if candidate.link is None:
        make_link(draft, sync, side, record_id, candidate.id)
        return
    link = draft.link(sync.name, candidate.link)
    assert link is not None
    if candidate.found is Found.ORPHANED:
        leave(draft, sync, side, link)
    link.bases, link.gone[side] = [{}, {}], False
    seat_record(draft, sync, side, record_id, candidate.link, link)
    draft.note(sync.name, candidate.link, "linked", note=f"{sync.sides[side].account}:{record_id} takes the place")
    linked(draft, sync, candidate.link, link)


def leave(draft: Draft, sync: Sync, side: int, link: Link) -> None:
    """Takes a link's record of one side out of it; an image that nothing needs is forgotten."""
    record_id, own = link.ids[side], sync.sides[side]
    if record_id is None:
        return
    link.ids[side] = None
    place = (own.account, own.object.name, record_id)
    image = draft.image(*place)
    if image is None:
        return
    image.seats.pop(sync.name, None)
    draft.save_image(place, None if image.gone and not image.seats else image)
