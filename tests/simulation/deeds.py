"""What happened in the apps, in the order in which it happened: all that the reference model is told.

A deed is what somebody who looks into the app's own database would see: who wrote what where. Nothing in it comes out of the rules.
"""

from __future__ import annotations

from typing import NamedTuple

from rules.catalog import Value

Place = tuple[str, str, str]  # account, object, id
Values = dict[str, Value]


class Deed(NamedTuple):
    """One write in an app. `by`: the sync whose command it was, or "" for people.

    `what`: create | edit | delete | revive | renumber | merge | truncate. `values`: the fields written, as the app keeps them; `before`: what the
    record held. `other`: the new id (renumber), the survivor's (merge), the source's place (a create by a sync).
    """

    by: str
    what: str
    place: Place
    values: Values
    before: Values
    other: Place | None = None
    blind: bool = False  # it was written over an edit made between reading and writing: the app cannot compare and set
