"""What a record's new image does: the image is kept if it is the newer, and every sync that uses the object is told (sections 1, 4, 6)."""

from __future__ import annotations

from rules.catalog import Value
from rules.deletion import delete, merge_records
from rules.draft import Draft, Place
from rules.entry import judge
from rules.events import Row
from rules.links import paired, touch
from rules.plan import Sync
from rules.seats import leave, place_of, seat_record
from rules.sending import read_token
from rules.state import Image, Link, ReadState, Seat, Values
from rules.values import is_empty
from rules.version import Version

Reading = tuple[str, str]  # the sync and its full read, of which a row is part


def receive(draft: Draft, account: str, object_name: str, row: Row, reading: Reading | None) -> list[str]:
    """Takes in a row. Returns the ids of records that must be read whole first."""
    if not draft.uses(account, object_name):
        return []
    if row.old_id is not None and row.old_id != row.id:
        _rename(draft, account, object_name, row)
    place = (account, object_name, row.id)
    image = draft.image(*place)
    if row.op == "delete":
        delete(draft, place, image, row)
        return []
    if row.op == "merge":
        return [row.into or ""] if merge_records(draft, place, image, row) else []
    return [] if _take_in(draft, place, image, row, reading) else [row.id]


def _take_in(draft: Draft, place: Place, image: Image | None, row: Row, reading: Reading | None) -> bool:
    """Whether the whole record is known with this row."""
    uses = draft.uses(place[0], place[1])
    if image is None and reading is None and _is_refuted(draft, uses, place[0], row.version):
        return True
    if image is not None and not _is_newer(row.version, image):
        _seen(draft, uses, place, image, reading)
        return True
    values: Values = row.values
    if image is not None and not image.gone and not image.partial:
        if len(values) < len(image.values):
            values = {**image.values, **values}
        if image.values == values and not row.token and not row.pairs:
            _seen(draft, uses, place, image, reading)
            return True
    elif len(values) < len(uses[0][0].sides[uses[0][1]].object.fields):
        if image is not None:
            values = {**image.values, **values}
        if any(field not in values for field in uses[0][0].sides[uses[0][1]].whole):
            if image is None:
                draft.save_image(place, Image(row.version, {}, "", {}, gone=True, partial=True))
            return False
    store(draft, place, values, row.version, row.pairs, row.token, row.committed_at, reading)
    return True


def _is_newer(version: Version, image: Image) -> bool:
    """Whether a row of the version replaces the image. What is being read may come with the position of the change that asked for it."""
    return version.newer_than(image.version) or (image.partial and not image.version.newer_than(version))


def store(
    draft: Draft,
    place: Place,
    values: dict[str, Value],
    version: Version,
    pairs: tuple[tuple[str, str, str, str], ...] = (),
    token: str | None = None,
    committed_at: float = 0.0,
    reading: Reading | None = None,
) -> None:
    """Keeps a newer image and tells every sync that uses its object."""
    uses = draft.uses(place[0], place[1])
    image = draft.image(*place)
    changed = True
    if image is None:
        image = Image(version, values, "", {}, pairs=pairs)
    else:
        changed = image.gone or image.partial or image.values != values
        if image.gone or image.partial:
            image.age = ""
        image.version, image.values, image.gone, image.partial = version, values, False, False
        image.pairs = pairs or image.pairs
    if not image.age:
        image.age = uses[0][0].sides[uses[0][1]].age(place[2], values)
    blind = not uses[0][0].sides[uses[0][1]].object.capabilities.tokens
    for sync, side in uses:
        seat = image.seats.get(sync.name)
        if seat is None:
            behind = draft.offset + 1 if blind and draft.blind_before(place[0], place[1]) else 0
            seat = image.seats[sync.name] = Seat(side, None, sync.normalised(side, values), behind=behind)
        elif changed:
            seat.identifiers = sync.normalised(side, values)
        _mark_read(draft, sync, place[0], seat, reading)
    draft.save_image(place, image)
    if token is not None:
        _adopt(draft, place, token)
    for sync, side in uses:
        seat = image.seats[sync.name]
        if seat.link is None:
            judge(draft, sync, side, place, image)
        elif changed:
            _tell_link(draft, sync, side, seat.link, committed_at)
    if changed:
        draft.stir(*place)


