"""How a value of a type travels: what the contract holds a connector's values against.

Responsible for saying what a value should have been, for the message of a case. Must not know connectors.
"""

from __future__ import annotations

from collections.abc import Callable

from rules.canonical import (
    canonical_date,
    canonical_decimal,
    canonical_json,
    canonical_time,
    canonical_timestamp,
    canonical_uuid,
)
from rules.catalog import FieldType, Kind, Value

_TEXTS: dict[Kind, Callable[[str], str]] = {
    Kind.DECIMAL: canonical_decimal,
    Kind.DATE: canonical_date,
    Kind.UUID: canonical_uuid,
    Kind.JSON: canonical_json,
}


def canonical(type: FieldType, value: Value) -> Value:
    """The value as it must travel; the same object where it is right."""
    if value is None:
        return None
    if type.kind is Kind.LIST:
        item = type.item or FieldType(Kind.TEXT)
        return [canonical(item, one) for one in value] if isinstance(value, list) else [value]
    if type.kind is Kind.BOOLEAN:
        return value if value.__class__ is bool else str(value).lower() == "true"
    if type.kind is Kind.INTEGER:
        return value if value.__class__ is int else int(str(value))
    text = value if isinstance(value, str) else str(value)
    if type.kind is Kind.TIMESTAMP:
        return canonical_timestamp(text, type.zone)
    if type.kind is Kind.TIME:
        return canonical_time(text, type.zone)
    return _TEXTS.get(type.kind, str)(text)
