"""The naive reference model, record by record: which records must be there at rest, and how each must stand (semantics.md, sections 1, 2 and 6).

Each of its public functions answers whether it has foretold what must become of a record; one that finds it otherwise raises AssertionError.
"""

from __future__ import annotations

from tests.simulation.agreement import is_empty, is_field
from tests.simulation.deeds import Place, Values
from tests.simulation.facts import Config, Pair
from tests.simulation.judgement import Judgement
from tests.simulation.reference_values import Impossible, convert


def _partner(pair: Pair, place: Place) -> Place:
    return pair[1] if pair[0] == place else pair[0]


def _undisturbed(judgement: Judgement, *places: Place) -> bool:
    """Whether nobody else could take a place in the link of these records."""
    return judgement.alone and all(judgement.facts.alike(place) <= set(places) for place in places)


def _one_and_one(judgement: Judgement, pair: Pair | None, what: str) -> tuple[Place, Place] | None:
    """The record of a pair to which just this has happened, and its counterpart, which lives on."""
    if pair is None or judgement.restored:
        return None
    for place in pair:
        other = _partner(pair, place)
        deed = judgement.facts.only(place, what)
        if deed is not None and not deed.by and judgement.facts.lives_on(other):
            return place, other
    return None


# ---------------------------------------------------------------- section 6


def deleted_once(judgement: Judgement, place: Place, pair: Pair | None) -> bool:
    """Deleted on one side: the counterpart is left alone, or deleted where the sync propagates that; but only as it was last known."""
    found = _one_and_one(judgement, pair, "delete")
    if found is None or not _undisturbed(judgement, *found):
        return False
    facts, (gone, left) = judgement.facts, found
    row = facts.now.rows.get(left)
    writable = judgement.config["direction"] in ("both", f"to {left[0]}")
    fails = row is not None and (row.status, row.category) == ("failing", "deleted")
    if judgement.config["deletes"] == "propagate" and writable:
        judgement.says(row is None or fails, left, "must be deleted, or failing deleted")
        calm = facts.untouched(left) and len(facts.deeds[gone]) == 1 and not judgement.read
        if not calm or judgement.bent or not judgement.agreed(found):
            return False
        judgement.says(row is None, left, "must be deleted: nobody has edited it")
        return True
    judgement.says(fails, left, "must be failing deleted")
    return True


def deleted_twice(judgement: Judgement, place: Place, pair: Pair | None) -> bool:
    """Deleted on both sides: forgotten."""
    if pair is None or judgement.restored or not _undisturbed(judgement, *pair):
        return False
    if not all(judgement.facts.only(one, "delete") for one in pair):
        return False
    for one in pair:
        judgement.says(not judgement.facts.made_for(one), one, "must not be created anew")
    return True


def deleted_alone(judgement: Judgement, place: Place, pair: Pair | None) -> bool:
    """An unlinked record that never entered, deleted: forgotten."""
    facts = judgement.facts
    then = facts.then.rows.get(place)
    if pair is not None or then is None or then.status != "excluded" or not facts.only(place, "delete"):
        return False
    if None in facts.verdicts(place) or not judgement.alone:
        return False
    judgement.says(not facts.made_for(place), place, "must not be created")
    return not facts.alike(place)


def left_over(judgement: Judgement, place: Place, pair: Pair | None) -> bool:
    """A counterpart of a deleted record stays as it is until somebody restores; then exactly one record results."""
    facts = judgement.facts
    then, now = facts.then.rows.get(place), facts.now.rows.get(place)
    if pair is not None or then is None or then.category != "deleted" or not facts.lives_on(place):
        return False
    lost = _lost(judgement, place)
    if lost is None or facts.deeds[lost] or not judgement.alone or facts.alike(place):
        return False
    if judgement.restored_once and lost[0] not in judgement.restored:
        return False  # what was asked for before may be carried out only now
    made = facts.made_for(place)
    judgement.says(now is not None, place, "must still be there")
    if lost[0] not in judgement.restored:
        judgement.says(not made, place, f"must have no new counterpart, and has {made}")
        judgement.says(now is not None and now.category == "deleted", place, "must still be failing deleted")
        return True
    if facts.machines[lost[0]].object.capabilities.tokens:
        judgement.says(len(made) <= 1, place, f"must be restored once, and has {made}")
    return now is not None and now.status == "in_sync" and len(made) == 1


def _lost(judgement: Judgement, place: Place) -> Place | None:
    """The counterpart that a record has lost, as its row shows it."""
    sides = judgement.facts.then.rows[place].sides
    other = next(account for account in judgement.facts.accounts if account != place[0])
    return (other, judgement.config["between"][other], sides[other].id) if other in sides else None


