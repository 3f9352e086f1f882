"""What `apply` would change: the difference between two documents, for programs and for people.

Responsible for naming each change once, in the words of the file. Must not know what a change sets in motion,
except where semantics refuses one: other objects or another kind under the name of a sync are a new sync.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from rules.config.models import MappingConfig, SyncConfig

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DocumentChange:
    """One change. `part` and `name` say of what: ("sync", "contacts"); `key` which of its keys; `refused`: why it cannot be."""

    action: Literal["added", "removed", "changed"]
    part: Literal["installation", "account", "sync"]
    name: str
    key: str | None
    text: str
    refused: str | None = None

    def __str__(self) -> str:
        sign = {"added": "+", "removed": "-", "changed": "~"}[self.action]
        return f"{sign} {self.text}" + (f" (refused: {self.refused})" if self.refused else "")


def diff(old: Document | None, new: Document) -> list[DocumentChange]:
    """The changes from one document to another, in the order of the new file; `None`: nothing was applied before."""
    return [*_installation(old or {}, new), *_accounts(old or {}, new), *_syncs(old or {}, new)]


def _installation(old: Document, new: Document) -> Iterator[DocumentChange]:
    defaults = {"name": "tandem", "broker": None, "retention": "30d"}
    for key, default in defaults.items():
        before, after = old.get(key, default), new.get(key, default)
        if before != after and old:
            shown = f"{key}: {_said(before)} → {_said(after)}" if key != "broker" else "broker: changed"
            yield DocumentChange("changed", "installation", "", key, shown)


def _accounts(old: Document, new: Document) -> Iterator[DocumentChange]:
    before, after = old.get("accounts") or {}, new.get("accounts") or {}
    for name in [*after, *(gone for gone in before if gone not in after)]:
        if name not in before:
            yield DocumentChange("added", "account", name, None, f"account {name} ({after[name]['connector']})")
        elif name not in after:
            yield DocumentChange("removed", "account", name, None, f"account {name} ({before[name]['connector']})")
        else:
            for key in _keys(before[name], after[name]):
                # What is not named here may be secret: it is said that it changed, not how.
                how = f": {before[name].get(key)} → {after[name].get(key)}" if key == "connector" else " changed"
                yield DocumentChange("changed", "account", name, key, f"account {name}: {key}{how}")


def _keys(before: Document, after: Document) -> list[str]:
    return [key for key in {**after, **before} if before.get(key) != after.get(key)]


def _syncs(old: Document, new: Document) -> Iterator[DocumentChange]:
    before, after = old.get("syncs") or {}, new.get("syncs") or {}
    for name in [*after, *(gone for gone in before if gone not in after)]:
        if name not in before:
            yield DocumentChange("added", "sync", name, None, f"sync {name}: {_pair(after[name])}")
        elif name not in after:
            yield DocumentChange("removed", "sync", name, None, f"sync {name}: {_pair(before[name])}")
        elif before[name] != after[name]:
            try:
                known = SyncConfig.model_validate(before[name])
            except ValidationError:  # applied by another version of Tandem, which knew keys that this one does not
                yield DocumentChange("changed", "sync", name, None, f"sync {name}: written anew")
            else:
                yield from _sync(name, known, SyncConfig.model_validate(after[name]))


def _pair(sync: Document) -> str:
    between = " ↔ ".join(f"{account}:{object_name}" for account, object_name in sync["between"].items())
    return f"{between}, {sync.get('kind') or 'custom'}, {sync.get('direction') or 'both'}"


def _sync(name: str, before: SyncConfig, after: SyncConfig) -> Iterator[DocumentChange]:
    for key in SyncConfig.model_fields:
        old, new = getattr(before, key), getattr(after, key)
        if old == new or key in ("mapping", "filters"):
            continue
        refused = None
        if key == "kind" or (key == "between" and old.items() != new.items()):
            refused = (
                f"give the sync another name, since another {'kind' if key == 'kind' else 'object'} makes it a new one"
            )
        text = f"sync {name}: {key} {_said(old)} → {_said(new)}"
        yield DocumentChange("changed", "sync", name, key, text, refused)
    yield from _filters(name, before, after)
    yield from _mapping(name, before, after)


def _filters(name: str, before: SyncConfig, after: SyncConfig) -> Iterator[DocumentChange]:
    for account in {**after.filters, **before.filters}:
        old, new = before.filters.get(account, ()), after.filters.get(account, ())
        if old != new:
            action: Literal["added", "removed", "changed"] = "changed" if old and new else "added" if new else "removed"
            texts = [
                json.dumps([one.model_dump(mode="json", exclude_none=True) for one in side], ensure_ascii=False)
                for side in (old, new)
            ]
            said = f"{texts[0]} → {texts[1]}" if action == "changed" else texts[1 if new else 0]
            yield DocumentChange(action, "sync", name, "filters", f"sync {name}: filters of {account}: {said}")


def _mapping(name: str, before: SyncConfig, after: SyncConfig) -> Iterator[DocumentChange]:
    # The same accounts in another order are the same pairs.
    flipped = before.accounts != after.accounts
    old = {_fields(one, flipped=flipped): one for one in before.mapping}
    new = {_fields(one): one for one in after.mapping}
    for fields in [*new, *(gone for gone in old if gone not in new)]:
        shown = _entry(after.accounts, fields)
        if fields not in old:
            options = _options(new[fields])
            yield DocumentChange(
                "added", "sync", name, "mapping", f"sync {name}: mapping {shown}" + (f", {options}" if options else "")
            )
        elif fields not in new:
            yield DocumentChange("removed", "sync", name, "mapping", f"sync {name}: mapping {shown}")
        else:
            was, now = _options(old[fields], flipped=flipped), _options(new[fields])
            if was != now:
                text = f"sync {name}: mapping {shown}: {was or 'no options'} → {now or 'no options'}"
                yield DocumentChange("changed", "sync", name, "mapping", text)
    order = [_fields(one, flipped=flipped) for one in before.mapping if one.identifier is not None]
    later = [_fields(one) for one in after.mapping if one.identifier is not None]
    if order != later and set(order) == set(later):
        text = f"sync {name}: identifiers are tried in another order"
        yield DocumentChange("changed", "sync", name, "mapping", text)


def _fields(entry: MappingConfig, *, flipped: bool = False) -> tuple[str | None, str | None]:
    return (entry.b, entry.a) if flipped else (entry.a, entry.b)


def _entry(accounts: tuple[str, str], fields: tuple[str | None, str | None]) -> str:
    return " ↔ ".join(
        f"{account}.{field}" for account, field in zip(accounts, fields, strict=True) if field is not None
    )


def _options(entry: MappingConfig, *, flipped: bool = False) -> str:
    """The options that are not the default, as the file writes them."""
    given = entry.model_dump(mode="json", exclude={"a", "b"}, exclude_defaults=True)
    if entry.values is not None:
        given["values"] = dict((b, a) if flipped else (a, b) for a, b in entry.values)
    return ", ".join(f"{key}: {_said(value)}" for key, value in given.items())


def _said(value: Any) -> str:
    if value is None:
        return "unset"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
