"""What people do at the console, and what accounts suffer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rules.events import FieldsChanged
from tests.simulation.apps import Machine

if TYPE_CHECKING:
    from tests.simulation.world import Simulation

ACTS = {
    "restore": 7,
    "retry": 2,
    "resync": 2,
    "confirm": 2,
    "off": 2,
    "on": 2,
    "mark": 2,
    "add again": 2,
    "mapping": 2,
    "filter": 1,
    "policy": 1,
    "default": 1,
    "direction": 1,
}
TROUBLES = {
    "clock": 6,
    "down": 3,
    "up": 6,
    "throttled": 2,
    "silently down": 2,
    "log lost": 2,
    "forbidden": 1,
    "confused": 1,
    "a field is gone": 1,
    "a field is back": 2,
    "disk wiped": 1,
    "process ends": 4,
}


def act(world: Simulation) -> None:
    """Somebody works at the console."""
    name = world.chooser.pick(list(world.document["syncs"]))
    doing = world.chooser.weigh(ACTS)
    world.counts.meet(f"operator: {doing}")
    world.say("operator", doing, name)
    config = world.document["syncs"][name]
    match doing:
        case "restore":
            account = world.chooser.pick(list(config["between"]))
            world.order("restore", name, into=account)
            world.note_restore(name, account)
        case "retry" | "resync" | "confirm":
            world.order(doing, name)
        case "off" | "on":
            world.off = [one for one in world.off if one != name] + ([name] if doing == "off" else [])
            world.apply()
        case "mark":
            world.wait(name)
        case "add again":
            _add_again(world, name)
        case _:
            if _edit_rules(world, doing, name, config):
                world.edited.add(name)
                world.apply()


def _add_again(world: Simulation, name: str) -> None:
    """Deleted, and sooner or later the same again."""
    config = world.document["syncs"].pop(name)
    world.edited.add(name)
    world.apply()
    for _ in range(world.chooser.pick([0, 2, 10])):
        world.reconcile()
    world.document["syncs"][name] = config
    world.apply()


def _edit_rules(world: Simulation, what: str, name: str, config: dict[str, Any]) -> bool:
    """Other rules, from now on; whether there are any."""
    accounts = list(config["between"])
    match what:
        case "mapping":
            last = config["mapping"][-1]
            last["enabled"] = not last.get("enabled", True)
        case "filter":
            if "filters" in config:
                world.spare_filters[name] = config.pop("filters")
            elif name in world.spare_filters:
                config["filters"] = world.spare_filters.pop(name)
            else:
                return False
        case "policy":
            _edit_all(world, config, empty="propagate" if config["empty"] == "keep" else "keep")
        case "default":
            _edit_all(world, config, default=next(one for one in accounts if one != config["default"]))
        case "direction":
            widened = config["direction"] != "both"
            _edit_all(world, config, direction="both" if widened else f"to {world.chooser.pick(accounts)}")
        case _:
            raise AssertionError(what)
    return True


def _edit_all(world: Simulation, config: dict[str, Any], **policy: str) -> None:
    """Two syncs that write the same fields are given the same policy: else they would take turns."""
    for name, other in world.document["syncs"].items():
        if other is config or (other["between"] == config["between"] and _fields(other) & _fields(config)):
            other |= policy
            world.edited.add(name)
            world.bent.add(name)


def _fields(config: dict[str, Any]) -> set[str]:
    return {field for entry in config["mapping"] for field in map(str, entry.values())}


# ---------------------------------------------------------------- accounts


def suffer(world: Simulation) -> None:
    """An account goes down or comes up, loses its log, changes its fields; or time passes."""
    name = world.chooser.pick(list(world.accounts))
    account = world.accounts[name]
    doing = world.chooser.weigh(TROUBLES)
    world.counts.meet(f"trouble: {doing}")
    world.say("trouble", doing, name)
    match doing:
        case "clock":
            world.pass_time(world.chooser.pick([1, 20, 310, 700]))
        case "down" | "throttled":
            account.down = True
            world.deliveries[name].tell(up=False, throttled=doing == "throttled")
        case "up":
            account.down = False
            world.deliveries[name].tell(up=True)
        case "silently down":
            account.down = True
        case "log lost":
            if account.way != "scan":
                account.lose_log()
        case "forbidden" | "confused":
            world.refusing = True
            for machine in account.machines.values():
                setattr(machine, doing, not getattr(machine, doing))
        case "a field is gone" | "a field is back":
            change_fields(world, world.chooser.pick(list(account.machines.values())), broken=doing.endswith("gone"))
        case "disk wiped":
            for connection in world.connections.values():
                connection.wipe()
        case "process ends":
            account.restart()
            world.deliveries[name].restart([])
        case _:
            raise AssertionError(doing)


def change_fields(world: Simulation, machine: Machine, *, broken: bool) -> None:
    """A mapped field goes, or comes back; its values stay with the records, as the rules must not touch them meanwhile."""
    fields = tuple((field.name, field.type.native) for field in machine.object.fields)
    world.accounts[machine.account].log(
        FieldsChanged(machine.account, machine.object.name, fields[:2] + fields[3:] if broken else fields)
    )
    if broken:
        world.broken.add(machine.place("")[:2])
    else:
        world.broken.discard(machine.place("")[:2])
