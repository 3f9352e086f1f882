"""What HubSpot's connector writes, and what it answers: values, units, associations, refusals."""

from __future__ import annotations

import pytest

from connectors.base import Identifier, Outcome, Pair
from rules.catalog import Kind, Value
from tests.connectors.contract_tools import only, opened
from tests.connectors.hubspot.fake.process import Fake
from tests.connectors.hubspot.portal import Portal, creating, held, put, updating

EMAIL = "email"


async def one_answer(portal: Portal, name: str, write):  # type: ignore[no-untyped-def]
    async with opened(portal.connector()) as connector:
        return only(await put(connector, name, write))


def refusal(result) -> tuple[str, str | None, str | None]:  # type: ignore[no-untyped-def]
    return result.outcome.value, result.category, result.field


# ---------------------------------------------------------------- values


async def test_each_kind_of_value_goes_there_and_back(fake: Fake) -> None:
    properties = {
        "day": ("date", "date", []),
        "moment": ("datetime", "date", []),
        "flag": ("bool", "booleancheckbox", []),
        "choice": ("enumeration", "select", ["a", "b"]),
        "several": ("enumeration", "checkbox", ["one", "two", "three"]),
        "yes_no": ("enumeration", "booleancheckbox", ["true", "false"]),
        "number": ("number", "number", []),
        "words": ("string", "textarea", []),
    }
    for name, (type_, shown, options) in properties.items():
        given = {"objectType": "contacts", "name": name, "type": type_, "fieldType": shown}
        fake.admin("POST", "properties", given | ({"options": options} if options else {}))
    portal = Portal(fake, {"contacts": tuple(properties)})
    values: dict[str, Value] = {
        "day": "2026-02-28",
        "moment": "2026-11-24T18:30:00.25Z",
        "flag": False,
        "choice": "b",
        "several": ["one", "three"],
        "yes_no": True,
        "number": "-12.5",
        "words": " ñ\n☃ ",
    }
    async with opened(portal.connector()) as connector:
        catalog = (await connector.discover()).objects["contacts"]
        kinds = {name: field.type.kind for name in properties if (field := catalog.field(name)) is not None}
        assert kinds == {
            "day": Kind.DATE, "moment": Kind.TIMESTAMP, "flag": Kind.BOOLEAN, "choice": Kind.ENUM, "several": Kind.LIST,
            "yes_no": Kind.BOOLEAN, "number": Kind.DECIMAL, "words": Kind.TEXT,
        }  # fmt: skip
        made = only(await put(connector, "contacts", creating("l", values)))
        assert made.outcome is Outcome.APPLIED
        assert dict(zip(values, held(made.record, *values), strict=True)) == values
        fake.turn(datetime_forms="mixed")
        record = only(await connector.read("contacts", [made.id or ""]))
        assert {name: record.values[name] for name in values} == values, "whatever order and form they come in"
        again = updating("l", made.id or "", values | {"several": ["three", "one"]}, sequence=2)
        assert only(await put(connector, "contacts", again)).outcome is Outcome.UNCHANGED, "a set has no order"
        empty: dict[str, Value] = dict.fromkeys(values)
        cleared = only(await put(connector, "contacts", updating("m", made.id or "", empty)))
        assert held(cleared.record, *values) == [None] * len(values)


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({"hs_lead_status": "NO_SUCH"}, "hs_lead_status", "NEW"),
        ({"hs_legal_basis": ["interest", "no;such"]}, "hs_legal_basis", "semicolon"),
        ({"hubspot_owner_id": "nobody@x.io"}, "hubspot_owner_id", "nobody@x.io"),
        ({"num_notes": "3"}, "num_notes", "HubSpot alone"),
    ],
)
async def test_a_value_that_does_not_fit_is_refused_with_its_field(
    fake: Fake, values: dict[str, Value], field: str, says: str
) -> None:
    portal = Portal(fake, {"contacts": (EMAIL, *values)})
    result = await one_answer(portal, "contacts", creating("l", {EMAIL: "a@x.io", **values}))
    assert refusal(result) == ("rejected", "invalid_value", field)
    assert says in (result.message or "")
    assert portal.count("contacts") == 0


