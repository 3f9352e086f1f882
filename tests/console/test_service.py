"""The JSON shapes of the contract, key by key, and the answers in them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from console.errors import FailedError, WrongUseError
from console.home import Home, Role, Running, WorkerEntry
from console.readmodel.reader import RecordFilter
from console.readmodel.writer import ReadModelWriter, Rows
from console.service import Service
from tests.console.samples import CONFIGURATION, NOW, ORIGIN, PAIR, SYNC, contact, fill, rows


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def service(home: Home) -> Iterator[Service]:
    fill(home.read_model)
    service = Service.open(home)
    yield service
    service.close()


def describe(*workers: WorkerEntry) -> Running:
    return Running(pid=1, since=NOW, installation="acme", broker="kafka://x:1", ready=True, workers=workers)


def test_status_has_the_shape_of_the_contract(service: Service) -> None:
    found = json.loads(msgspec.json.encode(service.status("contacts")))
    assert found["endpoints"] == {"console": None, "metrics": []}
    (sync,) = found["syncs"]
    assert {key: sync[key] for key in ("sync", "state", "in_sync", "failing", "excluded", "pending")} == {
        "sync": "contacts",
        "state": "live",
        "in_sync": 1,
        "failing": 1,
        "excluded": 1,
        "pending": 1,
    }
    assert sync["initial"] == {"read": {"shop": 2, "crm": 3}, "matched": 1, "created": 0, "remaining": 0}
    # Nothing runs, so the change that was under way at NOW + 119 is as old as the read model, which is as of NOW + 125.
    assert sync["lag_seconds"] == pytest.approx(6.0)


def test_records_have_the_shape_of_the_contract(service: Service) -> None:
    found = {record["status"]: record for record in service.records(RecordFilter(sync="contacts"))}
    assert found["in_sync"] == {
        "sync": "contacts",
        "status": "in_sync",
        "category": None,
        "message": None,
        "remedy": None,
        "since": "2026-01-01T00:00:00Z",
        "shop": {"id": "4", "fields": {"email": "ana@x.es", "level": 1}},
        "crm": {"id": "17", "fields": {"mail": "ana@x.es", "tier": "gold"}},
    }
    assert found["excluded"]["crm"] is None
    assert found["excluded"]["category"] == "no_identifier"
    # The accounts come in the order in which the file names them.
    assert list(found["failing"])[-2:] == ["shop", "crm"]


def test_failures_are_grouped_by_category_with_their_remedy(service: Service) -> None:
    (group,) = service.failures()["failures"]
    assert (group["sync"], group["category"], group["count"]) == ("contacts", "invalid_value", 1)
    assert group["records"][0]["remedy"] == "Choose gold or silver in crm."
    assert service.failures("companies") == {"failures": []}


def test_the_running_engine_names_its_endpoints(home: Home) -> None:
    fill(home.read_model)
    with Role(home, "up", "tandem up") as role:
        role.describe(describe(WorkerEntry(1, 11, "http://127.0.0.1:9470/metrics"), WorkerEntry(2, 12)))
        service = Service.open(home)
        assert service.endpoints() == {"console": None, "metrics": ["http://127.0.0.1:9470/metrics"]}
        lag = service.status("contacts")["syncs"][0]["lag_seconds"]
        assert lag == pytest.approx(time.time() - (NOW + 119), abs=5)
        service.close()


def test_a_sync_that_was_only_just_applied_or_switched_off_is_shown_so(service: Service) -> None:
    """No worker has reported on `companies`; the applied configuration says that it is off."""
    (companies,) = service.status("companies")["syncs"]
    assert (companies["state"], companies["in_sync"], companies["initial"]["read"]) == ("off", 0, {"crm": 0, "shop": 0})


def test_a_sync_that_is_being_switched_on_again_is_not_shown_as_off(home: Home) -> None:
    writer = ReadModelWriter(home.read_model, ORIGIN)
    writer.store(rows(syncs=(msgspec.structs.replace(SYNC, state="off", version=2),)), NOW)
    writer.close()
    service = Service.open(home)
    assert service.status("contacts")["syncs"][0]["state"] == "initial"
    service.close()


def test_names_that_do_not_exist_are_refused_with_what_was_meant(service: Service) -> None:
    with pytest.raises(WrongUseError, match="There is no sync contcats") as caught:
        service.status("contcats")
    assert caught.value.remedy == "Did you mean contacts?"
    assert caught.value.status == 2


def test_a_record_is_named_by_account_and_id_or_the_id_alone(service: Service) -> None:
    assert service.find("contacts", "crm:17").key == "l1"
    assert service.find("contacts", "17").key == "l1"
    assert service.find("contacts", "shop:4").key == "l1"
    assert service.find("contacts", "crm:4").key == "l2"


def test_an_id_that_several_records_have_must_say_its_account(service: Service) -> None:
    with pytest.raises(WrongUseError, match="4 is the id of several records") as caught:
        service.find("contacts", "4")
    assert "crm:4" in caught.value.remedy
    assert "shop:4" in caught.value.remedy


def test_an_id_with_a_colon_is_an_id(home: Home) -> None:
    fill(home.read_model, contact("l9", crm={"id": "urn:9", "mail": "x"}))
    service = Service.open(home)
    assert service.find("contacts", "urn:9").key == "l9"
    assert service.find("contacts", "crm:urn:9").key == "l9"
    service.close()


def test_a_record_that_does_not_exist_is_refused(service: Service) -> None:
    with pytest.raises(WrongUseError, match="There is no record crm:99 in contacts"):
        service.find("contacts", "crm:99")


def test_before_anything_has_run_it_says_how_to_start(home: Home) -> None:
    with pytest.raises(FailedError) as caught:
        Service.open(home)
    assert caught.value.status == 1
    assert "tandem up" in caught.value.remedy


def test_while_up_is_coming_up_it_says_so(home: Home) -> None:
    with Role(home, "up", "tandem up"), pytest.raises(FailedError, match="still coming up"):
        Service.open(home)


def test_a_sync_that_left_the_configuration_but_is_still_reported_is_shown(home: Home) -> None:
    document = {**CONFIGURATION, "document": {"syncs": {}}}
    writer = ReadModelWriter(home.read_model, ORIGIN)
    writer.store(rows(PAIR), NOW)
    writer.store(Rows(meta={"configuration": json.dumps(document)}), NOW)
    writer.close()
    service = Service.open(home)
    assert [sync["sync"] for sync in service.status()["syncs"]] == ["contacts"]
    assert len(list(service.records(RecordFilter()))) == 1
    service.close()
