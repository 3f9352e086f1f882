"""The naive reference model, field by field: what the two sides of a link must hold at rest (semantics.md, section 4, and nothing else).

It knows what each side held when all was last at rest, and who wrote what since, in the order in which the apps stored it. An edit made on one side
when the other side's edit had already been stored there is the later one; edits of which neither had seen the other are a conflict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from rules.catalog import Value
from tests.simulation.agreement import is_empty, same

Config = dict[str, Any]


class Agrees(Enum):
    """Holds what the other side holds, in its own form."""

    AGREES = "agrees"


AGREES = Agrees.AGREES
Expected = Value | Agrees


class Impossible(Exception):  # noqa: N818 - an outcome, not an error
    """A value that the other side cannot hold."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write of one field of one side. `own`: by the sync itself; all others are edits to it."""

    at: int
    value: Value
    own: bool
    blind: bool = False  # over an edit that nobody had seen, in an app that cannot compare and set


@dataclass(frozen=True, slots=True)
class SideOfField:
    """What is known of one side of a mapped field."""

    before: Value  # when all was last at rest
    writes: Sequence[Write]
    writable: bool  # the direction allows the sync to write it
    nullable: bool = True
    refuses: frozenset[str] = frozenset()  # values that the app does not take
    unique: bool = False  # the app lets no two records share a value
    tells: bool = True  # its log tells which writes are the sync's own
    edits: list[Write] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        held = self.before
        for write in self.writes:
            if not write.own and write.value != held:
                self.edits.append(write)
            held = write.value

    @property
    def last(self) -> Value:
        """What people have left it at."""
        return self.edits[-1].value if self.edits else self.before

    @property
    def wavered(self) -> bool:
        """Whether it was changed and is back at what it was: whether anybody saw that it changed is a matter of timing."""
        if not self.edits:
            return False
        if not self.tells and self.last in (self.before, *(write.value for write in self.writes[:-1])):
            return True
        settled = [write.value for write in self.writes if write.own and write.at < self.edits[-1].at]
        return self.last == (settled[-1] if settled else self.before)

    @property
    def put_back(self) -> bool:
        """Whether people put back what it held before the sync wrote it: without a ledger a copy of the command, come late, takes that for the old value."""
        held, replaced = self.before, []
        for write in self.writes:
            if write.own:
                replaced.append(held)
            elif write.value in replaced:
                return True
            held = write.value
        return False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the sides may hold. More than one: the semantics leave it to timing that cannot be observed."""

    allowed: tuple[tuple[Expected, Expected], ...]
    fails: bool = False  # the field cannot be written, and the record says so

    def admits(self, entry: Config, left: Value, right: Value, *, loosely: bool) -> bool:
        """Whether the sides hold one of it. `loosely`: whatever the form in which an app keeps texts."""
        return any(
            _is(one, left, loosely=loosely)
            and _is(other, right, loosely=loosely)
            and (AGREES not in (one, other) or same(entry, left, right))
            for one, other in self.allowed
        )


def _is(expected: Expected, value: Value, *, loosely: bool) -> bool:
    if expected is AGREES or expected == value:
        return True
    return loosely and isinstance(value, str) and isinstance(expected, str) and expected.split() == value.split()


def convert(entry: Config, source: int, value: Value) -> Value:
    """A value as the other side writes it. Raises Impossible."""
    if "values" in entry:
        pairs = entry["values"] if source == 0 else {other: one for one, other in entry["values"].items()}
        if value not in pairs:
            raise Impossible
        converted: Value = pairs[value]
        return converted
    if "staff" in entry.values():
        text = str(value).strip()
        if not text.isdigit():
            raise Impossible
        return int(text) if source == 0 else text
    return value


def predict(
    entry: Config, sides: tuple[SideOfField, SideOfField], default: int, *, keeps_empty: bool
) -> Outcome | None:
    """What the two sides of a field must hold at rest; None where nothing can be said. `default`: the side that wins conflicts."""
    if any(write.blind for side in sides for write in side.writes):
        return None
    if not sides[0].writable and not sides[1].writable:
        return Outcome(((sides[0].last, sides[1].last),))
    if not sides[0].edits and not sides[1].edits:
        return Outcome(((sides[0].before, sides[1].before),))
    if not all(side.writable for side in sides):
        return _one_way(entry, sides, keeps_empty=keeps_empty)
    if any(side.wavered for side in sides):
        return None
    changed = (bool(sides[0].edits), bool(sides[1].edits))
    if all(changed):
        return _both(entry, sides, default, keeps_empty=keeps_empty)
    return _carried(entry, sides, 0 if changed[0] else 1, keeps_empty=keeps_empty)


def _placed(source: int, one: Expected, other: Expected) -> tuple[Expected, Expected]:
    return (one, other) if source == 0 else (other, one)


def _carried(
    entry: Config, sides: tuple[SideOfField, SideOfField], source: int, *, keeps_empty: bool
) -> Outcome | None:
    """Changed on one side (or there later): the value goes to the other."""
    mine, theirs = sides[source], sides[1 - source]
    if is_empty(mine.last):
        if keeps_empty or not theirs.nullable:
            # Nothing is cleared. What the other side holds is what reached it last: an edit of this side may have, or not.
            return (
                Outcome((_placed(source, mine.last, theirs.before),))
                if len(mine.edits) == 1 and not theirs.edits
                else None
            )
        return Outcome((_placed(source, mine.last, AGREES),))
    if theirs.unique:
        return None
    if not _fits(entry, source, mine.last, theirs):
        if len(mine.edits) > 1 or theirs.edits:
            return None
        return Outcome((_placed(source, mine.last, theirs.before),), fails=True)
    return Outcome((_placed(source, mine.last, AGREES),))


def _fits(entry: Config, source: int, value: Value, target: SideOfField) -> bool:
    try:
        return convert(entry, source, value) not in target.refuses
    except Impossible:
        return False


def _seen(entry: Config, sides: tuple[SideOfField, SideOfField], source: int) -> bool | None:
    """Whether the source's last edit was stored on the other side before that side's last edit; None where it cannot be told."""
    mine, theirs = sides[source].edits[-1], sides[1 - source].edits[-1]
    if theirs.at < mine.at:
        return False
    stored = [one for one in sides[1 - source].writes if one.own and mine.at < one.at < theirs.at]
    agreeing = [one for one in stored if same(entry, *_in_order(source, mine.value, one.value))]
    if not agreeing:
        return False
    earlier = [*sides[source].edits[:-1], Write(-1, sides[source].before, own=False)]
    if any(one.value == mine.value for one in earlier):
        return None  # the same value was there before: which of the two was stored?
    return True


def _in_order(source: int, one: Value, other: Value) -> tuple[Value, Value]:
    return (one, other) if source == 0 else (other, one)


def _both(entry: Config, sides: tuple[SideOfField, SideOfField], default: int, *, keeps_empty: bool) -> Outcome | None:
    """Changed on both sides."""
    left, right = sides[0].last, sides[1].last
    seen = (_seen(entry, sides, 0), _seen(entry, sides, 1))
    if None in seen:
        return None
    if seen[0]:
        return _later(entry, sides, 1, keeps_empty=keeps_empty)
    if seen[1]:
        return _later(entry, sides, 0, keeps_empty=keeps_empty)
    if same(entry, left, right):
        wandered = max(len(side.edits) for side in sides) > 1
        if wandered and is_empty(left):
            return (
                None  # what was there before both were cleared may have been carried across, and is not cleared there
            )
        plain = "values" not in entry and "identifier" not in entry
        if wandered or (plain and not is_empty(left) and str(left) != str(right)):
            # An earlier value may have won a conflict; one text in two forms is a conflict, to one who saw neither before.
            return Outcome(((left, right), (left, AGREES), (AGREES, right)))
        return Outcome(((left, right),))
    if _met(entry, sides, 0) or _met(entry, sides, 1):
        return None
    winner = 1 - default if is_empty(sides[default].last) else default
    if winner != default and len(sides[default].edits) > 1:
        return None  # what it held before it was cleared may have won
    if is_empty(sides[winner].last) or sides[1 - winner].unique:
        return None
    if not _fits(entry, winner, sides[winner].last, sides[1 - winner]):
        if len(sides[winner].edits) > 1:
            return None  # what it held before may have won
        return Outcome((_placed(winner, sides[winner].last, sides[1 - winner].last),), fails=True)
    return Outcome((_placed(winner, sides[winner].last, AGREES),))


def _met(entry: Config, sides: tuple[SideOfField, SideOfField], source: int) -> bool:
    """Whether the sides agreed before the source's last edit, in whatever form: who saw them agree takes that edit for the later one."""
    values = [sides[source].before, *(one.value for one in sides[source].edits[:-1])]
    return any(same(entry, *_in_order(source, value, sides[1 - source].last)) for value in values)


