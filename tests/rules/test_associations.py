"""Section 5: references between records."""

from __future__ import annotations

import pytest

import rules.work
from rules.catalog import Field, FieldType, Kind
from tests.rules.office import STAFF, Office
from tests.rules.world import changed


def test_a_reference_is_translated_to_the_linked_counterpart() -> None:
    office = Office()
    acme = office.companies.create(name="Acme")
    office.people.create(email="a@x.io", company_id=int(acme))
    office.world.start()
    (firm,) = office.firms.records
    assert [one["firm_id"] for one in office.staff.records.values()] == [int(firm)]
    bolt = office.firms.create(name="Bolt")
    office.world.settle()
    (person,) = office.staff.records
    office.staff.edit(person, firm_id=int(bolt))
    office.world.settle()
    assert office.people.records["1"]["company_id"] == 2


def test_a_record_is_written_without_a_reference_whose_counterpart_is_late_and_gets_it_when_that_is_there() -> None:
    office = Office()
    office.firms.refuse = lambda command, stored: ("permission", "no", None)
    office.world.start()
    acme = office.companies.create(name="Acme")
    office.people.create(email="a@x.io", company_id=int(acme))
    office.world.settle()
    row = office.world.of("crm", "1", "people")
    assert row.status == "in_sync", "it is in sync meanwhile"
    assert "crm:1" in (row.message or "") and "companies" in (row.message or "")
    assert [one["firm_id"] for one in office.staff.records.values()] == [None]
    office.firms.refuse = lambda command, stored: None
    office.world.order("retry", "companies")
    office.world.settle()
    (firm,) = office.firms.records
    assert [one["firm_id"] for one in office.staff.records.values()] == [int(firm)]
    assert office.world.of("crm", "1", "people").message is None


def test_an_old_reference_stays_until_the_new_counterpart_is_there() -> None:
    office = Office()
    acme = office.companies.create(name="Acme")
    office.people.create(email="a@x.io", company_id=int(acme))
    office.world.start()
    (firm,) = office.firms.records
    office.firms.refuse = lambda command, stored: ("permission", "no", None)
    bolt = office.companies.create(name="Bolt")
    office.people.edit("1", company_id=int(bolt))
    office.world.settle()
    assert [one["firm_id"] for one in office.staff.records.values()] == [int(firm)]


@pytest.mark.parametrize("first", ["people", "companies"])
def test_the_order_in_which_the_two_syncs_finish_does_not_matter(first: str) -> None:
    office = Office()
    for number in range(5):
        company = office.companies.create(name=f"Company {number}")
        office.people.create(email=f"{number}@x.io", company_id=int(company))
    office.world.document["syncs"] = {
        first: office.world.document["syncs"][first],
        **{name: sync for name, sync in office.world.document["syncs"].items() if name != first},
    }
    office.world.start()
    names = {int(record_id): record["name"] for record_id, record in office.firms.records.items()}
    assert sorted(str(names[int(str(one["firm_id"]))]) for one in office.staff.records.values()) == [
        f"Company {number}" for number in range(5)
    ]


def required(office: Office) -> Office:
    """The shop does not take staff without a firm."""
    office.staff.object = changed(STAFF, firm_id={"required": True, "nullable": False})
    return office


def test_where_the_target_requires_the_reference_the_record_waits_while_the_counterpart_is_on_its_way() -> None:
    office = required(Office())
    office.world.start()
    acme = office.companies.create(name="Acme")
    office.people.create(email="a@x.io", company_id=int(acme))
    office.world.take("crm")
    assert office.world.stands("crm", "1", "people") == ("pending", "missing_required")
    office.world.settle()
    assert office.world.stands("crm", "1", "people") == ("in_sync", None)
    assert [one["firm_id"] for one in office.staff.records.values()] == [int(firm) for firm in office.firms.records]


