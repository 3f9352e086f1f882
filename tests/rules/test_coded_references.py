"""Section 5: references by another field than the id."""

from __future__ import annotations

from typing import Any

import pytest

import rules.work
from rules.catalog import FieldType, Kind, Object
from tests.rules.office import COMPANIES, FIRMS, PEOPLE, STAFF, Office
from tests.rules.world import changed, text, whole

CODED = Object("firms", (*FIRMS.fields, text("code")), ("id",))
CODED_STAFF = changed(STAFF, firm_id={"name": "firm_code", "type": FieldType(Kind.TEXT)})
CODED_STAFF = changed(CODED_STAFF, firm_code={"references": "firms", "references_field": "code"})


class Coded(Office):
    """Companies by id on the one side, firms by their code on the other, where the shop gives the codes."""

    def __init__(self, staff: Object = CODED_STAFF) -> None:
        super().__init__(staff)
        self.firms.object = CODED
        self.world.document["syncs"]["people"]["mapping"][1] = {
            "crm": "company_id", "shop": "firm_code", "association": "companies",
        }  # fmt: skip

    def person(self, number: str = "1") -> dict[str, Any]:
        """What the shop holds of a person of the CRM."""
        return next(one for one in self.staff.records.values() if one["mail"] == f"{number}@x.io")


def coded_pair(office: Coded, name: str, code: str | None) -> tuple[str, str]:
    """A company and a firm of one name."""
    return office.companies.create(name=name), office.firms.create(name=name, code=code)


def test_a_reference_by_another_field_than_the_id_is_carried_over_both_ways() -> None:
    office = Coded()
    acme, _ = coded_pair(office, "Acme", "A-1")
    bolt, _ = coded_pair(office, "Bolt", "B-1")
    office.people.create(email="1@x.io", company_id=int(acme))
    office.staff.create(mail="2@x.io", firm_code="B-1")
    office.world.start()
    assert office.person()["firm_code"] == "A-1"
    assert {one["email"]: one["company_id"] for one in office.people.records.values()}["2@x.io"] == int(bolt)
    office.staff.edit(next(iter(office.staff.records)), firm_code="A-1")
    office.world.settle()
    assert {one["email"]: one["company_id"] for one in office.people.records.values()}["2@x.io"] == int(acme)
    office.people.edit("1", company_id=int(bolt))
    office.world.settle()
    assert office.person()["firm_code"] == "B-1"


def test_a_code_that_nobody_holds_yet_is_awaited_by_its_field_and_followed_when_somebody_does() -> None:
    office = Coded()
    office.staff.create(mail="1@x.io", firm_code="Z-9")
    office.world.start()
    row = office.world.of("crm", "1", "people")
    assert row.status == "in_sync"
    assert row.message == "awaits the counterpart of the record of shop whose code is Z-9 (companies)"
    office.firms.create(name="Zeta", code="Z-9")
    office.world.settle()
    assert [one["company_id"] for one in office.people.records.values()] == [1]
    assert office.world.of("crm", "1", "people").message is None


def test_a_counterpart_that_gets_its_code_late_is_referred_to_then() -> None:
    office = Coded()
    acme, firm = coded_pair(office, "Acme", None)
    office.people.create(email="1@x.io", company_id=int(acme))
    office.world.start()
    assert office.person()["firm_code"] is None
    assert "crm:1" in (office.world.of("crm", "1", "people").message or "")
    office.firms.edit(firm, code="A-1")
    office.world.settle()
    assert office.person()["firm_code"] == "A-1"


@pytest.mark.parametrize("cascades", [True, False])
@pytest.mark.parametrize("reference_first", [True, False])
def test_references_by_a_code_survive_its_change(cascades: bool, reference_first: bool) -> None:
    office = Coded()
    acme, firm = coded_pair(office, "Acme", "A-1")
    office.people.create(email="1@x.io", company_id=int(acme))
    office.world.start()
    (person,) = office.staff.records
    if cascades and reference_first:
        office.staff.edit(person, firm_code="A-2")
    office.firms.edit(firm, code="A-2")
    if cascades and not reference_first:
        office.staff.edit(person, firm_code="A-2")
    office.world.settle()
    assert office.person()["firm_code"] == "A-2"
    assert office.people.records["1"]["company_id"] == int(acme), "the company is still the same"


def test_a_code_that_moves_to_another_record_takes_the_references_along() -> None:
    office = Coded()
    office.world.document["syncs"]["people"]["default"] = "shop"
    acme, old = coded_pair(office, "Acme", "A-1")
    bolt, new = coded_pair(office, "Bolt", None)
    office.people.create(email="1@x.io", company_id=int(acme))
    office.world.start()
    office.firms.edit(old, code="A-0")
    office.firms.edit(new, code="A-1")
    office.world.settle()
    assert office.person()["firm_code"] == "A-1", "nobody has touched it"
    assert office.people.records["1"]["company_id"] == int(bolt), "it means another firm now"


def test_a_refused_code_is_tried_again_when_it_has_become_another() -> None:
    office = Coded()
    acme, firm = coded_pair(office, "Acme", "A-1")
    office.staff.refuse = lambda command, stored: (
        ("association", "no firm A-1", "firm_code", "A-1") if command.values.get("firm_code") == "A-1" else None
    )
    office.people.create(email="1@x.io", company_id=int(acme))
    office.world.start()
    assert office.world.stands("crm", "1", "people") == ("failing", "association")
    office.firms.edit(firm, code="A-2")
    office.world.settle()
    assert office.world.stands("crm", "1", "people") == ("in_sync", None)
    assert office.person()["firm_code"] == "A-2"


