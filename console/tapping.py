"""Events of the topics as JSON: what `tap` prints.

Responsible for reading on from a place and for showing whatever is there, decoded where it can be. Must not know what
an event means.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

import schemas
from console.times import iso_ms
from schemas import SchemaError
from streams.broker import Broker
from streams.config import INSTALLATION, SCHEMA, ConfigStore
from streams.topics import MARKER, Topics

TOPICS = ("changes", "inbox", "commands", "statuses", "history", "dead-letters", "config")

Start = str | int | float
"""`beginning` or `end`, an offset (int), or a time (float, seconds since 1970)."""


async def events(
    broker: Broker, topics: Topics, names: tuple[str, ...], start: Start, *, follow: bool
) -> AsyncIterator[dict[str, Any]]:
    """The events of the topics from there on; without `follow` up to where they end now."""
    partitions = [
        TopicPartition(f"{topics.installation}.{name}", number)
        for name in names
        for number in range(1 if name == "config" else topics.partitions)
    ]
    consumer = AIOKafkaConsumer(
        **broker.client(), enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=200
    )
    async with ConfigStore(broker, topics):  # learns the schemas of all writers, those of later ones too
        try:
            await consumer.start()
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            await _seek(consumer, partitions, start, ends)
            while follow or not await _at(consumer, ends):
                fetched = await consumer.getmany(timeout_ms=500)
                for message in sorted(
                    (one for many in fetched.values() for one in many), key=lambda one: one.timestamp
                ):
                    tp = TopicPartition(message.topic, message.partition)
                    if follow or message.offset < ends[tp]:
                        yield described(message, topics)
        finally:
            await consumer.stop()


async def _seek(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], start: Start, ends: dict[TopicPartition, int]
) -> None:
    begins = await consumer.beginning_offsets(partitions)
    if isinstance(start, float):
        times = {tp: round(start * 1000) for tp in partitions}
        found = await consumer.offsets_for_times(times)
        places = {tp: found[tp].offset if found.get(tp) else ends[tp] for tp in partitions}
    elif isinstance(start, int):
        places = {tp: min(max(start, begins[tp]), ends[tp]) for tp in partitions}
    else:
        places = begins if start == "beginning" else ends
    for tp, offset in places.items():
        consumer.seek(tp, offset)


async def _at(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    for tp, end in ends.items():
        if await consumer.position(tp) < end:
            return False
    return True


def described(message: ConsumerRecord, topics: Topics) -> dict[str, Any]:
    """A message with its place, and what it says."""
    found: dict[str, Any] = {
        "topic": message.topic.removeprefix(f"{topics.installation}."),
        "partition": message.partition,
        "offset": message.offset,
        "time": iso_ms(message.timestamp / 1000),
        "key": None if message.key is None else message.key.decode(errors="backslashreplace"),
    }
    return found | said(message.key or b"", message.value, is_change=message.topic == topics.changes)


def said(key: bytes, value: bytes | None, *, is_change: bool) -> dict[str, Any]:
    """The type of an event and the event; of a message that is none, what it is instead."""
    if value is None:
        return {"type": "tombstone", "event": None}
    if key.startswith(MARKER[:1]):
        return {"type": "marker", "event": {"owner": value.decode(errors="backslashreplace")}}
    if key == INSTALLATION or key.startswith(SCHEMA):
        kind = "configuration" if key == INSTALLATION else "schema"
        try:
            return {"type": kind, "event": msgspec.json.decode(value)}
        except msgspec.DecodeError as error:
            return {"type": "undecodable", "error": str(error), "raw": base64.b64encode(value).decode()}
    try:
        event = schemas.decode(value)
        head = {"head": plain(schemas.head(value))} if is_change else {}
    except SchemaError as error:
        return {"type": "undecodable", "error": str(error), "raw": base64.b64encode(value).decode()}
    return {"type": type(event).__struct_config__.tag, **head, "event": plain(event)}


def plain(value: Any) -> Any:
    """Structs by the names of their fields, also those that travel as rows; bytes as base64."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
