"""What the reference model is told: the rules as written, what the apps are like, what each held at the last rest, and who wrote what since.

None of it comes from the engine but which records a status row pairs: the model checks those that it can foresee, and takes over the rest as they are.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from rules.events import StatusRow
from tests.simulation.agreement import allowed_sides, is_empty, normal
from tests.simulation.apps import Machine
from tests.simulation.deeds import Deed, Place, Values
from tests.simulation.reference_values import SideOfField, Write
from tests.simulation.seen import passes

Config = dict[str, Any]
Pair = tuple[Place, Place]  # in the order of `between`
BIRTHS = ("create", "revive")
ENDS = ("delete", "merge", "renumber")


@dataclass(slots=True)
class Standing:
    """A sync at rest: its pairs, and the row of each record."""

    pairs: dict[Place, Place] = field(default_factory=dict)  # both ways
    rows: dict[Place, StatusRow] = field(default_factory=dict)
    shown: dict[Place, set[Place]] = field(default_factory=dict)  # with whom a row shows a record, there or not

    def pair_of(self, config: Config, place: Place) -> Pair | None:
        """The pair that a record is in."""
        other = self.pairs.get(place)
        if other is None:
            return None
        return (place, other) if place[0] == next(iter(config["between"])) else (other, place)


class Facts:
    """One sync, from one rest to the next."""

    def __init__(
        self,
        name: str,
        config: Config,
        machines: dict[str, Machine],
        before: dict[Place, Values],
        deeds: list[Deed],
        then: Standing,
        now: Standing,
        known: dict[Place, Place],
    ) -> None:
        self.name, self.config, self.machines, self.before = name, config, machines, before
        self.then, self.now, self.known = then, now, known
        self.deeds: defaultdict[Place, list[tuple[int, Deed]]] = defaultdict(list)
        places = {(account, object_name) for account, object_name in config["between"].items()}
        for at, deed in enumerate(deeds):
            if deed.place[:2] in places:
                self.deeds[deed.place].append((at, deed))
                if deed.other is not None and deed.other[:2] in places and not deed.by:
                    self.deeds[deed.other].append((at, deed))
        self.accounts: list[str] = list(config["between"])
        self.identifiers = [
            entry for entry in config["mapping"] if "identifier" in entry and entry.get("enabled", True)
        ]
        self._cluster_of: dict[Place, set[Place]] | None = None

    # ---------------------------------------------------------------- records

    def values(self, place: Place) -> Values | None:
        """What a record holds now."""
        return self.machines[place[0]].records.get(place[2])

    def history(self, place: Place) -> list[Values]:
        """All that a record has held since the last rest."""
        held = [self.before[place]] if place in self.before else []
        for _, deed in self.deeds[place]:
            if deed.place == place and deed.what in (*BIRTHS, "edit"):
                held.append({**(held[-1] if held else {}), **deed.values})
        return held

    def lives_on(self, place: Place) -> bool:
        """Whether it was there at the last rest, and nothing but edits has happened to it."""
        return place in self.before and all(deed.what == "edit" for _, deed in self.deeds[place])

    def born(self, place: Place, what: str = "create") -> bool:
        """Whether somebody has made it since the last rest, and nothing but edits has happened to it."""
        deeds = [deed for _, deed in self.deeds[place]]
        if place in self.before or not deeds or deeds[0].what != what or deeds[0].by == self.name:
            return False
        return all(deed.what == "edit" for deed in deeds[1:])

    def born_since(self, place: Place) -> bool:
        """Whether it was made, or came back, since the last rest."""
        return any(deed.what in BIRTHS and deed.place == place for _, deed in self.deeds[place])

    def only(self, place: Place, what: str) -> Deed | None:
        """What has been done to it besides edits, if it is just this, and not by the sync."""
        found = [deed for _, deed in self.deeds[place] if deed.what != "edit"]
        is_it = place in self.before and len(found) == 1 and found[0].what == what and found[0].by != self.name
        return found[0] if is_it and found[0].place == place else None

    def untouched(self, place: Place) -> bool:
        """Whether nobody has done anything to it since the last rest."""
        return place in self.before and not self.deeds[place]

    def made_for(self, place: Place) -> list[Place]:
        """The records that syncs have created for one since the last rest, there or not."""
        return [
            deed.place
            for found in self.deeds.values()
            for _, deed in found
            if deed.by == self.name and deed.what == "create" and deed.other == place
        ]

    # ---------------------------------------------------------------- entry and identifiers

    def enters(self, place: Place, values: Values) -> str | None:
        """Why a record stays out (section 1); None where it enters."""
        own, other = place[0], next(one for one in self.accounts if one != place[0])
        if self.config["direction"] not in ("both", f"to {other}"):
            return "direction"
        conditions = self.config.get("filters", {}).get(own, [])
        if not all(passes(one, values.get(one["field"])) for one in conditions):
            return "filter"
        required = self.config.get("require_identifier", self.config["kind"] == "contact")
        if required and not any(normal(one["identifier"], values.get(one[own])) for one in self.identifiers):
            return "no_identifier"
        return None

    def verdicts(self, place: Place) -> set[str | None]:
        """All that section 1 has ever said of it since the last rest."""
        return {self.enters(place, held) for held in self.history(place)}

    def keys(self, place: Place) -> set[tuple[str, str]]:
        """All identifiers that it has had since the last rest."""
        found = set()
        for held in self.history(place):
            for entry in self.identifiers:
                value = normal(entry["identifier"], held.get(entry[place[0]]))
                if value is not None:
                    found.add((f"{entry['identifier']}", value))
        return found

    def steady(self, place: Place) -> bool:
        """Whether its identifiers have been the same since the last rest, or since it was made."""
        kept = [
            [normal(entry["identifier"], held.get(entry[place[0]])) for entry in self.identifiers]
            for held in self.history(place)
        ]
        return all(one == kept[0] for one in kept)

    def alike(self, place: Place) -> set[Place]:
        """All other records of both sides that could be taken for it, or for its counterpart: they have had one of its identifiers since the last
        rest, or an account remembers them as its pair."""
        if self._cluster_of is None:
            by_key: defaultdict[tuple[str, str], set[Place]] = defaultdict(set)
            places = {one for one in self.before if self.config["between"].get(one[0]) == one[1]} | set(self.deeds)
            keys = {one: self.keys(one) for one in places}
            for one, own in keys.items():
                for key in own:
                    by_key[key].add(one)
            self._cluster_of = {one: set().union(*(by_key[key] for key in own)) - {one} for one, own in keys.items()}
        remembered = {self.known[place]} if place in self.known else set()
        remembered |= {one for one, other in self.known.items() if other == place}
        partner = self.then.pairs.get(place)
        near = {one for one in remembered if one != partner and (self.deeds[one] or self._is_parted(one))}
        return self._cluster_of.get(place, set()) | near

    def _is_parted(self, place: Place) -> bool:
        """Whether something has happened to its counterpart, so that it may have a place for another."""
        partner = self.then.pairs.get(place)
        return partner is not None and bool(self.deeds[partner])

    # ---------------------------------------------------------------- fields

    def side(self, entry: Config, place: Place) -> SideOfField:
        """One side of a mapped field."""
        machine, name = self.machines[place[0]], entry[place[0]]
        known = machine.object.field(name)
        writes = [
            Write(at, deed.values[name], deed.by == self.name, deed.blind)
            for at, deed in self.deeds[place]
            if deed.place == place and name in deed.values
        ]
        return SideOfField(
            self.before.get(place, {}).get(name),
            writes,
            place[0] in allowed_sides(self.config, entry),
            known is not None and known.nullable,
            frozenset(["bad"]) if name in machine.strict else frozenset(),
            name in machine.unique,
            machine.object.capabilities.tokens,
        )

    def lacks(self, place: Place, values: Values) -> str | None:
        """A field that the other side requires and a record of these values would not fill."""
        other = next(one for one in self.accounts if one != place[0])
        constants = {entry[other] for entry in self.config["mapping"] if other in entry and "value" in entry}
        for known in self.machines[other].object.fields:
            if not known.required or known.read_only or known.name in constants:
                continue
            source = next((one[place[0]] for one in self.config["mapping"] if one.get(other) == known.name), None)
            if source is None or is_empty(values.get(source)):
                return known.name
        return None
