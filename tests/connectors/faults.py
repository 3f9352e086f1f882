"""Twins of a connector, each with one fault planted, and the case of the contract that must fail for it.

The faults are planted around the connector, so that they suit any; `FAULTS` pairs them with their cases.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from itertools import count
from typing import Any

import msgspec

from connectors.base import (
    Batch,
    Captured,
    Change,
    Connector,
    ConnectorError,
    Context,
    CursorExpiredError,
    Fence,
    FieldsChanged,
    Heartbeat,
    Marked,
    Memory,
    Op,
    Outcome,
    Page,
    Record,
    Remembered,
    Result,
    Truncated,
    Write,
)
from rules.catalog import Catalog, Value
from rules.version import Version

Plant = Callable[[type[Connector]], type[Connector]]
evolve = msgspec.structs.replace
_FRESH = count(1)

# ---------------------------------------------------------------- around the log


def log_fault(alter: Callable[[Captured], Sequence[Captured]]) -> Plant:
    """A twin whose log says something else."""

    def plant(kind: type[Connector]) -> type[Connector]:
        class Twin(kind):  # type: ignore[misc, valid-type]
            async def changes(self, cursor: str | None) -> AsyncIterator[Captured]:
                async with aclosing(super().changes(cursor)) as events:
                    async for event in events:
                        for altered in alter(event):
                            yield altered

        return Twin

    return plant


def change_fault(alter: Callable[[Change], Change | None]) -> Plant:
    """A twin whose changes say something else, or are missing."""

    def each(event: Captured) -> Sequence[Captured]:
        if not isinstance(event, Batch):
            return [event]
        changes = tuple(altered for change in event.changes if (altered := alter(change)) is not None)
        return [evolve(event, changes=changes)] if changes else []

    return log_fault(each)


def without(*kinds: type) -> Plant:
    """A twin whose log leaves out events."""
    return log_fault(lambda event: [] if isinstance(event, kinds) else [event])


def _backwards(change: Change) -> Change:
    version = change.version
    return evolve(change, version=Version(-version.position, version.writer, None, -version.step))


def _rounded(change: Change) -> Change:
    values = {
        name: str(float(value)) if isinstance(value, str) and re.fullmatch(r"-?[0-9]+\.[0-9]+", value) else value
        for name, value in change.values.items()
    }
    return evolve(change, values=values)


def _filled(change: Change) -> Change:
    return evolve(change, values={"note": None, **change.values})


def _late(kind: type[Connector]) -> type[Connector]:
    """Its log begins with the second batch."""

    class Twin(kind):  # type: ignore[misc, valid-type]
        async def changes(self, cursor: str | None) -> AsyncIterator[Captured]:
            first = True
            async with aclosing(super().changes(cursor)) as events:
                async for event in events:
                    if not (first and isinstance(event, Batch)):
                        yield event
                    first = first and not isinstance(event, Batch)

    return Twin


def _overtaking(kind: type[Connector]) -> type[Connector]:
    """Its marks overtake the batch before them."""

    class Twin(kind):  # type: ignore[misc, valid-type]
        async def changes(self, cursor: str | None) -> AsyncIterator[Captured]:
            waiting: Captured | None = None
            async with aclosing(super().changes(cursor)) as events:
                async for event in events:
                    if isinstance(event, Marked):
                        yield event
                        event = waiting
                    if waiting is not None and event is not waiting:
                        yield waiting
                    waiting = event if isinstance(event, Batch) and event is not waiting else None
                    if waiting is None and event is not None and not isinstance(event, Marked):
                        yield event

    return Twin


def _hasty(kind: type[Connector]) -> type[Connector]:
    """It confirms what it has read, before anybody has stored it."""

    class Twin(kind):  # type: ignore[misc, valid-type]
        async def changes(self, cursor: str | None) -> AsyncIterator[Captured]:
            async with aclosing(super().changes(cursor)) as events:
                async for event in events:
                    await self.confirm(event.cursor)
                    yield event

    return Twin


def _gapped(kind: type[Connector]) -> type[Connector]:
    """It makes a lost log anew and goes on as if nothing had been missed."""

    class Twin(kind):  # type: ignore[misc, valid-type]
        async def changes(self, cursor: str | None) -> AsyncIterator[Captured]:
            try:
                async with aclosing(super().changes(cursor)) as events:
                    async for event in events:
                        yield event
            except CursorExpiredError:
                async with aclosing(super().changes(await self.prepare())) as events:
                    async for event in events:
                        yield event

    return Twin


def _trusting(kind: type[Connector]) -> type[Connector]:
    """It goes on from where the app says, whatever its caller has stored."""

    class Twin(kind):  # type: ignore[misc, valid-type]
        async def changes(self, cursor: str | None) -> AsyncIterator[Captured]:
            async with aclosing(super().changes(None)) as events:
                async for event in events:
                    yield event

    return Twin


# ---------------------------------------------------------------- around reads


def record_fault(alter: Callable[[Record], Record]) -> Plant:
    """A twin whose reads say something else."""

    def plant(kind: type[Connector]) -> type[Connector]:
        class Twin(kind):  # type: ignore[misc, valid-type]
            async def snapshot(self, name: str, resume: str | None) -> AsyncIterator[Page]:
                async with aclosing(super().snapshot(name, resume)) as pages:
                    async for page in pages:
                        yield evolve(page, records=tuple(map(alter, page.records)))

            async def read(self, name: str, ids: Sequence[str]) -> list[Record]:
                return list(map(alter, await super().read(name, ids)))

        return Twin

    return plant


def page_fault(alter: Callable[[Page, str | None], Sequence[Page]]) -> Plant:
    """A twin whose full reads lack something."""

    def plant(kind: type[Connector]) -> type[Connector]:
        class Twin(kind):  # type: ignore[misc, valid-type]
            async def snapshot(self, name: str, resume: str | None) -> AsyncIterator[Page]:
                async with aclosing(super().snapshot(name, resume)) as pages:
                    async for page in pages:
                        for altered in alter(page, resume):
                            yield altered

        return Twin

    return plant


def _inventing(kind: type[Connector]) -> type[Connector]:
    """It answers for records that are not there."""

    class Twin(kind):  # type: ignore[misc, valid-type]
        async def read(self, name: str, ids: Sequence[str]) -> list[Record]:
            found = {record.id: record for record in await super().read(name, ids)}
            return [found.get(record_id) or Record(record_id, {}, Version(0)) for record_id in ids]

    return Twin


def _indiscreet(kind: type[Connector]) -> type[Connector]:
    """It does not heed what the objects' settings exclude."""

    class Twin(kind):  # type: ignore[misc, valid-type]
        def __init__(self, settings: Any, context: Context) -> None:
            objects = tuple(evolve(use, settings={}) for use in context.objects)
            super().__init__(settings, evolve(context, objects=objects))

    return Twin


