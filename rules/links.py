"""Links: how a pair is brought forward, one command at a time, and what the answers do to it.

A link has at most one command on its way. What changes meanwhile lies in the images; when the answer is there the link is merged anew, so
that the link's state is the queue.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from rules.catalog import Value
from rules.draft import Draft
from rules.events import Command, FieldChange
from rules.merge import Awaited, FieldProblem, FieldWrite, Plan, Rule, Translation, merge, translate
from rules.plan import Sync
from rules.state import Flight, Image, Link, Refusal, Values
from rules.values import InvalidValueError, is_empty

LOOP_TURNS, LOOP_SECONDS = 10, 600.0  # semantics section 4: more than 10 times in 10 minutes
_canonical = msgspec.msgpack.Encoder(order="deterministic").encode


class Counterparts(Translation):
    """References translated by the links of the associated sync."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft

    def counterpart(self, sync: str, side: int, record_id: str) -> str | None:
        """The id of the linked counterpart of a record, or None."""
        associated = self.draft.rules.syncs.get(sync)
        if associated is None:
            return None
        own = associated.sides[side]
        image = self.draft.image(own.account, own.object.name, record_id)
        seat = None if image is None else image.seats.get(sync)
        link = None if seat is None or seat.link is None else self.draft.link(sync, seat.link)
        return None if link is None or any(link.gone) else link.ids[1 - side]


def token_of(sync: str, link_id: str, link: Link, digest: str) -> str:
    """The name of a command: `sync/link/birth/sequence/digest`."""
    return f"{sync}/{link_id}/{link.birth}/{link.sequence}/{digest}"


def read_token(token: str) -> tuple[str, str, str, int] | None:
    """Sync, link, birth and sequence of a token of ours, or None."""
    head, _, rest = token.partition("/")
    pieces = rest.rsplit("/", 3)
    if len(pieces) != 4 or not pieces[2].isdigit():
        return None
    return head, pieces[0], pieces[1], int(pieces[2])


def side_image(draft: Draft, sync: Sync, link: Link, side: int) -> Image | None:
    """The image of a link's record on one side."""
    record_id = link.ids[side]
    own = sync.sides[side]
    return None if record_id is None else draft.image(own.account, own.object.name, record_id)


def touch(draft: Draft, sync: Sync, link_id: str, link: Link, committed_at: float = 0.0) -> None:
    """Brings a link forward: merges its records as they are known now and sends what differs, or shows why not."""
    state = draft.sync(sync.name)
    if committed_at and not link.touched:
        link.touched = committed_at
    if sync.off or state.stopped:
        draft.save_link(sync.name, link_id, link)
        return
    if link.flight is not None:
        _set_status(draft, link, "pending", link.category, link.message)
    elif any(link.gone) and link.restoring is None:
        _show_gone(draft, sync, link)
    elif any(refusal.category == "loop" for refusal in link.refusals):
        _fail(draft, link, next(one for one in link.refusals if one.category == "loop"))
    elif _broken_fields(draft, sync):
        _show_broken(draft, sync, link)
    else:
        link.waits = None
        link.awaits = []
        if link.restoring is not None:
            _restore(draft, sync, link_id, link)
        elif None in link.ids:
            _create(draft, sync, link_id, link)
        else:
            _merge(draft, sync, link_id, link)
    if link.flight is None and link.waits is None:
        link.touched = 0.0
    draft.save_link(sync.name, link_id, link)


# ---------------------------------------------------------------- status


def _set_status(draft: Draft, link: Link, status: str, category: str | None = None, message: str | None = None) -> None:
    if (status, category) != (link.status, link.category):
        link.since = draft.now
    link.status, link.category, link.message = status, category, message
    if status != "failing":
        link.other = None


def _fail(draft: Draft, link: Link, refusal: Refusal) -> None:
    _set_status(draft, link, "failing", refusal.category, refusal.message)
    link.other = refusal.other


def _show_gone(draft: Draft, sync: Sync, link: Link) -> None:
    where = [side for side in (0, 1) if link.gone[side]]
    side = sync.sides[where[0]]
    _set_status(
        draft,
        link,
        "failing",
        "deleted",
        f"{side.account}:{link.ids[where[0]]} was deleted in {side.account}; its counterpart was left alone",
    )


def _broken_fields(draft: Draft, sync: Sync) -> list[tuple[str, str]]:
    """Mapped fields that no longer are what the rules were made for: account and field."""
    if not draft.connection.fields:
        return []
    return [
        (side.account, field)
        for side in sync.sides
        for field in draft.connection.fields.get(side.account, {}).get(side.object.name, ())
        if field in side.mapped
    ]


