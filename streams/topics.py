"""The topics of an installation: their names, partitions, keys and settings; and their creation.

Responsible for what must be the same on every worker and in the console. Must not know Faust or what a message means.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from zlib import crc32

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, KafkaTimeoutError, TopicAlreadyExistsError, for_code

from streams.broker import Broker
from streams.errors import LayoutError

PARTITIONS = 8

# The largest change that is taken in. What follows from it may be larger: commands that say what they replace, statuses
# with both sides; and the state of one decision, which is one record batch.
CHANGE_BYTES = 4 << 20
MESSAGE_BYTES = 16 << 20
UNIT_BYTES = 32 << 20

# How long a worker may be away before what its disk holds is thrown away: deletions it has not seen may be compacted.
AWAY = timedelta(days=30)

_VISIBLE_SECONDS = 30.0

MARKER = b"\0owner"
"""The key of a partition owner's marker. No key of ours begins with a zero byte else, and readers skip those that
do."""


class Topics(msgspec.Struct, frozen=True):
    """The topics of an installation."""

    installation: str
    partitions: int = PARTITIONS

    def _named(self, name: str) -> str:
        return f"{self.installation}.{name}"

    @property
    def changes(self) -> str:
        """Key: account."""
        return self._named("changes")

    @property
    def inbox(self) -> str:
        """Key: connection."""
        return self._named("inbox")

    @property
    def commands(self) -> str:
        """Key: account."""
        return self._named("commands")

    @property
    def state(self) -> str:
        """The changelog of the partitions' state."""
        return self._named("state")

    @property
    def statuses(self) -> str:
        """Key: `status_key`. In the partition of the connection."""
        return self._named("statuses")

    @property
    def history(self) -> str:
        """Key: connection."""
        return self._named("history")

    @property
    def dead_letters(self) -> str:
        """Key: account."""
        return self._named("dead-letters")

    @property
    def config(self) -> str:
        """One partition. Keys: `installation`, `schema/<fingerprint>`."""
        return self._named("config")

    @property
    def inputs(self) -> tuple[str, str, str]:
        """What the agents read."""
        return self.changes, self.inbox, self.commands

    def partition_of(self, name: str) -> int:
        """The partition of an account or a connection."""
        return partition_of(name, self.partitions)


def partition_of(name: str, partitions: int) -> int:
    """The partition of an account or a connection: the same for every process and version, so no built-in hash."""
    return crc32(name.encode()) % partitions


def connection_name(accounts: Iterable[str]) -> str:
    """The name of the connection between two accounts."""
    return "~".join(sorted(accounts))


def status_key(sync: str, key: str = "") -> bytes:
    """The key of a record of a sync in `statuses`; without `key`, that of the sync itself."""
    return f"{sync.replace('%', '%25').replace('|', '%7C')}|{key}".encode()


def parse_status_key(raw: bytes) -> tuple[str, str]:
    """The sync and the record's key (empty: the sync itself)."""
    sync, _, key = raw.decode().partition("|")
    return sync.replace("%7C", "|").replace("%25", "%"), key


# ---------------------------------------------------------------- creation


def settings_of(topics: Topics, retention: timedelta, replication: int) -> dict[str, dict[str, str]]:
    """The settings of each topic, on top of the broker's defaults."""
    safe = {"min.insync.replicas": "2" if replication > 2 else "1"}
    away = str(int(AWAY.total_seconds() * 1000))
    kept = {"cleanup.policy": "delete", "retention.bytes": "-1", "max.message.bytes": str(MESSAGE_BYTES)}
    # What is unread may never go: the housekeeper deletes what is both old and consumed.
    unread = kept | {"retention.ms": "-1"}
    aged = kept | {"retention.ms": str(int(retention.total_seconds() * 1000))}
    compact = {"cleanup.policy": "compact", "delete.retention.ms": away, "max.message.bytes": str(MESSAGE_BYTES)}
    all_of_them = {
        topics.changes: unread,
        # `now` of a decision: one clock for all writers, which does not go back.
        topics.inbox: unread | {"message.timestamp.type": "LogAppendTime"},
        topics.commands: unread,
        topics.state: compact | {"max.message.bytes": str(UNIT_BYTES), "min.cleanable.dirty.ratio": "0.3"},
        topics.statuses: compact,
        topics.history: aged,
        topics.dead_letters: aged,
        topics.config: compact,
    }
    return {name: settings | safe for name, settings in all_of_them.items()}


