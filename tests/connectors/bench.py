"""What the contract suite asks of an app: to hold the suite's objects, and to be changed behind the connector's back.

A connector takes part with a `Bench` for its app and one line that hands it to the cases (`contract.CASES`). The bench
makes connectors of its `kind`, so that the same cases run against a twin with a fault planted.

The objects (native types are the app's own; an app that has less leaves out the features):

people  id (made by the app), email (unique), name (required, 20 characters), age (integer, 0 or more),
        amount (decimal, 2 places), domain, note (any length), secret (excluded), master_id (names a survivor)
places  country, number (together the key), label
things  code (a text key), label
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from connectors.base import Connector, Context, ObjectUse
from rules.catalog import Value


class Bench(ABC):
    """An app with the suite's objects in it, empty."""

    kind: type[Connector]
    features: frozenset[str] = frozenset()  # of what only some apps have; a case names what it needs
    patience: float = 10.0  # seconds after which something that has not come by is taken for missing

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
        return self.kind(self.settings(), Context(installation, account, self.uses(*(names or ("people",)))))

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
        """`lose_log`: makes the app forget where the connector's log stands."""
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
