"""No unseen edit is overwritten (semantics section 4), watched where it would happen: at each write of the engine into an app.

It knows what the app's field held, who put it there, and whether that value had been told to the engine, captured or answered, before the command was
decided. It knows nothing of what the engine made of it. An app that compares and sets must never lose an edit that was not told; one that reads, compares
and writes may lose one that was made in between, and no other.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from rules.catalog import Value
from rules.decide import Decision
from rules.events import Captured, Command, Commands, Results
from tests.simulation.apps import Machine
from tests.simulation.connection import Connection, Message
from tests.simulation.deeds import Place, Values
from tests.simulation.world import Simulation

Known = dict[str, dict[Any, int]]  # by field: each value that was told, and at which offset of the inbox first
KEPT, IN_BETWEEN = "an edit that was told is overwritten", "an edit between reading and writing is lost"
NEVER = 1 << 60


class Unseen:
    """Watches one world: a judge of its decisions, and the witness of its apps' writes."""

    def __init__(self, world: Simulation) -> None:
        self.world = world
        self._told: defaultdict[tuple[str, Place], Known] = defaultdict(dict)  # by connection
        # By token, and the id that it writes to (which may be another when it is sent again): the connection, and the offset of what it was decided on.
        self._decided: dict[tuple[str, str | None], tuple[str, int]] = {}
        self._writer: dict[tuple[Place, str], tuple[int, str]] = {}  # of what a field holds: which deed, and by whom
        self._first: dict[Place, Place] = {}  # the first id of a record that has another
        self._deeds = 0  # how many of the world's deeds are in `_writer`
        world.judges.append(self)
        for machine in world.machines:
            machine.witness = self.written

    # ---------------------------------------------------------------- what the engine is told, and decides

    def __call__(self, world: Simulation, connection: Connection, message: Message, decision: Decision) -> None:
        """A decision: its event tells, its commands were decided on all that was told so far."""
        self._catch_up()
        event = message.event
        if isinstance(event, Captured):
            for row in event.rows:
                place = (event.account, event.object, row.id)
                self._tell(connection.name, place, row.values, message.offset)
        elif isinstance(event, Results):
            for answer in event.answers:
                if answer.values is not None:
                    place = (event.account, event.object, answer.id or "")
                    self._tell(connection.name, place, answer.values, message.offset)
        for order in decision.orders:
            for command in order.commands if isinstance(order, Commands) else ():
                self._decided.setdefault((command.token, command.id), (connection.name, message.offset))

    def _tell(self, connection: str, place: Place, values: Values, offset: int) -> None:
        known = self._told[connection, self._root(place)]
        for field, value in values.items():
            known.setdefault(field, {}).setdefault(_key(value), offset)

    def _root(self, place: Place) -> Place:
        """A record by the first id that it had."""
        return self._first.get(place, place)

    # ---------------------------------------------------------------- what the engine writes

    def written(self, machine: Machine, command: Command, record_id: str, held: Values, since: int) -> None:
        """A command is being done. `held`: by the record until now; `since`: how many deeds there were when an app that only reads had read it."""
        self._catch_up()
        if command.op == "create":
            return
        connection, offset = self._decided[command.token, command.id]
        place = machine.place(record_id)
        known = self._told[connection, self._root(place)]
        lost = held if command.op == "delete" else command.values
        for field in lost:
            at, by = self._writer.get((place, field), (-1, ""))
            if field == "id" or held.get(field) == command.values.get(field, self) or self._is_own(by, connection):
                continue
            if known.get(field, {}).get(_key(held.get(field)), NEVER) <= offset:
                self.world.counts.meet(f"4: {KEPT}")
                continue
            in_between = not machine.object.capabilities.compare_and_set and at >= since
            assert in_between, (
                f"{field} of {place} held {held.get(field)!r}, which nobody had told: {command} (deed {at} of {by!r}; {since})"
            )
            self.world.counts.meet(f"4: {IN_BETWEEN}")

    def _is_own(self, by: str, connection: str) -> bool:
        return bool(by) and self.world.homes[by] == connection

    def _catch_up(self) -> None:
        """Takes in who wrote what since."""
        for at in range(self._deeds, len(self.world.deeds)):
            deed = self.world.deeds[at]
            if deed.what == "renumber" and deed.other is not None:
                self._first[deed.other] = self._root(deed.place)
                for field in deed.before:
                    self._writer[deed.other, field] = self._writer.get((deed.place, field), (-1, ""))
            elif deed.what not in ("delete", "merge"):
                for field in deed.values:
                    self._writer[deed.place, field] = (at, deed.by)
        self._deeds = len(self.world.deeds)


def _key(value: Value) -> Any:
    return tuple(value) if isinstance(value, list) else value
