"""The connector of the guide to writing one (docs/connectors): it keeps the contract, and what it promises of files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Context, FatalError, ObjectUse, Outcome, Record, RetriableError
from tests.connectors.contract import CASES, cases_for, create, following, one, only, update
from tests.connectors.csv_bench import PACKAGE, CsvBench, csv_folder


@pytest.mark.parametrize("name", cases_for(CsvBench))
async def test_it_keeps_the_contract(name: str, tmp_path: Path) -> None:
    await CASES[name].run(CsvBench(tmp_path))


def test_it_is_under_two_hundred_lines() -> None:
    assert sum(len(file.read_text().splitlines()) for file in PACKAGE.rglob("*.py")) < 200


def folder(path: Path, content: bytes | str, types: dict[str, str] | None = None, **settings: Any) -> Any:
    """A connector over one file, people.csv."""
    (path / "people.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    kind = csv_folder().CsvFolder
    made = kind.Settings.model_validate({"folder": str(path), "settle": 0.0, **settings})
    return kind(made, Context("acme", "books", (ObjectUse("people", {"types": types or {}}),)))


async def read(connector: Any) -> list[Record]:
    records: list[Record] = [record async for page in connector.snapshot("people", None) for record in page.records]
    return records


async def test_what_is_not_touched_is_written_as_it_was_found(tmp_path: Path) -> None:
    before = b'\xef\xbb\xbfid,name,note\r\n007,"Ann, ""A.""","two\r\nlines"\r\n8,Bo\xc3\xabl,\r\n'
    connector = folder(tmp_path, before)
    assert [record.values for record in await read(connector)] == [
        {"id": "007", "name": 'Ann, "A."', "note": "two\r\nlines"},
        {"id": "8", "name": "Boël", "note": None},
    ]
    result = await one(connector, update("l", "8", {"note": "a;b"}, expect={"note": None}))
    assert result.outcome is Outcome.APPLIED
    assert (tmp_path / "people.csv").read_bytes() == before.replace(b"Bo\xc3\xabl,", b"Bo\xc3\xabl,a;b")
    assert [file.name for file in tmp_path.iterdir() if file.name not in ("people.csv", ".tandem")] == []


async def test_another_encoding_and_delimiter_are_kept_and_what_they_cannot_hold_is_refused(tmp_path: Path) -> None:
    connector = folder(tmp_path, "id;name\n1;Boël\n".encode("latin-1"), encoding="latin-1", delimiter=";")
    assert (await read(connector))[0].values["name"] == "Boël"
    refused = await one(connector, update("l", "1", {"name": "雪"}))
    assert (refused.outcome, refused.category, refused.field) == (Outcome.REJECTED, "invalid_value", "name")
    await one(connector, update("k", "1", {"name": "a;é"}))
    assert (tmp_path / "people.csv").read_bytes() == 'id;name\n1;"a;é"\n'.encode("latin-1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name\nAnn\n", "'id' is not in list"),
        ("id,name\n1,Ann\n,Bob\n", "line 3 has no id"),
        ("id,name\n1,Ann\n1,Bob\n", "or that of another line"),
        ("id,name,age\n1,Ann,7\n2,Bo", "shorter"),
        ("id,name,age\n1,Ann,7,8\n", "longer"),
        ('id,name,age\n1,Ann,7\n2,"Bo', "unexpected end of data"),
        ("id,name,age\n1,Ann,old\n", "invalid literal"),
        (b"id,name\n1,Bo\xebl\n", "utf-8"),
    ],
)
async def test_a_file_that_does_not_fit_is_trouble_and_nothing_of_it_is_read(
    content: bytes | str, message: str, tmp_path: Path
) -> None:
    connector = folder(tmp_path, content, {"age": "integer"})
    with pytest.raises(FatalError, match=message):
        await read(connector)
    with pytest.raises(FatalError):
        await connector.apply("people", [create("l", {"name": "x"})], None)
    (problem,) = (await connector.check()).problems
    assert "people.csv" in problem.message
    data = content.encode() if isinstance(content, str) else content
    assert (tmp_path / "people.csv").read_bytes() == data


async def test_a_file_that_is_being_rewritten_is_not_read_before_it_is_whole(tmp_path: Path) -> None:
    bench = CsvBench(tmp_path)
    bench.settings = lambda **more: CsvBench.settings(bench, settle=0.1, **more)  # type: ignore[method-assign]
    await bench.fill("people", 5)
    file = tmp_path / "people.csv"
    whole = file.read_bytes()
    async with following(bench) as (_, log):
        # As an editor that writes in place: for a moment the file holds a part of its lines.
        with file.open("r+b") as out:
            out.truncate(0)
            half = whole.index(b"000004")
            for start in range(0, half, 10):
                out.write(whole[start : min(start + 10, half)])
                out.flush()
                await asyncio.sleep(0.001)
            out.write(whole[half:])
        assert await log.changes() == []


async def test_a_file_that_is_missing_or_empty_deletes_nothing(tmp_path: Path) -> None:
    bench = CsvBench(tmp_path)
    (deleted,) = await bench.fill("people", 1)
    file = tmp_path / "people.csv"
    for how in ("missing", "empty"):
        async with following(bench) as (connector, log):
            file.rename(tmp_path / "away")
            if how == "empty":
                file.touch()
            with pytest.raises(RetriableError, match=r"is not there|is empty"):
                await log.end()
            (tmp_path / "away").rename(file)
            assert only(await connector.read("people", [deleted])).id == deleted


async def test_what_we_have_written_ourselves_need_not_be_still(tmp_path: Path) -> None:
    connector = folder(tmp_path, "id,name\n", settle=0.2)
    first = await one(connector, create("l", {"name": "Ann"}))
    loop = asyncio.get_running_loop()
    before = loop.time()
    await one(connector, update("k", str(first.id), {"name": "Anna"}))
    assert loop.time() - before < 0.15
    await asyncio.to_thread((tmp_path / "people.csv").write_text, "id,name\n9,somebody\n")
    again = await one(connector, update("j", "9", {"name": "else"}, expect={"name": "somebody"}))
    assert again.outcome is Outcome.APPLIED
    assert loop.time() - before > 0.15


async def test_its_own_column_of_ids_is_never_written(tmp_path: Path) -> None:
    connector = folder(tmp_path, "id,name\n1,Ann\n")
    for each in (create("l", {"id": "7", "name": "Bob"}), update("k", "1", {"id": "7"})):
        result = await one(connector, each)
        assert (result.outcome, result.category, result.field) == (Outcome.REJECTED, "schema", "id")
    field = (await connector.discover()).objects["people"].field("id")
    assert field is not None
    assert field.read_only
