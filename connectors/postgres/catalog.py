"""What tables there are, their columns and rules, as the server's catalogs tell.

Responsible for: one `Table` per object (all that SQL and the log reader need to know of it), and its public face, `rules.catalog.Object`. It
must not read or write a row of the application's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import psycopg
from psycopg.rows import dict_row

from connectors.base import Context, ObjectUse
from connectors.postgres.client import Connection
from connectors.postgres.mapping import Codec, PgType, build_codecs, field_type
from connectors.postgres.names import quote
from connectors.postgres.pgoutput import Relation
from connectors.postgres.settings import PostgresObjectSettings
from rules.catalog import Capabilities, Catalog, Field, FieldType, Object

BATCH = 500


class Column(msgspec.Struct, frozen=True):
    """A column that we read."""

    name: str
    type_oid: int
    modifier: int
    native: str
    codec: Codec
    type: FieldType
    nullable: bool
    has_default: bool  # a default, identity or generation: an insert that leaves the column out does not mean null
    read_only: bool
    writable: bool  # privileges included
    references: str | None = None
    description: str = ""


class Table(msgspec.Struct, frozen=True):
    """A table as an object. `columns` lacks what is excluded or cannot be seen in the log."""

    object: str
    oid: int
    schema: str
    name: str
    partitioned: bool
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...]
    deferrable: bool  # some constraint of the table may be checked at commit only
    indexed: frozenset[str]  # columns that lead an index without condition
    rows: int  # the planner's estimate
    exclude: tuple[str, ...] = ()
    skip: frozenset[str] = frozenset()  # columns that the log may carry and that we do not read
    merged_into: str | None = None
    problems: tuple[str, ...] = ()
    creatable: bool = True
    updatable: bool = True
    deletable: bool = True
    role: str = ""  # as whom we are connected, for remedies

    @property
    def native(self) -> str:
        """`schema.table`."""
        return f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        """The table in SQL, quoted."""
        return f"{quote(self.schema)}.{quote(self.name)}"

    @property
    def source(self) -> str:
        """The table in FROM: without the rows of tables that inherit from it, which are objects of their own."""
        return self.sql if self.partitioned else f"ONLY {self.sql}"

    def keys(self) -> tuple[Column, ...]:
        """The columns of the key, in its order."""
        by_name = {column.name: column for column in self.columns}
        return tuple(by_name[name] for name in self.key)


class Discovered(msgspec.Struct, frozen=True):
    """Everything discovered at one time."""

    version: int  # server_version_num
    tables: dict[str, Table]  # by object
    codecs: dict[int, Codec]

    def catalog(self) -> Catalog:
        """The public face."""
        return Catalog({name: _object(table) for name, table in self.tables.items()})


def _object(table: Table) -> Object:
    uniques = {columns[0] for columns in table.unique if len(columns) == 1}
    if len(table.key) == 1:
        uniques.add(table.key[0])
    fields = tuple(
        Field(
            name=column.name,
            type=column.type,
            nullable=column.nullable,
            required=not column.nullable and not column.has_default,
            read_only=column.read_only or not column.writable,
            unique=column.name in uniques,
            references=column.references,
            description=column.description,
        )
        for column in table.columns
    )
    capabilities = Capabilities(
        creatable=table.creatable, updatable=table.updatable, deletable=table.deletable, batch_size=BATCH
    )
    return Object(
        name=table.object,
        fields=fields,
        key=table.key,
        unique=table.unique,
        capabilities=capabilities,
        native=table.native,
        problems=table.problems,
    )


# ---------------------------------------------------------------- queries

_TYPES = """
SELECT t.oid::bigint AS oid, t.typname AS name, n.nspname AS schema, t.typtype::text AS type, t.typbasetype::bigint AS base,
       t.typtypmod AS base_mod, t.typdelim::text AS delimiter, format_type(t.oid, -1) AS "cast",
       CASE WHEN t.typcategory = 'A' AND t.typname NOT IN ('int2vector', 'oidvector') THEN t.typelem::bigint ELSE 0 END AS element,
       (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder)::text FROM pg_enum e WHERE e.enumtypid = t.oid) AS labels
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype <> 'p'
"""

# Partitions show through their root; what an extension or we ourselves made is nobody's record.
_TABLES = """
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, c.relpersistence::text AS persistence,
       c.relreplident::text AS identity, greatest(c.reltuples, 0)::bigint AS rows,
       c.relrowsecurity AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE'))
         AND NOT (SELECT r.rolbypassrls OR r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) AS hidden_rows,
       has_schema_privilege(n.oid, 'USAGE') AS usage, current_user::text AS role,
       has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT') AS readable,
       has_table_privilege(c.oid, 'INSERT') OR has_any_column_privilege(c.oid, 'INSERT') AS insertable,
       has_table_privilege(c.oid, 'UPDATE') OR has_any_column_privilege(c.oid, 'UPDATE') AS updatable,
       has_table_privilege(c.oid, 'DELETE') AS deletable,
       EXISTS (SELECT FROM pg_constraint k WHERE k.condeferrable AND (k.conrelid = c.oid OR k.confrelid = c.oid)) AS deferrable
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'tandem') AND n.nspname NOT LIKE 'pg\\_%'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname
"""

_COLUMNS = """
SELECT a.attrelid::bigint AS oid, a.attnum AS number, a.attname AS name, a.atttypid::bigint AS type_oid, a.atttypmod AS modifier,
       format_type(a.atttypid, a.atttypmod) AS native, a.attnotnull AS required, a.atthasdef AS has_default,
       a.attidentity::text AS identity, a.attgenerated::text AS generated, col_description(a.attrelid, a.attnum) AS description,
       has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS readable,
       has_column_privilege(a.attrelid, a.attnum, 'INSERT') AND has_column_privilege(a.attrelid, a.attnum, 'UPDATE') AS writable,
       EXISTS (SELECT FROM pg_type t WHERE t.oid = a.atttypid AND t.typtype = 'd' AND t.typdefault IS NOT NULL) AS domain_default,
       EXISTS (SELECT FROM pg_type t WHERE t.oid = a.atttypid AND t.typtype = 'd' AND t.typnotnull) AS domain_required
