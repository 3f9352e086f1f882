"""Section 6: deletion, restore, merge."""

from __future__ import annotations

import msgspec
import pytest

from rules.catalog import Capabilities
from rules.events import Captured, Row, Truncated
from rules.version import Version
from tests.rules.world import CUSTOMERS, World, changed, deals, people


def linked(world: World | None = None, count: int = 1) -> World:
    """Records on both sides, in sync."""
    world = world or people()
    for number in range(1, count + 1):
        world.left.create(email=f"{number}@x.io", name=f"Ann {number}", notes=f"note {number}")
    world.start()
    for number in range(1, count + 1):
        world.right.edit(str(number), memo=f"memo {number}")
    return world.settle()


SIDES = pytest.mark.parametrize("side", ["crm", "shop"])


# ---------------------------------------------------------------- kept


@SIDES
def test_a_deletion_is_not_copied_and_names_where_it_was(side: str) -> None:
    world = linked()
    app, other = (world.left, world.right) if side == "crm" else (world.right, world.left)
    app.delete("1")
    world.settle()
    row = world.of("crm", "1")
    assert (row.status, row.category) == ("failing", "deleted")
    assert f"{side}:1 was deleted in {side}" in (row.message or "")
    assert "restore people" in (row.remedy or "")
    assert list(other.records) == ["1"]


def test_edits_of_the_counterpart_are_remembered_and_go_with_the_restore() -> None:
    world = linked()
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
    world = linked()
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
    world = linked()
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
    world = linked()
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
    world = linked()
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
    world = linked(people(default="crm"))
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
    world = linked(people(direction="to shop"))
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
    world = linked(people(default="shop"))
    world.left.edit("1", name="written")
    world.take("crm")
    world.left.delete("1")
    world.left.create(email="1@x.io", name="other")
    world.take("crm")
    world.settle()
    assert world.right.records["1"]["full_name"] == "written"
    assert world.left.records["2"]["name"] == "written", "as at linking the default side wins"


@SIDES
def test_a_changed_id_keeps_the_link(side: str) -> None:
    world = linked()
    app, other = (world.left, world.right) if side == "crm" else (world.right, world.left)
    app.renumber("1", "50")
    world.settle()
    assert world.stands(side, "50") == ("in_sync", None)
    assert len(world.rows()) == 1
    field, theirs = ("name", "full_name") if side == "crm" else ("full_name", "name")
    app.edit("50", **{field: "A"})
    world.settle()
    assert other.records["1"][theirs] == "A"
    other.edit("1", **{theirs: "B"})
    world.settle()
    assert app.records["50"][field] == "B"
    assert (len(world.left.records), len(world.right.records)) == (1, 1)


def test_a_change_from_before_its_id_was_changed_comes_again_and_brings_nothing_back() -> None:
    world = linked()
    world.left.edit("1", phone="7")
    again = world.left.log[0][1]
    world.left.renumber("1", "50")
    world.settle()
    world.inbox.append(Captured("crm", "contacts", (again,)))
    world.settle()
    assert len(world.rows()) == len(world.right.records) == 1


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


def test_an_id_changed_while_a_command_is_on_its_way_loses_nothing() -> None:
    world = linked()
    world.left.edit("1", name="New")
    world.take("crm")
    world.right.renumber("1", "50")
    world.deliver()  # it meets no record 1
    world.settle()
    assert world.stands("shop", "50") == ("in_sync", None)
    assert world.right.records["50"]["full_name"] == "New"


def test_an_id_changed_just_before_a_full_read_that_tells_of_it_first_keeps_the_link() -> None:
    world = linked()
    world.left.renumber("1", "50")
    world.order("resync")
    world.think_all()
    while world.deliver():
        pass
    world.think()
    world.capture_all("crm")
    world.inbox.rotate(1)  # between the pages and what follows from them
    world.settle()
    assert world.stands("crm", "50") == ("in_sync", None)
    assert len(world.rows()) == 1