async def test_an_option_that_was_added_since_is_taken(fake: Fake) -> None:
    given = {"objectType": "contacts", "name": "tier", "type": "enumeration", "fieldType": "select"}
    fake.admin("POST", "properties", {**given, "options": ["gold"]})
    portal = Portal(fake, {"contacts": (EMAIL, "tier")})
    async with opened(portal.connector()) as connector:
        first = only(await put(connector, "contacts", creating("l", {EMAIL: "a@x.io", "tier": "silver"})))
        assert refusal(first) == ("rejected", "invalid_value", "tier")
        fake.admin("POST", "properties", {**given, "options": ["gold", "silver"]})
        second = only(await put(connector, "contacts", creating("l", {EMAIL: "a@x.io", "tier": "silver"}, sequence=2)))
        assert second.outcome is Outcome.APPLIED


async def test_what_a_rule_of_the_administrator_requires_is_named(fake: Fake) -> None:
    fake.admin("POST", "rules", {"type": "contacts", "property": "phone"})
    fake.admin(
        "POST",
        "rules",
        {"type": "contacts", "property": "jobtitle", "whenProperty": "hs_lead_status", "whenValue": "OPEN"},
    )
    portal = Portal(fake, {"contacts": (EMAIL, "phone", "hs_lead_status")})
    async with opened(portal.connector()) as connector:
        first, second, third = await put(
            connector,
            "contacts",
            creating("a", {EMAIL: "a@x.io"}),
            creating("b", {EMAIL: "b@x.io", "phone": "1", "hs_lead_status": "OPEN"}),
            creating("c", {EMAIL: "c@x.io", "phone": "1"}),
        )
    assert refusal(first) == ("rejected", "missing_required", "phone")
    assert refusal(second) == ("rejected", "missing_required", "jobtitle")
    assert third.outcome is Outcome.APPLIED


@pytest.mark.parametrize("knob", ["refuse", "ignore"])
async def test_a_lifecycle_stage_does_not_go_back_and_does_not_loop(fake: Fake, knob: str) -> None:
    fake.turn(lifecycle_backward=knob)
    portal = Portal(fake, {"contacts": (EMAIL, "lifecyclestage")})
    record_id = portal.make("contacts", email="a@x.io", lifecyclestage="customer")
    async with opened(portal.connector()) as connector:
        back = only(await put(connector, "contacts", updating("l", record_id, {"lifecyclestage": "lead"})))
        assert refusal(back) == ("rejected", "invalid_value", "lifecyclestage")
        forward = only(await put(connector, "contacts", updating("m", record_id, {"lifecyclestage": "evangelist"})))
        assert forward.outcome is Outcome.APPLIED


async def test_owners_travel_by_email_and_by_the_table(fake: Fake) -> None:
    ann = fake.admin("POST", "owners", {"email": "Ann@hub.io", "firstName": "Ann"})["id"]
    left = fake.admin("POST", "owners", {"email": "left@hub.io", "archived": True})["id"]
    queue = fake.admin("POST", "owners", {"type": "QUEUE", "firstName": "Support"})["id"]
    portal = Portal(fake, {"contacts": (EMAIL, "hubspot_owner_id")}, owners={"ann.smith@shop.io": "ann@hub.io"})
    async with opened(portal.connector()) as connector:
        ids = [portal.make("contacts", email=f"{n}@x.io", hubspot_owner_id=n) for n in (ann, queue)]
        records = await connector.read("contacts", ids)
        assert {record.id: record.values["hubspot_owner_id"] for record in records} == {
            ids[0]: "ann.smith@shop.io",
            ids[1]: queue,
        }
        made = only(
            await put(connector, "contacts", creating("l", {EMAIL: "z@x.io", "hubspot_owner_id": "ann.smith@shop.io"}))
        )
        assert portal.values("contacts", made.id or "", "hubspot_owner_id") == {"hubspot_owner_id": ann}
        assert held(made.record, "hubspot_owner_id") == ["ann.smith@shop.io"]
        fake.admin("POST", "values", {"type": "contacts", "id": ids[0], "values": {"hubspot_owner_id": left}})
        (record,) = await connector.read("contacts", [ids[0]])
        assert record.values["hubspot_owner_id"] == "left@hub.io"


