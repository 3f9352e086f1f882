"""Workers as processes: what they are handed, and what becomes of them when they end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from console.errors import FailedError
from console.handover import WorkerStart, broker_words
from console.home import WorkerEntry
from console.supervisor import Workers, last_message, launch
from rules.config import BrokerConfig

pytestmark = pytest.mark.e2e


@pytest.fixture
def nowhere() -> Iterator[int]:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def start_of(tmp_path: Path, broker: dict[str, object]) -> WorkerStart:
    return WorkerStart(
        number=1,
        installation="acme",
        broker=broker,
        folder=str(tmp_path / "workers" / "1"),
        file=str(tmp_path / "sync.yaml"),
        log_file=str(tmp_path / "logs" / "worker-1.log"),
        log_level="info",
        retention_s=60.0,
    )


def test_what_is_handed_over_comes_out_the_same() -> None:
    config = BrokerConfig.model_validate(
        {"url": "kafka://a:1,b", "sasl": {"mechanism": "PLAIN", "username": "u", "password": "secret-word"}}
    )
    start = start_of(Path("/nowhere"), broker_words(config))
    reach = WorkerStart.decode(msgspec.json.encode(start)).reach()
    assert (reach.servers, reach.login, reach.context) == (("a:1", "b:9092"), ("PLAIN", "u", "secret-word"), None)


async def test_a_secret_is_in_no_argument_environment_or_file(tmp_path: Path, nowhere: int) -> None:
    config = BrokerConfig.model_validate(
        {
            "url": f"kafka://127.0.0.1:{nowhere}",
            "sasl": {"mechanism": "PLAIN", "username": "u", "password": "secret-word"},
        }
    )
    process = await launch(start_of(tmp_path, broker_words(config)))
    try:
        async with asyncio.timeout(30):
            while not (tmp_path / "logs" / "worker-1.log").exists():  # noqa: ASYNC110 - it has read the pipe by then
                await asyncio.sleep(0.02)
        running = psutil.Process(process.pid)
        assert "console.worker_process" in " ".join(running.cmdline())
        assert "secret-word" not in " ".join(running.cmdline()) + json.dumps(running.environ())
    finally:
        await process.stop()
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"secret-word" not in path.read_bytes()


async def test_a_worker_that_ends_is_started_again_until_told_to_stop(tmp_path: Path, nowhere: int) -> None:
    said: list[str] = []
    pids: set[int] = set()
    entries: tuple[WorkerEntry, ...] = ()

    def changed(now: tuple[WorkerEntry, ...]) -> None:
        nonlocal entries
        entries = now
        pids.update(entry.pid for entry in now)

    workers = Workers([start_of(tmp_path, {"url": f"kafka://127.0.0.1:{nowhere}"})], said.append, changed)
    running = asyncio.create_task(workers.run())
    async with asyncio.timeout(60):
        while len(pids) < 2:  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.05)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert said[0].startswith("worker 1 ended (status ")
    assert said[0].endswith("; it is started again")
    assert entries == ()
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_where_no_start_can_help_it_says_why_and_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_file = tmp_path / "logs" / "worker-1.log"
    log_file.parent.mkdir()
    log_file.write_text(json.dumps({"level": "critical", "message": "the topics have 3 and 8 partitions"}) + "\n")

    async def ended(_: Workers, __: WorkerStart) -> int:
        return 78

    monkeypatch.setattr(Workers, "_live", ended)
    workers = Workers([start_of(tmp_path, {"url": "kafka://x"})], lambda _: None, lambda _: None)
    with pytest.raises(ExceptionGroup) as caught:
        await workers.run()
    (error,) = caught.value.exceptions
    assert isinstance(error, FailedError)
    assert "the topics have 3 and 8 partitions" in error.remedy
    assert str(log_file) in error.remedy


def test_the_last_message_is_the_last_that_tells_of_trouble(tmp_path: Path) -> None:
    log_file = tmp_path / "worker.log"
    lines = [
        {"level": "error", "message": "first"},
        {"level": "critical", "message": "last"},
        {"level": "info", "message": "bye"},
    ]
    log_file.write_text("no json\n" + "".join(json.dumps(line) + "\n" for line in lines) + "torn {")
    assert last_message(log_file) == f"last. Its log is {log_file}."
    assert last_message(tmp_path / "none.log") == f"Its log is {tmp_path / 'none.log'}."
