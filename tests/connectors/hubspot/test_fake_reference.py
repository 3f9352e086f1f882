"""The fake: its reference page, its command, and that no knob is without a test."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from docs.generate import DOCS
from tests.connectors.hubspot.fake import admin, people
from tests.connectors.hubspot.fake.knobs import FIELDS
from tests.connectors.hubspot.fake.process import Fake
from tests.connectors.hubspot.fake.reference import page
from tests.connectors.hubspot.fake.routes import ROUTES

HERE = Path(__file__).parent
TANDEM = str(Path(sys.executable).with_name("tandem"))


@contextmanager
def served(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`tandem fake hubspot` with the first line that it says."""
    command = [TANDEM, "fake", "hubspot", "--port", "0", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline()
        finally:
            process.kill()


def test_the_page_is_the_one_that_the_code_makes() -> None:
    assert (DOCS / "reference" / "fake-hubspot.md").read_text(encoding="utf-8") == page(), (
        "run `python -m docs.generate`"
    )


def test_the_page_names_every_knob_call_and_deed() -> None:
    text = page()
    for name in [*FIELDS, *admin.CALLS, *people.CALLS, *(f"{each.method} {each.template}" for each in ROUTES)]:
        assert f"`{name}`" in text
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 100 and all(row[-1].strip() for row in rows), "every row says what it is about"


def test_every_knob_is_turned_by_a_test() -> None:
    tests = "\n".join(
        path.read_text(encoding="utf-8") for path in HERE.glob("test_fake_*.py") if path != Path(__file__)
    )
    assert [name for name in FIELDS if not re.search(rf"\b{name}=", tests)] == []


def test_every_deed_of_people_is_done_by_a_test() -> None:
    tests = "\n".join(
        path.read_text(encoding="utf-8") for path in HERE.glob("test_fake_*.py") if path != Path(__file__)
    )
    deeds = [call.split(" /fake/") for call in [*admin.CALLS, *people.CALLS]]
    helped = {"GET health", "POST reset", "DELETE calls", "GET calls", "PATCH knobs", "POST faults"}  # methods of Fake
    missing = [f"{method} {path}" for method, path in deeds if f'"{method}", "{path}"' not in tests]
    assert set(missing) <= helped


def test_it_imports_nothing_of_ours() -> None:
    for path in (HERE / "fake").glob("*.py"):
        assert not re.search(
            r"^\s*(from|import) (rules|schemas|streams|connectors|console|deploy|tests)\b",
            path.read_text(),
            re.MULTILINE,
        )


def test_the_command_serves_it_with_its_knobs_and_faults(tmp_path: Path) -> None:
    with served("--data", str(tmp_path), "portal_id=12", "fault=500,match=deals", "--json") as (process, line):
        url, token = re.findall(r'"(?:url|token)":"([^"]+)"', line)
        headers = {"Authorization": f"Bearer {token}"}
        assert (
            httpx.get(f"{url}/account-info/2026-09/details", headers=headers, trust_env=False, verify=False).json()[
                "portalId"
            ]
            == 12
        )
        assert (
            httpx.get(f"{url}/crm/objects/2026-09/deals", headers=headers, trust_env=False, verify=False).status_code
            == 500
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert list(tmp_path.glob("*.sqlite"))


def test_without_a_folder_nothing_remains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with served() as (process, line):
        assert line.startswith("HubSpot's fake is at http://127.0.0.1:") and list(tmp_path.iterdir())
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("word", ["burst=many", "no_such_knob=1", "burst", "fault=418"])
def test_a_wrong_knob_is_wrong_use(word: str) -> None:
    done = subprocess.run([TANDEM, "fake", "hubspot", word], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    assert word.partition("=")[0] in done.stderr or "fault" in done.stderr


def test_a_port_that_is_taken_is_told(fake: Fake) -> None:
    command = [TANDEM, "fake", "hubspot", "--port", str(fake.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and f"port {fake.port}" in done.stderr and "Traceback" not in done.stderr


def test_a_missing_package_is_told(tmp_path: Path) -> None:
    program = (
        "import sys; from console import fakes; fakes.HUBSPOT = 'no.such.package'; from console.cli import run;"
        "sys.exit(run(['fake', 'hubspot']))"
    )
    env = {**os.environ, "PYTHONPATH": str(DOCS.parent)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1 and "not installed" in done.stderr and "Traceback" not in done.stderr
