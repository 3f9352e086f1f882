"""The whole: apps, their accounts, the connections between them, and the single actions of which a history is made.

An action is what can happen next: a person's act, a capture, a page, a message routed, a unit decided, commands delivered, a trouble. Which one comes
next a chooser says, so that the same machine is driven by a seed (`tests.simulation.run`) and by Hypothesis (`test_machine`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from rules.decide import Decision
from rules.events import AccountOrder, Captured, Clock, Commands, Event, Order, ReadRequest, SetMark
from rules.plan import connection_documents, connection_name
from tests.simulation import console, people
from tests.simulation.account import Account
from tests.simulation.apps import Machine
from tests.simulation.chooser import Chooser
from tests.simulation.connection import Connection, Message
from tests.simulation.counts import Counts
from tests.simulation.crashes import Crashes
from tests.simulation.deeds import Deed
from tests.simulation.delivery import Delivery
from tests.simulation.draw import Draw, Setting

ACTIONS = {
    "reconcile": 300,
    "person": 190,
    "capture": 190,
    "route": 230,
    "deliver": 200,
    "read": 60,
    "trouble": 22,
    "operator": 10,
    "zombie": 10,
}
Note = str | tuple[Event, list[AccountOrder]]
PATIENCE = 40000  # actions after which a calm world must have come to rest


Judge = Callable[["Simulation", Connection, Message, Decision], None]


class Simulation:
    """A world in which a chooser decides what happens next."""

    def __init__(self, chooser: Chooser, counts: Counts) -> None:
        self.chooser, self.counts = chooser, counts
        self.crashes = Crashes(chooser, counts)
        self.deeds: list[Deed] = []
        self.words = 0
        self.now, self.version, self.steps = 1000.0, 0, 0
        self.trace: list[Note] = []
        self.setting: Setting = Draw(chooser, self.deeds, counts, self.crashes).setting()
        self.accounts: dict[str, Account] = self.setting.accounts
        self.machines: list[Machine] = [one for each in self.accounts.values() for one in each.machines.values()]
        self.document: dict[str, Any] = {"syncs": self.setting.syncs}
        self.connections: dict[str, Connection] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.homes = {name: connection_name(config["between"]) for name, config in self.setting.syncs.items()}
        self.off: list[str] = []
        self.edited: set[str] = set()  # syncs whose rules were edited since the last rest
        # Syncs whose policy was ever edited: what was settled under the earlier one stays as it is.
        self.bent: set[str] = set()
        self.restores: list[tuple[int, str, str]] = []  # how many deeds there were, sync, account
        self.reads: list[tuple[int, str]] = []  # how many deeds there were when a sync asked for a full read
        self.spare_filters: dict[str, Any] = {}
        self.confirmed = False  # something was stopped, and a person has let it go on, at the last rest
        self.refusing = False  # an app has refused what is right since the last rest
        self.broken: set[tuple[str, str]] = set()
        self.tokens: set[str] = set()  # of all commands that were ever decided
        self.judges: list[Judge] = []  # look at each decision before it has any effect
        self._connect()
        self._actions: dict[str, Callable[[], bool | None]] = {
            "person": lambda: people.act(self),
            "operator": lambda: console.act(self),
            "trouble": lambda: console.suffer(self),
            "capture": lambda: chooser.pick(list(self.accounts.values())).capture(),
            "read": lambda: chooser.pick(list(self.accounts.values())).read_on(),
            "route": lambda: chooser.pick(list(self.accounts.values())).route(),
            "deliver": lambda: chooser.pick(list(self.deliveries.values())).deliver(),
            "reconcile": self.reconcile,
            "zombie": self._wake_zombie,
        }

    def _connect(self) -> None:
        for name in self.homes.values():
            self.connections.setdefault(name, Connection(name, self.chooser, self.crashes))
        for account in self.accounts.values():
            account.users, account.send = self._users, self._into_inbox
            delivery = self.deliveries[account.name] = Delivery(account, self.chooser, self.crashes)
            delivery.send, delivery.neighbours = self._into_inbox, lambda name: self._users(name, "")
            for machine in account.machines.values():
                machine.between = self._edit_in_between
                if self.setting.robots:
                    machine.robot = self._automate
        for connection in self.connections.values():
            connection.send, connection.clock, connection.watch = self._into_commands, self._clock, self._watch

    # ---------------------------------------------------------------- how parts reach each other

    def _users(self, account: str, object_name: str) -> tuple[str, ...]:
        """The connections that an object concerns, or (without one) the account."""
        found = [
            connection_name(config["between"])
            for config in self.document["syncs"].values()
            if config["between"].get(account) in ((object_name,) if object_name else config["between"].values())
        ]
        return tuple(dict.fromkeys(found))

    def _into_inbox(self, connection: str, event: Event) -> None:
        self.connections[connection].put(event)

    def _into_commands(self, order: AccountOrder) -> None:
        if isinstance(order, ReadRequest):
            self.reads.append((len(self.deeds), order.sync))
        self.deliveries[order.account].put(order)

    def _clock(self) -> float:
        self.now += 0.01
        return self.now

    def _watch(self, connection: Connection, message: Message, decision: Decision) -> None:
        """What is decided, before it has any effect."""
        self.note(message.event, decision.orders)
        for judge in self.judges:
            judge(self, connection, message, decision)

    def _edit_in_between(self, machine: Machine, record_id: str) -> None:
        if self.crashes.on and self.chooser.chance(0.1) and people.edit(self, machine, record_id):
            self.counts.meet("fate: an edit between reading and writing")

    def _automate(self, machine: Machine, record_id: str) -> None:
        """Both apps insist on a value of their own."""
        field = "phone" if machine.object.name == "contacts" else "tel"
        wanted = f"set by {machine.account}"
        record = machine.records.get(record_id, {})
        if field in record and record[field] != wanted and not machine.unique:
            people.write(self, machine, record_id, {field: wanted})
            self.counts.meet("person: robot")

    def syncs_between(self, one: Machine, other: Machine) -> Iterator[dict[str, Any]]:
        """The syncs of two objects."""
        for config in self.document["syncs"].values():
            if {one.place("")[:2], other.place("")[:2]} == set(config["between"].items()):
                yield config

    # ---------------------------------------------------------------- actions

    def act(self, name: str) -> None:
        """One action."""
        if self._actions[name]() is not False:
            self.steps += 1

    def step(self) -> None:
        """Whatever comes next."""
        self.act(self.chooser.weigh(ACTIONS))

    def reconcile(self) -> bool:
        """A connection decides what comes next in its inbox."""
        return self.chooser.pick(list(self.connections.values())).reconcile()

    def _wake_zombie(self) -> bool:
        if self.chooser.chance(0.5):
            return self.chooser.pick(list(self.deliveries.values())).wake_zombie()
        return self.chooser.pick(list(self.connections.values())).send_late()

    # ---------------------------------------------------------------- orders

    def apply(self) -> None:
        """`tandem apply`."""
        self.version += 1
        catalogs = {
            name: {own: machine.object for own, machine in account.machines.items()}
            for name, account in self.accounts.items()
        }
        documents = connection_documents(self.document, catalogs, self.off, self.version)
        for name, connection in self.connections.items():
            nothing = {"connection": name, "version": self.version, "syncs": {}, "catalogs": {}, "off": []}
            arguments = {"version": str(self.version), "document": json.dumps(documents.get(name, nothing))}
            connection.put(Order(f"o{self.version}", "apply", None, (), arguments))

    def order(self, action: str, sync: str, **arguments: str) -> None:
        """An order of a person, about a sync."""
        self.connection_of(sync).put(Order("o", action, sync, (), arguments))

    def wait(self, sync: str) -> None:
        """`tandem wait`: a mark through the log of each account."""
        mark = f"mark {self.steps}"
        for account in self.document["syncs"][sync]["between"]:
            self.deliveries[account].put(SetMark(account, mark))
        self.order("wait", sync, mark=mark)

    def connection_of(self, sync: str) -> Connection:
        """The connection of a sync."""
        return self.connections[self.homes[sync]]

    def note_restore(self, sync: str, account: str) -> None:
        """Somebody has asked for what was deleted."""
        self.restores.append((len(self.deeds), sync, account))

    def pass_time(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
        for connection in self.connections.values():
            connection.put(Clock())

    # ---------------------------------------------------------------- rest

    def begin(self) -> None:
        """Some records are there; then the rules are applied."""
        for account in self.accounts.values():
            account.lose_log()
        for _ in range(self.chooser.below(12)):
            self.act("person")
        self.apply()

    def calm(self) -> None:
        """Everything comes up and is carried through, without any more faults, until nothing moves."""
        self.crashes.on = self.confirmed = False
        self.say("--- calm")
        for name, account in self.accounts.items():
            account.down = False
            self.deliveries[name].tell(up=True)
            for machine in account.machines.values():
                machine.forbidden = machine.confused = False
                if machine.place("")[:2] in self.broken:
                    console.change_fields(self, machine, broken=False)
        if self.off:
            self.off = []
            self.apply()
        for _ in range(6):
            self.exhaust()
            for connection in self.connections.values():
                for name, row in list(connection.syncs.items()):
                    if row.state == "stopped":
                        self.order("confirm", name)
                        self.confirmed = True
            self.exhaust()
            self.pass_time(310)
        self.exhaust()
        for name in self.document["syncs"] if self.refusing else ():
            self.order("retry", name)
        self.exhaust()
        self.refusing = False
        self.crashes.on = True

    def exhaust(self) -> None:
        """Until nothing moves."""
        for _ in range(PATIENCE):
            if not self._move():
                return
            self.steps += 1
        raise AssertionError("it does not come to rest")

    def _move(self) -> bool:
        for connection in self.connections.values():
            if connection.reconcile():
                return True
        for account in self.accounts.values():
            if account.route() or account.read_on():
                return True
        busy = [delivery for delivery in self.deliveries.values() if delivery.topic]
        if busy:
            return self.chooser.pick(busy).deliver()
        loaded = [account for account in self.accounts.values() if not account.quiet]
        return bool(loaded) and self.chooser.pick(loaded).capture()

    # ---------------------------------------------------------------- what is noted, for whoever looks into a failure

    def say(self, *words: object) -> None:
        """Notes what happened."""
        self.trace.append(" ".join(map(str, words)))

    def note(self, event: Event, orders: list[AccountOrder]) -> None:
        """Notes what was decided."""
        self.trace.append((event, orders))

    def told(self, last: int = 60) -> list[str]:
        """The end of the trace, for people."""
        return [one if isinstance(one, str) else _decided(*one) for one in self.trace[-last:]]

    def written(self) -> int:
        """How many writes all apps have seen."""
        return sum(len(machine.writes) for machine in self.machines)


def _decided(event: Event, orders: list[AccountOrder]) -> str:
    what = str(event)[:150]
    if isinstance(event, Captured):
        what = f"Captured {event.account}.{event.object} {event.read or 'log'} " + ", ".join(
            f"{row.op} {row.old_id + '->' if row.old_id else ''}{row.id}@{row.version.position}" for row in event.rows
        )
    sent = [
        f"{command.op} {order.account}:{command.id} {command.values} for {command.link}#{command.sequence}"
        for order in orders
        if isinstance(order, Commands)
        for command in order.commands
    ]
    return " ".join(["decided", what, *(["=>", *sent] if sent else [])])
