"""What the connector decides without a wire: limits, the account's clock, windows, what is news, associations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import FatalError, Op, Record, RetriableError
from connectors.hubspot.associations import Change, Label, change_to, counting, ends_of
from connectors.hubspot.clock import AccountClock
from connectors.hubspot.errors import account_error, category_of, details_of, refusal_of
from connectors.hubspot.known import Entry, Known
from connectors.hubspot.limits import Limiter, Use, Window
from connectors.hubspot.records import Image, version_of
from connectors.hubspot.standard import RELATIONS
from connectors.hubspot.windows import Place, after, intervals, next_window, sweep_pays

PRIMARY, PLAIN = Label("HUBSPOT_DEFINED", 1), Label("HUBSPOT_DEFINED", 279)
BOSS = Label("USER_DEFINED", 7)
COMPANY = RELATIONS["contacts"][0]
CONTACT = RELATIONS["deals"][1]


# ---------------------------------------------------------------- limits


@given(st.lists(st.floats(0, 30), min_size=1, max_size=60), st.integers(1, 7))
def test_no_window_ever_holds_more_calls_than_its_limit(asked: list[float], limit: int) -> None:
    window, went, now = Window(limit, 1.0), list[float](), 0.0
    for at in sorted(asked):
        now = max(now, at)
        now += window.delay(now)
        window.take()
        window.arrived(now)
        went.append(now)
    for place, at in enumerate(went):
        assert sum(1 for other in went[: place + 1] if other > at - 1.0 + 1e-9) <= limit


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 0.9)), min_size=1, max_size=40), st.integers(1, 5))
def test_nor_at_the_other_end_however_long_calls_are_on_their_way(calls: list[tuple[float, float]], limit: int) -> None:
    """Each call comes in at the very end of its way, and is answered at once; they go one after the other."""
    window, came, now = Window(limit, 1.0), list[float](), 0.0
    for pause, way in calls:
        now += pause
        now += window.delay(now)
        window.take()
        came.append(now + way)
        window.arrived(now + way)
        now += way
    for place, at in enumerate(came):
        assert sum(1 for other in came[: place + 1] if other > at - 1.0 + 1e-9) <= limit


def test_a_call_that_is_on_its_way_keeps_its_place_however_long_it_takes() -> None:
    window = Window(2, 1.0)
    window.take()
    window.take()
    assert window.delay(100.0) > 0, "they may come in at any time"
    window.arrived(100.0)
    assert window.delay(100.5) == pytest.approx(0.5)
    assert window.delay(101.1) == 0


def taking(limiter: Limiter, count: int, **kind: bool) -> None:
    for _ in range(count):
        limiter.take(**kind)
        limiter.arrived(0.0, **kind)


def test_reading_in_full_leaves_room_for_live_changes_and_these_for_writes() -> None:
    limiter = Limiter()
    taking(limiter, 70)
    assert limiter.delay(0.0, use=Use.BULK) > 0
    assert limiter.delay(0.0, use=Use.LIVE) == 0
    taking(limiter, 20)
    assert limiter.delay(0.0, use=Use.LIVE) > 0
    assert limiter.delay(0.0, use=Use.WRITE) == 0


def test_searches_and_associations_have_windows_of_their_own() -> None:
    limiter = Limiter()
    for _ in range(5):
        assert limiter.delay(0.0, search=True) == 0
        taking(limiter, 1, search=True)
    assert limiter.delay(0.0, search=True) > 1.0
    assert limiter.delay(0.0) == 0
    limiter = Limiter()
    limiter.burst.limit = 1000
    taking(limiter, 100, association=True)
    assert limiter.delay(0.0, association=True) > 0
    assert limiter.delay(0.0) == 0
    assert limiter.delay(20.0, association=True) == 0


@pytest.mark.parametrize(
    ("policy", "pauses"),
    [("TEN_SECONDLY_ROLLING", [10.0, 20.0]), ("SECONDLY", [1.0, 2.0]), ("DAILY", [5000.0, 5000.0]), ("", [10.0, 20.0])],
)
def test_a_refusal_closes_for_as_long_as_its_policy_says_and_longer_each_time(policy: str, pauses: list[float]) -> None:
    limiter = Limiter()
    assert limiter.refused(0.0, policy, None, 5000.0) == pauses[0]
    assert limiter.delay(0.0) == pauses[0]
    assert limiter.refused(0.0, policy, None, 5000.0) == pauses[1]
    limiter.answered({}, 0.0)
    assert limiter.refused(1e6, policy, 3600.0, 5000.0) >= 3600.0, "what the account asks for is kept to"


def test_the_limits_are_those_that_the_answers_say() -> None:
    limiter = Limiter(share=0.5)
    said = {"x-hubspot-ratelimit-max": "190", "x-hubspot-ratelimit-interval-milliseconds": "10000",
            "x-hubspot-ratelimit-daily": "625000", "x-hubspot-ratelimit-daily-remaining": "600000"}  # fmt: skip
    limiter.answered(said, 0.0)
    assert (limiter.burst.limit, limiter.daily, limiter.remaining) == (95, 625_000, 600_000)
    limiter.answered({}, 0.0)  # a search says nothing
    assert limiter.burst.limit == 95


def test_what_others_use_of_the_same_window_is_made_room_for() -> None:
    limiter = Limiter()
    taking(limiter, 3)
    said = {"x-hubspot-ratelimit-max": "100", "x-hubspot-ratelimit-interval-milliseconds": "10000"}
    limiter.answered({**said, "x-hubspot-ratelimit-remaining": "5"}, 0.0)  # `check`, say, has just asked a lot
    assert limiter.burst.used(0.0) == 95
    limiter.answered({**said, "x-hubspot-ratelimit-remaining": "20"}, 0.0)  # an answer that is late
    assert limiter.burst.used(0.0) == 95
    taking(limiter, 5)
    assert limiter.delay(0.0, use=Use.WRITE) > 0
    assert limiter.delay(11.0, use=Use.WRITE) == 0
    shared = Limiter(share=0.5)
    shared.answered({**said, "x-hubspot-ratelimit-remaining": "40"}, 0.0)
    assert shared.burst.used(0.0) == 0, "the other half is for others"


def test_rounds_use_no_more_than_half_of_the_day() -> None:
    costs = {"search": 3.0, "associations": 60.0, "archived": 3.0, "scan": 600.0}
    least = {"archived": 30.0, "scan": 3600.0}
    found = intervals(costs, 250_000, least)
    assert sum(costs[kind] / found[kind] for kind in costs) * 86_400 <= 125_000 * 1.0001
    assert found["search"] == 5.0
    assert all(found[kind] >= seconds for kind, seconds in least.items())


def test_what_one_kind_of_round_does_not_need_others_use() -> None:
    alone = intervals(
        {"search": 11.0, "associations": 0.0, "archived": 11.0, "scan": 1.0},
        250_000,
        {"archived": 600.0, "scan": 3600.0},
    )
    assert alone["search"] == pytest.approx(11 * 86_400 / 125_000, rel=0.05)
    assert "associations" not in alone


def test_a_mark_is_reached_by_looking_at_everything_where_that_is_faster_than_waiting() -> None:
    assert sweep_pays(30, 120.0)
    assert sweep_pays(30, 0.0)
    assert not sweep_pays(2000, 120.0)


# ---------------------------------------------------------------- time


def test_the_account_s_clock_is_never_ahead_and_never_goes_back() -> None:
    clock = AccountClock()
    assert clock.now(0.0, 4e9) == 4_000_000_000_000  # nothing is known: our own, which is years ahead
    clock.answered({"date": "Tue, 24 Nov 2026 12:00:00 GMT"}, received=10.0)
    first = clock.now(10.0, 0.0)
    clock.answered({"date": "Tue, 24 Nov 2026 12:00:01 GMT"}, received=11.9)  # a slow answer tells nothing new
    assert clock.now(10.0, 0.0) == first
    clock.answered({"date": "Tue, 24 Nov 2026 12:00:02 GMT"}, received=11.5)
    assert clock.now(11.5, 0.0) == first + 2000
    assert clock.now(11.0, 0.0) == first + 2000
    clock.answered({"date": "no date"}, received=99.0)


def test_of_two_images_the_one_with_the_later_change_is_newer_however_they_were_asked_for() -> None:
    # A read that was asked for first, and served after the change at 150; one asked for later, and served before it.
    slow, quick = version_of(100, 150), version_of(110, 50)
    assert slow.newer_than(quick)
    assert not quick.newer_than(slow)
    # The same state read twice (an association moves no date): the later read.
    assert version_of(300, 150).newer_than(version_of(200, 150))
    # Of different records: what is read later is the newer, whenever it was changed.
    assert version_of(500, 5).newer_than(version_of(400, 390))
    # A change in the very millisecond in which an older image was asked for.
    assert version_of(149, 150).newer_than(version_of(150, 20))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=30), st.integers(1, 20), st.integers(1, 12))
def test_no_change_escapes_the_windows_however_late_it_shows(
    changes: list[tuple[int, int]], pages: int, every: int
) -> None:
    """Changes at seconds of their own, each seen by search only after a delay of up to the lag."""
    lag, place, seen = 20_000, Place(0, 0), set[int]()
    for now in range(every * 1000, 140_000, every * 1000):
        window = next_window(place, now, lag)
        for number, (at, delay) in enumerate(changes):
            if at * 1000 >= window.since and (at + delay) * 1000 <= now:
                seen.add(number)
        place = after(place, window, pages)
    assert seen == set(range(len(changes)))


def test_while_little_changes_every_window_is_deep_and_while_much_does_few_are() -> None:
    place = after(Place(0, 0), next_window(Place(0, 0), 5_000, 120_000), pages=1)
    assert next_window(place, 10_000, 120_000).deep
    place = after(place, next_window(place, 200_000, 120_000), pages=60)
    shallow = next_window(place, 205_000, 120_000)
    assert (shallow.deep, shallow.since) == (False, 185_000)
    assert next_window(place, 260_000, 120_000).deep


# ---------------------------------------------------------------- what is news


def image(record_id: str, stamp: int, *, company: str | None = None, merged: tuple[str, ...] = ()) -> Image:
    return Image(Record(record_id, {"company_id": company}, version_of(stamp, stamp)), stamp, merged)


def known(**entries: Entry) -> Known:
    found = Known("contacts", ["company_id"])
    found.entries |= {record_id.removeprefix("r"): entry for record_id, entry in entries.items()}
    return found


def test_a_record_is_told_once_and_again_when_its_date_or_its_company_moves() -> None:
    one = known()
    assert [change.op for change in one.see(image("1", 5)).changes] == [Op.UPSERT]
    assert one.see(image("1", 5)).changes == ()
    assert one.see(image("1", 4)).changes == (), "an old image"
    assert len(one.see(image("1", 6)).changes) == 1
    assert len(one.see(image("1", 6, company="9")).changes) == 1
    assert one.see(image("1", 6, company="9")).changes == ()
    assert len(one.see(image("1", 6, company="9"), ours=True).changes) == 1, (
        "others know what we wrote, not what was told"
    )


def test_a_record_that_comes_back_is_told_though_its_date_has_not_moved() -> None:
    one = known(r1=Entry(5, (None,), gone=7))
    assert not one.is_news("1", 5), "search may show what is archived"
    assert [change.op for change in one.see(image("1", 5)).changes] == [Op.UPSERT]
    assert one.entries["1"].gone == 0
    (change,) = known(r1=Entry(5, (None,), gone=900)).see(image("1", 5)).changes
    assert change.version.position > 900, "it was read after it was found gone, whatever our clock says"


def test_a_merge_is_told_before_the_survivor_and_only_once() -> None:
    one = known(r1=Entry(5, (None,)), r2=Entry(5, (None,)))
    told = one.see(image("3", 9, merged=("1", "2")))
    assert [(change.op, change.id, change.into) for change in told.changes] == [
        (Op.MERGE, "1", "3"),
        (Op.MERGE, "2", "3"),
        (Op.UPSERT, "3", None),
    ]
    assert one.alive() == ["3"]
    assert one.see(image("3", 10, merged=("1", "2"))).changes[0].op is Op.UPSERT
    kept = one.see(image("3", 11, merged=("1", "2", "4"))).changes
    assert [change.op for change in kept] == [Op.MERGE, Op.UPSERT], "the survivor may keep its id"


def test_a_deletion_is_newer_than_all_that_was_known_and_told_once() -> None:
    one = known(r1=Entry(5_000, (None,)))
    told = one.lose("1", 0, asked_at=4_000)
    (change,) = told.changes
    assert (change.op, change.version.newer_than(version_of(4_000, 4_999))) == (Op.DELETE, True)
    assert one.lose("1", 0, asked_at=6_000).changes == ()
    assert one.lose("77", 0, asked_at=6_000).changes == (), "of a record that nobody has heard of nothing is told"


def test_what_is_noted_brings_back_what_was_known() -> None:
    one = known(r1=Entry(5, ("9",)), r2=Entry(6, (None,), gone=8))
    notes: dict[str, Any] = {**one.note("1"), **one.note("2"), **one.note_ready()}
    notes |= one.merge("3", "1", version_of(9, 9), 9).notes
    again = Known("contacts", ["company_id"])
    again.recall({key: text for key, text in notes.items() if text is not None})
    assert (again.entries, again.aliases, again.ready) == (one.entries, {"3": "1"}, True)
    other = Known("contacts", ["company_id", "owner_id"])
    other.recall({key: text for key, text in notes.items() if text is not None})
    assert other.ready and other.renamed, "with other associations to watch all is told anew"
    assert [change.id for change in other.see(image("1", 5, company="9")).changes] == ["1"]


# ---------------------------------------------------------------- associations


def test_the_primary_counts_else_the_oldest() -> None:
    ends = {"20": frozenset({PLAIN}), "5": frozenset({PLAIN, PRIMARY}), "100": frozenset({PLAIN})}
    assert counting(COMPANY, ends) == "5"
    assert counting(COMPANY, {"20": frozenset({PLAIN})}) is None
    assert counting(CONTACT, {"20": frozenset(), "100": frozenset(), "9": frozenset()}) == "9"
    assert counting(CONTACT, {}) is None


def test_labels_of_an_answer_are_read_with_their_category() -> None:
    given = [{"toObjectId": 5, "associationTypes": [{"category": "USER_DEFINED", "typeId": 7, "label": "Boss"}]}]
    assert ends_of(given) == {"5": frozenset({BOSS})}


def test_another_company_takes_the_place_of_the_first_and_keeps_its_own_labels() -> None:
    ends = {"5": frozenset({PLAIN, PRIMARY}), "6": frozenset({PLAIN, BOSS})}
    change = change_to(COMPANY, ends, "6")
    assert change is not None and change.make is not None
    assert (set(change.make[1]), change.drop, change.strip) == ({PLAIN, PRIMARY, BOSS}, "5", None)
    assert change_to(COMPANY, ends, "5") is None
    assert change_to(COMPANY, ends, None) == Change(drop="5")


def test_a_company_to_which_a_person_gave_a_label_stays_without_being_the_primary() -> None:
    ends = {"5": frozenset({PLAIN, PRIMARY, BOSS})}
    assert change_to(COMPANY, ends, None) == Change(strip="5")


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("status", "kind", "wait"),
    [(401, FatalError, 0), (530, FatalError, 0), (423, RetriableError, 2.0), (477, RetriableError, 600.0),
     (429, RetriableError, 10.0), (500, RetriableError, 1.0), (503, RetriableError, 1.0)],
)  # fmt: skip
def test_each_status_has_a_way_to_recover(status: int, kind: type[Exception], wait: float) -> None:
    error = account_error(status, {}, refusal_of(status, {}), "reading")
    assert isinstance(error, kind)
    assert not isinstance(error, RetriableError) or error.retry_after == wait
    assert account_error(400, {}, refusal_of(400, {}), "reading") is None
    longer = account_error(477, {"retry-after": "7200"}, refusal_of(477, {}), "reading")
    assert isinstance(longer, RetriableError) and longer.retry_after == 7200


def test_a_missing_scope_is_named() -> None:
    body = {
        "category": "MISSING_SCOPES",
        "errors": [{"context": {"requiredGranularScopes": ["crm.objects.deals.read"]}}],
    }
    error = account_error(403, {}, refusal_of(403, body), "reading deals")
    assert isinstance(error, FatalError)
    assert "crm.objects.deals.read" in error.message and "crm.objects.deals.read" in error.remedy


def test_an_error_that_is_hidden_in_a_message_is_read() -> None:
    nested = {
        "status": "error",
        "message": '{"category":"VALIDATION_ERROR","errors":[{"code":"INVALID_OPTION","context":{"propertyName":["tier"]}}]}',
    }
    refusal = refusal_of(400, nested)
    assert (refusal.category, refusal.code, refusal.details[0].properties) == (
        "VALIDATION_ERROR",
        "INVALID_OPTION",
        ("tier",),
    )
    assert refusal_of(400, "not even JSON").category == ""
    assert refusal_of(400, None).message == "HTTP status 400"


def test_the_errors_of_a_batch_tell_whom_they_concern() -> None:
    body = {
        "errors": [
            {
                "category": "CONFLICT",
                "message": "there",
                "context": {"objectWriteTraceId": ["3"], "existingObjectId": ["17"]},
            }
        ]
    }
    (detail,) = details_of(body)
    assert (detail.traces, detail.ids, category_of(detail)) == (("3",), ("17",), "duplicate")
