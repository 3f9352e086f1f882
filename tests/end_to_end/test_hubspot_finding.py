"""How what changes in HubSpot is found: by the right date, between pages, by associations alone.

Nothing here waits with `tandem wait` before a change has crossed: that looks at everything, and would find what search has missed.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.kafka import EmbeddedKafka
from deploy.postgres import EmbeddedPostgres
from tests.end_to_end.engine import until
from tests.end_to_end.hubspot_stage import READ_ENDS, RELATE, Hub, hub_in

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PHONE, CITY, FIRM = (
    "SELECT phone FROM people WHERE id = %s",
    "SELECT city FROM firms WHERE id = %s",
    "SELECT firm_id FROM people WHERE id = %s",
)
MANY = 450  # contacts: three pages of a search


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, kafka: EmbeddedKafka, postgres: EmbeddedPostgres) -> Iterator[Hub]:
    with hub_in(tmp_path_factory, kafka.url, postgres) as hub:
        yield hub


def scanned(hub: Hub, since: int) -> list[str]:
    """The objects of which all ids were listed since then: what search does not show would be found so, too."""
    lists = [one for kind in ("contacts", "companies") for one in hub.calls(since, "/crm/objects/{v}/{type}", kind)]
    return [one["object"] for one in lists if "hs_merged_object_ids" in one["properties"]]


def test_each_object_is_searched_by_its_own_modified_date_also_when_killed_in_between(hub: Hub) -> None:
    (person, contact), (firm, company) = hub.contact("date@x.io"), hub.company("Date", "date.io")
    since, mark = hub.seen(), hub.mark()
    hub.portal.edit("contacts", contact, phone="1")
    hub.portal.edit("companies", company, city="Bonn")
    hub.comes(PHONE, person, to="1")
    hub.comes(CITY, firm, to="Bonn")
    # Killed when the search has shown both, and neither has been read.
    with hub.killed_at("/search", "contacts", times=2):
        hub.portal.edit("companies", company, city="Köln")
        hub.portal.edit("contacts", contact, phone="2")
    hub.comes(PHONE, person, to="2")
    hub.comes(CITY, firm, to="Köln")
    assert scanned(hub, since) == []
    hub.engine.wait()
    assert sorted(hub.stored(mark)) == [("firms", "update", str(firm))] * 2 + [("people", "update", str(person))] * 2
    assert hub.written(since) == []


def is_paging(hub: Hub, since: int) -> bool:
    """Whether the last two searches were of contacts: the second page of a window has been read, and there is a third."""
    return [one["object"] for one in hub.calls(since, "/search")[-2:]] == ["contacts", "contacts"]


@pytest.mark.parametrize("killed", [False, True], ids=["left alone", "killed in the middle"])
def test_what_changes_while_a_page_is_read_comes_by(hub: Hub, killed: bool) -> None:
    stem = "killed" if killed else "alone"
    ids = hub.portal.make_many("contacts", ({"email": f"{stem}{n}@x.io", "phone": "0"} for n in range(MANY)))
    query = f"SELECT count(*) FROM people WHERE email LIKE '{stem}%%' AND phone = %s"
    hub.comes(query, "0", to=MANY)
    since, mark = hub.seen(), hub.mark()
    hub.fake.turn(latency=0.25)
    for start in range(0, MANY, 100):
        body = {"inputs": [{"id": one, "properties": {"phone": "1"}} for one in ids[start : start + 100]]}
        hub.fake.ui("POST", "/crm/objects/2026-09/contacts/batch/update", body)
    until(lambda: is_paging(hub, since), "a page behind the first has been read")
    hub.portal.edit("contacts", ids[0], phone="2")  # its page was read already
    hub.portal.edit("contacts", ids[-1], phone="2")  # its page is still to come
    new = hub.portal.make("contacts", email=f"{stem}-new@x.io", phone="2")
    if killed:
        hub.kill()
    hub.fake.turn(latency=0)
    hub.comes(query, "1", to=MANY - 2)
    hub.comes(query, "2", to=3)
    assert hub.stands("contacts", "portal", new) == ("in_sync", None)
    writes = hub.stored(mark)
    assert len([one for one in writes if one[1] == "insert"]) == 1
    assert MANY <= len([one for one in writes if one[1] == "update"]) <= MANY + 2, (
        "each once, the first and the last perhaps twice"
    )
    assert hub.written(since) == []


def test_an_association_changed_alone_crosses_both_ways_also_when_killed_in_the_middle(hub: Hub) -> None:
    (one, first), (two, second), (three, third) = (hub.company(f"Firm {n}", f"firm{n}.io") for n in (1, 2, 3))
    person, contact = hub.contact("assoc@x.io")
    stamp = "SELECT updated_at FROM records WHERE id = ?"
    before, since, mark = hub.fake.sql(stamp, int(contact)), hub.seen(), hub.mark()
    hub.portal.relate("contacts", contact, "companies", first, 1)
    hub.comes(FIRM, person, to=one)
    # Killed when the associations have been read, and the contact has not.
    with hub.killed_at(READ_ENDS, "contacts", times=2):
        hub.portal.relate("contacts", contact, "companies", second, 1)
    hub.comes(FIRM, person, to=two)
    assert hub.fake.sql(stamp, int(contact)) == before, "no date has moved, so no search has shown it"
    hub.engine.wait()
    assert hub.stored(mark) == [("people", "update", str(person))] * 2
    assert hub.written(since) == []

    # The other way: killed when it is associated with the new one, and still with the old one.
    mark = hub.mark()
    with hub.killed_at(RELATE, "contacts"):
        hub.crm.run("UPDATE people SET firm_id = %s WHERE id = %s", three, person)
    until(lambda: 1 in hub.portal.related("contacts", contact, "companies").get(third, ()), "the third is the primary")
    assert hub.stands("contacts", "portal", contact) == ("in_sync", None)
    primaries = [id for id, types in hub.portal.related("contacts", contact, "companies").items() if 1 in types]
    assert primaries == [third]
    assert hub.crm.value(FIRM, person) == three
    assert hub.stored(mark) == [], "nothing came back"


def test_no_call_has_asked_for_a_property_that_no_mapping_needs(hub: Hub) -> None:
    hub.check_properties()
    hub.check_limits()
