"""Puts a mutant into the text of a file: by exact text within the named function, so that what has moved on is noticed.

Responsible for the text alone. Must not know where files are, or what is run.
"""

from __future__ import annotations

import ast
from functools import lru_cache

from tests.mutants.mutant import WHOLE, Mutant


class DoesNotApplyError(Exception):
    """The rules have changed: the mutant must be looked at."""


def planted(mutant: Mutant, source: str) -> str:
    """The source with the fault in it."""
    before = _named(mutant, source)
    first, last = _lines(before)
    lines = source.splitlines(keepends=True)
    text = "".join(lines[first:last])
    count = text.count(mutant.before)
    if count != 1:
        where = "there is no" if count == 0 else f"there are {count} of"
        raise DoesNotApplyError(f"{where} {mutant.before!r} in {mutant.place}")
    changed = "".join(
        [*lines[:first], text.replace(mutant.before, mutant.after), *(() if last is None else lines[last:])]
    )
    try:
        compile(changed, mutant.file, "exec")
    except SyntaxError as error:
        raise DoesNotApplyError(f"with it {mutant.file} does not compile: {error}") from error
    if ast.dump(_named(mutant, changed)) == ast.dump(before):
        raise DoesNotApplyError(f"it changes nothing in {mutant.place}")
    return changed


_parsed = lru_cache(maxsize=64)(ast.parse)


def _named(mutant: Mutant, source: str) -> ast.Module | ast.stmt:
    """The function of the mutant, or the whole module."""
    found: ast.Module | ast.stmt = _parsed(source)
    for name in () if mutant.function == WHOLE else mutant.function.split("."):
        body = found.body if isinstance(found, ast.Module | ast.ClassDef | ast.FunctionDef) else []
        following = next((one for one in body if _is_named(one, name)), None)
        if following is None:
            raise DoesNotApplyError(f"there is no {mutant.function} in {mutant.file}")
        found = following
    return found


def _lines(node: ast.Module | ast.stmt) -> tuple[int, int | None]:
    """The lines of the node: from, and up to but without."""
    return (0, None) if isinstance(node, ast.Module) else (node.lineno - 1, node.end_lineno)


def _is_named(one: ast.stmt, name: str) -> bool:
    return isinstance(one, ast.FunctionDef | ast.ClassDef) and one.name == name
