"""What people ask of a connection: apply, restore, retry, resync, confirm (semantics sections 6 and 7)."""

from __future__ import annotations

from collections.abc import Callable

from rules.deletion import carry_on_deletion
from rules.draft import Draft
from rules.entry import judge
from rules.events import Order
from rules.initial import begin_read, carry_on_reading
from rules.links import look_after, touch
from rules.plan import Sync, compile_connection
from rules.references import note_codes
from rules.reviving import pairs_in, take_up
from rules.seats import place_of
from rules.sending import end_flight
from rules.state import Link, SyncState, parts
from rules.work import CONFIRM, PART, VACANT, run, start

FORGET, RULES, RESTORE, RETRY = "forget", "rules", "restore", "retry"  # works


def order(draft: Draft, event: Order) -> None:
    """Carries out an order, or begins to."""
    match event.action:
        case "apply":
            _apply(draft, event)
        case "restore":
            _restore(draft, event)
        case "retry":
            _retry(draft, event)
        case "resync":
            for sync in _syncs(draft, event):
                begin_read(draft, sync)
        case "confirm":
            for sync in _syncs(draft, event):
                _confirm(draft, sync)
        case _:
            draft.note(event.sync or "", "", "ignored", note=f"unknown order {event.action}")


def _syncs(draft: Draft, event: Order) -> list[Sync]:
    return [
        sync for name, sync in draft.rules.syncs.items() if event.sync in (None, name) and not draft.is_forgotten(name)
    ]


# ---------------------------------------------------------------- apply


def _apply(draft: Draft, event: Order) -> None:
    connection, old = draft.connection, draft.rules
    version = int(event.arguments["version"])
    if version < connection.version:
        return
    connection.version, connection.document = version, event.arguments["document"]
    broken, connection.fields = connection.fields, {}
    draft.save_connection()
    new = draft.rules = compile_connection(connection.document)
    for name, sync in old.syncs.items():
        if name not in new.syncs:
            _begin_to_forget(draft, sync)
    for name, sync in new.syncs.items():
        draft.publish(name)
        if not draft.known(name):
            _add(draft, sync)
        elif not draft.is_forgotten(name):  # else it is added when the earlier one of its name is forgotten
            _edited(draft, sync, old.syncs.get(name))
            if any(side.object.name in broken.get(side.account, ()) for side in sync.sides):
                start(draft, name, f"{RULES} links")  # its mapped fields are there, as far as is known


def _add(draft: Draft, sync: Sync) -> None:
    draft.sync(sync.name).off = sync.off
    if not sync.off:
        begin_read(draft, sync)


def _edited(draft: Draft, sync: Sync, before: Sync | None) -> None:
    state = draft.sync(sync.name)
    was_off, state.off = state.off, sync.off
    if before is not None and before.digest != sync.digest:
        kept = {mapping.digest for mapping in sync.mappings} & {mapping.digest for mapping in before.mappings}
        changed = [one.key for one in (*before.mappings, *sync.mappings) if one.digest not in kept]
        state.dropped = list(dict.fromkeys([*state.dropped, *changed]))
        _sweep(draft, sync)
    if (was_off or (before is not None and _names_unread(sync, before))) and not sync.off:
        state.woken = state.woken or was_off
        begin_read(draft, sync)


def _names_unread(sync: Sync, before: Sync) -> bool:
    """Whether rules name a field that was not there, or was of another type, when the records were read: the log does not
    tell what such a field came to hold by a default."""
    for side, old in zip(sync.sides, before.sides, strict=True):
        if not side.object.capabilities.whole and side.named - old.named:
            return True
        for name in side.named:
            known, field = old.object.field(name), side.object.field(name)
            if field is not None and (known is None or known.type.native != field.type.native):
                return True
    return False


def _sweep(draft: Draft, sync: Sync) -> None:
    """All links are merged anew, all records without one judged again."""
    for part in ("links", "0", "1"):
        start(draft, sync.name, f"{RULES} {part}")


def go_on_with_rules(draft: Draft, sync: Sync, name: str) -> None:
    """One slice of what edited rules change: links are merged anew, records without a link judged again."""
    part = name.split(" ")[1]
    if part == "links":
        dropped = draft.sync(sync.name).dropped
        if _run_links(draft, sync, name, lambda link_id: _renew_link(draft, sync, link_id, dropped)):
            draft.sync(sync.name).dropped = []
        return
    side = int(part)

    def step(key: bytes) -> None:
        place = place_of(sync, side, parts(key)[3])
        image = draft.image(*place)
        seat = None if image is None or image.gone else image.seats.get(sync.name)
        if image is not None and seat is not None and seat.link is None:
            seat.identifiers = sync.normalised(side, image.values)
            note_codes(draft, place, image)
            draft.save_image(place, image)
            judge(draft, sync, side, place, image)

    run(draft, sync.name, name, f"u{sync.name}\0{side}\0".encode(), step)


