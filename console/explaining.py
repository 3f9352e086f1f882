"""Why a record holds what it holds: its fields with where their values came from and which lost, and its history.

Pure: a row of the read model, its decisions and the mapping in, the shape of `tandem explain --json` out. Must not know
where they are kept, nor how they are printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from console.readmodel.reader import RecordRow
from console.times import iso_ms
from rules.catalog import Value
from rules.events import FieldChange, HistoryRow

Json = dict[str, Any]

SENT = ("create", "update", "conflict")  # decisions that write
TOLD_LATE = "told"  # the log tells only now of the change that a write has met before
RULES = {
    "create": "written when it was created",
    "fill": "filled: this side was empty when they were linked",
    "default_wins": "the sides differed when they were linked: the default side won",
    "changed": "changed on the other side",
    "overwritten": "the source was written over an edit of the target",
    "conflict": "changed on both sides: the default side won",
    "conflict_empty": "changed on both sides, the default side's to empty: the other side filled it",
    "skipped_empty": "cleared on the other side, which clears nothing here",
    "direction": "the sides differ, and the direction does not write here",
}


class Pair(msgspec.Struct, frozen=True):
    """A pair of fields, in the order of the sync's accounts."""

    fields: tuple[str, ...]
    identifier: str | None = None
    association: str | None = None
    direction: str | None = None


def names_of(row: RecordRow) -> list[str]:
    """The names under which a record may stand in the history: that of its link, and of either side before it was linked."""
    sides = [f"{account}:{side['id']}" for account, side in row.sides.items()]
    return [row.key, *sides, *(f"{name}~" for name in sides)]


def explain(row: RecordRow, decisions: Sequence[HistoryRow], pairs: Sequence[Pair], accounts: Sequence[str]) -> Json:
    """The fields and the history of a record. `decisions`: the earliest first."""
    lost = _lost(decisions)
    fields: list[Json] = []
    for pair in pairs:
        found: Json = {
            "identifier": pair.identifier,
            "association": pair.association,
            "direction": pair.direction,
        }
        own: list[Json] = []
        for account, field in zip(accounts, pair.fields, strict=True):
            side = row.sides.get(account)
            found[account] = None
            if side is not None:
                value = side["fields"].get(field)
                origin = _origin(row, account, field, value, decisions)
                found[account] = {"field": field, "value": value, "from": origin}
            own += [one for one in lost if (one["account"], one["field"]) == (account, field)]
        fields.append(found | {"lost": own})
    awaits = row.message if row.status == "in_sync" else None
    return {"awaits": awaits, "fields": fields, "history": [told(one) for one in reversed(decisions)]}


def _origin(row: RecordRow, account: str, field: str, value: Value, decisions: Sequence[HistoryRow]) -> Json:
    """Where a value came from: an event of its own account, a write of ours, or it was there when the record was first met."""
    known = row.origins.get(account, {})
    event = known.get(field, known.get("", ""))
    if event:
        return {"event": event, "rule": None, "at": None, "stored_as": None}
    for decision in reversed(decisions):
        for change in decision.changes if decision.action in SENT else ():
            if (change.account, change.field) == (account, field):
                stored = None if change.after == value else change.after
                event = change.event or decision.cause
                return {"event": event, "rule": change.rule, "at": iso_ms(decision.at), "stored_as": stored}
    return {"event": None, "rule": None, "at": None, "stored_as": None}


def _lost(decisions: Sequence[HistoryRow]) -> list[Json]:
    """The values that lost, the latest first, each with both events."""
    found: list[Json] = []
    for decision in decisions:
        for change in decision.changes:
            if decision.action == TOLD_LATE:
                _complete(found, change)
            elif change.lost is not None or change.lost_event:
                found.append(
                    {
                        "account": change.account,
                        "field": change.field,
                        "value": change.lost,
                        "kept": change.after,
                        "rule": change.rule,
                        "at": iso_ms(decision.at),
                        "event": change.event or decision.cause,
                        "lost_event": change.lost_event or None,
                    }
                )
    return found[::-1]


def _complete(found: list[Json], late: FieldChange) -> None:
    for one in reversed(found):
        if (one["account"], one["field"], one["value"]) == (late.account, late.field, late.lost):
            one["lost_event"] = late.lost_event
            return


def told(decision: HistoryRow) -> Json:
    """A decision in the shape of `tandem history --json`."""
    return {
        "at": iso_ms(decision.at),
        "sync": decision.sync,
        "key": decision.key,
        "action": decision.action,
        "cause": decision.cause,
        "note": decision.note or None,
        "records": list(decision.records),
        "changes": [
            {
                "account": change.account,
                "field": change.field,
                "before": change.before,
                "after": change.after,
                "rule": change.rule,
                "lost": change.lost,
                "event": change.event or None,
                "lost_event": change.lost_event or None,
            }
            for change in decision.changes
        ],
    }
