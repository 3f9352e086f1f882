"""What a connector can do with an object, and what it cannot, in words.

Responsible for the words alone (`rules.catalog.Capabilities`); docs/connectors/README.md says what follows for a sync.
"""

from __future__ import annotations

from rules.catalog import Capabilities


def in_words(able: Capabilities) -> list[str]:
    """A line for what it does, and one for each thing that it cannot do, or does within limits."""
    verbs = (("create", able.creatable), ("update", able.updatable), ("delete", able.deletable))
    words = [word for word, can in verbs if can]
    seen = f" (seen within {able.sees_within:g} s)" if able.sees_within else ""
    lines = [
        f"captures by {able.capture}{seen}; can {', '.join(words) or 'only be read'}; {able.batch_size} records a batch"
    ]
    if not able.sees_deletions:
        lines.append("sees no deletions: they show when a record is written, or with the next full read")
    elif able.deletions_within:
        lines.append(f"sees deletions within {able.deletions_within:g} s")
    if words and not able.compare_and_set:
        lines.append("compares, then writes: an edit saved in between is overwritten")
    if able.creatable and not able.tokens:
        lines.append("a create without an answer is found again by its identifiers alone")
    return lines + list(able.limits)
