"""A worker is killed right behind each step of a unit of work, stopped in the middle of one, or moved off its
partitions; then all is counted.

Each guard of the streams has a test here that fails without it: the same scenario run with the guard taken out
(`tests.streams.guards`) must show it.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition

from rules.events import Order, ReadDone
from schemas import decode
from streams.ending import REFUSED
from tests.streams.pipeline import Pipeline
from tests.streams.verdict import Verdict
from tests.streams.worker import PARTITIONS

T = TypeVar("T")
Pipelines = Callable[..., Pipeline]

STEPS = (1, 2, 3, 4, 5)


async def with_and_without(
    pipeline: Pipelines, scenario: Callable[[Pipeline, str], Awaitable[T]], guard: str, accounts: str = "ab"
) -> tuple[T, T]:
    """What the scenario shows with the guard, and without it."""
    shown, without = await asyncio.gather(scenario(pipeline(*accounts), ""), scenario(pipeline(*accounts), guard))
    return shown, without


async def settled(pipeline: Pipeline) -> Verdict:
    """What came out, once the state holds all that was sent."""
    await pipeline.settled()
    return await pipeline.verdict()


# ---------------------------------------------------------------- killed


async def killed_behind_each_step(pipeline: Pipeline, stage: str) -> Verdict:
    """A worker that is killed behind step 1 of the stage's first unit, started anew and killed behind step 2, and so
    on."""
    async with pipeline as running:
        for step in STEPS:
            await running.edit("a", "1", "2", f"step {step}")
            await running.edit_exactly("b", "1", "2", f"step {step}")
            running.start("x", TANDEM_FAULT=f"{stage}:{step}:1")
            assert await running.ended("x", 30) == -signal.SIGKILL, running.log("x")
        running.start("x")
        return await settled(running)


async def test_a_kill_behind_any_step_of_a_unit_loses_nothing_and_counts_nothing_twice(pipeline: Pipelines) -> None:
    stages = ("route", "reconcile", "deliver")
    verdicts = dict(
        zip(stages, await asyncio.gather(*(killed_behind_each_step(pipeline(), s) for s in stages)), strict=True)
    )
    assert all(verdict.clean for verdict in verdicts.values()), verdicts
    assert verdicts["reconcile"].repeated > 0  # what was killed behind its outputs comes again, and says the same


async def killed_behind_the_changelog(pipeline: Pipeline, twin: str) -> Verdict:
    """One edit, and a kill of reconcile behind step 3; started anew without a disk of its own."""
    async with pipeline as running:
        await running.edit_exactly("a", "1")
        running.start("x", TANDEM_FAULT="reconcile:3:1", TANDEM_TWIN=twin)
        assert await running.ended("x") == -signal.SIGKILL, running.log("x")
        running.start("x")
        await running.live("x")
        await running.edit_exactly("a", "2")
        # Answers come in any order. What the twin lost never comes: it is counted when the second edit has its answer.
        await (running.until_settled("a", "2") if twin else running.settled())
        return await running.verdict()


async def test_outputs_come_before_the_state_else_they_are_lost(pipeline: Pipelines) -> None:
    verdict, without = await with_and_without(pipeline, killed_behind_the_changelog, "order")
    assert verdict.clean, verdict
    assert without.lost == 2  # the command, and with it the answer


async def test_the_position_is_in_the_record_batch_of_the_state_else_an_edit_counts_twice(pipeline: Pipelines) -> None:
    assert (await killed_behind_the_changelog(pipeline(), "one batch")).miscounted == 1


async def remembered_in_the_log(pipeline: Pipeline, twin: str) -> bool:
    """A kill of reconcile behind step 3. Whether what it decided is in the changelog in the end, also where nothing
    touches it again."""
    async with pipeline as running:
        await running.order("a", Order("o1", "resync"))
        running.start("x", TANDEM_FAULT="reconcile:3:1", TANDEM_TWIN=twin)
        assert await running.ended("x") == -signal.SIGKILL, running.log("x")
        running.start("x")
        await running.edit("a", "1")
        await running.settled()
        return running.state_key("a", "resync") in await running.state()


async def test_the_changelog_comes_before_the_disk_else_it_lacks_what_the_disk_holds(pipeline: Pipelines) -> None:
    assert await with_and_without(pipeline, remembered_in_the_log, "disk last") == (True, False)


# ---------------------------------------------------------------- stopped


async def woken_behind_a_new_owner(pipeline: Pipeline, twin: str) -> tuple[int | None, Verdict]:
    """A worker falls asleep in a unit, between its outputs and its changelog; its partitions get another owner; it
    wakes up."""
    async with pipeline as running:
        running.start("x", TANDEM_FAULT="stop:reconcile:2:2", TANDEM_TWIN=twin)
        await running.live("x")
        for _ in range(2):
            await running.edit_exactly("a", "1")
            await asyncio.sleep(0.1)  # so that they are two units, if they can be
        await running.until(lambda: running.asleep("x"), "x is asleep")
        running.start("y", TANDEM_TWIN=twin)
        await running.live("y")
        for _ in range(3):
            await running.edit_exactly("a", "1")
        await running.settled()
        running.workers["x"].send_signal(signal.SIGCONT)
        status = None
        if not twin:
            status = await running.ended("x")
        else:
            await running.live("x", times=2)
        return status, await running.verdict()


async def test_a_worker_that_wakes_up_behind_a_new_owner_is_refused_else_it_turns_the_state_back(
    pipeline: Pipelines,
) -> None:
    (status, verdict), (_, without) = await with_and_without(pipeline, woken_behind_a_new_owner, "fence")
    assert status == REFUSED
    assert verdict.clean, verdict
    assert without.back > 0


# ---------------------------------------------------------------- positions


async def read_on_where_the_group_is_ahead(pipeline: Pipeline, twin: str) -> bool:
    """The group has committed beyond what the state holds, and nothing more comes. Whether all is worked on."""
    async with pipeline as running:
        running.start("x")
        await running.edit("a", "1")
        await running.settled()
        await running.stop("x")
        # Commands, since nothing else ever comes there: `changes` gets the next owner's marker, `inbox` a clock.
        end = await running.command("a", "2") + 1
        tp = TopicPartition(running.topics.commands, running.topics.partition_of("a2"))
        group = AIOKafkaConsumer(**running.broker.client(), group_id=running.name, enable_auto_commit=False)
        await group.start()
        try:
            group.assign([tp])
            await running.until_committed(group, tp, end)
        finally:
            await group.stop()
        running.start("x", TANDEM_TWIN=twin)
        await running.live("x", times=2)
        return await running.settles(3)


async def test_inputs_are_read_from_the_states_position_on_else_some_are_skipped(pipeline: Pipelines) -> None:
    assert await with_and_without(pipeline, read_on_where_the_group_is_ahead, "seek") == (True, False)


async def read_on_behind_a_hole(pipeline: Pipeline, twin: str) -> bool:
    """Faust loses a message. Whether all is worked on."""
    async with pipeline as running:
        # Behind the marker of the first owner, and the message before the hole.
        running.start("x", TANDEM_DROP=f"{running.topics.changes}:2", TANDEM_TWIN=twin)
        await running.live("x")
        for record in ("1", "2", "3", "4"):
            await running.edit("a", record)
        return await running.settles(4)


async def test_a_message_that_faust_loses_is_read_again_else_it_is_lost(pipeline: Pipelines) -> None:
    assert await with_and_without(pipeline, read_on_behind_a_hole, "hole") == (True, False)


async def test_with_fausts_own_read_offsets_a_partition_stands_still_behind_a_hole(pipeline: Pipelines) -> None:
    assert not await read_on_behind_a_hole(pipeline(), "unchecked")


# ---------------------------------------------------------------- partitions that move


async def come_back(pipeline: Pipeline, twin: str) -> str:
    """Partitions leave a worker for another, and come back when that ends. What the first worker said."""
    async with pipeline as running:
        running.start("x", TANDEM_TWIN=twin)
        await running.live("x")
        for account in running.accounts:
            await running.edit(account, "1")
        await running.settled()
        running.start("y")
        await running.live("y")
        await running.live("x", times=2)
        await running.stop("y")
        everything = f"working on partitions {list(range(PARTITIONS))}"
        await running.until(
            lambda: running.log("x").count(everything) == 2 or "is locked" in running.log("x"), "x has them all, or not"
        )
        if not twin:
            for account in running.accounts:
                await running.edit(account, "1")
            assert (await settled(running)).clean
        return running.log("x")


async def test_partitions_that_come_back_are_opened_again_else_they_are_locked(pipeline: Pipelines) -> None:
    log, without = await with_and_without(pipeline, come_back, "no handle", "abcdefgh")
    assert "is locked" not in log
    assert "is locked" in without


async def left_with_messages_buffered(pipeline: Pipeline, twin: str) -> int | None:
    """Partitions leave a worker that has messages of theirs, which wait for a configuration; then this comes. Its
    status, if it has ended."""
    async with pipeline as running:
        running.start("x", TANDEM_TWIN=twin)
        await running.live("x")
        for account in running.accounts:
            await running.edit(account, "1", config=2)
        running.start("y")
        await running.live("y")
        await running.configure(2)
        await running.settled()
        if twin:
            return await running.ended("x")
        await running.edit(running.accounts[0], "1", config=2)
        assert (await settled(running)).clean
        return running.workers["x"].poll()


async def test_what_was_buffered_of_a_partition_that_left_is_dropped_else_the_worker_is_refused(
    pipeline: Pipelines,
) -> None:
    assert await with_and_without(pipeline, left_with_messages_buffered, "assignment", "abcdefgh") == (None, REFUSED)


# ---------------------------------------------------------------- errands


async def read_through_a_crash(pipeline: Pipeline, fault: str) -> None:
    """A full read of three pages, and a kill."""
    async with pipeline as running:
        await running.order("a", Order("o1", "read"))
        running.start("x", TANDEM_FAULT=fault)
        assert await running.ended("x", 30) == -signal.SIGKILL, running.log("x")
        running.start("x")
        running.sent.update({("a", f"read-{page}"): 1 for page in range(3)})
        await running.settled()
        inbox = [decode(message.value) for message in await running.everything(running.topics.inbox)]
        assert any(isinstance(event, ReadDone) for event in inbox)
        assert (await running.verdict()).miscounted == 0
        assert not [key for _, key in await running.state() if key.startswith(b"r/")]


async def test_a_full_read_goes_on_where_it_was_after_a_crash(pipeline: Pipelines) -> None:
    await asyncio.gather(
        *(read_through_a_crash(pipeline("a"), fault) for fault in ("deliver:4:1", "route:2:2", "route:4:2"))
    )


# ---------------------------------------------------------------- the disk


async def test_a_disk_that_was_wiped_is_made_again_with_the_same_state_and_indexes(pipeline: Pipelines) -> None:
    async with pipeline() as running:
        running.start("x")
        for serial in range(30):
            await running.edit("a", *(f"{serial % modulus}" for modulus in (3, 5, 7)))
            await running.edit("b", f"{serial % 4}")
        await running.settled()
        await running.stop("x")
        before = running.disk("x")
        assert any(b"\0i0000" in key for _, key in before), "no index on the disk"
        shutil.rmtree(running.folder / "x")
        running.start("x")
        await running.live("x", times=2)
        await running.stop("x")
        assert running.disk("x") == before
        assert {place: value for place, value in before.items() if b"\0i0000" not in place[1]} == {
            place: value for place, value in (await running.state()).items() if not place[1].startswith(b"\0")
        }