def test_an_id_changed_while_a_command_is_on_its_way_and_told_by_a_read_first_keeps_the_link() -> None:
    world = linked()
    world.left.edit("1", name="New")
    world.take("crm")
    world.right.renumber("1", "50")
    world.deliver()
    world.think_all()
    assert world.stands("crm", "1") == ("failing", "deleted")
    world.inbox.append(Captured("shop", "customers", world.right.page(["50"])))
    world.think_all()
    world.settle()
    assert world.stands("shop", "50") == ("in_sync", None)
    assert len(world.rows()) == 1


def test_an_id_changed_before_the_old_one_was_looked_for_in_vain_keeps_the_link() -> None:
    world = deals()
    world.left.create(name="Ann")
    world.start()
    world.right.renumber("1", "50")
    world.inbox.append(Captured("shop", "customers", (Row("1", {}, world.right.version(), "delete"),)))
    world.think_all()
    assert world.stands("crm", "1") == ("failing", "deleted")
    world.settle()
    assert world.of("crm", "1").sides["shop"].id == "50"
    assert len(world.rows()) == len(world.left.records) == 1
    world.right.edit("50", full_name="B")
    world.settle()
    assert world.left.records["1"]["name"] == "B"


@pytest.mark.parametrize("capture", ["log", "token"])
def test_an_id_changed_while_a_command_is_on_its_way_is_taken_for_a_deletion_by_nobody(capture: str) -> None:
    world = people()
    world.right.object = msgspec.structs.replace(CUSTOMERS, capabilities=Capabilities(capture=capture))
    linked(world)
    world.right.create(mail="2@x.io", full_name="Bob")
    world.settle()
    world.left.delete("2")
    world.left.edit("1", email="2@x.io")
    world.take("crm")
    world.right.renumber("1", "50")
    world.deliver()
    world.think_all()
    world.left.create(email="1@x.io")
    world.settle()
    assert world.of("crm", "1").sides["shop"].id == "50"


def test_a_record_whose_counterpart_is_only_missed_keeps_its_link_though_another_lacks_its_like() -> None:
    world = linked(count=2)
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
    world = linked()
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
    world = linked(count=2)
    world.right.edit("1", tel="1")
    world.take("shop")
    world.left.merge("1", "2")
    world.deliver()
    world.think_all()
    world.right.merge("1", "2")
    world.take("shop")
    world.settle()
    assert [sorted(side.id for side in row.sides.values()) for row in world.rows().values()] == [["2", "2"]]


def test_an_id_that_was_used_before_by_a_forgotten_record_is_taken_for_what_it_is() -> None:
    world = linked(count=2)
    for app in (world.left, world.right):
        app.delete("2")
        world.settle()
    world.left.renumber("1", "2")
    world.settle()
    assert world.stands("crm", "2") == ("in_sync", None)
    assert len(world.rows()) == 1


def test_two_records_that_exchange_their_ids_keep_their_links() -> None:
    world = linked(count=2)
    world.left.renumber("1", "9")
    world.left.renumber("2", "1")
    world.left.renumber("9", "2")
    world.take("crm")
    world.settle()
    assert world.written() == 2
    assert {row.sides["crm"].id: row.sides["shop"].id for row in world.rows().values()} == {"2": "1", "1": "2"}


def test_a_record_made_under_the_id_that_another_gave_up_is_shown_beside_it() -> None:
    world = linked()
    world.left.renumber("1", "50")
    world.settle()
    world.left.revive("1", name="no mail")
    world.settle()
    assert world.stands("crm", "50") == ("in_sync", None)
    assert world.stands("crm", "1") == ("excluded", "no_identifier")
    world.left.delete("50")
    world.settle()
    world.right.delete("1")
    world.settle()
    assert len(world.rows()) == 1
    world.left.edit("1", name="still no mail")
    world.settle()
    assert world.stands("crm", "1") == ("excluded", "no_identifier")
    world.left.edit("1", email="a@x.io")
    world.settle()
    assert list(world.rows()) == ["crm:1"]


# ---------------------------------------------------------------- restore


