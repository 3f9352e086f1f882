"""What HubSpot's connector sees of a portal, and when: over the fake, which is stricter than the real one."""

from __future__ import annotations

import asyncio

import pytest

from connectors.base import Batch, Context, FatalError, FieldsChanged, Marked, Op, RetriableError
from connectors.hubspot import HubSpotConnector
from tests.connectors.contract_tools import changes_of, logging, only, opened
from tests.connectors.hubspot.fake.process import Fake
from tests.connectors.hubspot.portal import CONTACT, Portal, creating, next_changes, put, told, updating

COMPANIES = {"contacts": (*CONTACT, "company_id"), "companies": ("name",)}


async def test_an_edit_is_found_by_search_with_values_from_the_store(fake: Fake) -> None:
    portal = Portal(fake)
    record_id = portal.make("contacts", email="ann@x.io", firstname="Ann")
    async with portal.running() as (_, log):
        portal.edit("contacts", record_id, firstname="Anna")
        change = only(await next_changes(log))
        assert (change.op, change.id) == (Op.UPSERT, record_id)
        assert {name: change.values[name] for name in CONTACT} == {"email": "ann@x.io", "firstname": "Anna"}
        assert set(change.values) == {*CONTACT, "hs_object_id", "createdate"}


async def test_contacts_are_found_by_their_own_modified_date_and_the_rest_by_theirs(fake: Fake) -> None:
    portal = Portal(fake, {"contacts": CONTACT, "companies": ("name",), "deals": ("dealname",)})
    async with portal.running() as (_, log):
        ids = {
            portal.make("contacts", email="a@x.io"),
            portal.make("companies", name="A"),
            portal.make("deals", dealname="D"),
        }
        assert {change.id for change in await next_changes(log, 3)} == ids


async def test_nothing_escapes_a_slow_index(fake: Fake) -> None:
    portal = Portal(fake, index_lag=1.5)
    fake.turn(index_delay=0.7, index_jitter=0.6)
    async with portal.running() as (_, log):
        ids = set()
        for number in range(40):
            ids.add(await asyncio.to_thread(portal.make, "contacts", email=f"p{number}@x.io"))
        seen = {change.id for change in await next_changes(log, 40)}
        assert seen == ids
    fake.turn(index_delay=0, index_jitter=0)


async def test_more_changes_than_a_query_may_have_results_all_come_by(fake: Fake) -> None:
    portal = Portal(fake)
    fake.turn(search_cap=300)
    async with portal.running() as (_, log):
        ids = portal.make_many("contacts", ({"email": f"p{n}@x.io"} for n in range(700)))
        seen = [change.id for change in await next_changes(log, 700)]
        assert sorted(seen, key=int) == ids, "each once"


async def test_what_is_edited_while_pages_are_read_is_seen(fake: Fake) -> None:
    portal = Portal(fake)
    ids = portal.make_many("contacts", ({"email": f"p{n}@x.io", "firstname": "old"} for n in range(600)))
    async with portal.running() as (_, log):
        fake.admin("POST", "touch", {"type": "contacts", "ids": ids})
        first = await next_changes(log, 1)
        for record_id in (ids[3], ids[300], ids[599]):
            portal.edit("contacts", record_id, firstname="new")
        last = {change.id: change.values["firstname"] for change in [*first, *changes_of(await log.settled())]}
        assert {record_id: name for record_id, name in last.items() if name == "new"} == dict.fromkeys(
            (ids[3], ids[300], ids[599]), "new"
        )


async def test_a_look_at_everything_lets_live_changes_through(fake: Fake) -> None:
    portal = Portal(fake)
    ids = portal.make_many("contacts", ({"email": f"p{n}@x.io"} for n in range(1000)))
    async with portal.running() as (connector, log):
        await log.settled()
        before = fake.calls()["last"]
        fake.turn(latency=0.2)  # ten pages of ids take two seconds
        await connector.mark("all")
        portal.edit("contacts", ids[-1], firstname="live")
        only(await next_changes(log))
        routes = {one["route"]: one["count"] for one in fake.calls(before)["results"]}
        assert 0 < routes["GET /crm/objects/{v}/{type}"] < 9, "it was told while ids were still being listed"
        while not isinstance(await log.next(), Marked):
            pass
    fake.turn(latency=0)


