"""The fake: faults on order, connections that are cut, and a process that is killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.connectors.hubspot.conftest import Api, refused
from tests.connectors.hubspot.fake.process import Fake, FakeError
from tests.deploy.watching import until

LIST = "/crm/objects/{v}/contacts"


def test_a_connection_cut_before_the_write_leaves_nothing_done(fake: Fake, api: Api) -> None:
    fake.fault("cut_before", match="batch/create")
    with pytest.raises(httpx.TransportError):
        api.objects("/batch/create", {"inputs": [{"properties": {"firstname": "A"}}]})
    assert api.get(LIST).json()["results"] == []


def test_a_connection_cut_after_the_write_leaves_it_done(fake: Fake, api: Api) -> None:
    fake.fault("cut_after", match="batch/create")
    with pytest.raises(httpx.TransportError):
        api.objects("/batch/create", {"inputs": [{"properties": {"firstname": "A"}}]})
    assert len(api.get(LIST).json()["results"]) == 1
    assert api.objects("/batch/create", {"inputs": [{"properties": {"firstname": "B"}}]}).status_code == 201
    assert fake.sql("SELECT fault, status FROM calls WHERE fault <> ''") == [("cut_after", 201)]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_comes_for_the_next_calls_and_writes_nothing(fake: Fake, api: Api, status: int) -> None:
    fake.fault(str(status), times=2, method="POST")
    assert api.get(LIST).status_code == 200
    assert [api.objects("", {"properties": {"firstname": "A"}}).status_code for _ in range(3)] == [status, status, 201]
    assert len(api.get(LIST).json()["results"]) == 1


def test_a_lock_lasts_for_two_seconds_unless_the_knob_says_otherwise(fake: Fake, api: Api) -> None:
    assert fake.admin("GET", "knobs")["lock_seconds"] == 2.0
    fake.turn(lock_seconds=0.4)
    fake.fault("423", match="contacts")
    began = time.monotonic()
    refused(api.get(LIST), 423)
    assert until(lambda: api.get(LIST).status_code == 200, 5)
    assert time.monotonic() - began >= 0.4
    assert api.get("/crm/objects/{v}/companies").status_code == 200


def test_a_migration_says_how_long_to_wait(fake: Fake, api: Api) -> None:
    fake.turn(migration_seconds=0.4)
    fake.fault("477")
    began = time.monotonic()
    answer = api.get(LIST)
    refused(answer, 477)
    assert int(answer.headers["Retry-After"]) >= 1
    assert until(lambda: api.get(LIST).status_code == 200, 5)
    assert time.monotonic() - began >= 0.4


def test_a_429_may_be_ordered_with_any_policy(fake: Fake, api: Api) -> None:
    fake.fault("429", policy="DAILY")
    answer = api.get(LIST)
    assert refused(answer, 429)["policyName"] == "DAILY" and "Retry-After" not in answer.headers


def test_a_token_may_lose_the_user_who_made_it(fake: Fake, api: Api) -> None:
    fake.fault("403", times=0)
    body = refused(api.get(LIST), 403)
    assert body["category"] == "USER_DOES_NOT_HAVE_PERMISSIONS" and "errors" not in body


def test_faults_skip_calls_repeat_and_come_by_chance(fake: Fake, api: Api) -> None:
    fake.fault("500", times=1, skip=2)
    assert [api.get(LIST).status_code for _ in range(4)] == [200, 200, 500, 200]
    fake.fault("500", times=0, every=3)
    assert [api.get(LIST).status_code for _ in range(6)] == [200, 200, 500] * 2
    fake.admin("DELETE", "faults")
    fake.fault("503", times=0, rate=0.5)
    statuses = [api.get(LIST).status_code for _ in range(40)]
    assert {200, 503} == set(statuses)
    fake.admin("DELETE", "faults")
    assert fake.admin("GET", "faults") == {"results": []} and api.get(LIST).status_code == 200


def test_the_same_seed_gives_the_same_chances(fake: Fake, api: Api) -> None:
    runs = []
    for seed in (1, 1, 2):
        fake.turn(seed=seed)
        fake.fault("503", times=0, rate=0.5)
        runs.append([api.get(LIST).status_code for _ in range(20)])
        fake.admin("DELETE", "faults")
    assert runs[0] == runs[1] != runs[2]


def test_calls_take_as_long_as_the_knobs_say(fake: Fake, api: Api) -> None:
    def took() -> float:
        began = time.monotonic()
        api.get(LIST)
        return time.monotonic() - began

    fake.turn(latency=0.15)
    assert min(took() for _ in range(3)) >= 0.15
    fake.turn(latency=0, latency_jitter=0.3)
    assert max(took() for _ in range(12)) >= 0.1


def test_error_bodies_have_several_forms(fake: Fake, api: Api) -> None:
    def body() -> dict[str, object]:
        found: dict[str, object] = api.read("99999").json()
        return found

    assert body()["category"] == "OBJECT_NOT_FOUND"
    fake.turn(error_bodies="nested")
    assert json.loads(str(body()["message"]))["category"] == "OBJECT_NOT_FOUND" and "category" not in body()
    fake.turn(error_bodies="bare")
    assert set(body()) == {"status", "message"}
    fake.turn(error_bodies="mixed")
    assert len({frozenset(body()) for _ in range(30)}) == 3


def test_what_is_no_fault_and_no_knob_is_refused(fake: Fake) -> None:
    for method, path, body in (
        ("POST", "faults", {"kind": "418"}),
        ("POST", "faults", {"kind": "500", "match": "("}),
        ("POST", "faults", {"kind": "500", "often": 3}),
        ("PATCH", "knobs", {"no_such_knob": 3}),
        ("PATCH", "knobs", {"burst": "many"}),
        ("PATCH", "knobs", {"error_bodies": "strange"}),
        ("PATCH", "knobs", {"time_zone": "Nowhere/Else"}),
        ("GET", "nothing", None),
    ):
        with pytest.raises(FakeError, match=r"40[04]"):
            fake.admin(method, path, body)


def test_a_killed_fake_goes_on_where_it_was(tmp_path: Path) -> None:
    with Fake(tmp_path / "portal", index_delay=600, fault="500,times=2", portal_id=77) as fake:
        api = Api(fake.url)
        assert api.get(LIST).status_code == 500
        ids = [api.objects("", {"properties": {"email": f"{number}@x.example"}}) for number in range(3)]
        assert [each.status_code for each in ids] == [500, 201, 201]
        fake.kill()
        assert fake.sql("SELECT properties ->> 'email', object FROM records ORDER BY id") == [
            ("1@x.example", "contacts"),
            ("2@x.example", "contacts"),
        ]
        fake.start()
        assert len(api.get(LIST).json()["results"]) == 2
        refused(api.objects("", {"properties": {"email": "1@x.example"}}), 409)
        assert api.found() == [], "what search has yet to see is kept as well"
        assert api.get("/account-info/{v}/details").json()["portalId"] == 77
        fake.turn(index_delay=0)
        new = api.create(email="4@x.example")
        assert api.found() == [new]
        fake.restart()
        assert api.found() == [new] and fake.calls()["today"] >= 8
        api.client.close()


def test_a_fake_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.connectors.hubspot.fake",
        "--port",
        "0",
        "--data",
        str(tmp_path),
        "--with-parent",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout and process.stdout.readline().startswith(b"http://")
        process.stdin.close()
        assert process.wait(20) == 0


def test_a_fake_that_cannot_start_says_so(tmp_path: Path, fake: Fake) -> None:
    with pytest.raises(FakeError, match="did not start"):
        Fake(tmp_path, port=fake.port).start()
