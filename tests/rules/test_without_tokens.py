"""Connectors that leave no token with their creates: nothing says whose a new record is (design: "A create is the dangerous command", 2)."""

from __future__ import annotations

import pytest

from rules.events import Answer, Results
from tests.rules.world import (
    CUSTOMERS,
    PEOPLE,
    SYNC,
    WITHOUT_IDENTIFIER,
    App,
    World,
    people,
    without_echoes,
    without_tokens,
)


def deals() -> World:
    """Records without identifiers between two accounts that leave no token."""
    return World(
        App("crm", without_tokens(PEOPLE)),
        App("shop", without_tokens(CUSTOMERS)),
        syncs={"people": {**SYNC, **WITHOUT_IDENTIFIER}},
    )


@pytest.mark.parametrize("first", ["echo", "answer"])
def test_our_own_new_record_is_not_copied_back_whichever_comes_first(first: str) -> None:
    world = deals().start()
    world.left.create(name="Deal")
    world.take("crm")
    world.deliver()
    if first == "echo":
        answer = world.inbox.popleft()
        world.take("shop")
        assert world.stands("shop", "1") == ("pending", None)
        assert "shop" in (world.of("shop", "1").message or "")
        world.inbox.append(answer)
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (1, 1)
    assert len(world.rows()) == 1


def test_a_record_that_a_person_made_meanwhile_waits_for_the_answer_and_then_enters() -> None:
    world = deals().start()
    world.left.create(name="Deal")
    world.take("crm")
    world.right.create(full_name="Offer")
    world.take("shop")
    assert world.stands("shop", "1") == ("pending", None)
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (2, 2)
    assert {row.status for row in world.rows().values()} == {"in_sync"}


def test_a_record_that_comes_back_with_what_was_being_written_into_it_is_there_again() -> None:
    world = deals().start()
    world.left.create(name="Deal")
    world.settle()
    world.right.edit("1", full_name="Offer")
    world.take("shop")
    assert world.commands
    for app, account in ((world.right, "shop"), (world.left, "crm")):
        app.delete("1")
        world.take(account)
    world.left.revive("1", name="Offer")
    world.take("crm")
    assert world.stands("crm", "1") == ("failing", "deleted")
    world.settle()
    assert world.stands("crm", "1") == ("failing", "deleted")


def test_none_waits_for_creates_that_were_sent_after_it_was_captured() -> None:
    world = deals().start()
    world.left.create(name="First")
    world.take("crm")
    first = world.commands.popleft()
    world.right.create(full_name="Offer")
    world.take("shop")
    world.left.create(name="Second")
    world.take("crm")
    second = world.commands.popleft()
    world.inbox.extend(world.carry_out(first))
    world.think_all()
    assert world.of("shop", "1").sides["shop"].fields["full_name"] == "Offer"
    assert "creat" not in (world.of("shop", "1").message or ""), "the second is still on its way"
    assert world.commands, "it is on its way to the crm"
    world.commands.append(second)
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (3, 3)


def test_an_identifier_tells_whose_a_record_is_without_waiting() -> None:
    world = World(
        App("crm", without_tokens(PEOPLE)), App("shop", without_tokens(CUSTOMERS)), syncs={"people": SYNC}
    ).start()
    world.left.create(email="a@x.io")
    world.take("crm")
    world.right.create(mail="b@x.io")
    world.take("shop")
    assert world.of("shop", "1").message is None
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (2, 2)


def test_a_record_deleted_before_the_answer_to_its_create_is_known_to_be_gone() -> None:
    world = deals().start()
    world.left.create(name="Deal")
    world.take("crm")
    world.deliver()
    answer = world.inbox.popleft()
    world.right.delete("1")
    world.take("shop")
    world.inbox.append(answer)
    world.settle()
    assert world.stands("crm", "1") == ("failing", "deleted")