FROM pg_attribute a
WHERE a.attrelid = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""

_INDEXES = """
SELECT i.indrelid::bigint AS oid, i.indisprimary AS "primary", i.indisreplident AS identity, i.indimmediate AS immediate,
       i.indisunique AS "unique", i.indpred IS NULL AS whole, am.amname IN ('btree', 'hash') AS lookup,
       (SELECT json_agg(k.number ORDER BY k.place)::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(number, place)
        WHERE k.place <= i.indnkeyatts) AS numbers
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am am ON am.oid = x.relam
WHERE i.indrelid = ANY($1) AND i.indisvalid AND i.indisready
"""

_REFERENCES = """
SELECT k.conrelid::bigint AS oid, k.conkey[1] AS number, k.confrelid::bigint AS target, k.confkey[1] AS target_number
FROM pg_constraint k WHERE k.contype = 'f' AND cardinality(k.conkey) = 1 AND k.conrelid = ANY($1)
"""

Row = dict[str, Any]


async def discover(connection: Connection, context: Context, *, generated: bool) -> Discovered:
    """All tables, under the names of sync.yaml. `generated`: whether the publication carries stored generated columns."""
    async with psycopg.AsyncRawCursor(connection, row_factory=dict_row) as cursor:
        types = await (await cursor.execute(_TYPES)).fetchall()
        tables = await (await cursor.execute(_TABLES)).fetchall()
        oids = [row["oid"] for row in tables]
        columns = _grouped(await (await cursor.execute(_COLUMNS, [oids])).fetchall())
        found = await (await cursor.execute(_INDEXES, [oids])).fetchall()
        indexes = _grouped({**row, "numbers": json.loads(row["numbers"])} for row in found)
        references = _grouped(await (await cursor.execute(_REFERENCES, [oids])).fetchall())
    codecs = build_codecs({row["oid"]: _pg_type(row) for row in types})
    named = _named(tables, context.objects)
    objects = {row["oid"]: name for name, (row, _) in named.items() if row is not None}
    built = _Builder(codecs, objects, columns, indexes, references, generated=generated)
    result = {
        name: _absent(name, settings) if row is None else built.table(name, row, settings)
        for name, (row, settings) in named.items()
    }
    return Discovered(connection.info.server_version, result, codecs)


