"""The worker's metrics, under the names of the contract, and the port where Prometheus reads them.

Responsible for names, labels and the meaning of each figure. Must not know where the figures come from.

Counters and the histogram count what this process did. What belongs to a sync (records, conflicts, progress) is what
the sync's state says, whoever counted it: exposed while the sync is on this worker, and whole again when it moves.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from threading import Thread
from typing import Final
from wsgiref.simple_server import WSGIServer

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rules.events import DeadLetter, SyncRow

disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_captured = Counter(
    "tandem_changes_captured_total",
    "Changes captured from the log of an account and stored in Kafka",
    ["account", "object"],
    registry=REGISTRY,
)
_commands = Counter(
    "tandem_commands_total",
    "Writes sent to an account, by what became of them",
    ["account", "object", "op", "outcome"],
    registry=REGISTRY,
)
_dead_letters = Counter(
    "tandem_dead_letters_total",
    "Commands refused for good, and messages that could not be read",
    ["sync", "category"],
    registry=REGISTRY,
)
_end_to_end = Histogram(
    "tandem_end_to_end_seconds",
    "From the commit in the source to the commit in the target",
    ["sync"],
    buckets=(0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
    registry=REGISTRY,
)
_rate_limited = Counter(
    "tandem_rate_limited_seconds_total",
    "Time that an account made us wait because it throttles",
    ["account"],
    registry=REGISTRY,
)
_limit_used = Gauge(
    "tandem_limit_used", "How much of a limit of the account is used", ["account", "limit"], registry=REGISTRY
)
_limit_left = Gauge(
    "tandem_limit_left", "How much of a limit of the account is left", ["account", "limit"], registry=REGISTRY
)


_limits: dict[str, set[str]] = {}  # of each account, those that are reported

# ---------------------------------------------------------------- what an account does


def count_captured(account: str, object: str, changes: int) -> None:
    """Changes of the log that Kafka has acknowledged."""
    _captured_of(account, object).inc(changes)


def count_command(account: str, object: str, op: str, outcome: str, times: int = 1) -> None:
    """Writes and what became of them; outcomes are those of `connectors.base`, or `deferred`."""
    _commands_of(account, object, op, outcome).inc(times)


def observe_end_to_end(sync: str, seconds: float) -> None:
    """A change has arrived."""
    _end_to_end_of(sync).observe(max(0.0, seconds))


def report_limit(account: str, limit: str, used: float, left: float) -> None:
    """How much of a limit of the account is used, and how much is left, as its connector knows it."""
    _limits.setdefault(account, set()).add(limit)
    _limit_used.labels(account, limit).set(used)
    _limit_left.labels(account, limit).set(left)


def count_rate_limited(account: str, seconds: float) -> None:
    """The account made us wait."""
    _rate_limited.labels(account).inc(seconds)


@lru_cache(maxsize=1000)
def _captured_of(account: str, object: str) -> Counter:
    return _captured.labels(account, object)


@lru_cache(maxsize=5000)
def _commands_of(account: str, object: str, op: str, outcome: str) -> Counter:
    return _commands.labels(account, object, op, outcome)


@lru_cache(maxsize=1000)
def _end_to_end_of(sync: str) -> Histogram:
    return _end_to_end.labels(sync)


class _Lag(msgspec.Struct, frozen=True):
    """How far capture was behind when it last took something out of the log."""

    seconds: float
    at: float


class _Accounts(Collector):
    """Whether accounts answer, and how far behind their log we are. Capture and delivery report for themselves."""

    def __init__(self) -> None:
        self.up: dict[tuple[str, str], bool] = {}
        self.lag: dict[str, _Lag] = {}

    def collect(self) -> Iterator[Metric]:
        """Called by the thread of the server: works on copies."""
        up = GaugeMetricFamily("tandem_account_up", "1: the account answers capture and delivery", labels=["account"])
        reports = list(self.up.items())
        for account in sorted({account for (account, _), _ in reports}):
            up.add_metric([account], float(all(fine for (named, _), fine in reports if named == account)))
        yield up
        lag = GaugeMetricFamily(
            "tandem_capture_lag_seconds", "How old the newest change was when it was captured", labels=["account"]
        )
        down = {account for (account, part), fine in reports if part == "capture" and not fine}
        for account, last in sorted(self.lag.items()):
            # Nothing comes out of the log of an account that is down, so the lag grows with the clock.
            lag.add_metric([account], last.seconds + (time.time() - last.at if account in down else 0.0))
        yield lag


_accounts = _Accounts()
REGISTRY.register(_accounts)


def report_account(account: str, part: str, *, up: bool) -> None:
    """Whether the account answers `part` of this worker: capture or delivery."""
    _accounts.up[account, part] = up


def observe_capture(account: str, committed_at: float) -> None:
    """What was committed then has come out of the log now."""
    now = time.time()
    _accounts.lag[account] = _Lag(max(0.0, now - committed_at), now)


def forget_account(account: str, part: str) -> None:
    """The account's capture or delivery has left this worker."""
    _accounts.up.pop((account, part), None)
    if part == "capture":
        _accounts.lag.pop(account, None)
        for limit in _limits.pop(account, ()):
            _limit_used.remove(account, limit)
            _limit_left.remove(account, limit)


