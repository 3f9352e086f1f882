"""What a mutant is: a fault of meaning in the rules, as data. Must not know how it is planted, or what is to catch it."""

from __future__ import annotations

from dataclasses import dataclass

WHOLE = "<module>"  # in place of a function: the text stands anywhere in the file, once


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault: in `function` of `file`, the text `before`, which stands there once, becomes `after`.

    `name` says what Tandem then does wrong; `section` is the one of the semantics that this breaks. `likely`: the files of `tests/rules`
    that are run first, without `test_` and `.py`. `lives`: why nothing catches it, if that is known and accepted.
    """

    name: str
    section: int
    file: str  # within rules/
    function: str  # with its class, if it is a method
    before: str
    after: str
    likely: tuple[str, ...]
    lives: str = ""

    @property
    def place(self) -> str:
        """Where it is planted."""
        return self.file if self.function == WHOLE else f"{self.file}: {self.function}"
