"""Cases of the contract: a reference that is kept in a table of pairs, of which only the primary one counts.

Each is shown to fail by a twin with its fault planted (`faults.py`).
"""

from __future__ import annotations

import asyncio

from connectors.base import Change, Op, Outcome, Record
from tests.connectors.bench import Bench
from tests.connectors.contract_tools import all_pages, applied, case, create, following, one, only, opened, update


async def a_member(bench: Bench, *teams: str) -> str:
    """A member of teams, the first of which is the primary one."""
    member = await bench.insert("members", name="Ann")
    for number, team in enumerate(teams):
        await bench.pair(member, team, primary=number == 0)
    return member


@case("paired")
async def of_a_records_pairs_the_primary_one_is_read(bench: Bench) -> None:
    red, blue = [await bench.insert("teams", name=name) for name in ("red", "blue")]
    member, alone = await a_member(bench, blue, red), await a_member(bench)
    async with opened(bench.connector("members")) as connector:
        catalog = await connector.discover()
        field = catalog.objects["members"].field("team_id")
        assert field is not None
        assert (field.references, field.nullable, field.required, field.read_only) == ("teams", True, False, False)
        (page,) = await all_pages(connector, "members")
        assert {record.id: record.values["team_id"] for record in page.records} == {member: int(blue), alone: None}
        assert only(await connector.read("members", [member])).values["team_id"] == int(blue)


@case("paired")
async def a_changed_pair_comes_by_as_a_change_of_its_record(bench: Bench) -> None:
    red, blue = [await bench.insert("teams", name=name) for name in ("red", "blue")]
    member = await a_member(bench, red)
    async with following(bench, "members") as (_, log):
        told: list[object] = []
        await bench.pair(member, blue, primary=False)
        told.append([change.values["team_id"] for change in await log.changes()][-1:])
        await bench.pair(member, red, primary=False)
        await bench.pair(member, blue, primary=True)
        told.append([change.values["team_id"] for change in await log.changes()][-1:])
        await bench.unpair(member, blue)
        changes = await log.changes()
        told.append([change.values["team_id"] for change in changes][-1:])
        assert told == [[int(red)], [int(blue)], [None]]
        last = changes[-1]
        assert (last.op, last.id, last.values["name"]) == (Op.UPSERT, member, "Ann"), "the whole record"
        # What was read is newer than its place in the log: it must not pass for how far that has been told.
        assert last.version.seen is None or last.committed_at == 0


@case("paired")
async def a_new_record_comes_by_with_its_pair(bench: Bench) -> None:
    red = await bench.insert("teams", name="red")
    async with following(bench, "members") as (_, log):
        member = await a_member(bench, red)
        changes = await log.changes()
        assert {change.id for change in changes} == {member}
        assert all("team_id" in change.values for change in changes), "it is whole from the first"
        assert changes[-1].values["team_id"] == int(red)


@case("paired")
async def a_written_reference_moves_the_mark_and_removes_no_pair(bench: Bench) -> None:
    red, blue = [await bench.insert("teams", name=name) for name in ("red", "blue")]
    member = await a_member(bench, red)
    async with following(bench, "members") as (connector, log):
        edit = update("l", member, {"name": "Anna", "team_id": int(blue)}, expect={"team_id": int(red)})
        result = applied(await one(connector, edit, name="members"))
        assert result.record is not None
        assert (result.record.values["name"], result.record.values["team_id"]) == ("Anna", int(blue))
        assert await bench.paired(member) == {red: False, blue: True}
        assert (await log.changes())[-1].values["team_id"] == int(blue)
        back = update("l", member, {"team_id": int(red)}, expect={"team_id": int(blue)}, sequence=2)
        result = applied(await one(connector, back, name="members"))
        assert result.record is not None
        assert result.record.values["team_id"] == int(red)
        assert await bench.paired(member) == {red: True, blue: False}
        change = only(await log.changes())
        assert (change.id, change.values["team_id"], change.token) == (member, int(red), back.token), (
            "ours, by its token"
        )
        none = update("l", member, {"team_id": None}, expect={"team_id": int(red)}, sequence=3)
        applied(await one(connector, none, name="members"))
        assert await bench.paired(member) == {red: False, blue: False}
        assert (await log.changes())[-1].values["team_id"] is None


