"""The naive reference model, by what is there at rest: how each record must stand, given what all hold and how the others stand (semantics.md, 1, 2, 6, 8).

Where too much has happened to a record for its history to be foretold, this still can be: a record is linked, or excluded for the reason that section 1
gives, or a duplicate of one that holds its counterpart, or it has lost its counterpart, or it has been created. It answers with all that is lawful, mostly one.
"""

from __future__ import annotations

from collections import defaultdict

from tests.simulation.agreement import normal
from tests.simulation.deeds import Place, Values
from tests.simulation.facts import ENDS, Facts, Standing
from tests.simulation.judgement import Judgement
from tests.simulation.reference_lives import can_cross

# A status and its category; LINKED: it has a counterpart, whatever the state of its fields.
Stand = tuple[str | None, str | None]
LINKED: Stand = ("linked", None)
DELETED, MERGED, DUPLICATE = ("failing", "deleted"), ("failing", "merged"), ("failing", "duplicate")
LACKING: Stand = ("failing", "missing_required")


class Kin:
    """Who may ever have been the counterpart of whom since the last rest, or have handed one on."""

    def __init__(
        self, facts: Facts, twins: list[Standing], earlier: list[Standing], reused: set[Place], *, moved: bool
    ) -> None:
        self.facts = facts
        self.moved = (
            moved  # another sync of the same objects was added, or edited, meanwhile: what it had paired is not known
        )
        self.near: defaultdict[Place, set[Place]] = defaultdict(set)
        self.now: dict[Place, set[tuple[str, str]]] = {}
        # Whom other syncs, or accounts, know as its counterpart now.
        self.known: defaultdict[Place, set[Place]] = defaultdict(set)
        self._by_key: defaultdict[tuple[str, str], set[Place]] = defaultdict(set)
        places = facts.config["between"].items()
        for one, other in self._known([*twins, *earlier]):
            if not {one[:2], other[:2]} <= places:
                continue
            self.near[one].add(other)
            self.near[other].add(one)
        self.paired: defaultdict[Place, set[Place]] = defaultdict(set)  # by other syncs
        for standing in twins:
            for one, other in standing.pairs.items():
                self.paired[one].add(other)
        pairs = [(one, other) for one, other in facts.known.items() if one not in reused and _remembers(facts, one)]
        remembered = [*pairs, *((other, one) for one, other in pairs)]
        for one, other in [*remembered, *(pair for standing in twins for pair in standing.pairs.items())]:
            if {one[:2], other[:2]} == set(places) and None not in (facts.values(one), facts.values(other)):
                self.known[one].add(other)
        self._index()

    def _known(self, twins: list[Standing]) -> list[tuple[Place, Place]]:
        facts = self.facts
        found = [*facts.known.items()]
        for standing in (facts.then, *twins):
            found += [(one, other) for one, others in standing.shown.items() for other in others]
        found += [
            (deed.place, deed.other)
            for deeds in list(facts.deeds.values())
            for _, deed in deeds
            if deed.other is not None  # what a sync writes into one, it has from the other
        ]
        return found

    def _index(self) -> None:
        facts = self.facts
        between = facts.config["between"]
        there = {
            machine.place(one) for account, machine in facts.machines.items() for one in machine.records if account
        }
        for place in there:
            values = facts.values(place) or {}
            keys = (
                (entry["identifier"], normal(entry["identifier"], values.get(entry[place[0]])))
                for entry in facts.identifiers
            )
            self.now[place] = {(kind, key) for kind, key in keys if key is not None}
            for one in self.now[place]:
                self._by_key[one].add(place)
        ever: defaultdict[tuple[str, str], set[Place]] = defaultdict(set)
        for place in {*there, *facts.deeds, *(one for one in facts.before if between.get(one[0]) == one[1])}:
            for key in facts.keys(place) | self.now.get(place, set()):
                ever[key].add(place)
        for places in ever.values():
            for place in places:
                self.near[place] |= places - {place}

    def matches(self, place: Place, *, own: bool = False) -> set[Place]:
        """The records of the other side (or its own) that share an identifier with it now."""
        found = set().union(*(self._by_key[key] for key in self.now[place])) - {place}
        return {one for one in found if (one[0] == place[0]) == own}

    def may_pair(self, place: Place, other: Place) -> bool:
        """Whom another sync has paired matches nobody else."""
        return self.paired[place] <= {other} and self.paired[other] <= {place}

    def family(self, place: Place) -> set[Place]:
        """All whom a counterpart may have come from, step by step."""
        found, left = {place}, [place]
        while left:
            for one in self.near[left.pop()] - found:
                found.add(one)
                left.append(one)
        return found - {place}


