"""Records that are gone: how a deletion or a merge is shown, and how a deletion is copied where the sync does that (semantics section 6)."""

from __future__ import annotations

from rules.draft import Draft, Place
from rules.events import Row
from rules.links import look_after, touch
from rules.plan import Sync
from rules.seats import claims, is_told, place_of, reference, seat_record, side_image, tell
from rules.sending import Write, read_token, send
from rules.state import Image, Link, Refusal, Seat, Values
from rules.values import is_empty
from rules.version import NEVER

MINUTES = 10  # `max_deletes` counts what was copied within so many


def delete(draft: Draft, place: Place, image: Image | None, row: Row) -> None:
    """An account says that a record is gone. One without a time was looked for and not found; that alone copies no deletion."""
    told = row.committed_at > 0
    if image is None:
        draft.bury(place, Image(row.version, {}, "", {}, gone=True))
    elif row.version.newer_than(image.version):
        was_gone, image.version = image.gone and not image.partial, row.version
        image.gone, image.partial = True, False
        if not was_gone:
            vanish(draft, place, image, told=told, token=row.token)
        elif told:
            _doom_links(draft, place, image, row.token)
            draft.save_image(place, image)


def vanish(
    draft: Draft, place: Place, image: Image, *, told: bool, token: str | None = None, missed: bool = False
) -> None:
    """A record is gone from its account: its links show it, or are forgotten if nothing is left of them.

    `told`: the account's log says so, or a person has confirmed it, so that it may be copied, but by the link whose command (`token`) did it.
    `missed`: only a write has noticed it, and the log may yet tell that the record has another id.
    """
    image.gone = True
    draft.save_image(place, image)
    for sync, side in draft.uses(place[0], place[1]):
        draft.decided(sync.name, side, place[2])
        seat = image.seats.get(sync.name)
        link = None if seat is None or seat.link is None else draft.link(sync.name, seat.link)
        if seat is None or seat.link is None or link is None:
            image.seats.pop(sync.name, None)
            continue
        lose(draft, sync, side, (seat.link, link), doomed=told and not _is_its_own(link, side, token), missed=missed)
        touch(draft, sync, seat.link, link)
    if image.seats:
        draft.save_image(place, image)
    else:
        draft.bury(place, image)
    draft.stir(*place)


def lose(draft: Draft, sync: Sync, side: int, named: tuple[str, Link], *, doomed: bool, missed: bool) -> None:
    """A link's record is gone: see `vanish`."""
    link_id, link = named
    link.gone[side], link.refusals, link.doomed = True, [], doomed
    is_told(link, side)
    if missed:
        link.missed = [*link.missed, side]
    tell(draft, sync, link)
    _end_deletion(sync, link, side)
    other = link.ids[1 - side]
    if other is not None:
        draft.stir(*place_of(sync, 1 - side, other))
    draft.note(sync.name, link_id, "deleted", note=reference(sync, side, link.ids[side]))
    draft.bereave(sync.name, link_id)


def _is_its_own(link: Link, side: int, token: str | None) -> bool:
    """Whether the link itself has deleted the record."""
    named = None if token is None else read_token(token)
    flight = link.flight
    return (named is not None and named[2] == link.birth) or (
        flight is not None and flight.op == "delete" and flight.side == side
    )


def _doom_links(draft: Draft, place: Place, image: Image, token: str | None) -> None:
    """A record that was found missing was deleted, as the log says now."""
    for sync, side in draft.uses(place[0], place[1]):
        seat = image.seats.get(sync.name)
        link = None if seat is None or seat.link is None else draft.link(sync.name, seat.link)
        if seat is not None and seat.link is not None and link is not None and link.gone[side]:
            link.doomed = not _is_its_own(link, side, token)
            is_told(link, side)
            draft.bereave(sync.name, seat.link)
            touch(draft, sync, seat.link, link)


# ---------------------------------------------------------------- merged into another


def merge_records(draft: Draft, place: Place, image: Image | None, row: Row) -> bool:
    """The record was merged into another, the survivor; whether that must be read first."""
    survivor: Place = (place[0], place[1], row.into or "")
    if image is None or survivor == place:
        delete(draft, place, image, row)
        return False
    if not row.version.newer_than(image.version) and not image.gone:
        return False
    unknown = False
    for sync, side in draft.uses(place[0], place[1]):
        seat = image.seats.get(sync.name)
        link = None if seat is None or seat.link is None else draft.link(sync.name, seat.link)
        if seat is not None and seat.link is not None and link is not None and link.ids[side] == place[2]:
            unknown |= _move_or_mark(draft, sync, side, (seat.link, link), survivor)
    draft.stir(*place)
    if not image.gone:
        image.version = row.version
        vanish(draft, place, image, told=False)
    elif image.seats:
        draft.save_image(place, image)
    else:
        draft.bury(place, image)
    return unknown


