"""A folder of CSV files as an account of Tandem, two-way: a file is an object, a line is a record.

Guarantees: every edit and deletion is seen within `every` + `settle` seconds, also what was done while nobody looked. A
file is read only when it has been still for `settle` seconds, and replaced at one stroke. A new line has an id made of
its create's token: the create sent again finds it. All images of a record are in one order: versions are turns at a lock.
Limits: POSIX, one machine. What happened to a line between two looks is one change; a line with another id is another
record; an empty cell is an empty text. Writes compare with what is there; what is saved in the microseconds between the
last look and the replacement is overwritten. A file that is missing, or does not fit, is shown, and deletes nothing.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar
from uuid import NAMESPACE_URL, uuid5

import msgspec
from pydantic import BaseModel

from connectors import base
from connectors.base import Outcome, Record, Result, Write, WriteOp
from connectors.comparing import Finder, judge, matching, refused
from connectors.files import Stamp, in_turn, read_still, replace, stamp_of
from connectors.polling import Pace, ScanningConnector
from rules.canonical import canonical_date, canonical_decimal
from rules.catalog import Capabilities, Catalog, Field, FieldType, Kind, Object, Value
from rules.version import Version

PAGE = 1000
PARSE: dict[str, Callable[[str], Any]] = {"text": str, "integer": int, "decimal": canonical_decimal}
PARSE |= {"date": canonical_date, "boolean": {"true": True, "TRUE": True, "false": False, "FALSE": False}.__getitem__}
csv.field_size_limit(1 << 30)


class CsvSettings(BaseModel, extra="forbid"):
    """The account's keys in sync.yaml. Seconds: `every` between two looks; `settle` that a file must have been still."""

    folder: Path
    encoding: str = "utf-8"
    delimiter: str = ","
    every: float = 1.0
    settle: float = 1.0


class CsvObjectSettings(BaseModel, extra="forbid"):
    """What sync.yaml may say of an object: its file, its column of ids, the kinds of columns that are no texts."""

    file: str | None = None
    id: str = "id"
    types: dict[str, str] = {}


class Sheet(msgspec.Struct):
    """A file as it was found: columns, and the cells of each line by id. `turn`: the version of all that it holds."""

    stamp: Stamp
    turn: int
    encoding: str
    ending: str
    columns: list[str]
    lines: dict[str, dict[str, str]] = {}


