"""What must have been met before a run may say that it has seen the semantics: each name counted at least once.

The names follow semantics.md, section by section, line by line. What no history can show is listed under `ELSEWHERE`, with where it is shown instead.
"""

from __future__ import annotations

from tests.simulation import console, crashes, delivery, people
from tests.simulation.counts import Counts

EVENTS = (
    *("log", "page of a full read", "records read on demand"),
    *("upsert", "delete", "merge", "another id"),
    *("ReadDone", "LogStarted", "Truncated", "FieldsChanged", "Marked", "Results", "Tick", "Clock"),
    *("AccountState up", "AccountState down", "AccountState throttled"),
    *("order apply", "order restore", "order retry", "order resync", "order confirm", "order wait"),
)
ANSWERS = (
    *("applied", "unchanged", "exists", "conflict", "missing", "rejected", "deferred", "retry", "unknown"),
    *("applied create", "applied update", "applied delete"),
)
FATES = (
    *(fate for fate in delivery.FATES if fate),
    "a change overtakes those of other records",
    "changes are captured again",
    "messages of commands are merged",
    "a unit of several messages",
    "a message at or below the position is not decided again",
    "a zombie sends its outputs again",
    "a zombie is fenced",
    "a zombie writes before the new owner does",
    "a disk is wiped and made anew",
    "an edit between reading and writing",
    "a hub with three spokes",
    "an account that keeps no order",
    "an account that is scanned",
    "an account that is scanned, with a ledger",
    "an account without tokens",
    "an account that cannot compare and set",
)
ENTRY = (
    "excluded: filter",
    "excluded: no_identifier",
    "excluded: direction",
    "an excluded record enters later",
    "a linked record stays, though its filters keep it out now",
    "an empty value and `eq`: stays out",
    "an empty value and `ne`, `not_in` or `is_empty`: enters",
)
MATCHING = (
    *(f"kind {kind}" for kind in ("contact", "company", "product", "deal", "custom")),
    "a pair already known: by an account",
    "a pair already known: by another sync",
    "by email",
    "by domain",
    "by name",
    "by sku",
    "by a later identifier, the first differs",
    "equal after normalisation only",
    "a candidate that its own filters keep out",
    "several candidates: the oldest",
    "failing duplicate, naming both",
    "a duplicate is judged again and goes on",
    "an identifier edited on a linked record leaves the link",
    "a record with the identifier was there already",
)
READING = (
    "matched during the first sync",
    "created after both reads",
    "a change is told during the reads",
    "a linked record that the read does not find",
    "an object that reads empty stops the sync",
    "confirm carries the deletions on",
)
VALUES = (
    "linking: one side empty, filled",
    "linking: equal, nothing",
    "linking: differ, the default side wins",
    "linking: differ, the direction forbids: nothing",
    "afterwards: changed on one side",
    "afterwards: changed on both, equal",
    "afterwards: changed on both, differ: conflict",
    "afterwards: cleared, keep",
    "afterwards: cleared, propagate",
    "afterwards: conflict, the default side's value is empty",
    "a mapping narrower than its sync",
    "one way: the source is written over an edit of the target",
    "identifiers equal normalised stay as they are",
    "different fields edited on both sides, both survive",
    "a target that cannot hold an empty value is left alone",
    "the app stores another form",
    "a value map",
    "a constant in a created record",
    "an integer out of a text",
    "invalid_value: cannot be converted, the other fields are written",
    "loop",
    "an edit that was told is overwritten",
    "an edit between reading and writing is lost",
)
ASSOCIATIONS = (
    "a reference is translated",
    "to a record of the same sync",
    "to a record of another sync",
    "the counterpart is awaited, the record in sync",
    "an association follows",
    "of several the first",
    "required, and its counterpart on the way: pending",
    "required, and none: failing missing_required",
)
LIVES = (
    "deleted: failing, the counterpart is left alone",
    "deleted on both sides: forgotten",
    "an edit of the counterpart of a deleted record",
    "restored under a new id",
    "restored: a record with its identifier is there",
    "restore into the source of a one-way sync is refused",
    "restored with fields that no mapping names",
    "a deleted record comes back under its old id",
    "a new record takes the place",
    "a deletion goes on to the other side",
    "a deletion meets an edit: the counterpart stays",
    "more than max_deletes stop the sync",
    "merged: the link moves to the survivor",
    "failing merged",
)
EDITS = (
    "off",
    "on",
    "added again, its pairs are known",
    "a new mapping is filled",
    "a removed mapping is forgotten",
    "a filter is edited",
    "the direction is edited",
    "the default is edited",
    "the policy of empty values is edited",
    "resync",
)
STATUSES = (
    *("in_sync", "failing", "excluded", "pending"),
    *("missing_required", "invalid_value", "duplicate", "deleted", "merged", "permission", "unavailable"),
    *("rate_limited", "schema", "loop", "association", "unknown"),
    "a refused command goes to the dead letters",
    "failing, then in sync again",
)
PROMISES = (
    "state lost entirely, and rebuilt",
    "a pair is found again by identifier or ledger",
    "a pair is found again by the ledger alone",
)
SECTIONS: dict[str, tuple[str, ...]] = {
    "event": EVENTS,
    "answer": ANSWERS,
    "person": (*people.ACTS, "robot"),
    "operator": tuple(console.ACTS),
    "trouble": tuple(console.TROUBLES),
    "fate": FATES,
    "crash": crashes.POINTS,
    "1": ENTRY,
    "2": MATCHING,
    "3": READING,
    "4": VALUES,
    "5": ASSOCIATIONS,
    "6": LIVES,
    "7": EDITS,
    "8": STATUSES,
    "9": PROMISES,
}
ENOUGH = 750_000  # steps after which none may be missing: the rarest was met 12 times in a million
ELSEWHERE = {
    "2: a ring of syncs without identifiers is refused": "tests/rules/test_config_problems.py: nothing of it ever runs",
    "3: a preview writes nothing": "tests/end_to_end: it is the same function with the sinks muted",
    "4: a value map that cannot be inverted is refused": "tests/rules/test_config_problems.py",
    "5: with no sync for the object the mapping is refused": "tests/rules/test_config_problems.py",
    "6: restore by replaying the topics": "tests/end_to_end: the topics are not part of the rules",
    "7: other objects under the same name are refused": "tests/rules/test_config_diff.py",
}


def names() -> list[str]:
    """All that must be met."""
    return [f"{section}: {name}" for section, found in SECTIONS.items() for name in found]


def missing(counts: Counts) -> list[str]:
    """What was never met."""
    return [name for name in names() if not counts.met[name]]


def table(counts: Counts) -> str:
    """The counts, for people: section by section; then what else was counted."""
    known = names()
    lines = [f"{counts.met[name]:>9}  {name}" for name in known]
    others = sorted(set(counts.met) - set(known))
    return "\n".join([*lines, *(f"{counts.met[name]:>9}  {name} (counted, not demanded)" for name in others)])
