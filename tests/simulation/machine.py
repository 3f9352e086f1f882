"""The same world as a state machine of Hypothesis, which draws every action, every fate and every crash, and so can shrink what it finds."""

from __future__ import annotations

from contextlib import ExitStack
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.simulation.chooser import Drawn, Simplest, Switch
from tests.simulation.counts import Counts
from tests.simulation.run import Referee, slices
from tests.simulation.world import Simulation

DATA = st.data()


class RestingMachine(RuleBasedStateMachine):
    """People work, and it comes to rest now and then, and in the end."""

    plain: ClassVar[bool] = False  # the plainest apps and rules, and nothing crashes
    taken: ClassVar[list[str]] = []  # the actions of the last run: after a failure, of the smallest that fails

    def __init__(self) -> None:
        super().__init__()
        type(self).taken = []
        self._stack = ExitStack()
        self._failed = False

    def _act(self, name: str, data: st.DataObject) -> None:
        """One action, as Hypothesis draws it."""
        self.taken.append(name)
        self._switch.current = Drawn(data)
        try:
            self.world.act(name)
        except Exception:
            self._failed = True
            raise

    @initialize(data=DATA)
    def begin(self, data: st.DataObject) -> None:
        """Apps and rules are drawn, some records are there, and the rules are applied."""
        self._switch = Switch(Simplest() if self.plain else Drawn(data))
        self.world = Simulation(self._switch, Counts())
        self.world.crashes.on = not self.plain
        for connection in self.world.connections.values():
            connection.exhaustive = True
        self._referee = Referee(self.world)
        self._stack.enter_context(slices(self._switch.pick([400, 3, 1])))
        self.world.begin()

    @rule(data=DATA)
    def person(self, data: st.DataObject) -> None:
        """Somebody works in an app."""
        self._act("person", data)

    @rule()
    def rest(self) -> None:
        """It comes to rest, and all is checked."""
        self.taken.append("rest")
        self._switch.current = Simplest()
        try:
            self._referee.rest()
            self.world.crashes.on = not self.plain
        except Exception:
            self._failed = True
            raise

    def teardown(self) -> None:
        """It comes to rest in the end."""
        with self._stack:
            if not self._failed and hasattr(self, "_referee"):
                self.rest()


class WorldMachine(RestingMachine):
    """One rule for each kind of action of `tests.simulation.world`."""

    @rule(data=DATA)
    def capture(self, data: st.DataObject) -> None:
        """An account tells of changes."""
        self._act("capture", data)

    @rule(data=DATA)
    def read(self, data: st.DataObject) -> None:
        """A page of a full read."""
        self._act("read", data)

    @rule(data=DATA)
    def route(self, data: st.DataObject) -> None:
        """A message goes into the inboxes."""
        self._act("route", data)

    @rule(data=DATA)
    def reconcile(self, data: st.DataObject) -> None:
        """A unit of work."""
        self._act("reconcile", data)

    @rule(data=DATA)
    def deliver(self, data: st.DataObject) -> None:
        """Commands are carried out."""
        self._act("deliver", data)

    @rule(data=DATA)
    def suffer(self, data: st.DataObject) -> None:
        """Something befalls an account."""
        self._act("trouble", data)

    @rule(data=DATA)
    def operate(self, data: st.DataObject) -> None:
        """Somebody works at the console."""
        self._act("operator", data)

    @rule(data=DATA)
    def wake_zombie(self, data: st.DataObject) -> None:
        """A worker that was declared dead goes on."""
        self._act("zombie", data)


class PlainMachine(RestingMachine):
    """The plainest apps and rules, nothing crashes, and what is to be done is done at once: for faults that need no trouble to show."""

    plain = True

    @rule()
    def carry_out(self) -> None:
        """Whatever there is to do is done."""
        self.taken.append("carry out")
        self._switch.current = Simplest()
        try:
            self.world.exhaust()
        except Exception:
            self._failed = True
            raise
