"""What the pure core takes in and gives out: everything that meets in a connection's inbox, and everything that `decide` answers.

These are the in-process shapes; `schemas/` holds their Avro twins on the topics.
"""

from __future__ import annotations

import msgspec

from rules.catalog import Value
from rules.version import Version

# ---------------------------------------------------------------- in: what an account reports


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One record's image or change. `values` maps fields to values; of a log change it lacks what is unchanged; of a deletion it is empty."""

    id: str
    values: dict[str, Value]
    version: Version
    op: str = "upsert"  # upsert | delete | merge
    old_id: str | None = None
    into: str | None = None
    token: str | None = None  # the command of ours that made the change
    committed_at: float = 0.0  # seconds since 1970, the account's clock; 0: unknown (a read)
    pairs: tuple[tuple[str, str, str, str], ...] = ()  # (sync, account, object, id): what the account remembers


class Captured(msgspec.Struct, frozen=True, tag="captured"):
    """Rows of one object, in the account's order: from the log, or a page of the full read `read` of sync `sync`."""

    account: str
    object: str
    rows: tuple[Row, ...]
    read: str | None = None


class ReadDone(msgspec.Struct, frozen=True, tag="read_done"):
    """The full read is complete: every record that was there all the time has come by."""

    account: str
    object: str
    read: str


class LogStarted(msgspec.Struct, frozen=True, tag="log_started"):
    """The account's log begins anew here (first start, or the slot was lost): what was committed before it is seen only by reads that begin later."""

    account: str


class Truncated(msgspec.Struct, frozen=True, tag="truncated"):
    """All records of the object were removed at one stroke."""

    account: str
    object: str


class FieldsChanged(msgspec.Struct, frozen=True, tag="fields_changed"):
    """The object's fields (name, native type) as they are now; None where the object is gone."""

    account: str
    object: str
    fields: tuple[tuple[str, str], ...] | None


class Marked(msgspec.Struct, frozen=True, tag="marked"):
    """A mark came by in the account's log: all that was committed before it has come by."""

    account: str
    mark: str


class AccountState(msgspec.Struct, frozen=True, tag="account_state"):
    """Whether deliveries to the account go through. `since`, `now`: seconds since 1970."""

    account: str
    up: bool
    reason: str = ""
    throttled: bool = False


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What became of one command. `outcome`: those of the connector, or `deferred` (the account is down or throttled; nothing was sent)."""

    sync: str
    link: str
    sequence: int
    outcome: str
    id: str | None = None
    values: dict[str, Value] | None = None  # the record as stored
    version: Version | None = None
    category: str | None = None
    field: str | None = None
    message: str | None = None
    other: str | None = None


class Results(msgspec.Struct, frozen=True, tag="results"):
    """The answers to a batch of commands in one object."""

    account: str
    object: str
    answers: tuple[Answer, ...]


class Order(msgspec.Struct, frozen=True, tag="order"):
    """What a person (or `apply`) asks of a connection.

    `action`: apply | restore | retry | resync | confirm | delete | wait.
    `apply` has the arguments `version` (of the configuration) and `document` (JSON: `{"connection", "syncs", "catalogs"}`, as `rules.plan` reads it).
    `restore` has `into` (an account), `retry` perhaps `category`, `wait` the `mark`.
    `records`: references `account:id`, or ids alone; empty: all that the action covers.
    """

    id: str
    action: str
    sync: str | None = None
    records: tuple[str, ...] = ()
    arguments: dict[str, str] = {}


class Tick(msgspec.Struct, frozen=True, tag="tick"):
    """The connection's note to itself: go on with the slice of work `work` of a sync."""

    sync: str
    work: str


class Clock(msgspec.Struct, frozen=True, tag="clock"):
    """Time has passed; `now` of the envelope says how late it is."""


Event = (
    Captured
    | ReadDone
    | LogStarted
    | Truncated
    | FieldsChanged
    | Marked
    | AccountState
    | Results
    | Order
    | Tick
    | Clock
)

# ---------------------------------------------------------------- out: what a decision asks for


class Command(msgspec.Struct, frozen=True, array_like=True):
    """A write to do. See `connectors.base.Write`, which it becomes; `token` is `sync/link/sequence/digest`."""

    sync: str
    link: str
    sequence: int
    token: str
    op: str  # create | update | delete
    id: str | None
    values: dict[str, Value]
    expect: dict[str, Value]
    identifiers: tuple[tuple[str, str, str], ...] = ()  # field, type, normalised value
    pair: tuple[str, str, str, str] | None = None  # sync, account, object, id of the other side
    committed_at: float = 0.0  # of the change that caused it; 0: none (a first sync)


