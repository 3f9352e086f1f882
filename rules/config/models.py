"""sync.yaml as data: the models that the rest of Tandem works with.

Responsible for the shape of the file: keys, types, defaults, the short forms. Must not know positions in a file,
the environment, connectors or catalogs; what concerns several parts at once is in `rules.config.checks`.

`SyncConfig.model_validate` takes a sync as the file, or an installation's document, writes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    field_validator,
    model_validator,
)

from rules.canonical import shown
from rules.catalog import Scalar
from rules.config.entries import Entry, normalised
from rules.config.problems import Place
from rules.faults import fault
from rules.filters import Filter, ScalarOrList
from rules.identifiers import IdentifierType


class RecordKind(StrEnum):
    """What the records of a sync are; says which identifiers are expected."""

    CONTACT = "contact"
    LEAD = "lead"
    COMPANY = "company"
    PRODUCT = "product"
    DEAL = "deal"
    INVOICE = "invoice"
    TICKET = "ticket"
    ACTIVITY = "activity"
    CUSTOM = "custom"


class Policy(StrEnum):
    """What becomes of an emptied value, or of a deletion, on the other side."""

    KEEP = "keep"
    PROPAGATE = "propagate"


# ---------------------------------------------------------------- types


def _strictly_boolean(value: Any) -> Any:
    """`yes` and `on` are texts in YAML 1.2; the text `true` comes out of the environment."""
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise fault(f"{{key}} must be true or false, not {shown(value)}", "write true or false, without quotes")


def _whole(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    raise fault(f"{{key}} must be a whole number, not {shown(value)}", "write a number such as 100")


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([0-9]{1,6})\s?([smhdw])")


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise fault(f"{shown(value)} is not a duration", "write a number and a unit, such as 30d, 12h or 45m")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


Bool = Annotated[bool, BeforeValidator(_strictly_boolean)]
Whole = Annotated[int, BeforeValidator(_whole)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
NonBlank = Annotated[str, Field(min_length=1, pattern=r"\S")]


class Model(BaseModel):
    """What all parts of the file have in common: nothing unknown, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# ---------------------------------------------------------------- a sync


