"""How two records are brought to agree, field by field: semantics section 4, and nothing else.

`merge` plans; it writes nothing and knows neither links nor commands. A field is compared with its bases, the values of each side when it was
last reconciled, in that side's own representation; a mapping without bases is merged as at linking.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from enum import StrEnum

import msgspec

from rules.catalog import Value, join_id, split_id
from rules.plan import Mapping, Sync
from rules.values import InvalidValueError, is_empty

Values = MappingType[str, Value]


class Rule(StrEnum):
    """Why a field is written."""

    FILL = "fill"  # at linking, one side was empty
    DEFAULT_WINS = "default_wins"  # at linking, the sides differed
    CHANGED = "changed"  # changed on one side
    OVERWRITTEN = "overwritten"  # one way: the source is written over an edit of the target
    CONFLICT = "conflict"  # changed on both sides
    CONFLICT_EMPTY = "conflict_empty"  # changed on both sides, the default side's to empty
    SKIPPED_EMPTY = "skipped_empty"  # cleared on one side, which clears nothing on the other: not written
    DIRECTION = "direction"  # the sides differ, but the direction does not allow the write: not written


class FieldWrite(msgspec.Struct, frozen=True):
    """A field to write: `value` into `field` of `side` in place of `before`; `source` is the other side's value that it comes from."""

    mapping: Mapping
    side: int
    value: Value
    source: Value
    before: Value
    rule: Rule

    @property
    def field(self) -> str:
        """The field written."""
        return self.mapping.fields[self.side]


class FieldProblem(msgspec.Struct, frozen=True):
    """A field that cannot be written, and why."""

    side: int  # the target
    field: str
    value: Value
    message: str
    allowed: str


class Awaited(msgspec.Struct, frozen=True):
    """A reference whose counterpart is not linked yet: the record of `sync` on `side` with that id, or that `code_of` names."""

    sync: str
    side: int
    id: str


CODE = "\1"  # begins the name of a record that is referred to by a field of it
_SEPARATORS = {0: CODE, 0x1F: CODE}  # of keys, and of the names of works


def code_of(field: str, text: str) -> str:
    """The name of whatever record holds the text in its field; no id looks like it."""
    return f"{CODE}{field}{CODE}{text}".translate(_SEPARATORS)


class Translation:
    """How references cross: asks for the linked counterpart of a record of an associated sync."""

    def counterpart(self, sync: str, side: int, record_id: str) -> str | None:
        """The id of the counterpart on the other side, or None where it is not linked yet."""
        raise NotImplementedError

    def holder(self, sync: str, side: int, field: str, text: str) -> str | None:
        """The id of the record of a side that holds the text in the field, or None where there is none."""
        raise NotImplementedError

    def held(self, sync: str, side: int, record_id: str, field: str) -> Value:
        """What a record of a side holds in the field."""
        raise NotImplementedError


Bases = MappingType[str, tuple[Value, Value]]  # mapping -> values of both sides


class Plan(msgspec.Struct):
    """What brings two records to agree. `settled`: bases that hold at once, without a write. `kept`: fields that differ and
    are left as they are, for the history; `value` is what they hold."""

    writes: tuple[list[FieldWrite], list[FieldWrite]]  # into side 0, into side 1
    settled: dict[str, tuple[Value, Value]]
    problems: list[FieldProblem]
    awaits: list[Awaited]
    kept: list[FieldWrite] = []


def translate(mapping: Mapping, source: int, value: Value, translation: Translation) -> Value | Awaited:
    """The value as the other side holds it. Raises InvalidValueError."""
    if mapping.association is None:
        return mapping.conversion.forward(value) if source == 0 else mapping.conversion.back(value)
    text = reference_text(value)
    if text is None:
        return None
    association, side, code = mapping.association, mapping.side_there(source), mapping.refers[source]
    record = (
        (text if "," in text else join_id([text]))
        if code is None
        else translation.holder(association, side, code, text)
    )
    if record is None:
        return Awaited(association, side, code_of(code or "", text))
    found = translation.counterpart(association, side, record)
    code = mapping.refers[1 - source]
    if found is not None and code is not None:
        text = reference_text(translation.held(association, 1 - side, found, code))
    elif found is not None:
        text = split_id(found)[0] if "," not in found else found
    if found is None or text is None:
        return Awaited(association, side, record)
    return mapping.reference_value(1 - source, text)


def reference_text(value: Value) -> str | None:
    """The reference that a field holds as text: of several the first, which is the primary one."""
    first = value[0] if isinstance(value, list) and value else value
    return None if is_empty(first) else str(first)


def merge(sync: Sync, values: tuple[Values, Values], bases: Bases, translation: Translation) -> Plan:
    """What to write so that the records agree. `values`: of side 0 and side 1."""
    plan = Plan(([], []), {}, [], [], [])
    left_values, right_values = values
    whole = sync.sides[0].object.capabilities.whole and sync.sides[1].object.capabilities.whole
    for mapping in sync.mappings:
        left_field, right_field = mapping.fields
        if not whole and not (left_field in left_values and right_field in right_values):
            continue  # named a moment ago, and being read
        left, right = left_values.get(left_field), right_values.get(right_field)
        base = bases.get(mapping.key)
        if base is None:
            _at_linking(plan, sync, mapping, (left, right), translation)
        elif left != base[0] or right != base[1]:
            _after(plan, sync, mapping, (left, right), base, translation)
    return plan


