"""Links: how a pair is brought forward, one command at a time.

A link has at most one command on its way. What changes meanwhile lies in the images; when the answer is there the link is merged anew, so
that the link's state is the queue.
"""

from __future__ import annotations

from rules.creating import adopt_known, create, restore
from rules.draft import Draft
from rules.events import FieldChange
from rules.loops import find_loop
from rules.matching import enters_still, written_by_peer
from rules.merge import FieldProblem, FieldWrite, Plan, Rule, merge
from rules.origins import changes_of, of_field
from rules.plan import Sync
from rules.references import Counterparts, named, watched
from rules.reviving import next_in_turn, pay
from rules.seats import claims, forget, reference, side_image, tell
from rules.sending import (
    Write,
    call_for,
    digest_of,
    digest_of_field,
    end_flight,
    is_allowed,
    resend,
    send,
    set_status,
    wait_for,
)
from rules.state import Link, Refusal
from rules.work import CONFIRM


def touch(draft: Draft, sync: Sync, link_id: str, link: Link, committed_at: float = 0.0) -> None:
    """Brings a link forward: merges its records as they are known now and sends what differs, or shows why not."""
    if committed_at and not link.touched:
        link.touched = committed_at
    if link.waits is not None and any(link.gone):
        draft.bereave(sync.name, link_id)  # its place could not be filled while it waited
    if link.flight is not None and link.waits is not None:
        _try_again(draft, sync, link_id, link)
    if link.revive:
        next_in_turn(sync, link)
    side = link.restoring
    if link.flight is None and side is not None and not (link.gone[side] and sync.writes[side]):
        link.restoring = None  # what was to be restored is there, or may no longer be created
        if link.gone[side]:
            link.refusals = []  # why it could not be is of no interest any more
    if link.flight is not None:
        # What changed while a command is on its way has its own place in the order of commands, for `wait`.
        call_for(draft, sync, link)
        draft.save_link(sync.name, link_id, link)
        return
    link.waits, link.awaits, link.other = None, [], None
    link.watches = watched(draft, sync, link) if sync.coded else []
    if _is_over(link):
        forget(draft, sync, link_id, link)
        return
    stood = (link.status, link.category)
    _go_on(draft, sync, link_id, link)
    if link.status == "failing" and stood != (link.status, link.category):
        _note_failing(draft, sync, link_id, link)
    if stood[0] == "pending" and link.status == "failing" and (None in link.ids or any(link.gone)):
        tell(draft, sync, link)  # who requires the counterpart waits in vain
    _rest(draft, sync, link)
    draft.save_link(sync.name, link_id, link)


def look_after(draft: Draft, sync: Sync, link_id: str, link: Link, committed_at: float = 0.0) -> None:
    """Brings a link forward; where it lacks a record, at the end of the event, since another may answer to the one that it has and take the place."""
    if link.flight is None and link.waits is None and (None in link.ids or any(link.gone)):
        link.touched = link.touched or committed_at
        draft.save_link(sync.name, link_id, link)
        draft.bereave(sync.name, link_id)
    else:
        touch(draft, sync, link_id, link, committed_at)


def _try_again(draft: Draft, sync: Sync, link_id: str, link: Link) -> None:
    """A command that waits for its account goes out as it is, unless what it was made from, or for, is gone."""
    flight = link.flight
    assert flight is not None
    account = sync.sides[flight.side].account
    in_vain = (link.gone[1 - flight.side] and not link.revive) or (flight.op == "update" and link.gone[flight.side])
    if in_vain or not is_allowed(sync, flight):
        end_flight(draft, sync, link)
    elif account in draft.connection.down:
        wait_for(draft, link, account)
    elif not draft.is_idle(sync):
        link.waits = None
        set_status(draft, link, "pending")
        resend(draft, sync, link_id, link)


def _rest(draft: Draft, sync: Sync, link: Link) -> None:
    if link.flight is not None or link.waits is not None:
        return
    link.touched = 0.0
    if link.status == "pending" and link.other is not None:
        call_for(draft, sync, link)  # it waits for an answer to another's command
    else:
        link.number = 0


