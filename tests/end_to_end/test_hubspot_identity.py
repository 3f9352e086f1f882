"""Records that cease, come back, or become another one in HubSpot: merged under a new id or a kept one, archived and restored, GDPR-deleted."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy.kafka import EmbeddedKafka
from deploy.postgres import EmbeddedPostgres
from tests.end_to_end.engine import until
from tests.end_to_end.hubspot_stage import LIST, Hub, hub_in
from tests.end_to_end.stage import Row

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PHONE = "SELECT phone FROM people WHERE id = %s"
SET_PHONE = "UPDATE people SET phone = %s WHERE id = %s"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, kafka: EmbeddedKafka, postgres: EmbeddedPostgres) -> Iterator[Hub]:
    with hub_in(tmp_path_factory, kafka.url, postgres) as hub:
        yield hub


def counts(hub: Hub) -> tuple[int, int]:
    """How many people each side has."""
    return hub.crm.value("SELECT count(*) FROM people"), hub.portal.count("contacts")


@pytest.mark.parametrize("killed", [False, True], ids=["left alone", "killed in the middle"])
def test_a_merge_with_a_new_id_moves_one_link_and_shows_the_other(hub: Hub, killed: bool) -> None:
    stem = "killed" if killed else "alone"
    (ann_row, ann), (zoe_row, zoe) = (
        hub.contact(f"ann-{stem}@x.io", phone="1"),
        hub.contact(f"zoe-{stem}@x.io", phone="2"),
    )
    hub.engine.wait("contacts")
    rows, contacts = counts(hub)
    hub.fake.turn(merge_keeps_id=False)
    mark = hub.mark()
    if killed:
        # When the survivor has been read for the first time.
        with hub.killed_at("{type}/batch/read", "contacts"):
            survivor = hub.portal.merge("contacts", zoe, ann)
    else:
        survivor = hub.portal.merge("contacts", zoe, ann)
    assert survivor not in (ann, zoe)
    assert hub.stands("contacts", "crm", ann_row) == ("failing", "merged")
    assert hub.stands("contacts", "crm", zoe_row) == ("in_sync", None)
    assert hub.standing("contacts", "crm", zoe_row)["portal"]["id"] == survivor
    # What people do now goes where it belongs, in both directions; the loser is never created anew.
    hub.portal.edit("contacts", survivor, phone="3")
    hub.comes(PHONE, zoe_row, to="3")
    hub.crm.run("UPDATE people SET first_name = 'Zoe' WHERE id = %s", zoe_row)
    hub.holds("contacts", survivor, firstname="Zoe")
    hub.crm.run(SET_PHONE, "4", ann_row)
    assert hub.stands("contacts", "crm", ann_row) == ("failing", "merged")
    assert hub.portal.values("contacts", survivor, "phone") == {"phone": "3"}
    assert counts(hub) == (rows, contacts - 1)
    assert hub.stored(mark) == [("people", "update", str(zoe_row))]


@pytest.mark.parametrize("killed", [False, True], ids=["left alone", "killed in the middle"])
def test_a_merge_with_a_kept_id_while_an_edit_is_on_its_way(hub: Hub, killed: bool) -> None:
    stem = "kept-killed" if killed else "kept"
    (ann_row, ann), (zoe_row, zoe) = (
        hub.contact(f"ann-{stem}@x.io", phone="1"),
        hub.contact(f"zoe-{stem}@x.io", phone="2"),
    )
    hub.engine.wait("contacts")
    rows, contacts = counts(hub)
    # HubSpot takes no updates for a while, so that edits of both are decided, sent, and not done.
    hub.fake.fault("423", match="0-1/batch/update", times=0)
    since = hub.seen()
    hub.crm.run("UPDATE people SET phone = id::text WHERE id IN (%s, %s)", ann_row, zoe_row)
    until(lambda: hub.calls(since, "batch/update", "contacts"), "the edits are on their way")
    hub.fake.turn(merge_keeps_id=True)
    assert hub.portal.merge("contacts", zoe, ann) == zoe
    if killed:
        hub.kill()
    hub.fake.admin("DELETE", "faults")
    hub.holds("contacts", zoe, phone=str(zoe_row))
    assert hub.stands("contacts", "crm", ann_row) == ("failing", "merged")
    assert hub.stands("contacts", "crm", zoe_row) == ("in_sync", None)
    assert hub.portal.values("contacts", zoe, "phone", "email") == {"phone": str(zoe_row), "email": f"zoe-{stem}@x.io"}
    assert hub.crm.run("SELECT phone FROM people WHERE id IN (%s, %s) ORDER BY id", ann_row, zoe_row) == [
        {"phone": str(ann_row)},
        {"phone": str(zoe_row)},
    ]
    assert counts(hub) == (rows, contacts - 1)


def test_archived_and_restored_also_when_killed_in_the_middle(hub: Hub) -> None:
    (one_row, one), (two_row, two) = hub.contact("bin1@x.io", phone="1"), hub.contact("bin2@x.io", phone="1")
    hub.engine.wait("contacts")
    rows, contacts = counts(hub)
    hub.portal.archive("contacts", one)
    until(lambda: hub.standing("contacts", "crm", one_row)["category"] == "deleted", "the deletion is shown")
    assert hub.crm.value(PHONE, one_row) == "1", "and not copied"
    hub.crm.run(SET_PHONE, "2", one_row)  # remembered, not lost
    assert hub.stands("contacts", "crm", one_row) == ("failing", "deleted")
    # One is restored, the other archived: killed when the archive has been looked at.
    with hub.killed_at(LIST, "contacts"):
        hub.portal.restore("contacts", one)
        hub.portal.archive("contacts", two)
    hub.holds("contacts", one, phone="2")
    assert hub.stands("contacts", "crm", one_row) == ("in_sync", None)
    assert hub.stands("contacts", "crm", two_row) == ("failing", "deleted")
    hub.portal.restore("contacts", two)
    until(
        lambda: hub.standing("contacts", "crm", two_row)["status"] == "in_sync", "it is back, though no date has moved"
    )
    hub.portal.edit("contacts", two, phone="3")
    hub.comes(PHONE, two_row, to="3")
    assert counts(hub) == (rows, contacts), "nothing was made anew"


def test_where_deletions_are_copied_archived_and_restored_are_too(hub: Hub) -> None:
    ticket = hub.portal.make("tickets", subject="Broken", content="It is", hs_pipeline="0", hs_pipeline_stage="1")
    hub.arrived("cases", "title", "Broken")
    hub.portal.archive("tickets", ticket)
    hub.comes("SELECT count(*) FROM cases", to=0)
    hub.portal.restore("tickets", ticket)
    row = hub.arrived("cases", "title", "Broken")
    assert hub.stands("tickets", "portal", ticket) == ("in_sync", None)
    hub.crm.run("DELETE FROM cases WHERE id = %s", row)
    until(lambda: hub.having("tickets", "subject", "Broken", archived=True) == [ticket], "it is archived, not gone")
    hub.engine.wait("tickets")
    assert hub.crm.value("SELECT count(*) FROM cases") == 0
    assert hub.portal.count("tickets") == 0


def test_a_gdpr_deletion_leaves_no_trace_and_is_shown_also_when_killed_in_the_middle(hub: Hub) -> None:
    (one_row, one), (two_row, two) = hub.contact("gone1@x.io", phone="1"), hub.contact("gone2@x.io", phone="1")
    hub.engine.wait("contacts")
    rows, contacts = counts(hub)
    mark = hub.mark()
    hub.portal.gdpr_delete(one)
    assert hub.stands("contacts", "crm", one_row) == ("failing", "deleted")
    # Killed while all ids are listed, which alone can tell; the wait goes on, and the next worker looks again.
    with ThreadPoolExecutor(1) as pool:
        with hub.killed_at(LIST, "contacts", like=lists_all):
            hub.portal.gdpr_delete(two)
            waiting = pool.submit(hub.engine.wait, "contacts")
        waiting.result()
    assert hub.standing("contacts", "crm", two_row)["category"] == "deleted"
    # What is left is nobody's business but the other side's: its edits do not bring the contact back.
    hub.crm.run(SET_PHONE, "2", one_row)
    assert hub.stands("contacts", "crm", one_row) == ("failing", "deleted")
    assert counts(hub) == (rows, contacts - 2)
    assert hub.stored(mark) == []


def lists_all(call: Row) -> bool:
    """Whether a list is one of all ids, and not of the archive."""
    return "hs_merged_object_ids" in call["properties"]


def test_no_call_has_asked_for_a_property_that_no_mapping_needs(hub: Hub) -> None:
    hub.check_properties()
    hub.check_limits()