def comes_back(judgement: Judgement, place: Place, pair: Pair | None) -> bool:
    """A deleted record that comes back under its old id revives its link."""
    facts = judgement.facts
    if pair is not None or judgement.restored or not facts.born(place, "revive") or not judgement.alone:
        return False
    for other, row in facts.then.rows.items():
        if row.category == "deleted" and _lost(judgement, other) == place:
            if not facts.lives_on(other) or not _undisturbed(judgement, place, other):
                return False
            judgement.says(facts.now.pairs.get(place) == other, place, f"must be linked to {other} again")
            return True
    return False


def renumbered(judgement: Judgement, place: Place, pair: Pair | None) -> bool:
    """A changed primary key keeps the link."""
    found = _one_and_one(judgement, pair, "renumber")
    if found is None or judgement.read:  # what a read tells first is no other id, nor a merge
        return False
    old, other = found
    deed = judgement.facts.only(old, "renumber")
    new = None if deed is None else deed.other
    if new is None or any(one.what != "edit" for _, one in judgement.facts.deeds[new][1:]):
        return False
    if not _undisturbed(judgement, old, new, other):
        return False
    judgement.says(judgement.facts.now.pairs.get(new) == other, other, f"must be linked to {new} now")
    return True


def merged(judgement: Judgement, place: Place, pair: Pair | None) -> bool:
    """A merge moves the loser's link to the survivor if that has none; else the loser's counterpart is failing merged."""
    found = _one_and_one(judgement, pair, "merge")
    if found is None or judgement.read or pair is None:
        return False
    facts, (loser, other) = judgement.facts, found
    deed = facts.only(loser, "merge")
    survivor = None if deed is None else deed.other
    if survivor is None or not _survives(judgement, survivor):
        return False
    theirs = facts.then.pair_of(judgement.config, survivor)
    partner = None if theirs is None else _partner(theirs, survivor)
    if partner is not None and not facts.lives_on(partner):
        return False
    known = [one for one in (loser, other, survivor, partner) if one is not None]
    if not _undisturbed(judgement, *known):
        return False
    if partner is None:
        then = facts.then.rows.get(survivor)
        if then is None or then.status != "excluded":
            return False
        judgement.says(facts.now.pairs.get(survivor) == other, other, f"must be linked to the survivor {survivor}")
        return True
    row = facts.now.rows.get(other)
    judgement.says(facts.now.pairs.get(survivor) == partner, survivor, f"must still be linked to {partner}")
    judgement.says(
        row is not None and (row.status, row.category) == ("failing", "merged"), other, "must be failing merged"
    )
    return True


def _survives(judgement: Judgement, survivor: Place) -> bool:
    """Whether nothing but edits, and this one merge into it, has happened to it."""
    facts = judgement.facts
    merges = [deed for _, deed in facts.deeds[survivor] if deed.what == "merge"]
    others = [deed for _, deed in facts.deeds[survivor] if deed.what not in ("edit", "merge")]
    return survivor in facts.before and len(merges) == 1 and not others


# ---------------------------------------------------------------- sections 1 and 2


def enters(judgement: Judgement, place: Place, pair: Pair | None) -> bool:
    """A record that is new, or stood alone without having entered."""
    facts = judgement.facts
    then = facts.then.rows.get(place)
    was_out = then is not None and then.status == "excluded" and facts.lives_on(place)
    if pair is not None or not (facts.born(place) or was_out) or not judgement.alone:
        return False
    if judgement.restored_once and any(deed.by for _, deed in facts.deeds[place]):
        return False  # what another sync has restored goes on in the links that it had
    values, verdicts = facts.values(place), facts.verdicts(place)
    if values is None or len(verdicts) != 1:
        return False
    (verdict,) = verdicts
    if verdict is None:
        return not judgement.restored and _entered(judgement, place, values)
    if facts.alike(place):
        return False
    row, made = facts.now.rows[place], facts.made_for(place)
    judgement.says((row.status, row.category) == ("excluded", verdict), place, f"must be excluded: {verdict}")
    judgement.says(not made, place, f"must have no counterpart, and has {made}")
    return True


def _entered(judgement: Judgement, place: Place, values: Values) -> bool:
    """A record that enters: what it finds on the other side, and on its own, decides."""
    facts = judgement.facts
    alike = facts.alike(place) - set(facts.made_for(place))
    if not alike:
        return _created(judgement, place, values)
    if not all(facts.steady(one) for one in (place, *alike)):
        return False
    own = [one for one in alike if one[0] == place[0]]
    made = {one for each in own for one in facts.made_for(each)}
    others = [one for one in alike - made if one[0] != place[0]]
    if others and all(_is_taken(judgement, one) for one in others):
        return _claims_what_is_taken(judgement, place)
    if not own and not made and len(others) == 1:
        return _answers(judgement, place, others[0])
    if own and not others:
        return _is_twin(judgement, place, own)
    return False


def _is_taken(judgement: Judgement, place: Place) -> bool:
    """Whether it has been linked all the time."""
    partner = judgement.facts.then.pairs.get(place)
    return partner is not None and judgement.facts.lives_on(place) and judgement.facts.lives_on(partner)