async def test_an_edited_pipeline_moves_every_deal_and_changes_no_value(fake: Fake) -> None:
    portal = Portal(fake, {"deals": ("dealname", "dealstage")})
    pipeline = fake.ui("GET", "/crm/pipelines/2026-09/deals")["results"][0]
    stage = pipeline["stages"][0]["id"]
    ids = portal.make_many(
        "deals", ({"dealname": f"d{n}", "pipeline": pipeline["id"], "dealstage": stage} for n in range(30))
    )
    async with portal.running() as (connector, log):
        before = {record.id: record.values for record in await connector.read("deals", ids)}
        fake.admin("POST", "pipelines", {"type": "deals", "id": pipeline["id"], "label": "Renamed"})
        changes = await next_changes(log, 30)
        assert {change.id: change.values for change in changes} == before


async def test_only_properties_that_a_sync_names_are_asked_for(fake: Fake) -> None:
    portal = Portal(fake, {"contacts": ("email",), "deals": ("amount",)})
    record_id = portal.make("contacts", email="ann@x.io", phone="1")
    async with portal.running() as (connector, log):
        portal.edit("contacts", record_id, phone="2")
        await next_changes(log)
        async for _ in connector.snapshot("deals", None):
            pass
        await put(connector, "contacts", creating("l", {"email": "bob@x.io"}))
        await log.settled()
    own = {"hs_object_id", "hs_merged_object_ids", "tandem_sync_id", "lastmodifieddate", "hs_lastmodifieddate"}
    asked = {one["object"]: set(one["properties"]) - own for one in fake.calls()["results"] if one["properties"]}
    assert asked["contacts"] == {"email"}
    assert asked["deals"] <= {"amount", "deal_currency_code"}, "an amount and its currency belong together"


async def test_what_is_used_of_the_limits_and_what_is_left_is_told(fake: Fake) -> None:
    told_of: dict[str, tuple[float, float]] = {}
    portal = Portal(fake)
    context = Context(
        "acme",
        "crm",
        portal.uses("contacts"),
        portal.memory(),
        lambda name, used, left: told_of.update({name: (used, left)}),
    )
    fake.turn(burst=100, daily=5000)
    async with (
        opened(HubSpotConnector(portal.settings(searches=5), context)) as connector,
        logging(portal, connector) as log,
    ):
        await log.settled()
        await log.settled()
        assert set(told_of) == {"day", "ten_seconds", "searches"}
        assert sum(told_of["day"]) == 5000 and told_of["day"][0] > 3
        assert sum(told_of["ten_seconds"]) == 100 and told_of["ten_seconds"][0] > 3
        assert sum(told_of["searches"]) == 5


# ---------------------------------------------------------------- associations


async def test_an_association_that_changes_alone_comes_by(fake: Fake) -> None:
    portal = Portal(fake, COMPANIES)
    ann, acme, other = (
        portal.make("contacts", email="a@x.io"),
        portal.make("companies", name="A"),
        portal.make("companies", name="B"),
    )
    async with portal.running() as (_, log):
        portal.relate("contacts", ann, "companies", acme, 1)
        assert [change.values["company_id"] for change in await next_changes(log)] == [acme]
        portal.relate("contacts", ann, "companies", other, 279)  # not the primary
        portal.relate("contacts", ann, "companies", other, 1)
        assert [change.values["company_id"] for change in await next_changes(log)] == [other]
        portal.part("contacts", ann, "companies", other)
        change = only(await next_changes(log))
        assert (change.id, change.values["company_id"]) == (ann, None)


async def test_an_association_that_changed_while_nobody_looked_comes_by(fake: Fake) -> None:
    portal = Portal(fake, COMPANIES)
    ann, acme = portal.make("contacts", email="a@x.io"), portal.make("companies", name="A")
    async with portal.running(last=False) as (_, log):
        await log.settled()
        await log.store()
    portal.relate("contacts", ann, "companies", acme, 1)
    async with portal.running() as (_, log):
        assert [change.values["company_id"] for change in await log.changes()] == [acme]


