"""How a worker's process ends, and what its supervisor reads from it.

Responsible for the exit statuses, and for ending at once where going on would acknowledge what was not done. Must not
know what failed.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine
from typing import Any, NoReturn

from connectors.base import FencedError
from streams.errors import LayoutError, RefusedError

log = logging.getLogger(__name__)

REFUSED = 75
"""Another worker owns a partition of ours (EX_TEMPFAIL): start anew at once."""
FAULT = 70
"""A fault of the infrastructure or of ours (EX_SOFTWARE): start anew, with growing pauses."""
LAYOUT = 78
"""Topics or the state folder are not as we need them (EX_CONFIG): starting anew does not help."""


def status_of(error: BaseException) -> int:
    """The exit status that says how to recover from the error."""
    if isinstance(error, RefusedError | FencedError):
        return REFUSED
    return LAYOUT if isinstance(error, LayoutError) else FAULT


def end(error: BaseException) -> NoReturn:
    """Ends the process without any clean-up: whatever a clean-up would still write or acknowledge belongs to work
    that has failed."""
    status = status_of(error)
    if status == FAULT:
        log.critical("ending, %s", error, exc_info=error, extra={"action": "worker_fault"})
    else:
        log.critical("ending: %s", error, extra={"action": "worker_refused" if status == REFUSED else "worker_layout"})
    logging.shutdown()
    os._exit(status)


def watched(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """A task whose failure ends the process: nobody else waits for it."""
    task = asyncio.create_task(coroutine, name=name)
    task.add_done_callback(_end_if_failed)
    return task


def _end_if_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        end(error)


async def cancelled(*tasks: asyncio.Task[None] | None, seconds: float = 5.0) -> None:
    """Cancels the tasks and waits until they have ended, at most for the time given."""
    running = [task for task in tasks if task is not None and not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running, timeout=seconds)
