"""What accounts say of themselves: whether they can be synced, and what they hold.

Responsible for asking all of them at once and for telling an account's troubles from the file's. Must not know a
connector's wire, nor change anything anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import msgspec
from pydantic import ValidationError

from connectors.base import Connector, ConnectorError, Context, FatalError, Health, ObjectUse, Problem
from connectors.registry import find
from rules.catalog import Catalog
from rules.config import Installation
from rules.fields import named_fields

PATIENCE_S = 30.0  # that an account has to answer


class AccountReport(msgspec.Struct, frozen=True):
    """What an account answered. `catalog` None: it could not be asked."""

    account: str
    connector: str
    version: str
    problems: tuple[Problem, ...] = ()
    catalog: Catalog | None = None

    @property
    def fatal(self) -> tuple[Problem, ...]:
        """What must be mended before it can be synced."""
        return tuple(problem for problem in self.problems if problem.fatal)


def objects_of(installation: Installation, account: str) -> tuple[str, ...]:
    """The objects of an account that syncs use, sorted."""
    used = {sync.between[account] for sync in installation.syncs.values() if account in sync.between}
    return tuple(sorted(used))


def connector_of(installation: Installation, account: str) -> Connector:
    """The account's connector, not opened. Raises `FatalError` where it does not exist or its settings do not fit."""
    config = installation.accounts[account]
    kind = find(config.connector)
    try:
        settings = kind.Settings.model_validate(config.settings)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise FatalError(f"its settings do not fit the connector {config.connector}: {faults}") from None
    uses = tuple(
        ObjectUse(name, config.objects.get(name, {}), _fields_of(installation, account, name))
        for name in objects_of(installation, account)
    )
    return kind(settings, Context(installation.name, account, uses))


def _fields_of(installation: Installation, account: str, object: str) -> frozenset[str]:
    """The fields of the object that any sync names: no app is asked for more."""
    syncs = [sync for sync in installation.syncs.values() if sync.between.get(account) == object]
    return frozenset().union(*(named_fields(sync, account) for sync in syncs))


async def examine(installation: Installation, accounts: Iterable[str]) -> dict[str, AccountReport]:
    """Asks the accounts, all at once. Never raises: what is wrong is in the reports."""
    names = list(accounts)
    reports = await asyncio.gather(*(_examine(installation, name) for name in names))
    return dict(zip(names, reports, strict=True))


async def _examine(installation: Installation, account: str) -> AccountReport:
    named = installation.accounts[account].connector
    try:
        connector = connector_of(installation, account)
        async with asyncio.timeout(PATIENCE_S):
            return await _ask(connector, account, named)
    except ConnectorError as error:
        return AccountReport(account, named, "", (Problem(error.message, error.remedy),))
    except TimeoutError:
        problem = Problem(
            f"it did not answer within {PATIENCE_S:.0f} s", "look whether the app runs and can be reached from here"
        )
        return AccountReport(account, named, "", (problem,))


async def _ask(connector: Connector, account: str, named: str) -> AccountReport:
    try:
        health: Health = await connector.check()
        try:
            catalog = await connector.discover()
        except ConnectorError as error:
            found = (
                health.problems
                if any(one.fatal for one in health.problems)
                else (
                    *health.problems,
                    Problem(error.message, error.remedy),
                )
            )
            return AccountReport(account, named, health.version, found)
        return AccountReport(account, named, health.version, health.problems, catalog)
    finally:
        await connector.close()


def catalogs_in_use(installation: Installation, reports: Mapping[str, AccountReport]) -> dict[str, Catalog]:
    """The catalogs of the accounts that answered, with the objects that syncs use."""
    return {
        account: Catalog(
            {
                name: report.catalog.objects[name]
                for name in objects_of(installation, account)
                if name in report.catalog.objects
            }
        )
        for account, report in reports.items()
        if report.catalog is not None
    }
