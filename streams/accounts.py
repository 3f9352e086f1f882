"""Accounts as the configuration has them, and connectors opened for them.

Responsible for finding a connector's class, resolving an account's settings on this machine, and telling when an
account must be opened anew. Must not know what a connector is used for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

from connectors import registry
from connectors.base import Connector, ConnectorError, Context, FatalError, Memory, ObjectUse, RetriableError
from rules.config import AccountConfig, ConfigError, Installation, SyncConfig
from rules.fields import named_fields
from rules.plan import connections_of
from streams import metrics
from streams.protocols import ConfigSource, Configuration

OPEN_WITHIN, CLOSE_WITHIN = 30.0, 3.0  # seconds

Resolve = Callable[[Mapping[str, Any]], Installation]
"""A document into an installation, with its references to secrets resolved here (`rules.config.load_document`)."""

Classes = Callable[[str], type[Connector]]
"""The class of a connector by its name in the file (`connectors.registry.find`). Raises `FatalError` where there is
none."""


class AccountUse(msgspec.Struct, frozen=True):
    """What the configuration says of an account. Two that are equal need no new connector.

    `objects`: those in use; none: all syncs of the account are off. `said`: all of the account's keys in the file,
    secrets as references. `syncs`: those that say which fields of an object are in use, where its connector reads no
    others.
    """

    account: str
    installation: str
    objects: tuple[str, ...]
    said: Mapping[str, Any]
    syncs: tuple[Mapping[str, Any], ...] = ()

    @property
    def off(self) -> bool:
        """Whether all its syncs are off."""
        return not self.objects


def use_of(configuration: Configuration | None, account: str, *, running: bool = True) -> AccountUse | None:
    """How the account is used; None where no sync names it. `running`: only by syncs that are not off."""
    if configuration is None or account not in configuration.accounts:
        return None
    said = configuration.document["accounts"].get(account)
    if said is None:
        return None
    objects = configuration.objects(account, running=running)
    return AccountUse(account, configuration.name, objects, said, _syncs_that_name_fields(configuration, account))


def _syncs_that_name_fields(configuration: Configuration, account: str) -> tuple[Mapping[str, Any], ...]:
    catalog = configuration.catalogs.get(account)
    frugal = {name for name, one in catalog.objects.items() if not one.capabilities.whole} if catalog else set()
    if not frugal:
        return ()
    syncs = configuration.document["syncs"].values()
    return tuple(sync for sync in syncs if sync["between"].get(account) in frugal)


def _fields_of(use: AccountUse, object: str) -> frozenset[str] | None:
    """The fields of the object that any sync names; None: all are read."""
    found = [SyncConfig.model_validate(sync) for sync in use.syncs if sync["between"][use.account] == object]
    return frozenset().union(*(named_fields(sync, use.account) for sync in found)) if found else None


def neighbours(configuration: Configuration | None, account: str) -> tuple[str, ...]:
    """The connections of the account, also of syncs that are off."""
    return () if configuration is None else connections_of(configuration.document, account)


class Accounts:
    """Opens connectors out of the configuration in force."""

    def __init__(self, source: ConfigSource, resolve: Resolve, classes: Classes = registry.find) -> None:
        self._source, self._resolve, self._classes = source, resolve, classes
        self._resolved: dict[str, tuple[AccountUse, AccountConfig]] = {}  # the last of each account

    @property
    def source(self) -> ConfigSource:
        """The configuration in force."""
        return self._source

    async def open(self, use: AccountUse, memory: Memory | None = None) -> Connector:
        """A connector that is open, to be closed by the caller. Raises `ConnectorError`. `memory`: for capture."""
        connector = self.make(use, memory)
        try:
            async with asyncio.timeout(OPEN_WITHIN):
                await connector.open()
        except TimeoutError:
            await close_quietly(connector)
            raise RetriableError(f"no connection within {OPEN_WITHIN:.0f} s") from None
        except BaseException:
            await close_quietly(connector)
            raise
        return connector

    def make(self, use: AccountUse, memory: Memory | None = None) -> Connector:
        """The connector of an account, not opened. Raises `FatalError` where this machine lacks what it takes."""
        account = self._account(use)
        kind = self._classes(account.connector)
        settings = _validated(kind.Settings, account.settings, use.account)
        objects = tuple(ObjectUse(name, account.objects.get(name, {}), _fields_of(use, name)) for name in use.objects)
        gauge = partial(metrics.report_limit, use.account)
        return kind(settings, Context(use.installation, use.account, objects, memory, gauge))

    def _account(self, use: AccountUse) -> AccountConfig:
        """The account with its secrets as they are now: one that was refused may have been renewed. Where they cannot be had any more, as they
        were: so that what has left the file can be released."""
        document = {"name": use.installation, "accounts": {use.account: use.said}, "syncs": {}}
        try:
            account = self._resolve(document).accounts[use.account]
        except ConfigError as error:
            if (known := self._resolved.get(use.account)) is not None and known[0] == use:
                return known[1]
            raise FatalError(
                f"this worker cannot resolve the settings of account {use.account}: {error}",
                "set what it names in the environment, or the .env, of this worker",
            ) from error
        self._resolved[use.account] = use, account
        return account


def _validated(settings: type[BaseModel], given: Mapping[str, Any], account: str) -> BaseModel:
    try:
        return settings.model_validate(dict(given))
    except ValidationError as error:
        # Only where and why: pydantic's own text repeats what was given, which may be a secret.
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise FatalError(f"the settings of account {account} do not fit its connector: {faults}") from None


async def close_quietly(connector: Connector) -> None:
    """Closes a connector whose account may be gone, within the time that a stop has.

    What it cannot give back now, the account takes back itself once it notices that the connection is gone.
    """
    with suppress(ConnectorError, TimeoutError):
        async with asyncio.timeout(CLOSE_WITHIN):
            await connector.close()