def _tell_link(draft: Draft, sync: Sync, side: int, link_id: str, committed_at: float) -> None:
    """A linked record has changed, or come back."""
    link = draft.link(sync.name, link_id)
    if link is None:
        return
    if link.gone[side]:
        link.gone[side], link.merged, link.doomed, link.refusals = False, None, False, []
        if link.flight is None:
            link.restoring = None
        draft.decided(sync.name, side, link.ids[side] or "")
    other = link.ids[1 - side]
    if other is not None:
        draft.stir(*place_of(sync, 1 - side, other))
    if link.flight is None and (other is None or link.gone[1 - side]):
        # With other identifiers another record may answer to it: that is looked for before anything is created.
        link.touched = link.touched or committed_at
        draft.save_link(sync.name, link_id, link)
        draft.bereave(sync.name, link_id)
    else:
        touch(draft, sync, link_id, link, committed_at)


def _seen(
    draft: Draft, uses: tuple[tuple[Sync, int], ...], place: Place, image: Image, reading: Reading | None
) -> None:
    """A row brought nothing new; but a read has met the record, perhaps for a sync that did not know it yet."""
    if image.gone or image.partial:
        return
    for sync, side in uses:
        seat = image.seats.get(sync.name)
        if seat is None:
            seat = image.seats[sync.name] = Seat(side, None, sync.normalised(side, image.values))
            _mark_read(draft, sync, place[0], seat, reading)
            draft.save_image(place, image)
            judge(draft, sync, side, place, image)
        elif draft.sync(sync.name).stage in ("reading", "missing") and _mark_read(draft, sync, place[0], seat, reading):
            draft.save_image(place, image)


def _mark_read(draft: Draft, sync: Sync, account: str, seat: Seat, reading: Reading | None) -> bool:
    """Notes that a page of the last read holds the record, or that the log or an answer speaks of it since that began."""
    if reading is not None and reading[0] != sync.name:
        return False
    read = draft.sync(sync.name).reads.get(account)
    if read is None or seat.read == read.id:
        return False
    mark = f"{read.id}?" if reading is None else read.id
    was, seat.read = seat.read, mark
    return was != mark


def is_met(read: ReadState, image: Image, seat: Seat) -> bool:
    """Whether the record is there, after a full read: a page holds it, or what the log or an answer says of it is newer than the read."""
    if seat.read == read.id:
        return True
    return seat.read == f"{read.id}?" and (read.began is None or image.version.newer_than(read.began))


def _is_refuted(draft: Draft, uses: tuple[tuple[Sync, int], ...], account: str, version: Version) -> bool:
    """Whether a record that nobody knows was gone by the time of a full read: the log tells late of what it was before."""
    for sync, _ in uses:
        read = draft.sync(sync.name).reads.get(account)
        if read is not None and read.done and read.began is not None and not version.newer_than(read.began):
            return True
    return False


# ---------------------------------------------------------------- created by us


def _adopt(draft: Draft, place: Place, token: str) -> None:
    """Our own create came by in the log before its answer: the record is the one that the link awaits."""
    named = read_token(token)
    sync = None if named is None else draft.rules.syncs.get(named[0])
    if named is None or sync is None:
        return
    link = draft.link(sync.name, named[1])
    if link is None or link.birth != named[2] or link.flight is None or link.flight.token != token:
        return
    own = sync.sides[link.flight.side]
    image = draft.image(*place)
    if link.flight.op == "create" and (own.account, own.object.name) == place[:2] and image is not None:
        seat = image.seats.get(sync.name)
        if seat is None or seat.link in (None, named[1]):
            complete_create(draft, sync, named[1], link, place[2], image.values)


def complete_create(
    draft: Draft, sync: Sync, link_id: str, link: Link, record_id: str, stored: dict[str, Value]
) -> None:
    """A create is done: the record has its id, and the values as stored are the base of its side."""
    flight, state = link.flight, draft.sync(sync.name)
    assert flight is not None
    side, old_id = flight.side, link.ids[flight.side]
    end_create(draft, sync, link)
    link.restoring = None
    if old_id is not None and not link.gone[side]:
        # What was being restored has come back under its old id: the new one is a record like any other.
        touch(draft, sync, link_id, link)
        return
    if old_id is not None and old_id != record_id:
        leave(draft, sync, side, link)
        _hand_over(draft, sync, side, old_id, record_id)
    image = draft.image(*place_of(sync, side, record_id))
    link.gone[side] = image is not None and image.gone
    if not link.gone[1 - side]:
        link.merged, link.doomed = None, False
    link.refusals = [refusal for refusal in link.refusals if refusal.field is not None]
    seat_record(draft, sync, side, record_id, link_id, link)
    if old_id is not None:
        _drop_lost_bases(sync, link, side, flight.values)
    settle_bases(sync, link, side, flight.values, flight.sources, stored)
    if state.stage != "live":
        state.created += 1
    paired(draft, sync, link_id, link)


