"""What a write means for a record as it stands: nothing to do, no longer what was expected, refused, or which properties to send.

Responsible for comparison, for values that belong together and for what HubSpot allows in one direction only. Pure: the record is handed in. Must not
know the wire.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from connectors.base import Write, WriteOp
from connectors.hubspot.mapping import FORWARD, Shape
from connectors.hubspot.records import Image
from connectors.hubspot.standard import Relation
from connectors.hubspot.values import Owners
from rules.canonical import InvalidValueError, shown
from rules.catalog import Value


class UnfitError(Exception):
    """A write that is refused before it is sent."""

    def __init__(self, category: str, field: str | None, message: str) -> None:
        super().__init__(message)
        self.category, self.field, self.message = category, field, message


class Job(msgspec.Struct, frozen=True):
    """A write in HubSpot's terms. `values`: as they will be read back; `texts`: as they are sent; `refs`: associations."""

    place: int
    write: Write
    values: Mapping[str, Value]
    texts: Mapping[str, str]
    refs: Mapping[str, str | None]


def job_of(shape: Shape, owners: Owners, place: int, write: Write) -> Job:
    """A write, translated. Raises `UnfitError`."""
    values: dict[str, Value] = {}
    texts: dict[str, str] = {}
    refs: dict[str, str | None] = {}
    for name, value in write.values.items():
        relation = shape.relation(name)
        if relation is not None:
            values[name] = refs[name] = _reference(relation, name, value)
            continue
        known = shape.properties.get(name)
        if known is None:
            raise UnfitError("schema", name, f"{shape.name} have no property {name} any more")
        if known.field.read_only:
            if write.op is WriteOp.CREATE and value is None:
                continue
            raise UnfitError("invalid_value", name, f"{name} is written by HubSpot alone")
        try:
            texts[name] = known.codec.dump(value, owners)
        except InvalidValueError as error:
            raise UnfitError("invalid_value", name, f"{name}: {error}") from None
        values[name] = known.codec.load(texts[name], owners)
    return Job(place, write, values, texts, refs)


def _reference(relation: Relation, name: str, value: Value) -> str | None:
    if value in (None, "", []):
        return None
    text = str(value[0] if isinstance(value, list) else value)
    if not text.isdigit():
        raise UnfitError("association", name, f"{shown(text)} is no id of {relation.target}")
    return text


def holds(image: Image, values: Mapping[str, Value]) -> bool:
    """Whether the record holds these values; empty is empty."""
    return all(_same(image.record.values.get(name), value) for name, value in values.items())


def _same(stored: Value, value: Value) -> bool:
    if stored == value or (stored in (None, "", []) and value in (None, "", [])):
        return True
    # An id is an integer in some apps and a text in ours.
    return not isinstance(stored, bool | list) and not isinstance(value, bool | list) and str(stored) == str(value)


def to_send(shape: Shape, job: Job, before: Image | None, home: str = "") -> dict[str, str]:
    """The properties to send: those that differ, with what belongs to them. `before`: None for a create.
    `home`: the company's currency, in which an amount without one is. Raises `UnfitError`."""
    stored = {} if before is None else before.raw
    texts = {
        name: text for name, text in job.texts.items() if before is None or not holds(before, {name: job.values[name]})
    }
    if before is None:
        texts = {name: text for name, text in texts.items() if text != ""}
    _forward_only(shape, texts, stored)
    _stage_of_pipeline(shape, job, texts, stored)
    _with_currency(shape, texts, stored, home)
    return texts


def _forward_only(shape: Shape, texts: Mapping[str, str], stored: Mapping[str, str]) -> None:
    """A lifecycle stage goes forward only: HubSpot would refuse it, or drop it without a word, which would go on for ever."""
    wanted, standing = texts.get(FORWARD), stored.get(FORWARD)
    known = shape.properties.get(FORWARD)
    if not wanted or not standing or known is None or not known.field.type.options:
        return
    order = known.field.type.options
    if wanted in order and standing in order and order.index(wanted) < order.index(standing):
        raise UnfitError(
            "invalid_value", FORWARD, f"{FORWARD} moves forward only: it stands at {standing}, which is behind {wanted}"
        )


def _stage_of_pipeline(shape: Shape, job: Job, texts: dict[str, str], stored: Mapping[str, str]) -> None:
    """Pipeline and stage go in one call, and belong together."""
    if shape.pipeline is None or not shape.stages:
        return
    pipeline_field, stage_field = shape.pipeline
    if pipeline_field not in texts and stage_field not in texts:
        return
    stage = texts.get(stage_field) or job.texts.get(stage_field) or stored.get(stage_field)
    pipeline = texts.get(pipeline_field) or job.texts.get(pipeline_field) or stored.get(pipeline_field)
    if stage is None:
        return
    having = shape.stages.get(stage, ())
    if pipeline not in having and pipeline_field not in job.texts and len(having) == 1:
        pipeline = having[0]  # nothing maps the pipeline: the stage says which
    if pipeline is not None and pipeline not in having:
        field = stage_field if stage_field in texts else pipeline_field
        raise UnfitError("invalid_value", field, f"the stage {stage} is not one of the pipeline {pipeline}")
    texts[stage_field] = stage
    if pipeline is not None:
        texts[pipeline_field] = pipeline


def _with_currency(shape: Shape, texts: dict[str, str], stored: Mapping[str, str], home: str) -> None:
    """An amount goes with its currency, as one without the other would be read in another currency for a moment."""
    for name, known in shape.properties.items():
        currency = known.currency
        if currency is None or currency not in shape.properties or not {name, currency} & texts.keys():
            continue
        for one in (name, currency):
            if one not in texts and stored.get(one) and not shape.properties[one].field.read_only:
                texts[one] = stored[one]
        if texts.get(name) and not texts.get(currency) and home:
            texts[currency] = home


def rounds(writes: Mapping[int, Write]) -> list[list[int]]:
    """Places of writes in rounds, one after the other, such that no two of a round concern the same record, link or identifier."""
    found: list[tuple[set[object], list[int]]] = []
    for place, write in writes.items():
        things: set[object] = {("link", write.link)}
        if write.id is not None:
            things.add(("id", write.id))
        things |= {(one.field, one.type, one.value) for one in write.identifiers}
        after = max((number for number, (taken, _) in enumerate(found) if taken & things), default=-1) + 1
        if after == len(found):
            found.append((set(), []))
        found[after][0].update(things)
        found[after][1].append(place)
    return [places for _, places in found]
