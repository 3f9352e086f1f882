"""The in-memory twin keeps the promises of `connectors.base`; what is its own: the knobs by which it breaks them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from connectors.base import (
    Batch,
    Captured,
    Connector,
    Context,
    CursorExpiredError,
    FatalError,
    Fence,
    FencedError,
    FieldsChanged,
    Heartbeat,
    Identifier,
    Marked,
    ObjectUse,
    Op,
    Outcome,
    Pair,
    RetriableError,
    Truncated,
    Write,
    WriteOp,
)
from connectors.memory import App, MemoryConnector, RefusedError, forget_app, make_app
from rules.catalog import Field, FieldType, Kind, Object
from tests.connectors.contract import CASES, cases_for
from tests.connectors.memory_bench import MemoryBench, PolledBench

FIRMS = Object(
    "firms",
    (
        Field("code", FieldType(Kind.TEXT), nullable=False),
        Field("name", FieldType(Kind.TEXT, max_length=10), nullable=False),
    ),
    key=("code",),
)
PEOPLE = Object(
    "people",
    (
        Field("id", FieldType(Kind.INTEGER), nullable=False, read_only=True),
        Field("email", FieldType(Kind.TEXT), unique=True),
        Field("tier", FieldType(Kind.ENUM, options=("gold", "silver"))),
        Field("firm", FieldType(Kind.REFERENCE), references="firms"),
    ),
    key=("id",),
)


@pytest.fixture
def app() -> Iterator[App]:
    yield make_app("crm", PEOPLE, FIRMS)
    forget_app("crm")


def connector(*objects: str, **settings: object) -> MemoryConnector:
    context = Context("test", "crm", tuple(ObjectUse(name) for name in objects or ("people", "firms")))
    return MemoryConnector(
        MemoryConnector.Settings.model_validate({"app": "crm", "heartbeat": 0.01, **settings}), context
    )


@pytest.fixture
async def crm(app: App) -> AsyncIterator[MemoryConnector]:
    opened = connector()
    await opened.open()
    yield opened
    await opened.close()


async def take(log: AsyncIterator[Captured], count: int) -> list[Captured]:
    """So many items, heartbeats left out."""
    items: list[Captured] = []
    async for item in log:
        if not isinstance(item, Heartbeat):
            items.append(item)
        if len(items) == count:
            break
    return items


async def exhaust(log: AsyncIterator[Captured], waiting: asyncio.Future[Captured]) -> None:
    """Reads on until the log ends by an error."""
    await waiting
    async for _ in log:
        pass


def create(number: int, *, sequence: int = 1, identifiers: tuple[Identifier, ...] = (), **values: str) -> Write:
    return Write(
        f"s/l{number}/{sequence}/x",
        f"l{number}",
        sequence,
        WriteOp.CREATE,
        values=dict(values),
        identifiers=identifiers,
    )


def update(number: int, id: str, values: dict[str, str], expect: dict[str, str], sequence: int = 2) -> Write:
    return Write(f"s/l{number}/{sequence}/x", f"l{number}", sequence, WriteOp.UPDATE, id, dict(values), dict(expect))


@pytest.mark.parametrize("name", cases_for(MemoryBench))
async def test_it_keeps_the_contract(name: str) -> None:
    bench = MemoryBench("contract")
    try:
        await CASES[name].run(bench)
    finally:
        forget_app("contract")


@pytest.mark.parametrize("name", cases_for(PolledBench))
async def test_one_without_a_log_and_a_ledger_keeps_the_contract_as_it_declares(name: str) -> None:
    bench = PolledBench("contract")
    try:
        await CASES[name].run(bench)
    finally:
        forget_app("contract")


# Transactions that stay open, and references kept in a table of pairs.
OF_DATABASES = {"inserting", "committing", "paired"}


def test_what_it_does_not_take_part_in_needs_a_database() -> None:
    left_out = {need for entry in CASES.values() for need in entry.needs - MemoryBench.offers()}
    assert left_out == OF_DATABASES


def test_every_case_is_for_one_or_the_other() -> None:
    assert CASES.keys() == {
        *cases_for(MemoryBench),
        *cases_for(PolledBench),
        *(name for name, entry in CASES.items() if entry.needs & OF_DATABASES),
    }


def test_it_is_a_connector() -> None:
    kind: type[Connector] = MemoryConnector
    assert kind is MemoryConnector


# ---------------------------------------------------------------- the log


async def test_what_is_committed_after_prepare_comes_by_in_order_and_nothing_before(
    app: App, crm: MemoryConnector
) -> None:
    app.insert("people", email="old@x.org")
    cursor = await crm.prepare()
    id = app.insert("people", email="new@x.org")
    app.update("people", id, tier="gold")
    app.delete("people", id)
    (batch,) = await take(crm.changes(cursor), 1)
    assert isinstance(batch, Batch)
    assert [change.op for change in batch.changes] == [Op.UPSERT, Op.UPSERT, Op.DELETE]
    assert [change.version.position for change in batch.changes] == [2, 3, 4]


async def test_changes_that_were_not_confirmed_come_again_and_confirmed_ones_do_not(
    app: App, crm: MemoryConnector
) -> None:
    await crm.prepare()
    for number in range(3):
        app.insert("people", email=f"{number}@x.org")
        app.insert("firms", code=str(number), name="n")
    first, second = (await take(crm.changes(None), 6))[:2]
    await crm.confirm(second.cursor)
    again = await take(crm.changes(await crm.position()), 4)
    assert len(again) == 4
    assert int(again[0].cursor) > int(second.cursor) > int(first.cursor)


async def test_a_commit_over_two_objects_is_confirmed_only_as_a_whole(app: App, crm: MemoryConnector) -> None:
    await crm.prepare()
    with app.transaction():
        app.insert("firms", code="a", name="A")
        app.insert("people", email="p@x.org", firm="a")
    firms, people = await take(crm.changes(None), 2)
    await crm.confirm(firms.cursor)
    again = await take(crm.changes(None), 2)
    assert [item.object for item in again if isinstance(item, Batch)] == ["firms", "people"]
    await crm.confirm(people.cursor)
    assert await crm.position() == str(app.position)


async def test_an_object_added_later_is_captured_from_then_on(app: App) -> None:
    early = connector("people")
    await early.open()
    await early.prepare()
    await early.close()
    app.insert("firms", code="before", name="B")
    both = connector()
    await both.open()
    cursor = await both.prepare()
    app.insert("firms", code="after", name="A")
    (batch,) = await take(both.changes(cursor), 1)
    assert isinstance(batch, Batch)
    assert [change.id for change in batch.changes] == ["after"]


async def test_marks_truncations_and_new_fields_come_by_where_they_happened(app: App, crm: MemoryConnector) -> None:
    await crm.prepare()
    app.insert("firms", code="a", name="A")
    await crm.mark("m1")
    app.truncate("firms")
    app.alter(Object("firms", FIRMS.fields[:1], key=("code",)))
    app.drop("firms")
    items = await take(crm.changes(None), 5)
    assert isinstance(items[0], Batch)
    assert isinstance(items[1], Marked)
    assert items[1].mark == "m1"
    assert isinstance(items[2], Truncated)
    assert isinstance(items[3], FieldsChanged)
    assert items[3].fields == (("code", ""),)
    assert isinstance(items[4], FieldsChanged)
    assert items[4].fields is None


async def test_a_changed_key_and_a_merge_say_where_the_record_went(app: App, crm: MemoryConnector) -> None:
    app.insert("firms", code="a", name="A")
    app.insert("firms", code="b", name="B")
    await crm.prepare()
    app.update("firms", "a", code="c")
    app.merge("firms", "c", "b")
    (batch,) = await take(crm.changes(None), 1)
    assert isinstance(batch, Batch)
    moved, merged = batch.changes
    assert (moved.id, moved.old_id) == ("c", "a")
    assert (merged.op, merged.id, merged.into) == (Op.MERGE, "c", "b")


async def test_a_slot_in_use_is_refused_until_its_holder_leaves(app: App, crm: MemoryConnector) -> None:
    await crm.prepare()
    app.insert("people", email="p@x.org")
    log = crm.changes(None)
    await take(log, 1)
    other = connector()
    await other.open()
    with pytest.raises(RetriableError):
        await anext(other.changes(None))
    await crm.close()
    assert len(await take(other.changes(None), 1)) == 1


async def test_a_lost_slot_ends_the_stream_and_has_no_position(app: App, crm: MemoryConnector) -> None:
    await crm.prepare()
    log = crm.changes(None)
    waiting = asyncio.ensure_future(anext(log))
    await app.gates.called("changes")
    app.lose_slots()
    with pytest.raises(CursorExpiredError):
        await exhaust(log, waiting)
    assert await crm.position() is None
    with pytest.raises(CursorExpiredError):
        await anext(crm.changes(None))


async def test_a_log_that_lags_shows_less_than_a_read(app: App, crm: MemoryConnector) -> None:
    await crm.prepare()
    app.hold_log()
    id = app.insert("people", email="p@x.org")
    log = crm.changes(None)
    assert isinstance(await anext(log), Heartbeat)
    (read,) = await crm.read("people", [id])
    app.release_log()
    (batch,) = await take(log, 1)
    assert isinstance(batch, Batch)
    assert not batch.changes[0].version.newer_than(read.version)


async def test_an_unlogged_field_is_absent_where_it_did_not_change(app: App, crm: MemoryConnector) -> None:
    app.knobs.unlogged = frozenset({("people", "email")})
    id = app.insert("people", email="p@x.org")
    await crm.prepare()
    app.update("people", id, tier="gold")
    app.update("people", id, email="q@x.org")
    (batch,) = await take(crm.changes(None), 1)
    assert isinstance(batch, Batch)
    assert "email" not in batch.changes[0].values
    assert batch.changes[1].values["email"] == "q@x.org"


# ---------------------------------------------------------------- reads


async def test_a_full_read_resumes_in_another_process_in_the_order_of_the_key(app: App) -> None:
    ids = [app.insert("people", email=f"{number}@x.org") for number in range(12)]
    seen: list[str] = []
    resume = None
    for _ in range(4):
        one = connector(page_size=3)
        await one.open()
        page = await anext(one.snapshot("people", resume))
        seen += [record.id for record in page.records]
        resume = page.resume
        await one.close()
    assert seen == ids
    assert resume is None


async def test_excluded_fields_and_other_names_hide_the_apps_own(app: App) -> None:
    app.insert("people", email="p@x.org", tier="gold")
    context = Context("test", "crm", (ObjectUse("contacts", {"table": "people", "exclude": ["tier"]}),))
    one = MemoryConnector(MemoryConnector.Settings.model_validate({"app": "crm"}), context)
    await one.open()
    contacts = (await one.discover()).objects["contacts"]
    assert contacts.field("tier") is None
    page = await anext(one.snapshot("contacts", None))
    assert "tier" not in page.records[0].values
    await one.prepare()
    app.insert("people", email="q@x.org", tier="gold")
    (batch,) = await take(one.changes(None), 1)
    assert isinstance(batch, Batch)
    assert batch.object == "contacts"
    assert "tier" not in batch.changes[0].values


# ---------------------------------------------------------------- writes


async def test_each_row_has_its_answer_and_a_refused_one_keeps_no_other_back(app: App, crm: MemoryConnector) -> None:
    id = app.insert("people", email="taken@x.org")
    results = await crm.apply(
        "people",
        [
            create(1, email="new@x.org"),
            create(2, email="taken@x.org"),
            create(3, tier="bronze"),
            create(4, firm="nowhere"),
            create(5, identifiers=(Identifier("email", "email", "taken@x.org"),)),
            update(6, "99", {"tier": "gold"}, {}),
            update(7, id, {"tier": "gold"}, {"tier": "silver"}),
            update(8, id, {"email": "taken@x.org"}, {}),
            create(9, id="7"),
        ],
        None,
    )
    assert [(one.outcome, one.category) for one in results] == [
        (Outcome.APPLIED, None),
        (Outcome.REJECTED, "duplicate"),
        (Outcome.REJECTED, "invalid_value"),
        (Outcome.REJECTED, "association"),
        (Outcome.EXISTS, None),
        (Outcome.MISSING, None),
        (Outcome.CONFLICT, None),
        (Outcome.UNCHANGED, None),
        (Outcome.REJECTED, "invalid_value"),
    ]
    assert results[1].other == id
    assert len(app.rows("people")) == 2


async def test_a_required_value_is_missed_on_create_and_on_update(app: App, crm: MemoryConnector) -> None:
    missed = await crm.apply("firms", [create(1, code="a")], None)
    assert missed[0].category == "missing_required"
    app.insert("firms", code="b", name="B")
    emptied = Write("t", "l", 1, WriteOp.UPDATE, "b", {"name": None})
    assert (await crm.apply("firms", [emptied], None))[0].category == "missing_required"


async def test_a_repeated_token_writes_once_and_answers_with_the_record(app: App, crm: MemoryConnector) -> None:
    app.knobs.lose_answers = 1
    (lost,) = await crm.apply("people", [create(1, email="p@x.org")], None)
    assert lost.outcome is Outcome.UNKNOWN
    (again,) = await crm.apply("people", [create(1, email="p@x.org")], None)
    assert again.outcome is Outcome.APPLIED
    assert again.record is not None
    assert again.record.values["email"] == "p@x.org"
    assert len(app.rows("people")) == 1


async def test_a_sequence_used_with_another_digest_is_a_conflict(app: App, crm: MemoryConnector) -> None:
    await crm.apply("people", [create(1, email="p@x.org")], None)
    other = Write("s/l1/1/y", "l1", 1, WriteOp.CREATE, values={"email": "q@x.org"})
    assert (await crm.apply("people", [other], None))[0].outcome is Outcome.CONFLICT
    assert len(app.rows("people")) == 1


async def test_a_lost_write_is_not_done_and_does_not_move_the_fence(app: App, crm: MemoryConnector) -> None:
    app.knobs.lose_writes = 1
    fence = Fence("commands-0", 1, 10)
    assert (await crm.apply("people", [create(1, email="p@x.org")], fence))[0].outcome is Outcome.UNKNOWN
    assert app.rows("people") == {}
    assert (await crm.apply("people", [create(1, email="p@x.org")], fence))[0].outcome is Outcome.APPLIED


async def test_behind_the_fence_nothing_is_written_even_where_a_person_put_the_value_back(
    app: App, crm: MemoryConnector
) -> None:
    id = app.insert("people", email="p@x.org", tier="gold")
    write = update(1, id, {"tier": "silver"}, {"tier": "gold"})
    await crm.apply("people", [write], Fence("commands-0", 1, 10))
    app.ledgers["test/crm"].links.clear()  # so that the fence alone stands in the way
    app.update("people", id, tier="gold")
    (again,) = await crm.apply("people", [write], Fence("commands-0", 2, 10))
    assert again.outcome is Outcome.RETRY
    assert app.rows("people")[id]["tier"] == "gold"


async def test_an_older_owner_is_fenced(app: App, crm: MemoryConnector) -> None:
    await crm.apply("people", [], Fence("commands-0", 2, 10))
    with pytest.raises(FencedError):
        await crm.apply("people", [create(1, email="p@x.org")], Fence("commands-0", 1, 11))
    assert app.rows("people") == {}


async def test_our_own_writes_carry_their_token_in_the_log_with_the_version_of_the_answer(
    app: App, crm: MemoryConnector
) -> None:
    await crm.prepare()
    results = await crm.apply("people", [create(1, email="a@x.org"), create(2, email="b@x.org")], None)
    (batch,) = await take(crm.changes(None), 1)
    assert isinstance(batch, Batch)
    assert [change.token for change in batch.changes] == ["s/l1/1/x", "s/l2/1/x"]
    assert [change.version for change in batch.changes] == [one.record and one.record.version for one in results]


async def test_the_account_remembers_pairs(app: App, crm: MemoryConnector) -> None:
    pair = Pair("contacts", "shop", "customers", "17")
    write = Write("t", "l", 1, WriteOp.CREATE, values={"email": "p@x.org"}, pair=pair)
    (result,) = await crm.apply("people", [write], None)
    page = await anext(crm.snapshot("people", None))
    assert page.records[0].pairs == (pair,)
    assert [record.id for record in await crm.find("people", [Identifier("email", "email", "p@x.org")])] == [result.id]


# ---------------------------------------------------------------- failures


async def test_an_account_that_is_down_raises_from_calls_and_from_a_stream(app: App, crm: MemoryConnector) -> None:
    await crm.prepare()
    log = crm.changes(None)
    waiting = asyncio.ensure_future(anext(log))
    await app.gates.called("changes")
    app.fail(RetriableError("down for maintenance"))
    with pytest.raises(RetriableError):
        await exhaust(log, waiting)
    with pytest.raises(RetriableError):
        await crm.read("people", [])
    app.recover()
    with pytest.raises(RetriableError, match="closed"):
        await crm.read("people", [])
    await crm.open()
    assert await crm.read("people", []) == []


async def test_an_app_that_is_not_there_is_fatal() -> None:
    with pytest.raises(FatalError):
        await connector().open()


def test_a_record_that_others_refer_to_is_not_deleted(app: App) -> None:
    app.insert("firms", code="a", name="A")
    app.insert("people", email="p@x.org", firm="a")
    with pytest.raises(RefusedError) as refused:
        app.delete("firms", "a")
    assert refused.value.category == "association"
