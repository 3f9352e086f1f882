"""The overlay against a plain map; what recovery makes of a changelog; which disks can be used; errands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rocksdict import Rdict

from rules.events import ReadRecords, ReadRequest, SetMark
from schemas import Head
from streams import errands, keys
from streams.broker import Broker
from streams.disk import Disk, options
from streams.errands import PartitionErrands
from streams.overlay import ConnectionView, Overlay
from streams.recovery import Recovery, usable
from streams.topics import AWAY
from tests.streams.counting import index_changes

KEY = st.binary(min_size=1, max_size=3)
ENTRIES = st.dictionaries(KEY, st.one_of(st.none(), st.binary(max_size=3)), max_size=12)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Rdict]:
    found = Rdict(str(tmp_path / "state"), options=options())
    yield found
    found.close()


# ---------------------------------------------------------------- overlay


@given(
    on_disk=ENTRIES,
    before=st.none() | st.lists(ENTRIES, max_size=2),
    changes=st.lists(ENTRIES, max_size=3),
    prefix=st.binary(max_size=2),
    start=st.none() | KEY,
)
@settings(max_examples=40, deadline=None)
def test_an_overlay_reads_as_a_map_with_the_changes_made(
    tmp_path_factory: pytest.TempPathFactory,
    on_disk: dict[bytes, bytes | None],
    before: list[dict[bytes, bytes | None]] | None,
    changes: list[dict[bytes, bytes | None]],
    prefix: bytes,
    start: bytes | None,
) -> None:
    database = Rdict(str(tmp_path_factory.mktemp("overlay") / "state"), options=options())
    model = dict(on_disk)
    for key, value in on_disk.items():
        if value is not None:
            database[key] = value
    below = None if before is None else Overlay(lambda: database)
    for change in before or ():
        assert below is not None
        below.put(change)
        model |= change
    overlay = Overlay(lambda: database, below)
    for change in changes:
        overlay.put(change)
        model |= change
    wanted = [*on_disk, *(key for change in [*(before or ()), *changes] for key in change), b"absent"]
    assert [overlay.get(key) for key in wanted] == [model.get(key) for key in wanted]
    assert overlay.get_many(wanted) == [model.get(key) for key in wanted]
    first = prefix if start is None else max(prefix, start)
    expected = sorted(
        (key, value) for key, value in model.items() if value is not None and key.startswith(prefix) and key >= first
    )
    assert list(overlay.scan(prefix, start)) == expected
    database.close()


def test_what_lay_below_an_overlay_is_read_from_the_disk_once_it_is_there(database: Rdict) -> None:
    below = Overlay(lambda: database)
    below.put({b"k": b"told"})
    overlay = Overlay(lambda: database, below)
    assert overlay.get(b"k") == b"told"
    database[b"k"] = b"kept"
    overlay.settle()
    assert overlay.get(b"k") == b"kept"


def test_a_connection_sees_its_own_entries_alone(database: Rdict) -> None:
    overlay = Overlay(lambda: database)
    view = ConnectionView(overlay, keys.connection("a~b"))
    overlay.put({keys.connection(name) + b"l1": name.encode() for name in ("a~b", "a~b2", "a~", "b~a")})
    assert list(view.scan(b"")) == [(b"l1", b"a~b")]
    assert view.get(b"l1") == b"a~b"
    assert view.get_many([b"l1", b"l2"]) == [b"a~b", None]
    assert list(view.scan(b"l", b"l2")) == []


def test_a_scan_is_lazy(database: Rdict) -> None:
    for number in range(100):
        database[b"k%02d" % number] = b""
    overlay = Overlay(lambda: database)
    overlay.put({b"k005": b"new"})
    found = overlay.scan(b"k")
    assert [next(found)[0] for _ in range(2)] == [b"k00", b"k005"]


# ---------------------------------------------------------------- recovery


class Store:
    """The store of the table, as far as recovery needs it."""

    offset_key = Disk.offset_key

    def __init__(self, database: Rdict) -> None:
        self.found = database

    def database(self, partition: int) -> Rdict:
        return self.found


def recovery(database: Rdict) -> Recovery:
    """Of one partition."""
    return Recovery(Broker(("nowhere",)), "state", cast(Any, Store(database)), index_changes)


def records(*entries: tuple[bytes, bytes | None], first: int = 0) -> Any:
    """As a consumer has them."""
    return [SimpleNamespace(key=key, value=value, offset=first + n) for n, (key, value) in enumerate(entries)]


COUNTS = {n: b"\x93" + bytes((n, n, n)) for n in range(9)}  # counting.Count(n, n, n)


@given(
    st.lists(
        st.tuples(st.sampled_from([b"l1", b"l2", b"l3"]), st.none() | st.sampled_from(list(COUNTS.values()))),
        min_size=1,
    ),
    st.integers(0, 30),
)
@settings(max_examples=40, deadline=None)
def test_indexes_follow_from_the_changelog_however_it_is_cut_into_batches(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[bytes, bytes | None]], cut: int
) -> None:
    database = Rdict(str(tmp_path_factory.mktemp("recovery") / "state"), options=options())
    prefix = keys.connection("a~b")
    entries = [(prefix + key, value) for key, value in changes]
    for begin, part in ((0, entries[:cut]), (cut, entries[cut:])):
        if part:
            recovery(database).apply(0, records(*part, first=begin))
    state = {key: value for key, value in dict(changes).items() if value is not None}
    indexes = {index for key, value in state.items() for index in index_changes(key, None, value)}
    found = {key.removeprefix(prefix): value for key, value in cast(Any, database.items()) if key.startswith(prefix)}
    assert {key: value for key, value in found.items() if key[:1] == b"l"} == state
    assert {key for key in found if key[:1] == b"i"} == indexes
    assert database.get(Disk.offset_key) == b"%d" % (len(entries) - 1)
    database.close()


def test_a_new_disk_can_be_used(database: Rdict) -> None:
    assert usable(database, Disk.offset_key, 0)


def written(database: Rdict, offset: int, at: float) -> None:
    database[Disk.offset_key] = b"%d" % offset
    database[keys.WRITTEN] = b"%d" % at


def test_a_disk_that_is_behind_its_changelog_can_be_used(database: Rdict) -> None:
    written(database, 9, time.time())
    assert usable(database, Disk.offset_key, 10)


def test_a_disk_that_is_ahead_of_its_changelog_cannot_be_used(database: Rdict) -> None:
    written(database, 10, time.time())
    assert not usable(database, Disk.offset_key, 10)


def test_a_disk_that_is_older_than_the_changelog_keeps_deletions_cannot_be_used(database: Rdict) -> None:
    written(database, 9, time.time() - AWAY.total_seconds())
    assert not usable(database, Disk.offset_key, 10)


# ---------------------------------------------------------------- errands


class State:
    """A map of entries, on a disk."""

    def __init__(self, database: Rdict) -> None:
        self.database = database
        self.errands = PartitionErrands(lambda: database, _never)

    def apply(self, late: Any) -> None:
        for key, value in late(self.database).items():
            if value is None:
                del self.database[key]
            else:
                self.database[key] = value

    def open(self, account: str = "crm") -> list[tuple[str, str | None]]:
        return [(errand.key, errand.resume) for errand in self.errands.open(account)]


async def _never(offset: int) -> None:
    raise AssertionError(offset)


def read(number: int, sync: str = "s") -> ReadRequest:
    return ReadRequest("crm~shop", "crm", "contacts", sync, f"{sync}#{number}")


def head(errand: str, read: str | None = None, resume: str | None = None) -> Head:
    return Head(1, "crm", "contacts", errand=errand, resume=resume, read=read)


def test_errands_are_open_until_they_are_done_and_the_oldest_comes_first(database: Rdict) -> None:
    state = State(database)
    records_of = ReadRecords("crm~shop", "crm", "contacts", ("1",))
    orders: tuple[errands.Order, ...] = (SetMark("crm", "m1"), read(1), records_of)
    for offset, order in enumerate(orders, start=7):
        state.apply(errands.requested(order, offset))
    assert state.open() == [("7", None), ("read/s/contacts", None), ("9", None)]
    assert state.open("crm2") == []
    state.apply(errands.captured(head("read/s/contacts", "s#1", resume="page 2")))
    assert state.open()[1] == ("read/s/contacts", "page 2")
    state.apply(errands.captured(head("read/s/contacts", "s#1")))
    state.apply(errands.captured(head("9")))
    state.apply(errands.marked("crm", "m2"))
    assert state.open() == [("7", None)]
    state.apply(errands.marked("crm", "m1"))
    assert state.open() == []


def test_a_newer_read_replaces_the_older_and_pages_of_the_older_change_nothing(database: Rdict) -> None:
    state = State(database)
    state.apply(errands.requested(read(1), 1))
    state.apply(errands.captured(head("read/s/contacts", "s#1", resume="5")))
    state.apply(errands.requested(read(2), 2))
    assert state.open() == [("read/s/contacts", None)]
    assert not errands.is_current(database, "crm", "s#1")
    assert errands.is_current(database, "crm", "s#2")
    for late in (head("read/s/contacts", "s#1", resume="6"), head("read/s/contacts", "s#1")):
        state.apply(errands.captured(late))
    assert state.open() == [("read/s/contacts", None)]


def test_an_older_read_that_comes_late_does_not_replace_the_newer(database: Rdict) -> None:
    state = State(database)
    for number in (9, 10, 9):
        state.apply(errands.requested(read(number), number))
    assert errands.is_current(database, "crm", "s#10")
    assert not errands.is_current(database, "crm", "s#9")


def test_an_order_that_comes_again_after_a_crash_does_not_begin_anew(database: Rdict) -> None:
    state = State(database)
    state.apply(errands.requested(read(1), 1))
    state.apply(errands.captured(head("read/s/contacts", "s#1", resume="5")))
    state.apply(errands.requested(read(1), 1))
    assert state.open() == [("read/s/contacts", "5")]
