"""The reference of sync.yaml for people, made of the models.

Responsible for the words around the models' own descriptions; `docs/generate.py` writes the page. Must not say what
a model could say itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from enum import Enum

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from rules.config.entries import OPTIONS
from rules.config.loader import Connectors
from rules.config.models import AccountConfig, BrokerConfig, Installation, MappingConfig, Sasl, SyncConfig, Tls
from rules.config.nesting import within
from rules.filters import AllOf, AnyOf, Condition, Op
from rules.identifiers import EXPECTED

_EXAMPLE = """\
name: acme
retention: 30d
accounts:
  crm:
    connector: postgres
    url: ${CRM_URL}
  shop:
    connector: postgres
    url: ${SHOP_URL}
syncs:
  companies:
    between: {crm: companies, shop: firms}
    kind: company
    default: crm
    mapping:
      - {crm: domain, shop: website_domain, identifier: domain}
      - {crm: name, shop: firm_name, identifier: name, required: true}
  contacts:
    between: {crm: contacts, shop: customers}
    kind: contact
    default: crm
    filters:
      crm:
        - {field: country, op: eq, value: ES}
        - any:
            - {field: tier, op: in, value: [gold, silver]}
            - {field: revenue, op: ge, value: 10000}
    mapping:
      - {crm: email, shop: email, identifier: email}
      - first_name: given_name
      - {crm: tier, shop: level, values: {gold: 1, silver: 2}}
      - {crm: notes, shop: remarks, direction: "to shop"}
      - {crm: company_id, shop: firm_id, association: companies}
      - {shop: source, value: tandem}
"""

_INTRODUCTION = """\
# Configuration reference

One file, `sync.yaml`, says everything: the accounts, and what is kept the same in them. `tandem check` reads it and asks the
accounts whether it fits; `tandem apply` makes it so. This page is made from the models that read the file; do not edit it
(`python -m docs.generate`).

```yaml
{example}```

- The file is **YAML 1.2**: `yes`, `no`, `on` are texts; true and false are `true` and `false`.
- **`${{NAME}}`** inside a value is taken from the environment, or from a `.env` file beside this one; a name that is not set is
  refused. `$${{` stands for `${{` itself. Between braces a reference needs quotes: `{{url: "${{CRM_URL}}"}}`. Secrets are best given
  this way: what goes to Kafka then names the variable; a secret that is written out stays in the file, and goes nowhere else.
- A key given twice, a key that does not exist, and everything else that is wrong is refused before anything starts, all
  at once, with line, column and what to write instead. `tandem schema` prints the JSON Schema, by which editors complete
  and check the file.
- Names of the installation, accounts and syncs have at most 40 letters without accents, digits, `_` and `-`. A sync's name
  is its identity: renamed, it is another sync.
"""

_CONVERSIONS = """\
## How values are converted

| from | to | how |
|---|---|---|
| text | integer, decimal, date, time, timestamp, UUID, JSON | read strictly: `42`, `12.5`, `2026-11-24`, `18:30:00`, `2026-11-24T18:30:00Z` |
| text, integer, decimal | boolean | text: true/false, yes/no, on/off, t/f, y/n, 1/0; numbers: 1 and 0 |
| boolean | text, integer, decimal | `true`, `false`; 1, 0 |
| integer, decimal | each other | rounded to a whole number, half away from zero |
| date | timestamp | midnight, UTC |
| timestamp | date | the day in UTC |
| with zone | without zone | a type without a zone holds UTC |
| enumeration, reference | whatever a text converts to | an option that the target does not have is refused |
| list | list | element by element; a single value is no list |
| anything but lists and bytes | text | its usual form |

- What is **written** is rounded to the target's digits after the point. A text that is too long, a number with too many
  digits, an option that does not exist are not written: that field alone is failing `invalid_value`, the others are written.
- When two values are **compared**, it counts what each side would hold of the other: a text cut at the other side's length,
  a number rounded to its scale, a time without the digits it cannot hold are no differences; nor is the order of options.
- With `values:` only the values that it names are converted, each to its counterpart. It may be read from both sides, so no
  value may stand twice, unless the mapping is one-way.
