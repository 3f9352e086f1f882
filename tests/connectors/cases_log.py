"""Cases of the contract: the log of changes.

Each is shown to fail by a twin with its fault planted (`faults.py`).
"""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from connectors.base import Batch, CursorExpiredError, FieldsChanged, Heartbeat, Marked, Op, Truncated
from tests.connectors.bench import Bench
from tests.connectors.contract_tools import (
    Log,
    all_pages,
    case,
    changes_of,
    exactly,
    following,
    logging,
    merged,
    only,
    opened,
    released,
    same,
    standing_at,
)


@case("log")
async def inserts_updates_and_deletions_come_by_in_order(bench: Bench) -> None:
    async with following(bench) as (_, log):
        record_id = await bench.insert("people", name="Ann", email="ann@example.com")
        await bench.update("people", record_id, name="Anna")
        await bench.delete("people", record_id)
        changes = await log.changes()
        assert [(change.op, change.id) for change in changes] == [
            (Op.UPSERT, record_id),
            (Op.UPSERT, record_id),
            (Op.DELETE, record_id),
        ]
        assert [change.values.get("name") for change in changes] == ["Ann", "Anna", None]
        assert all(later.version.newer_than(earlier.version) for earlier, later in pairwise(changes))
        assert all(change.committed_at > 1_700_000_000 for change in changes)


@case("rekey")
async def a_changed_id_names_the_old_one(bench: Bench) -> None:
    single = await bench.insert("things", code="a", label="x")
    double = await bench.insert("places", country="es", number=1, label="x")
    async with following(bench, "things", "places") as (_, log):
        await bench.update("things", single, code="b,%")
        await bench.update("places", double, number=2, label="y")
        await bench.update("places", "es,2", label="z")
        changes = await log.changes()
        told = {(change.id, change.old_id, change.values["label"]) for change in changes}
        assert told == {("b%2C%25", "a", "x"), ("es,2", "es,1", "y"), ("es,2", None, "z")}


@case("toast")
async def an_unchanged_large_value_is_missing_in_a_change_not_empty(bench: Bench) -> None:
    large = "".join(f"{number:x}·" for number in range(40_000))
    record_id = await bench.insert("people", name="Ann", note=large)
    async with following(bench) as (_, log):
        await bench.update("people", record_id, name="Anna")
        await bench.update("people", record_id, note=large[::-1])
        first, second = exactly(2, await log.changes())
        assert "note" not in first.values
        assert first.values["name"] == "Anna"
        assert second.values["note"] == large[::-1]


@case("merge")
async def a_merge_names_the_survivor(bench: Bench) -> None:
    survivor = await bench.insert("people", name="Ann")
    loser = await bench.insert("people", name="Anne")
    async with following(bench) as (connector, log):
        await bench.update("people", loser, master_id=int(survivor))
        change = only(await log.changes())
        assert (change.op, change.id, change.into) == (Op.MERGE, loser, survivor)
        into = {record.id: record.into for page in await all_pages(connector, "people") for record in page.records}
        assert into == {survivor: None, loser: survivor}


@case("truncate")
async def a_truncation_is_told_as_such_and_in_its_place(bench: Bench) -> None:
    await bench.fill("people", 3)
    async with following(bench) as (_, log):
        await bench.insert("people", name="before")
        await bench.truncate("people")
        await bench.insert("people", name="after")
        events = await log.settled()
        assert [type(event) for event in events] == [Batch, Truncated, Batch]
        assert [change.values["name"] for change in changes_of(events)] == ["before", "after"]


@case("alter")
async def changed_fields_are_told_before_the_rows_that_have_them(bench: Bench) -> None:
    record_id = await bench.insert("things", code="a", label="x")
    async with following(bench, "things") as (connector, log):
        await bench.update("things", record_id, label="before")
        assert [type(event) for event in await log.settled()] == [Batch]
        await bench.add_field("things", "nickname")
        await bench.update("things", record_id, label="after", nickname="Annie")
        events = await log.settled()
        told, batch = events[0], events[-1]
        assert [type(event) for event in events[1:]] == [Batch] * (
            1 if bench.able.capture == "log" else len(events) - 1
        )
        assert isinstance(told, FieldsChanged)
        assert told.object == "things"
        assert [name for name, _ in told.fields or ()] == ["code", "label", "nickname"]
        assert isinstance(batch, Batch)
        assert batch.changes[-1].values["nickname"] == "Annie"
        assert (await connector.discover()).objects["things"].field("nickname") is not None
        record = only(await connector.read("things", [record_id]))
        assert record.values["nickname"] == "Annie"


