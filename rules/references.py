"""References between records: how they cross to the other side, and what happens when one comes to mean another record (semantics section 5)."""

from __future__ import annotations

from rules.catalog import Value
from rules.draft import Draft, Place
from rules.merge import CODE, Translation, code_of, reference_text
from rules.plan import Sync
from rules.seats import place_of, side_image
from rules.state import Image, Link

Awaits = tuple[str, int, str]  # sync, side, id or code


class Counterparts(Translation):
    """References translated by the links of the associated sync. Only records of a running sync are associated."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft

    def counterpart(self, sync: str, side: int, record_id: str) -> str | None:
        """The id of the linked counterpart of a record, or None."""
        associated = self.draft.rules.syncs.get(sync)
        if associated is None or associated.off:
            return None
        image = self.draft.image(*place_of(associated, side, record_id))
        seat = None if image is None else image.seats.get(sync)
        link = None if seat is None or seat.link is None else self.draft.link(sync, seat.link)
        return None if link is None or any(link.gone) else link.ids[1 - side]

    def holder(self, sync: str, side: int, field: str, text: str) -> str | None:
        """The record that holds the text in the field; of several the oldest."""
        associated = self.draft.rules.syncs.get(sync)
        return None if associated is None else holder(self.draft, associated, side, code_of(field, text))

    def held(self, sync: str, side: int, record_id: str, field: str) -> Value:
        """What a record holds in the field, as far as the whole record is known."""
        image = self.draft.image(*place_of(self.draft.rules.syncs[sync], side, record_id))
        return None if image is None or image.gone or image.partial else image.values.get(field)


def holder(draft: Draft, sync: Sync, side: int, code: str) -> str | None:
    """The oldest record of a side that a code names."""
    own = sync.sides[side]
    key = next(iter(draft.scan(f"k{own.account}\0{own.object.name}\0{code}\0".encode())), None)
    return None if key is None else key.rpartition(b"\0")[2].decode()


def is_coming(draft: Draft, sync: str, side: int, record_id: str) -> bool:
    """Whether the counterpart of a record that is not linked yet is on its way."""
    associated = draft.rules.syncs.get(sync)
    if associated is None or associated.off:
        return False
    found = holder(draft, associated, side, record_id) if record_id.startswith(CODE) else record_id
    image = None if found is None else draft.image(*place_of(associated, side, found))
    seat = None if image is None or image.gone else image.seats.get(sync)
    if seat is None:
        return draft.sync(sync).stage != "live"
    link = None if seat.link is None else draft.link(sync, seat.link)
    return (seat.status if link is None else link.status) == "pending"


def named(draft: Draft, awaited: Awaits) -> str:
    """A counterpart that is awaited, in words."""
    name, side, record_id = awaited
    sync: Sync | None = draft.rules.syncs.get(name)
    account = name if sync is None else sync.sides[side].account
    if record_id.startswith(CODE):
        _, field, text = record_id.split(CODE, 2)
        return f"the counterpart of the record of {account} whose {field} is {text} ({name})"
    return f"the counterpart of {account}:{record_id} ({name})"


# ---------------------------------------------------------------- references by another field than the id


def note_codes(draft: Draft, place: Place, image: Image) -> bool:
    """Notes by what others refer to a record; whether that has changed. Links that refer by what it was, or is, are told."""
    fields = draft.rules.codes.get(place[:2], ())
    if not fields and not image.codes:
        return False
    texts = [(field, reference_text(image.values.get(field))) for field in fields]
    codes = tuple(code_of(field, text) for field, text in texts if text is not None)
    before, image.codes = image.codes, codes
    changed = [code for code in dict.fromkeys((*before, *codes)) if (code in before) != (code in codes)]
    for sync, side in draft.uses(place[0], place[1]) if changed else ():
        seat = image.seats.get(sync.name)
        link = None if seat is None or seat.link is None else draft.link(sync.name, seat.link)
        if link is not None and (counterpart := link.ids[1 - side]) is not None:
            draft.decided(sync.name, 1 - side, counterpart)  # what refers to that is to be written with the new code
        for code in changed:
            draft.decided(sync.name, side, code)
    for code in changed:
        draft.stir(place[0], place[1], code.split(CODE, 2)[2])  # a refusal names a record by what it was referred to
    return bool(changed)


def watched(draft: Draft, sync: Sync, link: Link) -> list[Awaits]:
    """The codes by which a link's records refer to others: they may come to name other records without a change of these."""
    found: list[Awaits] = []
    for mapping in sync.coded:
        for side, field in enumerate(mapping.refers):
            image = side_image(draft, sync, link, side) if field is not None else None
            text = None if image is None else reference_text(image.values.get(mapping.fields[side]))
            if field is not None and text is not None:
                found.append((mapping.association or "", mapping.side_there(side), code_of(field, text)))
    return list(dict.fromkeys(found))


def compare_anew(draft: Draft, sync: Sync, link: Link, told: Awaits) -> None:
    """A code names another record now: references by it that stand as they were are compared as at linking."""
    association, there, code = told
    if not code.startswith(CODE):
        return
    images = [side_image(draft, sync, link, side) for side in (0, 1)]
    for mapping in sync.coded:
        if mapping.association == association and mapping.refers[mapping.side_there(there)] == code.split(CODE, 2)[1]:
            values = tuple(None if one is None else one.values.get(mapping.fields[n]) for n, one in enumerate(images))
            if link.bases.get(mapping.key) == values:
                del link.bases[mapping.key]
