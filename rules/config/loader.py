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

from rules.config import nesting, secrets
from rules.config.checks import Whole, check
from rules.config.models import AccountConfig, Installation
from rules.config.problems import ConfigError, did_you_mean
from rules.config.tree import Path, Tree, read
from rules.config.wording import Finding, findings, unknown_key, without_echoes


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
        found += check(reading.whole(installation))
        found += _connectors(installation, tree, connectors)
    for finding in without_echoes(one for one in found if one.path not in tree.unset):
        tree.report(finding.message, finding.remedy, finding.path, key=finding.key)
    if tree.problems or installation is None:
        raise ConfigError(tree.problems)
    return installation.loaded_from(tree.filename, tree.places, secrets.document(tree, connectors))


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
            self.leave_out(data, finding.path)
        self.close_ranks(data.get("syncs", {}))
        try:
            return Installation.model_validate(data)
        except ValidationError:
            return None

    def leave_out(self, data: dict[str, Any], path: Path) -> None:
        """Takes the smallest part around a fault out of the data."""
        match path:
            case ("syncs", str(name), *rest):
                self.leave_out_of_sync(data["syncs"], name, rest)
            case ("accounts", str(name), "objects", str(object_name), *_):
                data["accounts"][name].get("objects", {}).pop(object_name, None)
            case ("accounts", str(name), *_):
                data["accounts"][name] = {"connector": _UNREADABLE}
            case (str(key), *_):
                data.pop(key, None)
            case _:
                pass

    def leave_out_of_sync(self, syncs: dict[str, Any], name: str, path: list[str | int]) -> None:
        """The same within a sync: an entry of its mapping, the filters of a side, a key, or all of it."""
        sync = syncs.get(name)
        match path:
            case [] | ["between" | "mapping"] | ["between", *_]:
                syncs.pop(name, None)
            case _ if not isinstance(sync, dict):
                pass
            case ["default"] if isinstance(sync.get("between"), dict):
                sync["default"] = next(iter(sync["between"]), "")
            case ["mapping", int(index), *_]:
                self.incomplete.add(name)
                sync["mapping"][index] = None
            case ["filters", str(account), *_]:
                sync["filters"].pop(account, None)
            case [str(key), *_]:
                sync.pop(key, None)
            case _:
                pass

    def close_ranks(self, syncs: dict[str, Any]) -> None:
        """Removes the entries that were left out, and notes where those that remain stand in the file."""
        for name in self.incomplete & set(syncs):
            entries = list(enumerate(syncs[name]["mapping"]))
            self.entries[name] = tuple(place for place, entry in entries if entry is not None)
            syncs[name]["mapping"] = [entry for _, entry in entries if entry is not None]
            if not syncs[name]["mapping"]:
                del syncs[name]

    def whole(self, installation: Installation) -> Whole:
        """What was read, for the checks."""
        syncs = self.raw.get("syncs")
        return Whole(
            installation,
            accounts=frozenset(self.raw["accounts"]),
            syncs=frozenset(syncs if isinstance(syncs, dict) else ()),
            entries=self.entries,
            incomplete=frozenset(self.incomplete),
        )


# ---------------------------------------------------------------- the connectors' own keys


def _connectors(installation: Installation, tree: Tree, connectors: Connectors | None) -> list[Finding]:
    """What the connectors' own models say of their accounts."""
    found: list[Finding] = []
    for name, account in installation.accounts.items():
        if connectors is not None and account.connector != _UNREADABLE:
            shown = secrets.texts(tree, ("accounts", name), connectors)
            found += [secrets.censored(finding, shown) for finding in _settings(name, account, connectors)]
    return found


def _settings(name: str, account: AccountConfig, connectors: Connectors) -> list[Finding]:
    here: Path = ("accounts", name)
    connector = connectors.get(account.connector)
    if connector is None:
        message = f"account '{name}' names the connector '{account.connector}', which is not installed"
        return [Finding((*here, "connector"), message, did_you_mean(account.connector, sorted(connectors), "there is"))]
    found = _validated(connector.Settings, account.settings, here, ("connector", "objects"))
    for object_name, said in account.objects.items():
        found += _validated(connector.ObjectSettings, said, (*here, "objects", object_name), ())
    return found


def _validated(model: type[BaseModel], settings: dict[str, Any], path: Path, also: tuple[str, ...]) -> list[Finding]:
    known = secrets.keys(model)
    strange = [] if model.model_config.get("extra") == "allow" else [key for key in settings if key not in known]
    found = [unknown_key((*path, key), [*known, *also]) for key in strange]
    try:
        model.model_validate(
            {key: value for key, value in settings.items() if key not in strange and value is not None}
        )
    except ValidationError as error:
        found += findings(
            error, settings, path, lambda below: [*nesting.keys_at(model, below), *(() if below else also)]
        )
    return found
