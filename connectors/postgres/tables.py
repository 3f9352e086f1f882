"""A table as an object: what SQL and the log reader need to know of it, and its public face, `rules.catalog.Object`. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from connectors.postgres.mapping import Codec
from connectors.postgres.names import quote
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
    references_field: str | None = None  # None: the id
    description: str = ""


class Pairing(msgspec.Struct, frozen=True):
    """A table of pairs, in which a record refers to others; the primary one shows as a field of the record."""

    field: Column  # as the field shows: named as sync.yaml says, typed as the column `other`
    oid: int
    schema: str
    name: str
    partitioned: bool
    own: str  # the column that holds the record's key
    other: str  # the column that holds the reference
    primary: str  # the column that says which of a record's pairs counts
    indexed: bool  # whether a record's pairs are found by an index
    bound: bool  # whether a foreign key binds `own` to the record, so that its lock keeps others from adding pairs

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
        """The table in FROM."""
        return self.sql if self.partitioned else f"ONLY {self.sql}"


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
    pairings: tuple[Pairing, ...] = ()

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

    @property
    def is_there(self) -> bool:
        """Whether there is such a table."""
        return self.oid != 0

    @property
    def shape(self) -> tuple[tuple[str, str], ...] | None:
        """The fields and their native types; None where there is no table."""
        return tuple((field.name, field.native) for field in self.fields) if self.is_there else None

    @property
    def fields(self) -> tuple[Column, ...]:
        """All that a record holds: the columns, and the references that are kept in tables of pairs."""
        return self.columns + tuple(pairing.field for pairing in self.pairings)

    def keys(self) -> tuple[Column, ...]:
        """The columns of the key, in its order."""
        by_name = {column.name: column for column in self.columns}
        return tuple(by_name[name] for name in self.key)


class Discovered(msgspec.Struct, frozen=True):
    """Everything discovered at one time."""

    version: int  # server_version_num
    tables: dict[str, Table]  # by object
    codecs: dict[int, Codec]
    paired: dict[int, Table] = {}  # tables of pairs, by oid

    def catalog(self) -> Catalog:
        """The public face."""
        return Catalog({name: _object(table) for name, table in self.tables.items()})

    def behind(self, tables: Sequence[Table]) -> list[Table]:
        """The tables and those of their pairs, each once: all that the log must tell of."""
        known = {table.oid for table in tables}
        more = {pairing.oid: self.paired[pairing.oid] for table in tables for pairing in table.pairings}
        return [*tables, *(table for oid, table in more.items() if oid not in known)]


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
            references_field=column.references_field,
            description=column.description,
        )
        for column in table.fields
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