async def test_what_a_person_undid_of_our_association_is_told(fake: Fake) -> None:
    """We write it and others are told by our answer; a person undoes it before it was looked at again."""
    portal = Portal(fake, COMPANIES, associations_every=3600)
    ann, acme = portal.make("contacts", email="a@x.io"), portal.make("companies", name="A")
    async with portal.running() as (_, log):
        await log.settled()
        async with opened(portal.connector()) as delivery:
            written = only(await put(delivery, "contacts", updating("l", ann, {"company_id": acme})))
            assert written.record is not None and written.record.values["company_id"] == acme
        portal.part("contacts", ann, "companies", acme)
        change = (await log.changes())[-1]
        assert change.values["company_id"] is None
        assert change.version.newer_than(written.record.version)


async def test_what_a_person_undid_of_our_association_is_told_also_where_the_first_look_fails(fake: Fake) -> None:
    portal = Portal(fake, COMPANIES, associations_every=3600)
    ann, acme = portal.make("contacts", email="a@x.io"), portal.make("companies", name="A")
    async with portal.running(last=False) as (_, log):
        await log.settled()
        await log.store()
        async with opened(portal.connector()) as delivery:
            await put(delivery, "contacts", updating("l", ann, {"company_id": acme}))
        portal.part("contacts", ann, "companies", acme)
        fake.fault("500", match="associations", times=3)
        with pytest.raises(RetriableError):
            await log.settled()
    async with portal.running() as (_, log):
        assert [(change.id, change.values["company_id"]) for change in await log.changes()] == [(ann, None)]


# ---------------------------------------------------------------- merges and deletions


@pytest.mark.parametrize("keeps_id", [False, True])
async def test_a_merge_comes_by_before_its_survivor(fake: Fake, keeps_id: bool) -> None:
    portal = Portal(fake)
    fake.turn(merge_keeps_id=keeps_id)
    ann, anne = portal.make("contacts", email="ann@x.io"), portal.make("contacts", email="anne@x.io")
    async with portal.running() as (connector, log):
        survivor = portal.merge("contacts", ann, anne)
        losers = {anne} if keeps_id else {ann, anne}
        changes = await next_changes(log, len(losers) + 1)
        assert set(told(changes[:-1])) == {("merge", loser, survivor) for loser in losers}
        assert told(changes[-1:]) == [("upsert", survivor, None)]
        assert changes_of(await log.settled()) == [], "and once only"
        (record,) = await connector.read("contacts", [anne])
        assert (record.id, record.into) == (anne, survivor)


@pytest.mark.parametrize("keeps_id", [False, True])
async def test_a_merge_while_nobody_looked_comes_by(fake: Fake, keeps_id: bool) -> None:
    portal = Portal(fake)
    fake.turn(merge_keeps_id=keeps_id)
    ann, anne = portal.make("contacts", email="ann@x.io"), portal.make("contacts", email="anne@x.io")
    async with portal.running(last=False) as (_, log):
        await log.settled()
        await log.store()
    survivor = portal.merge("contacts", ann, anne)
    async with portal.running() as (_, log):
        ops = told(await log.changes())
        assert ("merge", anne, survivor) in ops
        assert not any(op == "delete" for op, _, _ in ops)


async def test_a_write_to_a_record_that_was_merged_waits_for_its_link_to_follow(fake: Fake) -> None:
    portal = Portal(fake)
    ann, anne = portal.make("contacts", email="ann@x.io"), portal.make("contacts", email="anne@x.io")
    async with opened(portal.connector()) as connector:
        survivor = portal.merge("contacts", ann, anne)
        result = only(await put(connector, "contacts", updating("l", anne, {"firstname": "X"})))
        assert (result.outcome.value, survivor in (result.message or "")) == ("retry", True)
        assert portal.values("contacts", survivor, "firstname") == {}


async def test_archived_and_restored_are_told_though_no_date_moves(fake: Fake) -> None:
    portal = Portal(fake, index_lag=0)  # so that search does not come by its date again
    record_id = portal.make("contacts", email="ann@x.io")
    async with portal.running() as (_, log):
        portal.archive("contacts", record_id)
        (gone,) = await next_changes(log)
        assert told([gone]) == [("delete", record_id, None)]
        portal.restore("contacts", record_id)
        (back,) = await next_changes(log)
        assert told([back]) == [("upsert", record_id, None)]
        assert back.version.newer_than(gone.version)


