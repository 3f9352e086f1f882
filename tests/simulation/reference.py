"""The naive reference model: written from semantics.md alone, it foretells what must be at rest, and says so where that is left to timing.

It has no links, no commands, no queues: for each record it asks what happened to it and to those that could be its counterpart since the last rest, and
what the page says of that. Records to which several things happened at once are left open and counted; what is left of them the invariants hold.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation import reference_lives as lives
from tests.simulation.apps import Machine
from tests.simulation.deeds import Deed, Place, Values
from tests.simulation.facts import Config, Facts, Pair, Standing
from tests.simulation.judgement import Asked, Judgement
from tests.simulation.world import Simulation

OPEN, FORETOLD = "reference: records left open", "reference: records foretold"
# Each answers whether it has foretold what must become of the record; the first that has is the last that is asked.
Rule = Callable[[Judgement, Place, Pair | None], bool]
RULES: tuple[Rule, ...] = (
    Judgement.lives_on,
    Judgement.unchanged,
    lives.deleted_once,
    lives.deleted_twice,
    lives.deleted_alone,
    lives.left_over,
    lives.comes_back,
    lives.renumbered,
    lives.merged,
    lives.enters,
)


class Reference:
    """Told what happened from rest to rest."""

    def __init__(self, world: Simulation) -> None:
        self.world = world
        self._told = 0
        self._before: dict[Place, Values] = {}
        self._then: dict[str, Standing] = {}
        self._known: dict[Place, Place] = {}  # what accounts remember: the record that one was made for

    def at_rest(self) -> None:
        """Compares what is with what must be; raises AssertionError where they differ."""
        deeds = self.world.deeds[self._told :]
        self._known |= {deed.place: deed.other for deed in deeds if deed.by and deed.what == "create" and deed.other}
        for name, config in self.world.document["syncs"].items():
            now = self._standing(name, config)
            then = self._then.get(name)
            if then is not None and name not in self.world.edited and not self.world.setting.robots:
                self._judge(name, config, deeds, now)
            self._then[name] = now
        self._told = len(self.world.deeds)
        self._before = {
            machine.place(one): dict(values)
            for machine in self.world.machines
            for one, values in machine.records.items()
        }

    def _judge(self, name: str, config: Config, deeds: list[Deed], now: Standing) -> None:
        """Every record that is there or was. A record that the sync made belongs to that which it was made for; a new id to the old."""
        machines = {account: self._machine(account, config) for account in config["between"]}
        facts = Facts(name, config, machines, self._before, deeds, self._then[name], now, self._known)
        judgement = Judgement(facts, self.world.counts, self._asked(name))
        done = {
            place
            for place, found in facts.deeds.items()
            if place not in facts.before
            and (found[0][1].by == name or (found[0][1].what, found[0][1].other) == ("renumber", place))
        }
        for place in [*facts.before, *facts.deeds]:
            if place in done or config["between"].get(place[0]) != place[1]:
                continue
            pair = facts.then.pair_of(config, place)
            done |= {place, *(pair or ())}
            foretold = any(rule(judgement, place, pair) for rule in RULES)
            self.world.counts.meet(FORETOLD if foretold else OPEN)

    def _asked(self, name: str) -> Asked:
        syncs = self.world.document["syncs"]
        twins = [
            other for other in syncs if set(syncs[other]["between"].items()) == set(syncs[name]["between"].items())
        ]
        return Asked(
            frozenset(account for at, _, account in self.world.restores if at >= self._told),
            bool(self.world.restores),
            any(at >= self._told for at, sync in self.world.reads if sync == name),
            twins == [name],
            name in self.world.bent,
        )

    def _machine(self, account: str, config: Config) -> Machine:
        return self.world.accounts[account].machines[config["between"][account]]

    def _standing(self, name: str, config: Config) -> Standing:
        standing = Standing()
        for row in self.world.connection_of(name).rows(name).values():
            places = [(account, config["between"][account], side.id) for account, side in row.sides.items()]
            there = [place for place in places if place[2] in self._machine(place[0], config).records]
            standing.rows |= dict.fromkeys(there, row)
            if len(there) == 2:
                standing.pairs |= {there[0]: there[1], there[1]: there[0]}
        return standing
