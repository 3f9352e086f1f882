"""What is wrong with a sync.yaml: each class of mistake, with its whole message, line and column."""

# ruff: noqa: E501, ISC004 - whole messages, as people see them

from __future__ import annotations

import textwrap

import pytest

from rules.config import ConfigError, SyncConfig, load
from tests.rules.config_samples import CONNECTORS, ENVIRON


def problems(text: str) -> list[str]:
    """All that is wrong, a line each."""
    with pytest.raises(ConfigError) as refused:
        load(textwrap.dedent(text).lstrip("\n"), "sync.yaml", ENVIRON, CONNECTORS)
    lines = [str(problem) for problem in refused.value.problems]
    assert str(refused.value) == "\n".join(lines)
    return lines


ACCOUNTS = """\
accounts:
  crm: {connector: postgres, url: "${CRM_URL}"}
  shop: {connector: postgres, url: "${SHOP_URL}"}
syncs:
"""


def of_sync(body: str, *more: str) -> list[str]:
    """What is wrong with a sync `contacts` of which only the lines below are given. They begin in line 7."""
    return problems(
        ACCOUNTS
        + "  contacts:\n    between: {crm: contacts, shop: customers}\n"
        + textwrap.indent(textwrap.dedent(body).lstrip("\n"), "    ")
        + "".join(textwrap.indent(textwrap.dedent(one).lstrip("\n"), "  ") for one in more)
    )


GOOD = "default: crm\nmapping:\n  - {crm: email, shop: mail, identifier: email}\n"  # lines 7 to 9


def of_entry(entry: str, sync: str = "default: crm") -> list[str]:
    """What is wrong with an entry of a mapping, in line 10; it begins in column 9."""
    return of_sync(f"{sync}\nmapping:\n  - {{crm: email, shop: mail, identifier: email}}\n  - {entry}\n")


# ---------------------------------------------------------------- YAML


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "sync.yaml:1:1: the file is empty; begin with accounts: and the accounts below it, indented"),
        ("- a\n", "sync.yaml:1:1: the file must be a mapping of keys and values; begin with accounts: and the accounts below it, indented"),
        ("a: b: c\n", "sync.yaml:1:5: this is not YAML: mapping values are not allowed here; "
         "check the indentation, write 'key: value' with a space, or put a text with ': ' in quotes"),
        ("a:\n\tb: 1\n", "sync.yaml:2:1: this is not YAML: found character '\\t' that cannot start any token; indent with spaces, not with tabs"),
        ("a: @x\n", "sync.yaml:1:4: this is not YAML: found character '@' that cannot start any token; put the text in quotes"),
        ("a: {url: ${CRM_URL}}\n", "sync.yaml:1:11: this is not YAML: expected ',' or '}', but got '{'; between braces, write it in quotes: \"${NAME}\""),
        ("a: 'x\n", "sync.yaml:2:1: this is not YAML: found unexpected end of stream; check quotes, brackets and indentation here and in the line above"),
        ("a: *x\n", "sync.yaml:1:4: this is not YAML: found undefined alias 'x'; define the anchor before, or put a text that begins with * in quotes"),
        ("a: 1\n---\nb: 1\n", "sync.yaml:2:1: this is not YAML: but found another document; remove the line --- and what follows: the file is one document"),
        ("a: x\n\x00: y\n", "sync.yaml:2:1: this is not YAML: there is a character that a text file may not hold; remove it, and store the file as UTF-8"),
        ("[" * 9999, "sync.yaml:1:1: this is nested too deeply; write it in the form that `tandem schema` describes"),
    ],
)  # fmt: skip
def test_what_is_not_yaml_is_shown_where_it_breaks(text: str, message: str) -> None:
    assert problems(text) == [message]


def test_a_key_given_twice_names_the_line_of_the_first() -> None:
    assert of_sync(GOOD + "default: shop\n") == [
        "sync.yaml:10:5: the key 'default' is given twice; remove one of them: it stands in line 7 already"
    ]


def test_a_key_that_is_no_text_is_refused() -> None:
    assert of_sync(GOOD + "? [a, b]\n: c\n") == ["sync.yaml:10:7: a key must be a text; write key: value"]


def test_a_tag_is_refused() -> None:
    assert of_sync(GOOD + "max_deletes: !much 5\n") == ["sync.yaml:10:18: the tag '!much' is not known; remove it"]


def test_an_alias_of_itself_is_refused() -> None:
    assert "sync.yaml:10:14: this is nested too deeply, or in itself; write it out, without anchors" in of_sync(
        GOOD + "filters: &x {crm: *x}\n"
    )


# ---------------------------------------------------------------- the environment


