"""Capture and delivery over a real PostgreSQL: one connector instance streams, reads, marks and confirms at the same
time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, LiteralString

import psycopg
import pytest

from connectors import registry
from rules.config import AccountConfig, Installation
from rules.events import Captured, Command, Commands, LogStarted, Marked, ReadDone, ReadRecords, ReadRequest, SetMark
from streams.accounts import Accounts
from streams.capture import AccountCapture, CaptureTimes
from streams.lanes import AccountLanes
from streams.protocols import Configuration, FenceBase
from tests.streams.twins import FAST, Changes, Inbox, Source, State, ended, within

ROWS = 3000
BREAK: LiteralString = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name LIKE 'tandem%'"
)
DROP: LiteralString = (
    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()"
)


class World:
    """A database with people, captured into `changes`."""

    def __init__(self, url: str) -> None:
        self.url = url
        document = {
            "name": "test",
            "accounts": {"crm": {"connector": "postgres"}, "shop": {"connector": "postgres"}},
            "syncs": {"contacts": {"between": {"crm": "people", "shop": "people"}}},
        }
        self.source = Source(Configuration(1, "test", document))
        self.changes = Changes(room=20)
        self.state = State(self.changes)
        self.start()

    def resolve(self, document: Any) -> Installation:
        named = {"connector": "postgres", "url": self.url}
        return Installation(accounts={name: AccountConfig.model_validate(named) for name in document["accounts"]})

    def accounts(self) -> Accounts:
        return Accounts(self.source, self.resolve, registry.find)

    def start(self) -> None:
        times = CaptureTimes(pacing=FAST, report_after=0.0)
        self.service = AccountCapture("crm", self.changes, self.state, self.accounts(), times)
        self.task = asyncio.create_task(self.service.run())

    async def sql(self, query: LiteralString) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            cursor = await connection.execute(query)
            return await cursor.fetchall() if cursor.description else []

    async def until(self, condition: Any) -> None:
        waiting = asyncio.ensure_future(within(30, self.changes.until(condition)))
        await asyncio.wait([waiting, self.task], return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            waiting.cancel()
            self.task.result()
        await waiting

    def order(self, order: Any) -> None:
        self.state.order(order)
        self.service.wake()


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute("CREATE TABLE people (id serial PRIMARY KEY, name text, email text UNIQUE)")
        await connection.execute(f"INSERT INTO people (name) SELECT 'p' || n FROM generate_series(1, {ROWS}) n")
    one = World(database)
    yield one
    await within(5, ended(one.task))
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_reads_live_changes_and_marks_go_side_by_side_and_survive_broken_connections(world: World) -> None:
    world.order(ReadRequest("crm~shop", "crm", "people", "contacts", "contacts#1"))
    await world.until(lambda log: log.rows(read="contacts#1"))
    await world.sql("INSERT INTO people (name) VALUES ('live')")
    world.order(SetMark("crm", "m1"))
    world.order(ReadRecords("crm~shop", "crm", "people", ("1", "999999")))
    await world.sql(BREAK)
    await world.sql("UPDATE people SET name = 'edited' WHERE id = 2")
    await world.until(lambda log: log.events(Marked) and log.events(ReadDone) and "edited" in names(world))
    await world.until(lambda _: world.state.route() and not world.state.errands)
    assert {row.id for row in world.changes.rows(read="contacts#1")} >= {str(id) for id in range(1, ROWS + 1)}
    assert [name for name in dict.fromkeys(names(world)) if name in ("live", "edited")] == ["live", "edited"]
    assert len(world.changes.events(LogStarted)) == 1


async def test_the_next_owner_goes_on_where_the_last_has_confirmed(world: World) -> None:
    await world.until(lambda log: log.events(LogStarted))
    world.order(SetMark("crm", "m1"))
    await world.until(lambda log: log.events(Marked))
    await within(5, ended(world.task))
    await world.sql("INSERT INTO people (name) VALUES ('meanwhile')")
    world.start()
    await world.until(lambda _: "meanwhile" in names(world))
    assert len(world.changes.events(LogStarted)) == 1


async def test_a_dropped_slot_is_announced_and_made_anew(world: World) -> None:
    world.order(SetMark("crm", "m1"))
    await world.until(lambda log: log.events(Marked))
    dropped = False
    while not dropped:
        await world.sql(BREAK)
        try:
            await world.sql(DROP)
            dropped = True
        except psycopg.errors.ObjectInUse:  # capture was faster
            continue
    await world.until(lambda log: len(log.events(LogStarted)) >= 2)
    world.order(SetMark("crm", "m2"))
    await world.until(lambda log: Marked("crm", "m2") in log.events(Marked))


async def test_writes_are_delivered_answered_and_come_by_in_the_log_with_their_token(world: World) -> None:
    world.order(SetMark("crm", "m1"))
    await world.until(lambda log: log.events(Marked))
    inbox = Inbox()
    lanes = AccountLanes(FenceBase("test/commands-0", 1), inbox, world.accounts())
    creates = [
        Command("contacts", f"l{n}", 1, f"contacts/l{n}/1/1/x", "create", None, {"name": f"new {n}"}, {})
        for n in range(700)
    ]
    first = await within(30, lanes.submit(0, Commands("crm~shop", "crm", "people", tuple(creates))))
    assert {answer.outcome for answer in first.answers} == {"applied"}
    await world.sql(BREAK)
    again = await within(30, lanes.submit(1, Commands("crm~shop", "crm", "people", tuple(creates))))
    assert [answer.id for answer in again.answers] == [answer.id for answer in first.answers]
    assert await world.sql("SELECT count(*) FROM people WHERE name LIKE 'new %'") == [(700,)]
    await world.until(lambda log: {row.token for row in log.rows()} >= {command.token for command in creates})
    assert inbox.sent == []
    await within(5, lanes.stop())


def names(world: World) -> list[Any]:
    return [row.values.get("name") for event in world.changes.events(Captured) if not event.read for row in event.rows]
