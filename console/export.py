"""Records into a file: csv, jsonl, xlsx or parquet, by its suffix.

Responsible for the formats. Must not know where records come from. Records come one at a time and none is kept, so that
a file may be larger than memory; the file appears under its name when it is complete.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from console.columns import FIXED, value_in
from console.errors import FailedError, WrongUseError

Json = Mapping[str, Any]
PARQUET_ROWS = 10_000  # of a row group
XLSX_ROWS = 1_048_575  # a sheet's, without the heading


def export(path: Path, columns: Sequence[str], kinds: Mapping[str, str], records: Iterable[Json]) -> int:
    """Writes the records; how many there were. `kinds`: the kind of value of a column (`rules.catalog.Kind`)."""
    write = FORMATS.get(path.suffix.casefold())
    if write is None:
        raise WrongUseError(
            f"No format goes with {path.name}.", "Give the file one of these suffixes: " + ", ".join(FORMATS)
        )
    draft = path.with_name(f".{path.name}.part")
    try:
        count = write(draft, columns, kinds, records)
        draft.replace(path)
    except OSError as error:
        raise FailedError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        draft.unlink(missing_ok=True)
    return count


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return msgspec.json.encode(value).decode() if isinstance(value, list) else str(value)


def _csv(path: Path, columns: Sequence[str], _: Mapping[str, str], records: Iterable[Json]) -> int:
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        for count, record in enumerate(records, 1):  # noqa: B007 - counted on
            values = (value_in(record, column) for column in columns)
            rows.writerow("" if value is None else _text(value) for value in values)
    return count


def _jsonl(path: Path, columns: Sequence[str], _: Mapping[str, str], records: Iterable[Json]) -> int:
    """The shape of `tandem records --json`, one a line; sides hold the chosen fields."""
    from console.columns import only

    count = 0
    with path.open("wb") as file:
        for count, record in enumerate(records, 1):  # noqa: B007
            file.write(msgspec.json.encode(only(record, columns)) + b"\n")
    return count


def _xlsx(path: Path, columns: Sequence[str], kinds: Mapping[str, str], records: Iterable[Json]) -> int:
    import xlsxwriter

    count = 0
    # Texts stay texts: an id is no number, and a value that begins with = is no formula.
    book = xlsxwriter.Workbook(
        str(path), {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    )
    try:
        sheet = book.add_worksheet("records")
        bold = book.add_format({"bold": True})
        for number, column in enumerate(columns):
            sheet.write_string(0, number, column, bold)
        sheet.freeze_panes(1, 0)
        for count, record in enumerate(records, 1):
            if count > XLSX_ROWS:
                raise FailedError(
                    f"A sheet holds no more than {XLSX_ROWS:,} records.",
                    "Export to csv, jsonl or parquet, or fewer of them.",
                )
            for number, column in enumerate(columns):
                _write_cell(sheet, count, number, value_in(record, column), kinds.get(column))
        if count:
            sheet.autofilter(0, 0, count, len(columns) - 1)
    finally:
        book.close()
    return count


def _write_cell(sheet: Any, row: int, column: int, value: Any, kind: str | None) -> None:
    if isinstance(value, bool):
        sheet.write_boolean(row, column, value)
    elif isinstance(value, int) and kind != "text" and abs(value) < 10**15:  # a sheet's numbers are floats
        sheet.write_number(row, column, value)
    elif value is not None:
        sheet.write_string(row, column, _text(value)[:32767])


def _parquet(path: Path, columns: Sequence[str], kinds: Mapping[str, str], records: Iterable[Json]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types: dict[str, pa.DataType] = {"integer": pa.int64(), "boolean": pa.bool_(), "list": pa.list_(pa.string())}
    schema = pa.schema([pa.field(column, types.get(kinds.get(column, ""), pa.string())) for column in columns])
    convert = [_converter(kinds.get(column, "")) for column in columns]
    count = 0
    held: list[list[Any]] = [[] for _ in columns]
    with pq.ParquetWriter(path, schema) as writer:
        for count, record in enumerate(records, 1):
            for number, column in enumerate(columns):
                value = value_in(record, column)
                held[number].append(None if value is None else convert[number](value))
            if count % PARQUET_ROWS == 0:
                writer.write_table(pa.table(held, schema=schema))
                held = [[] for _ in columns]
        writer.write_table(pa.table(held, schema=schema))
    return count


def _converter(kind: str) -> Callable[[Any], Any]:
    if kind == "integer":
        return int
    if kind == "boolean":
        return bool
    if kind == "list":
        return lambda value: (
            [None if item is None else _text(item) for item in value] if isinstance(value, list) else [_text(value)]
        )
    return _text


def kinds_of(configuration: Json, columns: Sequence[str], syncs: Sequence[str]) -> dict[str, str]:
    """The kind of each column, where the syncs that have it agree."""
    found: dict[str, set[str]] = {}
    applied = (configuration.get("document") or {}).get("syncs") or {}
    catalogs = configuration.get("catalogs") or {}
    for sync in syncs:
        for account, object_name in (applied.get(sync, {}).get("between") or {}).items():
            described = ((catalogs.get(account) or {}).get("objects") or {}).get(object_name) or {}
            for field in described.get("fields") or ():
                found.setdefault(f"{account}.{field['name']}", set()).add(field["type"]["kind"])
    return {
        column: next(iter(kinds))
        for column, kinds in found.items()
        if len(kinds) == 1 and column in columns and column not in FIXED
    }


FORMATS: dict[str, Callable[[Path, Sequence[str], Mapping[str, str], Iterable[Json]], int]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".xlsx": _xlsx,
    ".parquet": _parquet,
}
