"""How the missing record of a link is made: created from its counterpart, or restored from what is known of it (sections 3 and 6)."""

from __future__ import annotations

from rules.catalog import Value
from rules.draft import Draft
from rules.events import FieldChange
from rules.matching import created_by_peer, known_free
from rules.merge import Awaited, FieldProblem, translate
from rules.plan import Sync
from rules.references import Counterparts, is_coming, named
from rules.reviving import is_lost, lost_reference, owe
from rules.seats import claims, reference, seat_record, side_image
from rules.sending import Write, digest_of, digest_of_field, send, set_status
from rules.state import Image, Link, Refusal, Values
from rules.values import InvalidValueError, is_empty


def adopt_known(draft: Draft, sync: Sync, link_id: str, link: Link) -> bool:
    """Takes what another sync of the same objects has created meanwhile; whether the link is complete now."""
    if not (draft.rules.peers[sync.name] or draft.sync(sync.name).remembers):
        return False
    target = 0 if link.ids[0] is None else 1
    image = side_image(draft, sync, link, 1 - target)
    known = None if image is None else known_free(draft, sync, 1 - target, link.ids[1 - target] or "", image)
    if known is None:
        return False
    seat_record(draft, sync, target, known, link_id, link)
    link.refusals = []
    pair = (reference(sync, 0, link.ids[0]), reference(sync, 1, link.ids[1]))
    note = f"{pair[0]} with {pair[1]}: {pair[target]} was made by another sync"
    draft.note(sync.name, link_id, "linked", note=note, records=pair)
    claims(draft, sync, link)
    return True


def create(draft: Draft, sync: Sync, link_id: str, link: Link) -> None:
    """Creates the record that the link lacks."""
    target = 0 if link.ids[0] is None else 1
    source = reference(sync, 1 - target, link.ids[1 - target])
    image = side_image(draft, sync, link, 1 - target)
    if image is None:
        set_status(draft, link, "pending", None, f"waits until {source} has been read", source)
        return
    if _waits_for_peer(draft, sync, link, image, source):
        return
    fresh = _Fresh(draft, sync, link, target, image.values)
    values = {**sync.sides[target].constants, **fresh.values}
    lacking = [field for field in sync.sides[target].required if is_empty(values.get(field))]
    if lacking:
        _show_lacking(draft, sync, link, target, lacking[0], fresh)
        return
    _send_create(draft, sync, link_id, link, Write(target, "create", values, {}, fresh.sources))


def _waits_for_peer(draft: Draft, sync: Sync, link: Link, image: Image, source: str) -> bool:
    peer = created_by_peer(draft, sync, image)
    if peer is not None:
        set_status(
            draft, link, "pending", None, f"waits for the sync {peer}, which is creating its counterpart", source
        )
    return peer is not None


def _show_lacking(draft: Draft, sync: Sync, link: Link, target: int, field: str, fresh: _Fresh) -> None:
    """A required field has no value: which, where, and why."""
    account = sync.sides[target].account
    source = reference(sync, 1 - target, link.ids[1 - target])
    awaited = next((one for one in link.awaits if _fills(sync, target, one, field)), None)
    lost = next((one for one in link.awaits if _was_lost(sync, target, one, field)), None)
    problem = next((one for one in fresh.problems if one.field == field), None)
    refused = next((one for one in fresh.refused if one.field == field), None)
    if lost is not None:
        message = f"{account}.{field} must refer to {account}:{lost[2]} ({lost[0]}), which is gone"
        set_status(draft, link, "failing", "missing_required", message)
    elif awaited is not None:
        coming = is_coming(draft, *awaited)
        message = f"{account}.{field} must refer to {named(draft, awaited)}, which is not linked" + " yet" * coming
        set_status(draft, link, "pending" if coming else "failing", "missing_required", message)
    elif problem is not None:
        allowed = f"; allowed: {problem.allowed}" if problem.allowed else ""
        set_status(draft, link, "failing", "invalid_value", f"{account}.{field}: {problem.message}{allowed}")
    elif refused is not None:
        set_status(draft, link, "failing", refused.category, refused.message, refused.other)
    else:
        message = f"{account}.{field} must have a value, and {source} has none for it"
        set_status(draft, link, "failing", "missing_required", message)


def _fills(sync: Sync, target: int, awaited: tuple[str, int, str], field: str) -> bool:
    return any(
        (one.association, one.side_there(1 - target)) == awaited[:2] and one.fields[target] == field
        for one in sync.mappings
    )


def _was_lost(sync: Sync, target: int, awaited: tuple[str, int, str], field: str) -> bool:
    return any(
        (one.association, one.side_there(target)) == awaited[:2] and one.fields[target] == field
        for one in sync.mappings
    )


