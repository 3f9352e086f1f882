"""Three workers under `kill -9`, SIGSTOP past the session and graceful stops, on a real broker; then everything is
counted.

    make chaos MINUTES=3 [SEED=7]

A third of the stops are planted in a unit, between its outputs and its changelog (`streams.faults`): the worst moment
to fall asleep. Who has slept is woken when its partitions have other owners. Exit status 1 if anything was lost,
miscounted, stuck, or went back.
"""

from __future__ import annotations

import asyncio
import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

from deploy.kafka import EmbeddedKafka
from tests.streams.pipeline import Pipeline

NAMES = "xyz"
ACCOUNTS = "abcdefgh"
RECORDS = 200
PAUSE_SECONDS = 0.02


class Chaos:
    """The faults of one run."""

    def __init__(self, pipeline: Pipeline, seed: int) -> None:
        self._pipeline, self._random = pipeline, random.Random(seed)
        self.faults: Counter[str] = Counter()
        self.ends: Counter[int] = Counter()
        self._asleep: dict[str, float] = {}
        self._next = time.monotonic() + 5

    def start(self, name: str) -> None:
        """A worker; some stop by themselves in a unit."""
        stage, nth = self._random.choice(("route", "reconcile", "deliver")), self._random.randrange(50, 3000)
        planted = f"stop:{stage}:2:{nth}" if self._random.random() < 0.33 else ""
        self._pipeline.start(name, TANDEM_FAULT=planted)

    def tend(self) -> None:
        """The supervisor's part: wakes who has slept enough, starts anew who has ended."""
        now = time.monotonic()
        for name in [name for name, until in self._asleep.items() if now > until]:
            del self._asleep[name]
            self._pipeline.workers[name].send_signal(signal.SIGCONT)
        for name, worker in self._pipeline.workers.items():
            if (status := worker.poll()) is not None:
                self.ends[status] += 1
                self._asleep.pop(name, None)
                self.start(name)
            elif name not in self._asleep and self._pipeline.asleep(name):
                self._asleep[name] = now + 10
                self.faults["stopped in a unit"] += 1

    def strike(self) -> None:
        """Now and then, a fault."""
        now, awake = time.monotonic(), [name for name in self._pipeline.workers if name not in self._asleep]
        if now < self._next or not awake:
            return
        name = self._random.choice(awake)
        fault = self._random.choice(["kill", "kill", "stop", "stop", "term"])
        self.faults[fault] += 1
        how = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}[fault]
        self._pipeline.workers[name].send_signal(how)
        if fault == "stop":
            self._asleep[name] = now + self._random.choice([1, 5, 10])
        self._next = now + self._random.uniform(2, 7)

    def wake_all(self) -> None:
        """No more faults."""
        for name in self._asleep:
            self._pipeline.workers[name].send_signal(signal.SIGCONT)
        self._asleep.clear()


async def run(bootstrap: str, folder: Path, seconds: float, seed: int) -> str | None:
    """None: all counted. Else what fell short."""
    async with Pipeline(bootstrap, f"chaos{seed}", folder, ACCOUNTS) as pipeline:
        chaos, dice = Chaos(pipeline, seed), random.Random(seed + 1)
        for name in NAMES:
            chaos.start(name)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            account = dice.choice(ACCOUNTS)
            edit = pipeline.edit if account < ACCOUNTS[len(ACCOUNTS) // 2] else pipeline.edit_exactly
            await edit(account, *{f"{dice.randrange(RECORDS)}" for _ in range(dice.choice((1, 5, 50)))})
            await asyncio.sleep(PAUSE_SECONDS)
            chaos.tend()
            chaos.strike()
        chaos.wake_all()
        began = time.monotonic()

        async def tend() -> None:
            while True:
                chaos.tend()
                await asyncio.sleep(0.2)

        tending = asyncio.create_task(tend())
        try:
            await pipeline.settled(120)
        except AssertionError as stuck:
            return str(stuck)
        finally:
            tending.cancel()
        drained = time.monotonic() - began
        verdict = await pipeline.verdict()
        letters = len(await pipeline.letters())
        for name in NAMES:
            await pipeline.stop(name)
        indexes = sum(pipeline.indexes_wrong(name) for name in NAMES)
        print(
            f"{pipeline.sent.total()} edits, faults {dict(chaos.faults)}, ends {dict(chaos.ends)}, drained in {drained:.0f} s,"
            f" {verdict}, dead letters {letters},"
            f" entries of indexes wrong {indexes}"
        )
        return None if verdict.clean and not letters and not indexes else "edits were lost or miscounted"


def chaos(seconds: float, seed: int) -> int:
    """Runs on a Kafka of its own, and sums up in one line; the exit status."""

    async def whole() -> str | None:
        with tempfile.TemporaryDirectory(prefix="tandem-chaos-") as folder:
            async with EmbeddedKafka(Path(folder)) as kafka:
                return await run(kafka.bootstrap, Path(folder) / "work", seconds, seed)

    if (short := asyncio.run(whole())) is not None:
        print(short)
    print(f"chaos: seed {seed}, {seconds:.0f} s: {'fell short' if short else 'all counted'}")
    return 1 if short else 0
