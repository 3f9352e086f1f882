"""What may be written into a property, and what is stored for it.

Responsible for the formats of section A11 of the research page that need nothing but the definition. Must not know records, owners
or pipelines.
"""

from __future__ import annotations

import re
from typing import Any

from .definitions import Property
from .errors import invalid
from .times import day, iso, moment

LONGEST = 65_536


def stored(definition: Property, given: Any, current: str = "") -> str:
    """The value as it is kept; empty text clears. `current` is what a leading semicolon appends to."""
    name = definition.name
    if not isinstance(given, str):
        raise invalid(f"Property values are strings; {name} is not one", "INVALID_VALUE", propertyName=name)
    if given == "":
        return ""
    if definition.type == "enumeration":
        return _options(definition, given, current)
    form = {"number": _number, "date": _date, "datetime": _datetime, "bool": _bool}.get(definition.type)
    if form:
        return form(name, given)
    if len(given) > LONGEST:
        raise invalid(f"{name} is longer than {LONGEST} characters", "INVALID_VALUE", propertyName=name)
    return given


def _number(name: str, text: str) -> str:
    if not re.fullmatch(r"-?\d+(\.\d+)?", text):
        raise invalid(f"{text} is not a valid number for {name}", "INVALID_NUMBER", propertyName=name)
    return text


def _date(name: str, text: str) -> str:
    found = day(text)
    if found is None:
        message = f"{text} is not a date for {name}: YYYY-MM-DD, or milliseconds at midnight UTC"
        raise invalid(message, "INVALID_DATE", propertyName=name)
    return found


def _datetime(name: str, text: str) -> str:
    ms = moment(text)
    if ms is None:
        message = f"{text} is not a date-time for {name}: ISO-8601 with an offset, or milliseconds"
        raise invalid(message, "INVALID_DATE", propertyName=name)
    return iso(ms)


def _bool(name: str, text: str) -> str:
    if text not in ("true", "false"):
        raise invalid(f"{text} is not true or false for {name}", "INVALID_BOOLEAN", propertyName=name)
    return text


def _options(definition: Property, text: str, current: str) -> str:
    name = definition.name
    if definition.reference:
        return text  # an owner, a pipeline or a stage: checked against what there is
    parts = [text]
    if definition.multiple:
        parts = [part for part in text.split(";") if part]
        if text.startswith(";"):
            parts = [part for part in current.split(";") if part] + parts
    known = {option.value for option in definition.options}
    for part in parts:
        if part not in known:
            raise invalid(f"{part} was not one of the allowed options of {name}", "INVALID_OPTION", propertyName=name)
    return ";".join(dict.fromkeys(parts))
