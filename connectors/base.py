"""The connector interface: what the engine asks of every app, and the errors it understands.

A connector speaks to one account. It translates the app's values into canonical ones (`rules.catalog`) and back, the app's refusals into
categories, and nothing else: it takes no sync decision and knows nothing of Kafka.

Life of an instance: `Connector(settings, context)`, `open()`, any of the calls, `close()`. Capture and delivery use instances of
their own, in one process or in two, so an instance shares nothing with another but what lies in the account itself.

An app with a log keeps the place of our capture itself (a slot). One without has nothing of the kind: what its connector must
know later (its place, what it has told of each record) it notes with what it tells, and the engine keeps the notes: `Memory`.
`connectors.polling` does all of that for apps that can only be read again and again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar, Protocol

import msgspec
from pydantic import BaseModel

from rules.catalog import Catalog, Value
from rules.version import Version

# ---------------------------------------------------------------- errors, named by how one recovers


class ConnectorError(Exception):
    """What went wrong in an account. `message` is for people and holds no secret; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message, self.remedy = message, remedy


class FatalError(ConnectorError):
    """Retrying cannot help before a person changes something: wrong password, missing permission, wal_level, another portal."""


class RetriableError(ConnectorError):
    """The account is down or throttles: try again, not before `retry_after` seconds."""

    def __init__(self, message: str, remedy: str = "", *, retry_after: float = 1.0, throttled: bool = False) -> None:
        super().__init__(message, remedy)
        self.retry_after, self.throttled = retry_after, throttled


class CursorExpiredError(ConnectorError):
    """The change log no longer reaches back to the cursor (slot lost or invalidated): read in full again."""


class FencedError(ConnectorError):
    """Another owner of this partition of commands has written to the account since: stop."""


# ---------------------------------------------------------------- what goes in and out


class ObjectUse(msgspec.Struct, frozen=True):
    """An object that the installation syncs, with what sync.yaml says of it under `objects`.

    `fields`: those that mappings and filters name, for apps where each field costs something; reading more is always right. None: all.
    """

    name: str
    settings: Mapping[str, Any] = {}  # {"table": ..., "exclude": [...], ...}; empty: as discovered
    fields: frozenset[str] | None = None


Notes = Mapping[str, str | None]
"""What a connector wants to know later: a short text by key; None: no longer. The keys are its own."""


class Remembered(msgspec.Struct, frozen=True):
    """What the engine keeps for the capture of an account. `cursor` None: the log has not begun."""

    cursor: str | None = None
    notes: Mapping[str, str] = {}


class Memory(Protocol):
    """Where the notes of `changes` are kept, in step with the changes that they came with. It survives crashes, moves between
    workers with its account, and is empty again when the log begins anew or is released."""

    async def recall(self) -> Remembered:
        """All that is kept. What this instance has told since is in it only once it is stored."""


Gauge = Callable[[str, float, float], None]
"""The name of a limit, how much of it is used, and how much is left: for the metrics."""


def _nobody(name: str, used: float, left: float) -> None:
    """Nobody reads the gauge."""


class Context(msgspec.Struct, frozen=True):
    """Who we are, for the names of slots, publications and ledgers, and what is synced.

    `memory`: of an instance that captures; None: of all others. `gauge`: for a connector that keeps to a budget.
    """

    installation: str
    account: str
    objects: tuple[ObjectUse, ...] = ()  # those in use by syncs that are not off
    memory: Memory | None = None
    gauge: Gauge = _nobody


class Pair(msgspec.Struct, frozen=True):
    """What an account remembers of a record: `sync` has paired it with `id` in account `account`, object `object`."""

    sync: str
    account: str
    object: str
    id: str


class Record(msgspec.Struct, frozen=True):
    """A whole record as read: every readable field that is not excluded. `into`: the survivor, where it was merged into another."""

    id: str
    values: dict[str, Value]
    version: Version
    pairs: tuple[Pair, ...] = ()
    into: str | None = None


class Op(StrEnum):
    """What happened to a record."""

    UPSERT = "upsert"
    DELETE = "delete"
    MERGE = "merge"  # `id` was merged into `into`