def _show_broken(draft: Draft, sync: Sync, link: Link) -> None:
    account, field = _broken_fields(draft, sync)[0]
    _set_status(draft, link, "failing", "schema", f"{account}.{field} no longer exists or has changed its type")


def _at_rest(draft: Draft, sync: Sync, link: Link, problems: list[FieldProblem]) -> None:
    if problems:
        first = problems[0]
        allowed = f"; allowed: {first.allowed}" if first.allowed else ""
        account = sync.sides[first.side].account
        message = f"{account}.{first.field}: {first.message}{allowed}"
        _set_status(draft, link, "failing", "invalid_value", message)
    elif link.awaits:
        name, side, record_id = link.awaits[0]
        account = draft.rules.syncs[name].sides[side].account if name in draft.rules.syncs else name
        _set_status(draft, link, "in_sync", None, f"awaits the counterpart of {account}:{record_id} ({name})")
    else:
        _set_status(draft, link, "in_sync")


# ---------------------------------------------------------------- merging


def _merge(draft: Draft, sync: Sync, link_id: str, link: Link) -> None:
    images = (side_image(draft, sync, link, 0), side_image(draft, sync, link, 1))
    if images[0] is None or images[1] is None:
        _set_status(draft, link, "pending", None, "waits for the record to be read")
        return
    values = (images[0].values, images[1].values)
    plan = merge(sync, values, (link.bases[0], link.bases[1]), Counterparts(draft))
    for mapping in plan.settled:
        for side in (0, 1):
            link.bases[side][mapping.fields[side]] = values[side].get(mapping.fields[side])
    link.awaits = [(one.sync, one.side, one.id) for one in plan.awaits]
    refused = _drop_refused(link, plan)
    # The side that does not win goes first, so that a conflict is settled by one command.
    for side in (1 - sync.default, sync.default):
        if plan.writes[side]:
            _send_update(draft, sync, link_id, link, side, plan.writes[side])
            return
    if refused:
        _fail(draft, link, refused[0])
    else:
        link.refusals = []
        _at_rest(draft, sync, link, plan.problems)


def _drop_refused(link: Link, plan: Plan) -> list[Refusal]:
    """Takes out of the plan what the target has refused before and has not changed since; the refusals that still hold."""
    held: list[Refusal] = []
    for side in (0, 1):
        kept: list[FieldWrite] = []
        for write in plan.writes[side]:
            digest = _digest("field", write.field, side, write.value)
            refusal = next((one for one in link.refusals if one.field == write.field and one.digest == digest), None)
            if refusal is None:
                kept.append(write)
            else:
                held.append(refusal)
        plan.writes[side][:] = kept
        if kept:
            digest = _digest(
                "update", link.ids[side], {w.field: w.value for w in kept}, {w.field: w.before for w in kept}
            )
            refusal = next((one for one in link.refusals if one.field is None and one.digest == digest), None)
            if refusal is not None:
                held.append(refusal)
                plan.writes[side].clear()
    link.refusals = held
    return held


def _send_update(draft: Draft, sync: Sync, link_id: str, link: Link, side: int, writes: list[FieldWrite]) -> None:
    loop = _loop(draft, link, writes)
    if loop is not None:
        field, first, second = loop
        message = f"{field} flips between {first!r} and {second!r}: something else writes it back each time"
        link.refusals = [Refusal("loop", "loop", message, field)]
        _fail(draft, link, link.refusals[0])
        draft.note(sync.name, link_id, "loop", note=message)
        return
    conflicts = sum(write.rule in (Rule.CONFLICT, Rule.CONFLICT_EMPTY) for write in writes)
    _send(
        draft,
        sync,
        link_id,
        link,
        side,
        "update",
        {write.field: write.value for write in writes},
        {write.field: write.before for write in writes},
        {write.mapping.fields[1 - side]: write.source for write in writes},
    )
    if link.flight is not None:
        draft.sync(sync.name).conflicts += conflicts
        draft.note(
            sync.name,
            link_id,
            "conflict" if conflicts else "update",
            [
                FieldChange(
                    sync.sides[side].account,
                    write.field,
                    write.before,
                    write.value,
                    write.rule,
                    write.before if write.rule in (Rule.CONFLICT, Rule.OVERWRITTEN, Rule.DEFAULT_WINS) else None,
                )
                for write in writes
            ],
        )