def _move_or_mark(draft: Draft, sync: Sync, side: int, named: tuple[str, Link], survivor: Place) -> bool:
    """Moves the loser's link to the survivor if that has none; else the loser's counterpart is shown as left over."""
    link_id, link = named
    image = draft.image(*survivor)
    seat = None if image is None or image.gone else image.seats.get(sync.name)
    is_told(link, side)
    if link.merged is not None:
        draft.bereave(sync.name, link_id)
        return False
    if image is not None and (image.gone or (seat is not None and seat.link is not None)):
        if not link.gone[side]:
            draft.stir(survivor[0], survivor[1], link.ids[side] or "")
        link.gone[side], link.refusals, link.doomed = True, [], False
        draft.bereave(sync.name, link_id)
        link.merged, link.restoring = reference(sync, side, survivor[2]), None
        touch(draft, sync, link_id, link)
        return False
    loser = draft.image(survivor[0], survivor[1], link.ids[side] or "")
    if loser is not None:
        loser.seats.pop(sync.name, None)
    if image is None:
        # Its whole is read; until then it holds the link's place.
        draft.save_image(survivor, Image(NEVER, {}, "", {sync.name: Seat(side)}, partial=True))
    draft.sync(sync.name).moved = True
    link.gone[side], link.refusals = False, []
    if link.flight is not None:
        link.flight.sources = {}  # it was for the loser: the survivor does not have it
    if image is not None and not image.partial:
        _drop_bases_of_loser(sync, link, side, image.values)
    seat_record(draft, sync, side, survivor[2], link_id, link)
    draft.bereave(sync.name, link_id)
    claims(draft, sync, link)
    draft.note(sync.name, link_id, "merged", note=f"into {reference(sync, side, survivor[2])}")
    touch(draft, sync, link_id, link)
    return image is None


def _drop_bases_of_loser(sync: Sync, link: Link, side: int, values: Values) -> None:
    """What the survivor has never had was not cleared by anybody: it is filled as at linking."""
    for mapping in sync.mappings:
        base = link.bases.get(mapping.key)
        if base is not None and is_empty(values.get(mapping.fields[side])) and not is_empty(base[side]):
            del link.bases[mapping.key]


# ---------------------------------------------------------------- copied to the other side


def copy_deletion(draft: Draft, sync: Sync, link_id: str, *, confirmed: bool) -> None:
    """Deletes the counterpart of a deleted record, if it still is as it was last reconciled."""
    link = draft.link(sync.name, link_id)
    if link is None or not link.doomed or link.flight is not None or link.refusals or not any(link.gone):
        return
    target = 1 if link.gone[0] else 0
    image = side_image(draft, sync, link, target)
    if draft.is_idle(sync) or image is None or not sync.writes[target] or link.restoring is not None:
        return
    if draft.sync(sync.name).woken and not confirmed:
        return  # it may be from before the sync was on again: the read shows it, and copies none
    if _was_edited(sync, link, target, image.values):
        keep_edited(draft, sync, link_id, link, target)
    elif confirmed or _is_within_bounds(draft, sync, target):
        writable = {field.name for field in sync.sides[target].object.fields if not field.read_only}
        expect = {field: value for field, value in image.values.items() if field in writable}
        if send(draft, sync, link_id, link, Write(target, "delete", {}, expect)):
            draft.note(sync.name, link_id, "delete", note=reference(sync, target, link.ids[target]))
            if not confirmed:
                _count(draft, sync)
        draft.save_link(sync.name, link_id, link)


def keep_edited(draft: Draft, sync: Sync, link_id: str, link: Link, target: int) -> None:
    """The counterpart of a deleted record was edited meanwhile: it stays."""
    lost, left = reference(sync, 1 - target, link.ids[1 - target]), reference(sync, target, link.ids[target])
    message = f"{lost} was deleted in {sync.sides[1 - target].account}; {left} has been edited meanwhile, and stays"
    link.doomed, link.refusals = False, [Refusal("", "deleted", message)]
    touch(draft, sync, link_id, link)


def _was_edited(sync: Sync, link: Link, target: int, values: Values) -> bool:
    for mapping in sync.mappings:
        base = link.bases.get(mapping.key)
        if base is not None and base[target] != values.get(mapping.fields[target]):
            return True
    return not link.bases


def _limit(draft: Draft, sync: Sync) -> int:
    return sync.max_deletes or max(100, draft.sync(sync.name).links // 10)


def _is_within_bounds(draft: Draft, sync: Sync, target: int) -> bool:
    """Whether one more deletion may be copied now; if not, the sync is stopped until a person confirms."""
    state = draft.sync(sync.name)
    minute, limit = int(draft.now // 60), _limit(draft, sync)
    state.deletes = {one: count for one, count in state.deletes.items() if one > minute - MINUTES}
    if sum(state.deletes.values()) < limit:
        return True
    state.stopped = (
        f"more than {limit} deletions within ten minutes would go on to {sync.sides[target].account}: "
        "confirm them, or restore the records first"
    )
    draft.publish(sync.name)
    return False


def _count(draft: Draft, sync: Sync) -> None:
    state, minute = draft.sync(sync.name), int(draft.now // 60)
    state.deletes = {**state.deletes, minute: state.deletes.get(minute, 0) + 1}


def carry_on_deletion(draft: Draft, sync: Sync, link_id: str) -> None:
    """A person has confirmed: a deletion that was only shown so far goes on to the other side."""
    link = draft.link(sync.name, link_id)
    if link is None:
        return
    if sync.propagates_deletes and any(link.gone) and link.merged is None and link.restoring is None:
        link.doomed = link.doomed or not link.refusals  # a counterpart that was edited meanwhile stays
        draft.doom(sync.name, link_id, confirmed=True)
    look_after(draft, sync, link_id, link)


def deleted_here(draft: Draft, sync: Sync, link_id: str, link: Link, side: int) -> None:
    """Our own deletion is done."""
    place: Place = (sync.sides[side].account, sync.sides[side].object.name, link.ids[side] or "")
    image = draft.image(*place)
    if image is not None and not image.gone:
        vanish(draft, place, image, told=True)
    else:
        link.gone[side] = True
        _end_deletion(sync, link, side)
        touch(draft, sync, link_id, link)


def _end_deletion(sync: Sync, link: Link, side: int) -> None:
    """Where the link was deleting the record, that is done, whoever tells of it. If its cause has come back meanwhile, so does the record."""
    if link.flight is None or link.flight.op != "delete" or link.flight.side != side:
        return
    link.flight = None
    if not link.gone[1 - side] and sync.writes[side]:
        link.restoring = side