def _run_links(draft: Draft, sync: Sync, name: str, step: Callable[[str], None]) -> bool:
    """One slice of a sync's links; whether it was the last."""
    prefix = b"L" + sync.name.encode() + b"\0"
    return run(draft, sync.name, name, prefix, lambda key: step(parts(key)[1]), logged=True)


def _renew_link(draft: Draft, sync: Sync, link_id: str, dropped: list[str]) -> None:
    link = draft.link(sync.name, link_id)
    if link is None:
        return
    for key in dropped:
        link.bases.pop(key, None)
    flight = link.flight
    for mapping in sync.mappings if dropped else ():
        if (
            flight is not None and mapping.key in dropped
        ):  # what is on its way follows the rules as they were: it makes no base
            flight.sources.pop(mapping.fields[1 - flight.side], None)
    if not any(link.gone):
        link.refusals, link.recent = [], {}
    _renew_identifiers(draft, sync, link)
    look_after(draft, sync, link_id, link)


def _renew_identifiers(draft: Draft, sync: Sync, link: Link) -> None:
    for side in (0, 1):
        place = place_of(sync, side, link.ids[side] or "")
        image = draft.image(*place)
        seat = None if image is None else image.seats.get(sync.name)
        if image is not None and seat is not None:
            identifiers = sync.normalised(side, image.values)
            if note_codes(draft, place, image) or identifiers != tuple(seat.identifiers):
                seat.identifiers = identifiers
                draft.save_image(place, image)


def go_on_with_links(draft: Draft, sync: Sync, name: str) -> None:
    """One slice of what a person asked for all links of a sync: to restore, to retry, to carry on deletions."""
    action, _, argument = name.partition(" ")
    steps: dict[str, Callable[[str], None]] = {
        RESTORE: lambda link_id: _restore_one(draft, sync, int(argument), link_id),
        RETRY: lambda link_id: _retry_one(draft, sync, link_id, argument),
        CONFIRM: lambda link_id: carry_on_deletion(draft, sync, link_id),
        VACANT: lambda link_id: _look_for_another(draft, sync, link_id),
    }
    _run_links(draft, sync, name, steps[action])


def _look_for_another(draft: Draft, sync: Sync, link_id: str) -> None:
    """A full read is over: what could not take an empty place before may now, or may have been left over by others."""
    link = draft.link(sync.name, link_id)
    if link is not None and link.flight is None and (None in link.ids or any(link.gone)):
        draft.bereave(sync.name, link_id)


# ---------------------------------------------------------------- delete


def _begin_to_forget(draft: Draft, sync: Sync) -> None:
    state = draft.sync(sync.name)
    state.stage, state.works = "forgetting", {}
    places = [part for side in sync.sides for part in (side.account, side.object.name)]
    start(draft, sync.name, PART.join([FORGET, "links", *places]))


def go_on_forgetting(draft: Draft, sync: str, name: str) -> None:
    """One slice of forgetting a sync: its links, then its seats in the images. No app is touched."""
    _, part, *places = name.split(PART)
    if part == "links":

        def drop_link(key: bytes) -> None:
            link = draft.link(sync, parts(key)[1])
            if link is not None and link.flight is not None:  # another sync may wait for what becomes of that
                for side, record_id in enumerate(link.ids):
                    draft.stir(places[2 * side], places[2 * side + 1], record_id or "")
                if link.flight.blind:
                    draft.free(places[2 * link.flight.side], places[2 * link.flight.side + 1])
            draft.save_link(sync, parts(key)[1], None)

        if run(draft, sync, name, b"L" + sync.encode() + b"\0", drop_link, logged=True):
            start(draft, sync, PART.join([FORGET, "0", *places]))
        return
    if part == "end":
        pair = {(places[0], places[1]), (places[2], places[3])}
        for peer in draft.rules.syncs.values():
            own = {(side.account, side.object.name) for side in peer.sides}
            if peer.name != sync and own == pair and not draft.is_forgotten(peer.name):
                _sweep(draft, peer)  # whom this one had paired is free to match others
        _forgotten(draft, sync)
        return
    side = int(part)
    account, object_name = places[2 * side : 2 * side + 2]

    def drop_seat(key: bytes) -> None:
        place = (account, object_name, parts(key)[2])
        image = draft.image(*place)
        if image is not None and image.seats.pop(sync, None) is not None:
            draft.save_image(place, image if image.seats else None)

    if run(draft, sync, name, b"R" + f"{account}\0{object_name}\0".encode(), drop_seat, logged=True):
        start(draft, sync, PART.join([FORGET, "1" if side == 0 else "end", *places]))


