"""What capture notes, in the state of its account's partition: in step with `changes`, void when the log begins anew."""

from __future__ import annotations

import pytest

from connectors.base import Batch, FatalError, Heartbeat, Remembered
from rules.events import LogStarted
from schemas import ChangeEvent, Noted, encode_change
from streams import keys, memory
from streams.convert import NOTES, WEIGHT, notes_of
from streams.overlay import Overlay, scan
from streams.pump import Message
from streams.route import Route
from streams.unit import Change, Unit, commit
from tests.streams.partition import TOPICS, Backing, Config, message


async def routed(backing: Backing, *events: ChangeEvent) -> Unit:
    """What route makes of messages that lie in one unit; committed."""
    unit, route = Unit(Overlay(backing.database)), Route(TOPICS, Config())
    for offset, event in enumerate(events):
        data = encode_change(event, config=1)
        change: Change = route.decide(Message(message(TOPICS.changes, event.account, data, offset)), unit.overlay)
        unit.add(change)
    await commit(unit, "route", TOPICS.changes, len(events) - 1, backing)
    return unit


def entries(backing: Backing) -> int:
    """How many entries the state holds for crm."""
    return sum(1 for _ in scan(backing.database(), keys.memory("crm")))


async def test_notes_and_the_cursor_are_kept_and_go_to_no_connection(backing: Backing) -> None:
    unit = await routed(
        backing,
        Noted("crm", (("a", "1"), ("b", "2")), "c1"),
        Noted("crm", (("a", None), ("c\0ü", "3"))),
        Noted("shop", (("a", "9"),), "s1"),
    )
    assert unit.outputs == []
    assert await memory.recall(backing.database, "crm") == Remembered("c1", {"b": "2", "c\0ü": "3"})
    assert await memory.recall(backing.database, "shop") == Remembered("s1", {"a": "9"})
    assert await memory.recall(backing.database, "cr") == Remembered()


async def test_a_log_that_begins_anew_makes_all_notes_void_at_once(backing: Backing) -> None:
    await routed(backing, Noted("crm", tuple((str(number), "x") for number in range(memory.SWEPT + 5)), "c1"))
    unit = await routed(backing, LogStarted("crm"))
    assert len(unit.outputs) == 2  # to its connections
    assert await memory.recall(backing.database, "crm") == Remembered()
    await routed(backing, Noted("crm", (("new", "y"),)))
    assert await memory.recall(backing.database, "crm") == Remembered(None, {"new": "y"})
    assert entries(backing) == 1 + 1 + 5
    await routed(backing, Noted("crm", (), "c2"))
    assert entries(backing) == 1 + 1
    assert await memory.recall(backing.database, "crm") == Remembered("c2", {"new": "y"})


async def test_what_follows_in_the_same_unit_sees_that_the_log_has_begun_anew(backing: Backing) -> None:
    await routed(backing, Noted("crm", (("old", "x"),), "c1"))
    await routed(backing, LogStarted("crm"), Noted("crm", (("new", "y"),)), Noted("crm", (("z", "z"),), "c2"))
    assert await memory.recall(backing.database, "crm") == Remembered("c2", {"new": "y", "z": "z"})
    await routed(backing, Noted("crm", anew=True))
    assert await memory.recall(backing.database, "crm") == Remembered()


async def test_many_notes_are_recalled_in_pieces(backing: Backing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PIECE", 3)
    for count in (2, 3, 4, 6, 7):
        many = {f"{number}": "x" for number in range(count)}
        await routed(backing, Noted("crm", tuple(many.items()), "c", anew=True), Noted("crn", (("0", "other"),)))
        assert await memory.recall(backing.database, "crm") == Remembered("c", many)


async def test_an_account_that_notes_nothing_leaves_nothing_in_the_state(backing: Backing) -> None:
    await routed(backing, LogStarted("crm"))
    assert entries(backing) == 0


def test_notes_are_cut_and_the_cursor_moves_with_the_last() -> None:
    many = dict.fromkeys(map(str, range(NOTES + 1)), "x")
    assert [(len(one.notes), one.cursor) for one in notes_of("crm", Heartbeat("c", 0.0, many))] == [
        (NOTES, None),
        (1, "c"),
    ]
    large = {"a": "x" * (WEIGHT - 1), "b": "y", "c": "z"}
    assert [len(one.notes) for one in notes_of("crm", Batch("people", (), "c", large))] == [1, 2]
    with pytest.raises(FatalError, match="notes 400001 characters under 'k'"):
        list(notes_of("crm", Heartbeat("c", 0.0, {"k": "x" * WEIGHT})))
    assert list(notes_of("crm", Batch("people", (), "c"))) == []
    assert list(notes_of("crm", Heartbeat("", 0.0, {}))) == []
    assert list(notes_of("crm", Heartbeat("", 0.0, {"a": None}))) == [Noted("crm", (("a", None),))]
    assert list(notes_of("crm", Heartbeat("c", 0.0, {}))) == [Noted("crm", (), "c")]
