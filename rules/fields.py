"""Which fields of an object a sync names: in its mapping and in its filters.

Responsible for that alone; for apps where every field that is read costs something.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rules.config import SyncConfig
from rules.filters import AllOf, AnyOf, Filter


def named_fields(sync: SyncConfig, account: str) -> frozenset[str]:
    """The fields of the account's object that the sync names, in the mapping (also where it is switched off) or in a filter."""
    number = sync.accounts.index(account)
    mapped = {name for entry in sync.mapping if (name := (entry.a, entry.b)[number]) is not None}
    return frozenset(mapped.union(_compared(sync.filters.get(account, ()))))


def _compared(filters: Iterable[Filter]) -> Iterator[str]:
    for one in filters:
        if isinstance(one, AnyOf):
            yield from _compared(one.any)
        elif isinstance(one, AllOf):
            yield from _compared(one.all)
        else:
            yield one.field