def test_where_the_counterpart_of_a_required_reference_is_not_on_its_way_the_record_is_failing() -> None:
    office = required(Office())
    office.world.document["syncs"]["companies"]["filters"] = {
        "crm": [{"field": "city", "op": "ne", "value": "Nowhere"}]
    }
    office.world.start()
    acme = office.companies.create(name="Acme", city="Nowhere")
    office.people.create(email="a@x.io", company_id=int(acme))
    office.world.settle()
    row = office.world.of("crm", "1", "people")
    assert (row.status, row.category) == ("failing", "missing_required")
    assert "shop.firm_id" in (row.message or "") and "crm:1" in (row.message or "")
    office.companies.edit(acme, city="Somewhere")
    office.world.settle()
    assert office.world.stands("crm", "1", "people") == ("in_sync", None)


def test_a_required_reference_to_a_record_whose_counterpart_goes_while_it_is_written_to_is_not_on_its_way() -> None:
    office = required(Office())
    acme = office.companies.create(name="Acme")
    office.world.start()
    (firm,) = office.firms.records
    office.companies.edit(acme, name="Acme Ltd")
    office.world.take("crm")  # the update is decided, and not delivered
    office.firms.delete(firm)
    office.people.create(email="a@x.io", company_id=int(acme))
    office.world.capture_all("shop")
    office.world.capture_all("crm")
    office.world.think_all()
    office.world.settle()
    assert office.world.stands("crm", acme, "companies") == ("failing", "deleted")
    assert office.world.stands("crm", "1", "people") == ("failing", "missing_required")


@pytest.mark.parametrize("known", [True, False])
def test_a_required_reference_that_is_pending_turns_failing_when_its_counterpart_fails(known: bool) -> None:
    office = required(Office())
    office.firms.refuse = lambda command, stored: ("permission", "no", None)
    if known:
        office.companies.create(name="Acme")
    office.people.create(email="a@x.io", company_id=1)
    office.world.start()
    assert office.world.stands("crm", "1", "people") == ("failing", "missing_required")


def test_a_required_reference_to_a_record_that_is_refused_while_it_waits_turns_failing_and_follows_when_that_is_there() -> (
    None
):
    office = required(Office())
    office.world.start()
    office.firms.refuse = lambda command, stored: ("permission", "no", None)
    office.companies.create(name="Acme")
    office.people.create(email="a@x.io", company_id=1)
    office.world.take("crm")
    assert office.world.stands("crm", "1", "people") == ("pending", "missing_required")
    office.world.settle()
    assert office.world.stands("crm", "1", "companies") == ("failing", "permission")
    assert office.world.stands("crm", "1", "people") == ("failing", "missing_required")
    office.firms.refuse = lambda command, stored: None
    office.companies.edit("1", city="Somewhere")
    office.world.settle()
    assert office.world.stands("crm", "1", "people") == ("in_sync", None)


def test_a_required_reference_to_a_record_that_gets_another_id_meanwhile_turns_failing() -> None:
    office = required(Office())
    office.world.start()
    office.world.account("shop", up=False)
    office.world.think_all()
    office.companies.create(name="Acme")
    office.people.create(email="a@x.io", company_id=1)
    office.world.take("crm")
    assert office.world.stands("crm", "1", "people") == ("pending", "missing_required")
    office.companies.renumber("1", "9")
    office.world.take("crm")
    assert office.world.stands("crm", "1", "people") == ("failing", "missing_required")


def test_a_record_is_restored_when_what_it_must_refer_to_has_come_back() -> None:
    office = required(Office())
    office.people.create(email="a@x.io", company_id=int(office.companies.create(name="Acme")))
    office.world.start()
    (firm,), (person,) = office.firms.records, office.staff.records
    office.people.edit("1", company_id=None)
    office.world.settle()
    office.staff.delete(person)
    office.firms.delete(firm)
    office.world.settle()
    office.world.order("restore", "people", into="shop")
    office.world.settle()
    row = office.world.of("crm", "1", "people")
    assert (row.status, row.category) == ("failing", "missing_required")
    assert f"shop:{firm} (companies), which is gone" in (row.message or "")
    office.firms.revive(firm, name="Acme")
    office.world.settle()
    assert office.world.stands("crm", "1", "people") == ("in_sync", None)
    assert [one["firm_id"] for one in office.staff.records.values()] == [int(firm)]


