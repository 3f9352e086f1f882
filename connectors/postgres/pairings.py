"""What sync.yaml says of an object's references, held against the catalogs: references by another field, and tables of pairs. Pure.

A table of pairs shows as a field of the record: the reference of its primary pair. Its own columns are found by their
foreign keys; where these do not tell, the problem says which of them to name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from connectors.postgres.mapping import Codec, field_type
from connectors.postgres.names import quote
from connectors.postgres.settings import PostgresObjectSettings, PostgresReference
from connectors.postgres.tables import Column, Pairing

Row = dict[str, Any]


class Facts(Protocol):
    """What is asked of the catalogs (`build.Facts`)."""

    @property
    def codecs(self) -> Mapping[int, Codec]: ...

    @property
    def tables(self) -> Mapping[int, Row]: ...

    @property
    def objects(self) -> Mapping[int, str]: ...

    @property
    def columns(self) -> Mapping[int, list[Row]]: ...

    def names(self, oid: int) -> dict[int, str]: ...

    def logged(self, oid: int) -> frozenset[str]: ...

    def leading(self, oid: int) -> frozenset[str]: ...

    def target(self, oid: int, number: int) -> tuple[int, str | None] | None: ...


class Resolved(NamedTuple):
    """The columns with their references, the tables of pairs, and what does not fit."""

    columns: tuple[Column, ...]
    pairings: tuple[Pairing, ...]
    problems: tuple[str, ...]


class _MisfitError(Exception):
    """What sync.yaml says of a reference does not hold: the problem, in words."""


def resolve(
    facts: Facts, row: Row, columns: tuple[Column, ...], key: tuple[str, ...], settings: PostgresObjectSettings
) -> Resolved:
    """Holds the references that sync.yaml describes against the catalogs."""
    by_name = {column.name: column for column in columns}
    found: list[Pairing] = []
    problems: list[str] = []
    for name, said in settings.references.items():
        try:
            if said.via is None:
                by_name[name] = _column(facts, row, by_name.get(name), name, said)
            else:
                found.append(_Pairs(facts, row, key, name, said).pairing(by_name))
        except _MisfitError as error:
            problems.append(str(error))
    return Resolved(tuple(by_name.values()), tuple(found), tuple(problems))


def _column(facts: Facts, row: Row, column: Column | None, name: str, said: PostgresReference) -> Column:
    native = f"{row['schema']}.{row['name']}"
    if column is None:
        raise _MisfitError(
            f"{native} has no column {name}: check `references` of the object, or add `via` if it is kept in a table of pairs"
        )
    return msgspec.structs.replace(column, references=said.object, references_field=_field(facts, name, said))


def _field(facts: Facts, name: str, said: PostgresReference) -> str | None:
    """The field that a reference holds; None where that is the id."""
    oid = next((oid for oid, known in facts.objects.items() if known == said.object), None)
    if oid is None:
        raise _MisfitError(
            f"its {name} is to refer to {said.object}, which is no object of this account: check `references` of the object"
        )
    if said.field is not None and said.field not in facts.names(oid).values():
        raise _MisfitError(
            f"its {name} is to hold {said.field} of {said.object}, which has no such column: check `references` of the object"
        )
    is_key = said.field is None or facts.logged(oid) == {said.field}
    return None if is_key else said.field


class _Pairs:
    """Finds the columns of one table of pairs."""

    def __init__(self, facts: Facts, row: Row, key: tuple[str, ...], name: str, said: PostgresReference) -> None:
        self.facts, self.row, self.key, self.name, self.said = facts, row, key, name, said
        self.there = self._table()
        self.oid: int = self.there["oid"]
        self.native = f"{self.there['schema']}.{self.there['name']}"
        self.columns = {column["name"]: column for column in facts.columns.get(self.oid, [])}

    def pairing(self, by_name: Mapping[str, Column]) -> Pairing:
        """The table of pairs as a field."""
        if self.name in by_name:
            raise _MisfitError(
                f"it has a column {self.name} of its own: give the reference via {self.native} another name"
            )
        if len(self.key) != 1:
            raise _MisfitError(
                f"its key has several columns, so it cannot be referred to in the table of pairs {self.native}: take {self.name} out of `references`"
            )
        own = self._own()
        other = self._other(own)
        self._primary()
        self._logs(own)
        return Pairing(
            field=self._field(other),
            oid=self.oid,
            schema=self.there["schema"],
            name=self.there["name"],
            partitioned=self.there["kind"] == "p",
            own=own,
            other=other["name"],
            primary=self.said.primary or "",
            indexed=own in self.facts.leading(self.oid),
            bound=self.facts.target(self.oid, self.columns[own]["number"]) == (self.row["oid"], None),
        )

    def _table(self) -> Row:
        via = self.said.via or ""
        for row in self.facts.tables.values():
            if via in (f"{row['schema']}.{row['name']}", row["name"] if row["schema"] == "public" else None):
                if row["kind"] not in ("r", "p"):
                    raise _MisfitError(
                        f"{via}, which keeps its {self.name}, is no table: name the table behind it as `via`"
                    )
                return row
        raise _MisfitError(f"there is no table {via}, or the role may not see it: check `via` of its {self.name}")

    def _named(self, option: str) -> Row | None:
        name = getattr(self.said, option)
        if name is not None and name not in self.columns:
            raise _MisfitError(f"{self.native} has no column {name}: check `{option}` of its {self.name}")
        return self.columns.get(name)

    def _own(self) -> str:
        named = self._named("own")
        if named is not None:
            return str(named["name"])
        key = (self.row["oid"], None)
        found = [n for n, column in self.columns.items() if self.facts.target(self.oid, column["number"]) == key]
        return self._only(found, "own", "holds the key of this object")

    def _other(self, own: str) -> Row:
        named = self._named("other")
        if named is not None:
            return named
        found = [
            name
            for name, column in self.columns.items()
            if name != own
            and (target := self.facts.target(self.oid, column["number"])) is not None
            and (self.said.object is None or self.facts.objects.get(target[0]) == self.said.object)
        ]
        return self.columns[self._only(found, "other", "holds the reference")]

    def _only(self, found: list[str], option: str, what: str) -> str:
        if len(found) == 1:
            return found[0]
        several = (
            f"several ({', '.join(found)}) could be the one that"
            if found
            else "none has a foreign key that tells which one"
        )
        raise _MisfitError(
            f"of the columns of {self.native} {several} {what}: name it as `{option}` of its {self.name}"
        )

    def _primary(self) -> None:
        column = self._named("primary")
        if column is None or self.facts.codecs[column["type_oid"]].cast != "boolean":
            raise _MisfitError(
                f"{self.native}.{self.said.primary} is no boolean, which could say what pair counts: check `primary` of its {self.name}"
            )

    def _logs(self, own: str) -> None:
        sql, role = f"{quote(self.there['schema'])}.{quote(self.there['name'])}", quote(self.row["role"])
        if not self.there["usage"] or not self.there["readable"]:
            raise _MisfitError(
                f"{self.native} may not be read: GRANT USAGE ON SCHEMA {quote(self.there['schema'])} TO {role}; GRANT SELECT ON {sql} TO {role};"
            )
        if self.there["persistence"] == "u":
            raise _MisfitError(
                f"{self.native} is unlogged, so its changes cannot be seen: ALTER TABLE {sql} SET LOGGED;"
            )
        if self.there["hidden_rows"]:
            raise _MisfitError(
                f"row security hides rows of {self.native} from this role, while the log shows all: ALTER ROLE {role} BYPASSRLS;"
            )
        if own not in self.facts.logged(self.oid):
            raise _MisfitError(
                f"of a pair that is gone from {self.native} the log does not tell whose it was: ALTER TABLE {sql} REPLICA IDENTITY FULL;"
            )

    def _field(self, other: Row) -> Column:
        codec = self.facts.codecs[other["type_oid"]]
        target = self.facts.target(self.oid, other["number"])
        named = None if target is None else self.facts.objects.get(target[0])
        held = None if target is None else target[1]
        if self.said.object is not None:
            named, held = self.said.object, _field(self.facts, self.name, self.said)
        if named is None:
            raise _MisfitError(
                f"no foreign key tells what {self.native}.{other['name']} refers to: name the object as `object` of its {self.name}"
            )
        return Column(
            name=self.name,
            type_oid=other["type_oid"],
            modifier=other["modifier"],
            native=other["native"],
            codec=codec,
            type=field_type(codec, other["modifier"], other["native"]),
            nullable=True,
            has_default=True,
            read_only=False,
            writable=self.there["insertable"] and self.there["updatable"],
            references=named,
            references_field=held,
            description=f"the primary pair in {self.native}",
        )


def remedies(pairing: Pairing) -> Iterator[tuple[str, str]]:
    """What would make a table of pairs better: what is slow or unsafe, and the statement that mends it."""
    if not pairing.indexed:
        yield (
            f"{pairing.native} has no index that begins with {pairing.own}, so each record read searches all of it",
            f"CREATE INDEX ON {pairing.sql} ({quote(pairing.own)});",
        )
