"""Tells connections that time has passed.

Responsible for one `Clock` in the inbox of each connection of a partition, every two seconds. Must not know what they
do with it.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from rules.events import Clock, Event
from streams.protocols import ConfigSource
from streams.pump import Feed
from streams.topics import Topics

SECONDS = 2.0


class Inbox(Protocol):
    """Where clocks go."""

    async def offset_of(self, connection: str, event: Event) -> int:
        """Sends the event; its offset."""


class Clocks:
    """The clocks of the connections of one partition."""

    def __init__(self, topics: Topics, partition: int, config: ConfigSource, inbox: Inbox, feed: Feed) -> None:
        self._topics, self._partition = topics, partition
        self._config, self._inbox, self._feed = config, inbox, feed
        self._last = -1  # the offset of our newest clock

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(SECONDS)
            # One that is not yet consumed says all that another would.
            if self._feed.position >= self._last:
                await self._tick()

    async def _tick(self) -> None:
        configuration = self._config.current
        for connection in configuration.connections if configuration is not None else ():
            if self._topics.partition_of(connection) == self._partition:
                self._last = max(self._last, await self._inbox.offset_of(connection, Clock()))
