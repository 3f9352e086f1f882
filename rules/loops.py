"""Loops: a field that takes the same two values in turn too often, because something else writes it back each time (semantics section 4)."""

from __future__ import annotations

from hashlib import blake2b

from rules.catalog import Value
from rules.merge import FieldWrite
from rules.state import Link, Refusal

TURNS, SECONDS = 10, 600.0  # more than 10 times in 10 minutes
SHOWN = 60  # characters of a text that are kept: enough to recognise it


def find_loop(link: Link, writes: list[FieldWrite], now: float) -> Refusal | None:
    """Notes the values that fields are given; the refusal to write on, where one takes the same two in turn too often."""
    recent = {}
    for key, noted in link.recent.items():
        kept = [one for one in noted if now - one[1] <= SECONDS]
        if kept:
            recent[key] = kept
    link.recent = recent
    for write in writes:
        value = _short(write.source if write.side == 1 else write.value)
        taken = [*recent.get(write.mapping.key, ()), (value, now)][-2 * TURNS :]
        recent[write.mapping.key] = taken
        if turns([one for one, _ in taken]) > TURNS:
            first, second = taken[-2][0], taken[-1][0]
            message = f"{write.field} flips between {first!r} and {second!r}: something else writes it back each time"
            return Refusal("loop", "loop", message, write.field)
    return None


def turns(values: list[Value]) -> int:
    """How many of the last values take the same two in turn."""
    run = 1
    while run < len(values) and values[-run] != values[-run - 1] and (run < 2 or values[-run - 1] == values[-run + 1]):
        run += 1
    return run


def _short(value: Value) -> Value:
    """A value as it is noted: a long one by its beginning and a digest, so that a link does not grow with its texts."""
    text = value if isinstance(value, str) else repr(value) if isinstance(value, list) else ""
    if len(text) <= SHOWN:
        return value
    return f"{text[:SHOWN]}… ({blake2b(text.encode(errors='surrogatepass'), digest_size=4).hexdigest()})"
