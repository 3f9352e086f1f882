"""Which fields a sync names, and records of apps whose images hold no others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from rules.catalog import Capabilities, Object, Value
from rules.config import SyncConfig
from rules.events import Answer, Command, ReadRecords, Row
from rules.fields import named_fields
from rules.version import Version
from tests.rules.world import CUSTOMERS, MAPPING, PEOPLE, SYNC, App, World


def test_a_field_is_named_by_the_mapping_or_by_a_filter_however_deep() -> None:
    sync = SyncConfig.model_validate(
        {
            "between": {"crm": "people", "shop": "customers"},
            "default": "crm",
            "filters": {
                "crm": [
                    {"field": "a", "op": "is_empty"},
                    {"any": [{"field": "b", "op": "eq", "value": 1}, {"all": [{"field": "c", "op": "is_empty"}]}]},
                ]
            },
            "mapping": [
                {"crm": "email", "shop": "mail"},
                {"crm": "notes", "shop": "memo", "enabled": False},
                {"shop": "source", "value": "tandem"},
            ],
        }
    )
    assert named_fields(sync, "crm") == {"a", "b", "c", "email", "notes"}
    assert named_fields(sync, "shop") == {"mail", "memo", "source"}


def frugal(object: Object) -> Object:
    """An object of a connector that reads the fields that syncs name, and no others."""
    return msgspec.structs.replace(object, capabilities=Capabilities(whole=False))


class Frugal(App):
    """An app whose connector reads what is named, as the capture that is running knows it. Versions are those of records."""

    def __init__(self) -> None:
        super().__init__("crm", frugal(PEOPLE))
        self.named = named_fields(SyncConfig.model_validate(SYNC), "crm")
        self.versions: dict[str, Version] = {}

    def read(self, values: dict[str, Value]) -> dict[str, Value]:
        """What a connector makes of a record."""
        return {name: value for name, value in values.items() if name in self.named or name == "id"}

    def report(self, record_id: str, *args: Any, **more: Any) -> Version:
        version = self.versions[record_id] = super().report(record_id, *args, **more)
        object_name, row = self.log.pop()
        self.log.append((object_name, msgspec.structs.replace(row, values=self.read(row.values))))
        return version

    def page(self, ids: Iterable[str]) -> tuple[Row, ...]:
        return tuple(
            msgspec.structs.replace(row, values=self.read(row.values), version=self.versions[row.id])
            for row in super().page(ids)
        )

    def answer(self, command: Command) -> Answer:
        answer = super().answer(command)
        return answer if answer.values is None else msgspec.structs.replace(answer, values=self.read(answer.values))


def frugal_world() -> World:
    return World(Frugal(), App("shop", CUSTOMERS), syncs={"people": SYNC})


def test_a_record_with_all_that_is_named_is_whole() -> None:
    world = frugal_world().start()
    world.left.create(email="a@x.io", name="Ann", notes="private")
    world.take("crm")
    assert not [one for one in world.commands if isinstance(one, ReadRecords)]
    world.settle()
    assert [one["mail"] for one in world.right.records.values()] == ["a@x.io"]


@pytest.mark.parametrize("late", [False, True])
def test_a_field_that_is_named_from_now_on_is_read_before_it_is_merged(late: bool) -> None:
    world = frugal_world()
    world.left.create(email="a@x.io", name="Ann", notes="ours")
    world.left.create(email="b@x.io", name="Bob", notes=None)
    world.start()
    world.right.edit("1", memo="theirs")
    world.right.edit("2", memo="theirs")
    world.settle()
    assert isinstance(world.left, Frugal)
    if not late:
        world.left.named |= {"notes"}
    world.document["syncs"]["people"] = {**SYNC, "mapping": [*MAPPING, {"crm": "notes", "shop": "memo"}]}
    world.apply()
    while late and not any(isinstance(one, ReadRecords) for one in world.commands):
        # The full read is carried out by a capture that has not heard of the new rules yet.
        assert world.think() or world.deliver()
    world.left.named |= {"notes"}
    world.settle()
    assert [one["notes"] for one in world.left.records.values()] == ["ours", "theirs"]
    assert [one["memo"] for one in world.right.records.values()] == ["ours", "theirs"]
    assert world.syncs["people"].state == "live"