@SIDES
def test_restore_creates_one_record_anew_from_its_last_known_whole(side: str) -> None:
    world = linked(count=2)
    app, extra = (world.left, "notes") if side == "crm" else (world.right, "memo")
    before = dict(app.records["1"])
    app.delete("1")
    app.delete("2")
    world.settle()
    world.order("restore", records=(f"{side}:1",), into=side)
    world.settle()
    assert app.records == {"3": {**before, "id": 3}}
    assert app.records["3"][extra], "also what no mapping names"
    assert world.stands(side, "3") == ("in_sync", None)
    assert world.stands(side, "2") == ("failing", "deleted")


@SIDES
def test_restore_of_all_creates_each_once_however_often_it_is_asked(side: str) -> None:
    world = linked(count=5)
    app = world.left if side == "crm" else world.right
    for number in ("1", "2", "3"):
        app.delete(number)
    world.settle()
    for _ in range(3):
        world.order("restore", into=side)
        world.think()
    world.settle()
    world.order("restore", into=side)
    world.settle()
    assert len(app.records) == 5
    assert {row.status for row in world.rows().values()} == {"in_sync"}


def test_an_edit_that_had_not_travelled_before_the_deletion_travels_after_the_restore() -> None:
    world = linked()
    world.left.edit("1", phone="unseen")
    world.left.delete("1")
    world.take("crm")
    world.commands.clear()
    world.clock(301)
    world.order("restore", into="crm")
    world.settle()
    assert world.left.records["2"]["phone"] == "unseen"
    assert world.right.records["1"]["tel"] == "unseen"


def test_restore_named_by_its_counterpart_does_the_same() -> None:
    world = linked()
    world.right.delete("1")
    world.settle()
    world.order("restore", records=("crm:1",), into="shop")
    world.settle()
    assert list(world.right.records) == ["2"]


@pytest.mark.parametrize("lost", ["command", "answer"])
def test_restore_interrupted_makes_one_record(lost: str) -> None:
    world = linked()
    world.right.delete("1")
    world.settle()
    world.order("restore", into="shop")
    world.think_all()
    if lost == "command":
        world.commands.clear()
    else:
        world.deliver()
        world.inbox.clear()
    world.order("restore", into="shop")
    world.clock(301)
    assert len(world.right.records) == 1
    assert world.stands("crm", "1") == ("in_sync", None)


def test_restore_that_meets_an_unlinked_record_with_the_identifier_links_it_instead() -> None:
    world = linked()
    world.right.delete("1")
    world.settle()
    world.order("restore", into="shop")
    world.think_all()
    world.right.create(mail="1@x.io", full_name="There")
    world.settle()
    assert list(world.right.records) == ["2"]
    assert world.stands("shop", "2") == ("in_sync", None)
    assert world.right.records["2"]["full_name"] == "Ann 1", "merged as at linking: the default side wins"


def test_what_comes_back_after_a_restore_has_met_another_record_is_shown_beside_that() -> None:
    world = linked()
    world.right.delete("1")
    world.settle()
    world.order("restore", into="shop")
    world.think_all()
    world.right.create(mail="1@x.io", full_name="There")
    world.settle()
    world.right.revive("1", mail="1@x.io", full_name="Old")
    world.settle()
    assert world.stands("shop", "1") == ("failing", "duplicate")
    assert world.stands("shop", "2") == ("in_sync", None)
    assert world.right.records["2"]["full_name"] == "Ann 1"


def test_restore_into_the_source_of_a_one_way_sync_is_refused() -> None:
    world = linked(people(direction="to shop"))
    world.left.delete("1")
    world.settle()
    world.order("restore", into="crm")
    world.settle()
    assert not world.left.records
    assert world.stands("shop", "1") == ("failing", "deleted")
    assert any(row.action == "refused" for row in world.history)


def test_a_record_deleted_again_after_it_was_restored_is_restored_again() -> None:
    world = linked()
    for number in ("1", "2"):
        world.right.delete(number)
        world.settle()
        world.order("restore", into="shop")
        world.settle()
    assert list(world.right.records) == ["3"]
    assert len(world.rows()) == 1