class Commands(msgspec.Struct, frozen=True, tag="commands"):
    """Commands for one object, to be answered in the inbox of `connection`."""

    connection: str
    account: str
    object: str
    commands: tuple[Command, ...]


class ReadRequest(msgspec.Struct, frozen=True, tag="read_request"):
    """Read the object in full for a sync, in place of an earlier request of the same sync, account and object. Its pages carry `read`."""

    connection: str
    account: str
    object: str
    sync: str
    read: str


class ReadRecords(msgspec.Struct, frozen=True, tag="read_records"):
    """Read these records as they are now; they come by in `changes` as a page without a full read (`read` null)."""

    connection: str
    account: str
    object: str
    ids: tuple[str, ...]


class SetMark(msgspec.Struct, frozen=True, tag="mark"):
    """Set `mark` in the account's log."""

    account: str
    mark: str


AccountOrder = Commands | ReadRequest | ReadRecords | SetMark


class Side(msgspec.Struct, frozen=True, array_like=True):
    """One side of a record of a sync, for people: its id and the values of the mapped fields.

    `origins`: of the fields that were changed while Tandem looked on, the event that told of the value.
    """

    id: str
    fields: dict[str, Value]
    origins: dict[str, str] = {}


class StatusRow(msgspec.Struct, frozen=True, tag="status"):
    """The status of a record of a sync (semantics section 8); `sides` maps account to side. `status` None: no such record any more (a tombstone).

    `gone`: the accounts whose record was deleted, and can be restored.
    """

    sync: str
    key: str
    status: str | None  # in_sync | failing | excluded | pending
    category: str | None = None
    message: str | None = None
    remedy: str | None = None
    since: float = 0.0
    sides: dict[str, Side] = {}
    gone: tuple[str, ...] = ()


class SyncRow(msgspec.Struct, frozen=True, tag="sync"):
    """The state of a sync, for `status` and `wait`. None for `state`: the sync was deleted."""

    sync: str
    connection: str
    state: str | None  # initial | live | off | stopped
    reason: str = ""  # why it is stopped
    counts: dict[str, int] = {}  # in_sync, failing, excluded, pending
    read: dict[str, int] = {}  # account: records read by the running or last full read
    matched: int = 0
    created: int = 0
    remaining: int = 0
    version: int = 0  # of the configuration in force
    oldest: float = 0.0  # when the oldest change that is still on its way was committed (or seen); 0: none
    accounts: dict[str, str] = {}  # account: why it is down; absent: up
    conflicts: int = 0
    answered: dict[str, int] = {}  # mark: how many commands the sync had ever issued when the mark was answered


class FieldChange(msgspec.Struct, frozen=True, array_like=True):
    """One field's part in a decision: which account's field was (to be) written, from what to what, by which rule, and the value that lost.

    `event`, `lost_event`: the events that told of the value written, and of the one that lost, as far as they are known.
    """

    account: str
    field: str
    before: Value
    after: Value
    rule: str  # of `rules.merge.Rule`, or create
    lost: Value = None
    event: str = ""
    lost_event: str = ""


class HistoryRow(msgspec.Struct, frozen=True, array_like=True):
    """A decision about a record of a sync, with the event that caused it. `records`: of a link, those that it pairs from now on.

    `action`: linked, create, update, conflict (commands that were sent), kept (a difference that the rules leave), told (an event
    that the log told of late), excluded, failed, refused, loop, deleted, delete, merged, forgotten, restore, restored, retry; of a
    whole sync, with no key: read, refused, ignored.
    """

    sync: str
    key: str
    action: str
    cause: str  # "log crm:17@0/4711 at 2026-11-24T12:03:07.120Z", "read crm:17@0/4711", "answer applied of shop:4 at …", "order retry …"
    at: float
    changes: tuple[FieldChange, ...] = ()
    note: str = ""
    records: tuple[str, ...] = ()


class DeadLetter(msgspec.Struct, frozen=True, tag="dead_letter"):
    """A command refused for good, or a message that cannot be read, with all that is needed to look into it and to retry."""

    id: str
    at: float
    account: str
    category: str
    message: str
    sync: str | None = None
    key: str | None = None  # of the record in its sync
    object: str | None = None
    command: str | None = None  # the command as JSON
    topic: str | None = None  # where the message came from
    partition: int | None = None
    offset: int | None = None
    raw: bytes | None = None
    discarded_at: float = 0.0  # when a person marked it as dealt with; 0: nobody has
    discarded_by: str | None = None