def test_a_variable_that_is_not_set_is_named() -> None:
    assert problems("""
        accounts:
          crm:
            connector: postgres
            url: ${CRM_ULR}
    """) == [
        "sync.yaml:4:10: ${CRM_ULR} is not set; set the environment variable CRM_ULR, or add CRM_ULR=… to a .env file beside the configuration"
    ]


def test_a_variable_that_is_not_set_is_no_wrong_value_too() -> None:
    assert of_sync(GOOD + "max_deletes: ${MOST}\n") == [
        "sync.yaml:10:18: ${MOST} is not set; set the environment variable MOST, or add MOST=… to a .env file beside the configuration"
    ]


def test_a_reference_without_a_name_is_refused() -> None:
    assert problems("""
        accounts:
          crm:
            connector: postgres
            url: ${crm-url}
    """) == ["sync.yaml:4:10: '${' is not followed by a name and '}'; write ${NAME}, or $${ where '${' itself is meant"]


# ---------------------------------------------------------------- the shape


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("syncs: {}\n", ["sync.yaml:1:1: the file has no 'accounts'; write accounts: {crm: {connector: postgres, url: …}}"]),
        ("accounts:\n", ["sync.yaml:1:1: the file has no 'accounts'; write accounts: {crm: {connector: postgres, url: …}}"]),
        ("accounts: {}\n", ["sync.yaml:1:11: 'accounts' in the file is empty; write accounts: {crm: {connector: postgres, url: …}}"]),
        ("accounts: [crm]\n", ["sync.yaml:1:11: 'accounts' in the file must be a mapping of keys and values, not a list; "
                               "write accounts: {crm: {connector: postgres, url: …}}"]),
        ("acounts:\n  crm: {connector: postgres, url: x}\n", ["sync.yaml:1:1: unknown key 'acounts' in the file; did you mean 'accounts'?"]),
        ("accounts:\n  crm: {connector: memory}\nport: 5\n", ["sync.yaml:3:1: unknown key 'port' in the file; it may have name, broker, retention, accounts, syncs"]),
        ("accounts:\n  crm: postgres\n", ["sync.yaml:2:8: account 'crm' must be a mapping of keys and values, not 'postgres'; write key: value"]),
        ("accounts:\n  crm: {url: x}\n", ["sync.yaml:2:3: account 'crm' has no 'connector'; write connector: postgres"]),
        ("name: my sync\naccounts:\n  crm: {connector: memory}\n", ["sync.yaml:1:7: 'my sync' cannot be the name of an installation; "
                                                                    "use at most 40 letters without accents, digits, '_' and '-'"]),
        ("name: 5\naccounts:\n  crm: {connector: memory}\n", ["sync.yaml:1:7: 'name' in the file must be a text, not 5; write it in quotes: \"5\""]),
        ("retention: 30\naccounts:\n  crm: {connector: memory}\n", ["sync.yaml:1:12: 30 is not a duration; write a number and a unit, such as 30d, 12h or 45m"]),
        ("retention: 0d\naccounts:\n  crm: {connector: memory}\n", ["sync.yaml:1:12: '0d' is not a duration; write a number and a unit, such as 30d, 12h or 45m"]),
        ("accounts:\n  a b: {connector: memory}\n", ["sync.yaml:2:3: 'a b' cannot be the name of an account; "
                                                     "use at most 40 letters without accents, digits, '_' and '-'"]),
        ("accounts:\n  value: {connector: memory}\n", ["sync.yaml:2:3: an account cannot be called 'value', which is a key of the mappings; give it another name"]),
        ("accounts:\n  crm: {connector: memory}\nsyncs: [a]\n", ["sync.yaml:3:8: 'syncs' in the file must be a mapping of keys and values, not a list; "
                                                                 "write syncs: {contacts: {between: …, default: …, mapping: …}}"]),
        ("accounts:\n  crm: {connector: memory}\nsyncs: {a: 5}\n", ["sync.yaml:3:12: sync 'a' must be a mapping of keys and values, not 5; write key: value"]),
    ],
)  # fmt: skip
def test_the_shape_of_the_file(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


@pytest.mark.parametrize(
    ("broker", "expected"),
    [
        ("localhost:9092", "sync.yaml:1:9: 'localhost:9092' is not the address of a Kafka cluster; write kafka://host:9092"),
        ("kafka://me:secret@host:9092", "sync.yaml:1:9: the broker's address holds a user or password; write them under sasl: {mechanism, username, password}"),
        ("{url: 'kafka://h', sasl: {mechanism: SCRAM, username: u, password: p}}",
         "sync.yaml:1:46: 'mechanism' in 'broker' cannot be 'SCRAM'; write one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
        ("{url: 'kafka://h', sasl: {mechanism: PLAIN, username: u}}", "sync.yaml:1:28: 'broker' has no 'password'; add password: …"),
        ("{url: 'kafka://h', tsl: true}", "sync.yaml:1:28: unknown key 'tsl' in 'broker'; did you mean 'tls'?"),
        ("{url: 'kafka://h', tls: {cert: x}}", "sync.yaml:1:34: unknown key 'cert' in 'broker'; did you mean 'certificate'?"),
        ("[a]", "sync.yaml:1:9: 'broker' in the file must be a mapping of keys and values, not a list; write broker: kafka://host:9092"),
    ],
)  # fmt: skip
def test_the_broker(broker: str, expected: str) -> None:
    assert problems(f"broker: {broker}\naccounts:\n  crm: {{connector: memory}}\n") == [expected]


# ---------------------------------------------------------------- accounts and their connectors


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        ("connector: postgress, url: x", ["sync.yaml:2:20: account 'crm' names the connector 'postgress', which is not installed; did you mean 'postgres'?"]),
        ("connector: tryton", ["sync.yaml:2:20: account 'crm' names the connector 'tryton', which is not installed; there is memory, postgres"]),
        ("connector: postgres", ["sync.yaml:2:3: account 'crm' has no 'url'; add url: …"]),
        ("connector: postgres, ulr: x", ["sync.yaml:2:30: unknown key 'ulr' in account 'crm'; did you mean 'url'?"]),
        ("connector: postgres, url: x, port: many", ["sync.yaml:2:44: 'port' in account 'crm': Input should be a valid integer, unable to parse string as an integer"]),
        ("connector: postgres, url: x, objects: {contacts: {tabel: x}}", ["sync.yaml:2:59: unknown key 'tabel' in object 'contacts' of account 'crm'; did you mean 'table'?"]),
        ("connector: postgres, url: x, objects: {contacts: {exclude: ssn}}", ["sync.yaml:2:68: 'exclude' in object 'contacts' of account 'crm' must be a list, not 'ssn'; "
                                                                             "put '- ' in front of each element"]),
        ("connector: postgres, url: x, objects: [contacts]", ["sync.yaml:2:47: 'objects' in account 'crm' must be a mapping of keys and values, not a list; write objects: {contacts: {…}}"]),
    ],
)  # fmt: skip
def test_an_account_is_checked_by_its_connectors_own_models(account: str, expected: list[str]) -> None:
    assert problems(f"accounts:\n  crm: {{{account}}}\n") == expected


