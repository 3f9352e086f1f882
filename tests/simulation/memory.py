"""What people did between two times of rest, so that it can be told whether an edit was lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rules.catalog import Value
from tests.simulation.setting import Machine

Place = tuple[str, str, str]  # account, object, id


class Memory:
    """The last value that a person gave each field, and the records to which more than an edit happened."""

    def __init__(self) -> None:
        self.pairs: set[tuple[str, Place, Place]] = set()  # in sync when it was last at rest: sync, and both records
        self.edits: dict[
            tuple[Place, str], tuple[Value, Value]
        ] = {}  # what it was before the first edit, and after the last
        self.upset: set[Place] = set()
        self.rules_edited = False

    def person(
        self, app: Machine, act: str, record_id: str, fields: Iterable[str], before: Mapping[str, Value]
    ) -> None:
        """Somebody has done something to a record, which was so before."""
        place = (app.account, app.object.name, record_id)
        if act == "edit":
            for field in fields:
                first = self.edits.get((place, field), (before.get(field), None))[0]
                self.edits[place, field] = (first, app.records[record_id][field])
        else:
            self.upset |= {place, *(((app.account, app.object.name, one)) for one in fields if act == "merge")}

    def rest(self, pairs: set[tuple[str, Place, Place]]) -> None:
        """All is at rest, and these pairs are in sync."""
        self.pairs, self.edits, self.upset, self.rules_edited = pairs, {}, set(), False
