"""What is wrong with a piece of configuration, as validators report it.

Responsible for the one shape in which the models' own checks say what is wrong and what to write instead, so that
the loader can add the place. Must not know files or positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic_core import PydanticCustomError

FAULT = "tandem_fault"


class Fault(NamedTuple):
    """`at` leads from the piece to the key or value that is meant; `key`: the key rather than its value."""

    message: str
    remedy: str
    at: tuple[str | int, ...] = ()
    key: bool = False


def faults(found: Sequence[Fault]) -> PydanticCustomError:
    """The error to raise in a validator for all faults of a piece at once."""
    text = " / ".join(f"{fault.message}; {fault.remedy}" for fault in found)
    return PydanticCustomError(FAULT, "{text}", {"text": text, "faults": tuple(found)})


def fault(message: str, remedy: str, *at: str | int) -> PydanticCustomError:
    """The error to raise in a validator for one fault."""
    return faults([Fault(message, remedy, at)])
