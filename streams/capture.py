"""Capture of one account: its log into `changes`, for as long as the account's partition is ours.

Responsible for the order in which things happen: the log is announced before it is made, a change is stored before it
is confirmed, an account that is down is tried again. What the rules ask of the account is carried out by
`streams.reading`, beside the log. Must not know Faust, Kafka or any connector's insides.

What the configuration says decides what is done; each row ends when the configuration says otherwise:

| the account is      | then                                                       |
|---------------------|------------------------------------------------------------|
| used                | connect, announce, prepare; stream the log and do errands; |
|                     | on trouble wait, and again from the start                  |
| off (all its syncs) | release the slot, then wait                                |
| gone                | release the slot, and end                                  |
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from connectors import base, registry
from connectors.base import Connector, ConnectorError, CursorExpiredError, FatalError, Remembered, RetriableError
from rules.events import AccountState, Captured, LogStarted
from schemas import ChangeEvent, Noted
from streams import metrics
from streams.accounts import Accounts, AccountUse, Classes, Resolve, close_quietly, use_of
from streams.convert import events_of, notes_of
from streams.protocols import CaptureFactory, ChangesSink, ConfigSource, Errands
from streams.reading import ErrandWorker
from streams.tasks import acknowledged, closing, for_ever, together
from streams.troubles import Backoff, Pacing, trouble_of

log = logging.getLogger(__name__)


IN_FLIGHT = 64  # messages of the log that Kafka has not acknowledged yet


class CaptureTimes(msgspec.Struct, frozen=True):
    """Seconds.

    `report_after`: trouble that is over before is nobody's business (a slot that its last holder has not left yet).
    `settle`: a stream that has run so long is taken for sound, though nothing has come out of it.
    """

    pacing: Pacing = Pacing()
    report_after: float = 2.0
    settle: float = 1.0


class AccountCapture:
    """The service of one account (`streams.protocols.AccountService`)."""

    def __init__(
        self, account: str, sink: ChangesSink, errands: Errands, accounts: Accounts, times: CaptureTimes | None = None
    ) -> None:
        self._account, self._sink, self._accounts = account, sink, accounts
        self._times = times or CaptureTimes()
        self._reconfigured = asyncio.Event()
        self._errands = ErrandWorker(account, errands, sink, self._version)
        self._memory = CaptureMemory(account, errands, sink)
        self._expired = False  # the log did not reach back to where we were
        self._backoff = Backoff(self._times.pacing)
        self._troubled_since: float | None = None
        self._told_up: bool | None = None  # what `changes` says of the account; None: nothing since we are here

    def wake(self) -> None:
        """The account's errands have changed."""
        self._errands.wake()

    async def run(self) -> None:
        """Until cancelled, or until the account has left the configuration."""
        try:
            await together(self._follow_configuration(), self._work())
        finally:
            metrics.forget_account(self._account, "capture")

    # ---------------------------------------------------------------- what the configuration says

    async def _follow_configuration(self) -> None:
        async with closing(self._accounts.source.changes()) as configurations:
            async for _ in configurations:
                self._reconfigured.set()

    def _version(self) -> int:
        current = self._accounts.source.current
        return 0 if current is None else current.version

    async def _work(self) -> None:
        """The table above."""
        await self._reconfigured.wait()
        last: AccountUse | None = None
        while True:
            use = self._use()
            if use is not None:
                last = use
                await together(self._until_used_otherwise(use), self._off(use) if use.off else self._on(use))
                continue
            if last is not None:
                await together(self._until_used_otherwise(None), self._insist(last, self._release))
            if self._use() is None:
                return

    def _use(self) -> AccountUse | None:
        # What is in force, not what has been announced to us: whoever starts services must never take one for running
        # that is about to return.
        return use_of(self._accounts.source.current, self._account)

    async def _until_used_otherwise(self, use: AccountUse | None) -> None:
        while self._use() == use:
            self._reconfigured.clear()
            await self._reconfigured.wait()

    async def _on(self, use: AccountUse) -> None:
        await self._insist(use, self._capture)

    async def _off(self, use: AccountUse) -> None:
        await self._insist(use, self._release)
        metrics.forget_account(self._account, "capture")
        await for_ever()

    # ---------------------------------------------------------------- attempts

    async def _insist(self, use: AccountUse, attempt: Callable[[Connector, AccountUse], Awaitable[None]]) -> None:
        """Makes the attempt on a new connection, again and again, until it is through."""
        while True:
            try:
                connector = await self._accounts.open(use, self._memory)
                try:
                    return await attempt(connector, use)
                finally:
                    await close_quietly(connector)
            except CursorExpiredError as error:
                pause = self._cursor_expired(error)
            except ConnectorError as error:
                pause = await self._in_trouble(error)
            await asyncio.sleep(pause)

    def _cursor_expired(self, error: CursorExpiredError) -> float:
        """The next attempt lets the log begin anew."""
        log.warning("%s: %s", self._account, error.message, extra={"action": "expired", "account": self._account})
        self._expired = True
        return self._backoff.next()

    async def _in_trouble(self, error: ConnectorError) -> float:
        """Tells of it, unless it may be over in a moment; how long to wait."""
        trouble = trouble_of(error)
        log.warning("%s: %s", self._account, trouble.reason, extra={"action": "down", "account": self._account})
        metrics.report_account(self._account, "capture", up=False)
        now = time.monotonic()
        self._troubled_since = now if self._troubled_since is None else self._troubled_since
        lasting = isinstance(error, FatalError) or now - self._troubled_since >= self._times.report_after
        if lasting and self._told_up is not False:
            self._told_up = False
            await self._send(AccountState(self._account, False, trouble.reason, trouble.throttled))
        pause = self._backoff.next(trouble.retry_after)
        if trouble.throttled:
            metrics.count_rate_limited(self._account, pause)
        return pause

    async def _sound(self) -> None:
        """The account answers, and its log flows."""
        self._backoff.reset()
        self._troubled_since = None
        metrics.report_account(self._account, "capture", up=True)
        if self._told_up is not True:
            # Also at our start: whoever was here before us may have said that it is down.
            self._told_up = True
            await self._send(AccountState(self._account, True))

    async def _release(self, connector: Connector, _: AccountUse) -> None:
        await connector.release()
        if (await self._memory.recall()) != Remembered():
            await self._note(Noted(self._account, anew=True))
            await self._memory.recall()  # who comes next, in our place, knows nothing of this message

    # ---------------------------------------------------------------- the log

    async def _capture(self, connector: Connector, use: AccountUse) -> None:
        """Never returns: ends by an error of the account, or when it is cancelled."""
        cursor, ready = await self._establish(connector)
        confirmations = Confirmations(self._account, connector.confirm)
        flows = asyncio.Event()
        await together(
            self._stream(connector, cursor, confirmations, flows, ready),
            confirmations.run(),
            self._settle(flows),
            self._do_errands(connector, frozenset(use.objects), ready),
        )

    async def _do_errands(self, connector: Connector, objects: frozenset[str], ready: asyncio.Event) -> None:
        await ready.wait()
        await self._errands.run(connector, objects)

    async def _establish(self, connector: Connector) -> tuple[str, asyncio.Event]:
        """The log stands ready, for all objects in use: the cursor to read it from; and what is set once reads may
        begin."""
        standing = None if self._expired else await connector.position()
        if standing is None:
            # Stored before the log is made: if we fall in between, the next to come announces it once more, whereas a
            # log that stands ready would not tell anybody what was missed before it.
            await acknowledged(await self._note(LogStarted(self._account)))
            if self._expired:
                await connector.release()
        prepared = await connector.prepare()
        self._expired = False
        ready = asyncio.Event()
        if prepared:
            ready.set()
        return (prepared if standing is None else standing), ready

    async def _stream(
        self,
        connector: Connector,
        cursor: str,
        confirmations: Confirmations,
        flows: asyncio.Event,
        ready: asyncio.Event,
    ) -> None:
        async with closing(connector.changes(cursor)) as items:
            async for item in items:
                flows.set()
                for event in events_of(self._account, item):
                    await confirmations.sent(event, await self._send(event))
                for noted in notes_of(self._account, item):
                    stored = await self._note(noted)
                    await confirmations.sent(noted, stored)
                    if noted.cursor is not None and not ready.is_set():
                        # What was there before is known, and will be: from here on a read misses nothing.
                        await acknowledged(stored)
                        ready.set()
                await confirmations.reached(item)
                self._errands.log_at(item)
        raise RetriableError("the account has ended the stream of its log")

    async def _settle(self, flows: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._times.settle):
                await flows.wait()
        await self._sound()
        await for_ever()

    async def _note(self, event: ChangeEvent) -> asyncio.Future[int]:
        """Sends what changes the memory."""
        self._memory.changes_with(sent := await self._send(event))
        return sent

    async def _send(self, event: ChangeEvent) -> asyncio.Future[int]:
        return await self._sink.send(self._account, event, config=self._version())


