"""What the parts of a worker ask of each other: the spine (Faust, topics, state), capture, and the lanes of delivery.

Responsible for these interfaces alone. Must not know Faust, Kafka's client or any connector.

Who does what, for a partition p that this worker owns:

the spine
    takes p over (epoch, markers), recovers its state, then starts one `Lanes` for p (from `LanesFactory`) and, for each
    account with `topics.partition_of(account, P) == p`, one `AccountService` (from `CaptureFactory`). It ends them when
    p leaves: it cancels `run()`, calls `Lanes.stop()`, and gives both 5 s.
capture
    `AccountService.run()`: the log and the errands of one account, until cancelled. Returns when the account has left
    the configuration (it has released the slot then). An exception out of `run()` ends the process: what goes wrong in
    an account (`ConnectorError`) is handled inside.
lanes
    `Lanes.submit()`: writes to accounts, one answer per command, whatever happens to the account. Only `FencedError`,
    or a bug, makes the returned future fail; either ends the process.

Errands are what the rules ask of an account besides writes (ReadRequest, ReadRecords, SetMark). Deliver stores each in
the partition's state before its position moves on, and then calls `AccountService.wake()`. Capture works from
`Errands.open(account)` alone, so that nothing is lost in a crash. Route takes an errand out of the state when the
message that carries it out comes by in `changes`:

- a page of a full read, but for the last: `send(Captured(read=...), errand=key, resume=page.resume)`: it moves on
- the last page: `send(Captured(read=...))` without `errand`, then `send(ReadDone, errand=key)`: done
- ReadRecords: the last message sent for it carries `errand=key`, and no `resume`: done
- SetMark: done when `Marked` with its mark passes route (sent without `errand`)

What a connector notes for itself (`connectors.base.Notes`) follows the changes that it came with, as `Noted`; route keeps
it in the state, and sends it to nobody. `LogStarted`, or a `Noted` that says `anew`, make void what was noted before.

All pages, ReadDone, and what answers ReadRecords carry `to=order.connection`. A read that was replaced by a newer one
has another `read`: what is still sent for the old one is dropped by route and changes nothing.

Every topic of ours also holds markers of partition owners: messages whose key begins with a zero byte. Whoever reads a
topic skips them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Protocol

import msgspec

from connectors.base import Remembered
from rules.catalog import Catalog
from rules.events import Commands, DeadLetter, Event, ReadRecords, ReadRequest, Results, SetMark, SyncRow
from schemas import ChangeEvent
from streams.topics import connection_name

# ---------------------------------------------------------------- configuration


class Configuration(msgspec.Struct, frozen=True):
    """The applied configuration, as it lies in `config` under `installation`. `document`: sync.yaml with secrets as
    references."""

    version: int
    name: str
    document: Mapping[str, Any]
    off: frozenset[str] = frozenset()  # names of syncs
    catalogs: Mapping[str, Catalog] = {}

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts that any sync uses, sorted."""
        return tuple(sorted({account for sync in self.document["syncs"].values() for account in sync["between"]}))

    @property
    def connections(self) -> tuple[str, ...]:
        """The connections that any sync belongs to, sorted."""
        return tuple(sorted({connection_name(sync["between"]) for sync in self.document["syncs"].values()}))

    def objects(self, account: str, *, running: bool = True) -> tuple[str, ...]:
        """The objects of the account that syncs use, sorted; `running`: only of syncs that are not off."""
        syncs = self.document["syncs"].items()
        return tuple(
            sorted(
                {
                    sync["between"][account]
                    for name, sync in syncs
                    if account in sync["between"] and not (running and name in self.off)
                }
            )
        )


class ConfigSource(Protocol):
    """The configuration that is in force on this worker (streams.config.ConfigStore)."""

    @property
    def current(self) -> Configuration | None:
        """The newest that has come by; None: nothing has been applied yet."""

    async def wait_for(self, version: int) -> Configuration:
        """Returns the current one as soon as its version is at least `version`."""

    def changes(self) -> AsyncIterator[Configuration]:
        """The current one (if any), then each newer one; skips those that are overtaken while the caller is busy."""


# ---------------------------------------------------------------- capture


