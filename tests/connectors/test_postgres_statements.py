"""How a batch of writes is divided, without a server."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Identifier, Write, WriteOp
from connectors.postgres.statements import rounds


def write(link: str, record_id: str | None, email: str | None, size: int) -> Write:
    identifiers = () if email is None else (Identifier("email", "email", email),)
    op = WriteOp.CREATE if record_id is None else WriteOp.UPDATE
    return Write("t", link, 1, op, record_id, values={"note": "x" * size}, identifiers=identifiers)


few = st.sampled_from("abc")
writes_of_few_things = st.lists(st.builds(write, few, st.none() | few, st.none() | few, st.integers(0, 6)), max_size=12)


def things(each: Write) -> set[tuple[str, str]]:
    found = {("link", each.link)} | {("identifier", identifier.value) for identifier in each.identifiers}
    return found if each.id is None else found | {("id", each.id)}


@given(writes_of_few_things)
def test_no_round_concerns_a_thing_twice_and_each_thing_keeps_its_order(writes: list[Write]) -> None:
    found = rounds(writes, limit=10)
    assert sorted(place for places in found for place in places) == list(range(len(writes)))
    at = {place: number for number, places in enumerate(found) for place in places}
    for later, each in enumerate(writes):
        for earlier in range(later):
            if things(each) & things(writes[earlier]):
                assert at[earlier] < at[later]


@given(writes_of_few_things)
def test_no_round_is_larger_than_it_may_be(writes: list[Write]) -> None:
    for places in rounds(writes, limit=10):
        assert len(places) == 1 or sum(len(str(writes[place].values["note"])) for place in places) <= 10


def test_writes_of_different_things_are_one_round() -> None:
    assert rounds([write(str(n), str(n), None, 5) for n in range(500)]) == [list(range(500))]
    assert rounds([]) == []
