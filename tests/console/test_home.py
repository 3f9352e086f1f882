"""One process per role and home; what a crash leaves behind is nothing running."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from console.errors import FailedError
from console.home import Home, Role, Running


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def running(pid: int) -> Running:
    return Running(pid=pid, since=time.time() - 300, installation="acme", broker="kafka://127.0.0.1:1")


def test_a_second_process_in_a_role_is_refused_and_told_who_has_it(home: Home) -> None:
    with Role(home, "up", "tandem up") as role:
        role.describe(running(4711))
        with (
            pytest.raises(FailedError, match=r"tandem up already runs on .*home \(process 4711, for 5 min\)"),
            Role(home, "up", "tandem up"),
        ):
            pass
        assert home.running() == role_description(home)


def role_description(home: Home) -> Running | None:
    return home.running("up")


def test_another_role_is_free(home: Home) -> None:
    with Role(home, "broker", "tandem broker"), Role(home, "up", "tandem up"):
        assert home.is_taken("broker")


def test_nothing_runs_after_the_role_has_ended(home: Home) -> None:
    with Role(home, "up", "tandem up") as role:
        role.describe(running(1))
    assert home.running() is None
    assert not home.is_taken()


def test_what_a_killed_process_leaves_behind_is_not_running(home: Home) -> None:
    program = (
        "import sys, time; from pathlib import Path; from console.home import *\n"
        "home = Home(Path(sys.argv[1])); role = Role(home, 'up', 'tandem up').__enter__()\n"
        "role.describe(Running(1, 0.0, 'acme', 'kafka://x')); print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(home.path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert home.running() is not None
        process.kill()
    assert (home.path / "up.json").exists()
    assert home.running() is None
    with Role(home, "up", "tandem up"):
        assert home.running() is None  # not yet described: the old description is gone


def test_asking_does_not_stand_in_the_way_of_starting(home: Home) -> None:
    """Whoever asks holds a shared lock for a moment, so a start tries again for a second."""
    import fcntl
    import os
    import threading

    home.path.mkdir(parents=True)
    asking = os.open(home.path / "up.lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(asking, fcntl.LOCK_SH)
    threading.Timer(0.1, os.close, (asking,)).start()
    with Role(home, "up", "tandem up"):
        assert home.is_taken()