def test_a_required_reference_by_a_code_waits_until_the_counterpart_has_one() -> None:
    office = Coded(changed(CODED_STAFF, firm_code={"required": True, "nullable": False}))
    acme, firm = coded_pair(office, "Acme", None)
    office.people.create(email="1@x.io", company_id=int(acme))
    office.world.start()
    assert office.world.stands("crm", "1", "people") == ("failing", "missing_required")
    office.firms.edit(firm, code="A-1")
    office.world.settle()
    assert office.person()["firm_code"] == "A-1"


def test_a_sync_that_refers_by_a_code_may_be_added_to_one_that_runs() -> None:
    office = Coded()
    people = office.world.document["syncs"].pop("people")
    acme, _ = coded_pair(office, "Acme", "A-1")
    office.people.create(email="1@x.io", company_id=int(acme))
    office.staff.create(mail="2@x.io", firm_code="A-1")
    office.world.start()
    office.world.document["syncs"]["people"] = people
    office.world.apply()
    office.world.settle()
    assert office.person()["firm_code"] == "A-1"
    assert [one["company_id"] for one in office.people.records.values()] == [int(acme)] * 2


def test_a_holder_of_a_code_that_comes_back_is_referred_to_again() -> None:
    office = Coded()
    acme, firm = coded_pair(office, "Acme", "A-1")
    office.world.start()
    office.firms.delete(firm)
    office.world.settle()
    office.staff.create(mail="1@x.io", firm_code="A-1")
    office.world.settle()
    assert [one["company_id"] for one in office.people.records.values()] == [None]
    office.firms.revive(firm, name="Acme", code="A-1")
    office.world.settle()
    assert [one["company_id"] for one in office.people.records.values()] == [int(acme)]


def test_a_deleted_holder_of_a_code_is_not_referred_to_and_its_successor_is() -> None:
    office = Coded()
    acme, firm = coded_pair(office, "Acme", "A-1")
    office.world.start()
    office.firms.delete(firm)
    office.staff.create(mail="1@x.io", firm_code="A-1")
    office.world.settle()
    assert [one["company_id"] for one in office.people.records.values()] == [None]
    office.firms.create(name="Acme", code="A-1")
    office.world.settle()
    assert [one["company_id"] for one in office.people.records.values()] == [int(acme)]


@pytest.mark.parametrize("target", ["crm", "shop"])
def test_a_one_way_reference_by_a_code_is_written_in_its_direction_only(target: str) -> None:
    office = Coded()
    office.world.document["syncs"]["people"]["mapping"][1]["direction"] = f"to {target}"
    acme, _ = coded_pair(office, "Acme", "A-1")
    bolt, _ = coded_pair(office, "Bolt", "B-1")
    office.people.create(email="1@x.io", company_id=int(acme))
    office.staff.create(mail="1@x.io", firm_code="A-1")
    office.world.start()
    office.people.edit("1", company_id=int(bolt))
    office.world.settle()
    assert office.person()["firm_code"] == ("B-1" if target == "shop" else "A-1")
    office.people.edit("1", company_id=int(acme))
    office.staff.edit(next(iter(office.staff.records)), firm_code="B-1")
    office.world.settle()
    assert office.people.records["1"]["company_id"] == (int(bolt) if target == "crm" else int(acme))
    assert office.person()["firm_code"] == ("A-1" if target == "shop" else "B-1")


def test_both_sides_may_refer_by_codes_of_their_own() -> None:
    office = Coded()
    office.companies.object = Object("companies", (*COMPANIES.fields, text("code")), ("id",))
    office.people.object = changed(
        PEOPLE, company_id={"type": FieldType(Kind.TEXT), "references": "companies", "references_field": "code"}
    )
    office.companies.create(name="Acme", code="eins")
    office.firms.create(name="Acme", code="A-1")
    office.people.create(email="1@x.io", company_id="eins")
    office.staff.create(mail="2@x.io", firm_code="A-1")
    office.world.start()
    assert office.person()["firm_code"] == "A-1"
    assert {one["email"]: one["company_id"] for one in office.people.records.values()}["2@x.io"] == "eins"
    office.companies.edit("1", code="uno")  # nothing cascades: the shop's references lead there still
    office.world.settle()
    assert {one["company_id"] for one in office.people.records.values()} <= {"eins", "uno"}
    assert {one["firm_code"] for one in office.staff.records.values()} == {"A-1"}


def test_a_code_is_compared_as_text_whatever_the_types_of_its_fields() -> None:
    office = Coded()
    office.firms.object = Object("firms", (*FIRMS.fields, whole("code")), ("id",))
    acme, firm = office.companies.create(name="Acme"), office.firms.create(name="Acme", code=17)
    office.people.create(email="1@x.io", company_id=int(acme))
    office.staff.create(mail="2@x.io", firm_code="17")
    office.world.start()
    assert office.person()["firm_code"] == "17"
    assert [one["company_id"] for one in office.people.records.values()] == [int(acme)] * 2
    assert firm in office.firms.records


def test_many_that_refer_by_one_code_follow_it_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules.work, "SLICE", 3)
    monkeypatch.setattr("rules.aftermath.SLICE", 3)
    office = Coded()
    acme, firm = coded_pair(office, "Acme", "A-1")
    for number in range(11):
        office.people.create(email=f"{number}@x.io", company_id=int(acme))
    office.world.start()
    office.firms.edit(firm, code="A-2")
    office.world.settle()
    assert {one["firm_code"] for one in office.staff.records.values()} == {"A-2"}
