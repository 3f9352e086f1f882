"""Which pairs a replay of the topics finds lost, and as what."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from console.replaying import PAIRS, Found, Replay, orders_for
from rules.catalog import Capabilities, Field, FieldType, Kind, Object, Value
from rules.events import Captured, HistoryRow, Row
from rules.reviving import LostPair, LostRecord, pairs_in
from rules.version import Version

FIELDS = (
    Field("id", FieldType(Kind.INTEGER), read_only=True),
    Field("name", FieldType(Kind.TEXT)),
    Field("note", FieldType(Kind.TEXT)),
)
OBJECTS = {"crm": Object("contacts", FIELDS, ("id",)), "shop": Object("customers", FIELDS, ("id",))}
NAMES = {"crm": "contacts", "shop": "customers"}


class Told:
    """A replay, and a log that goes on."""

    def __init__(self) -> None:
        self.replay = Replay("people", OBJECTS)
        self.position = 0

    def row(self, account: str, record_id: str, op: str = "upsert", *, of: str | None = None, **rest: Any) -> None:
        self.position += 1
        values: dict[str, Value] = rest.pop(
            "values", {"id": int(record_id), "name": "n", "note": f"at {self.position}"}
        )
        row = Row(record_id, values if op == "upsert" else {}, Version(rest.pop("at", self.position)), op, **rest)
        self.replay.captured(Captured(account, of or NAMES[account], (row,)), float(self.position))

    def linked(self, *names: str, sync: str = "people") -> None:
        self.replay.decided(HistoryRow(sync, names[0], "linked", "", 0.0, (), "", names))

    def both(self, left: str, right: str) -> None:
        self.row("crm", left)
        self.row("shop", right)
        self.linked(f"crm:{left}", f"shop:{right}")

    def gone(self, left: str, right: str) -> None:
        self.row("crm", left, "delete")
        self.row("shop", right, "delete")

    def ids(self, *present: str, since: float | None = None) -> list[tuple[str, str]]:
        return [(pair.sides["crm"].id, pair.sides["shop"].id) for pair in self.replay.lost(present, since)]


def test_a_pair_deleted_on_both_sides_is_found_with_its_last_whole_images() -> None:
    told = Told()
    told.both("17", "4")
    told.row("crm", "17", values={"name": "newer"})  # the log lacks what is unchanged
    told.both("18", "5")
    told.gone("17", "4")
    (pair,) = told.replay.lost(["crm:18", "shop:5"])
    assert pair.sides["crm"].values == {"id": 17, "name": "newer", "note": "at 1"}
    assert pair.sides["shop"].values == {"id": 4, "name": "n", "note": "at 2"}
    assert told.ids("crm:18", "shop:5") == [("17", "4")]


def test_what_the_sync_still_knows_of_one_side_is_not_lost() -> None:
    told = Told()
    told.both("17", "4")
    told.row("crm", "17", "delete")
    assert told.ids("crm:17", "shop:4") == []


def test_a_record_made_by_us_is_of_the_pair_that_its_command_names() -> None:
    told = Told()
    told.row("crm", "17")
    told.row("shop", "4", token="people/crm:17~2/b.1/3/abc")
    told.row("shop", "9", token="others/crm:17/b.1/3/abc")
    told.gone("17", "4")
    assert told.ids() == [("17", "4")]


def test_what_was_restored_under_another_id_is_the_same_pair() -> None:
    told = Told()
    told.both("17", "4")
    told.gone("17", "4")
    told.row("crm", "93", token="people/crm:17/b/2/d")
    told.linked("crm:93", "shop:4", "crm:17")
    told.row("shop", "77", token="people/crm:17/b/3/d")
    assert told.ids("crm:93", "shop:77") == []
    told.gone("93", "77")
    assert told.ids() == [("93", "77")]
    assert told.replay.lost([])[0].names == {"crm:17", "crm:93", "shop:4", "shop:77"}


def test_a_changed_id_is_followed_and_a_merged_record_stays_away() -> None:
    told = Told()
    told.both("17", "4")
    told.row("crm", "20", old_id="17")
    assert told.ids("crm:20", "shop:4") == []
    told.gone("20", "4")
    assert told.ids() == [("20", "4")]
    told.both("30", "31")
    told.row("crm", "30", "merge", into="20")
    told.row("shop", "31", "delete")
    assert told.ids() == [("20", "4")]


def test_an_older_page_does_not_undo_a_deletion() -> None:
    told = Told()
    told.both("17", "4")
    told.gone("17", "4")
    told.row("crm", "17", at=1)
    assert told.ids() == [("17", "4")]
    assert told.replay.lost([])[0].sides["crm"].values["note"] == "at 1"


def test_records_without_a_counterpart_or_a_whole_image_are_left_out() -> None:
    told = Told()
    told.row("crm", "1")
    told.row("crm", "1", "delete")
    told.row("crm", "2", values={"name": "half"})
    told.row("shop", "3")
    told.linked("crm:2", "shop:3")
    told.gone("2", "3")
    assert told.ids() == []
    assert told.replay.incomplete == 1


def test_of_an_app_that_is_read_as_far_as_syncs_name_it_the_image_is_what_they_name() -> None:
    able = Capabilities("watermark", whole=False)
    told = Told()
    told.replay = Replay("people", {**OBJECTS, "crm": msgspec.structs.replace(OBJECTS["crm"], capabilities=able)})
    told.row("crm", "1", values={"name": "n"})
    told.row("crm", "1", values={"name": "newer"})
    told.row("shop", "2")
    told.linked("crm:1", "shop:2")
    told.gone("1", "2")
    (pair,) = told.replay.lost([])
    assert pair.sides["crm"] == LostRecord("1", {"name": "newer"})
    assert told.replay.incomplete == 0


def test_only_what_was_told_to_be_gone_since_then() -> None:
    told = Told()
    told.both("1", "1")
    told.both("2", "2")
    told.gone("1", "1")
    then = told.position + 0.5
    told.gone("2", "2")
    assert told.ids(since=then) == [("2", "2")]
    assert told.ids() == [("2", "2"), ("1", "1")]


def test_rows_of_other_objects_and_links_of_other_syncs_change_nothing() -> None:
    told = Told()
    told.row("crm", "1")
    told.row("shop", "2", of="firms")
    told.linked("crm:1", "shop:2", sync="others")
    assert told.ids() == []


def test_orders_hold_so_many_pairs_and_no_more_text_than_a_message() -> None:
    def pairs(count: int, size: int) -> list[Found]:
        return [
            Found(LostPair({a: LostRecord(str(n), {"name": "x" * size}) for a in ("crm", "shop")}), 0.0)
            for n in range(count, 0, -1)
        ]

    ids = map(str, itertools.count())
    orders = list(orders_for("people", "crm", pairs(250, 1), lambda: next(ids)))
    carried = [pairs_in(order.arguments["replay"]) for order in orders]
    assert [len(one) for one in carried] == [PAIRS, PAIRS, 50]
    assert [one.sides["crm"].id for many in carried for one in many] == [str(n) for n in range(1, 251)]
    assert len({order.id for order in orders}) == 3
    large = list(orders_for("people", "crm", pairs(4, 100_000), lambda: "x"))
    assert [len(pairs_in(order.arguments["replay"])) for order in large] == [1, 1, 1, 1]
    assert all(len(msgspec.json.encode(order)) < 500_000 for order in large)
