"""Writing associations: the calls that make another record the one that counts.

Responsible for batches and their order: the new association first, then the old one away. What to do is decided in `associations`. Must not know commands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from connectors.hubspot.associations import Change, change_to
from connectors.hubspot.client import Client, RefusedError
from connectors.hubspot.definitions import Definitions
from connectors.hubspot.errors import Json, details_of
from connectors.hubspot.limits import Use
from connectors.hubspot.mapping import Shape
from connectors.hubspot.reading import Reader
from connectors.hubspot.standard import API, Relation


class Failed(msgspec.Struct, frozen=True):
    """Why the association of a record was refused."""

    field: str
    message: str
    other: str | None


class Relating:
    """Of one account."""

    def __init__(self, client: Client, definitions: Definitions, reader: Reader) -> None:
        self._client, self._definitions, self._reader = client, definitions, reader

    async def set(self, shape: Shape, wanted: Mapping[str, Mapping[str, str | None]]) -> dict[str, Failed]:
        """Of each record, by field the one that is to count. Returns those that were refused."""
        failed: dict[str, Failed] = {}
        try:
            for relation in shape.relations:
                own = {record_id: refs[relation.field] for record_id, refs in wanted.items() if relation.field in refs}
                if own:
                    failed |= await self._set(shape, relation, own)
        finally:  # what broke off may have been done
            self._client.shared.wrote_related(shape.type_id, wanted)
        return failed

    async def _set(self, shape: Shape, relation: Relation, wanted: Mapping[str, str | None]) -> dict[str, Failed]:
        ends = await self._reader.ends(shape, relation, list(wanted), Use.WRITE)
        changes = {
            record_id: change
            for record_id, target in wanted.items()
            if (change := change_to(relation, ends.get(record_id, {}), target)) is not None
        }
        target = (await self._definitions.target(relation)).type_id
        path = f"/crm/associations/{API}/{shape.type_id}/{target}/batch"
        failed = await self._make(path, shape, relation, changes)
        done = {record_id: change for record_id, change in changes.items() if record_id not in failed}
        drops = [
            {"from": {"id": record_id}, "to": [{"id": change.drop}]}
            for record_id, change in done.items()
            if change.drop
        ]
        strips = [
            {
                "from": {"id": record_id},
                "to": {"id": change.strip},
                "types": [_type("HUBSPOT_DEFINED", relation.primary)],
            }
            for record_id, change in done.items()
            if change.strip
        ]
        doing = f"removing associations of {shape.name} with {relation.target}"
        for inputs, call in ((drops, f"{path}/archive"), (strips, f"{path}/labels/archive")):
            failed |= await self._divided(call, doing, relation, inputs, removing=True)
        return failed

    async def _make(
        self, path: str, shape: Shape, relation: Relation, changes: Mapping[str, Change]
    ) -> dict[str, Failed]:
        made = {record_id: change.make for record_id, change in changes.items() if change.make is not None}
        labelled: list[Json] = [
            {
                "from": {"id": record_id},
                "to": {"id": end},
                "types": [_type(one.category, one.type_id) for one in labels],
            }
            for record_id, (end, labels) in made.items()
            if labels
        ]
        plain: list[Json] = [
            {"from": {"id": record_id}, "to": {"id": end}} for record_id, (end, labels) in made.items() if not labels
        ]
        doing = f"associating {shape.name} with {relation.target}"
        failed: dict[str, Failed] = {}
        for inputs, call in ((labelled, f"{path}/create"), (plain, f"{path}/associate/default")):
            failed |= await self._divided(call, doing, relation, inputs)
        return failed

    async def _divided(
        self, path: str, doing: str, relation: Relation, inputs: Sequence[Json], *, removing: bool = False
    ) -> dict[str, Failed]:
        """In one call; where that is refused, in halves, until the refused one stands alone. `removing`: what is not there is no failure."""
        if not inputs:
            return {}
        try:
            answer = await self._client.write("POST", path, doing, {"inputs": list(inputs)})
        except RefusedError as error:
            if len(inputs) == 1:
                if removing and error.refusal.status == 404:
                    return {}
                return {_from(inputs[0]): Failed(relation.field, error.refusal.message, _to(inputs[0]))}
            middle = len(inputs) // 2
            first = await self._divided(path, doing, relation, inputs[:middle], removing=removing)
            return first | await self._divided(path, doing, relation, inputs[middle:], removing=removing)
        details = [one for one in details_of(answer.body) if not (removing and one.category == "OBJECT_NOT_FOUND")]
        if not details:
            return {}
        if len(inputs) == 1:
            return {_from(inputs[0]): Failed(relation.field, details[0].message, _to(inputs[0]))}
        named = {one for detail in details for one in detail.ids}
        some = [one for one in inputs if _from(one) in named or _to(one) in named] or inputs
        failed: dict[str, Failed] = {}
        for one in some:
            failed |= await self._divided(path, doing, relation, [one], removing=removing)
        return failed


def _from(given: Json) -> str:
    return str(given["from"]["id"])


def _to(given: Json) -> str:
    """The other end; of what is removed it stands in a list."""
    end = given["to"][0] if isinstance(given["to"], list) else given["to"]
    return str(end["id"])


def _type(category: str, type_id: int | None) -> Json:
    return {"associationCategory": category, "associationTypeId": type_id}
