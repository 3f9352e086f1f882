"""What tables there are, their columns and rules, as the server's catalogs tell.

Responsible for: one `Table` per object. It must not read or write a row of the application's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg.rows import dict_row

from connectors.base import Context, ObjectUse
from connectors.postgres.build import Facts, build
from connectors.postgres.client import Connection
from connectors.postgres.mapping import Codec, PgType, build_codecs
from connectors.postgres.settings import PostgresObjectSettings
from connectors.postgres.tables import Discovered, Table

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
    facts = Facts(codecs, {row["oid"]: row for row in tables}, objects, columns, indexes, references, generated)
    result = {
        name: _absent(name, settings) if row is None else build(facts, name, row, settings)
        for name, (row, settings) in named.items()
    }
    return Discovered(connection.info.server_version, result, codecs, _paired(facts, result))


def _paired(facts: Facts, tables: Mapping[str, Table]) -> dict[int, Table]:
    """The tables of pairs, as they are published."""
    by_oid = {table.oid: table for table in tables.values()}
    found: dict[int, Table] = {}
    for oid in {pairing.oid for table in tables.values() for pairing in table.pairings}:
        row = facts.tables[oid]
        name = f"{row['schema']}.{row['name']}"
        found[oid] = by_oid.get(oid) or build(facts, name, row, PostgresObjectSettings(table=name))
    return found


async def load_codecs(connection: Connection) -> dict[int, Codec]:
    """Codecs for all types that there are now."""
    async with psycopg.AsyncRawCursor(connection, row_factory=dict_row) as cursor:
        types = await (await cursor.execute(_TYPES)).fetchall()
    return build_codecs({row["oid"]: _pg_type(row) for row in types})


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
