"""HubSpot's values, which are all texts, into canonical ones (`rules.catalog`) and back.

Responsible for one value at a time, by the type of its property. Pure. Must not know objects, records or the wire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from rules.canonical import InvalidValueError, canonical_date, canonical_decimal, canonical_timestamp, shown
from rules.catalog import FieldType, Kind, Value


class Owners(msgspec.Struct, frozen=True):
    """Who owns records: ids by email, emails by id (of leavers too), and what sync.yaml says of them."""

    by_email: Mapping[str, str] = {}
    by_id: Mapping[str, str] = {}
    table: Mapping[str, str] = {}  # as the other side names them: the email in HubSpot

    def load(self, owner: str) -> str:
        """The owner as the other side names it: by the table, else by email; a queue, which has none, by its id."""
        email = self.by_id.get(owner, owner)
        return next((theirs for theirs, ours in self.table.items() if ours.lower() == email.lower()), email)

    def dump(self, name: str) -> str:
        """The id. Raises `InvalidValueError`."""
        table = {theirs.lower(): ours for theirs, ours in self.table.items()}
        email = table.get(name.strip().lower(), name.strip()).lower()
        found = self.by_email.get(email)
        if found is None and name in self.by_id and "@" not in self.by_id[name]:
            found = name
        if found is None:
            raise InvalidValueError(
                f"nobody in HubSpot has the email {shown(email)}", "the email of an owner, or an entry of `owners:`"
            )
        return found


class Codec(msgspec.Struct, frozen=True):
    """How the values of one property travel."""

    type: FieldType
    owner: bool = False

    def load(self, text: object, owners: Owners) -> Value:
        """A value as HubSpot gives it; absent and empty are None."""
        if text is None or text == "":
            return None
        given = text if isinstance(text, str) else _plain(text)
        try:
            return self._load(given, owners)
        except (InvalidValueError, ValueError, OverflowError, OSError):
            return given  # what the type does not allow and HubSpot holds all the same: it is shown as it is

    def _load(self, text: str, owners: Owners) -> Value:
        if self.owner:
            return owners.load(text)
        match self.type.kind:
            case Kind.DECIMAL:
                return canonical_decimal(text)
            case Kind.INTEGER:
                return int(text)
            case Kind.BOOLEAN:
                return text.lower() == "true"
            case Kind.DATE:
                return moment_of(text)[:10] if _is_millis(text) else canonical_date(text[:10])
            case Kind.TIMESTAMP:
                return canonical_timestamp(moment_of(text) if _is_millis(text) else text)
            case Kind.LIST:
                return list(in_order({one for one in text.split(";") if one}, self.type.options or ()))
            case _:
                return text

    def dump(self, value: Value, owners: Owners) -> str:
        """A value as HubSpot takes it; empty is the empty text. Raises `InvalidValueError`."""
        if value is None:
            return ""
        if isinstance(value, list):
            return self._dump_list(value)
        if isinstance(value, bool):
            return "true" if value else "false"
        text = str(value)
        if text == "":
            return ""
        if self.owner:
            return owners.dump(text)
        match self.type.kind:
            case Kind.DECIMAL:
                if text in ("NaN", "Infinity", "-Infinity"):
                    raise InvalidValueError(f"{text} is no number that HubSpot can hold", "a finite number")
                return canonical_decimal(text)
            case Kind.DATE:
                return canonical_date(text)
            case Kind.TIMESTAMP:
                return canonical_timestamp(text)
            case Kind.BOOLEAN:
                raise InvalidValueError(f"{shown(text)} is not true or false", "true or false")
            case Kind.ENUM:
                self._check_option(text)
                return text
            case _:
                return text

    def _dump_list(self, values: Sequence[Value]) -> str:
        texts = {str(one) for one in values if one not in (None, "")}
        for one in texts:
            if ";" in one:
                raise InvalidValueError(
                    f"{shown(one)} holds a semicolon, which parts options in HubSpot", "other options"
                )
            self._check_option(one)
        return ";".join(in_order(texts, self.type.options or ()))

    def _check_option(self, text: str) -> None:
        if self.type.options is not None and text not in self.type.options:
            raise InvalidValueError(f"{shown(text)} is no option", "one of " + ", ".join(self.type.options[:20]))


def in_order(options: set[str], known: Sequence[str]) -> list[str]:
    """A set of options, in the order in which the property lists them: the same set is the same value."""
    places = {option: place for place, option in enumerate(known)}
    return sorted(options, key=lambda one: (places.get(one, len(places)), one))


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_millis(text: str) -> bool:
    return text.isascii() and text.lstrip("-").isdigit() and "-" not in text[1:]


def moment_of(millis: str) -> str:
    """Milliseconds since 1970 as ISO 8601 in UTC."""
    number = int(millis)
    moment = datetime.fromtimestamp(number // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{number % 1000:03d}Z"


def millis_of(stamp: object) -> int:
    """A time of an answer (`updatedAt`) in milliseconds; 0 where there is none."""
    if isinstance(stamp, int | float):
        return int(stamp)
    if not isinstance(stamp, str) or not stamp:
        return 0
    if _is_millis(stamp):
        return int(stamp)
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return 0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return delta.days * 86_400_000 + delta.seconds * 1000 + delta.microseconds // 1000
