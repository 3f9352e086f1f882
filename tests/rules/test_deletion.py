"""Section 6: a deletion is shown and not copied; who comes back, who takes the place."""

from __future__ import annotations

import msgspec
import pytest

from rules.catalog import Capabilities
from tests.rules.linked import SIDES, linked_pairs
from tests.rules.world import deals, people

# ---------------------------------------------------------------- kept


@SIDES
def test_a_deletion_is_not_copied_and_names_where_it_was(side: str) -> None:
    world = linked_pairs()
    app, other = (world.left, world.right) if side == "crm" else (world.right, world.left)
    app.delete("1")
    world.settle()
    row = world.of("crm", "1")
    assert (row.status, row.category) == ("failing", "deleted")
    assert f"{side}:1 was deleted in {side}" in (row.message or "")
    assert "restore people" in (row.remedy or "")
    assert list(other.records) == ["1"]


def test_edits_of_the_counterpart_are_remembered_and_go_with_the_restore() -> None:
    world = linked_pairs()
    world.right.delete("1")
    world.settle()
    world.left.edit("1", name="New", phone="7")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "deleted")
    world.order("restore", into="shop")
    world.settle()
    assert world.right.records["2"] == {
        "id": 2,
        "mail": "1@x.io",
        "full_name": "New",
        "tel": "7",
        "memo": "memo 1",
    }, "its last known whole, with what the counterpart has changed since on top"
    assert world.stands("crm", "1") == ("in_sync", None)


@pytest.mark.parametrize("first", ["crm", "shop"])
def test_deleted_on_both_sides_the_link_is_forgotten(first: str) -> None:
    world = linked_pairs()
    for app in (world.left, world.right) if first == "crm" else (world.right, world.left):
        app.delete("1")
        world.settle()
    assert world.rows() == {}
    world.clock(1000)
    world.clock(1000)
    assert not any(key[:1] in b"RL" for key in world.view.entries), "nothing is left in the state"


def test_an_unlinked_record_that_is_deleted_is_forgotten() -> None:
    world = people().start()
    world.left.create(name="no mail")
    world.settle()
    world.left.delete("1")
    world.settle()
    assert world.rows() == {}
    world.clock(1000)
    world.clock(1000)
    assert not any(key[:1] == b"R" for key in world.view.entries)


def test_deleted_while_its_create_is_on_its_way_shows_the_counterpart_that_came_of_it() -> None:
    world = people().start()
    world.left.create(email="a@x.io")
    world.take("crm")
    world.left.delete("1")
    world.take("crm")
    world.settle()
    assert world.stands("shop", "1") == ("failing", "deleted")


@pytest.mark.parametrize("op", ["create", "update"])
def test_deleted_while_a_command_that_is_refused_is_on_its_way_the_deletion_is_shown(op: str) -> None:
    world = people().start()
    world.right.refuse = lambda command, stored: (
        ("invalid_value", "too rude", "full_name") if "full_name" in command.values else None
    )
    world.left.create(email="a@x.io", name="Rude" if op == "create" else None)
    if op == "update":
        world.settle()
        world.left.edit("1", name="Rude")
    world.take("crm")
    world.left.delete("1")
    world.take("crm")
    world.settle()
    assert [row.category for row in world.rows().values()] == (["deleted"] if op == "update" else [])


@pytest.mark.parametrize("deletes", ["keep", "propagate"])
def test_made_and_deleted_before_anybody_has_seen_it_nothing_is_made_of_it(deletes: str) -> None:
    world = people(deletes=deletes).start()
    world.left.create(email="a@x.io")
    world.left.edit("1", name="Ann")
    world.left.delete("1")
    world.take("crm")
    assert not world.commands
    world.settle()
    assert (world.rows(), world.right.writes) == ({}, [])


def test_a_place_is_not_taken_by_a_record_that_is_made_and_deleted_at_once() -> None:
    world = linked_pairs()
    world.left.delete("1")
    world.left.create(email="1@x.io", name="Brief")
    world.left.delete("2")
    world.take("crm")
    world.settle()
    assert (world.stands("shop", "1"), world.right.records["1"]["full_name"]) == (("failing", "deleted"), "Ann 1")


def test_deleted_when_its_create_was_refused_it_is_forgotten() -> None:
    world = people().start()
    world.right.refuse = lambda command, stored: ("permission", "no", None)
    world.left.create(email="a@x.io")
    world.settle()
    world.left.delete("1")
    world.settle()
    assert world.rows() == {}


def test_deleted_while_its_refused_create_is_on_its_way_it_is_forgotten() -> None:
    world = people().start()
    world.right.refuse = lambda command, stored: ("permission", "no", None)
    world.left.create(email="a@x.io")
    world.take("crm")
    world.left.delete("1")
    world.take("crm")
    world.settle()
    assert world.rows() == {}


def test_a_write_that_finds_the_record_missing_shows_the_deletion_before_the_log_tells() -> None:
    world = linked_pairs()
    world.right.delete("1")
    world.left.edit("1", name="New")
    world.take("crm")
    world.deliver()
    world.think_all()
    assert world.stands("crm", "1") == ("failing", "deleted")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "deleted")


