"""Runs `tandem`, each command in a process of its own, without importing it anew every time.

A server has imported everything once and forks for each command: a command that answers in 50 ms is not made to take
half a second by Python's start, of which a run of all tests would else pay hundreds. What differs from the shell is
only that: arguments, environment, output and exit status are those of the entry point. Must not know what is run.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

Done = subprocess.CompletedProcess[str]

# ---------------------------------------------------------------- the tests' side


class Commands:
    """The server, started with the first command; it ends with this process, however that ends."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()

    def run(self, arguments: Sequence[str], environment: Mapping[str, str], timeout: float) -> Done:
        """Runs a command to its end. Raises `subprocess.TimeoutExpired`, and ends it then."""
        request = json.dumps({"arguments": list(arguments), "environment": dict(environment)}).encode()
        with (
            socket.socket(socket.AF_UNIX) as connection,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            connection.connect(self._started())
            connection.settimeout(timeout)
            socket.send_fds(connection, [len(request).to_bytes(4, "big")], [out.fileno(), err.fileno()])
            connection.sendall(request)
            with connection.makefile() as answers:
                child = int(answers.readline())
                try:
                    status = int(answers.readline())
                except TimeoutError:
                    os.kill(child, signal.SIGKILL)
                    raise subprocess.TimeoutExpired(list(arguments), timeout) from None
            texts = [(file.seek(0), file.read().decode())[1] for file in (out, err)]
        return subprocess.CompletedProcess(list(arguments), status, *texts)

    def _started(self) -> str:
        with self._lock:
            if self._server is None:
                self._folder = tempfile.TemporaryDirectory(prefix="tandem-commands-")
                words = [sys.executable, "-m", __name__, self._path]
                self._server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                assert self._server.stdout is not None
                self._server.stdout.readline()  # it listens
                atexit.register(self.close)
            return self._path

    @property
    def _path(self) -> str:
        assert self._folder is not None
        return str(Path(self._folder.name) / "socket")

    def close(self) -> None:
        """Ends the server."""
        if self._server is not None and self._folder is not None:
            self._server.communicate()  # closes its standard input, by which it ends
            self._folder.cleanup()
            self._server = None


COMMANDS = Commands()

# ---------------------------------------------------------------- the server's side


def serve(path: str) -> None:
    """Forks for each connection until standard input is closed."""
    from console.cli import COMMANDS as KNOWN

    for module in {module for module, _ in KNOWN.values()}:
        with contextlib.suppress(ImportError):  # it will be met again by who calls that command
            importlib.import_module(f"console.commands.{module}")
    assert threading.active_count() == 1, "a fork would lose the other threads"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children need no wait
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        print("listening", flush=True)
        while True:
            ready, _, _ = select.select([listening, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _serve_one(connection)
            connection.close()


def _serve_one(connection: socket.socket) -> None:
    """In the child: becomes the command."""
    head, files, _, _ = socket.recv_fds(connection, 4, 2)
    with connection.makefile("rb") as incoming:
        request = json.loads(incoming.read(int.from_bytes(head, "big")))
    connection.sendall(f"{os.getpid()}\n".encode())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    random.seed()
    os.environ.clear()
    os.environ.update(request["environment"])
    # What a fresh interpreter would look through, too.
    wanted = request["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[1:1] = [entry for entry in wanted if entry and entry not in sys.path]
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, file in enumerate((nothing, *files)):
        os.dup2(file, number)
    status = _become(request["arguments"])
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(f"{status}\n".encode())
    os._exit(0)


def _become(arguments: list[str]) -> int:
    from console.cli import main

    sys.argv = ["tandem", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter would
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
