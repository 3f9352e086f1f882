"""sync.yaml, or a document out of Kafka, to an installation; or all that is wrong with it, at once.

Responsible for the order of the steps and for the places of the findings. Must not know what a sync means
(`rules.config.checks`), nor read files or the environment.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ValidationError

from rules.config import secrets
from rules.config.checks import Whole, check
from rules.config.models import AccountConfig, Installation
from rules.config.problems import ConfigError, did_you_mean
from rules.config.tree import Path, Tree, read
from rules.config.wording import Finding, findings, keys_of, where


class ConnectorModels(Protocol):
    """What the loader needs to know of a connector; each connector class is one."""

    Settings: ClassVar[type[BaseModel]]
    ObjectSettings: ClassVar[type[BaseModel]]


Connectors = Mapping[str, type[ConnectorModels] | ConnectorModels]


def load(text: str, filename: str, environ: Mapping[str, str], connectors: Connectors | None = None) -> Installation:
    """The installation that a file describes. Raises `ConfigError` with all problems; nothing else, for any text.

    `environ`: the environment, with a .env file's values where the caller reads one. `connectors`: by name; without them the accounts'
    own settings are not checked, and each text in them is held for a secret.
    """
    return _installation(read(text, filename, environ), connectors)


def load_document(
    document: Mapping[str, Any],
    environ: Mapping[str, str],
    connectors: Connectors | None = None,
    *,
    text: str | None = None,
    filename: str = "sync.yaml",
) -> Installation:
    """The installation of `Installation.document()`, its `${NAME}` taken from this process's environment.

    `text`: this process's own file, where secrets that are written out are found.
    """
    own = read(text, filename, environ) if text is not None else None
    tree = secrets.resolved(document, environ, own, filename)
    return _installation(tree, connectors)


def _installation(tree: Tree, connectors: Connectors | None) -> Installation:
    if tree.data is None:
        raise ConfigError(tree.problems)
    reading = _Reading(tree.data)
    installation = reading.run()
    found = reading.found
    if installation is not None:
        found += check(
            Whole(
                installation,
                accounts=frozenset(tree.data["accounts"]),
                syncs=frozenset(tree.data.get("syncs") or {}),
                entries=reading.entries,
                incomplete=frozenset(reading.incomplete),
            )
        )
        if connectors is not None:
            for name, account in installation.accounts.items():
                if account.connector != _UNREADABLE:
                    found += _settings(name, account, connectors)
    for finding in dict.fromkeys(found):
        tree.report(finding.message, finding.remedy, finding.path, key=finding.key)
    if tree.problems or installation is None:
        raise ConfigError(tree.problems)
    installation._filename, installation._places = tree.filename, tree.places
    installation._document = secrets.document(tree, connectors)
    return installation


# ---------------------------------------------------------------- the shape

_UNREADABLE = "?"  # stands for the connector of an account that could not be read


@dataclass(slots=True)
class _Reading:
    """Reads as much as can be read: a part with a fault is reported, left out, and the rest is read again.

    So that a typing error in one place does not hide what is wrong in another.
    """

    raw: dict[str, Any]
    found: list[Finding] = field(default_factory=list)
    entries: dict[str, tuple[int, ...]] = field(default_factory=dict)
    incomplete: set[str] = field(default_factory=set)

    def run(self) -> Installation | None:
        """The installation without the parts that are at fault; None where nothing is left."""
        data = copy.deepcopy({key: value for key, value in self.raw.items() if value is not None})
        try:
            return Installation.model_validate(data)
        except ValidationError as error:
            self.found += findings(error, data)
        for finding in self.found:
            self.leave_out(data, finding)
        for name, sync in (data.get("syncs") or {}).items():
            self.close_ranks(name, sync)
        try:
            return Installation.model_validate(data)
        except ValidationError:
            return None

    def leave_out(self, data: dict[str, Any], finding: Finding) -> None:
        """Takes the smallest part around a fault out of the data."""
        match finding.path:
            case ("syncs", str(name), "default") if self.has_two_accounts(name):
                data["syncs"][name]["default"] = next(iter(data["syncs"][name]["between"]))
            case ("syncs", str(name), "mapping", int(index), *_):
                self.incomplete.add(name)
                data["syncs"][name]["mapping"][index] = None
            case ("syncs", str(name), "filters", str(account), *_):
                data["syncs"][name]["filters"].pop(account, None)
            case ("syncs", str(name), ("between" | "mapping"), *_) | ("syncs", str(name)):
                data["syncs"].pop(name, None)
            case ("syncs", str(name), str(key), *_) if name in data["syncs"]:
                data["syncs"][name].pop(key, None)
            case ("accounts", str(name), "objects", str(object_name), *_) if name in data["accounts"]:
                data["accounts"][name]["objects"].pop(object_name, None)
            case ("accounts", str(name), *_):
                data["accounts"][name] = {"connector": _UNREADABLE}
            case (str(key), *_):
                data.pop(key, None)

    def has_two_accounts(self, name: str) -> bool:
        """Whether `between` of a sync can be relied on."""
        between = self.raw["syncs"][name].get("between")
        return isinstance(between, dict) and len(between) == 2

    def close_ranks(self, name: str, sync: Any) -> None:
        """Removes the entries that were left out, and notes where those that remain stand in the file."""
        entries = sync.get("mapping") if isinstance(sync, dict) else None
        if name in self.incomplete and isinstance(entries, list):
            self.entries[name] = tuple(place for place, entry in enumerate(entries) if entry is not None)
            sync["mapping"] = [entry for entry in entries if entry is not None]


# ---------------------------------------------------------------- the connectors' own keys


def _settings(name: str, account: AccountConfig, connectors: Connectors) -> list[Finding]:
    here: Path = ("accounts", name)
    connector = connectors.get(account.connector)
    if connector is None:
        message = f"account '{name}' names the connector '{account.connector}', which is not installed"
        return [Finding((*here, "connector"), message, did_you_mean(account.connector, sorted(connectors), "there is"))]
    found = _validated(connector.Settings, account.settings, here, ("connector", "objects"))
    for object_name, said in account.objects.items():
        found += _validated(connector.ObjectSettings, said, (*here, "objects", object_name), ())
    return [secrets.censored(finding, account.settings) for finding in found]


def _validated(model: type[BaseModel], settings: dict[str, Any], path: Path, also: tuple[str, ...]) -> list[Finding]:
    known = secrets.keys(model)
    strange = [] if model.model_config.get("extra") == "allow" else [key for key in settings if key not in known]
    found = []
    for key in strange:
        remedy = did_you_mean(key, [*known, *also], "it may have")
        found.append(Finding((*path, key), f"unknown key '{key}' in {where(path)}", remedy, key=True))
    try:
        model.model_validate(
            {key: value for key, value in settings.items() if key not in strange and value is not None}
        )
    except ValidationError as error:
        found += findings(error, settings, path, [*known, *also])
    return found


__all__ = ["ConnectorModels", "Connectors", "keys_of", "load", "load_document"]