- Empty (null, blank text, an empty list) stays empty.
"""

_FILTERS = """\
Filters decide whether a record enters the sync; once linked it stays, whatever its values become. Texts are compared
exactly, upper and lower case included; options of an enumeration in its own order; `contains` finds a part of a text or an
element of a list. A comparison with an empty value is false, but `ne`, `not_in` and `is_empty` hold.
"""

_FIELDS = """\
An entry pairs a field of each account, `{crm: email, shop: mail}`; in short `email: mail`, where the field of the account that
`between` names first comes first. Or it gives a field of the records created in one account a constant,
`{shop: source, value: tandem}`. A field may be written by one entry only.
"""


def reference_markdown(connectors: Connectors | None = None) -> str:
    """The page docs/reference/configuration.md, with the keys of the given connectors' accounts."""
    return "\n".join(
        [
            _INTRODUCTION.format(example=_EXAMPLE),
            *_section("The file", Installation),
            *_section("`broker`", BrokerConfig),
            *_section("`broker: tls`", Tls),
            *_section("`broker: sasl`", Sasl),
            *_section("An account", AccountConfig, without=("settings",)),
            "All other keys of an account are those of its connector.\n",
            *_connectors(connectors or {}),
            *_section("A sync", SyncConfig),
            *_section("An entry of the mapping", MappingConfig, only=OPTIONS),
            _FIELDS,
            *_identifiers(),
            *_section("A filter", Condition),
            *_lists(),
            _FILTERS,
            _CONVERSIONS,
        ]
    )


def _section(
    title: str, model: type[BaseModel], *, only: tuple[str, ...] = (), without: tuple[str, ...] = ()
) -> Iterator[str]:
    yield f"## {title}\n"
    yield "| key | default | what it says |"
    yield "|---|---|---|"
    for name, info in model.model_fields.items():
        if name in without or (only and name not in only):
            continue
        default = "**required**" if info.is_required() else _default(info.default)
        if name in ("default", "require_identifier"):
            default = "see there"
        description = (info.description or "").replace("|", "\\|")
        yield f"| `{name}` | {default} | {_options(info.annotation)}{description} |"
    yield ""


def _connectors(connectors: Connectors) -> Iterator[str]:
    for name, connector in sorted(connectors.items()):
        if connector.Settings.model_fields:
            yield from _section(f"An account of `connector: {name}`", connector.Settings)
        if connector.ObjectSettings.model_fields:
            yield from _section(f"An object of `connector: {name}`", connector.ObjectSettings)
        for of, model in (("an account", connector.Settings), ("an object", connector.ObjectSettings)):
            for key, one in within(model):
                yield from _section(f"One of `{key}` of {of} of `connector: {name}`", one)


def _default(value: object) -> str:
    if value is None or value is PydanticUndefined or value in ({}, ()):
        return ""
    if isinstance(value, timedelta):
        return f"`{value.days}d`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value.value if isinstance(value, Enum) else value}`"


def _options(annotation: object) -> str:
    """The values of an enumeration, where the description does not name them anyway."""
    if isinstance(annotation, type) and issubclass(annotation, Enum) and annotation is not Op:
        return ", ".join(f"`{one.value}`" for one in annotation) + ". "
    return ""


def _lists() -> Iterator[str]:
    for model in (AnyOf, AllOf):
        for name, info in model.model_fields.items():
            yield f"- `{name}: [...]`: {info.description}"
    yield ""


def _identifiers() -> Iterator[str]:
    yield "### Identifiers by kind\n"
    yield "| kind | identifiers expected, in the order worth trying |"
    yield "|---|---|"
    for kind, types in EXPECTED.items():
        expected = "any" if kind == "custom" else ", ".join(types) or "none: never matched, always created"
        yield f"| `{kind}` | {expected} |"
    yield ""
    yield "`exact` suits every kind: a number or code that both sides hold. Two identifiers are equal when they are after"
    yield "normalisation: `email` trimmed and case-folded, and a valid address; `domain` the host alone, without `https://`, `www.`,"
    yield "path, port or trailing dot, internationalised names in their ASCII form, and with a dot in it; `name` trimmed, spaces"
    yield "collapsed, case-folded; `sku` trimmed; `exact` as it is. What is empty or not valid matches nothing.\n"
