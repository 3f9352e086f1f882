"""The guardian of one process: starts it, and ends it in order when its parent is gone, however the parent went.

Responsible for that alone; must not know what the process is. It is run as a script by `process.py`, from the standard
library only and without site packages, so that it is up in some 20 ms and stays at 12 MB.

    guardian.py ORDERS REPORTS PARENT

ORDERS is a pipe: one line of JSON says what to start (`process.Command`); its end says stop. The end comes when the
parent closes it and also when the parent dies, since the kernel closes it then. PARENT's pid is watched too (where the
system has pidfds): a process that the parent forked may hold the pipe open. REPORTS gets one line of JSON when the
process runs or could not be started, one when it ended.

Whom nothing watches is the guardian itself: so the process gets a signal from the kernel when its guardian dies
(Linux). That signal follows the thread that forked; the guardian has just one. Both live in sessions of their own: a
terminal's Ctrl-C reaches the parent alone, which stops its processes in the order it knows.
"""

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1


def parent_watch(parent: int) -> int | None:
    """A descriptor that becomes readable when the parent dies, or None where the system has none."""
    try:
        return os.pidfd_open(parent)
    except (AttributeError, OSError):
        return None


def read_line(orders: int) -> bytes:
    """The first line; empty if the parent died before it had said it all."""
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(orders, 65536)
        if not piece:
            return b""
        line += piece
    return line


def report(reports: int, **words: Any) -> None:
    """Tell the parent, if there still is one."""
    with contextlib.suppress(OSError):
        os.write(reports, json.dumps(words).encode() + b"\n")


def start(command: dict[str, Any]) -> "subprocess.Popen[bytes]":
    """The process in a session of its own, as the user it is to be, bound to the life of this guardian."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    guardian = os.getpid()
    first_signal = command["stop"][0][0]

    def bind_to_guardian() -> None:
        # Runs after the change of user, which would have taken the setting back.
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, first_signal)
        if os.getppid() != guardian:
            os._exit(1)

    with contextlib.ExitStack() as files:
        output = None
        if command["output"] is not None:
            output = files.enter_context(open(command["output"], "ab"))  # noqa: PTH123 - pathlib doubles the start time
        identity = command["identity"] or {}
        return subprocess.Popen(
            command["argv"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=command["env"],
            cwd=command["cwd"],
            pass_fds=command["keep_open"],
            start_new_session=True,
            preexec_fn=bind_to_guardian,  # noqa: PLW1509 - safe here: this process has one thread
            **identity,
        )


def has_ended(pid: int) -> bool:
    """Whether the process ended; it stays unreaped, so that its pid, and its group's, cannot be another's yet."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


class Guard:
    """Waits for one of three: the process ended, an order to stop, the parent's death."""

    def __init__(self, orders: int, parent: int) -> None:
        self._ppid = parent
        self._selector = selectors.DefaultSelector()
        self._selector.register(orders, selectors.EVENT_READ)
        watch = parent_watch(parent)
        if watch is not None:
            self._selector.register(watch, selectors.EVENT_READ)
        self._wake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(self._wake, False)
        self._signals = selectors.DefaultSelector()
        self._signals.register(self._wake, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._asked = False
        # Handlers rather than SIG_IGN: what is ignored stays ignored in the process that is started.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGHUP, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def _ask(self, *_: object) -> None:
        self._asked = True

    def until_stop(self, pid: int) -> None:
        """Return when the process ended or is to be stopped."""
        while not has_ended(pid) and not self._asked and os.getppid() == self._ppid:
            for key, _ in self._selector.select():
                if key.fd == self._wake:
                    self._drain()
                else:
                    return

    def until_ended(self, pid: int, seconds: float) -> bool:
        """Wait so long for the process to end; whether it did."""
        deadline = time.monotonic() + seconds
        while not has_ended(pid):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._signals.select(left):
                self._drain()
        return True

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 4096)


def main() -> None:
    orders, reports, parent = (int(word) for word in sys.argv[1:4])
    guard = Guard(orders, parent)
    line = read_line(orders)
    if not line:
        return
    command = json.loads(line)
    try:
        process = start(command)
    except (OSError, subprocess.SubprocessError) as error:
        report(reports, error=str(error))
        return
    report(reports, pid=process.pid)
    guard.until_stop(process.pid)
    for number, grace in command["stop"]:
        if has_ended(process.pid):
            break
        os.kill(process.pid, number)
        os.kill(process.pid, signal.SIGCONT)  # one that was stopped hears the signal only when it goes on
        if guard.until_ended(process.pid, grace):
            break
    # What is left of its group goes with it: the whole of it where it did not listen, stragglers where it did. It is not
    # reaped yet, so neither number can be another's.
    for kill in (os.kill, os.killpg):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(process.pid, signal.SIGKILL)
    report(reports, status=process.wait())


if __name__ == "__main__":
    main()
