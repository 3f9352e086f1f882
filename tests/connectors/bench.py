"""What the contract suite asks of an app: to hold the suite's objects, and to be changed behind the connector's back.

A connector takes part with a `Bench` for its app and one line that hands it to the cases (`contract.cases_for`). The
bench makes connectors of its `kind`, so that the same cases run against a twin with a fault planted.

What the connector can do it declares (`able`, the capabilities that `discover` must show as well); cases that need
something else are left out, and others test what is missing as it is declared. `features` are what only some apps can
be made to show.

The objects (native types are the app's own; an app that has less names fewer `objects` and leaves out features):

people  id (made by the app), email (unique), name (required, 20 characters), age (integer, 0 or more),
        amount (decimal, 2 places), domain, note (any length), secret (excluded), master_id (names a survivor)
places  country, number (together the key), label
things  code (a text key), label
teams   id, name                                        (`paired` only)
members id, name, team_id: the primary of its teams     (`paired` only)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import Any, NamedTuple

from connectors.base import Batch, Captured, Connector, Context, Heartbeat, ObjectUse, Remembered
from rules.catalog import Capabilities, Value

_DECLARED = (
    *("ordered", "compare_and_set", "tokens", "echoes", "fenced", "pairs"),
    *("creatable", "updatable", "deletable"),
)


class KeptNotes:
    """The engine's memory of one account's capture (`connectors.base.Memory`)."""

    def __init__(self) -> None:
        self._kept = Remembered()

    async def recall(self) -> Remembered:
        return self._kept

    def take(self, item: Captured) -> bool:
        """What the item notes is stored. Whether it has moved the cursor."""
        if not isinstance(item, Batch | Heartbeat) or item.notes is None:
            return False
        notes = {key: note for key, note in {**self._kept.notes, **item.notes}.items() if note is not None}
        self._kept = Remembered(item.cursor or self._kept.cursor, notes)
        return bool(item.cursor)

    def clear(self) -> None:
        """The log begins anew."""
        self._kept = Remembered()


class Refusal(NamedTuple):
    """A record that the app refuses: the values of the create, and the answer that they must get."""

    values: dict[str, Value]
    category: str
    field: str | None


class Bench(ABC):
    """An app with the suite's objects in it, empty."""

    kind: type[Connector]
    able: Capabilities = Capabilities()  # of people; `discover` must say the same
    features: frozenset[str] = frozenset()  # of what only some apps have; a case names what it needs
    objects: tuple[str, ...] = ("people", "places", "things")  # that the app can hold, people always among them
    patience: float = 10.0  # seconds after which something that has not come by is taken for missing
    page: int = 1000  # records of a page of a full read, at most
    large: int = 2_400_000  # characters of a note that must survive

    @cached_property
    def _memories(self) -> dict[tuple[str, str], KeptNotes]:
        return {}

    @classmethod
    def offers(cls) -> frozenset[str]:
        """What cases may need: the features, and the names of what the connector declares."""
        able = cls.able
        declared = {
            "log": able.capture == "log",
            "deletions": able.sees_deletions,
            **{name: getattr(able, name) for name in _DECLARED},
        }
        return cls.features | {name for name, holds in declared.items() if holds}

    def memory(self, installation: str = "acme", account: str = "crm") -> KeptNotes:
        """What the engine keeps for the account."""
        return self._memories.setdefault((installation, account), KeptNotes())

    async def searchable(self) -> None:  # noqa: B027  # most apps find what is there
        """Returns when what has been written can be found, for apps whose search lags behind."""

    def refusals(self) -> dict[str, Refusal]:
        """Records of people that the app refuses, by a name of their own."""
        return {
            "duplicate": Refusal({"name": "a", "email": "taken@example.com"}, "duplicate", "email"),
            "missing": Refusal({"name": None, "email": "p50@example.com"}, "missing_required", "name"),
            "invalid": Refusal({"name": "b", "age": -1}, "invalid_value", "age"),
        }

    # ------------------------------------------------------------ the connector

    @abstractmethod
    def settings(self, **more: Any) -> Any:
        """The account's settings."""

    def uses(self, *names: str) -> tuple[ObjectUse, ...]:
        """The objects in use, with their settings."""
        return tuple(ObjectUse(name, self.object_settings(name)) for name in names)

    def object_settings(self, name: str) -> Mapping[str, Any]:
        """What sync.yaml says of the object."""
        return {"exclude": ["secret"], "merged_into": "master_id"} if name == "people" else {}

    def connector(self, *names: str, installation: str = "acme", account: str = "crm") -> Connector:
        """A new instance over these objects, not opened yet."""
        uses, memory = self.uses(*(names or ("people",))), self.memory(installation, account)
        return self.kind(self.settings(), Context(installation, account, uses, memory))

    # ------------------------------------------------------------ the app, as a person uses it

    @abstractmethod
    async def insert(self, name: str, /, **values: Any) -> str:
        """Makes a record; its id."""

    @abstractmethod
    async def update(self, name: str, record_id: str, /, **values: Any) -> None:
        """Edits a record; a field of the key gives it another id."""

    @abstractmethod
    async def delete(self, name: str, record_id: str) -> None:
        """Removes a record."""

    @abstractmethod
    async def rows(self, name: str) -> dict[str, dict[str, Value]]:
        """All records as they are, read by other means than the connector; canonical values."""

    @abstractmethod
    async def fill(self, name: str, count: int) -> list[str]:
        """Makes many records at once; their ids in the order of the key."""

    # ------------------------------------------------------------ features

    async def truncate(self, name: str) -> None:
        """`truncate`: removes all records at one stroke."""
        raise NotImplementedError

    async def add_field(self, name: str, field: str) -> None:
        """`alter`: gives the object another field, a text."""
        raise NotImplementedError

    async def lose_log(self) -> None:
        """`lose_log`: where the connector's log stands is forgotten: by the app, or by the engine."""
        raise NotImplementedError

    def unreachable(self) -> Connector:
        """`unreachable`: a connector whose app is not there."""
        raise NotImplementedError

    def holding(self, name: str, record_id: str) -> AbstractAsyncContextManager[None]:
        """`holding`: a person's transaction has changed the record and is still open; it is undone at the end."""
        raise NotImplementedError

    def inserting(self, name: str, /, **values: Any) -> AbstractAsyncContextManager[None]:
        """`inserting`: a person's transaction has made a record and is still open; it is committed at the end."""
        raise NotImplementedError

    async def waiting(self) -> bool:
        """`inserting`: whether the connector waits for a person's open transaction."""
        raise NotImplementedError

    def committing(self, name: str, record_id: str, /, **values: Any) -> AbstractAsyncContextManager[None]:
        """`committing`: an edit is in the log but not visible yet; it is visible after the end."""
        raise NotImplementedError

    def cutting(self, *, answered: bool) -> AbstractAsyncContextManager[Connector]:
        """`cutting`: a connector that loses its connection while it commits, after (or before) the app has done it."""
        raise NotImplementedError

    async def trim_on_write(self, name: str, field: str) -> None:
        """`trigger`: from now on the app stores the field trimmed."""
        raise NotImplementedError

    def types(self) -> Mapping[str, list[Value]]:
        """`types`: per field of the object `samples` canonical values that it must hold."""
        raise NotImplementedError

    async def writes_since(self, name: str, record_id: str) -> str:
        """`writes`: something that differs whenever the record has been written anew, though with the same values."""
        raise NotImplementedError

    async def held_back(self) -> int:
        """`slot`: how many bytes of log the app keeps for the connector."""
        raise NotImplementedError

    async def noise(self) -> None:
        """`slot`: writes a lot that does not concern the connector."""
        raise NotImplementedError

    async def pair(self, record_id: str, team: str, *, primary: bool) -> None:
        """`paired`: a person adds a member to a team (again: only says anew whether it is the member's primary one)."""
        raise NotImplementedError

    async def unpair(self, record_id: str, team: str) -> None:
        """`paired`: a person takes a member out of a team."""
        raise NotImplementedError

    async def paired(self, record_id: str) -> dict[str, bool]:
        """`paired`: the teams of a member, and which is its primary one."""
        raise NotImplementedError
