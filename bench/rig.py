"""What the benchmarks run on: a real `tandem up` with its embedded broker, between two databases of an embedded PostgreSQL."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import psycopg

from deploy.postgres import EmbeddedPostgres
from tests.end_to_end.engine import Engine


@asynccontextmanager
async def rig(ddl: dict[str, str], broker: str | None = None) -> AsyncIterator[Engine]:
    """An engine that is not yet up; gives everything back."""
    folder = Path(tempfile.mkdtemp(prefix="tandem-bench-"))
    server = EmbeddedPostgres(folder)
    await server.start()
    engine: Engine | None = None
    try:
        urls: dict[str, str] = {}
        for account, statements in ddl.items():
            urls[account] = await server.create_database(account)
            with psycopg.connect(urls[account], autocommit=True) as connection:
                connection.execute(statements)
        engine = Engine(folder, broker, "bench", urls)
        yield engine
    finally:
        if engine is not None:
            await asyncio.to_thread(engine.close)
        await server.stop()
        server.discard()
        shutil.rmtree(folder, ignore_errors=True)


def resident_mb(pids: list[int]) -> float:
    """The resident memory of the processes and of their children, in MB."""
    total = 0
    for pid in pids:
        process = psutil.Process(pid)
        total += sum(one.memory_info().rss for one in [process, *process.children(recursive=True)])
    return total / 1e6


def processor_seconds(pid: int) -> float:
    """The processor time that a process and its children have used so far: what it costs, however busy the machine is."""
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in [process, *process.children(recursive=True)]]
    return sum(one.user + one.system for one in times)


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
