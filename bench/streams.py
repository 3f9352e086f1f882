"""The streams alone: latency and throughput of route, reconcile and deliver with trivial rules and lanes, recovery,
memory.

    python -m bench.streams [--quick]

A worker of the counting twins (`tests.streams`) on a Kafka of its own. Latency is from before a change is sent into
`changes` until its result has been read from the inbox: four topics, three units of work. Recovery reads a changelog
into an empty disk, with its indexes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition
from rocksdict import Rdict

from bench.rig import percentile
from deploy.kafka import EmbeddedKafka
from rules.events import Commands, Results
from schemas import decode
from streams import keys
from streams.broker import Broker
from streams.disk import Disk, options
from streams.fence import Writer
from streams.recovery import Recovery
from streams.topics import ensure_topics
from tests.streams.counting import Count, index_changes
from tests.streams.pipeline import Pipeline

RATE = 50
ROWS = 200
FIELDS = {f"field_{index}": f"a value of {index}" for index in range(10)}


async def _latency(pipeline: Pipeline, seconds: float) -> None:
    """Single changes at a steady rate."""
    sent: dict[str, float] = {}
    commands: list[float] = []
    results: list[float] = []
    topics, run = pipeline.topics, f"l{time.monotonic_ns()}"
    consumer = AIOKafkaConsumer(**pipeline.broker.client(), enable_auto_commit=False, fetch_max_wait_ms=100)
    await consumer.start()
    tps = [
        TopicPartition(topics.commands, topics.partition_of("a2")),
        TopicPartition(topics.inbox, topics.partition_of("a~a2")),
    ]
    consumer.assign(tps)
    await consumer.seek_to_end(*tps)
    for tp in tps:
        await consumer.position(tp)

    async def watch() -> None:
        while len(results) < seconds * RATE:
            for messages in (await consumer.getmany(timeout_ms=100)).values():
                now = time.perf_counter()
                for message in messages:
                    match decode(message.value):
                        case Commands(commands=(command, *_)):
                            commands.append(now - sent[command.link])
                        case Results(answers=(answer, *_)):
                            results.append(now - sent[answer.link])
                        case _:
                            pass

    watching = asyncio.create_task(watch())
    began = time.perf_counter()
    for number in range(int(seconds * RATE)):
        await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
        sent[f"{run}-{number}"] = time.perf_counter()
        await pipeline.edit("a", f"{run}-{number}")
    await asyncio.wait_for(watching, 30)
    await consumer.stop()
    for name, found in (("command", commands), ("result", results)):
        print(
            f"latency, {RATE} changes/s, until the {name} is stored: "
            f"p50 {percentile(found, 0.5) * 1e3:.1f} ms, p99 {percentile(found, 0.99) * 1e3:.1f} ms"
        )


async def _throughput(pipeline: Pipeline, rows: int) -> None:
    """Batches as fast as they go, until the last result is in the state."""
    worker = psutil.Process(pipeline.workers["x"].pid)
    began, cpu, run = time.perf_counter(), sum(worker.cpu_times()[:2]), f"t{time.monotonic_ns()}"
    for batch in range(rows // ROWS):
        records = [f"{run}-{batch * ROWS + number}" for number in range(ROWS)]
        await pipeline.edit("a", *records, values=cast(dict[str, Any], FIELDS))
    last = pipeline.state_key("a", f"{run}-{rows - 1}")
    await pipeline.until_in_state(last, lambda raw: msgspec.msgpack.decode(raw, type=Count).answered == 0, 300)
    seconds = time.perf_counter() - began
    cpu = sum(worker.cpu_times()[:2]) - cpu
    print(
        f"throughput, {rows} records of 10 fields in batches of {ROWS}, to the last result: {rows / seconds:.0f} records/s,"
        f" {cpu / rows * 1e6:.0f} us of the worker's CPU a record; worker {worker.memory_info().rss / 1e6:.0f} MB"
    )


async def _recovery(bootstrap: str, folder: Path, entries: int) -> None:
    """A changelog into an empty disk."""
    broker = Broker((bootstrap,))
    topics = await ensure_topics(broker, "recovery", partitions=1, retention=timedelta(days=1))
    writer = await Writer(broker, "recovery", 0, (topics.state,)).take_over()
    prefix = keys.connection("a~a2")
    encode, marker = msgspec.msgpack.encode, 0
    for first in range(0, entries, 1000):
        state = [(prefix + b"l%d" % n, encode(Count(n % 7, n, n))) for n in range(first, first + 1000)]
        marker = await writer.append(topics.state, state)
    database = Rdict(str(folder / "recovered"), options=options())
    store = SimpleNamespace(database=lambda _: database, offset_key=Disk.offset_key)
    began = time.perf_counter()
    count = await Recovery(broker, topics.state, cast(Any, store), index_changes).run({0: marker})
    seconds = time.perf_counter() - began
    await writer.close()
    database.close()
    print(f"recovery, {count} entries with an index each: {count / seconds:.0f} entries/s")


async def run(quick: bool) -> None:
    """Prints a line per figure."""
    folder = Path(tempfile.mkdtemp(prefix="tandem-bench-"))
    try:
        async with EmbeddedKafka(folder) as kafka, Pipeline(kafka.bootstrap, "bench", folder / "work") as pipeline:
            began = time.perf_counter()
            pipeline.start("x")
            await pipeline.live("x")
            print(f"start, until live: {time.perf_counter() - began:.1f} s; load {os.getloadavg()[0]:.1f}")
            await _latency(pipeline, 2)  # warm
            await _latency(pipeline, 5 if quick else 30)
            await _throughput(pipeline, 20_000 if quick else 200_000)
            pipeline.workers["x"].kill()
            pipeline.workers["x"].wait()
            began = time.perf_counter()
            pipeline.start("x")
            await pipeline.live("x", times=2)
            print(f"start after a kill, until live: {time.perf_counter() - began:.1f} s")
            await _recovery(kafka.bootstrap, folder, 50_000 if quick else 300_000)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Runs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    asyncio.run(run(parser.parse_args().quick))


if __name__ == "__main__":
    main()