# ---------------------------------------------------------------- a sync


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (GOOD + "direcion: both\n", ["sync.yaml:10:5: unknown key 'direcion' in sync 'contacts'; did you mean 'direction'?"]),
        (GOOD + "kind: contacts\n", ["sync.yaml:10:11: 'kind' in sync 'contacts' cannot be 'contacts'; did you mean 'contact'?"]),
        (GOOD + "direction: to the moon\n", ["sync.yaml:10:16: 'direction' in sync 'contacts' cannot be 'to the moon'; write one of both, to crm, to shop"]),
        (GOOD + "direction: shop\n", ["sync.yaml:10:16: 'direction' in sync 'contacts' cannot be 'shop'; did you mean \"to shop\"?"]),
        (GOOD + "direction: to shpo\n", ["sync.yaml:10:16: 'direction' in sync 'contacts' cannot be 'to shpo'; did you mean 'to shop'?"]),
        (GOOD + "empty: clear\n", ["sync.yaml:10:12: 'empty' in sync 'contacts' cannot be 'clear'; write one of keep, propagate"]),
        (GOOD + "max_deletes: 0\n", ["sync.yaml:10:18: 'max_deletes' in sync 'contacts' must be at least 1, not 0; write max_deletes: 1 or more"]),
        (GOOD + "max_deletes: many\n", ["sync.yaml:10:18: 'max_deletes' in sync 'contacts' must be a whole number, not 'many'; write a number such as 100"]),
        (GOOD + "require_identifier: yes\n", ["sync.yaml:10:25: 'require_identifier' in sync 'contacts' must be true or false, not 'yes'; "
                                              "write true or false, without quotes"]),
        ("mapping:\n  - {crm: a, shop: b}\n", ["sync.yaml:5:3: sync 'contacts' has no 'default'; write default: and the account that wins when the two differ"]),
        ("default: crm\n", ["sync.yaml:5:3: sync 'contacts' has no 'mapping'; "
                            "write mapping: and below it one entry per pair of fields: - {crm: email, shop: mail}"]),
        ("default: crm\nmapping: []\n", ["sync.yaml:8:14: 'mapping' in sync 'contacts' is empty; "
                                         "write mapping: and below it one entry per pair of fields: - {crm: email, shop: mail}"]),
        ("default: crm\nmapping:\n  email: mail\n", ["sync.yaml:9:7: 'mapping' must be a list of entries; put '- ' in front of each: - {crm: email, shop: mail}"]),
        ("default: portal\nmapping:\n  - {crm: a, shop: b}\n", ["sync.yaml:7:14: 'default' of sync 'contacts' is 'portal', which is not one of its two accounts; write crm or shop"]),
        ("default: crm\nmapping:\n  - {shop: source, value: x}\n  - {crm: a, shop: b, enabled: false}\n",
         ["sync.yaml:8:5: the mapping of sync 'contacts' has no enabled entry with two fields; add or enable at least one pair of fields"]),
    ],
)  # fmt: skip
def test_the_keys_of_a_sync(body: str, expected: list[str]) -> None:
    assert of_sync(body) == expected


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        ("{crm: contacts}", ["sync.yaml:6:14: 'between' in sync 'x' must name two accounts, not 1; write between: {crm: contacts, shop: customers}"]),
        ("{crm: a, shop: b, c: d}", ["sync.yaml:6:14: 'between' in sync 'x' must name two accounts, not 3; write between: {crm: contacts, shop: customers}"]),
        ("[crm, shop]", ["sync.yaml:6:14: 'between' in sync 'x' must be a mapping of keys and values, not a list; write between: {crm: contacts, shop: customers}"]),
        ("{crm: contacts, shpo: customers}", ["sync.yaml:6:30: 'between' of sync 'x' names the account 'shpo', which does not exist; did you mean 'shop'?"]),
        ("{crm: contacts, erp: customers}", ["sync.yaml:6:30: 'between' of sync 'x' names the account 'erp', which does not exist; the accounts are crm, shop"]),
        ("{crm: contacts, shop: }", ["sync.yaml:6:35: 'shop' in sync 'x' must be a text, not empty; write shop: …"]),
    ],
)  # fmt: skip
def test_the_accounts_of_a_sync(between: str, expected: list[str]) -> None:
    other = between.strip("{}").split(", ")[-1].split(":")[0] if between.startswith("{") and "," in between else "shop"
    text = f"  x:\n    between: {between}\n    default: crm\n    mapping:\n      - {{crm: email, {other}: mail}}\n"
    assert problems(ACCOUNTS + text) == expected