def test_the_counterpart_deleted_while_it_is_restored_leaves_one_record() -> None:
    world = linked()
    world.right.delete("1")
    world.settle()
    world.order("restore", into="shop")
    world.think_all()
    world.left.delete("1")
    world.take("crm")
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (0, 1)
    assert world.stands("shop", "2") == ("failing", "deleted")


def test_a_restore_that_was_refused_and_may_no_longer_be_done_leaves_the_record_deleted() -> None:
    world = linked()
    world.right.delete("1")
    world.settle()
    world.right.refuse = lambda command, stored: ("permission", "no", None)
    world.order("restore", into="shop")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "permission")
    world.edit_rules(direction="to crm")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "deleted")


def test_a_restore_that_is_refused_shows_why_and_goes_on_when_it_can() -> None:
    world = linked()
    world.right.delete("1")
    world.settle()
    world.right.refuse = lambda command, stored: ("permission", "no", None)
    world.order("restore", into="shop")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "permission")
    world.right.refuse = lambda command, stored: None
    world.order("retry")
    world.settle()
    assert len(world.right.records) == 1
    assert world.stands("crm", "1") == ("in_sync", None)


def test_a_value_that_is_refused_at_restoring_is_left_out_and_shown() -> None:
    world = linked()
    world.right.delete("1")
    world.settle()
    world.right.refuse = lambda command, stored: (
        ("invalid_value", "no", "full_name") if "full_name" in command.values else None
    )
    world.order("restore", into="shop")
    world.settle()
    assert world.right.records["2"]["full_name"] is None
    assert world.stands("crm", "1") == ("failing", "invalid_value")


def test_what_the_app_makes_itself_is_not_restored() -> None:
    world = people()
    world.right.object = changed(CUSTOMERS, memo={"read_only": True})
    linked(world)
    world.right.delete("1")
    world.settle()
    world.order("restore", into="shop")
    world.settle()
    assert "memo" not in world.right.writes[-1].values and "id" not in world.right.writes[-1].values


def test_a_value_cleared_in_the_counterpart_is_restored_with_keep_and_not_with_propagate() -> None:
    for empty, expected in (("keep", "Ann 1"), ("propagate", None)):
        world = linked(people(empty=empty))
        world.right.delete("1")
        world.settle()
        world.left.edit("1", name=None)
        world.settle()
        world.order("restore", into="shop")
        world.settle()
        assert world.right.records["2"]["full_name"] == expected


def test_a_record_waits_to_be_restored_while_the_account_is_down() -> None:
    world = linked()
    world.right.delete("1")
    world.settle()
    world.account("shop", up=False)
    world.order("restore", into="shop")
    world.settle()
    assert world.stands("crm", "1") == ("pending", "unavailable")
    world.account("shop", up=True)
    world.settle()
    assert len(world.right.records) == 1


@pytest.mark.parametrize("answer", ["exists", "refused"])
def test_a_record_that_comes_back_while_it_is_being_restored_keeps_its_link_whatever_the_answer(answer: str) -> None:
    world = linked()
    world.right.delete("1")
    world.settle()
    world.order("restore", into="shop")
    world.think_all()
    if answer == "exists":
        world.right.create(mail="1@x.io", full_name="Other")
    else:
        world.right.refuse = lambda command, stored: ("permission", "no", None) if command.op == "create" else None
    events = world.carry_out(world.commands.popleft())
    world.right.log.clear()
    world.right.revive("1", mail="1@x.io", full_name="Ann 1")
    world.take("shop")
    world.inbox.extend(events)
    world.settle()
    assert world.stands("shop", "1") == ("in_sync", None)


@pytest.mark.parametrize("gone", [True, False])
def test_a_record_that_only_a_write_has_missed_is_restored_when_the_log_has_told_that_it_is_gone(gone: bool) -> None:
    world = deals()
    world.left.create(name="Ann")
    world.start()
    if gone:
        world.right.delete("1")
    else:
        world.right.renumber("1", "50")
    world.left.edit("1", name="Anna")
    world.take("crm")
    world.deliver()
    world.order("restore", into="shop")
    world.think_all()
    assert not world.commands
    assert world.stands("crm", "1") == ("pending", None)
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)
    assert list(world.right.records) == (["2"] if gone else ["50"])
    assert len(world.left.records) == 1


