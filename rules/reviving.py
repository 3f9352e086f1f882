"""Pairs that the state has forgotten, since both records were deleted, brought back out of the topics (semantics section 6).

Responsible for taking up what an order carries: a pair's link is made again as if it had only just lost both records, and each
side is then restored in turn, as any deleted record is (`rules.creating`). Must not know where the images come from.

A pair comes back once, however often it is asked for: its link bears the name of the record that it had on the first side, and while
there is a link of any name that the pair has had, or any of its records is there, nothing is done. (Who asks may have seen a
record that our own command has just made, before the rules have: so all its names count.) Replayed after a crash, the order makes the same link with the
same commands again, which the account answers from its ledger.

References among pairs that come back: what a record referred to has another id by now, or will have it. The link owes the new
reference, and pays when the other link has its record.
"""

from __future__ import annotations

import msgspec

from rules.catalog import Value, join_id
from rules.draft import Draft
from rules.events import FieldChange
from rules.merge import reference_text
from rules.plan import Mapping, Sync
from rules.seats import place_of, reference
from rules.sending import Write, send
from rules.state import Image, Link, Seat, Values
from rules.values import is_empty
from rules.version import NEVER, Version


class LostRecord(msgspec.Struct, frozen=True):
    """A record as it was last seen whole."""

    id: str
    values: Values


class LostPair(msgspec.Struct, frozen=True):
    """A pair of which both records are gone. `sides`: account to record. `names`: every `account:id` that it has had."""

    sides: dict[str, LostRecord]
    names: tuple[str, ...] = ()


_decode = msgspec.json.Decoder(list[LostPair]).decode


def pairs_in(text: str) -> list[LostPair]:
    """The pairs that an order carries."""
    return _decode(text)


def take_up(draft: Draft, sync: Sync, into: int, lost: LostPair) -> tuple[str, Link] | None:
    """The link of a pair, made again with both records gone; None where it is there, or either of them is. `into`: the
    side that comes back first."""
    left, right = (lost.sides.get(side.account) for side in sync.sides)
    if left is None or right is None:
        return None
    name = reference(sync, 0, left.id)
    names = {name, reference(sync, 1, right.id), *lost.names}
    if any(_is_there(draft, sync, one) for one in names):
        return None
    images: list[Image] = []
    for side, record in enumerate((left, right)):
        image = draft.image(*place_of(sync, side, record.id))
        age = sync.sides[side].age(record.id, record.values)
        seats = {} if image is None else image.seats
        seats[sync.name] = Seat(side, name, sync.normalised(side, record.values))
        version = _told(draft, sync, side) if image is None else image.version
        images.append(Image(version, record.values, age, seats, gone=True))
    for side, record in enumerate((left, right)):
        draft.save_image(place_of(sync, side, record.id), images[side])
    bases = {one.key: (left.values.get(one.fields[0]), right.values.get(one.fields[1])) for one in sync.mappings}
    birth = f"{images[0].version.position:x}.{draft.offset:x}"
    link = Link([left.id, right.id], bases, birth, sequence=2 * draft.offset, since=draft.now, gone=[True, True])
    link.revive = [side for side in (into, 1 - into) if sync.writes[side]]
    draft.sync(sync.name).links += 1
    draft.save_link(sync.name, name, link)
    pair = (name, reference(sync, 1, right.id))
    draft.note(sync.name, name, "restore", note=f"out of the topics, into {sync.sides[into].account}", records=pair)
    return name, link


def _is_there(draft: Draft, sync: Sync, name: str) -> bool:
    """Whether a record is there or coming back: also one that our own command has made of which the log has not told yet."""
    if draft.link(sync.name, name) is not None:
        return True
    account, _, record_id = name.partition(":")
    if account not in (sync.sides[0].account, sync.sides[1].account):
        return False
    image = draft.image(*place_of(sync, sync.side_of(account), record_id))
    return image is not None and (not image.gone or image.partial or sync.name in image.seats)


def _told(draft: Draft, sync: Sync, side: int) -> Version:
    """How far the account's log has been taken in: what it tells of the record from before is old."""
    told = draft.sync(sync.name).told.get(sync.sides[side].account)
    return NEVER if told is None else Version(told[0], step=told[1])


def next_in_turn(sync: Sync, link: Link) -> None:
    """Which of the records that are still to come back is next."""
    link.revive = [side for side in link.revive if link.gone[side] and sync.writes[side]]
    if link.restoring is None and link.flight is None and link.revive:
        link.restoring = link.revive[0]


# ---------------------------------------------------------------- references


def is_lost(draft: Draft, mapping: Mapping, side: int, value: Value) -> bool:
    """Whether a restored record would refer to one that is gone: by its id, which it has no more."""
    if mapping.association is None or mapping.refers[side] is not None or is_empty(value):
        return False
    associated, text = draft.rules.syncs.get(mapping.association), reference_text(value)
    if associated is None or text is None:
        return False
    there = mapping.side_there(side)
    image = draft.image(*place_of(associated, there, _id_of(text)))
    return image is None or image.gone


def lost_reference(mapping: Mapping, side: int, value: Value) -> tuple[str, int, str]:
    """What a record that is to be restored waits for, as a link awaits it: the record that it referred to, which may come back."""
    return mapping.association or "", mapping.side_there(side), _id_of(reference_text(value) or "")


def owe(draft: Draft, link: Link, mapping: Mapping, side: int, value: Value) -> None:
    """Notes what a record referred to, by the name that the link of that has, or will have when it comes back."""
    associated, text = draft.rules.syncs.get(mapping.association or ""), reference_text(value)
    if not link.revive or associated is None or text is None or mapping.key in link.owed:
        return
    base, there = link.bases.get(mapping.key), mapping.side_there(side)
    other = None if base is None else reference_text(base[1 - side])
    named = {there: _id_of(text), 1 - there: "" if other is None else _id_of(other)}
    if named[0]:
        link.owed = {**link.owed, mapping.key: (named[0], named[1])}


def pay(draft: Draft, sync: Sync, link_id: str, link: Link) -> bool:
    """Writes a reference that is owed, if what it refers to is there by now; whether anything was sent. Else it is awaited."""
    for mapping in sync.mappings:
        owed = link.owed.get(mapping.key)
        if owed is None:
            continue
        associated = draft.rules.syncs.get(mapping.association or "")
        found = None if associated is None else draft.link(associated.name, reference(associated, 0, owed[0]))
        side = next((one for one in (sync.default, 1 - sync.default) if mapping.writes[one]), None)
        if associated is None or side is None:
            link.owed = {key: one for key, one in link.owed.items() if key != mapping.key}
            continue
        at = mapping.side_there(side)
        new_id = None if found is None or found.gone[at] else found.ids[at]
        if new_id is None:
            link.awaits.append((associated.name, at, owed[at]))
            continue
        link.owed = {key: one for key, one in link.owed.items() if key != mapping.key}
        image = draft.image(*place_of(sync, side, link.ids[side] or ""))
        field = mapping.fields[side]
        if image is None or not is_empty(image.values.get(field)):
            continue  # somebody has given it another since
        value, held = mapping.reference_value(side, new_id), image.values.get(field)
        if send(draft, sync, link_id, link, Write(side, "update", {field: value}, {field: held})):
            change = FieldChange(sync.sides[side].account, field, held, value, "restored")
            draft.note(sync.name, link_id, "update", [change])
        return True
    return False


def _id_of(text: str) -> str:
    return text if "," in text else join_id([text])
