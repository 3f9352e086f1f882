"""SQL over tables of pairs: the primary reference of a record as an expression, and the statements that write it.

A written reference moves the mark of the primary pair: the pair that had it stays as one of the others, and the new one
is made if it is not there. Nothing is removed. Pure: text and parameters, no connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from connectors.postgres.mapping import text_array
from connectors.postgres.names import quote
from connectors.postgres.tables import Column, Pairing

if TYPE_CHECKING:
    from connectors.postgres.read import Shape

Pair = tuple[str, str | None]  # a record's key, and what it is to refer to, as texts


def expression(pairing: Pairing, key: str) -> str:
    """What record `t` refers to."""
    return (
        f"(SELECT p.{quote(pairing.other)} FROM {pairing.source} p WHERE p.{quote(pairing.own)} = t.{quote(key)} "  # noqa: S608
        f"AND p.{quote(pairing.primary)} ORDER BY p.{quote(pairing.other)} LIMIT 1)"
    )


def lock_sql(shape: Shape, pairing: Pairing, *, skip: bool) -> str:
    """Locks all pairs of a batch of records (with `skip`: those that nobody else holds); `ord` of each one's record."""
    return (
        f"SELECT k.ord FROM {pairing.source} p JOIN {_keys(shape.keys[0])} ON p.{quote(pairing.own)} = k.k0 "  # noqa: S608
        f"ORDER BY p.{quote(pairing.own)}, p.{quote(pairing.other)} FOR UPDATE OF p{' SKIP LOCKED' if skip else ''}"
    )


def count_sql(shape: Shape, pairing: Pairing) -> str:
    """`ord` of each pair's record, locked by whomever."""
    return f"SELECT k.ord FROM {pairing.source} p JOIN {_keys(shape.keys[0])} ON p.{quote(pairing.own)} = k.k0"  # noqa: S608


def shown_sql(shape: Shape) -> str:
    """What a batch of records refers to, by `ord`."""
    key = shape.keys[0]
    fields = ", ".join(expression(pairing, key.name) for pairing in shape.table.pairings)
    return (
        f"SELECT k.ord, {fields} FROM {shape.table.source} t "  # noqa: S608
        f"JOIN {_keys(key)} ON t.{quote(key.name)} = k.k0"
    )


def write_sql(shape: Shape, pairing: Pairing) -> tuple[str, ...]:
    """Takes the mark from the pairs that are not to have it, gives it to those that are, and makes these where they are not."""
    own, other, primary = quote(pairing.own), quote(pairing.other), quote(pairing.primary)
    key = shape.keys[0].codec.cast
    given = f"(SELECT k0::{key} AS k0, v::{pairing.field.codec.cast} AS v FROM unnest($1::text[], $2::text[]) AS r(k0, v)) k"  # noqa: S608
    of_record, is_it, is_not = f"p.{own} = k.k0", f"p.{other} = k.v", f"p.{other} IS DISTINCT FROM k.v"
    unmarked = f"p.{primary} IS NOT TRUE"
    missing = f"k.v IS NOT NULL AND NOT EXISTS (SELECT FROM {pairing.source} p WHERE {of_record} AND {is_it})"
    return (
        f"UPDATE {pairing.source} AS p SET {primary} = false FROM {given} WHERE {of_record} AND p.{primary} AND {is_not}",  # noqa: S608
        f"UPDATE {pairing.source} AS p SET {primary} = true FROM {given} WHERE {of_record} AND {is_it} AND {unmarked}",  # noqa: S608
        f"INSERT INTO {pairing.sql} ({own}, {other}, {primary}) SELECT k.k0, k.v, true FROM {given} WHERE {missing}",  # noqa: S608
    )


def write_parameters(pairs: Sequence[Pair]) -> list[str]:
    """The parameters of each statement of `write_sql`."""
    return [text_array([key for key, _ in pairs]), text_array([text for _, text in pairs])]


def _keys(key: Column) -> str:
    return f"(SELECT ord, k0::{key.codec.cast} AS k0 FROM unnest($1::text[]) WITH ORDINALITY AS r(k0, ord)) k"  # noqa: S608