def _forgotten(draft: Draft, name: str) -> None:
    """Nothing is left of the sync. One that was added under its name meanwhile begins."""
    draft.sync(name).works = {}
    draft.publish(name)
    added = draft.rules.syncs.get(name)
    if added is not None:
        draft.begin_anew(name)
        _add(draft, added)


# ---------------------------------------------------------------- restore, retry, confirm


def _restore(draft: Draft, event: Order) -> None:
    for sync in _syncs(draft, event):
        account = event.arguments.get("into", "")
        if account not in (sync.sides[0].account, sync.sides[1].account):
            continue
        side = sync.side_of(account)
        if not sync.writes[side]:
            draft.note(sync.name, "", "refused", note=f"the sync's direction does not write to {account}")
            continue
        if "replay" in event.arguments:
            for lost in pairs_in(event.arguments["replay"]):
                made = take_up(draft, sync, side, lost)
                if made is not None:
                    touch(draft, sync, *made)
            continue
        if not event.records:
            start(draft, sync.name, f"{RESTORE} {side}")
        for reference in event.records:
            for link_id in _links_of(draft, sync, reference):
                _restore_one(draft, sync, side, link_id)


def _links_of(draft: Draft, sync: Sync, reference: str) -> list[str]:
    """The links of a record, given as `account:id` or by its id alone."""
    found: list[str] = []
    account, _, record_id = reference.partition(":")
    for side in sync.sides:
        for named in {record_id} if account == side.account else {reference}:
            image = draft.image(side.account, side.object.name, named)
            seat = None if image is None else image.seats.get(sync.name)
            if seat is not None and seat.link is not None and seat.link not in found:
                found.append(seat.link)
    return found


def _restore_one(draft: Draft, sync: Sync, side: int, link_id: str) -> None:
    link = draft.link(sync.name, link_id)
    if link is None or not link.gone[side] or link.gone[1 - side] or link.restoring is not None:
        return
    if link.merged is not None:
        draft.note(sync.name, link_id, "refused", note="a record that was merged into another is not created anew")
        return
    if link.flight is not None and link.flight.op == "delete":
        draft.note(sync.name, link_id, "refused", note="its counterpart is being deleted")
        return
    link.restoring, link.refusals, link.doomed = side, [], False
    draft.note(sync.name, link_id, "restore", note=f"into {sync.sides[side].account}")
    touch(draft, sync, link_id, link)


def _retry(draft: Draft, event: Order) -> None:
    category = event.arguments.get("category", "")
    for sync in _syncs(draft, event):
        if not event.records:
            start(draft, sync.name, f"{RETRY} {category}")
            start(draft, sync.name, f"{RULES} 0")
            start(draft, sync.name, f"{RULES} 1")
        for reference in event.records:
            for link_id in _links_of(draft, sync, reference):
                _retry_one(draft, sync, link_id, category)
            _judge_again(draft, sync, reference)


def _retry_one(draft: Draft, sync: Sync, link_id: str, category: str) -> None:
    link = draft.link(sync.name, link_id)
    if link is None or link.status != "failing":
        return
    # It may be refused for several reasons, of which it shows one.
    if category in ("", link.category, *(one.category for one in link.refusals)):
        end_flight(draft, sync, link)  # one whose answer never came: a person has looked
        # That the counterpart of a deleted record was edited meanwhile stays true, however often one tries.
        link.refusals, link.recent = [one for one in link.refusals if one.category == "deleted"], {}
        draft.note(sync.name, link_id, "retry")
        touch(draft, sync, link_id, link)


def _judge_again(draft: Draft, sync: Sync, reference: str) -> None:
    for side in (0, 1):
        account, _, record_id = reference.partition(":")
        place = place_of(sync, side, record_id if account == sync.sides[side].account else reference)
        image = draft.image(*place)
        seat = None if image is None or image.gone else image.seats.get(sync.name)
        if image is not None and seat is not None and seat.link is None:
            judge(draft, sync, side, place, image)


def _confirm(draft: Draft, sync: Sync) -> None:
    """Goes on where the sync was stopped, and with the deletions that were shown but not copied."""
    state: SyncState = draft.sync(sync.name)
    was_stopped, state.stopped = bool(state.stopped), ""
    draft.publish(sync.name)
    if state.log_lost:
        begin_read(draft, sync, confirmed=True)
    elif not (was_stopped and carry_on_reading(draft, sync)):
        state.deletes = {}
        if was_stopped or sync.propagates_deletes:
            start(draft, sync.name, CONFIRM)
        if was_stopped:
            start(draft, sync.name, f"{RULES} 0")
            start(draft, sync.name, f"{RULES} 1")
