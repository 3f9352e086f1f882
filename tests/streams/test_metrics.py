"""The metrics of the contract, as Prometheus reads them."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rules.events import DeadLetter, SyncRow
from streams import metrics
from streams.protocols import Metrics

CONTRACT = {
    "tandem_changes_captured_total": {"account", "object"},
    "tandem_commands_total": {"account", "object", "op", "outcome"},
    "tandem_records": {"sync", "status"},
    "tandem_conflicts_total": {"sync"},
    "tandem_dead_letters_total": {"sync", "category"},
    "tandem_end_to_end_seconds": {"sync"},
    "tandem_capture_lag_seconds": {"account"},
    "tandem_initial_progress_ratio": {"sync"},
    "tandem_account_up": {"account"},
    "tandem_rate_limited_seconds_total": {"account"},
}


@pytest.fixture
def port() -> Iterator[int]:
    served = metrics.serve(9470)
    yield served
    metrics.close(served)


def scrape(port: int) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All samples, by name and labels."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(port: int, name: str, **labels: str) -> float | None:
    return scrape(port).get((name, frozenset(labels.items())))


def row(state: str | None = "live", **more: object) -> SyncRow:
    return SyncRow("m.sync", "a~b", state, **more)  # type: ignore[arg-type]


@pytest.fixture
def everything() -> Iterator[None]:
    """Each metric has a figure."""
    metrics.count_captured("m.crm", "people", 2)
    metrics.count_command("m.crm", "people", "create", "applied", 3)
    metrics.observe_sync(row(counts={"in_sync": 5, "failing": 1}, conflicts=4))
    metrics.count_dead_letter(DeadLetter("id", 1.0, "m.crm", "duplicate", "…", sync="m.sync"))
    metrics.observe_end_to_end("m.sync", 0.05)
    metrics.observe_capture("m.crm", time.time() - 2)
    metrics.report_account("m.crm", "capture", up=True)
    metrics.count_rate_limited("m.crm", 1.5)
    yield
    metrics.forget_syncs(["m.sync"])
    metrics.forget_account("m.crm", "capture")
    metrics.forget_account("m.crm", "delivery")


@pytest.mark.usefixtures("everything")
def test_a_scrape_finds_every_metric_of_the_contract_with_its_labels(port: int) -> None:
    found = {name: {label for label, _ in labels} for name, labels in scrape(port)}
    for name, labels in CONTRACT.items():
        sample = f"{name}_count" if name == "tandem_end_to_end_seconds" else name
        assert found[sample] == labels, name
    assert found["tandem_end_to_end_seconds_bucket"] == {"sync", "le"}


@pytest.mark.usefixtures("everything")
def test_the_figures_are_what_was_reported(port: int) -> None:
    before = value(port, "tandem_changes_captured_total", account="m.crm", object="people")
    metrics.count_captured("m.crm", "people", 2)
    assert before is not None
    assert value(port, "tandem_changes_captured_total", account="m.crm", object="people") == before + 2
    assert value(port, "tandem_records", sync="m.sync", status="in_sync") == 5.0
    assert value(port, "tandem_records", sync="m.sync", status="failing") == 1.0
    assert value(port, "tandem_records", sync="m.sync", status="pending") == 0.0
    assert value(port, "tandem_conflicts_total", sync="m.sync") == 4.0
    assert value(port, "tandem_account_up", account="m.crm") == 1.0
    lag = value(port, "tandem_capture_lag_seconds", account="m.crm")
    assert lag is not None
    assert 1.9 < lag < 10


@pytest.mark.usefixtures("everything")
def test_an_account_is_up_only_where_capture_and_delivery_both_say_so(port: int) -> None:
    metrics.report_account("m.crm", "delivery", up=False)
    assert value(port, "tandem_account_up", account="m.crm") == 0.0
    metrics.forget_account("m.crm", "delivery")
    assert value(port, "tandem_account_up", account="m.crm") == 1.0
    metrics.forget_account("m.crm", "capture")
    assert value(port, "tandem_account_up", account="m.crm") is None
    assert value(port, "tandem_capture_lag_seconds", account="m.crm") is None


def test_what_is_left_of_an_accounts_limits_is_shown_where_it_is_captured(port: int) -> None:
    metrics.report_limit("m.crm", "day", 3.0, 7.0)
    assert value(port, "tandem_limit_used", account="m.crm", limit="day") == 3.0
    assert value(port, "tandem_limit_left", account="m.crm", limit="day") == 7.0
    metrics.forget_account("m.crm", "delivery")
    assert value(port, "tandem_limit_left", account="m.crm", limit="day") == 7.0
    metrics.forget_account("m.crm", "capture")
    assert value(port, "tandem_limit_used", account="m.crm", limit="day") is None
    assert value(port, "tandem_limit_left", account="m.crm", limit="day") is None


@pytest.mark.usefixtures("everything")
def test_the_lag_of_an_account_that_is_down_grows(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    before = value(port, "tandem_capture_lag_seconds", account="m.crm")
    metrics.report_account("m.crm", "capture", up=False)
    monkeypatch.setattr("streams.metrics.time.time", lambda: now + 100)
    after = value(port, "tandem_capture_lag_seconds", account="m.crm")
    assert before is not None
    assert after is not None
    assert 90 < after - before < 110


@pytest.mark.usefixtures("everything")
def test_a_sync_that_has_left_or_was_deleted_has_no_figures(port: int) -> None:
    metrics.observe_sync(row(state=None))
    assert value(port, "tandem_records", sync="m.sync", status="in_sync") is None
    metrics.observe_sync(row())
    metrics.forget_syncs(["m.sync", "never here"])
    assert value(port, "tandem_conflicts_total", sync="m.sync") is None


@pytest.mark.parametrize(
    ("state", "progress", "ratio"),
    [
        ("initial", {}, 0.0),
        ("initial", {"matched": 30}, 0.0),
        ("initial", {"matched": 30, "created": 20, "remaining": 50}, 0.5),
        ("live", {"matched": 30, "created": 70}, 1.0),
        ("off", {}, 1.0),
    ],
)
def test_the_progress_of_the_initial_sync(state: str, progress: dict[str, int], ratio: float) -> None:
    assert metrics.progress_of(row(state, **progress)) == ratio


def test_a_port_that_is_taken_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = taken.getsockname()[1]
        port = metrics.serve(first)
        try:
            assert port > first
            assert ("process_resident_memory_bytes", frozenset()) in scrape(port)
        finally:
            metrics.close(port)


def test_two_workers_of_one_machine_have_ports_of_their_own(port: int) -> None:
    other = metrics.serve(port)
    try:
        assert other != port
    finally:
        metrics.close(other)


def test_the_module_is_what_the_spine_expects() -> None:
    parts: Metrics = metrics
    assert parts is metrics
