"""The rules of a connection, compiled: what the configuration says, joined with what the accounts' catalogs say.

`connection_documents` cuts an installation's document into one document per connection, which is what the order `apply` carries and the
state keeps; `compile_connection` makes of it what the rest of `rules/` works with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from collections.abc import Mapping as MappingType
from functools import lru_cache
from hashlib import blake2b
from operator import itemgetter
from typing import Any

import msgspec

from rules.catalog import Field, FieldType, Kind, Object, Value, split_id
from rules.config import MappingConfig, Policy, SyncConfig
from rules.fields import named_fields
from rules.filters import compile_filters
from rules.identifiers import normalise, same_identifier
from rules.values import Conversion, conversion, fits

Predicate = Callable[[MappingType[str, Value]], bool]


def connection_name(accounts: Iterable[str]) -> str:
    """The name of the connection of two accounts: the same whichever comes first."""
    return "~".join(sorted(accounts))


class Mapping(msgspec.Struct, frozen=True, eq=False):
    """A pair of fields, compiled. Pairs are (side 0, side 1); `writes[s]`: whether side s may be written.

    `key` names it among the bases of a link; not one field alone does, as two mappings may read the same one.
    """

    key: str
    fields: tuple[str, str]
    conversion: Conversion
    writes: tuple[bool, bool]
    nullable: tuple[bool, bool]
    kinds: tuple[Kind, Kind]
    identifier: str | None = None
    association: str | None = None
    flipped: bool = False  # the associated sync has the two accounts in the other order
    refers: tuple[str | None, str | None] = (None, None)  # the fields whose values the references hold; None: the id
    items: tuple[Kind, Kind] = (Kind.TEXT, Kind.TEXT)  # of one reference, where a field holds a list of them
    required: bool = False
    propagates_empty: bool = False
    digest: str = ""  # of the entry: an edited one counts as removed and new

    def same(self, left: Value, right: Value) -> bool:
        """Whether the values are equal after conversion; identifiers also when they are equal normalised."""
        if self.conversion.same(left, right):
            return True
        return (
            self.identifier is not None
            and isinstance(left, str)
            and isinstance(right, str)
            and same_identifier(self.identifier, left, right)
        )

    def side_there(self, side: int) -> int:
        """Which side of the associated sync one of our sides is."""
        return 1 - side if self.flipped else side

    def reference_value(self, side: int, text: str) -> Value:
        """A reference as the field of a side holds it."""
        is_whole = self.items[side] is Kind.INTEGER and text.removeprefix("-").isdigit()
        value: Value = int(text) if is_whole else text
        return [value] if self.kinds[side] is Kind.LIST else value


class Side(msgspec.Struct, frozen=True, eq=False):
    """One side of a sync: its object, who may enter, and what a created record needs."""

    account: str
    object: Object
    enters: Predicate  # the filters of this side
    mapped: tuple[str, ...]  # the fields that mappings name
    whole: tuple[str, ...]  # the fields that a whole record has: all but those that the app makes itself
    identifiers: tuple[tuple[str, str], ...]  # field, type, in the order of the mapping
    shown: Callable[[MappingType[str, Value]], dict[str, Value]]  # the mapped fields out of a record's values
    required: tuple[str, ...]  # must have a value when a record is created here
    constants: dict[str, Value]
    age_kinds: tuple[Kind, ...]
    named: frozenset[str] = frozenset()  # the fields that mappings and filters name

    def age(self, record_id: str, values: MappingType[str, Value]) -> str:
        """A text that sorts as the record's age: by its creation time if declared, else by its id in the id's own order."""
        created = self.object.created
        stamp = values.get(created) if created else None
        prefix = f"{stamp}\1" if isinstance(stamp, str) else ""
        if self.age_kinds == (Kind.INTEGER,):
            return prefix + _integer_age(record_id)
        pieces = split_id(record_id)
        sorted_pieces = [
            _integer_age(piece) if kind in (Kind.INTEGER, Kind.DECIMAL) else piece.replace("\0", "\1")
            for piece, kind in zip(pieces, self.age_kinds, strict=False)
        ]
        return prefix + "\1".join(sorted_pieces)


def _integer_age(text: str) -> str:
    if text.isdigit():
        return "1" + text.zfill(20)
    try:
        number = int(text)
    except ValueError:
        return "2" + text
    return ("1" if number >= 0 else "0") + f"{number if number >= 0 else number + 10**20:020d}"


Feed = tuple[Mapping, str, str, bool]  # the source's field, the field that it fills, whether the value goes as it is


class Sync(msgspec.Struct, frozen=True, eq=False):
    """A sync, compiled. Sides are numbered in the order of `between`; `default` and `to` are numbers of sides."""

    name: str
    kind: str
    sides: tuple[Side, Side]
    writes: tuple[bool, bool]  # whether the direction lets side s be written
    default: int
    mappings: tuple[Mapping, ...]
    identifier_types: tuple[str, ...]
    require_identifier: bool
    propagates_deletes: bool
    max_deletes: int | None
    off: bool
    digest: str  # of all that affects decisions: a changed one means edited rules
    feeds: tuple[tuple[Feed, ...], tuple[Feed, ...]] = ((), ())  # what fills a created record of either side
    coded: tuple[Mapping, ...] = ()  # those that refer, on a side at least, by another field than the id

    def side_of(self, account: str) -> int:
        """The number of the side of an account."""
        return 0 if self.sides[0].account == account else 1

    def normalised(self, side: int, values: MappingType[str, Value]) -> tuple[str | None, ...]:
        """The record's identifiers as they are compared, in order; None where unusable."""
        out: list[str | None] = []
        for field, kind in self.sides[side].identifiers:
            value = values.get(field)
            out.append(None if value is None else _normal(kind, value if isinstance(value, str) else str(value)))
        return tuple(out)


