"""A rehearsal of the whole file: what runs is found out, each connection concerned is rehearsed, and reports are given.

Responsible for the order of that, and for giving back all that it takes: connections to accounts, a broker that it has
started to read from, folders. Writes to no account and no topic. Must not know how a report is printed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from connectors.base import Connector, ConnectorError
from console.accounts import connector_of, examine
from console.applied import Applied, AppliedStore
from console.applying import Proposal
from console.engine import embedded_kafka
from console.errors import FailedError, unknown
from console.home import Role
from console.kafka import existing_topics, silence, telling
from console.rehearsal.rehearse import Rehearsal, Tell, order_of, rehearse
from console.rehearsal.report import Report
from console.rehearsal.stand_in import StandIn
from console.rehearsal.state import copy_state
from console.rehearsal.store import State, Store
from console.rollout import proposed, sound_catalogs
from console.target import Target, cluster
from rules.config import BrokerConfig, Installation
from rules.events import Order
from rules.plan import connection_documents, connection_name
from streams.broker import Broker
from streams.topics import Topics


class Running:
    """What runs: the applied configuration, and where its topics are. All None where nothing does."""

    def __init__(self, broker: Broker | None, topics: Topics | None, applied: Applied | None) -> None:
        self.broker, self.topics, self.applied = broker, topics, applied


@asynccontextmanager
async def previewed(target: Target, sync: str | None, tell: Tell) -> AsyncIterator[tuple[Proposal, list[Report]]]:
    """What applying the file would do: the difference, and a report for each sync (or that one)."""
    silence()
    installation = target.installation
    if sync is not None and sync not in installation.syncs:
        raise unknown("sync", sync, installation.syncs)
    catalogs = sound_catalogs(installation, await examine(installation, installation.accounts))
    async with what_runs(target) as running:
        proposal = proposed(running.applied, installation, catalogs, keep_left=False)
        wanted = [name for name in proposal.after.document["syncs"] if sync in (None, name)]
        async with rehearsed(installation, running, proposal, wanted, tell) as reports:
            yield proposal, reports


@asynccontextmanager
async def rehearsed(
    installation: Installation, running: Running, proposal: Proposal, wanted: Collection[str], tell: Tell
) -> AsyncIterator[list[Report]]:
    """Reports on the wanted syncs of a proposal."""
    after = proposal.after
    objects = {account: catalog.objects for account, catalog in after.catalogs.items()}
    documents = connection_documents(after.document, objects, after.off, after.version)
    syncs: Mapping[str, Any] = after.document["syncs"]
    old = running.applied.document["syncs"] if running.applied else {}
    concerned = _sharing(documents, {connection_name(syncs[name]["between"]) for name in wanted})
    described = {(account, name): one for account, known in objects.items() for name, one in known.items()}
    async with AsyncExitStack() as stack:
        store = stack.enter_context(Store())
        apps, connectors = StandIn(store, described), {}
        used = Counter(account for connection in concerned for account in connection.split("~"))
        for account in sorted(used):
            connectors[account] = await _open(stack, installation, account)
        shared = frozenset(account for account, connections in used.items() if connections > 1)
        rehearsals: dict[str, tuple[Rehearsal, Order]] = {}
        for connection in concerned:
            decided = await _decided(running, connection, store.state(connection))
            rehearsal = Rehearsal(connection, store, apps, connectors, decided, tell, shared)
            rehearsals[connection] = rehearsal, order_of(documents[connection], after.version)
        await rehearse(rehearsals)
        rows = {name: row for rehearsal, _ in rehearsals.values() for name, row in rehearsal.syncs.items()}
        reports = [
            Report(store, row, list(syncs[name]["between"]), first=name not in old)
            for name, row in rows.items()
            if name in wanted and row.state is not None
        ]
        yield sorted(reports, key=lambda report: list(syncs).index(report.sync))


def _sharing(documents: Collection[str], concerned: set[str]) -> list[str]:
    """The connections concerned, with those that share an account with them, and so on: what one writes others see."""
    found = set(concerned)
    while True:
        accounts = {account for connection in found for account in connection.split("~")}
        more = {connection for connection in documents if accounts & set(connection.split("~"))} - found
        if not more:
            return sorted(found)
        found |= more


async def _decided(running: Running, connection: str, state: State) -> int:
    if running.broker is None or running.topics is None or running.applied is None:
        return -1
    with telling(running.broker):
        return await copy_state(running.broker, running.topics, connection, state)


async def _open(stack: AsyncExitStack, installation: Installation, account: str) -> Connector:
    try:
        connector = connector_of(installation, account)
        stack.push_async_callback(connector.close)
        await connector.open()
    except ConnectorError as error:
        raise FailedError(f"{account}: {error.message}", error.remedy) from error
    return connector


@asynccontextmanager
async def what_runs(target: Target) -> AsyncIterator[Running]:
    """What is applied now. An embedded broker that does not run, but has data on the home, is started to be read."""
    async with AsyncExitStack() as stack:
        broker = await _broker(target, stack)
        if broker is None:
            yield Running(None, None, None)
            return
        with telling(broker):
            topics = await existing_topics(broker, target.name)
            applied = None
            if topics is not None:
                async with AppliedStore(broker, topics) as store:
                    applied = store.current
        yield Running(broker, topics, applied)


async def _broker(target: Target, stack: AsyncExitStack) -> Broker | None:
    home = target.home
    if target.running is not None or target.named_broker() is not None or home.is_taken("broker"):
        return target.broker()
    if home.is_taken():
        raise FailedError("tandem up is still coming up on this home.", "Ask again in a few seconds.")
    if not home.kafka.exists():
        return None
    stack.enter_context(Role(home, "broker", "tandem preview"))
    kafka = await stack.enter_async_context(embedded_kafka(target))
    return cluster(BrokerConfig(url=kafka.url))
