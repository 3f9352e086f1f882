"""What the operator is told: a message says what is the matter, a remedy what to do about it (semantics section 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rules.plan import Sync

_REMEDIES = {
    "missing_required": "Fill the field named above in the source record, or map it, or give it a constant in sync.yaml.",
    "invalid_value": "Correct the value in the source record, or map it with `values:`; the other fields are written.",
    "duplicate": "Merge or delete one of the two records, or give them different identifiers; then it is tried again by itself.",
    "deleted": "Restore it with `tandem restore {sync} --into ACCOUNT`, or delete the record that is left.",
    "merged": "Delete the counterpart of the merged record, or merge it likewise.",
    "permission": "Grant the account's role what the message names, then run `tandem retry {sync}`.",
    "unavailable": "Nothing to do: it is retried by itself as soon as the account answers.",
    "rate_limited": "Nothing to do: it is retried by itself as soon as the account allows.",
    "schema": "Edit the mapping in sync.yaml to fields that exist, then run `tandem apply`.",
    "loop": "Let only one side decide on this field (`direction:` of its mapping), then run `tandem retry {sync}`.",
    "association": "Check the record that the reference names; it is tried again when either record changes.",
    "unknown": "Look at the app's own message; `tandem retry {sync}` tries again.",
    "filter": "Nothing to do, unless it should enter: change the record, or the filter in sync.yaml.",
    "no_identifier": "Give the record a usable identifier (an email for contacts), or set `require_identifier: false`.",
    "direction": "Nothing to do: the sync's direction does not carry records of this side.",
}

REASONS = ("filter", "no_identifier", "direction")  # for which a record is excluded
CATEGORIES = tuple(category for category in _REMEDIES if category not in REASONS)  # for which one fails, or waits


def remedy(sync: Sync | None, status: str | None, category: str | None, message: str | None) -> str | None:
    """What to do about a record, or None where it is in sync."""
    if category is None or status == "in_sync" or (message is None and status == "pending"):
        return None
    text = _REMEDIES.get(category, _REMEDIES["unknown"])
    return text.replace("{sync}", sync.name if sync is not None else "SYNC")
