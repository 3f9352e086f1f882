"""Which of two images of a record is the newer (design: "Every image has a version")."""

from __future__ import annotations

import itertools
import random

import pytest

from rules.version import NEVER, Snapshot, Version


def test_of_two_positions_the_later_is_newer_and_equal_ones_do_not_replace_each_other() -> None:
    assert Version(2).newer_than(Version(1))
    assert not Version(1).newer_than(Version(2))
    assert not Version(1).newer_than(Version(1))
    assert Version(0).newer_than(NEVER)


def test_within_one_position_the_step_decides() -> None:
    assert Version(5, step=2).newer_than(Version(5, step=1))
    assert not Version(5, step=1).newer_than(Version(5, step=1))


SEEN = Snapshot(xmin=10, xmax=20, running=(12, 15))


@pytest.mark.parametrize(
    ("transaction", "sees"), [(9, True), (11, True), (12, False), (15, False), (19, True), (20, False)]
)
def test_a_snapshot_sees_what_had_committed_when_it_was_taken(transaction: int, sees: bool) -> None:
    assert SEEN.sees(transaction) is sees


@pytest.mark.parametrize("position", [1, 100])
def test_a_page_against_the_log_is_decided_by_what_its_snapshot_sees_whatever_the_positions(position: int) -> None:
    page = Version(50, seen=SEEN)
    visible, invisible = Version(position, writer=11), Version(position, writer=12)
    assert page.newer_than(visible) and not visible.newer_than(page)
    assert invisible.newer_than(page) and not page.newer_than(invisible)


def test_two_pages_are_compared_by_position() -> None:
    assert Version(51, seen=SEEN).newer_than(Version(50, seen=SEEN))
    assert not Version(50, seen=SEEN).newer_than(Version(50, seen=SEEN))


def test_a_page_of_an_app_without_transactions_is_compared_by_position() -> None:
    assert Version(51, seen=SEEN).newer_than(Version(50))
    assert Version(51).newer_than(Version(50, seen=SEEN))


def test_one_of_two_different_versions_is_the_newer() -> None:
    rng = random.Random(4)
    versions = [Version(rng.randrange(50), writer=rng.choice([None, rng.randrange(8, 22)])) for _ in range(60)]
    versions += [
        Version(rng.randrange(50), seen=Snapshot(low, low + 8, tuple(rng.sample(range(low, low + 8), 2))))
        for low in (rng.randrange(5, 20) for _ in range(60))
    ]
    for one, other in itertools.combinations(versions, 2):
        assert not (one.newer_than(other) and other.newer_than(one))


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_order_of_arrival_the_last_commit_is_what_stays(seed: int) -> None:
    """A row is written by many transactions, each in the log before it is visible; pages, log and answers meet in any order, the log in its own."""
    rng = random.Random(seed)
    commits: list[tuple[str, Version]] = []  # in the order of the log
    pages: list[tuple[str, Version]] = []
    position, visible = 0, -1
    for transaction in range(100, 120):
        position += rng.randrange(1, 5)
        commits.append((f"value {transaction}", Version(position, writer=transaction)))
        while visible < len(commits) - 1 and rng.random() < 0.6:
            visible += 1
        if visible >= 0 and rng.random() < 0.7:
            hidden = tuple(range(100 + visible + 1, 100 + len(commits)))
            seen = Snapshot(100 + visible + 1, 100 + len(commits), hidden)
            pages.append((commits[visible][0], Version(position, seen=seen)))
    answers = [commit for commit in commits if rng.random() < 0.3]
    sources = [list(commits), list(pages), answers]
    image: tuple[str, Version] | None = None
    while any(sources):
        source = rng.choice([one for one in sources if one])
        arrived = source.pop(0)
        if image is None or arrived[1].newer_than(image[1]):
            image = arrived
    assert image is not None and image[0] == commits[-1][0]
