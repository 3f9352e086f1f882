"""Connections, decided with the sinks muted: events in, decisions into a store, commands answered by a stand-in.

Responsible for the order of events: what is decided goes on before the next page is read; and what one connection would
write into an account is told to the others that share it, as its log would. Must not know the rules, nor how the
outcome is shown. Reads accounts, and writes nothing to anybody.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import assert_never

import msgspec

from connectors.base import Connector, ConnectorError
from console.errors import FailedError
from console.rehearsal.stand_in import StandIn
from console.rehearsal.store import Store
from rules.decide import Envelope, decide
from rules.events import (
    Captured,
    Commands,
    Event,
    Marked,
    Order,
    ReadDone,
    ReadRecords,
    ReadRequest,
    Row,
    SetMark,
    SyncRow,
)
from rules.plan import compile_connection
from rules.sending import command_of
from rules.state import CONNECTION, decode_connection, decode_image, decode_link
from streams.convert import cut, row_of_record

Tell = Callable[[SyncRow | None], None]
"""Told of a sync's progress; None: it is over."""


class Rehearsal:
    """`connection` over its state in `store`, decided up to the offset `decided` of its inbox. `shared`: the accounts that
    other connections use, too."""

    def __init__(
        self,
        connection: str,
        store: Store,
        apps: StandIn,
        connectors: Mapping[str, Connector],
        decided: int = -1,
        tell: Tell | None = None,
        shared: frozenset[str] = frozenset(),
    ) -> None:
        self._connection, self._store, self._connectors = connection, store, connectors
        self._state, self._apps = store.state(connection), apps
        self._offset = decided + 1
        self._inbox: deque[Event] = deque()
        self._reads: dict[tuple[str, str], ReadRequest] = {}  # (sync, account): a newer one replaces an older
        self._tell = tell or (lambda _: None)
        self.syncs: dict[str, SyncRow] = {}
        self._shared = shared
        self.written: list[Captured] = []  # what the accounts' logs would tell the other connections

    async def run(self, order: Order) -> None:
        """Decides the order (of `apply`) and all that follows from it, until nothing follows any more."""
        self._take_up()
        self._inbox.append(order)
        await self._decide_all()
        while self._reads:
            key, request = next(iter(self._reads.items()))
            await self._read(key, request)

    async def told(self, changes: list[Captured]) -> None:
        """What other connections would have written, and all that follows from it."""
        self._inbox.extend(changes)
        await self._decide_all()

    def _take_up(self) -> None:
        """A state that runs: values that are taken, and commands that are on their way, which are answered first."""
        raw = self._state.get(CONNECTION)
        if raw is None:
            return
        for key, image in self._state.scan(b"R"):
            account, object_name, record_id = key[1:].decode().split("\0")
            known = decode_image(image)
            if self._apps.knows(account, object_name) and not (known.gone or known.partial):
                self._apps.hold_of(account, object_name, record_id, known.values)
        for sync in compile_connection(decode_connection(raw).document).syncs.values():
            for key, value in self._state.scan(b"L" + sync.name.encode() + b"\0"):
                link_id, link = key[1:].decode().split("\0")[1], decode_link(value)
                flight = link.flight
                if flight is not None and link.waits is None and link.status == "pending":
                    side = sync.sides[flight.side]
                    if self._apps.knows(side.account, side.object.name):
                        command = command_of(sync, link_id, link)
                        self._answer(Commands(self._connection, side.account, side.object.name, (command,)))

    async def _read(self, key: tuple[str, str], request: ReadRequest) -> None:
        """Reads an object in full; what a page leads to is decided before the next one is taken."""
        connector = self._connectors[request.account]
        async for event in _pages(connector, request):
            if self._reads.get(key) is not request:
                return  # it has been replaced
            if isinstance(event, Captured):
                self._apps.took_in(request.account, request.object, event.rows)
            self._inbox.append(event)
            await self._decide_all()
        if self._reads.get(key) is request:
            del self._reads[key]
            self._inbox.append(ReadDone(request.account, request.object, request.read))
            await self._decide_all()

    async def _decide_all(self) -> None:
        while self._inbox:
            event = self._inbox.popleft()
            decision = decide(self._state, event, Envelope(self._connection, self._offset, time.time()))
            self._offset += 1
            self._state.put(decision.state, decision.indexes)
            self._store.note(decision.statuses, [row for row in decision.history if row.key])
            for row in decision.syncs:
                self.syncs[row.sync] = row
                self._tell(row)
            self._inbox.extend(decision.ticks)
            for order in decision.orders:
                match order:
                    case Commands():
                        self._answer(order)
                    case ReadRequest():
                        self._reads[order.sync, order.account] = order
                    case ReadRecords():
                        await self._read_records(order)
                    case SetMark():
                        self._inbox.append(Marked(order.account, order.mark))  # there is no log that could be behind
                    case _:
                        assert_never(order)

    def _answer(self, commands: Commands) -> None:
        """Answers commands, and keeps what the account's log would tell of them."""
        results = self._apps.answer(commands, self._state)
        self._inbox.append(results)
        if commands.account not in self._shared:
            return
        rows = [
            Row(
                answer.id or "",
                answer.values or {},
                answer.version,
                "delete" if command.op == "delete" else "upsert",
                token=command.token,
                committed_at=time.time(),
            )
            for command, answer in zip(commands.commands, results.answers, strict=True)
            if answer.outcome == "applied" and answer.version is not None
        ]
        if rows:
            self.written.append(Captured(commands.account, commands.object, tuple(rows)))

    async def _read_records(self, order: ReadRecords) -> None:
        """Records that must be seen whole. One that is only made up stands as it was made."""
        wanted = [one for one in order.ids if self._store.made_up(order.account, one) is None]
        with _telling(order.account):
            records = await self._connectors[order.account].read(order.object, wanted) if wanted else []
        for rows in cut(map(row_of_record, records)):
            self._inbox.append(Captured(order.account, order.object, rows))


async def rehearse(rehearsals: Mapping[str, tuple[Rehearsal, Order]]) -> None:
    """Runs connections that share accounts, until none has anything to tell the others any more."""
    for rehearsal, order in rehearsals.values():
        await rehearsal.run(order)
    while any(rehearsal.written for rehearsal, _ in rehearsals.values()):
        for name, (rehearsal, _) in rehearsals.items():
            written, rehearsal.written = rehearsal.written, []
            for other, (told, _) in rehearsals.items():
                shared = [change for change in written if other != name and change.account in other.split("~")]
                if shared:
                    await told.told(shared)


async def _pages(connector: Connector, request: ReadRequest) -> AsyncIterator[Captured]:
    with _telling(request.account):
        async with aclosing(connector.snapshot(request.object, None)) as pages:  # type: ignore[type-var]
            async for page in pages:
                for rows in cut(map(row_of_record, page.records)):
                    yield Captured(request.account, request.object, rows, request.read)


@contextmanager
def _telling(account: str) -> Iterator[None]:
    """Turns what a connector raises into what a user can do."""
    try:
        yield
    except ConnectorError as error:
        raise FailedError(f"{account}: {error.message}", error.remedy) from error


def order_of(document: Mapping[str, object], version: int) -> Order:
    """The order that brings a connection its part of the configuration."""
    arguments = {"version": str(version), "document": msgspec.json.encode(document).decode()}
    return Order("preview", "apply", arguments=arguments)