def _remembers(facts: Facts, place: Place) -> bool:
    machine = facts.machines.get(place[0])
    return machine is not None and machine.object.capabilities.tokens


def outcomes(judgement: Judgement, kin: Kin, place: Place) -> set[Stand]:
    """All that is lawful for a record that is there. Raises AssertionError where it stands otherwise."""
    facts = judgement.facts
    lawful = _lawful(judgement, kin, place)
    row, partner = facts.now.rows[place], facts.now.pairs.get(place)
    actual = (row.status, row.category) if partner is None else LINKED
    told = ", ".join(sorted(" ".join(map(str, one)) for one in lawful))
    judgement.says(actual in lawful, place, f"must be one of: {told}; kin: {sorted(kin.family(place))}")
    if partner is not None and not judgement.restored_once and not kin.moved:
        judgement.says(partner in kin.family(place), place, f"must not be linked to {partner}: nothing says so")
    return lawful


def _lawful(judgement: Judgement, kin: Kin, place: Place) -> set[Stand]:
    if _is_bound(judgement, kin, place):
        return {LINKED}
    lost = _lost(judgement, kin, place)
    if lost == "surely":
        return _without(judgement, kin, place)
    lawful = _alone(judgement, kin, place)
    return lawful | _without(judgement, kin, place) if lost else lawful


def _is_bound(judgement: Judgement, kin: Kin, place: Place) -> bool:
    """Whether the sync has made one of the two for the other, nothing but edits has happened to them, and no other could take the place."""
    facts = judgement.facts
    made = [*facts.made_for(place), *(one for one in kin.near[place] if place in facts.made_for(one))]
    if len(made) != 1:
        return False
    near = kin.near[place] | kin.near[made[0]]
    alone = not any(one[0] != made[0][0] for one in kin.near[place]) and near <= {place, *made}
    return alone and all(facts.values(one) is not None and not _ended(facts, one) for one in (place, *made))


def _ended(facts: Facts, place: Place) -> bool:
    return facts.values(place) is None or _ends(facts, place)


def _ends(facts: Facts, place: Place) -> bool:
    return any(deed.what in ENDS and deed.place == place for _, deed in facts.deeds[place])


def _lost(judgement: Judgement, kin: Kin, place: Place) -> str:
    """Whether it has lost a counterpart: `surely`, `perhaps` or not."""
    facts = judgement.facts
    had = facts.then.pairs.get(place)
    others = {one for one in kin.family(place) if one[0] != place[0]}
    parted = facts.values(had) is None if had is not None else _is_left(facts.then, place)
    if facts.lives_on(place) and parted:
        # Meanwhile it may have had another, if one was free for a while, or if another sync has paired it; and have lost that, too.
        moved = any(one != had and (facts.born_since(one) or _ends(facts, one)) for one in kin.family(place))
        there = any(facts.values(one) is not None for one in others)
        return "perhaps" if moved or kin.moved or (there and not judgement.alone) else "surely"
    return (
        "perhaps"
        if kin.moved or any(_ended(facts, one) for one in others) or _restored_elsewhere(judgement, place)
        else ""
    )


def _restored_elsewhere(judgement: Judgement, place: Place) -> bool:
    """Whether another sync may have restored it: then it goes on in the link that the deleted one had in this."""
    facts = judgement.facts
    made = any(deed.by not in ("", facts.name) and deed.what == "create" for _, deed in facts.deeds[place])
    return judgement.restored_once and made


def _is_left(standing: Standing, place: Place) -> bool:
    """Whether its row shows a counterpart that is not there."""
    return place in standing.rows and place not in standing.pairs and bool(standing.shown[place])


def _without(judgement: Judgement, kin: Kin, place: Place) -> set[Stand]:
    """It has lost its counterpart: it says so, unless another has taken the place."""
    facts = judgement.facts
    family = kin.family(place)
    there = {one for one in family if one[0] != place[0] and facts.values(one) is not None}
    # One that comes while a counterpart is being deleted for the last gets that back, restored (docs/explanation/decisions.md).
    deleted = any(deed.by and deed.what == "delete" for one in family for _, deed in facts.deeds[one])
    tried = deleted or bool(judgement.tried - {place[0]})
    if (
        not judgement.restored_once
        and not kin.moved
        and not deleted
        and not there
        and not any(facts.deeds[one] for one in (place, *family))
    ):
        row = facts.then.rows[place]
        return {(row.status, row.category)}  # nothing has happened since
    others = [one for one in family if one[0] != place[0]]
    merges = any(deed.what == "merge" and deed.place == one for one in others for _, deed in facts.deeds[one])
    found: set[Stand] = {DELETED}
    if merges or (place in facts.then.rows and facts.then.rows[place].category == "merged"):
        found.add(MERGED)
    if there or kin.moved or judgement.restored_once:  # another sync may have restored it
        found.add(LINKED)
    if tried:
        found |= _refusals(judgement, place)
    return found


