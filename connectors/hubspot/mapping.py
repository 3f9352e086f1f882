"""HubSpot's definitions into ours: properties, pipelines and associations of an object as a catalog's object.

Responsible for what a property's definition means. Pure: definitions are handed in as HubSpot gives them. Must not know the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from connectors.hubspot.standard import SYNC_ID, Relation, Standard
from connectors.hubspot.values import Codec
from rules.catalog import Capabilities, Field, FieldType, Kind, Object

Json = Mapping[str, Any]
ID = "hs_object_id"
MERGED = "hs_merged_object_ids"
FORWARD = "lifecyclestage"  # moves forward only
BATCH = 100  # records of a batch, for reading and writing alike
# (property of the pipeline, property of the stage)
PIPELINES = {"deals": ("pipeline", "dealstage"), "tickets": ("hs_pipeline", "hs_pipeline_stage"),
             "leads": ("hs_pipeline", "hs_pipeline_stage")}  # fmt: skip
LIMITS = (
    "5 searches a second and 100 calls in 10 seconds for the account (more as its answers say)",
    "250,000 calls a day for the account (more as its answers say), half of them for capture at most",
)


class Property(msgspec.Struct, frozen=True):
    """What we keep of a property's definition."""

    field: Field
    codec: Codec
    currency: str | None = None  # the property that holds the currency of this amount


class Seen(msgspec.Struct, frozen=True):
    """Seconds until a change, and a deletion, has come by at the latest."""

    changes: float = 130.0
    deletions: float = 60.0


class Shape(msgspec.Struct, frozen=True):
    """An object as it is read and written. `stages`: of each stage the pipelines that have it."""

    name: str  # under `objects` in sync.yaml
    standard: Standard
    properties: Mapping[str, Property]
    relations: tuple[Relation, ...]
    stages: Mapping[str, tuple[str, ...]] = {}
    tokens: bool = False  # the unique property of ours is there
    seen: Seen = Seen()
    named: Mapping[str, str] = {}  # HubSpot's objects by the names that sync.yaml gives them

    @property
    def type_id(self) -> str:
        """How the object is named in a path."""
        return self.standard.type_id

    @property
    def pipeline(self) -> tuple[str, str] | None:
        """The properties of pipeline and stage, where the object has both."""
        pair = PIPELINES.get(self.standard.name)
        return pair if pair is not None and all(one in self.properties for one in pair) else None

    def relation(self, field: str) -> Relation | None:
        """The association behind a field."""
        return next((one for one in self.relations if one.field == field), None)

    def partners(self, names: Iterable[str]) -> set[str]:
        """The properties that belong with these: stage with pipeline, amount with currency."""
        wanted, found = set(names), set()
        if self.pipeline is not None and wanted & set(self.pipeline):
            found |= set(self.pipeline)
        for name, one in self.properties.items():
            if one.currency is not None and one.currency in self.properties and wanted & {name, one.currency}:
                found |= {name, one.currency}
        return found

    def object(self) -> Object:
        """For the catalog."""
        fields = [one.field for one in self.properties.values()]
        fields += [
            Field(
                one.field,
                FieldType(Kind.REFERENCE, native=f"association to {one.target}"),
                references=self.named.get(one.target, one.target),
                description=f"the {'primary ' if one.primary else ''}{one.target} association",
            )
            for one in self.relations
        ]
        created = self.standard.created if self.standard.created in self.properties else None
        return Object(
            self.name,
            tuple(fields),
            key=(ID,),
            created=created,
            unique=tuple((name,) for name, one in self.properties.items() if one.field.unique),
            capabilities=Capabilities(
                capture="watermark",
                sees_within=self.seen.changes,
                deletions_within=self.seen.deletions,
                whole=False,
                compare_and_set=False,
                tokens=self.tokens,
                echoes=False,
                fenced=False,
                pairs=self.tokens,
                batch_size=BATCH,
                limits=LIMITS,
            ),
            native=f"{self.standard.name} ({self.standard.type_id})",
        )