# ---------------------------------------------------------------- values that belong together


def pipelines(fake: Fake) -> tuple[str, list[str], str, str]:
    """The first pipeline with its stages, and a second one with one stage."""
    fake.admin(
        "POST",
        "pipelines",
        {"type": "deals", "id": "second", "label": "Second", "stages": [{"id": "s2", "label": "S"}]},
    )
    first = next(one for one in fake.ui("GET", "/crm/pipelines/2026-09/deals")["results"] if one["id"] != "second")
    return first["id"], [stage["id"] for stage in first["stages"]], "second", "s2"


async def test_a_stage_goes_with_its_pipeline(fake: Fake) -> None:
    first, stages, second, other = pipelines(fake)
    portal = Portal(fake, {"deals": ("dealname", "dealstage", "pipeline")})
    async with opened(portal.connector()) as connector:
        made = only(
            await put(connector, "deals", creating("l", {"dealname": "D", "dealstage": stages[0], "pipeline": first}))
        )
        assert made.outcome is Outcome.APPLIED
        moved = only(await put(connector, "deals", updating("l", made.id or "", {"dealstage": stages[1]}, sequence=2)))
        assert held(moved.record, "dealstage", "pipeline") == [stages[1], first]
        both = only(
            await put(
                connector, "deals", updating("l", made.id or "", {"dealstage": other, "pipeline": second}, sequence=3)
            )
        )
        assert held(both.record, "dealstage", "pipeline") == [other, second]
        strange = only(
            await put(connector, "deals", creating("m", {"dealname": "X", "dealstage": other, "pipeline": first}))
        )
        assert refusal(strange) == ("rejected", "invalid_value", "dealstage")


async def test_a_stage_alone_says_which_pipeline_it_is_of(fake: Fake) -> None:
    _, stages, second, other = pipelines(fake)
    portal = Portal(fake, {"deals": ("dealname", "dealstage")})
    async with opened(portal.connector()) as connector:
        made = only(await put(connector, "deals", creating("l", {"dealname": "D", "dealstage": stages[0]})))
        assert made.outcome is Outcome.APPLIED
        moved = only(await put(connector, "deals", updating("l", made.id or "", {"dealstage": other}, sequence=2)))
        assert moved.outcome is Outcome.APPLIED
        assert portal.values("deals", made.id or "", "pipeline") == {"pipeline": second}


async def test_an_amount_goes_with_its_currency(fake: Fake) -> None:
    fake.admin("POST", "currencies", {"home": "EUR", "rates": {"USD": "0.9"}})
    portal = Portal(fake, {"deals": ("dealname", "amount")})
    async with opened(portal.connector()) as connector:
        made = only(await put(connector, "deals", creating("l", {"dealname": "D", "amount": "12.5"})))
        assert portal.values("deals", made.id or "", "amount", "deal_currency_code") == {
            "amount": "12.5",
            "deal_currency_code": "EUR",
        }
        portal.edit("deals", made.id or "", amount="7", deal_currency_code="USD")
        only(await put(connector, "deals", updating("l", made.id or "", {"amount": "8"}, sequence=2)))
        assert portal.values("deals", made.id or "", "amount", "deal_currency_code") == {
            "amount": "8",
            "deal_currency_code": "USD",
        }


# ---------------------------------------------------------------- associations


COMPANY = {"contacts": (EMAIL, "company_id"), "companies": ("name", "parent_company_id"), "deals": ("dealname", "company_id", "contact_id"),
           "invoices": ("hs_title", "contact_id"), "notes": ("hs_note_body", "contact_id", "company_id")}  # fmt: skip


