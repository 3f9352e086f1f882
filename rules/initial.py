"""The full read of both sides and what follows it: matching, then creating (semantics section 3).

The stages of a sync, in order; the first two also serve a read that stands in for a lost log:

    reading   both objects come in, and what their logs tell up to the end of that; nothing is matched, nothing created; links that exist are merged
              as they are met
    missing   links whose record the read did not meet turn failing `deleted`
    pairs     what the accounts remember is linked, and what other syncs of the same objects have; without identifiers, after those have matched
    match     by the first identifier, then by the next; the oldest first
    create    what has entered and found no match is created; from here on records are judged as they come
    settle    until the answers to all that was created are there
    live
"""

from __future__ import annotations

from rules.aftermath import AWAITED
from rules.deletion import carry_on_deletion, vanish
from rules.draft import Draft
from rules.echoes import doubt
from rules.entry import BEFORE_JUDGING, judge, make_link
from rules.events import Marked, ReadDone, ReadRequest, SetMark
from rules.links import look_after
from rules.matching import KNOWN, exclusion, known_pairs, paired_by_peers
from rules.plan import Sync
from rules.records import is_met
from rules.seats import place_of, reference, tell
from rules.state import Image, ReadState, identifier_prefix, parts
from rules.work import SLICE, STAGE, VACANT, advance, run, start

__all__ = ["STAGE", "begin_read", "carry_on_reading", "go_on", "read_done", "settle", "wait_no_more"]

FOR_PEERS = 4  # the part of the stage `pairs` in which a sync waits for others to match


MARK = "read "  # begins the names of the marks that are set behind full reads


def begin_read(draft: Draft, sync: Sync, *, confirmed: bool = False) -> None:
    """Asks for both objects in full. A read that is running is replaced. `confirmed`: a person knows that records are gone."""
    state = draft.sync(sync.name)
    state.stage, state.part, state.stopped = "reading", 0, ""
    state.confirmed, state.log_lost = confirmed, False
    state.known = sum(state.counts.values()) > 0
    state.works.pop(STAGE, None)
    state.reads = {}
    if state.links == 0:
        state.matched = state.created = 0
    for side in sync.sides:
        read = f"{sync.name}#{draft.offset}"
        state.reads[side.account] = ReadState(read)
        draft.orders.append(ReadRequest(draft.connection.name, side.account, side.object.name, sync.name, read))
    draft.publish(sync.name)


def read_done(draft: Draft, event: ReadDone) -> None:
    """One side has been read in full; but what was committed before its end may still be on its way in the log. A mark tells when that has come by."""
    for sync, _ in draft.uses(event.account, event.object):
        read = draft.sync(sync.name).reads.get(event.account)
        if read is not None and read.id == event.read and not read.whole:
            read.whole = True
            draft.orders.append(SetMark(event.account, MARK + read.id))


def log_caught_up(draft: Draft, event: Marked) -> None:
    """The log has told all that was committed before the end of a read. When both sides' have, what follows begins."""
    for sync in draft.rules.syncs.values():
        state = draft.sync(sync.name)
        read = state.reads.get(event.account)
        if read is None or MARK + read.id != event.mark or read.done or state.stage != "reading":
            continue
        read.done = True
        draft.publish(sync.name)
        if not all(one.done for one in state.reads.values()):
            continue
        emptied = [account for account, one in state.reads.items() if one.rows == 0]
        if state.links and emptied and not state.confirmed:
            state.stopped = f"{emptied[0]} reads empty although {state.links} records are linked: confirm, or mend it"
        else:
            _next(draft, sync, "missing")


def carry_on_reading(draft: Draft, sync: Sync) -> bool:
    """A person has confirmed, and a full read goes on where the sync was stopped; whether it will come to all links, and their deletions, again."""
    state = draft.sync(sync.name)
    if state.stage in ("pairs", "match", "create"):
        start(draft, sync.name, STAGE)
    elif state.stage == "missing" or (state.stage == "reading" and all(read.done for read in state.reads.values())):
        state.confirmed = True
        _next(draft, sync, "missing")
        return True
    return False


def go_on(draft: Draft, sync: Sync) -> None:
    """One slice of the present stage."""
    state = draft.sync(sync.name)
    if draft.is_idle(sync):
        state.works.pop(STAGE, None)
        return
    {"missing": _missing, "pairs": _pairs, "match": _match, "create": _create}[state.stage](draft, sync)
    draft.publish(sync.name)


def _next(draft: Draft, sync: Sync, stage: str, part: int = 0) -> None:
    state = draft.sync(sync.name)
    state.stage, state.part = stage, part
    if stage == "create":
        for name in draft.rules.peers[sync.name]:
            wait_no_more(draft, draft.rules.syncs[name])
    if stage == "settle":
        state.settle = state.issued
        if state.vacant:
            state.vacant = False
            start(draft, sync.name, VACANT)
        settle(draft, sync)
    else:
        start(draft, sync.name, STAGE)


