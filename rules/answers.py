"""What the answers to commands do to their links."""

from __future__ import annotations

import msgspec

from rules.draft import Draft
from rules.entry import leave, linked
from rules.events import Answer, DeadLetter, Results
from rules.links import command_of, digest_of_field, digest_of_flight, touch
from rules.plan import Sync
from rules.records import complete_create, settle_bases, store, vanish
from rules.remedies import remedy
from rules.state import Flight, Image, Link, Refusal, Seat
from rules.work import start

DONE = ("applied", "unchanged")


def results(draft: Draft, event: Results) -> None:
    """Takes the answers of a batch."""
    if event.account in draft.connection.down and any(a.outcome not in ("deferred", "retry") for a in event.answers):
        account_up(draft, event.account)
    draft.prefetch_links((answer.sync, answer.link) for answer in event.answers if answer.sync in draft.rules.syncs)
    draft.prefetch(event.account, event.object, (answer.id for answer in event.answers if answer.id is not None))
    for answer in event.answers:
        sync = draft.rules.syncs.get(answer.sync)
        link = None if sync is None else draft.link(answer.sync, answer.link)
        if sync is not None and link is not None:
            draft.cause = (
                f"answer {answer.outcome} of {event.account}:{answer.id or link.ids[sync.side_of(event.account)]}"
            )
            _answer(draft, sync, answer, link, event)


def account_up(draft: Draft, account: str) -> None:
    """The account takes commands again: what waited for it goes out."""
    draft.connection.down.pop(account, None)
    draft.save_connection()
    for sync in draft.rules.syncs.values():
        if account in (sync.sides[0].account, sync.sides[1].account):
            start(draft, sync.name, f"waiting {account}")
            draft.publish(sync.name)


def account_down(draft: Draft, account: str, reason: str) -> None:
    """The account takes no commands for now."""
    draft.connection.down[account] = reason
    draft.save_connection()
    for sync in draft.rules.syncs.values():
        if account in (sync.sides[0].account, sync.sides[1].account):
            draft.publish(sync.name)


def _answer(draft: Draft, sync: Sync, answer: Answer, link: Link, event: Results) -> None:
    flight = link.flight
    place_side = sync.side_of(event.account)
    if answer.outcome in DONE and flight is not None and flight.sequence == answer.sequence:
        _done(draft, sync, answer, link, flight, event)
        return
    if answer.values is not None and answer.version is not None and answer.id is not None:
        _take_image(draft, event, answer)
        link = draft.link(sync.name, answer.link) or link
        flight = link.flight
    if flight is None or flight.sequence != answer.sequence:
        return  # an answer that came twice, or the log told first
    match answer.outcome:
        case "deferred" | "retry":
            link.flight, link.waits, link.number = None, event.account, flight.number
            what = "is unavailable" if answer.outcome == "deferred" else "could not take it yet"
            category = answer.category or "unavailable"
            if (link.status, link.category) != ("pending", category):
                link.since = draft.now
            link.status, link.category = "pending", category
            link.message = f"{event.account} {what}" + (f": {answer.message}" if answer.message else "")
            draft.save_link(sync.name, answer.link, link)
        case "conflict":
            link.flight = None
            touch(draft, sync, answer.link, link)
        case "exists":
            _exists(draft, sync, answer, link, event)
        case "missing":
            _missing(draft, sync, answer, link, place_side)
        case "rejected":
            _rejected(draft, sync, answer, link, flight, event)
        case _:
            # Unknown: whether it was done cannot be told yet. It keeps its name and is sent again under it.
            draft.save_link(sync.name, answer.link, link)


def _take_image(draft: Draft, event: Results, answer: Answer) -> None:
    assert answer.id is not None and answer.version is not None and answer.values is not None
    place = (event.account, event.object, answer.id)
    image = draft.image(*place)
    if image is None or answer.version.newer_than(image.version):
        store(draft, place, answer.values, answer.version)


def _done(draft: Draft, sync: Sync, answer: Answer, link: Link, flight: Flight, event: Results) -> None:
    side = flight.side
    if flight.op == "delete":
        link.flight = None
        touch(draft, sync, answer.link, link)
        return
    assert answer.id is not None and answer.values is not None and answer.version is not None
    place = (event.account, event.object, answer.id)
    image = draft.image(*place)
    # The record may have changed since it was written: the image is then newer than the answer, and stays.
    fresh = image is None or answer.version.newer_than(image.version)
    if flight.op == "create":
        seat = None if image is None else image.seats.get(sync.name)
        if seat is not None and seat.link not in (None, answer.link):
            _duplicate_create(draft, sync, answer, link, flight, seat.link or "")
            return
        link.ids[side] = answer.id
        if image is not None and seat is not None:
            seat.link = answer.link  # so that the image is not judged as a stranger
        if fresh:
            _keep_created(draft, sync, answer, event, image is None)
        complete_create(draft, sync, answer.link, link, answer.id, answer.values)
    else:
        link.flight = None
        settle_bases(sync, link, side, flight.values, flight.sources, answer.values)
        if fresh:
            store(draft, place, answer.values, answer.version)
        touch(draft, sync, answer.link, link)


