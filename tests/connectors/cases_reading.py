"""Cases of the contract: reading, and what the catalog declares.

Each is shown to fail by a twin with its fault planted (`faults.py`).
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from connectors.base import Change, FatalError, Identifier, Page, Record, RetriableError
from tests.connectors.bench import Bench
from tests.connectors.contract_tools import all_pages, applied, case, following, merged, one, only, opened, same, update
from tests.connectors.contract_values import canonical


@case()
async def a_read_resumes_in_the_middle_in_another_process(bench: Bench) -> None:
    for name in bench.objects:
        number = bench.page + bench.page // 2
        ids = await bench.fill(name, number)
        async with (
            opened(bench.connector(name)) as first,
            aclosing(first.snapshot(name, None)) as pages,  # type: ignore[type-var]
        ):
            page = await anext(pages)
        assert page.resume is not None
        assert 0 < len(page.records) < number
        async with opened(bench.connector(name)) as second:
            rest = await all_pages(second, name, page.resume)
        read = [record.id for each in (page, *rest) for record in each.records]
        assert read == ids
        assert [each.resume is None for each in rest] == [False] * (len(rest) - 1) + [True]


@case()
async def an_empty_object_reads_as_one_empty_page(bench: Bench) -> None:
    async with opened(bench.connector("people")) as connector:
        assert await all_pages(connector, "people") == [Page("people", (), None)]


@case("ordered", "deletions")
async def edits_during_a_read_are_seen_by_the_read_or_the_log(bench: Bench) -> None:
    size = bench.page
    ids = await bench.fill("people", 2 * size + 300)
    async with following(bench) as (connector, log):
        images: list[Record | Change] = []
        async with aclosing(connector.snapshot("people", None)) as pages:  # type: ignore[type-var]
            number = 0
            async for page in pages:
                images += page.records
                # In what has been read, in what is being read ahead, and in what has not been read yet.
                for place in (5 + number, size + size // 2 + number, 2 * size + 200 + number):
                    await bench.update("people", ids[place], name=f"edited {place}")
                await bench.delete("people", ids[10 + number])
                await bench.delete("people", ids[2 * size + 250 + number])
                await bench.insert("people", name=f"new {number}", email=f"new{number}@example.com")
                number += 1
        assert number > 1
        images += await log.changes(deleted=2 * number)
        same(merged(images), await bench.rows("people"))


@case("committing")
async def a_change_that_a_read_did_not_see_is_newer_though_it_was_logged_before(bench: Bench) -> None:
    record_id = await bench.insert("people", name="old")
    async with following(bench) as (connector, log):
        async with bench.committing("people", record_id, name="new"):
            record = only(await connector.read("people", [record_id]))
        assert record.values["name"] == "old"
        change = only(await log.changes())
        assert change.version.newer_than(record.version)
        assert not record.version.newer_than(change.version)
        later = only(await connector.read("people", [record_id]))
        assert later.version.newer_than(change.version)
        assert not change.version.newer_than(later.version)
        assert later.version.newer_than(record.version)


@case("ordered")
async def racing_writers_and_reads_agree_in_any_order(bench: Bench) -> None:
    ids = await bench.fill("people", 40)
    async with following(bench) as (connector, log):
        images: list[Record | Change] = []
        busy = True

        async def edit(offset: int) -> None:
            for number in range(60):
                await bench.update("people", ids[(offset * 7 + number) % len(ids)], name=f"{offset}.{number}")

        async def look() -> None:
            while busy:
                images.extend(await connector.read("people", ids))

        looking = asyncio.create_task(look())
        await asyncio.gather(*map(edit, range(4)))
        busy = False
        await looking
        for record_id in ids:
            await bench.update("people", record_id, name="last")
        changes = await log.changes()
        truth = await bench.rows("people")
        same(merged([*images, *changes]), truth)
        same(merged([*changes, *images]), truth)


@case()
async def reads_and_finds_leave_out_what_is_not_there(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann", email="ann@example.com")
    async with opened(bench.connector()) as connector:
        found = await connector.read("people", ["4711", record_id, "no id at all", "1,2"])
        assert [record.id for record in found] == [record_id]
        assert await connector.read("people", ["4711"]) == []
        assert await connector.find("people", [Identifier("email", "email", "bob@example.com")]) == []


@case("exclude", "updatable")
async def excluded_fields_are_never_read(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann", secret="0000")
    async with following(bench) as (connector, log):
        await bench.update("people", record_id, name="Anna", secret="1234")
        catalog = await connector.discover()
        assert catalog.objects["people"].field("secret") is None
        change = only(await log.changes())
        record = only(await connector.read("people", [record_id]))
        page = only(await all_pages(connector, "people"))
        result = applied(await one(connector, update("l", record_id, {"name": "Ann"})))
        assert result.record is not None
        for values in (change.values, record.values, page.records[0].values, result.record.values):
            assert "name" in values
            assert "secret" not in values


ABLE = frozenset({"log", "token", "watermark", "scan"})


@case()
async def the_catalog_says_what_the_connector_can_do(bench: Bench) -> None:
    async with opened(bench.connector(*bench.objects)) as connector:
        objects = (await connector.discover()).objects
    assert set(bench.objects) <= objects.keys(), "every object in use has its name in the catalog"
    able = objects["people"].capabilities
    assert able == bench.able, "what the bench says that the connector can do is what its catalog declares"
    assert able.capture in ABLE
    assert able.batch_size > 0
    assert not (able.capture != "log" and able.sees_within <= 0), "say within how many seconds a change comes by"
    for found in objects.values():
        names = [field.name for field in found.fields]
        assert len(names) == len(set(names)), names
        assert found.key, f"{found.name} needs a key: the fields that make the id"
        assert set(found.key) <= set(names), f"{found.name} has no field {found.key}: the key is made of fields"
        for field in found.fields:
            assert field.nullable or not field.read_only or field.name in found.key or not field.required, (
                f"{found.name}.{field.name} is required and read-only: nobody could ever create a record"
            )


@case("updatable")
async def every_image_is_typed_whole_and_newer_than_the_one_before(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann", email="ann@example.com", age=41, amount="1.50")
    async with opened(bench.connector()) as connector:
        fields = {field.name: field for field in (await connector.discover()).objects["people"].fields}
        first = only(await connector.read("people", [record_id]))
        page = only(await all_pages(connector, "people")).records[0]
        await bench.update("people", record_id, name="Anna")
        second = only(await connector.read("people", [record_id]))
        assert second.version.newer_than(first.version), (
            f"the version of a record must grow with each of its edits, whoever made them; it was {first.version} and "
            f"is {second.version}. Without it the engine takes the edit for an old image, and drops it"
        )
        assert not first.version.newer_than(second.version)
        found = only(await connector.find("people", [Identifier("email", "email", "ann@example.com")]))
        result = await one(connector, update("l", record_id, {"name": "Zoe"}, expect={"name": "Anna"}))
        assert result.record is not None
        assert result.record.version.newer_than(second.version), "the answer to a write is newer than what was there"
        for way, record in (("read", first), ("page", page), ("find", found), ("apply", result.record)):
            assert record.id == record_id, f"{way}: an id is a text"
            missing = {name for name, field in fields.items() if field.name not in record.values}
            assert not missing, f"{way} leaves out {missing}: an image holds every field, None where it is empty"
            for name, value in record.values.items():
                assert name in fields, f"{way} has a field {name} that is not in the catalog"
                assert value == canonical(fields[name].type, value), (
                    f"{way}: people.{name} is {value!r}, which is not how a {fields[name].type.kind} travels; it would be "
                    f"{canonical(fields[name].type, value)!r} (rules/catalog.py)"
                )


@case("unreachable")
async def an_app_that_is_not_there_is_told_as_an_error_that_says_how_to_recover(bench: Bench) -> None:
    connector = bench.unreachable()

    async def call() -> None:
        await connector.open()
        await connector.read("people", ["1"])

    told = "nobody is there, and it says nothing"
    try:
        await asyncio.wait_for(call(), bench.patience)
    except (FatalError, RetriableError) as error:
        told = "" if str(error) else "the message is for people"
    except Exception as error:  # noqa: BLE001  # whatever it lets through
        told = f"it raises {error!r}: only FatalError and RetriableError say what to do, anything else ends the worker"
    await connector.close()
    assert not told, told
