"""What time and the accounts' own troubles ask for: commands sent again, waiting links swept, reads begun anew, fields that are gone."""

from __future__ import annotations

from rules.answers import cannot_be_found, show_lost
from rules.draft import Draft
from rules.events import FieldsChanged, LogStarted, Truncated
from rules.initial import begin_read, wait_no_more
from rules.links import look_after, touch
from rules.marks import forget_old
from rules.orders import RULES
from rules.plan import Sync
from rules.seats import place_of
from rules.sending import end_flight, is_allowed, resend
from rules.state import parts
from rules.work import run, start

RESEND_AFTER = 300.0  # seconds without an answer (design: a command without a result after 5 minutes)
PROBE_AFTER = 30.0  # seconds after which one waiting link tries an account that was said to be down
BURIED_FOR = (
    600  # seconds for which the version of a deleted record is kept, since a page or an answer from before may come
)
WAITING, RESEND, TOMBS = "waiting", "resend", "tombs"  # works


def clock(draft: Draft) -> None:
    """Time has passed."""
    forget_old(draft)
    for name, sync in draft.rules.syncs.items():
        state = draft.sync(name)
        if not sync.off and draft.now - state.swept > BURIED_FOR:
            _sweep_tombs(draft, sync)
        if state.changed:
            draft.publish(name)
        if draft.is_idle(sync):
            continue
        wait_no_more(draft, sync)  # those that it waited for may be off by now, or stopped, or gone
        first = next(iter(draft.scan(f"f{name}\0".encode())), None)
        if first is not None and RESEND not in state.works and draft.now - state.resent > RESEND_AFTER / 5:
            state.resent = draft.now
            start(draft, name, RESEND)
        if first is not None or state.stage != "live":
            draft.publish(name)
        for account in (sync.sides[0].account, sync.sides[1].account):
            _sweep_waiting(draft, sync, account)


def go_on_resending(draft: Draft, sync: Sync) -> None:
    """One slice of the commands on their way, the oldest first: those without an answer for long are sent again."""
    overdue = 0

    def step(key: bytes) -> None:
        nonlocal overdue
        link_id = parts(key)[2]
        link = draft.link(sync.name, link_id)
        if link is None or link.flight is None or draft.now - link.flight.sent <= RESEND_AFTER:
            return
        overdue += 1
        if cannot_be_found(sync, link.flight):
            show_lost(draft, sync, link_id, link)
        elif not is_allowed(sync, link.flight):
            end_flight(draft, sync, link)
            look_after(draft, sync, link_id, link)
        else:
            resend(draft, sync, link_id, link)

    done = run(draft, sync.name, RESEND, f"f{sync.name}\0".encode(), step)
    if not done and not overdue:
        del draft.sync(sync.name).works[RESEND]  # what follows was sent later


def _sweep_tombs(draft: Draft, sync: Sync) -> None:
    draft.sync(sync.name).swept = draft.now
    for side in (0, 1):
        own = sync.sides[side]
        if next(iter(draft.scan(f"t{own.account}\0{own.object.name}\0".encode())), None) is not None:
            start(draft, sync.name, f"{TOMBS} {side}")


def go_on_burying(draft: Draft, sync: Sync, name: str) -> None:
    """One slice of the deleted records of which only the version is kept: the old ones are forgotten, unless a read is on."""
    side = int(name.split(" ")[1])
    own = sync.sides[side]
    uses = draft.rules.uses[own.account, own.object.name]
    is_read = any(draft.sync(one.name).stage == "reading" and not one.off for one, _ in uses)

    def step(key: bytes) -> None:
        place = place_of(sync, side, parts(key)[2])
        image = draft.image(*place)
        if image is not None and not is_read and int(image.age or "0", 16) < draft.now - BURIED_FOR:
            draft.save_image(place, None)

    run(draft, sync.name, name, f"t{own.account}\0{own.object.name}\0".encode(), step)


def _sweep_waiting(draft: Draft, sync: Sync, account: str) -> None:
    waiting = next(iter(draft.scan(f"w{account}\0{sync.name}\0".encode())), None)
    if waiting is None:
        return
    name = f"{WAITING} {account}"
    if account not in draft.connection.down:
        if name not in draft.sync(sync.name).works:
            start(draft, sync.name, name)
        return
    link_id = parts(waiting)[3]
    link = draft.link(sync.name, link_id)
    if link is not None and draft.now - link.since > PROBE_AFTER:
        # Whoever said that the account is down may have ended before he could say that it is up: one link tries.
        reason = draft.connection.down.pop(account)
        link.since = draft.now
        touch(draft, sync, link_id, link)
        draft.connection.down[account] = reason


def go_on_waiting(draft: Draft, sync: Sync, name: str) -> None:
    """One slice of the links that waited for an account that is back."""
    account = name.split(" ", 1)[1]

    def step(key: bytes) -> None:
        link_id = parts(key)[3]
        link = draft.link(sync.name, link_id)
        if link is not None and link.waits is not None:
            touch(draft, sync, link_id, link)

    if account in draft.connection.down:
        draft.sync(sync.name).works.pop(name, None)
    else:
        run(draft, sync.name, name, f"w{account}\0{sync.name}\0".encode(), step)


def log_started(draft: Draft, event: LogStarted) -> None:
    """The log begins anew: what lies between its end and now is found by a full read."""
    for sync in draft.rules.syncs.values():
        if event.account in (sync.sides[0].account, sync.sides[1].account):
            state = draft.sync(sync.name)
            state.told.pop(event.account, None)
            state.logged[event.account] = state.issued
            state.lost = [*(one for one in state.lost if one != event.account), event.account]
            _read_again(draft, sync, f"the log of {event.account} begins anew")


def truncated(draft: Draft, event: Truncated) -> None:
    """A truncated table is a full read that finds it empty."""
    for sync, _ in draft.rules.uses.get((event.account, event.object), ()):
        _read_again(draft, sync, f"{event.account}.{event.object} was truncated")


def _read_again(draft: Draft, sync: Sync, why: str) -> None:
    if draft.sync(sync.name).stopped:
        draft.sync(sync.name).log_lost = True  # it is read when a person has confirmed
    elif not draft.is_idle(sync):
        draft.note(sync.name, "", "read", note=why)
        begin_read(draft, sync)


def fields_changed(draft: Draft, event: FieldsChanged) -> None:
    """Mapped fields that are gone, or have another type, hold their records up until the mapping is edited."""
    present = None if event.fields is None else dict(event.fields)
    broken: set[str] = set()
    syncs: list[Sync] = []
    for sync, side in draft.rules.uses.get((event.account, event.object), ()):
        own = sync.sides[side]
        syncs.append(sync)
        for field in own.mapped:
            known = own.object.field(field)
            if (
                present is None
                or field not in present
                or known is None
                or (known.type.native and present[field] != known.type.native)
            ):
                broken.add(field)
    before = draft.connection.fields.get(event.account, {}).get(event.object, [])
    if sorted(broken) == before:
        return
    objects = draft.connection.fields.setdefault(event.account, {})
    if broken:
        objects[event.object] = sorted(broken)
    else:
        objects.pop(event.object, None)
    draft.save_connection()
    for sync in syncs:
        start(draft, sync.name, f"{RULES} links")
        if set(before) - broken:
            # What a field holds that is back, by a default or from before, no change tells.
            _read_again(draft, sync, f"fields of {event.account}.{event.object} are there again")
