"""The JSON Schema of the file, and its reference."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from docs.generate import DOCS, PAGES
from rules.config import MappingConfig, SyncConfig, json_schema, load, reference_markdown
from rules.config.models import AccountConfig, BrokerConfig, Installation
from rules.filters import Op
from tests.rules.config_samples import CONNECTORS, ENVIRON


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for inner in schema.values():
            yield from parts(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from parts(inner)


def test_every_reference_within_the_schema_leads_somewhere() -> None:
    for schema in (json_schema(), json_schema(CONNECTORS)):
        references = {part["$ref"] for part in parts(schema) if isinstance(part.get("$ref"), str)}
        assert references
        assert {reference.removeprefix("#/$defs/") for reference in references} <= set(schema["$defs"])


def test_every_key_of_the_file_is_described_for_editors() -> None:
    schema = json_schema()
    described = {"Installation": schema} | schema["$defs"]
    for name in (
        "Installation",
        "SyncConfig",
        "MappingConfig",
        "AccountConfig",
        "BrokerConfig",
        "Sasl",
        "Tls",
        "Condition",
        "AnyOf",
        "AllOf",
    ):
        for key, part in described[name]["properties"].items():
            assert part.get("description"), f"{name}.{key}"


def test_the_schema_has_the_keys_of_the_models_and_refuses_others() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == set(Installation.model_fields)
    assert set(schema["$defs"]["SyncConfig"]["properties"]) == set(SyncConfig.model_fields)
    assert set(schema["$defs"]["MappingConfig"]["properties"]) == set(MappingConfig.model_fields) - {"a", "b"}
    assert set(schema["$defs"]["AccountConfig"]["properties"]) == set(AccountConfig.model_fields) - {"settings"}
    assert set(schema["$defs"]["BrokerConfig"]["properties"]) == set(BrokerConfig.model_fields)
    for part in (schema, schema["$defs"]["SyncConfig"], schema["$defs"]["BrokerConfig"], schema["$defs"]["Condition"]):
        assert part["additionalProperties"] is False
    assert schema["$defs"]["MappingConfig"]["additionalProperties"]["type"] == "string"
    assert schema["$defs"]["Op"]["enum"] == [op.value for op in Op]


def test_a_default_is_required_unless_the_direction_names_a_target() -> None:
    sync = json_schema()["$defs"]["SyncConfig"]
    assert sync["required"] == ["between", "mapping"]
    assert sync["else"] == {"required": ["default"]}
    assert re.search(sync["if"]["properties"]["direction"]["pattern"], "to crm")
    assert not re.search(sync["if"]["properties"]["direction"]["pattern"], "both")


def test_the_keys_of_a_connector_hold_for_accounts_that_name_it() -> None:
    account = json_schema(CONNECTORS)["$defs"]["AccountConfig"]
    by_connector = {one["if"]["properties"]["connector"]["const"]: one["then"] for one in account["allOf"]}
    assert set(by_connector) == {"memory", "postgres"}
    postgres = by_connector["postgres"]
    assert postgres["required"] == ["url"]
    assert postgres["properties"]["url"]["format"] == "password"
    objects = postgres["properties"]["objects"]["additionalProperties"]["anyOf"]
    assert "exclude" in objects[0]["properties"]


def test_the_reference_is_the_one_that_the_models_make() -> None:
    for name, page in PAGES.items():
        assert (DOCS / name).read_text(encoding="utf-8") == page(), "run `python -m docs.generate`"


def test_the_reference_names_every_key_and_every_operation() -> None:
    page = reference_markdown()
    for model in (Installation, SyncConfig, BrokerConfig):
        for key in model.model_fields:
            assert f"| `{key}` |" in page
    for op in Op:
        assert op.value in page


def test_the_example_of_the_reference_is_accepted() -> None:
    example = reference_markdown().partition("```yaml\n")[2].partition("```")[0]
    installation = load(example, "sync.yaml", ENVIRON, CONNECTORS)
    assert set(installation.syncs) == {"companies", "contacts"}
