"""Counts what shows at rest, of what people did since the last rest: in the apps themselves, and in the statuses."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from rules.events import StatusRow
from tests.simulation.agreement import is_empty, is_field, same
from tests.simulation.deeds import Deed, Place, Values
from tests.simulation.world import Simulation

Config = dict[str, Any]
Pair = tuple[Place, Place]


class Seen:
    """From one rest to the next."""

    def __init__(self, world: Simulation) -> None:
        self.world, self.meet = world, world.counts.meet
        self._told = 0  # deeds looked at
        self._written: dict[str, int] = {}  # commands looked at, by machine
        self._pairs: dict[str, set[Pair]] = {}  # at the last rest, by sync
        self._lonely: set[Place] = set()  # counterparts of deleted records

    def at_rest(self) -> None:
        """Looks at all that happened since the last rest."""
        deeds = self.world.deeds[self._told :]
        self._told = len(self.world.deeds)
        self._commands()
        edits: defaultdict[Place, dict[str, Deed]] = defaultdict(dict)
        written: set[tuple[Place, str]] = set()
        for deed in deeds:
            if deed.by:
                self._by_sync(deed)
                written |= {(deed.place, field) for field in deed.values}
            elif deed.what == "edit":
                edits[deed.place] |= dict.fromkeys(deed.values, deed)
                if deed.place in self._lonely:
                    self.meet("6: an edit of the counterpart of a deleted record")
        self._lonely = set()
        for name, config in self.world.document["syncs"].items():
            now: set[Pair] = set()
            for row in self.world.connection_of(name).rows(name).values():
                pair = self._row(config, row)
                if pair is not None:
                    now.add(pair)
            for pair in now & self._pairs.get(name, set()):
                self._pair(config, pair, (edits[pair[0]], edits[pair[1]]), written)
            self._pairs[name] = now

    def _commands(self) -> None:
        for machine in self.world.machines:
            name = f"{machine.account}.{machine.object.name}"
            for command in machine.writes[self._written.get(name, 0) :]:
                if machine.stored_form(command.values) != command.values:
                    self.meet("4: the app stores another form")
            self._written[name] = len(machine.writes)

    def _by_sync(self, deed: Deed) -> None:
        self.meet(f"answer: applied {'update' if deed.what == 'edit' else deed.what}")
        if deed.what == "delete":
            self.meet("6: a deletion goes on to the other side")
        config = self.world.document["syncs"].get(deed.by)
        if deed.what != "create" or config is None:
            return
        named = {entry[deed.place[0]] for entry in config["mapping"] if deed.place[0] in entry}
        if any(field not in named and not is_empty(value) for field, value in deed.values.items()):
            self.meet("6: restored with fields that no mapping names")
        if deed.values.get("customer") is not None and deed.other is not None:
            named_people = self._record(deed.other).get("people")
            if isinstance(named_people, list) and len(named_people) > 1:
                self.meet("5: of several the first")

    def _record(self, place: Place) -> Values:
        return self.world.accounts[place[0]].machines[place[1]].records.get(place[2], {})

    # ---------------------------------------------------------------- rows

    def _row(self, config: Config, row: StatusRow) -> Pair | None:
        """The pair of a row that is in sync."""
        places = [(account, config["between"][account], side.id) for account, side in row.sides.items()]
        if row.category == "deleted":
            self._lonely |= {place for place in places if self._record(place)}
        outside = [place for place in places if not self._passes(config, place)]
        if row.status == "excluded" and row.category == "filter":
            self._empty_out(config, places[0])
        if row.status != "in_sync" or len(places) < 2:
            self._unconverted(config, row, places)
            return None
        if "filters" in config and all(not self._passes(config, place) for place in self._filtered(config, places)):
            self.meet("1: a linked record stays, though its filters keep it out now")
        if not outside:
            self._empty_in(config, places)
        one, other = (next(place for place in places if place[0] == account) for account in config["between"])
        left, right = self._record(one), self._record(other)
        for entry in config["mapping"]:
            mine, theirs = left.get(entry.get(one[0])), right.get(entry.get(other[0]))
            if "identifier" in entry and mine != theirs and same(entry, mine, theirs):
                self.meet("4: identifiers equal normalised stay as they are")
        return (one, other)

    def _filtered(self, config: Config, places: list[Place]) -> list[Place]:
        return [place for place in places if place[0] in config["filters"]]

    def _unconverted(self, config: Config, row: StatusRow, places: list[Place]) -> None:
        if row.category != "invalid_value" or len(places) < 2 or not all(self._record(place) for place in places):
            return
        one, other = (next(place for place in places if place[0] == account) for account in config["between"])
        left, right = self._record(one), self._record(other)
        agreeing = [
            same(entry, left[entry[one[0]]], right[entry[other[0]]]) for entry in config["mapping"] if is_field(entry)
        ]
        if any(agreeing):
            self.meet("4: invalid_value: cannot be converted, the other fields are written")

    def _conditions(self, config: Config, place: Place) -> list[Config]:
        found: list[Config] = config.get("filters", {}).get(place[0], [])
        return found

    def _passes(self, config: Config, place: Place) -> bool:
        record = self._record(place)
        return all(passes(condition, record.get(condition["field"])) for condition in self._conditions(config, place))

    def _empty_out(self, config: Config, place: Place) -> None:
        for condition in self._conditions(config, place):
            if condition["op"] == "eq" and is_empty(self._record(place).get(condition["field"])):
                self.meet("1: an empty value and `eq`: stays out")

    def _empty_in(self, config: Config, places: list[Place]) -> None:
        for place in places:
            for condition in self._conditions(config, place):
                if condition["op"] != "eq" and is_empty(self._record(place).get(condition["field"])):
                    self.meet("1: an empty value and `ne`, `not_in` or `is_empty`: enters")

    # ---------------------------------------------------------------- pairs that were in sync at the last rest, too

    def _pair(
        self,
        config: Config,
        pair: Pair,
        edits: tuple[dict[str, Deed], dict[str, Deed]],
        written: set[tuple[Place, str]],
    ) -> None:
        (one, other), (left, right) = pair, edits
        if not left and not right:
            return
        survivors = [0, 0]
        for entry in config["mapping"]:
            if not is_field(entry):
                continue
            mine, theirs = entry[one[0]], entry[other[0]]
            touched = (mine in left, theirs in right)
            if any(touched) and "identifier" in entry:
                self.meet("2: an identifier edited on a linked record leaves the link")
            untouched = (one, mine) not in written and (other, theirs) not in written
            if all(touched) and untouched and same(entry, self._record(one)[mine], self._record(other)[theirs]):
                self.meet("4: afterwards: changed on both, equal")
            if touched == (True, False) and self._record(one)[mine] == left[mine].values[mine]:
                survivors[0] += 1
            if touched == (False, True) and self._record(other)[theirs] == right[theirs].values[theirs]:
                survivors[1] += 1
        if all(survivors):
            self.meet("4: different fields edited on both sides, both survive")


def passes(condition: Config, value: Any) -> bool:
    """A comparison with an empty value is false, but `ne`, `not_in` and `is_empty` hold (section 1)."""
    match condition["op"]:
        case "ne":
            return is_empty(value) or value != condition["value"]
        case "not_in":
            return is_empty(value) or value not in condition["value"]
        case "is_empty":
            return is_empty(value)
        case "eq":
            return not is_empty(value) and bool(value == condition["value"])
        case other:
            raise AssertionError(other)
