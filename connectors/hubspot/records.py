"""Records as HubSpot gives them into ours: values, version, pairs, and what they were merged from.

Responsible for the shape of one record. Pure. Must not know the wire.

A version is (max(asked, updated), updated), both in the account's milliseconds: `asked` is when the call that read it was sent, never later than
it was there; `updated` is the record's modified date. Of two images of one record the one with the later modified date is the newer: it was
changed after the other's call was sent, or else that one would show it. With the same date (associations move none) the later call is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from connectors.base import Context, Pair, Record
from connectors.hubspot.definitions import Fields
from connectors.hubspot.mapping import ID, MERGED, Shape
from connectors.hubspot.standard import SYNC_ID
from connectors.hubspot.values import Owners, millis_of
from rules.canonical import InvalidValueError, canonical_timestamp
from rules.catalog import Value
from rules.version import Version

Refs = Mapping[str, str | None]  # field: id of the associated record


class Image(msgspec.Struct, frozen=True):
    """A record as read. `stamp`: its modified date; `merged`: the ids that were merged into it; `token`: of the create of ours."""

    record: Record
    stamp: int
    merged: tuple[str, ...] = ()
    token: str | None = None
    archived_at: int = 0
    raw: Mapping[str, str] = {}


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """What our unique property holds: who created the record, by which command, for which counterpart."""

    installation: str
    account: str
    token: str
    sync: str = ""
    other: str = ""
    object: str = ""
    id: str = ""


def mark_text(context: Context, token: str, pair: Pair | None) -> str:
    """The value of our property on a record that is created: the same whenever the same command comes."""
    mark = Mark(context.installation, context.account, token)
    if pair is not None:
        mark = msgspec.structs.replace(mark, sync=pair.sync, other=pair.account, object=pair.object, id=pair.id)
    return json.dumps(msgspec.to_builtins(mark), ensure_ascii=False, separators=(",", ":"))


def mark_of(context: Context, text: object) -> Mark | None:
    """What our property says, where it is ours."""
    if not isinstance(text, str) or not text.startswith("["):
        return None
    try:
        mark = msgspec.convert(json.loads(text), Mark)
    except (ValueError, msgspec.ValidationError):
        return None
    return mark if (mark.installation, mark.account) == (context.installation, context.account) else None


def version_of(asked_at: int, stamp: int) -> Version:
    """See above. `step` tells apart what was asked for in the millisecond of a change."""
    return Version(max(asked_at, stamp), step=stamp)


def image_of(
    shape: Shape, fields: Fields, context: Context, owners: Owners, given: Mapping[str, Any], asked_at: int, refs: Refs
) -> Image:
    """A record of an answer."""
    raw = {name: text for name, text in (given.get("properties") or {}).items() if text not in (None, "")}
    record_id, stamp = str(given["id"]), millis_of(given.get("updatedAt"))
    values: dict[str, Value] = {ID: int(record_id) if record_id.isdigit() else None, **dict.fromkeys(fields.missing)}
    for name in fields.names:
        if name != ID:
            values[name] = shape.properties[name].codec.load(raw.get(name), owners)
    created = shape.standard.created
    if created in shape.properties:
        values[created] = _moment(given.get("createdAt"))
    for field in fields.relations:
        values[field] = refs.get(field)
    mark = mark_of(context, raw.get(SYNC_ID))
    pairs = (Pair(mark.sync, mark.other, mark.object, mark.id),) if mark is not None and mark.sync else ()
    merged = tuple(one for one in str(raw.get(MERGED) or "").split(";") if one and one != record_id)
    return Image(
        Record(record_id, values, version_of(asked_at, stamp), pairs),
        stamp,
        merged,
        None if mark is None else mark.token,
        millis_of(given.get("archivedAt")) if given.get("archived") else 0,
        raw,
    )


def _moment(text: object) -> Value:
    if not isinstance(text, str):
        return None
    try:
        return canonical_timestamp(text)
    except InvalidValueError:
        return None
