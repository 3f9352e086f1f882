"""What people ask of a connection: apply, restore, retry, resync, confirm (semantics sections 6 and 7)."""

from __future__ import annotations

from rules.draft import Draft
from rules.entry import judge
from rules.events import Order
from rules.initial import STAGE, begin_read
from rules.links import touch
from rules.plan import Sync, compile_connection
from rules.state import Link, SyncState, parts
from rules.work import run, start

FORGET = "forget"


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
    if event.sync is None:
        return list(draft.rules.syncs.values())
    sync = draft.rules.syncs.get(event.sync)
    return [] if sync is None else [sync]


# ---------------------------------------------------------------- apply


def _apply(draft: Draft, event: Order) -> None:
    connection, old = draft.connection, draft.rules
    version = int(event.arguments["version"])
    if version < connection.version:
        return
    connection.version, connection.document = version, event.arguments["document"]
    connection.fields = {}
    draft.save_connection()
    new = draft.rules = compile_connection(connection.document)
    for name, sync in old.syncs.items():
        if name not in new.syncs:
            _begin_to_forget(draft, sync)
    for name, sync in new.syncs.items():
        draft.publish(name)
        if not draft.known(name):
            state = draft.sync(name)
            state.off = sync.off
            if not sync.off:
                begin_read(draft, sync)
            continue
        _edited(draft, sync, old.syncs.get(name))


def _edited(draft: Draft, sync: Sync, before: Sync | None) -> None:
    state = draft.sync(sync.name)
    was_off, state.off = state.off, sync.off
    if before is not None and before.digest != sync.digest:
        kept = {mapping.digest for mapping in sync.mappings}
        state.dropped = [*state.dropped, *(one.fields for one in before.mappings if one.digest not in kept)]
        known = {mapping.digest for mapping in before.mappings}
        state.dropped += [one.fields for one in sync.mappings if one.digest not in known]
        start(draft, sync.name, "rules links")
        start(draft, sync.name, "rules 0")
        start(draft, sync.name, "rules 1")
    if was_off and not sync.off:
        begin_read(draft, sync)


def go_on_with_rules(draft: Draft, sync: Sync, name: str) -> None:
    """One slice of what edited rules change: links are merged anew, records without a link judged again."""
    part = name.split(" ")[1]
    if part == "links":
        _rules_links(draft, sync, name)
        return
    side = int(part)
    own = sync.sides[side]

    def step(key: bytes) -> None:
        place = (own.account, own.object.name, parts(key)[3])
        image = draft.image(*place)
        if image is not None and not image.gone and image.seats[sync.name].link is None:
            image.seats[sync.name].identifiers = sync.normalised(side, image.values)
            draft.save_image(place, image)
            judge(draft, sync, side, place, image)

    run(draft, sync.name, name, f"u{sync.name}\0{side}\0".encode(), step)


def _rules_links(draft: Draft, sync: Sync, name: str) -> None:
    dropped = [(fields[0], fields[1]) for fields in draft.sync(sync.name).dropped]

    def step(key: bytes) -> None:
        link_id = parts(key)[1]
        link = draft.link(sync.name, link_id)
        if link is None:
            return
        for fields in dropped:
            for side in (0, 1):
                link.bases[side].pop(fields[side], None)
        link.refusals = []
        _renew_identifiers(draft, sync, link)
        touch(draft, sync, link_id, link)

    if run(draft, sync.name, name, b"L" + sync.name.encode() + b"\0", step, logged=True):
        draft.sync(sync.name).dropped = []


def _renew_identifiers(draft: Draft, sync: Sync, link: Link) -> None:
    for side in (0, 1):
        own, record_id = sync.sides[side], link.ids[side]
        image = None if record_id is None else draft.image(own.account, own.object.name, record_id)
        if image is None or record_id is None or sync.name not in image.seats:
            continue
        identifiers = sync.normalised(side, image.values)
        if identifiers != tuple(image.seats[sync.name].identifiers):
            image.seats[sync.name].identifiers = identifiers
            draft.save_image((own.account, own.object.name, record_id), image)


# ---------------------------------------------------------------- delete


def _begin_to_forget(draft: Draft, sync: Sync) -> None:
    state = draft.sync(sync.name)
    state.off, state.works = True, {}
    places = "\x1f".join(part for side in sync.sides for part in (side.account, side.object.name))
    start(draft, sync.name, f"{FORGET}\x1flinks\x1f{places}")


def go_on_forgetting(draft: Draft, sync: str, name: str) -> None:
    """One slice of forgetting a sync: its links, then its seats in the images. No app is touched."""
    _, part, *places = name.split("\x1f")
    if part == "links":

        def drop_link(key: bytes) -> None:
            draft.link(sync, parts(key)[1])
            draft.save_link(sync, parts(key)[1], None)

        if run(draft, sync, name, b"L" + sync.encode() + b"\0", drop_link, logged=True):
            start(draft, sync, "\x1f".join([FORGET, "0", *places]))
        return
    side = int(part)
    account, object_name = places[2 * side : 2 * side + 2]

    def drop_seat(key: bytes) -> None:
        place = (account, object_name, parts(key)[2])
        image = draft.image(*place)
        if image is not None and image.seats.pop(sync, None) is not None:
            draft.save_image(place, image if image.seats else None)

    if run(draft, sync, name, b"R" + f"{account}\0{object_name}\0".encode(), drop_seat, logged=True):
        if side == 0:
            start(draft, sync, "\x1f".join([FORGET, "1", *places]))
        else:
            draft.publish(sync)


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
        if not event.records:
            start(draft, sync.name, f"restore {side}")
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
    link.restoring, link.refusals = side, []
    draft.note(sync.name, link_id, "restore", note=f"into {sync.sides[side].account}")
    touch(draft, sync, link_id, link)


def go_on_restoring(draft: Draft, sync: Sync, name: str) -> None:
    """One slice of restoring all that is deleted."""
    side = int(name.split(" ")[1])
    run(
        draft,
        sync.name,
        name,
        b"L" + sync.name.encode() + b"\0",
        lambda key: _restore_one(draft, sync, side, parts(key)[1]),
        logged=True,
    )


def _retry(draft: Draft, event: Order) -> None:
    category = event.arguments.get("category", "")
    for sync in _syncs(draft, event):
        if not event.records:
            start(draft, sync.name, f"retry {category}")
            start(draft, sync.name, "rules 0")
            start(draft, sync.name, "rules 1")
        for reference in event.records:
            for link_id in _links_of(draft, sync, reference):
                _retry_one(draft, sync, link_id, category)


def _retry_one(draft: Draft, sync: Sync, link_id: str, category: str) -> None:
    link = draft.link(sync.name, link_id)
    if link is not None and link.status == "failing" and category in ("", link.category):
        link.refusals, link.recent = [], {}
        touch(draft, sync, link_id, link)


def go_on_retrying(draft: Draft, sync: Sync, name: str) -> None:
    """One slice of trying all failing links again."""
    category = name.split(" ")[1]
    run(
        draft,
        sync.name,
        name,
        b"L" + sync.name.encode() + b"\0",
        lambda key: _retry_one(draft, sync, parts(key)[1], category),
        logged=True,
    )


def _confirm(draft: Draft, sync: Sync) -> None:
    state: SyncState = draft.sync(sync.name)
    if not state.stopped:
        return
    state.stopped, state.confirmed = "", True
    draft.publish(sync.name)
    if state.stage == "reading" and all(read.done for read in state.reads.values()):
        state.stage = "missing"
        start(draft, sync.name, STAGE)
