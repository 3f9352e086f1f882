"""What the answers to commands do to their links."""

from __future__ import annotations

import msgspec

from rules.deletion import deleted_here, keep_edited, vanish
from rules.draft import Draft, Place
from rules.echoes import complete_create, settle_bases
from rules.events import Answer, DeadLetter, ReadRecords, Results
from rules.links import paired, touch
from rules.origins import moment
from rules.plan import Sync
from rules.records import store
from rules.remedies import remedy
from rules.seats import claims, dissolve, has_lost, leave, place_of, reference, seat_record, tell
from rules.sending import command_of, digest_of_field, digest_of_flight, end_flight, landed, set_status
from rules.state import Flight, Image, Link, Refusal
from rules.version import NEVER
from rules.work import start

NOT_DONE = ("deferred", "retry")
UNEXPLAINED = 5  # conflicts in a row that show no difference: after so many the link is not tried again by itself


def results(draft: Draft, event: Results) -> None:
    """Takes the answers of a batch."""
    if event.account in draft.connection.down and any(answer.outcome not in NOT_DONE for answer in event.answers):
        account_up(draft, event.account)
    _prefetch(draft, event)
    now = moment(draft.now)
    for answer in event.answers:
        sync = draft.rules.syncs.get(answer.sync)
        link = None if sync is None else draft.link(answer.sync, answer.link)
        if sync is not None and link is not None and not draft.is_forgotten(sync.name):
            record_id = answer.id or link.ids[sync.side_of(event.account)]
            draft.cause = f"answer {answer.outcome} of {event.account}:{record_id} at {now}"
            _answer(draft, sync, answer, link, event)


def _prefetch(draft: Draft, event: Results) -> None:
    """Reads all links and records of a batch at once."""
    draft.prefetch_links((answer.sync, answer.link) for answer in event.answers if answer.sync in draft.rules.syncs)
    draft.prefetch(event.account, event.object, (answer.id for answer in event.answers if answer.id is not None))
    others: dict[tuple[str, str], list[str]] = {}
    for answer in event.answers:
        sync = draft.rules.syncs.get(answer.sync)
        link = None if sync is None else draft.link(answer.sync, answer.link)
        if sync is not None and link is not None:
            side = 1 - sync.side_of(event.account)
            other, record_id = sync.sides[side], link.ids[side]
            if record_id is not None:
                others.setdefault((other.account, other.object.name), []).append(record_id)
    for (account, object_name), ids in others.items():
        draft.prefetch(account, object_name, ids)


def account_up(draft: Draft, account: str) -> None:
    """The account takes commands again: what waited for it goes out."""
    draft.connection.down.pop(account, None)
    draft.connection.throttled = [one for one in draft.connection.throttled if one != account]
    draft.save_connection()
    for sync in draft.rules.syncs.values():
        if account in (sync.sides[0].account, sync.sides[1].account) and not draft.is_idle(sync):
            start(draft, sync.name, f"waiting {account}")
            draft.publish(sync.name)


def account_down(draft: Draft, account: str, reason: str, *, throttled: bool) -> None:
    """The account takes no commands for now."""
    draft.connection.down[account] = reason
    others = [one for one in draft.connection.throttled if one != account]
    draft.connection.throttled = [*others, account] if throttled else others
    draft.save_connection()
    for sync in draft.rules.syncs.values():
        if account in (sync.sides[0].account, sync.sides[1].account):
            draft.publish(sync.name)


def _answer(draft: Draft, sync: Sync, answer: Answer, link: Link, event: Results) -> None:
    if link.flight is None or link.flight.sequence != answer.sequence:
        if link.put_off is not None and link.put_off.sequence == answer.sequence:
            _done_after_all(draft, sync, answer, link, link.put_off, event)
        else:
            _take_image(draft, event, answer)  # an answer that came twice, or the log told first
        return
    match answer.outcome:
        case "applied" | "unchanged" if answer.id is not None:
            _done(draft, sync, answer, link, event)
        case "exists" if answer.id is not None and answer.values is not None and answer.version is not None:
            _exists(draft, sync, answer, link, event)
        case "conflict":
            _take_image(draft, event, answer)
            if link.flight is not None:  # else the record holds what was to be written
                _conflict(draft, sync, answer, link)
        case "deferred" | "retry":
            _wait(draft, sync, answer, link, event)
        case "missing":
            _missing(draft, sync, answer, link)
        case "rejected":
            _rejected(draft, sync, answer, link, event)
        case _:
            _unknown(draft, sync, answer, link)
    if has_lost(link):
        draft.bereave(sync.name, answer.link)  # its place could not be filled while the command was on its way


