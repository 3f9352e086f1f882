"""Finding records by identifier.

A query of SQL finds candidates: every record that matches, and perhaps some more; the rules' own normaliser decides.
Responsible for the expressions that make the candidates complete. It must not know what a match leads to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import idna
import msgspec

from connectors.base import Identifier, Record
from connectors.postgres.client import Connection
from connectors.postgres.mapping import text_array
from connectors.postgres.names import quote
from connectors.postgres.read import Shape
from connectors.postgres.tables import Column
from rules.catalog import Kind, Value
from rules.identifiers import normalise

# What Python's strip() takes off, of what occurs.
_BLANKS = "E' \\t\\n\\r\\f\\x0b\\u00a0\\u2003\\u3000'"
# Collations whose lower() knows more than ASCII, best first; what a database has differs by version and build.
_COLLATIONS = ("pg_c_utf8", "und-x-icu", "C.utf8", "en_US.utf8")


class Folding(msgspec.Struct, frozen=True):
    """What the server can do for text beyond ASCII."""

    collation: str | None
    normalises: bool

    def wide(self, text: str) -> str:
        """A text folded as well as this server can."""
        collated = f"({text} COLLATE {quote(self.collation)})" if self.collation else text
        folded = f"lower(normalize({collated}))" if self.normalises else f"lower({collated})"
        # The letters of living languages whose case folding is not their lower case.
        return f"replace(replace({folded}, 'ß', 'ss'), 'ς', 'σ')" if self.normalises else folded


async def folding(connection: Connection) -> Folding:
    """What this server can do."""
    rows = await (
        await connection.execute(
            "SELECT collname FROM pg_collation WHERE collname = ANY($1::text[]) AND collnamespace = 'pg_catalog'::regnamespace "
            "AND collencoding IN (-1, (SELECT encoding FROM pg_database WHERE datname = current_database()))",
            [text_array(_COLLATIONS)],
        )
    ).fetchall()
    there = {name for (name,) in rows}
    unicode = connection.info.parameter_status("server_encoding") == "UTF8"
    return Folding(next((name for name in _COLLATIONS if name in there), None), unicode)


def folded_sql(type_: str, text: str, folding: Folding) -> str:
    """An expression that is equal for texts with the same normal form, but for rarities of scripts."""
    trimmed = f"btrim({text}, {_BLANKS})"
    if type_ == "sku":
        return trimmed
    # Both ways end in the collation "C", under which equal means the same. Its lower() is the fast one, for ASCII.
    folded = (
        f'CASE WHEN octet_length({text}) = length({text}) THEN lower({trimmed} COLLATE "C") COLLATE "C" '
        f'ELSE ({folding.wide(trimmed)}) COLLATE "C" END'
    )
    if type_ == "name":
        return f"regexp_replace({folded}, '\\s+', ' ', 'g')"
    if type_ == "domain":
        pattern = r"^(?:(?:[a-z][a-z0-9+.-]*:)?//)?(?:[^/?#@]*@)?(?:www\.)*([^/?#:@]*?)\.?(?:[:/?#].*)?$"
        return f"substring({folded} from '{pattern}')"
    return folded


def variants(type_: str, normal: str) -> set[str]:
    """The forms in which `folded_sql` may give what the rules normalise to `normal`."""
    found = {normal}
    if type_ == "domain":
        bare = normal
        while bare.startswith("www."):
            bare = bare[4:]
        found |= {bare, _unicode_host(bare)}
    elif type_ == "email" and "xn--" in normal:
        local, _, host = normal.rpartition("@")
        found.add(f"{local}@{_unicode_host(host)}")
    return found


def _unicode_host(host: str) -> str:
    try:
        return idna.decode(host) if "xn--" in host else host
    except (idna.IDNAError, UnicodeError):
        return host


def condition(shape: Shape, identifiers: Iterable[Identifier], folding: Folding) -> tuple[list[str], list[Any]]:
    """Conditions, one per field and type, and their parameters ($1 …), by which a full scan finds the candidates."""
    wanted: dict[tuple[str, str], set[str]] = {}
    for identifier in identifiers:
        normal = normalise(identifier.type, identifier.value)
        if normal is not None:
            wanted.setdefault((identifier.field, identifier.type), set()).update(variants(identifier.type, normal))
    conditions: list[str] = []
    parameters: list[Any] = []
    for (field, type_), values in wanted.items():
        column = shape.columns.get(field)
        if column is None:
            continue
        if type_ == "exact":
            texts = [text for value in sorted(values) if (text := exact_input(column, value)) is not None]
            cast = column.codec.cast if column.codec.kind is not Kind.JSON else "jsonb"
            conditions.append(f"t.{quote(field)} = ANY(${len(parameters) + 1}::text[]::{cast}[])")
            parameters.append(text_array(texts))
        else:
            # A text compares under the collation "C": under another, equal could mean less than the same.
            text = f"t.{quote(field)}::text"
            expression = folded_sql(type_, text, folding)
            conditions.append(f'({expression}) COLLATE "C" = ANY(${len(parameters) + 1}::text[])')
            parameters.append(text_array(sorted(values)))
    return conditions, parameters


def exact_input(column: Column, value: str) -> str | None:
    """An identifier's text as the server's input takes it; None where no row can hold it."""
    typed: Value = value
    match column.codec.kind:
        case Kind.BOOLEAN:
            if value not in ("true", "false"):
                return None
            typed = value == "true"
        case Kind.INTEGER:
            if not value.lstrip("-").isdigit() or abs(int(value)) >= 1 << ((column.codec.bits or 64) - 1):
                return None
        case Kind.TEXT | Kind.DECIMAL | Kind.UUID | Kind.DATE | Kind.TIME | Kind.TIMESTAMP | Kind.ENUM | Kind.BYTES:
            pass
        case _:
            return None
    try:
        return column.codec.dump(typed)
    except (TypeError, ValueError):
        return None


def indexed_condition(shape: Shape, raw: Sequence[tuple[Identifier, Value]]) -> tuple[list[str], list[Any]] | None:
    """The same by indexes: records that hold an identifier as it is written or normalised; None where a field has no index.

    For tables too large to scan at every create. The engine has matched all records that it knows before it creates;
    what this must find is a record that came meanwhile, and one that is spelled in a third way is then seen as a duplicate.
    """
    wanted: dict[str, set[str]] = {}
    for identifier, value in raw:
        if identifier.field not in shape.table.indexed:
            return None
        forms = wanted.setdefault(identifier.field, set())
        forms |= {identifier.value, *({value} if isinstance(value, str) else ())}
    conditions: list[str] = []
    parameters: list[Any] = []
    for field, values in wanted.items():
        column = shape.columns.get(field)
        if column is None:
            continue
        texts = [text for value in sorted(values) if (text := exact_input(column, value)) is not None]
        conditions.append(f"t.{quote(field)} = ANY(${len(parameters) + 1}::text[]::{column.codec.cast}[])")
        parameters.append(text_array(texts))
    return conditions, parameters


def matches(identifiers: Iterable[Identifier], values: dict[str, Value]) -> bool:
    """Whether the rules take the record for one with any of these identifiers."""
    for identifier in identifiers:
        normal = normalise(identifier.type, identifier.value)
        if normal is not None and normal == normalise(identifier.type, values.get(identifier.field)):
            return True
    return False


def by_identifier(records: Iterable[Record], identifiers: Iterable[Identifier]) -> list[Record]:
    """Those of the candidates that match."""
    wanted = {
        (identifier.field, identifier.type, normal)
        for identifier in identifiers
        if (normal := normalise(identifier.type, identifier.value)) is not None
    }
    kinds = {(field, type_) for field, type_, _ in wanted}
    return [
        record
        for record in records
        if any((field, type_, normalise(type_, record.values.get(field))) in wanted for field, type_ in kinds)
    ]
