"""The entries of a mapping, as people write them.

Responsible for reading the long form `{crm: email, shop: mail, …}`, the short form `email: mail` and constants
`{shop: source, value: x}` into one form, and for saying what is wrong with an entry that is none of them. Must not
know the rest of the sync.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rules.canonical import shown
from rules.config.problems import closest
from rules.faults import Fault, fault, faults

OPTIONS = ("value", "identifier", "required", "values", "direction", "enabled", "association", "empty")


class Entry(NamedTuple):
    """An entry of a mapping with the accounts of its sync, in the order of `between`."""

    accounts: tuple[str, ...]
    raw: Any


def normalised(entry: Entry) -> dict[str, Any]:
    """The entry with its fields as `a` and `b` and its value map as pairs in that order."""
    first, second = entry.accounts[:2]
    raw = entry.raw
    if not isinstance(raw, Mapping):
        raise fault(f"{{where}} must name two fields, not {shown(raw)}", f"write {{{first}: …, {second}: …}}")
    options = {key: value for key, value in raw.items() if key in OPTIONS and key not in entry.accounts}
    named = {key: value for key, value in raw.items() if key not in options}
    fields = {first: named.pop(first, None), second: named.pop(second, None)}
    if named:
        fields = _short_form(entry, fields, named, options)
    _check_fields(entry, fields, options)
    read = {key: value for key, value in options.items() if value is not None}
    read |= {side: value for side, value in zip("ab", fields.values(), strict=True) if value is not None}
    if "values" in read:
        order = [key for key in raw if key in entry.accounts]
        read["values"] = _pairs(read["values"], flipped=order[:1] == [second])
    return read


def _short_form(entry: Entry, fields: dict[str, Any], named: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    first, second = entry.accounts[:2]
    (field, other), *more = named.items()
    if not more and fields == {first: None, second: None} and "value" not in options and isinstance(other, str):
        return {first: field, second: other}
    known = (*entry.accounts, *OPTIONS)
    found = []
    for key in named:
        near = closest(key, known)
        remedy = f"did you mean '{near}'?" if near else f"it may have {first}, {second}, " + ", ".join(OPTIONS)
        found.append(Fault(f"unknown key '{key}' in {{where}}", remedy, (key,), key=True))
    raise faults(found)


def _check_fields(entry: Entry, fields: dict[str, Any], options: dict[str, Any]) -> None:
    first, second = entry.accounts[:2]
    given = [account for account, field in fields.items() if field is not None]
    constant = "value" in options
    if constant and len(given) == 2:
        remedy = f"remove 'value', or one of the fields: {{{second}: {fields[second]}, value: …}}"
        raise faults([Fault("{where} has two fields, and a constant 'value' besides", remedy, ("value",), key=True)])
    if not given:
        sample = f"{{{first}: …, value: …}}" if constant else f"{{{first}: …, {second}: …}}"
        named = next((key for key in entry.raw if key in OPTIONS), "value")
        raise fault(
            "{where} names no field",
            f"write {sample}; a field called '{named}' needs this form too",
        )
    for account in given:
        if not isinstance(fields[account], str) or not fields[account].strip():
            message = f"the field of '{account}' in {{where}} must be a text, not {shown(fields[account])}"
            raise fault(message, "write the name of the field, in quotes if it is a number", account)
    if not constant and len(given) == 1:
        missing, own = second if given == [first] else first, f"{given[0]}: {fields[given[0]]}"
        raise fault(
            f"{{where}} names no field of '{missing}'",
            f"write {{{own}, {missing}: …}}, or {{{own}, value: …}} for a constant",
        )
    if constant:
        _check_constant(options)


def _check_constant(options: dict[str, Any]) -> None:
    found = [
        Fault(f"a constant cannot have '{key}'", f"remove '{key}'", (key,), key=True)
        for key in ("identifier", "values", "association", "direction", "empty", "required")
        if key in options
    ]
    if options["value"] in (None, "", []):
        found.append(Fault("a constant needs a value", "write value: …, or remove the entry", ("value",)))
    if found:
        raise faults(found)


def _pairs(values: Any, *, flipped: bool) -> Any:
    """A value map as pairs (value of a, value of b). The file writes it from the field that the entry names first."""
    if not isinstance(values, Mapping) or not values:
        raise fault(
            f"'values' must be a mapping of values, not {shown(values)}", "write values: {gold: 1, silver: 2}", "values"
        )
    found = [
        Fault(f"'values' maps '{key}' to {shown(value)}", "write one value that is not empty", ("values", key))
        for key, value in values.items()
        if value in (None, "") or isinstance(value, (Mapping, list))
    ]
    if found:
        raise faults(found)
    pairs = [(key, str(value) if isinstance(value, float) else value) for key, value in values.items()]
    return tuple((value, key) for key, value in pairs) if flipped else tuple(pairs)
