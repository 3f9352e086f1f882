"""Every message there and back; heads without rows; bytes that are none."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any, get_args

import msgspec
import pytest
from fastavro import schemaless_reader, schemaless_writer
from fastavro.schema import load_schema
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas
from rules import events as e
from rules.version import Version
from schemas import (
    ChangeEvent,
    Head,
    Message,
    SchemaError,
    UndecodableError,
    UnknownSchemaError,
    decode,
    encode,
    encode_change,
    head,
)
from schemas.datums import UNPACK, pack
from schemas.messages import CHANGE_EVENTS
from schemas.registry import FOLDER, FRAME, MAGIC, fingerprint_of, own
from tests.schemas.messages import CHANGE_EVENTS as EVENTS
from tests.schemas.messages import MESSAGES, NAMES, WRITTEN_BY_HAND

KINDS = get_args(Message)


@given(MESSAGES)
@settings(max_examples=300)
def test_what_is_decoded_is_what_was_encoded(message: Message) -> None:
    found = decode(encode(message))
    assert found == message
    assert _types(found) == _types(message)  # 1 is not True


def _types(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _types(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_types(item) for item in value]
    return type(value) if not isinstance(value, msgspec.Struct) else _types(msgspec.structs.astuple(value))


@given(EVENTS, st.integers(0, 2**40), NAMES, NAMES, NAMES)
def test_a_head_is_read_without_what_follows_it(
    event: ChangeEvent, config: int, to: str | None, errand: str | None, resume: str | None
) -> None:
    data = encode_change(event, config=config, to=to, errand=errand, resume=resume)
    of, read = getattr(event, "object", None), getattr(event, "read", None)
    assert head(data) == Head(config, event.account, of, to, errand, resume, read)
    assert decode(data) == event


def test_the_rows_of_a_batch_are_not_needed_for_its_head() -> None:
    rows = tuple(e.Row(str(n), {"name": "x" * 100}, Version(n)) for n in range(100))
    data = encode_change(e.Captured("crm", "contacts", rows), config=3)
    assert head(data[:60]) == Head(3, "crm", "contacts")


def test_a_batch_names_its_fields_once() -> None:
    field = "a_field_with_a_rather_long_name"
    one, hundred = (
        len(encode(e.Captured("crm", "contacts", tuple(e.Row("1", {field: 1}, Version(1)) for _ in range(count)))))
        for count in (1, 100)
    )
    assert (hundred - one) / 99 < len(field)


def test_a_field_that_is_absent_is_not_one_that_is_null() -> None:
    rows = (
        e.Row("1", {"a": None, "b": 1}, Version(1)),
        e.Row("2", {"b": 2}, Version(2)),
        e.Row("3", {}, Version(3), "delete"),
    )
    found = decode(encode(e.Captured("crm", "contacts", rows)))
    assert isinstance(found, e.Captured)
    assert [row.values for row in found.rows] == [{"a": None, "b": 1}, {"b": 2}, {}]


@pytest.mark.parametrize("value", [1.5, 2**63, {"a": 1}, object()])
def test_what_is_no_value_is_refused_when_it_is_encoded(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        encode(e.Captured("crm", "contacts", (e.Row("1", {"a": value}, Version(1)),)))


@given(WRITTEN_BY_HAND)
@settings(max_examples=300)
def test_what_is_written_by_hand_is_what_fastavro_writes_and_the_other_way_round(message: Message) -> None:
    out = BytesIO()
    schemaless_writer(out, own()[type(message).__name__].schema, pack(message))
    data = encode(message)
    assert data[FRAME:] == out.getvalue()
    datum: Any = schemaless_reader(BytesIO(data[FRAME:]), own()[type(message).__name__].schema, None)
    assert UNPACK[type(message).__name__](datum) == message


def test_an_array_in_blocks_with_their_sizes_is_read_too() -> None:
    """Other writers of our schemas may write so; fastavro and we do not."""
    data = encode(e.Commands("c", "a", "o", ()))
    assert data.endswith(b"\x00\x00")
    # One shape, ["f"], in a block of -1 item (01) of 4 bytes (08); no commands.
    shapes = b"\x01\x08" + b"\x02" + b"\x02f" + b"\x00" + b"\x00"
    assert decode(data[:-2] + shapes + b"\x00") == e.Commands("c", "a", "o", ())


# ---------------------------------------------------------------- bytes that are none


@given(MESSAGES, st.data())
@settings(max_examples=300, deadline=1000)
def test_damaged_bytes_are_refused_or_another_message_and_nothing_else(message: Message, data: st.DataObject) -> None:
    whole = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(FRAME, len(whole) - 1)) if len(whole) > FRAME else 0] = data.draw(
            st.integers(0, 255)
        )
    damaged = bytes(whole[: data.draw(st.integers(0, len(whole)))]) + data.draw(st.binary(max_size=2))
    for read in (decode, head):
        try:
            read(damaged)
        except SchemaError:
            continue


@given(st.binary(max_size=40))
@settings(deadline=1000)
def test_random_bytes_behind_a_frame_of_ours_are_refused_or_read_quickly(data: bytes) -> None:
    for ours in own().values():
        try:
            decode(ours.frame + data)
        except SchemaError:
            continue


@given(st.binary(max_size=9) | st.binary(min_size=10).filter(lambda data: data[:2] != MAGIC))
def test_bytes_without_a_frame_are_undecodable(data: bytes) -> None:
    for read in (decode, head):
        with pytest.raises(UndecodableError):
            read(data)


def test_bytes_behind_a_message_are_undecodable() -> None:
    with pytest.raises(UndecodableError, match="too many"):
        decode(encode(e.Clock()) + b"\0")


def test_a_message_that_is_no_change_has_no_head() -> None:
    with pytest.raises(UndecodableError, match="no change message"):
        head(encode(e.Clock()))


# ---------------------------------------------------------------- schemas that come by


def test_a_schema_that_has_not_come_by_is_waited_for() -> None:
    with pytest.raises(UnknownSchemaError) as raised:
        decode(MAGIC + b"12345678")
    assert raised.value.fingerprint == b"12345678"


def test_a_newer_writer_is_read_once_its_schema_has_come_by() -> None:
    schema: Any = json.loads(schemas.published()[encode(e.Tick("s", "w"))[2:FRAME].hex()])
    schema["fields"].insert(1, {"name": "urgency", "type": "int"})
    canonical = json.dumps(schema, separators=(",", ":"))
    fingerprint = fingerprint_of(canonical)
    data = MAGIC + fingerprint + b"\x02s" + b"\x08" + b"\x02w"
    with pytest.raises(UnknownSchemaError):
        decode(data)
    schemas.add(fingerprint.hex(), canonical.encode())
    assert decode(data) == e.Tick("s", "w")


def test_the_head_of_a_newer_writers_change_is_read_by_its_own_schema() -> None:
    event = e.Marked("crm", "m")
    schema: Any = json.loads(schemas.published()[encode(event)[2:FRAME].hex()])
    schema["fields"].append({"name": "note", "type": "string"})
    canonical = json.dumps(schema, separators=(",", ":"))
    fingerprint = fingerprint_of(canonical)
    schemas.add(fingerprint.hex(), canonical.encode())
    data = MAGIC + fingerprint + encode_change(event, config=4)[FRAME:] + b"\x02n"
    assert head(data) == Head(4, "crm")
    assert decode(data) == event


@pytest.mark.parametrize("schema", [b"", b"[]", b"{}", b'"null"', b'{"type": "record", "name": "X"}', b"\xff"])
def test_what_is_no_schema_is_refused(schema: bytes) -> None:
    with pytest.raises(UndecodableError):
        schemas.add("0011223344556677", schema)


def test_a_kind_of_message_that_this_version_lacks_is_undecodable() -> None:
    canonical = '{"name":"tandem.Telepathy","type":"record","fields":[]}'
    fingerprint = fingerprint_of(canonical)
    schemas.add(fingerprint.hex(), canonical.encode())
    with pytest.raises(UndecodableError, match="this version"):
        decode(MAGIC + fingerprint)


# ---------------------------------------------------------------- the files


def test_every_message_has_a_schema_and_every_schema_a_use() -> None:
    assert set(own()) == {kind.__name__ for kind in KINDS}
    used = "".join(ours.canonical for ours in own().values())
    for file in FOLDER.iterdir():
        assert f'"{file.stem}"' in used, file.name


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in CHANGE_EVENTS])
def test_a_schema_has_the_fields_of_its_message(kind: type[msgspec.Struct]) -> None:
    schema: Any = load_schema(str(FOLDER / f"tandem.{kind.__name__}.avsc"))
    layout = {"shapes"} if kind in (e.Commands, e.Results) else set[str]()
    assert {field["name"] for field in schema["fields"]} - layout == {
        field.name for field in msgspec.structs.fields(kind)
    }


def test_the_fingerprint_is_the_one_of_the_avro_specification() -> None:
    assert fingerprint_of('"null"') == (0x63DD24E7CC258F8A).to_bytes(8, "little")
    assert encode(e.Clock())[:2] == b"\xc3\x01"
