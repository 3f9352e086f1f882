"""Edits on either side of the HubSpot demo, and when they are on the other.

Responsible for SQL, for what people do in the portal, and for looking whether it has crossed. Must not know how it is told, nor anything
of the pipeline.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from console.demo_data import Company, Person, World
from console.demo_edits import PATIENCE_S, Connection, one
from console.demo_hubspot_data import PIPELINES, database_side, portal_side
from console.demo_hubspot_kinds import KINDS, Field, Kind, Reference
from console.demo_hubspot_portal import FakePortal
from console.errors import FailedError

LOOK_S = 0.02
STAGES = ("dealstage", "hs_pipeline_stage")
KNOWN = {"contacts": "email", "companies": "name", "invoices": "number", "notes": "body", "products": "sku"}
BY_NAME = {kind.name: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Sides:
    """Both sides, for people who edit there and look."""

    database: Connection
    portal: FakePortal

    async def ask(self, query: str, *values: object) -> Any:
        """The first value that the database answers."""
        return await one(self.database, query, *values)

    async def until(self, true: Callable[[], Awaitable[bool]], what: Callable[[], str]) -> float:
        """Looks until it is true; the seconds that it took."""
        began = time.perf_counter()
        while not await true():
            if time.perf_counter() - began > PATIENCE_S:
                raise FailedError(f"A change did not cross within {PATIENCE_S:.0f} s.", f"Waited for: {what()}")
            await asyncio.sleep(LOOK_S)
        return time.perf_counter() - began


def _field(kind: Kind, column: str) -> Field:
    return next(one for one in kind.fields if one.column == column)


def _reference(kind: Kind, column: str) -> Reference:
    return next(one for one in kind.references if one.column == column)


def _known(kind: str) -> Field:
    """What a person knows a record of this kind by."""
    known = KNOWN.get(kind, "title" if kind in ("deals", "tasks", "meetings") else "subject")
    return _field(BY_NAME[kind], known)


def portal_id(sides: Sides, kind: str, key: str) -> str:
    """The id of a record in the portal."""
    found = sides.portal.id(kind, _known(kind).property, key)
    if found is None:
        raise FailedError(f"The portal has no {key} among its {kind}.")
    return found


@dataclass(frozen=True, slots=True)
class Edit:
    """An edit of one value, or of what a record refers to. `key`: what the record is known by; `value`: in the database's words, or of
    a reference what the other record is known by. `more`: values of a record that is made by the edit."""

    side: str
    kind: str
    key: str
    column: str
    value: str
    what: str
    said: str = ""
    more: tuple[tuple[str, str], ...] | None = None

    @property
    def other(self) -> str:
        """The side to which it crosses."""
        return "hubspot" if self.side == "database" else "database"

    @property
    def _is_reference(self) -> bool:
        return self.column.endswith("_id")

    async def make(self, sides: Sides) -> None:
        """Makes it."""
        if self.side == "database":
            await self._in_database(sides.database)
        else:
            await asyncio.to_thread(self._in_portal, sides)

    async def _in_database(self, connection: Connection) -> None:
        known, kind = _known(self.kind).column, BY_NAME[self.kind]
        value = "%s"
        if self._is_reference:
            target = _reference(kind, self.column).target
            value = f"(SELECT id FROM {target} WHERE lower({_known(target).column}) = lower(%s))"  # noqa: S608 - our own names
        if self.more is None:
            statement = f"UPDATE {self.kind} SET {self.column} = {value} WHERE lower({known}) = lower(%s)"  # noqa: S608
            await connection.execute(statement, (self.value, self.key))
            return
        names = ", ".join([self.column, known, *(name for name, _ in self.more)])
        values = ", ".join([value, "%s", *("%s" for _ in self.more)])
        statement = f"INSERT INTO {self.kind} ({names}) VALUES ({values})"  # noqa: S608
        await connection.execute(statement, (self.value, self.key, *(given for _, given in self.more)))

    def _in_portal(self, sides: Sides) -> None:
        kind, portal = BY_NAME[self.kind], sides.portal
        if self.more is not None:
            made = {_known(self.kind).property: self.key} | dict(self.more)
            id = portal.make(self.kind, [made])[0]
        else:
            id = portal_id(sides, self.kind, self.key)
        if not self._is_reference:
            field = _field(kind, self.column)
            pipeline = PIPELINES.get(self.kind, {}) if field.property in STAGES else {}
            portal.edit(self.kind, id, **pipeline, **{field.property: (field.values or {}).get(self.value, self.value)})
            return
        reference = _reference(kind, self.column)
        if not reference.is_primary():  # the mark of the primary moves by itself, and the others stay
            for old in portal.associated(self.kind, id, reference.target, reference.type):
                portal.part(self.kind, id, reference.target, old)
        portal.relate(
            self.kind, reference.target, [(id, portal_id(sides, reference.target, self.value))], reference.type
        )

    async def arrived(self, sides: Sides) -> bool:
        """Whether the other side has it."""
        kind, known = BY_NAME[self.kind], _known(self.kind)
        if self.other == "database":
            if self._is_reference:
                target = _reference(kind, self.column).target
                found = (
                    f"SELECT lower(o.{_known(target).column}) = lower(%s) FROM {self.kind} t"  # noqa: S608
                    f" JOIN {target} o ON o.id = t.{self.column} WHERE lower(t.{known.column}) = lower(%s)"
                )
                return await sides.ask(found, self.value, self.key) is True
            field = _field(kind, self.column)
            wanted = (field.values or {}).get(self.value, self.value)
            query = f"SELECT {field.ours()} FROM {self.kind} t WHERE lower({known.column}) = lower(%s)"  # noqa: S608
            return bool(await sides.ask(query, self.key) == wanted)
        id = sides.portal.id(self.kind, known.property, self.key)
        if id is None:
            return False
        if self._is_reference:
            reference = _reference(kind, self.column)
            others = sides.portal.associated(self.kind, id, reference.target, reference.type)
            return portal_id(sides, reference.target, self.value) in others
        field = _field(kind, self.column)
        return sides.portal.value(self.kind, id, field.property) == (field.values or {}).get(self.value, self.value)


async def crossings(sides: Sides, edits: Iterable[Edit]) -> list[tuple[Edit, float]]:
    """Makes all edits one after the other; each with the seconds that it took to cross, in the order in which they arrived."""
    began: dict[Edit, float] = {}
    for edit in edits:
        await edit.make(sides)
        began[edit] = time.perf_counter()
    arrived: list[tuple[Edit, float]] = []

    def missing() -> list[Edit]:
        return [edit for edit in began if edit not in {there for there, _ in arrived}]

    async def all_are_there() -> bool:
        for edit in missing():
            if not await edit.arrived(sides):
                continue
            arrived.append((edit, time.perf_counter() - began[edit]))
        return not missing()

    await sides.until(all_are_there, lambda: "; ".join(f"{one.what} {one.value} in {one.other}" for one in missing()))
    return arrived


def from_database(world: World) -> list[Edit]:
    """Edits in the database: values, a reference, and a new record that refers to another."""
    side = database_side(world)
    person, friend = _shared(world, 1), _shared(world, 2)
    firm = _firm(world, friend.company, 1)
    deal, ticket, task = side["deals"][0], side["tickets"][0], side["tasks"][0]
    state = "waiting_for_us" if ticket["state"] == "closed" else "closed"
    return [
        Edit("database", "contacts", person.email, "phone", "+34 600 000 001", f"phone of {person.given} {person.family}", "+34 600 000 001"),
        Edit("database", "contacts", friend.email, "company_id", firm.name, f"{friend.given} {friend.family} changes to", firm.name),
        Edit("database", "companies", firm.name, "employees", "1234", f"employees of {firm.name}", "1,234"),
        Edit("database", "products", side["products"][-1]["sku"], "price", "333.25", f"price of {side['products'][-1]['sku']}", "333.25"),
        Edit("database", "deals", deal["title"], "amount", "77000", f"amount of {deal['title']}", f"77,000 {deal['currency']}"),
        Edit("database", "tickets", ticket["subject"], "state", state, f"state of {ticket['subject']}", state),
        Edit("database", "tasks", task["title"], "status", "waiting", f"status of {task['title']}", "waiting"),
        Edit("database", "invoices", "DB-2026-9001", "contact_id", person.email, "a new invoice", f"DB-2026-9001 to {person.given} {person.family}",
             (("amount", "4711"), ("currency", "EUR"), ("issued_on", "2026-11-24"), ("due_on", "2026-12-24"))),
    ]  # fmt: skip


def from_portal(world: World) -> list[Edit]:
    """The same in the portal, so that with those of the database every kind has one."""
    side = portal_side(world)
    person, friend = _shared(world, 6), _shared(world, 7)
    firm, group = _firm(world, friend.company, 3), world.companies[world.firms - 1]
    deal, invoice, call = side["deals"][0], side["invoices"][0], side["calls"][0]
    email, note, meeting = side["emails"][0], side["notes"][0], side["meetings"][0]
    about = next(one for one in (person, friend) if one is not world.people[note["contact"]])
    stage = "lost" if deal["stage"] == "won" else "won"
    return [
        Edit("hubspot", "contacts", person.email, "job_title", "Partner since today", f"job title of {person.given} {person.family}", "Partner since today"),
        Edit("hubspot", "contacts", friend.email, "company_id", firm.name, f"{friend.given} {friend.family} changes to", firm.name),
        Edit("hubspot", "companies", firm.name, "parent_id", group.name, f"{firm.name} becomes a subsidiary of", group.name),
        Edit("hubspot", "deals", deal["title"], "stage", stage, f"stage of {deal['title']}", stage),
        Edit("hubspot", "invoices", invoice["number"], "status", "voided", f"status of invoice {invoice['number']}", "voided"),
        Edit("hubspot", "calls", call["subject"], "notes", "Has decided: yes", f"notes of the call {call['subject']}", "Has decided: yes"),
        Edit("hubspot", "emails", email["subject"], "body", "Now it is attached.", f"body of the email {email['subject']}", "Now it is attached."),
        Edit("hubspot", "notes", note["body"], "contact_id", about.email, f"the note {note['body'].partition(';')[0]} is about",
             f"{about.given} {about.family}"),
        Edit("hubspot", "meetings", meeting["title"], "place", "Room 4", f"place of the meeting {meeting['title']}", "Room 4"),
        Edit("hubspot", "deals", "Lobby HS-new", "contact_id", person.email, "a new deal", f"Lobby HS-new of {person.given} {person.family}",
             (("amount", "12500"), ("deal_currency_code", "EUR"), ("pipeline", "default"), ("dealstage", "qualifiedtobuy"))),
    ]  # fmt: skip


def _firm(world: World, but: int, place: int) -> Company:
    """One of the companies that both sides know, from their end, but not this one."""
    return world.companies[next(one for one in range(world.firms - place, 0, -1) if one != but)]


def _shared(world: World, place: int) -> Person:
    """One of the people whom both sides know."""
    return world.people[world.records - world.shared + place]
