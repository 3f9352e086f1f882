"""What a good sync.yaml becomes, and that no text breaks the loader."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rules.config import ConfigError, Installation, MappingConfig, Policy, Problem, RecordKind, SyncConfig, load
from rules.filters import AnyOf, Condition, Op
from rules.identifiers import IdentifierType
from tests.rules.config_samples import CONNECTORS, ENVIRON, GOOD, SECRET


def loaded(text: str = GOOD, environ: dict[str, str] | None = None) -> Installation:
    return load(text, "sync.yaml", ENVIRON if environ is None else environ, CONNECTORS)


def a_sync(**given: Any) -> SyncConfig:
    return SyncConfig.model_validate({"between": {"crm": "contacts", "shop": "customers"}, "default": "crm"} | given)


# ---------------------------------------------------------------- the whole file


def test_the_file_of_the_contract_is_read() -> None:
    installation = loaded()
    assert installation.name == "acme"
    assert installation.retention == timedelta(days=30)
    assert installation.broker is not None
    assert installation.broker.servers == ("127.0.0.1:9092",)
    assert installation.accounts["crm"].connector == "postgres"
    assert installation.accounts["crm"].settings == {"url": SECRET, "publication": "tandem"}
    assert installation.accounts["crm"].objects == {"contacts": {"table": "public.contacts", "exclude": ["ssn"]}}
    contacts = installation.syncs["contacts"]
    assert (contacts.accounts, contacts.objects) == (("crm", "shop"), ("contacts", "customers"))
    assert (contacts.kind, contacts.default, contacts.max_deletes) == (RecordKind.CONTACT, "crm", 100)
    assert contacts.filters["crm"] == (
        Condition(field="country", op=Op.EQ, value="ES"),
        AnyOf(any=(Condition(field="revenue", op=Op.GE, value="1000.50"), Condition(field="tier", op=Op.IN, value=("gold", 1)))),
    )  # fmt: skip
    email, name, tier, notes, source, company = contacts.mapping
    assert (email.a, email.b, email.identifier) == ("email", "email", IdentifierType.EMAIL)
    assert (name.a, name.b) == ("first_name", "given_name")
    assert tier.values == (("gold", 1), ("silver", 2))
    assert (notes.direction, notes.enabled) == ("to shop", False)
    assert (source.a, source.b, source.value, source.is_constant) == (None, "source", "tandem", True)
    assert company.association == "companies"
    assert installation.syncs["companies"].mapping[1].required is True


def test_defaults_are_those_of_the_contract() -> None:
    installation = loaded("accounts:\n  crm: {connector: memory}\n")
    assert installation.name == "tandem"
    assert installation.broker is None
    assert installation.retention == timedelta(days=30)
    assert installation.syncs == {}
    sync = a_sync(mapping=[{"crm": "a", "shop": "b"}])
    assert (sync.kind, sync.direction, sync.require_identifier) == (RecordKind.CUSTOM, "both", False)
    assert (sync.empty, sync.deletes, sync.max_deletes, sync.filters) == (Policy.KEEP, Policy.KEEP, None, {})
    (entry,) = sync.mapping
    assert entry == MappingConfig(a="a", b="b")
    assert sync.empty_of(entry) is Policy.KEEP


@pytest.mark.parametrize(
    ("kind", "required"), [("contact", True), ("lead", True), ("company", False), ("custom", False)]
)
def test_contacts_and_leads_require_an_identifier_unless_told_otherwise(kind: str, required: bool) -> None:
    entry = {"crm": "a", "shop": "b", "identifier": "email"}
    assert a_sync(kind=kind, mapping=[entry]).require_identifier is required
    assert a_sync(kind=kind, require_identifier=not required, mapping=[entry]).require_identifier is not required


def test_in_one_direction_the_source_is_the_default() -> None:
    between = {"crm": "contacts", "shop": "customers"}
    mapping = [{"crm": "a", "shop": "b"}]
    assert SyncConfig.model_validate({"between": between, "direction": "to shop", "mapping": mapping}).default == "crm"
    assert SyncConfig.model_validate({"between": between, "direction": "to crm", "mapping": mapping}).default == "shop"
    named = SyncConfig.model_validate({"between": between, "direction": "to crm", "default": "crm", "mapping": mapping})
    assert named.default == "crm"


@pytest.mark.parametrize(
    ("entry", "a", "b", "values"),
    [
        ({"crm": "tier", "shop": "level", "values": {"gold": 1}}, "tier", "level", (("gold", 1),)),
        ({"shop": "level", "crm": "tier", "values": {"1": "gold"}}, "tier", "level", (("gold", "1"),)),
        ({"tier": "level", "values": {"gold": 1}}, "tier", "level", (("gold", 1),)),
        ({"value": "level"}, None, None, None),
    ],
)
def test_a_value_map_reads_from_the_field_that_its_entry_names_first(
    entry: dict[str, Any], a: str | None, b: str | None, values: tuple[tuple[str, Any], ...] | None
) -> None:
    if a is None:
        with pytest.raises(ValueError, match="names no field"):
            a_sync(mapping=[entry])
        return
    (mapping,) = a_sync(mapping=[entry]).mapping
    assert (mapping.a, mapping.b, mapping.values) == (a, b, values)


@pytest.mark.parametrize(
    ("sync", "mapping", "expected"),
    [
        ("both", None, (True, True)),
        ("both", "to shop", (False, True)),
        ("both", "to crm", (True, False)),
        ("to shop", None, (False, True)),
        ("to shop", "to shop", (False, True)),
        ("to  shop", None, (False, True)),
    ],
)
def test_a_mapping_narrows_the_direction_of_its_sync(
    sync: str, mapping: str | None, expected: tuple[bool, bool]
) -> None:
    found = a_sync(direction=sync, mapping=[{"crm": "a", "shop": "b", "direction": mapping}])
    assert found.writes_of(found.mapping[0]) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [("30d", timedelta(days=30)), ("12h", timedelta(hours=12)), ("45 m", timedelta(minutes=45)), ("90s", timedelta(seconds=90)), ("2w", timedelta(weeks=2))],
)  # fmt: skip
def test_a_duration_has_a_number_and_a_unit(written: str, expected: timedelta) -> None:
    assert loaded(f"retention: {written}\naccounts:\n  crm: {{connector: memory}}\n").retention == expected


def test_a_cluster_with_encryption_and_login() -> None:
    text = """
