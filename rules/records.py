"""What a record's new image does: the image is kept if it is the newer, and every sync that uses the object is told (sections 1, 4, 6)."""

from __future__ import annotations

from rules.catalog import Value
from rules.deletion import delete, lose, merge_records, vanish
from rules.draft import Draft, Place
from rules.echoes import adopt, heed
from rules.entry import judge
from rules.events import Captured, Row
from rules.links import look_after, touch
from rules.origins import note_changes, of_new, told_late
from rules.plan import Sync
from rules.references import note_codes
from rules.seats import is_told, place_of, tell
from rules.state import Image, ReadState, Seat, Values
from rules.version import NEVER, Version

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
    if not _take_in(draft, place, image, row, reading):
        return [row.id]
    return [row.id] if reading is not None and _fell_short(draft, place) else []


def _take_in(draft: Draft, place: Place, image: Image | None, row: Row, reading: Reading | None) -> bool:
    """Whether the whole record is known with this row."""
    uses = draft.uses(place[0], place[1])
    if image is None and reading is None and _is_stale(draft, place, row):
        return True
    if image is not None and not (
        (_is_newer(row.version, image) and (reading or not _is_late(draft, place, image, row)))
        or _tells_more(row, image, uses)
    ):
        if row.pairs and not image.gone:
            image.pairs = row.pairs  # the account remembers them whatever the record's version
            _note_pairs(draft, uses)
            draft.save_image(place, image)
        _seen(draft, uses, place, image, reading)
        if row.token is not None:
            adopt(draft, place, row.token, row.values)
        else:
            told_late(draft, place, image, row)
        return True
    values: Values = row.values
    if image is not None and not image.gone and not image.partial:
        if len(values) < len(image.values):
            values = {**image.values, **values}
        if image.values == values and not row.pairs:
            image.version = row.version  # as of then it stands: what is older is told too late
            draft.save_image(place, image)
            if row.token is not None:
                adopt(draft, place, row.token, values)
            else:
                told_late(draft, place, image, row)
            _seen(draft, uses, place, image, reading)
            return True
    elif len(values) < len(uses[0][0].sides[uses[0][1]].object.fields):
        if image is not None:
            values = {**image.values, **values}
        if _lacks_any(values, uses):
            if image is None:
                draft.save_image(place, Image(row.version, {}, "", {}, gone=True, partial=True))
            return False
    told = "" if row.token is not None else draft.cause
    store(draft, place, values, row.version, row.pairs, row.token, row.committed_at, reading, told)
    return True


Uses = tuple[tuple[Sync, int], ...]


def _reads_all(uses: Uses) -> bool:
    """Whether the connector's images hold every field, named by a sync or not."""
    return uses[0][0].sides[uses[0][1]].object.capabilities.whole


def _lacks_any(values: Values, uses: Uses) -> bool:
    """Whether a field is missing that a whole record has; of each sync its own, where only those that are named are read."""
    one = uses[:1] if _reads_all(uses) else uses
    return any(field not in values for sync, side in one for field in sync.sides[side].whole)


def _tells_more(row: Row, image: Image, uses: Uses) -> bool:
    """Whether a record that has not changed was read once more, for fields that a sync names from now on."""
    if _reads_all(uses) or image.gone or image.version.newer_than(row.version):
        return False
    return any(field not in image.values for field in row.values)


def _fell_short(draft: Draft, place: Place) -> bool:
    """Whether a full read did not bring all that is named, as its capture had not heard of the rules yet: the record is
    read once more, and no oftener."""
    uses, image = draft.uses(place[0], place[1]), draft.image(*place)
    return not _reads_all(uses) and image is not None and not image.gone and _lacks_any(image.values, uses)


def _is_late(draft: Draft, place: Place, image: Image, row: Row) -> bool:
    """Whether a record that is gone, which a write or a read noticed before the log told of it, is not brought back by what the log tells of before."""
    return image.gone and not image.partial and _is_stale(draft, place, row)


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
    told: str = "",
) -> None:
    """Keeps a newer image and tells every sync that uses its object. `told`: the event that shows it; empty of an answer."""
    uses = draft.uses(place[0], place[1])
    image = draft.image(*place)
    changed = True
    if image is None:
        image = Image(version, values, "", {}, pairs=pairs, origins=of_new(told, committed_at))
    else:
        note_changes(image, values, told)
        changed = image.gone or image.partial or image.values != values
        if image.gone or image.partial:
            image.age, image.codes = "", ()
        image.version, image.values, image.gone, image.partial = version, values, False, False
        image.pairs = pairs or image.pairs
    if pairs:
        _note_pairs(draft, uses)
    if not image.age:
        image.age = uses[0][0].sides[uses[0][1]].age(place[2], values)
    blind = not uses[0][0].sides[uses[0][1]].object.capabilities.tells_ours
    uses = _knowing(draft, uses, place[0], image, version, reading)
    for sync, side in uses:
        seat = image.seats.get(sync.name)
        if seat is None:
            behind = draft.offset + 1 if blind and draft.blind_before(place[0], place[1]) else 0
            seat = image.seats[sync.name] = Seat(side, None, sync.normalised(side, values), behind=behind)
        elif changed:
            seat.identifiers = sync.normalised(side, values)
        _mark_read(draft, sync, place[0], seat, reading)
    if changed:
        note_codes(draft, place, image)
    draft.save_image(place, image)
    for sync, side in uses if changed else ():
        _come_back(draft, sync, side, image.seats[sync.name])
    heed(draft, place, token, values)
    for sync, side in uses:
        seat = image.seats[sync.name]
        if seat.link is None:
            judge(draft, sync, side, place, image)
        elif changed:
            _tell_link(draft, sync, side, seat.link, committed_at)
    if changed:
        draft.stir(*place)