async def load_codecs(connection: Connection) -> dict[int, Codec]:
    """Codecs for all types that there are now."""
    async with psycopg.AsyncRawCursor(connection, row_factory=dict_row) as cursor:
        types = await (await cursor.execute(_TYPES)).fetchall()
    return build_codecs({row["oid"]: _pg_type(row) for row in types})


async def native_types(connection: Connection, relation: Relation) -> dict[str, str]:
    """The names of the types of a relation's columns, as `format_type` gives them."""
    query = (
        "SELECT format_type(o::oid, m) FROM unnest($1::bigint[], $2::int[]) WITH ORDINALITY r(o, m, ord) ORDER BY ord"
    )
    oids, modifiers = [c.type_oid for c in relation.columns], [c.modifier for c in relation.columns]
    rows = await (await connection.execute(query, [oids, modifiers])).fetchall()
    return {column.name: native for column, (native,) in zip(relation.columns, rows, strict=True)}


async def missing_columns(connection: Connection, oid: int, names: Iterable[str]) -> list[str]:
    """Those of the names that the table does not have."""
    query = "SELECT attname FROM pg_attribute WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped"
    there = {name for (name,) in await (await connection.execute(query, [oid])).fetchall()}
    return [name for name in names if name not in there]


def _pg_type(row: Row) -> PgType:
    return PgType(**{**row, "labels": tuple(json.loads(row["labels"] or "[]"))})


def _grouped(rows: Iterable[Row]) -> dict[int, list[Row]]:
    result: dict[int, list[Row]] = {}
    for row in rows:
        result.setdefault(row["oid"], []).append(row)
    return result


def default_name(schema: str, table: str) -> str:
    """What an object is called that sync.yaml does not name: the bare name in `public`, else schema.table."""
    return table if schema == "public" else f"{schema}.{table}"


def _named(tables: list[Row], uses: tuple[ObjectUse, ...]) -> dict[str, tuple[Row | None, PostgresObjectSettings]]:
    """Every table under its name, with its settings; a name without a table keeps None. Views appear only where sync.yaml names them."""
    by_native = {f"{row['schema']}.{row['name']}": row for row in tables}
    by_bare = {row["name"]: row for row in tables if row["schema"] == "public"}
    result: dict[str, tuple[Row | None, PostgresObjectSettings]] = {}
    taken: set[int] = set()
    for use in uses:
        settings = PostgresObjectSettings.model_validate(dict(use.settings))
        wanted = settings.table or use.name
        row = by_native.get(wanted) or by_bare.get(wanted)
        result[use.name] = (row, settings)
        if row is not None:
            taken.add(row["oid"])
    for row in tables:
        name = default_name(row["schema"], row["name"])
        if row["oid"] not in taken and name not in result and row["kind"] in ("r", "p"):
            result[name] = (row, PostgresObjectSettings())
    return result


def _absent(name: str, settings: PostgresObjectSettings) -> Table:
    native = settings.table or name
    schema, _, table = native.rpartition(".")
    problem = f"there is no table {native}, or the role may not see it: check `table` under objects.{name}"
    return Table(name, 0, schema or "public", table, False, (), (), (), False, frozenset(), 0, problems=(problem,))