broker:
  url: kafka://one:9093,two,[::1]:9094
  tls: true
  sasl: {mechanism: SCRAM-SHA-512, username: tandem, password: "${PASSWORD}"}
accounts:
  crm: {connector: memory}
"""
    broker = loaded(text).broker
    assert broker is not None
    assert broker.servers == ("one:9093", "two:9092", "[::1]:9094")
    assert broker.tls is not None
    assert broker.tls.ca is None
    assert broker.sasl is not None
    assert broker.sasl.password.get_secret_value() == "correct-horse"
    plain = loaded(text.replace("tls: true", "tls: false")).broker
    assert plain is not None
    assert plain.tls is None


# ---------------------------------------------------------------- YAML 1.2


def settings_of(yaml: str) -> dict[str, Any]:
    installation = load(f"accounts:\n  crm:\n    connector: any\n{yaml}", "sync.yaml", ENVIRON, None)
    return installation.accounts["crm"].settings


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("12", 12), ("-3", -3), ("0o17", 15), ("0x1F", 31), ("017", 17), ("1_000", "1_000"), ("1.50", 1.5), ("1e3", 1000.0), (".inf", float("inf")),
        ("'12'", "12"), ('"true"', "true"), ("2026-11-24", "2026-11-24"), ("1:30", "1:30"), ("!!str 5", "5"), ("|\n      a\n      b\n", "a\nb\n"),
        ("<<", "<<"), ("=", "="),
    ],
)  # fmt: skip
def test_scalars_are_read_as_yaml_1_2_says(written: str, value: Any) -> None:
    found = settings_of(f"    key: {written}\n")["key"]
    assert found == value
    assert isinstance(found, type(value))


def test_an_anchor_may_be_used_again() -> None:
    assert settings_of("    a: &x {b: [1]}\n    c: *x\n") == {"a": {"b": [1]}, "c": {"b": [1]}}


def test_aliases_of_aliases_do_not_unfold_for_ever() -> None:
    lines = ["    a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"    a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ConfigError) as refused:
        settings_of("\n".join(lines) + "\n")
    assert [problem.message for problem in refused.value.problems] == ["this is nested too deeply, or in itself"]


# ---------------------------------------------------------------- the environment


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${PASSWORD}", "correct-horse"),
        ("a-${PASSWORD}-b-${PASSWORD}", "a-correct-horse-b-correct-horse"),
        ("'${PASSWORD}'", "correct-horse"),
        ("$PASSWORD", "$PASSWORD"),
        ("$${PASSWORD}", "${PASSWORD}"),
        ("${NUMBER}", "12"),
        ("${NESTED}", "${PASSWORD}"),
    ],
)
def test_a_reference_is_replaced_inside_a_scalar_after_parsing(written: str, value: str) -> None:
    environ = ENVIRON | {"NUMBER": "12", "NESTED": "${PASSWORD}"}
    text = f"accounts:\n  crm:\n    connector: any\n    key: {written}\n"
    assert load(text, "sync.yaml", environ, None).accounts["crm"].settings["key"] == value


def test_what_the_environment_says_cannot_change_the_structure() -> None:
    environ = {"X": "a: b\nsyncs: {}"}
    text = "accounts:\n  crm:\n    connector: any\n    key: ${X}\n"
    assert load(text, "sync.yaml", environ, None).accounts["crm"].settings == {"key": "a: b\nsyncs: {}"}


def test_numbers_and_truth_values_may_come_out_of_the_environment() -> None:
    text = GOOD.replace("max_deletes: 100", "max_deletes: ${MAX}").replace("enabled: false", 'enabled: "${ON}"')
    sync = loaded(text, ENVIRON | {"MAX": "7", "ON": "true"}).syncs["contacts"]
    assert sync.max_deletes == 7
    assert sync.mapping[3].enabled is True


# ---------------------------------------------------------------- secrets in what people read


def test_no_secret_shows_in_a_representation() -> None:
    installation = loaded()
    for shown in (repr(installation), str(installation), repr(installation.accounts["crm"])):
        assert "hunter22" not in shown


@pytest.mark.parametrize(
    "account",
    [
        "{connector: postgres, url: 'mysql://tandem:hunter22@db'}",
        "{connector: postgres, url: 5, hunter22: x}",
        "{connector: postgres, url: '${MYSQL}'}",
        "{connector: postgres, url: ['mysql://tandem:hunter22@db']}",
        "{connector: postgres, url: x, port: '${MYSQL}'}",
    ],
)
def test_no_secret_shows_in_a_problem(account: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(f"accounts:\n  crm: {account}\n", "sync.yaml", {"MYSQL": "mysql://tandem:hunter22@db"}, CONNECTORS)
    shown = str(refused.value)
    assert shown
    assert "mysql://" not in shown
    assert "hunter22@" not in shown


# ---------------------------------------------------------------- any text

_WORDS = st.sampled_from(
    ["accounts", "crm", "shop", "connector", "postgres", "memory", "url", "syncs", "contacts", "between", "mapping", "default", "kind",
     "direction", "both", "to crm", "filters", "field", "op", "eq", "in", "value", "values", "any", "all", "identifier", "email", "association",
     "enabled", "required", "empty", "keep", "broker", "tls", "sasl", "retention", "30d", "name", "max_deletes", "objects", "require_identifier",
     "${CRM_URL}", "${NOPE}", "${", "", " ", "x", "\ud800", "\u0000", "null", "true", "-1", "1.5", "a: b", "*a", "&a", "!x", "#"]
)  # fmt: skip
_SCALARS = _WORDS | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
_TREES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS | st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


def never_breaks(text: str) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        assert load(text, "sync.yaml", ENVIRON, CONNECTORS).document()
    except ConfigError as error:
        problems = error.problems or (Problem("", 0, 0, "", ""),)
    for problem in problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.message
        str(problem).encode()


@given(st.text() | st.text("{}[]:,-?&*!|>'\"%@`# \t\n\r\\abc0x$\x00\ufeff\u2028\ud800"))
@example('a: "\\UFFFFFFFF"')
@example("%YAML 1.1\n---\naccounts: yes")
@example("? ")
@example("\ufeff")
def test_no_text_breaks_the_loader(text: str) -> None:
    never_breaks(text)


@given(_TREES)
@settings(max_examples=300)
def test_no_tree_breaks_the_loader(tree: Any) -> None:
    never_breaks(_yaml(tree))


@given(st.data())
@settings(max_examples=300)
def test_a_damaged_file_is_refused_and_never_breaks_the_loader(data: st.DataObject) -> None:
    """One subtree of a good file is replaced by anything: what is wrong in one place must not break the checks of another."""
    from ruamel.yaml import YAML

    tree = YAML(typ="safe", pure=True).load(GOOD)
    place, key = _somewhere(data, tree)
    action = data.draw(st.sampled_from(["replace", "remove", "rename"]))
    if action == "replace":
        place[key] = data.draw(_TREES)
    elif action == "remove" or isinstance(place, list):
        del place[key]
    else:
        place[data.draw(_WORDS)] = place.pop(key)
    never_breaks(_yaml(tree))


def _somewhere(data: st.DataObject, tree: Any) -> tuple[Any, Any]:
    while True:
        key = data.draw(st.sampled_from(list(tree) if isinstance(tree, dict) else list(range(len(tree)))))
        if not isinstance(tree[key], (dict, list)) or not tree[key] or data.draw(st.integers(0, 2)) == 0:
            return tree, key
        tree = tree[key]


def _yaml(tree: Any) -> str:
    """A tree as YAML, by way of JSON's escapes."""
    import json

    return json.dumps(tree)


# ---------------------------------------------------------------- positions


def test_every_part_knows_its_place() -> None:
    installation = loaded()
    assert installation.filename == "sync.yaml"
    assert installation.place("syncs", "contacts", "default") == (29, 14)
    assert installation.place("syncs", "contacts", "default", key=True) == (29, 5)
    assert installation.place("syncs", "contacts", "mapping", 0, "shop") == (39, 28)
    assert installation.place("syncs", "contacts", "mapping", 0, "nothing") == (39, 9)
    assert installation.place() == (1, 1)