def _loop(draft: Draft, link: Link, writes: list[FieldWrite]) -> tuple[str, Value, Value] | None:
    """Notes the values that fields are given; a field that takes the same two in turn too often, and the two."""
    for write in writes:
        value = write.source if write.side == 1 else write.value
        field = write.mapping.fields[0]
        taken = [(one, at) for one, at in link.recent.get(field, ()) if draft.now - at <= LOOP_SECONDS][
            -2 * LOOP_TURNS :
        ]
        taken.append((value, draft.now))
        link.recent = {**link.recent, field: taken}
        if _turns([one for one, _ in taken]) > LOOP_TURNS:
            return write.field, taken[-2][0], taken[-1][0]
    return None


def _turns(values: list[Value]) -> int:
    """How many of the last values take the same two in turn."""
    run = 1
    while run < len(values) and values[-run] != values[-run - 1] and (run < 2 or values[-run - 1] == values[-run + 1]):
        run += 1
    return run


# ---------------------------------------------------------------- creating


def _create(draft: Draft, sync: Sync, link_id: str, link: Link) -> None:
    target = 0 if link.ids[0] is None else 1
    image = side_image(draft, sync, link, 1 - target)
    if image is None:
        _set_status(draft, link, "pending", None, "waits for the record to be read")
        return
    values, sources, problems = _created_values(draft, sync, link, target, image.values)
    side = sync.sides[target]
    lacking = [field for field in side.required if is_empty(values.get(field))]
    if lacking:
        awaited = [one for one in link.awaits if _fills(sync, target, one, lacking)]
        if awaited:
            name, awaited_side, record_id = awaited[0]
            account = draft.rules.syncs[name].sides[awaited_side].account
            message = f"{side.account}.{lacking[0]} must refer to the counterpart of {account}:{record_id} ({name}), which is not linked yet"
            _set_status(draft, link, "pending", "missing_required", message)
            return
        named = next((one for one in problems if one.field in lacking), None)
        if named is not None:
            _at_rest(draft, sync, link, [named])
            return
        source = sync.sides[1 - target].account
        message = f"{side.account}.{lacking[0]} must have a value, and {source}:{link.ids[1 - target]} has none for it"
        _fail(draft, link, Refusal("", "missing_required", message, lacking[0]))
        return
    _send_create(draft, sync, link_id, link, target, values, sources)


def _fills(sync: Sync, target: int, awaited: tuple[str, int, str], lacking: list[str]) -> bool:
    return any(one.association == awaited[0] and one.fields[target] in lacking for one in sync.mappings)


def _created_values(
    draft: Draft, sync: Sync, link: Link, target: int, source_values: Values
) -> tuple[Values, Values, list[FieldProblem]]:
    """The values of a record to create, the source's values that they come from, and the fields that cannot be written."""
    values: Values = dict(sync.sides[target].constants)
    sources: Values = {}
    problems: list[FieldProblem] = []
    translation = Counterparts(draft)
    for mapping in sync.mappings:
        source_field, field = mapping.fields[1 - target], mapping.fields[target]
        source = source_values.get(source_field)
        if not mapping.writes[target] or is_empty(source):
            continue
        try:
            value = translate(mapping, 1 - target, source, translation)
        except InvalidValueError as error:
            problems.append(FieldProblem(target, field, source, error.reason, error.allowed))
            continue
        if isinstance(value, Awaited):
            link.awaits.append((value.sync, value.side, value.id))
            continue
        digest = _digest("field", field, target, value)
        if any(one.field == field and one.digest == digest for one in link.refusals):
            continue
        values[field], sources[source_field] = value, source
    return values, sources, problems


def _send_create(
    draft: Draft, sync: Sync, link_id: str, link: Link, target: int, values: Values, sources: Values
) -> None:
    digest = _digest("create", None, values, {})
    refusal = next((one for one in link.refusals if one.field is None and one.digest == digest), None)
    if refusal is not None:
        _fail(draft, link, refusal)
        return
    identifiers = tuple(
        (field, kind, normal)
        for (field, kind), normal in zip(sync.sides[target].identifiers, sync.normalised(target, values), strict=True)
        if normal is not None
    )
    _send(draft, sync, link_id, link, target, "create", values, {}, sources, identifiers)
    if link.flight is not None:
        account = sync.sides[target].account
        changes = [FieldChange(account, field, None, value, "create") for field, value in values.items()]
        draft.note(sync.name, link_id, "create", changes)


