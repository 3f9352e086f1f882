"""A test hook: end or stop this process right behind a numbered step of a unit of work.

Responsible for the variable TANDEM_FAULT, which only tests set: `route:2:1` kills the process (SIGKILL) right after
step 2 of the first unit of route; `stop:route:2:1` stops it (SIGSTOP) there. Stages: route, reconcile, deliver.
Steps: those of `streams.unit.commit`. Besides, `read:1:3`: right after the third page of full reads was sent. Several
are separated by commas. Where the variable is not set, a step costs one comparison.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

VARIABLE = "TANDEM_FAULT"


def _parse(text: str) -> dict[tuple[str, int, int], signal.Signals]:
    planted = {}
    for fault in filter(None, text.split(",")):
        *how, stage, step, nth = fault.split(":")
        planted[stage, int(step), int(nth)] = signal.SIGSTOP if how == ["stop"] else signal.SIGKILL
    return planted


_planted = _parse(os.environ.get(VARIABLE, ""))
_passed: Counter[tuple[str, int]] = Counter()


def passed(stage: str, step: int) -> None:
    """The step of a unit of the stage is done."""
    if not _planted:
        return
    _passed[stage, step] += 1
    if (fault := _planted.pop((stage, step, _passed[stage, step]), None)) is not None:
        os.kill(os.getpid(), fault)