def test_a_sync_without_accounts_says_so_once() -> None:
    text = "  x:\n    betwen: {crm: contacts, shop: customers}\n    default: crm\n    mapping:\n      - {crm: a, shop: b}\n"
    assert problems(ACCOUNTS + text) == ["sync.yaml:6:5: unknown key 'betwen' in sync 'x'; did you mean 'between'?"]


def test_the_name_of_a_sync() -> None:
    text = "  große:\n    between: {crm: contacts, shop: customers}\n    default: crm\n    mapping:\n      - {crm: a, shop: b}\n"
    assert problems(ACCOUNTS + text) == [
        "sync.yaml:5:3: 'große' cannot be the name of a sync; use at most 40 letters without accents, digits, '_' and '-'"
    ]


# ---------------------------------------------------------------- filters


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ("{crm: [{field: a, op: equals, value: b}]}", ["sync.yaml:10:36: 'op' in a filter of 'crm' in sync 'contacts' cannot be 'equals'; "
                                                    "write one of eq, ne, lt, le, gt, ge, in, not_in, contains, starts_with, ends_with, is_empty, is_not_empty"]),
        ("{crm: [{fild: a, op: eq, value: b}]}", ["sync.yaml:10:22: unknown key 'fild' in a filter of 'crm' in sync 'contacts'; did you mean 'field'?"]),
        ("{crm: [{field: a, value: b}]}", ["sync.yaml:10:21: a filter of 'crm' in sync 'contacts' has no 'op'; write op: eq, or another comparison"]),
        ("{crm: [{field: a, op: eq}]}", ["sync.yaml:10:21: 'eq' needs a value; write value: …, or op: is_empty for an empty field"]),
        ("{crm: [{field: a, op: in, value: b}]}", ["sync.yaml:10:47: 'in' needs a list of values; write value: [a, b]"]),
        ("{crm: [{field: a, op: eq, value: [b]}]}", ["sync.yaml:10:47: 'eq' compares with one value, not with a list; write one value, or op: in"]),
        ("{crm: [{field: a, op: is_empty, value: b}]}", ["sync.yaml:10:53: 'is_empty' takes no value; remove 'value'"]),
        ("{crm: [{any: []}]}", ["sync.yaml:10:27: 'any' in a filter of 'crm' in sync 'contacts' is empty; write any: [{field: …, op: …}, …]"]),
        ("{crm: [{any: [{field: a}]}]}", ["sync.yaml:10:28: a filter of 'crm' in sync 'contacts' has no 'op'; write op: eq, or another comparison"]),
        ("{crm: [country]}", ["sync.yaml:10:21: a filter of 'crm' in sync 'contacts' must be a mapping of keys and values, not 'country'; write key: value"]),
        ("{crm: {field: a, op: eq, value: b}}", ["sync.yaml:10:20: 'crm' in the filters of sync 'contacts' must be a list, not a mapping; put '- ' in front of each element"]),
        ("[{field: a, op: eq, value: b}]", ["sync.yaml:10:14: 'filters' in sync 'contacts' must be a mapping of keys and values, not a list; "
                                            "write filters: {crm: [{field: country, op: eq, value: ES}]}"]),
        ("{portal: [{field: a, op: eq, value: b}]}", ["sync.yaml:10:15: the filters of sync 'contacts' name 'portal', which is not one of its two accounts; write crm or shop"]),
        ("{crm: [{field: a, op: eq, value: {b: c}}]}", ["sync.yaml:10:47: a value is a text, a number, true or false, not {\"b\": \"c\"}; write one of these"]),
    ],
)  # fmt: skip
def test_the_filters_of_a_sync(filters: str, expected: list[str]) -> None:
    assert of_sync(GOOD + f"filters: {filters}\n") == expected