async def test_the_primary_company_is_set_changed_and_cleared_and_other_labels_stay(fake: Fake) -> None:
    portal = Portal(fake, COMPANY)
    acme, other, third = (portal.make("companies", name=name) for name in "ABC")
    boss = fake.admin("POST", "labels", {"from": "contacts", "to": "companies", "label": "Boss"})["typeId"]
    async with opened(portal.connector()) as connector:
        made = only(await put(connector, "contacts", creating("l", {EMAIL: "a@x.io", "company_id": acme})))
        assert held(made.record, "company_id") == [acme]
        record_id = made.id or ""
        portal.relate("contacts", record_id, "companies", other, boss, category="USER_DEFINED")
        portal.relate("contacts", record_id, "companies", third, 279)
        moved = only(
            await put(
                connector,
                "contacts",
                updating("l", record_id, {"company_id": other}, expect={"company_id": acme}, sequence=2),
            )
        )
        assert held(moved.record, "company_id") == [other]
        related = portal.related("contacts", record_id, "companies")
        assert boss in related[other], "a person's label stays"
        assert acme not in related and third in related, "only the one that counted goes"
        stale = only(
            await put(
                connector, "contacts", updating("m", record_id, {"company_id": third}, expect={"company_id": acme})
            )
        )
        assert stale.outcome is Outcome.CONFLICT
        cleared = only(
            await put(
                connector,
                "contacts",
                updating("l", record_id, {"company_id": None}, expect={"company_id": other}, sequence=3),
            )
        )
        assert held(cleared.record, "company_id") == [None]
        assert boss in portal.related("contacts", record_id, "companies")[other], "it is not ours to remove"


@pytest.mark.parametrize(
    ("name", "values", "field", "target"),
    [
        ("companies", {"name": "child"}, "parent_company_id", "companies"),
        ("deals", {"dealname": "D"}, "company_id", "companies"),
        ("deals", {"dealname": "D"}, "contact_id", "contacts"),
        ("invoices", {"hs_title": "I"}, "contact_id", "contacts"),
        ("notes", {"hs_note_body": "N"}, "contact_id", "contacts"),
        ("notes", {"hs_note_body": "N"}, "company_id", "companies"),
    ],
)
async def test_each_association_is_made_read_and_changed(
    fake: Fake, name: str, values: dict[str, Value], field: str, target: str
) -> None:
    portal = Portal(fake, COMPANY)
    one, two = (portal.make(target, **({"email": f"{n}@x.io"} if target == "contacts" else {"name": n})) for n in "ab")
    async with opened(portal.connector()) as connector:
        made = only(await put(connector, name, creating("l", {**values, field: one})))
        assert held(made.record, field) == [one]
        moved = only(await put(connector, name, updating("l", made.id or "", {field: two}, sequence=2)))
        assert held(moved.record, field) == [two]
        assert only(await connector.read(name, [made.id or ""])).values[field] == two
        assert (
            only(await put(connector, name, updating("l", made.id or "", {field: two}, sequence=3))).outcome
            is Outcome.UNCHANGED
        )


async def test_associations_are_references_in_the_catalog(fake: Fake) -> None:
    fake.admin(
        "POST", "properties", {"objectType": "deals", "name": "company_id", "type": "string", "fieldType": "text"}
    )
    async with opened(Portal(fake, COMPANY).connector()) as connector:
        objects = (await connector.discover()).objects
    found = {
        (name, field.name, field.references)
        for name, known in objects.items()
        for field in known.fields
        if field.type.kind is Kind.REFERENCE
    }
    assert {
        ("contacts", "company_id", "companies"), ("companies", "parent_company_id", "companies"),
        *((name, "company_id", "companies") for name in ("deals", "tickets", "invoices", "calls", "emails", "tasks", "notes", "meetings")),
        *((name, "contact_id", "contacts") for name in ("deals", "tickets", "invoices", "calls", "emails", "tasks", "notes", "meetings")),
    } <= found  # fmt: skip
    assert len([field for field in objects["deals"].fields if field.name == "company_id"]) == 1


async def test_an_association_with_nobody_is_refused_and_the_others_are_made(fake: Fake) -> None:
    portal = Portal(fake, COMPANY)
    acme = portal.make("companies", name="A")
    ids = portal.make_many("contacts", ({"email": f"p{n}@x.io"} for n in range(9)))
    writes = [updating(f"l{n}", one, {"company_id": "987654" if n == 4 else acme}) for n, one in enumerate(ids)]
    async with opened(portal.connector()) as connector:
        results = await put(connector, "contacts", *writes)
    assert refusal(results[4]) == ("rejected", "association", "company_id")
    assert {result.outcome for n, result in enumerate(results) if n != 4} == {Outcome.APPLIED}


