"""What applying a file means: which configuration comes out, and what each connection is told.

Pure: what is applied now, the file and the accounts' catalogs go in, the new configuration and orders come out. Must
not know Kafka, nor ask anybody.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from console.applied import Applied, Orders, same
from console.errors import WrongUseError, unknown
from rules.catalog import Catalog
from rules.config import DocumentChange, Installation, diff
from rules.events import Order
from rules.plan import connection_documents, connection_name

NewId = Callable[[], str]


def new_id() -> str:
    """An id for an order."""
    return uuid.uuid4().hex


class Proposal(msgspec.Struct, frozen=True):
    """What applying a file would do. `left`: syncs that left the file and go, or stay switched off."""

    after: Applied
    changes: tuple[DocumentChange, ...]
    left: tuple[str, ...]
    refreshed: tuple[str, ...]  # accounts whose objects are no longer those that were applied

    @property
    def refused(self) -> tuple[DocumentChange, ...]:
        """Changes that cannot be."""
        return tuple(change for change in self.changes if change.refused)


def propose(
    before: Applied | None, installation: Installation, catalogs: Mapping[str, Catalog], *, keep_left: bool
) -> Proposal:
    """The file in place of what is applied. `keep_left`: a sync that left the file is switched off, not deleted; and
    one that a command has deleted is not added again because the file still names it.

    `catalogs`: of the accounts that answered; for the others those that were applied are kept. Raises `WrongUseError`
    where a sync refers to one that stays deleted.
    """
    document = dict(installation.document())
    old = dict(before.document) if before else {}
    deleted = before.deleted & frozenset(document.get("syncs") or {}) if before and keep_left else frozenset()
    if deleted:
        document = _without(document, deleted)
    left = tuple(name for name in old.get("syncs") or {} if name not in (document.get("syncs") or {}))
    changes = diff(old or None, document)
    gone = frozenset(left) if keep_left else frozenset()
    if gone:
        document = _with_left(document, old, gone)
        changes = [one for one in changes if not (one.action == "removed" and _concerns(one, gone, document))]
    # Who comes back into the file after having left it is on again; who was switched off stays so.
    off = (before.off - before.left if before else frozenset()) & frozenset(document["syncs"]) | gone
    known = {**(before.catalogs if before else {}), **catalogs}
    after = Applied(
        version=before.version if before else 0,
        name=installation.name,
        document=document,
        off=off,
        catalogs=_in_use(document, known, before),
        left=gone,
        deleted=deleted,
    )
    refreshed = tuple(
        account
        for account, catalog in after.catalogs.items()
        if before and account in before.catalogs and before.catalogs[account] != catalog
    )
    if before is None or not same(before, after):
        after = msgspec.structs.replace(after, version=after.version + 1)
    return Proposal(after, tuple(changes), left, refreshed)


def switch(before: Applied | None, sync: str, *, on: bool) -> Applied:
    """The configuration with one sync switched on or off. Raises `WrongUseError` for one that is not applied."""
    if before is not None and sync in before.deleted:
        raise WrongUseError(f"{sync} was deleted.", f"`tandem apply` adds it again, if the file still names {sync}.")
    if before is None or sync not in before.document["syncs"]:
        raise unknown("sync", sync, before.document["syncs"] if before else ())
    if on and sync in before.left:
        raise WrongUseError(
            f"{sync} is off because it is no longer in the file.", "Put it back into the file, then `tandem apply`."
        )
    off = before.off - {sync} if on else before.off | {sync}
    if off == before.off:
        return before
    return msgspec.structs.replace(before, off=off, version=before.version + 1)


def deletion(before: Applied | None, sync: str) -> Applied:
    """The configuration without a sync, which stays away though the file may still name it. One that is deleted
    already changes nothing. Raises `WrongUseError` for one that is not applied, or that others refer to."""
    if before is not None and sync in before.deleted:
        return before
    if before is None or sync not in before.document["syncs"]:
        raise unknown("sync", sync, before.document["syncs"] if before else ())
    document = _without(before.document, frozenset((sync,)))
    return msgspec.structs.replace(
        before,
        version=before.version + 1,
        document=document,
        off=before.off - {sync},
        left=before.left - {sync},
        deleted=before.deleted | {sync},
        catalogs=_in_use(document, before.catalogs, before),
    )


def orders_of(before: Applied | None, after: Applied, make_id: NewId = new_id) -> Orders:
    """What each connection is told: its part of the configuration, and those that are no more, that nothing is left."""
    objects = {account: catalog.objects for account, catalog in after.catalogs.items()}
    parts = connection_documents(after.document, objects, after.off, after.version)
    for sync in (before.document["syncs"] if before else {}).values():
        name = connection_name(sync["between"])
        if name not in parts:
            nothing: dict[str, Any] = {"version": after.version, "syncs": {}, "catalogs": {}, "off": []}
            parts[name] = {"connection": name, **nothing}
    return [(name, apply_order(after.version, part, make_id)) for name, part in parts.items()]


def apply_order(version: int, part: Mapping[str, Any], make_id: NewId = new_id) -> Order:
    """The order that brings a connection its part of a configuration."""
    document = msgspec.json.encode(part).decode()
    return Order(make_id(), "apply", arguments={"version": str(version), "document": document})


def _without(document: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """The document without these syncs. Raises `WrongUseError` where one that is left refers to one of them."""
    syncs = {name: sync for name, sync in (document.get("syncs") or {}).items() if name not in names}
    for name, sync in syncs.items():
        for entry in sync.get("mapping") or ():
            referred = entry.get("association")
            if referred in names:
                raise WrongUseError(
                    f"{name} associates its records with those of {referred}, which is deleted or is to be.",
                    f"Take the mapping with `association: {referred}` out of {name} and apply that first; or let"
                    f" `tandem apply` add {referred} again.",
                )
    return {**document, "syncs": syncs}


def _with_left(document: dict[str, Any], old: Mapping[str, Any], gone: frozenset[str]) -> dict[str, Any]:
    """The document with the syncs that left the file, and the accounts that they need."""
    syncs = {**(document.get("syncs") or {}), **{name: old["syncs"][name] for name in old["syncs"] if name in gone}}
    needed = {account for name in gone for account in syncs[name]["between"]}
    accounts = {**{name: old["accounts"][name] for name in old["accounts"] if name in needed}, **document["accounts"]}
    return {**document, "accounts": accounts, "syncs": syncs}


def _concerns(change: DocumentChange, gone: frozenset[str], document: Mapping[str, Any]) -> bool:
    if change.part == "account":
        return change.name in document["accounts"]
    return change.part == "sync" and change.name in gone and change.key is None


def _in_use(document: Mapping[str, Any], known: Mapping[str, Catalog], before: Applied | None) -> dict[str, Catalog]:
    """The objects that syncs use, of what is known of the accounts."""
    found: dict[str, Catalog] = {}
    for sync in (document.get("syncs") or {}).values():
        for account, name in sync["between"].items():
            catalog = known.get(account)
            described = catalog.objects.get(name) if catalog else None
            if described is None and before and account in before.catalogs:
                described = before.catalogs[account].objects.get(name)
            if described is not None:
                own = found.setdefault(account, Catalog({}))
                own.objects[name] = described
    return found
