"""The lane of one account: what is to be written there, in order, answered whatever happens to the account.

Responsible for the queue, for saying `deferred` where the account cannot take it now, and for telling the connections.
What a single batch goes through is in `streams.applying`. Must not know Kafka or positions.

`STEPS` holds all that moves a lane from one standing to another; nothing else sets it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from enum import StrEnum

import msgspec

from connectors.base import ConnectorError, Outcome
from rules.events import AccountState, Answer, Command, Commands, Results
from streams import metrics
from streams.accounts import Accounts, neighbours
from streams.applying import Applied, ApplyTimes, Batch, Hold, apply_batch
from streams.convert import answer_of, deferred, write_of
from streams.protocols import FenceBase, InboxSink
from streams.tasks import together
from streams.troubles import Backoff, Pacing, Trouble, trouble_of

log = logging.getLogger(__name__)


class Standing(StrEnum):
    """How an account's lane stands."""

    UP = "up"  # takes what comes
    BEHIND = "behind"  # takes what it can; the rest is deferred until it has caught up
    DOWN = "down"  # everything is deferred; the account is asked from time to time
    TRIAL = "trial"  # it answers again, but has not taken a write yet


class Step(StrEnum):
    """What moves a lane."""

    WROTE = "wrote"  # a batch went through
    OVERFLOWED = "overflowed"  # something was deferred because too much waits
    DRAINED = "drained"  # nothing waits any more
    FAILED = "failed"  # the account cannot be worked with
    ANSWERED = "answered"  # an account that was down has answered


STEPS: dict[tuple[Standing, Step], Standing] = {
    (Standing.UP, Step.OVERFLOWED): Standing.BEHIND,
    (Standing.UP, Step.FAILED): Standing.DOWN,
    (Standing.BEHIND, Step.DRAINED): Standing.UP,
    (Standing.BEHIND, Step.FAILED): Standing.DOWN,
    (Standing.DOWN, Step.ANSWERED): Standing.TRIAL,
    (Standing.TRIAL, Step.WROTE): Standing.UP,
    (Standing.TRIAL, Step.OVERFLOWED): Standing.BEHIND,
    (Standing.TRIAL, Step.FAILED): Standing.DOWN,
}

BUSY = Trouble("rate_limited", "more is to be written than it takes", throttled=True)


class LaneTimes(msgspec.Struct, frozen=True):
    """Bounds of a lane. Seconds, but for `rows`."""

    rows: int = 50_000  # commands that may wait
    overdue: float = 10.0  # how long one may wait: so long it may hold up the position of its partition
    tell_again: float = 5.0  # a connection that sends commands to an account that is down is told so again
    apply: ApplyTimes = ApplyTimes()
    probes: Pacing = Pacing(1.0, 60.0)


class Job(msgspec.Struct, frozen=True, eq=False):
    """A message of commands, and where its answers are awaited."""

    offset: int
    commands: Commands
    results: asyncio.Future[Results]
    since: float