@case()
async def a_mark_comes_by_behind_all_that_was_committed_and_only_to_its_installation(bench: Bench) -> None:
    async with following(bench) as (connector, log):
        async with opened(bench.connector(installation="other")) as stranger:
            for number in range(5):
                await stranger.mark("foreign")
                await bench.insert("people", name=f"p{number}")
                await connector.mark(f"m{number}")
        seen: list[str] = []
        while "m4" not in seen:
            event = await log.next()
            if isinstance(event, Batch):
                seen += [str(change.values["name"]) for change in event.changes]
            elif isinstance(event, Marked):
                seen.append(event.mark)
        assert sorted(seen) == sorted(name for n in range(5) for name in (f"p{n}", f"m{n}"))
        assert [name for name in seen if name.startswith("m")] == ["m0", "m1", "m2", "m3", "m4"]
        assert all(seen.index(f"p{n}") < seen.index(f"m{n}") for n in range(5)), (
            "a mark has overtaken what was before it"
        )
        if bench.able.capture == "log":
            assert seen == ["p0", "m0", "p1", "m1", "p2", "m2", "p3", "m3", "p4", "m4"]


@case()
async def what_is_not_confirmed_comes_again(bench: Bench) -> None:
    async with opened(bench.connector()) as connector:
        async with logging(bench, connector) as log:
            await bench.insert("people", name="first")
            batch = only(await log.settled())
            await bench.insert("people", name="second")
            await log.settled()
            await log.store(batch)
            assert isinstance(batch, Batch)
            await standing_at(connector, batch.cursor, bench.patience)
        async with opened(bench.connector()) as again, logging(bench, again) as log:
            names = [change.values["name"] for change in await log.changes()]
        assert names == ["second"]
        await released(bench, connector)
        assert await connector.position() is None


@case("lose_log")
async def a_lost_log_is_an_expired_cursor_never_a_gap(bench: Bench) -> None:
    async with opened(bench.connector()) as connector, logging(bench, connector) as log:
        await log.settled()
        await log.store()
        cursor = log.cursor
    await bench.lose_log()
    await bench.insert("people", name="in the gap")
    async with opened(bench.connector()) as connector:
        assert await connector.position() is None
        with pytest.raises(CursorExpiredError):
            async with Log(connector, cursor, bench.patience) as log:
                await log.end()
        async with logging(bench, connector, last=True) as log:
            await bench.insert("people", name="afterwards")
            assert [change.values["name"] for change in await log.changes()] == ["afterwards"]


@case("slot")
async def a_cursor_behind_what_was_confirmed_has_expired(bench: Bench) -> None:
    async with opened(bench.connector()) as connector:
        old = await connector.prepare()
        async with Log(connector, old, bench.patience) as log:
            await bench.insert("people", name="Ann")
            batch = only(await log.settled())
            await bench.insert("people", name="Bob")
            later = only(await log.settled())
            await connector.confirm(later.cursor)
            await standing_at(connector, later.cursor, bench.patience)
        assert batch.cursor != later.cursor
        with pytest.raises(CursorExpiredError):
            async with Log(connector, old, bench.patience) as log:
                await log.next()
        await connector.release()


@case("slot")
async def a_quiet_object_holds_no_log_back(bench: Bench) -> None:
    async with following(bench) as (connector, log):
        await bench.noise()
        before = await bench.held_back()
        assert before > 1_000_000
        for _ in range(20):
            event = await log.next()
            if isinstance(event, FieldsChanged):
                continue  # how it may begin
            assert isinstance(event, Heartbeat), event
            await connector.confirm(event.cursor)
            if await bench.held_back() < before / 2:
                return
        raise AssertionError("the log is still held back")


@case("inserting")
async def an_object_that_is_added_misses_no_transaction_that_was_open(bench: Bench) -> None:
    async with opened(bench.connector("people")) as connector:
        await connector.prepare()
    async with opened(bench.connector("people", "things")) as connector:
        async with bench.inserting("things", code="open", label="x"):
            preparing = asyncio.create_task(connector.prepare())
            await asyncio.wait([preparing], timeout=0.5)
            # Where it does not wait for the transaction, this read comes too early and the log begins too late.
            early = await all_pages(connector, "things") if preparing.done() else None
        cursor = await preparing
        pages = early or await all_pages(connector, "things")
        async with Log(connector, cursor, bench.patience) as log:
            images = [record for page in pages for record in page.records]
            same(merged([*images, *await log.changes()]), await bench.rows("things"))
        await connector.release()