class Change(msgspec.Struct, frozen=True):
    """A change out of the log. `values` lacks the fields that the log reports as unchanged (TOAST): they are not null, they are as before.

    `committed_at` is 0 where the record was read because of the log, and not found in it: then its place in the log says nothing.
    `old_id` is set where the change gave the record another id. `token` is that of our own command where the change was made by it.
    """

    op: Op
    id: str
    values: dict[str, Value]
    version: Version
    committed_at: float  # seconds since 1970, by the account's clock
    old_id: str | None = None
    into: str | None = None
    token: str | None = None


class Batch(msgspec.Struct, frozen=True):
    """Changes of one object, in the log's order. `cursor` may be confirmed once this batch and all before it are stored.

    `notes`: for apps that keep no place for us: these and the cursor go into the memory behind the changes, all or (after a crash) not yet. With an
    empty cursor the notes alone do. None: the app keeps the place.
    """

    object: str
    changes: tuple[Change, ...]
    cursor: str
    notes: Notes | None = None


class Marked(msgspec.Struct, frozen=True):
    """A mark set by `Connector.mark` came by in the log: all that was committed before it has come by, too."""

    mark: str
    cursor: str


class FieldsChanged(msgspec.Struct, frozen=True):
    """The object's fields are no longer those of the catalog: its fields as they are now, or None where the object is gone."""

    object: str
    fields: tuple[tuple[str, str], ...] | None  # name, native type
    cursor: str


class Truncated(msgspec.Struct, frozen=True):
    """All records of the object were removed at one stroke."""

    object: str
    cursor: str


class Heartbeat(msgspec.Struct, frozen=True):
    """Nothing for us up to here: the cursor may be confirmed when all before it is stored. `notes`: as in a batch."""

    cursor: str
    committed_at: float
    notes: Notes | None = None


Captured = Batch | Marked | FieldsChanged | Truncated | Heartbeat


class Page(msgspec.Struct, frozen=True):
    """A part of a full read. `resume` continues after it, in another process too; None: it was the last."""

    object: str
    records: tuple[Record, ...]
    resume: str | None


class WriteOp(StrEnum):
    """What a write does."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class Identifier(msgspec.Struct, frozen=True):
    """A way to find a record: `field` of the object holds `value` when both are normalised as `type` (email, domain, name, sku, exact)."""

    field: str
    type: str
    value: str


class Write(msgspec.Struct, frozen=True):
    """A write to do in an account.

    `token` names the command and is the same when it is sent again: `sequence` within `link`, and a digest of the content.
    `values`: what to write (create: all that is set; update: the differing fields; delete: none).
    `expect`: update and delete are done only where the record still holds these values (compare-and-set).
    `identifiers`: of a create: a record that already has one of them is answered `exists`, and nothing is created. So is, where the account keeps a
    ledger (`capabilities.fenced`), the record that an earlier create of the same link has made, if it is the last that was done for that and is there.
    `pair`: the record of the other side, for the ledger.
    """

    token: str
    link: str
    sequence: int
    op: WriteOp
    id: str | None = None
    values: dict[str, Value] = {}
    expect: dict[str, Value] = {}
    identifiers: tuple[Identifier, ...] = ()
    pair: Pair | None = None


class Outcome(StrEnum):
    """What became of a write."""

    APPLIED = "applied"  # written now, or by an earlier attempt under this token
    UNCHANGED = "unchanged"  # the record already held the values
    EXISTS = "exists"  # create: a record with one of the identifiers is there: `record`
    CONFLICT = "conflict"  # the record no longer holds `expect`: `record` is what it holds; or the sequence was used with another digest
    MISSING = "missing"  # update, delete: no such record
    REJECTED = "rejected"  # the app refuses: `category`, `message`, perhaps `field`
    RETRY = "retry"  # not done, nothing written; try again later (deadlock, lock timeout, throttled)
    UNKNOWN = "unknown"  # sent, and no answer: it may have been done; must be read back under the same token


class Result(msgspec.Struct, frozen=True):
    """The answer to one write. `record` is the record as stored after it (or as it stands, for exists and conflict), read while locked."""

    token: str
    outcome: Outcome
    id: str | None = None
    record: Record | None = None
    category: str | None = None  # of a rejection: a category of semantics section 8
    field: str | None = None
    message: str | None = None
    other: str | None = None  # the id of the record in the way (duplicate, association), where known
    retry_after: float = 0.0


class Fence(msgspec.Struct, frozen=True):
    """Who delivers: a partition of commands, its owner's epoch, and the offset of the message that these writes came in.

    The connector keeps the highest (epoch, offset) per `name` in the account, and checks and moves it in the transaction of the writes: a lower epoch
    raises `FencedError`; an offset at or below the kept one (same or lower than written before) is not written again but answered from the ledger.
    Where the account can keep none (`capabilities.fenced` false) it is left aside, and each write compares with what it finds.
    """

    name: str
    epoch: int
    offset: int


class Problem(msgspec.Struct, frozen=True):
    """Something that `check` found: what, how to mend it, and whether the account can be synced without."""

    message: str
    remedy: str
    fatal: bool = True


class Health(msgspec.Struct, frozen=True):
    """The answer of `check`: the app's version in words, and all problems found at once."""

    version: str
    problems: tuple[Problem, ...] = ()


