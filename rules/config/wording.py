"""From the faults that pydantic and the models find to sentences for people.

Responsible for naming the part of the file that is meant, and for the wording of what any field may get wrong. Must
not know what a sync means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rules.canonical import shown
from rules.config.entries import OPTIONS
from rules.config.models import AccountConfig, BrokerConfig, Installation, Sasl, SyncConfig, Tls
from rules.config.problems import closest, did_you_mean
from rules.config.tree import Path
from rules.faults import FAULT


class Finding(NamedTuple):
    """A fault with the path to the part of the file that is meant; `key`: its key rather than its value."""

    path: Path
    message: str
    remedy: str
    key: bool = False
    meant: str | None = None  # of an unknown key: the known one that it probably stands for


def where(path: Path) -> str:
    """A part of the file in words."""
    match path:
        case ("accounts", name, "objects", object_name, *_):
            return f"object '{object_name}' of account '{name}'"
        case ("accounts", name, *_):
            return f"account '{name}'"
        case ("syncs", name, "mapping", int(index), *_):
            return f"entry {index + 1} of the mapping of sync '{name}'"
        case ("syncs", name, "filters", account, _, *_):
            return f"a filter of '{account}' in sync '{name}'"
        case ("syncs", name, "filters", *_):
            return f"the filters of sync '{name}'"
        case ("syncs", name, *_):
            return f"sync '{name}'"
        case ("broker", *_):
            return "'broker'"
        case _:
            return "the file"


Known = Callable[[Path], Iterable[str]]  # the keys that may stand at a path below what was validated


def findings(error: ValidationError, data: Any, base: Path = (), known: Known | None = None) -> list[Finding]:
    """What a validation found, in terms of the file. `data` is what was validated, `base` its path."""
    found: list[Finding] = []
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]:
            continue  # pydantic counts the elements that are valid; the others are reported themselves
        if detail["type"] == FAULT:
            found += _own(detail, data, base)
        else:
            found.append(_general(detail, data, base, known))
    return list(dict.fromkeys(found))


def without_echoes(found: Iterable[Finding]) -> list[Finding]:
    """Each finding once, and none for a missing key that is there, misspelt."""
    once = dict.fromkeys(found)
    misspelt = {(*one.path[:-1], one.meant) for one in once if one.meant}
    return [one for one in once if one.path not in misspelt]


def _own(detail: ErrorDetails, data: Any, base: Path) -> list[Finding]:
    here = (*base, *_walk(detail["loc"], data))
    named = _named(here)
    return [
        Finding(
            (*here, *fault.at),
            fault.message.replace("{key}", named).replace("{where}", where(here)),
            fault.remedy,
            fault.key,
        )
        for fault in detail["ctx"]["faults"]
    ]


def _walk(location: tuple[int | str, ...], data: Any) -> Path:
    """The part of a location that leads through the data: pydantic mixes names of its own into locations."""
    path: list[str | int] = []
    for step in location:
        is_index = isinstance(data, (list, tuple)) and isinstance(step, int) and step < len(data)
        if is_index or (isinstance(data, Mapping) and step in data):
            data = data[step]
            path.append(step)
    return tuple(path)


def _general(detail: ErrorDetails, data: Any, base: Path, known: Known | None) -> Finding:
    kind = detail["type"]
    path = _walk(detail["loc"], data)
    here = (*base, *path)
    if kind == "extra_forbidden":
        return unknown_key(here, keys_of(here[:-1]) if known is None else known(path[:-1]))
    if kind == "missing":
        name = str(detail["loc"][-1])
        return Finding((*here, name), f"{where(here)} has no '{name}'", _EXAMPLES.get(name, f"add {name}: …"), key=True)
    name = str(here[-1]) if here else ""
    return Finding(here, *_wrong(kind, _named(here), name, detail))


def unknown_key(path: Path, known: Iterable[str]) -> Finding:
    """A key that the part of the file may not have."""
    name, known = str(path[-1]), list(known)
    remedy = did_you_mean(name, known, "it may have")
    return Finding(path, f"unknown key '{name}' in {where(path[:-1])}", remedy, True, closest(name, known))


def _named(path: Path) -> str:
    """A value in words: a part that has a name of its own, or a key of such a part."""
    is_part = not path or isinstance(path[-1], int) or (len(path) == 2 and path[0] in ("accounts", "syncs"))
    return where(path) if is_part else f"'{path[-1]}' in {where(path[:-1])}"


def _wrong(kind: str, named: str, name: str, detail: ErrorDetails) -> tuple[str, str]:
    """What is wrong with a value, and what to write."""
    value, context = detail["input"], detail.get("ctx", {})
    example = _EXAMPLES.get(name, "")
    match kind:
        case "enum" | "literal_error":
            options = [part.strip("' ") for part in str(context["expected"]).replace(" or ", ", ").split(", ")]
            return f"{named} cannot be {shown(value)}", did_you_mean(str(value), options, "write one of")
        case "string_type" if isinstance(value, (bool, int, float)):
            return f"{named} must be a text, not {shown(value)}", f'write it in quotes: "{value}"'
        case "string_type":
            return f"{named} must be a text, not {_kind_of(value)}", example or f"write {name}: …"
        case "string_too_short" | "string_pattern_mismatch":
            return f"{named} is empty", example or f"write {name}: …, or remove it"
        case "dict_type" | "model_type" | "model_attributes_type" | "mapping_type":
            return f"{named} must be a mapping of keys and values, not {_kind_of(value)}", example or "write key: value"
        case "tuple_type" | "list_type":
            return f"{named} must be a list, not {_kind_of(value)}", example or "put '- ' in front of each element"
        case "too_short" | "too_long" if name == "between":
            return f"{named} must name two accounts, not {len(value)}", example
        case "too_short":
            return f"{named} is empty", example or "add at least one element"
        case "greater_than_equal":
            return (
                f"{named} must be at least {context['ge']}, not {shown(value)}",
                f"write {name}: {context['ge']} or more",
            )
        case _:
            return f"{named}: {detail['msg']}", example


def _kind_of(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, (list, tuple)) else shown(value)


_EXAMPLES = {
    "accounts": "write accounts: {crm: {connector: postgres, url: …}}",
    "connector": "write connector: postgres",
    "between": "write between: {crm: contacts, shop: customers}",
    "mapping": "write mapping: and below it one entry per pair of fields: - {crm: email, shop: mail}",
    "default": "write default: and the account that wins when the two differ",
    "filters": "write filters: {crm: [{field: country, op: eq, value: ES}]}",
    "syncs": "write syncs: {contacts: {between: …, default: …, mapping: …}}",
    "broker": "write broker: kafka://host:9092",
    "field": "write field: and the name of the field",
    "op": "write op: eq, or another comparison",
    "any": "write any: [{field: …, op: …}, …]",
    "all": "write all: [{field: …, op: …}, …]",
    "objects": "write objects: {contacts: {…}}",
}


def keys_of(path: Path) -> list[str]:
    """The keys that a part of the file may have."""
    match path:
        case ():
            return list(Installation.model_fields)
        case ("accounts", _):
            return [key for key in AccountConfig.model_fields if key != "settings"]
        case ("syncs", _):
            return list(SyncConfig.model_fields)
        case ("syncs", _, "mapping", int()):
            return list(OPTIONS)
        case ("syncs", _, "filters", *_):
            return ["field", "op", "value", "any", "all"]
        case ("broker",):
            return list(BrokerConfig.model_fields)
        case ("broker", "tls"):
            return list(Tls.model_fields)
        case ("broker", "sasl"):
            return list(Sasl.model_fields)
        case _:
            return []
