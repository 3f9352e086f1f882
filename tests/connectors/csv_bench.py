"""Folders of CSV files with the suite's objects, edited by people who save their files at one stroke, as editors do."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from connectors.base import Connector, Context
from rules.catalog import Capabilities, Value
from tests.connectors.bench import Bench, Refusal

PACKAGE = Path(__file__).parents[2] / "docs" / "connectors" / "csv_folder"
COLUMNS = {
    "people": ["id", "email", "name", "age", "amount", "domain", "note"],
    "things": ["code", "label"],
    "samples": ["id", "whole", "exact", "flag", "words", "day"],
}
TYPES = {
    "people": {"age": "integer", "amount": "decimal"},
    "samples": {"whole": "integer", "exact": "decimal", "flag": "boolean", "day": "date"},
}
SHOWN = ("email", "name", "age", "domain", "note")
_NUMBER = itertools.count(1)


def csv_folder() -> ModuleType:
    """The example of the guide, as it lies in the documentation."""
    if "csv_folder" not in sys.modules:
        spec = importlib.util.spec_from_file_location("csv_folder", PACKAGE / "csv_folder.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules["csv_folder"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["csv_folder"]


class CsvBench(Bench):
    """Over one folder."""

    able = Capabilities("scan", 0.02, compare_and_set=False, echoes=False, fenced=False, pairs=False)
    features = frozenset({"alter", "lose_log", "types", "writes", "unreachable"})
    objects = ("people", "things")
    patience = 5.0

    def __init__(self, folder: Path, kind: type[Connector] | None = None) -> None:
        self.folder = folder
        self.kind = kind or csv_folder().CsvFolder
        for name, columns in COLUMNS.items():
            self.save(name, columns, [])

    def settings(self, **more: Any) -> Any:
        # Everybody here saves at one stroke, so no file needs to be still before it is read.
        return self.kind.Settings.model_validate({"folder": str(self.folder), "every": 0.02, "settle": 0.0, **more})

    def object_settings(self, name: str) -> Mapping[str, Any]:
        return {"id": COLUMNS[name][0], "types": TYPES.get(name, {})}

    # ------------------------------------------------------------ a person with an editor

    def lines(self, name: str) -> tuple[list[str], list[dict[str, str]]]:
        """The columns, and the lines."""
        with (self.folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            found = list(reader)
            return list(reader.fieldnames or ()), found

    def save(self, name: str, columns: list[str], lines: list[dict[str, str]]) -> None:
        """Writes the file anew."""
        beside = self.folder / f"{name}.{next(_NUMBER)}.new"
        with beside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)
        beside.replace(self.folder / f"{name}.csv")

    def edit(self, name: str, change: Callable[[list[dict[str, str]]], None]) -> None:
        """Opens, changes, saves."""
        columns, lines = self.lines(name)
        change(lines)
        self.save(name, columns, lines)

    async def insert(self, name: str, /, **values: Any) -> str:
        key = COLUMNS[name][0]
        line = {column: _cell(values.get(column)) for column in self.lines(name)[0]}
        line[key] = line[key] or f"n{next(_NUMBER):06}"
        self.edit(name, lambda lines: lines.append(line))
        return line[key]

    async def update(self, name: str, record_id: str, /, **values: Any) -> None:
        self.edit(
            name, lambda lines: self._line(name, lines, record_id).update({k: _cell(v) for k, v in values.items()})
        )

    async def delete(self, name: str, record_id: str) -> None:
        self.edit(name, lambda lines: lines.remove(self._line(name, lines, record_id)))

    async def rows(self, name: str) -> dict[str, dict[str, Value]]:
        return {
            line["id"]: {field: _value(name, field, line[field]) for field in SHOWN} for line in self.lines(name)[1]
        }

    async def fill(self, name: str, count: int) -> list[str]:
        key, columns = COLUMNS[name][0], COLUMNS[name]
        made = [
            dict.fromkeys(columns, "") | {key: f"{n:06}", "name": f"p{n}", "email": f"p{n}@x.org", "label": f"l{n}"}
            for n in range(1, count + 1)
        ]
        lines = [{column: line[column] for column in columns} for line in made]
        self.edit(name, lambda known: known.extend(lines))
        return [line[key] for line in lines]

    def _line(self, name: str, lines: list[dict[str, str]], record_id: str) -> dict[str, str]:
        return next(line for line in lines if line[COLUMNS[name][0]] == record_id)

    # ------------------------------------------------------------ features

    def refusals(self) -> dict[str, Refusal]:
        return {
            "invalid": Refusal({"name": "b", "age": "old"}, "invalid_value", "age"),
            "unknown": Refusal({"name": "b", "shoe": "9"}, "schema", "shoe"),
        }

    async def add_field(self, name: str, field: str) -> None:
        columns, lines = self.lines(name)
        self.save(name, [*columns, field], [{**line, field: ""} for line in lines])

    async def lose_log(self) -> None:
        self.memory().clear()

    def unreachable(self) -> Connector:
        return self.kind(self.settings(folder=self.folder / "nowhere"), Context("acme", "crm", self.uses("people")))

    def types(self) -> Mapping[str, list[Value]]:
        return {
            "whole": [-(1 << 63), 0, 7],
            "exact": ["0.1", "-123456789012345678901234567890.123456789"],
            "flag": [True, False],
            "words": [" a\tb\n", "naïve ☃ 🦆", 'q"uo,te', "back\\slash", "\r\n", "NULL"],
            "day": ["2026-11-24", "0001-01-01"],
        }

    async def writes_since(self, name: str, record_id: str) -> str:
        found = (self.folder / f"{name}.csv").stat()
        return f"{found.st_ino} {found.st_mtime_ns}"


def _cell(value: Value) -> str:
    return "" if value is None else str(value)


def _value(name: str, field: str, cell: str) -> Value:
    if not cell:
        return None
    return int(cell) if TYPES[name].get(field) == "integer" else cell
