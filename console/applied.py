"""The applied configuration in Kafka: reading it, and replacing it so that two who do so at once do not undo each
other.

Responsible for that alone. Must not know what is in a configuration, nor what follows from it.

Kafka cannot compare and set, but its log has one order that all see. So who writes version n + 1 reads the log back:
the first to have written n + 1 has won, and whoever lost starts again from what the winner wrote. Orders go out only
after that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from rules.events import Order
from streams.broker import Broker
from streams.config import INSTALLATION, publish, send_orders
from streams.protocols import Configuration
from streams.topics import Topics

ATTEMPTS = 10


class Applied(Configuration, frozen=True):
    """The applied configuration, as the console keeps it. `left`: syncs that are off because they left the file.

    `deleted`: syncs that a command has deleted; one that the file still names stays so until `apply` adds it again.
    """

    left: frozenset[str] = frozenset()
    deleted: frozenset[str] = frozenset()


Orders = list[tuple[str, Order]]
Change = Callable[[Applied | None], Applied]
"""What is to be applied instead of what is. Called again where somebody else was faster."""
Tell = Callable[[Applied | None, Applied], Orders]
"""What the connections are told of it: (before, after)."""


class AppliedStore:
    """`async with AppliedStore(...)`: the configuration topic of an installation."""

    def __init__(self, broker: Broker, topics: Topics) -> None:
        self._broker, self._topics = broker, topics
        self._tp = TopicPartition(topics.config, 0)
        self._consumer = AIOKafkaConsumer(
            **broker.client(), enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=50
        )
        self.current: Applied | None = None
        self._overtaken = False  # the last entry is one that has lost

    async def __aenter__(self) -> Self:
        try:
            await self._consumer.start()
            self._consumer.assign([self._tp])
            await self.refresh()
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def refresh(self) -> None:
        """Reads on to the end of the topic. Of two entries of one version the first has won, and the other is as if it were not."""
        end = (await self._consumer.end_offsets([self._tp]))[self._tp]
        while await self._consumer.position(self._tp) < end:
            for message in (await self._consumer.getmany(self._tp, timeout_ms=500)).get(self._tp, ()):
                found = _applied(message)
                if found is None:
                    continue
                self._overtaken = self.current is not None and found.version <= self.current.version
                if not self._overtaken:
                    self.current = found

    async def replace(self, change: Change, tell: Tell) -> Applied:
        """Makes what `change` answers the applied configuration, and sends the orders of `tell`; returns when all is stored.

        Orders are sent also where nothing is different: an earlier attempt may have ended before it sent them.
        """
        for _ in range(ATTEMPTS):
            before = self.current
            after = change(before)
            if before is not None and same(before, after):
                if not self._overtaken:
                    break
                # Somebody lost and ended before trying again: what others read last is what has lost.
                after = msgspec.structs.replace(after, version=before.version + 1)
            await publish(self._broker, self._topics, after)
            await self.refresh()
            if self.current is not None and self.current.version == after.version and same(self.current, after):
                break
        else:
            raise RuntimeError(f"{ATTEMPTS} times somebody else has changed the configuration at the same moment")
        await send_orders(self._broker, self._topics, tell(before, after))
        return after


def same(one: Configuration, other: Configuration) -> bool:
    """Whether nothing is different; the order of keys in the document counts (it says which side comes first)."""
    return one == other and msgspec.json.encode(one.document) == msgspec.json.encode(other.document)


def _applied(message: ConsumerRecord) -> Applied | None:
    """The configuration in an entry of the topic; None for a schema, and for what is none (the projection reports it)."""
    if message.key != INSTALLATION or message.value is None:
        return None
    try:
        return msgspec.json.decode(message.value, type=Applied)
    except msgspec.DecodeError:
        return None
