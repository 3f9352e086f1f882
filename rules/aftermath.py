"""What one record's change means for others, at the end of an event when all of it has been seen: who was in whose way, who awaited whom.

Semantics section 2 (judged again when the link in its way changes), 5 (an association follows), 6 (a deletion goes on), 8 (retried).
"""

from __future__ import annotations

from collections.abc import Iterator

from rules.deletion import copy_deletion
from rules.draft import Draft, Place
from rules.entry import judge
from rules.links import touch
from rules.matching import (
    Found,
    best_candidate,
    enters_still,
    exclusion,
    is_creating,
    known_pairs,
    paired_by_peers,
)
from rules.plan import Sync
from rules.references import compare_anew
from rules.seats import dissolve, has_lost, place_of, side_image
from rules.sending import call_for, set_status
from rules.state import Image, Link, identifier_prefix
from rules.work import PART, SLICE, run, start

FEW = 8  # records that are looked up one by one; of more, all that anything names are looked through
NAMED, AWAITED, FREED = "named", "awaited", "freed"  # works


def carry_on(draft: Draft) -> None:
    """Until nothing of what the event has stirred is left. Deletions last: an insert of the same event may have taken the place."""
    while draft.stirred or draft.news or draft.landed or draft.freed or draft.bereft or draft.doomed:
        if draft.news:
            news, draft.news = draft.news, {}
            for (name, side), ids in news.items():
                _tell_awaiting(draft, name, side, list(ids))
        elif draft.stirred:
            stirred, draft.stirred = draft.stirred, {}
            _tell_peers(draft, list(stirred))
            by_account: dict[str, list[str]] = {}
            for account, _, record_id in stirred:
                by_account.setdefault(account, []).append(record_id)
            for account, named in by_account.items():
                _tell_naming(draft, account, named)
        elif draft.landed:
            landed, draft.landed = draft.landed, {}
            for place in landed:
                _tell_waiting(draft, place)
        elif draft.freed:
            freed, draft.freed = draft.freed, {}
            for account, object_name in freed:
                for sync, side in draft.uses(account, object_name):
                    _free(draft, sync, side)
        elif draft.bereft:
            bereft, draft.bereft = draft.bereft, {}
            for sync_name, link_id in bereft:
                _fill_place(draft, sync_name, link_id)
        else:
            _copy_next_deletion(draft)


def _copy_next_deletion(draft: Draft) -> None:
    sync_name, link_id = next(iter(draft.doomed))
    confirmed = draft.doomed.pop((sync_name, link_id))
    sync = draft.rules.syncs.get(sync_name)
    if sync is not None:
        copy_deletion(draft, sync, link_id, confirmed=confirmed)


def _keys_of(draft: Draft, head: str, ids: list[str]) -> list[tuple[str, bytes]]:
    """Index keys below `head` for any of the ids, with the id: one by one, or all in one sweep if there are few in all."""
    if len(ids) > FEW:
        wanted, limit = set(ids), 4 * len(ids)
        found: list[tuple[str, bytes]] = []
        start_at = len(head)
        for count, key in enumerate(draft.scan(head.encode())):
            if count == limit:
                break
            record_id = key.decode()[start_at:].partition("\0")[0]
            if record_id in wanted:
                found.append((record_id, key))
        else:
            return found
    return [(record_id, key) for record_id in ids for key in _some(draft, f"{head}{record_id}\0".encode())]


def _some(draft: Draft, prefix: bytes) -> list[bytes]:
    keys: list[bytes] = []
    for key in draft.scan(prefix):
        keys.append(key)
        if len(keys) > SLICE:
            break
    return keys


# ---------------------------------------------------------------- those that name a record in their way


def _tell_naming(draft: Draft, account: str, ids: list[str]) -> None:
    counts: dict[str, int] = {}
    for record_id, key in _keys_of(draft, f"o{account}\0", ids):
        sync, name = key.decode().split("\0")[2:4]
        counts[record_id] = counts.get(record_id, 0) + 1
        if counts[record_id] <= SLICE:
            retry_naming(draft, sync, name, f"{account}:{record_id}")
        elif counts[record_id] == SLICE + 1:
            for each in draft.rules.syncs:
                start(draft, each, PART.join((NAMED, account, record_id)))