def _restore(draft: Draft, sync: Sync, link_id: str, link: Link) -> None:
    """Creates the deleted record anew from its last known whole, with what the counterpart has changed since on top."""
    target = link.restoring
    assert target is not None
    side = sync.sides[target]
    old, source = side_image(draft, sync, link, target), side_image(draft, sync, link, 1 - target)
    if source is None or link.gone[1 - target]:
        link.restoring = None
        _show_gone(draft, sync, link)
        return
    fresh, sources, problems = _created_values(draft, sync, link, target, source.values)
    values: Values = {}
    for field in side.object.fields:
        value = None if old is None else old.values.get(field.name)
        generated = field.read_only or (field.name in side.object.key and not field.required)
        if not is_empty(value) and not generated:
            values[field.name] = value
    for mapping in sync.mappings:
        source_field, field_name = mapping.fields[1 - target], mapping.fields[target]
        present = source.values.get(source_field)
        if not mapping.writes[target]:
            continue
        base_known = source_field in link.bases[1 - target]
        if base_known and link.bases[1 - target][source_field] == present and field_name in values:
            sources[source_field] = present
        elif field_name in fresh:
            values[field_name] = fresh[field_name]
    for field_name, value in side.constants.items():
        values.setdefault(field_name, value)
    lacking = [field for field in side.required if is_empty(values.get(field))]
    if lacking:
        message = f"{side.account}.{lacking[0]} must have a value to restore the record"
        _fail(draft, link, Refusal("", "missing_required", message, lacking[0]))
        link.restoring = None
        return
    if problems and not values:
        _at_rest(draft, sync, link, problems)
        return
    _send_create(draft, sync, link_id, link, target, values, sources)


# ---------------------------------------------------------------- sending


def _digest(*content: object) -> str:
    return blake2b(_canonical(content), digest_size=8).hexdigest()


def _send(
    draft: Draft,
    sync: Sync,
    link_id: str,
    link: Link,
    side: int,
    op: str,
    values: Values,
    expect: Values,
    sources: Values,
    identifiers: tuple[tuple[str, str, str], ...] = (),
) -> None:
    state, target = draft.sync(sync.name), sync.sides[side]
    state.issued += 1
    down = draft.connection.down.get(target.account)
    if down is not None:
        link.waits, link.number = target.account, state.issued
        _set_status(draft, link, "pending", "unavailable", f"{target.account} is unavailable: {down}")
        return
    link.sequence += 1
    digest = _digest(op, link.ids[side] if op != "create" else None, values, expect)
    token = token_of(sync.name, link_id, link, digest)
    link.flight = Flight(state.issued, side, op, link.sequence, token, values, expect, sources, draft.now, link.touched)
    _set_status(draft, link, "pending")
    draft.command(target.account, target.object.name, command_of(sync, link_id, link, identifiers))


def command_of(sync: Sync, link_id: str, link: Link, identifiers: tuple[tuple[str, str, str], ...] = ()) -> Command:
    """The command on its way, as it is sent; the same each time it is sent again."""
    flight = link.flight
    assert flight is not None
    other = sync.sides[1 - flight.side]
    other_id = link.ids[1 - flight.side]
    pair = None if other_id is None else (sync.name, other.account, other.object.name, other_id)
    return Command(
        sync.name,
        link_id,
        flight.sequence,
        flight.token,
        flight.op,
        None if flight.op == "create" else link.ids[flight.side],
        flight.values,
        flight.expect,
        identifiers,
        pair,
        flight.committed_at,
    )


def resend(draft: Draft, sync: Sync, link_id: str, link: Link) -> None:
    """Sends the command on its way again under its own name: its answer has not come for long."""
    flight = link.flight
    if flight is None:
        return
    flight.sent = draft.now
    target = sync.sides[flight.side]
    identifiers: tuple[tuple[str, str, str], ...] = ()
    if flight.op == "create":
        found = zip(target.identifiers, sync.normalised(flight.side, flight.values), strict=True)
        identifiers = tuple((field, kind, normal) for (field, kind), normal in found if normal is not None)
    draft.command(target.account, target.object.name, command_of(sync, link_id, link, identifiers))
    draft.save_link(sync.name, link_id, link)


def digest_of_flight(link: Link) -> str:
    """The digest under which a refusal of the command on its way is kept."""
    flight = link.flight
    assert flight is not None
    record_id = None if flight.op == "create" else link.ids[flight.side]
    return _digest(flight.op, record_id, flight.values, flight.expect)


def digest_of_field(field: str, side: int, value: Value) -> str:
    """The digest under which a refusal of one field's value is kept."""
    return _digest("field", field, side, value)
