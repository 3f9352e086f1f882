"""Cases of the contract: writes that are sent again, and who may write.

Each is shown to fail by a twin with its fault planted (`faults.py`).
"""

from __future__ import annotations

import pytest

from connectors.base import Fence, FencedError, Identifier, Outcome, Pair, WriteOp
from rules.catalog import Value
from tests.connectors.bench import Bench
from tests.connectors.contract_tools import all_pages, applied, case, create, one, only, opened, update, write


@case("fenced", "tokens")
async def a_repeated_token_is_answered_and_not_written_again(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann")
    async with opened(bench.connector()) as connector:
        change = update("l", record_id, {"name": "Zoe"}, expect={"name": "Ann"})
        make = create("k", {"name": "Bob"})
        removal = write(WriteOp.DELETE, "j", id=await bench.insert("people", name="gone"))
        first = await connector.apply("people", [change, make, removal], None)
        assert {result.outcome for result in first} == {Outcome.APPLIED}
        await bench.update("people", record_id, name="Ann")  # a person changes it back
        before = await bench.rows("people")
        again = await connector.apply("people", [change, make, removal], None)
        assert {result.outcome for result in again} <= {Outcome.APPLIED, Outcome.UNCHANGED}
        assert [result.id for result in again] == [result.id for result in first]
        assert again[0].record is not None
        assert again[0].record.values["name"] == "Ann"
        assert again[2].record is None
        assert await bench.rows("people") == before


@case("fenced")
async def a_known_sequence_with_another_token_and_a_lower_one_are_conflicts(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann")
    async with opened(bench.connector()) as connector:
        applied(await one(connector, update("l", record_id, {"name": "five"}, sequence=5)))
        for sequence in (5, 4):
            result = await one(connector, update("l", record_id, {"name": "other"}, sequence=sequence))
            assert result.outcome is Outcome.CONFLICT
            assert result.record is not None
            assert result.record.values["name"] == "five"
        applied(await one(connector, update("l", record_id, {"name": "six"}, sequence=6)))


@case("cutting", "tokens")
async def an_unknown_outcome_is_said_to_be_and_the_token_tells(bench: Bench) -> None:
    for answered in (True, False):
        each = create(f"l{answered}", {"name": f"p{answered}"})
        async with bench.cutting(answered=answered) as torn:
            result = await one(torn, each)
            assert result.outcome is Outcome.UNKNOWN, result
        async with opened(bench.connector()) as connector:
            result = applied(await one(connector, each))
            assert result.record is not None
            assert result.record.values["name"] == f"p{answered}"
        names = [row["name"] for row in (await bench.rows("people")).values()]
        assert names.count(f"p{answered}") == 1


@case("fenced")
async def an_owner_whose_time_is_over_is_fenced_off(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann")
    async with opened(bench.connector()) as old, opened(bench.connector()) as new:
        applied(await one(old, update("l", record_id, {"name": "1"}), Fence("f", 1, 10)))
        applied(await one(new, update("l", record_id, {"name": "2"}, sequence=2), Fence("f", 2, 11)))
        with pytest.raises(FencedError):
            await old.apply("people", [update("k", record_id, {"name": "zombie"})], Fence("f", 1, 12))
        applied(await one(old, update("j", record_id, {"age": 3}), Fence("another", 1, 12)))
        assert (await bench.rows("people"))[record_id]["name"] == "2"


@case("fenced")
async def a_message_that_was_written_before_is_not_written_again(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann")
    async with opened(bench.connector()) as connector:
        done = update("l", record_id, {"name": "Zoe"}, expect={"name": "Ann"})
        applied(await one(connector, done, Fence("f", 1, 10)))
        await bench.update("people", record_id, name="Ann")
        never = update("k", record_id, {"name": "late"}, expect={"name": "Ann"})
        for fence in (Fence("f", 2, 10), Fence("f", 2, 9)):
            first, second = await connector.apply("people", [done, never], fence)
            assert applied(first).record is not None
            assert second.outcome is Outcome.RETRY
        assert (await bench.rows("people"))[record_id]["name"] == "Ann"
        applied(await one(connector, never, Fence("f", 2, 11)))


@case("pairs")
async def pairs_are_remembered_with_the_record(bench: Bench) -> None:
    pair = Pair("contacts", "shop", "customers", "77")
    async with opened(bench.connector()) as connector:
        values: dict[str, Value] = {"name": "Ann", "email": "ann@example.com"}
        result = applied(await one(connector, create("l", values, pair=pair)))
        assert result.id is not None
        await bench.insert("people", name="Bob")
    async with opened(bench.connector()) as again, opened(bench.connector(installation="other")) as stranger:
        page = only(await all_pages(again, "people"))
        read = only(await again.read("people", [result.id]))
        found = only(await again.find("people", [Identifier("email", "email", "ann@example.com")]))
        assert [record.pairs for record in page.records] == [(pair,), ()]
        assert read.pairs == found.pairs == (pair,)
        page = only(await all_pages(stranger, "people"))
        assert [record.pairs for record in page.records] == [(), ()]


@case("tokens")
async def a_create_sent_again_makes_no_second_record(bench: Bench) -> None:
    each = create("l", {"name": "Ann"})
    async with opened(bench.connector()) as connector:
        first = applied(await one(connector, each))
    async with opened(bench.connector()) as connector:
        again = await one(connector, each)
        assert again.outcome in (Outcome.APPLIED, Outcome.UNCHANGED, Outcome.EXISTS), again
        assert again.id == first.id, "the token is left with the record, so that the same create finds it again"
        assert again.record is not None
    assert len(await bench.rows("people")) == 1


@case("fenced", "tokens")
async def a_link_whose_record_is_there_gets_no_second_one(bench: Bench) -> None:
    async with opened(bench.connector()) as connector:
        first = applied(await one(connector, create("l", {"name": "Ann"})))
        assert first.id is not None
        other = await one(connector, create("l", {"name": "Anna"}, sequence=2))
        assert (other.outcome, other.id) == (Outcome.EXISTS, first.id)
        assert other.record is not None
        assert other.record.values["name"] == "Ann"
        await bench.delete("people", first.id)
        applied(await one(connector, create("l", {"name": "Anna"}, sequence=3)))
    assert [row["name"] for row in (await bench.rows("people")).values()] == ["Anna"]


@case("updatable", lacks=("fenced",))
async def a_write_sent_again_compares_with_what_it_finds(bench: Bench) -> None:
    record_id = await bench.insert("people", name="Ann", age=1)
    change = update("l", record_id, {"name": "Zoe"}, expect={"name": "Ann"})
    async with opened(bench.connector()) as connector:
        applied(await one(connector, change, Fence("f", 1, 10)))
        await bench.update("people", record_id, age=2)
        again = await one(connector, change, Fence("f", 2, 10))
        assert again.outcome in (Outcome.UNCHANGED, Outcome.APPLIED), again
        assert again.record is not None
        assert str(again.record.values["age"]) == "2"
        await bench.update("people", record_id, name="Bob")  # a person has edited it meanwhile
        again = await one(connector, change, Fence("f", 2, 11))
        assert again.outcome is Outcome.CONFLICT, "it no longer holds what the write expects"
        assert (await bench.rows("people"))[record_id]["name"] == "Bob"


@case("cutting", lacks=("tokens",))
async def an_unknown_outcome_is_said_to_be_and_an_identifier_tells(bench: Bench) -> None:
    for answered in (True, False):
        email = f"{answered}@example.com".lower()
        found = (Identifier("email", "email", email),)
        each = create(f"l{answered}", {"name": f"p{answered}", "email": email}, identifiers=found)
        async with bench.cutting(answered=answered) as torn:
            result = await one(torn, each)
            assert result.outcome is Outcome.UNKNOWN, f"nobody can know what became of it, and it says {result.outcome}"
        await bench.searchable()
        async with opened(bench.connector()) as connector:
            result = await one(connector, each)
            assert result.outcome is (Outcome.EXISTS if answered else Outcome.APPLIED), result
        names = [row["name"] for row in (await bench.rows("people")).values()]
        assert names.count(f"p{answered}") == 1
