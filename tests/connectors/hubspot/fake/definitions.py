"""What an object and a property are, and their forms in JSON.

Responsible for the shapes alone. Must not know which objects there are (standard.py) nor where they are kept (catalog.py).
"""

from __future__ import annotations

import msgspec

from .errors import Json
from .times import iso


class Option(msgspec.Struct, frozen=True):
    """A value of an enumeration."""

    value: str
    label: str
    hidden: bool = False

    def shown(self, place: int) -> Json:
        """As the API gives it."""
        return {"value": self.value, "label": self.label, "hidden": self.hidden, "displayOrder": place}


class Property(msgspec.Struct, frozen=True):
    """The definition of a property. Times are milliseconds since 1970."""

    name: str
    label: str
    type: str
    field_type: str
    group: str
    options: tuple[Option, ...] = ()
    description: str = ""
    unique: bool = False
    calculated: bool = False
    read_only: bool = False
    reference: str = ""  # OWNER, or DEAL_PIPELINE and the like: values are kept elsewhere
    hidden: bool = False
    sensitivity: str = "non_sensitive"
    currency_property: str = ""
    standard: bool = False
    in_use: bool = False
    created: int = 0
    updated: int = 0
    archived: int | None = None

    @property
    def multiple(self) -> bool:
        """Whether it holds several options."""
        return self.field_type == "checkbox"

    def shown(self) -> Json:
        """As the API gives it."""
        return {
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": self.field_type,
            "groupName": self.group,
            "description": self.description,
            "options": [option.shown(place) for place, option in enumerate(self.options)],
            "hasUniqueValue": self.unique,
            "calculated": self.calculated,
            "externalOptions": bool(self.reference),
            **({"referencedObjectType": self.reference} if self.reference else {}),
            "hidden": self.hidden,
            "hubspotDefined": self.standard,
            "dataSensitivity": self.sensitivity,
            **({"currencyPropertyName": self.currency_property} if self.currency_property else {}),
            "modificationMetadata": {
                "archivable": not self.standard,
                "readOnlyDefinition": self.standard,
                "readOnlyValue": self.read_only or self.calculated,
                "readOnlyOptions": self.standard,
            },
            "archived": self.archived is not None,
            "createdAt": iso(self.created),
            "updatedAt": iso(self.updated),
            **({"archivedAt": iso(self.archived)} if self.archived is not None else {}),
        }


class ObjectType(msgspec.Struct, frozen=True):
    """A type of records."""

    id: str
    name: str
    singular: str
    named: bool  # whether its name does in place of its id; the research page: "names only for some"
    modified: str
    created: str
    display: str
    scope: str  # contacts, companies, …, custom
    pipeline: str = ""  # the properties that hold pipeline and stage
    stage: str = ""
    custom: bool = False
