"""State that is lost entirely and rebuilt (semantics sections 2 and 9): nothing is doubled, no deletion is inferred, and the pairs are those that they were.

A sync remembers nothing then; the accounts do: their ledgers know what was made for what, also where no identifier does.
"""

from __future__ import annotations

from typing import Any

from rules.events import StatusRow
from tests.simulation.agreement import normal
from tests.simulation.apps import Machine
from tests.simulation.checks import FirstReads, check
from tests.simulation.deeds import Place
from tests.simulation.facts import Facts, Standing
from tests.simulation.world import Simulation

Pairs = dict[Place, Place]


def check_rebuilt(world: Simulation) -> None:
    """All connections lose their state; the same rules are applied anew, and all comes to rest."""
    if world.setting.robots:
        return
    before = {name: _pairs(world, name) for name in world.document["syncs"]}
    at = len(world.deeds)
    there = [(machine, set(machine.records)) for machine in world.machines]
    for connection in world.connections.values():
        connection.lose_state()
    for judge in world.judges:
        if isinstance(judge, FirstReads):
            judge.forget()
    world.apply()
    world.calm()
    check(world)
    world.counts.meet("9: state lost entirely, and rebuilt")
    made = [deed for deed in world.deeds[at:] if deed.what != "edit"]
    deleted = [deed for deed in made if deed.what == "delete"]
    assert not deleted, f"inferred deletions: {deleted}"
    assert all(records <= machine.records.keys() for machine, records in there)
    for name, pairs in before.items():
        now = _pairs(world, name)
        for one, other in pairs.items():
            if not _is_known(world, name, one, other):
                continue
            doubled = [deed for deed in made if deed.by == name and deed.other in (one, other)]
            assert not doubled, f"{one} and {other} were a pair of {name} before the state was lost: {doubled}"
            assert now.get(one) == other, (
                f"{one} and {other} were a pair of {name} before the state was lost; now: {now.get(one)}"
            )
            deal = not any("identifier" in entry for entry in world.document["syncs"][name]["mapping"])
            world.counts.meet(
                f"9: a pair is found again {'by the ledger alone' if deal else 'by identifier or ledger'}"
            )


def _pairs(world: Simulation, name: str) -> Pairs:
    """The pairs of a sync, in the order of its accounts."""
    config = world.document["syncs"][name]
    found: Pairs = {}
    for row in world.connection_of(name).rows(name).values():
        places = _places(config, row)
        if len(places) == 2 and all(world.accounts[one[0]].machines[one[1]].records.get(one[2]) for one in places):
            found[places[0]] = places[1]
    return found


def _places(config: dict[str, Any], row: StatusRow) -> list[Place]:
    return [(account, own, row.sides[account].id) for account, own in config["between"].items() if account in row.sides]


def _is_known(world: Simulation, name: str, one: Place, other: Place) -> bool:
    """Whether the pair must be found again: one of the two enters, and they alone remember each other, or have an identifier in common."""
    config = world.document["syncs"][name]
    machines = {account: world.accounts[account].machines[own] for account, own in config["between"].items()}
    facts = Facts(name, config, machines, {}, [], Standing(), Standing(), {})
    if all(facts.enters(place, facts.values(place) or {}) is not None for place in (one, other)):
        return False
    claims = {
        frozenset(claim) for machine in machines.values() for claim in _claims(machine) if {one, other} & set(claim)
    }
    if claims:
        return claims == {frozenset((one, other))}
    return _alike(facts, one) == {other} and _alike(facts, other) == {one}


def _claims(machine: Machine) -> list[tuple[Place, Place]]:
    """What an account itself remembers: which of its records was made for which."""
    remembered = ((made, pair) for made, pair in machine.pairs.items() if made in machine.records)
    return [(machine.place(made), (pair[1], pair[2], pair[3])) for made, pair in remembered]


def _alike(facts: Facts, place: Place) -> set[Place]:
    """All that share an identifier with a record."""
    own = _keys(facts, place)
    there = [machine.place(one) for machine in facts.machines.values() for one in machine.records]
    return {one for one in there if one != place and _keys(facts, one) & own}


def _keys(facts: Facts, place: Place) -> set[tuple[str, str]]:
    values = facts.values(place) or {}
    keys = (
        (entry["identifier"], normal(entry["identifier"], values.get(entry[place[0]]))) for entry in facts.identifiers
    )
    return {(kind, key) for kind, key in keys if key is not None}
