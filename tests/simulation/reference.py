"""The naive reference model: written from semantics.md alone, it foretells what must be at rest, and says so where that is left to timing.

It has no links, no commands, no queues: for each record it asks what happened to it and to those that could be its counterpart since the last rest, and
what the page says of that. Records to which several things happened at once are left open and counted; what is left of them the invariants hold.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.agreement import is_empty, is_field, same
from tests.simulation.apps import Machine
from tests.simulation.counts import Counts
from tests.simulation.deeds import Place, Values
from tests.simulation.facts import Config, Facts, Pair, Standing
from tests.simulation.reference_values import Impossible, Outcome, convert, predict
from tests.simulation.world import Simulation

OPEN, FORETOLD = "reference: records left open", "reference: records foretold"
FIELDS_OPEN, FIELDS_FORETOLD = "reference: fields left open", "reference: fields foretold"

# A record that fails for another reason is refused as a whole: nothing can be said of its fields.
FIELDWISE = (None, "invalid_value")


class Reference:
    """Told what happened from rest to rest."""

    def __init__(self, world: Simulation) -> None:
        self.world = world
        self._told = 0
        self._before: dict[Place, Values] = {}
        self._then: dict[str, Standing] = {}

    def at_rest(self) -> None:
        """Compares what is with what must be; raises AssertionError where they differ."""
        deeds = self.world.deeds[self._told :]
        for name, config in self.world.document["syncs"].items():
            now = self._standing(name, config)
            then = self._then.get(name)
            if then is not None and name not in self.world.edited and not self.world.setting.robots:
                machines = {account: self._machine(account, config) for account in config["between"]}
                Judgement(Facts(name, config, machines, self._before, deeds, then, now), self).judge()
            self._then[name] = now
        self._told = len(self.world.deeds)
        self._before = {
            machine.place(one): dict(values)
            for machine in self.world.machines
            for one, values in machine.records.items()
        }

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

    @property
    def counts(self) -> Counts:
        """Where it is counted how much was left open."""
        return self.world.counts

    def peers(self, name: str) -> list[str]:
        """The other syncs that write to the objects of a sync."""
        own = set(self.world.document["syncs"][name]["between"].items())
        return [
            other
            for other, config in self.world.document["syncs"].items()
            if other != name and own & set(config["between"].items())
        ]

    def asked_to_restore(self, name: str) -> list[tuple[int, str]]:
        """Where among the deeds since the last rest somebody asked a sync for what was deleted, and into which account."""
        return [
            (at - self._told, account) for at, sync, account in self.world.restores if sync == name and at >= self._told
        ]


class Judgement:
    """One sync at one rest."""

    def __init__(self, facts: Facts, reference: Reference) -> None:
        self.facts, self.reference, self.meet = facts, reference, reference.counts.meet
        self.config = facts.config
        self.restores = reference.asked_to_restore(facts.name)
        self.alone = not reference.peers(facts.name)

    def judge(self) -> None:
        """Every record that is there or was."""
        done: set[Place] = set()
        for place in [*self.facts.before, *self.facts.deeds]:
            if place in done or self.config["between"].get(place[0]) != place[1]:
                continue
            done.add(place)
            pair = self.facts.then.pair_of(self.config, place)
            if pair is not None:
                done |= set(pair)
            foretold = any(rule(self, place, pair) for rule in _RULES)
            self.meet(FORETOLD if foretold else OPEN)

    def _says(self, holds: bool, place: Place, must: str) -> None:
        if not holds:
            row = self.facts.now.rows.get(place)
            deeds = "\n".join(f"  {at} {deed}" for at, deed in self.facts.deeds[place])
            raise AssertionError(f"{self.facts.name}: {place} {must}; it is {row}\n{deeds}")

    # ---------------------------------------------------------------- pairs that live on

    def _lives_on(self, place: Place, pair: Pair | None) -> bool:
        """Once linked, a record stays in the sync whatever its values become, with its counterpart (sections 1 and 2)."""
        if pair is None or not all(self.facts.lives_on(one) for one in pair):
            return False
        self._says(self.facts.now.pairs.get(pair[0]) == pair[1], pair[0], f"must still be linked to {pair[1]}")
        row, now = self.facts.then.rows[pair[0]], self.facts.now.rows[pair[0]]
        outcomes: list[Outcome | None] = []
        for entry in self.config["mapping"]:
            if is_field(entry):
                outcome = (
                    self._field(entry, pair, in_sync=row.status == "in_sync") if now.category in FIELDWISE else None
                )
                self.meet(FIELDS_OPEN if outcome is None else FIELDS_FORETOLD)
                outcomes.append(outcome)
        if row.status == "in_sync" and all(outcome is not None and not outcome.fails for outcome in outcomes):
            others = any("association" in entry for entry in self.config["mapping"])
            self._says(now.status == "in_sync" or others, pair[0], "must be in sync")
        elif any(outcome is not None and outcome.fails for outcome in outcomes):
            self._says(
                (now.status, now.category) == ("failing", "invalid_value"), pair[0], "must be failing invalid_value"
            )
        return True

    def _field(self, entry: Config, pair: Pair, *, in_sync: bool) -> Outcome | None:
        facts, (one, other) = self.facts, pair
        before = (facts.before[one][entry[one[0]]], facts.before[other][entry[other[0]]])
        settled = in_sync and facts.name not in self.reference.world.bent
        if not settled and not same(entry, *before):
            return None
        default = facts.accounts.index(self.config["default"])
        sides = (facts.side(entry, one), facts.side(entry, other))
        outcome = predict(entry, sides, default, keeps_empty=self.config["empty"] == "keep")
        left, right = (facts.values(each) or {} for each in pair)
        values = (left[entry[one[0]]], right[entry[other[0]]])
        if outcome is not None and not outcome.admits(entry, *values):
            names = f"{one[0]}.{entry[one[0]]} and {other[0]}.{entry[other[0]]}"
            told = "\n".join(f"  {at} {deed}" for each in pair for at, deed in facts.deeds[each])
            raise AssertionError(
                f"{facts.name}: {pair}: {names} hold {values}, they must hold one of {outcome.allowed}; before: {before}\n{told}"
            )
        return outcome

    # ---------------------------------------------------------------- deletions, merges, restores

    def _undisturbed(self, *places: Place) -> bool:
        """Whether nobody else could take a place in the link of these records."""
        return all(self.facts.alike(place) <= set(places) for place in places)

    def _deleted_once(self, place: Place, pair: Pair | None) -> bool:
        """Deleted on one side: the counterpart is left alone, or deleted where the sync propagates that (section 6)."""
        if pair is None or self.restores or not self.alone or not self._undisturbed(*pair):
            return False
        gone = [one for one in pair if self.facts.only(one, "delete")]
        left = [one for one in pair if self.facts.lives_on(one)]
        if len(gone) != 1 or len(left) != 1:
            return False
        counterpart, row = left[0], self.facts.now.rows.get(left[0])
        writable = self.config["direction"] in ("both", f"to {counterpart[0]}")
        if self.config["deletes"] == "propagate" and writable:
            return self._copied(counterpart)
        self._says(row is not None, counterpart, "must still be there")
        self._says(
            row is not None and (row.status, row.category) == ("failing", "deleted"),
            counterpart,
            "must be failing deleted",
        )
        return True

    def _copied(self, counterpart: Place) -> bool:
        """Deleted only as it was last known: edited meanwhile, it stays. Which it was may be a matter of timing."""
        row = self.facts.now.rows.get(counterpart)
        if row is not None:
            self._says(
                (row.status, row.category) == ("failing", "deleted"), counterpart, "must be deleted, or failing deleted"
            )
        return False

    def _deleted_twice(self, place: Place, pair: Pair | None) -> bool:
        """Deleted on both sides: forgotten."""
        if pair is None or self.restores or not self.alone or not self._undisturbed(*pair):
            return False
        if not all(self.facts.only(one, "delete") for one in pair):
            return False
        for one in pair:
            self._says(not self.facts.made_for(one), one, "must not be created anew")
        return True

    def _left_over(self, place: Place, pair: Pair | None) -> bool:
        """A counterpart of a deleted record stays as it is until somebody restores; then exactly one record results."""
        then = self.facts.then.rows.get(place)
        if pair is not None or then is None or then.category != "deleted" or not self.facts.lives_on(place):
            return False
        lost = next(((a, self.config["between"][a], s.id) for a, s in then.sides.items() if a != place[0]), None)
        if lost is None or self.facts.deeds[lost] or not self.alone or self.facts.alike(place) or then.message is None:
            return False
        now, made = self.facts.now.rows.get(place), self.facts.made_for(place)
        self._says(now is not None, place, "must still be there")
        asked = [at for at, account in self.restores if account == lost[0]]
        if not asked:
            self._says(not made, place, f"must have no new counterpart, and has {made}")
            self._says(now is not None and now.category == "deleted", place, "must still be failing deleted")
            return True
        self._says(len(made) <= 1, place, f"must be restored once, and has {made}")
        return now is not None and now.status == "in_sync" and len(made) == 1

    # ---------------------------------------------------------------- new records

    def _is_new(self, place: Place, pair: Pair | None) -> bool:
        """A record that a person has made, or that stood alone and has not entered yet (sections 1 to 3)."""
        fresh = self.facts.born(place) or (place not in self.facts.then.pairs and self._was_out(place))
        if pair is not None or not fresh or not self.alone or self.facts.alike(place):
            return False
        values = self.facts.values(place)
        verdicts = self.facts.verdicts(place)
        if values is None or len(verdicts) != 1:
            return False
        (verdict,) = verdicts
        row, made = self.facts.now.rows[place], self.facts.made_for(place)
        if verdict is not None:
            self._says((row.status, row.category) == ("excluded", verdict), place, f"must be excluded: {verdict}")
            self._says(not made, place, f"must have no counterpart, and has {made}")
            return True
        if self.restores:
            return False
        return self._created(place, values, made)

    def _was_out(self, place: Place) -> bool:
        then = self.facts.then.rows.get(place)
        return then is not None and then.status == "excluded" and self.facts.lives_on(place)

    def _created(self, place: Place, values: Values, made: list[Place]) -> bool:
        """It has entered and nothing answers to it: its counterpart is created, once."""
        row = self.facts.now.rows[place]
        other = self.facts.machines[next(one for one in self.facts.accounts if one != place[0])]
        if not other.object.capabilities.tokens and not self.facts.keys(place):
            return False  # nobody can tell whether a create whose answer was lost was done: a person decides
        self._says(len(made) <= 1, place, f"must be created once, and was as {made}")
        if other.unique or other.refers or any("association" in entry for entry in self.config["mapping"]):
            return False
        counterpart = self.facts.now.pairs.get(place)
        if made and [deed.by != "" for _, deed in self.facts.deeds[made[0]]] != [True] * len(self.facts.deeds[made[0]]):
            return False  # people have been at work there, too
        if len(self.facts.history(place)) == 1 and (lacking := self.facts.lacks(place, values)) is not None:
            self._says(not made, place, f"must not be created without {lacking}")
            self._says(
                (row.status, row.category) == ("failing", "missing_required"), place, "must be failing missing_required"
            )
            return True
        if any(
            not self._can_cross(entry, place, held)
            for held in self.facts.history(place)
            for entry in self.config["mapping"]
        ):
            return False
        if self.facts.lacks(place, values) is not None:
            return False
        self._says(counterpart is not None, place, "must have a counterpart")
        self._says(row.status == "in_sync", place, "must be in sync")
        return True

    def _can_cross(self, entry: Config, place: Place, values: Values) -> bool:
        if not is_field(entry) or is_empty(values.get(entry[place[0]])):
            return True
        other = next(one for one in self.facts.accounts if one != place[0])
        try:
            value = convert(entry, self.facts.accounts.index(place[0]), values[entry[place[0]]])
        except Impossible:
            return False
        return value != "bad" or entry[other] not in self.facts.machines[other].strict


Rule = Callable[[Judgement, Place, Pair | None], bool]
_RULES: tuple[Rule, ...] = (
    Judgement._lives_on,
    Judgement._deleted_once,
    Judgement._deleted_twice,
    Judgement._left_over,
    Judgement._is_new,
)
