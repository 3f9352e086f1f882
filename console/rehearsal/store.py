"""What a rehearsal remembers: the state of each connection, and what has become of each record, in a folder of its own.

Responsible for the keys and for keeping both on the disk, so that the size of a sync is no matter of memory. Must not
know what is decided. The folder goes with the rehearsal; no engine's state is ever opened.

    c<connection>\\0<key>     the rules' state of a connection and its indexes, under the rules' own keys
    o<sync>\\0<record>         what was decided about a record: `Outcome`
    u<account>\\0<object>\\0…   a value that a unique rule guards: the id of the record that holds it
    m<account>\\0<id>          a record that is only made up: the record that it is to be created from
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self

import msgspec
from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch

from rules.events import HistoryRow, StatusRow
from streams.overlay import Entries, scan, values_of

STATE, OUTCOME, UNIQUE, MADE_UP = b"c", b"o", b"u", b"m"
CACHE_BYTES = 64 << 20


class Outcome(msgspec.Struct, array_like=True):
    """What was decided about a record of a sync. `row` None: it stands nowhere any more; `touched`: its row has changed."""

    row: StatusRow | None = None
    touched: bool = False
    decisions: list[HistoryRow] = []


_encode = msgspec.msgpack.Encoder().encode
_outcome = msgspec.msgpack.Decoder(Outcome).decode


Put = Callable[..., None]


class State:
    """The state of one connection: a `rules.decide.View` that can be changed."""

    def __init__(self, database: Rdict, prefix: bytes, put: Put) -> None:
        self._database, self._prefix, self._put = database, prefix, put

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""
        found: bytes | None = self._database.get(self._prefix + key)
        return found

    def get_many(self, keys: Iterable[bytes]) -> list[bytes | None]:
        """The values of the keys, in their order."""
        wanted = [self._prefix + key for key in keys]
        return values_of(self._database, wanted) if wanted else []

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Keys with the prefix in ascending order, from `start` on (inclusive) where given; lazily."""
        cut = len(self._prefix)
        first = None if start is None else self._prefix + max(start, prefix)
        for key, value in scan(self._database, self._prefix + prefix, first):
            yield key[cut:], value

    def put(self, *changes: Entries) -> None:
        """Sets entries; None deletes."""
        self._put(self._prefix, *changes)


class Store:
    """All that rehearsals remember. `with Store() as store`: the folder is gone at the end."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tandem-preview-"))
        table = BlockBasedOptions()
        table.set_block_cache(Cache(CACHE_BYTES))
        table.set_bloom_filter(10, block_based=False)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(table)
        options.set_write_buffer_size(32 << 20)
        self._database = Rdict(str(self._folder / "state"), options=options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def state(self, connection: str) -> State:
        """The state of a connection."""
        return State(self._database, STATE + connection.encode() + b"\0", self._write)

    def _write(self, kind: bytes, *changes: Entries) -> None:
        batch = WriteBatch(raw_mode=True)
        for entries in changes:
            for key, value in entries.items():
                if value is None:
                    batch.delete(kind + key)
                else:
                    batch.put(kind + key, value)
        self._database.write(batch)

    # ------------------------------------------------------------ what became of each record

    def note(self, rows: Iterable[StatusRow], decisions: Iterable[HistoryRow]) -> None:
        """Takes what a decision shows of records."""
        found: dict[bytes, Outcome] = {}

        def of(sync: str, key: str) -> Outcome:
            name = f"{sync}\0{key}".encode()
            if name not in found:
                raw = self._database.get(OUTCOME + name)
                found[name] = Outcome() if raw is None else _outcome(raw)
            return found[name]

        for decision in decisions:
            of(decision.sync, decision.key).decisions.append(decision)
        for row in rows:
            outcome = of(row.sync, row.key)
            outcome.row, outcome.touched = (None if row.status is None else row), True
        if found:
            self._write(OUTCOME, {name: _encode(outcome) for name, outcome in found.items()})

    def outcomes(self, sync: str) -> Iterator[tuple[str, Outcome]]:
        """What became of the records of a sync, by their names in order."""
        prefix = OUTCOME + f"{sync}\0".encode()
        for key, raw in scan(self._database, prefix):
            yield key[len(prefix) :].decode(), _outcome(raw)

    # ------------------------------------------------------------ unique values, and records that are made up

    def holder(self, guarded: bytes) -> str | None:
        """The id of the record that holds a value which a unique rule guards."""
        raw = self._database.get(UNIQUE + guarded)
        return None if raw is None else raw.decode()

    def hold(self, guarded: dict[bytes, str | None]) -> None:
        """Notes who holds such values; None: nobody any more."""
        self._write(UNIQUE, {key: None if holder is None else holder.encode() for key, holder in guarded.items()})

    def make_up(self, account: str, record_id: str, source: str) -> None:
        """Notes a record that is to be created."""
        self._write(MADE_UP, {f"{account}\0{record_id}".encode(): source.encode()})

    def made_up(self, account: str, record_id: str) -> str | None:
        """The record that one which is only made up is to be created from; None of one that is there."""
        raw = self._database.get(MADE_UP + f"{account}\0{record_id}".encode())
        return None if raw is None else raw.decode()