class Errand(msgspec.Struct, frozen=True):
    """An order to an account that is not yet carried out. `resume`: how far a full read has got (`Page.resume`);
    None: not begun."""

    key: str
    order: ReadRequest | ReadRecords | SetMark
    resume: str | None = None


class Errands(Protocol):
    """What the partition's state holds for its accounts."""

    def open(self, account: str) -> list[Errand]:
        """What is to be done, oldest first; reads before that have been replaced are gone. Cheap: a scan of a few
        keys."""

    async def remembered(self, account: str) -> Remembered:
        """What the account's capture has noted (`Noted`), up to where route is."""

    async def routed(self, offset: int) -> None:
        """Returns when route's position in `changes` has reached `offset`, so that `open` and `remembered` reflect all
        up to there."""


class ChangesSink(Protocol):
    """The fenced writer of one partition of `changes`. The marker of its owner is written before capture gets it."""

    @property
    def marker(self) -> int:
        """The offset of our marker: what lies before it was written by earlier owners, and nobody else writes behind
        it."""

    async def send(
        self,
        account: str,
        event: ChangeEvent,
        *,
        config: int,
        to: str | None = None,
        errand: str | None = None,
        resume: str | None = None,
    ) -> asyncio.Future[int]:
        """Takes the event into the log, in the order of the calls. Waits while too much is in flight; the future is
        the offset, once acknowledged.

        The future fails only when the process is about to end (fenced, broker gone for good).
        """


class AccountService(Protocol):
    """Capture of one account."""

    async def run(self) -> None:
        """Works until cancelled. When cancelled, gives back connections within 5 s; the slot stays."""

    def wake(self) -> None:
        """The account's errands have changed: look at `Errands.open`. Called often; never blocks."""


CaptureFactory = Callable[[str, ChangesSink, Errands, ConfigSource], AccountService]
"""(account, sink, errands, config) -> service. Credentials, connectors and metrics are bound in by the caller
(streams.accounts)."""


# ---------------------------------------------------------------- delivery


class InboxSink(Protocol):
    """Writes into the inboxes of connections; a plain idempotent producer, so that what is sent may come late or
    twice after a crash."""

    async def send(self, connection: str, event: Event) -> None:
        """Returns when the broker has acknowledged."""


class Lanes(Protocol):
    """Delivery for one partition of `commands`: a lane per account."""

    def submit(self, offset: int, commands: Commands) -> asyncio.Future[Results]:
        """Takes the commands of the message at `offset`; submitted in the order of the partition. Never blocks and
        never refuses: what cannot be taken is answered `deferred`. The future is done with exactly one answer per
        command, in their order. The caller sends the Results into the inbox and moves the position on in order; so
        the lane itself sends only AccountState.
        """

    def idle(self) -> bool:
        """Whether nothing is in flight (for a quiet stop)."""

    async def stop(self) -> None:
        """Ends all lanes and connections, within 5 s; what is in flight is given up (its futures are cancelled) and
        comes again to the next owner."""


class FenceBase(msgspec.Struct, frozen=True):
    """What goes into `connectors.base.Fence` besides the offset. `epoch` grows with every owner, also across a lost
    state (it is at least the time in ms);
    `name` changes when the offsets of `commands` begin anew.

    `fresh`: the end of the partition when it was taken over. What lies before it may have been delivered by an earlier
    owner, message by message or merged: a lane applies each of these alone, so that one fence stands for one message.
    Without it a message that was written before would be merged with one that was not, and written again."""

    name: str
    epoch: int
    fresh: int = 0


LanesFactory = Callable[[FenceBase, InboxSink, ConfigSource], Lanes]
"""(fence, inbox, config) -> lanes of one partition."""

# ---------------------------------------------------------------- metrics


class Metrics(Protocol):
    """What the spine tells the metrics (streams/metrics.py, as a module)."""

    def serve(self, first_port: int = 9470) -> int:
        """Starts the HTTP server on the next free port, and returns it."""

    def observe_sync(self, row: SyncRow) -> None:
        """tandem_records, tandem_conflicts_total, tandem_initial_progress_ratio."""

    def count_dead_letter(self, letter: DeadLetter) -> None:
        """tandem_dead_letters_total."""

    def forget_syncs(self, names: Iterable[str]) -> None:
        """These syncs are no longer decided on this worker: their gauges go."""