def _done_after_all(draft: Draft, sync: Sync, answer: Answer, link: Link, flight: Flight, event: Results) -> None:
    """An update was put off, as one copy of its command could not be done; another was: what both sides held then is their base."""
    is_done = answer.outcome in ("applied", "unchanged")
    if is_done:
        settle_bases(draft, sync, link, flight, flight.values if answer.values is None else answer.values)
    _take_image(draft, event, answer)
    if is_done:
        touch(draft, sync, answer.link, link)


def _take_image(draft: Draft, event: Results, answer: Answer) -> None:
    if answer.values is None or answer.version is None or answer.id is None:
        return
    place = (event.account, event.object, answer.id)
    image = draft.image(*place)
    if image is not None and answer.version.newer_than(image.version):
        store(draft, place, answer.values, answer.version)


# ---------------------------------------------------------------- done


def _done(draft: Draft, sync: Sync, answer: Answer, link: Link, event: Results) -> None:
    flight = link.flight
    assert flight is not None
    side = flight.side
    if flight.op == "delete":
        _deleted(draft, sync, answer, link, side)
        return
    place = (event.account, event.object, answer.id or "")
    image = draft.image(*place)
    if flight.op == "create":
        _created(draft, sync, answer, link, image, place)
        return
    link.flight = None
    landed(draft, sync, link)
    settle_bases(draft, sync, link, flight, flight.values if answer.values is None else answer.values)
    if _is_fresh(answer, image) and image is not None and link.ids[side] == answer.id:
        assert answer.values is not None and answer.version is not None
        changed = image.gone or image.values != answer.values
        store(draft, place, answer.values, answer.version)
        if changed:
            return  # the link was told with the record
    touch(draft, sync, answer.link, link)


def _deleted(draft: Draft, sync: Sync, answer: Answer, link: Link, side: int) -> None:
    will_be_told = sync.sides[side].object.capabilities.sees_deletions
    if answer.id != link.ids[side]:
        link.flight = None  # by now another record, or the same under another id, has its place
        touch(draft, sync, answer.link, link)
    elif answer.outcome == "missing" and will_be_told and not link.gone[side]:
        link.flight, link.doomed = None, False  # it is gone, or has another id: the log tells which
        touch(draft, sync, answer.link, link)
    else:
        deleted_here(draft, sync, answer.link, link, side)


def _is_fresh(answer: Answer, image: Image | None) -> bool:
    """Whether the answer tells of a newer record than is known. The record may have changed since it was written: then the image is newer, and stays.

    One without a record was given when it stood no longer: the log tells what became of it.
    """
    if answer.values is None or answer.version is None:
        return False
    return image is None or answer.version.newer_than(image.version)


def _created(draft: Draft, sync: Sync, answer: Answer, link: Link, image: Image | None, place: Place) -> None:
    flight = link.flight
    assert flight is not None
    if _is_taken(draft, sync, answer, link, image):
        return
    if answer.values is None or answer.version is None:
        if image is None:
            _reserve(draft, place, image)
            draft.orders.append(ReadRecords(draft.connection.name, place[0], place[1], (place[2],)))
        complete_create(draft, sync, answer.link, link, place[2], flight.values)
        return
    fresh = _is_fresh(answer, image)
    if fresh:
        _reserve(draft, place, image)
    complete_create(draft, sync, answer.link, link, place[2], answer.values)
    if fresh:
        store(draft, place, answer.values, answer.version)


def _reserve(draft: Draft, place: Place, image: Image | None) -> None:
    """A record is seated before it is taken in, so that nobody takes it for a stranger; and nothing is merged with it before."""
    image = Image(NEVER, {}, "", {}) if image is None else image
    image.partial = True
    draft.save_image(place, image)