def test_a_record_that_comes_back_while_its_counterpart_is_still_being_created_needs_no_restore() -> None:
    world = people().start()
    world.right.refuse = lambda command, stored: ("permission", "not now", None)
    world.left.create(email="1@x.io")
    world.take("crm")
    world.left.delete("1")
    world.take("crm")
    world.order("restore", into="crm")
    world.think_all()
    world.left.revive("1", email="1@x.io")
    world.take("crm")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "permission")


def test_a_record_that_comes_back_while_it_waits_to_be_restored_is_not_created() -> None:
    world = linked()
    world.right.delete("1")
    world.settle()
    world.account("shop", up=False)
    world.order("restore", into="shop")
    world.settle()
    world.right.revive("1", mail="1@x.io", full_name="Ann 1")
    world.settle()
    world.account("shop", up=True)
    world.settle()
    assert list(world.right.records) == ["1"]
    assert world.stands("shop", "1") == ("in_sync", None)


# ---------------------------------------------------------------- propagated


def test_with_deletes_propagate_the_counterpart_is_deleted_and_the_link_forgotten() -> None:
    world = linked(people(deletes="propagate"), count=2)
    world.left.delete("1")
    world.right.delete("2")
    world.settle()
    assert (world.left.records, world.right.records) == ({}, {})
    assert world.rows() == {}
    assert [command.op for command in world.left.writes + world.right.writes[2:]] == ["delete", "delete"]


def test_a_deletion_goes_only_where_the_direction_allows() -> None:
    world = linked(people(deletes="propagate", direction="to shop"), count=2)
    world.right.delete("1")
    world.left.delete("2")
    world.settle()
    assert list(world.left.records) == ["1"]
    assert list(world.right.records) == []
    assert world.stands("crm", "1") == ("failing", "deleted")


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("field", ["tel", "memo"])
def test_a_counterpart_that_was_edited_meanwhile_stays(seen: bool, field: str) -> None:
    world = linked(people(deletes="propagate"))
    world.left.delete("1")
    world.right.edit("1", **{field: "edited"})
    if seen and field == "tel":
        world.take("shop")
    world.settle()
    row = world.of("shop", "1")
    assert (row.status, row.category) == ("failing", "deleted")
    assert "edited" in (row.message or "")
    assert list(world.right.records) == ["1"]
    world.right.edit("1", full_name="again")
    world.settle()
    assert list(world.right.records) == ["1"], "later edits do not make it fair game"
    world.order("confirm")
    world.settle()
    world.order("retry")
    world.settle()
    assert list(world.right.records) == ["1"], "nor does trying again"


def test_deleted_and_inserted_at_once_deletes_no_counterpart() -> None:
    world = linked(people(deletes="propagate"))
    world.left.delete("1")
    world.left.create(email="1@x.io", name="Again")
    world.take("crm")
    world.settle()
    assert list(world.right.records) == ["1"]
    assert world.right.records["1"]["full_name"] == "Again"


def test_a_record_that_comes_back_while_its_counterpart_is_deleted_gets_it_back() -> None:
    world = linked(people(deletes="propagate"))
    record = dict(world.left.records["1"])
    world.left.delete("1")
    world.take("crm")
    del record["id"]
    world.left.revive("1", **record)
    world.take("crm")
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)
    assert [one["memo"] for one in world.right.records.values()] == ["memo 1"]


def test_but_not_where_the_sync_does_not_write_any_more() -> None:
    world = linked(people(deletes="propagate"))
    record = dict(world.left.records["1"])
    world.left.delete("1")
    world.take("crm")
    world.document["syncs"]["people"]["direction"] = "to crm"
    world.apply()
    world.think_all()
    del record["id"]
    world.left.revive("1", **record)
    world.take("crm")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "deleted")
    assert not world.right.records


