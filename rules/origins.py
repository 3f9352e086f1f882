"""Where values come from: events in words, and which of them told of a record's values.

Responsible for what `explain` shows of that. Decides nothing: no rule looks at it.

A value that an answer told of has an empty origin until the log tells who wrote it. So a conflict that is noticed because a
write finds another value than it expects still gets to know the change that lost, when that comes by in the log.
"""

from __future__ import annotations

from datetime import UTC, datetime

from rules.draft import Draft, Place
from rules.events import FieldChange, Row
from rules.merge import FieldWrite, Rule
from rules.plan import Sync
from rules.seats import side_image
from rules.state import Image, Link, Values
from rules.version import Version

ALL = ""  # the origin of all values that have none of their own
LOSING = (Rule.CONFLICT, Rule.OVERWRITTEN, Rule.DEFAULT_WINS)  # the rules by which a value loses that somebody meant


def moment(seconds: float) -> str:
    """UTC to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event(what: str, record: str, version: Version, committed_at: float) -> str:
    """What an account told of a record: where in its order that stands, and when it was committed."""
    place = f"{version.position >> 32:X}/{version.position & 0xFFFFFFFF:X}"
    when = f" at {moment(committed_at)}" if committed_at else ""
    return f"{what} {record}@{place}{when}"


def of_new(cause: str, committed_at: float) -> dict[str, str]:
    """The origins of a record that is new to us. One that was read was there before: nothing is known of its values."""
    return {ALL: cause} if cause and committed_at else {}


def note_changes(image: Image, values: Values, cause: str) -> None:
    """A known record has other values now: where those that differ come from. `cause` empty: an answer told of them."""
    if image.gone or image.partial:
        return
    known = image.values
    found = {field: cause for field, value in values.items() if known.get(field) != value}
    if found:
        image.origins = {**image.origins, **found}


def of_field(image: Image | None, field: str) -> str:
    """The event that told of a field's value, as far as it is known."""
    return "" if image is None else image.origins.get(field, image.origins.get(ALL, ""))


def changes_of(draft: Draft, sync: Sync, link: Link, writes: list[FieldWrite]) -> list[FieldChange]:
    """Fields that are written, for the history. Which event a lost value came from may only be told later."""
    found: list[FieldChange] = []
    for write in writes:
        target, source = side_image(draft, sync, link, write.side), side_image(draft, sync, link, 1 - write.side)
        won = of_field(source, write.mapping.fields[1 - write.side])
        lost, lost_event = None, ""
        if write.rule in LOSING:
            lost, lost_event = write.before, of_field(target, write.field)
            if not lost_event and target is not None and write.field in target.origins:
                lost_event = draft.cause
                link.disputed = {**link.disputed, write.mapping.key: (write.side, write.before, won)}
        account = sync.sides[write.side].account
        found.append(FieldChange(account, write.field, write.before, write.value, write.rule, lost, won, lost_event))
    return found


def told_late(draft: Draft, place: Place, image: Image, row: Row) -> None:
    """The log tells of a change that an answer has shown before: now it is known who made it."""
    if row.token is not None or not row.committed_at:
        return
    found = {
        field: draft.cause
        for field, value in row.values.items()
        if image.origins.get(field) == "" and image.values.get(field) == value
    }
    if found:
        image.origins = {**image.origins, **found}
        draft.save_image(place, image)
    for sync, side in draft.uses(place[0], place[1]):
        seat = image.seats.get(sync.name)
        link = None if seat is None or seat.link is None else draft.link(sync.name, seat.link)
        if seat is not None and seat.link is not None and link is not None and link.disputed:
            _settle_disputes(draft, sync, side, (seat.link, link), row)


def _settle_disputes(draft: Draft, sync: Sync, side: int, named: tuple[str, Link], row: Row) -> None:
    link_id, link = named
    changes: list[FieldChange] = []
    for mapping in sync.mappings:
        disputed, field = link.disputed.get(mapping.key), mapping.fields[side]
        if disputed is not None and disputed[0] == side and row.values.get(field) == disputed[1]:
            _, lost, won = disputed
            account = sync.sides[side].account
            changes.append(FieldChange(account, field, lost, None, Rule.CONFLICT, lost, won, draft.cause))
            link.disputed = {key: one for key, one in link.disputed.items() if key != mapping.key}
    if changes:
        draft.note(sync.name, link_id, "told", changes)
        draft.save_link(sync.name, link_id, link)