class _Fresh:
    """The values of a record to create, the source's values that they come from, and the fields that cannot be written."""

    def __init__(self, draft: Draft, sync: Sync, link: Link, target: int, source_values: Values) -> None:
        self.values: Values = {}
        self.sources: Values = {}
        self.problems: list[FieldProblem] = []
        self.refused: list[Refusal] = []
        translation = Counterparts(draft)
        for mapping, source_field, field, plain in sync.feeds[target]:
            source = source_values.get(source_field)
            if is_empty(source):
                continue
            value: Value | Awaited = source
            if not plain:
                try:
                    value = translate(mapping, 1 - target, source, translation)
                except InvalidValueError as error:
                    self.problems.append(FieldProblem(target, field, source, error.reason, error.allowed))
                    continue
            if isinstance(value, Awaited):
                link.awaits.append((value.sync, value.side, value.id))
            elif refusal := refusal_of(link, target, field, value):
                self.refused.append(refusal)
            else:
                self.values[field], self.sources[source_field] = value, source


def refusal_of(link: Link, side: int, field: str, value: Value) -> Refusal | None:
    """How the target has refused this value of the field before, if it has."""
    if not link.refusals:
        return None
    refused = digest_of_field(field, side, value)
    return next((one for one in link.refusals if one.field == field and one.digest == refused), None)


def _send_create(draft: Draft, sync: Sync, link_id: str, link: Link, write: Write) -> None:
    if link.refusals:
        refused = digest_of(write, None)
        refusal = next((one for one in link.refusals if one.field is None and one.digest == refused), None)
        if refusal is not None:
            set_status(draft, link, "failing", refusal.category, refusal.message, refusal.other)
            return
    if send(draft, sync, link_id, link, write):
        account = sync.sides[write.side].account
        changes = [FieldChange(account, field, None, value, "create") for field, value in write.values.items()]
        draft.note(sync.name, link_id, "create", changes, link.flight.token if link.flight else "")


def restore(draft: Draft, sync: Sync, link_id: str, link: Link) -> None:
    """Creates the deleted record anew from its last known whole, with what the counterpart has changed since on top."""
    target = link.restoring
    assert target is not None
    side = sync.sides[target]
    old, counterpart = side_image(draft, sync, link, target), side_image(draft, sync, link, 1 - target)
    if counterpart is None:
        source = reference(sync, 1 - target, link.ids[1 - target])
        set_status(draft, link, "pending", None, f"waits until {source} has been read", source)
        return
    if target in link.missed:
        lost = reference(sync, target, link.ids[target])
        set_status(draft, link, "pending", None, f"waits until {side.account} tells whether {lost} is gone", lost)
        return
    if _waits_for_peer(draft, sync, link, counterpart, reference(sync, 1 - target, link.ids[1 - target])):
        return
    fresh = _Fresh(draft, sync, link, target, counterpart.values)
    values = _last_known(sync, link, target, {} if old is None else old.values)
    for mapping in sync.mappings:
        source_field, field = mapping.fields[1 - target], mapping.fields[target]
        if not mapping.writes[target]:
            continue
        base, present = link.bases.get(mapping.key), counterpart.values.get(source_field)
        if field in values and is_lost(draft, mapping, target, values[field]):
            held = values.pop(field)
            owe(draft, link, mapping, target, held)
            link.awaits.append(lost_reference(mapping, target, held))
        unchanged = base is not None and base[1 - target] == present
        if field in values and unchanged:
            if base is not None and base[target] == values[field]:
                fresh.sources[source_field] = present
            else:
                # It was edited before it was deleted: the edit is still to travel, as a change against the old base.
                fresh.sources.pop(source_field, None)
        elif field in fresh.values:
            values[field] = fresh.values[field]
        elif is_empty(present) and base is not None and mapping.propagates_empty and mapping.nullable[target]:
            values.pop(field, None)
            fresh.sources[source_field] = present
    for field, value in side.constants.items():
        values.setdefault(field, value)
    lacking = [field for field in side.required if is_empty(values.get(field))]
    if lacking:
        _show_lacking(draft, sync, link, target, lacking[0], fresh)
        return
    _send_create(draft, sync, link_id, link, Write(target, "create", values, {}, fresh.sources))


def _last_known(sync: Sync, link: Link, target: int, old: Values) -> Values:
    """What can be written of a record as it was: not what the app makes itself, nor what it has refused."""
    side = sync.sides[target]
    values: Values = {}
    for field in side.object.fields:
        value = old.get(field.name)
        generated = field.read_only or (field.name in side.object.key and not field.required)
        if not (generated or is_empty(value) or refusal_of(link, target, field.name, value)):
            values[field.name] = value
    return values
