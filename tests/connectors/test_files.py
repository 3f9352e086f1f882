"""What a file can promise: turns in one order, no half of a file, no edit overwritten that could be seen."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from connectors.base import FatalError, RetriableError
from connectors.files import in_turn, read_still, replace, stamp_of, turn


def test_turns_exclude_each_other_and_their_numbers_grow_whatever_the_clock_does(tmp_path: Path) -> None:
    with turn(tmp_path) as first:
        pass
    (tmp_path / ".tandem").write_text(str(first + 10**18))  # the clock was far ahead then
    with turn(tmp_path) as second:
        waiting = threading.Event()
        numbers: list[int] = []

        def other() -> None:
            waiting.set()
            with turn(tmp_path) as number:
                numbers.append(number)

        thread = threading.Thread(target=other)
        thread.start()
        waiting.wait()
        assert numbers == []
    thread.join()
    assert [second - first - 10**18, numbers[0] - second] == [1, 1]


async def test_a_turn_is_tried_again_while_somebody_writes(tmp_path: Path) -> None:
    tries: list[int] = []

    def work(number: int) -> int:
        tries.append(number)
        if len(tries) < 3:
            raise RetriableError("is being written", retry_after=0.0)
        return len(tries)

    assert await in_turn(tmp_path, work) == 3
    with pytest.raises(RetriableError):
        await in_turn(tmp_path, lambda _: read_still(tmp_path / "nothing", 0.0), attempts=1)
    # The lock is free again, also after an error.
    await asyncio.wait_for(in_turn(tmp_path, lambda number: number), 5)


async def test_what_the_disk_refuses_is_trouble_of_the_account_alone(tmp_path: Path) -> None:
    (tmp_path / "people.csv").mkdir()
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(FatalError, match=r"people\.csv: Is a directory"):
        await in_turn(tmp_path, lambda _: read_still(tmp_path / "people.csv", 0.0))
    with pytest.raises(FatalError, match="No such file or directory"):
        await in_turn(tmp_path / "gone", lambda number: number)
    with pytest.raises(FatalError, match="Not a directory"):
        stamp_of(file / "people.csv")


def test_a_file_is_read_when_it_has_been_still_or_is_as_we_left_it(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(b"one")
    with pytest.raises(RetriableError, match="being written") as caught:
        read_still(file, 60.0)
    assert caught.value.retry_after == 60.0
    data, stamp = read_still(file, 60.0, ours=stamp_of(file))
    assert data == b"one"
    file.write_bytes(b"")
    with pytest.raises(RetriableError, match="empty"):
        read_still(file, 0.0)
    file.write_bytes(b"one")
    past = stamp[1] - 61 * 10**9
    os.utime(file, ns=(past, past))
    assert read_still(file, 60.0)[0] == b"one"


def test_a_file_is_replaced_at_one_stroke_with_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(b"old")
    file.chmod(0o640)
    with file.open("rb") as reader:
        left = replace(file, b"new and longer", stamp_of(file))
        assert reader.read() == b"old"
    assert file.read_bytes() == b"new and longer"
    assert (left, file.stat().st_mode & 0o777) == (stamp_of(file), 0o640)
    assert os.listdir(tmp_path) == ["people.csv"]  # noqa: PTH208


def test_what_was_saved_since_it_was_read_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(b"old")
    stamp = stamp_of(file)
    file.write_bytes(b"theirs")
    with pytest.raises(RetriableError, match="somebody else"):
        replace(file, b"ours", stamp)
    assert file.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["people.csv"]  # noqa: PTH208
