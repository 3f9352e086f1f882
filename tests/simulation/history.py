"""A history: people, accounts and the engine take single steps in random order, and each may fail in the ways that Kafka, crashes and apps can.

What is faulty and what is not follows the design: messages come at least once and in the order of their sender; a decision that was sent and not kept is taken
again; a command may be done and its answer lost; pages are read on from where a reader was when he ended.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import msgspec

from rules.events import (
    AccountState,
    Captured,
    Clock,
    Commands,
    Event,
    LogStarted,
    ReadDone,
    ReadRequest,
    Results,
)
from tests.rules.world import World
from tests.simulation.memory import Memory
from tests.simulation.setting import POOLS, Machine, draw


class Reading(msgspec.Struct):
    """A full read under way: it goes on after the last id, in the order of ids."""

    order: ReadRequest
    after: int = -(10**9)
    before: int = -(
        10**9
    )  # where the last page began: there a reader goes on who ended before he said that he had sent it


class History(World):
    """A world in which a seed decides what happens next."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        setting = draw(self.rng)
        super().__init__(*setting.apps, syncs=setting.syncs)
        self.machines: list[Machine] = setting.apps
        self.machines_by_place = {(app.account, app.object.name): app for app in setting.apps}
        self.page_size = setting.page_size
        self.readings: list[Reading] = []
        self.sent: dict[str, deque[Event]] = {account: deque(maxlen=6) for account in self.accounts}
        self.answered: deque[Event] = deque(maxlen=4)
        self.head_now: float | None = None
        self.steps = 0
        self.trace: list[str] = []
        self.faults = True
        self.memory = Memory()

    def say(self, *words: object) -> None:
        """Notes what happened, for whoever looks into a failure."""
        self.trace.append(" ".join(map(str, words)))

    # ------------------------------------------------------------ one step

    def step(self) -> None:
        """Something happens."""
        self.steps += 1
        chosen = self.rng.random()
        if chosen < 0.2:
            self.person()
        elif chosen < 0.4:
            self.capture_some(self.rng.choice(self.accounts))
        elif chosen < 0.6:
            self.deliver_one()
        elif chosen < 0.66:
            self.read_on()
        elif chosen < 0.68:
            self.trouble()
        elif chosen < 0.69:
            self.operator()
        else:
            self.think_once()

    # ------------------------------------------------------------ people

    def person(self) -> None:
        """Somebody works in an app."""
        app = self.rng.choice(self.machines)
        ids = list(app.records)
        act = self.rng.choices(
            ("create", "edit", "delete", "revive", "renumber", "merge"), weights=(6, 14, 3, 1, 1, 1)
        )[0]
        if act != "create" and not ids:
            return
        values = self._values(app, some=act == "edit")
        record_id = self.rng.choice(ids) if act != "create" else ""
        before = dict(app.records.get(record_id, {}))
        match act:
            case "create":
                if len(ids) < 12 and self._allowed(app, "", values):
                    record_id = app.create(**values)
            case "edit":
                if not self._allowed(app, record_id, values):
                    return
                app.edit(record_id, **values)
            case "delete":
                app.delete(record_id)
            case "revive":
                # An id that was given up for another is not used again: an answer could tell of its new record before the log tells of that.
                gone = {str(number) for number in range(1, app.next_id)} - app.records.keys() - app.given_up
                if not gone or not self._allowed(app, "", values):
                    return
                record_id = self.rng.choice(sorted(gone))
                app.forget_source(record_id)
                app.revive(record_id, **values)
            case "renumber":
                new_id, app.next_id = str(app.next_id), app.next_id + 1
                self._renumber(app, record_id, new_id)
            case "merge":
                survivor = self.rng.choice(ids)
                if survivor == record_id:
                    return
                app.merge(record_id, survivor)
                app.forget_writers(survivor, [field.name for field in app.object.fields])
                values = {survivor: None}
            case _:
                raise AssertionError(act)
        if record_id in app.records:
            app.forget_writers(record_id, values)
        self.memory.person(app, act, record_id, values, before)
        self.say("person", act, f"{app.account}.{app.object.name}:{record_id}", values)

    def _renumber(self, app: Machine, old_id: str, new_id: str) -> None:
        app.renumber(old_id, new_id)
        app.given_up.add(old_id)
        app.writers |= {(new_id, field): sync for (one, field), sync in app.writers.items() if one == old_id}
        if old_id in app.made_for:
            app.made_for[new_id] = app.made_for.pop(old_id)
        if old_id in app.pairs:
            app.pairs[new_id] = app.pairs.pop(old_id)

    def _values(self, app: Machine, *, some: bool) -> dict[str, Any]:
        fields = [field.name for field in app.object.fields if field.name != "id"]
        if some:
            fields = self.rng.sample(fields, self.rng.choice([1, 1, 2]))
        return {field: self.rng.choice(POOLS[field]) for field in fields}

    def _allowed(self, app: Machine, record_id: str, values: dict[str, Any]) -> bool:
        """Whether the app's own rules let a person do it."""
        kept = app.stored_form(values)
        for field in app.object.fields:
            if field.name in kept and not kept[field.name] and (field.required or not field.nullable):
                return False
        return not any(
            kept.get(field) is not None and other != record_id and record.get(field) == kept[field]
            for field in app.unique
            for other, record in app.records.items()
        )

    def operator(self) -> None:
        """Somebody works at the console."""
        sync = self.rng.choice(list(self.document["syncs"]))
        act = self.rng.choice(
            ["restore", "restore", "retry", "resync", "confirm", "off", "on", "rules", "again", "mark"]
        )
        self.say("operator", act, sync)
        self.memory.rules_edited |= act in ("rules", "again")
        match act:
            case "restore":
                self.order("restore", sync, into=self.rng.choice(self.accounts))
            case "retry" | "resync" | "confirm":
                self.order(act, sync)
            case "off" | "on":
                self.off = [one for one in self.off if one != sync] + ([sync] if act == "off" else [])
                self.apply()
            case "rules":
                config = self.document["syncs"][sync]
                last = config["mapping"][-1]
                last["enabled"] = not last.get("enabled", True)
                self.apply()
            case "again":
                self._add_again(sync)
            case "mark":
                self.order("wait", sync, mark=f"mark {self.steps}")
            case _:
                raise AssertionError(act)

    def _add_again(self, sync: str) -> None:
        config = self.document["syncs"].pop(sync)
        self.apply()
        for _ in range(self.rng.choice([0, 2, 10])):
            self.think_once()
        self.document["syncs"][sync] = config
        self.apply()

    # ------------------------------------------------------------ accounts

    def trouble(self) -> None:
        """An account goes down or comes up, loses its log, or time passes."""
        account = self.rng.choice(self.accounts)
        act = self.rng.choice(["down", "up", "up", "silently down", "log lost", "clock", "clock"])
        self.say(act, account)
        match act:
            case "down" | "up":
                self.account(account, up=act == "up")
            case "silently down":
                for app in self.machines:
                    app.down = app.down or app.account == account
            case "log lost":
                self.lose_log(account)
                self.readings = [one for one in self.readings if one.order.account != account or one.after < 0]
                self.sent[account].clear()
            case "clock":
                self.now += self.rng.choice([1, 20, 310, 700])
                self.inbox.append(Clock())
            case _:
                raise AssertionError(act)

    def lose_log(self, account: str) -> None:
        """What is lost is found only by reads that begin later."""
        log = next(app for app in self.apps.values() if app.account == account).log
        for object_name, row in log:
            if row.old_id is not None:
                self.machines_by_place[account, object_name].reused |= {row.id, row.old_id}
        log.clear()
        self.inbox.append(LogStarted(account))

    def capture_some(self, account: str) -> None:
        """Some changes of the log; sometimes the last ones come again, since whoever sent them ended before he knew."""
        rows = next(app for app in self.machines if app.account == account).log
        if self.faults and self.sent[account] and self.rng.random() < 0.05:
            again = list(self.sent[account])[-self.rng.randrange(1, 6) :]
            self.inbox.extend(again)
            self.say("captured again", account, len(again))
            return
        if not rows:
            return
        object_name, row = rows.popleft()
        batch = [row]
        while rows and rows[0][0] == object_name and self.rng.random() < 0.5:
            batch.append(rows.popleft()[1])
        event = Captured(account, object_name, tuple(batch))
        self.sent[account].append(event)
        self.inbox.append(event)

    def deliver_one(self) -> None:
        """The next order to an account; sometimes its answer is lost or comes twice, or the app cannot say what it did."""
        order = self._next_order()
        if order is None:
            return
        if isinstance(order, ReadRequest):
            self.readings = [
                one for one in self.readings if (one.order.sync, one.order.account) != (order.sync, order.account)
            ]
            self.readings.append(Reading(order))
            return
        events = self.carry_out(order)
        fate = self.rng.random() if self.faults and isinstance(order, Commands) else 1.0
        safe = isinstance(order, Commands) and self.apps[order.account, order.object].object.capabilities.tokens
        if fate < 0.06 and safe:
            self.commands.appendleft(order)  # it was done, and whoever did it ended: it is delivered again
            self.say("delivered, and again", order.account)
            return
        if fate < 0.1 and safe:
            self.say("answer lost", order.account)
            return
        if fate < 0.13 and safe and isinstance(events[0], Results):
            answers = tuple(
                msgspec.structs.replace(answer, outcome="unknown", values=None, version=None, id=None)
                for answer in events[0].answers
            )
            events = [msgspec.structs.replace(events[0], answers=answers)]
            self.say("unknown", order.account)
        for event in events:
            self.answered.append(event)
        self.inbox.extend(events)
        if fate > 0.95 and fate < 1.0:
            self.inbox.append(self.rng.choice(list(self.answered)))
            self.say("answers again")

    def _next_order(self) -> Any:
        """Each account's orders in their order, the accounts in any."""
        accounts = list(dict.fromkeys(order.account for order in self.commands))
        if not accounts:
            return None
        account = self.rng.choice(accounts)
        order = next(one for one in self.commands if one.account == account)
        self.commands.remove(order)
        return order

    def read_on(self) -> None:
        """The next page of a full read."""
        if not self.readings:
            return
        reading = self.rng.choice(self.readings)
        if self.faults and self.rng.random() < 0.1:
            reading.after = reading.before  # the reader ended, and another goes on from where he was
        app = self.apps[reading.order.account, reading.order.object]
        ids = sorted(int(one) for one in app.records if int(one) > reading.after)[: self.page_size]
        self.inbox.append(Captured(app.account, app.object.name, app.page(str(one) for one in ids), reading.order.read))
        if len(ids) < self.page_size:
            self.inbox.append(ReadDone(app.account, app.object.name, reading.order.read))
            self.readings.remove(reading)
        else:
            reading.before, reading.after = reading.after, ids[-1]

    # ------------------------------------------------------------ the engine

    def think_once(self) -> None:
        """The next event of the inbox; sometimes its outputs are sent and the process ends before the state is kept."""
        if not self.inbox:
            return
        if self.head_now is None:
            self.now += 0.01
            self.head_now = self.now
        now, self.now = self.now, self.head_now
        if self.faults and self.rng.random() < 0.04:
            self.emit(self.think_of(self.inbox[0]))
            self.say("decided, and again")
        else:
            event = self.inbox.popleft()
            decision = self.decide(event)
            self.head_now = None
            self.note(event, decision.orders)
        self.now = max(now, self.now)

    def note(self, event: Event, orders: list[Any]) -> None:
        """Into the trace."""
        what = type(event).__name__
        if isinstance(event, Captured):
            what += f" {event.account}.{event.object} {event.read or 'log'} " + ", ".join(
                f"{row.op} {row.old_id + '->' if row.old_id else ''}{row.id}@{row.version.position}"
                for row in event.rows
            )
        elif isinstance(event, Results):
            what += f" {event.account} " + ", ".join(
                f"{one.link}#{one.sequence} {one.outcome} {one.id}" for one in event.answers
            )
        elif not isinstance(event, Clock | AccountState):
            what = str(event)[:150]
        sent = [
            f"{command.op} {order.account}:{command.id} {command.values} for {command.link}#{command.sequence}"
            for order in orders
            if isinstance(order, Commands)
            for command in order.commands
        ]
        self.say("decided", what, *(["=>", *sent] if sent else []))

    # ------------------------------------------------------------ rest

    def calm(self) -> None:
        """Everything comes up and is carried through, without any more faults, until nothing moves."""
        self.faults = False
        self.say("--- calm")
        for account in self.accounts:
            self.account(account, up=True)
        if self.off:
            self.off = []
            self.apply()
        for _ in range(6):
            self._exhaust()
            for name, row in list(self.syncs.items()):
                if row.state == "stopped":
                    self.order("confirm", name)
            self._exhaust()
            self.now += 310
            self.inbox.append(Clock())
        self._exhaust()
        self.faults = True

    def _exhaust(self) -> None:
        for _ in range(20000):
            if self.inbox:
                self.think_once()
            elif self.readings:
                self.read_on()
            elif self.commands:
                self.deliver_one()
            else:
                loaded = [one for one in self.accounts if next(a for a in self.machines if a.account == one).log]
                if not loaded:
                    return
                self.capture_some(self.rng.choice(loaded))
        raise AssertionError("it does not come to rest")