# ---------------------------------------------------------------- what a sync's state says

_STATUSES = ("in_sync", "failing", "excluded", "pending")


class _Syncs(Collector):
    """The rows of the syncs on this worker."""

    def __init__(self) -> None:
        self.rows: dict[str, SyncRow] = {}

    def collect(self) -> Iterator[Metric]:
        """Called by the thread of the server: works on a copy."""
        rows = sorted(self.rows.copy().items())
        records = GaugeMetricFamily("tandem_records", "Records of a sync by status", labels=["sync", "status"])
        conflicts = CounterMetricFamily("tandem_conflicts", "Fields that both sides had changed", labels=["sync"])
        progress = GaugeMetricFamily(
            "tandem_initial_progress_ratio", "How much of the initial sync is done; 1 when it is over", labels=["sync"]
        )
        for sync, row in rows:
            for status in _STATUSES:
                records.add_metric([sync, status], row.counts.get(status, 0))
            conflicts.add_metric([sync], row.conflicts)
            progress.add_metric([sync], progress_of(row))
        yield from (records, conflicts, progress)


_syncs = _Syncs()
REGISTRY.register(_syncs)


def progress_of(row: SyncRow) -> float:
    """The part of the initial sync that is done. While both sides are being read nobody knows how much there is: 0."""
    if row.state != "initial":
        return 1.0
    done = row.matched + row.created
    return done / (done + row.remaining) if row.remaining else 0.0


def observe_sync(row: SyncRow) -> None:
    """The state of a sync has changed; one without a state is gone."""
    if row.state is None:
        _syncs.rows.pop(row.sync, None)
    else:
        _syncs.rows[row.sync] = row


def forget_syncs(names: Iterable[str]) -> None:
    """Their connection has left this worker."""
    for name in names:
        _syncs.rows.pop(name, None)


def count_dead_letter(letter: DeadLetter) -> None:
    """A dead letter was written; one that belongs to no sync (an unreadable message) has an empty name."""
    _dead_letters.labels(letter.sync or "", letter.category).inc()


# ---------------------------------------------------------------- the port

_ATTEMPTS = 100
_servers: dict[int, tuple[WSGIServer, Thread]] = {}


def serve(first_port: int = 9470, *, host: str = "127.0.0.1") -> int:
    """Starts the HTTP server on `first_port`, or the next that is free; returns the port."""
    for port in range(first_port, first_port + _ATTEMPTS):
        try:
            _servers[port] = start_http_server(port, host, REGISTRY)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return port
    raise OSError(errno.EADDRINUSE, f"no free port for metrics from {first_port} to {first_port + _ATTEMPTS - 1}")


def close(port: int) -> None:
    """Ends the server on a port."""
    server, thread = _servers.pop(port)
    server.shutdown()
    server.server_close()
    thread.join()