# ---------------------------------------------------------------- the entries of a mapping


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{crm: a, shp: b}", ["sync.yaml:10:18: unknown key 'shp' in entry 2 of the mapping of sync 'contacts'; did you mean 'shop'?"]),
        ("{crm: a, shop: b, direcion: to shop}", ["sync.yaml:10:27: unknown key 'direcion' in entry 2 of the mapping of sync 'contacts'; did you mean 'direction'?"]),
        ("{a: b, c: d}", ["sync.yaml:10:10: unknown key 'a' in entry 2 of the mapping of sync 'contacts'; "
                          "it may have crm, shop, value, identifier, required, values, direction, enabled, association, empty",
                          "sync.yaml:10:16: unknown key 'c' in entry 2 of the mapping of sync 'contacts'; "
                          "it may have crm, shop, value, identifier, required, values, direction, enabled, association, empty"]),
        ("{crm: a}", ["sync.yaml:10:9: entry 2 of the mapping of sync 'contacts' names no field of 'shop'; "
                      "write {crm: a, shop: …}, or {crm: a, value: …} for a constant"]),
        ("{identifier: email}", ["sync.yaml:10:9: entry 2 of the mapping of sync 'contacts' names no field; "
                                 "write {crm: …, shop: …}; a field called 'identifier' needs this form too"]),
        ("email", ["sync.yaml:10:9: entry 2 of the mapping of sync 'contacts' must name two fields, not 'email'; write {crm: …, shop: …}"]),
        ("{crm: 5, shop: b}", ["sync.yaml:10:15: the field of 'crm' in entry 2 of the mapping of sync 'contacts' must be a text, not 5; "
                               "write the name of the field, in quotes if it is a number"]),
        ("{crm: a, shop: b, identifier: mail}", ["sync.yaml:10:39: 'identifier' in entry 2 of the mapping of sync 'contacts' cannot be 'mail'; did you mean 'email'?"]),
        ("{crm: a, shop: b, enabled: off}", ["sync.yaml:10:36: 'enabled' in entry 2 of the mapping of sync 'contacts' must be true or false, not 'off'; "
                                             "write true or false, without quotes"]),
        ("{crm: a, shop: b, empty: drop}", ["sync.yaml:10:34: 'empty' in entry 2 of the mapping of sync 'contacts' cannot be 'drop'; write one of keep, propagate"]),
        ("{crm: a, shop: b, value: c}", ["sync.yaml:10:27: entry 2 of the mapping of sync 'contacts' has two fields, and a constant 'value' besides; "
                                         "remove 'value', or one of the fields: {shop: b, value: …}"]),
        ("{shop: a, value: }", ["sync.yaml:10:25: a constant needs a value; write value: …, or remove the entry"]),
        ("{shop: a, value: x, identifier: email}", ["sync.yaml:10:29: a constant cannot have 'identifier'; remove 'identifier'"]),
        ("{crm: a, shop: b, values: [x]}", ["sync.yaml:10:35: 'values' must be a mapping of values, not [\"x\"]; write values: {gold: 1, silver: 2}"]),
        ("{crm: a, shop: b, values: {gold: }}", ["sync.yaml:10:41: 'values' maps 'gold' to empty; write one value that is not empty"]),
        ("{crm: a, shop: b, values: {gold: 1, silver: 1}}",
         ["sync.yaml:10:35: 'values' in entry 2 of the mapping of sync 'contacts' cannot be read backwards: '1' stands for several values; "
          'make each value stand once, or write direction: "to shop"']),
        ("{crm: a, shop: b, values: {gold: 1, silver: 1}, direction: to crm}",
         ["sync.yaml:10:35: 'values' in entry 2 of the mapping of sync 'contacts' says two things of '1'; make each value of the side that is read stand once"]),
        ("{crm: a, shop: b, direction: to portal}", ["sync.yaml:10:38: 'direction' in entry 2 of the mapping of sync 'contacts' cannot be 'to portal'; "
                                                     "write one of both, to crm, to shop"]),
        ("{crm: email, shop: b}", ["sync.yaml:10:9: the field 'email' of 'crm' is written by two entries of the mapping of sync 'contacts' (see entry 1); "
                                   'remove one, or give one direction: "to shop"']),
        ("{crm: email, shop: mail}", ["sync.yaml:10:9: the field 'email' of 'crm' is written by two entries of the mapping of sync 'contacts' (see entry 1); "
                                      'remove one, or give one direction: "to shop"',
                                      "sync.yaml:10:9: the field 'mail' of 'shop' is written by two entries of the mapping of sync 'contacts' (see entry 1); "
                                      'remove one, or give one direction: "to crm"']),
        ("{shop: mail, value: x}", ["sync.yaml:10:9: the field 'mail' of 'shop' is mapped and has a constant, too (see entry 1); "
                                    'remove the constant, or give the pair direction: "to crm"']),
        ("{crm: a, shop: b, association: companies}", ["sync.yaml:10:40: 'association' in entry 2 of the mapping of sync 'contacts' names the sync 'companies', "
                                                       "which does not exist; the syncs are contacts"]),
        ("{crm: a, shop: b, association: contacts, values: {x: y}}", ["sync.yaml:10:50: entry 2 of the mapping of sync 'contacts' has an association and 'values', too; "
                                                                      "remove 'values': a reference is translated by its link"]),
        ("{crm: a, shop: b, association: contacts, required: true}", ["sync.yaml:10:40: the required associations form a cycle, so that no record could be created first: "
                                                                      "contacts → contacts; remove required: true from one of these associations"]),
    ],
)  # fmt: skip
def test_an_entry_of_a_mapping(entry: str, expected: list[str]) -> None:
    assert of_entry(entry) == expected