def _later(entry: Config, sides: tuple[SideOfField, SideOfField], source: int, *, keeps_empty: bool) -> Outcome | None:
    """The source's edit was made in the knowledge of the other side's."""
    mine, theirs = sides[source], sides[1 - source]
    if is_empty(mine.last) and (keeps_empty or not theirs.nullable):
        return Outcome((_placed(source, mine.last, theirs.last),)) if _is_last(mine) else None
    if not is_empty(mine.last) and (theirs.unique or not _fits(entry, source, mine.last, theirs)):
        return None
    return Outcome((_placed(source, mine.last, AGREES),))


def _is_last(side: SideOfField) -> bool:
    """Whether people edited it once since the sync last wrote it."""
    return len(side.writes) < 2 or side.writes[-2].own


def _one_way(entry: Config, sides: tuple[SideOfField, SideOfField], *, keeps_empty: bool) -> Outcome | None:
    """A changed source is always written, also over an edit of the target; an edit of the target alone stays."""
    target = 0 if sides[0].writable else 1
    source = 1 - target
    mine, theirs = sides[source], sides[target]
    if mine.wavered:
        return None
    if not mine.edits:
        return (
            Outcome((_placed(source, mine.last, theirs.last),)) if not any(one.own for one in theirs.writes) else None
        )
    if is_empty(mine.last) and (keeps_empty or not theirs.nullable):
        return Outcome((_placed(source, mine.last, theirs.last),)) if len(mine.edits) == 1 else None
    if theirs.unique or (not is_empty(mine.last) and not _fits(entry, source, mine.last, theirs)):
        return None
    if not theirs.edits:
        return Outcome((_placed(source, mine.last, AGREES),))
    stored = [one for one in theirs.writes if one.own and one.at > mine.edits[-1].at]
    if stored and stored[-1].at < theirs.edits[-1].at:
        return Outcome((_placed(source, mine.last, theirs.last),))
    if stored:
        return Outcome((_placed(source, mine.last, AGREES),))
    if any(
        same(entry, *_in_order(source, mine.last, value))
        for value in (theirs.before, *(one.value for one in theirs.edits))
    ):
        return None  # the target may have held the value already when the source's change was looked at
    return Outcome((_placed(source, mine.last, AGREES),))