@case("paired")
async def a_record_is_created_with_its_pair_under_its_token(bench: Bench) -> None:
    red = await bench.insert("teams", name="red")
    async with following(bench, "members") as (connector, log):
        make = create("l", {"name": "Ann", "team_id": int(red)})
        result = applied(await one(connector, make, name="members"))
        assert result.id is not None
        assert result.record is not None
        assert result.record.values["team_id"] == int(red)
        assert await bench.paired(result.id) == {red: True}
        changes = await log.changes()
        assert (changes[0].id, changes[0].token) == (result.id, make.token), "whose it is, is told first"
        assert [change.values["team_id"] for change in changes] == [int(red)] * len(changes), "never without its pair"


@case("paired")
async def a_pair_that_was_changed_meanwhile_is_not_written_over(bench: Bench) -> None:
    red, blue, green = [await bench.insert("teams", name=name) for name in ("red", "blue", "green")]
    member = await a_member(bench, red)
    async with opened(bench.connector("members")) as connector:
        await connector.prepare()
        await bench.pair(member, red, primary=False)
        await bench.pair(member, green, primary=True)
        edit = update("l", member, {"team_id": int(blue)}, expect={"team_id": int(red)})
        result = await one(connector, edit, name="members")
        assert result.outcome is Outcome.CONFLICT
        assert result.record is not None
        assert result.record.values["team_id"] == int(green)
        assert await bench.paired(member) == {red: False, green: True}
        await connector.release()


@case("paired")
async def a_pair_that_is_refused_is_named_and_nothing_of_its_record_is_written(bench: Bench) -> None:
    red = await bench.insert("teams", name="red")
    member, other = await a_member(bench, red), await a_member(bench, red)
    async with opened(bench.connector("members")) as connector:
        await connector.prepare()
        writes = [
            update("l1", member, {"name": "Anna", "team_id": 4711}),
            update("l2", other, {"name": "Bob", "team_id": None}),
            create("l3", {"name": "Cid", "team_id": 4712}),
            create("l4", {"name": "Dot", "team_id": int(red)}),
        ]
        refused, done, unmade, made = await connector.apply("members", writes, None)
        assert [one.outcome for one in (refused, done, unmade, made)] == [
            Outcome.REJECTED, Outcome.APPLIED, Outcome.REJECTED, Outcome.APPLIED,
        ]  # fmt: skip
        assert (refused.category, refused.field, refused.other) == ("association", "team_id", "4711")
        assert (unmade.category, unmade.field, unmade.other) == ("association", "team_id", "4712")
        names = {one.id: one.values["name"] for one in (await all_pages(connector, "members"))[0].records}
        assert names == {member: "Ann", other: "Bob", made.id: "Dot"}
        assert await bench.paired(member) == {red: True}
        await connector.release()


@case("paired")
async def racing_edits_of_a_pair_end_as_the_app_holds_them(bench: Bench) -> None:
    """A person and the connector move the mark at the same time, again and again: the newest image is that of the app."""
    teams = [await bench.insert("teams", name=f"t{number}") for number in range(3)]
    member = await a_member(bench, teams[0])
    async with following(bench, "members") as (connector, log):
        images: list[Record | Change] = []
        for number in range(12):
            ours = update("l", member, {"team_id": int(teams[number % 3])}, sequence=number + 1)
            answer, _ = await asyncio.gather(
                one(connector, ours, name="members"),
                bench.pair(member, teams[(number + 1) % 3], primary=number % 2 == 0),
            )
            images += [answer.record] if answer.record is not None else []
        for team in teams:
            await bench.pair(member, team, primary=team == teams[1])
        changes = await log.changes()
        images += changes
        last = images[0]
        for image in images[1:]:
            last = image if image.version.newer_than(last.version) else last
        assert last.values["team_id"] == int(teams[1])
        assert changes[-1].values["team_id"] == int(teams[1]), "the log alone ends there, too"
