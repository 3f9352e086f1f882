"""`wait`: returns when all that was done before it has been carried through.

Responsible for the rounds of marks. Must not know how a mark travels (`streams`), nor when a sync has carried through
what came before it (`rules.marks`).

A round sends a mark into the log of both accounts of every connection concerned, and asks each connection for it. A
sync's answer is the number of commands that it had ever issued; what a command causes (its echo, and whatever that sets
off) comes after the mark. So rounds follow each other until one in which no sync has issued any: two answers in a row
are equal. Answers are read in the read model, which has then seen all that came before them.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping

import msgspec

from console.applied import AppliedStore
from console.errors import FailedError
from console.kafka import telling, topics_of
from console.orders import send_marks, waiting
from console.readmodel.projection import Projection
from console.readmodel.reader import Reader
from console.service import Service
from console.target import Target
from console.times import span
from rules.plan import connection_name
from streams.broker import Broker
from streams.config import send_orders
from streams.topics import Topics

GRACE_S = 30.0  # for an engine to begin to come up
CLUSTER_GRACE_S = 10.0  # the same, where it may as well run elsewhere
AGAIN_S = 10.0  # after which a mark without an answer is set again: a worker may have ended with it
LOOK_S = 0.05
# What one change sets off goes to and fro at most so often before the rules call it a loop (`rules.loops`). So after this
# many rounds that still command something, it is what people have done since: a busy sync is waited for, too.
ROUNDS = 12


class Concerned(msgspec.Struct, frozen=True):
    """The syncs to wait for, which are not off, with their accounts. One that has stopped answers at once."""

    syncs: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, service: Service, sync: str | None) -> Concerned:
        """Those of that name, or all, as they are now."""
        states = {name: service.status(name)["syncs"][0]["state"] for name in service.known(sync)}
        syncs = {name: service.between[name] for name, state in states.items() if state != "off"}
        return cls(syncs)

    @property
    def connections(self) -> set[str]:
        """Whom to ask."""
        return {connection_name(accounts) for accounts in self.syncs.values()}

    @property
    def accounts(self) -> set[str]:
        """Where to set marks."""
        return {account for accounts in self.syncs.values() for account in accounts}


class Waiter:
    """One call of `wait`. `deadline`: by the monotonic clock; None: as long as it takes."""

    def __init__(self, target: Target, sync: str | None, deadline: float | None) -> None:
        self._target, self._sync, self._deadline = target, sync, deadline
        self._elsewhere = False  # the engine runs on another machine

    async def run(self) -> list[str]:
        """Returns the syncs that were waited for. Raises `FailedError` when the time is over."""
        following = await self._until_up()
        try:
            return await self._rounds()
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    async def _rounds(self) -> list[str]:
        """Goes round until nothing is set off any more."""
        broker = self._target.broker()
        with telling(broker):
            topics = await topics_of(broker, self._target.name)
            await self._until_known(broker, topics)
            before: dict[str, int] | None = None
            answers = await self._round(broker, topics)
            for _ in range(ROUNDS):
                if answers == before:
                    break
                before, answers = answers, await self._round(broker, topics)
        return sorted(answers)

    async def _until_up(self) -> asyncio.Task[None] | None:
        """Waits for an engine that has applied its file; one that is not even coming up is not waited for long.

        Where workers run elsewhere, on a cluster that is named, this command follows the topics itself: by the task it
        answers.
        """
        home = self._target.home
        missing_since = time.monotonic()
        while True:
            if home.is_taken():
                missing_since = time.monotonic()
                running = home.running()
                if running is not None and running.ready and Reader.open(home.read_model) is not None:
                    return None
            elif time.monotonic() - missing_since > CLUSTER_GRACE_S and self._names_a_broker():
                return await self._follow()
            elif time.monotonic() - missing_since > GRACE_S:
                raise FailedError(f"No engine runs on {home.path}.", "Start it with `tandem up`.")
            await self._look_again("the engine is still coming up" if home.is_taken() else "no engine runs here")

    def _names_a_broker(self) -> bool:
        named = self._target.settings.broker is not None or self._target.settings.file.exists()
        return self._target.home.is_taken("broker") or (named and self._target.named_broker() is not None)

    async def _follow(self) -> asyncio.Task[None]:
        """Keeps the read model current for as long as we wait."""
        self._elsewhere = True
        broker = self._target.broker()
        with telling(broker):
            await topics_of(broker, self._target.name)
            projection = Projection(broker, self._target.name, self._target.home.read_model)
            await projection.catch_up()
        return asyncio.create_task(projection.run())

    async def _until_known(self, broker: Broker, topics: Topics) -> None:
        """Waits until the read model knows what has been applied last: whatever was switched on before must be waited for."""
        async with AppliedStore(broker, topics) as store:
            applied = store.current.version if store.current else 1
        while True:
            with Service.open(self._target.home) as service:
                if service.configuration.get("version", 0) >= applied:
                    return
            await self._look_again("the read model is still being filled")

    async def _round(self, broker: Broker, topics: Topics) -> dict[str, int]:
        """Sends a mark and waits for its answers."""
        mark = f"wait-{secrets.token_hex(8)}"
        sent_at = 0.0
        while True:
            with Service.open(self._target.home) as service:
                concerned = Concerned.of(service, self._sync)
                found = service.reader.answered(mark)
                answers = {name: found[name] for name in concerned.syncs if name in found}
                missing = concerned.syncs.keys() - answers.keys()
                if not missing:
                    return answers
                outstanding = self._outstanding(service, sorted(missing))
            if time.monotonic() - sent_at > AGAIN_S:
                sent_at = time.monotonic()
                orders = [(connection, waiting(mark, self._sync)) for connection in sorted(concerned.connections)]
                await send_orders(broker, topics, orders)
                await send_marks(broker, topics, mark, sorted(concerned.accounts))
            await self._look_again(outstanding)

    async def _look_again(self, outstanding: str) -> None:
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise FailedError("The time is over, and not everything has been carried through.", outstanding)
        await asyncio.sleep(LOOK_S)

    def _outstanding(self, service: Service, syncs: list[str]) -> str:
        """What each sync still has to do, a line each."""
        lines = [] if service.running or self._elsewhere else ["The engine has ended. Start it again with `tandem up`."]
        for name in syncs:
            (row,) = service.status(name)["syncs"]
            down = [f"{account} is down ({reason})" for account, reason in row["accounts_down"].items()]
            parts = down
            if row["state"] == "initial":
                parts = [f"its first sync is not over, {row['initial']['remaining']:,} to go", *down]
            if row["pending"]:
                parts.append(
                    f"{row['pending']:,} records are on their way, the oldest since {span(row['lag_seconds'])}"
                )
            lines.append(f"{name}: {'; '.join(parts) or 'it has not answered yet'}")
        return "\n".join(lines)