def test_more_deletions_than_max_deletes_stop_the_sync_until_a_person_confirms() -> None:
    world = linked(people(deletes="propagate", max_deletes=3), count=6)
    for number in range(1, 6):
        world.left.delete(str(number))
        world.settle()
    row = world.syncs["people"]
    assert row.state == "stopped"
    assert "3" in row.reason and "shop" in row.reason
    assert len(world.right.records) == 3
    world.left.edit("6", name="meanwhile")
    world.settle()
    assert world.right.records["6"]["full_name"] == "Ann 6", "a stopped sync writes nothing"
    world.order("confirm")
    world.settle()
    assert world.syncs["people"].state == "live"
    assert list(world.right.records) == ["6"]
    assert world.right.records["6"]["full_name"] == "meanwhile"


def test_what_is_created_for_a_record_that_is_deleted_meanwhile_is_deleted_too() -> None:
    world = people(deletes="propagate").start()
    world.left.create(email="a@x.io")
    world.take("crm")
    world.left.delete("1")
    world.take("crm")
    world.settle()
    assert (world.right.records, world.rows()) == ({}, {})


def test_deletions_far_apart_do_not_stop_the_sync() -> None:
    world = linked(people(deletes="propagate", max_deletes=2), count=6)
    for number in range(1, 7):
        world.left.delete(str(number))
        world.clock(400)
    assert world.right.records == {}


def test_unset_max_deletes_is_a_hundred_or_a_tenth_of_the_links() -> None:
    for count, limit in ((150, 100), (1500, 150)):
        world = linked(people(deletes="propagate"), count=count)
        for number in range(1, limit + 11):
            world.left.delete(str(number))
        world.capture_all("crm")
        world.settle()
        assert count - len(world.right.records) == limit
        assert world.syncs["people"].state == "stopped"


def test_records_restored_while_the_sync_is_stopped_are_not_deleted_by_confirm() -> None:
    world = linked(people(deletes="propagate", max_deletes=1), count=3)
    for number in ("1", "2", "3"):
        world.left.delete(number)
    world.capture_all("crm")
    world.settle()
    world.order("restore", into="crm")
    world.settle()
    world.order("confirm")
    world.settle()
    assert len(world.right.records) == 2
    assert len(world.left.records) == 2
    assert {row.status for row in world.rows().values()} == {"in_sync"}


