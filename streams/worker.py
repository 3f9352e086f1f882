"""The process of a worker: everything that runs in it, from its start to its exit status.

Responsible for putting the parts together, and for ending when one fails (`streams.ending`): a supervisor starts it
anew. Must not know what the parts do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import faust
import mode.loop
import msgspec
from aiokafka import AIOKafkaProducer
from faust.types import TP

from streams import collector
from streams.app import App, FaustSource, disk_of, new_app
from streams.broker import Broker
from streams.config import ConfigStore
from streams.ending import cancelled, end, watched
from streams.errors import LayoutError
from streams.host import Host
from streams.housekeeper import Housekeeper
from streams.letters import letter_of, output_of
from streams.owned import Parts, Shared, send_plain
from streams.topics import MESSAGE_BYTES, PARTITIONS, Topics, cluster_id, ensure_topics

log = logging.getLogger(__name__)

SESSION_SECONDS = 6.0
WATCH_SECONDS = 2.0
# Kafka forgets a producer that has not written for a day, and its epoch with it.
RENEW_SECONDS = 8 * 3600.0


class WorkerSettings(msgspec.Struct, frozen=True):
    """What a worker is started with. `folder`: its state, of this worker alone. `retention`: how long what is
    consumed is kept.

    `session`: how long, in seconds, a worker that died is not noticed. `metrics_port`: the first that is tried; None:
    no server.
    `renew`: how often, in seconds, the partitions' writers take new epochs.
    """

    broker: Broker
    installation: str
    folder: Path
    partitions: int = PARTITIONS
    retention: timedelta = timedelta(days=30)
    session: float = SESSION_SECONDS
    metrics_port: int | None = 9470
    renew: float = RENEW_SECONDS


PartsOf = Callable[[Topics, ConfigStore], Parts]
"""Makes the parts, once the topics are known and the configuration has been read; in the worker's loop."""


def run_worker(settings: WorkerSettings, parts_of: PartsOf) -> None:
    """Runs until SIGTERM or SIGINT. Returns then; else the process ends with a status of `streams.ending`."""
    collector.calm()
    mode.loop.use("uvloop")
    settings.folder.mkdir(parents=True, exist_ok=True)
    _quieten()
    try:
        topics, cluster = asyncio.run(_prepare(settings))
    except LayoutError as error:
        end(error)
    # A state belongs to the topics that it was made from: another cluster, another folder.
    folder = settings.folder / cluster
    folder.mkdir(exist_ok=True)
    app = new_app(settings.broker, topics, folder, instance_of(folder), settings.session)
    app.running = lambda: _running(settings, topics, app, parts_of)
    worker = faust.Worker(app, override_logging=False, redirect_stdouts=False, quiet=True, loglevel="WARN")
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except SystemExit as ended:
        if ended.code not in (None, 0):
            end(RuntimeError(f"Faust ended with status {ended.code}"))


async def _prepare(settings: WorkerSettings) -> tuple[Topics, str]:
    """The topics, and the id of the cluster that they are in."""
    topics = await ensure_topics(
        settings.broker, settings.installation, partitions=settings.partitions, retention=settings.retention
    )
    return topics, await cluster_id(settings.broker)


def instance_of(folder: Path) -> str:
    """The worker's name in the group: kept with its state, so that a restart takes its place again without a
    rebalance."""
    file = folder / "instance"
    if not file.exists():
        made = file.with_suffix(f".{os.getpid()}")
        made.write_text(f"worker-{uuid.uuid4()}")
        made.rename(file)
    return file.read_text()


@asynccontextmanager
async def _running(settings: WorkerSettings, topics: Topics, app: App, parts_of: PartsOf) -> AsyncIterator[Host]:
    """What runs beside Faust's services, as long as the app does."""
    async with AsyncExitStack() as stack:
        producer = AIOKafkaProducer(
            **settings.broker.client(),
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=1 << 20,
            max_request_size=MESSAGE_BYTES,
        )
        await producer.start()
        stack.push_async_callback(producer.stop)
        unreadable: list[tuple[int, bytes | None, str]] = []
        config = await stack.enter_async_context(
            ConfigStore(settings.broker, topics, lambda *entry: unreadable.append(entry))
        )
        config.reading.add_done_callback(_end_if_failed)
        await config.publish_schemas()
        parts = parts_of(topics, config)
        shared = Shared(settings.broker, topics, config, disk_of(app), producer, FaustSource(app), parts)
        host = Host(shared)
        if settings.metrics_port is not None:
            port = parts.metrics.serve(settings.metrics_port)
            (settings.folder / "metrics").write_text(f"http://127.0.0.1:{port}/metrics")
        keeper = Housekeeper(settings.broker, settings.retention, host.positions)
        tasks = (
            watched(keeper.run(), "housekeeper"),
            watched(_every(WATCH_SECONDS, lambda: _watch(app, shared, unreadable)), "watch"),
            watched(_every(settings.renew, host.renew), "renew"),
        )
        stack.push_async_callback(cancelled, *tasks)
        yield host


def _end_if_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        end(error)


async def _every(seconds: float, do: Callable[[], Any]) -> None:
    while True:
        await asyncio.sleep(seconds)
        await do()


async def _watch(app: App, shared: Shared, unreadable: list[tuple[int, bytes | None, str]]) -> None:
    """Looks after feeds that have stopped, and after entries of `config` that cannot be read."""
    app.host.watch(FaustSource(app).ends(TP(topic, n) for topic in shared.topics.inputs for n in app.host.working))
    # Every worker reads `config`; one of them says so.
    while unreadable and 0 in app.host.working:
        offset, value, why = unreadable.pop()
        letter = letter_of(shared.topics.config, 0, offset, 0.0, b"", value, why)
        await (await send_plain(shared, output_of(letter, shared.topics)))
        shared.parts.metrics.count_dead_letter(letter)


def _quieten() -> None:
    """Keeps the libraries from building log records that nobody reads, and from telling as warnings what is meant."""
    for name in ("aiokafka", "faust", "mode"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("faust.transport.drivers.aiokafka").setLevel(logging.ERROR)  # "Topic creation disabled"
