"""What the two sides of the HubSpot demo hold when it begins: records that look like life and are the same on every run.

Responsible for the records and for putting them into a database and a portal. Must not know the pipeline.

People, companies and products overlap, and where they overlap they differ here and there. What has nothing to be known
again by (deals, invoices, tickets, the five activities) is each side's own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from console.demo_data import World
from console.demo_hubspot_kinds import KINDS, TABLES, Kind
from console.demo_hubspot_portal import FakePortal

Row = dict[str, Any]  # by column; `contact`, `company`, `parent` are numbers of the world
Side = dict[str, list[Row]]

JOBS = ("Buyer", "Managing director", "Engineer", "Accountant", "Office manager", "Head of sales")
CITIES = {"ES": "Madrid", "FR": "Lyon", "DE": "Berlin", "SE": "Malmö", "IE": "Cork"}
GOODS = ("Desk", "Chair", "Lamp", "Shelf", "Cabinet", "Screen", "Planter", "Table")
WOODS = ("oak", "ash", "beech", "walnut", "pine")
# A stage is written together with its pipeline; the database knows one pipeline alone, which its stages tell.
PIPELINES = {"deals": {"pipeline": "default"}, "tickets": {"hs_pipeline": "0"}}
NAMELESS = 3
TODAY = datetime(2026, 11, 24, 9, tzinfo=UTC)


def database_side(world: World) -> Side:
    """What the database holds."""
    companies = [
        _company(world, number) | {"phone": None if number % 3 == 0 else _phone(number)}
        for number in world.crm_companies
    ]
    contacts = [
        _contact(world, number)
        | {"email": world.people[number].email.upper() if number % 41 == 0 else world.people[number].email}
        | ({"phone": None} if number % 9 == 0 else {})
        for number in world.crm_people
    ]
    contacts += [{"first_name": f"Walk-in {number + 1}", "company": None} for number in range(NAMELESS)]
    return _rest(world, "DB", world.crm_people, {"companies": companies, "contacts": contacts})


def portal_side(world: World) -> Side:
    """What the portal holds."""
    companies = [
        _company(world, number)
        | ({"domain": f"www.{world.companies[number].domain}"} if number % 5 == 0 else {})
        | {"phone": _phone(number)}
        | ({"parent": None} if number in world.crm_companies else {})
        for number in world.shop_companies
    ]
    contacts = [
        _contact(world, number)
        | ({"phone": None} if number % 11 == 0 else {})
        | ({"job_title": "Partner"} if number % 13 == 0 else {})
        for number in reversed(world.shop_people)
    ]
    return _rest(world, "HS", world.shop_people, {"companies": companies, "contacts": contacts})


def _phone(number: int) -> str:
    return f"+34 91 555 {number % 10_000:04d}"


def _company(world: World, number: int) -> Row:
    one = world.companies[number]
    parent = number - 1 if number % 4 == 1 else None  # a group and its subsidiary
    return {
        "name": one.name,
        "domain": one.domain,
        "city": CITIES[one.country],
        "country": one.country,
        "employees": str(one.employees),
        "parent": parent,
        "number": number,
    }


def _contact(world: World, number: int) -> Row:
    one = world.people[number]
    return {
        "email": one.email,
        "first_name": one.given,
        "last_name": one.family,
        "phone": one.phone,
        "job_title": JOBS[number % len(JOBS)],
        "company": one.company,
        "number": number,
    }


def _rest(world: World, mark: str, people: range, side: Side) -> Side:
    """Products, and what has been going on with the people of a side."""
    dice = random.Random(mark)
    many = max(4, world.records // 10)
    first = 0 if mark == "DB" else many // 2
    side["products"] = [_product(number, mark) for number in range(first, first + many)]

    def who() -> Row:
        number = dice.choice(people)
        return {"contact": number, "company": world.people[number].company}

    def later(days: int) -> str:
        return f"{TODAY + timedelta(days=days, minutes=dice.randrange(0, 480, 15)):%Y-%m-%dT%H:%M:%S.000Z}"

    for name, count in (("deals", 2 * many), ("invoices", many), ("tickets", many)):
        side[name] = [_business(name, mark, number, dice, later) | who() for number in range(1, count + 1)]
    for name in ("calls", "emails", "tasks", "notes", "meetings"):
        side[name] = [_activity(name, mark, number, dice, later) | who() for number in range(1, many + 1)]
    return side


def _product(number: int, mark: str) -> Row:
    good, wood = GOODS[number % len(GOODS)], WOODS[number // len(GOODS) % len(WOODS)]
    series = number // (len(GOODS) * len(WOODS)) + 1
    return {
        "sku": f"{good[:3].upper()}-{number + 1:03d}",
        "name": f"{good} in {wood}, series {series}",
        "price": str(49 + 10 * number) + (".5" if number % 2 else ""),
        "description": "Made to measure" if (mark == "DB") == bool(number % 3) else None,
        "active": "true",
    }


def _business(name: str, mark: str, number: int, dice: random.Random, later: Any) -> Row:
    amount, currency = str(dice.randrange(500, 40_000)) + dice.choice(("", ".5")), dice.choice(("EUR", "USD", "GBP"))
    if name == "deals":
        stage = dice.choice(("new", "new", "qualified", "proposal", "won", "lost"))
        title = f"{dice.choice(('Furniture', 'Refit', 'Meeting rooms', 'Reception', 'New floor'))} {mark}-{number}"
        return {"title": title, "amount": amount, "currency": currency, "stage": stage, "closes_at": later(30)}
    if name == "invoices":
        issued = date(2026, 11, 1) + timedelta(days=dice.randrange(20))
        given = {"number": f"{mark}-2026-{number:04d}", "amount": amount, "currency": currency}
        days = {"issued_on": str(issued), "due_on": str(issued + timedelta(days=30))}
        return given | days | {"status": dice.choice(("draft", "open", "paid"))}
    what = dice.choice(("Delivery is late", "A drawer is stuck", "Wrong address", "Needs a quote"))
    return {
        "subject": f"{what} ({mark} {number})",
        "description": dice.choice((None, "Reported by phone", "Please call back before noon")),
        "state": dice.choice(("new", "waiting_for_contact", "waiting_for_us", "closed")),
        "priority": dice.choice(("low", "medium", "high")),
    }


def _activity(name: str, mark: str, number: int, dice: random.Random, later: Any) -> Row:
    about = f"{dice.choice(('order', 'offer', 'delivery', 'visit'))} {mark} {number}"
    past, soon = later(-10), later(7)
    match name:
        case "calls":
            way = dice.choice(("in", "out"))
            return {"subject": f"About {about}", "notes": "Will decide soon", "called_at": past, "direction": way}
        case "emails":
            return {"subject": f"Your {about}", "body": "Please find it attached.", "sent_at": past}
        case "tasks":
            return {"title": f"Follow up {about}", "status": dice.choice(("to_do", "doing", "done")), "due_at": soon}
        case "notes":
            return {"body": f"Asked for {about}; prefers mornings", "written_at": past}
        case _:
            end = f"{datetime.fromisoformat(soon) + timedelta(hours=1):%Y-%m-%dT%H:%M:%S.000Z}"
            place = dice.choice(("Showroom", "Online", "At the customer's"))
            return {"title": f"Review {about}", "starts_at": soon, "ends_at": end, "place": place}


# ---------------------------------------------------------------- into the database


def fill_database(url: str, side: Side) -> None:
    """Tables and rows."""
    ids: dict[str, dict[int, int]] = {"contacts": {}, "companies": {}}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES)
        with connection.transaction(), connection.cursor() as cursor:
            for kind in KINDS:
                rows = side[kind.name]
                if kind.name in ids:
                    ids[kind.name] = {row["number"]: at for at, row in enumerate(rows, 1) if "number" in row}
                columns = [*(one.column for one in kind.fields), *(one.column for one in kind.references)]
                statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
                    sql.Identifier(kind.name), sql.SQL(", ").join(map(sql.Identifier, ["id", *columns]))
                )
                with cursor.copy(statement) as copy:
                    for at, row in enumerate(rows, 1):
                        copy.write_row([at, *(row.get(one.column) for one in kind.fields), *_keys(kind, row, ids)])
                cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", (kind.name, len(rows)))
        connection.execute("ANALYZE")


def _keys(kind: Kind, row: Row, ids: Mapping[str, Mapping[int, int]]) -> Iterator[int | None]:
    for one in kind.references:
        yield ids[one.target].get(row[one.column.removesuffix("_id")])


# ---------------------------------------------------------------- into the portal


def fill_portal(portal: FakePortal, side: Side) -> None:
    """Records and their associations, made as people make them: beside the limits of the API."""
    ids: dict[str, dict[int, str]] = {"contacts": {}, "companies": {}}
    for kind in KINDS:
        rows = side[kind.name]
        made = portal.make(kind.name, [properties(kind, row) for row in rows])
        if kind.name in ids:
            ids[kind.name] = {row["number"]: id for row, id in zip(rows, made, strict=True)}
        for one in kind.references:
            known = ids[one.target]
            pairs = [
                (id, known[row[one.column.removesuffix("_id")]])
                for row, id in zip(rows, made, strict=True)
                if row[one.column.removesuffix("_id")] in known
            ]
            portal.relate(kind.name, one.target, pairs, one.type)


def properties(kind: Kind, row: Row) -> dict[str, str]:
    """A row as HubSpot's properties."""
    given = [(one, row.get(one.column)) for one in kind.fields]
    values = {one.property: (one.values or {}).get(value, value) for one, value in given if value is not None}
    return values | PIPELINES.get(kind.name, {})


def counts(side: Side) -> Sequence[tuple[str, int]]:
    """How many there are of each kind."""
    return [(name, len(rows)) for name, rows in side.items()]
