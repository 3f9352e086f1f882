"""`Fake`: starts, kills and turns a fake from a test.

Responsible for the process. Talks to it by HTTP alone, as everybody does.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from .store import FILE
from .tokens import APP, SERVICE_KEY

_PACKAGE = __package__ or ""
_ROOT = Path(__file__).resolve().parents[len(_PACKAGE.split("."))]


class FakeError(Exception):
    """The fake did not start, or refused what a test asked of it."""


class Fake:
    """A fake in a process of its own. Its port and its data stay the same from `start` to `start`."""

    token = SERVICE_KEY
    app = APP

    def __init__(self, folder: Path, *, port: int = 0, **knobs: Any) -> None:
        self.folder, self.port, self._knobs = folder, port, knobs
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(timeout=30, trust_env=False, verify=False)

    def __enter__(self) -> Fake:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._client.close()

    @property
    def url(self) -> str:
        """http://127.0.0.1:PORT."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Fake:
        """Starts it and returns when it answers. Knobs of the constructor are set at the first start only."""
        words = [f"{name}={value}" for name, value in self._knobs.items()]
        command = [
            sys.executable,
            "-m",
            _PACKAGE,
            "--port",
            str(self.port),
            "--data",
            str(self.folder),
            "--with-parent",
            *words,
        ]
        # Its input is a pipe of ours: when we are gone, however that comes, it reads the end and ends.
        self._process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode().strip()
        if not line.startswith("http://"):
            self.kill()
            raise FakeError(f"The fake did not start; it said: {line or 'nothing'}")
        self.port = int(line.rpartition(":")[2])
        self._knobs = {}
        self.admin("GET", "health")
        return self

    def stop(self) -> None:
        """Ends it in order. Nothing happens if it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """`kill -9`."""
        self._end(signal.SIGKILL)

    def restart(self) -> Fake:
        """Ends it in order and starts it on the same port and data."""
        self.stop()
        return self.start()

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.wait(20)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        self._process = None

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """A call under /fake."""
        return self._call(method, f"/fake/{path}", body)

    def ui(self, method: str, path: str, body: Any = None) -> Any:
        """A call of the API (`/crm/…`) as done by a person: without token, limits, faults, and not counted."""
        return self._call(method, f"/fake/ui{path}", body)

    def _call(self, method: str, path: str, body: Any) -> Any:
        response = self._client.request(method, self.url + path, json=body)
        if response.status_code >= 400:
            raise FakeError(f"{method} {path}: {response.status_code} {response.text}")
        return response.json() if response.content else None

    def turn(self, **knobs: Any) -> None:
        """Sets knobs while it runs."""
        self.admin("PATCH", "knobs", knobs)

    def fault(self, kind: str, **rule: Any) -> None:
        """Orders a fault: `match`, `method`, `times` (0: for ever), `skip`, `every`, `rate`, `policy`."""
        self.admin("POST", "faults", {"kind": kind, **rule})

    def reset(self, **knobs: Any) -> None:
        """A new portal with these knobs: no records, faults or calls of before."""
        self.admin("POST", "reset", knobs)
        self.admin("DELETE", "calls")

    def calls(self, after: int = 0) -> Any:
        """The log of calls, summed up by route and object: `count`, `statuses`, `inputs`, `properties`."""
        return self.admin("GET", f"calls?after={after}")

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Reads its state, whether it runs or not: the views `records`, `associations`, `merged`, `calls`."""
        with closing(sqlite3.connect(self.folder / FILE)) as database:
            return database.execute(statement, values).fetchall()