def _agree(mapping: Mapping, pair: tuple[Value, Value], translation: Translation) -> bool:
    left, right = pair
    if is_empty(left) and is_empty(right):
        return True
    if mapping.association is not None:
        if is_empty(left) or is_empty(right):
            return False
        there = translate(mapping, 0, left, translation)
        return not isinstance(there, Awaited) and reference_text(there) == reference_text(right)
    return mapping.same(left, right)


def _at_linking(plan: Plan, sync: Sync, mapping: Mapping, pair: tuple[Value, Value], translation: Translation) -> None:
    if _agree(mapping, pair, translation):
        plan.settled[mapping.key] = pair
        return
    empty = (is_empty(pair[0]), is_empty(pair[1]))
    if empty[0] != empty[1]:
        target = 0 if empty[0] else 1
        if mapping.writes[target]:
            _write(plan, mapping, target, pair, Rule.FILL, translation)
        else:
            plan.settled[mapping.key] = pair
            _keep(plan, mapping, target, pair, Rule.DIRECTION)
        return
    target = 1 - sync.default
    if mapping.writes[target]:
        _write(plan, mapping, target, pair, Rule.DEFAULT_WINS, translation)
    else:
        plan.settled[mapping.key] = pair
        _keep(plan, mapping, target, pair, Rule.DIRECTION)


def _after(
    plan: Plan,
    sync: Sync,
    mapping: Mapping,
    pair: tuple[Value, Value],
    base: tuple[Value, Value],
    translation: Translation,
) -> None:
    changed = (pair[0] != base[0], pair[1] != base[1])
    if _agree(mapping, pair, translation):
        plan.settled[mapping.key] = pair
    elif not mapping.writes[0] or not mapping.writes[1]:
        _one_way(plan, mapping, pair, base, translation)
    elif changed[0] and changed[1]:
        winner = sync.default
        if is_empty(pair[winner]):
            # Whatever `empty` says, a default side that was cleared in a conflict changes nothing on the other.
            _write(plan, mapping, winner, pair, Rule.CONFLICT_EMPTY, translation)
        else:
            _write(plan, mapping, 1 - winner, pair, Rule.CONFLICT, translation)
    else:
        source = 0 if changed[0] else 1
        if _says_nothing(mapping, source, pair):
            plan.settled[mapping.key] = pair
            _keep(plan, mapping, 1 - source, pair, Rule.SKIPPED_EMPTY)
        else:
            _write(plan, mapping, 1 - source, pair, Rule.CHANGED, translation)


def _one_way(
    plan: Plan,
    mapping: Mapping,
    pair: tuple[Value, Value],
    base: tuple[Value, Value],
    translation: Translation,
) -> None:
    if not (mapping.writes[0] or mapping.writes[1]):
        return
    target = 0 if mapping.writes[0] else 1
    source = 1 - target
    # An edit of the target alone stays, and stays different from its base: a direction that is widened later finds it.
    if pair[source] == base[source]:
        return
    if _says_nothing(mapping, source, pair):
        plan.settled[mapping.key] = (pair[0], base[1]) if source == 0 else (base[0], pair[1])
        _keep(plan, mapping, target, pair, Rule.SKIPPED_EMPTY)
    else:
        rule = Rule.CHANGED if pair[target] == base[target] else Rule.OVERWRITTEN
        _write(plan, mapping, target, pair, rule, translation)


def _says_nothing(mapping: Mapping, source: int, pair: tuple[Value, Value]) -> bool:
    """Whether a value was cleared where that clears nothing on the other side."""
    return is_empty(pair[source]) and not (mapping.propagates_empty and mapping.nullable[1 - source])


def _keep(plan: Plan, mapping: Mapping, target: int, pair: tuple[Value, Value], rule: Rule) -> None:
    """The target stays as it is."""
    plan.kept.append(FieldWrite(mapping, target, pair[target], pair[1 - target], pair[target], rule))


def _write(
    plan: Plan,
    mapping: Mapping,
    target: int,
    pair: tuple[Value, Value],
    rule: Rule,
    translation: Translation,
) -> None:
    source = pair[1 - target]
    try:
        value = translate(mapping, 1 - target, source, translation)
    except InvalidValueError as error:
        plan.problems.append(FieldProblem(target, mapping.fields[target], source, error.reason, error.allowed))
        return
    if isinstance(value, Awaited):
        plan.awaits.append(value)
    else:
        if mapping.association is not None and isinstance(value, list) and isinstance(before := pair[target], list):
            value = [*value, *(one for one in before if one not in value)]  # the others stay, behind the primary one
        plan.writes[target].append(FieldWrite(mapping, target, value, source, pair[target], rule))