async def test_archived_and_restored_across_a_restart(fake: Fake) -> None:
    portal = Portal(fake)
    one, two = portal.make("contacts", email="a@x.io"), portal.make("contacts", email="b@x.io")
    async with portal.running(last=False) as (_, log):
        portal.archive("contacts", two)
        assert told(await log.changes(deleted=1)) == [("delete", two, None)]
        await log.store()
    portal.archive("contacts", one)
    portal.restore("contacts", two)
    async with portal.running() as (_, log):
        assert set(told(await next_changes(log, 2))) == {("delete", one, None), ("upsert", two, None)}


async def test_a_record_that_was_archived_before_it_began_is_told_when_it_comes_back(fake: Fake) -> None:
    portal = Portal(fake, index_lag=0)  # so that search does not come by its date again
    record_id = portal.make("contacts", email="ann@x.io")
    portal.archive("contacts", record_id)
    async with portal.running() as (_, log):
        await log.settled()  # the archive has been looked at
        portal.restore("contacts", record_id)
        assert told(await next_changes(log)) == [("upsert", record_id, None)]


async def test_a_gdpr_deletion_leaves_no_trace_and_is_found_by_the_scan(fake: Fake) -> None:
    portal = Portal(fake, scan_every=0.3)
    record_id = portal.make("contacts", email="ann@x.io")
    portal.make("contacts", email="bob@x.io")
    async with portal.running(last=False) as (_, log):
        portal.gdpr_delete(record_id)
        assert told(await next_changes(log)) == [("delete", record_id, None)]
        await log.store()
    async with portal.running() as (_, log):
        assert told(await log.changes()) == []


async def test_the_scan_alone_finds_what_was_archived_and_what_is_back(fake: Fake) -> None:
    portal = Portal(fake, archived_every=3600, scan_every=0.2, index_lag=0)
    record_id = portal.make("contacts", email="ann@x.io")
    portal.make("contacts", email="bob@x.io")
    async with portal.running() as (_, log):
        await log.settled()  # the archive has been looked at, and is not again
        portal.archive("contacts", record_id)
        assert told(await next_changes(log)) == [("delete", record_id, None)]
        portal.restore("contacts", record_id)
        assert told(await next_changes(log)) == [("upsert", record_id, None)]


async def test_a_purged_record_is_forgotten_and_not_told_again(fake: Fake) -> None:
    portal = Portal(fake)
    record_id = portal.make("contacts", email="ann@x.io")
    async with portal.running() as (_, log):
        portal.archive("contacts", record_id)
        await next_changes(log)
        fake.admin("POST", "purge", {"type": "contacts", "ids": [record_id]})
        assert told(await log.changes()) == []
        await log.store()
        assert not any(record_id in key for key in (await portal.memory().recall()).notes)


# ---------------------------------------------------------------- the place


async def test_a_crash_in_the_middle_of_a_window_tells_the_rest_and_nothing_twice(fake: Fake) -> None:
    portal = Portal(fake)
    async with portal.running(last=False) as (_, log):
        await log.settled()
        await log.store()
        ids = portal.make_many("contacts", ({"email": f"p{n}@x.io"} for n in range(1500)))
        first = await log.next()
        while not isinstance(first, Batch):
            first = await log.next()
        await log.store(first)
    stored = {change.id for change in first.changes}
    assert 0 < len(stored) < 1500
    async with portal.running() as (_, log):
        assert {change.id for change in await log.changes()} == set(ids) - stored


async def test_search_goes_on_from_where_it_stood(fake: Fake) -> None:
    portal = Portal(fake, archived_every=3600, associations_every=3600, index_lag=0)
    ann, bob = portal.make("contacts", email="ann@x.io"), portal.make("contacts", email="bob@x.io")
    async with portal.running(last=False) as (_, log):
        portal.edit("contacts", ann, firstname="one")
        await next_changes(log)
        await log.settled()
        await log.store()
    portal.edit("contacts", bob, firstname="two")
    async with portal.running() as (_, log):
        assert told(await next_changes(log)) == [("upsert", bob, None)]