class Connector(Protocol):
    """One account of one app. All calls raise `FatalError` or `RetriableError` where the account as a whole fails."""

    Settings: ClassVar[type[BaseModel]]  # the account's keys in sync.yaml; secrets are pydantic SecretStr
    ObjectSettings: ClassVar[type[BaseModel]]  # what sync.yaml may say of an object under `objects`

    def __init__(self, settings: BaseModel, context: Context) -> None: ...

    async def open(self) -> None:
        """Connects. Changes nothing in the account."""

    async def close(self) -> None:
        """Gives back all that `open` and the calls took; the slot stays."""

    async def check(self) -> Health:
        """Whether the account can be reached and synced; finds all problems at once and changes nothing."""

    async def discover(self) -> Catalog:
        """The objects under their names in sync.yaml (or the default ones), with typed fields and capabilities."""

    async def position(self) -> str | None:
        """The cursor at which the change log of this installation stands ready, or None where there is none (never made, lost, invalidated).

        Where the app keeps no place for us: the cursor of the memory.
        """

    async def prepare(self) -> str:
        """Makes what capture needs (slot, publication over the context's objects, ledger), replacing what is lost; returns the cursor to start from.

        What is committed after it returns comes by in `changes`; what was committed before is seen by every read that begins after it.
        An empty cursor: there is something to note first; no full read begins before an item of `changes` that carries notes and a cursor is stored.
        """

    async def release(self) -> None:
        """Drops the slot and the publication; the ledger stays. The engine empties the memory."""

    def changes(self, cursor: str | None) -> AsyncIterator[Captured]:
        """The log from `cursor` on (None: where the account says we are), without end. Raises `CursorExpiredError`."""

    async def confirm(self, cursor: str) -> None:
        """All up to `cursor` is stored on our side: the account may forget it. Nothing to do where the memory keeps the place."""

    async def mark(self, mark: str) -> None:
        """Sets a mark behind all that is committed now; it comes by in `changes` as `Marked`.

        The same instance runs `changes`, so a mark may live in it alone: who did not see it come by before a crash sets it again.
        """

    def snapshot(self, object: str, resume: str | None) -> AsyncIterator[Page]:
        """A full read in the order of the key; resumable by the `resume` of any page, with no record of the whole time missing."""

    async def apply(self, object: str, writes: Sequence[Write], fence: Fence | None) -> list[Result]:
        """Does the writes, one answer each in the same order. A refused row does not keep the others from being written."""

    async def read(self, object: str, ids: Sequence[str]) -> list[Record]:
        """The records as they are now; those that are not there are left out."""

    async def find(self, object: str, identifiers: Sequence[Identifier]) -> list[Record]:
        """Records that match any of the identifiers, normalised as the rules do."""
