"""Section 4 line by line: what two records of a link are brought to, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from rules.catalog import Field, FieldType, Kind, Object, Value
from rules.merge import Plan, Rule, Translation, merge
from tests.rules.world import CUSTOMERS, MAPPING, PEOPLE, changed, compiled, text, whole

DEFAULTS = pytest.mark.parametrize("default", ["crm", "shop"])
SIDES = pytest.mark.parametrize("side", [0, 1])


class Pairs(Translation):
    """References known beforehand: (side, id) -> id on the other side."""

    def __init__(self, **pairs: str) -> None:
        self.pairs = pairs

    def counterpart(self, sync: str, side: int, record_id: str) -> str | None:
        return self.pairs.get(f"{sync}{side}_{record_id}")


def planned(left: Value, right: Value, base: tuple[Value, Value] | None = None, **sync: Any) -> Plan:
    """What becomes of the names of two records; without a base they have just been linked."""
    rules = compiled(**{"mapping": MAPPING[:2], **sync})
    bases = {"email=mail": ("e", "e")} | ({} if base is None else {"name=full_name": base})
    return merge(rules, ({"email": "e", "name": left}, {"mail": "e", "full_name": right}), bases, Pairs())


def writes(plan: Plan) -> list[tuple[int, Value, Value]]:
    """Side, value and rule of each write."""
    return [(write.side, write.value, write.rule) for side in plan.writes for write in side]


def of(side: int, own: Value, other: Value) -> tuple[Value, Value]:
    """`own` on the side, `other` opposite."""
    return (own, other) if side == 0 else (other, own)


# ---------------------------------------------------------------- at linking


@DEFAULTS
@SIDES
@pytest.mark.parametrize("empty", [None, "", "  "])
def test_at_linking_an_empty_side_is_filled_whichever_is_the_default(side: int, default: str, empty: Value) -> None:
    plan = planned(*of(side, empty, "Ann"), default=default)
    assert writes(plan) == [(side, "Ann", Rule.FILL)]
    assert "name=full_name" not in plan.settled


@DEFAULTS
def test_at_linking_values_that_are_equal_after_conversion_are_left(default: str) -> None:
    number = changed(CUSTOMERS, full_name={"type": FieldType(Kind.INTEGER, bits=64)})
    rules = compiled(right=number, default=default, mapping=MAPPING[:2])
    plan = merge(rules, ({"email": "e", "name": " 7 "}, {"mail": "e", "full_name": 7}), {}, Pairs())
    assert writes(plan) == []
    assert plan.settled["name=full_name"] == (" 7 ", 7)


@DEFAULTS
def test_at_linking_the_default_side_wins_where_the_two_differ(default: str) -> None:
    winner = ["crm", "shop"].index(default)
    plan = planned("left", "right", default=default)
    assert writes(plan) == [(1 - winner, ["left", "right"][winner], Rule.DEFAULT_WINS)]


def test_at_linking_zero_and_false_are_values_and_fill_nothing() -> None:
    for kind, value, other in ((Kind.INTEGER, 0, 5), (Kind.BOOLEAN, False, True)):
        left = changed(PEOPLE, name={"type": FieldType(kind)})
        right = changed(CUSTOMERS, full_name={"type": FieldType(kind)})
        rules = compiled(left, right, default="shop", mapping=MAPPING[:2])
        plan = merge(rules, ({"email": "e", "name": value}, {"mail": "e", "full_name": other}), {}, Pairs())
        assert writes(plan) == [(0, other, Rule.DEFAULT_WINS)]


@DEFAULTS
def test_at_linking_a_difference_against_the_direction_is_left_alone(default: str) -> None:
    plan = planned("left", "right", direction=f"to {default}", default=default)
    assert writes(plan) == [], "the default side may not write against the direction"
    assert plan.settled["name=full_name"] == ("left", "right")


@SIDES
def test_at_linking_an_empty_side_that_the_direction_does_not_write_stays_empty(side: int) -> None:
    target = ["crm", "shop"][1 - side]
    plan = planned(*of(side, None, "Ann"), direction=f"to {target}")
    assert writes(plan) == []
    assert plan.settled["name=full_name"] == of(side, None, "Ann")


def test_at_linking_one_way_the_source_wins_unless_another_default_is_named() -> None:
    rules = compiled(direction="to shop", default=None, mapping=MAPPING[:2])
    plan = merge(rules, ({"email": "e", "name": "left"}, {"mail": "e", "full_name": "right"}), {}, Pairs())
    assert writes(plan) == [(1, "left", Rule.DEFAULT_WINS)]
    assert writes(planned("left", "right", direction="to shop", default="shop")) == []


# ---------------------------------------------------------------- afterwards


@DEFAULTS
@SIDES
def test_what_changed_on_one_side_is_written_to_the_other(side: int, default: str) -> None:
    plan = planned(*of(side, "new", "old"), base=("old", "old"), default=default)
    assert writes(plan) == [(1 - side, "new", Rule.CHANGED)]


def test_what_changed_on_neither_side_is_left_even_if_the_two_differ() -> None:
    plan = planned("+34 600", "+34600", base=("+34 600", "+34600"))
    assert (writes(plan), plan.settled) == ([], {})


def test_what_changed_on_both_sides_to_the_same_is_settled_without_a_write() -> None:
    plan = planned("new", "new", base=("old", "old"))
    assert (writes(plan), plan.settled["name=full_name"]) == ([], ("new", "new"))


@DEFAULTS
def test_what_changed_on_both_sides_is_a_conflict_that_the_default_side_wins(default: str) -> None:
    winner = ["crm", "shop"].index(default)
    plan = planned("left", "right", base=("old", "old"), default=default)
    assert writes(plan) == [(1 - winner, ["left", "right"][winner], Rule.CONFLICT)]
    (write,) = plan.writes[1 - winner]
    assert write.before == ["right", "left"][winner], "the losing value is what the write replaces"


@SIDES
@pytest.mark.parametrize("empty", [None, "", " "])
def test_a_cleared_value_clears_nothing_with_empty_keep(side: int, empty: Value) -> None:
    plan = planned(*of(side, empty, "old"), base=("old", "old"), empty="keep")
    assert writes(plan) == []
    assert plan.settled["name=full_name"] == of(side, empty, "old"), "so that filling it again is a change"


@SIDES
def test_a_cleared_value_is_cleared_on_the_other_side_with_empty_propagate(side: int) -> None:
    plan = planned(*of(side, None, "old"), base=("old", "old"), empty="propagate")
    assert writes(plan) == [(1 - side, None, Rule.CHANGED)]


def test_empty_of_a_mapping_goes_before_that_of_the_sync() -> None:
    propagating = [MAPPING[0], {**MAPPING[1], "empty": "propagate"}]
    assert len(writes(planned(None, "old", base=("old", "old"), mapping=propagating, empty="keep"))) == 1
    keeping = [MAPPING[0], {**MAPPING[1], "empty": "keep"}]
    assert writes(planned(None, "old", base=("old", "old"), mapping=keeping, empty="propagate")) == []


def test_a_target_that_cannot_hold_an_empty_value_is_left_alone() -> None:
    rules = compiled(right=changed(CUSTOMERS, full_name={"nullable": False}), empty="propagate", mapping=MAPPING[:2])
    values: Any = ({"email": "e", "name": None}, {"mail": "e", "full_name": "old"})
    plan = merge(rules, values, {"name=full_name": ("old", "old"), "email=mail": ("e", "e")}, Pairs())
    assert (writes(plan), plan.problems) == ([], [])


@DEFAULTS
@pytest.mark.parametrize("empty", ["keep", "propagate"])
def test_a_conflict_in_which_the_default_side_was_cleared_fills_it_again(default: str, empty: str) -> None:
    winner = ["crm", "shop"].index(default)
    plan = planned(*of(winner, None, "theirs"), base=("old", "old"), default=default, empty=empty)
    assert writes(plan) == [(winner, "theirs", Rule.CONFLICT_EMPTY)]


@DEFAULTS
@pytest.mark.parametrize("empty", ["keep", "propagate"])
def test_a_conflict_in_which_the_other_side_was_cleared_is_won_by_the_default_side(default: str, empty: str) -> None:
    winner = ["crm", "shop"].index(default)
    plan = planned(*of(winner, "mine", None), base=("old", "old"), default=default, empty=empty)
    assert writes(plan) == [(1 - winner, "mine", Rule.CONFLICT)]


def test_different_fields_edited_on_both_sides_both_survive() -> None:
    values: Any = (
        {"email": "e", "name": "new", "phone": "1"},
        {"mail": "e", "full_name": "old", "tel": "2"},
    )
    bases: Any = {"email=mail": ("e", "e"), "name=full_name": ("old", "old"), "phone=tel": ("1", "1")}
    assert writes(merge(compiled(), values, bases, Pairs())) == [(0, "2", Rule.CHANGED), (1, "new", Rule.CHANGED)]


def test_a_field_that_no_mapping_names_is_never_written() -> None:
    values: Any = ({"email": "e", "notes": "x"}, {"mail": "e", "memo": "y"})
    plan = merge(compiled(), values, {}, Pairs())
    assert [write.field for side in plan.writes for write in side] == []


# ---------------------------------------------------------------- one way


@pytest.mark.parametrize("target", [0, 1])
def test_one_way_a_changed_source_is_written_also_over_an_edit_of_the_target(target: int) -> None:
    direction = f"to {['crm', 'shop'][target]}"
    plan = planned(*of(target, "edited", "new"), base=("old", "old"), direction=direction)
    assert writes(plan) == [(target, "new", Rule.OVERWRITTEN)]


@pytest.mark.parametrize("target", [0, 1])
def test_one_way_the_default_of_the_target_wins_no_conflict(target: int) -> None:
    account = ["crm", "shop"][target]
    plan = planned(*of(target, "edited", "new"), base=("old", "old"), direction=f"to {account}", default=account)
    assert writes(plan) == [(target, "new", Rule.OVERWRITTEN)]


@pytest.mark.parametrize("target", [0, 1])
def test_one_way_an_edit_of_the_target_goes_nowhere_and_is_remembered(target: int) -> None:
    direction = f"to {['crm', 'shop'][target]}"
    plan = planned(*of(target, "edited", "old"), base=("old", "old"), direction=direction)
    assert (writes(plan), plan.settled) == ([], {})
    widened = planned(*of(target, "edited", "old"), base=("old", "old"))
    assert writes(widened) == [(1 - target, "edited", Rule.CHANGED)], "a widened direction compares against the bases"


@pytest.mark.parametrize("target", [0, 1])
def test_one_way_a_cleared_source_that_clears_nothing_does_not_hide_an_edit_of_the_target(target: int) -> None:
    direction = f"to {['crm', 'shop'][target]}"
    plan = planned(*of(target, "edited", None), base=("old", "old"), direction=direction)
    assert writes(plan) == []
    assert plan.settled["name=full_name"] == of(target, "old", None)


def test_a_mapping_may_narrow_the_direction_of_its_sync() -> None:
    narrow = [MAPPING[0], {**MAPPING[1], "direction": "to shop"}]
    assert writes(planned("new", "old", base=("old", "old"), mapping=narrow)) == [(1, "new", Rule.CHANGED)]
    assert writes(planned("old", "new", base=("old", "old"), mapping=narrow)) == []
    assert writes(planned("left", "right", base=("old", "old"), mapping=narrow, default="shop")) == [
        (1, "left", Rule.OVERWRITTEN)
    ], "the conflict rule never overrides the direction"


def test_a_mapping_never_widens_the_direction_of_its_sync() -> None:
    wide = [MAPPING[0], {**MAPPING[1], "direction": "to crm"}]
    assert writes(planned("old", "new", base=("old", "old"), mapping=wide, direction="to shop")) == []


def test_a_mapping_that_is_not_enabled_is_not_there() -> None:
    off = [MAPPING[0], {**MAPPING[1], "enabled": False}]
    assert writes(planned("new", "old", base=("old", "old"), mapping=off)) == []


def test_a_read_only_field_is_never_written() -> None:
    rules = compiled(right=changed(CUSTOMERS, full_name={"read_only": True}), mapping=MAPPING[:2])
    values: Any = ({"email": "e", "name": "new"}, {"mail": "e", "full_name": "old"})
    assert writes(merge(rules, values, {"name=full_name": ("old", "old")}, Pairs())) == []


def test_one_field_may_be_the_source_of_two_each_with_its_own_base() -> None:
    mapping = [
        MAPPING[0],
        {"crm": "name", "shop": "full_name", "direction": "to shop"},
        {"crm": "name", "shop": "memo", "direction": "to shop"},
    ]
    rules = compiled(mapping=mapping)
    values: Any = ({"email": "e", "name": "new"}, {"mail": "e", "full_name": "new", "memo": "old"})
    bases: Any = {"email=mail": ("e", "e"), "name=full_name": ("new", "new"), "name=memo": ("old", "old")}
    plan = merge(rules, values, bases, Pairs())
    assert [write.field for write in plan.writes[1]] == ["memo"]


# ---------------------------------------------------------------- values and identifiers


def test_identifiers_that_are_equal_normalised_are_equal() -> None:
    rules = compiled(kind="company", mapping=[{"crm": "name", "shop": "full_name", "identifier": "domain"}])
    values: Any = ({"name": "https://www.Acme.com/"}, {"full_name": "acme.com"})
    assert writes(merge(rules, values, {}, Pairs())) == []
    base: Any = {"name=full_name": ("acme.com", "acme.com")}
    assert writes(merge(rules, values, base, Pairs())) == [], "nor is another spelling of it a change"


LEVELS = [
    MAPPING[0],
    {"crm": "name", "shop": "level", "values": {"gold": 1, "silver": 2}},
]
LEVELLED = Object("customers", (whole("id"), text("mail"), whole("level")), ("id",))


def test_a_value_map_translates_both_ways() -> None:
    rules = compiled(right=LEVELLED, mapping=LEVELS)
    up = merge(rules, ({"email": "e", "name": "gold"}, {"mail": "e", "level": None}), {}, Pairs())
    down = merge(rules, ({"email": "e", "name": None}, {"mail": "e", "level": 2}), {}, Pairs())
    same = merge(rules, ({"email": "e", "name": "gold"}, {"mail": "e", "level": 1}), {}, Pairs())
    assert (writes(up), writes(down), writes(same)) == ([(1, 1, Rule.FILL)], [(0, "silver", Rule.FILL)], [])


def test_a_value_that_cannot_be_converted_fails_its_field_alone() -> None:
    rules = compiled(right=LEVELLED, mapping=[*LEVELS, {"crm": "phone", "shop": "id", "direction": "to crm"}])
    plan = merge(rules, ({"email": "new", "name": "tin"}, {"mail": "e", "level": 1}), {}, Pairs())
    assert [(one.side, one.field, one.value) for one in plan.problems] == [(1, "level", "tin")]
    assert writes(plan) == [(1, "new", Rule.DEFAULT_WINS)], "the other fields are written"
    assert plan.problems[0].allowed == "one of gold, silver"


def test_a_number_is_compared_as_the_other_side_holds_it() -> None:
    price = FieldType(Kind.DECIMAL, precision=10, scale=2)
    left = Object("contacts", (whole("id"), text("email"), Field("name", FieldType(Kind.DECIMAL))), ("id",))
    right = Object("customers", (whole("id"), text("mail"), Field("full_name", price)), ("id",))
    rules = compiled(left, right, mapping=MAPPING[:2])
    values: Any = ({"email": "e", "name": "1.005"}, {"mail": "e", "full_name": "1.01"})
    assert writes(merge(rules, values, {}, Pairs())) == []


# ---------------------------------------------------------------- references

REFERRING = [MAPPING[0], {"crm": "company", "shop": "firm", "association": "companies"}]
LEFT = Object("contacts", (whole("id"), text("email"), whole("company")), ("id",))
RIGHT = Object("customers", (whole("id"), text("mail"), whole("firm")), ("id",))


def test_a_reference_is_translated_to_the_linked_counterpart_in_the_type_of_its_field() -> None:
    rules = compiled(LEFT, RIGHT, mapping=REFERRING)
    values: Any = ({"email": "e", "company": 5}, {"mail": "e", "firm": None})
    assert writes(merge(rules, values, {}, Pairs(companies0_5="9"))) == [(1, 9, Rule.FILL)]
    values = ({"email": "e", "company": 5}, {"mail": "e", "firm": 9})
    assert writes(merge(rules, values, {}, Pairs(companies0_5="9"))) == []


def test_a_reference_whose_counterpart_is_not_linked_is_awaited_and_the_old_one_stays() -> None:
    rules = compiled(LEFT, RIGHT, mapping=REFERRING)
    values: Any = ({"email": "e", "company": 6}, {"mail": "e", "firm": 9})
    plan = merge(rules, values, {"email=mail": ("e", "e"), "company=firm": (5, 9)}, Pairs(companies0_5="9"))
    assert (writes(plan), plan.settled) == ([], {})
    assert [(one.sync, one.side, one.id) for one in plan.awaits] == [("companies", 0, "6")]


def test_of_several_references_the_primary_counts() -> None:
    several = Object("contacts", (whole("id"), text("email"), Field("company", FieldType(Kind.LIST))), ("id",))
    rules = compiled(several, RIGHT, mapping=REFERRING)
    values: Any = ({"email": "e", "company": ["5", "6"]}, {"mail": "e", "firm": None})
    assert writes(merge(rules, values, {}, Pairs(companies0_5="9", companies0_6="8"))) == [(1, 9, Rule.FILL)]
