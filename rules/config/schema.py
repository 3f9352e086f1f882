"""The JSON Schema of sync.yaml, by which editors complete and check it (`tandem schema`).

Responsible for describing the file as people write it: the models with their short forms. Must not check anything
itself. A schema cannot say all that the loader refuses; what it refuses, the loader does too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from rules.config.entries import OPTIONS
from rules.config.loader import Connectors
from rules.config.models import Installation

Schema = dict[str, Any]

_FROM_ENVIRONMENT: Schema = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"}
_SCALAR: Schema = {"type": ["string", "number", "boolean"]}


def json_schema(connectors: Connectors | None = None) -> Schema:
    """The schema of the whole file; with the keys of the given connectors' accounts."""
    schema = Installation.model_json_schema()
    parts = schema["$defs"]
    for part in parts.values():
        _forget_titles(part)
    _forget_titles(schema)
    properties = schema["properties"]
    properties["retention"] = _described(
        properties["retention"], {"type": "string", "pattern": r"^[0-9]{1,6} ?[smhdw]$"}
    )
    properties["retention"]["default"] = "30d"
    properties["broker"] = _described(properties["broker"], {"anyOf": [_address(), {"$ref": "#/$defs/BrokerConfig"}]})
    properties["syncs"]["additionalProperties"] = {"$ref": "#/$defs/SyncConfig"}
    _broker(parts)
    _sync(parts["SyncConfig"])
    for model in ("Condition", "MappingConfig"):
        values = parts[model]["properties"]
        values["value"] = _described(values["value"], {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]})
    parts["MappingConfig"] = _entry(parts["MappingConfig"])
    _account(parts, connectors or {})
    _allow_environment(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tandem: sync.yaml",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def _described(old: Schema, new: Schema) -> Schema:
    return {**new, "description": old["description"]}


def _forget_titles(part: Schema) -> None:
    """pydantic gives each key its own name as a title, which only repeats it."""
    for one in part.get("properties", {}).values():
        one.pop("title", None)


def _address() -> Schema:
    return {"type": "string", "pattern": r"^(kafka://[^@]+|.*\$\{.*)$", "examples": ["kafka://127.0.0.1:9092"]}


def _broker(parts: Schema) -> None:
    broker = parts["BrokerConfig"]["properties"]
    broker["tls"] = _described(broker["tls"], {"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/Tls"}]})
    broker["url"] = _described(broker["url"], _address())


def _sync(sync: Schema) -> None:
    """`default` and `require_identifier` follow from the rest where they are left out."""
    sync["required"] = ["between", "mapping"]
    sync["if"] = {"required": ["direction"], "properties": {"direction": {"pattern": "^to "}}}
    sync["else"] = {"required": ["default"]}
    sync["properties"]["require_identifier"].pop("default", None)
    sync["properties"]["direction"]["pattern"] = "^(both|to .+)$"
    sync["properties"]["direction"]["examples"] = ["both"]


def _entry(entry: Schema) -> Schema:
    """Fields stand under the names of their accounts, or in the short form `email: mail`."""
    options = {name: entry["properties"][name] for name in OPTIONS}
    options["values"] = _described(
        options["values"], {"type": "object", "minProperties": 1, "additionalProperties": _SCALAR}
    )
    return {
        "type": "object",
        "description": "{crm: email, shop: mail}, or in short email: mail where the first account comes first; "
        "or a constant, {shop: source, value: tandem}.",
        "properties": options,
        "additionalProperties": {"type": "string", "description": "The field of the account of that name."},
        "minProperties": 1,
    }


def _account(parts: Schema, connectors: Connectors) -> None:
    account = parts["AccountConfig"]
    del account["properties"]["settings"]
    account["additionalProperties"] = True
    objects = account["properties"]["objects"]
    objects["additionalProperties"] = {"type": ["object", "null"]}
    if not connectors:
        return
    account["properties"]["connector"]["examples"] = sorted(connectors)
    account["allOf"] = [_account_of(name, connectors[name], account, parts) for name in sorted(connectors)]


def _account_of(name: str, connector: Any, account: Schema, parts: Schema) -> Schema:
    """What holds of an account if it uses a connector."""
    own, of_objects = _inlined(connector.Settings, name, parts), _inlined(connector.ObjectSettings, name, parts)
    general = account["properties"]
    described = {"description": general["objects"]["description"]}
    then = {
        **own,
        "properties": {
            **own.get("properties", {}),
            "connector": True,
            "objects": {
                **described,
                "type": "object",
                "additionalProperties": {"anyOf": [of_objects, {"type": "null"}]},
            },
        },
    }
    return {"if": {"required": ["connector"], "properties": {"connector": {"const": name}}}, "then": then}


def _inlined(model: type[BaseModel], connector: str, parts: Schema) -> Schema:
    """The schema of a model; the models within it become definitions of ours, under the connector's name."""
    schema = model.model_json_schema(ref_template=f"#/$defs/{connector}.{{model}}")
    for name, part in schema.pop("$defs", {}).items():
        parts[f"{connector}.{name}"] = part
    _forget_titles(schema)
    schema.pop("title", None)
    return schema


def _allow_environment(part: Any) -> None:
    """A number, a truth value, or a text of a certain form may also come out of the environment."""
    if isinstance(part, list):
        for inner in part:
            _allow_environment(inner)
    if not isinstance(part, Mapping):
        return
    for inner in part.values():
        _allow_environment(inner)
    properties = part.get("properties")
    if isinstance(properties, dict):
        for name, one in properties.items():
            if isinstance(one, dict) and (one.get("type") in ("boolean", "integer") or "enum" in one):
                about = {key: one[key] for key in ("description", "default") if key in one}
                bare = {key: value for key, value in one.items() if key not in about}
                properties[name] = {"anyOf": [bare, _FROM_ENVIRONMENT], **about}
            elif isinstance(one, dict) and any(kind.get("type") == "integer" for kind in one.get("anyOf", ())):
                one["anyOf"].append(_FROM_ENVIRONMENT)
