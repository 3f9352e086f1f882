"""No orphans, however a parent ends. The parents here are real processes (`parent_of_one.py`) that really die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.errors import StartFailedError
from deploy.process import Command, Process, StopStep
from tests.deploy.watching import DEADLINE, gone, is_alive, until

PARENT = Path(__file__).with_name("parent_of_one.py")

# Writes what it hears into a file, and ends only at the signal that is its third argument.
LISTENER = """
import pathlib, signal, sys
heard = pathlib.Path(sys.argv[1])
def hear(number, frame):
    with heard.open("a") as file:
        file.write(signal.Signals(number).name + "\\n")
    if signal.Signals(number).name == sys.argv[2]:
        sys.exit(3)
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, hear)
pathlib.Path(sys.argv[1] + ".ready").touch()
while True:
    signal.pause()
"""


def listener(tmp_path: Path, ends_at: str) -> tuple[str, ...]:
    return (sys.executable, "-c", LISTENER, str(tmp_path / "heard"), ends_at)


def until_ready(tmp_path: Path) -> None:
    assert until((tmp_path / "heard.ready").exists)


class Parent:
    """A process that started one of its own through `deploy.process`, and says so."""

    def __init__(self, *argv: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, str(PARENT), *argv], stdout=subprocess.PIPE, start_new_session=True
        )
        assert self.popen.stdout is not None
        told = json.loads(self.popen.stdout.readline())
        self.child: int = told["child"]
        self.guardian: int = psutil.Process(self.child).ppid()
        self.fork: int | None = told["fork"]

    def close(self) -> None:
        for pid in (self.popen.pid, self.guardian, self.child, self.fork):
            if pid is not None and is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.popen.wait()
        assert self.popen.stdout is not None
        self.popen.stdout.close()


@pytest.fixture
def parent() -> Iterator[Parent]:
    family = Parent()
    yield family
    family.close()


async def test_a_process_that_ends_tells_its_status(tmp_path: Path) -> None:
    process = await Process.start(
        Command((sys.executable, "-c", "print('hello'); raise SystemExit(7)"), output=tmp_path / "log")
    )
    assert await process.wait() == 7
    assert process.returncode == 7
    assert (tmp_path / "log").read_text() == "hello\n"


async def test_a_process_that_is_killed_tells_the_signal() -> None:
    process = await Process.start(Command(("sleep", "1000")))
    assert process.returncode is None
    process.send_signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL


async def test_a_program_that_is_not_there_is_refused_with_its_name() -> None:
    with pytest.raises(StartFailedError, match="no-such-program"):
        await Process.start(Command(("/no-such-program",)))


async def test_it_gets_the_environment_and_the_folder_it_was_given(tmp_path: Path) -> None:
    script = "import os; print(os.environ['GREETING'], len(os.environ['LONG']), os.getcwd())"
    environment = {"GREETING": "hëllo", "LONG": "x" * 100_000}
    process = await Process.start(
        Command((sys.executable, "-X", "utf8", "-c", script), env=environment, cwd=tmp_path, output=tmp_path / "log")
    )
    assert await process.wait() == 0
    assert (tmp_path / "log").read_text() == f"hëllo 100000 {tmp_path}\n"


async def test_stopping_sends_the_signals_in_order_and_goes_no_further_than_needed(tmp_path: Path) -> None:
    steps = (StopStep(signal.SIGINT, 0.2), StopStep(signal.SIGTERM, DEADLINE))
    process = await Process.start(Command(listener(tmp_path, "SIGTERM"), stop=steps))
    until_ready(tmp_path)
    assert await process.stop() == 3
    assert (tmp_path / "heard").read_text().split() == ["SIGINT", "SIGTERM"]


async def test_one_that_hears_nothing_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    process = await Process.start(Command(listener(tmp_path, "never"), stop=(StopStep(signal.SIGTERM, 0.2),)))
    until_ready(tmp_path)
    assert await process.stop() == -signal.SIGKILL
    assert await process.stop() == -signal.SIGKILL  # again: harmless


async def test_one_that_was_stopped_by_sigstop_is_ended_in_order_too(tmp_path: Path) -> None:
    process = await Process.start(Command(listener(tmp_path, "SIGTERM")))
    until_ready(tmp_path)
    process.send_signal(signal.SIGSTOP)
    assert await process.stop() == 3


async def test_children_in_its_group_go_with_it(tmp_path: Path) -> None:
    script = f"sleep 1000 & echo $! > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/heard.ready; wait"
    process = await Process.start(Command(("/bin/sh", "-c", script)))
    until_ready(tmp_path)
    await process.stop()
    assert gone([int((tmp_path / "heard.ready").read_text())])


def test_kill_9_of_the_parent_ends_the_process(parent: Parent) -> None:
    os.kill(parent.popen.pid, signal.SIGKILL)
    assert gone([parent.child, parent.guardian])


def test_sigterm_of_a_parent_that_does_not_handle_it_ends_the_process(parent: Parent) -> None:
    os.kill(parent.popen.pid, signal.SIGTERM)
    assert gone([parent.child, parent.guardian])


def test_kill_9_of_the_guardian_ends_the_process(parent: Parent) -> None:
    os.kill(parent.guardian, signal.SIGKILL)
    assert gone([parent.child])


def test_kill_9_of_parent_and_guardian_at_once_ends_the_process(parent: Parent) -> None:
    os.kill(parent.guardian, signal.SIGSTOP)  # so that it cannot be quicker than the next kill
    os.kill(parent.popen.pid, signal.SIGKILL)
    os.kill(parent.guardian, signal.SIGKILL)
    assert gone([parent.child, parent.guardian])


def test_kill_9_of_the_parent_ends_the_process_though_a_fork_of_the_parent_holds_the_pipe() -> None:
    family = Parent("--fork")
    try:
        os.kill(family.popen.pid, signal.SIGKILL)
        assert gone([family.child, family.guardian])
        assert family.fork is not None
        assert is_alive(family.fork)  # else this tested nothing
    finally:
        family.close()


def test_the_process_outlives_the_thread_that_started_it() -> None:
    family = Parent("--thread")
    try:
        # The thread was over before the parent told of the child. A signal for its end would have come by now.
        assert not until(lambda: not is_alive(family.child), seconds=0.3)
        os.kill(family.popen.pid, signal.SIGKILL)
        assert gone([family.child, family.guardian])
    finally:
        family.close()


def test_ctrl_c_reaches_the_parent_alone(parent: Parent) -> None:
    """A terminal sends SIGINT to its whole foreground group; the order of stopping is the parent's to decide."""
    assert os.getpgid(parent.child) != os.getpgid(parent.popen.pid)
    assert os.getpgid(parent.guardian) != os.getpgid(parent.popen.pid)
    os.killpg(parent.popen.pid, signal.SIGINT)
    assert parent.popen.stdout is not None
    assert json.loads(parent.popen.stdout.readline()) == {
        "child_when_interrupted": "running",
        "stopped": -signal.SIGTERM,
    }
    assert gone([parent.child, parent.guardian])