def test_two_constants_for_one_field_are_refused() -> None:
    entries = "  - {shop: source, value: a}\n  - {shop: source, value: b}\n"
    assert of_sync(GOOD + entries) == [
        "sync.yaml:11:9: the field 'source' of 'shop' has a second constant (see entry 2); remove one of the two"
    ]


def test_a_field_may_be_written_once_per_direction_and_read_often() -> None:
    body = (
        "default: crm\nmapping:\n  - {crm: a, shop: b, direction: to shop}\n  - {crm: a, shop: b, direction: to crm}\n"
    )
    body += (
        "  - {crm: a, shop: c, direction: to shop}\n  - {crm: d, shop: b, enabled: false}\n  - {shop: d, value: x}\n"
    )
    sync = accepted(body)
    assert [sync.writes_of(one) for one in sync.mapping] == [
        (False, True), (True, False), (False, True), (False, False), (False, True)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{crm: a, shop: b, direction: both}", ["sync.yaml:10:38: 'direction' in entry 2 of the mapping of sync 'contacts' is wider than that of the sync, "
                                                "which is 'to shop'; remove it here, or write direction: both in the sync and narrow the other entries"]),
        ("{crm: a, shop: b, direction: to crm}", ["sync.yaml:10:38: 'direction' in entry 2 of the mapping of sync 'contacts' is wider than that of the sync, "
                                                  "which is 'to shop'; remove it here, or write direction: both in the sync and narrow the other entries"]),
        ("{crm: a, value: b}", ["sync.yaml:10:9: the constant for 'a' never applies: sync 'contacts' creates nothing in 'crm'; "
                                "remove the entry, or widen the direction of the sync"]),
    ],
)  # fmt: skip
def test_a_mapping_never_widens_the_direction_of_its_sync(entry: str, expected: list[str]) -> None:
    assert of_entry(entry, "direction: to shop") == expected


# ---------------------------------------------------------------- identifiers


def test_contacts_without_an_identifier_are_refused() -> None:
    assert of_sync("kind: contact\ndefault: crm\nmapping:\n  - {crm: a, shop: b}\n") == [
        "sync.yaml:5:3: sync 'contacts' requires an identifier (the default for kind: contact), but no enabled entry of its mapping has one; "
        "mark an entry with identifier: email, or write require_identifier: false"
    ]


def test_an_identifier_that_is_required_and_disabled_is_refused_at_the_key() -> None:
    body = "require_identifier: true\ndefault: crm\nmapping:\n  - {crm: a, shop: b}\n  - {crm: c, shop: d, identifier: sku, enabled: false}\n"
    assert of_sync(body) == [
        "sync.yaml:7:25: sync 'contacts' requires an identifier, but no enabled entry of its mapping has one; "
        "mark an entry with identifier: email, or write require_identifier: false"
    ]