def test_a_record_may_refer_to_another_of_its_own_sync() -> None:
    office = Office()
    office.people.create(email="boss@x.io")
    office.people.create(email="a@x.io", boss_id=1)
    office.people.create(email="b@x.io", boss_id=3)
    office.world.start()
    by_mail = {one["mail"]: (record_id, one["chief_id"]) for record_id, one in office.staff.records.items()}
    assert by_mail["a@x.io"][1] == int(by_mail["boss@x.io"][0])
    assert by_mail["b@x.io"][1] == int(by_mail["b@x.io"][0])


def test_only_records_of_a_running_sync_are_associated() -> None:
    office = Office()
    acme = office.companies.create(name="Acme")
    office.world.start()
    office.world.turn("companies", on=False)
    office.people.create(email="a@x.io", company_id=int(acme))
    office.world.settle()
    assert [one["firm_id"] for one in office.staff.records.values()] == [None]
    office.world.turn("companies", on=True)
    assert [one["firm_id"] for one in office.staff.records.values()] == [int(firm) for firm in office.firms.records]


def test_many_that_await_one_record_are_told_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules.work, "SLICE", 3)
    monkeypatch.setattr("rules.aftermath.SLICE", 3)
    office = Office()
    office.firms.refuse = lambda command, stored: ("permission", "no", None)
    acme = office.companies.create(name="Acme")
    for number in range(11):
        office.people.create(email=f"{number}@x.io", company_id=int(acme))
    office.world.start()
    office.firms.refuse = lambda command, stored: None
    office.world.order("retry", "companies")
    office.world.settle()
    (firm,) = office.firms.records
    assert {one["firm_id"] for one in office.staff.records.values()} == {int(firm)}


def test_a_restored_record_keeps_its_association() -> None:
    office = Office()
    acme = office.companies.create(name="Acme")
    office.people.create(email="a@x.io", company_id=int(acme))
    office.world.start()
    (person,) = office.staff.records
    office.staff.delete(person)
    office.world.settle()
    office.world.order("restore", "people", into="shop")
    office.world.settle()
    assert [one["firm_id"] for one in office.staff.records.values()] == [int(firm) for firm in office.firms.records]


def test_a_reference_follows_when_the_counterpart_comes_back() -> None:
    office = Office()
    acme = office.companies.create(name="Acme")
    office.world.start()
    (firm,) = office.firms.records
    record = dict(office.firms.records[firm])
    office.firms.delete(firm)
    office.world.settle()
    office.people.create(email="a@x.io", company_id=int(acme))
    office.world.settle()
    assert [one["firm_id"] for one in office.staff.records.values()] == [None]
    del record["id"]
    office.firms.revive(firm, **record)
    office.world.settle()
    assert [one["firm_id"] for one in office.staff.records.values()] == [int(firm)]


def test_a_refused_reference_names_both_records_and_is_tried_again_when_the_other_changes() -> None:
    office = Office()
    acme = office.companies.create(name="Acme")
    office.people.create(email="a@x.io", company_id=int(acme))
    office.staff.refuse = lambda command, stored: (
        ("association", f"firm {command.values['firm_id']} is closed", "firm_id", str(command.values["firm_id"]))
        if command.values.get("firm_id")
        else None
    )
    office.world.start()
    row = office.world.of("crm", "1", "people")
    assert (row.status, row.category) == ("failing", "association")
    (firm,) = office.firms.records
    assert "shop.firm_id" in (row.message or "") and firm in (row.message or "")
    assert row.sides["shop"].id in office.staff.records, "the record itself was created"
    office.staff.refuse = lambda command, stored: None
    office.firms.edit(firm, town="open")
    office.world.settle()
    assert office.world.stands("crm", "1", "people") == ("in_sync", None)
    assert [one["firm_id"] for one in office.staff.records.values()] == [int(firm)]


