"""YAML text to plain data, with the place of every part.

Responsible for YAML 1.2's core schema (`yes`, `no`, `on` are texts), keys given twice, and `${NAME}` out of the
environment. Must not know what the data means. Everything that is wrong is collected; nothing is raised for any
text.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rules.config.problems import Place, Problem

Path = tuple[str | int, ...]

_DEEPEST = 40
_MOST_PARTS = 200_000  # what aliases of aliases may unfold to

_INTEGER = re.compile(r"[-+]?[0-9]{1,300}|0o[0-7]{1,300}|0x[0-9a-fA-F]{1,300}")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_WORDS = {"": None, "~": None} | dict.fromkeys(("null", "Null", "NULL"))
_BOOLEANS = dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Number(float):
    """A number with a point, which also remembers its text: the float may differ from what was meant."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, value: float, text: str) -> Number:
        number = super().__new__(cls, value)
        number.text = text
        return number

    def __getnewargs__(self) -> tuple[float, str]:  # type: ignore[override]  # what copies are made with
        return float(self), self.text

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


@dataclass(slots=True)
class Tree:
    """The data of a file, or None. `unresolved`: the texts in which `${NAME}` was replaced, as they are written."""

    filename: str
    data: dict[str, Any] | None = None
    places: dict[Path, tuple[Place, Place]] = field(default_factory=dict)
    unresolved: dict[Path, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unset: set[Path] = field(default_factory=set)  # texts of which a `${NAME}` could not be replaced

    def report(self, message: str, remedy: str, path: Path = (), *, key: bool = False) -> None:
        """Notes a problem at the place of a part, or of the closest part around it."""
        exact = path
        while path and path not in self.places:
            path = path[:-1]
        # What is missing is shown at the key of the part that lacks it.
        as_key = key if path == exact else bool(path)
        found = self.places.get(path)
        place = found[0 if as_key else 1] if found else Place(0, 0)
        self.problems.append(Problem(self.filename, place.line, place.column, message, remedy))


def read(text: str, filename: str, environ: Mapping[str, str]) -> Tree:
    """The data of a text, or the problems in the way."""
    tree = Tree(filename)
    node = _composed(text, tree)
    if isinstance(node, MappingNode):
        tree.places[()] = (_place(node), _place(node))
        tree.data = _Builder(tree, environ).mapping(node, ())
    elif not tree.problems:
        what = "the file is empty" if node is None else "the file must be a mapping of keys and values"
        tree.problems.append(Problem(filename, 1, 1, what, "begin with accounts: and the accounts below it, indented"))
    return tree


def substitute(text: str, environ: Mapping[str, str]) -> tuple[str, list[tuple[str, str]]]:
    """The text with its `${NAME}` replaced (`$${` stands for `${`), and (message, remedy) of those that cannot be."""
    wrong: list[tuple[str, str]] = []

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if match[0] == "$${":
            return "${"
        if name is None:
            wrong.append(("'${' is not followed by a name and '}'", "write ${NAME}, or $${ where '${' itself is meant"))
        elif name not in environ:
            remedy = f"set the environment variable {name}, or add {name}=… to a .env file beside the configuration"
            wrong.append((f"${{{name}}} is not set", remedy))
        elif _SURROGATE.search(environ[name]):
            wrong.append((f"${{{name}}} is not valid UTF-8", f"set {name} to a text"))
        else:
            return environ[name]
        return match[0]

    return _REFERENCE.sub(replace, text), wrong


# ---------------------------------------------------------------- YAML

# What ruamel.yaml raises on some malformed texts besides its own errors.
_ALSO_RAISED = (
    ValueError,
    LookupError,
    ArithmeticError,
    AttributeError,
    TypeError,
    AssertionError,
    NotImplementedError,
)


def _composed(text: str, tree: Tree) -> Node | None:
    """The nodes of the only document in a text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an anchor that is used again is fine
            node: Node | None = YAML(typ="safe", pure=True).compose(text)
            return node
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        message = f"this is not YAML: {error.problem or error.context or 'it cannot be read'}"
        remedy = _yaml_remedy(text, line, column, str(error.problem))
        tree.problems.append(Problem(tree.filename, line + 1, column + 1, message, remedy))
    except YAMLError as error:
        at = max(int(getattr(error, "position", 0) or 0), 0)
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        message = "this is not YAML: there is a character that a text file may not hold"
        tree.problems.append(Problem(tree.filename, line, column, message, "remove it, and store the file as UTF-8"))
    except RecursionError:
        message = "this is nested too deeply"
        tree.problems.append(
            Problem(tree.filename, 1, 1, message, "write it in the form that `tandem schema` describes")
        )
    except _ALSO_RAISED as error:
        message = f"this is not YAML: {type(error).__name__}"
        tree.problems.append(Problem(tree.filename, 1, 1, message, "check quotes and escapes"))
    return None


def _yaml_remedy(text: str, line: int, column: int, problem: str) -> str:
    lines = re.split(r"\r\n|[\n\r\x85\u2028\u2029]", text)
    before = lines[line][:column] if line < len(lines) else ""
    if before.endswith("$"):
        return 'between braces, write it in quotes: "${NAME}"'
    if "mapping values are not allowed" in problem:
        return "check the indentation, write 'key: value' with a space, or put a text with ': ' in quotes"
    if r"'\t'" in problem:
        return "indent with spaces, not with tabs"
    if "cannot start any token" in problem:
        return "put the text in quotes"
    if "another document" in problem:
        return "remove the line --- and what follows: the file is one document"
    if "undefined alias" in problem:
        return "define the anchor before, or put a text that begins with * in quotes"
    return "check quotes, brackets and indentation here and in the line above"


class _Builder:
    """Makes plain data of nodes."""

    def __init__(self, tree: Tree, environ: Mapping[str, str]) -> None:
        self.tree, self.environ = tree, environ
        self.parts, self.is_too_much = 0, False
        self.around: list[Node] = []

    def build(self, node: Node, path: Path) -> Any:
        """The data of a node. Of an alias within itself, or of too much, it is None."""
        self.parts += 1
        if isinstance(node, ScalarNode):
            return self.scalar(node, path)
        if self.parts > _MOST_PARTS or len(path) > _DEEPEST or any(node is outer for outer in self.around):
            if not self.is_too_much:
                self.tree.report("this is nested too deeply, or in itself", "write it out, without anchors", path)
            self.is_too_much = True
            return None
        if node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            self.tag(node, path)
        self.around.append(node)
        try:
            if isinstance(node, MappingNode):
                return self.mapping(node, path)
            assert isinstance(node, SequenceNode)
            return [self.child(item, item, (*path, index)) for index, item in enumerate(node.value)]
        finally:
            self.around.pop()

    def child(self, key: Node, value: Node, path: Path) -> Any:
        """A part with its place noted."""
        self.tree.places[path] = (_place(key), _place(value))
        return self.build(value, path)

    def mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        """Keys are the texts as written, so that 1 and true stay what they look like."""
        data: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.at(key, "a key must be a text", "write key: value")
                continue
            name = str(key.value)
            if _SURROGATE.search(name):
                self.at(key, "a key holds half a character", r"write the character itself, or \U and eight digits")
            elif name in data:
                first = self.tree.places[(*path, name)][0]
                remedy = f"remove one of them: it stands in line {first.line} already"
                self.at(key, f"the key '{name}' is given twice", remedy)
            else:
                data[name] = self.child(key, value, (*path, name))
        return data

    def scalar(self, node: ScalarNode, path: Path) -> Any:
        """A text, number, boolean or null by YAML 1.2's core schema."""
        text, plain = str(node.value), node.style is None
        self.tag(node, path)
        if _SURROGATE.search(text):
            self.tree.report(
                "the text holds half a character", r"write the character itself, or \U and eight digits", path
            )
            return ""
        if "${" in text:
            replaced, wrong = substitute(text, self.environ)
            for message, remedy in wrong:
                self.tree.report(message, remedy, path)
                self.tree.unset.add(path)
            self.tree.unresolved[path] = text
            return replaced
        return _plain(text) if plain and str(node.tag) != "tag:yaml.org,2002:str" else text

    def tag(self, node: Node, path: Path) -> None:
        """Refuses what is tagged as another type than the text shows."""
        if not str(node.tag).startswith("tag:yaml.org,2002:") or str(node.tag).rpartition(":")[2] in _STRANGE_TAGS:
            self.tree.report(f"the tag '{node.tag}' is not known", "remove it", path)

    def at(self, node: Node, message: str, remedy: str) -> None:
        """Notes a problem at a node that has no path."""
        place = _place(node)
        self.tree.problems.append(Problem(self.tree.filename, place.line, place.column, message, remedy))


_STRANGE_TAGS = ("binary", "omap", "pairs", "set")


def _place(node: Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _plain(text: str) -> Any:
    if text in _WORDS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text.startswith(("0o", "0x")) else int(text)
    if _FLOAT.fullmatch(text):
        return Number(float(text.lower().replace(".inf", "inf").replace(".nan", "nan")), text)
    return text