async def test_an_object_that_is_added_later_is_captured_from_then_on(fake: Fake) -> None:
    portal = Portal(fake)
    there = portal.make("companies", name="there")
    async with portal.running(last=False) as (_, log):
        await log.settled()
        await log.store()
    both = Portal(fake, {"contacts": CONTACT, "companies": ("name",)})
    both._memories.update(portal._memories)
    async with both.running() as (_, log):
        assert await log.changes() == []
        made = {both.make("companies", name="new"), both.make("contacts", email="n@x.io")}
        both.archive("companies", there)
        assert {change.id for change in await log.changes(deleted=1)} == {*made, there}


async def test_an_association_that_a_sync_has_come_to_name_loses_no_edit_made_meanwhile(fake: Fake) -> None:
    portal = Portal(fake)
    ann, bob = portal.make("contacts", email="a@x.io"), portal.make("contacts", email="b@x.io")
    acme = portal.make("companies", name="A")
    async with portal.running(last=False) as (_, log):
        await log.settled()
        await log.store()
    portal.edit("contacts", ann, firstname="edited")
    portal.relate("contacts", bob, "companies", acme, 1)
    more = Portal(fake, COMPANIES)
    more._memories.update(portal._memories)
    async with more.running() as (_, log):
        last = {change.id: change.values for change in await log.changes()}
        assert (last[ann]["firstname"], last[bob]["company_id"]) == ("edited", acme)


async def test_another_portal_than_the_one_synced_with_stops_everything(fake: Fake) -> None:
    portal = Portal(fake)
    async with portal.running(last=False) as (_, log):
        await log.settled()
        await log.store()
    fake.turn(portal_id=77)
    async with opened(portal.connector()) as connector:
        with pytest.raises(FatalError, match=r"portal 77.*portal 4242001"):
            async with logging(portal, connector):
                pass


async def test_a_scope_that_is_taken_away_is_named(fake: Fake) -> None:
    portal = Portal(fake)
    scopes = fake.admin("GET", "tokens")["results"][0]["scopes"]
    async with portal.running() as (_, log):
        fake.admin(
            "PATCH", "tokens", {"token": fake.token, "scopes": sorted(set(scopes) - {"crm.objects.contacts.read"})}
        )
        with pytest.raises(FatalError, match=r"crm\.objects\.contacts\.read") as caught:
            await log.end()
        assert "crm.objects.contacts.read" in caught.value.remedy
        assert fake.token not in str(caught.value)


async def test_an_object_that_is_gone_stops_and_deletes_nothing(fake: Fake) -> None:
    fake.admin(
        "POST",
        "schemas",
        {
            "name": "rockets",
            "singular": "rocket",
            "properties": [{"name": "name", "type": "string", "fieldType": "text"}],
        },
    )
    portal = Portal(fake, {"rockets": ("name",)}, scan_every=0.2)
    type_id = fake.ui("GET", "/crm-object-schemas/2026-09/schemas")["results"][0]["objectTypeId"]
    portal.make(type_id, name="A")
    async with portal.running() as (_, log):
        await log.settled()
        fake.reset(search_rate=10_000)  # another portal under the same id: it does not know the type
        with pytest.raises(FatalError):
            await log.end()
        assert changes_of(log._seen) == []


async def test_a_property_that_is_gone_is_told_and_the_rest_goes_on(fake: Fake) -> None:
    fake.admin("POST", "properties", {"objectType": "contacts", "name": "shoe", "type": "string", "fieldType": "text"})
    portal = Portal(fake, {"contacts": ("email", "shoe")})
    async with portal.running() as (_, log):
        await log.settled()
        fake.ui("DELETE", "/crm/properties/2026-09/contacts/shoe")
        record_id = portal.make("contacts", email="ann@x.io")
        events = [await log.next()]
        while not changes_of(events):
            events.append(await log.next())
        (change,) = changes_of(events)
        assert (change.id, change.values["email"], change.values["shoe"]) == (record_id, "ann@x.io", None)
        fields = next(event.fields for event in events if isinstance(event, FieldsChanged))
        assert "shoe" not in dict(fields or ())
