"""The portal of the HubSpot demo: the fake in a process of its own, and what people do at its screen.

Responsible for the fake's calls for people and for reading its SQLite file. Must not know the pipeline, nor what records mean.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from console.errors import FailedError
from console.fakes import hubspot_part

API = "/crm/objects/2026-09"
PAIRS = "/crm/associations/2026-09"
BATCH = 100
TYPES = {"invoices": "0-53"}  # which paths know by its type's id alone
# The portal of a larger company that has bought HubSpot's API limit increase: 250 calls in ten seconds, two million a day; five
# searches a second as everywhere. Its search knows of an edit after a second.
ACCOUNT = {
    "burst": 250,
    "association_burst": 250,
    "daily": 2_000_000,
    "index_delay": 1.0,
    "time_zone": "Europe/Berlin",
}


def _type(object: str) -> str:
    return TYPES.get(object, object)


class FakePortal:
    """A portal that runs from `start` to `stop`, on a free port."""

    def __init__(self, folder: Path) -> None:
        process, store = hubspot_part("process"), hubspot_part("store")
        self.file = folder / store.FILE
        self._fake: Any = process.Fake(folder.absolute(), **ACCOUNT)  # it works in another folder
        self._open = ExitStack()
        self._refused: type[Exception] = process.FakeError

    def start(self) -> None:
        """Returns when it answers."""
        try:
            self._open.enter_context(self._fake)
        except self._refused as error:
            raise FailedError("The fake of HubSpot did not start.", str(error)) from error

    def stop(self) -> None:
        """Ends it, if it runs."""
        self._open.close()

    @property
    def url(self) -> str:
        """Where it is served."""
        return str(self._fake.url)

    @property
    def token(self) -> str:
        """Its service key."""
        return str(self._fake.token)

    # ------------------------------------------------------------ people at the screen

    def make(self, object: str, rows: list[dict[str, str]]) -> list[str]:
        """Makes records; their ids, in the order of the rows."""
        ids: dict[int, str] = {}
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            inputs = [{"properties": row, "objectWriteTraceId": str(at)} for at, row in enumerate(some, start)]
            for one in self._batch(f"{API}/{_type(object)}/batch/create", inputs):
                ids[int(one["objectWriteTraceId"])] = str(one["id"])
        return [ids[at] for at in range(len(rows))]

    def relate(self, origin: str, target: str, pairs: list[tuple[str, str]], type: int | None = None) -> None:
        """Associates records, with a label of HubSpot's own or without."""
        for start in range(0, len(pairs), BATCH):
            inputs: list[dict[str, Any]] = [
                {"from": {"id": a}, "to": {"id": b}} for a, b in pairs[start : start + BATCH]
            ]
            if type is None:
                self._batch(f"{PAIRS}/{_type(origin)}/{_type(target)}/batch/associate/default", inputs)
            else:
                label = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type}
                self._batch(
                    f"{PAIRS}/{_type(origin)}/{_type(target)}/batch/create",
                    [one | {"types": [label]} for one in inputs],
                )

    def part(self, origin: str, id: str, target: str, other: str) -> None:
        """Takes an association away."""
        self._fake.ui("DELETE", f"{API}/{_type(origin)}/{id}/associations/{_type(target)}/{other}")

    def edit(self, object: str, id: str, **properties: str) -> None:
        """Sets properties."""
        self._fake.ui("PATCH", f"{API}/{_type(object)}/{id}", {"properties": properties})

    def archive(self, object: str, id: str) -> None:
        """Deletes a record, as HubSpot calls it."""
        self._fake.ui("DELETE", f"{API}/{_type(object)}/{id}")

    def merge(self, object: str, primary: str, other: str) -> str:
        """Merges two records; the id of what has become of them."""
        body = {"primaryObjectId": primary, "objectIdToMerge": other}
        return str(self._fake.ui("POST", f"{API}/{_type(object)}/merge", body)["id"])

    def _batch(self, path: str, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        answer = self._fake.ui("POST", path, {"inputs": inputs})
        if answer.get("errors"):
            raise FailedError("The portal could not be filled.", str(answer["errors"][:3]))
        return list(answer["results"])

    # ------------------------------------------------------------ looked into

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Reads its views: records, associations, merged, calls."""
        return list(self._fake.sql(statement, *values))

    def id(self, object: str, name: str, value: str) -> str | None:
        """The id of the record that holds a value, in whatever case it is written."""
        query = "SELECT id FROM records WHERE object = ? AND NOT archived AND lower(json_extract(properties, '$.' || ?)) = lower(?)"
        rows = self.sql(query, object, name, value)
        return str(rows[0][0]) if rows else None

    def value(self, object: str, id: str, name: str) -> str | None:
        """A property of a record."""
        query = "SELECT json_extract(properties, '$.' || ?) FROM records WHERE object = ? AND id = ?"
        rows = self.sql(query, name, object, int(id))
        return rows[0][0] if rows else None

    def associated(self, origin: str, id: str, target: str, type: int | None = None) -> list[str]:
        """The records that one is associated with (by a label)."""
        query = (
            "SELECT DISTINCT to_id FROM associations WHERE from_object = ? AND from_id = ? AND to_object = ?"
            " AND (? IS NULL OR type = ?) ORDER BY to_id"
        )
        return [str(other) for (other,) in self.sql(query, origin, int(id), target, type, type)]

    def writes(self) -> int:
        """How many records Tandem has ever sent, to be written or associated."""
        query = (
            "SELECT coalesce(sum(inputs), 0) FROM calls WHERE route LIKE '%batch/%' AND route NOT LIKE '%batch/read'"
        )
        return int(self.sql(query)[0][0])

    def calls(self) -> tuple[int, int]:
        """How many calls Tandem has made, and how many of them were refused for the account's limits."""
        ((made, refused),) = self.sql("SELECT count(*), count(*) FILTER (WHERE status = 429) FROM calls")
        return int(made), int(refused)