def _is_over(link: Link) -> bool:
    """Whether no record of it is left, or comes back: one that only a write has missed may."""
    if link.revive or link.missed:
        return False
    return (link.gone[0] or link.ids[0] is None) and (link.gone[1] or link.ids[1] is None)


def _go_on(draft: Draft, sync: Sync, link_id: str, link: Link) -> None:
    if any(link.gone) and link.restoring is None:
        _show_gone(draft, sync, link_id, link)
    elif draft.is_idle(sync):
        return
    elif link.refusals and (loop := next((one for one in link.refusals if one.category == "loop"), None)):
        fail(draft, link, loop)
    elif draft.connection.fields and _broken_fields(draft, sync):
        _show_broken(draft, sync, link)
    elif link.restoring is not None:
        restore(draft, sync, link_id, link)
    elif None in link.ids and not enters_still(draft, sync, link):
        draft.bereave(sync.name, link_id)  # nothing is created for it any more
    elif None in link.ids and not adopt_known(draft, sync, link_id, link):
        create(draft, sync, link_id, link)
    else:
        _merge(draft, sync, link_id, link)


# ---------------------------------------------------------------- status


def fail(draft: Draft, link: Link, refusal: Refusal) -> None:
    """Shows why the link cannot go on."""
    set_status(draft, link, "failing", refusal.category, refusal.message, refusal.other)


def _show_gone(draft: Draft, sync: Sync, link_id: str, link: Link) -> None:
    """A deletion is shown; where the sync copies it, it goes on at the end of the event, when all of it has been seen."""
    if link.refusals:
        fail(draft, link, link.refusals[0])
        return
    side = 0 if link.gone[0] else 1
    lost, left = reference(sync, side, link.ids[side]), reference(sync, 1 - side, link.ids[1 - side])
    if link.merged is not None:
        message = f"{lost} was merged into {link.merged}, which has a counterpart of its own; {left} was left alone"
        set_status(draft, link, "failing", "merged", message, link.merged)
        return
    if link.doomed and sync.propagates_deletes:
        state = draft.sync(sync.name)
        draft.doom(sync.name, link_id, confirmed=state.confirmed or CONFIRM in state.works)
    message = f"{lost} was deleted in {sync.sides[side].account}; {left} was left alone"
    set_status(draft, link, "failing", "deleted", message)


def _note_failing(draft: Draft, sync: Sync, link_id: str, link: Link) -> None:
    """A refusal, a loop and a deletion are in the history already."""
    if not link.refusals and link.category != "deleted":
        draft.note(sync.name, link_id, "failed", note=f"{link.category}: {link.message}")


def _broken_fields(draft: Draft, sync: Sync) -> list[tuple[str, str]]:
    """Mapped fields that no longer are what the rules were made for: account and field."""
    return [
        (side.account, field)
        for side in sync.sides
        for field in draft.connection.fields.get(side.account, {}).get(side.object.name, ())
        if field in side.mapped
    ]


def _show_broken(draft: Draft, sync: Sync, link: Link) -> None:
    account, field = _broken_fields(draft, sync)[0]
    set_status(draft, link, "failing", "schema", f"{account}.{field} no longer exists or has changed its type")


def at_rest(draft: Draft, sync: Sync, link: Link, problems: list[FieldProblem]) -> None:
    """Nothing is to be written: in sync, but for fields that cannot be written."""
    if problems:
        first = problems[0]
        allowed = f"; allowed: {first.allowed}" if first.allowed else ""
        message = f"{sync.sides[first.side].account}.{first.field}: {first.message}{allowed}"
        set_status(draft, link, "failing", "invalid_value", message)
    elif link.awaits:
        set_status(draft, link, "in_sync", None, f"awaits {named(draft, link.awaits[0])}")
    else:
        set_status(draft, link, "in_sync")


# ---------------------------------------------------------------- merging


