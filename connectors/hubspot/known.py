"""What capture knows of each record, what an image of it tells beyond that, and how it is noted.

Responsible for the decision whether something is new. Pure. Must not know how images come in.

| known                         | an image                                      | is told                                    |
|-------------------------------|-----------------------------------------------|--------------------------------------------|
| nothing, or that it is gone   | any                                           | upsert                                     |
| a stamp                       | a later stamp, or other associations          | upsert                                     |
| a stamp                       | the same stamp and associations               | nothing (seen before), unless we wrote it  |
| a later stamp                 | an earlier one                                | nothing (an old image)                     |
| an alias                      | a survivor that names it                      | nothing                                    |
| no alias                      | a survivor that names it                      | merge, before the survivor's own upsert    |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from connectors.base import Change, Op
from connectors.hubspot.records import Image
from rules.version import Version

Refs = tuple[str | None, ...]


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A record. `gone`: when it was found gone, in milliseconds; 0: it is there."""

    stamp: int
    refs: Refs = ()
    gone: int = 0


class Told(msgspec.Struct, frozen=True):
    """Changes, and what to note with them."""

    changes: tuple[Change, ...] = ()
    notes: Mapping[str, str | None] = {}


NOTHING = Told()


class Known:
    """The records of one object. `relations`: the fields whose associations are watched."""

    def __init__(self, object: str, relations: Iterable[str]) -> None:
        self.object, self.relations = object, tuple(relations)
        self.entries: dict[str, Entry] = {}
        self.aliases: dict[str, str] = {}  # ids that were merged away: the survivor
        self.ready = False  # the baseline has been taken
        self.renamed = False  # with other associations than those that are watched now

    # ---------------------------------------------------------------- notes

    def recall(self, notes: Mapping[str, str]) -> None:
        """Takes over what was noted."""
        records, merged = f"r\t{self.object}\t", f"m\t{self.object}\t"
        for key, text in notes.items():
            if key.startswith(records):
                self.entries[key[len(records) :]] = _entry(text)
            elif key.startswith(merged):
                self.aliases[key[len(merged) :]] = text
        relations = notes.get(f"o\t{self.object}")
        self.ready = relations is not None
        self.renamed = self.ready and relations != ",".join(self.relations)
        if self.renamed:
            # What was noted is of other associations: those of every record are told anew.
            self.entries = {record_id: Entry(one.stamp, (), one.gone) for record_id, one in self.entries.items()}

    def note_ready(self) -> dict[str, str | None]:
        """All records are known, with these associations."""
        self.ready, self.renamed = True, False
        return {f"o\t{self.object}": ",".join(self.relations)}

    def note(self, record_id: str) -> dict[str, str | None]:
        """What to note of a record."""
        entry = self.entries.get(record_id)
        return {f"r\t{self.object}\t{record_id}": None if entry is None else _text(entry)}

    # ---------------------------------------------------------------- what there is

    def alive(self) -> list[str]:
        """The ids of the records that are there."""
        return [record_id for record_id, entry in self.entries.items() if not entry.gone]

    def gone(self) -> dict[str, Entry]:
        """Those that were found gone, and may come back."""
        return {record_id: entry for record_id, entry in self.entries.items() if entry.gone}

    def is_news(self, record_id: str, stamp: int) -> bool:
        """Whether a record with that modified date has something to tell."""
        entry = self.entries.get(record_id)
        return entry is None or stamp > entry.stamp

    def refs_of(self, image: Image) -> Refs:
        """The associations of an image, in the order in which they are kept."""
        return tuple(_reference(image, field) for field in self.relations)

    # ---------------------------------------------------------------- what is told

    def see(self, image: Image, *, ours: bool = False) -> Told:
        """A record is there. `ours`: we have written its associations, so that those known here may not be what others know."""
        record_id, refs = image.record.id, self.refs_of(image)
        changes: list[Change] = []
        notes: dict[str, str | None] = {}
        for old in image.merged:
            told = self.merge(old, record_id, image.record.version, image.stamp)
            changes += told.changes
            notes |= told.notes
        entry = self.entries.get(record_id)
        if (
            entry is None
            or entry.gone
            or image.stamp > entry.stamp
            or (image.stamp == entry.stamp and (refs != entry.refs or ours))
        ):
            self.entries[record_id] = Entry(image.stamp, refs)
            version = image.record.version
            if entry is not None and entry.gone >= version.position:
                version = Version(entry.gone + 1, step=version.step)  # it was read after it was found gone
            changes.append(
                Change(
                    Op.UPSERT,
                    record_id,
                    image.record.values,
                    version,
                    image.stamp / 1000,
                    token=image.token,
                )
            )
            notes |= self.note(record_id)
        return Told(tuple(changes), notes)

    def merge(self, old: str, into: str, version: Version, stamp: int) -> Told:
        """A record was merged into another."""
        if self.aliases.get(old) == into:
            return NOTHING
        self.aliases[old] = into
        self.entries.pop(old, None)
        change = Change(Op.MERGE, old, {}, version, stamp / 1000, into=into)
        return Told((change,), {f"m\t{self.object}\t{old}": into, **self.note(old)})

    def lose(self, record_id: str, at: int, asked_at: int) -> Told:
        """A record that was there is gone, since `at` (0: nobody knows since when)."""
        entry = self.entries.get(record_id)
        if entry is None or entry.gone:
            return NOTHING
        since = at or asked_at
        self.entries[record_id] = Entry(entry.stamp, entry.refs, gone=since)
        version = Version(max(since, asked_at, entry.stamp), step=entry.stamp)
        return Told((Change(Op.DELETE, record_id, {}, version, since / 1000),), self.note(record_id))

    def forget(self, record_id: str) -> dict[str, str | None]:
        """A record that is gone cannot come back any more."""
        self.entries.pop(record_id, None)
        return self.note(record_id)

    def take(self, record_id: str, stamp: int, refs: Refs) -> dict[str, str | None]:
        """The baseline: a record is there, and every read from now on shows it at least so."""
        self.entries[record_id] = Entry(stamp, refs)
        return self.note(record_id)


def _reference(image: Image, field: str) -> str | None:
    value = image.record.values.get(field)
    return None if value is None else str(value)


def _text(entry: Entry) -> str:
    refs = "".join(f";{one or ''}" for one in entry.refs)
    return f"{entry.stamp}{refs}" + (f"!{entry.gone}" if entry.gone else "")


def _entry(text: str) -> Entry:
    rest, _, gone = text.partition("!")
    stamp, *refs = rest.split(";")
    return Entry(int(stamp), tuple(one or None for one in refs), int(gone or 0))
