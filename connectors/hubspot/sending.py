"""Batches of writes on the wire: one answer per input, whatever the batch says as a whole.

Responsible for matching results and errors to inputs: by trace id, by record id, and where neither tells, by sending again the halves of what was
refused. Must not know commands or values.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from connectors.base import ConnectorError
from connectors.hubspot.client import Answer, Client, RefusedError, UnknownOutcomeError
from connectors.hubspot.errors import Detail, Json, details_of

T = TypeVar("T")


class Done(msgspec.Struct, frozen=True):
    """The answer to an input: HubSpot's record as it was stored (`asked_at`: when the call was sent), a refusal, that nobody knows, or
    that it was not done, since the account failed before it was its turn (`postponed`)."""

    given: Json | None = None
    asked_at: int = 0
    refused: Detail | None = None
    unknown: str = ""
    postponed: str = ""


async def send(client: Client, path: str, doing: str, inputs: Mapping[int, Json]) -> dict[int, Done]:
    """The inputs in one call, each with a trace id of its own, without which one refusal would undo all. Raises where none of them was done."""
    if not inputs:
        return {}
    traced = [{**one, "objectWriteTraceId": str(place)} for place, one in inputs.items()]
    try:
        answer = await client.write("POST", path, doing, {"inputs": traced})
    except UnknownOutcomeError as error:
        return {place: Done(unknown=str(error)) for place in inputs}
    except RefusedError as error:
        details = error.refusal.details
        named = {int(trace) for one in details for trace in one.traces if trace.isdigit()} & inputs.keys()
        if len(inputs) == 1:
            return {place: Done(refused=details[0]) for place in inputs}
        if named and len(named) < len(inputs):
            refused = {place: Done(refused=_of(details, place)) for place in named}
            rest = {place: one for place, one in inputs.items() if place not in named}
            return refused | await _later(send, client, path, doing, rest)
        return await _divided(client, path, doing, inputs)
    return await _matched(client, path, doing, inputs, answer)


async def archive(client: Client, path: str, doing: str, ids: Mapping[int, str]) -> dict[int, Done]:
    """Archives records in one call; where one of them keeps it from being done, in halves. One that is not there has an empty answer."""
    try:
        await client.write("POST", path, doing, {"inputs": [{"id": one} for one in ids.values()]})
    except UnknownOutcomeError as error:
        return {place: Done(unknown=str(error)) for place in ids}
    except RefusedError as error:
        if len(ids) == 1:
            done = Done() if error.refusal.status == 404 else Done(refused=error.refusal.details[0])
            return dict.fromkeys(ids, done)
        first, second = _halves(ids)
        return await archive(client, path, doing, first) | await _later(archive, client, path, doing, second)
    return dict.fromkeys(ids, Done(given={}))


async def _divided(client: Client, path: str, doing: str, inputs: Mapping[int, Json]) -> dict[int, Done]:
    first, second = _halves(inputs)
    return await send(client, path, doing, first) | await _later(send, client, path, doing, second)


def _halves(inputs: Mapping[int, T]) -> tuple[dict[int, T], dict[int, T]]:
    places = list(inputs)
    middle = len(places) // 2
    first, second = ({place: inputs[place] for place in half} for half in (places[:middle], places[middle:]))
    return first, second


Call = Callable[[Client, str, str, Mapping[int, T]], Awaitable[dict[int, Done]]]


async def _later(call: Call[T], client: Client, path: str, doing: str, inputs: Mapping[int, T]) -> dict[int, Done]:
    """What is sent when others have been answered: these answers are not lost where the account fails now."""
    try:
        return await call(client, path, doing, inputs)
    except ConnectorError as error:
        return {place: Done(postponed=error.message) for place in inputs}


async def _matched(
    client: Client, path: str, doing: str, inputs: Mapping[int, Json], answer: Answer
) -> dict[int, Done]:
    by_id = {str(one["id"]): place for place, one in inputs.items() if "id" in one}
    done, strangers = _placed(inputs, by_id, answer)
    details = details_of(answer.body)
    for detail in details:
        for trace in detail.traces:
            if trace.isdigit() and int(trace) in inputs:
                done[int(trace)] = Done(refused=detail)
        for record_id in detail.ids:
            if record_id in by_id and by_id[record_id] not in done:
                done[by_id[record_id]] = Done(refused=detail)
    left = {place: one for place, one in inputs.items() if place not in done}
    if not left:
        return done
    if len(left) == len(strangers) == 1:
        return done | {place: Done(strangers[0], answer.asked_at) for place in left}
    if len(left) == 1 and len(details) == 1 and not details[0].traces:
        return done | {place: Done(refused=details[0]) for place in left}
    if len(inputs) == 1:
        return done | {place: Done(unknown="the answer names neither a result nor an error") for place in left}
    for place, one in left.items():
        if strangers and "id" not in one:
            # It may have made one of these records, and would make another.
            done[place] = Done(unknown="the answer does not tell which record it made")
        else:
            done |= await _later(send, client, path, doing, {place: one})
    return done


def _placed(inputs: Mapping[int, Json], by_id: Mapping[str, int], answer: Answer) -> tuple[dict[int, Done], list[Json]]:
    """The results by their inputs, and those of which nothing tells whose they are."""
    done: dict[int, Done] = {}
    strangers: list[Json] = []
    for given in answer.body.get("results") or ():
        trace = str(given.get("objectWriteTraceId") or "")
        place = int(trace) if trace.isdigit() else by_id.get(str(given.get("id")))
        if place is None:
            place = _by_content(inputs, given, done)
        if place is not None and place in inputs:
            done[place] = Done(given, answer.asked_at)
        else:
            strangers.append(given)
    return done, strangers


def _by_content(inputs: Mapping[int, Json], given: Json, done: Mapping[int, Done]) -> int | None:
    """A result without a trace id: the input whose unique value it holds."""
    properties = given.get("properties") or {}
    for place, one in inputs.items():
        by = one.get("idProperty")
        if place not in done and by is not None and properties.get(by) == one.get("id"):
            return place
    return None


def _of(details: Sequence[Detail], place: int) -> Detail:
    return next(one for one in details if str(place) in one.traces)