def _exists(draft: Draft, sync: Sync, answer: Answer, link: Link, event: Results) -> None:
    """A record with an identifier of the one to be created is there: it is linked instead."""
    flight = link.flight
    assert flight is not None and answer.id is not None and answer.values is not None and answer.version is not None
    side = flight.side
    place = (event.account, event.object, answer.id)
    if link.ids[side] is not None and not link.gone[side]:
        end_flight(draft, sync, link)  # what was to be restored has come back meanwhile
        _take_image(draft, event, answer)
        touch(draft, sync, answer.link, link)
        return
    image = draft.image(*place)
    if _is_taken(draft, sync, answer, link, image):
        return
    end_flight(draft, sync, link)
    fresh = _is_fresh(answer, image)
    if image is not None and image.gone and not fresh:
        link.number = flight.number
        _look_around(draft, sync, answer.link, link)  # it has been deleted since
        return
    if fresh:
        _reserve(draft, place, image)
    if link.ids[side] is not None and link.ids[side] != answer.id:
        leave(draft, sync, side, link)
    link.restoring, link.merged, link.doomed, link.bases, link.refusals = None, None, False, {}, []
    link.gone[side] = False
    seat_record(draft, sync, side, answer.id, answer.link, link)
    pair = (reference(sync, 0, link.ids[0]), reference(sync, 1, link.ids[1]))
    note = f"{pair[0]} with {pair[1]}: {event.account}:{answer.id} was there already"
    draft.note(sync.name, answer.link, "linked", note=note, records=pair)
    if draft.sync(sync.name).stage != "live":
        draft.sync(sync.name).matched += 1
    if fresh:
        claims(draft, sync, link)
        store(draft, place, answer.values, answer.version)
    else:
        paired(draft, sync, answer.link, link)


def _is_taken(draft: Draft, sync: Sync, answer: Answer, link: Link, image: Image | None) -> bool:
    """Whether what a create made, or met, is linked to another record of the source's side; shows it."""
    seat = None if image is None else image.seats.get(sync.name)
    flight = link.flight
    if seat is None or seat.link in (None, answer.link) or flight is None or answer.id is None:
        return False
    if dissolve(draft, sync, flight.side, answer.id):
        return False
    source = 1 - flight.side
    theirs = draft.link(sync.name, seat.link or "")
    rival = None if theirs is None else theirs.ids[source]
    own, other = reference(sync, source, link.ids[source]), reference(sync, flight.side, answer.id)
    claimant = reference(sync, source, rival) if rival is not None else f"another record ({seat.link})"
    message = f"{own} and {claimant} both claim {other}"
    named = other if rival is None else claimant
    refusal = Refusal(digest_of_flight(link, flight), "duplicate", message, None, named)
    end_flight(draft, sync, link)
    _refuse(link, flight, refusal)
    _look_around(draft, sync, answer.link, link)
    return True


def _look_around(draft: Draft, sync: Sync, link_id: str, link: Link) -> None:
    """Nothing was created: before that is tried again, or shown, a record that is there already may take the place.

    Whom it names is kept at once, since that one may leave in the same event.
    """
    if link.refusals:
        refusal = link.refusals[-1]
        set_status(draft, link, "failing", refusal.category, refusal.message, refusal.other)
        tell(draft, sync, link)
    draft.save_link(sync.name, link_id, link)
    draft.bereave(sync.name, link_id)


def _refuse(link: Link, flight: Flight, refusal: Refusal) -> None:
    """Keeps a refusal beside those that still hold: of an update all that the last merge met again, of a create what concerns single fields."""
    if any(link.gone) and link.restoring is None and flight.op != "delete":
        return  # the deletion is what there is to show
    kept = [one for one in link.refusals if one.digest != refusal.digest and (flight.op == "update" or one.field)]
    link.refusals = [*kept, refusal]


# ---------------------------------------------------------------- not done


def _wait(draft: Draft, sync: Sync, answer: Answer, link: Link, event: Results) -> None:
    """Nothing was written now: it waits for the account, under the number that it had.

    It may have been done before, by one who ended before he could say so. A create keeps its name and content; an update is merged anew, and the log may
    tell of the earlier one.
    """
    flight = link.flight
    assert flight is not None
    if flight.op != "create":
        end_flight(draft, sync, link)
        link.number = flight.number
        link.put_off = flight if flight.op == "update" else None
    link.waits = event.account
    landed(draft, sync, link)
    what = "is unavailable" if answer.outcome == "deferred" else "could not take it yet"
    message = f"{event.account} {what}" + (f": {answer.message}" if answer.message else "")
    set_status(draft, link, "pending", answer.category or "unavailable", message)
    draft.save_link(sync.name, answer.link, link)