_normal = lru_cache(maxsize=1 << 14)(
    normalise
)  # an identifier passes several times: with its record, the create, the answer, the echo


class Rules(msgspec.Struct, frozen=True, eq=False):
    """A connection's rules, compiled."""

    connection: str
    version: int
    syncs: dict[str, Sync]
    uses: dict[
        tuple[str, str], tuple[tuple[Sync, int], ...]
    ]  # (account, object): the syncs that use it, and as which side
    peers: dict[str, tuple[str, ...]]  # sync: the other syncs of the same two objects
    codes: dict[tuple[str, str], tuple[str, ...]]  # (account, object): its fields by which others refer to its records

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts of the connection."""
        return tuple(sorted({side.account for sync in self.syncs.values() for side in sync.sides}))


def connection_documents(
    document: MappingType[str, Any],
    catalogs: MappingType[str, MappingType[str, Object]],
    off: Iterable[str] = (),
    version: int = 0,
) -> dict[str, dict[str, Any]]:
    """An installation's document, one per connection: `{"connection", "version", "syncs", "catalogs", "off"}`, plain JSON."""
    found: dict[str, dict[str, Any]] = {}
    turned_off = set(off)
    for name, sync in (document.get("syncs") or {}).items():
        accounts = list(sync["between"])
        own = found.setdefault(
            connection_name(accounts),
            {"connection": connection_name(accounts), "version": version, "syncs": {}, "catalogs": {}, "off": []},
        )
        own["syncs"][name] = sync
        if name in turned_off:
            own["off"].append(name)
        for account, object_name in sync["between"].items():
            own["catalogs"].setdefault(account, {})[object_name] = msgspec.to_builtins(catalogs[account][object_name])
    return found


def connections_of(document: MappingType[str, Any], account: str, object: str | None = None) -> tuple[str, ...]:
    """The connections that have to hear of an object of an account (of the account, without an object), also for syncs that are off."""
    found = {
        connection_name(sync["between"])
        for sync in (document.get("syncs") or {}).values()
        if account in sync["between"] and object in (None, sync["between"][account])
    }
    return tuple(sorted(found))


