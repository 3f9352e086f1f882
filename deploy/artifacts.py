"""Files from Maven's repository, by name, version and checksum.

Responsible for having them in the cache of this user, each checked against its pinned SHA-256 before it is used. Must
not know what they are for. The list of a server's files is resolved once, by a developer (`lock_artifacts.py`), and
committed: what runs does not depend on what a repository says today, and a second start asks no network at all.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import ChecksumError, FetchFailedError

log = logging.getLogger(__name__)

_PARALLEL = 12
_ATTEMPTS = 3
_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Artifact:
    """One pinned jar."""

    group: str
    name: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}.jar"

    def __str__(self) -> str:
        return f"{self.group}:{self.name}:{self.version}"


# Fetches an artifact into a folder and returns the file.
Download = Callable[[Artifact, Path], Path]


def read_pins(file: Path) -> tuple[Artifact, ...]:
    """The lines `SHA256 group:name:version` of a committed list; `#` begins a comment."""
    pins = []
    for line in file.read_text().splitlines():
        words = line.partition("#")[0].split()
        if words:
            digest, coordinate = words
            group, name, version = coordinate.split(":")
            pins.append(Artifact(group, name, version, digest))
    return tuple(pins)


def cache_folder() -> Path:
    """Where this user's fetched files are kept, for every home and checkout."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "tandem"


def download_with_jgo(artifact: Artifact, folder: Path) -> Path:
    """Fetch one file through jgo, which knows Maven's repositories; it lands below the folder."""
    import requests
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=folder, timeout=_TIMEOUT_SECONDS)
    try:
        return context.project(artifact.group, artifact.name).at_version(artifact.version).artifact().resolve()
    except (requests.RequestException, RuntimeError, OSError) as error:
        raise FetchFailedError(
            f"{artifact} could not be fetched from Maven's repository: {error}",
            "It is needed once. Is there a network, and may this machine reach that repository? Then run it again: "
            "what was fetched already is kept.",
        ) from error


async def fetch(
    artifacts: Sequence[Artifact], folder: Path, *, what: str, download: Download = download_with_jgo
) -> list[Path]:
    """The artifacts' files in the folder, fetched where they are missing, in the order given.

    FetchFailedError if one cannot be had, ChecksumError if one is not what was pinned. A file is in the folder only
    after it was checked, so that an interruption leaves none that is half or unchecked.
    """
    paths = [folder / artifact.file_name for artifact in artifacts]
    if all(path.exists() for path in paths):
        return paths
    folder.mkdir(parents=True, exist_ok=True)
    log.info("fetching %s (once; it stays in %s)", what, folder, extra={"action": "fetch"})
    pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="fetch")
    try:
        with _turn(folder):
            loop = asyncio.get_running_loop()
            missing = [artifact for artifact in artifacts if not (folder / artifact.file_name).exists()]
            await asyncio.gather(
                *(loop.run_in_executor(pool, _fetch_one, artifact, folder, download) for artifact in missing)
            )
    finally:
        # After a failure or Ctrl-C what has not begun never does.
        pool.shutdown(wait=False, cancel_futures=True)
    return paths


def _fetch_one(artifact: Artifact, folder: Path, download: Download) -> None:
    work = Path(tempfile.mkdtemp(prefix=".fetch-", dir=folder))
    try:
        file = _patiently(artifact, work, download)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if digest != artifact.sha256:
            raise ChecksumError(
                f"{artifact} is not the file that was pinned: its SHA-256 is {digest}, expected {artifact.sha256}. "
                "It was not used.",
                "Something between here and the repository alters files, or the file there was replaced. Do not go on "
                "before you know which.",
            )
        file.replace(folder / artifact.file_name)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _patiently(artifact: Artifact, work: Path, download: Download) -> Path:
    """A few attempts, each in a folder of its own: jgo takes a half file of an earlier one for the whole."""
    for attempt in range(1, _ATTEMPTS):
        try:
            return download(artifact, work / str(attempt))
        except FetchFailedError as error:
            log.info("once more: %s", error.message, extra={"action": "fetch_again"})
    return download(artifact, work / str(_ATTEMPTS))


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """One process at a time fetches into a folder; the next finds everything there."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