@SIDES
def test_a_record_that_comes_back_under_its_old_id_revives_its_link_and_is_merged_against_the_old_bases(
    side: str,
) -> None:
    world = linked_pairs()
    app, other = (world.left, world.right) if side == "crm" else (world.right, world.left)
    record = dict(app.records["1"])
    app.delete("1")
    world.settle()
    field, theirs = ("name", "full_name") if side == "crm" else ("full_name", "name")
    other.edit("1", **{theirs: "edited meanwhile"})
    world.settle()
    del record["id"]
    app.revive("1", **record)
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)
    assert app.records["1"][field] == "edited meanwhile", "it holds what the base says, so the other side has changed"


@SIDES
@pytest.mark.parametrize("together", [True, False])
def test_a_new_record_with_the_same_identifier_takes_the_link_over_and_is_merged_as_at_linking(
    side: str, together: bool
) -> None:
    world = linked_pairs(people(default="crm"))
    app = world.left if side == "crm" else world.right
    app.delete("1")
    if not together:
        world.settle()
    if side == "crm":
        app.create(email="1@X.io", name="Other", phone="7")
    else:
        app.create(mail="1@X.io", full_name="Other", tel="7")
    world.capture_all(side)
    world.settle()
    assert world.stands(side, "2") == ("in_sync", None)
    assert (len(world.left.records), len(world.right.records)) == (1, 1)
    names = {record["name"] for record in world.left.records.values()}
    names |= {record["full_name"] for record in world.right.records.values()}
    assert names == {"Other" if side == "crm" else "Ann 1"}, "the default side wins, as at linking"
    assert next(iter(world.left.records.values()))["phone"] == "7"


@pytest.mark.parametrize("end", ["missing", "echo"])
def test_a_record_that_was_kept_out_takes_the_place_also_when_a_command_was_on_its_way_to_the_one_before(
    end: str,
) -> None:
    world = people(direction="to shop")
    for name in ("linked", "free"):
        world.right.create(mail="a@x.io", full_name=name)
    world.left.create(email="a@x.io", name="Ann")
    world.start()
    world.left.edit("1", phone="1")
    world.take("crm")
    held = []
    if end == "echo":
        world.deliver()
        held = [world.inbox.popleft()]
    world.right.delete("1")
    world.take("shop")
    world.inbox.extend(held)
    world.settle()
    assert world.stands("shop", "2") == ("in_sync", None)
    assert world.right.records["2"]["tel"] == "1"


def test_a_record_that_was_kept_out_takes_the_place_also_when_the_command_waited_for_the_account() -> None:
    world = linked_pairs(people(direction="to shop"))
    world.right.create(mail="1@x.io", full_name="twin")
    world.settle()
    world.left.edit("1", name="New")
    world.take("crm")
    world.right.delete("1")
    world.take("shop")
    world.right.down = True
    world.settle()
    world.account("shop", up=True)
    world.settle()
    world.clock()
    assert world.of("crm", "1").sides["shop"].id == "2"
    assert world.right.records["2"]["full_name"] == "New"


@pytest.mark.parametrize("order", ["oldest", "youngest"])
def test_a_record_that_was_kept_out_takes_the_place_of_a_twin_that_is_deleted(order: str) -> None:
    world = people(direction="to shop")
    for name in ("linked", "older", "younger"):
        world.right.create(mail="a@x.io", full_name=name)
    world.left.create(email="a@x.io", name="Ann")
    world.start()
    assert world.stands("shop", "2") == world.stands("shop", "3") == ("excluded", "direction")
    if order == "youngest":
        world.right.delete("2")
    world.right.delete("1")
    world.settle()
    taken = "2" if order == "oldest" else "3"
    assert world.stands("shop", taken) == ("in_sync", None)
    before = world.written()
    world.order("resync")
    world.settle()
    assert world.written() == before


def test_a_record_whose_counterpart_is_gone_and_that_gets_the_identifier_of_another_is_linked_to_that() -> None:
    world = people(direction="to shop")
    world.left.create(email="a@x.io", name="Ann")
    world.right.create(mail="b@x.io", full_name="Bob")
    world.start()
    world.right.delete("2")
    world.settle()
    world.left.edit("1", email="b@x.io")
    world.settle()
    assert world.stands("shop", "1") == world.stands("crm", "1") == ("in_sync", None)


def test_a_record_that_could_not_be_created_and_gets_the_identifier_of_another_is_linked_to_that() -> None:
    world = people(direction="to shop")
    world.right.finds = False
    world.right.refuse = lambda command, stored: ("permission", "no", None) if command.op == "create" else None
    world.left.create(email="a@x.io", name="Ann")
    world.right.create(mail="b@x.io", full_name="Bob")
    world.start()
    world.left.edit("1", email="b@x.io")
    world.settle()
    assert world.stands("shop", "1") == world.stands("crm", "1") == ("in_sync", None)
    assert len(world.right.records) == 1


