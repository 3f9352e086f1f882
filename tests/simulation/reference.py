"""The naive reference model: written from semantics.md alone, it foretells what must be at rest, and says so where that is left to timing.

It has no links, no commands, no queues: for each record it asks what happened to it and to those that could be its counterpart since the last rest, and
what the page says of that. Records to which several things happened at once are left open and counted; what is left of them the invariants hold.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation import reference_lives as lives
from tests.simulation.apps import Machine
from tests.simulation.counts import Counts
from tests.simulation.deeds import Deed, Place, Values
from tests.simulation.facts import Config, Facts, Pair, Standing
from tests.simulation.judgement import FIELDS_FORETOLD, FIELDS_OPEN, Asked, Judgement
from tests.simulation.reference_standing import Kin, outcomes
from tests.simulation.world import Simulation

OPEN, SEVERAL = "reference: records left open", "reference: records foretold, one of several outcomes"
FORETOLD, STANDING = "reference: records foretold", "reference: records foretold by how the others stand"
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


def shares(counts: Counts) -> dict[str, float]:
    """How much was left open, of records and of fields, and how much of records is one of two outcomes."""
    records = sum(counts.met[name] for name in (OPEN, SEVERAL, STANDING, FORETOLD)) or 1
    fields = counts.met[FIELDS_OPEN] + counts.met[FIELDS_FORETOLD] or 1
    return {
        "records left open": counts.met[OPEN] / records,
        "records of which one of two outcomes was foretold": counts.met[SEVERAL] / records,
        "fields left open": counts.met[FIELDS_OPEN] / fields,
    }


class Reference:
    """Told what happened from rest to rest."""

    def __init__(self, world: Simulation) -> None:
        self.world = world
        self._told = 0
        self._before: dict[Place, Values] = {}
        self._then: dict[str, Standing] = {}
        self._reused: set[Place] = set()  # ids that other records have now
        self._known: dict[Place, Place] = {}  # what accounts remember: the record that one was made for

    def at_rest(self) -> None:
        """Compares what is with what must be; raises AssertionError where they differ."""
        deeds = self.world.deeds[self._told :]
        for deed in deeds:
            if deed.by and deed.what == "create" and deed.other:
                self._known[deed.place] = deed.other
                self._reused.discard(deed.place)
            elif deed.what == "revive":
                self._reused.add(deed.place)
            elif deed.what == "renumber" and deed.other and deed.place in self._known:
                self._known[deed.other] = self._known[deed.place]
                self._reused |= {deed.other} if deed.place in self._reused else set()
        syncs = self.world.document["syncs"]
        standing = {name: self._standing(name, config) for name, config in syncs.items()}
        for name, config in syncs.items():
            then = self._then.get(name)
            if then is not None and name not in self.world.edited and not self.world.setting.robots:
                self._judge(name, config, deeds, standing)
        self._then = standing
        self._told = len(self.world.deeds)
        self._before = {
            machine.place(one): dict(values)
            for machine in self.world.machines
            for one, values in machine.records.items()
        }

    def _judge(self, name: str, config: Config, deeds: list[Deed], standing: dict[str, Standing]) -> None:
        """Every record that is there or was. A record that the sync made belongs to that which it was made for; a new id to the old."""
        machines = {account: self._machine(account, config) for account in config["between"]}
        facts = Facts(name, config, machines, self._before, deeds, self._then[name], standing[name], self._known)
        judgement = Judgement(facts, self.world.counts, self._asked(name))
        others = self._twins(name)
        earlier = [self._then[one] for one in others if one in self._then]
        kin = Kin(
            facts, [standing[one] for one in others], earlier, self._reused, moved=bool(self.world.edited & set(others))
        )
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
            if any(rule(judgement, place, pair) for rule in RULES):
                self.world.counts.meet(FORETOLD)
            else:
                self.world.counts.meet(by_standing(judgement, kin, {place, *(pair or ()), *facts.made_for(place)}))

    def _asked(self, name: str) -> Asked:
        return Asked(
            frozenset(account for at, _, account in self.world.restores if at >= self._told),
            # A record that comes while its counterpart is being deleted gets that back, unasked.
            bool(self.world.restores) or any(deed.by and deed.what == "delete" for deed in self.world.deeds),
            frozenset(account for _, sync, account in self.world.restores if sync == name),
            any(at >= self._told for at, sync in self.world.reads if sync == name),
            not self._twins(name),
            name in self.world.bent,
        )

    def _twins(self, name: str) -> list[str]:
        """The other syncs of the same two objects."""
        syncs = self.world.document["syncs"]
        between = set(syncs[name]["between"].items())
        return [one for one in syncs if one != name and set(syncs[one]["between"].items()) == between]

    def _machine(self, account: str, config: Config) -> Machine:
        return self.world.accounts[account].machines[config["between"][account]]

    def _standing(self, name: str, config: Config) -> Standing:
        standing = Standing()
        for row in self.world.connection_of(name).rows(name).values():
            places = [(account, config["between"][account], side.id) for account, side in row.sides.items()]
            there = [place for place in places if place[2] in self._machine(place[0], config).records]
            standing.rows |= dict.fromkeys(there, row)
            standing.shown |= {one: set(places) - {one} for one in places}
            if len(there) == 2:
                standing.pairs |= {there[0]: there[1], there[1]: there[0]}
        return standing


def by_standing(judgement: Judgement, kin: Kin, places: set[Place]) -> str:
    """What can be foretold of records by how the others stand: of those that are there, and that the others are forgotten with them."""
    there = [place for place in sorted(places) if judgement.facts.values(place) is not None]
    found = [outcomes(judgement, kin, place) for place in there]
    most = max(map(len, found), default=1)
    return STANDING if most == 1 else SEVERAL if most == 2 else OPEN
