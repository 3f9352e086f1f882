"""The reference page of the fake, made from its tables, so that it cannot name what is not there.

Responsible for docs/reference/fake-hubspot.md (`python -m docs.generate`).
"""

from __future__ import annotations

from . import admin, associations_api, batches, definitions_api, faults, knobs, people, standard, tokens
from .routes import ROUTES
from .store import FILE

_BEGIN = f"""# A fake of HubSpot

`tandem fake hubspot` serves a fake of HubSpot's CRM API on this machine: to try Tandem's connector without an account, and to test it. It was
written from public facts alone, before the connector, and is **stricter than the real one**: what our facts do not say is refused with
a message that begins with "Not in this fake". It is no product of HubSpot's and no statement on how theirs behaves.

```
tandem fake hubspot [--port 8480] [--data DIR] [KNOB=VALUE …]
```

It listens on 127.0.0.1 only. `--data` keeps all its state in one SQLite file, `{FILE}`; it may be killed at any moment (`kill -9`) and
goes on where it was. Without `--data` the state is in a temporary folder that goes with it.

| | |
|---|---|
| service key | `{tokens.SERVICE_KEY}`, with all scopes |
| app | client id `{tokens.APP["client_id"]}`, secret `{tokens.APP["client_secret"]}`, refresh token `{tokens.APP["refresh_token"]}` |

They guard nothing.
"""

_LIMITS = f"""## What it does not do
- Only the calls listed below. No full-text search (`query`, `CONTAINS_TOKEN`), no lists, files, forms, line items, quotes, orders, no
  classic webhooks, no snapshots into the journal, no `/crm/limits`. A record is created without `associations` in the same call.
- Pipelines, owners, association labels, custom objects, administrators' rules and currencies are not written by the API but by people, below.
- Names of properties that our facts do not mention, codes in `errors`, the status 404 for archiving what is not there, and all
  ids of association types but the public ones are the fake's own. Ids of the latter begin at 9001, so that they are read and not known by heart.
- Batches of associations that the facts do not size take {batches.MOST}; batch create takes
  {associations_api.CREATE_MOST:,}, batch read {associations_api.READ_MOST:,}.
- Where the facts are silent it takes the reading that is harder on the caller: results in any order, reads of unknown properties refused, a write to
  an id that was merged away refused, no answer has a property that was not asked for, a restored record's modified date does not move,
  pipeline and stage are only written together, an amount only where there is a currency.
- Windows of rate limits are in memory: a restart empties them. The day's budget is kept. A call that is refused costs nothing.
- One process, one connection at a time is served; its pace says nothing about HubSpot's.
"""

_STATE = f"""## Looking into it
`sqlite3 DIR/{FILE}` at any time. What may be relied on are the views: `records` (id, object, properties as JSON, created_at, updated_at, archived,
archived_at), `associations` (from_object, from_id, to_object, to_id, category, type, label), `merged` (object, old_id, id) and `calls` (at, app,
method, route, path, object, status, inputs, properties, fault).
"""

_FAULTS = f"""## Faults
Ordered with `fault=KIND,match=REGEX,method=POST,times=3,skip=1,every=2,rate=0.1` on the command line (as often as you like), or with `POST /fake/faults`. KIND
is one of {", ".join(f"`{kind}`" for kind in (*faults.CUTS, *faults.ERRORS))}.
`match` is a regular expression that is found in the path and query, `times` how often (0: for ever),
`skip` how many calls pass before, `every` each nth of them, `rate` by chance, `policy` the `policyName` of a 429. `cut_before` ends the connection before
anything was done, `cut_after` after it was done and kept. A 423 and a 477 last for a time (knobs) once they were met.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_BEGIN, _LIMITS, "## Knobs", knobs.table(), _FAULTS, _STATE, _people(), _calls(), _objects()])


def _sentence(text: str | None) -> str:
    first = (text or "").strip().partition("\n")[0]
    return first.replace("|", "\\|")


def _people() -> str:
    rows = ["| call | what it does |", "|---|---|"]
    rows += [f"| `{call}` | {_sentence(getattr(admin.Admin, name).__doc__)} |" for call, name in admin.CALLS.items()]
    rows += [f"| `{call}` | {_sentence(deed.__doc__)} |" for call, deed in people.CALLS.items()]
    rows.append("| any `/fake/ui/…` | The call of the API behind it, done by a person. |")
    begin = (
        "## Behind the API\n"
        "Paths that HubSpot does not have, for tests. None needs a token, is limited, counted or met by a fault. What people do at the\n"
        "screen is among them; its source in histories and events is `CRM_UI`.\n"
    )
    return begin + "\n" + "\n".join(rows) + "\n"


def _calls() -> str:
    rows = ["| call | limits | what it does |", "|---|---|---|"]
    rows += [
        f"| `{each.method} {each.template}` | {each.limits} | {_sentence(each.handler.__doc__)} |" for each in ROUTES
    ]
    begin = (
        f"## Calls\n`{{v}}` is the version. An object has {definitions_api.UNIQUE_MOST} unique properties at most.\n"
    )
    return begin + "\n" + "\n".join(rows) + "\n"


def _objects() -> str:
    rows = ["| object | id | by name | modified date | properties |", "|---|---|---|---|---|"]
    for kind in standard.TYPES:
        names = ", ".join(f"`{each.name}`" for each in standard.properties(kind))
        rows.append(f"| {kind.name} | {kind.id} | {'yes' if kind.named else 'no'} | `{kind.modified}` | {names} |")
    return "## Objects of a new portal\n\n" + "\n".join(rows) + "\n"
