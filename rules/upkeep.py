"""What time and the accounts' own troubles ask for: commands sent again, waiting links swept, reads begun anew, fields that are gone."""

from __future__ import annotations

from rules.draft import Draft
from rules.events import FieldsChanged, LogStarted, Truncated
from rules.initial import begin_read
from rules.links import resend, touch
from rules.marks import forget_old
from rules.plan import Sync
from rules.state import parts
from rules.work import SLICE, run, start

RESEND_AFTER = 300.0  # seconds without an answer (design: a command without a result after 5 minutes)
PROBE_AFTER = 30.0  # seconds after which one waiting link tries an account that was said to be down


def clock(draft: Draft) -> None:
    """Time has passed."""
    forget_old(draft)
    for name, sync in draft.rules.syncs.items():
        state = draft.sync(name)
        if sync.off or state.stopped:
            continue
        open_commands = _resend_old(draft, sync)
        if state.changed or open_commands or state.stage != "live":
            draft.publish(name)
        for account in (sync.sides[0].account, sync.sides[1].account):
            _sweep_waiting(draft, sync, account)


def _resend_old(draft: Draft, sync: Sync) -> bool:
    """Sends commands again that have had no answer for long; whether any command is open."""
    met = 0
    for key in list(_first(draft, f"f{sync.name}\0".encode())):
        link_id = parts(key)[2]
        link = draft.link(sync.name, link_id)
        met += 1
        if link is not None and link.flight is not None and draft.now - link.flight.sent > RESEND_AFTER:
            resend(draft, sync, link_id, link)
    return met > 0


def _first(draft: Draft, prefix: bytes) -> list[bytes]:
    keys: list[bytes] = []
    for key in draft.scan(prefix):
        keys.append(key)
        if len(keys) == SLICE:
            break
    return keys


def _sweep_waiting(draft: Draft, sync: Sync, account: str) -> None:
    waiting = next(iter(draft.scan(f"w{account}\0{sync.name}\0".encode())), None)
    if waiting is None:
        return
    name = f"waiting {account}"
    if account not in draft.connection.down:
        if name not in draft.sync(sync.name).works:
            start(draft, sync.name, name)
        return
    link_id = parts(waiting)[2]
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
        link_id = parts(key)[2]
        link = draft.link(sync.name, link_id)
        if link is not None and link.flight is None:
            touch(draft, sync, link_id, link)

    if account in draft.connection.down:
        draft.sync(sync.name).works.pop(name, None)
    else:
        run(draft, sync.name, name, f"w{account}\0{sync.name}\0".encode(), step)


def log_started(draft: Draft, event: LogStarted) -> None:
    """The log begins anew: what lies between its end and now is found by a full read."""
    for sync in draft.rules.syncs.values():
        accounts = (sync.sides[0].account, sync.sides[1].account)
        if event.account in accounts and not sync.off and not draft.sync(sync.name).stopped:
            draft.note(sync.name, "", "read", note=f"the log of {event.account} begins anew")
            begin_read(draft, sync)


def truncated(draft: Draft, event: Truncated) -> None:
    """A truncated table is a full read that finds it empty."""
    for sync, _ in draft.rules.uses.get((event.account, event.object), ()):
        if not sync.off and not draft.sync(sync.name).stopped:
            draft.note(sync.name, "", "read", note=f"{event.account}.{event.object} was truncated")
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
            if present is None or field not in present or known is None or (known.type.native and present[field] != known.type.native):
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
        start(draft, sync.name, "rules links")