class MappingConfig(Model):
    """An entry of a mapping: a pair of fields, or a constant for the records created on one side.

    `a` is the field of the account that `between` names first, `b` of the other. `values` are pairs in that order too.
    """

    a: NonBlank | None = Field(default=None, description="The field of the account that `between` names first.")
    b: NonBlank | None = Field(default=None, description="The field of the account that `between` names second.")
    value: ScalarOrList = Field(
        default=None,
        description="In place of the second field: what the field is set to in records that the sync creates there.",
    )
    identifier: IdentifierType | None = Field(
        default=None,
        description="Records match by this pair: email, domain, name, sku or exact. Tried in the order of the mapping.",
    )
    required: Bool = Field(
        default=False, description="A record is created on the other side only when this field has a value there."
    )
    values: tuple[tuple[Scalar, Scalar], ...] | None = Field(
        default=None,
        description="Which value of the field named first stands for which of the other: {gold: 1, silver: 2}.",
    )
    direction: str | None = Field(
        default=None,
        description='"to ACCOUNT" narrows the direction of the sync for this pair. Default: that of the sync.',
    )
    enabled: Bool = Field(default=True, description="false switches the entry off and keeps it in the file.")
    association: NonBlank | None = Field(
        default=None,
        description="The fields refer to records of this sync; the reference is translated to the linked counterpart.",
    )
    empty: Policy | None = Field(
        default=None,
        description="What an emptied value does on the other side, for this pair. Default: that of the sync.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_file(cls, raw: Any) -> Any:
        return normalised(raw) if isinstance(raw, Entry) else raw

    @property
    def is_constant(self) -> bool:
        """Whether it sets a field of created records, rather than pairing two."""
        return self.a is None or self.b is None


class SyncConfig(Model):
    """One object of an account paired with one object of another, and the rules between them."""

    between: dict[str, NonBlank] = Field(
        description="The two accounts, each with its object: {crm: contacts, shop: customers}.",
        min_length=2,
        max_length=2,
    )
    kind: RecordKind = Field(
        default=RecordKind.CUSTOM, description="What the records are; says which identifiers are expected."
    )
    direction: str = Field(default="both", description='both, or "to ACCOUNT": the only account that is written to.')
    default: str = Field(
        description="Wins discrepancies and conflicts. Required when the direction is both; else it is the source."
    )
    require_identifier: Bool = Field(
        default=False,
        description="Records without a usable identifier stay out of the sync. Default: true for contacts and leads.",
    )
    empty: Policy = Field(
        default=Policy.KEEP,
        description="A value emptied on one side: keep leaves the other side's value, propagate clears it.",
    )
    deletes: Policy = Field(
        default=Policy.KEEP,
        description="A record deleted on one side: keep leaves its counterpart (and says so), propagate deletes it.",
    )
    max_deletes: Whole | None = Field(
        default=None,
        ge=1,
        description="More deletions than this within ten minutes stop the sync until a person confirms. Unset: 100, or "
        "10 % of the links if that is more.",
    )
    filters: dict[str, tuple[Filter, ...]] = Field(
        default={},
        description="Per account the conditions that a record must meet to enter the sync; all of them must hold.",
    )
    mapping: tuple[MappingConfig, ...] = Field(
        description="One entry per pair of fields, or per constant.", min_length=1
    )

    @model_validator(mode="before")
    @classmethod
    def _from_file(cls, raw: Any) -> Any:
        """Fills in what follows from the rest, and hands each entry of the mapping the accounts by which it is read."""
        if not isinstance(raw, Mapping):
            return raw
        sync = {key: value for key, value in raw.items() if value is not None}
        between = sync.get("between")
        accounts = tuple(between) if isinstance(between, Mapping) else ()
        target = target_of(sync.get("direction"))
        if "default" not in sync and target in accounts and len(accounts) == 2:
            sync["default"] = accounts[0] if target == accounts[1] else accounts[1]
        if "require_identifier" not in sync:
            sync["require_identifier"] = sync.get("kind") in (RecordKind.CONTACT, RecordKind.LEAD)
        if len(accounts) == 2 and not isinstance(sync.get("mapping"), (list, tuple)):
            return sync
        if len(accounts) == 2:
            sync["mapping"] = tuple(Entry(accounts, entry) for entry in sync["mapping"])
        elif "mapping" in sync:
            # Without two accounts nothing can be said of the entries; the fault lies in `between`.
            sync["mapping"] = (MappingConfig.model_construct(a="?", b="?"),)
        return sync

    @field_validator("mapping", mode="before")
    @classmethod
    def _is_a_list(cls, raw: Any) -> Any:
        if isinstance(raw, Mapping):
            raise fault("'mapping' must be a list of entries", "put '- ' in front of each: - {crm: email, shop: mail}")
        return raw

    @property
    def accounts(self) -> tuple[str, str]:
        """The two accounts, in the order of `between`."""
        first, second = self.between
        return first, second

    @property
    def objects(self) -> tuple[str, str]:
        """The two objects, in the order of `between`."""
        first, second = self.between.values()
        return first, second

    @property
    def writes(self) -> tuple[bool, bool]:
        """Whether the direction lets each side be written."""
        return writes(self.direction, self.accounts)

    def writes_of(self, mapping: MappingConfig) -> tuple[bool, bool]:
        """Whether a mapping lets each side be written: a disabled one none, a constant only its own."""
        if not mapping.enabled:
            return (False, False)
        own, whole = writes(mapping.direction or self.direction, self.accounts), self.writes
        if mapping.is_constant:
            own = (mapping.a is not None, mapping.b is not None)
        return (own[0] and whole[0], own[1] and whole[1])

    def empty_of(self, mapping: MappingConfig) -> Policy:
        """What an emptied value does for a mapping."""
        return mapping.empty or self.empty


def target_of(direction: Any) -> str | None:
    """The account that a direction `to ACCOUNT` names."""
    if isinstance(direction, str) and direction.startswith("to "):
        return direction[3:].strip()
    return None


def writes(direction: str, accounts: tuple[str, str]) -> tuple[bool, bool]:
    """Which of two accounts a direction lets be written."""
    if direction == "both":
        return (True, True)
    target = target_of(direction)
    return (target == accounts[0], target == accounts[1])


# ---------------------------------------------------------------- the rest


class AccountConfig(Model):
    """A configured instance of an app. `settings` are the connector's own keys; they may hold secrets."""

    connector: NonBlank = Field(description="The app: postgres, hubspot, or that of another installed connector.")
    objects: dict[str, dict[str, Any]] = Field(
        default={},
        description="Names for what the connector discovers, and what it must know of it. Default: the app's own names.",
    )
    settings: dict[str, Any] = Field(default={}, repr=False, description="The connector's own keys.")

    @model_validator(mode="before")
    @classmethod
    def _from_file(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        own = {key: raw[key] for key in ("connector", "objects") if raw.get(key) is not None}
        if isinstance(own.get("objects"), Mapping):  # `contacts:` alone names an object without saying more
            own["objects"] = {name: {} if said is None else said for name, said in own["objects"].items()}
        return own | {"settings": {key: value for key, value in raw.items() if key not in ("connector", "objects")}}


class Tls(Model):
    """Encryption of the connection to Kafka. Empty: checked against the system's certificates."""

    ca: NonBlank | None = Field(default=None, description="A file of certificates to trust.")
    certificate: NonBlank | None = Field(default=None, description="A file with the client's certificate.")
    key: NonBlank | None = Field(default=None, description="A file with the key of the client's certificate.")


class Sasl(Model):
    """How we log in to Kafka."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."
    )
    username: NonBlank = Field(description="The user.")
    password: SecretStr = Field(description="The password: ${NAME} takes it from the environment.")


_SERVER = r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?"
_BROKER = re.compile(rf"kafka://({_SERVER}(?:,{_SERVER})*)/?")


class BrokerConfig(Model):
    """An existing Kafka cluster; `broker: kafka://host:9092` says the same as `broker: {url: kafka://host:9092}`."""

    url: str = Field(description="kafka://host:port, several servers separated by commas.")
    tls: Tls | None = Field(default=None, description="true, or the files that are needed. Default: not encrypted.")
    sasl: Sasl | None = Field(default=None, description="How to log in. Default: not at all.")

    @model_validator(mode="before")
    @classmethod
    def _from_file(cls, raw: Any) -> Any:
        if isinstance(raw, str):
            return {"url": raw}
        if isinstance(raw, Mapping) and isinstance(raw.get("tls"), bool):
            return {**raw, "tls": {} if raw["tls"] else None}
        return raw

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if "@" in url:  # not quoted: it may hold a password
            raise fault(
                "the broker's address holds a user or password",
                "write them under sasl: {mechanism, username, password}",
            )
        if not _BROKER.fullmatch(url):
            raise fault(f"{shown(url)} is not the address of a Kafka cluster", "write kafka://host:9092")
        return url

    @property
    def servers(self) -> tuple[str, ...]:
        """host:port of each server."""
        listed = self.url.removeprefix("kafka://").rstrip("/").split(",")
        return tuple(server if re.search(r":[0-9]+$", server) else f"{server}:9092" for server in listed)


Places = Mapping[tuple[str | int, ...], tuple[Place, Place]]  # of each part of a file: of its key and of its value


class Installation(Model):
    """The whole file."""

    name: str = Field(
        default="tandem",
        description="Names this installation in the slots, publications and ledgers that it makes in accounts.",
    )
    broker: BrokerConfig | None = Field(
        default=None,
        description="An existing Kafka cluster, kafka://host:port. Absent: an embedded one under the home folder.",
    )
    retention: Duration = Field(
        default=timedelta(days=30),
        description="How long the topics keep what is consumed: as far back as explain and restore --replay reach.",
    )
    accounts: dict[str, AccountConfig] = Field(description="The accounts, by name.", min_length=1)
    syncs: dict[str, SyncConfig] = Field(default={}, description="The syncs, by name.")

    _filename: str = PrivateAttr(default="sync.yaml")
    _places: Places = PrivateAttr(default={})
    _document: dict[str, Any] | None = PrivateAttr(default=None)

    def document(self) -> dict[str, Any]:
        """The configuration as plain JSON, in the form of the file, without a secret in clear.

        Accounts and broker keep `${NAME}`; a secret written out is `file:accounts.crm.url`, which `load_document` finds
        in the reader's own file. Everything else is as it was resolved here. The order of keys counts.
        """
        if self._document is None:
            raise ValueError("only an installation that was loaded from a file or a document has one")
        return self._document

    def loaded_from(self, filename: str, places: Places, document: dict[str, Any]) -> Installation:
        """Remembers where its parts stand, and its document: for the loader."""
        self._filename, self._places, self._document = filename, places, document
        return self

    @property
    def filename(self) -> str:
        """The file it was loaded from, for messages."""
        return self._filename

    def place(self, *path: str | int, key: bool = False) -> Place | None:
        """Where a part of the file stands, or the closest part around it that does."""
        while path and path not in self._places:
            path = path[:-1]
        found = self._places.get(path)
        return found[0 if key else 1] if found else None