def accepted(body: str) -> SyncConfig:
    """The sync `contacts` of which the lines below are given."""
    text = ACCOUNTS + "  contacts:\n    between: {crm: contacts, shop: customers}\n" + textwrap.indent(body, "    ")
    return load(text, "sync.yaml", ENVIRON, CONNECTORS).syncs["contacts"]


def test_one_enabled_identifier_is_enough() -> None:
    for first, second in (("true", "false"), ("false", "true")):
        entries = f"  - {{crm: a, shop: b, identifier: email, enabled: {first}}}\n  - {{crm: c, shop: d, identifier: email, enabled: {second}}}\n"
        assert accepted("kind: contact\ndefault: crm\nmapping:\n" + entries).require_identifier


def test_a_value_map_must_be_readable_in_the_direction_in_which_it_is_read() -> None:
    many_to_one = "{gold: 1, silver: 1}"
    assert accepted(GOOD + f"  - {{crm: a, shop: b, values: {many_to_one}, direction: to shop}}\n").mapping[1].values
    assert accepted(GOOD + f"  - {{shop: b, crm: a, values: {many_to_one}, direction: to crm}}\n").mapping[1].values
    assert accepted(GOOD + f"  - {{crm: a, shop: b, values: {many_to_one}, enabled: false}}\n").mapping[1].values
    assert of_entry(f"{{shop: b, crm: a, values: {many_to_one}, direction: to shop}}") == [
        "sync.yaml:10:35: 'values' in entry 2 of the mapping of sync 'contacts' says two things of '1'; make each value of the side that is read stand once"
    ]


def test_a_constant_of_an_account_that_is_only_read_is_refused_naming_it() -> None:
    assert of_entry("{shop: a, value: b}", "direction: to crm") == [
        "sync.yaml:10:9: the constant for 'a' never applies: sync 'contacts' creates nothing in 'shop'; remove the entry, or widen the direction of the sync"
    ]


@pytest.mark.parametrize(
    ("kind", "identifier", "remedy"),
    [
        (
            "contact",
            "name",
            "write email, or exact for a number or code that both sides hold; any type with kind: custom",
        ),
        (
            "company",
            "sku",
            "write email or domain or name, or exact for a number or code that both sides hold; any type with kind: custom",
        ),
        (
            "deal",
            "name",
            "write exact for a number or code that both sides hold, or remove 'identifier'; any type with kind: custom",
        ),
    ],
)
def test_a_kind_refuses_identifiers_that_do_not_identify_it(kind: str, identifier: str, remedy: str) -> None:
    body = f"kind: {kind}\ndefault: crm\nrequire_identifier: false\nmapping:\n  - {{crm: a, shop: b, identifier: {identifier}}}\n"
    assert of_sync(body) == [f"sync.yaml:11:39: records of kind '{kind}' are not matched by {identifier}; {remedy}"]


# ---------------------------------------------------------------- several syncs

PORTAL = (
    "accounts:\n" + "".join(f"  {name}: {{connector: memory}}\n" for name in ("crm", "shop", "portal")) + "syncs:\n"
)


def sync(name: str, between: str, *entries: str, direction: str = "both") -> str:
    """A sync of five lines and its entries."""
    first = between.strip("{").split(":")[0]
    lines = [
        f"  {name}:",
        f"    between: {between}",
        f"    direction: {direction}",
        f"    default: {first}",
        "    mapping:",
    ]
    return "\n".join([*lines, *(f"      - {entry}" for entry in entries)]) + "\n"


def test_an_association_with_a_sync_of_other_accounts_is_refused() -> None:
    text = PORTAL + sync("companies", "{crm: companies, portal: companies}", "{crm: a, portal: b}")
    text += sync(
        "contacts", "{crm: contacts, shop: customers}", "{crm: a, shop: b}", "{crm: c, shop: d, association: companies}"
    )
    assert problems(text) == [
        "sync.yaml:18:40: the association 'companies' pairs crm and portal, not crm and shop; name a sync between crm and shop, or remove the association"
    ]


def test_a_cycle_of_required_associations_is_refused_and_a_parent_that_may_be_missing_is_not() -> None:
    required = "{{crm: x, shop: y, association: {}, required: true}}".format
    text = PORTAL
    text += sync("a", "{crm: a, shop: a}", "{crm: i, shop: i}", required("b"))
    text += sync("b", "{crm: b, shop: b}", "{crm: i, shop: i}", required("c"))
    text += sync("c", "{crm: c, shop: c}", "{crm: i, shop: i}", required("a"), "{crm: p, shop: p, association: c}")
    assert problems(text) == [
        "sync.yaml:12:40: the required associations form a cycle, so that no record could be created first: a → b → c → a; "
        "remove required: true from one of these associations"
    ]


