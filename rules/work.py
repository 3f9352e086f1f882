"""Work in slices: what exceeds one event goes on tick by tick, so that no unit of work grows beyond a record batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rules.draft import Draft
from rules.events import Tick
from rules.state import Work

SLICE = 400  # records or links a tick
SEPARATOR = "|"
STAGE = "stage"  # the work that carries a full read on from stage to stage
CONFIRM = "confirm"  # the work that carries on the deletions which a person has confirmed
VACANT = "vacant"  # the work that looks, after a full read, for whom may take the empty places in links
PART = "\x1f"  # between the parts of a work's name


def start(draft: Draft, sync: str, name: str) -> None:
    """Begins a piece of work, or begins it again from its start."""
    works = draft.sync(sync).works
    number = works[name].number + 1 if name in works else 0
    works[name] = Work("", number)
    draft.ticks.append(Tick(sync, f"{name}{SEPARATOR}{number}"))


def current(draft: Draft, tick: Tick) -> tuple[str, Work] | None:
    """The work that a tick carries on; None for a tick that came twice."""
    name, _, number = tick.work.rpartition(SEPARATOR)
    work = draft.sync(tick.sync).works.get(name)
    return None if work is None or str(work.number) != number else (name, work)


def passed(draft: Draft, sync: str, name: str, key: bytes) -> bool:
    """Whether the work has gone beyond a key."""
    work = draft.sync(sync).works.get(name)
    return work is None or key <= bytes.fromhex(work.cursor)


def run(
    draft: Draft,
    sync: str,
    name: str,
    prefix: bytes,
    step: Callable[[bytes], None],
    *,
    logged: bool = False,
    ahead: Callable[[list[bytes]], None] | None = None,
) -> bool:
    """Takes one slice of the keys with the prefix; whether that was the last. The next tick is sent if it was not.

    `logged`: the keys are state entries, not index entries. `ahead` is given the whole slice first, to read at once what its steps need.
    """
    after = bytes.fromhex(draft.sync(sync).works[name].cursor)
    keys: Iterator[bytes] = (
        (key for key, _ in draft.view.scan(prefix, after or None)) if logged else draft.scan(prefix, after or None)
    )
    taken: list[bytes] = []
    for key in keys:
        if key == after:
            continue
        taken.append(key)
        if len(taken) == SLICE:
            break
    if ahead is not None:
        ahead(taken)
    for key in taken:
        step(key)
    if len(taken) < SLICE:
        del draft.sync(sync).works[name]
        return True
    advance(draft, sync, name, taken[-1])
    return False


def advance(draft: Draft, sync: str, name: str, after: bytes) -> None:
    """Goes on after a key with the next tick."""
    work = draft.sync(sync).works[name]
    work.cursor, work.number = after.hex(), work.number + 1
    draft.ticks.append(Tick(sync, f"{name}{SEPARATOR}{work.number}"))
