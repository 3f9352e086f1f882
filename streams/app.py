"""The Faust app: its settings, its consumer, its agents.

Responsible for what Faust is used for (the group, its assignment, flow control, agents) and for switching off what we
do otherwise. Must not know what the stages do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import IllegalStateError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from faust.types import TP

from streams.broker import Broker
from streams.disk import Disk
from streams.host import Host
from streams.table import FencedTables, StateTable
from streams.topics import MESSAGE_BYTES, Topics

TABLE = "state"
# How long a fetch that finds nothing is kept open. It also delays whatever must be fetched from elsewhere first: a
# seek, another partition.
FETCH_WAIT_MS = 250
_FETCH_BYTES = 1 << 20


class Unchecked(dict[TP, int]):
    """Faust's read offsets, switched off: after a seek back it would drop what comes again, and it counts a hole as
    acknowledged. The feeds do both."""

    def __getitem__(self, tp: TP) -> None:  # type: ignore[override]
        return None

    def __setitem__(self, tp: TP, offset: int) -> None:
        pass


class _Thread(AIOKafkaConsumerThread):
    """Faust's consumer thread; the waits of a fetch are ours."""

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001 - Faust has 1500 in its code
        return consumer


class _Consumer(Consumer):
    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


Running = Callable[[], AbstractAsyncContextManager[Host]]
"""Makes the host and what it needs, and ends it."""


class App(faust.App):
    """Faust's app, with our consumer, and the host told of what happens to the assignment."""

    host: Host
    running: Running
    _stack: AsyncExitStack

    def _new_consumer(self) -> Any:
        transport: Any = self.transport
        transport.Consumer = _Consumer
        consumer: Any = super()._new_consumer()
        consumer._read_offset = Unchecked()  # noqa: SLF001
        return consumer

    async def on_start(self) -> None:
        """Makes the host, before there is an assignment."""
        await super().on_start()
        self._stack = AsyncExitStack()
        self.host = await self._stack.enter_async_context(self.running())

    async def _on_partitions_revoked(self, revoked: set[TP]) -> None:
        await self.host.pause()
        await super()._on_partitions_revoked(revoked)

    async def _on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        changelog = self.tables.topics.state  # type: ignore[attr-defined]
        await self.host.keep({tp.partition for tp in assigned if tp.topic == changelog})
        await super()._on_partitions_assigned(assigned, generation_id)

    async def on_stop(self) -> None:
        """Ends our work before the consumer and the databases go."""
        await self.host.pause()
        await self.host.keep(set())
        await super().on_stop()
        await self._stack.aclose()


class FaustSource:
    """`pump.Source` on Faust's consumer, which lives in a thread and a loop of its own."""

    def __init__(self, app: App) -> None:
        self._app = app

    def seek(self, tp: TP, offset: int) -> None:
        """Read on from here."""
        self._in_thread(lambda consumer: consumer.seek(tp, offset))

    def hold(self, tp: TP) -> None:
        """Hand over no more of the partition for now."""
        self._app.consumer.on_buffer_full(tp)

    def release(self, tp: TP) -> None:
        """Hand it over again; what has been fetched meanwhile, at once."""
        self._app.consumer.on_buffer_drop(tp)
        self._in_thread(_wake)

    def ends(self, tps: Iterable[TP]) -> dict[TP, int]:
        """The ends of the logs, as far as the last fetches told them."""
        found = {}
        for tp in tps:
            with contextlib.suppress(IllegalStateError):
                found[tp] = self._app.consumer.highwater(tp) or 0
        return found

    def _in_thread(self, do: Callable[[AIOKafkaConsumer], None]) -> None:
        consumer: Any = self._app.consumer
        thread = consumer._thread  # noqa: SLF001

        def run() -> None:
            # The partition has left meanwhile, or the consumer is gone.
            with contextlib.suppress(IllegalStateError):
                if thread._consumer is not None:  # noqa: SLF001
                    do(thread._consumer)  # noqa: SLF001

        thread.thread_loop.call_soon_threadsafe(run)


def _wake(consumer: AIOKafkaConsumer) -> None:
    """Who waits for records looks again: the set of partitions that it may have has changed."""
    fetcher = consumer._fetcher  # noqa: SLF001
    for waiter in list(fetcher._fetch_waiters):  # noqa: SLF001
        fetcher._notify(waiter)  # noqa: SLF001


def new_app(broker: Broker, topics: Topics, folder: Path, instance: str, session_seconds: float) -> App:
    """The app, with its agents. `folder`: of the state, of this worker alone; `instance`: its name in the group, the
    same after a restart."""
    app = App(
        topics.installation,
        broker=broker.url,
        broker_credentials=broker.credentials(),
        datadir=str(folder),
        store="rocksdb://",
        Table=StateTable,
        TableManager=FencedTables,
        key_serializer="raw",
        value_serializer="raw",
        topic_partitions=topics.partitions,
        topic_allow_declare=False,
        topic_disable_leader=True,
        # Faust's standbys would read every changelog twice, entry by entry, and know nothing of indexes.
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=instance,
        consumer_max_fetch_size=_FETCH_BYTES,
        broker_session_timeout=session_seconds,
        broker_heartbeat_interval=session_seconds / 6,
        broker_rebalance_timeout=max(session_seconds, 10.0),
        broker_commit_interval=2.0,
        broker_max_poll_records=500,
        producer_max_request_size=MESSAGE_BYTES,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        stream_buffer_maxsize=4096,
        web_enabled=False,
    )
    tables: Any = app.tables
    tables.topics, tables.host = topics, lambda: app.host
    app.Table(TABLE, key_type=bytes, value_type=bytes, partitions=topics.partitions)
    for topic in topics.inputs:
        _agent(app, topic)
    return app


def disk_of(app: App) -> Disk:
    """The store of the table."""
    table: Any = app.tables[TABLE]
    disk = table.data
    assert isinstance(disk, Disk)
    return disk


def _agent(app: App, topic: str) -> None:
    """The agent of an input: it only hands over, so that partitions do not wait for each other."""

    async def feed(stream: Any) -> None:
        async for event in stream.noack().events():
            app.host.offer(event)

    source = app.topic(topic, key_type=bytes, value_type=bytes, partitions=app.conf.topic_partitions)
    app.agent(source, name=topic)(feed)