class _Builder:
    """Puts the rows of the catalogs together, table by table."""

    def __init__(
        self,
        codecs: Mapping[int, Codec],
        objects: Mapping[int, str],
        columns: Mapping[int, list[Row]],
        indexes: Mapping[int, list[Row]],
        references: Mapping[int, list[Row]],
        *,
        generated: bool,
    ) -> None:
        self.codecs, self.objects, self.columns, self.indexes = codecs, objects, columns, indexes
        self.references, self.generated = references, generated

    def table(self, name: str, row: Row, settings: PostgresObjectSettings) -> Table:
        oid = row["oid"]
        names = {column["number"]: column["name"] for column in self.columns.get(oid, [])}
        key = self._key(oid, row["identity"], names)
        columns = tuple(
            self._column(column) for column in self.columns.get(oid, []) if self._is_read(column, settings.exclude)
        )
        readable = {column.name for column in columns}
        indexes = self.indexes.get(oid, [])
        unique = tuple(
            tuple(names[number] for number in index["numbers"])
            for index in indexes
            if index["unique"] and index["whole"] and all(number in names for number in index["numbers"])
        )
        leading = frozenset(
            names[index["numbers"][0]]
            for index in indexes
            if index["whole"] and index["lookup"] and index["numbers"][0] in names
        )
        return Table(
            object=name,
            oid=oid,
            schema=row["schema"],
            name=row["name"],
            partitioned=row["kind"] == "p",
            columns=columns,
            key=key if set(key) <= readable else (),
            unique=tuple(sorted({columns for columns in unique if columns != key and set(columns) <= readable})),
            deferrable=row["deferrable"],
            indexed=leading,
            rows=row["rows"],
            exclude=settings.exclude,
            skip=frozenset(names.values()) - readable | frozenset(settings.exclude),
            merged_into=settings.merged_into,
            problems=tuple(self._problems(row, key, names.values(), readable, settings)),
            creatable=row["insertable"],
            updatable=row["updatable"],
            deletable=row["deletable"],
            role=row["role"],
        )

    def _is_read(self, column: Row, exclude: tuple[str, ...]) -> bool:
        """Whether the column can be read and seen in the log: a virtual generated one never is, a stored one where the publication says so."""
        in_log = column["generated"] == "" or (column["generated"] == "s" and self.generated)
        return column["readable"] and in_log and column["name"] not in exclude

    def _column(self, row: Row) -> Column:
        codec = self.codecs[row["type_oid"]]
        kind = field_type(codec, row["modifier"], row["native"])
        has_default = row["has_default"] or row["identity"] != "" or row["generated"] != "" or row["domain_default"]
        return Column(
            name=row["name"],
            type_oid=row["type_oid"],
            modifier=row["modifier"],
            native=row["native"],
            codec=codec,
            type=kind,
            nullable=not (row["required"] or row["domain_required"]),
            has_default=has_default,
            read_only=row["generated"] != "" or row["identity"] == "a",
            writable=row["writable"],
            references=self._target(row),
            description=row["description"] or "",
        )

    def _target(self, column: Row) -> str | None:
        """The object whose single key column this column refers to."""
        for reference in self.references.get(column["oid"], []):
            if reference["number"] == column["number"]:
                primary = next((index for index in self.indexes.get(reference["target"], []) if index["primary"]), None)
                if primary is not None and primary["numbers"] == [reference["target_number"]]:
                    return self.objects.get(reference["target"])
        return None

    def _key(self, oid: int, identity: str, names: Mapping[int, str]) -> tuple[str, ...]:
        """What the log identifies a row by: the primary key, or the index that REPLICA IDENTITY names."""
        wanted = "identity" if identity == "i" else "primary"
        index = next((index for index in self.indexes.get(oid, []) if index[wanted]), None)
        if index is None or not index["immediate"] or not all(number in names for number in index["numbers"]):
            return ()
        return tuple(names[number] for number in index["numbers"])

    def _problems(
        self, row: Row, key: tuple[str, ...], names: Iterable[str], readable: set[str], settings: PostgresObjectSettings
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
