"""What must fit together within a configuration (semantics sections 1, 2, 4, 5), beyond the shape of each part.

Responsible for all that can be refused without asking an account. Must not know positions (a finding's path says
what is meant), the environment or catalogs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from rules.config.entries import OPTIONS
from rules.config.models import Installation, MappingConfig, RecordKind, SyncConfig, target_of
from rules.config.problems import did_you_mean
from rules.config.tree import Path
from rules.config.wording import Finding, where
from rules.identifiers import EXPECTED, IdentifierType
from rules.values import invertible


@dataclass(frozen=True, slots=True)
class Whole:
    """What is checked: the installation as far as it could be read, and what had to be left out of it.

    `entries`: per sync the place in the file of each entry of its mapping. `incomplete`: syncs with parts left out, of which it
    cannot be said that something is missing. `names`: all accounts and syncs of the file, readable or not.
    """

    installation: Installation
    accounts: frozenset[str]
    syncs: frozenset[str]
    entries: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    incomplete: frozenset[str] = frozenset()

    def entry(self, sync: str, index: int) -> Path:
        """The path of an entry of a mapping in the file."""
        places = self.entries.get(sync)
        return ("syncs", sync, "mapping", places[index] if places else index)


def check(whole: Whole) -> Iterator[Finding]:
    """All that does not fit together."""
    yield from _names(whole)
    for name, sync in whole.installation.syncs.items():
        yield from _accounts_of(whole, name, sync)
        if set(sync.accounts) <= whole.accounts:
            yield from _directions(whole, name, sync)
            yield from _identifiers(whole, name, sync)
            yield from _fields(whole, name, sync)
            yield from _associations(whole, name, sync)
    yield from _rings(whole)
    yield from required_cycles(_required_associations(whole))


# ---------------------------------------------------------------- names

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_NAME_RULE = "use at most 40 letters without accents, digits, '_' and '-'"


def _names(whole: Whole) -> Iterator[Finding]:
    name = whole.installation.name
    if not _NAME.fullmatch(name):
        yield Finding(("name",), f"'{name}' cannot be the name of an installation", _NAME_RULE)
    for section, kind, names in (("accounts", "an account", whole.accounts), ("syncs", "a sync", whole.syncs)):
        for one in names:
            if not _NAME.fullmatch(one):
                yield Finding((section, one), f"'{one}' cannot be the name of {kind}", _NAME_RULE, key=True)
            elif section == "accounts" and one in OPTIONS:
                message = f"an account cannot be called '{one}', which is a key of the mappings"
                yield Finding((section, one), message, "give it another name", key=True)


# ---------------------------------------------------------------- one sync


def _accounts_of(whole: Whole, name: str, sync: SyncConfig) -> Iterator[Finding]:
    here: Path = ("syncs", name)
    for account in sync.accounts:
        if account not in whole.accounts:
            remedy = did_you_mean(account, sorted(whole.accounts), "the accounts are")
            message = f"'between' of sync '{name}' names the account '{account}', which does not exist"
            yield Finding((*here, "between", account), message, remedy, key=True)
    either = f"{sync.accounts[0]} or {sync.accounts[1]}"
    if sync.default not in sync.accounts:
        message = f"'default' of sync '{name}' is '{sync.default}', which is not one of its two accounts"
        yield Finding((*here, "default"), message, f"write {either}")
    for account in sync.filters:
        if account not in sync.accounts:
            message = f"the filters of sync '{name}' name '{account}', which is not one of its two accounts"
            yield Finding((*here, "filters", account), message, f"write {either}", key=True)


def _directions(whole: Whole, name: str, sync: SyncConfig) -> Iterator[Finding]:
    if any(sync.writes):
        for index, mapping in enumerate(sync.mapping):
            yield from _direction_of(sync, mapping, (*whole.entry(name, index), "direction"))
    else:
        yield _not_a_direction(sync, sync.direction, ("syncs", name, "direction"))
    for index, mapping in enumerate(sync.mapping):
        if mapping.is_constant and any(sync.writes) and mapping.enabled and not any(sync.writes_of(mapping)):
            account = sync.accounts[0 if mapping.a is not None else 1]
            message = f"the constant for '{mapping.a or mapping.b}' never applies: sync '{name}' creates nothing in '{account}'"
            yield Finding(whole.entry(name, index), message, "remove the entry, or widen the direction of the sync")


def _not_a_direction(sync: SyncConfig, direction: str, path: Path) -> Finding:
    first, second = sync.accounts
    allowed = ("both", f"to {first}", f"to {second}")
    meant = "to " + direction if direction in sync.accounts else None
    remedy = f'did you mean "{meant}"?' if meant else did_you_mean(direction, allowed, "write one of")
    return Finding(path, f"'direction' in {where(path[:-1])} cannot be '{direction}'", remedy)


def _direction_of(sync: SyncConfig, mapping: MappingConfig, path: Path) -> Iterator[Finding]:
    direction = mapping.direction
    if direction is None:
        return
    if direction != "both" and target_of(direction) not in sync.accounts:
        yield _not_a_direction(sync, direction, path)
    elif sync.direction != "both" and direction != sync.direction:
        message = f"'direction' in {where(path[:-1])} is wider than that of the sync, which is '{sync.direction}'"
        yield Finding(
            path, message, "remove it here, or write direction: both in the sync and narrow the other entries"
        )


def _identifiers(whole: Whole, name: str, sync: SyncConfig) -> Iterator[Finding]:
    expected = EXPECTED[sync.kind]
    mapped = False
    for index, mapping in enumerate(sync.mapping):
        if mapping.identifier is None:
            continue
        mapped = mapped or mapping.enabled
        if mapping.identifier not in expected and mapping.identifier is not IdentifierType.EXACT:
            message = f"records of kind '{sync.kind}' are not matched by {mapping.identifier}"
            if expected:
                instead = " or ".join(expected) + ", or exact for a number or code that both sides hold"
            else:
                instead = "exact for a number or code that both sides hold, or remove 'identifier'"
            yield Finding(
                (*whole.entry(name, index), "identifier"), message, f"write {instead}; any type with kind: custom"
            )
    if sync.require_identifier and not mapped and name not in whole.incomplete:
        default = sync.kind in (RecordKind.CONTACT, RecordKind.LEAD)
        why = f" (the default for kind: {sync.kind})" if default else ""
        message = f"sync '{name}' requires an identifier{why}, but no enabled entry of its mapping has one"
        sample = expected[0] if expected else IdentifierType.EXACT
        remedy = f"mark an entry with identifier: {sample}, or write require_identifier: false"
        yield Finding(("syncs", name, "require_identifier"), message, remedy)


# ---------------------------------------------------------------- fields


def _fields(whole: Whole, name: str, sync: SyncConfig) -> Iterator[Finding]:
    if name not in whole.incomplete and not any(one.enabled and not one.is_constant for one in sync.mapping):
        message = f"the mapping of sync '{name}' has no enabled entry with two fields"
        yield Finding(("syncs", name, "mapping"), message, "add or enable at least one pair of fields", key=True)
    written: dict[tuple[int, str], int] = {}
    for index, mapping in enumerate(sync.mapping):
        yield from _value_map(whole, name, sync, index)
        for side, may in enumerate(sync.writes_of(mapping)):
            target = (mapping.a, mapping.b)[side]
            if not may or target is None:
                continue
            first = written.setdefault((side, target), index)
            if first != index:
                yield _written_twice(whole, name, sync, (first, index), side)


def _written_twice(whole: Whole, name: str, sync: SyncConfig, entries: tuple[int, int], side: int) -> Finding:
    first, second = (sync.mapping[index] for index in entries)
    account, target = sync.accounts[side], (second.a, second.b)[side]
    number = whole.entry(name, entries[0])[-1]
    assert isinstance(number, int)
    other = sync.accounts[1 - side]
    if first.is_constant and second.is_constant:
        what, remedy = "has a second constant", "remove one of the two"
    elif first.is_constant or second.is_constant:
        what = "is mapped and has a constant, too"
        remedy = f'remove the constant, or give the pair direction: "to {other}"'
    else:
        what = f"is written by two entries of the mapping of sync '{name}'"
        remedy = f'remove one, or give one direction: "to {other}"'
    message = f"the field '{target}' of '{account}' {what} (see entry {number + 1})"
    return Finding(whole.entry(name, entries[1]), message, remedy)


def _value_map(whole: Whole, name: str, sync: SyncConfig, index: int) -> Iterator[Finding]:
    mapping, path = sync.mapping[index], (*whole.entry(name, index), "values")
    if mapping.values is None or not mapping.enabled:
        return
    into_a, into_b = sync.writes_of(mapping)
    twice = _given_twice([a for a, _ in mapping.values] if into_b else []) or _given_twice(
        [b for _, b in mapping.values] if into_a else []
    )
    if into_a and into_b and not invertible(mapping.values):
        message = f"'values' in {where(path[:-1])} cannot be read backwards: '{twice}' stands for several values"
        yield Finding(path, message, f'make each value stand once, or write direction: "to {sync.accounts[1]}"')
    elif twice is not None:
        message = f"'values' in {where(path[:-1])} says two things of '{twice}'"
        yield Finding(path, message, "make each value of the side that is read stand once")


def _given_twice(values: Iterable[object]) -> str | None:
    seen: set[str] = set()
    for value in values:
        text = str(value)
        if text in seen:
            return text
        seen.add(text)
    return None


# ---------------------------------------------------------------- associations


def _associations(whole: Whole, name: str, sync: SyncConfig) -> Iterator[Finding]:
    for index, mapping in enumerate(sync.mapping):
        if mapping.association is None:
            continue
        path = (*whole.entry(name, index), "association")
        for option in ("identifier", "values"):
            if getattr(mapping, option) is not None:
                message = f"{where(path[:-1])} has an association and '{option}', too"
                yield Finding(
                    (*path[:-1], option), message, f"remove '{option}': a reference is translated by its link", key=True
                )
        if mapping.association not in whole.syncs:
            message = (
                f"'association' in {where(path[:-1])} names the sync '{mapping.association}', which does not exist"
            )
            remedy = did_you_mean(mapping.association, sorted(whole.syncs), "the syncs are")
            yield Finding(path, message, remedy)
            continue
        other = whole.installation.syncs.get(mapping.association)
        if other is not None and set(other.accounts) != set(sync.accounts):
            pair, others = " and ".join(sync.accounts), " and ".join(other.accounts)
            message = f"the association '{mapping.association}' pairs {others}, not {pair}"
            yield Finding(path, message, f"name a sync between {pair}, or remove the association")


def _required_associations(whole: Whole) -> dict[str, dict[str, Path]]:
    """Per sync the syncs without whose records its own cannot be created, with the place that says so."""
    return {
        name: {
            mapping.association: (*whole.entry(name, index), "association")
            for index, mapping in enumerate(sync.mapping)
            if mapping.association is not None and mapping.required and mapping.enabled
        }
        for name, sync in whole.installation.syncs.items()
    }


def required_cycles(edges: Mapping[str, Mapping[str, Path]], account: str | None = None) -> Iterator[Finding]:
    """Cycles of required associations: none of the records could ever be created first (in an account, if it is its fault)."""
    place, remedy = "", "remove required: true from one of these associations"
    if account is not None:
        place, remedy = f" in '{account}'", "let one of these fields be empty there, or remove its association"
    for cycle in _cycles({name: list(needed) for name, needed in edges.items()}):
        path = edges[cycle[0]][cycle[1 % len(cycle)]]
        around = " → ".join((*cycle, cycle[0]))
        message = f"the required associations form a cycle, so that no record could be created first{place}: {around}"
        yield Finding(path, message, remedy)


def _rings(whole: Whole) -> Iterator[Finding]:
    """Rings of syncs over three or more objects in which not every sync has an identifier: each copy would be copied on."""
    arcs: dict[str, dict[str, str]] = {}
    for name, sync in whole.installation.syncs.items():
        nodes = [f"{account}:{object_name}" for account, object_name in sync.between.items()]
        arcs |= {node: arcs.get(node, {}) for node in nodes}
        for side, may in enumerate(sync.writes):
            known = arcs[nodes[1 - side]].get(nodes[side])
            if may and (known is None or _has_identifier(whole, known)):  # of two, the one that cannot match counts
                arcs[nodes[1 - side]][nodes[side]] = name
    seen: set[frozenset[str]] = set()
    for cycle in _cycles({node: list(targets) for node, targets in arcs.items()}):
        syncs = {arcs[node][cycle[(place + 1) % len(cycle)]] for place, node in enumerate(cycle)}
        bare = [name for name in whole.installation.syncs if name in syncs and not _has_identifier(whole, name)]
        if len(cycle) < 3 or not bare or frozenset(syncs) in seen:
            continue
        seen.add(frozenset(syncs))
        around = " → ".join((*cycle, cycle[0]))
        message = (
            f"sync '{bare[0]}' has no identifier and closes a ring, in which records would be copied for ever: {around}"
        )
        remedy = "mark an entry of its mapping with identifier: …, make it one-way, or remove it"
        yield Finding(("syncs", bare[0]), message, remedy, key=True)


def _has_identifier(whole: Whole, name: str) -> bool:
    sync = whole.installation.syncs[name]
    return name in whole.incomplete or any(one.identifier is not None and one.enabled for one in sync.mapping)


_MOST_STEPS = 100_000


def _cycles(edges: Mapping[str, Iterable[str]]) -> Iterator[list[str]]:
    """The simple cycles of a graph, each once, from its first node on. Gives up in a graph too dense to be a configuration."""
    order = {node: place for place, node in enumerate(edges)}
    steps = 0
    for start in edges:
        stack = [[start]]
        while stack and steps < _MOST_STEPS:
            steps += 1
            path = stack.pop()
            for node in edges.get(path[-1], ()):
                if node == start:
                    yield path
                elif node not in path and order.get(node, -1) > order[start]:
                    stack.append([*path, node])