@pytest.mark.parametrize("how", ["merged", "renumbered"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_deletion_that_is_on_its_way_to_a_record_which_is_another_by_now_hits_none(how: str, when: str) -> None:
    world = linked(people(deletes="propagate"))
    world.right.create(full_name="survivor")
    world.settle()
    world.left.delete("1")
    world.take("crm")
    if when == "before":
        if how == "merged":
            world.right.merge("1", "2")
        else:
            world.right.renumber("1", "50")
    else:
        world.deliver()
        answer = world.inbox.pop()
        world.right.log.clear()
        world.right.put("1", {"mail": "1@x.io"})
        if how == "merged":
            world.right.merge("1", "2")
        else:
            world.right.renumber("1", "50")
        world.take("shop")
        world.inbox.append(answer)
    world.settle()
    survivor = "2" if how == "merged" else "50"
    assert survivor in world.right.records
    assert world.stands("shop", survivor) == ("failing", "deleted")


def test_a_record_that_is_made_anew_under_the_id_of_one_that_we_deleted_stays_when_the_answer_comes_late() -> None:
    world = linked(people(deletes="propagate"))
    world.left.delete("1")
    world.take("crm")
    order = world.commands[0]
    world.deliver()
    world.inbox.clear()
    world.right.revive("1", mail="new@x.io")
    world.take("shop")
    world.commands.append(order)
    world.settle()
    world.clock(301)
    assert list(world.right.records) == ["1"]
    assert world.stands("shop", "1") == ("in_sync", None)


def test_a_delete_that_is_refused_is_shown_and_tried_again_on_demand() -> None:
    world = linked(people(deletes="propagate"))
    world.right.refuse = lambda command, stored: ("permission", "DELETE is not granted", None)
    world.left.delete("1")
    world.settle()
    assert world.stands("shop", "1") == ("failing", "permission")
    world.right.refuse = lambda command, stored: None
    world.order("retry")
    world.settle()
    assert world.right.records == {}


@pytest.mark.parametrize("deletes", ["keep", "propagate"])
def test_a_truncated_object_stops_the_sync_and_confirm_carries_on(deletes: str) -> None:
    world = linked(people(deletes=deletes), count=3)
    world.left.records.clear()
    world.inbox.append(Truncated("crm", "contacts"))
    world.settle()
    assert world.syncs["people"].state == "stopped"
    assert "crm" in world.syncs["people"].reason
    assert len(world.right.records) == 3
    world.order("confirm")
    world.settle()
    assert world.syncs["people"].state == "live"
    if deletes == "keep":
        assert {row.category for row in world.rows().values()} == {"deleted"}
        assert len(world.right.records) == 3
    else:
        assert world.right.records == {}


def test_a_deletion_that_only_a_write_has_noticed_is_copied_when_the_log_tells() -> None:
    world = linked(people(deletes="propagate"))
    world.right.delete("1")
    world.left.edit("1", phone="1")
    world.take("crm")
    world.deliver()
    world.think_all()
    assert list(world.left.records) == ["1"]
    world.settle()
    assert world.stands("crm", "1") == ("failing", "deleted"), "it was edited meanwhile"


# ---------------------------------------------------------------- merged


def test_a_merge_moves_the_losers_link_to_a_survivor_that_has_none() -> None:
    world = linked()
    world.left.create(name="survivor", phone="9")
    world.settle()
    assert world.stands("crm", "2") == ("excluded", "no_identifier")
    world.left.merge("1", "2")
    world.settle()
    assert world.stands("crm", "2") == ("in_sync", None)
    assert len(world.rows()) == 1
    assert (world.right.records["1"]["full_name"], world.right.records["1"]["tel"]) == ("survivor", "9")


def test_a_merge_into_a_survivor_that_is_not_known_yet_waits_for_it() -> None:
    world = linked()
    world.left.create(email="2@x.io", name="survivor")
    survivor = world.left.log.popleft()
    world.left.merge("1", "2")
    world.take("crm")
    world.settle()
    assert world.stands("crm", "2") == ("in_sync", None)
    world.inbox.append(Captured("crm", "contacts", (survivor[1],)))
    world.settle()
    assert len(world.right.records) == 1
    assert world.right.records["1"]["full_name"] == "survivor"


def test_where_both_are_linked_the_losers_counterpart_is_failing_merged_and_never_created_anew() -> None:
    world = linked(count=2)
    world.left.merge("1", "2")
    world.settle()
    row = world.of("shop", "1")
    assert (row.status, row.category) == ("failing", "merged")
    assert "crm:1" in (row.message or "") and "crm:2" in (row.message or "") and "shop:1" in (row.message or "")
    world.order("restore", into="crm")
    world.right.edit("1", tel="7")
    world.order("retry")
    world.settle()
    assert list(world.left.records) == ["2"]
    assert world.stands("shop", "1") == ("failing", "merged")


def test_a_merge_followed_on_the_other_side_leaves_one_pair() -> None:
    world = linked(count=2)
    world.left.merge("1", "2")
    world.settle()
    world.right.merge("1", "2")
    world.settle()
    assert len(world.rows()) == 1
    assert world.stands("shop", "2") == ("in_sync", None)


def test_a_duplicate_is_judged_again_when_what_it_claims_is_merged_into_another() -> None:
    world = people(direction="to shop")
    world.left.create(email="a@x.io", name="Ann")
    world.start()
    world.left.edit("1", email="b@x.io")
    world.take("crm")
    world.commands.clear()
    world.right.finds = False
    world.left.create(email="a@x.io", name="twin")
    world.take("crm")
    assert world.stands("crm", "2") == ("failing", "duplicate")
    world.right.create(mail="c@x.io")
    world.take("shop")
    world.right.merge("1", "2")
    world.settle()
    assert world.stands("crm", "2") == ("in_sync", None)


def test_a_link_that_lacks_a_record_and_moves_to_a_survivor_is_filled_by_what_answers_to_that() -> None:
    world = people(direction="to shop")
    world.left.create(email="a@x.io", name="Ann")
    world.right.create(mail="b@x.io", full_name="survivor")
    world.start()
    world.right.delete("2")  # the counterpart
    world.settle()
    world.left.create(name="survivor, without mail")
    world.right.create(mail="c@x.io")
    world.settle()
    world.left.edit("2", email=None, notes="c")
    world.left.merge("1", "2")
    world.left.edit("2", email="c@x.io")
    world.capture_all("crm")
    world.settle()
    assert world.of("crm", "2").sides["shop"].id == "3"


@pytest.mark.parametrize("noticed", ["by a write", "by the log"])
def test_a_duplicate_takes_the_place_of_a_loser(noticed: str) -> None:
    world = linked(count=2)
    world.left.create(email="1@x.io", name="twin")
    world.settle()
    assert world.stands("crm", "3") == ("failing", "duplicate")
    world.right.edit("1", tel="7")
    world.left.merge("1", "2")
    if noticed == "by a write":
        world.take("shop")
        world.deliver()
        world.think_all()
        assert world.stands("crm", "3") == ("failing", "duplicate")
    world.settle()
    assert world.of("shop", "1").sides["crm"].id == "3"


@pytest.mark.parametrize("deletes", ["keep", "propagate"])
def test_a_merge_that_is_reported_again_and_as_a_deletion_changes_nothing_more(deletes: str) -> None:
    world = linked(people(deletes=deletes), count=3)
    world.left.merge("1", "2")
    world.settle()
    tick = world.left.journal.tick
    for op in ("merge", "delete"):
        row = Row("1", {}, Version(tick + 1), op, into="2" if op == "merge" else None, committed_at=1.0)
        world.inbox.append(Captured("crm", "contacts", (row,)))
    world.left.journal.tick += 1
    world.settle()
    assert world.stands("shop", "1") == ("failing", "merged")
    assert len(world.right.records) == 3


def test_a_loser_without_a_link_is_forgotten() -> None:
    world = linked()
    world.left.create(name="no mail")
    world.settle()
    world.left.merge("2", "1")
    world.settle()
    assert len(world.rows()) == 1


def test_what_was_on_its_way_from_the_loser_is_followed_by_what_the_survivor_holds() -> None:
    world = people(direction="to crm", default="shop")
    world.right.create(mail="1@x.io", tel="2")
    world.right.create(full_name="survivor", tel="2")
    world.start()
    world.right.edit("1", tel="3")
    world.take("shop")
    world.right.merge("1", "2")
    world.take("shop")
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)
    assert world.left.records["1"]["phone"] == "2"


def test_what_is_on_its_way_to_the_loser_does_not_bring_it_back() -> None:
    world = linked()
    world.left.create(name="survivor")
    world.settle()
    world.right.edit("1", tel="7")
    world.take("shop")
    world.deliver()  # written to the loser, just before the merge
    world.left.merge("1", "2")
    world.capture_all("crm")
    world.inbox.rotate(-1)  # the answer comes last
    world.settle()
    assert len(world.rows()) == 1
    assert world.stands("crm", "2") == ("in_sync", None)
    assert world.left.records["2"]["phone"] == "7", "nor is what it carried lost"


# ---------------------------------------------------------------- without identifiers


def test_a_restored_deal_is_not_copied_back() -> None:
    world = linked(deals())
    world.right.delete("1")
    world.settle()
    world.order("restore", into="shop")
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (1, 1)


@pytest.mark.parametrize("identifier", [True, False])
def test_a_record_that_comes_back_while_it_is_being_restored_keeps_its_link_and_its_double_is_shown(
    identifier: bool,
) -> None:
    world = linked(people() if identifier else deals())
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
