"""Associations between records: labelled, directional, each stored in both directions.

Responsible for what a set of labels between two records is and becomes. Must not know HTTP. No association moves a record's modified date.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from . import journal
from .definitions import ObjectType
from .errors import Json, invalid
from .portal import Actor, Portal
from .records import Row
from .store import Store

HUBSPOT, USER, INTEGRATOR, WORK = "HUBSPOT_DEFINED", "USER_DEFINED", "INTEGRATOR_DEFINED", "WORK"
CATEGORIES = (HUBSPOT, USER, INTEGRATOR, WORK)
UNLABELLED, PRIMARY, LABEL = "unlabelled", "primary", "label"
UNKNOWN_FIRST = 9001

Key = tuple[str, int]  # category and id: neither alone says which type it is


class Type(msgspec.Struct, frozen=True):
    """A type of associations, in one direction."""

    category: str
    id: int
    origin: str
    target: str
    label: str | None
    reverse: int
    role: str

    @property
    def key(self) -> Key:
        """Category and id."""
        return self.category, self.id

    def shown(self) -> Json:
        """As the API gives it."""
        return {"category": self.category, "typeId": self.id, "label": self.label}


_COLUMNS = "category, id, from_object, to_object, label, reverse, role"


def begin(
    store: Store, kinds: Iterable[ObjectType], named: Iterable[tuple[str, str, str | None, int, int | None, bool]]
) -> None:
    """The types of a new portal: those with known ids, and an unlabelled one for every other pair."""
    done = set()
    for origin, target, label, id, reverse, primary in named:
        back = reverse or store.next("association_type", UNKNOWN_FIRST)
        role = PRIMARY if primary else LABEL if label else UNLABELLED
        other = "Child Company" if label == "Parent Company" else label
        _add(store, Type(HUBSPOT, id, origin, target, label, back, role), other)
        done.add(frozenset((origin, target)))
    ids = [kind.id for kind in kinds if kind.name != "products"]
    for place, origin in enumerate(ids):
        for target in ids[place:]:
            if frozenset((origin, target)) not in done:
                unlabelled(store, origin, target)


def unlabelled(store: Store, origin: str, target: str) -> None:
    """The unlabelled type of a pair."""
    id = store.next("association_type", UNKNOWN_FIRST)
    back = id if origin == target else store.next("association_type", UNKNOWN_FIRST)
    _add(store, Type(HUBSPOT, id, origin, target, None, back, UNLABELLED), None)


def add_label(store: Store, origin: str, target: str, label: str, inverse: str, category: str) -> Type:
    """A label that people or an integrator made. Ids of people's labels begin at 1, as HubSpot's own do: the category tells them apart."""
    id = store.next(f"association_type_{category}")
    back = store.next(f"association_type_{category}") if origin != target or label != inverse else id
    made = Type(category, id, origin, target, label, back, LABEL)
    _add(store, made, inverse)
    return made


def _add(store: Store, made: Type, inverse: str | None) -> None:
    rows = [(made.category, made.id, made.origin, made.target, made.label, made.reverse, made.role)]
    if made.reverse != made.id:
        rows.append((made.category, made.reverse, made.target, made.origin, inverse, made.id, made.role))
    store.many(f"INSERT INTO association_type({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def types(portal: Portal, origin: ObjectType, target: ObjectType) -> dict[Key, Type]:
    """All types from one object to another."""
    rows = portal.store.all(
        f"SELECT {_COLUMNS} FROM association_type WHERE from_object = ? AND to_object = ? ORDER BY category, id",
        origin.id,
        target.id,
    )
    found = [Type(*row) for row in rows]
    if not found:
        raise invalid(f"{origin.name} and {target.name} cannot be associated", "INVALID_ASSOCIATION")
    return {each.key: each for each in found}


def basic(known: dict[Key, Type]) -> Type:
    """The unlabelled one of them."""
    return next(each for each in known.values() if each.role == UNLABELLED)


def between(portal: Portal, origin: int, target: int, to: ObjectType) -> set[Key]:
    """The types that are between two records."""
    rows = portal.store.all(
        "SELECT category, type FROM association WHERE from_id = ? AND to_object = ? AND to_id = ?",
        origin,
        to.id,
        target,
    )
    return set(rows)


def replace(portal: Portal, origin: Row, target: Row, keys: set[Key], actor: Actor) -> set[Key]:
    """Makes these types, and the unlabelled one, what is between two records: labels that are not named are gone."""
    known = types(portal, origin.kind, target.kind)
    for category, id in keys:
        if (category, id) not in known:
            message = f"There is no association type {id} of category {category} from {origin.kind.name} to {target.kind.name}"
            raise invalid(message, "INVALID_ASSOCIATION_TYPE", typeId=str(id))
    if origin.id == target.id:
        raise invalid("A record is not associated with itself", "INVALID_ASSOCIATION")
    before = between(portal, origin.id, target.id, target.kind)
    after = keys | {basic(known).key}
    if not before:
        _capped(portal, origin, target.kind)
        _capped(portal, target, origin.kind)
    for key in after - before:
        if known[key].role == PRIMARY:
            _only_primary(portal, origin, target, known[key])
    _store(portal, origin, target, after, known)
    _tell(portal, origin, target, known, before, after, actor)
    return after


def remove(portal: Portal, origin: Row, target: Row, keys: set[Key] | None, actor: Actor) -> None:
    """Removes types between two records; without `keys`, or with the unlabelled one among them, all."""
    known = types(portal, origin.kind, target.kind)
    for key in keys or ():
        if key not in known:
            raise invalid(
                f"There is no association type {key[1]} of category {key[0]}",
                "INVALID_ASSOCIATION_TYPE",
                typeId=str(key[1]),
            )
    before = between(portal, origin.id, target.id, target.kind)
    after = set() if keys is None or basic(known).key in keys else before - keys
    _store(portal, origin, target, after, known)
    _tell(portal, origin, target, known, before, after, actor)


def _store(portal: Portal, origin: Row, target: Row, after: set[Key], known: dict[Key, Type]) -> None:
    for one, other in ((origin, target), (target, origin)):
        portal.store.run(
            "DELETE FROM association WHERE from_id = ? AND to_object = ? AND to_id = ?", one.id, other.kind.id, other.id
        )
    rows = []
    for key in after:
        rows.append((origin.id, target.kind.id, target.id, *key, origin.kind.id))
        rows.append((target.id, origin.kind.id, origin.id, key[0], known[key].reverse, target.kind.id))
    portal.store.many(
        "INSERT OR IGNORE INTO association(from_id, to_object, to_id, category, type, from_object) VALUES (?, ?, ?, ?, ?, ?)",
        rows,
    )


def _only_primary(portal: Portal, origin: Row, target: Row, primary: Type) -> None:
    """A record has one primary company: the one before is an unlabelled one now."""
    subject, company, kind = (
        (origin, target, primary.id) if target.kind.name == "companies" else (target, origin, primary.reverse)
    )
    back = primary.reverse if kind == primary.id else primary.id
    for (other,) in portal.store.all(
        "SELECT to_id FROM association WHERE from_id = ? AND to_object = ? AND category = ? AND type = ? AND to_id <> ?",
        subject.id,
        company.kind.id,
        HUBSPOT,
        kind,
        company.id,
    ):
        for one, two, type in ((subject.id, other, kind), (other, subject.id, back)):
            portal.store.run(
                "DELETE FROM association WHERE from_id = ? AND to_id = ? AND category = ? AND type = ?",
                one,
                two,
                HUBSPOT,
                type,
            )


def _capped(portal: Portal, row: Row, other: ObjectType) -> None:
    count = portal.store.value(
        "SELECT count(DISTINCT to_id) FROM association WHERE from_id = ? AND to_object = ?", row.id, other.id
    )
    if count >= portal.knobs.association_cap:
        message = f"{row.kind.singular} {row.id} has {count} associated {other.name}, which is the limit"
        raise invalid(message, "ASSOCIATION_LIMIT_REACHED", fromObjectId=str(row.id))


def _tell(
    portal: Portal, origin: Row, target: Row, known: dict[Key, Type], before: set[Key], after: set[Key], actor: Actor
) -> None:
    for keys, removed in ((after - before, False), (before - after, True)):
        for key in sorted(keys):
            event = {
                "fromObjectTypeId": origin.kind.id,
                "fromObjectId": origin.id,
                "toObjectTypeId": target.kind.id,
                "toObjectId": target.id,
                "associationType": known[key].label or UNLABELLED,
                "associationTypeId": key[1],
                "associationCategory": key[0],
                "associationRemoved": removed,
                "isPrimaryAssociation": known[key].role == PRIMARY,
            }
            action = "ASSOCIATION_REMOVED" if removed else "ASSOCIATION_ADDED"
            journal.emit(portal, "ASSOCIATION", action, [origin.kind.id, target.kind.id], event, actor)


def page(portal: Portal, origin: Row, to: ObjectType, after: int, limit: int) -> tuple[list[Json], int | None]:
    """Associated live records with their types, in the order of ids, and where the next page begins."""
    known = types(portal, origin.kind, to)
    ids = portal.store.all(
        "SELECT DISTINCT a.to_id FROM association a JOIN record r ON r.id = a.to_id AND r.archived IS NULL"
        " WHERE a.from_id = ? AND a.to_object = ? AND a.to_id >= ? ORDER BY a.to_id LIMIT ?",
        origin.id,
        to.id,
        after,
        limit + 1,
    )
    found = []
    for (id,) in ids[:limit]:
        held = sorted(between(portal, origin.id, id, to))
        found.append({"toObjectId": str(id), "associationTypes": [known[key].shown() for key in held]})
    return found, ids[limit][0] if len(ids) > limit else None


def move(portal: Portal, loser: Row, winner: Row) -> None:
    """Gives a record's associations to the one it is merged into. A second primary becomes an unlabelled one."""
    rows = portal.store.all(
        "SELECT a.to_object, a.to_id, a.category, a.type, y.role FROM association a"
        " JOIN association_type y ON y.category = a.category AND y.id = a.type WHERE a.from_id = ?",
        loser.id,
    )
    for to_object, to_id, category, type, role in rows:
        has_primary = role == PRIMARY and portal.store.value(
            "SELECT 1 FROM association WHERE from_id = ? AND to_object = ? AND category = ? AND type = ?",
            winner.id,
            to_object,
            category,
            type,
        )
        if to_id == winner.id or has_primary:
            continue
        back = portal.store.value("SELECT reverse FROM association_type WHERE category = ? AND id = ?", category, type)
        portal.store.many(
            "INSERT OR IGNORE INTO association(from_id, to_object, to_id, category, type, from_object) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (winner.id, to_object, to_id, category, type, winner.kind.id),
                (to_id, winner.kind.id, winner.id, category, back, to_object),
            ],
        )
    forget(portal, loser.id)


def forget(portal: Portal, id: int) -> None:
    """Removes all associations of a record."""
    portal.store.run("DELETE FROM association WHERE from_id = ? OR to_id = ?", id, id)


def add_to(portal: Portal, shown_records: list[Json], origin: ObjectType, kinds: list[ObjectType], most: int) -> None:
    """Adds associations to records that were read, as the query parameter `associations` asks."""
    for each in shown_records:
        row = Row(int(each["id"]), origin, {}, 0, 0)
        for kind in kinds:
            found, after = page(portal, row, kind, 0, most)
            listed = [
                {"id": one["toObjectId"], "type": _word(type)} for one in found for type in one["associationTypes"]
            ]
            if listed:
                answer: Json = {"results": listed}
                if after is not None:
                    answer["paging"] = {"next": {"after": str(after)}}
                each.setdefault("associations", {})[kind.name] = answer


def _word(type: Json) -> str:
    return str(type["label"] or UNLABELLED).lower().replace(" ", "_")
