"""Tasks that live and end together, so that none is left behind.

Responsible for that alone. Must not know what the tasks do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Never, TypeVar

from connectors.base import ConnectorError

T = TypeVar("T")


async def together(*parts: Coroutine[Any, Any, None]) -> None:
    """Runs all parts until the first ends; then ends the others, and raises what went wrong.

    A fault of ours counts before the trouble of an account, and trouble that a part met while it was being ended does
    not count: nobody works with the account any more.
    """
    tasks = [asyncio.create_task(part) for part in parts]
    first: set[asyncio.Task[None]] = set()
    try:
        first, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    failed = [(task, error) for task in tasks if not task.cancelled() and (error := task.exception()) is not None]
    for _, error in failed:
        if not isinstance(error, ConnectorError):
            raise error
    for task, error in failed:
        if task in first:
            raise error


async def acknowledged(future: asyncio.Future[T]) -> T:
    """The result of a future that is not ours to cancel."""
    await asyncio.wait([future])
    return future.result()


async def for_ever() -> Never:
    """Waits to be cancelled."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody can end this")


@asynccontextmanager
async def closing(items: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Ends a generator when its reader leaves it."""
    try:
        yield items
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()