def settle(draft: Draft, sync: Sync) -> None:
    """The sync is live when no command from its first creates is open any more."""
    state = draft.sync(sync.name)
    if state.stage != "settle":
        return
    oldest = draft.oldest_open(sync)
    if oldest is None or oldest[0] > state.settle:
        state.stage = "live"
        draft.publish(sync.name)
        if next(iter(draft.scan(f"a{sync.name}\0".encode())), None) is not None:
            start(draft, sync.name, AWAITED)  # what has no counterpart by now has none on its way


def _missing(draft: Draft, sync: Sync) -> None:
    """What the read did not meet is gone: linked records first, then those without a link. Links are merged with what it met."""
    state = draft.sync(sync.name)
    if state.part == 0:
        prefix = b"L" + sync.name.encode() + b"\0"
        if run(draft, sync.name, STAGE, prefix, lambda key: _compare(draft, sync, parts(key)[1]), logged=True):
            state.confirmed, state.woken, state.lost = False, False, []
            _next(draft, sync, *(("missing", 1) if state.known else ("pairs", 0)))
        return
    side = state.part - 1

    def step(key: bytes) -> None:
        _, _, _, record_id = parts(key)
        _drop_unmet(draft, sync, side, record_id, told=False)

    if run(draft, sync.name, STAGE, f"u{sync.name}\0{side}\0".encode(), step):
        _next(draft, sync, *(("missing", 2) if side == 0 else ("pairs", 0)))


def _compare(draft: Draft, sync: Sync, link_id: str) -> None:
    link, state = draft.link(sync.name, link_id), draft.sync(sync.name)
    if link is None:
        return
    link.doomed = False
    for account in state.lost:
        doubt(sync, link, account)
    if link.missed:
        link.missed = []
        draft.bereave(sync.name, link_id)
    for side in (0, 1):
        record_id = link.ids[side]
        if record_id is not None and not link.gone[side]:
            _drop_unmet(draft, sync, side, record_id, told=state.confirmed)
    link = draft.link(sync.name, link_id)
    if link is None:
        return
    if state.confirmed:
        carry_on_deletion(draft, sync, link_id)
    else:
        look_after(draft, sync, link_id, link)
    if None not in link.ids:
        tell(draft, sync, link)


def _drop_unmet(draft: Draft, sync: Sync, side: int, record_id: str, *, told: bool) -> None:
    place = place_of(sync, side, record_id)
    image, read = draft.image(*place), draft.sync(sync.name).reads[place[0]]
    seat = None if image is None else image.seats.get(sync.name)
    if image is not None and seat is not None and not image.gone and not is_met(read, image, seat):
        if read.began is not None and read.began.newer_than(image.version):
            image.version = read.began  # since then it is known to be gone, whatever an old answer says
        vanish(draft, place, image, told=told)


def _pairs(draft: Draft, sync: Sync) -> None:
    """What the accounts remember is linked: pairs of this sync first, then those of others, and those that other syncs of the same objects have
    linked; of each side's records."""
    part = draft.sync(sync.name).part
    side, own_only = part % 2, part < 2
    all_of_them = not own_only and bool(draft.rules.peers[sync.name])

    def step(key: bytes) -> None:
        record_id = parts(key)[-1]
        image = draft.image(*place_of(sync, side, record_id))
        if image is not None and image.seats[sync.name].link is None:
            _pair_remembered(draft, sync, side, record_id, image, own_only=own_only)

    if run(draft, sync.name, STAGE, f"{'u' if all_of_them else 'q'}{sync.name}\0{side}\0".encode(), step):
        if part < 3:
            _next(draft, sync, "pairs", part + 1)
        else:
            _match_or_wait(draft, sync)


def _match_or_wait(draft: Draft, sync: Sync) -> None:
    """A sync without identifiers would copy what another of the same two objects is about to match: it waits, and takes those pairs over."""
    state = draft.sync(sync.name)
    if sync.identifier_types:
        _next(draft, sync, "match")
    elif _peers_match(draft, sync):
        state.part = FOR_PEERS
    else:
        _next(draft, sync, "create")


def _peers_match(draft: Draft, sync: Sync) -> bool:
    """Whether another sync of the same objects, with identifiers, has not matched yet."""
    peers = [draft.rules.syncs[name] for name in draft.rules.peers[sync.name]]
    return any(
        peer.identifier_types and not draft.is_idle(peer) and draft.sync(peer.name).stage in BEFORE_JUDGING
        for peer in peers
    )


def wait_no_more(draft: Draft, sync: Sync) -> None:
    """Goes on with the pairs of others where the sync waited for those and they have all matched, or will not."""
    state = draft.sync(sync.name)
    waits = state.stage == "pairs" and state.part == FOR_PEERS
    if waits and not draft.is_idle(sync) and not _peers_match(draft, sync):
        _next(draft, sync, "pairs", 2)