def _merge(draft: Draft, sync: Sync, link_id: str, link: Link) -> None:
    left, right = side_image(draft, sync, link, 0), side_image(draft, sync, link, 1)
    if left is None or right is None:
        missing = reference(sync, 0, link.ids[0]) if left is None else reference(sync, 1, link.ids[1])
        set_status(draft, link, "pending", None, f"waits until {missing} has been read", missing)
        return
    plan = merge(sync, (left.values, right.values), link.bases, Counterparts(draft))
    link.bases.update(plan.settled)
    if plan.kept:
        _note_kept(draft, sync, link_id, link, plan.kept)
    if plan.awaits:
        link.awaits = [(one.sync, one.side, one.id) for one in plan.awaits]
    if link.refusals:
        link.refusals = _drop_refused(link, plan)
    # The side that does not win goes first, so that a conflict is settled by one command.
    for side in (1 - sync.default, sync.default):
        if plan.writes[side]:
            fields = {write.field: write.mapping.fields[1 - side] for write in plan.writes[side]}
            peer = written_by_peer(draft, sync, link, side, fields) if draft.rules.peers[sync.name] else None
            if peer is not None:
                shared = reference(sync, peer[1], link.ids[peer[1]])
                set_status(draft, link, "pending", None, f"waits for the sync {peer[0]}, which writes the same", shared)
                return
            _send_update(draft, sync, link_id, link, side, plan.writes[side])
            return
    if link.owed and pay(draft, sync, link_id, link):
        return
    link.unexplained = 0
    if link.refusals:
        fail(draft, link, link.refusals[0])
    else:
        at_rest(draft, sync, link, plan.problems)


def _note_kept(draft: Draft, sync: Sync, link_id: str, link: Link, kept: list[FieldWrite]) -> None:
    """Differences that the rules leave as they are: `after` is what the field holds, `lost` what does not cross."""
    changes = [
        FieldChange(
            sync.sides[one.side].account,
            one.field,
            one.before,
            one.before,
            one.rule,
            one.source,
            lost_event=of_field(side_image(draft, sync, link, 1 - one.side), one.mapping.fields[1 - one.side]),
        )
        for one in kept
    ]
    draft.note(sync.name, link_id, "kept", changes)


def _update(side: int, writes: list[FieldWrite]) -> Write:
    return Write(
        side,
        "update",
        {write.field: write.value for write in writes},
        {write.field: write.before for write in writes},
        {write.mapping.fields[1 - side]: write.source for write in writes},
    )


def _drop_refused(link: Link, plan: Plan) -> list[Refusal]:
    """Takes out of the plan what the target has refused before and has not changed since; the refusals that still hold."""
    held: list[Refusal] = []
    for side in (0, 1):
        kept: list[FieldWrite] = []
        for write in plan.writes[side]:
            refused = digest_of_field(write.field, side, write.value)
            refusal = next((one for one in link.refusals if one.field == write.field and one.digest == refused), None)
            if refusal is None:
                kept.append(write)
            else:
                held.append(refusal)
        plan.writes[side][:] = kept
        if kept:
            refused = digest_of(_update(side, kept), link.ids[side])
            refusal = next((one for one in link.refusals if one.field is None and one.digest == refused), None)
            if refusal is not None:
                held.append(refusal)
                plan.writes[side].clear()
    return held


def _send_update(draft: Draft, sync: Sync, link_id: str, link: Link, side: int, writes: list[FieldWrite]) -> None:
    loop = find_loop(link, writes, draft.now)
    if loop is not None:
        link.refusals = [loop]
        fail(draft, link, loop)
        draft.note(sync.name, link_id, "loop", note=loop.message)
        return
    if not send(draft, sync, link_id, link, _update(side, writes)):
        return
    conflicts = sum([write.rule in (Rule.CONFLICT, Rule.CONFLICT_EMPTY) for write in writes])
    draft.sync(sync.name).conflicts += conflicts
    changes = changes_of(draft, sync, link, writes)
    draft.note(sync.name, link_id, "conflict" if conflicts else "update", changes)


def paired(draft: Draft, sync: Sync, link_id: str, link: Link) -> None:
    """Both records of a link are known now: it is merged, and what waited for that goes on at the end of the event."""
    claims(draft, sync, link)
    touch(draft, sync, link_id, link)
