"""Cases of the contract: writes and their answers.

Each is shown to fail by a twin with its fault planted (`faults.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from connectors.base import Fence, Identifier, Op, Outcome, Result, WriteOp
from tests.connectors.bench import Bench
from tests.connectors.contract_tools import (
    all_pages,
    applied,
    case,
    create,
    following,
    in_batches,
    one,
    only,
    opened,
    update,
    write,
)


@case("echoes", "updatable")
async def a_create_returns_the_record_as_stored_and_comes_by_with_its_token(bench: Bench) -> None:
    async with following(bench) as (connector, log):
        each = create("l", {"name": "Ann", "email": "ann@example.com", "amount": "1.5"})
        result = applied(await one(connector, each))
        assert result.id is not None
        assert result.record is not None
        assert result.record.id == result.id
        assert result.record.values["amount"] == "1.5"
        edit = update("l", result.id, {"age": 7}, sequence=2)
        applied(await one(connector, edit))
        await bench.update("people", result.id, name="Anna")
        changes = await log.changes()
        assert [(change.id, change.token) for change in changes] == [
            (result.id, each.token),
            (result.id, edit.token),
            (result.id, None),
        ]
        assert not result.record.version.newer_than(changes[1].version)
        assert changes[2].version.newer_than(result.record.version)


@case("trigger")
async def the_stored_form_is_returned_not_the_given_one(bench: Bench) -> None:
    await bench.trim_on_write("people", "name")
    async with opened(bench.connector()) as connector:
        result = applied(await one(connector, create("l", {"name": "  Ann ", "amount": "1.005"})))
        assert result.record is not None
        assert (result.record.values["name"], result.record.values["amount"]) == ("Ann", "1.01")


@case("updatable", "deletable")
async def a_stale_compare_and_set_answers_conflict_and_writes_nothing(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann", age=1)
    async with opened(bench.connector()) as connector:
        await bench.update("people", record_id, name="Anna")
        stale = update("l", record_id, {"name": "Zoe"}, expect={"name": "Ann", "age": 1})
        removal = write(WriteOp.DELETE, "k", id=record_id, expect={"name": "Ann"})
        for each in (stale, removal):
            result = await one(connector, each)
            assert result.outcome is Outcome.CONFLICT
            assert result.record is not None
            assert result.record.values["name"] == "Anna"
        assert (await bench.rows("people"))[record_id]["name"] == "Anna"
        fresh = update("l", record_id, {"name": "Zoe"}, expect={"name": "Anna", "age": 1, "email": None})
        applied(await one(connector, fresh))
        assert (await bench.rows("people"))[record_id]["name"] == "Zoe"


@case("writes")
async def a_write_without_a_difference_is_unchanged_and_not_made(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann", amount="1.50", age=None)
    before = await bench.writes_since("people", record_id)
    async with opened(bench.connector()) as connector:
        each = update("l", record_id, {"name": "Ann", "amount": "1.5", "age": None}, expect={"name": "stale"})
        result = await one(connector, each)
        assert result.outcome is Outcome.UNCHANGED
        assert result.record is not None
        assert result.record.values["name"] == "Ann"
    assert await bench.writes_since("people", record_id) == before


@case()
async def three_of_a_hundred_refused_leave_the_others_written(bench: Bench) -> None:
    taken = await bench.insert("people", name="Ann", email="taken@example.com")
    refused = dict(zip((17, 50, 83), bench.refusals().values(), strict=False))
    assert refused, "every app refuses something"
    writes = [
        create(f"l{number}", refused[number].values if number in refused else {"name": f"p{number}", "age": number})
        for number in range(100)
    ]
    async with opened(bench.connector()) as connector:
        results = await in_batches(bench, connector, writes, 1)
        for number, result in enumerate(results):
            if number not in refused:
                applied(result)
                continue
            found = (result.outcome, result.category, result.field)
            assert found == (Outcome.REJECTED, refused[number].category, refused[number].field), result
            assert result.message
            assert result.category != "duplicate" or result.other == taken
        names = {row["name"] for row in (await bench.rows("people")).values()}
        assert names == {"Ann", *(f"p{number}" for number in range(100) if number not in refused)}


@case("unique", "updatable")
async def of_updates_that_take_anothers_value_the_others_are_written(bench: Bench) -> None:
    await bench.insert("people", name="Ann", email="taken@example.com")
    ids = [await bench.insert("people", name=f"p{number}") for number in range(3)]
    edits = [
        update(f"u{place}", ids[place], {"email": f"{email}@example.com"})
        for place, email in enumerate(("a", "taken", "c"))
    ]
    async with opened(bench.connector()) as connector:
        outcomes = [result.outcome for result in await connector.apply("people", edits, Fence("f", 1, 2))]
        assert outcomes == [Outcome.APPLIED, Outcome.REJECTED, Outcome.APPLIED]


@case("lengths", "updatable")
async def an_oversized_value_is_refused(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann")
    async with opened(bench.connector()) as connector:
        for each in (create("a", {"name": "x" * 21}), update("b", record_id, {"name": "x" * 21})):
            result = await one(connector, each)
            assert (result.outcome, result.category, result.field) == (Outcome.REJECTED, "invalid_value", "name")
        assert {row["name"] for row in (await bench.rows("people")).values()} == {"Ann"}


@case("updatable")
async def a_large_value_survives(bench: Bench) -> None:
    large = ("ñandú " * (bench.large // 6 + 1))[: bench.large - 1] + "."
    record_id = await bench.insert("people", name="Ann")
    async with following(bench) as (connector, log):
        result = applied(await one(connector, update("c", record_id, {"note": large})))
        assert result.record is not None
        assert result.record.values["note"] == large
        change = only(await log.changes())
        assert change.values["note"] == large
        page = only(await all_pages(connector, "people"))
        assert page.records[0].values["note"] == large


@case("deletable", "updatable", "deletions")
async def deletions_and_updates_of_what_is_gone_are_missing(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann")
    async with following(bench) as (connector, log):
        result = await one(connector, write(WriteOp.DELETE, "l", id=record_id, expect={"name": "Ann"}))
        assert (applied(result).id, result.record) == (record_id, None)
        assert await bench.rows("people") == {}
        change = only(await log.changes(deleted=1))
        assert (change.op, change.id) == (Op.DELETE, record_id)
        for each in (
            write(WriteOp.DELETE, "l", sequence=2, id=record_id),
            update("k", record_id, {"name": "x"}),
            update("j", "no id at all", {"name": "x"}),
        ):
            assert (await one(connector, each)).outcome is Outcome.MISSING


@case()
async def a_create_finds_the_record_that_is_there_by_any_spelling_of_an_identifier(bench: Bench) -> None:
    ann = await bench.insert("people", name="Ann", email="  Ánn.Straße@Example.COM ")
    acme = await bench.insert("people", name="Acme  Ltd", domain="https://www.Acme.com:8080/about?x=1")
    await bench.searchable()
    async with opened(bench.connector()) as connector:
        for field, type_, value, expected in (
            ("email", "email", "ánn.strasse@example.com", ann),
            ("domain", "domain", "acme.com", acme),
            ("name", "name", "acme ltd", acme),
        ):
            identifiers = (Identifier("email", "email", "nobody@example.com"), Identifier(field, type_, value))
            result = await one(connector, create(f"l{field}", {"name": "x", field: value}, identifiers=identifiers))
            assert (result.outcome, result.id) == (Outcome.EXISTS, expected)
            assert result.record is not None
            assert result.record.id == expected
            found = only(await connector.find("people", identifiers))
            assert found.id == expected
        assert len(await bench.rows("people")) == 2
        two = [
            create(
                f"k{number}",
                {"name": "Bob", "email": "bob@example.com"},
                identifiers=(Identifier("email", "email", "bob@example.com"),),
            )
            for number in range(2)
        ]
        made, existing = await connector.apply("people", two, None)
        assert (made.outcome, existing.outcome) == (Outcome.APPLIED, Outcome.EXISTS)
        assert existing.id == made.id


@case("inserting")
async def a_create_beside_a_person_who_makes_the_same_finds_theirs(bench: Bench) -> None:
    async with opened(bench.connector()) as connector:
        each = create(
            "l",
            {"name": "Ann", "email": "ann@example.com"},
            identifiers=(Identifier("email", "email", "ann@example.com"),),
        )
        other = create("k", {"name": "Zoe", "email": "ann@example.com"})
        async with bench.inserting("people", name="Anna", email="ann@example.com"):
            answer = asyncio.create_task(connector.apply("people", [each], None))
            # It has looked and found nobody, and now the app's unique rule holds it up.
            while not await bench.waiting():
                assert not answer.done(), await answer
        result = only(await answer)
        if result.outcome is Outcome.RETRY:
            result = only(await connector.apply("people", [each], None))
        assert result.outcome is Outcome.EXISTS, result
        assert result.record is not None
        assert result.record.values["name"] == "Anna"
        refused = await one(connector, other)
        assert (refused.outcome, refused.category, refused.other) == (Outcome.REJECTED, "duplicate", result.id)


@case("holding")
async def a_row_that_somebody_holds_is_answered_retry_and_the_others_are_written(bench: Bench) -> None:
    ids = await bench.fill("people", 20)
    async with opened(bench.connector()) as connector:
        writes = [update(f"l{record_id}", record_id, {"age": 77}) for record_id in ids]
        async with bench.holding("people", ids[7]):
            results = await asyncio.wait_for(connector.apply("people", writes, Fence("f", 1, 1)), bench.patience)
        assert [result.outcome for result in results] == [
            Outcome.RETRY if place == 7 else Outcome.APPLIED for place in range(20)
        ]
        # The same owner may come again for what it could not do.
        again = await connector.apply("people", writes, Fence("f", 1, 1))
        done = {Outcome.APPLIED} if bench.able.fenced else {Outcome.APPLIED, Outcome.UNCHANGED}
        assert {result.outcome for result in again} <= done
        assert {row["age"] for row in (await bench.rows("people")).values()} == {77}


@case("types")
async def every_type_goes_there_and_back_by_every_way(bench: Bench) -> None:
    types = bench.types()
    length = max(map(len, types.values()))
    rows = [{name: values[place % len(values)] for name, values in types.items()} for place in range(length)]
    rows.append(dict.fromkeys(types))
    async with following(bench, "samples") as (connector, log):
        fields = {field.name for field in (await connector.discover()).objects["samples"].fields}
        assert fields == {"id", *types}
        writes = [create(f"l{place}", values) for place, values in enumerate(rows)]
        results = await connector.apply("samples", writes, None)
        changes = {change.id: change.values for change in await log.changes()}
        read = {record.id: record.values for page in await all_pages(connector, "samples") for record in page.records}
        edits = []
        for result, values in zip(results, rows, strict=True):
            assert applied(result).record is not None
            assert result.id is not None
            for image in (result.record.values, changes[result.id], read[result.id]):  # type: ignore[union-attr]
                different = {name: (image[name], values[name]) for name in values if image[name] != values[name]}
                assert not different, different
            edits.append(update(f"u{result.id}", result.id, values, expect=values))
        # Compared and set with their own values, all agree: nothing is written.
        again: Sequence[Result] = await connector.apply("samples", edits, None)
        assert {result.outcome for result in again} == {Outcome.UNCHANGED}
        turned = [
            update(f"v{result.id}", str(result.id), rows[place - 1], expect=rows[place])
            for place, result in enumerate(results)
        ]
        for result, values in zip(await connector.apply("samples", turned, None), rows[-1:] + rows[:-1], strict=True):
            assert applied(result).record is not None
            assert {name: result.record.values[name] for name in values} == values  # type: ignore[union-attr]


@case()
async def a_full_batch_is_taken_in_one_call(bench: Bench) -> None:
    size = bench.able.batch_size
    async with opened(bench.connector()) as connector:
        writes = [create(f"l{number}", {"name": f"p{number}"}) for number in range(size)]
        results = await connector.apply("people", writes, None)
        assert [result.token for result in results] == [each.token for each in writes], (
            "one answer each, in their order"
        )
        assert {result.outcome for result in results} == {Outcome.APPLIED}
        assert len({result.id for result in results}) == size
        assert await connector.apply("people", [], None) == []
    assert len(await bench.rows("people")) == size


@case("updatable", lacks=("echoes",))
async def our_own_writes_come_by_as_changes(bench: Bench) -> None:
    async with following(bench) as (connector, log):
        result = applied(await one(connector, create("l", {"name": "Ann", "email": "ann@example.com"})))
        assert result.id is not None
        assert result.record is not None
        assert {name: result.record.values[name] for name in ("name", "email")} == {
            "name": "Ann",
            "email": "ann@example.com",
        }
        edited = applied(await one(connector, update("l", result.id, {"age": 7}, sequence=2)))
        assert edited.record is not None
        changes = await log.changes()
        assert changes, "other syncs of the object see our writes in the log alone"
        assert {change.id for change in changes} == {result.id}
        assert str(changes[-1].values["age"]) == "7"
        assert not result.record.version.newer_than(changes[-1].version)
        await bench.update("people", result.id, name="Anna")
        last = (await log.changes())[-1]
        assert last.values["name"] == "Anna"
        assert last.version.newer_than(edited.record.version)
