"""Which object types, properties, pipelines, owners and currencies the portal has; read from the store, kept in memory.

Responsible for finding definitions by name. Must not know records.
"""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from . import standard
from .definitions import ObjectType, Option, Property
from .errors import RefusedError, invalid, not_found
from .store import Store


class Catalog:
    """The definitions. `reload` after a transaction was undone."""

    def __init__(self, store: Store) -> None:
        self._store = store
        if store.value("SELECT count(*) FROM object_type") == 0:
            with store.transaction():
                self._begin()
        self.reload()

    def begin(self) -> None:
        """The definitions of a new portal, within a transaction."""
        self._begin()
        self.reload()

    def reload(self) -> None:
        """Reads everything anew."""
        rows = self._store.all("SELECT definition FROM object_type ORDER BY id")
        self.types = {kind.id: kind for kind in (msgspec.json.decode(row[0], type=ObjectType) for row in rows)}
        self._names = {kind.name: kind for kind in self.types.values() if kind.named}
        self._properties: dict[str, dict[str, Property]] = {kind: {} for kind in self.types}
        for object, name, text in self._store.all("SELECT object, name, definition FROM property ORDER BY place"):
            self._properties[object][name] = msgspec.json.decode(text, type=Property)
        self._pipelines: dict[str, dict[str, dict[str, Any]]] = {}
        for object, id, text in self._store.all("SELECT object, id, definition FROM pipeline ORDER BY object, place"):
            self._pipelines.setdefault(object, {})[id] = orjson.loads(text)
        self.rates = dict(self._store.all("SELECT code, rate FROM currency ORDER BY code"))
        self.home_currency = str(self._store.value("SELECT code FROM currency WHERE home"))
        self.unique = {
            kind: tuple(p.name for p in listed.values() if p.unique and p.archived is None)
            for kind, listed in self._properties.items()
        }

    def type(self, word: str) -> ObjectType:
        """The type of a path: its id always, its name for those that may be called by it."""
        found = self.types.get(word) or self._names.get(word)
        if found:
            return found
        known = next((kind for kind in self.types.values() if kind.name == word), None)
        hint = f"; {word} are known by their id alone: {known.id}" if known else ""
        raise RefusedError(400, "VALIDATION_ERROR", f"Unable to infer object type from: {word}{hint}")

    def properties(self, object: str) -> dict[str, Property]:
        """All definitions of a type, archived ones included."""
        return self._properties[object]

    def property(self, kind: ObjectType, name: str) -> Property:
        """A definition that is not archived."""
        found = self._properties[kind.id].get(name)
        if found is None or found.archived is not None:
            raise invalid(f'Property "{name}" does not exist', "PROPERTY_DOESNT_EXIST", propertyName=name)
        if name == standard.CURRENCIES.get(kind.name):
            options = tuple(Option(code, standard.label(code)) for code in self.rates)
            return msgspec.structs.replace(found, options=options)
        return found

    def keep(self, object: str, definition: Property) -> None:
        """Stores a definition, new or changed."""
        text = msgspec.json.encode(definition).decode()
        place = self._store.value("SELECT coalesce(max(place), 0) + 1 FROM property")
        self._store.run(
            "INSERT INTO property VALUES (?, ?, ?, ?) ON CONFLICT(object, name) DO UPDATE SET definition = excluded.definition",
            object,
            definition.name,
            text,
            place,
        )
        self._properties[object][definition.name] = definition
        names = [p.name for p in self._properties[object].values() if p.unique and p.archived is None]
        self.unique[object] = tuple(names)
        if definition.unique:
            self.index(object, definition.name)

    def add_type(self, kind: ObjectType, properties: list[Property]) -> None:
        """A new object type with what every type has."""
        self._store.run("INSERT INTO object_type VALUES (?, ?)", kind.id, msgspec.json.encode(kind).decode())
        self._store.run(
            "INSERT INTO property_group VALUES (?, ?, ?)", kind.id, f"{kind.singular}information", "About ·"
        )
        self.types[kind.id] = kind
        self._properties[kind.id] = {}
        for definition in properties:
            self.keep(kind.id, definition)
        self._names = {each.name: each for each in self.types.values() if each.named}

    def index(self, object: str, name: str) -> None:
        """An index of search over a property, for EQ and IN."""
        self._store.run(
            f'CREATE INDEX IF NOT EXISTS "entry_{object}_{name}" ON entry(json_extract(properties, \'$."{name}"\'))'
            f" WHERE object = '{object}' AND properties IS NOT NULL"
        )
        self._store.estimate(f"entry_{object}_{name}", "20000 1")

    def pipelines(self, object: str) -> dict[str, dict[str, Any]]:
        """The pipelines of a type by id, in their order."""
        return self._pipelines.get(object, {})

    def pipeline(self, kind: ObjectType, id: str) -> dict[str, Any]:
        """One of them."""
        found = self.pipelines(kind.id).get(id)
        if found is None:
            raise not_found(f"{kind.name} have no pipeline {id}", id)
        return found

    def keep_pipeline(self, object: str, definition: dict[str, Any]) -> None:
        """Stores a pipeline, new or changed."""
        place = len(self.pipelines(object))
        self._store.run(
            "INSERT INTO pipeline VALUES (?, ?, ?, ?) ON CONFLICT(object, id) DO UPDATE SET definition = excluded.definition",
            object,
            definition["id"],
            place,
            orjson.dumps(definition).decode(),
        )
        self._pipelines.setdefault(object, {})[definition["id"]] = definition

    def _begin(self) -> None:
        from . import associations  # it needs records, and records need the catalog

        self.types, self._properties, self._pipelines, self.unique, self._names = {}, {}, {}, {}, {}
        for kind in standard.TYPES:
            self.add_type(kind, standard.properties(kind))
            for name in standard.INDEXED.get(kind.id, ()):
                self.index(kind.id, name)
        for object, listed in standard.PIPELINES.items():
            for place, pipeline in enumerate(listed):
                created = 0 if place == 0 else 1_600_000_000_000
                self.keep_pipeline(object, {**pipeline, "created": created, "updated": created})
        for owner in standard.OWNERS:
            kept = {key: value for key, value in owner.items() if key not in ("id", "archived")}
            archived = bool(owner.get("archived"))
            self._store.run("INSERT INTO owner VALUES (?, ?, ?)", owner["id"], orjson.dumps(kept).decode(), archived)
        associations.begin(self._store, standard.TYPES, standard.NAMED_ASSOCIATIONS)
        for code, rate in standard.RATES.items():
            self._store.run("INSERT INTO currency VALUES (?, ?, ?)", code, rate, code == standard.HOME_CURRENCY)