def _alone(judgement: Judgement, kin: Kin, place: Place) -> set[Stand]:
    """A record that has never had a counterpart, or has one still."""
    facts = judgement.facts
    values = facts.values(place)
    assert values is not None
    verdict = facts.enters(place, values)
    may = any(one[0] != place[0] and facts.values(one) is not None for one in kin.family(place))
    # What is restored may be found to be there, by what is known of it.
    may = may or kin.moved or place[0] in judgement.tried or _restored_elsewhere(judgement, place)
    if _must_match(judgement, kin, place, verdict):
        return {LINKED} if not kin.moved else {LINKED, DUPLICATE, *([("excluded", verdict)] if verdict else [])}
    if verdict is not None:
        return {("excluded", verdict), *([LINKED] if may else [])}
    made = {one for one in kin.near[place] if one in facts.made_for(place) or place in facts.made_for(one)}
    candidates = kin.matches(place) | kin.known[place] | {one for one in made if facts.values(one) is not None}
    if candidates:
        lacks = facts.now.pairs.get(place) is None and facts.lacks(place, values) is not None
        found = {DUPLICATE, *([LINKED] if may else []), *([LACKING] if lacks else [])}
        if facts.now.pairs.get(place) is None and not _fits(judgement, place, values):
            found |= _refusals(judgement, place)  # it was refused before its candidate was taken
        return found if any(one in facts.now.pairs for one in candidates) else found | _made(judgement, kin, place)
    return _made(judgement, kin, place)


def _must_match(judgement: Judgement, kin: Kin, place: Place, verdict: str | None) -> bool:
    """Whether somebody of the other side answers to it whom nobody else holds."""
    facts = judgement.facts
    for one in kin.matches(place) | kin.known[place]:
        values = facts.values(one)
        if values is None or facts.now.pairs.get(one, place) != place or facts.now.rows[one].category == "merged":
            continue
        if not kin.may_pair(place, one) or (one not in kin.matches(place) and _is_left(facts.now, one)):
            continue  # what is remembered of a pair that has been parted since gives nobody a place
        if verdict is None or facts.enters(one, values) is None:
            return True
    return False


def _made(judgement: Judgement, kin: Kin, place: Place) -> set[Stand]:
    """Nobody answers to it: its counterpart is created, if the other app takes that."""
    facts = judgement.facts
    values = facts.values(place) or {}
    other = facts.machines[next(one for one in facts.accounts if one != place[0])]
    found: set[Stand] = {LINKED}
    if facts.now.pairs.get(place) is None and facts.lacks(place, values) is not None:
        found = {LACKING}
    elif not _fits(judgement, place, values):
        found |= _refusals(judgement, place)
    if not other.object.capabilities.tokens:
        found.add(("failing", "unknown"))
    # Where an account has no tokens, only the sync remembers that one was made for a record that has another now.
    then, own = facts.then.rows.get(place), facts.machines[place[0]].object.capabilities
    if kin.matches(place, own=True) or (not own.tokens and then is not None and then.category == "duplicate"):
        found.add(DUPLICATE)
    return found


def _refusals(judgement: Judgement, place: Place) -> set[Stand]:
    """What the other app, or its description, may have against a counterpart."""
    other = judgement.facts.machines[next(one for one in judgement.facts.accounts if one != place[0])]
    mapping = judgement.config["mapping"]
    refers = bool(other.refers) or any("association" in entry for entry in mapping)
    reasons = {
        "missing_required": any(field.required for field in other.object.fields),
        "invalid_value": bool(other.strict) or any("values" in entry or "staff" in entry.values() for entry in mapping),
        "association": refers,
        "duplicate": bool(other.unique) or any("identifier" in entry for entry in mapping),
    }
    return {("failing", reason) for reason, applies in reasons.items() if applies}


def _fits(judgement: Judgement, place: Place, values: Values) -> bool:
    """Whether the other app surely takes what would be created."""
    other = judgement.facts.machines[next(one for one in judgement.facts.accounts if one != place[0])]
    mapping = judgement.config["mapping"]
    if other.unique or other.refers or any("association" in entry for entry in mapping):
        return False
    return all(can_cross(judgement, entry, place, values) for entry in mapping)
