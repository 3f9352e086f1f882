"""Accounts out of the configuration: what is in use, with this machine's secrets, opened or refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest

from connectors.base import FatalError, RetriableError
from connectors.memory import App, MemoryConnector, forget_app, make_app
from rules.catalog import Catalog
from rules.config import Installation, load, load_document
from streams import metrics
from streams.accounts import Accounts, neighbours, use_of
from streams.protocols import Configuration
from tests.streams.twins import Source, configuration, memory, people

FILE = """
name: acme
accounts:
  crm: {connector: memory, app: "${CRM_APP}", objects: {contacts: {table: people, exclude: [name]}}}
  shop: {connector: memory, app: shop}
  portal: {connector: memory, app: portal}
syncs:
  contacts:
    between: {crm: contacts, shop: customers}
    direction: both
    default: crm
    mapping: [{crm: email, shop: email}]
  firms:
    between: {crm: firms, shop: firms}
    direction: both
    default: crm
    mapping: [{crm: email, shop: email}]
"""
ENVIRONMENT = {"CRM_APP": "the crm"}


@pytest.fixture
def app() -> Iterator[App]:
    yield make_app("the crm", people(), people("firms"))
    forget_app("the crm")


def applied(off: frozenset[str] = frozenset()) -> Configuration:
    document = load(FILE, "sync.yaml", ENVIRONMENT).document()
    return Configuration(1, "acme", document, off)


def resolve(environment: Mapping[str, str], document: Mapping[str, Any]) -> Installation:
    return load_document(document, environment)


def accounts(configuration: Configuration | None, environment: Mapping[str, str] = ENVIRONMENT) -> Accounts:
    return Accounts(Source(configuration), partial(resolve, environment), memory)


def test_the_objects_in_use_are_those_of_syncs_that_are_not_off() -> None:
    off = applied(frozenset({"firms"}))
    assert use_of(applied(), "crm").objects == ("contacts", "firms")  # type: ignore[union-attr]
    assert use_of(off, "crm").objects == ("contacts",)  # type: ignore[union-attr]
    assert use_of(off, "crm", running=False).objects == ("contacts", "firms")  # type: ignore[union-attr]
    everything_off = use_of(applied(frozenset({"firms", "contacts"})), "crm")
    assert everything_off is not None
    assert everything_off.off
    assert use_of(applied(), "portal") is None
    assert use_of(None, "crm") is None


def test_another_url_is_another_use_and_another_sync_elsewhere_is_not() -> None:
    one = configuration(1, {"contacts": {"crm": "people", "shop": "customers"}})
    more = configuration(2, {"contacts": {"crm": "people", "shop": "customers"}, "x": {"a": "b", "c": "d"}})
    assert use_of(one, "crm") == use_of(more, "crm")
    moved = configuration(3, {"contacts": {"crm": "people", "shop": "customers"}})
    moved.document["accounts"]["crm"]["app"] = "elsewhere"
    assert use_of(one, "crm") != use_of(moved, "crm")


def test_the_neighbours_are_all_connections_of_the_account_also_where_their_syncs_are_off() -> None:
    found = configuration(1, {"a": {"crm": "x", "shop": "y"}, "b": {"portal": "x", "crm": "y"}}, off={"b"})
    assert neighbours(found, "crm") == ("crm~portal", "crm~shop")
    assert neighbours(None, "crm") == ()


async def test_a_connector_is_opened_with_this_machines_secrets_and_the_objects_in_use(app: App) -> None:
    one = accounts(applied())
    use = use_of(applied(), "crm")
    assert use is not None
    assert use.said["app"] == "${CRM_APP}"
    connector = await one.open(use)
    app.insert("people", name="hidden", email="a@b.c")
    (record,) = await connector.read("contacts", ["1"])
    assert record.values == {"id": 1, "email": "a@b.c"}
    await connector.close()


async def test_a_reference_that_this_machine_cannot_resolve_is_fatal_and_says_so(app: App) -> None:
    use = use_of(applied(), "crm")
    assert use is not None
    with pytest.raises(FatalError, match="CRM_APP") as refused:
        await accounts(applied(), {}).open(use)
    assert "the environment" in refused.value.remedy


async def test_a_secret_that_was_renewed_is_taken_at_the_next_opening(app: App) -> None:
    environment = {**ENVIRONMENT, "CRM_APP": "no such app"}
    one, use = accounts(applied(), environment), use_of(applied(), "crm")
    assert use is not None
    with pytest.raises(FatalError):
        await one.open(use)
    environment |= ENVIRONMENT
    await (await one.open(use)).close()
    # One that is no longer to be had (its account has left the file) is as it was: the account can still be released.
    environment.clear()
    await (await one.open(use)).close()


async def test_an_account_that_left_the_configuration_can_still_be_opened_to_be_released(app: App) -> None:
    use = use_of(applied(), "crm")
    assert use is not None
    connector = await accounts(None).open(use)
    await connector.prepare()
    assert "acme/crm" in app.slots
    await connector.release()
    await connector.close()


async def test_settings_that_do_not_fit_are_fatal_and_not_repeated_in_the_message() -> None:
    one = configuration(1, {"contacts": {"crm": "people", "shop": "customers"}})
    one.document["accounts"]["crm"]["page_size"] = "s3cret"
    use = use_of(one, "crm")
    assert use is not None
    with pytest.raises(FatalError, match="page_size") as refused:
        accounts(one).make(use)
    assert "s3cret" not in refused.value.message


def test_a_connector_that_is_not_installed_is_fatal() -> None:
    one = configuration(1, {"contacts": {"crm": "people", "shop": "customers"}})
    one.document["accounts"]["crm"]["connector"] = "nonesuch"
    use = use_of(one, "crm")
    assert use is not None
    with pytest.raises(FatalError, match="nonesuch"):
        Accounts(Source(one), partial(resolve, {})).make(use)


async def test_a_connector_that_does_not_open_leaves_nothing_behind(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[MemoryConnector] = []
    original = MemoryConnector.close

    async def close(self: MemoryConnector) -> None:
        closed.append(self)
        await original(self)

    monkeypatch.setattr(MemoryConnector, "close", close)
    app.fail(RetriableError("down"))
    use = use_of(applied(), "crm")
    assert use is not None
    with pytest.raises(RetriableError):
        await accounts(applied()).open(use)
    assert len(closed) == 1
    monkeypatch.setattr("streams.accounts.OPEN_WITHIN", 0.01)
    app.recover()
    app.gates.close("open")
    with pytest.raises(RetriableError, match="no connection within"):
        await accounts(applied()).open(use)
    assert len(closed) == 2


# ---------------------------------------------------------------- apps where every field costs something


def frugal(version: int, mapping: list[dict[str, Any]], *, whole: bool = False) -> Configuration:
    document = load(FILE, "sync.yaml", ENVIRONMENT).document()
    document["syncs"]["contacts"]["mapping"] = mapping
    kinds = {"contacts": people("contacts", whole=whole), "firms": people("firms")}
    return Configuration(version, "acme", document, frozenset(), {"crm": Catalog(kinds)})


EMAIL, NAME = {"crm": "email", "shop": "email"}, {"crm": "name", "shop": "name"}


def test_the_fields_that_syncs_name_are_told_to_connectors_that_read_no_others() -> None:
    configuration = frugal(1, [EMAIL])
    use = use_of(configuration, "crm")
    assert use is not None
    connector = accounts(configuration).make(use)
    fields = {one.name: one.fields for one in connector._context.objects}  # type: ignore[attr-defined]
    assert fields == {"contacts": {"email"}, "firms": None}


def test_an_edited_mapping_opens_such_an_account_anew_and_no_other() -> None:
    assert use_of(frugal(1, [EMAIL]), "crm") == use_of(frugal(2, [EMAIL]), "crm")
    assert use_of(frugal(1, [EMAIL]), "crm") != use_of(frugal(2, [EMAIL, NAME]), "crm")
    assert use_of(frugal(1, [EMAIL], whole=True), "crm") == use_of(frugal(2, [EMAIL, NAME], whole=True), "crm")


def test_what_a_connector_reports_of_its_limits_is_among_the_metrics() -> None:
    configuration = frugal(1, [EMAIL])
    use = use_of(configuration, "crm")
    assert use is not None
    accounts(configuration).make(use)._context.gauge("day", 70.0, 30.0)  # type: ignore[attr-defined]
    labels = {"account": "crm", "limit": "day"}
    assert metrics.REGISTRY.get_sample_value("tandem_limit_used", labels) == 70.0
    assert metrics.REGISTRY.get_sample_value("tandem_limit_left", labels) == 30.0
