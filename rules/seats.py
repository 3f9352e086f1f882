"""Who sits in which link: links are made, records take and leave their places, links are forgotten.

Responsible for keeping both ends of a seat, the record's image and the link, at one. Must not know values, commands or why.
"""

from __future__ import annotations

from rules.draft import Draft, Place
from rules.plan import Sync
from rules.state import Image, Link, Seat


def place_of(sync: Sync, side: int, record_id: str) -> Place:
    """Where the image of a record of one side is kept."""
    own = sync.sides[side]
    return own.account, own.object.name, record_id


def reference(sync: Sync, side: int, record_id: str | None) -> str:
    """A record's name for people, and in `other`: `account:id`."""
    return f"{sync.sides[side].account}:{record_id}"


def side_image(draft: Draft, sync: Sync, link: Link, side: int) -> Image | None:
    """The image of a link's record on one side, if the whole record is known."""
    record_id = link.ids[side]
    image = None if record_id is None else draft.image(*place_of(sync, side, record_id))
    return None if image is None or image.partial else image


def new_link(draft: Draft, sync: Sync, side: int, record_id: str) -> tuple[str, Link]:
    """A link named after the record that it begins with, seated there."""
    image = draft.image(*place_of(sync, side, record_id))
    assert image is not None
    first = reference(sync, side, record_id)
    name, number = first, 1
    while draft.link(sync.name, name) is not None:
        number += 1
        name = f"{first}~{number}"
    # Answers name a link and a sequence: by beginning with the offset, those to an earlier link of the same name are told apart.
    birth = f"{image.version.position:x}.{draft.offset:x}"
    link = Link([None, None], {}, birth, sequence=2 * draft.offset, since=draft.now)
    draft.sync(sync.name).links += 1
    seat_record(draft, sync, side, record_id, name, link)
    return name, link


def seat_record(draft: Draft, sync: Sync, side: int, record_id: str, link_id: str, link: Link) -> None:
    """Gives a record its place in a link."""
    place = place_of(sync, side, record_id)
    image = draft.image(*place)
    if image is not None:
        seat = image.seats.get(sync.name)
        if seat is None:
            identifiers = () if image.partial else sync.normalised(side, image.values)
            seat = image.seats[sync.name] = Seat(side, None, identifiers)
        link.number = min(link.number or seat.turn, seat.turn or link.number)
        seat.link, seat.status, seat.category, seat.message, seat.other = link_id, "pending", None, None, None
        seat.turn, seat.behind = 0, 0
        draft.save_image(place, image)
    link.ids[side] = record_id


def leave(draft: Draft, sync: Sync, side: int, link: Link) -> None:
    """Takes a link's record of one side out of it; an image that nothing needs is forgotten."""
    record_id = link.ids[side]
    if record_id is None:
        return
    link.ids[side] = None
    link.unsure = {key: unsure for key, unsure in link.unsure.items() if unsure[0] != side}
    draft.sync(sync.name).moved = True
    place = place_of(sync, side, record_id)
    image = draft.image(*place)
    if image is None:
        return
    image.seats.pop(sync.name, None)
    if image.gone and not image.seats:
        draft.bury(place, image)
    else:
        draft.save_image(place, image)


def forget(draft: Draft, sync: Sync, link_id: str, link: Link) -> None:
    """Neither side has a record any more: nothing is left to keep the same."""
    draft.note(sync.name, link_id, "forgotten", note="no record of it is left")
    for side in (0, 1):
        record_id = link.ids[side]
        if record_id is not None:
            draft.stir(*place_of(sync, side, record_id))
        leave(draft, sync, side, link)
    draft.save_link(sync.name, link_id, None)
    draft.sync(sync.name).links -= 1


def dissolve(draft: Draft, sync: Sync, side: int, record_id: str) -> bool:
    """Frees a record from a link that holds no other and does nothing about it, since its counterpart has been found; whether it is free."""
    image = draft.image(*place_of(sync, side, record_id))
    seat = None if image is None else image.seats.get(sync.name)
    if image is None or seat is None or seat.link is None:
        return True
    link_id, link = seat.link, draft.link(sync.name, seat.link)
    if link is not None:
        if link.flight is not None or link.missed or not (link.ids[1 - side] is None or link.gone[1 - side]):
            return False
        leave(draft, sync, 1 - side, link)
        draft.note(
            sync.name, link_id, "forgotten", note=f"{reference(sync, side, record_id)} has found its counterpart"
        )
        draft.save_link(sync.name, link_id, None)
        draft.sync(sync.name).links -= 1
    seat.link = None
    draft.save_image(place_of(sync, side, record_id), image)
    return True


def is_told(link: Link, side: int) -> None:
    """What became of a record is known: no write alone speaks of it any more."""
    if side in link.missed:
        link.missed = [one for one in link.missed if one != side]


def has_lost(link: Link) -> bool:
    """Whether a record of the link is gone, and nothing is on its way that may tell more."""
    return any(link.gone) and link.flight is None and link.waits is None


def claims(draft: Draft, sync: Sync, link: Link) -> None:
    """The link has changed: what names one of its records, or awaits one, is looked at again at the end of the event."""
    tell(draft, sync, link)
    for side in (0, 1):
        record_id = link.ids[side]
        if record_id is not None:
            draft.stir(*place_of(sync, side, record_id))


def tell(draft: Draft, sync: Sync, link: Link) -> None:
    """Whether the records of a link have counterparts is otherwise now: what awaits one of them is told at the end of the event."""
    for side in (0, 1):
        record_id = link.ids[side]
        if record_id is not None:
            draft.decided(sync.name, side, record_id)
