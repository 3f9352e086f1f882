"""A twin of the rules and of the lanes that counts, so that an input that is lost, doubled or out of order shows.

A captured row is the `seq`-th edit of its record (from 0). The state of a record is how many edits it has seen; each
edit becomes a command that says
`seq` and `n`, so n == seq + 1 for every command of a run without fault, however often a command comes again. The
index of the state is a key per count, kept as `rules.decide.index_changes` keeps the real ones. The lanes answer at
once, or never.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from rules.catalog import Value
from rules.decide import Decision, Envelope, View
from rules.events import (
    Answer,
    Captured,
    Command,
    Commands,
    DeadLetter,
    Event,
    HistoryRow,
    Order,
    ReadDone,
    ReadRequest,
    Results,
    Row,
    Side,
    StatusRow,
    SyncRow,
)
from rules.version import Version
from streams.protocols import ChangesSink, ConfigSource, Errands, FenceBase, InboxSink

SYNC = "contacts"
EXACT = "exact"


class Count(msgspec.Struct, array_like=True):
    """The state of a record: edits seen, and answers to its commands."""

    n: int = 0
    seq: int = -1
    answered: int = -1


_decode = msgspec.msgpack.Decoder(Count).decode
_encode = msgspec.msgpack.Encoder().encode


def decide(view: View, event: Event, envelope: Envelope) -> Decision:
    """Counts."""
    found = Decision({}, {}, [], [], [], [], [], [])
    match event:
        case Captured():
            _edits(view, event, envelope, found)
        case Results():
            keys = [f"l{answer.link}".encode() for answer in event.answers]
            for key, raw, answer in zip(keys, view.get_many(keys), event.answers, strict=True):
                count = _decode(raw) if raw else Count()
                count.answered = max(count.answered, answer.sequence)
                _put(found, key, raw, count)
            found.syncs.append(SyncRow(envelope.connection, envelope.connection, "live"))
        case Order(action="read"):
            account = envelope.connection.split("~")[0]
            found.orders.append(
                ReadRequest(envelope.connection, account, "contacts", event.id, f"{event.id}#{envelope.offset}")
            )
        case Order(action="overflow"):
            found.state |= {b"b%d" % n: b"x" * (4 << 20) for n in range(9)}
        case Order(action="resync"):
            _put(found, b"lresync", view.get(b"lresync"), Count(1, envelope.offset))
        case _:
            pass
    return found


def _edits(view: View, event: Captured, envelope: Envelope, found: Decision) -> None:
    accounts = envelope.connection.split("~")
    to, commands = accounts[accounts[0] == event.account], []
    keys = [f"l{row.id}".encode() for row in event.rows]
    raws = dict(zip(keys, view.get_many(keys), strict=True))
    for row, key in zip(event.rows, keys, strict=True):
        before = found.state.get(key, raws[key])
        count = _decode(before) if before else Count()
        if event.read != EXACT and int(row.values["seq"] or 0) <= count.seq:  # type: ignore[arg-type]
            continue
        count.n, count.seq = count.n + 1, int(row.values["seq"] or 0)  # type: ignore[arg-type]
        _put(found, key, before, count)
        if "blob" in row.values:
            found.state[b"b" + row.id.encode()] = str(row.values["blob"]).encode()
        values: dict[str, Value] = {"seq": count.seq, "n": count.n}
        commands.append(
            Command(SYNC, row.id, count.seq, f"{row.id}/{count.seq}", "update", row.id, values, {}, committed_at=1.0)
        )
        sides = {to: Side(row.id, {"n": count.n})}
        found.statuses.append(StatusRow(envelope.connection, row.id, "in_sync", sides=sides))
        found.history.append(HistoryRow(SYNC, row.id, "updated", f"inbox {envelope.offset}", envelope.now))
    found.orders.append(Commands(envelope.connection, to, "contacts", tuple(commands)))


def _put(found: Decision, key: bytes, before: bytes | None, count: Count) -> None:
    found.state[key] = after = _encode(count)
    found.indexes |= index_changes(key, before, after)


def index_changes(key: bytes, old: bytes | None, new: bytes | None) -> dict[bytes, bytes | None]:
    """The records by their count."""
    changes: dict[bytes, bytes | None] = {}
    if old is not None:
        changes[b"i%08d" % _decode(old).n + key] = None
    if new is not None:
        changes[b"i%08d" % _decode(new).n + key] = b""
    return changes


class Lanes:
    """Answers every command as applied, after `delay` seconds."""

    def __init__(self, fence: FenceBase, delay: float = 0.0) -> None:
        self.fence, self._delay = fence, delay
        self._flying: set[asyncio.Future[Results]] = set()

    def submit(self, offset: int, commands: Commands) -> asyncio.Future[Results]:
        """Answers."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Results] = loop.create_future()
        self._flying.add(future)
        future.add_done_callback(self._flying.discard)
        answers = tuple(
            Answer(command.sync, command.link, command.sequence, "applied", command.id, command.values, Version(offset))
            for command in commands.commands
        )
        results = Results(commands.account, commands.object, answers)
        loop.call_later(self._delay, _answered, future, results)
        return future

    def idle(self) -> bool:
        """Whether nothing is in flight."""
        return not self._flying

    async def stop(self) -> None:
        """Gives up."""
        for future in list(self._flying):
            future.cancel()


def _answered(future: asyncio.Future[Results], results: Results) -> None:
    if not future.done():
        future.set_result(results)


def lanes(fence: FenceBase, inbox: InboxSink, config: ConfigSource) -> Lanes:
    """A `LanesFactory`."""
    return Lanes(fence)


class Capture:
    """Sends what errands ask for: three pages of a read. Nothing else is captured."""

    def __init__(self, account: str, sink: ChangesSink, errands: Errands, config: ConfigSource) -> None:
        self._account, self._sink, self._errands, self._config = account, sink, errands, config
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        await self._errands.routed(self._sink.marker)
        while True:
            self._woken.clear()
            for errand in self._errands.open(self._account):
                assert isinstance(errand.order, ReadRequest)
                await self._read(errand.key, errand.order, int(errand.resume or 0))
            await self._woken.wait()

    async def _read(self, key: str, order: ReadRequest, page: int) -> None:
        while page < 3:
            row = Row(f"read-{page}", {"seq": 0}, Version(page))
            captured = Captured(self._account, order.object, (row,), order.read)
            resume = str(page + 1) if page < 2 else None
            sent = await self._sink.send(
                self._account, captured, config=1, to=order.connection, errand=key if resume else None, resume=resume
            )
            await self._errands.routed(await sent)
            page += 1
        done = ReadDone(self._account, order.object, order.read)
        sent = await self._sink.send(self._account, done, config=1, to=order.connection, errand=key)
        await self._errands.routed(await sent)

    def wake(self) -> None:
        """Errands have changed."""
        self._woken.set()


class Metrics:
    """Tells nobody."""

    def serve(self, first_port: int = 9470) -> int:
        """Starts nothing."""
        return 0

    def observe_sync(self, row: SyncRow) -> None:
        """Ignores it."""

    def count_dead_letter(self, letter: DeadLetter) -> None:
        """Ignores it."""

    def forget_syncs(self, names: Iterable[str]) -> None:
        """Ignores it."""
