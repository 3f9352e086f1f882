"""The document that goes to Kafka: the whole configuration without a secret, and back again in another process."""

# ruff: noqa: ISC004 - whole messages, as people see them

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from rules.config import ConfigError, Installation, SyncConfig, load, load_document
from tests.rules.config_samples import CONNECTORS, ENVIRON, GOOD, SECRET

LITERAL = """\
broker:
  url: kafka://127.0.0.1:9092
  sasl: {mechanism: PLAIN, username: tandem, password: opensesame}
accounts:
  crm:
    connector: postgres
    url: postgres://tandem:hunter22@db.example.com/crm
    publication: tandem
    port: 5432
    objects:
      contacts: {table: public.contacts}
  shop:
    connector: postgres
    url: postgres://tandem:${PASSWORD}@db.example.com/${NAME}
syncs:
  contacts:
    between: {crm: contacts, shop: customers}
    default: crm
    filters: {crm: [{field: revenue, op: ge, value: 1000.50}]}
    mapping:
      - {crm: tier, shop: level, values: {1: gold, true: silver}}
      - {shop: source, value: "${NAME}"}
"""
NAMES = ENVIRON | {"NAME": "acme"}


def through_kafka(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
    return found


def test_a_document_keeps_references_and_names_secrets_by_their_place() -> None:
    document = load(LITERAL, "sync.yaml", NAMES, CONNECTORS).document()
    assert document["accounts"] == {
        "crm": {
            "connector": "postgres",
            "url": "file:accounts.crm.url",
            "publication": "tandem",
            "port": 5432,
            "objects": {"contacts": {"table": "public.contacts"}},
        },
        "shop": {"connector": "postgres", "url": "postgres://tandem:${PASSWORD}@db.example.com/${NAME}"},
    }
    assert document["broker"] == {
        "url": "kafka://127.0.0.1:9092",
        "sasl": {"mechanism": "PLAIN", "username": "tandem", "password": "file:broker.sasl.password"},
    }


@pytest.mark.parametrize("rest", ["", "syncs:\n", "syncs: {}\n", "syncs:\nretention:\n"])
def test_a_document_always_has_accounts_and_syncs(rest: str) -> None:
    document = load(f"accounts:\n  crm: {{connector: memory}}\n{rest}", "sync.yaml", {}, CONNECTORS).document()
    assert document == {"accounts": {"crm": {"connector": "memory"}}, "syncs": {}}


def test_what_is_no_account_is_resolved_and_exact() -> None:
    sync = load(LITERAL, "sync.yaml", NAMES, CONNECTORS).document()["syncs"]["contacts"]
    assert sync["filters"] == {"crm": [{"field": "revenue", "op": "ge", "value": "1000.50"}]}
    assert sync["mapping"] == [
        {"crm": "tier", "shop": "level", "values": {"1": "gold", "true": "silver"}},
        {"shop": "source", "value": "acme"},
    ]


@pytest.mark.parametrize("text", [GOOD, LITERAL])
@pytest.mark.parametrize("connectors", [CONNECTORS, None])
def test_no_secret_is_in_a_document(text: str, connectors: Any) -> None:
    shown = json.dumps(load(text, "sync.yaml", NAMES, connectors).document())
    for secret in ("hunter22", "swordfish", "correct-horse", "opensesame"):
        assert secret not in shown


def test_without_the_connectors_models_every_text_of_an_account_is_held_for_a_secret() -> None:
    document = load(LITERAL, "sync.yaml", NAMES, None).document()
    assert document["accounts"]["crm"]["publication"] == "file:accounts.crm.publication"
    assert document["accounts"]["crm"]["connector"] == "postgres"
    assert document["accounts"]["crm"]["objects"] == {"contacts": {"table": "public.contacts"}}


@pytest.mark.parametrize(
    ("setting", "kept"),
    [
        ("publication: ${NAME}", True),
        ("publication: plain", True),
        ("password: plain", False),
        ("api_token: plain", False),
        ("publication: postgres://a:b@c/d", False),
        ("publication: host=h password=b", False),
        ("url: a${NAME}", False),
        ("schemas: [a, '${NAME}']", True),
    ],
)
def test_what_is_secret_by_its_model_its_name_or_its_look_stays_at_home(setting: str, kept: bool) -> None:
    from rules.config.secrets import document
    from rules.config.tree import read

    tree = read(f"accounts:\n  crm:\n    connector: postgres\n    {setting}\n", "sync.yaml", NAMES)
    key, _, written = setting.partition(": ")
    found = document(tree, CONNECTORS)["accounts"]["crm"][key]
    assert (found == f"file:accounts.crm.{key}") is not kept
    if kept and not written.startswith("["):
        assert found == written


class Login(BaseModel):
    user: str
    key: SecretStr


class Nested:
    class Settings(BaseModel):
        model_config = ConfigDict(populate_by_name=True)
        login: Login
        backups: list[Login] = []
        hosts: list[str] = []
        service_key: SecretStr | None = Field(default=None, alias="serviceKey")
        ratio: float = 1.0

    class ObjectSettings(BaseModel):
        pass


def test_secrets_within_lists_and_models_stay_at_home_and_are_found_again() -> None:
    connectors: dict[str, Any] = {"nested": Nested}
    text = """
accounts:
  crm:
    connector: nested
    login: {user: me, key: opensesame}
    backups: [{user: "${NAME}", key: opensesame}, {user: "", key: "${PASSWORD}"}]
    hosts: [a, "${NAME}"]
    serviceKey: opensesame
    ratio: 0.5
"""
    here = load(text, "sync.yaml", NAMES, connectors)
    document = through_kafka(here.document())
    assert document["accounts"]["crm"] == {
        "connector": "nested",
        "login": {"user": "file:accounts.crm.login.user", "key": "file:accounts.crm.login.key"},
        "backups": [
            {"user": "${NAME}", "key": "file:accounts.crm.backups.0.key"},
            {"user": "", "key": "${PASSWORD}"},
        ],
        "hosts": ["a", "${NAME}"],
        "serviceKey": "file:accounts.crm.serviceKey",
        "ratio": 0.5,
    }
    assert dict(load_document(document, NAMES, connectors, text=text)) == dict(here)
    for other in (
        "accounts: {crm: {connector: nested}}",
        "accounts: {crm: {backups: x}}",
        "accounts: [",
        "accounts: {crm: {backups: [1]}}",
    ):
        with pytest.raises(ConfigError, match="is a secret that this process cannot find"):
            load_document(document, NAMES, connectors, text=other)


@pytest.mark.parametrize("text", [GOOD, LITERAL])
def test_another_process_with_the_same_file_gets_the_same_installation(text: str) -> None:
    here = load(text, "sync.yaml", NAMES, CONNECTORS)
    there = load_document(through_kafka(here.document()), NAMES, CONNECTORS, text=text)
    assert dict(there) == dict(here)
    assert there.document() == here.document()


def test_references_are_resolved_in_the_environment_of_the_process_that_reads() -> None:
    document = through_kafka(load(GOOD, "sync.yaml", ENVIRON, CONNECTORS).document())
    there = load_document(document, ENVIRON | {"CRM_URL": "postgres://other"}, CONNECTORS)
    assert there.accounts["crm"].settings["url"] == "postgres://other"
    assert there.syncs == load(GOOD, "sync.yaml", ENVIRON, CONNECTORS).syncs


def test_a_secret_that_the_process_cannot_find_is_named_with_what_to_do() -> None:
    document = through_kafka(load(LITERAL, "sync.yaml", NAMES, CONNECTORS).document())
    with pytest.raises(ConfigError) as refused:
        load_document(document, NAMES, CONNECTORS)
    assert [str(problem) for problem in refused.value.problems] == [
        "sync.yaml: 'broker': 'password' is a secret that this process cannot find in its own file; "
        "write it as ${SASL_PASSWORD} and set SASL_PASSWORD for each process, or give this one the same file",
        "sync.yaml: account 'crm': 'url' is a secret that this process cannot find in its own file; "
        "write it as ${CRM_URL} and set CRM_URL for each process, or give this one the same file",
    ]


def test_a_reference_that_is_not_set_in_the_process_that_reads_is_named() -> None:
    document = through_kafka(load(GOOD, "sync.yaml", ENVIRON, CONNECTORS).document())
    with pytest.raises(ConfigError) as refused:
        load_document(document, {"CRM_URL": SECRET}, CONNECTORS)
    assert [str(problem) for problem in refused.value.problems] == [
        "sync.yaml: account 'shop': ${SHOP_URL} is not set; "
        "set the environment variable SHOP_URL, or add SHOP_URL=… to a .env file beside the configuration"
    ]


def test_a_sync_of_a_document_is_the_sync_of_the_file() -> None:
    installation = load(GOOD, "sync.yaml", ENVIRON, CONNECTORS)
    for name, raw in through_kafka(installation.document())["syncs"].items():
        assert SyncConfig.model_validate(raw) == installation.syncs[name]


def test_an_installation_that_was_not_loaded_has_no_document() -> None:
    installation = Installation.model_validate({"accounts": {"crm": {"connector": "memory"}}})
    with pytest.raises(ValueError, match="was loaded"):
        installation.document()