def _keep_created(draft: Draft, sync: Sync, answer: Answer, event: Results, new: bool) -> None:
    assert answer.id is not None and answer.version is not None and answer.values is not None
    place = (event.account, event.object, answer.id)
    side = sync.side_of(event.account)
    if not new:
        store(draft, place, answer.values, answer.version)
        return
    image = Image(answer.version, answer.values, sync.sides[side].age(answer.id, answer.values), {})
    image.seats[sync.name] = Seat(side, link=answer.link, since=draft.now)
    image.seats[sync.name].identifiers = sync.normalised(side, answer.values)
    draft.save_image(place, image)
    store(draft, place, answer.values, answer.version)


def _duplicate_create(draft: Draft, sync: Sync, answer: Answer, link: Link, flight: Flight, holder: str) -> None:
    own, other = sync.sides[1 - flight.side].account, sync.sides[flight.side].account
    theirs = draft.link(sync.name, holder)
    rival = None if theirs is None else theirs.ids[1 - flight.side]
    message = f"{own}:{link.ids[1 - flight.side]} and {own}:{rival} both claim {other}:{answer.id}"
    refusal = Refusal(digest_of_flight(link), "duplicate", message, None, f"{own}:{rival}" if rival else None)
    link.flight, link.refusals = None, [refusal]
    touch(draft, sync, answer.link, link)


def _exists(draft: Draft, sync: Sync, answer: Answer, link: Link, event: Results) -> None:
    flight = link.flight
    assert flight is not None
    place = (event.account, event.object, answer.id or "")
    image = draft.image(*place)
    seat = None if image is None else image.seats.get(sync.name)
    if image is None or image.gone or seat is None or seat.link not in (None, answer.link):
        _duplicate_create(draft, sync, answer, link, flight, "" if seat is None else seat.link or "")
        return
    side = flight.side
    if link.ids[side] is not None and link.ids[side] != answer.id:
        leave(draft, sync, side, link)
    link.flight, link.restoring, link.bases, link.gone[side] = None, None, [{}, {}], False
    link.ids[side] = answer.id
    seat.link, seat.other = answer.link, None
    draft.save_image(place, image)
    draft.note(sync.name, answer.link, "linked", note=f"{event.account}:{answer.id} was there already")
    if draft.sync(sync.name).stage != "live":
        draft.sync(sync.name).matched += 1
    linked(draft, sync, answer.link, link)


def _missing(draft: Draft, sync: Sync, answer: Answer, link: Link, side: int) -> None:
    link.flight = None
    record_id, own = link.ids[side], sync.sides[side]
    image = None if record_id is None else draft.image(own.account, own.object.name, record_id)
    if record_id is None or image is None:
        touch(draft, sync, answer.link, link)
        return
    draft.save_link(sync.name, answer.link, link)
    if not image.gone:
        image.gone = True
        vanish(draft, (own.account, own.object.name, record_id), image)


def _rejected(draft: Draft, sync: Sync, answer: Answer, link: Link, flight: Flight, event: Results) -> None:
    category = answer.category or "unknown"
    message = answer.message or "the app gave no reason"
    other = f"{event.account}:{answer.other}" if answer.other else None
    draft.dead_letters.append(_dead_letter(draft, sync, answer, link, event, category, message))
    alone = answer.field in flight.values and category in ("invalid_value", "association") and flight.op != "delete"
    kept = [one for one in link.refusals if one.field is not None and one.field != answer.field] if alone else []
    if alone and answer.field is not None:
        digest = digest_of_field(answer.field, flight.side, flight.values[answer.field])
        text = f"{event.account}.{answer.field}: {flight.values[answer.field]!r} was refused: {message}"
        refusal = Refusal(digest, category, text, answer.field, other)
    else:
        refusal = Refusal(digest_of_flight(link), category, f"{event.account}: {message}", None, other)
    link.refusals = [*kept, refusal]
    draft.note(sync.name, answer.link, "refused", note=refusal.message)
    link.flight = None
    touch(draft, sync, answer.link, link)


def _dead_letter(
    draft: Draft, sync: Sync, answer: Answer, link: Link, event: Results, category: str, message: str
) -> DeadLetter:
    command = msgspec.json.encode(msgspec.to_builtins(command_of(sync, answer.link, link))).decode()
    hint = remedy(sync, "failing", category, message)
    return DeadLetter(
        id=f"{draft.connection.name}/{draft.offset}/{answer.sync}/{answer.link}/{answer.sequence}",
        at=draft.now,
        account=event.account,
        category=category,
        message=f"{message} — {hint}" if hint else message,
        sync=sync.name,
        key=answer.link,
        object=event.object,
        command=command,
    )