def retry_naming(draft: Draft, sync_name: str, name: str, named: str) -> None:
    """Judges anew what names a record: that one has changed, or left, or an answer about it has come."""
    sync = draft.rules.syncs.get(sync_name)
    if sync is None:
        return
    link = draft.link(sync_name, name)
    if link is not None and link.other == named:
        link.refusals = [refusal for refusal in link.refusals if refusal.other != named]
        touch(draft, sync, name, link)
    account, _, record_id = name.partition(":")
    side = sync.side_of(account)
    place: Place = (account, sync.sides[side].object.name, record_id)
    image = draft.image(*place)
    seat = None if image is None or image.gone else image.seats.get(sync_name)
    if image is not None and seat is not None and seat.link is None and seat.other == named:
        judge(draft, sync, side, place, image)


def _tell_waiting(draft: Draft, place: Place) -> None:
    """Links that wait for what another sync writes go on. What a record was refused for stays so: it has not changed."""
    account, _, record_id = place
    for key in _some(draft, f"o{account}\0{record_id}\0".encode()):
        name, link_id = key.decode().split("\0")[2:4]
        sync, link = draft.rules.syncs.get(name), draft.link(name, link_id)
        waits = link is not None and link.status == "pending" and link.other == f"{account}:{record_id}"
        if sync is not None and link is not None and waits:
            touch(draft, sync, link_id, link)


def go_on_with_named(draft: Draft, sync: Sync, name: str) -> None:
    """One slice of the many that name one record."""
    _, account, record_id = name.split(PART)
    run(
        draft,
        sync.name,
        name,
        f"o{account}\0{record_id}\0{sync.name}\0".encode(),
        lambda key: retry_naming(draft, sync.name, key.decode().split("\0")[3], f"{account}:{record_id}"),
    )


def _tell_peers(draft: Draft, places: list[Place]) -> None:
    """A pair that one sync has made is a match for the others of the same two objects."""
    if not any(draft.rules.peers.values()):
        return
    for place in places:
        image = draft.image(*place)
        if image is None or image.gone or image.partial:
            continue
        for sync, side in draft.uses(place[0], place[1]):
            seat = image.seats.get(sync.name)
            if seat is None or not draft.rules.peers[sync.name]:
                continue
            link = None if seat.link is None else draft.link(sync.name, seat.link)
            if seat.link is None:
                judge(draft, sync, side, place, image)
            elif link is not None and None in link.ids and link.flight is None:
                touch(draft, sync, seat.link, link)
            elif link is not None and has_lost(link):
                draft.bereave(sync.name, seat.link)  # what the other sync has paired may take the place


def _fill_place(draft: Draft, sync_name: str, link_id: str) -> None:
    """A link lacks a record: the oldest of that side that answers to its counterpart and has none itself is judged again; else the link goes on."""
    sync, link = draft.rules.syncs.get(sync_name), draft.link(sync_name, link_id)
    if sync is None or link is None:
        return
    lacking = [side for side in (0, 1) if link.gone[side] or link.ids[side] is None]
    if (
        len(lacking) == 1
        and link.flight is None
        and lacking[0] not in link.missed
        and _waits_for_match(draft, sync, link, lacking[0])
    ):
        draft.save_link(sync_name, link_id, link)
        return
    found = draft.link(sync_name, link_id)
    if found is None or found.flight is not None or found.waits is not None:
        return
    state = draft.sync(sync_name)
    if state.stage not in ("settle", "live"):
        state.vacant = True
    if None not in found.ids or draft.is_idle(sync) or enters_still(draft, sync, found):
        touch(draft, sync, link_id, found)
    else:
        side = 1 - found.ids.index(None)
        _set_free(draft, sync, side, found.ids[side] or "")


def _set_free(draft: Draft, sync: Sync, side: int, record_id: str) -> None:
    """Nothing is created for a record any more, since it does not enter as it, or the direction, is now: it is judged again."""
    place = place_of(sync, side, record_id)
    image = draft.image(*place)
    if image is not None and dissolve(draft, sync, side, record_id):
        judge(draft, sync, side, place, image)


def _waits_for_match(draft: Draft, sync: Sync, link: Link, side: int) -> bool:
    """Judges what may take the empty place; whether the link waits, since that is being created on the other side just now."""
    image = side_image(draft, sync, link, 1 - side)
    if image is None or sync.name not in image.seats or draft.is_idle(sync):
        return False
    for record_id in _answering(draft, sync, link.ids[1 - side] or "", image):
        place = place_of(sync, side, record_id)
        other = draft.image(*place)
        seat = None if other is None or other.gone else other.seats.get(sync.name)
        if other is None or seat is None or _belongs_elsewhere(draft, sync, other, link.ids[1 - side]):
            continue
        rival = None if seat.link is None else draft.link(sync.name, seat.link)
        if rival is not None and rival is not link and is_creating(rival, 1 - side):
            named = f"{place[0]}:{record_id}"
            call_for(draft, sync, link)
            set_status(
                draft, link, "pending", None, f"waits for the answer to the create of the counterpart of {named}", named
            )
            return True
        if _finds_one(draft, sync, side, record_id, other) and dissolve(draft, sync, side, record_id):
            judge(draft, sync, side, place, other)
            return False
    return False