# ---------------------------------------------------------------- creates and duplicates


async def test_the_pair_and_the_token_stay_with_the_record(fake: Fake) -> None:
    portal = Portal(fake)
    pair = Pair("contacts", "shop", "customers", "77")
    each = creating("l", {EMAIL: "a@x.io"}, pair=pair)
    async with portal.running() as (connector, log):
        made = only(await put(connector, "contacts", each))
        change = only(await log.changes())
        assert (change.id, change.token) == (made.id, each.token)
        assert only(await connector.read("contacts", [made.id or ""])).pairs == (pair,)
    async with opened(portal.connector(installation="other")) as stranger:
        assert only(await stranger.read("contacts", [made.id or ""])).pairs == ()


@pytest.mark.parametrize("scoped", [True, False])
async def test_without_the_scope_for_definitions_creates_are_looked_for_by_identifier(fake: Fake, scoped: bool) -> None:
    token = fake.admin("POST", "tokens", {"without": [] if scoped else ["crm.schemas.contacts.write"]})["token"]
    portal = Portal(fake, token=token)
    async with portal.running() as (connector, _):
        assert (await connector.discover()).objects["contacts"].capabilities.tokens is scoped
    identifiers = (Identifier(EMAIL, EMAIL, "a@x.io"),)
    each = creating("l", {EMAIL: "a@x.io"}, identifiers=identifiers)
    fake.fault("cut_after", match="batch/(create|upsert)")
    async with opened(portal.connector()) as connector:
        assert only(await put(connector, "contacts", each)).outcome is Outcome.UNKNOWN
    async with opened(portal.connector()) as connector:
        again = only(await put(connector, "contacts", each))
        assert again.outcome is (Outcome.APPLIED if scoped else Outcome.EXISTS)
    assert portal.count("contacts") == 1


async def test_without_token_and_identifier_a_create_is_not_sent_twice(fake: Fake) -> None:
    token = fake.admin("POST", "tokens", {"without": ["crm.schemas.deals.write"]})["token"]
    portal = Portal(fake, {"deals": ("dealname",)}, token=token)
    each = creating("l", {"dealname": "D"})
    fake.fault("cut_after", match="batch/create")
    for _ in range(2):
        async with opened(portal.connector()) as connector:
            assert only(await put(connector, "deals", each)).outcome is Outcome.UNKNOWN
    assert portal.count("deals") == 1


async def test_a_contact_is_found_by_an_additional_address(fake: Fake) -> None:
    portal = Portal(fake)
    record_id = portal.make("contacts", email="ann@x.io")
    fake.admin("POST", "additional-emails", {"id": record_id, "emails": ["anna@x.io"]})
    async with opened(portal.connector()) as connector:
        found = only(await connector.find("contacts", [Identifier(EMAIL, EMAIL, "Anna@X.io")]))
        assert found.id == record_id
        identifiers = (Identifier(EMAIL, EMAIL, "anna@x.io"),)
        result = only(await put(connector, "contacts", creating("l", {EMAIL: "anna@x.io"}, identifiers=identifiers)))
        assert (result.outcome, result.id) == (Outcome.EXISTS, record_id)


async def test_an_object_that_search_takes_for_empty_is_not_listed_in_full(fake: Fake) -> None:
    fake.turn(index_delay=60)
    portal = Portal(fake, {"companies": ("name", "domain")})
    portal.make_many("companies", ({"name": f"c{n}", "domain": f"c{n}.io"} for n in range(2500)))
    identifiers = (Identifier("domain", "domain", "c7.io"),)
    async with opened(portal.connector()) as connector:
        before = fake.calls()["last"]
        for _ in range(2):
            await connector.find("companies", identifiers)
        listed = [one["count"] for one in fake.calls(before)["results"] if one["route"].endswith("objects/{v}/{type}")]
        assert listed == [10]
        fake.turn(index_delay=0)
        fake.admin(
            "POST",
            "touch",
            {"type": "companies", "ids": [portal.make("companies", name="x", domain="https://www.c7.io")]},
        )
        assert [record.values["domain"] for record in await connector.find("companies", identifiers)] == [
            "https://www.c7.io"
        ]