def _note_pairs(draft: Draft, uses: tuple[tuple[Sync, int], ...]) -> None:
    for sync, _ in uses:
        draft.sync(sync.name).remembers = True


def _tell_link(draft: Draft, sync: Sync, side: int, link_id: str, committed_at: float) -> None:
    """A linked record has changed."""
    link = draft.link(sync.name, link_id)
    if link is None:
        return
    other = link.ids[1 - side]
    if other is not None:
        draft.stir(*place_of(sync, 1 - side, other))
    look_after(draft, sync, link_id, link, committed_at)


def _come_back(draft: Draft, sync: Sync, side: int, seat: Seat) -> None:
    """A record is there: if its link took it for gone, it has come back, and is merged against the old bases."""
    link = None if seat.link is None else draft.link(sync.name, seat.link)
    if seat.link is not None and link is not None and link.gone[side]:
        link.gone[side], link.merged, link.doomed, link.refusals = False, None, False, []
        is_told(link, side)
        tell(draft, sync, link)
        draft.save_link(sync.name, seat.link, link)


def _seen(
    draft: Draft, uses: tuple[tuple[Sync, int], ...], place: Place, image: Image, reading: Reading | None
) -> None:
    """A row brought nothing new; but a read has met the record, perhaps for a sync that did not know it yet."""
    if image.gone or image.partial:
        return
    for sync, side in _knowing(draft, uses, place[0], image, image.version, reading):
        seat = image.seats.get(sync.name)
        if seat is None:
            seat = image.seats[sync.name] = Seat(side, None, sync.normalised(side, image.values))
            _mark_read(draft, sync, place[0], seat, reading)
            draft.save_image(place, image)
            judge(draft, sync, side, place, image)
        elif draft.sync(sync.name).stage in ("reading", "missing") and _mark_read(draft, sync, place[0], seat, reading):
            draft.save_image(place, image)


def _mark_read(draft: Draft, sync: Sync, account: str, seat: Seat, reading: Reading | None) -> bool:
    """Notes that a page of the last read holds the record, or that the log, an answer or another read speaks of it since that began."""
    state = draft.sync(sync.name)
    read = state.reads.get(account)
    if read is None or seat.read == read.id:
        return False
    mark = read.id if reading is not None and reading[1] == read.id else f"{read.id}?"
    state.known = state.known or mark != read.id
    was, seat.read = seat.read, mark
    return was != mark


def is_met(read: ReadState, image: Image, seat: Seat) -> bool:
    """Whether the record is there, after a full read: a page holds it, or what the log or an answer says of it is newer than the read."""
    if seat.read == read.id:
        return True
    return seat.read == f"{read.id}?" and (read.began is None or image.version.newer_than(read.began))


def _is_stale(draft: Draft, place: Place, row: Row) -> bool:
    """Whether a record that nobody knows, or that is gone, went after this row: the log was taken in beyond it, or a full read has not met it since."""
    if _was_told(draft, place, row):
        return True
    uses = draft.uses(place[0], place[1])
    return any(_is_before(draft.sync(sync.name).reads.get(place[0]), row.version) for sync, _ in uses)


def _is_before(read: ReadState | None, version: Version) -> bool:
    """Whether a full read that is done would have met what was there as of the version, if it still was."""
    return read is not None and read.done and read.began is not None and not version.newer_than(read.began)


def _knowing(
    draft: Draft,
    uses: tuple[tuple[Sync, int], ...],
    account: str,
    image: Image,
    version: Version,
    reading: Reading | None,
) -> tuple[tuple[Sync, int], ...]:
    """The syncs that a record concerns as of the version: not one that does not know it, and whose full read has not met it since."""
    if reading is not None or len(image.seats) == len(uses):
        return uses
    return tuple(
        (sync, side)
        for sync, side in uses
        if sync.name in image.seats or not _is_before(draft.sync(sync.name).reads.get(account), version)
    )


