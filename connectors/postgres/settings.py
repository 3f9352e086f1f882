"""What sync.yaml says of a PostgreSQL account and of its objects."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from rules.faults import fault


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


class PostgresReference(BaseModel):
    """A reference to records of another object that no foreign key to their primary key tells of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    object: str | None = Field(
        default=None, min_length=1, description="The object that it refers to; absent: as the foreign key says"
    )
    field: str | None = Field(
        default=None, min_length=1, description="The field of that object which the reference holds; absent: its id"
    )
    via: str | None = Field(
        default=None, min_length=1, description="The table of pairs that the references are kept in, one a row"
    )
    primary: str | None = Field(
        default=None,
        min_length=1,
        description="With `via`: its boolean column that is true for the one pair of a record that counts",
    )
    own: str | None = Field(
        default=None,
        min_length=1,
        description="With `via`: its column that holds this object's key; absent: as the foreign key says",
    )
    other: str | None = Field(
        default=None,
        min_length=1,
        description="With `via`: its column that holds the reference; absent: as the foreign key says",
    )

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        if self.via is None:
            extra = next((name for name in ("primary", "own", "other") if getattr(self, name) is not None), None)
            if extra is not None:
                raise fault(f"'{extra}' says something of a table of pairs, and none is named", "add via: TABLE", extra)
            if self.object is None:
                raise fault(
                    "the reference does not say what it refers to",
                    "write {object: firms, field: code}, or {via: contact_company, primary: is_primary}",
                )
        elif self.primary is None:
            raise fault(
                f"of the pairs in '{self.via}' it is not said which one counts",
                "add primary: the boolean column that is true for the one that does",
                "via",
            )
        return self


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
    references: dict[str, PostgresReference] = Field(
        default={},
        description="Fields that refer to other objects by another field than the id, or by a table of pairs: "
        "{firm_code: {object: firms, field: code}, company_id: {via: contact_company, primary: is_primary}}",
    )
