"""The full read of both sides and what follows it: matching, then creating (semantics section 3).

The stages of a sync, in order; the first two also serve a read that stands in for a lost log:

    reading   both objects come in; nothing is matched, nothing created; links that exist are merged as they are met
    missing   links whose record the read did not meet turn failing `deleted`
    pairs     what the accounts remember is linked
    match     by the first identifier, then by the next; the oldest first
    create    what has entered and found no match is created; from here on records are judged as they come
    settle    until the answers to all that was created are there
    live
"""

from __future__ import annotations

from rules.draft import Draft
from rules.entry import exclusion, judge, make_link
from rules.events import ReadDone, ReadRequest
from rules.plan import Sync
from rules.records import vanish
from rules.state import ReadState, identifier_prefix, parts
from rules.work import SLICE, advance, run, start

STAGE = "stage"  # the name of the work that carries the stages on


def begin_read(draft: Draft, sync: Sync) -> None:
    """Asks for both objects in full. A read that is running is replaced."""
    state = draft.sync(sync.name)
    state.read_number += 1
    state.stage, state.part = "reading", 0
    state.works.pop(STAGE, None)
    state.reads = {}
    if state.links == 0:
        state.matched = state.created = 0
    for side in sync.sides:
        read = f"{sync.name}#{state.read_number}"
        state.reads[side.account] = ReadState(read)
        draft.orders.append(ReadRequest(draft.connection.name, side.account, side.object.name, sync.name, read))
    draft.publish(sync.name)


def read_done(draft: Draft, event: ReadDone) -> None:
    """One side has been read in full; when both have, what follows begins."""
    for sync, _ in draft.rules.uses.get((event.account, event.object), ()):
        state = draft.sync(sync.name)
        read = state.reads.get(event.account)
        if read is None or read.id != event.read or read.done or state.stage != "reading":
            continue
        read.done = True
        draft.publish(sync.name)
        if not all(one.done for one in state.reads.values()):
            continue
        emptied = [account for account, one in state.reads.items() if one.rows == 0]
        if state.links and emptied and not state.confirmed:
            state.stopped = f"{emptied[0]} reads empty although {state.links} records are linked: confirm, or mend it"
            continue
        state.confirmed = False
        state.stage = "missing"
        start(draft, sync.name, STAGE)


def go_on(draft: Draft, sync: Sync) -> None:
    """One slice of the present stage."""
    state = draft.sync(sync.name)
    if sync.off or state.stopped:
        state.works.pop(STAGE, None)
        return
    {"missing": _missing, "pairs": _pairs, "match": _match, "create": _create}[state.stage](draft, sync)
    draft.publish(sync.name)


def _next(draft: Draft, sync: Sync, stage: str, part: int = 0) -> None:
    state = draft.sync(sync.name)
    state.stage, state.part = stage, part
    if stage == "settle":
        state.settle = state.issued
        settle(draft, sync)
    else:
        start(draft, sync.name, STAGE)


def settle(draft: Draft, sync: Sync) -> None:
    """The sync is live when no command from its first creates is open any more."""
    state = draft.sync(sync.name)
    if state.stage == "settle" and oldest_open(draft, sync.name) > state.settle:
        state.stage = "live"
        draft.publish(sync.name)


def oldest_open(draft: Draft, sync: str) -> int:
    """The number of the oldest command that is on its way or waits; beyond all numbers where there is none."""
    for key in draft.scan(f"f{sync}\0".encode()):
        return int(parts(key)[1], 16)
    return draft.sync(sync).issued + 1


def _missing(draft: Draft, sync: Sync) -> None:
    state = draft.sync(sync.name)

    def step(key: bytes) -> None:
        link = draft.link(sync.name, parts(key)[1])
        if link is None:
            return
        for number, side in enumerate(sync.sides):
            record_id = link.ids[number]
            if record_id is None or link.gone[number]:
                continue
            place = (side.account, side.object.name, record_id)
            image = draft.image(*place)
            seat = None if image is None else image.seats.get(sync.name)
            if image is not None and seat is not None and not image.gone and seat.read != state.reads[side.account].id:
                image.gone = True
                vanish(draft, place, image)

    if run(draft, sync.name, STAGE, b"L" + sync.name.encode() + b"\0", step, logged=True):
        _next(draft, sync, "pairs")


