"""One writer per partition, and the broker sees to it.

Responsible for taking a partition over and for writing it so that an earlier owner is refused. Must not know what is
written.

The writer takes an epoch from Kafka (`InitProducerId` under a transactional id named after the partition) and writes
plainly with it, without transactions. From its first write on, the broker refuses whoever holds an older epoch of
that id, topic partition by topic partition: so it first writes a marker into each. The broker forgets a producer that
has not written for a day (`producer.id.expiration.ms`), and a transactional id after seven: `renew` takes a new epoch
before that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Self

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import InvalidProducerEpoch, InvalidProducerIdMapping, KafkaError, ProducerFenced, for_code
from aiokafka.protocol.transaction import InitProducerIdRequest

from streams.broker import Broker
from streams.errors import OversizedError, RefusedError
from streams.topics import MARKER, UNIT_BYTES

log = logging.getLogger(__name__)

_REFUSED = (ProducerFenced, InvalidProducerEpoch, InvalidProducerIdMapping)
_PAUSE = 0.1  # between attempts while a coordinator is elected
_ATTEMPTS = 600
_IN_FLIGHT = 64  # messages that `send` takes before it waits

Entry = tuple[bytes, bytes | None]


async def take_epoch(broker: Broker, name: str) -> tuple[int, int]:
    """The producer id of the transactional id `name`, with a new epoch."""
    client = AIOKafkaClient(**broker.client())
    await client.bootstrap()
    error: Exception = RefusedError(name)
    try:
        for _ in range(_ATTEMPTS):
            try:
                node = await client.coordinator_lookup(CoordinationType.TRANSACTION, name)
                await client.ready(node, group=ConnectionGroup.COORDINATION)
                request = InitProducerIdRequest(transactional_id=name, transaction_timeout_ms=60_000)
                reply = await client.send(node, request, group=ConnectionGroup.COORDINATION)
                if reply.error_code == 0:
                    return reply.producer_id, reply.producer_epoch
                error = for_code(reply.error_code)()
            except KafkaError as raised:
                error = raised
            log.info("epoch of %s: %r; trying again", name, error, extra={"action": "epoch_retried"})
            await asyncio.sleep(_PAUSE)
        raise error
    finally:
        await client.close()


class Writer:
    """The only producer that may write partition `partition` of its topics. `epoch`, `markers`: of the last
    take-over."""

    def __init__(self, broker: Broker, name: str, partition: int, topics: Sequence[str]) -> None:
        self._broker, self.name, self.partition, self._topics = broker, name, partition, tuple(topics)
        self._producer: AIOKafkaProducer | None = None
        self._room = asyncio.Semaphore(_IN_FLIGHT)
        self.epoch = -1
        self.markers: dict[str, int] = {}

    async def take_over(self) -> Self:
        """Takes a new epoch and writes a marker into each topic: from here on, earlier owners are refused there.
        Nothing may be sent meanwhile."""
        if self._producer is not None:
            await self._producer.flush()  # under the old epoch, which ends now
        producer_id, epoch = await take_epoch(self._broker, self.name)
        producer = AIOKafkaProducer(
            **self._broker.client(),
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=UNIT_BYTES,
            max_request_size=UNIT_BYTES,
        )
        # Before `start`, which would ask for an id of its own. aiokafka has no public call for an epoch without
        # transactions.
        producer._txn_manager.set_pid_and_epoch(producer_id, epoch)  # noqa: SLF001
        before, self._producer, self.epoch = self._producer, producer, epoch
        try:
            await producer.start()
            for topic in self._topics:
                self.markers[topic] = await self.append(topic, [(MARKER, str(epoch).encode())])
        except BaseException:
            await _stopped(producer)
            raise
        if before is not None:
            await _stopped(before)
        return self

    async def append(self, topic: str, entries: Sequence[Entry]) -> int:
        """Writes all entries as one record batch, so that all are there or none; the offset of the last."""
        producer = self._open
        batch = producer.create_batch()
        for key, value in entries:
            if batch.append(key=key, value=value, timestamp=None) is None:
                raise OversizedError(f"{len(entries)} entries for {topic}-{self.partition} exceed {UNIT_BYTES} bytes")
        try:
            written = await (await producer.send_batch(batch, topic, partition=self.partition))
        except _REFUSED as error:
            raise self._refused(topic) from error
        return int(written.offset) + len(entries) - 1

    async def send(self, topic: str, key: bytes, value: bytes | None) -> asyncio.Future[int]:
        """Hands one message over, in the order of the calls; waits while too many are in flight. The future: its
        offset."""
        await self._room.acquire()
        try:
            acknowledged = await self._open.send(topic, value, key, partition=self.partition)
        except BaseException:
            self._room.release()
            raise
        offset: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def done(future: asyncio.Future[object]) -> None:
            self._room.release()
            if offset.done():
                return
            if future.cancelled():
                offset.cancel()
            elif (error := future.exception()) is not None:
                offset.set_exception(self._refused(topic) if isinstance(error, _REFUSED) else error)
            else:
                offset.set_result(future.result().offset)  # type: ignore[attr-defined]

        acknowledged.add_done_callback(done)
        return offset

    async def close(self) -> None:
        """Gives the connections back. What is still in flight is written, or given up after some seconds."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await _stopped(producer)

    @property
    def _open(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise RefusedError(f"{self.name} has been given up")
        return self._producer

    def _refused(self, topic: str) -> RefusedError:
        return RefusedError(f"{topic}-{self.partition} has another owner: epoch {self.epoch} of {self.name} is refused")


async def _stopped(producer: AIOKafkaProducer) -> None:
    try:
        async with asyncio.timeout(5):
            await producer.stop()
    except (TimeoutError, KafkaError) as error:
        log.warning("a producer did not stop quietly: %r", error, extra={"action": "producer_abandoned"})