def _was_told(draft: Draft, place: Place, row: Row) -> bool:
    """Whether the log, where it has an order, has been taken in beyond this row before: it comes once more."""
    if not row.committed_at:
        return False
    position = (row.version.position, row.version.step)
    for sync, side in draft.uses(place[0], place[1]):
        told = draft.sync(sync.name).told.get(place[0])
        if told is not None and position <= told and sync.sides[side].object.capabilities.capture == "log":
            return True
    return False


def brief_records(draft: Draft, event: Captured) -> set[str]:
    """The records that people have both made and deleted within one event of the log: nothing is ever made of them."""
    last = {row.id: row for row in event.rows}
    if event.read is not None or all(row.op != "delete" for row in last.values()):
        return set()
    marked = {row.id for row in event.rows if row.token is not None or row.old_id is not None or row.op == "merge"}
    return {
        record_id
        for record_id, row in last.items()
        if row.op == "delete" and record_id not in marked
        and draft.image(event.account, event.object, record_id) is None
    }  # fmt: skip


def note_told(draft: Draft, event: Captured) -> None:
    """How far an account's log has been taken in: whoever sent it may send the last of it once more, however much later."""
    told = max(((row.version.position, row.version.step) for row in event.rows if row.committed_at), default=None)
    if told is None:
        return
    for sync, _ in draft.uses(event.account, event.object):
        state = draft.sync(sync.name)
        if told > state.told.get(event.account, (-1, 0)):
            state.told = {**state.told, event.account: told}


# ---------------------------------------------------------------- another id


def _rename(draft: Draft, account: str, object_name: str, row: Row) -> None:
    """A record got another id: its image, seats and links follow; the link stays (section 6).

    But not in a sync in which the id was another's, which is linked: that one has come back under it, and this one is gone.
    """
    place, target = (account, object_name, row.old_id or ""), (account, object_name, row.id)
    image, present = draft.image(*place), draft.image(*target)
    if image is None or not (row.version.newer_than(image.version) or _explains(draft, place, image, row)):
        return
    newer = row.version.newer_than(image.version)  # if not, what is newer is that the old id was not found
    version = image.version if newer else NEVER
    moved = Image(version, image.values, "", {}, image.gone, image.pairs, image.partial, image.origins, image.codes)
    if present is not None and (not present.gone or any(seat.link for seat in present.seats.values())):
        moved = present  # a page, or an answer, told of it first
    own, side = draft.uses(account, object_name)[0]
    if not moved.age and moved.values:
        moved.age = own.sides[side].age(row.id, moved.values)
    left: dict[str, Seat] = {}
    for name, seat in image.seats.items():
        there = moved.seats.get(name)
        if there is not None and there.link is not None:
            left |= {name: seat} if seat.link is not None else {}
        elif not draft.is_forgotten(name):
            draft.decided(name, seat.side, place[2])  # who awaits its counterpart by the old id waits in vain
            seat.read = seat.read if there is None else there.read
            moved.seats[name] = seat
            _move_link(draft, name, seat, moved, row.id)
    draft.save_image(target, moved)
    image.version = row.version if newer else image.version
    if left:
        image.seats = left
        vanish(draft, place, image, told=row.committed_at > 0)
    else:
        draft.bury(place, Image(image.version, {}, "", {}))
    for name, seat in moved.seats.items():
        sync, link = draft.rules.syncs.get(name), None if seat.link is None else draft.link(name, seat.link)
        if sync is not None and seat.link is not None and link is not None and link.ids[seat.side] == row.id:
            touch(draft, sync, seat.link, link)
    draft.stir(*place)
    draft.stir(*target)


def _explains(draft: Draft, place: Place, image: Image, row: Row) -> bool:
    """Whether a record that a read or a write did not find had got another id by then: the log, which is in order, tells of that only now."""
    return image.gone and row.committed_at > 0 and not _was_told(draft, place, row)


def _move_link(draft: Draft, name: str, seat: Seat, moved: Image, record_id: str) -> None:
    sync, link = draft.rules.syncs.get(name), None if seat.link is None else draft.link(name, seat.link)
    if sync is None:
        return
    seat.identifiers = sync.normalised(seat.side, moved.values)
    if link is not None:
        link.ids[seat.side] = record_id
        draft.sync(name).moved = True
        tell(draft, sync, link)
        if not moved.gone:
            _come_back(draft, sync, seat.side, seat)
        elif seat.link is not None and not link.gone[seat.side]:
            # Under its new id it was found to be gone before the log told that it has that: the links there know how far that is told.
            lose(draft, sync, seat.side, (seat.link, link), doomed=False, missed=_is_missed(draft, moved))


def _is_missed(draft: Draft, image: Image) -> bool:
    """Whether only a write has noticed that a record is gone."""
    links = ((seat.side, draft.link(name, seat.link)) for name, seat in image.seats.items() if seat.link is not None)
    return any(link is not None and side in link.missed for side, link in links)