class Lane:
    """Delivery to one account, for one partition."""

    def __init__(self, account: str, base: FenceBase, inbox: InboxSink, accounts: Accounts, times: LaneTimes) -> None:
        self.standing = Standing.UP
        self._account, self._base, self._times = account, base, times
        self._accounts = accounts
        self._hold = Hold(account, accounts)
        self._teller = Teller(account, inbox, accounts, times.tell_again)
        self._backoff = Backoff(times.probes)
        self._queue: deque[Job] = deque()
        self._rows = 0
        self._in_hand: Sequence[Job] = ()
        self._trouble = BUSY
        self._filled, self._nudged = asyncio.Event(), asyncio.Event()

    # ---------------------------------------------------------------- in

    def submit(self, job: Job) -> None:
        """Takes a message, or answers it."""
        if self.standing is Standing.DOWN:
            self._defer(job, self._trouble)
            self._teller.remind(job.commands.connection)
        elif self._rows and self._rows + len(job.commands.commands) > self._times.rows:
            self._step(Step.OVERFLOWED)
            self._defer(job, BUSY)
        else:
            self._queue.append(job)
            self._rows += len(job.commands.commands)
            self._filled.set()

    def idle(self) -> bool:
        """Whether nothing waits for an answer."""
        return not self._queue and not self._in_hand

    def defer_overdue(self, now: float) -> None:
        """Answers what has waited too long, so that the position of the partition moves on."""
        while self._queue and now - self._queue[0].since > self._times.overdue:
            self._step(Step.OVERFLOWED)
            self._defer(self._take(), BUSY)

    def nudge(self) -> None:
        """The configuration is another: an account that was down is asked at once."""
        self._nudged.set()

    async def run(self) -> None:
        """Until cancelled, or until another owner, or a fault, ends the process."""
        try:
            await together(self._work(), self._teller.run())
        finally:
            await self._hold.drop()
            metrics.forget_account(self._account, "delivery")

    def ended(self, task: asyncio.Task[None]) -> None:
        """The lane is over: who waits for answers gets what ended it."""
        for job in (*self._in_hand, *self._queue):
            if job.results.done():
                continue
            if task.cancelled() or (error := task.exception()) is None:
                job.results.cancel()
            else:
                job.results.set_exception(error)

    # ---------------------------------------------------------------- work

    async def _work(self) -> None:
        metrics.report_account(self._account, "delivery", up=True)
        while True:
            if self.standing is Standing.DOWN:
                await self._probe()
            elif self._queue:
                self._in_hand = list(self._next_jobs())
                await self._deliver(self._in_hand)
                self._in_hand = ()
            else:
                self._step(Step.DRAINED)
                self._filled.clear()
                await self._filled.wait()

    def _next_jobs(self) -> Iterator[Job]:
        """The next message, with those behind it that go to the same object and fill up the batch.

        Alone, where an earlier owner may have delivered it: see `FenceBase.fresh`.
        """
        first = self._take()
        yield first
        room = self._batch_size(first.commands.object) - len(first.commands.commands)
        if first.offset < self._base.fresh:
            return
        while self._queue:
            commands = self._queue[0].commands
            if commands.object != first.commands.object or len(commands.commands) > room:
                return
            room -= len(commands.commands)
            yield self._take()

    async def _deliver(self, jobs: Sequence[Job]) -> None:
        answers: list[Answer] = []
        trouble: Trouble | None = None
        for commands, batch in self._batches(jobs):
            if trouble is None:
                applied = await apply_batch(self._hold, self._account, batch, self._base, self._times.apply)
                trouble = None if applied.error is None else self._failed(applied.error)
                answers += _answers(commands, applied, trouble)
            else:
                answers += _all_deferred(commands, trouble)
        for job in jobs:
            own, answers = answers[: len(job.commands.commands)], answers[len(job.commands.commands) :]
            self._answer(job, own)
        if trouble is None:
            self._wrote()
        else:
            while self._queue:
                self._defer(self._take(), trouble)

    def _batches(self, jobs: Sequence[Job]) -> Iterator[tuple[Sequence[Command], Batch]]:
        """The commands of the jobs, cut where the connector's batch is full. Only a single message is larger than
        that, and is cut at the same commands whenever it comes, so that a fence that has passed stands for the same
        ones."""
        last = jobs[-1]
        commands = [command for job in jobs for command in job.commands.commands]
        size = self._batch_size(last.commands.object)
        for start in range(0, len(commands), size):
            piece = commands[start : start + size]
            end = start + len(piece) if len(jobs) == 1 else len(last.commands.commands)
            yield piece, Batch(last.commands.object, [write_of(one) for one in piece], last.offset, end)

    def _batch_size(self, object: str) -> int:
        configuration = self._accounts.source.current
        catalog = None if configuration is None else configuration.catalogs.get(self._account)
        known = None if catalog is None else catalog.objects.get(object)
        return 500 if known is None else known.capabilities.batch_size

    async def _probe(self) -> None:
        """Waits, then asks the account whether it can be worked with."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._backoff.next(self._trouble.retry_after)):
                await self._nudged.wait()
        self._nudged.clear()
        try:
            await self._hold.check(self._times.apply.answer_within)
        except ConnectorError as error:
            await self._hold.drop()
            self._failed(error)
        else:
            self._step(Step.ANSWERED)

    # ---------------------------------------------------------------- out

    def _take(self) -> Job:
        job = self._queue.popleft()
        self._rows -= len(job.commands.commands)
        return job

    def _defer(self, job: Job, trouble: Trouble) -> None:
        self._answer(job, _all_deferred(job.commands.commands, trouble))

    def _answer(self, job: Job, answers: Sequence[Answer]) -> None:
        commands = job.commands
        now = time.time()
        counts: Counter[tuple[str, str]] = Counter()
        for command, answer in zip(commands.commands, answers, strict=True):
            counts[command.op, answer.outcome] += 1
            if command.committed_at and answer.outcome == "applied":
                metrics.observe_end_to_end(command.sync, now - command.committed_at)
        for (op, outcome), times in counts.items():
            metrics.count_command(self._account, commands.object, op, outcome, times)
        if not job.results.done():
            job.results.set_result(Results(self._account, commands.object, tuple(answers)))

    def _wrote(self) -> None:
        self._backoff.reset()
        self._step(Step.WROTE)

    def _failed(self, error: ConnectorError) -> Trouble:
        self._trouble = trouble_of(error)
        log.warning(
            "%s takes no writes: %s", self._account, self._trouble.reason,
            extra={"action": "down", "account": self._account},
        )  # fmt: skip
        if self._trouble.throttled:
            metrics.count_rate_limited(self._account, self._trouble.retry_after)
        self._step(Step.FAILED)
        return self._trouble

    def _step(self, step: Step) -> None:
        before = self.standing
        self.standing = STEPS.get((before, step), before)
        if self.standing is before:
            return
        log.info("%s: %s", self._account, self.standing, extra={"action": self.standing, "account": self._account})
        metrics.report_account(self._account, "delivery", up=self.standing is not Standing.DOWN)
        if self.standing in (Standing.DOWN, Standing.BEHIND):
            trouble = BUSY if self.standing is Standing.BEHIND else self._trouble
            self._teller.tell(AccountState(self._account, False, trouble.reason, trouble.throttled))
        else:
            self._teller.tell(AccountState(self._account, True))


def _all_deferred(commands: Sequence[Command], trouble: Trouble) -> list[Answer]:
    return [deferred(command, trouble.category, trouble.reason) for command in commands]


def _answers(commands: Sequence[Command], applied: Applied, trouble: Trouble | None) -> list[Answer]:
    """One per command. What was not taken in all attempts was not done: deferred. What nobody knows stays unknown."""
    answers = []
    for command, result in zip(commands, applied.results, strict=True):
        if result is None or result.outcome is Outcome.RETRY:
            category = "unavailable" if trouble is None else trouble.category
            reason = trouble.reason if trouble is not None else (result and result.message) or "it could not take it"
            answers.append(deferred(command, category, reason))
        else:
            answers.append(answer_of(command, result))
    return answers


class Teller:
    """Tells the account's connections how it stands: the latest only, each once, and again those that seem not to
    know."""

    def __init__(self, account: str, inbox: InboxSink, accounts: Accounts, again: float) -> None:
        self._account, self._inbox, self._accounts, self._again = account, inbox, accounts, again
        self._state: AccountState | None = None  # None: as everybody assumes, up
        self._told: dict[str, tuple[AccountState, float]] = {}
        self._reminded: set[str] = set()
        self._news = asyncio.Event()

    def tell(self, state: AccountState) -> None:
        """The account stands otherwise."""
        self._state = state
        self._news.set()

    def remind(self, connection: str) -> None:
        """A connection counts on an account that is down."""
        self._reminded.add(connection)
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            reminded, self._reminded = self._reminded, set()
            for connection in {*neighbours(self._accounts.source.current, self._account), *reminded}:
                await self._tell(connection, again=connection in reminded)

    async def _tell(self, connection: str, *, again: bool) -> None:
        state, now = self._state, time.monotonic()
        told, at = self._told.get(connection, (None, 0.0))
        if state is not None and (state != told or (again and not state.up and now - at > self._again)):
            self._told[connection] = state, now
            await self._inbox.send(connection, state)
