"""What a record's new image does: the image is kept if it is the newer, and every sync that uses the object is told (sections 1, 4, 6)."""

from __future__ import annotations

from rules.catalog import Value
from rules.draft import Draft, Place
from rules.entry import judge, leave, linked
from rules.events import Row
from rules.links import read_token, touch
from rules.plan import Sync
from rules.state import Image, Link, Seat, Values
from rules.version import Version


def receive(draft: Draft, account: str, object_name: str, row: Row, reading: tuple[str, str] | None) -> str | None:
    """Takes in a row. `reading`: the sync and the read of which it is a page. Returns the id if the record must be read whole first."""
    uses = draft.rules.uses.get((account, object_name), ())
    if not uses:
        return None
    if row.old_id is not None and row.old_id != row.id:
        _rename(draft, account, object_name, row.old_id, row.id)
    place = (account, object_name, row.id)
    image = draft.image(*place)
    if row.op == "delete":
        _delete(draft, place, image, row)
        return None
    if image is not None and not row.version.newer_than(image.version):
        _seen(draft, uses, place, image, reading)
        return None
    values: Values = row.values
    if image is not None and not image.gone:
        if len(values) < len(image.values):
            values = {**image.values, **values}
    elif any(field not in values for sync, side in uses for field in sync.sides[side].mapped):
        if image is None or any(
            f not in image.values for sync, side in uses for f in sync.sides[side].mapped if f not in values
        ):
            return row.id
        values = {**image.values, **values}
    if image is not None and not image.gone and image.values == values and not row.token and not row.pairs:
        _seen(draft, uses, place, image, reading)
        return None
    store(draft, place, values, row.version, row.pairs, row.token, row.committed_at, reading)
    return None


def store(
    draft: Draft,
    place: Place,
    values: dict[str, Value],
    version: Version,
    pairs: tuple[tuple[str, str, str, str], ...] = (),
    token: str | None = None,
    committed_at: float = 0.0,
    reading: tuple[str, str] | None = None,
) -> None:
    """Keeps a newer image and tells every sync that uses its object."""
    account, object_name, record_id = place
    uses = draft.rules.uses.get((account, object_name), ())
    image = draft.image(*place)
    if image is None:
        image = Image(version, values, uses[0][0].sides[uses[0][1]].age(record_id, values), {})
        changed = True
    else:
        changed = image.gone or image.values != values
        if not image.age:
            image.age = uses[0][0].sides[uses[0][1]].age(record_id, values)
        image.version, image.values, image.gone = version, values, False
    if pairs:
        image.pairs = pairs
    for sync, side in uses:
        seat = image.seats.get(sync.name)
        new = seat is None
        if seat is None:
            seat = image.seats[sync.name] = Seat(side, since=draft.now)
        if changed or new:
            seat.identifiers = sync.normalised(side, values)
        _mark_read(draft, sync, account, seat, reading)
    draft.save_image(place, image)
    if token is not None:
        _adopt(draft, place, token)
    for sync, side in uses:
        seat = image.seats[sync.name]
        if seat.link is None:
            judge(draft, sync, side, place, image)
        elif changed:
            link = draft.link(sync.name, seat.link)
            if link is not None:
                link.gone[side] = False
                touch(draft, sync, seat.link, link, committed_at)
    if changed:
        retry_those_in_its_way(draft, account, record_id)


def retry_those_in_its_way(draft: Draft, account: str, record_id: str) -> None:
    """Judges anew the failing records that name this one: it has changed, or left."""
    for key in draft.scan(f"o{account}\0{record_id}\0".encode()):
        sync_name, name = key[1:].decode().split("\0")[2:4]
        sync = draft.rules.syncs.get(sync_name)
        if sync is None:
            continue
        link = draft.link(sync_name, name)
        if link is not None:
            link.refusals = []
            touch(draft, sync, name, link)
            continue
        failing_account, _, failing_id = name.partition(":")
        side = sync.side_of(failing_account)
        place = (failing_account, sync.sides[side].object.name, failing_id)
        image = draft.image(*place)
        if image is not None and not image.gone and sync_name in image.seats and image.seats[sync_name].link is None:
            judge(draft, sync, side, place, image)


def _seen(
    draft: Draft, uses: tuple[tuple[Sync, int], ...], place: Place, image: Image, reading: tuple[str, str] | None
) -> None:
    """Notes that a read met the record although it brought nothing new."""
    changed = False
    for sync, _ in uses:
        seat = image.seats.get(sync.name)
        if seat is not None and not image.gone:
            changed |= _mark_read(draft, sync, place[0], seat, reading)
    if changed:
        draft.save_image(place, image)


def _mark_read(draft: Draft, sync: Sync, account: str, seat: Seat, reading: tuple[str, str] | None) -> bool:
    """A record is there if a page of the running read holds it, or the log meanwhile says so."""
    if reading is not None and reading[0] != sync.name:
        return False
    state = draft.sync(sync.name)
    read = state.reads.get(account)
    if state.stage != "reading" or read is None or seat.read == read.id:
        return False
    if reading is not None and reading[1] != read.id:
        return False
    seat.read = read.id
    return True