def _finds_one(draft: Draft, sync: Sync, side: int, record_id: str, image: Image) -> bool:
    """Whether a record would be paired: it leaves a link of its own, with what that knows of a deleted one, for nothing less."""
    entered = exclusion(sync, side, image, image.seats[sync.name]) is None
    best = best_candidate(draft, sync, side, record_id, image, entered=entered)
    return best is not None and best.found is not Found.TAKEN


def _belongs_elsewhere(draft: Draft, sync: Sync, image: Image, counterpart: str | None) -> bool:
    """Whether other syncs of the same objects have paired a record, and with another."""
    if not draft.rules.peers[sync.name]:
        return False
    paired = list(paired_by_peers(draft, sync, image))
    return bool(paired) and counterpart not in paired


def _answering(draft: Draft, sync: Sync, record_id: str, image: Image) -> Iterator[str]:
    """The records of the other side that answer to one: those that are known to be its counterpart, then by its identifiers, the oldest first."""
    yield from known_pairs(draft, sync, record_id, image)
    seat = image.seats[sync.name]
    for number, value in enumerate(seat.identifiers):
        if value is not None:
            for key in draft.scan(identifier_prefix(sync.name, 1 - seat.side, number, value)):
                yield key.rpartition(b"\0")[2].decode()


# ---------------------------------------------------------------- those that await the counterpart of a record


def _tell_awaiting(draft: Draft, sync: str, side: int, ids: list[str]) -> None:
    counts: dict[str, int] = {}
    for record_id, key in _keys_of(draft, f"a{sync}\0{side}\0", ids):
        counts[record_id] = counts.get(record_id, 0) + 1
        if counts[record_id] <= SLICE:
            _tell_awaiting_link(draft, key)
        elif counts[record_id] == SLICE + 1 and sync in draft.rules.syncs:
            start(draft, sync, PART.join((AWAITED, str(side), record_id)))


def _tell_awaiting_link(draft: Draft, key: bytes) -> None:
    awaited, side, record_id, name, link_id = key[1:].decode().split("\0")
    sync, link = draft.rules.syncs.get(name), draft.link(name, link_id)
    if sync is not None and link is not None:
        compare_anew(draft, sync, link, (awaited, int(side), record_id))
        touch(draft, sync, link_id, link)


def go_on_with_awaited(draft: Draft, sync: Sync, name: str) -> None:
    """One slice of the many that await one record, or any record of the sync."""
    _, *narrowed = name.split(PART)
    prefix = "\0".join((f"a{sync.name}", *narrowed)) + "\0"
    run(draft, sync.name, name, prefix.encode(), lambda key: _tell_awaiting_link(draft, key))


# ---------------------------------------------------------------- those that waited for creates without a token


def _free(draft: Draft, sync: Sync, side: int) -> None:
    for key in _some(draft, f"b{sync.name}\0{side}\0".encode()):
        _free_one(draft, sync, side, key)
    if next(iter(draft.scan(f"b{sync.name}\0{side}\0".encode())), None) is not None and not draft.blind_before(
        sync.sides[side].account, sync.sides[side].object.name
    ):
        start(draft, sync.name, f"{FREED} {side}")


def _free_one(draft: Draft, sync: Sync, side: int, key: bytes) -> None:
    own = sync.sides[side]
    place: Place = (own.account, own.object.name, key.decode().split("\0")[3])
    image = draft.image(*place)
    seat = None if image is None or image.gone else image.seats.get(sync.name)
    if image is None or seat is None or seat.link is not None or draft.blind_before(place[0], place[1], seat.behind):
        return
    seat.behind = 0
    judge(draft, sync, side, place, image)


def go_on_freeing(draft: Draft, sync: Sync, name: str) -> None:
    """One slice of the records that waited for creates in their object, of which none is on its way any more."""
    side = int(name.split(" ")[1])
    run(draft, sync.name, name, f"b{sync.name}\0{side}\0".encode(), lambda key: _free_one(draft, sync, side, key))