def test_the_associated_sync_may_name_the_two_accounts_in_the_other_order() -> None:
    office = Office()
    between = {"shop": "firms", "crm": "companies"}
    mapping = [{"crm": "name", "shop": "name", "identifier": "name"}]
    office.world.document["syncs"]["companies"] |= {"between": between, "mapping": mapping}
    acme = office.companies.create(name="Acme")
    office.people.create(email="a@x.io", company_id=int(acme))
    office.world.start()
    assert [one["firm_id"] for one in office.staff.records.values()] == [int(firm) for firm in office.firms.records]
    bolt = office.firms.create(name="Bolt")
    office.world.settle()
    office.staff.edit(next(iter(office.staff.records)), firm_id=int(bolt))
    office.world.settle()
    assert office.companies.records[str(office.people.records["1"]["company_id"])]["name"] == "Bolt"


def test_two_that_are_each_the_others_parent_and_one_that_is_its_own_are_carried_over() -> None:
    office = Office()
    office.people.create(email="a@x.io", boss_id=2)
    office.people.create(email="b@x.io", boss_id=1)
    office.people.create(email="c@x.io", boss_id=3)
    office.world.start()
    ids = {str(one["mail"]): int(record_id) for record_id, one in office.staff.records.items()}
    chiefs = {str(one["mail"]): one["chief_id"] for one in office.staff.records.values()}
    assert chiefs == {"a@x.io": ids["b@x.io"], "b@x.io": ids["a@x.io"], "c@x.io": ids["c@x.io"]}


def test_a_reference_to_a_record_that_does_not_enter_is_awaited_by_name_and_follows_when_it_does() -> None:
    office = Office()
    office.world.document["syncs"]["companies"]["filters"] = {"crm": [{"field": "city", "op": "eq", "value": "Bern"}]}
    acme = office.companies.create(name="Acme")
    office.people.create(email="a@x.io", company_id=int(acme))
    office.world.start()
    row = office.world.of("crm", "1", "people")
    assert (row.status, row.message) == ("in_sync", "awaits the counterpart of crm:1 (companies)")
    office.companies.edit(acme, city="Bern")
    office.world.settle()
    assert [one["firm_id"] for one in office.staff.records.values()] == [int(firm) for firm in office.firms.records]
    assert office.world.of("crm", "1", "people").message is None


# ---------------------------------------------------------------- several references in one field


def listed(field: str, item: Kind) -> Field:
    """A field with a list of references."""
    return Field(field, FieldType(Kind.LIST, item=FieldType(item)))


def test_of_a_list_of_references_the_first_is_carried_over_and_the_others_stay_where_it_is_written() -> None:
    staff = changed(STAFF, firm_id={"type": FieldType(Kind.LIST, item=FieldType(Kind.INTEGER, bits=64))})
    office = Office(staff)
    acme, bolt, cord = (office.companies.create(name=name) for name in ("Acme", "Bolt", "Cord"))
    office.people.create(email="a@x.io", company_id=int(acme))
    office.world.start()
    firms = {str(one["name"]): int(record_id) for record_id, one in office.firms.records.items()}
    (person,) = office.staff.records
    assert office.staff.records[person]["firm_id"] == [firms["Acme"]]
    office.staff.edit(person, firm_id=[firms["Bolt"], firms["Acme"]])
    office.world.settle()
    assert office.people.records["1"]["company_id"] == int(bolt)
    office.people.edit("1", company_id=int(cord))
    office.world.settle()
    assert office.staff.records[person]["firm_id"] == [firms["Cord"], firms["Bolt"], firms["Acme"]]


def test_lists_that_agree_in_their_first_reference_agree() -> None:
    office = Office(changed(STAFF, firm_id={"type": FieldType(Kind.LIST, item=FieldType(Kind.INTEGER, bits=64))}))
    acme = office.companies.create(name="Acme")
    office.firms.create(name="Acme")
    office.people.create(email="a@x.io", company_id=int(acme))
    office.staff.create(mail="a@x.io", firm_id=[100, 999])
    office.world.start()
    assert [one["firm_id"] for one in office.staff.records.values()] == [[100, 999]]
    assert office.staff.writes == office.people.writes == []