def test_what_was_on_its_way_for_the_record_before_is_no_base_of_the_one_that_takes_over() -> None:
    world = linked_pairs(people(default="shop"))
    world.left.edit("1", name="written")
    world.take("crm")
    world.left.delete("1")
    world.left.create(email="1@x.io", name="other")
    world.take("crm")
    world.settle()
    assert world.right.records["1"]["full_name"] == "written"
    assert world.left.records["2"]["name"] == "written", "as at linking the default side wins"


@pytest.mark.parametrize("capture", ["log", "watermark"])
def test_a_log_that_is_told_once_more_after_a_long_time_brings_nothing_back(capture: str) -> None:
    world = people()
    for app in (world.left, world.right):
        app.object = msgspec.structs.replace(app.object, capabilities=Capabilities(capture=capture))
    world.start()
    world.left.create(email="1@x.io")
    world.capture_all("crm")
    again = world.inbox[0]
    world.settle()
    for app in (world.left, world.right):
        app.delete("1")
    world.settle()
    world.clock(1000)
    world.clock(1000)
    assert not any(key[:1] == b"R" for key in world.view.entries)
    written = world.written()
    world.inbox.append(again)
    world.settle()
    assert (world.written() == written) is (capture == "log"), "other captures may tell of a new record late"


def test_a_record_whose_counterpart_is_only_missed_keeps_its_link_though_another_lacks_its_like() -> None:
    world = linked_pairs(count=2)
    world.left.delete("2")
    world.settle()
    world.right.renumber("1", "9")
    world.left.edit("1", email="2@x.io")
    world.take("crm")
    world.deliver()
    world.think_all()
    assert world.stands("crm", "1") == ("failing", "deleted")
    world.settle()
    assert world.of("crm", "1").sides["shop"].id == "9"
    assert world.stands("shop", "2") == ("failing", "deleted")
    assert len(world.left.records) == 1


@pytest.mark.parametrize("gone", [True, False])
def test_a_pair_of_which_only_a_write_has_missed_a_record_is_not_forgotten_when_the_other_is_deleted(
    gone: bool,
) -> None:
    world = linked_pairs()
    world.right.renumber("1", "50")
    world.left.edit("1", name="Anna")
    world.take("crm")
    world.deliver()
    world.left.delete("1")
    world.take("crm")
    if gone:
        world.right.delete("50")
    world.settle()
    assert not world.left.records
    if gone:
        assert not world.rows()
        assert not any(world.view.scan(b"L"))
    else:
        assert world.stands("shop", "50") == ("failing", "deleted")


def test_a_duplicate_of_a_record_that_is_merged_away_is_free_when_its_survivor_no_longer_stands_in_its_way() -> None:
    world = people(filters={"shop": [{"field": "memo", "op": "is_empty"}]})
    world.left.create(email="a@x.io", name="Ann")
    world.start()
    world.right.create(full_name="survivor", memo="out")
    world.right.create(mail="a@x.io", full_name="twin")
    world.settle()
    assert world.stands("shop", "3") == ("failing", "duplicate")
    world.left.edit("1", name="Anna")
    world.take("crm")
    world.right.merge("1", "2")
    world.deliver()
    world.think_all()
    world.settle()
    assert world.of("crm", "1").sides["shop"].id == "2"
    world.left.edit("1", email="other@x.io")
    world.settle()
    assert world.stands("shop", "3") == ("in_sync", None)


def test_a_pair_of_which_both_records_are_merged_away_is_forgotten_though_a_write_missed_one_before() -> None:
    world = linked_pairs(count=2)
    world.right.edit("1", tel="1")
    world.take("shop")
    world.left.merge("1", "2")
    world.deliver()
    world.think_all()
    world.right.merge("1", "2")
    world.take("shop")
    world.settle()
    assert [sorted(side.id for side in row.sides.values()) for row in world.rows().values()] == [["2", "2"]]


# ---------------------------------------------------------------- without identifiers


def test_a_restored_deal_is_not_copied_back() -> None:
    world = linked_pairs(deals())
    world.right.delete("1")
    world.settle()
    world.order("restore", into="shop")
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (1, 1)


@pytest.mark.parametrize("identifier", [True, False])
def test_a_record_that_comes_back_while_it_is_being_restored_keeps_its_link_and_its_double_is_shown(
    identifier: bool,
) -> None:
    world = linked_pairs(people() if identifier else deals())
    record = dict(world.right.records["1"])
    world.right.delete("1")
    world.settle()
    world.order("restore", into="shop")
    world.think_all()
    del record["id"]
    world.right.revive("1", **record)
    world.right.finds = False
    world.deliver()  # restored under the id 2; the answer is on its way
    world.capture_all("shop")
    world.inbox.rotate(1)
    world.settle()
    assert world.stands("shop", "1") == ("in_sync", None)
    assert world.stands("shop", "2") == ("failing", "duplicate")
    world.right.edit("2", memo="edited")
    world.settle()
    assert world.stands("shop", "2") == ("failing", "duplicate")
    assert len(world.left.records) == 1