def end_create(draft: Draft, sync: Sync, link: Link) -> None:
    """What became of a create is known: what waited for that is looked at again at the end of the event."""
    flight = link.flight
    if flight is None:
        return
    link.flight = None
    source = link.ids[1 - flight.side]
    if flight.op == "create":
        if source is not None:
            draft.stir(*place_of(sync, 1 - flight.side, source))
        if flight.blind:
            own = sync.sides[flight.side]
            draft.free(own.account, own.object.name)


def _hand_over(draft: Draft, sync: Sync, side: int, old_id: str, new_id: str) -> None:
    """A restored record goes on under its new id in the other syncs too: there it would be created a second time."""
    place = place_of(sync, side, old_id)
    old, new = draft.image(*place), draft.image(*place_of(sync, side, new_id))
    if old is None or not old.gone or new is None:
        return
    for name, seat in list(old.seats.items()):
        other = draft.rules.syncs.get(name)
        link = None if other is None or seat.link is None else draft.link(name, seat.link)
        taken = new.seats.get(name)
        if other is None or seat.link is None or link is None or link.flight is not None:
            continue
        if not link.gone[seat.side] or (taken is not None and taken.link is not None):
            continue
        leave(draft, other, seat.side, link)
        link.gone[seat.side], link.refusals, link.restoring, link.doomed = False, [], None, False
        seat_record(draft, other, seat.side, new_id, seat.link, link)
        draft.note(name, seat.link, "restored", note=f"by the sync {sync.name}")
        paired(draft, other, seat.link, link)


def _drop_lost_bases(sync: Sync, link: Link, side: int, written: Values) -> None:
    """A value that could not be restored was not cleared by anybody: its field is merged as at linking."""
    for mapping in sync.mappings:
        base = link.bases.get(mapping.key)
        if base is not None and mapping.fields[side] not in written and not is_empty(base[side]):
            del link.bases[mapping.key]


def settle_bases(
    sync: Sync, link: Link, side: int, written: dict[str, Value], sources: dict[str, Value], stored: dict[str, Value]
) -> None:
    """What was written is agreed: the source's values as they were sent, the target's as they were stored."""
    for mapping in sync.mappings:
        source_field, field = mapping.fields[1 - side], mapping.fields[side]
        if field in written and source_field in sources:
            source, target = sources[source_field], stored.get(field)
            link.bases[mapping.key] = (target, source) if side == 0 else (source, target)


# ---------------------------------------------------------------- another id


def _rename(draft: Draft, account: str, object_name: str, row: Row) -> None:
    """A record got another id: its image, seats and links follow; the link stays (section 6)."""
    place, target = (account, object_name, row.old_id or ""), (account, object_name, row.id)
    image, present = draft.image(*place), draft.image(*target)
    if image is None or not row.version.newer_than(image.version):
        return
    if present is not None and any(seat.link is not None for seat in present.seats.values()):
        # The id was another's, which is linked: that one has come back under it, and this one is gone.
        if not image.gone:
            delete(draft, place, image, Row(place[2], {}, row.version, "delete", committed_at=row.committed_at))
        return
    own, side = draft.uses(account, object_name)[0]
    moved = Image(image.version, image.values, "", {}, image.gone, image.pairs, image.partial)
    if present is not None and not present.gone:
        moved = present  # a page, or an answer, told of it first
    if not moved.age and moved.values:
        moved.age = own.sides[side].age(row.id, moved.values)
    draft.save_image(place, None)
    for name, seat in image.seats.items():
        told = moved.seats.get(name)
        seat.read = seat.read if told is None else told.read
        moved.seats[name] = seat
    draft.save_image(target, moved)
    for name, seat in image.seats.items():
        sync = draft.rules.syncs.get(name)
        link = None if seat.link is None else draft.link(name, seat.link)
        if sync is None:
            continue
        seat.identifiers = sync.normalised(seat.side, moved.values)
        if seat.link is not None and link is not None:
            link.ids[seat.side] = row.id
            draft.sync(name).moved = True
            touch(draft, sync, seat.link, link)
    draft.save_image(target, moved)
    draft.stir(*place)
    draft.stir(*target)
