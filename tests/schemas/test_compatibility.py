"""Every released version and this one read each other's messages (`schemas/released`, written by `python -m
schemas`)."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import to_parsing_canonical_form
from hypothesis import given, settings

import schemas
from schemas import decode, encode
from schemas.datums import pack
from schemas.registry import FRAME, MAGIC, RELEASED, fingerprint_of, own, record_name
from tests.schemas.messages import MESSAGES

VERSIONS = sorted(folder.name for folder in RELEASED.iterdir())


def released(version: str, name: str) -> Any:
    """The schema of a message in a released version; None: it did not have the message."""
    file = RELEASED / version / f"{name}.json"
    return parse_schema(json.loads(file.read_text())) if file.exists() else None


def test_there_is_a_released_version() -> None:
    assert VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
@given(message=MESSAGES)
@settings(max_examples=100)
def test_this_version_reads_what_a_released_one_wrote(version: str, message: Any) -> None:
    schema = released(version, record_name(type(message)))
    if schema is None:
        return
    # The released version wrote the fields that it had; all of today's messages without the newer ones are such.
    canonical = to_parsing_canonical_form(schema)
    schemas.add(fingerprint_of(canonical).hex(), canonical.encode())
    out = BytesIO(MAGIC + fingerprint_of(canonical))
    out.seek(FRAME)
    schemaless_writer(out, schema, pack(message))
    found = decode(out.getvalue())
    assert type(found) is type(message)
    if encode(message)[:FRAME] == out.getvalue()[:FRAME]:
        assert found == message


@pytest.mark.parametrize("version", VERSIONS)
@given(message=MESSAGES)
@settings(max_examples=100)
def test_a_released_version_reads_what_this_one_writes(version: str, message: Any) -> None:
    name = record_name(type(message))
    schema = released(version, name)
    if schema is None:
        return
    ours = own()[name].schema
    found: Any = schemaless_reader(BytesIO(encode(message)[FRAME:]), ours, schema)
    mine: Any = schemaless_reader(BytesIO(encode(message)[FRAME:]), ours, None)
    assert found == _as_far_as(found, mine)


def _as_far_as(found: Any, mine: Any) -> Any:
    """Of what this version reads, what the released one knows of; fields that it alone has, as it found them."""
    if isinstance(found, dict) and isinstance(mine, dict):
        return {key: _as_far_as(found[key], mine.get(key, found[key])) for key in found}
    if isinstance(found, list) and isinstance(mine, list):
        assert len(found) == len(mine)
        return [_as_far_as(one, other) for one, other in zip(found, mine, strict=True)]
    return mine


@pytest.mark.parametrize(
    ("change", "breaks"),
    [
        (lambda fields: fields.append({"name": "new", "type": "string"}), True),
        (lambda fields: fields.append({"name": "new", "type": "string", "default": ""}), False),
        (lambda fields: fields.pop(), True),
        (lambda fields: fields[0].update(type="long"), True),
    ],
)
def test_a_change_that_breaks_an_older_or_a_newer_version_is_noticed(change: Any, breaks: bool) -> None:
    """The check itself: what it would say of changes to Tick."""
    mine: Any = json.loads(json.dumps(own()["Tick"].schema))
    mine.pop("__fastavro_parsed__", None)
    mine.pop("__named_schemas__", None)
    changed = json.loads(json.dumps(mine))
    change(changed["fields"])
    datum = {"sync": "s", "work": "w", "new": "x"}
    failed = False
    for writer, reader in ((mine, changed), (changed, mine)):
        out = BytesIO()
        try:
            schemaless_writer(out, parse_schema(writer), datum)
            schemaless_reader(BytesIO(out.getvalue()), parse_schema(writer), parse_schema(reader))
        except Exception:  # noqa: BLE001 - whatever fastavro says: it cannot
            failed = True
    assert failed is breaks


def test_a_release_holds_every_message() -> None:
    assert {file.stem for file in (RELEASED / VERSIONS[-1]).iterdir()} <= set(own())
