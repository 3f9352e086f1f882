"""Matching (section 2) where the order decides in which identifiers are tried: of records that come one by one, and in a full read."""

from __future__ import annotations

from tests.rules.world import MAPPING, World, people


def things() -> World:
    """Records that match by their email, then by their name. The apps themselves look for nothing."""
    world = people(
        kind="custom",
        mapping=[MAPPING[0], {**MAPPING[1], "identifier": "name"}, MAPPING[2]],
        filters={"shop": [{"field": "memo", "op": "is_empty"}]},
    )
    world.left.finds = world.right.finds = False
    return world


def test_a_record_whose_first_identifier_finds_nobody_is_matched_by_the_next() -> None:
    world = things().start()
    world.right.create(mail="old@x.io", full_name="Ann  Lee", memo="kept out")
    world.settle()
    world.left.create(email="new@x.io", name="ann lee")
    world.settle()
    assert len(world.right.records) == 1
    assert world.stands("crm", "1") == ("in_sync", None)
    assert world.right.records["1"]["mail"] == "new@x.io"


def test_the_first_identifier_goes_before_the_next_though_that_finds_an_older_record() -> None:
    world = things().start()
    world.right.create(mail="other@x.io", full_name="Ann", memo="kept out")
    world.right.create(mail="a@x.io", full_name="Bea", memo="kept out")
    world.settle()
    world.left.create(email="a@x.io", name="Ann")
    world.settle()
    assert world.of("crm", "1").sides["shop"].id == "2"


def test_a_candidate_that_is_taken_falls_through_to_the_next_identifier() -> None:
    world = things().start()
    world.left.create(email="a@x.io", name="Ann")
    world.settle()
    world.right.create(mail="b@x.io", full_name="Bea", memo="kept out")
    world.settle()
    world.left.create(email="a@x.io", name="Bea")
    world.settle()
    assert world.of("crm", "2").sides["shop"].id == "2"
    assert world.stands("crm", "2") == ("in_sync", None)


def test_in_a_full_read_all_pairs_by_the_second_identifier_go_before_those_by_the_third_whatever_the_age() -> None:
    mapping = [MAPPING[0], {**MAPPING[1], "identifier": "name"}, {**MAPPING[2], "identifier": "exact"}]
    world = people(kind="custom", mapping=mapping)
    world.left.create(email="1@x.io", name="Ann", phone="600")
    world.left.create(email="2@x.io", name="Bea", phone="700")
    world.right.create(mail="3@x.io", full_name="Bea", tel="600")
    world.start()
    assert world.of("crm", "2").sides["shop"].id == "1"
    assert world.of("crm", "1").sides["shop"].id == "2"


def test_of_several_candidates_for_a_record_that_comes_later_the_oldest_is_taken() -> None:
    world = things().start()
    for _ in range(3):
        world.right.create(mail="a@x.io", memo="kept out")
    world.settle()
    world.left.create(email="a@x.io")
    world.settle()
    assert world.of("crm", "1").sides["shop"].id == "1"


def test_of_twins_of_which_the_first_is_still_being_created_the_second_is_a_duplicate_without_the_apps_help() -> None:
    world = things().start()
    for _ in range(2):
        world.left.create(email="a@x.io")
    world.take("crm")
    world.settle()
    assert len(world.right.records) == 1
    assert world.stands("crm", "1") == ("in_sync", None)
    assert world.stands("crm", "2") == ("failing", "duplicate")


def test_the_twin_of_a_record_whose_counterpart_was_deleted_does_not_bring_that_back() -> None:
    world = things().start()
    for _ in range(2):
        world.left.create(email="a@x.io")
    world.settle()
    world.right.delete("1")
    world.settle()
    world.left.edit("2", phone="600")
    world.settle()
    assert world.right.records == {}
    assert world.stands("crm", "2") == ("failing", "duplicate")