def _boasting(kind: type[Connector]) -> type[Connector]:
    """Its catalog declares that it leaves no token."""

    class Twin(kind):  # type: ignore[misc, valid-type]
        async def discover(self) -> Catalog:
            found = (await super().discover()).objects.items()
            return Catalog(
                {name: evolve(one, capabilities=evolve(one.capabilities, tokens=False)) for name, one in found}
            )

    return Twin


def _raw(kind: type[Connector]) -> type[Connector]:
    """It does not translate what its library raises."""

    class Twin(kind):  # type: ignore[misc, valid-type]
        async def open(self) -> None:
            try:
                await super().open()
            except ConnectorError as error:
                raise OSError(str(error)) from error

    return Twin


def _narrow(kind: type[Connector]) -> type[Connector]:
    """It captures the first object alone."""

    class Twin(kind):  # type: ignore[misc, valid-type]
        def __init__(self, settings: Any, context: Context) -> None:
            super().__init__(settings, evolve(context, objects=context.objects[:1]))

    return Twin


class _Forgotten:
    """A memory of which only the cursor is left."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def recall(self) -> Remembered:
        return Remembered((await self._memory.recall()).cursor)


def _amnesiac(kind: type[Connector]) -> type[Connector]:
    """It takes what it finds at its start for what it has told."""

    class Twin(kind):  # type: ignore[misc, valid-type]
        def __init__(self, settings: Any, context: Context) -> None:
            memory = None if context.memory is None else _Forgotten(context.memory)
            super().__init__(settings, evolve(context, memory=memory))

    return Twin


def _filled_ones(record: Record) -> dict[str, Value]:
    return {name: value for name, value in record.values.items() if value is not None}


# ---------------------------------------------------------------- around writes


def write_fault(alter: Callable[[Write], Write]) -> Plant:
    """A twin that writes something else."""

    def plant(kind: type[Connector]) -> type[Connector]:
        class Twin(kind):  # type: ignore[misc, valid-type]
            async def apply(self, name: str, writes: Sequence[Write], fence: Fence | None) -> list[Result]:
                results = await super().apply(name, [alter(each) for each in writes], fence)
                return [evolve(result, token=each.token) for result, each in zip(results, writes, strict=True)]

        return Twin

    return plant


def result_fault(alter: Callable[[Sequence[Result], Sequence[Write]], list[Result]]) -> Plant:
    """A twin that answers something else."""

    def plant(kind: type[Connector]) -> type[Connector]:
        class Twin(kind):  # type: ignore[misc, valid-type]
            async def apply(self, name: str, writes: Sequence[Write], fence: Fence | None) -> list[Result]:
                return alter(await super().apply(name, writes, fence), writes)

        return Twin

    return plant


def says(wrong: Outcome, instead_of: Outcome) -> Plant:
    """A twin that takes one outcome for another."""

    def alter(results: Sequence[Result], _: Sequence[Write]) -> list[Result]:
        return [evolve(result, outcome=wrong) if result.outcome is instead_of else result for result in results]

    return result_fault(alter)


def spoils(outcome: Outcome) -> Plant:
    """A twin in which one write of that outcome keeps the others from being written."""

    def alter(results: Sequence[Result], _: Sequence[Write]) -> list[Result]:
        spoilt = any(result.outcome is outcome for result in results)
        return [evolve(result, outcome=outcome) if spoilt else result for result in results]

    return result_fault(alter)


def _echoing(results: Sequence[Result], writes: Sequence[Write]) -> list[Result]:
    return [
        result
        if result.record is None
        else evolve(result, record=evolve(result.record, values={**result.record.values, **each.values}))
        for result, each in zip(results, writes, strict=True)
    ]


def _forgetful(each: Write) -> Write:
    """To the ledger every write is the first of its link."""
    return evolve(each, link=f"{each.link}#{next(_FRESH)}")


def _cut(each: Write) -> Write:
    values = {name: value[:20] if isinstance(value, str) else value for name, value in each.values.items()}
    return evolve(each, values=values)


def _unfenced(kind: type[Connector]) -> type[Connector]:
    """It heeds no fence."""

    class Twin(kind):  # type: ignore[misc, valid-type]
        async def apply(self, name: str, writes: Sequence[Write], fence: Fence | None) -> list[Result]:
            results: list[Result] = await super().apply(name, writes, None)
            return results

    return Twin


def _without_team(values: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if name != "team_id"}


def _bare(change: Change) -> Change:
    return change if change.version.seen is not None else evolve(change, values=_without_team(change.values))


def _any_team(record: Record) -> Record:
    return evolve(record, values={**record.values, "team_id": 1}) if record.values.get("team_id") else record


def _deaf(kind: type[Connector]) -> type[Connector]:
    """It leaves out of its log what it has written itself."""

    class Twin(kind):  # type: ignore[misc, valid-type]
        async def apply(self, name: str, writes: Sequence[Write], fence: Fence | None) -> list[Result]:
            results: list[Result] = await super().apply(name, writes, fence)
            self.own = {*getattr(self, "own", ()), *(result.id for result in results)}
            return results

        async def changes(self, cursor: str | None) -> AsyncIterator[Captured]:
            async with aclosing(super().changes(cursor)) as events:
                async for event in events:
                    if isinstance(event, Batch):
                        own = getattr(self, "own", ())
                        event = evolve(event, changes=tuple(one for one in event.changes if one.id not in own))
                    yield event

    return Twin


# ---------------------------------------------------------------- which case notices

FAULTS: dict[str, tuple[str, Plant]] = {
    "loses the record after which it resumes": (
        "a_read_resumes_in_the_middle_in_another_process",
        page_fault(lambda page, resume: [evolve(page, records=page.records[1:]) if resume else page]),
    ),
    "says nothing of an empty object": (
        "an_empty_object_reads_as_one_empty_page",
        page_fault(lambda page, _: [page] if page.records else []),
    ),
    "its log begins too late": ("edits_during_a_read_are_seen_by_the_read_or_the_log", _late),
    "orders reads and log by position alone": (
        "a_change_that_a_read_did_not_see_is_newer_though_it_was_logged_before",
        record_fault(lambda record: evolve(record, version=Version(record.version.position))),
    ),
    "takes a change for older than any read": (
        "racing_writers_and_reads_agree_in_any_order",
        change_fault(lambda change: evolve(change, version=Version(0, None, None, change.version.position))),
    ),
    "invents records": ("reads_and_finds_leave_out_what_is_not_there", _inventing),
    "reads what is excluded": ("excluded_fields_are_never_read", _indiscreet),
    "numbers changes backwards": ("inserts_updates_and_deletions_come_by_in_order", change_fault(_backwards)),
    "does not see deletions": (
        "inserts_updates_and_deletions_come_by_in_order",
        change_fault(lambda change: None if change.op is Op.DELETE else change),
    ),
    "does not see its own deletions": (
        "deletions_and_updates_of_what_is_gone_are_missing",
        change_fault(lambda change: None if change.op is Op.DELETE else change),
    ),
    "loses the old id": (
        "a_changed_id_names_the_old_one",
        change_fault(lambda change: evolve(change, old_id=None)),
    ),
    "takes an unchanged value for none": (
        "an_unchanged_large_value_is_missing_in_a_change_not_empty",
        change_fault(_filled),
    ),
    "takes a merge for an edit": (
        "a_merge_names_the_survivor",
        change_fault(lambda change: evolve(change, op=Op.UPSERT, into=None)),
    ),
    "takes a merged record for another": (
        "a_merge_names_the_survivor",
        record_fault(lambda record: evolve(record, into=None)),
    ),
    "takes any pair for the primary one": ("of_a_records_pairs_the_primary_one_is_read", record_fault(_any_team)),
    "does not look at tables of pairs": (
        "a_changed_pair_comes_by_as_a_change_of_its_record",
        change_fault(lambda change: change if change.version.seen is None else None),
    ),
    "leaves out what the log tells apart": ("a_new_record_comes_by_with_its_pair", change_fault(_bare)),
    "writes no pairs": (
        "a_written_reference_moves_the_mark_and_removes_no_pair",
        write_fault(lambda each: evolve(each, values=_without_team(each.values))),
    ),
    "loses the token of a record with a pair": (
        "a_record_is_created_with_its_pair_under_its_token",
        change_fault(lambda change: evolve(change, token=None)),
    ),
    "does not compare pairs": (
        "a_pair_that_was_changed_meanwhile_is_not_written_over",
        write_fault(lambda each: evolve(each, expect=_without_team(each.expect))),
    ),
    "does not say which pair was refused": (
        "a_pair_that_is_refused_is_named_and_nothing_of_its_record_is_written",
        result_fault(lambda results, _: [evolve(result, field=None) for result in results]),
    ),
    "takes a pair that was read for older than its record": (
        "racing_edits_of_a_pair_end_as_the_app_holds_them",
        change_fault(lambda change: change if change.version.seen is None else evolve(change, version=Version(0))),
    ),
    "does not see a truncation": ("a_truncation_is_told_as_such_and_in_its_place", without(Truncated)),
    "does not see changed fields": ("changed_fields_are_told_before_the_rows_that_have_them", without(FieldsChanged)),
    "lets marks overtake": (
        "a_mark_comes_by_behind_all_that_was_committed_and_only_to_its_installation",
        _overtaking,
    ),
    "confirms what nobody has stored": ("what_is_not_confirmed_comes_again", _hasty),
    "goes on over a gap": ("a_lost_log_is_an_expired_cursor_never_a_gap", _gapped),
    "trusts the app with the position": ("a_cursor_behind_what_was_confirmed_has_expired", _trusting),
    "does not tell how far a quiet log is": ("a_quiet_object_holds_no_log_back", without(Heartbeat)),
    "loses the token": (
        "a_create_returns_the_record_as_stored_and_comes_by_with_its_token",
        change_fault(lambda change: evolve(change, token=None)),
    ),
    "returns what it was given": ("the_stored_form_is_returned_not_the_given_one", result_fault(_echoing)),
    "does not compare": (
        "a_stale_compare_and_set_answers_conflict_and_writes_nothing",
        write_fault(lambda each: evolve(each, expect={})),
    ),
    "writes what is there already": (
        "a_write_without_a_difference_is_unchanged_and_not_made",
        write_fault(lambda each: evolve(each, values={**each.values, "age": 0}, expect={})),
    ),
    "writes a repeated token again": ("a_repeated_token_is_answered_and_not_written_again", write_fault(_forgetful)),
    "forgets sequences": (
        "a_known_sequence_with_another_token_and_a_lower_one_are_conflicts",
        write_fault(_forgetful),
    ),
    "refuses all for one": ("three_of_a_hundred_refused_leave_the_others_written", spoils(Outcome.REJECTED)),
    "refuses all updates for one": (
        "of_updates_that_take_anothers_value_the_others_are_written",
        spoils(Outcome.REJECTED),
    ),
    "cuts texts that are too long": ("an_oversized_value_is_refused", write_fault(_cut)),
    "cuts long texts": ("a_large_value_survives", write_fault(_cut)),
    "declares another thing than it is said to do": ("the_catalog_says_what_the_connector_can_do", _boasting),
    "forgets the version": (
        "every_image_is_typed_whole_and_newer_than_the_one_before",
        record_fault(lambda record: evolve(record, version=Version(0))),
    ),
    "leaves out empty fields": (
        "every_image_is_typed_whole_and_newer_than_the_one_before",
        record_fault(lambda record: evolve(record, values=_filled_ones(record))),
    ),
    "reads decimals as numbers": (
        "every_image_is_typed_whole_and_newer_than_the_one_before",
        record_fault(lambda record: evolve(record, values={**record.values, "amount": 1.5})),
    ),
    "lets errors of its library through": (
        "an_app_that_is_not_there_is_told_as_an_error_that_says_how_to_recover",
        _raw,
    ),
    "captures only what it captured first": ("an_object_that_is_added_later_is_captured_from_then_on", _narrow),
    "answers half a batch": (
        "a_full_batch_is_taken_in_one_call",
        result_fault(lambda results, _: list(results[: len(results) // 2])),
    ),
    "creates again what it has created": ("a_create_sent_again_makes_no_second_record", write_fault(_forgetful)),
    "makes a second record for a link": ("a_link_whose_record_is_there_gets_no_second_one", write_fault(_forgetful)),
    # Of apps without a log or a ledger.
    "does not see deletions by scanning": (
        "what_has_changed_comes_by_in_its_last_state",
        change_fault(lambda change: None if change.op is Op.DELETE else change),
    ),
    "gives all changes one version": (
        "what_has_changed_comes_by_in_its_last_state",
        change_fault(lambda change: evolve(change, version=Version(7))),
    ),
    "does not note what it has told": (
        "what_was_there_and_what_was_told_is_not_told_again",
        log_fault(lambda event: [evolve(event, notes={}) if isinstance(event, Batch) else event]),
    ),
    "goes on from what it finds": ("what_changed_while_nobody_looked_is_told", _amnesiac),
    "takes a beginning for done before it is noted": (
        "a_beginning_counts_once_all_of_it_is_noted",
        log_fault(lambda event: [evolve(event, cursor=event.cursor or "1")]),
    ),
    "hides its own writes": ("our_own_writes_come_by_as_changes", _deaf),
    "writes again without looking": (
        "a_write_sent_again_compares_with_what_it_finds",
        write_fault(lambda each: evolve(each, expect={})),
    ),
    "takes an unknown outcome for none, without a token": (
        "an_unknown_outcome_is_said_to_be_and_an_identifier_tells",
        says(Outcome.RETRY, instead_of=Outcome.UNKNOWN),
    ),
    "creates a second time, without a token": (
        "an_unknown_outcome_is_said_to_be_and_an_identifier_tells",
        write_fault(lambda each: evolve(each, identifiers=())),
    ),
    "takes a missing record for written": (
        "deletions_and_updates_of_what_is_gone_are_missing",
        says(Outcome.APPLIED, instead_of=Outcome.MISSING),
    ),
    "does not look for identifiers": (
        "a_create_finds_the_record_that_is_there_by_any_spelling_of_an_identifier",
        write_fault(lambda each: evolve(each, identifiers=())),
    ),
    "refuses what somebody made at the same moment": (
        "a_create_beside_a_person_who_makes_the_same_finds_theirs",
        says(Outcome.REJECTED, instead_of=Outcome.EXISTS),
    ),
    "lets one held row hold up all": (
        "a_row_that_somebody_holds_is_answered_retry_and_the_others_are_written",
        spoils(Outcome.RETRY),
    ),
    "takes an unknown outcome for none": (
        "an_unknown_outcome_is_said_to_be_and_the_token_tells",
        says(Outcome.RETRY, instead_of=Outcome.UNKNOWN),
    ),
    "creates again after an unknown outcome": (
        "an_unknown_outcome_is_said_to_be_and_the_token_tells",
        write_fault(_forgetful),
    ),
    "lets a former owner write": ("an_owner_whose_time_is_over_is_fenced_off", _unfenced),
    "writes a message again": ("a_message_that_was_written_before_is_not_written_again", _unfenced),
    "forgets pairs": (
        "pairs_are_remembered_with_the_record",
        record_fault(lambda record: evolve(record, pairs=())),
    ),
    "reads decimals as floats": ("every_type_goes_there_and_back_by_every_way", change_fault(_rounded)),
}