def properties_of(
    definitions: Iterable[Json], standard: Standard, pipelines: Iterable[Json] = (), required: Iterable[str] = ()
) -> dict[str, Property]:
    """The properties that can be synced, by name. Our own is none of them."""
    pair, needed = PIPELINES.get(standard.name), frozenset(required)
    options = options_of_pipelines(pipelines)
    found: dict[str, Property] = {}
    for definition in definitions:
        name = str(definition.get("name"))
        if definition.get("archived") or name == SYNC_ID:
            continue
        choices = options[pair.index(name)] if pair is not None and name in pair and pipelines else None
        found[name] = property_of(definition, choices, required=name in needed)
    return {ID: _ID, **{name: one for name, one in found.items() if name != ID}}


_ID = Property(
    Field(ID, FieldType(Kind.INTEGER, native="number", bits=64), nullable=False, read_only=True),
    Codec(FieldType(Kind.INTEGER)),
)


def property_of(definition: Json, choices: tuple[str, ...] | None = None, *, required: bool = False) -> Property:
    """One property. `choices`: in place of its own options."""
    owner = str(definition.get("referencedObjectType") or "").upper() == "OWNER"
    modification = definition.get("modificationMetadata") or {}
    read_only = bool(definition.get("calculated") or modification.get("readOnlyValue"))
    type_ = FieldType(Kind.TEXT, native="owner") if owner else type_of(definition, choices)
    field = Field(
        str(definition["name"]),
        type_,
        required=required and not read_only,
        read_only=read_only,
        unique=bool(definition.get("hasUniqueValue")),
        description=str(definition.get("label") or ""),
    )
    currency = definition.get("currencyPropertyName")
    return Property(field, Codec(type_, owner), str(currency) if currency else None)


def type_of(definition: Json, choices: tuple[str, ...] | None = None) -> FieldType:
    """The type of a property."""
    type_, shown = str(definition.get("type")), str(definition.get("fieldType"))
    native = f"{type_}/{shown}"
    given = definition.get("options") or ()
    ordered = sorted(given, key=lambda one: int(one.get("displayOrder") or 0)) if given else ()
    options = choices if choices is not None else tuple(str(one["value"]) for one in ordered)
    match type_:
        case "number":
            return FieldType(Kind.DECIMAL, native)
        case "bool":
            return FieldType(Kind.BOOLEAN, native)
        case "date":
            return FieldType(Kind.DATE, native)
        case "datetime":
            return FieldType(Kind.TIMESTAMP, native, scale=3)
        case "enumeration" if shown == "booleancheckbox" or set(options) == {"true", "false"}:
            return FieldType(Kind.BOOLEAN, native)
        case "enumeration" if shown == "checkbox":
            item = FieldType(Kind.ENUM, options=options or None)
            return FieldType(Kind.LIST, native, options=options or None, item=item)
        case "enumeration":
            return FieldType(Kind.ENUM, native, options=options or None)
        case _:
            return FieldType(Kind.TEXT, native)


def options_of_pipelines(pipelines: Iterable[Json]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ids of pipelines, and of all their stages."""
    alive = [one for one in pipelines if not one.get("archived")]
    stages = [str(stage["id"]) for one in alive for stage in one.get("stages") or () if not stage.get("archived")]
    return tuple(str(one["id"]) for one in alive), tuple(dict.fromkeys(stages))


def stages_of(pipelines: Iterable[Json]) -> dict[str, tuple[str, ...]]:
    """Of each stage the pipelines that have it."""
    found: dict[str, tuple[str, ...]] = {}
    for one in pipelines:
        if one.get("archived"):
            continue
        for stage in one.get("stages") or ():
            if stage.get("archived"):
                continue
            found[str(stage["id"])] = (*found.get(str(stage["id"]), ()), str(one["id"]))
    return found
