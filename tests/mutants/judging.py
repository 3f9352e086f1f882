"""Runs what is to catch a mutant, in a copy of the tree: the tests of the rules, the likely ones first, then a simulation.

Responsible for the copy and the processes. Must not know what a mutant means.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutant import Mutant
from tests.mutants.planting import DoesNotApplyError, planted

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("rules", "schemas", "streams", "connectors", "console", "deploy", "tests", "docs", "pyproject.toml")
FIRST_SEED = 1
SIMULATED = 60.0  # seconds
TESTED = 900.0  # seconds for all tests of the rules, on a busy machine
MEMORY = 6_000_000  # kilobytes of addresses: a mutant may fill a list for ever
# In the order in which they are run, once the likely ones have not noticed: the cheap ones first.
TESTS = tuple(sorted(path.stem.removeprefix("test_") for path in (ROOT / "tests" / "rules").glob("test_*.py")))
LATE = ("config_schema", "config_problems", "config_load", "values", "values_canonical")


class UnfitError(Exception):
    """The rules, as they are, do not stand what the mutants are judged by."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant. `by`: the test or the seed that caught it; empty if nothing did. `broken`: why it could not be judged."""

    by: str = ""
    broken: str = ""
    seconds: float = 0.0


class Workplace:
    """A copy of the tree, in which one mutant at a time is planted."""

    def __init__(self, home: Path, simulated: float = SIMULATED) -> None:
        self.home, self._simulated = home, simulated
        self.unsound: set[int] = set()  # seeds that do not hold without any mutant
        self._running: subprocess.Popen[str] | None = None
        self._ended = False
        for name in NEEDED:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", ".*", "node_modules")
                shutil.copytree(source, home / name, ignore=ignored)
            else:
                shutil.copy(source, home / name)

    def judge(self, mutant: Mutant) -> Verdict:
        """Plants it, and looks who notices."""
        began = time.monotonic()
        path = self.home / "rules" / mutant.file
        source = path.read_text()
        try:
            fault = planted(mutant, source)
            by = self._failing_test_with(path, source, fault, mutant.likely) or self._seed_with(path, source, fault)
        except (DoesNotApplyError, UnfitError) as error:
            return Verdict(broken=str(error))
        return Verdict(by, seconds=time.monotonic() - began)

    def _failing_test_with(self, path: Path, source: str, fault: str, likely: tuple[str, ...]) -> str:
        rest = tuple(sorted((one for one in TESTS if one not in likely), key=lambda one: one in LATE))
        with self._holding(path, source, fault):
            return self._failing_test(likely) or self._failing_test(rest)

    def _seed_with(self, path: Path, source: str, fault: str) -> str:
        """The first seed that does not hold, and does without the fault."""
        seed, until = FIRST_SEED, time.monotonic() + self._simulated
        while (left := until - time.monotonic()) > 0:
            with self._holding(path, source, fault):
                found = self._failing_seed(seed, left)
            if not isinstance(found, int) or self._failing_seed(found, 0.001) == "":
                return f"seed {found}" if isinstance(found, int) else found
            self.unsound.add(found)
            seed = found + 1
        return ""

    @contextmanager
    def _holding(self, path: Path, source: str, fault: str) -> Iterator[None]:
        self._write(path, fault)
        try:
            yield
        finally:
            self._write(path, source)

    def end(self) -> None:
        """Ends what is running, and runs nothing more."""
        self._ended = True
        if (running := self._running) is not None:
            _kill(running)

    def prove_fit(self) -> str:
        """Without a mutant the tests must hold, or everything would seem to be caught. A seed that does not is noted, and catches nothing.

        Answers how fast a simulation of a second went. Raises UnfitError.
        """
        place = self._run("-c", "import rules; print(rules.__file__)", limit=60.0)
        if not place or not place[1].startswith(str(self.home)):
            raise UnfitError(f"the copy is not what would be run: {place and place[1]}")
        if failing := self._failing_test(TESTS):
            raise UnfitError(f"without any mutant this fails: {failing}")
        seed = self._failing_seed(FIRST_SEED, self._simulated)
        if isinstance(seed, int):
            self.unsound.add(seed)
        elif seed:
            raise UnfitError(f"without any mutant this fails: {seed}")
        output = self._run(*self._simulation(FIRST_SEED, 1.0), limit=3 * self._simulated + 60)
        told = re.search(r"^simulate: (.+ steps/s)", output[1] if output else "", re.MULTILINE)
        return told[1] if told else ""

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text)
        for stale in path.parent.glob(f"__pycache__/{path.stem}.*"):
            stale.unlink()  # told by size and second alone, it might pass for this one's

    def _failing_test(self, tests: tuple[str, ...]) -> str:
        files = [f"tests/rules/test_{one}.py" for one in tests]
        words = ("-m", "pytest", "-x", "-q", "--noconftest", "-p", "no:cacheprovider", "-p", "tests.mutants.calm")
        output = self._run(*words, "--timeout", "60", "--tb", "no", *files, limit=TESTED)
        if output is None:
            return "the tests, which come to no end"
        status, text = output
        failed = re.search(r"^FAILED (\S+?)::([^\s\[]+)", text, re.MULTILINE)
        if status == 0:
            return ""
        if failed is None:
            raise UnfitError(f"the tests could not be run:\n{text[-2000:]}")
        return f"{Path(failed[1]).name}: {failed[2]}"

    def _failing_seed(self, first: int, seconds: float) -> int | str:
        """The first seed of so many seconds that does not hold; empty if all do."""
        output = self._run(*self._simulation(first, seconds), limit=3 * self._simulated + 60)
        if output is None:
            return "a simulation that comes to no end"
        failed = re.search(r"^simulate: seed (\d+) does not hold", output[1], re.MULTILINE)
        return "" if failed is None else int(failed[1])

    @staticmethod
    def _simulation(seed: int, seconds: float) -> tuple[str, ...]:
        return ("-m", "tests.simulation", "--seconds", f"{seconds:g}", "--seed", str(seed))

    def _run(self, *words: str, limit: float) -> tuple[int, str] | None:
        """Status and output of a Python; None if it took too long."""
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(self.home)}
        command = ("sh", "-c", f'ulimit -v {MEMORY} 2>/dev/null; exec nice -n 10 "$@"', "sh", sys.executable, *words)
        if self._ended:
            raise UnfitError("it was interrupted")
        process = self._running = subprocess.Popen(
            command,
            cwd=self.home,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            text, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self._running = None
            if process.returncode is None:
                _kill(process)
                process.communicate()
        return process.returncode, text


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
