"""Nothing is used that was not checked, nothing is fetched twice."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from deploy import kafka, postgres_binaries
from deploy.artifacts import Artifact, cache_folder, fetch, read_pins
from deploy.errors import ChecksumError, FetchFailedError

CONTENT = b"a jar"
JAR = Artifact("org.example", "thing", "1.2", hashlib.sha256(CONTENT).hexdigest())
OTHER = Artifact("org.example", "other", "3", hashlib.sha256(b"another jar").hexdigest())


class Repository:
    """Holds files; fails as often as it is told to."""

    def __init__(self, files: dict[str, bytes], failures: int = 0) -> None:
        self.files = files
        self.failures = failures
        self.asked: list[str] = []

    def download(self, artifact: Artifact, folder: Path) -> Path:
        self.asked.append(artifact.name)
        folder.mkdir(parents=True)
        path = folder / artifact.file_name
        if self.failures:
            self.failures -= 1
            path.write_bytes(self.files[artifact.name][:2])  # half of it, as a broken connection leaves it
            raise FetchFailedError("connection reset", "try again")
        path.write_bytes(self.files[artifact.name])
        return path


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


async def test_files_come_in_the_order_asked_for_and_are_fetched_once(tmp_path: Path) -> None:
    repository = Repository({"thing": CONTENT, "other": b"another jar"})
    for _ in range(2):
        paths = await fetch([OTHER, JAR], tmp_path / "cache", what="things", download=repository.download)
        assert [path.read_bytes() for path in paths] == [b"another jar", CONTENT]
    assert sorted(repository.asked) == ["other", "thing"]
    assert left_in(tmp_path / "cache") == ["other-3.jar", "thing-1.2.jar"]


async def test_a_file_with_another_checksum_is_refused_thrown_away_and_not_tried_again(tmp_path: Path) -> None:
    repository = Repository({"thing": b"a jar with something in it"})
    with pytest.raises(ChecksumError, match=f"org.example:thing:1.2 .*expected {JAR.sha256}") as refused:
        await fetch([JAR], tmp_path, what="a thing", download=repository.download)
    assert "Do not go on" in refused.value.remedy
    assert left_in(tmp_path) == []
    assert repository.asked == ["thing"]


async def test_what_was_checked_before_a_refusal_is_kept(tmp_path: Path) -> None:
    good = Repository({"thing": CONTENT, "other": b"another jar"})
    await fetch([JAR], tmp_path, what="things", download=good.download)
    with pytest.raises(ChecksumError):
        await fetch([JAR, replace(OTHER, sha256="0" * 64)], tmp_path, what="things", download=good.download)
    assert left_in(tmp_path) == ["thing-1.2.jar"]


async def test_a_connection_that_breaks_is_tried_again_and_the_half_file_is_not_used(tmp_path: Path) -> None:
    repository = Repository({"thing": CONTENT}, failures=2)
    [path] = await fetch([JAR], tmp_path, what="a thing", download=repository.download)
    assert path.read_bytes() == CONTENT
    assert left_in(tmp_path) == ["thing-1.2.jar"]


async def test_a_repository_that_stays_away_is_named_with_the_remedy(tmp_path: Path) -> None:
    repository = Repository({"thing": CONTENT}, failures=100)
    with pytest.raises(FetchFailedError):
        await fetch([JAR], tmp_path, what="a thing", download=repository.download)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("pins", [kafka.PINS, postgres_binaries.PINS])
def test_every_committed_pin_has_a_version_and_a_full_checksum(pins: Path) -> None:
    artifacts = read_pins(pins)
    assert len({artifact.file_name for artifact in artifacts}) == len(artifacts) > 0
    for artifact in artifacts:
        assert len(bytes.fromhex(artifact.sha256)) == 32
        assert artifact.version[0].isdigit()


def test_the_pinned_kafka_is_the_version_that_is_named() -> None:
    [server] = [artifact for artifact in read_pins(kafka.PINS) if artifact.name == "kafka_2.13"]
    assert server.version == kafka.VERSION


def test_the_cache_follows_the_users_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "tandem"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/invalid")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "tandem"
