"""Several connections that share an account, and two syncs on one pair: each change arrives everywhere once, and it comes to rest."""

from __future__ import annotations

from collections.abc import Mapping

from tests.simulation import people
from tests.simulation.apps import Machine
from tests.simulation.chooser import Simplest
from tests.simulation.counts import Counts
from tests.simulation.draw import Config
from tests.simulation.run import Referee
from tests.simulation.world import Simulation

A_HUB = 0.12  # the probability with which `Draw` takes one


class _Chooser(Simplest):
    """The plainest of everything, but that."""

    def __init__(self, of: float, more: str = "") -> None:
        self._of, self._more = of, more

    def chance(self, probability: float) -> bool:
        return probability == self._of

    def weigh(self, weights: Mapping[str, int]) -> str:
        return self._more if self._more in weights else super().weigh(weights)


def _world(chooser: _Chooser) -> tuple[Simulation, Referee]:
    world = Simulation(chooser, Counts())
    referee = Referee(world)
    world.begin()
    referee.rest()
    return world, referee


def _create(world: Simulation, machine: Machine, **values: str) -> str:
    record_id = machine.create(**values)
    people.tell(world, machine, "create", record_id, {})
    return record_id


def _held(machine: Machine, field: str) -> list[object]:
    return [record[field] for record in machine.records.values()]


def test_a_change_of_one_spoke_reaches_the_others_through_the_hub_once_each() -> None:
    world, referee = _world(_Chooser(A_HUB))
    hub, first, second, third = (next(iter(account.machines.values())) for account in world.accounts.values())
    _create(world, first, mail="ann@x.io", full_name="Ann", memo="m")
    referee.rest()
    assert [_held(one, "full_name") for one in (first, second, third)] == [["Ann"]] * 3
    assert _held(hub, "name") == ["Ann"]
    assert [len(one.writes) for one in (hub, first, second, third)] == [1, 0, 1, 1]
    people.write(world, second, next(iter(second.records)), {"full_name": "Anna"})
    referee.rest()
    assert [_held(one, "full_name") for one in (first, second, third)] == [["Anna"]] * 3
    assert [len(one.writes) for one in (hub, first, second, third)] == [2, 1, 1, 2]
    written = world.written()
    referee.rest()
    assert world.written() == written


def test_two_syncs_on_one_pair_each_carry_the_records_of_their_region_once() -> None:
    world, referee = _world(_Chooser(-1.0, "regions"))
    crm, shop = (next(iter(account.machines.values())) for account in world.accounts.values())
    syncs: dict[str, Config] = world.document["syncs"]
    assert set(syncs) == {"people", "others"}
    _create(world, crm, email="ann@x.io", name="Ann", notes="n1")
    _create(world, crm, email="bob@x.io", name="Bob", notes="n2")
    _create(world, shop, mail="cid@x.io", full_name="Cid", memo="n2")
    _create(world, crm, email="dan@x.io", name="Dan", notes="neither")
    referee.rest()
    assert sorted(map(str, _held(shop, "full_name"))) == ["Ann", "Bob", "Cid"]
    assert sorted(map(str, _held(crm, "name"))) == ["Ann", "Bob", "Cid", "Dan"]
    bob = next(one for one, record in crm.records.items() if record["name"] == "Bob")
    people.write(
        world, crm, bob, {"notes": "n1", "name": "Bobby"}
    )  # it moves to the other region: one pair, in both syncs
    referee.rest()
    assert sorted(map(str, _held(shop, "full_name"))) == ["Ann", "Bobby", "Cid"]
    written = world.written()
    referee.rest()
    assert world.written() == written