@pytest.mark.parametrize("bodies", ["full", "nested", "bare"])
@pytest.mark.parametrize("status", ["200", "207"])
async def test_in_a_batch_of_a_hundred_each_gets_its_own_answer(fake: Fake, bodies: str, status: str) -> None:
    fake.turn(error_bodies=bodies, partial_status=status)
    portal = Portal(fake, {"contacts": (EMAIL, "hs_lead_status")})
    taken = portal.make("contacts", email="p17@x.io")
    async with opened(portal.connector()) as connector:
        results = await put(connector, "contacts", *(creating(f"l{n}", {EMAIL: f"p{n}@x.io"}) for n in range(100)))
        again = await put(
            connector,
            "contacts",
            *(creating(f"l{n}", {EMAIL: f"p{n}@x.io"}, token=results[n].token) for n in range(100)),
        )
    assert [n for n, result in enumerate(results) if result.outcome is not Outcome.APPLIED] == [17]
    assert (results[17].category, results[17].other) == ("duplicate", taken)
    assert [result.id for result in again if result.id != taken] == [
        result.id for result in results if result.id != taken
    ]
    assert portal.count("contacts") == 100


@pytest.mark.parametrize("bodies", ["full", "bare"])
async def test_a_property_that_is_gone_fails_its_own_writes_alone(fake: Fake, bodies: str) -> None:
    fake.admin("POST", "properties", {"objectType": "contacts", "name": "shoe", "type": "string", "fieldType": "text"})
    portal = Portal(fake, {"contacts": (EMAIL, "shoe")})
    one, two = portal.make("contacts", email="a@x.io"), portal.make("contacts", email="b@x.io")
    async with opened(portal.connector()) as connector:
        await connector.read("contacts", [one])
        fake.turn(error_bodies=bodies)
        fake.ui("DELETE", "/crm/properties/2026-09/contacts/shoe")
        first, second = await put(
            connector, "contacts", updating("l", one, {"shoe": "42"}), updating("m", two, {EMAIL: "c@x.io"})
        )
        assert refusal(first) == ("rejected", "schema", "shoe")
        assert (second.outcome, held(second.record, EMAIL, "shoe")) == (Outcome.APPLIED, ["c@x.io", None])
        assert {record.id for record in await connector.read("contacts", [one, two])} == {one, two}


async def test_what_the_rules_expect_is_compared_though_nobody_named_it_before(fake: Fake) -> None:
    portal = Portal(fake)
    record_id = portal.make("contacts", email="a@x.io", phone="1")
    async with opened(portal.connector()) as connector:
        each = updating("l", record_id, {"phone": "3"}, expect={"phone": "2"})
        result = only(await put(connector, "contacts", each))
        assert (result.outcome, held(result.record, "phone")) == (Outcome.CONFLICT, ["1"])


# ---------------------------------------------------------------- the window between reading and writing


async def test_what_was_edited_right_after_our_write_is_not_taken_for_its_stored_form(fake: Fake) -> None:
    """Between the write and the reading back a person edits: the answer tells what our write left."""
    portal = Portal(fake)
    record_id = portal.make("contacts", email="a@x.io", firstname="old")
    async with opened(portal.connector()) as connector:
        writer = connector._writer  # type: ignore[attr-defined]
        by_id, calls = writer.reader.by_id, 0

        async def then_edited(*given, **more):  # type: ignore[no-untyped-def]
            nonlocal calls
            calls += 1
            if calls == 2:  # the reading back
                portal.edit("contacts", record_id, firstname="theirs")
            return await by_id(*given, **more)

        writer.reader.by_id = then_edited
        result = only(
            await put(
                connector, "contacts", updating("l", record_id, {"firstname": "ours"}, expect={"firstname": "old"})
            )
        )
        assert held(result.record, "firstname") == ["ours"]
        writer.reader.by_id = by_id
        later = only(await connector.read("contacts", [record_id]))
        assert later.values["firstname"] == "theirs"
        assert result.record is not None and later.version.newer_than(result.record.version)
