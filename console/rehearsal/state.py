"""The state of a connection that runs, out of its changelog: read only, by nobody's group.

Responsible for bringing what the changelog holds into a rehearsal's state. Must not know what entries mean.
"""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, TopicPartition

from console.rehearsal.store import State
from rules.state import index_changes
from streams import keys
from streams.broker import Broker
from streams.overlay import Entries
from streams.topics import Topics

FETCH = 5000


async def copy_state(broker: Broker, topics: Topics, connection: str, state: State) -> int:
    """Copies a connection's state as of now; returns the offset of the inbox up to which it has decided (-1: nothing yet)."""
    tp = TopicPartition(topics.state, topics.partition_of(connection))
    prefix, position = keys.connection(connection), keys.position(topics.inbox)
    decided = -1
    consumer = AIOKafkaConsumer(
        **broker.client(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 << 20,
        fetch_max_wait_ms=50,
    )
    await consumer.start()
    try:
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        while await consumer.position(tp) < end:
            found = await consumer.getmany(tp, timeout_ms=500, max_records=FETCH)
            entries: Entries = {}
            for message in found.get(tp, ()):
                if message.key == position and message.value is not None:
                    decided = int(message.value)
                elif message.key.startswith(prefix):
                    entries[message.key[len(prefix) :]] = message.value
            _put(state, entries)
    finally:
        await consumer.stop()
    return decided


def _put(state: State, entries: Entries) -> None:
    """Sets entries with the indexes that follow from them."""
    before = dict(zip(entries, state.get_many(entries), strict=True))
    indexes: Entries = {}
    for key, value in entries.items():
        indexes |= index_changes(key, before[key], value)
    state.put(entries, indexes)