@lru_cache(maxsize=64)
def compile_connection(text: str) -> Rules:
    """The rules out of a connection's document as JSON text. Raises what the configuration's own checks should have found before."""
    document = json.loads(text)
    catalogs = {
        account: {name: msgspec.convert(one, Object) for name, one in objects.items()}
        for account, objects in document.get("catalogs", {}).items()
    }
    off = set(document.get("off", ()))
    configs = {name: SyncConfig.model_validate(raw) for name, raw in document.get("syncs", {}).items()}
    codes = _codes(configs, catalogs)
    syncs = {
        name: _compile_sync(name, configs, catalogs, codes, name in off, raw)
        for name, raw in document.get("syncs", {}).items()
    }
    uses: dict[tuple[str, str], list[tuple[Sync, int]]] = {}
    for sync in syncs.values():
        for number, side in enumerate(sync.sides):
            uses.setdefault((side.account, side.object.name), []).append((sync, number))
    frozen = {use: tuple(found) for use, found in uses.items()}
    return Rules(document.get("connection", ""), document.get("version", 0), syncs, frozen, _peers(syncs), codes)


def _peers(syncs: MappingType[str, Sync]) -> dict[str, tuple[str, ...]]:
    objects = {name: {(side.account, side.object.name) for side in sync.sides} for name, sync in syncs.items()}
    return {name: tuple(one for one in syncs if one != name and objects[one] == objects[name]) for name in syncs}


def _codes(
    configs: MappingType[str, SyncConfig], catalogs: MappingType[str, MappingType[str, Object]]
) -> dict[tuple[str, str], tuple[str, ...]]:
    """Per object the fields by which mappings refer to its records, where that is not the id."""
    found: dict[tuple[str, str], set[str]] = {}
    for config in configs.values():
        for entry in config.mapping:
            associated = configs.get(entry.association or "")
            if associated is None or not entry.enabled:
                continue
            for (account, own), name in zip(config.between.items(), (entry.a, entry.b), strict=True):
                code = _field(catalogs[account][own], name or "").references_field
                if code is not None:
                    found.setdefault((account, associated.between[account]), set()).add(code)
    return {place: tuple(sorted(fields)) for place, fields in found.items()}


def _compile_sync(
    name: str,
    configs: MappingType[str, SyncConfig],
    catalogs: MappingType[str, MappingType[str, Object]],
    codes: MappingType[tuple[str, str], tuple[str, ...]],
    off: bool,
    raw: MappingType[str, Any],
) -> Sync:
    config = configs[name]
    objects = tuple(catalogs[account][own] for account, own in config.between.items())
    mappings = tuple(
        _compile_mapping(config, entry, (objects[0], objects[1]), configs)
        for entry in config.mapping
        if entry.enabled and not entry.is_constant
    )
    known_by = [codes[place] for place in config.between.items() if place in codes]
    identifiers = [mapping for mapping in mappings if mapping.identifier]
    return Sync(
        name=name,
        kind=config.kind.value,
        sides=(
            _compile_side(config, 0, objects[0], mappings),
            _compile_side(config, 1, objects[1], mappings),
        ),
        writes=config.writes,
        default=config.accounts.index(config.default),
        mappings=mappings,
        identifier_types=tuple(str(mapping.identifier) for mapping in identifiers),
        require_identifier=config.require_identifier,
        propagates_deletes=config.deletes is Policy.PROPAGATE,
        max_deletes=config.max_deletes,
        off=off,
        digest=blake2b(
            json.dumps([raw, msgspec.to_builtins(objects), *known_by], sort_keys=True).encode(), digest_size=8
        ).hexdigest(),
        feeds=(_feeds(mappings, 0), _feeds(mappings, 1)),
        coded=tuple(mapping for mapping in mappings if mapping.refers != (None, None)),
    )


def _feeds(mappings: tuple[Mapping, ...], target: int) -> tuple[Feed, ...]:
    return tuple(
        (one, one.fields[1 - target], one.fields[target], one.association is None and one.conversion.identity)
        for one in mappings
        if one.writes[target]
    )