@pytest.mark.parametrize("how", ["unknown", "silence"])
def test_a_create_that_nothing_can_find_again_is_never_sent_a_second_time_blindly(how: str) -> None:
    world = deals().start()
    world.left.create(name="Deal")
    world.take("crm")
    (command,) = world.commands.popleft().commands
    if how == "unknown":
        world.inbox.append(
            Results("shop", "customers", (Answer(command.sync, command.link, command.sequence, "unknown"),))
        )
        world.settle()
    else:
        world.clock(301)
    assert world.stands("crm", "1") == ("failing", "unknown")
    world.clock(1000)
    assert not world.right.records
    world.left.edit("1", name="Edited")
    world.settle()
    assert not world.right.records
    world.order("retry")
    world.settle()
    assert [one["full_name"] for one in world.right.records.values()] == ["Edited"]
    assert world.stands("crm", "1") == ("in_sync", None)


def test_its_answer_is_welcome_however_late() -> None:
    world = deals().start()
    world.left.create(name="Deal")
    world.take("crm")
    world.deliver()
    answer = world.inbox.popleft()
    world.settle()
    world.clock(301)
    assert world.stands("crm", "1") == ("failing", "unknown")
    world.inbox.append(answer)
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (1, 1)
    assert len(world.rows()) == 1


def test_a_create_that_an_identifier_can_find_again_is_sent_again() -> None:
    world = people()
    world.right.object = without_tokens(CUSTOMERS)
    world.start()
    world.left.create(email="a@x.io")
    world.take("crm")
    world.deliver()
    world.inbox.clear()
    world.right.log.clear()
    world.clock(301)
    assert len(world.right.records) == 1
    assert world.stands("crm", "1") == ("in_sync", None)


def hidden_deals() -> World:
    """The same between accounts that keep the token of a create, but do not show it with the changes that come by."""
    return World(
        App("crm", without_echoes(PEOPLE)),
        App("shop", without_echoes(CUSTOMERS)),
        syncs={"people": {**SYNC, **WITHOUT_IDENTIFIER}},
    )


def test_a_token_that_does_not_come_by_tells_nobody_whose_a_new_record_is() -> None:
    world = hidden_deals().start()
    world.left.create(name="Deal")
    world.take("crm")
    world.deliver()
    answer = world.inbox.popleft()
    world.take("shop")
    assert world.stands("shop", "1") == ("pending", None), "it may be what the create on its way has made"
    world.inbox.append(answer)
    world.settle()
    assert (len(world.left.records), len(world.right.records)) == (1, 1)
    assert len(world.rows()) == 1


def test_a_create_whose_token_is_kept_is_sent_again_though_nothing_else_would_find_it() -> None:
    world = hidden_deals().start()
    world.left.create(name="Deal")
    world.take("crm")
    (command,) = world.commands.popleft().commands
    world.inbox.append(Results("shop", "customers", (Answer(command.sync, command.link, command.sequence, "unknown"),)))
    world.settle()
    world.clock(301)
    world.settle()
    assert world.stands("crm", "1") == ("in_sync", None)
    assert len(world.right.records) == 1


def test_a_stored_form_is_the_base_at_once_where_no_token_will_ever_make_it_sure() -> None:
    world = hidden_deals().start()
    world.right.stored_form = lambda values: {field: str(value).strip() for field, value in values.items()}
    world.left.create(name=" Deal ")
    world.settle()
    world.lose_log("shop")
    world.settle()
    assert [one["full_name"] for one in world.right.records.values()] == ["Deal"]
    assert [one["name"] for one in world.left.records.values()] == [" Deal "]


def test_an_edit_of_what_we_have_written_is_no_conflict_though_the_answer_has_not_come() -> None:
    world = deals()
    world.left.create(name="Ann")
    world.start()
    world.left.edit("1", name="Bob")
    world.take("crm")
    world.deliver()
    world.inbox.clear()  # its answer is lost
    world.right.edit("1", full_name="Rob")
    world.settle()
    world.clock(400)
    world.clock()
    assert world.right.records["1"]["full_name"] == world.left.records["1"]["name"] == "Rob"


def test_a_conflict_with_a_record_that_holds_what_was_to_be_written_is_none() -> None:
    world = deals()
    world.left.create(name="Ann")
    world.start()
    world.left.edit("1", name="Bob")
    world.take("crm")
    world.right.edit("1", full_name="Bob")
    world.deliver()  # before the log tells
    world.think_all()
    assert world.stands("crm", "1") == ("in_sync", None)
    world.settle()
    assert world.right.records["1"]["full_name"] == world.left.records["1"]["name"] == "Bob"
