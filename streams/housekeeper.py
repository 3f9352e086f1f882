"""Deletes what is both old and consumed.

Responsible for the beginning of the logs of `changes`, `inbox` and `commands`: Kafka's own retention is off there,
since it would delete what is unread. What our state says is consumed counts, not what the group has committed. Must
not know what is in the logs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError
from faust.types import TP

from streams.broker import Broker

log = logging.getLogger(__name__)

PAUSE_SECONDS = 600.0

Positions = Callable[[], Mapping[TP, int]]


class Housekeeper:
    """Deletes for the partitions that this worker owns. `positions`: the last offset of each input that the state
    holds."""

    def __init__(self, broker: Broker, retention: timedelta, positions: Positions) -> None:
        self._broker, self._retention, self._positions = broker, retention, positions

    async def run(self) -> None:
        """Until cancelled, every ten minutes."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            try:
                await self.sweep(time.time())
            except KafkaError as error:
                # Nothing is lost when it is done ten minutes later.
                log.warning("could not delete old records: %r", error, extra={"action": "housekeeping_postponed"})

    async def sweep(self, now: float) -> dict[TopicPartition, int]:
        """Deletes once; where the logs begin now."""
        old = int((now - self._retention.total_seconds()) * 1000)
        positions = {TopicPartition(*tp): position for tp, position in self._positions().items() if position >= 0}
        first_kept = await self._since(positions, old)
        wanted = {tp: min(first_kept[tp], position + 1) for tp, position in positions.items()}
        wanted = {tp: offset for tp, offset in wanted.items() if offset > 0}
        if not wanted:
            return {}
        admin = AIOKafkaAdminClient(**self._broker.client())
        await admin.start()
        try:
            begin: dict[TopicPartition, int] = await admin.delete_records(
                {tp: RecordsToDelete(offset) for tp, offset in wanted.items()}
            )
            return begin
        finally:
            await admin.close()

    async def _since(self, positions: Mapping[TopicPartition, int], old: int) -> dict[TopicPartition, int]:
        """The first offset that is not old; where all are old, the one behind the position."""
        if not positions:
            return {}
        consumer = AIOKafkaConsumer(**self._broker.client())
        await consumer.start()
        try:
            found = await consumer.offsets_for_times(dict.fromkeys(positions, old))
        finally:
            await consumer.stop()
        return {tp: at.offset if (at := found.get(tp)) is not None else last + 1 for tp, last in positions.items()}
