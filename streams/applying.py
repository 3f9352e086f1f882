"""One batch of writes to an account, with all the attempts that it takes.

Responsible for what follows from each outcome, and for a connection that is opened when it is needed. Must not know
queues, results or Kafka.

| the account says                      | then                                                                     |
|---------------------------------------|--------------------------------------------------------------------------|
| unknown (sent, and no answer)         | reconnect, the same writes under the same tokens and the same fence: the |
|                                       | account tells what it did, or does it now                                |
| retry (not done)                      | wait as long as it asks, then these writes alone, under the same fence   |
| RetriableError: nothing was taken     | once more on a new connection; where it throttles, after a short wait    |
| FatalError, or an error that goes on  | give up: the account is down                                             |
| FencedError                           | passed on: another owner delivers                                        |
| any other outcome                     | it is the answer                                                         |

The fence is the place of the batch in its partition of `commands`. One message may make several batches, so its offset
is the message's, with room for the place within the message: see `place`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import msgspec

from connectors.base import (
    Connector,
    ConnectorError,
    FatalError,
    Fence,
    FencedError,
    Outcome,
    Result,
    RetriableError,
    Write,
)
from streams import metrics
from streams.accounts import Accounts, AccountUse, close_quietly, use_of
from streams.protocols import FenceBase

_ROWS = 20  # bits


def place(offset: int, end: int) -> int:
    """The fence's offset: of a message, up to its command number `end`. Grows with each batch; 63 bits are enough for
    8e12 messages of a million commands."""
    return offset << _ROWS | min(end, (1 << _ROWS) - 1)


class ApplyTimes(msgspec.Struct, frozen=True):
    """Bounds of one batch. Seconds, but for `calls`."""

    calls: int = 6  # in all
    within: float = 60.0  # no call is begun later than that: the batch holds up the position of its partition
    answer_within: float = 30.0  # then it is unknown what was done
    patience: float = 3.0  # the longest wait that an account may ask for without being taken for down
    pause: float = 0.05  # before what was busy is tried again; doubled each time


class Hold:
    """The connection to one account: open when it is needed, anew when it was dropped or is configured otherwise."""

    def __init__(self, account: str, accounts: Accounts) -> None:
        self._account, self._accounts = account, accounts
        self._use: AccountUse | None = None
        self._connector: Connector | None = None

    async def connector(self) -> Connector:
        """An open connector. Raises `ConnectorError`."""
        use = use_of(self._accounts.source.current, self._account, running=False)
        if self._connector is not None and use == self._use:
            return self._connector
        await self.drop()
        if use is None:
            raise FatalError(f"no sync uses the account {self._account}", "add one, or wait for the configuration")
        self._connector, self._use = await self._accounts.open(use), use
        return self._connector

    async def check(self, within: float) -> None:
        """Whether the account answers on a new connection. Raises `ConnectorError`; other problems are for people."""
        await self.drop()
        connector = await self.connector()
        try:
            async with asyncio.timeout(within):
                await connector.check()
        except TimeoutError:
            raise RetriableError(f"it does not answer within {within:.0f} s") from None

    async def drop(self) -> None:
        """Closes it, if it is open."""
        connector, self._connector = self._connector, None
        if connector is not None:
            await close_quietly(connector)


class Applied(msgspec.Struct, frozen=True):
    """What became of the writes, in their order. None: not sent. `error`: why the account is taken for down."""

    results: Sequence[Result | None]
    error: ConnectorError | None = None


class Batch(msgspec.Struct, frozen=True):
    """Writes to one object, up to command number `end` of the message at `offset`."""

    object: str
    writes: Sequence[Write]
    offset: int
    end: int


async def apply_batch(hold: Hold, account: str, batch: Batch, base: FenceBase, times: ApplyTimes) -> Applied:
    """Does what the table above says. Raises `FencedError`, and no other error of the account."""
    results: list[Result | None] = [None] * len(batch.writes)
    open_, broken, waits = list(range(len(batch.writes))), 0, 0
    fence = Fence(base.name, base.epoch, place(batch.offset, batch.end))
    until = time.monotonic() + times.within
    for call in range(1, times.calls + 1):
        last = call == times.calls or time.monotonic() > until
        writes = [batch.writes[index] for index in open_]
        try:
            answers = await _call(hold, batch.object, writes, fence, times)
        except FencedError:
            raise
        except ConnectorError as error:
            await hold.drop()
            pause = _patience(error, broken, times)
            if pause is None or last:
                return Applied(results, error)
            if isinstance(error, RetriableError) and error.throttled:
                metrics.count_rate_limited(account, pause)
            else:
                broken += 1
            await asyncio.sleep(pause)
            continue
        for index, answer in zip(open_, answers, strict=True):
            results[index] = answer
        unknown, busy = _with(results, Outcome.UNKNOWN), _with(results, Outcome.RETRY)
        if last or not (unknown or busy):
            break
        if unknown:
            await hold.drop()
            open_ = unknown
            continue
        asked = max(answer.retry_after for answer in results if answer is not None)
        if asked > times.patience:
            break
        await asyncio.sleep(max(asked, times.pause * 2**waits))
        open_, waits = busy, waits + 1
    return Applied(results)


async def _call(hold: Hold, object: str, writes: Sequence[Write], fence: Fence, times: ApplyTimes) -> Sequence[Result]:
    connector = await hold.connector()
    try:
        async with asyncio.timeout(times.answer_within):
            return await connector.apply(object, writes, fence)
    except TimeoutError:
        return [Result(write.token, Outcome.UNKNOWN, write.id, message="it did not answer") for write in writes]


def _patience(error: ConnectorError, broken: int, times: ApplyTimes) -> float | None:
    """How long to wait before the same is tried again; None: no longer."""
    if not isinstance(error, RetriableError):
        return None
    if error.throttled:
        return error.retry_after if error.retry_after <= times.patience else None
    return None if broken else 0.0


def _with(results: Sequence[Result | None], outcome: Outcome) -> list[int]:
    return [index for index, result in enumerate(results) if result is not None and result.outcome is outcome]
