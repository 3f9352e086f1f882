"""Apps in memory with the suite's objects, changed by people behind the connector's back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from connectors.base import Connector, Context, Write
from connectors.memory import MemoryConnector, PolledConnector, RefusedError, make_app
from connectors.memory.table import Row
from rules.canonical import canonical_decimal
from rules.catalog import Capabilities, Field, FieldType, Kind, Object, Value
from tests.connectors.bench import Bench

TEXT = FieldType(Kind.TEXT, native="text")

# Per kind canonical values that must survive.
SAMPLES: dict[str, tuple[FieldType, list[Value]]] = {
    "small": (FieldType(Kind.INTEGER, bits=16), [-32768, 0, 32767]),
    "big": (FieldType(Kind.INTEGER, bits=64), [-(1 << 63), (1 << 63) - 1]),
    "exact": (FieldType(Kind.DECIMAL), ["0.1", "-123456789012345678901234567890.123456789", "NaN", "Infinity"]),
    "money2": (FieldType(Kind.DECIMAL, precision=12, scale=2), ["9999999999.99", "-0.5", "10"]),
    "flag": (FieldType(Kind.BOOLEAN), [True, False]),
    "words": (TEXT, ["", " a\tb\n", "naïve ☃ 🦆", "back\\slash", "NULL"]),
    "day": (FieldType(Kind.DATE), ["2026-11-24", "0001-01-01"]),
    "clock": (FieldType(Kind.TIME), ["18:30:00+02:00", "00:00:00.25"]),
    "moment": (FieldType(Kind.TIMESTAMP), ["2026-11-24T18:30:00Z", "1999-12-31T23:59:59.999999Z"]),
    "feeling": (FieldType(Kind.ENUM, options=("happy", "so so")), ["happy", "so so"]),
    "labels": (FieldType(Kind.LIST, item=TEXT), [["a", 'q"uo', ""], []]),
    "unique_id": (FieldType(Kind.UUID), ["6f1e1c1e-8d5b-4b0e-9b7a-3f6d2c1a0b9e"]),
    "document": (FieldType(Kind.JSON), ['{"a":[1,2.5,"x"],"b":null}', "[]"]),
    "blob": (FieldType(Kind.BYTES), ["AP/+", ""]),
}
ID = Field("id", FieldType(Kind.INTEGER), nullable=False, read_only=True)
OBJECTS = (
    Object(
        "people",
        (
            ID,
            Field("email", TEXT, unique=True),
            Field("name", FieldType(Kind.TEXT, max_length=20), nullable=False),
            Field("age", FieldType(Kind.INTEGER, bits=32)),
            Field("amount", FieldType(Kind.DECIMAL, precision=10, scale=2)),
            *(Field(name, TEXT) for name in ("domain", "note", "secret")),
            Field("master_id", FieldType(Kind.INTEGER)),
        ),
        key=("id",),
    ),
    Object(
        "places",
        (
            Field("country", TEXT, nullable=False),
            Field("number", FieldType(Kind.INTEGER), nullable=False),
            Field("label", TEXT),
        ),
        key=("country", "number"),
    ),
    Object("things", (Field("code", TEXT, nullable=False), Field("label", TEXT)), key=("code",)),
    Object("samples", (ID, *(Field(name, type) for name, (type, _) in SAMPLES.items())), key=("id",)),
    Object("others", (ID, Field("label", TEXT)), key=("id",)),
)
SHOWN = {"people": ("email", "name", "age", "domain", "note"), "places": ("label",), "things": ("label",)}
BYTES = 1000  # of log, that a change is taken for


class MemoryBench(Bench):
    """Over one app. `forget_app` ends it."""

    features = frozenset(
        {
            *("rekey", "toast", "merge", "truncate", "alter", "lose_log", "slot", "holding", "cutting", "trigger"),
            *("types", "writes", "exclude", "unique", "lengths", "places", "unreachable"),
        }
    )

    def __init__(self, name: str, kind: type[Connector] = MemoryConnector) -> None:
        self.kind = kind
        self.app = make_app(name, *OBJECTS)
        self.app.knobs.refuse = _refuse
        self.app.knobs.unlogged = frozenset({("people", "note")})

    def settings(self, **more: Any) -> Any:
        return MemoryConnector.Settings.model_validate({"app": self.app.name, "heartbeat": 0.01, **more})

    async def insert(self, name: str, /, **values: Any) -> str:
        if isinstance(amount := values.get("amount"), str):
            values["amount"] = canonical_decimal(amount)
        return self.app.create(name, values, None)[0]

    async def update(self, name: str, record_id: str, /, **values: Any) -> None:
        self.app.change(name, record_id, values, None)

    async def delete(self, name: str, record_id: str) -> None:
        self.app.delete(name, record_id)

    async def rows(self, name: str) -> dict[str, dict[str, Value]]:
        return {id: {field: row[field] for field in SHOWN[name]} for id, row in self.app.rows(name).items()}

    async def fill(self, name: str, count: int) -> list[str]:
        for n in range(1, count + 1):
            values: dict[str, Row] = {
                "people": {"name": f"p{n}", "email": f"p{n}@example.com"},
                "places": {"country": chr(97 + n % 7) + ",", "number": n, "label": f"l{n}"},
                "things": {"code": f"{chr(97 + n % 25)}{n:X}{chr(224 + n % 20)}", "label": f"l{n}"},
            }
            self.app.create(name, values[name], None)
        return self.app.tables[name].after(None, 1_000_000)

    # ------------------------------------------------------------ features

    async def truncate(self, name: str) -> None:
        self.app.truncate(name)

    async def add_field(self, name: str, field: str) -> None:
        old = self.app.tables[name].definition
        self.app.alter(Object(name, (*old.fields, Field(field, TEXT)), old.key))

    async def lose_log(self) -> None:
        self.app.lose_slots()

    def unreachable(self) -> Connector:
        return self.kind(self.settings(app="nowhere"), Context("acme", "crm", self.uses("people")))

    @asynccontextmanager
    async def holding(self, name: str, record_id: str) -> AsyncIterator[None]:
        self.app.knobs.locked |= {(name, record_id)}
        yield
        self.app.knobs.locked -= {(name, record_id)}

    @asynccontextmanager
    async def cutting(self, *, answered: bool) -> AsyncIterator[Connector]:
        torn = self.connector()
        await torn.open()
        if answered:
            self.app.knobs.lose_answers = 1
        else:
            self.app.knobs.lose_writes = 1
        yield torn
        await torn.close()

    async def trim_on_write(self, name: str, field: str) -> None:
        def stored(object: str, values: Row) -> Row:
            text = values.get(field)
            if object == name and isinstance(text, str):
                values = {**values, field: text.strip()}
            if values.get("amount") == "1.005":
                values = {**values, "amount": "1.01"}  # as a column with two places rounds it
            return values

        self.app.knobs.stores = stored

    def types(self) -> Mapping[str, list[Value]]:
        return {name: values for name, (_, values) in SAMPLES.items()}

    async def writes_since(self, name: str, record_id: str) -> str:
        return str(self.app.position)

    async def held_back(self) -> int:
        return (self.app.position - min(slot.confirmed for slot in self.app.slots.values())) * BYTES

    async def noise(self) -> None:
        for number in range(2000):
            self.app.insert("others", label=str(number))


class PolledBench(MemoryBench):
    """Over an app that has nothing but its records: no log, no ledger."""

    able = Capabilities(capture="scan", sees_within=0.05, tokens=False, echoes=False, fenced=False, pairs=False)
    features = MemoryBench.features - {"rekey", "toast", "truncate", "slot"}

    def __init__(self, name: str, kind: type[Connector] = PolledConnector) -> None:
        super().__init__(name, kind)

    def settings(self, **more: Any) -> Any:
        return PolledConnector.Settings.model_validate({"app": self.app.name, "every": 0.05, **more})

    async def lose_log(self) -> None:
        self.memory().clear()


def _refuse(object: str, write: Write) -> RefusedError | None:
    """The app's own rule: nobody is younger than nothing."""
    age = write.values.get("age")
    if isinstance(age, int) and age < 0:
        return RefusedError("invalid_value", "age must be 0 or more", field="age")
    return None
