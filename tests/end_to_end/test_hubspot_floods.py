"""Much at once, and late: 12,000 changes in one window, an index that lags by 30 s, a pipeline whose edit moves every deal.

Nothing here waits with `tandem wait` before a change has crossed: that looks at everything, and would find what search has missed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import groupby

import pytest

from deploy.kafka import EmbeddedKafka
from deploy.postgres import EmbeddedPostgres
from tests.end_to_end.engine import until
from tests.end_to_end.hubspot_stage import Hub, hub_in
from tests.end_to_end.stage import Row

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PHONE = "SELECT phone FROM people WHERE email = %s"
LAG = 30  # seconds
FLOOD = 12_000  # more than the 10,000 results that a query of HubSpot's reaches
DEALS = 40


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, kafka: EmbeddedKafka, postgres: EmbeddedPostgres) -> Iterator[Hub]:
    with hub_in(tmp_path_factory, kafka.url, postgres) as hub:
        yield hub


def test_nothing_escapes_an_index_that_lags_by_30_s_also_when_killed_meanwhile(hub: Hub) -> None:
    (_, late), (_, other) = hub.contact("late@x.io"), hub.contact("other@x.io")
    mark, began = hub.mark(), time.monotonic()
    hub.fake.turn(index_delay=LAG)
    hub.portal.edit("contacts", late, phone="late")
    hub.portal.make("contacts", email="new@x.io", phone="late")
    hub.fake.turn(index_delay=0)
    # What happens later is seen at once: the search has moved on beyond what it cannot see yet. Then the worker is killed.
    hub.portal.edit("contacts", other, phone="1")
    hub.comes(PHONE, "other@x.io", to="1")
    hub.kill()
    hub.portal.edit("contacts", other, phone="2")
    hub.comes(PHONE, "other@x.io", to="2")
    assert hub.crm.value(PHONE, "late@x.io") is None
    hub.comes(PHONE, "late@x.io", to="late", patience=90)
    assert time.monotonic() - began >= LAG, "search has shown it, and nothing else has"
    hub.comes(PHONE, "new@x.io", to="late")
    hub.engine.wait()
    assert sorted(what for _, what, _ in hub.stored(mark)) == ["insert", "update", "update", "update"], "each once"


def test_an_edited_pipeline_moves_everything_and_writes_nothing_also_when_killed_in_the_middle(hub: Hub) -> None:
    hub.crm.run(
        "INSERT INTO deals (title, value, pipeline, stage) SELECT 'P' || n, n, 'default', 'contractsent' FROM generate_series(1, %s) n",
        DEALS,
    )
    until(lambda: hub.portal.count("deals") == DEALS, "the deals are in the portal")
    hub.engine.wait()
    mark = hub.mark()
    for killed in (False, True):
        since = hub.seen()
        edit = {"type": "deals", "id": "default", "label": f"Sales {killed}"}
        if killed:
            with hub.killed_at("/search", "deals", times=2):
                moved = hub.fake.admin("POST", "pipelines", edit)["moved"]
        else:
            moved = hub.fake.admin("POST", "pipelines", edit)["moved"]
        assert moved == DEALS
        until(lambda: read(hub, since) >= DEALS, "all deals have been read again")  # noqa: B023
        hub.engine.wait()
        assert hub.written(since) == []
    assert hub.stored(mark) == []
    assert hub.engine.status("deals")["in_sync"] == DEALS


def read(hub: Hub, since: int) -> int:
    """How many deals have been read by id since then."""
    return sum(one["inputs"] for one in hub.calls(since, "{type}/batch/read", "deals"))


def is_page(call: Row) -> bool:
    """Whether a search has shown products."""
    return bool(call["object"] == "products" and call["status"] == 200)


def pages(hub: Hub, since: int) -> list[Row]:
    """The searches that have shown products since then."""
    return [one for one in hub.calls(since, "/search") if is_page(one)]


def test_12_000_changes_within_one_window_all_come_by_also_when_killed_in_the_middle(hub: Hub) -> None:
    mark, since = hub.mark(), hub.seen()
    # Nobody can search while they are made, so that the first window that is read shows them all.
    hub.fake.fault("503", match="0-7/search", times=0)
    hub.portal.make_many("products", ({"hs_sku": f"S{n}", "name": f"Product {n}"} for n in range(FLOOD)))
    hub.fake.admin("DELETE", "faults")
    until(lambda: len(pages(hub, since)) >= 30, "half of the pages have been read")
    hub.kill()
    hub.comes("SELECT count(*) FROM goods", to=FLOOD, patience=180)
    assert hub.crm.value("SELECT count(DISTINCT sku) FROM goods WHERE name = 'Product ' || substr(sku, 2)") == FLOOD
    hub.engine.wait("products")
    assert len(hub.stored(mark)) == FLOOD, "each was made once, and none was written again"
    assert hub.engine.status("products")["in_sync"] == FLOOD
    runs = [len(list(run)) for alike, run in groupby(hub.calls(since, "/search"), is_page) if alike]
    assert max(runs) * 200 > 10_000, "one window had more results than a query reaches"
    assert hub.written(since) == []


def test_no_call_has_asked_for_a_property_that_no_mapping_needs(hub: Hub) -> None:
    hub.check_properties()
    hub.check_limits()