class CaptureMemory:
    """`connectors.base.Memory` of the account, as it is when route has taken in all that changes it."""

    def __init__(self, account: str, errands: Errands, sink: ChangesSink) -> None:
        self._account, self._errands, self._sink = account, errands, sink
        self._last: asyncio.Future[int] | None = None

    def changes_with(self, sent: asyncio.Future[int]) -> None:
        """A message that changes it is on its way."""
        self._last = sent

    async def recall(self) -> Remembered:
        """All that is kept."""
        await self._errands.routed(self._sink.marker if self._last is None else await acknowledged(self._last))
        return await self._errands.remembered(self._account)


class _Step(msgspec.Struct, frozen=True):
    """A message on its way to Kafka, or (without one) how far the log was when all messages before had been sent."""

    stored: asyncio.Future[int] | None
    cursor: str | None
    object: str = ""
    changes: int = 0
    committed_at: float = 0.0


class Confirmations:
    """Confirms the log up to where everything is stored, in order; what has been stored meanwhile is confirmed at
    once."""

    def __init__(self, account: str, confirm: Callable[[str], Awaitable[None]]) -> None:
        self._account, self._confirm = account, confirm
        self._steps: deque[_Step] = deque()
        self._added, self._taken = asyncio.Event(), asyncio.Event()

    async def sent(self, event: ChangeEvent, stored: asyncio.Future[int]) -> None:
        """A message is on its way. Waits while too many are."""
        if isinstance(event, Captured):
            await self._add(_Step(stored, None, event.object, len(event.rows), event.rows[-1].committed_at))
        else:
            await self._add(_Step(stored, None))

    async def reached(self, item: base.Captured) -> None:
        """All messages of an item of the log are on their way."""
        at = item.committed_at if isinstance(item, base.Heartbeat) else 0.0
        await self._add(_Step(None, item.cursor, committed_at=at))

    async def run(self) -> None:
        """Until cancelled. Raises what the account says to a confirmation, and what ends the process."""
        while True:
            while not self._steps:
                self._added.clear()
                await self._added.wait()
            if (stored := self._steps[0].stored) is not None:
                await acknowledged(stored)
            cursor = self._take_what_is_stored()
            self._taken.set()
            if cursor is not None:
                await self._confirm(cursor)

    async def _add(self, step: _Step) -> None:
        while len(self._steps) >= IN_FLIGHT:
            self._taken.clear()
            await self._taken.wait()
        self._steps.append(step)
        self._added.set()

    def _take_what_is_stored(self) -> str | None:
        """The cursor that may be confirmed."""
        cursor: str | None = None
        while self._steps and ((stored := self._steps[0].stored) is None or stored.done()):
            step = self._steps.popleft()
            if step.stored is not None:
                step.stored.result()
            if step.changes:
                metrics.count_captured(self._account, step.object, step.changes)
            if step.committed_at:
                metrics.observe_capture(self._account, step.committed_at)
            cursor = step.cursor or cursor
        return cursor


def capture_factory(resolve: Resolve, classes: Classes = registry.find) -> CaptureFactory:
    """What makes the service of an account, with the connectors and secrets of this machine."""

    def make(account: str, sink: ChangesSink, errands: Errands, config: ConfigSource) -> AccountCapture:
        return AccountCapture(account, sink, errands, Accounts(config, resolve, classes))

    return make
