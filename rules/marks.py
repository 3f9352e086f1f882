"""Marks: how `wait` learns that all that was done before it has been carried through."""

from __future__ import annotations

from rules.draft import Draft
from rules.events import Marked, Order
from rules.plan import Sync
from rules.state import Mark

FORGOTTEN_AFTER = 3600.0  # seconds: who asked has gone
KEPT = 20  # answers kept per sync


def ordered(draft: Draft, event: Order) -> None:
    """Someone waits: the mark is on its way through both accounts' logs."""
    mark = _mark(draft, event.arguments["mark"])
    mark.ordered, mark.sync = True, event.sync
    _open(draft, mark)


def marked(draft: Draft, event: Marked) -> None:
    """The mark has come by in an account's log."""
    mark = _mark(draft, event.mark)
    if event.account not in mark.accounts:
        mark.accounts.append(event.account)
    _open(draft, mark)


def _mark(draft: Draft, name: str) -> Mark:
    draft.save_connection()
    return draft.connection.marks.setdefault(name, Mark(draft.now))


def _concerned(draft: Draft, mark: Mark) -> list[Sync]:
    return [sync for name, sync in draft.rules.syncs.items() if mark.sync in (None, name) and not sync.off]


def _open(draft: Draft, mark: Mark) -> None:
    if not mark.ordered:
        return
    for sync in _concerned(draft, mark):
        if sync.name not in mark.open and all(side.account in mark.accounts for side in sync.sides):
            mark.open[sync.name] = draft.sync(sync.name).issued
            draft.save_connection()


def answer(draft: Draft) -> None:
    """Answers the marks whose syncs have carried through all that came before."""
    for name, mark in list(draft.connection.marks.items()):
        if not mark.ordered or not _names_any(draft, mark):
            continue
        _open(draft, mark)
        open_still = [sync for sync in _concerned(draft, mark) if name not in draft.sync(sync.name).answered]
        for sync in list(open_still):
            # One that has stopped is not waited for: it goes on when a person says so.
            if draft.sync(sync.name).stopped or _is_through(draft, sync, mark.open.get(sync.name)):
                state = draft.sync(sync.name)
                state.answered = dict([*state.answered.items(), (name, state.issued)][-KEPT:])
                draft.publish(sync.name)
                open_still.remove(sync)
        if not open_still:
            del draft.connection.marks[name]
            draft.save_connection()


def _names_any(draft: Draft, mark: Mark) -> bool:
    """Whether there is a sync that it is about; if not, one may still be on its way."""
    return bool(draft.rules.syncs) if mark.sync is None else mark.sync in draft.rules.syncs


def _is_through(draft: Draft, sync: Sync, issued: int | None) -> bool:
    state = draft.sync(sync.name)
    if issued is None or state.stage != "live" or state.works:
        return False
    oldest = draft.oldest_open(sync)
    return oldest is None or oldest[0] > issued


def forget_old(draft: Draft) -> None:
    """Drops marks that nobody waits for any more."""
    for name, mark in list(draft.connection.marks.items()):
        if draft.now - mark.at > FORGOTTEN_AFTER:
            del draft.connection.marks[name]
            draft.save_connection()
