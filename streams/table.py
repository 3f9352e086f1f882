"""The one table of the app, and its recovery, in place of Faust's.

Responsible for what happens between an assignment and the work on it. Must not know what is in the state.

Faust's own path (`table[key] = value`) gives no order between outputs, changelog and disk, and its recovery lets an
earlier owner write on. Here the table only names the store and the changelog: units of work write both
(`streams.unit`), and partitions are taken over before they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import faust
from faust.tables import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery
from faust.types import TP

from streams.disk import Disk
from streams.ending import end
from streams.host import Host, InterruptedTakeoverError
from streams.owned import Bounds
from streams.topics import Topics


class StateTable(faust.Table[bytes, bytes]):
    """The state of all partitions; read and written by units of work alone."""

    def _changelog_topic_name(self) -> str:
        return self.app.tables.topics.state  # type: ignore[attr-defined,no-any-return]

    def _new_store(self) -> Disk:
        return Disk(
            "rocksdb://", self.app, self, table_name=self.name, key_type=bytes, value_type=bytes, loop=self.loop
        )

    def _set_key(self, key: Any, value: Any) -> None:  # noqa: ARG002
        raise TypeError("the state is written by units of work")

    def _del_key(self, key: Any) -> None:  # noqa: ARG002
        raise TypeError("the state is written by units of work")


class FencedTables(TableManager):
    """Faust's manager of tables, with our recovery. `host` is set before the app starts."""

    host: Callable[[], Host]
    topics: Topics

    async def on_start(self) -> None:
        """As Faust's, which first sleeps for a second, in case more tables are declared."""
        await self._update_channels()
        await self.recovery.start()

    @property
    def recovery(self) -> Recovery:
        """The recovery service."""
        if self._recovery is None:
            self._recovery = FencedRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery


class FencedRecovery(Recovery):
    """Takes partitions over before Faust asks how far to recover, reads their changelogs itself, and reads the inputs
    on from the state's positions."""

    tables: FencedTables

    async def _wait(self, coro: Any, timeout: Any = None) -> None:  # noqa: ARG002
        # A take-over, or a recovery, lasts as long as it lasts; Faust would give up after its request timeout.
        await super()._wait(coro)

    async def _build_highwaters(self, consumer: Any, tps: set[TP], destination: Any, title: str) -> None:
        if title == "active":
            try:
                await self.tables.host().acquire({tp.partition for tp in tps})
            except InterruptedTakeoverError:
                raise RebalanceAgain from None
            except Exception as error:  # noqa: BLE001 - nobody else would see it: Faust restarts what failed, and goes on
                end(error)
        await super()._build_highwaters(consumer, tps, destination, title)
        if title == "active":
            for tp in tps:  # one by one: the `update` of a Counter adds
                self.active_offsets[tp] = destination[tp]

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Reads on where the state ends. The group's committed offset may be ahead of it, or behind."""
        await super().on_recovery_completed(generation_id)
        if self.app.consumer_generation_id != generation_id:
            return
        owned = {tp.partition for tp in self.active_tps}
        inputs = [TP(topic, number) for topic in self.tables.topics.inputs for number in owned]
        await self._begin(inputs)

    async def _begin(self, inputs: Iterable[TP]) -> None:
        consumer = self.app.consumer
        starts, ends = await consumer.earliest_offsets(*inputs), await consumer.highwaters(*inputs)
        try:
            await self.tables.host().begin({tp: Bounds(starts[tp], ends[tp]) for tp in inputs})
        except Exception as error:  # noqa: BLE001 - as above
            end(error)
