"""Our own writes, as answers and the log tell of them: what was created is seated, what was written becomes the base of its side.

An echo is recognised by its token where the connector leaves one; without a token by its content, which no longer differs from the bases.
"""

from __future__ import annotations

from rules.catalog import Value
from rules.draft import Draft, Place
from rules.links import paired, touch
from rules.plan import Sync
from rules.seats import claims, has_lost, is_told, leave, place_of, reference, seat_record
from rules.sending import end_flight, landed, read_token
from rules.state import Flight, Link, Values
from rules.values import is_empty


def adopt(draft: Draft, place: Place, token: str, stored: Values) -> None:
    """A write of ours comes by in the log, with what the app made of it: before its answer it is the answer, afterwards it may put that right."""
    named = read_token(token)
    sync = None if named is None else draft.rules.syncs.get(named[0])
    if named is None or sync is None or draft.is_forgotten(sync.name):
        return
    link = draft.link(sync.name, named[1])
    if link is None or link.birth != named[2]:
        _remember_by_name(draft, sync, named[1], place)
        return
    flight = link.flight
    if flight is not None and flight.token == token:
        own = sync.sides[flight.side]
        if (own.account, own.object.name) != place[:2]:
            return
        if flight.op == "create":
            _adopt_created(draft, sync, named[1], link, place, stored)
        elif flight.op == "update":
            _adopt_update(draft, sync, named[1], link, flight, stored)
        return
    if link.put_off is not None and link.put_off.token == token:
        _adopt_put_off(draft, sync, named[1], link, link.put_off, stored)
    elif link.unsure:
        _make_sure(draft, sync, named[1], link, named[3], place, stored)
    _remember_late(draft, sync, link, place)


def _adopt_update(draft: Draft, sync: Sync, link_id: str, link: Link, flight: Flight, stored: Values) -> None:
    link.flight = None
    landed(draft, sync, link)
    settle_bases(draft, sync, link, flight, {**flight.values, **stored}, sure=True)
    touch(draft, sync, link_id, link)
    if has_lost(link):
        draft.bereave(sync.name, link_id)


def _adopt_put_off(draft: Draft, sync: Sync, link_id: str, link: Link, flight: Flight, stored: Values) -> None:
    """An update that was put off had been done: what both sides held then is their base."""
    settle_bases(draft, sync, link, flight, {**flight.values, **stored}, sure=True)
    touch(draft, sync, link_id, link)


def heed(draft: Draft, place: Place, token: str | None, stored: Values) -> None:
    """A record has changed: by a write of ours?"""
    if token is None:
        _recognise(draft, place, stored)
    else:
        adopt(draft, place, token, stored)


def _recognise(draft: Draft, place: Place, stored: Values) -> None:
    """A record of an account that leaves no tokens holds just what is being written there: that has been done, or need not be done any more."""
    for sync, side in draft.uses(place[0], place[1]):
        able, image = sync.sides[side].object.capabilities, draft.image(*place)
        seat = None if image is None or able.tells_ours else image.seats.get(sync.name)
        link = None if seat is None or seat.link is None else draft.link(sync.name, seat.link)
        flight = None if link is None else link.flight
        if seat is None or seat.link is None or link is None or flight is None:
            continue
        if flight.op == "update" and flight.side == side and flight.values.items() <= stored.items():
            _adopt_update(draft, sync, seat.link, link, flight, stored)


def _remember_late(draft: Draft, sync: Sync, link: Link, place: Place) -> None:
    """A record without a link that was written for this one: made by a create that came twice, and was refused when it came first."""
    if _is_alone(draft, sync, place):
        side = sync.side_of(place[0])
        _remember_pair(draft, sync, side, place[2], link.ids[1 - side])


def _remember_by_name(draft: Draft, sync: Sync, link_id: str, place: Place) -> None:
    """A record without a link that was written for one that is no more, which was named after the record that it began with."""
    account, _, record_id = link_id.partition(":")
    side = sync.side_of(place[0])
    if account == sync.sides[1 - side].account and _is_alone(draft, sync, place):
        if draft.image(*place_of(sync, 1 - side, record_id)) is None:
            record_id = record_id.rpartition("~")[0] or record_id
        _remember_pair(draft, sync, side, place[2], record_id)


def _is_alone(draft: Draft, sync: Sync, place: Place) -> bool:
    image = draft.image(*place)
    seat = None if image is None or image.gone else image.seats.get(sync.name)
    return seat is not None and seat.link is None


def _adopt_created(draft: Draft, sync: Sync, link_id: str, link: Link, place: Place, stored: dict[str, Value]) -> None:
    image = draft.image(*place)
    seat = None if image is None else image.seats.get(sync.name)
    if image is not None and (seat is None or seat.link in (None, link_id)):
        complete_create(draft, sync, link_id, link, place[2], stored, sure=True)


def _make_sure(
    draft: Draft, sync: Sync, link_id: str, link: Link, sequence: int, place: Place, stored: dict[str, Value]
) -> None:
    """The answer told of other values than were written; the log tells whether the app had made them, or somebody later."""
    side, found = sync.side_of(place[0]), False
    for mapping in sync.mappings:
        unsure, field = link.unsure.get(mapping.key), mapping.fields[side]
        if unsure is not None and unsure[:2] == (side, sequence) and field in stored:
            _rebase(link, mapping.key, side, stored[field])
            found = True
    if found:
        touch(draft, sync, link_id, link)


