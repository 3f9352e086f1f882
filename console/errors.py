"""The errors of the command line, named by what the user does next; each becomes one message and an exit status.

Must not know where they are shown. A message says what happened, the remedy what to do; neither holds a secret.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConsoleError(Exception):
    """A command ends here. `status` is its exit status."""

    status = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message, self.remedy = message, remedy


class FailedError(ConsoleError):
    """The work failed: something outside of the command line and the file must change, or it is to be tried again."""

    status = 1


class WrongUseError(ConsoleError):
    """The command line or the configuration is wrong: the user edits it."""

    status = 2


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """ "Did you mean …?" with the names that are near, else all names if they are few; empty if there are none."""
    names = sorted(set(known))
    near = difflib.get_close_matches(given.casefold(), [name.casefold() for name in names], n=3, cutoff=0.6)
    folded = {name.casefold(): name for name in names}
    if near:
        return "Did you mean " + " or ".join(folded[name] for name in near) + "?"
    if names:
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        return f"There is {shown}." if len(names) == 1 else f"There are {shown}."
    return ""


def unknown(what: str, given: str, known: Iterable[str]) -> WrongUseError:
    """A name that does not exist, with those that do."""
    return WrongUseError(f"There is no {what} {given}.", did_you_mean(given, known))
