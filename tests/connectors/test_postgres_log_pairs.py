"""What the log tells of tables of pairs, message by message: without a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import cast

import msgspec
import pytest

from connectors.base import Batch, Change, CursorExpiredError, Record
from connectors.postgres.assembler import Assembler, Touched, Unfilled
from connectors.postgres.capture import Lookup, _seen
from connectors.postgres.names import MESSAGE_PREFIX
from connectors.postgres.pgoutput import LogColumn
from connectors.postgres.tables import Pairing, Table
from rules.version import NEVER, Snapshot, Version
from tests.connectors.test_postgres_log import assembler, begin, column, commit, delete, feed, insert, message, relation
from tests.connectors.test_postgres_log import truncate as emptied
from tests.connectors.test_postgres_log import update as updated


def pairing(field: str, oid: int) -> Pairing:
    return Pairing(
        field=column(field, 23), oid=oid, schema="public", name=f"pairs_{field}", partitioned=False, own="member",
        other="team", primary="main", indexed=True, bound=True,
    )  # fmt: skip


MEMBERS = Table(
    object="members", oid=100, schema="public", name="members", partitioned=False, key=("id",), unique=(), deferrable=False,
    columns=(column("id", 23), column("name", 25)), indexed=frozenset(), rows=0,
    pairings=(pairing("team", 200), pairing("club", 201)),
)  # fmt: skip
COLUMNS = (LogColumn("id", 23, -1, True), LogColumn("name", 25, -1, False))
PAIRS = (LogColumn("member", 23, -1, True), LogColumn("team", 23, -1, True), LogColumn("main", 16, -1, False))


def log() -> Assembler:
    """A log that has described all three tables."""
    made = assembler(members=MEMBERS)
    feed(
        made, begin(10), relation(100, COLUMNS, "members"), relation(200, PAIRS, "pairs_team"),
        relation(201, PAIRS, "pairs_club"), commit(20),
    )  # fmt: skip
    return made


def ours() -> bytes:
    return message(MESSAGE_PREFIX, {"installation": "acme", "account": "crm"})


def tokens(*of: tuple[str, str]) -> bytes:
    said = [["members", record_id, token] for record_id, token in of]
    return message(MESSAGE_PREFIX, {"installation": "acme", "account": "crm", "tokens": said})


def told(events: list[object]) -> list[tuple[str, dict[str, object], str | None]]:
    changes: list[Change] = [change for event in events if isinstance(event, Batch) for change in event.changes]
    return [(change.id, dict(change.values), change.token) for change in changes]


def test_a_changed_pair_touches_the_record_that_it_is_of_and_was_of() -> None:
    of_another = updated(200, 2, 7, "t", old=b"K" + b"\0\3" + b"t\0\0\0\x011" + b"t\0\0\0\x017" + b"n")
    (event,) = feed(log(), begin(30), of_another, commit(40))
    assert isinstance(event, Touched)
    assert set(event.ids or ()) == {"1", "2"}
    assert event.writers == {7}
    (event,) = feed(log(), begin(30), delete(200, 5, 7, None), insert(201, 6, 7, "f"), commit(40))
    assert isinstance(event, Touched)
    assert set(event.ids or ()) == {"5", "6"}


def test_a_new_record_is_not_told_before_it_is_known_what_it_refers_to() -> None:
    batch, touched = feed(log(), begin(30), insert(100, 1, "Ann"), insert(200, 1, 7, "t"), commit(40))
    assert isinstance(batch, Unfilled)
    assert batch.ids == {"1"}
    assert isinstance(touched, Touched)
    assert batch.batch.cursor < touched.cursor, "only the last says that all is through"


def test_our_own_pairs_are_told_as_the_log_has_them_under_their_tokens() -> None:
    events = feed(
        log(), begin(30), ours(), insert(100, 1, "Ann"), insert(200, 1, 7, "t"), insert(100, 2, "Bob"),
        updated(200, 3, 7, "f"), updated(200, 3, 8, "t"), tokens(("1", "T1"), ("2", "T2"), ("3", "T3")), commit(40),
    )  # fmt: skip
    assert told(events) == [
        ("1", {"id": 1, "name": "Ann", "team": 7, "club": None}, "T1"),
        ("2", {"id": 2, "name": "Bob", "team": None, "club": None}, "T2"),
        ("3", {"team": 8}, "T3"),
    ]
    assert not [event for event in events if isinstance(event, Touched | Unfilled)], "nothing is read for it"


def test_a_mark_that_we_took_away_is_looked_at_though_another_field_got_one() -> None:
    events = feed(
        log(), begin(30), ours(), updated(200, 3, 7, "f"), updated(201, 3, 9, "t"), tokens(("3", "T")), commit(40)
    )
    assert told(events) == [("3", {"club": 9}, "T")]
    (touched,) = [event for event in events if isinstance(event, Touched)]
    assert set(touched.ids or ()) == {"3"}


def test_what_our_transaction_touches_waits_for_its_tokens() -> None:
    made = log()
    assert feed(made, begin(30), ours(), updated(200, 3, 7, "f")) == [], "the tokens are still to come"
    events = feed(made, tokens(("3", "T")), commit(40))
    assert [type(event) for event in events] == [Touched]


def test_an_emptied_table_of_pairs_touches_all_records_of_its_object() -> None:
    events = feed(log(), begin(30), insert(200, 1, 7, "t"), emptied(200), insert(200, 2, 7, "t"), commit(40))
    found = [None if event.ids is None else set(event.ids) for event in events if isinstance(event, Touched)]
    assert found == [{"1"}, None, {"2"}]


def test_a_table_of_pairs_that_no_longer_tells_whose_a_pair_was_ends_the_log() -> None:
    keyless = tuple(msgspec.structs.replace(one, in_identity=False) for one in PAIRS)
    with pytest.raises(CursorExpiredError, match="member"):
        feed(log(), begin(30), relation(200, keyless, "pairs_team"))


def test_of_a_table_that_is_gone_no_pair_is_told_either() -> None:
    made = log()
    assert made.lose(MEMBERS).fields is None
    assert feed(made, begin(30), insert(200, 1, 7, "t"), insert(100, 1, "Ann"), emptied(201), commit(40)) == []


async def test_a_commit_that_no_read_sees_yet_is_asked_for_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where commits wait for a synchronous standby that is away, they are in the log and may long be invisible."""
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    class Unseeing:
        async def read(
            self, object: str, ids: Sequence[str] | None
        ) -> AsyncGenerator[tuple[list[Record], Version], None]:
            assert (object, ids) == ("members", ["1"])
            xmax = 8 if len(pauses) == 20 else 7
            yield [Record("1", {"id": 1}, NEVER)], Version(0, None, Snapshot(xmax, xmax))

    monkeypatch.setattr(asyncio, "sleep", pause)
    found = [records async for records in _seen("members", ("1",), frozenset({7}), cast(Lookup, Unseeing()))]
    assert [[one.id for one in records] for records in found] == [["1"]]
    assert pauses[:3] == [0.002, 0.004, 0.008]
    assert pauses[-1] == 0.5
