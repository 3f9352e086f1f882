"""One table of an app in memory: its rows in the order of the key, what it refuses, and its look-ups.

Responsible for what a database does by itself: ids, unique rules, required values, types. Must not know logs, slots,
ledgers or connectors.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation

from rules.catalog import Field, FieldType, Kind, Object, Value, join_id, split_id
from rules.identifiers import normalise

Row = dict[str, Value]
SortKey = tuple[tuple[int, int | str], ...]
UniqueKey = tuple[object, ...]


class RefusedError(Exception):
    """The app refuses a write. `category` is one of semantics section 8; `other` the id of the record in the way."""

    def __init__(self, category: str, message: str, *, field: str | None = None, other: str | None = None) -> None:
        super().__init__(message)
        self.category, self.message, self.field, self.other = category, message, field, other


class Table:
    """The rows of one object. All calls are synchronous, so each is a transaction of its own."""

    def __init__(self, definition: Object) -> None:
        self.definition = definition
        self.fields = {field.name: field for field in definition.fields}
        self.rows: dict[str, Row] = {}
        self._order: list[tuple[SortKey, str]] = []
        self._serial = 0
        self._unique: dict[tuple[str, ...], dict[UniqueKey, str]] = {rule: {} for rule in _unique_rules(definition)}
        self._finders: dict[tuple[str, str], dict[str, set[str]]] = {}

    # ---------------------------------------------------------------- reading

    def after(self, record_id: str | None, limit: int) -> list[str]:
        """The ids that follow in the order of the key; None: from the first."""
        start = 0 if record_id is None else bisect_right(self._order, (self._sort_key(record_id), record_id))
        return [key[1] for key in self._order[start : start + limit]]

    def find(self, field: str, type: str, normal: str) -> set[str]:
        """The ids of the rows whose `field`, normalised as `type`, is `normal`."""
        finder = self._finders.get((field, type))
        if finder is None:
            finder = self._finders[field, type] = {}
            for record_id, row in self.rows.items():
                _enter(finder, normalise(type, row.get(field)), record_id)
        return finder.get(normal, set())

    def sort(self, ids: Iterable[str]) -> list[str]:
        """In the order of the key."""
        return sorted(ids, key=self._sort_key)

    # ---------------------------------------------------------------- writing

    def insert(self, values: Row) -> str:
        """A new row; the app gives the id where the key is a number that nobody set."""
        row: Row = dict.fromkeys(self.fields) | values
        self._check(row, values, created=True)
        key = self.definition.key
        if len(key) == 1 and row[key[0]] is None and self.fields[key[0]].type.kind is Kind.INTEGER:
            row[key[0]] = self._serial + 1
        record_id = self._id(row)
        if record_id in self.rows:
            raise RefusedError("duplicate", f"a record with the id {record_id} is there already", other=record_id)
        self._check_unique(row, None)
        self._put(record_id, row)
        return record_id

    def update(self, record_id: str, values: Row) -> str:
        """Sets values of a row that is there; the id may change with them."""
        old = self.rows[record_id]
        row = old | values
        self._check(row, values, created=False)
        new_id = self._id(row)
        if new_id != record_id and new_id in self.rows:
            raise RefusedError("duplicate", f"a record with the id {new_id} is there already", other=new_id)
        self._check_unique(row, record_id)
        self._drop(record_id)
        self._put(new_id, row)
        return new_id

    def delete(self, record_id: str) -> Row:
        """Removes a row that is there."""
        return self._drop(record_id)

    def clear(self) -> None:
        """Removes all rows; ids go on where they were."""
        self.rows.clear()
        self._order.clear()
        self._finders.clear()
        for index in self._unique.values():
            index.clear()

    # ---------------------------------------------------------------- within

    def _put(self, record_id: str, row: Row) -> None:
        self.rows[record_id] = row
        insort(self._order, (self._sort_key(record_id), record_id))
        for (field, type), finder in self._finders.items():
            _enter(finder, normalise(type, row.get(field)), record_id)
        for rule, index in self._unique.items():
            if (key := _unique_key(row, rule)) is not None:
                index[key] = record_id
        if len(self.definition.key) == 1 and isinstance(number := row[self.definition.key[0]], int):
            self._serial = max(self._serial, number)

    def _drop(self, record_id: str) -> Row:
        row = self.rows.pop(record_id)
        entry = (self._sort_key(record_id), record_id)
        del self._order[bisect_right(self._order, entry) - 1]
        for (field, type), finder in self._finders.items():
            if (normal := normalise(type, row.get(field))) is not None:
                finder[normal].discard(record_id)
        for rule, index in self._unique.items():
            if (key := _unique_key(row, rule)) is not None:
                del index[key]
        return row

    def _id(self, row: Row) -> str:
        return join_id([_text(row[field]) for field in self.definition.key])

    def _sort_key(self, record_id: str) -> SortKey:
        kinds = [self.fields[field].type.kind for field in self.definition.key]
        pairs = zip(kinds, split_id(record_id), strict=True)
        return tuple((0, int(part)) if kind is Kind.INTEGER else (1, part) for kind, part in pairs)

    def _check(self, row: Row, values: Row, *, created: bool) -> None:
        for name, value in values.items():
            field = self.fields.get(name)
            if field is None:
                raise RefusedError("schema", f"{self.definition.name} has no field {name}", field=name)
            if value is not None:
                _check_type(field.name, field.type, value)
        for field in self.definition.fields if created else [self.fields[name] for name in values]:
            if row[field.name] is None and not field.nullable and not self._assigns(field):
                raise RefusedError("missing_required", f"{field.name} must have a value", field=field.name)

    def _assigns(self, field: Field) -> bool:
        return self.definition.key == (field.name,) and field.type.kind is Kind.INTEGER

    def _check_unique(self, row: Row, own_id: str | None) -> None:
        for rule, index in self._unique.items():
            key = _unique_key(row, rule)
            other = None if key is None else index.get(key)
            if other is not None and other != own_id:
                named = ", ".join(rule)
                raise RefusedError("duplicate", f"another record has the same {named}", field=rule[0], other=other)


def _unique_rules(definition: Object) -> Iterable[tuple[str, ...]]:
    yield from definition.unique
    for field in definition.fields:
        if field.unique and (field.name,) not in definition.unique:
            yield (field.name,)


def _unique_key(row: Row, rule: Sequence[str]) -> UniqueKey | None:
    """What must not come twice; None where a part is empty: such rows never clash."""
    parts = [row.get(field) for field in rule]
    return None if None in parts else tuple(map(repr, parts))


def _enter(finder: dict[str, set[str]], normal: str | None, record_id: str) -> None:
    if normal is not None:
        finder.setdefault(normal, set()).add(record_id)


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _check_type(name: str, type: FieldType, value: Value) -> None:
    """Refuses what a database of that type would."""
    if type.kind is Kind.LIST:
        fits = isinstance(value, list)
        if isinstance(value, list) and type.item is not None:
            for item in value:
                _check_type(name, type.item, item)
    elif type.kind is Kind.BOOLEAN:
        fits = isinstance(value, bool)
    elif type.kind is Kind.INTEGER:
        fits = (
            isinstance(value, int) and not isinstance(value, bool) and -(1 << _bits(type)) <= value < 1 << _bits(type)
        )
    elif type.kind is Kind.REFERENCE:
        fits = isinstance(value, str | int) and not isinstance(value, bool)
    else:
        fits = isinstance(value, str) and _text_fits(type, value)
    if not fits or (type.options is not None and type.kind is not Kind.LIST and value not in type.options):
        raise RefusedError("invalid_value", f"{name} cannot hold {value!r}", field=name)


def _bits(type: FieldType) -> int:
    return (type.bits or 64) - 1


def _text_fits(type: FieldType, value: str) -> bool:
    if type.max_length is not None and len(value) > type.max_length:
        return False
    if type.kind is not Kind.DECIMAL:
        return True
    try:
        number = Decimal(value)
    except InvalidOperation:
        return False
    if type.precision is None or not number.is_finite():
        return True
    return abs(number) < Decimal(10) ** (type.precision - (type.scale or 0))
