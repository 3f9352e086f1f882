"""Orders to the engine: what a person asks for, put into the inbox of the connection that it concerns.

Responsible for building them and for returning once they are safely stored. Must not know what the rules make of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaProducer

import schemas
from console.applied import Applied, AppliedStore, Change
from console.applying import deletion, new_id, orders_of, switch
from console.kafka import silence, telling, topics_of
from console.target import Target
from rules.events import Order, SetMark
from streams.broker import Broker
from streams.config import SCHEMA, send_orders
from streams.topics import Topics


def switch_sync(target: Target, sync: str, *, on: bool) -> bool:
    """Switches a sync on or off for good; False where it was so already (then its connection is told again)."""
    changed = False

    def change(before: Applied | None) -> Applied:
        nonlocal changed
        after = switch(before, sync, on=on)
        changed = after is not before
        return after

    asyncio.run(_replace(target, change))
    return changed


def delete_sync(target: Target, sync: str) -> bool:
    """Deletes a sync for good; False where it was so already (then its connection is told again)."""
    changed = False

    def change(before: Applied | None) -> Applied:
        nonlocal changed
        after = deletion(before, sync)
        changed = after is not before
        return after

    asyncio.run(_replace(target, change))
    return changed


async def _replace(target: Target, change: Change) -> None:
    silence()
    broker = target.broker()
    with telling(broker):
        topics = await topics_of(broker, target.name)
        async with AppliedStore(broker, topics) as store:
            await store.replace(change, orders_of)


def order(target: Target, orders: Iterable[tuple[str, Order]]) -> None:
    """Sends orders to connections; returns when they are stored."""

    async def send() -> None:
        silence()
        broker = target.broker()
        with telling(broker):
            topics = await topics_of(broker, target.name)
            await send_orders(broker, topics, orders)

    asyncio.run(send())


def restore(sync: str, into: str, records: Iterable[str] = ()) -> Order:
    """Re-creates deleted records of a sync in an account: those named, or all."""
    return Order(new_id(), "restore", sync, tuple(records), {"into": into})


def confirm(sync: str) -> Order:
    """Lets a stopped sync go on."""
    return Order(new_id(), "confirm", sync)


def resync(sync: str) -> Order:
    """Reads both sides of a sync in full again."""
    return Order(new_id(), "resync", sync)


def retry(sync: str, records: Iterable[str] = (), category: str | None = None) -> Order:
    """Tries failing records again: those named, those of a category, or all."""
    return Order(new_id(), "retry", sync, tuple(records), {"category": category} if category else {})


def waiting(mark: str, sync: str | None = None) -> Order:
    """Asks a connection to answer the mark for the sync, or for all of its syncs."""
    return Order(new_id(), "wait", sync, (), {"mark": mark})


async def send_marks(broker: Broker, topics: Topics, mark: str, accounts: Iterable[str]) -> None:
    """Has the mark set in the log of each account."""
    async with AIOKafkaProducer(**broker.client(), enable_idempotence=True, linger_ms=0) as producer:
        sent = []
        for account in accounts:
            data = schemas.encode(SetMark(account, mark))
            fingerprint = schemas.fingerprint_in(data)
            key = SCHEMA + fingerprint.encode()
            await producer.send_and_wait(topics.config, schemas.published()[fingerprint], key, partition=0)
            partition = topics.partition_of(account)
            sent.append(await producer.send(topics.commands, data, account.encode(), partition=partition))
        await asyncio.gather(*sent)
