"""What becomes of a record that has no link: it waits, stays out, is paired, or its counterpart is created (semantics sections 1 and 2)."""

from __future__ import annotations

from rules.draft import Draft, Place
from rules.links import paired, touch
from rules.matching import Candidate, Found, best_candidate, claimed_twin, created_by_peer, exclusion
from rules.plan import Sync
from rules.seats import is_told, leave, new_link, place_of, reference, seat_record
from rules.state import Image, Seat
from rules.work import STAGE, passed

BEFORE_JUDGING = ("reading", "missing", "pairs", "match")  # the stages in which a record without a link only waits


def judge(draft: Draft, sync: Sync, side: int, place: Place, image: Image, *, walking: bool = False) -> None:
    """Links a record that has no link, creates its counterpart, or shows why neither. `walking`: the creating stage has come to it."""
    seat = image.seats[sync.name]
    if draft.is_idle(sync):
        draft.save_image(place, image)
    elif not walking and not _is_its_turn(draft, sync, side, place, image):
        _alone(draft, sync, seat, place, "pending", None, None)  # both sides are being read: the sync's own row says so
        draft.save_image(place, image)
    else:
        _judge(draft, sync, side, place, image)


def _is_its_turn(draft: Draft, sync: Sync, side: int, place: Place, image: Image) -> bool:
    """In the creating stage the oldest come first: a record that the walk will come to waits for it."""
    state = draft.sync(sync.name)
    if state.stage != "create":
        return state.stage not in BEFORE_JUDGING
    if side != state.part:
        return side < state.part
    return passed(draft, sync.name, STAGE, f"u{sync.name}\0{side}\0{image.age}\0{place[2]}".encode())


def _judge(draft: Draft, sync: Sync, side: int, place: Place, image: Image) -> None:
    seat = image.seats[sync.name]
    excluded = exclusion(sync, side, image, seat)
    best = best_candidate(draft, sync, side, place[2], image, entered=excluded is None)
    if best is not None and best.found is Found.UNDERWAY:
        named = reference(sync, 1 - side, best.id)
        _hold(draft, sync, seat, place, named, f"waits for the answer to the create of the counterpart of {named}")
    elif best is not None and best.found is not Found.TAKEN:
        _take(draft, sync, side, place[2], best)
        return
    elif excluded is not None:
        _alone(draft, sync, seat, place, "excluded", *excluded)
    elif _may_be_ours(draft, place, seat):
        _hold(draft, sync, seat, place, None, f"waits for the answers to creates in {place[0]}: it may be one of them")
    elif best is not None:
        _duplicate(draft, sync, side, place, image, best.rival or "", best.id)
    else:
        _begin_alone(draft, sync, side, place, image)
        return
    draft.save_image(place, image)


def _begin_alone(draft: Draft, sync: Sync, side: int, place: Place, image: Image) -> None:
    """Nothing on the other side answers to it: its counterpart is created, unless a twin or another sync was first."""
    seat = image.seats[sync.name]
    twin = claimed_twin(draft, sync, side, place[2], seat)
    peer = None if twin is not None else created_by_peer(draft, sync, image)
    if twin is not None:
        _duplicate(draft, sync, side, place, image, twin, None)
    elif peer is not None:
        _hold(
            draft,
            sync,
            seat,
            place,
            f"{place[0]}:{place[2]}",
            f"waits for the sync {peer}, which is creating its counterpart",
        )
    else:
        name, link = new_link(draft, sync, side, place[2])
        touch(draft, sync, name, link)
        return
    draft.save_image(place, image)


def _may_be_ours(draft: Draft, place: Place, seat: Seat) -> bool:
    """Whether a create that leaves no token was on its way when the record was captured: it may be what that create made.

    With an identifier it is not: then the record that it was made from would have answered to it.
    """
    if seat.behind and (any(seat.identifiers) or not draft.blind_before(place[0], place[1], seat.behind)):
        seat.behind = 0
    return seat.behind != 0


def _hold(draft: Draft, sync: Sync, seat: Seat, place: Place, other: str | None, message: str) -> None:
    """It waits for an answer that is on its way, and keeps its place among the commands meanwhile."""
    turn = seat.turn or draft.next_number(sync.name)
    _alone(draft, sync, seat, place, "pending", None, message)
    seat.other, seat.turn = other, turn


def _alone(
    draft: Draft, sync: Sync, seat: Seat, place: Place, status: str, category: str | None, message: str | None
) -> None:
    if status != seat.status or category != seat.category or not seat.since:
        seat.since = draft.now
        if category is not None:
            action = "excluded" if status == "excluded" else "failed"
            draft.note(sync.name, f"{place[0]}:{place[2]}", action, note=f"{category}: {message}")
        if status != "pending":
            draft.decided(sync.name, seat.side, place[2])
    seat.status, seat.category, seat.message, seat.other, seat.turn = status, category, message, None, 0


def _duplicate(
    draft: Draft, sync: Sync, side: int, place: Place, image: Image, rival: str, counterpart: str | None
) -> None:
    own, theirs = reference(sync, side, place[2]), reference(sync, side, rival)
    other = sync.sides[1 - side].account
    claim = f"the counterpart in {other}" if counterpart is None else f"{other}:{counterpart}"
    seat = image.seats[sync.name]
    _alone(draft, sync, seat, place, "failing", "duplicate", f"{own} and {theirs} both claim {claim}")
    seat.other = theirs


def make_link(draft: Draft, sync: Sync, side: int, record_id: str, counterpart: str, why: str) -> None:
    """Pairs two records that have no link, and merges them. `why`: what they were paired by."""
    ids = (record_id, counterpart) if side == 0 else (counterpart, record_id)
    name, link = new_link(draft, sync, 0, ids[0])
    seat_record(draft, sync, 1, ids[1], name, link)
    _count_match(draft, sync)
    pair = (reference(sync, 0, ids[0]), reference(sync, 1, ids[1]))
    draft.note(sync.name, name, "linked", note=f"{pair[0]} with {pair[1]}, by {why}", records=pair)
    paired(draft, sync, name, link)


def _count_match(draft: Draft, sync: Sync) -> None:
    state = draft.sync(sync.name)
    if state.stage != "live":
        state.matched += 1


def _take(draft: Draft, sync: Sync, side: int, record_id: str, candidate: Candidate) -> None:
    """Pairs it with a record that has no link, or takes the empty place in its link."""
    if candidate.link is None:
        make_link(draft, sync, side, record_id, candidate.id, candidate.why)
        return
    link = draft.link(sync.name, candidate.link)
    assert link is not None
    if link.ids[side] is not None:
        draft.stir(*place_of(sync, side, link.ids[side] or ""))
        leave(draft, sync, side, link)
    link.bases, link.refusals, link.gone[side] = {}, [], False
    link.restoring, link.merged, link.doomed = None, None, False
    is_told(link, side)
    if link.flight is not None:
        link.flight.sources = {}  # what it writes came from another record: it is no base of this one
    seat_record(draft, sync, side, record_id, candidate.link, link)
    _count_match(draft, sync)
    pair = (reference(sync, 0, link.ids[0]), reference(sync, 1, link.ids[1]))
    note = f"{pair[0]} with {pair[1]}, by {candidate.why}: {pair[side]} takes the place"
    draft.note(sync.name, candidate.link, "linked", note=note, records=pair)
    paired(draft, sync, candidate.link, link)
