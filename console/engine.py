"""`tandem up` from its start to its end: broker, workers, read model and the file's configuration, in the foreground.

Responsible for the order in which these start and end, and for what ends them all. Must not know what any of them does,
nor how a line is printed.

A signal ends it in order: workers first, then the read model, at last the broker. What is left behind by a kill is
ended by the guardians (`deploy.guardian`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from console.accounts import examine
from console.applied import AppliedStore, same
from console.applying import Proposal, propose
from console.errors import ConsoleError, FailedError
from console.handover import WorkerStart, broker_words
from console.home import Role, Running, WorkerEntry
from console.kafka import silence, telling
from console.readmodel.projection import Projection
from console.readmodel.writer import Rows
from console.rollout import Reports, answered, proposed, roll_out, sound_catalogs, troubles_of
from console.supervisor import Workers
from console.target import Target, cluster
from deploy.errors import DeployError, ServerEndedError
from deploy.kafka import EmbeddedKafka
from rules.config import BrokerConfig, Installation, check_catalogs
from streams import collector
from streams.broker import Broker
from streams.topics import Topics, ensure_topics

BROKER_STARTS = 5  # of an embedded broker within a minute, after which something must be wrong with it

Tell = Callable[[str, str], None]
"""(what happened, mood)"""


class Engine:
    """What `tandem up` runs. `tell` is given lines, `on_rows` what comes into the read model."""

    def __init__(self, target: Target, workers: int, tell: Tell, on_rows: Callable[[Rows], None]) -> None:
        self._target = target
        self._count = workers
        self._tell = tell
        self._on_rows = on_rows
        self._role: Role | None = None
        self._running: Running | None = None

    async def run(self) -> None:
        """Runs until a signal, or until something ends that the rest cannot do without. Raises `ConsoleError`."""
        silence()
        collector.calm()
        await until_signalled(self._run())

    async def _run(self) -> None:
        target, home = self._target, self._target.home
        installation = target.installation
        with Role(home, "up", "tandem up") as self._role, Role(home, "workers", "A worker"):
            # Accounts answer while the broker starts; so does the read of a file that is wrong end it all at once.
            examining = asyncio.create_task(examine(installation, installation.accounts))
            try:
                async with running_broker(target, self._tell) as (config, watching):
                    await self._serve(installation, config, watching, examining)
            finally:
                examining.cancel()

    async def _serve(
        self,
        installation: Installation,
        config: BrokerConfig,
        watching: Coroutine[Any, Any, None] | None,
        examining: asyncio.Task[dict[str, Any]],
    ) -> None:
        broker = cluster(config)
        with telling(broker):
            topics = await ensure_topics(broker, installation.name, retention=installation.retention)
        self._describe(
            Running(
                pid=os.getpid(),
                since=time.time(),
                installation=installation.name,
                broker=config.url,
                file=str(self._target.settings.file.absolute()),
                embedded=watching is not None,
            )
        )
        starts = worker_starts(self._target, installation, config, self._count)
        workers = Workers(starts, lambda text: self._tell(text, "bad"), self._workers_changed)
        projection = Projection(broker, installation.name, self._target.home.read_model, self._on_rows)
        await until_one_ends(
            [
                *([watching] if watching else []),
                projection.run(),
                workers.run(),
                self._apply(installation, broker, topics, examining),
            ],
        )

    async def _apply(
        self, installation: Installation, broker: Broker, topics: Topics, examining: asyncio.Task[dict[str, Any]]
    ) -> None:
        """Applies the file as `apply --yes` does, but deletes no sync; then says that all is ready."""
        reports = await examining
        with telling(broker):
            async with AppliedStore(broker, topics) as store:
                catalogs = self._catalogs(store, installation, reports)
                proposal = proposed(store.current, installation, catalogs, keep_left=True)
                before = store.current
                after = await roll_out(store, installation, catalogs, keep_left=True)
        if before is None or after.version != before.version:
            self._tell_changes(proposal, first=before is None)
        for name in sorted(after.off):
            why = "it is not in the file" if name in after.left else f"`tandem on {name}` switches it on"
            self._tell(f"{name} is off: {why}", "quiet")
        for name in sorted(after.deleted):
            self._tell(f"{name} was deleted: `tandem apply` adds it again, or take it out of the file", "quiet")
        assert self._running is not None
        self._describe(msgspec.structs.replace(self._running, ready=True))
        self._tell(f"configuration {after.version} is applied", "good")
        await asyncio.Event().wait()

    def _catalogs(self, store: AppliedStore, installation: Installation, reports: Reports) -> dict[str, Any]:
        """The accounts' catalogs. Where nothing in the file is new, an account's trouble does not keep the rest from running."""
        kept = propose(store.current, installation, {}, keep_left=True).after
        if store.current is None or not same(kept, store.current):
            return sound_catalogs(installation, reports)
        troubles = troubles_of(installation, reports)
        mistakes = check_catalogs(installation, answered(reports))
        if not troubles and not mistakes:
            return sound_catalogs(installation, reports)
        for line in [*troubles, *(f"{problem.message}: {problem.remedy}" for problem in mistakes)]:
            self._tell(line, "bad")
        return {}

    def _tell_changes(self, proposal: Proposal, *, first: bool) -> None:
        if not first:
            for change in proposal.changes:
                self._tell(str(change), "quiet")
        for account in proposal.refreshed:
            self._tell(f"the objects of {account} have changed", "quiet")

    def _workers_changed(self, entries: tuple[WorkerEntry, ...]) -> None:
        if self._running is not None:
            workers = tuple(sorted(entries, key=lambda entry: entry.number))
            self._describe(msgspec.structs.replace(self._running, workers=workers))

    def _describe(self, running: Running) -> None:
        assert self._role is not None
        self._running = running
        self._role.describe(running)


# ---------------------------------------------------------------- parts that the roles share


def worker_starts(target: Target, installation: Installation, config: BrokerConfig, count: int) -> list[WorkerStart]:
    """What each worker is handed."""
    return [
        WorkerStart(
            number=number,
            installation=installation.name,
            broker=broker_words(config),
            folder=str(target.home.worker(number)),
            file=str(target.settings.file.absolute()),
            log_file=str(target.home.logs / f"worker-{number}.log"),
            log_level=target.settings.log_level,
            retention_s=installation.retention.total_seconds(),
        )
        for number in range(1, count + 1)
    ]


@asynccontextmanager
async def running_broker(
    target: Target, tell: Tell
) -> AsyncIterator[tuple[BrokerConfig, Coroutine[Any, Any, None] | None]]:
    """The broker to use: the cluster that is named, or an embedded one that runs meanwhile, and what keeps that running."""
    named = target.named_broker()
    if named is not None:
        tell(f"using the Kafka cluster at {named.url.removeprefix('kafka://')}", "quiet")
        yield named, None
        return
    async with embedded_kafka(target) as kafka:
        tell(f"Kafka is up on {kafka.bootstrap}", "quiet")
        watching = keep_running(kafka, tell)
        try:
            yield BrokerConfig(url=kafka.url), watching
        finally:
            watching.close()


@asynccontextmanager
async def embedded_kafka(target: Target) -> AsyncIterator[EmbeddedKafka]:
    """An embedded broker with its data in the home. Raises `FailedError`."""
    kafka = EmbeddedKafka(target.home.path)
    try:
        async with kafka:
            yield kafka
    except DeployError as error:
        raise FailedError(error.message, error.remedy) from error


async def keep_running(kafka: EmbeddedKafka, tell: Tell) -> None:
    """Starts the broker again where it ended by itself, on the same port and data. Raises `DeployError` where that does not help."""
    starts: list[float] = []
    url = kafka.url
    while True:
        try:
            await kafka.watch()
        except ServerEndedError as error:
            starts = [at for at in starts if time.monotonic() - at < 60] + [time.monotonic()]
            if len(starts) > BROKER_STARTS:
                raise
            tell(f"{error.message.splitlines()[0]} It is started again.", "bad")
        await kafka.stop()
        await kafka.start()
        if kafka.url != url:
            raise FailedError("Another program has taken the broker's port.", "Start `tandem up` again.")
        tell(f"Kafka is up again on {kafka.bootstrap}", "good")


async def until_one_ends(parts: list[Coroutine[Any, Any, None]]) -> None:
    """Runs the parts until one of them ends or this is cancelled; raises what ended it. The others end in reverse order."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    except BaseExceptionGroup as group:
        first = group.exceptions[0]
        raise first if isinstance(first, ConsoleError) else group from None
    finally:
        for task in reversed(tasks):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until_signalled(work: Coroutine[Any, Any, None]) -> None:
    """Runs the work until it ends or SIGINT, SIGTERM or SIGHUP comes, which ends it in order.

    A second signal ends the process at once; the guardians then end what it started.
    """
    loop = asyncio.get_running_loop()
    running = asyncio.create_task(work)
    signalled = asyncio.Event()

    def on_signal() -> None:
        if signalled.is_set():
            os._exit(1)
        signalled.set()
        running.cancel()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    try:
        await running
    except asyncio.CancelledError:
        if not signalled.is_set():
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            raise
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
