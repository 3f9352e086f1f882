"""What the tests of the PostgreSQL connector begin with: a connector over a database, and its log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from connectors.base import (
    Context,
    ObjectUse,
)
from connectors.postgres import PostgresConnector, PostgresSettings
from tests.connectors.contract import Log, opened

PATIENCE = 20.0
NewDatabase = Callable[[int], str]


def uses(*names: str, **settings: Any) -> tuple[ObjectUse, ...]:
    return tuple(ObjectUse(name, settings) for name in names)


def connector(url: str, *objects: ObjectUse, account: str = "crm", **settings: Any) -> PostgresConnector:
    context = Context("acme", account, objects)
    return PostgresConnector(PostgresSettings.model_validate({"url": url, **settings}), context)


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


@asynccontextmanager
async def following(url: str, *objects: ObjectUse) -> AsyncIterator[tuple[PostgresConnector, Log]]:
    async with opened(connector(url, *objects)) as made:
        assert isinstance(made, PostgresConnector)
        async with Log(made, await made.prepare(), PATIENCE) as log:
            yield made, log
        await made.release()
