"""Secrets stay where they are: the document that goes to Kafka names them, and each process finds them at home.

Responsible for which parts of a configuration may be secret, for the references in their place, and for finding
them again. Must not know syncs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, SecretBytes, SecretStr

from rules.config.problems import Problem
from rules.config.tree import Number, Path, Tree, substitute
from rules.config.wording import Finding, where

# Names that hold a secret whatever the connector's model says; and an address with a password in it.
_SECRET_NAME = re.compile(r"passw|secret|token|api_?key|private|credential|passphrase", re.IGNORECASE)
_SECRET_ADDRESS = re.compile(r"://[^/\s@]*:[^/\s@]+@|\bpassword\s*=\s*\S", re.IGNORECASE)
_REFERENCES = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_FILE = "file:"


def document(tree: Tree, connectors: Mapping[str, Any] | None) -> dict[str, Any]:
    """The data of a file as JSON without a secret: see `Installation.document`."""
    assert tree.data is not None
    said = {
        key: _outside(value, (key,), tree, connectors) if key in ("accounts", "broker") else _plain(value)
        for key, value in tree.data.items()
        if value is not None
    }
    return {**said, "syncs": said.get("syncs", {})}


def _outside(value: Any, path: Path, tree: Tree, connectors: Mapping[str, Any] | None) -> Any:
    """A part that speaks to the outside, with references in place of what comes from the environment or is secret."""
    if isinstance(value, dict):
        return {key: _outside(inner, (*path, key), tree, connectors) for key, inner in value.items()}
    if isinstance(value, list):
        return [_outside(inner, (*path, index), tree, connectors) for index, inner in enumerate(value)]
    if isinstance(value, Number):
        return float(value) if math.isfinite(value) else str(value)
    if not isinstance(value, str):
        return value
    written = tree.unresolved.get(path, value)
    literal = _REFERENCES.sub("", written)
    if literal and (_SECRET_ADDRESS.search(literal) or _is_secret(path, tree, connectors, literal)):
        return _FILE + ".".join(map(str, path))
    return written


def _is_secret(path: Path, tree: Tree, connectors: Mapping[str, Any] | None, literal: str) -> bool:
    if any(isinstance(step, str) and _SECRET_NAME.search(step) for step in path[1:]):
        return True
    if path[0] != "accounts" or len(path) < 3 or path[2] in ("connector", "objects"):
        return False
    # An address without its password, such as postgres://tandem:${PW}@host/db, says nothing that is secret.
    if "://" in literal:
        return False
    assert tree.data is not None
    connector = connectors.get(tree.data["accounts"][path[1]]["connector"]) if connectors else None
    return connector is None or _is_secret_field(connector.Settings, str(path[2]))


def _is_secret_field(model: type[BaseModel], key: str) -> bool:
    for name, info in model.model_fields.items():
        if key in (name, info.alias, info.validation_alias):
            return _holds_secret(info.annotation)
    return True  # a key that the model does not name


def _holds_secret(annotation: Any) -> bool:
    if isinstance(annotation, type) and not get_args(annotation):
        if issubclass(annotation, (SecretStr, SecretBytes)):
            return True
        if issubclass(annotation, BaseModel):
            return any(_holds_secret(info.annotation) for info in annotation.model_fields.values())
        return False
    return any(_holds_secret(inner) for inner in get_args(annotation))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Number) else value


def keys(model: type[BaseModel]) -> list[str]:
    """The keys that a model takes, as the file writes them."""
    found = []
    for name, info in model.model_fields.items():
        alias = info.validation_alias if isinstance(info.validation_alias, str) else info.alias
        found.append(alias or name)
        if alias and model.model_config.get("populate_by_name"):
            found.append(name)
    return found


# ---------------------------------------------------------------- back again


def resolved(document: Mapping[str, Any], environ: Mapping[str, str], own: Tree | None, filename: str) -> Tree:
    """The data of a document with its references resolved: `${NAME}` from the environment, `file:…` from our own file."""
    tree = Tree(filename)
    tree.data = {
        key: _inside(value, (key,), tree, environ, own) if key in ("accounts", "broker") else value
        for key, value in document.items()
    }
    return tree


def _inside(value: Any, path: Path, tree: Tree, environ: Mapping[str, str], own: Tree | None) -> Any:
    if isinstance(value, Mapping):
        return {key: _inside(inner, (*path, key), tree, environ, own) for key, inner in value.items()}
    if isinstance(value, list):
        return [_inside(inner, (*path, index), tree, environ, own) for index, inner in enumerate(value)]
    if not isinstance(value, str):
        return value
    if value == _FILE + ".".join(map(str, path)):
        return _from_file(path, tree, own, value)
    if "${" not in value:
        return value
    replaced, wrong = substitute(value, environ)
    for message, remedy in wrong:
        tree.unset.add(path)
        tree.problems.append(Problem(tree.filename, 0, 0, f"{where(path)}: {message}", remedy))
    tree.unresolved[path] = value
    return replaced


def _from_file(path: Path, tree: Tree, own: Tree | None, reference: str) -> Any:
    found: Any = own.data if own is not None else None
    for step in path:
        if isinstance(found, dict):
            found = found.get(str(step))
        else:
            found = found[step] if isinstance(found, list) and isinstance(step, int) and step < len(found) else None
    if found is None or isinstance(found, (dict, list)):
        name = "_".join(map(str, path[1:])).upper().replace("-", "_")
        message = f"{where(path)}: '{path[-1]}' is a secret that this process cannot find in its own file"
        remedy = f"write it as ${{{name}}} and set {name} for each process, or give this one the same file"
        tree.problems.append(Problem(tree.filename, 0, 0, message, remedy))
        return ""
    tree.unresolved[path] = reference
    return found


# ---------------------------------------------------------------- messages


_PASSWORD = re.compile(r"://[^/\s@:]*:([^/\s@]+)@")


def texts(tree: Tree, path: Path, connectors: Mapping[str, Any] | None) -> list[str]:
    """The texts below a path that no message may show, the longest first."""
    assert tree.data is not None
    found: list[str] = []
    value: Any = tree.data
    for step in path:
        value = value[step]
    _collect(value, path, tree, connectors, found)
    return sorted((text for text in found if len(text) > 2), key=len, reverse=True)


def _collect(value: Any, path: Path, tree: Tree, connectors: Mapping[str, Any] | None, found: list[str]) -> None:
    if isinstance(value, (dict, list)):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            _collect(inner, (*path, step), tree, connectors, found)
    elif isinstance(value, str) and _outside(value, path, tree, connectors) != value:
        found += [value, *_PASSWORD.findall(value)]


def censored(finding: Finding, secret: list[str]) -> Finding:
    """A finding whose message shows none of the texts."""
    message, remedy = finding.message, finding.remedy
    for text in secret:
        message, remedy = message.replace(text, "…"), remedy.replace(text, "…")
    return finding._replace(message=message, remedy=remedy)
