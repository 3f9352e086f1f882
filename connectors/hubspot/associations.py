"""Associations as fields: which record counts, what differs, and what to write so that another one does.

Responsible for these decisions. Pure. Must not know the wire. An association is one of the set that a record has with the records of another object,
each with its labels; a field shows one of them: that with the primary label, or, where the relation knows none, the oldest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from connectors.hubspot.standard import Relation

HUBSPOT = "HUBSPOT_DEFINED"


class Label(msgspec.Struct, frozen=True, order=True):
    """A type of association between two records, in one direction."""

    category: str
    type_id: int


Ends = Mapping[str, frozenset[Label]]  # the associated records, and with which labels


def ends_of(given: Iterable[Mapping[str, Any]]) -> dict[str, frozenset[Label]]:
    """What an answer says of one record."""
    found: dict[str, frozenset[Label]] = {}
    for one in given:
        labels = frozenset(
            Label(str(type_.get("category") or HUBSPOT), int(type_["typeId"]))
            for type_ in one.get("associationTypes") or ()
            if type_.get("typeId") is not None
        )
        record_id = str(one.get("toObjectId") or one.get("id"))
        found[record_id] = found.get(record_id, frozenset()) | labels
    return found


def counting(relation: Relation, ends: Ends) -> str | None:
    """The one that counts."""
    candidates = list(ends)
    if relation.primary is not None:
        candidates = [one for one, labels in ends.items() if Label(HUBSPOT, relation.primary) in labels]
    return min(candidates, key=_age, default=None)


def _age(record_id: str) -> tuple[int, str]:
    return (len(record_id), record_id)


class Change(msgspec.Struct, frozen=True):
    """What to do about one record and one relation. `make`: an end and all the labels that it is to have (none: HubSpot's default);
    `drop`: an end that goes; `strip`: an end that loses the primary label alone, since a person has given it others."""

    make: tuple[str, tuple[Label, ...]] | None = None
    drop: str | None = None
    strip: str | None = None


def change_to(relation: Relation, ends: Ends, wanted: str | None) -> Change | None:
    """What makes `wanted` the one that counts; None: it does. Only the end that counted before is taken away."""
    before = counting(relation, ends)
    if before == wanted:
        return None
    make: tuple[str, tuple[Label, ...]] | None = None
    if wanted is not None:
        labels = set(ends.get(wanted, frozenset()))
        if relation.primary is not None:
            labels.add(Label(HUBSPOT, relation.primary))
        if relation.plain is not None:
            labels.add(Label(HUBSPOT, relation.plain))
        make = wanted, tuple(sorted(labels))
    if before is None:
        return Change(make)
    own = {Label(HUBSPOT, one) for one in (relation.primary, relation.plain) if one is not None}
    given = {label for label in ends[before] if label.category != HUBSPOT} - own
    if given and relation.primary is not None:
        return Change(make, strip=before)
    return Change(make, drop=before)