def _pairs(draft: Draft, sync: Sync) -> None:
    side = draft.sync(sync.name).part

    def step(key: bytes) -> None:
        own, other = sync.sides[side], sync.sides[1 - side]
        record_id = parts(key)[2]
        image = draft.image(own.account, own.object.name, record_id)
        if image is None or image.seats[sync.name].link is not None:
            return
        for _, account, object_name, paired in image.pairs:
            counterpart = draft.image(other.account, other.object.name, paired)
            if (account, object_name) != (other.account, other.object.name) or counterpart is None or counterpart.gone:
                continue
            seat = counterpart.seats.get(sync.name)
            if seat is not None and seat.link is None:
                make_link(draft, sync, side, record_id, paired)
                return

    if run(draft, sync.name, STAGE, f"q{sync.name}\0{side}\0".encode(), step):
        if side == 0:
            _next(draft, sync, "pairs", 1)
        else:
            _next(draft, sync, "match" if sync.identifier_types else "create")


def _match(draft: Draft, sync: Sync) -> None:
    """Walks one identifier's values on side 0 and pairs what side 1 has of each, the oldest with the oldest."""
    state = draft.sync(sync.name)
    number = state.part
    prefix = f"i{sync.name}\0{0}\0{number}\0".encode()
    after = bytes.fromhex(state.works[STAGE].cursor)
    ids: list[str] = []
    value: str | None = None
    met, last = 0, b""
    for key in draft.scan(prefix, after or None):
        if key == after:
            continue
        pieces = parts(key)
        if pieces[3] != value:
            if value is not None:
                _pair_value(draft, sync, number, value, ids)
            if met >= SLICE:
                advance(draft, sync.name, STAGE, last)
                return
            value, ids = pieces[3], []
        ids.append(pieces[5])
        last, met = key, met + 1
    if value is not None:
        _pair_value(draft, sync, number, value, ids)
    state.works.pop(STAGE)
    if number + 1 < len(sync.identifier_types):
        _next(draft, sync, "match", number + 1)
    else:
        _next(draft, sync, "create")


def _pair_value(draft: Draft, sync: Sync, number: int, value: str, ids: list[str]) -> None:
    right_ids = [parts(key)[5] for key in draft.scan(identifier_prefix(sync.name, 1, number, value))]
    if not right_ids:
        return
    free = [_free_records(draft, sync, side, found) for side, found in ((0, ids), (1, right_ids))]
    rights = list(free[1])
    for left, left_enters in free[0]:
        for position, (right, right_enters) in enumerate(rights):
            if left_enters or right_enters:
                del rights[position]
                make_link(draft, sync, 0, left, right)
                break


def _free_records(draft: Draft, sync: Sync, side: int, ids: list[str]) -> list[tuple[str, bool]]:
    """Those of the records that have no link, and whether each enters from its side."""
    own, found = sync.sides[side], []
    for record_id in ids:
        image = draft.image(own.account, own.object.name, record_id)
        seat = None if image is None or image.gone else image.seats.get(sync.name)
        if image is not None and seat is not None and seat.link is None:
            found.append((record_id, exclusion(sync, side, image, seat) is None))
    return found


def _create(draft: Draft, sync: Sync) -> None:
    side = draft.sync(sync.name).part
    own = sync.sides[side]

    def step(key: bytes) -> None:
        place = (own.account, own.object.name, parts(key)[3])
        image = draft.image(*place)
        if image is not None and not image.gone and image.seats[sync.name].link is None:
            judge(draft, sync, side, place, image)

    if run(draft, sync.name, STAGE, f"u{sync.name}\0{side}\0".encode(), step):
        if side == 0:
            _next(draft, sync, "create", 1)
        else:
            _forget_deleted(draft, sync)
            _next(draft, sync, "settle")


def _forget_deleted(draft: Draft, sync: Sync) -> None:
    """Deletions remembered for pages that might still have come are of no more use."""
    for side in sync.sides:
        for key in list(draft.scan(f"t{side.account}\0{side.object.name}\0".encode()))[:SLICE]:
            draft.save_image((side.account, side.object.name, parts(key)[2]), None)
