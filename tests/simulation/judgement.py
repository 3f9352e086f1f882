"""The naive reference model at work: what it says of one sync at one rest, of the pairs that live on and of what nobody touched."""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulation.agreement import is_empty, is_field, same
from tests.simulation.counts import Counts
from tests.simulation.deeds import Place
from tests.simulation.facts import Config, Facts, Pair
from tests.simulation.reference_values import Outcome, predict

FIELDS_OPEN, FIELDS_FORETOLD = "reference: fields left open", "reference: fields foretold"
# A record that fails for another reason is refused as a whole: nothing can be said of its fields. So may one be that fails for both.
FIELDWISE = (None, "invalid_value")
STEADY = ("duplicate", "filter", "no_identifier", "direction", "missing_required")  # of a record without a counterpart


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of the sync since the last rest, besides what happened in the apps.

    `restored`: accounts into which somebody has asked for what was deleted; `restored_once`: at any time; `tried`: this sync, at any time.
    `read`: it has read both sides in full, in place of their logs.
    `alone`: no other sync pairs the same two objects, so that nothing is known but by this one. `bent`: its policy was edited once.
    """

    restored: frozenset[str]
    restored_once: bool
    tried: frozenset[str]
    read: bool
    alone: bool
    bent: bool


class Judgement:
    """One sync at one rest."""

    def __init__(self, facts: Facts, counts: Counts, asked: Asked) -> None:
        self.facts, self.counts, self.config = facts, counts, facts.config
        self.restored_once, self.tried = asked.restored_once, asked.tried
        self.restored, self.read, self.alone, self.bent = asked.restored, asked.read, asked.alone, asked.bent

    def says(self, holds: bool, place: Place, must: str) -> None:
        """Raises AssertionError where it does not hold."""
        if not holds:
            row = self.facts.now.rows.get(place)
            deeds = "\n".join(f"  {at} {deed}" for at, deed in self.facts.deeds[place])
            raise AssertionError(f"{self.facts.name}: {place} {must}; it is {row}\n{deeds}")

    def agreed(self, places: tuple[Place, Place]) -> bool:
        """Whether two linked records were in sync at the last rest, and held the same in every mapped field."""
        one, other = sorted(places, key=lambda place: self.facts.accounts.index(place[0]))
        left, right = self.facts.before[one], self.facts.before[other]
        if self.facts.then.rows[one].status != "in_sync":
            return False
        for entry in self.config["mapping"]:
            if "value" in entry:
                continue
            values = (left[entry[one[0]]], right[entry[other[0]]])
            if not (same(entry, *values) if is_field(entry) else all(map(is_empty, values))):
                return False
        return True

    # ---------------------------------------------------------------- pairs that live on

    def lives_on(self, place: Place, pair: Pair | None) -> bool:
        """Once linked, a record stays in the sync whatever its values become, with its counterpart (sections 1 and 2)."""
        if pair is None or not all(self.facts.lives_on(one) for one in pair):
            return False
        self.says(self.facts.now.pairs.get(pair[0]) == pair[1], pair[0], f"must still be linked to {pair[1]}")
        row, now = self.facts.then.rows[pair[0]], self.facts.now.rows[pair[0]]
        outcomes: list[Outcome | None] = []
        whole = now.category not in FIELDWISE or (now.category is not None and any(map(self._refuses_whole, pair)))
        for entry in self.config["mapping"]:
            if is_field(entry):
                outcome = None if whole else self._field(entry, pair, in_sync=row.status == "in_sync")
                self.counts.meet(FIELDS_OPEN if outcome is None else FIELDS_FORETOLD)
                outcomes.append(outcome)
        if row.status == "in_sync" and all(outcome is not None and not outcome.fails for outcome in outcomes):
            others = any("association" in entry for entry in self.config["mapping"])
            self.says(now.status == "in_sync" or others, pair[0], "must be in sync")
        elif any(outcome is not None and outcome.fails for outcome in outcomes):
            self.says(
                (now.status, now.category) == ("failing", "invalid_value"), pair[0], "must be failing invalid_value"
            )
        return True

    def _refuses_whole(self, place: Place) -> bool:
        machine = self.facts.machines[place[0]]
        return bool(machine.unique or machine.refers)

    def _field(self, entry: Config, pair: Pair, *, in_sync: bool) -> Outcome | None:
        facts, (one, other) = self.facts, pair
        before = (facts.before[one][entry[one[0]]], facts.before[other][entry[other[0]]])
        settled = in_sync and not self.bent
        if not settled and not same(entry, *before):
            return None
        default = facts.accounts.index(self.config["default"])
        sides = (facts.side(entry, one), facts.side(entry, other))
        for place, side in zip(pair, sides, strict=True):
            if side.put_back and not facts.machines[place[0]].object.capabilities.tokens:
                return None
        outcome = predict(entry, sides, default, keeps_empty=self.config["empty"] == "keep")
        left, right = (facts.values(each) or {} for each in pair)
        values = (left[entry[one[0]]], right[entry[other[0]]])
        # Without tokens an answer that was lost is lost, and so is one that a log lost with it would have explained: the app's own form of our value then
        # counts as an edit.
        loosely = self.read or not all(facts.machines[each[0]].object.capabilities.tokens for each in pair)
        if outcome is not None and not outcome.admits(entry, *values, loosely=loosely):
            names = f"{one[0]}.{entry[one[0]]} and {other[0]}.{entry[other[0]]}"
            told = "\n".join(f"  {at} {deed}" for each in pair for at, deed in facts.deeds[each])
            raise AssertionError(
                f"{facts.name}: {pair}: {names} hold {values}, they must hold one of {outcome.allowed}; before: {before}\n{told}"
            )
        return outcome

    # ---------------------------------------------------------------- nothing happened

    def unchanged(self, place: Place, pair: Pair | None) -> bool:
        """Where nobody has done anything, neither to a record nor to any that is like it, nothing changes."""
        then = self.facts.then.rows.get(place)
        near = {place, *self.facts.alike(place)}
        if (
            pair is not None
            or then is None
            or self.restored
            or not self.alone
            or not all(map(self.facts.untouched, near))
        ):
            return False
        if then.category not in STEADY or self._has_own_rules(place):
            return False
        now = self.facts.now.rows.get(place)
        stays = now is not None and (now.status, now.category) == (then.status, then.category)
        self.says(stays, place, f"must still be {then.status} {then.category}")
        return True

    def _has_own_rules(self, place: Place) -> bool:
        """Whether the other app refuses what the semantics do not know of."""
        other = self.facts.machines[next(one for one in self.facts.accounts if one != place[0])]
        refers = any("association" in entry for entry in self.config["mapping"])
        return bool(other.unique or other.refers or refers)