def _field(own: Object, name: str) -> Field:
    # A field that the catalog lacks was dropped since the rules were checked: its records show `schema`, nothing breaks.
    return own.field(name) or Field(name, FieldType(Kind.TEXT), read_only=True)


def _compile_mapping(
    config: SyncConfig, entry: MappingConfig, objects: tuple[Object, Object], configs: MappingType[str, SyncConfig]
) -> Mapping:
    assert entry.a is not None and entry.b is not None
    left, right = _field(objects[0], entry.a), _field(objects[1], entry.b)
    writes = config.writes_of(entry)
    plain = FieldType(Kind.TEXT)
    types = (plain, plain) if entry.association else (left.type, right.type)
    conversion_of: tuple[Any, ...] = (
        entry.a,
        entry.b,
        entry.values,
        entry.association,
        msgspec.to_builtins((left.type, right.type)),
    )
    associated = configs.get(entry.association or "")
    refers = (left.references_field, right.references_field) if entry.association else (None, None)
    if refers != (None, None):
        conversion_of = (*conversion_of, refers)
    return Mapping(
        key=f"{entry.a}={entry.b}",
        fields=(entry.a, entry.b),
        conversion=conversion(*types, entry.values),
        writes=(writes[0] and not left.read_only, writes[1] and not right.read_only),
        nullable=(left.nullable, right.nullable),
        kinds=(left.type.kind, right.type.kind),
        identifier=entry.identifier.value if entry.identifier else None,
        association=entry.association,
        flipped=associated is not None and associated.accounts != config.accounts,
        refers=refers,
        items=(_item_kind(left.type), _item_kind(right.type)),
        required=entry.required,
        propagates_empty=config.empty_of(entry) is Policy.PROPAGATE,
        digest=blake2b(repr(conversion_of).encode(), digest_size=8).hexdigest(),
    )


def _item_kind(type_: FieldType) -> Kind:
    return type_.kind if type_.kind is not Kind.LIST or type_.item is None else type_.item.kind


def _compile_side(config: SyncConfig, number: int, own: Object, mappings: tuple[Mapping, ...]) -> Side:
    account = config.accounts[number]
    types = {field.name: field.type for field in own.fields}
    constants = {
        (entry.a if number == 0 else entry.b) or "": fits(
            types.get((entry.a if number == 0 else entry.b) or "", _TEXT)
        )(list(entry.value) if isinstance(entry.value, tuple) else entry.value)
        for entry in config.mapping
        if entry.enabled and entry.is_constant and (entry.a if number == 0 else entry.b) is not None
    }
    wanted = {mapping.fields[number] for mapping in mappings if mapping.required}
    named = named_fields(config, account)
    return Side(
        account=account,
        object=own,
        enters=compile_filters(config.filters.get(account, ()), types),
        mapped=tuple(dict.fromkeys(mapping.fields[number] for mapping in mappings)),
        shown=_picker(tuple(dict.fromkeys(mapping.fields[number] for mapping in mappings))),
        whole=tuple(
            field.name
            for field in own.fields
            if not field.read_only and (own.capabilities.whole or field.name in named)
        ),
        identifiers=tuple((mapping.fields[number], mapping.identifier) for mapping in mappings if mapping.identifier),
        required=tuple(
            field.name for field in own.fields if (field.required or field.name in wanted) and not field.read_only
        ),
        constants=constants,
        age_kinds=tuple(_field(own, name).type.kind for name in own.key),
        named=named,
    )


def _picker(fields: tuple[str, ...]) -> Callable[[MappingType[str, Value]], dict[str, Value]]:
    """Takes the fields out of a record's values; those that it lacks are empty."""
    if len(fields) < 2:
        return lambda values: {field: values.get(field) for field in fields}
    pick = itemgetter(*fields)

    def shown(values: MappingType[str, Value]) -> dict[str, Value]:
        try:
            return dict(zip(fields, pick(values), strict=True))
        except KeyError:
            return {field: values.get(field) for field in fields}

    return shown


_TEXT = FieldType(Kind.TEXT)
