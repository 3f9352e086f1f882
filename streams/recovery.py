"""A partition's state brought up to its changelog, before anybody works on it.

Responsible for reading the changelog into the disk, with the indexes that follow from it. Must not know who owns the
partition, nor Faust.

Faust reads entry by entry, 200 us each. Here whole fetches go into the disk as one write batch each, with the
changelog's offset in it, so that an interruption anywhere is gone on from. Indexes are not in the changelog: they
follow from what an entry was and what it becomes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from rocksdict import Rdict, WriteBatch

from streams import keys
from streams.broker import Broker
from streams.disk import Disk
from streams.overlay import Entries, values_of
from streams.topics import AWAY

log = logging.getLogger(__name__)

IndexChanges = Callable[[bytes, bytes | None, bytes | None], Entries]

# Of the time for which deletions stay in the changelog, leave some for the reading itself.
_KEPT_SECONDS = AWAY.total_seconds() * 0.9


def usable(database: Rdict, offset_key: bytes, marker: int) -> bool:
    """Whether what is on the disk can be brought up to date: it is no older than the changelog keeps deletions, and
    not from a changelog that has since lost its end, or was made anew."""
    offset, written = database.get(offset_key), database.get(keys.WRITTEN)
    if offset is None or written is None:
        # Nothing, or a reading that was interrupted before its first batch.
        return database.get(keys.OWNER) is None
    return int(offset) < marker and time.time() - int(written) < _KEPT_SECONDS


class Recovery:
    """Reads the changelogs of partitions into the disk, each up to its owner's marker."""

    def __init__(self, broker: Broker, topic: str, disk: Disk, index_changes: IndexChanges) -> None:
        self._broker, self._topic, self._disk, self._index_changes = broker, topic, disk, index_changes

    async def run(self, markers: dict[int, int]) -> int:
        """`markers`: up to which offset, per partition. Returns how many entries were read."""
        starts = {partition: self._start(partition, marker) for partition, marker in markers.items()}
        behind = {partition for partition, start in starts.items() if start <= markers[partition]}
        if not behind:
            return 0
        began, count = time.monotonic(), 0
        consumer = AIOKafkaConsumer(
            **self._broker.client(),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 << 20,
            fetch_max_wait_ms=50,
        )
        await consumer.start()
        try:
            consumer.assign([TopicPartition(self._topic, partition) for partition in behind])
            for partition in behind:
                consumer.seek(TopicPartition(self._topic, partition), starts[partition])
            while behind:
                for tp, records in (await consumer.getmany(timeout_ms=200, max_records=10_000)).items():
                    self.apply(tp.partition, records)
                    count += len(records)
                for tp in [tp for tp in consumer.assignment() if tp.partition in behind]:
                    if await consumer.position(tp) > markers[tp.partition]:
                        behind.discard(tp.partition)
                        consumer.pause(tp)
        finally:
            await consumer.stop()
        seconds = time.monotonic() - began
        log.info(
            "read %d entries of %d partitions in %.1f s",
            count,
            len(starts),
            seconds,
            extra={"action": "state_recovered"},
        )
        return count

    def _start(self, partition: int, marker: int) -> int:
        """From where to read; what cannot be brought up to date is thrown away."""
        database = self._disk.database(partition)
        if database is None:
            raise RuntimeError(f"partition {partition} is not open")  # it left while it was taken over
        if not usable(database, self._disk.offset_key, marker):
            log.warning("the disk of partition %d cannot be used", partition, extra={"action": "disk_wiped"})
            database = self._disk.wipe(partition)
        offset = database.get(self._disk.offset_key)
        return 0 if offset is None else int(offset) + 1

    def apply(self, partition: int, records: Sequence[ConsumerRecord]) -> None:
        """Writes the entries, their indexes and the last offset, all at once."""
        database = self._disk.database(partition)
        if database is None:
            raise RuntimeError(f"partition {partition} was closed while it was read")
        now = _current(database, [record.key for record in records if record.key.startswith(keys.RULES)])
        batch = WriteBatch(raw_mode=True)
        for record in records:
            _put(batch, ((record.key, record.value),))
            if record.key.startswith(keys.RULES):
                prefix, key = keys.split_rules(record.key)
                changed = self._index_changes(key, now[record.key], record.value)
                _put(batch, ((prefix + index, value) for index, value in changed.items()))
                now[record.key] = record.value
        batch.put(self._disk.offset_key, b"%d" % records[-1].offset)
        batch.put(keys.WRITTEN, b"%d" % time.time())
        database.write(batch)


def _current(database: Rdict, wanted: list[bytes]) -> Entries:
    """What the disk holds under the keys."""
    return dict(zip(wanted, values_of(database, wanted), strict=True)) if wanted else {}


def _put(batch: WriteBatch, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
    for key, value in entries:
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
