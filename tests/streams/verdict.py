"""What came out of a run of the counting twins: every edit counted once and answered, or what fell short.

Responsible for counting, from the topics alone. Must not know how the run went.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import msgspec

from rules.events import Commands, Results, StatusRow
from schemas import Message, SchemaError, decode
from streams import keys
from streams.topics import parse_status_key
from tests.streams.counting import Count

if TYPE_CHECKING:
    from tests.streams.pipeline import Pipeline

count_of = msgspec.msgpack.Decoder(Count).decode


def decoded(data: bytes) -> Message | None:
    """The message; None: it is none."""
    try:
        return decode(data)
    except SchemaError:
        return None


class Verdict(msgspec.Struct):
    """What came out of a run."""

    lost: int  # edits without a command, or commands without an answer
    repeated: int  # commands that came again
    miscounted: int  # commands that say another count than their edit has
    wrong: int  # records whose state, answers or status are not those of their last edit
    back: int  # entries of the changelog older than one before them

    @property
    def clean(self) -> bool:
        """Whether every edit was counted once and answered."""
        return not (self.lost or self.miscounted or self.wrong or self.back)


async def verdict_of(pipeline: Pipeline) -> Verdict:
    """Counts."""
    commands, miscounted = await _commands(pipeline)
    answers = await _answers(pipeline)
    places = [(account, record, seq) for (account, record), edits in pipeline.sent.items() for seq in range(edits)]
    return Verdict(
        lost=sum((commands[place] == 0) + (place not in answers) for place in places),
        repeated=commands.total() - len(commands),
        miscounted=miscounted,
        wrong=await _wrong(pipeline),
        back=await _back(pipeline),
    )


async def _commands(pipeline: Pipeline) -> tuple[Counter[tuple[str, str, int]], int]:
    seen: Counter[tuple[str, str, int]] = Counter()
    miscounted = 0
    for message in await pipeline.everything(pipeline.topics.commands):
        if isinstance(found := decoded(message.value), Commands):
            for command in found.commands:
                seen[found.connection.split("~")[0], command.link, command.sequence] += 1
                miscounted += command.values["n"] != command.sequence + 1
    return seen, miscounted


async def _answers(pipeline: Pipeline) -> set[tuple[str, str, int]]:
    return {
        (message.key.decode().split("~")[0], answer.link, answer.sequence)
        for message in await pipeline.everything(pipeline.topics.inbox)
        if isinstance(results := decoded(message.value), Results)
        for answer in results.answers
    }


async def _wrong(pipeline: Pipeline) -> int:
    state = await pipeline.state()
    statuses: dict[tuple[str, str], object] = {}
    for message in await pipeline.everything(pipeline.topics.statuses):
        if parse_status_key(message.key)[1] and isinstance(row := decode(message.value), StatusRow):
            (side,) = row.sides.values()
            statuses[row.sync, row.key] = side.fields["n"]
    wrong = 0
    for (account, record), edits in pipeline.sent.items():
        raw = state.get(pipeline.state_key(account, record))
        count = count_of(raw) if raw is not None else Count()
        wrong += (count.n, count.seq, count.answered) != (edits, edits - 1, edits - 1)
        wrong += statuses.get((pipeline.connection(account), record)) != edits
    return wrong


async def _back(pipeline: Pipeline) -> int:
    back, high = 0, defaultdict[tuple[int, bytes], tuple[int, int]](lambda: (-1, -1))
    for message in await pipeline.everything(pipeline.topics.state):
        place, now = (message.partition, message.key), (-1, -1)
        if message.key.startswith(b"p/"):
            now = int(message.value), 0
        elif message.key.startswith(keys.RULES) and b"\0l" in message.key:
            count = count_of(message.value)
            now = count.n, count.answered
        back += now < high[place]
        high[place] = max(high[place], now)
    return back
