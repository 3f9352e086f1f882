"""A partition without Kafka: its configuration, its state on a disk, and producers that keep what happens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from types import SimpleNamespace
from typing import Any

from faust.types import TP
from rocksdict import Rdict

from streams.disk import Disk
from streams.fence import Entry
from streams.protocols import Configuration
from streams.topics import Topics
from streams.unit import Output

TOPICS = Topics("test", 1)
SYNCS = {
    "contacts": {"between": {"crm": "contacts", "shop": "customers"}},
    "companies": {"between": {"crm": "companies", "shop": "firms"}},
    "mail": {"between": {"crm": "contacts", "news": "readers"}},
}


class Config:
    """The configuration in force."""

    def __init__(self, version: int = 1) -> None:
        self.current = Configuration(version, "test", {"syncs": SYNCS})
        self.asked: list[int] = []

    async def wait_for(self, version: int) -> Configuration:
        self.asked.append(version)
        self.current = Configuration(version, "test", {"syncs": SYNCS})
        return self.current

    def changes(self) -> Any:
        raise NotImplementedError

    async def has_schema(self, fingerprint: bytes) -> bool:
        return False


class Backing:
    """The producers and the state of a partition; keeps what happens, in order."""

    topics = TOPICS
    offset_key = Disk.offset_key

    def __init__(self, database: Rdict) -> None:
        self.lock = asyncio.Lock()
        self._database = database
        self.log: list[tuple[str, Any]] = []
        self.changelog: list[Entry] = []
        self.hold: dict[str, asyncio.Event] = {}

    def database(self) -> Rdict:
        return self._database

    async def append(self, topic: str, entries: Sequence[Entry]) -> int:
        if topic in self.hold:
            await self.hold[topic].wait()
        await asyncio.sleep(0)
        self.log.append((topic, [key for key, _ in entries]))
        if topic == TOPICS.state:
            self.changelog += entries
        return len(self.changelog) - 1

    async def send(self, output: Output) -> Awaitable[object]:
        async def acknowledged() -> None:
            if output.topic in self.hold:
                await self.hold[output.topic].wait()
            self.log.append((output.topic, output.key))

        self.sent.append(output)
        return asyncio.ensure_future(acknowledged())

    @property
    def sent(self) -> list[Output]:
        return self.__dict__.setdefault("_sent", [])  # type: ignore[no-any-return]


def message(topic: str, key: str | bytes, value: bytes, offset: int = 0) -> Any:
    """As Faust hands it over."""
    raw = key if isinstance(key, bytes) else key.encode()
    found = SimpleNamespace(offset=offset, timestamp=7.0, key=raw, value=value, tp=TP(topic, 0))
    return SimpleNamespace(message=found, ack=lambda: None)
