"""The objects on which histories are played, and the values that people write into them."""

from __future__ import annotations

import msgspec

from rules.catalog import Capabilities, Field, FieldType, Kind, Object, Value
from tests.rules.world import text, whole

ID = whole("id", nullable=False, read_only=True)
GRADE = FieldType(Kind.ENUM, native="grade", options=("low", "high", "odd"))
RANK = FieldType(Kind.ENUM, native="rank", options=("1", "2"))
LISTED = FieldType(Kind.LIST, native="text[]", item=FieldType(Kind.TEXT, native="text"))

CONTACTS = Object(
    "contacts",
    (
        ID,
        text("email"),
        text("name"),
        text("phone"),
        text("notes"),
        text("boss"),
        text("site"),
        text("size"),
        Field("grade", GRADE),
    ),
    ("id",),
)
CUSTOMERS = Object(
    "customers",
    (
        ID,
        text("mail"),
        text("full_name"),
        text("tel"),
        text("memo"),
        text("chief"),
        text("web"),
        whole("staff"),
        Field("rank", RANK),
    ),
    ("id",),
)
DEALS = Object("deals", (ID, text("title"), text("notes"), Field("people", LISTED)), ("id",))
LEADS = Object("leads", (ID, text("title"), text("body"), text("customer")), ("id",))

EMAILS: list[Value] = ["a@x.io", "b@x.io", "A@X.io ", "c@x.io", "d@x.io", "no address", None]
NAMES: list[Value] = ["Ann", "Bob", " Cid  C ", "ANN", "bad", "", None, "Dan"]
PHONES: list[Value] = ["1", "2", "+3 4", None, ""]
NOTES: list[Value] = ["n1", "n2", None]
REFERENCES: list[Value] = ["1", "2", "3", "5", "99", None]
SITES: list[Value] = ["acme.com", "www.Acme.com", "https://b.org/x", "b.org", "none", None]

POOLS: dict[str, list[Value]] = {
    **dict.fromkeys(("email", "mail"), EMAILS),
    **dict.fromkeys(("name", "full_name", "title"), NAMES),
    **dict.fromkeys(("phone", "tel"), PHONES),
    **dict.fromkeys(("notes", "memo", "body"), NOTES),
    **dict.fromkeys(("boss", "chief", "customer"), REFERENCES),
    **dict.fromkeys(("site", "web"), SITES),
    "people": [["1"], ["2", "3"], ["4"], ["99"], None],
    "size": ["1", "20", "many", None],
    "staff": [1, 20, None],
    "grade": ["low", "high", "odd", None],
    "rank": ["1", "2", None],
}
# Fields whose texts may be anything: there people mostly write what nobody has written before, so that it can be told whose value is where.
FREE = frozenset(("name", "full_name", "title", "phone", "tel", "notes", "memo", "body"))


def stored(values: dict[str, Value]) -> dict[str, Value]:
    """An app that keeps texts in a form of its own: trimmed, spaces collapsed."""
    return {field: " ".join(value.split()) if isinstance(value, str) else value for field, value in values.items()}


def as_given(values: dict[str, Value]) -> dict[str, Value]:
    """An app that keeps what it is given."""
    return values


def able(object: Object, **capabilities: bool | str) -> Object:
    """An object of a connector that can do more, or less."""
    kept = {one: getattr(object.capabilities, one) for one in Capabilities.__struct_fields__}
    return msgspec.structs.replace(object, capabilities=Capabilities(**{**kept, **capabilities}))