def _conflict(draft: Draft, sync: Sync, answer: Answer, link: Link) -> None:
    """The record is not as it was expected: it is merged anew with what it holds."""
    flight = link.flight
    assert flight is not None
    end_flight(draft, sync, link)
    link.number = flight.number
    if flight.op == "delete" and any(link.gone):
        keep_edited(draft, sync, answer.link, link, flight.side)
        return
    shown = answer.values or {}
    if all(shown.get(field, value) == value for field, value in flight.expect.items()):
        link.unexplained += 1
        if link.unexplained > UNEXPLAINED:
            link.unexplained = 0
            message = f"{sync.sides[flight.side].account} says that the record has changed, but shows it as it was"
            _refuse(link, flight, Refusal(digest_of_flight(link, flight), "unknown", answer.message or message))
    touch(draft, sync, answer.link, link)


def _missing(draft: Draft, sync: Sync, answer: Answer, link: Link) -> None:
    """The record is not there. The log will tell when it was deleted; until it does, the deletion is shown but not copied."""
    flight = link.flight
    assert flight is not None
    record_id = link.ids[flight.side]
    if flight.op == "delete":
        _deleted(draft, sync, answer, link, flight.side)
        return
    link.flight, link.number = None, flight.number
    landed(draft, sync, link)
    place = place_of(sync, flight.side, record_id or "")
    image = draft.image(*place)
    if image is None or image.gone or answer.id != record_id:
        touch(draft, sync, answer.link, link)  # it has another id by now, or is known to be gone
    else:
        draft.save_link(sync.name, answer.link, link)
        told_later = sync.sides[flight.side].object.capabilities.sees_deletions
        vanish(draft, place, image, told=False, missed=told_later)


def _rejected(draft: Draft, sync: Sync, answer: Answer, link: Link, event: Results) -> None:
    flight = link.flight
    assert flight is not None
    category = answer.category or "unknown"
    message = answer.message or "the app gave no reason"
    other = f"{event.account}:{answer.other}" if answer.other else None
    draft.dead_letters.append(_dead_letter(draft, sync, answer, link, event))
    if answer.field in flight.values and category in ("invalid_value", "association") and flight.op != "delete":
        value = flight.values[answer.field]
        text = f"{event.account}.{answer.field}: {value!r} was refused: {message}"
        refusal = Refusal(digest_of_field(answer.field, flight.side, value), category, text, answer.field, other)
    else:
        where = f"{event.account}.{answer.field}" if answer.field else event.account
        source = 1 - flight.side
        both = f" ({reference(sync, source, link.ids[source])} and {other})" if other else ""
        refusal = Refusal(digest_of_flight(link, flight), category, f"{where}: {message}{both}", None, other)
    end_flight(draft, sync, link)
    _refuse(link, flight, refusal)
    draft.note(sync.name, answer.link, "refused", note=refusal.message)
    if flight.op == "create":
        _look_around(draft, sync, answer.link, link)
    else:
        touch(draft, sync, answer.link, link)


def _dead_letter(draft: Draft, sync: Sync, answer: Answer, link: Link, event: Results) -> DeadLetter:
    command = msgspec.json.encode(msgspec.to_builtins(command_of(sync, answer.link, link))).decode()
    category, message = answer.category or "unknown", answer.message or "the app gave no reason"
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


def _unknown(draft: Draft, sync: Sync, answer: Answer, link: Link) -> None:
    """Whether it was done cannot be told yet. It keeps its name and is sent again under it, but for a create that nothing could find again."""
    flight = link.flight
    assert flight is not None
    if cannot_be_found(sync, flight):
        show_lost(draft, sync, answer.link, link)
    draft.save_link(sync.name, answer.link, link)


def cannot_be_found(sync: Sync, flight: Flight) -> bool:
    """Whether a create leaves no token and no identifier: sent again blindly it might be done twice."""
    if flight.blind == 0 or sync.sides[flight.side].object.capabilities.tokens:
        return False
    return not any(sync.normalised(flight.side, flight.values))


def show_lost(draft: Draft, sync: Sync, link_id: str, link: Link) -> None:
    """A create of which nobody can tell whether it was done waits for a person."""
    flight = link.flight
    assert flight is not None
    account = sync.sides[flight.side].account
    if link.status == "pending":
        tell(draft, sync, link)
    message = f"{account} has not said whether it created the record: look there, and retry if it did not"
    set_status(draft, link, "failing", "unknown", message)
    draft.save_link(sync.name, link_id, link)