def _claims_what_is_taken(judgement: Judgement, place: Place) -> bool:
    """A record whose only candidates are linked to other records of its own side is failing duplicate, and overwrites nothing."""
    row = judgement.facts.now.rows[place]
    judgement.says((row.status, row.category) == ("failing", "duplicate"), place, "must be a duplicate")
    judgement.says(not judgement.facts.made_for(place), place, "must not be created")
    return True


def _is_twin(judgement: Judgement, place: Place, own: list[Place]) -> bool:
    """Twins on one side with no counterpart: one of them is created, the others are duplicates of it. Which one, timing decides."""
    facts = judgement.facts
    group = [place, *own]
    made = [one for each in group for one in facts.made_for(each)]
    if not all(facts.born(one) and facts.verdicts(one) == {None} for one in group):
        return False
    if not all(facts.alike(one) <= {*group, *made} for one in group):
        return False
    if len({frozenset(facts.keys(one)) for one in group}) != 1 or not all(_fits(judgement, one) for one in group):
        return False
    if any(deed.by != facts.name for one in made for _, deed in facts.deeds[one]):
        return False
    judgement.says(len(made) <= 1, place, f"and its twins must be created once, and were as {made}")
    linked = [one for one in group if one in facts.now.pairs]
    judgement.says(len(linked) == 1, place, f"or one of its twins must have a counterpart: {linked}")
    row = facts.now.rows[place]
    is_duplicate = (row.status, row.category) == ("failing", "duplicate")
    judgement.says(place in linked or is_duplicate, place, "must be a duplicate of its twin")
    return True


def _fits(judgement: Judgement, place: Place) -> bool:
    """Whether a record can be created from it, whatever it has held."""
    facts = judgement.facts
    other = facts.machines[next(one for one in facts.accounts if one != place[0])]
    if other.unique or other.refers or not other.object.capabilities.tokens:
        return False
    return all(
        facts.lacks(place, held) is None
        and all(can_cross(judgement, entry, place, held) for entry in judgement.config["mapping"])
        for held in facts.history(place)
    )


def _answers(judgement: Judgement, place: Place, other: Place) -> bool:
    """Two records that match, one on each side, and nobody else: they are linked, unless one was created from the other's twin before."""
    facts = judgement.facts
    made = [*facts.made_for(place), *facts.made_for(other)]
    fresh = facts.born(other) or (facts.lives_on(other) and other not in facts.then.pairs)
    then = facts.then.rows.get(other)
    if facts.alike(other) - {place}:
        return False  # another may have been there first
    if made or not fresh or (then is not None and then.category in ("deleted", "merged")):
        return False
    judgement.says(facts.now.pairs.get(place) == other, place, f"must be linked to {other}")
    return True


def _created(judgement: Judgement, place: Place, values: Values) -> bool:
    """Nothing answers to it: its counterpart is created, once."""
    facts = judgement.facts
    row, made = facts.now.rows[place], facts.made_for(place)
    other = facts.machines[next(one for one in facts.accounts if one != place[0])]
    if not other.object.capabilities.tokens and not facts.keys(place):
        return False  # nobody can tell whether a create whose answer was lost was done: a person decides
    if not other.object.capabilities.tokens and any(
        deed.by != facts.name for one in made for _, deed in facts.deeds[one]
    ):
        return False  # by then it may have had no identifier by which the create, sent again, would have found it
    judgement.says(len(made) <= 1, place, f"must be created once, and was as {made}")
    if other.unique or other.refers or any("association" in entry for entry in judgement.config["mapping"]):
        return False
    if made and any(deed.by != facts.name for _, deed in facts.deeds[made[0]]):
        return False  # people have been at work there, too
    lacking = facts.lacks(place, values)
    if lacking is not None and len(facts.history(place)) == 1:
        judgement.says(not made, place, f"must not be created without {lacking}")
        fails = (row.status, row.category) == ("failing", "missing_required")
        judgement.says(fails, place, "must be failing missing_required")
        return True
    held = facts.history(place)
    if lacking is not None or not all(
        can_cross(judgement, e, place, one) for one in held for e in judgement.config["mapping"]
    ):
        return False
    judgement.says(place in facts.now.pairs, place, "must have a counterpart")
    judgement.says(row.status == "in_sync", place, "must be in sync")
    return True


def can_cross(judgement: Judgement, entry: Config, place: Place, values: Values) -> bool:
    """Whether the other side can hold a field's value."""
    if not is_field(entry) or is_empty(values.get(entry[place[0]])):
        return True
    other = next(one for one in judgement.facts.accounts if one != place[0])
    try:
        value = convert(entry, judgement.facts.accounts.index(place[0]), values[entry[place[0]]])
    except Impossible:
        return False
    return value != "bad" or entry[other] not in judgement.facts.machines[other].strict
