"""Commands: their names, their digests, how they are sent and sent again. One at most is on its way for a link.

Must not know what is written or why.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from rules.catalog import Value
from rules.draft import Draft
from rules.events import Command
from rules.plan import Sync
from rules.seats import place_of
from rules.state import Flight, Link, Values

_canonical = msgspec.msgpack.Encoder(order="deterministic").encode
Identifiers = tuple[tuple[str, str, str], ...]


class Write(msgspec.Struct, frozen=True):
    """What to write into one side of a link. `sources`: the values of the other side that it comes from."""

    side: int
    op: str  # create | update | delete
    values: Values
    expect: Values = {}
    sources: Values = {}


def digest(*content: object) -> str:
    """A short name of a content."""
    return blake2b(_canonical(content), digest_size=8).hexdigest()


def digest_of(write: Write, record_id: str | None) -> str:
    """The digest of a command's content, under which a refusal of it is kept."""
    return digest(write.op, None if write.op == "create" else record_id, write.values, write.expect)


def digest_of_flight(link: Link, flight: Flight) -> str:
    """The digest of a command that was on its way."""
    return digest_of(Write(flight.side, flight.op, flight.values, flight.expect), link.ids[flight.side])


def digest_of_field(field: str, side: int, value: Value) -> str:
    """The digest under which a refusal of one field's value is kept."""
    return digest("field", field, side, value)


def read_token(token: str) -> tuple[str, str, str, int] | None:
    """Sync, link, birth and sequence out of a token of ours, `sync/link/birth/sequence/digest`; None of another's."""
    sync, _, rest = token.partition("/")
    pieces = rest.rsplit("/", 3)
    return (sync, pieces[0], pieces[1], int(pieces[2])) if len(pieces) == 4 and pieces[2].isdigit() else None


def call_for(draft: Draft, sync: Sync, link: Link) -> int:
    """The number of the link's next command: counted from when it was first called for, not from when it could be sent."""
    if not link.number:
        link.number = draft.next_number(sync.name)
    return link.number


def send(draft: Draft, sync: Sync, link_id: str, link: Link, write: Write) -> bool:
    """Sends a command; False where the account is down, and the link waits for it."""
    target = sync.sides[write.side]
    number = call_for(draft, sync, link)
    if target.account in draft.connection.down:
        wait_for(draft, link, target.account)
        return False
    link.number, link.sequence = 0, link.sequence + 1
    token = f"{sync.name}/{link_id}/{link.birth}/{link.sequence}/{digest_of(write, link.ids[write.side])}"
    blind = write.op == "create" and not target.object.capabilities.tells_ours
    link.flight = Flight(
        number,
        write.side,
        write.op,
        link.sequence,
        token,
        write.values,
        write.expect,
        write.sources,
        draft.now,
        link.touched,
        draft.offset + 1 if blind else 0,
    )
    set_status(draft, link, "pending")
    draft.command(target.account, target.object.name, command_of(sync, link_id, link))
    return True


def wait_for(draft: Draft, link: Link, account: str) -> None:
    """The account takes no commands: the link waits for it."""
    link.waits, why = account, draft.connection.down[account]
    throttled = account in draft.connection.throttled
    message = f"{account} is throttling" if throttled else f"{account} is unavailable"
    category = "rate_limited" if throttled else "unavailable"
    set_status(draft, link, "pending", category, f"{message}: {why}" if why else message)


def command_of(sync: Sync, link_id: str, link: Link) -> Command:
    """The command on its way, as it is sent; the same each time it is sent again."""
    flight = link.flight
    assert flight is not None
    other, other_id = sync.sides[1 - flight.side], link.ids[1 - flight.side]
    return Command(
        sync.name,
        link_id,
        flight.sequence,
        flight.token,
        flight.op,
        None if flight.op == "create" else link.ids[flight.side],
        flight.values,
        flight.expect,
        identifiers_of(sync, flight.side, flight.values) if flight.op == "create" else (),
        None if other_id is None else (sync.name, other.account, other.object.name, other_id),
        flight.committed_at,
    )


def identifiers_of(sync: Sync, side: int, values: Values) -> Identifiers:
    """By what a record with these values is found."""
    pairs = zip(sync.sides[side].identifiers, sync.normalised(side, values), strict=True)
    return tuple([(field, kind, normal) for (field, kind), normal in pairs if normal is not None])


def is_allowed(sync: Sync, flight: Flight) -> bool:
    """Whether the rules, which may have been edited since, still let a command go out."""
    if not sync.writes[flight.side]:
        return False
    if flight.op == "delete":
        return sync.propagates_deletes
    written = {mapping.fields[flight.side] for mapping in sync.mappings if mapping.writes[flight.side]}
    return flight.op == "create" or flight.values.keys() <= written


def resend(draft: Draft, sync: Sync, link_id: str, link: Link) -> None:
    """Sends the command on its way again under its own name: its answer has not come for long."""
    assert link.flight is not None
    link.flight.sent = draft.now
    target = sync.sides[link.flight.side]
    draft.command(target.account, target.object.name, command_of(sync, link_id, link))
    draft.save_link(sync.name, link_id, link)


def set_status(
    draft: Draft,
    link: Link,
    status: str,
    category: str | None = None,
    message: str | None = None,
    other: str | None = None,
) -> None:
    """Shows how the link stands, since now if it stood otherwise."""
    if status != link.status or category != link.category:
        link.since = draft.now
    link.status, link.category, link.message, link.other = status, category, message, other


def landed(draft: Draft, sync: Sync, link: Link) -> None:
    """A command is on its way no more: another sync that writes the same may have waited for that."""
    if draft.rules.peers[sync.name]:
        for side in (0, 1):
            draft.land(*place_of(sync, side, link.ids[side] or ""))


def end_flight(draft: Draft, sync: Sync, link: Link) -> None:
    """What became of a command is known: what waited for that is looked at again at the end of the event."""
    flight = link.flight
    if flight is None:
        return
    link.flight, link.waits = None, None
    landed(draft, sync, link)
    source = link.ids[1 - flight.side]
    if flight.op == "create":
        if source is not None:
            draft.stir(*place_of(sync, 1 - flight.side, source))
        if flight.blind:
            own = sync.sides[flight.side]
            draft.free(own.account, own.object.name)