class CsvFolder(ScanningConnector):  # the module says what it promises
    Settings: ClassVar[type[BaseModel]] = CsvSettings
    ObjectSettings: ClassVar[type[BaseModel]] = CsvObjectSettings

    def __init__(self, settings: Any, context: base.Context) -> None:
        super().__init__(context, Pace(settings.every))
        self.folder, self.settings, self.left = settings.folder, settings, dict[str, Stamp]()
        uses = {use.name: CsvObjectSettings.model_validate(use.settings) for use in context.objects}
        self.uses = defaultdict(CsvObjectSettings, uses)

    async def open(self) -> None:
        if not self.folder.is_dir():
            raise base.FatalError(f"there is no folder {self.folder}", "make it, or mend `folder` in sync.yaml")

    async def close(self) -> None: ...

    async def check(self) -> base.Health:
        found = await asyncio.gather(*map(self.describe, self.uses), return_exceptions=True)
        problems = [base.Problem(one.message, one.remedy) for one in found if isinstance(one, base.ConnectorError)]
        return base.Health("a folder of CSV files", tuple(problems))

    async def discover(self) -> Catalog:
        names = sorted(self.uses or (path.stem for path in self.folder.glob("*.csv")))
        return Catalog({name: await self.describe(name) for name in names})

    async def describe(self, name: str) -> Object:
        use, within = self.uses[name], self.settings.every + self.settings.settle
        sheet = await in_turn(self.folder, lambda turn: self._sheet(name, turn))
        able = Capabilities("scan", within, compare_and_set=False, echoes=False, fenced=False, pairs=False)
        kinds = {one: use.types.get(one, "text") for one in sheet.columns}
        fields = (Field(one, FieldType(Kind(kind), kind), read_only=one == use.id) for one, kind in kinds.items())
        return Object(name, tuple(fields), (use.id,), capabilities=able, native=self._path(name).name)

    async def snapshot(self, object: str, resume: str | None) -> AsyncIterator[base.Page]:
        records = [one for one in await self._records(object) if resume is None or one.id > resume]
        for start in range(0, max(1, len(records)), PAGE):
            page = tuple(records[start : start + PAGE])
            yield base.Page(object, page, page[-1].id if start + PAGE < len(records) else None)

    async def read(self, object: str, ids: Sequence[str]) -> list[Record]:
        wanted = set(ids)
        return [record for record in await self._records(object) if record.id in wanted]

    async def find(self, object: str, identifiers: Sequence[base.Identifier]) -> list[Record]:
        return matching(await self._records(object), identifiers)

    async def now(self) -> Version:
        return await in_turn(self.folder, Version)

    async def stamp(self, object: str) -> str:
        return str(stamp_of(self._path(object)))

    async def _records(self, object: str) -> list[Record]:
        sheet = await in_turn(self.folder, lambda turn: self._sheet(object, turn))
        return [self._record(object, sheet, id) for id in sorted(sheet.lines)]

    async def apply(self, object: str, writes: Sequence[Write], fence: base.Fence | None) -> list[Result]:  # noqa: ARG002
        def work(turn: int) -> list[Result]:
            sheet = self._sheet(object, turn)
            before = dict(sheet.lines)
            finder = Finder(writes, (self._record(object, sheet, id) for id in sheet.lines))
            results = [self._write(object, sheet, each, finder) for each in writes]
            if sheet.lines != before:
                self.left[object] = replace(self._path(object), self._bytes(sheet), sheet.stamp)
            return results

        return await in_turn(self.folder, work)

    def _write(self, object: str, sheet: Sheet, each: Write, finder: Finder) -> Result:
        key, cells, values = self.uses[object].id, dict[str, str](), dict[str, Value]()
        for name, value in each.values.items():
            if name not in sheet.columns or name == key:
                return refused(each, "schema", name, f"{object} has no column {name} that could be written")
            try:
                cells[name] = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
                values[name] = self._value(object, name, cells[name])
                cells[name].encode(sheet.encoding)
            except (ValueError, KeyError):
                return refused(each, "invalid_value", name, f"{name} cannot hold {value!r}")
        id = each.id or str(uuid5(NAMESPACE_URL, each.token))
        record = self._record(object, sheet, id) if id in sheet.lines else None
        if each.op is not WriteOp.CREATE:
            if answer := judge(msgspec.structs.replace(each, values=values), record):
                return answer
        elif record is not None:
            return Result(each.token, Outcome.APPLIED, id, record)  # it was sent before
        elif found := finder.find(each):
            return Result(each.token, Outcome.EXISTS, found.id, found)
        if each.op is WriteOp.DELETE:
            del sheet.lines[id]
            return Result(each.token, Outcome.APPLIED, id)
        sheet.lines[id] = {**dict.fromkeys(sheet.columns, ""), **sheet.lines.get(id, {key: id}), **cells}
        finder.add(stored := self._record(object, sheet, id))
        return Result(each.token, Outcome.APPLIED, id, stored)

    def _sheet(self, object: str, turn: int) -> Sheet:
        path, key = self._path(object), self.uses[object].id
        data, stamp = read_still(path, self.settings.settle, self.left.get(object))
        try:
            encoding = "utf-8-sig" if data.startswith(b"\xef\xbb\xbf") else self.settings.encoding
            text = data.decode(encoding)
            rows = csv.reader(io.StringIO(text, newline=""), delimiter=self.settings.delimiter, strict=True)
            sheet = Sheet(stamp, turn, encoding, "\r\n" if "\r\n" in text else "\n", next(rows, []))
            sheet.columns.index(key)  # raises where there is none
            for cells in filter(None, rows):
                line = dict(zip(sheet.columns, cells, strict=True))
                if not line[key] or line[key] in sheet.lines:
                    raise ValueError(f"line {rows.line_num} has no {key}, or that of another line")
                sheet.lines[line[key]] = line
                self._record(object, sheet, line[key])  # every cell fits, or nothing of the file is read
        except (ValueError, KeyError, csv.Error) as error:
            raise base.FatalError(f"{path} cannot be read: {error!r}", "mend the file, or sync.yaml") from error
        return sheet

    def _record(self, object: str, sheet: Sheet, id: str) -> Record:
        values = {name: self._value(object, name, cell) for name, cell in sheet.lines[id].items()}
        return Record(id, values, Version(sheet.turn))

    def _bytes(self, sheet: Sheet) -> bytes:
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, sheet.columns, delimiter=self.settings.delimiter, lineterminator=sheet.ending)
        writer.writeheader()
        writer.writerows(sheet.lines.values())
        return out.getvalue().encode(sheet.encoding)

    def _value(self, object: str, name: str, cell: str) -> Value:
        return PARSE[self.uses[object].types.get(name, "text")](cell) if cell else None

    def _path(self, object: str) -> Path:
        return Path(self.folder, self.uses[object].file or f"{object}.csv")
