"""References between records: how they cross to the other side (semantics section 5)."""

from __future__ import annotations

from rules.draft import Draft
from rules.merge import Translation
from rules.plan import Sync


class Counterparts(Translation):
    """References translated by the links of the associated sync."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft

    def counterpart(self, sync: str, side: int, record_id: str) -> str | None:
        """The id of the linked counterpart of a record, or None. Only records of a running sync are associated."""
        associated = self.draft.rules.syncs.get(sync)
        if associated is None or associated.off:
            return None
        own = associated.sides[side]
        image = self.draft.image(own.account, own.object.name, record_id)
        seat = None if image is None else image.seats.get(sync)
        link = None if seat is None or seat.link is None else self.draft.link(sync, seat.link)
        return None if link is None or any(link.gone) else link.ids[1 - side]


def is_coming(draft: Draft, sync: str, side: int, record_id: str) -> bool:
    """Whether the counterpart of a record that is not linked yet is on its way."""
    associated = draft.rules.syncs.get(sync)
    if associated is None or associated.off:
        return False
    own = associated.sides[side]
    image = draft.image(own.account, own.object.name, record_id)
    seat = None if image is None or image.gone else image.seats.get(sync)
    if seat is None:
        return draft.sync(sync).stage != "live"
    link = None if seat.link is None else draft.link(sync, seat.link)
    return (seat.status if link is None else link.status) == "pending"


def named(draft: Draft, awaited: tuple[str, int, str]) -> str:
    """A counterpart that is awaited, in words."""
    name, side, record_id = awaited
    sync: Sync | None = draft.rules.syncs.get(name)
    account = name if sync is None else sync.sides[side].account
    return f"the counterpart of {account}:{record_id} ({name})"