def doubt(sync: Sync, link: Link, account: str) -> None:
    """The log that would have told is lost: values other than were written are taken for an edit, so that none is lost."""
    for key, (side, _, written) in list(link.unsure.items()):
        if side == sync.side_of(account):
            _rebase(link, key, side, written)


def _rebase(link: Link, key: str, side: int, held: Value) -> None:
    """What the side held when the two were reconciled."""
    del link.unsure[key]
    base = link.bases.get(key)
    if base is not None:
        link.bases[key] = (held, base[1]) if side == 0 else (base[0], held)


def complete_create(
    draft: Draft,
    sync: Sync,
    link_id: str,
    link: Link,
    record_id: str,
    stored: dict[str, Value],
    *,
    sure: bool = False,
) -> None:
    """A create is done: the record has its id, and the values as stored are the base of its side. A record that is still to be taken in is merged then."""
    flight, state = link.flight, draft.sync(sync.name)
    assert flight is not None
    side, old_id = flight.side, link.ids[flight.side]
    end_flight(draft, sync, link)
    link.restoring = None
    if old_id is not None and not link.gone[side]:
        # What was being restored has come back under its old id: the new one is its double, known to belong to the same counterpart.
        _remember_pair(draft, sync, side, record_id, link.ids[1 - side])
        touch(draft, sync, link_id, link)
        return
    if old_id is not None and old_id != record_id:
        leave(draft, sync, side, link)
        _hand_over(draft, sync, side, old_id, record_id)
    image = draft.image(*place_of(sync, side, record_id))
    link.gone[side] = image is not None and image.gone
    if not link.gone[1 - side]:
        link.merged, link.doomed = None, False
    is_told(link, side)
    link.refusals = [] if any(link.gone) else [refusal for refusal in link.refusals if refusal.field is not None]
    seat_record(draft, sync, side, record_id, link_id, link)
    if old_id is not None:
        draft.decided(sync.name, side, old_id)  # what referred to it learns of its new id
        _drop_lost_bases(sync, link, side, flight.values)
        pair = (reference(sync, 0, link.ids[0]), reference(sync, 1, link.ids[1]))
        old = reference(sync, side, old_id)
        draft.note(sync.name, link_id, "restored", note=f"{old} is {pair[side]} now", records=(*pair, old))
    settle_bases(draft, sync, link, flight, stored, sure=sure)
    if state.stage != "live":
        state.created += 1
    if image is not None and image.partial:
        claims(draft, sync, link)
        draft.save_link(sync.name, link_id, link)
    else:
        paired(draft, sync, link_id, link)


def _remember_pair(draft: Draft, sync: Sync, side: int, record_id: str, counterpart: str | None) -> None:
    place, other = place_of(sync, side, record_id), sync.sides[1 - side]
    image = draft.image(*place)
    if image is not None and counterpart is not None:
        image.pairs = ((sync.name, other.account, other.object.name, counterpart),)
        draft.sync(sync.name).remembers = True
        draft.save_image(place, image)


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
        is_told(link, seat.side)
        seat_record(draft, other, seat.side, new_id, seat.link, link)
        draft.note(name, seat.link, "restored", note=f"by the sync {sync.name}")
        paired(draft, other, seat.link, link)


def _drop_lost_bases(sync: Sync, link: Link, side: int, written: Values) -> None:
    """A value that could not be restored was not cleared by anybody: its field is merged as at linking."""
    for mapping in sync.mappings:
        base = link.bases.get(mapping.key)
        if base is not None and mapping.fields[side] not in written and not is_empty(base[side]):
            del link.bases[mapping.key]


def settle_bases(draft: Draft, sync: Sync, link: Link, flight: Flight, stored: Values, *, sure: bool = False) -> None:
    """What was written is agreed: the source's values as they were sent, the target's as they were stored.

    Stored may mean: as they stand by now, where the command had been done before and is answered again. Values that differ from those written are
    therefore not sure until the log has told; `sure`: it has.
    """
    side, own = flight.side, sync.sides[flight.side]
    link.put_off = None
    for mapping in sync.mappings:
        source_field, field = mapping.fields[1 - side], mapping.fields[side]
        if field in flight.values and source_field in flight.sources:
            source, target, written = flight.sources[source_field], stored.get(field), flight.values[field]
            link.bases[mapping.key] = (target, source) if side == 0 else (source, target)
            if target != written and own.object.capabilities.tells_ours and not sure:
                link.unsure = {**link.unsure, mapping.key: (side, flight.sequence, written)}
            else:
                link.unsure.pop(mapping.key, None)
        elif field in flight.values and flight.op == "update":
            link.bases.pop(mapping.key, None)  # it came from a record that is no longer there: merged as at linking
    if link.unsure and flight.number <= draft.sync(sync.name).logged.get(own.account, -1):
        doubt(sync, link, own.account)
