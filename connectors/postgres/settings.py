"""What sync.yaml says of a PostgreSQL account and of its objects."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class PostgresSettings(BaseModel):
    """An account of connector `postgres`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: SecretStr = Field(
        description="postgresql://user:password@host:5432/database; anything libpq understands, sslmode too"
    )
    publication: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        description="A publication made beforehand, for a role that may not make its own; absent: Tandem makes one",
    )


class PostgresObjectSettings(BaseModel):
    """An object of such an account, under `objects`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: str | None = Field(
        default=None, description="schema.table, or the bare name of a table in `public`; absent: the object's own name"
    )
    exclude: tuple[str, ...] = Field(
        default=(), description="Columns that are never read; from PostgreSQL 15 on never published either"
    )
    merged_into: str | None = Field(
        default=None, description="A column that names the survivor when this record was merged into another"
    )