@case("updatable", "deletions", lacks=("log",))
async def what_has_changed_comes_by_in_its_last_state(bench: Bench) -> None:
    async with following(bench) as (_, log):
        record_id = await bench.insert("people", name="Ann", email="ann@example.com")
        before = await log.changes()
        await bench.update("people", record_id, name="Anna")
        await bench.update("people", record_id, name="Annie")
        edited = await log.changes()
        await bench.delete("people", record_id)
        after = await log.changes(deleted=1)
        for changes, op, name in ((before, Op.UPSERT, "Ann"), (edited, Op.UPSERT, "Annie"), (after, Op.DELETE, None)):
            assert changes, f"{op} of {name} has not come by, though a mark that was set behind it has"
            last = changes[-1]
            assert (last.op, last.id, last.values.get("name")) == (op, record_id, name)
        changes = [*before, *edited, *after]
        assert {change.id for change in changes} == {record_id}
        assert all(later.version.newer_than(earlier.version) for earlier, later in pairwise(changes)), (
            "the version of a record must grow with each of its changes: the engine drops an image that is not newer"
        )
        assert all(change.committed_at > 1_700_000_000 for change in changes), "committed_at is in seconds since 1970"


@case(lacks=("log",))
async def what_was_there_and_what_was_told_is_not_told_again(bench: Bench) -> None:
    await bench.fill("people", 5)
    async with opened(bench.connector()) as connector, logging(bench, connector) as log:
        assert await log.changes() == [], "what was there before the log began is seen by reads, and is no change"
        await bench.insert("people", name="new")
        only(await log.changes())
        assert await log.changes() == [], "it was told, and has not changed since"
        await log.store()
    async with opened(bench.connector()) as connector, logging(bench, connector, last=True) as log:
        assert await log.changes() == [], "another instance goes on from the notes: it must not tell everything again"


@case("updatable", "deletions", lacks=("log",))
async def what_changed_while_nobody_looked_is_told(bench: Bench) -> None:
    same_, edited, deleted = await bench.fill("people", 3)
    async with opened(bench.connector()) as connector, logging(bench, connector) as log:
        await log.settled()
        await log.store()
    await bench.update("people", edited, name="edited")
    await bench.delete("people", deleted)
    made = await bench.insert("people", name="made")
    async with opened(bench.connector()) as connector, logging(bench, connector, last=True) as log:
        last = {change.id: change.op for change in await log.changes(deleted=1)}
        assert last == {edited: Op.UPSERT, deleted: Op.DELETE, made: Op.UPSERT}, f"{same_} has not changed"


@case("deletions", lacks=("log",))
async def a_beginning_counts_once_all_of_it_is_noted(bench: Bench) -> None:
    ids = await bench.fill("people", 3)
    async with opened(bench.connector()) as connector:
        assert await connector.position() is None
        cursor = await connector.prepare()
        told = "what has to be noted first is not stored yet when prepare returns"
        assert cursor == "" or bench.able.capture == "token", told
        async with Log(connector, cursor, bench.patience) as log:
            while not bench.memory().take(await log.next()):
                # A crash here: what is noted is no beginning yet, as reads of records that are not noted would be.
                async with opened(bench.connector()) as another:
                    assert await another.position() is None, "only the last item of the beginning has a cursor"
    await bench.delete("people", ids[1])
    async with opened(bench.connector()) as connector, logging(bench, connector, last=True) as log:
        deleted = [change.id for change in await log.changes(deleted=1)]
        assert deleted == [ids[1]], "a record that was there when it began is known, and its deletion noticed"


@case("places")
async def an_object_that_is_added_later_is_captured_from_then_on(bench: Bench) -> None:
    await bench.insert("things", code="there", label="x")
    async with opened(bench.connector("people")) as connector, logging(bench, connector) as log:
        await log.settled()
        await log.store()
    async with opened(bench.connector("people", "things")) as connector, logging(bench, connector, last=True) as log:
        assert await log.changes() == []
        made = await bench.insert("people", name="p")
        await bench.insert("things", code="new", label="y")
        assert {change.id for change in await log.changes()} == {made, "new"}
