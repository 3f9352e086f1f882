"""Puts together what the catalogs tell of a table, and says what keeps it from being synced. Pure: rows of the catalogs in, `Table` out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from connectors.postgres import pairings
from connectors.postgres.mapping import Codec, field_type
from connectors.postgres.names import quote
from connectors.postgres.settings import PostgresObjectSettings
from connectors.postgres.tables import Column, Table

Row = dict[str, Any]


class Facts(NamedTuple):
    """The rows of the catalogs. `generated`: whether the publication carries stored generated columns."""

    codecs: Mapping[int, Codec]
    tables: Mapping[int, Row]
    objects: Mapping[int, str]
    columns: Mapping[int, list[Row]]
    indexes: Mapping[int, list[Row]]
    references: Mapping[int, list[Row]]
    generated: bool

    def names(self, oid: int) -> dict[int, str]:
        """The columns of a table by number."""
        return {column["number"]: column["name"] for column in self.columns.get(oid, [])}

    def key(self, oid: int) -> tuple[str, ...]:
        """What the log identifies a row by: the primary key, or the index that REPLICA IDENTITY names."""
        wanted = "identity" if self.tables[oid]["identity"] == "i" else "primary"
        index = next((index for index in self.indexes.get(oid, []) if index[wanted]), None)
        names = self.names(oid)
        if index is None or not index["immediate"] or not all(number in names for number in index["numbers"]):
            return ()
        return tuple(names[number] for number in index["numbers"])

    def logged(self, oid: int) -> frozenset[str]:
        """The columns that the log has of a row that is gone."""
        full = self.tables[oid]["identity"] == "f"
        return frozenset(self.names(oid).values()) if full else frozenset(self.key(oid))

    def leading(self, oid: int) -> frozenset[str]:
        """The columns that lead an index without condition."""
        names = self.names(oid)
        found = (one for one in self.indexes.get(oid, []) if one["whole"] and one["lookup"])
        return frozenset(names[one["numbers"][0]] for one in found if one["numbers"][0] in names)

    def target(self, oid: int, number: int) -> tuple[int, str | None] | None:
        """The table that a column refers to by a foreign key, and the column that it holds; None: the primary key."""
        for reference in self.references.get(oid, []):
            if reference["number"] == number:
                there, column = reference["target"], reference["target_number"]
                primary = next((index for index in self.indexes.get(there, []) if index["primary"]), None)
                is_key = primary is not None and primary["numbers"] == [column]
                return there, None if is_key else self.names(there).get(column)
        return None


def column(facts: Facts, row: Row) -> Column:
    """A column that we read."""
    codec = facts.codecs[row["type_oid"]]
    has_default = row["has_default"] or row["identity"] != "" or row["generated"] != "" or row["domain_default"]
    target = facts.target(row["oid"], row["number"])
    named = None if target is None else facts.objects.get(target[0])
    return Column(
        name=row["name"],
        type_oid=row["type_oid"],
        modifier=row["modifier"],
        native=row["native"],
        codec=codec,
        type=field_type(codec, row["modifier"], row["native"]),
        nullable=not (row["required"] or row["domain_required"]),
        has_default=has_default,
        read_only=row["generated"] != "" or row["identity"] == "a",
        writable=row["writable"],
        references=named,
        references_field=None if target is None or named is None else target[1],
        description=row["description"] or "",
    )


def build(facts: Facts, name: str, row: Row, settings: PostgresObjectSettings) -> Table:
    """A table as an object."""
    oid = row["oid"]
    names, key = facts.names(oid), facts.key(oid)
    columns = tuple(column(facts, one) for one in facts.columns.get(oid, []) if _is_read(facts, one, settings.exclude))
    readable = {one.name for one in columns}
    unique = {
        tuple(names[number] for number in index["numbers"])
        for index in facts.indexes.get(oid, [])
        if index["unique"] and index["whole"] and all(number in names for number in index["numbers"])
    }
    found = pairings.resolve(facts, row, columns, key, settings)
    return Table(
        object=name,
        oid=oid,
        schema=row["schema"],
        name=row["name"],
        partitioned=row["kind"] == "p",
        columns=found.columns,
        key=key if set(key) <= readable else (),
        unique=tuple(sorted(one for one in unique if one != key and set(one) <= readable)),
        deferrable=row["deferrable"],
        indexed=facts.leading(oid),
        rows=row["rows"],
        exclude=settings.exclude,
        skip=frozenset(names.values()) - readable | frozenset(settings.exclude),
        merged_into=settings.merged_into,
        problems=(*_problems(row, key, names.values(), readable, settings), *found.problems),
        creatable=row["insertable"],
        updatable=row["updatable"],
        deletable=row["deletable"],
        role=row["role"],
        pairings=found.pairings,
    )


def _is_read(facts: Facts, row: Row, exclude: tuple[str, ...]) -> bool:
    """Whether the column can be read and seen in the log: a virtual generated one never is, a stored one where the publication says so."""
    in_log = row["generated"] == "" or (row["generated"] == "s" and facts.generated)
    return row["readable"] and in_log and row["name"] not in exclude


def _problems(
    row: Row, key: tuple[str, ...], names: Iterable[str], readable: set[str], settings: PostgresObjectSettings
) -> Iterable[str]:
    native = f"{row['schema']}.{row['name']}"
    sql, role = f"{quote(row['schema'])}.{quote(row['name'])}", quote(row["role"])
    if row["kind"] in ("v", "m", "f"):
        kind = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}[row["kind"]]
        yield f"{native} is {kind}, which has no change log: name the table behind it"
        return
    if not row["usage"] or not row["readable"]:
        yield f"{native} may not be read: GRANT USAGE ON SCHEMA {quote(row['schema'])} TO {role}; GRANT SELECT ON {sql} TO {role};"
        return
    if row["persistence"] == "u":
        yield f"{native} is unlogged, so its changes cannot be seen: ALTER TABLE {sql} SET LOGGED;"
    if not key:
        yield f"{native} has no primary key, so its records have no id: ALTER TABLE {sql} ADD PRIMARY KEY (…);"
    elif row["identity"] == "n":
        yield f"{native} has REPLICA IDENTITY NOTHING: ALTER TABLE {sql} REPLICA IDENTITY DEFAULT;"
    elif not set(key) <= readable:
        missing = ", ".join(name for name in key if name not in readable)
        yield f"{native} has a key column {missing} that is excluded, generated or may not be read: take it out of `exclude`, or grant SELECT"
    if row["hidden_rows"]:
        yield f"row security hides rows of {native} from this role, while the log shows all: ALTER ROLE {role} BYPASSRLS;"
    known = set(names)
    for name in (*settings.exclude, *([settings.merged_into] if settings.merged_into else [])):
        if name not in known:
            yield f"{native} has no column {name}: check `exclude` and `merged_into` of the object"
    if settings.merged_into and settings.merged_into in settings.exclude:
        yield f"{native} has a `merged_into` that is excluded: take it out of `exclude`"
