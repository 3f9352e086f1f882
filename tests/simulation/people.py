"""What people do in the apps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rules.catalog import Value
from rules.events import Truncated
from tests.simulation.apps import Machine
from tests.simulation.deeds import Deed
from tests.simulation.objects import FREE, POOLS

if TYPE_CHECKING:
    from tests.simulation.world import Simulation

ACTS = {
    "edit": 200,
    "create": 80,
    "delete": 40,
    "revive": 14,
    "renumber": 14,
    "merge": 16,
    "replace": 8,
    "agree": 16,
    "truncate": 1,
}
MOST = 12  # records in an object: more are not made
IN_ORDER = (
    "renumber",
    "merge",
    "truncate",
)  # what a full scan cannot tell from deletions, and people leave alone there


def act(world: Simulation) -> bool:
    """Somebody works in an app; whether that came to anything."""
    machine = world.chooser.pick(world.machines)
    doing = world.chooser.weigh(ACTS)
    if (doing not in ("create", "revive") and not machine.records) or (machine.unlogged and doing in IN_ORDER):
        return False
    if not _DO[doing](world, machine):
        return False
    world.counts.meet(f"person: {doing}")
    world.say("person", *world.deeds[-1][1:5])
    return True


def some_record(world: Simulation, machine: Machine) -> str:
    """One of its records."""
    return world.chooser.pick(list(machine.records))


def values_of(world: Simulation, machine: Machine, fields: list[str]) -> dict[str, Value]:
    """What somebody might write into the fields."""
    values: dict[str, Value] = {}
    for field in fields:
        if field in FREE and world.chooser.chance(0.6):
            world.words += 1
            values[field] = f"w{world.words}"
        else:
            values[field] = world.chooser.pick(POOLS[field])
    return values


def fields_of(machine: Machine) -> list[str]:
    """The fields that people write."""
    return [field.name for field in machine.object.fields if not field.read_only]


def allowed(machine: Machine, record_id: str, values: dict[str, Value]) -> bool:
    """Whether the app's own rules let a person do it."""
    kept = machine.stored_form(values)
    for field in machine.object.fields:
        if field.name in kept and not kept[field.name] and (field.required or not field.nullable):
            return False
    return not any(
        kept.get(field) is not None and other != record_id and record.get(field) == kept[field]
        for field in machine.unique
        for other, record in machine.records.items()
    )


def tell(world: Simulation, machine: Machine, what: str, record_id: str, before: dict[str, Value], **more: Any) -> None:
    """Notes what a person has done."""
    stands = machine.records.get(record_id, {})
    written = {field: stands.get(field) for field in more.pop("fields", stands)}
    other = machine.place(more["other"]) if "other" in more else None
    world.deeds.append(Deed("", what, machine.place(record_id), written, before, other))


# ---------------------------------------------------------------- the acts


def edit(world: Simulation, machine: Machine, record_id: str | None = None) -> bool:
    """Sets one field, or two."""
    record_id = some_record(world, machine) if record_id is None else record_id
    fields = fields_of(machine)
    chosen = [world.chooser.pick(fields) for _ in range(world.chooser.pick([1, 1, 2]))]
    values = values_of(world, machine, list(dict.fromkeys(chosen)))
    return write(world, machine, record_id, values)


def write(world: Simulation, machine: Machine, record_id: str, values: dict[str, Value]) -> bool:
    """A person writes these values, if the app lets them."""
    if not allowed(machine, record_id, values):
        return False
    before = dict(machine.records[record_id])
    machine.edit(record_id, **values)
    tell(world, machine, "edit", record_id, before, fields=list(values))
    return True


def _create(world: Simulation, machine: Machine) -> bool:
    values = values_of(world, machine, fields_of(machine))
    if len(machine.records) >= MOST or not allowed(machine, "", values):
        return False
    tell(world, machine, "create", machine.create(**values), {})
    return True


def _delete(world: Simulation, machine: Machine) -> bool:
    record_id = some_record(world, machine)
    before = dict(machine.records[record_id])
    machine.delete(record_id)
    tell(world, machine, "delete", record_id, before)
    return True


def _revive(world: Simulation, machine: Machine) -> bool:
    """An id that was given up for another is not used again: an answer could tell of its new record before the log tells of that."""
    gone = {str(number) for number in range(1, machine.next_id)} - machine.records.keys() - machine.given_up
    values = values_of(world, machine, fields_of(machine))
    if not gone or len(machine.records) >= MOST or not allowed(machine, "", values):
        return False
    record_id = world.chooser.pick(sorted(gone))
    machine.forget_source(record_id)
    machine.revive(record_id, **values)
    tell(world, machine, "revive", record_id, {})
    return True


def _renumber(world: Simulation, machine: Machine) -> bool:
    old_id, new_id = some_record(world, machine), str(machine.next_id)
    before = dict(machine.records[old_id])
    machine.next_id += 1
    machine.renumber(old_id, new_id)
    machine.move_memory(old_id, new_id)
    tell(world, machine, "renumber", old_id, before, other=new_id)
    return True


def _merge(world: Simulation, machine: Machine) -> bool:
    loser, survivor = some_record(world, machine), some_record(world, machine)
    if loser == survivor:
        return False
    before = dict(machine.records[loser])
    machine.merge(loser, survivor)
    tell(world, machine, "merge", loser, before, other=survivor)
    return True


def _replace(world: Simulation, machine: Machine) -> bool:
    """Deletes a record and makes it anew, in one transaction."""
    record_id = some_record(world, machine)
    before = dict(machine.records[record_id])
    machine.delete(record_id)
    tell(world, machine, "delete", record_id, before)
    values = {field: value for field, value in before.items() if field != "id"}
    tell(world, machine, "create", machine.create(**values), {})
    return True


def _agree(world: Simulation, machine: Machine) -> bool:
    """Writes what a record of the other side holds: both sides come to the same by themselves."""
    others = [other for other in machine.opposite if other.records]
    if not others:
        return False
    other = world.chooser.pick(others)
    theirs = other.records[some_record(world, other)]
    sync = next((one for one in world.syncs_between(machine, other) if one["mapping"]), None)
    if sync is None:
        return False
    pairs = [
        (entry[machine.account], entry[other.account])
        for entry in sync["mapping"]
        if machine.account in entry and other.account in entry and "association" not in entry and "values" not in entry
    ]
    mine, field = world.chooser.pick(pairs)
    if mine in ("staff", "size"):
        return False
    return write(world, machine, some_record(world, machine), {mine: theirs.get(field)})


def _truncate(world: Simulation, machine: Machine) -> bool:
    for record_id, record in list(machine.records.items()):
        del machine.records[record_id]
        tell(world, machine, "delete", record_id, record)
    machine.journal.tick += 1
    world.accounts[machine.account].log(Truncated(machine.account, machine.object.name))
    return True


_DO = {
    "edit": edit,
    "create": _create,
    "delete": _delete,
    "revive": _revive,
    "renumber": _renumber,
    "merge": _merge,
    "replace": _replace,
    "agree": _agree,
    "truncate": _truncate,
}