def ring(*identifiers: str, direction: str = "both") -> str:
    """Deals of three accounts, each synced with the next."""
    names = ("crm", "shop", "portal")
    text = PORTAL
    for place, (one, other) in enumerate(zip(names, (*names[1:], names[0]), strict=True)):
        option = f", identifier: {identifiers[place]}" if identifiers[place] else ""
        way = direction.format(other)
        text += sync(
            f"{one}-{other}",
            f"{{{one}: deals, {other}: deals}}",
            f"{{{one}: name, {other}: name{option}}}",
            direction=way,
        )
    return text


def test_a_ring_of_accounts_without_identifiers_is_refused() -> None:
    message = (
        "sync 'crm-shop' has no identifier and closes a ring, in which records would be copied for ever: "
        "{}; mark an entry of its mapping with identifier: …, make it one-way, or remove it"
    )
    around = "crm:deals → portal:deals → shop:deals → crm:deals"
    assert problems(ring("", "", "")) == ["sync.yaml:6:3: " + message.format(around)]
    assert problems(ring("", "", "", direction="to {}")) == [
        "sync.yaml:6:3: " + message.format("crm:deals → shop:deals → portal:deals → crm:deals")
    ]


def test_a_ring_with_one_sync_that_cannot_match_is_refused_at_that_sync() -> None:
    (problem,) = problems(ring("exact", "", "exact"))
    assert problem.startswith("sync.yaml:12:3: sync 'shop-portal' has no identifier and closes a ring")


def test_a_ring_with_identifiers_and_a_chain_without_are_accepted() -> None:
    load(ring("exact", "exact", "exact"), "sync.yaml", {}, CONNECTORS)
    chain = PORTAL + sync("a", "{crm: deals, shop: deals}", "{crm: a, shop: b}")
    load(chain + sync("b", "{shop: deals, portal: deals}", "{shop: a, portal: b}"), "sync.yaml", {}, CONNECTORS)


# ---------------------------------------------------------------- all at once


def test_a_sync_of_which_nothing_can_be_read_hides_no_fault_of_another() -> None:
    text = (
        PORTAL
        + sync("a", "{crm: a, shop: a}", "nonsense")
        + sync("b", "{crm: b, shop: b}", "{crm: x, shop: y, association: c}")
    )
    assert problems(text) == [
        "sync.yaml:11:9: entry 1 of the mapping of sync 'a' must name two fields, not 'nonsense'; write {crm: …, shop: …}",
        "sync.yaml:17:40: 'association' in entry 1 of the mapping of sync 'b' names the sync 'c', which does not exist; the syncs are a, b",
    ]


def test_all_that_is_wrong_is_shown_at_once_in_the_order_of_the_file() -> None:
    found = problems("""
        nam: acme
        accounts:
          crm: {connector: postgres, url: "${NOWHERE}"}
          shop: {connector: postgres, urn: x}
        syncs:
          contacts:
            between: {crm: contacts, shop: customers}
            kind: contact
            direcion: both
            default: crm
            filters:
              crm:
                - {field: country, op: is, value: ES}
            mapping:
              - {crm: email, shop: mail, identifier: e-mail}
              - {crm: name, shop: mail, direction: to portal}
              - {crm: name, shop: name}
              - {crm: town, shop: mail}
              - {crm: company_id, shop: firm_id, association: company}
    """)
    assert found == [
        "sync.yaml:1:1: unknown key 'nam' in the file; did you mean 'name'?",
        "sync.yaml:3:35: ${NOWHERE} is not set; set the environment variable NOWHERE, or add NOWHERE=… to a .env file beside the configuration",
        "sync.yaml:4:31: unknown key 'urn' in account 'shop'; did you mean 'url'?",
        "sync.yaml:9:5: unknown key 'direcion' in sync 'contacts'; did you mean 'direction'?",
        "sync.yaml:13:32: 'op' in a filter of 'crm' in sync 'contacts' cannot be 'is'; write one of eq, ne, lt, le, gt, ge, in, not_in, contains, starts_with, ends_with, is_empty, is_not_empty",
        "sync.yaml:15:46: 'identifier' in entry 1 of the mapping of sync 'contacts' cannot be 'e-mail'; did you mean 'email'?",
        "sync.yaml:16:44: 'direction' in entry 2 of the mapping of sync 'contacts' cannot be 'to portal'; write one of both, to crm, to shop",
        "sync.yaml:19:55: 'association' in entry 5 of the mapping of sync 'contacts' names the sync 'company', which does not exist; "
        "the syncs are contacts",
    ]
