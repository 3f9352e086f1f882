"""A pipeline of the counting twins under test: its topics, its workers as processes, its inputs, and what came out.

Every account `x` edits in its connection `x~x2`, whose commands go to `x2`. What came out is read from the topics and
the disk, never from the workers.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec
import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP
from rocksdict import Rdict

from rules.catalog import Value
from rules.config import BrokerConfig
from rules.events import Captured, Command, Commands, DeadLetter, Event, Row
from rules.version import Version
from schemas import decode, encode, encode_change
from streams import keys
from streams.broker import Broker
from streams.config import publish, send_orders
from streams.disk import options
from streams.housekeeper import Housekeeper
from streams.protocols import Configuration
from streams.topics import MARKER, MESSAGE_BYTES, Topics, ensure_topics
from tests.streams.counting import EXACT, index_changes
from tests.streams.verdict import Verdict, count_of, verdict_of
from tests.streams.worker import PARTITIONS

ROOT = Path(__file__).parent.parent.parent
T = TypeVar("T")


class Pipeline:
    """`async with Pipeline(bootstrap, name, folder)`: topics and configuration are there; workers end with it."""

    def __init__(
        self, broker: str | dict[str, Any], name: str, folder: Path, accounts: Iterable[str] = ("a", "b")
    ) -> None:
        """`broker`: host:port, or as sync.yaml has it."""
        self.said = {"url": f"kafka://{broker}"} if isinstance(broker, str) else broker
        self.name, self.folder, self.accounts = name, folder, tuple(accounts)
        self.broker = Broker.of(BrokerConfig.model_validate(self.said))
        self.topics = Topics(name, PARTITIONS)
        self.sent: Counter[tuple[str, str]] = Counter()  # (account, record): edits
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self._serial = 0

    async def __aenter__(self) -> Self:
        await ensure_topics(self.broker, self.name, partitions=PARTITIONS, retention=timedelta(days=30))
        await publish(self.broker, self.topics, self.configuration(1))
        self.producer = AIOKafkaProducer(
            **self.broker.client(), enable_idempotence=True, linger_ms=0, max_request_size=MESSAGE_BYTES
        )
        await self.producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.producer.stop()
        for worker in self.workers.values():
            worker.send_signal(signal.SIGKILL)
            worker.wait()

    def configuration(self, version: int) -> Configuration:
        """A sync per account."""
        syncs = {account: {"between": {account: "contacts", f"{account}2": "contacts"}} for account in self.accounts}
        return Configuration(version, self.name, {"syncs": syncs})

    # ---------------------------------------------------------------- workers

    def start(self, worker: str, **environment: str) -> subprocess.Popen[bytes]:
        """A worker with a state folder of its own, whose output is beside it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{worker}.log").open("ab") as log:
            self.workers[worker] = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.streams.worker",
                    json.dumps(self.said),
                    self.name,
                    str(self.folder / worker),
                ],
                cwd=ROOT,
                env=os.environ | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self.workers[worker]

    def log(self, worker: str) -> str:
        """What a worker has said."""
        return (self.folder / f"{worker}.log").read_text()

    async def stop(self, worker: str) -> int:
        """Ends a worker as Ctrl-C does; its exit status."""
        process = self.workers[worker]
        process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(process.wait, 15)

    async def ended(self, worker: str, seconds: float = 20) -> int:
        """The exit status of a worker that is to end by itself."""
        return await asyncio.to_thread(self.workers[worker].wait, seconds)

    async def until(self, holds: Callable[[], bool], what: str, seconds: float = 20) -> None:
        """Waits for a condition of this process or the workers' logs."""
        ends = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > ends:
                logs = "\n".join(f"--- {name}\n{self.log(name)[-3000:]}" for name in self.workers)
                raise AssertionError(f"not within {seconds} s: {what}\n{logs}")
            await asyncio.sleep(0.05)

    async def live(self, worker: str, times: int = 1) -> None:
        """Until the worker works on its partitions, for the `times`-th time."""
        await self.until(lambda: self.log(worker).count("working on partitions") >= times, f"{worker} is live")

    def asleep(self, worker: str) -> bool:
        """Whether the worker has stopped itself."""
        return psutil.Process(self.workers[worker].pid).status() == psutil.STATUS_STOPPED

    async def eventually(
        self, holds: Callable[[T], bool], look: Callable[[], Awaitable[T]], seconds: float = 20
    ) -> None:
        """Waits for a condition of the topics."""
        ends = time.monotonic() + seconds
        while not holds(found := await look()):
            assert time.monotonic() < ends, found
            await asyncio.sleep(0.1)

    # ---------------------------------------------------------------- inputs

    async def edit(self, account: str, *records: str, config: int = 1, values: dict[str, Value] | None = None) -> int:
        """One message with an edit of each record, in `changes`; its offset. `values`: more that each row says."""
        data = encode_change(self._edits(account, records, values), config=config)
        return await self.put(self.topics.changes, account, data)

    async def edit_exactly(self, account: str, *records: str) -> int:
        """The same in the inbox, past route, which may send twice what comes from `changes`; its offset."""
        event = msgspec.structs.replace(self._edits(account, records), read=EXACT)
        return await self.put(self.topics.inbox, self.connection(account), encode(event))

    async def command(self, account: str, record: str) -> int:
        """A command for the account's counterpart that nobody has decided on; its offset."""
        to, seq = f"{account}2", self.sent[account, record]
        self.sent[account, record] += 1
        command = Command("contacts", record, seq, f"{record}/{seq}", "update", record, {"n": seq + 1}, {})
        return await self.put(
            self.topics.commands, to, encode(Commands(self.connection(account), to, "contacts", (command,)))
        )

    def _edits(self, account: str, records: Iterable[str], more: dict[str, Value] | None = None) -> Captured:
        self._serial += 1
        rows = []
        for record in records:
            rows.append(Row(record, {"seq": self.sent[account, record], **(more or {})}, Version(self._serial)))
            self.sent[account, record] += 1
        return Captured(account, "contacts", tuple(rows))

    async def put(self, topic: str, key: str, data: bytes) -> int:
        """Any message, in the partition of its key; its offset."""
        partition = self.topics.partition_of(key) if topic != self.topics.config else 0
        written = await self.producer.send_and_wait(topic, data, key.encode(), partition=partition)
        return int(written.offset)

    async def order(self, account: str, event: Event) -> None:
        """An event in the inbox of the account's connection."""
        await send_orders(self.broker, self.topics, [(self.connection(account), event)])

    def connection(self, account: str) -> str:
        """The account's connection."""
        return f"{account}~{account}2"

    # ---------------------------------------------------------------- what came out

    async def markers(self) -> dict[tuple[int, bytes], bytes]:
        """The newest marker of each partition of the changelog."""
        found = await self.everything(self.topics.state, markers=True)
        return {(message.partition, message.key): message.value for message in found if message.key == MARKER}

    async def everything(self, topic: str, *, markers: bool = False) -> list[ConsumerRecord]:
        """All messages of a topic, markers aside."""
        consumer = AIOKafkaConsumer(**self.broker.client(), enable_auto_commit=False, fetch_max_wait_ms=50)
        await consumer.start()
        try:
            count = 1 if topic == self.topics.config else self.topics.partitions
            tps = [TopicPartition(topic, partition) for partition in range(count)]
            consumer.assign(tps)
            await consumer.seek_to_beginning(*tps)
            ends = await consumer.end_offsets(tps)
            found: list[ConsumerRecord] = []
            while any([await consumer.position(tp) < ends[tp] for tp in tps]):
                for messages in (await consumer.getmany(timeout_ms=200)).values():
                    found += [message for message in messages if markers or not (message.key or b"").startswith(b"\0")]
            return found
        finally:
            await consumer.stop()

    async def state(self) -> dict[tuple[int, bytes], bytes]:
        """The state as the changelog has it."""
        found = {}
        for message in await self.everything(self.topics.state):
            found[message.partition, message.key] = message.value
        return {place: value for place, value in found.items() if value is not None}

    async def letters(self) -> list[DeadLetter]:
        """All dead letters."""
        found = [decode(message.value) for message in await self.everything(self.topics.dead_letters)]
        assert all(isinstance(letter, DeadLetter) for letter in found)
        return found  # type: ignore[return-value]

    def state_key(self, account: str, record: str) -> tuple[int, bytes]:
        """Where the state of a record is."""
        connection = self.connection(account)
        return self.topics.partition_of(connection), keys.connection(connection) + b"l" + record.encode()

    async def settled(self, seconds: float = 30) -> None:
        """Until the state holds every edit and every answer."""
        ends = time.monotonic() + seconds
        while True:
            state = await self.state()
            missing = [place for place in self.sent if not self._is_settled(state, place)]
            if not missing:
                return
            if time.monotonic() > ends:
                logs = "\n".join(f"--- {name}\n{self.log(name)[-2000:]}" for name in self.workers)
                raise AssertionError(
                    f"{len(missing)} records not settled in {seconds} s, such as {missing[:3]}\n{logs}"
                )
            await asyncio.sleep(0.1)

    def _is_settled(self, state: dict[tuple[int, bytes], bytes], place: tuple[str, str]) -> bool:
        raw = state.get(self.state_key(*place))
        return raw is not None and count_of(raw).answered == self.sent[place] - 1

    async def settles(self, seconds: float) -> bool:
        """Whether the state comes to hold every edit and every answer within the time."""
        try:
            await self.settled(seconds)
        except AssertionError:
            return False
        return True

    async def until_in_state(self, place: tuple[int, bytes], holds: Callable[[bytes], bool], seconds: float) -> None:
        """Until an entry of the changelog is as it should be; follows the changelog, for large states."""
        consumer = AIOKafkaConsumer(**self.broker.client(), enable_auto_commit=False, auto_offset_reset="earliest")
        await consumer.start()
        try:
            tp = TopicPartition(self.topics.state, place[0])
            consumer.assign([tp])
            async with asyncio.timeout(seconds):
                while True:
                    for message in (await consumer.getmany(timeout_ms=100)).get(tp, ()):
                        if message.key == place[1] and message.value is not None and holds(message.value):
                            return
        finally:
            await consumer.stop()

    async def until_settled(self, account: str, record: str) -> None:
        """Until the state holds every edit and answer of one record."""
        ends = time.monotonic() + 20
        while not self._is_settled(await self.state(), (account, record)):
            assert time.monotonic() < ends, f"{record} is not settled"
            await asyncio.sleep(0.1)

    def disk(self, worker: str) -> dict[tuple[int, bytes], bytes]:
        """What is on the disk of a worker that has ended; without what says who wrote it, and when."""
        found: dict[tuple[int, bytes], bytes] = {}
        for path in sorted((self.folder / worker).rglob("state-*.db")):
            partition = int(path.stem.rpartition("-")[2])
            database = Rdict(str(path), options=options())
            own = (b"\0", b"__faust")
            items: Any = database.items()
            found |= {(partition, key): value for key, value in items if not key.startswith(own)}
            database.close()
        return found

    def indexes_wrong(self, worker: str) -> int:
        """How many entries of the disk's indexes are not those that follow from the state beside them."""
        on_disk = self.disk(worker)
        expected: set[tuple[int, bytes]] = set()
        for partition, key in on_disk:
            if key.startswith(keys.RULES):
                prefix, own = keys.split_rules(key)
                if own.startswith(b"l"):
                    expected |= {
                        (partition, prefix + index) for index in index_changes(own, None, on_disk[partition, key])
                    }
        found = {(p, key) for p, key in on_disk if key.startswith(keys.RULES) and keys.split_rules(key)[1][:1] == b"i"}
        return len(found ^ expected)

    async def configure(self, version: int) -> None:
        """The same configuration under a newer version."""
        await publish(self.broker, self.topics, self.configuration(version))

    async def until_committed(self, group: AIOKafkaConsumer, tp: TopicPartition, offset: int) -> None:
        """Commits in the name of the workers' group, as soon as it has no members."""
        ends = time.monotonic() + 15
        while True:
            try:
                await group.commit({tp: offset})
            except KafkaError:
                assert time.monotonic() < ends, "the group still has members"
                await asyncio.sleep(0.1)
            else:
                return

    def housekeeper(
        self, consumed: dict[TopicPartition, int]
    ) -> Callable[[timedelta, float], Awaitable[dict[Any, int]]]:
        """Sweeps, for a retention and a time: `Housekeeper.sweep`."""
        positions = {TP(tp.topic, tp.partition): offset for tp, offset in consumed.items()}
        return lambda retention, now: Housekeeper(self.broker, retention, lambda: positions).sweep(now)

    async def begins(self, tp: TopicPartition) -> int:
        """The first offset of a log."""
        consumer = AIOKafkaConsumer(**self.broker.client())
        await consumer.start()
        try:
            return int((await consumer.beginning_offsets([tp]))[tp])
        finally:
            await consumer.stop()

    async def verdict(self) -> Verdict:
        """Counts, once settled."""
        return await verdict_of(self)
