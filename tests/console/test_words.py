"""Times, columns, hints and lines of progress: what people write and read."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import msgspec
import pytest

from console.columns import chosen, columns_of, only, value_in
from console.commands.look import show_status
from console.errors import WrongUseError, did_you_mean
from console.output import Output
from console.progress import EVERY_S, Progress
from console.times import iso, parse_span, parse_time, span
from rules.events import SyncRow
from tests.console.samples import CONFIGURATION, SYNC

NOW = datetime(2026, 3, 4, 15, 30, tzinfo=UTC).timestamp()


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.usefixtures("utc")
@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("90s", "2026-03-04T15:28:30Z"),
        ("1.5h", "2026-03-04T14:00:00Z"),
        ("10 min", "2026-03-04T15:20:00Z"),
        ("2d", "2026-03-02T15:30:00Z"),
        ("now", "2026-03-04T15:30:00Z"),
        ("today", "2026-03-04T00:00:00Z"),
        ("Yesterday", "2026-03-03T00:00:00Z"),
        ("08:05", "2026-03-04T08:05:00Z"),
        ("2026-01-31", "2026-01-31T00:00:00Z"),
        ("2026-01-31 18:00", "2026-01-31T18:00:00Z"),
        ("2026-01-31T18:00:00+02:00", "2026-01-31T16:00:00Z"),
    ],
)
def test_times_are_understood(text: str, meant: str) -> None:
    assert iso(parse_time(text, NOW)) == meant


@pytest.mark.parametrize("text", ["", "soon", "10", "25:99", "2026-13-01", "h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text, NOW)


def test_spans_are_read_and_written() -> None:
    assert (parse_span("30d"), parse_span("45m")) == (30 * 86400.0, 2700.0)
    written = [span(seconds) for seconds in (0.0123, 0.9994, 3.14, 42, 600, 7300, 400_000)]
    assert written == ["12 ms", "999 ms", "3.1 s", "42 s", "10 min", "2 h", "5 d"]


def test_hints_name_what_is_near_else_all() -> None:
    assert did_you_mean("Contcats", ["contacts", "companies"]) == "Did you mean contacts?"
    assert did_you_mean("zzz", ["contacts", "companies"]) == "There are companies, contacts."
    assert did_you_mean("zzz", []) == ""


BETWEEN = {"contacts": ("shop", "crm"), "companies": ("crm", "shop")}
COLUMNS = columns_of(CONFIGURATION, ["contacts"], BETWEEN)


def test_the_columns_are_what_every_record_has_and_the_mapped_fields() -> None:
    assert COLUMNS[6:] == ["shop.id", "shop.email", "shop.level", "shop.source", "crm.id", "crm.mail", "crm.tier"]
    assert columns_of(CONFIGURATION, ["companies"], BETWEEN)[6:] == ["crm.id", "crm.name", "shop.id", "shop.firm_name"]


def test_a_field_that_several_sides_have_is_meant_on_all_of_them() -> None:
    assert chosen("id, status", COLUMNS) == ["shop.id", "crm.id", "status"]
    with pytest.raises(WrongUseError) as caught:
        chosen("status,emial", COLUMNS)
    assert caught.value.remedy.startswith("Did you mean email")


def test_a_record_is_read_by_column() -> None:
    record = {
        "sync": "contacts",
        "status": "pending",
        "shop": None,
        "crm": {"id": "1", "fields": {"mail": "a", "tier": 2}},
    }
    read = [value_in(record, column) for column in ("status", "crm.id", "crm.tier", "shop.id", "crm.none")]
    assert read == ["pending", "1", 2, None, None]
    assert only(record, ["crm.tier"])["crm"] == {"id": "1", "fields": {"tier": 2}}


def texts(progress: Progress, at: float, row: SyncRow | None) -> list[str]:
    return [f"{line.about} {line.text}" for line in progress.take({SYNC.sync: row}, at)]


def changed(**values: object) -> SyncRow:
    return msgspec.structs.replace(SYNC, **values)


def test_each_state_is_told_once_and_counts_only_now_and_then() -> None:
    progress = Progress()
    initial = changed(state="initial", matched=0, counts={}, read={"crm": 10})
    assert texts(progress, 100.0, initial) == ["contacts reading both sides"]
    assert texts(progress, 100.1, changed(state="initial", matched=1)) == []
    (line,) = texts(progress, 100.0 + EVERY_S, changed(state="initial", matched=2, remaining=1200))
    assert line == "contacts read 3 crm + 2 shop; matched 2, created 0, 1,200 to go"
    (line,) = texts(progress, 105.0, changed(matched=2, created=7, counts={"in_sync": 9}))
    assert line == "contacts live: 2 matched, 7 created in 5.0 s; 9 in sync"
    assert texts(progress, 200.0, changed(matched=2, created=7, counts={"in_sync": 9})) == []
    assert texts(progress, 201.0, changed(counts={"in_sync": 8, "failing": 1})) == ["contacts 8 in sync, 1 failing"]


def test_what_could_not_be_told_at_once_is_told_later() -> None:
    progress = Progress()
    texts(progress, 100.0, changed(counts={"in_sync": 1}))
    assert texts(progress, 100.5, changed(counts={"in_sync": 2})) == []
    assert [line.text for line in progress.tick(100.0 + EVERY_S)] == ["2 in sync"]
    assert list(progress.tick(110.0)) == []


def test_an_account_that_is_down_is_told_once_and_when_it_is_back() -> None:
    progress = Progress()
    texts(progress, 0.0, SYNC)
    assert texts(progress, 1.0, changed(accounts={"shop": "refused"})) == ["shop does not answer: refused"]
    assert texts(progress, 2.0, changed(accounts={"shop": "refused"})) == []
    assert texts(progress, 2.5, SYNC) == ["shop answers again"]


def test_a_stop_says_how_it_goes_on_and_a_deleted_sync_that_it_is_gone() -> None:
    progress = Progress()
    (line,) = texts(progress, 1.0, changed(state="stopped", reason="900 deletions"))
    assert line == "contacts stopped: 900 deletions; `tandem confirm contacts` lets it go on"
    assert texts(progress, 2.0, changed(state="off")) == ["contacts off"]
    assert texts(progress, 3.0, None) == ["contacts deleted; its links are forgotten"]


def test_an_account_that_is_down_is_said_once_whatever_number_of_syncs_it_has(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sync = {
        "state": "live", "in_sync": 1, "failing": 0, "excluded": 0, "pending": 0, "lag_seconds": None, "reason": "",
        "accounts_down": {"portal": "the token is not valid"},
    }  # fmt: skip
    show_status(Output(json=False), [sync | {"sync": "firms"}, sync | {"sync": "people"}])
    assert capsys.readouterr().out.count("portal is down: the token is not valid") == 1
