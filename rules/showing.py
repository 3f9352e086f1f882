"""What people see of a decision: the status rows of the records that it touched, the rows of its syncs, and the counts.

Every record of a sync stands in exactly one row: a link's row is named after the link, a lone record's after the record. Should a link bear
that name, because its first record has been replaced, the lone record's row stands aside, under the name with `~`.
"""

from __future__ import annotations

from rules.draft import Draft, LinkKey, Place
from rules.events import Side, StatusRow, SyncRow
from rules.origins import ALL
from rules.plan import Side as PlanSide
from rules.plan import Sync
from rules.remedies import remedy
from rules.state import Image, Link, SyncState, encode

Rows = dict[tuple[str, str], StatusRow | None]  # None: the row that is there says it already


def status_rows(draft: Draft) -> list[StatusRow]:
    """The rows of all records that this event touched; brings the counts along."""
    rows: Rows = {}
    ended: dict[tuple[str, str], None] = {}
    for link_key in draft.changed_links:
        _show_link(draft, rows, ended, link_key)
    seats: dict[tuple[str, Place], None] = {}
    for place in draft.changed_images:
        image = draft.image(*place)
        for sync in () if image is None else image.seats:
            seats[sync, place] = None
    for key in draft.seats_before:
        if key[1] in draft.changed_images:
            seats[key] = None
    for sync, place in seats:
        _show_seat(draft, rows, ended, sync, place)
    fresh = [row for row in rows.values() if row is not None]
    return [*fresh, *(StatusRow(sync, key, None) for sync, key in ended if (sync, key) not in rows)]


def _count(draft: Draft, sync: str, before: str | None, after: str | None) -> None:
    if before == after:
        return
    state = draft.sync(sync)
    if before is not None:
        state.counts[before] = state.counts.get(before, 0) - 1
    if after is not None:
        state.counts[after] = state.counts.get(after, 0) + 1
    state.changed = True


def _show_link(draft: Draft, rows: Rows, ended: dict[tuple[str, str], None], key: LinkKey) -> None:
    link, before = draft.link(*key), draft.links_before[key]
    _count(draft, key[0], None if before is None else before[1], None if link is None else link.status)
    sync = draft.rules.syncs.get(key[0])
    if link is None or sync is None:
        if before is not None:
            ended[key] = None
        return
    places = [
        (side.account, side.object.name, record_id)
        for side, record_id in zip(sync.sides, link.ids, strict=True)
        if record_id is not None
    ]
    if before is not None and not any(place in draft.changed_images for place in places) and encode(link) == before[0]:
        return
    if before is None and _stands_already(draft, key, link, places):
        rows[key] = None
        return
    sides: dict[str, Side] = {}
    for side, record_id in zip(sync.sides, link.ids, strict=True):
        if record_id is not None:
            image = draft.image(side.account, side.object.name, record_id)
            sides[side.account] = _side(side, record_id, image)
    hint = None if link.category is None else remedy(sync, link.status, link.category, link.message)
    rows[key] = StatusRow(*key, link.status, link.category, link.message, hint, link.since, sides, _gone(sync, link))


def _gone(sync: Sync, link: Link) -> tuple[str, ...]:
    if link.merged is not None or not any(link.gone):
        return ()
    return tuple(side.account for side, is_gone in zip(sync.sides, link.gone, strict=True) if is_gone)


def _side(own: PlanSide, record_id: str, image: Image | None) -> Side:
    """A record for people; where its fields come from, if any has been seen to change."""
    if image is None:
        return Side(record_id, own.shown({}))
    shown = own.shown(image.values)
    if not image.origins:
        return Side(record_id, shown)
    return Side(
        record_id, shown, {field: one for field, one in image.origins.items() if field == ALL or field in shown}
    )


def _stands_already(draft: Draft, key: LinkKey, link: Link, places: list[Place]) -> bool:
    """Whether a record that was shown as pending still is, now that its counterpart is being made. In a first sync that is most of them."""
    if len(places) != 1 or (link.status, link.category, link.message) != ("pending", None, None):
        return False
    place = places[0]
    shown, image = draft.seats_before.get((key[0], place)), draft.image(*place)
    return (
        shown is not None
        and image is not None
        and (shown.status, shown.aside, shown.message) == ("pending", False, None)
        and shown.values is image.values
        and key[1] == f"{place[0]}:{place[2]}"
    )


def _show_seat(draft: Draft, rows: Rows, ended: dict[tuple[str, str], None], sync_name: str, place: Place) -> None:
    image, shown = draft.image(*place), draft.seats_before.get((sync_name, place))
    seat = None if image is None or image.gone or image.partial else image.seats.get(sync_name)
    alone = seat if seat is not None and seat.link is None else None
    _count(draft, sync_name, None if shown is None else shown.status, None if alone is None else alone.status)
    name = f"{place[0]}:{place[2]}"
    sync = draft.rules.syncs.get(sync_name)
    if shown is not None:
        ended[sync_name, name + "~" * shown.aside] = None
    if alone is None or image is None or sync is None:
        return
    alone.aside = alone.aside or (draft.sync(sync_name).moved and draft.link(sync_name, name) is not None)
    side = sync.sides[alone.side]
    hint = None if alone.category is None else remedy(sync, alone.status, alone.category, alone.message)
    sides = {place[0]: _side(side, place[2], image)}
    key = (sync_name, name + "~" * alone.aside)
    rows[key] = StatusRow(*key, alone.status, alone.category, alone.message, hint, alone.since, sides)


# ---------------------------------------------------------------- syncs


def sync_rows(draft: Draft) -> list[SyncRow]:
    """The rows of the syncs that are to be shown."""
    rows = []
    for name in sorted(draft.published):
        state, sync = draft.sync(name), draft.rules.syncs.get(name)
        state.changed = False
        if sync is None:
            rows.append(SyncRow(name, draft.connection.name, None))
        else:
            rows.append(_sync_row(draft, name, state, sync))
    return rows


def _sync_row(draft: Draft, name: str, state: SyncState, sync: Sync) -> SyncRow:
    counts = {status: count for status, count in state.counts.items() if count}
    shown = "stopped" if state.stopped else "off" if state.off else "live" if state.stage == "live" else "initial"
    accounts = {side.account for side in sync.sides}
    return SyncRow(
        sync=name,
        connection=draft.connection.name,
        state=shown,
        reason=state.stopped,
        counts=counts,
        read={account: read.rows for account, read in state.reads.items()},
        matched=state.matched,
        created=state.created,
        remaining=0 if state.stage == "live" else counts.get("pending", 0),
        version=draft.connection.version,
        oldest=_oldest(draft, sync),
        accounts={account: why for account, why in draft.connection.down.items() if account in accounts},
        conflicts=state.conflicts,
        answered=dict(state.answered),
    )


def _oldest(draft: Draft, sync: Sync) -> float:
    """When the oldest change that is still on its way was committed, or seen; 0 where there is none."""
    first = draft.oldest_open(sync)
    if first is None:
        return 0.0
    link = draft.link(sync.name, first[1])
    if link is None:
        return draft.now
    return link.touched or (link.flight.sent if link.flight else draft.now)