def _pair_remembered(draft: Draft, sync: Sync, side: int, record_id: str, image: Image, *, own_only: bool) -> None:
    other = sync.sides[1 - side]
    own = [pair[3] for pair in image.pairs if pair[:3] == (sync.name, other.account, other.object.name)]
    for paired in own if own_only else known_pairs(draft, sync, record_id, image):
        counterpart = draft.image(other.account, other.object.name, paired)
        seat = None if counterpart is None or counterpart.gone else counterpart.seats.get(sync.name)
        if counterpart is not None and not counterpart.partial and seat is not None and seat.link is None:
            entered = exclusion(sync, side, image, image.seats[sync.name]) is None
            if entered or exclusion(sync, 1 - side, counterpart, seat) is None:
                make_link(draft, sync, side, record_id, paired, KNOWN)
                return


def _match(draft: Draft, sync: Sync) -> None:
    """Walks one identifier's values on both sides and pairs the records of each, the oldest with the oldest."""
    state = draft.sync(sync.name)
    number = state.part
    after = bytes.fromhex(state.works[STAGE].cursor)
    others = _Beside(draft, f"i{sync.name}\0{1}\0{number}\0".encode())
    ids: list[str] = []
    value: str | None = None
    met, last = 0, b""
    for key in draft.scan(f"i{sync.name}\0{0}\0{number}\0".encode(), after or None):
        if key == after:
            continue
        pieces = parts(key)
        if pieces[3] != value:
            if value is not None:
                _pair_value(draft, sync, number, value, (ids, others.ids(sync.name, number, value)))
            if met >= SLICE:
                advance(draft, sync.name, STAGE, last)
                return
            value, ids = pieces[3], []
            if others.ended:
                break
        ids.append(pieces[5])
        last, met = key, met + 1
    if value is not None:
        _pair_value(draft, sync, number, value, (ids, others.ids(sync.name, number, value)))
    state.works.pop(STAGE)
    if number + 1 < len(sync.identifier_types):
        _next(draft, sync, "match", number + 1)
    else:
        _next(draft, sync, "create")


class _Beside:
    """Side 1's values of an identifier, walked beside those of side 0: in order, so that most are found without a search of their own."""

    NEAR = 8  # so many entries are stepped over before the next value is searched for

    def __init__(self, draft: Draft, prefix: bytes) -> None:
        self._draft, self._prefix = draft, prefix
        self._keys = draft.scan(prefix, None)
        self._key = next(self._keys, None)

    @property
    def ended(self) -> bool:
        """Whether there are no more values."""
        return self._key is None

    def ids(self, sync: str, number: int, value: str) -> list[str]:
        """The records with this value, oldest first; values are asked for in ascending order."""
        wanted, steps, found = identifier_prefix(sync, 1, number, value), 0, []
        while self._key is not None and self._key < wanted:
            if steps == self.NEAR:
                self._keys = self._draft.scan(self._prefix, wanted)
            self._key, steps = next(self._keys, None), steps + 1
        while self._key is not None and self._key.startswith(wanted):
            found.append(parts(self._key)[5])
            self._key = next(self._keys, None)
        return found


def _pair_value(draft: Draft, sync: Sync, number: int, value: str, ids: tuple[list[str], list[str]]) -> None:
    if not ids[1]:
        return
    free = [_free_records(draft, sync, side, ids[side]) for side in (0, 1)]
    rights = list(free[1])
    for left, left_enters in free[0]:
        for position, (right, right_enters) in enumerate(rights):
            if left_enters or right_enters:
                del rights[position]
                make_link(draft, sync, 0, left, right, f"{sync.identifier_types[number]} {value}")
                break


def _free_records(draft: Draft, sync: Sync, side: int, ids: list[str]) -> list[tuple[str, bool]]:
    """Those of the records that have no link, and whether each enters from its side."""
    own, found = sync.sides[side], []
    for record_id in ids:
        image = draft.image(own.account, own.object.name, record_id)
        seat = None if image is None or image.gone else image.seats.get(sync.name)
        if image is None or image.partial or seat is None or seat.link is not None:
            continue
        if next(paired_by_peers(draft, sync, image), None) is None:
            found.append((record_id, exclusion(sync, side, image, seat) is None))
    return found


def _create(draft: Draft, sync: Sync) -> None:
    side = draft.sync(sync.name).part
    own = sync.sides[side]

    def step(key: bytes) -> None:
        place = (own.account, own.object.name, parts(key)[3])
        image = draft.image(*place)
        if image is not None and not image.gone and image.seats[sync.name].link is None:
            judge(draft, sync, side, place, image, walking=True)

    def ahead(keys: list[bytes]) -> None:
        ids = [parts(key)[3] for key in keys]
        draft.prefetch(own.account, own.object.name, ids)
        draft.prefetch_links([(sync.name, reference(sync, side, one)) for one in ids])

    if run(draft, sync.name, STAGE, f"u{sync.name}\0{side}\0".encode(), step, ahead=ahead):
        if side == 0:
            _next(draft, sync, "create", 1)
        else:
            _next(draft, sync, "settle")