def _adopt(draft: Draft, place: Place, token: str) -> None:
    """Our own create came by in the log before its answer: the record is the one that the link awaits."""
    named = read_token(token)
    sync = None if named is None else draft.rules.syncs.get(named[0])
    if named is None or sync is None:
        return
    link = draft.link(sync.name, named[1])
    if link is None or link.birth != named[2] or link.flight is None or link.flight.token != token:
        return
    side = sync.side_of(place[0])
    if link.flight.op == "create" and link.flight.side == side and sync.sides[side].object.name == place[1]:
        image = draft.image(*place)
        if image is not None and _may_sit(image, sync, named[1]):
            complete_create(draft, sync, named[1], link, place[2], image.values)


def _may_sit(image: Image, sync: Sync, link_id: str) -> bool:
    seat = image.seats.get(sync.name)
    return seat is None or seat.link in (None, link_id)


def complete_create(
    draft: Draft, sync: Sync, link_id: str, link: Link, record_id: str, stored: dict[str, Value]
) -> None:
    """A create is done: the record has its id, and the values as stored are the base of its side."""
    flight, state = link.flight, draft.sync(sync.name)
    assert flight is not None
    side, own = flight.side, sync.sides[flight.side]
    if link.ids[side] is not None and link.ids[side] != record_id:
        leave(draft, sync, side, link)
    link.flight, link.restoring, link.refusals = None, None, []
    link.gone[side] = False
    link.ids[side] = record_id
    image = draft.image(own.account, own.object.name, record_id)
    if image is not None:
        seat = image.seats.get(sync.name)
        if seat is None:
            seat = image.seats[sync.name] = Seat(side)
        seat.link, seat.status, seat.other = link_id, "pending", None
        draft.save_image((own.account, own.object.name, record_id), image)
    settle_bases(sync, link, side, flight.values, flight.sources, stored)
    if state.stage != "live":
        state.created += 1
    linked(draft, sync, link_id, link)


def settle_bases(
    sync: Sync, link: Link, side: int, written: dict[str, Value], sources: dict[str, Value], stored: dict[str, Value]
) -> None:
    """What was written is agreed: the source's values as they were sent, the target's as they were stored."""
    for mapping in sync.mappings:
        source_field, field = mapping.fields[1 - side], mapping.fields[side]
        if source_field in sources and field in written:
            link.bases[1 - side][source_field] = sources[source_field]
            link.bases[side][field] = stored.get(field)


def _rename(draft: Draft, account: str, object_name: str, old_id: str, new_id: str) -> None:
    """A record got another id: its image, seats and links follow; the link stays (section 6)."""
    place = (account, object_name, old_id)
    image = draft.image(*place)
    if image is None or draft.image(account, object_name, new_id) is not None:
        return
    draft.save_image(place, None)
    for sync, side in draft.rules.uses.get((account, object_name), ()):
        seat = image.seats.get(sync.name)
        if seat is not None and seat.link is not None:
            link = draft.link(sync.name, seat.link)
            if link is not None and link.ids[side] == old_id:
                link.ids[side] = new_id
                draft.save_link(sync.name, seat.link, link)
    draft.save_image((account, object_name, new_id), image)


def _delete(draft: Draft, place: Place, image: Image | None, row: Row) -> None:
    account, object_name, _ = place
    if image is None:
        if any(draft.sync(sync.name).stage == "reading" for sync, _ in draft.rules.uses[account, object_name]):
            # A page read before the deletion may still come: it must not bring the record back.
            draft.save_image(place, Image(row.version, {}, "", {}, gone=True))
        return
    if image.gone or not row.version.newer_than(image.version):
        return
    image.version, image.gone = row.version, True
    vanish(draft, place, image)


def vanish(draft: Draft, place: Place, image: Image) -> None:
    """A record is gone from its account: its links show it, or are forgotten if nothing is left of them."""
    account, object_name, record_id = place
    reading = False
    draft.save_image(place, image)
    for sync, side in draft.rules.uses.get((account, object_name), ()):
        seat = image.seats.get(sync.name)
        reading |= draft.sync(sync.name).stage != "live"
        link = None if seat is None or seat.link is None else draft.link(sync.name, seat.link)
        if seat is None or seat.link is None or link is None:
            image.seats.pop(sync.name, None)
            continue
        link.gone[side] = True
        if (link.ids[1 - side] is None and link.flight is None) or all(link.gone):
            forget(draft, sync, seat.link, link)
        else:
            draft.note(sync.name, seat.link, "deleted", note=f"{account}:{record_id}")
            touch(draft, sync, seat.link, link)
    draft.save_image(place, image if image.seats or reading else None)
    retry_those_in_its_way(draft, account, record_id)


def forget(draft: Draft, sync: Sync, link_id: str, link: Link) -> None:
    """Deleted on both sides: nothing is left to keep the same."""
    draft.note(sync.name, link_id, "forgotten", note="deleted on both sides")
    for side in (0, 1):
        leave(draft, sync, side, link)
    draft.save_link(sync.name, link_id, None)
    draft.sync(sync.name).links -= 1
