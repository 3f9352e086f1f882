"""The account as a whole: two syncs on one budget, a token that is revoked and renewed, a scope that is taken away; and no secret told."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from connectors.hubspot.values import millis_of
from deploy.kafka import EmbeddedKafka
from deploy.postgres import EmbeddedPostgres
from tests.end_to_end.engine import until
from tests.end_to_end.hubspot_stage import SYNCS, UNLIMITED, Hub, hub_in

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PHONE, CITY = "SELECT phone FROM people WHERE id = %s", "SELECT city FROM firms WHERE id = %s"
TWO = {name: SYNCS[name] for name in ("companies", "contacts")}
BURST, DAY = 40, 250_000  # calls in ten seconds, and in a day
CREATES = 200


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, kafka: EmbeddedKafka, postgres: EmbeddedPostgres) -> Iterator[Hub]:
    limits = {"burst": BURST, "association_burst": BURST, "search_rate": 5, "daily": DAY}
    settings = {"searches": 5, "poll": 1.5, "associations_every": 5}
    with hub_in(tmp_path_factory, kafka.url, postgres, TWO, limits, **settings) as hub:
        yield hub


@pytest.fixture
def unlimited(hub: Hub) -> None:
    """The budget is not what is looked at."""
    hub.fake.turn(**UNLIMITED)


def busiest(hub: Hub, since: int, seconds: float, *, search: bool = False) -> int:
    """The most calls (or searches) that came in within so many seconds."""
    calls = [millis_of(one["at"]) for one in hub.calls(since, "/search" if search else "", "")]
    return max((sum(1 for other in calls if at <= other < at + seconds * 1000) for at in calls), default=0)


def test_two_syncs_share_one_budget(hub: Hub) -> None:
    since = hub.seen()
    hub.crm.run(
        "INSERT INTO firms (name, domain) SELECT 'F' || n, 'f' || n || '.io' FROM generate_series(1, %s) n", CREATES
    )
    hub.crm.run(
        "INSERT INTO people (email, phone) SELECT 'p' || n || '@x.io', '1' FROM generate_series(1, %s) n", CREATES
    )
    until(lambda: hub.portal.count("contacts") == hub.portal.count("companies") == CREATES, "all are made", 180)
    hub.engine.wait(timeout=180)
    assert len(hub.calls(since, "")) > BURST, "more than ten seconds may have"
    hub.check_limits()
    assert 0 < busiest(hub, since, 10) <= BURST
    assert 0 < busiest(hub, since, 1, search=True) <= 5
    # What is used and what is left is told.
    (address,) = hub.engine.json("status")["endpoints"]["metrics"]
    said = dict(
        line.rsplit(" ", 1) for line in httpx.get(address, trust_env=False).text.splitlines() if line[:1] != "#"
    )
    used, left = (float(said[f'tandem_limit_{what}{{account="portal",limit="day"}}']) for what in ("used", "left"))
    assert used + left == DAY
    assert 0 <= hub.fake.calls()["today"] - used < BURST


def test_two_syncs_on_one_budget_killed_in_the_middle_wait_as_the_refusal_says(hub: Hub) -> None:
    since = hub.seen()
    hub.crm.run("UPDATE firms SET city = 'Oslo'")
    hub.crm.run("UPDATE people SET phone = '2'")
    until(lambda: len(hub.calls(since, "batch/update")) >= 4, "it is in the middle")
    hub.kill()
    query = "SELECT count(*) FROM records WHERE json_extract(properties, '$.phone') = '2' OR json_extract(properties, '$.city') = 'Oslo'"
    until(lambda: hub.fake.sql(query)[0][0] == 2 * CREATES, "all is written", 180)
    hub.engine.wait(timeout=180)
    # The next worker does not know what the last one has used, and may be refused. Then it waits as the policy says, whatever it was about to do.
    calls = [(millis_of(one["at"]), one["status"], one["route"]) for one in hub.calls(since, "")]
    for at, status, route in calls:
        if status == 429:
            pause = 900 if route.endswith("/search") else 9500
            assert [one for one in calls if at + 300 < one[0] < at + pause] == []
    assert sum(1 for _, status, _ in calls if status == 429) <= 3


@pytest.mark.parametrize("killed", [False, True], ids=["left alone", "killed in the middle"])
def test_a_token_that_is_revoked_stops_and_the_new_one_goes_on(hub: Hub, unlimited: None, killed: bool) -> None:
    stem = "revoked-killed" if killed else "revoked"
    row, contact = hub.contact(f"{stem}@x.io", phone="1")
    hub.engine.wait("contacts")
    hub.fake.admin("PATCH", "tokens", {"token": hub.tokens[-1], "revoked": True})
    hub.crm.run("UPDATE people SET job = 'Chief' WHERE id = %s", row)
    hub.portal.edit("contacts", contact, phone="2")
    shown = until(lambda: pending(hub, "contacts", row), "it is shown as waiting, with the reason")
    assert shown["category"] == "permission"
    assert "token" in shown["message"]
    since = hub.seen()
    if killed:
        hub.kill()
    checked = hub.engine.run("check", status=1)
    assert "token" in checked.stdout + checked.stderr
    until(lambda: len(hub.calls(since, "")) >= 3, "it goes on trying")
    assert hub.crm.value(PHONE, row) == "1"
    hub.tokens.append(hub.new_token())
    hub.holds("contacts", contact, jobtitle="Chief", phone="2")
    hub.comes(PHONE, row, to="2")
    assert hub.stands("contacts", "crm", row) == ("in_sync", None)
    statuses = {one["status"] for one in hub.calls(since, "")}
    assert 401 in statuses


def pending(hub: Hub, sync: str, row: int) -> dict[str, str] | None:
    """The record as it is shown, where it waits for a reason."""
    shown = hub.standing(sync, "crm", row)
    return shown if shown["status"] == "pending" and shown["message"] else None


def test_a_scope_that_is_taken_away_is_named_and_what_it_kept_from_goes_on_when_it_is_back_also_when_killed(
    hub: Hub, unlimited: None
) -> None:
    (row, contact), (firm, company) = hub.contact("scope@x.io", phone="1"), hub.company("Scope", "scope.io")
    hub.engine.wait()
    token = hub.tokens[-1]
    scopes = next(one["scopes"] for one in hub.fake.admin("GET", "tokens")["results"] if one["token"] == token)
    lost = "crm.objects.contacts.write"
    hub.fake.admin("PATCH", "tokens", {"token": token, "scopes": [one for one in scopes if one != lost]})
    # Killed when the write was refused, and nobody knows it.
    with hub.killed_at("{type}/batch/update", "contacts"):
        hub.crm.run("UPDATE people SET job = 'Chief' WHERE id = %s", row)
    shown = hub.row("contacts", "crm", row)
    assert (shown["status"], shown["category"]) == ("failing", "permission")
    assert lost in shown["message"]
    # Reading is still permitted, and so are other objects: they go on.
    hub.portal.edit("contacts", contact, phone="2")
    hub.comes(PHONE, row, to="2")
    hub.crm.run("UPDATE firms SET city = 'Rome' WHERE id = %s", firm)
    hub.holds("companies", company, city="Rome")
    checked = hub.engine.run("check")
    assert lost in checked.stdout + checked.stderr
    hub.fake.admin("PATCH", "tokens", {"token": token, "scopes": scopes})
    hub.engine.run("retry", "contacts", "--category", "permission")
    hub.holds("contacts", contact, jobtitle="Chief", phone="2")
    assert hub.stands("contacts", "crm", row) == ("in_sync", None)


def test_no_call_has_asked_for_a_property_that_no_mapping_needs(hub: Hub) -> None:
    hub.check_properties()


def test_no_secret_is_in_a_file_a_topic_or_what_commands_print(hub: Hub) -> None:
    assert len(hub.tokens) == 3
    hub.check_secrets()