async def ensure_topics(
    broker: Broker,
    installation: str,
    *,
    partitions: int = PARTITIONS,
    retention: timedelta,
    replication: int | None = None,
) -> Topics:
    """Creates what is missing, and sets what is set otherwise. Topics that exist keep their number of partitions.

    `replication` None: three copies where the cluster has three brokers, else one.
    """
    admin = AIOKafkaAdminClient(**broker.client())
    await admin.start()
    try:
        if replication is None:
            brokers = len((await admin.describe_cluster())["brokers"])
            replication = 3 if brokers >= 3 else 1
        topics = Topics(installation, partitions)
        wanted = settings_of(topics, retention, replication)
        # The first one decides how many partitions all have, also where several workers start at the same time.
        new = await _create(admin, topics, [topics.changes], wanted, replication)
        spread = await _visible(admin, [topics.changes])
        topics = Topics(installation, spread[topics.changes])
        new |= await _create(admin, topics, [name for name in wanted if name not in new], wanted, replication)
        _check(topics, await _visible(admin, wanted))
        await _configure(admin, {name: settings for name, settings in wanted.items() if name not in new})
        return topics
    finally:
        await admin.close()


async def cluster_id(broker: Broker) -> str:
    """The id of the Kafka cluster."""
    admin = AIOKafkaAdminClient(**broker.client())
    await admin.start()
    try:
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()


async def _create(
    admin: AIOKafkaAdminClient,
    topics: Topics,
    names: Iterable[str],
    wanted: Mapping[str, Mapping[str, str]],
    replication: int,
) -> set[str]:
    """Creates what does not exist; the names of what it created."""
    new = [
        NewTopic(name, 1 if name == topics.config else topics.partitions, replication, topic_configs=dict(wanted[name]))
        for name in names
    ]
    created = set()
    for name, code, *message in (await admin.create_topics(new)).topic_errors if new else ():
        error = for_code(code)
        if not code:
            created.add(name)
        elif error is not TopicAlreadyExistsError:
            raise error(f"{name}: {message}") if issubclass(error, KafkaError) else LayoutError(f"{name}: {message}")
    return created


async def _visible(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, int]:
    """Returns when every partition of the topics has a leader: a little after they were created. How many partitions
    each has."""
    ends = time.monotonic() + _VISIBLE_SECONDS
    while True:
        described = await admin.describe_topics(list(names))
        leaders = {
            topic["topic"]: [found["leader"] for found in topic["partitions"] if not found["error_code"]]
            for topic in described
            if not topic["error_code"]
        }
        if all(leaders.get(name) and min(leaders[name]) >= 0 for name in names):
            return {name: len(leaders[name]) for name in names}
        if time.monotonic() > ends:
            raise KafkaTimeoutError(f"no leader in {_VISIBLE_SECONDS} s for {sorted(set(names) - leaders.keys())}")
        await asyncio.sleep(0.05)


def _check(topics: Topics, found: Mapping[str, int]) -> None:
    spread = {name: count for name, count in found.items() if name != topics.config}
    if set(spread.values()) != {topics.partitions} or found[topics.config] != 1:
        raise LayoutError(
            f"the topics of {topics.installation} must have equally many partitions, and {topics.config} one: they have"
            f" {dict(found)}. Were they made by hand? Delete them, or give the installation another name"
        )


async def _configure(admin: AIOKafkaAdminClient, wanted: Mapping[str, Mapping[str, str]]) -> None:
    """Sets the topics' settings where they are not those that we want (an earlier version's, another retention)."""
    if not wanted:
        return
    replies = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in wanted])
    different = []
    for reply in replies:
        for code, message, _, name, entries in reply.resources:
            if code:
                raise LayoutError(f"the settings of {name} cannot be read: {message}")
            found = {entry[0]: entry[1] for entry in entries}
            if any(found.get(key) != value for key, value in wanted[name].items()):
                different.append(ConfigResource(ConfigResourceType.TOPIC, name, configs=dict(wanted[name])))
    for reply in await admin.alter_configs(different) if different else ():
        for code, message, _, name in reply.resources:
            if code:
                raise LayoutError(f"the settings of {name} cannot be set: {message}")
